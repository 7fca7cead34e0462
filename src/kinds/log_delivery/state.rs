//! What a spec controls of a LogDelivery, and which deliveries are equal: those that differ in their names at most.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub const ENABLED: &str = "ENABLED";
pub const DISABLED: &str = "DISABLED";

/// What a spec controls. In a desired state an empty set of workspaces means the whole account, and none that they are not managed. A
/// response about the whole account has none.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[allow(missing_docs)]
pub struct LogDeliveryState {
    pub log_type: Option<String>,
    pub output_format: Option<String>,
    pub credentials_id: Option<String>,
    pub storage_configuration_id: Option<String>,
    pub config_name: Option<String>,
    pub delivery_path_prefix: Option<String>,
    pub delivery_start_time: Option<String>,
    pub workspace_ids: Option<BTreeSet<i64>>,
    pub status: String,
}

const NAMED: &str = ", called ";

fn named(name: &str) -> String {
    format!("{NAMED}{name:?}")
}

impl LogDeliveryState {
    /// The workspaces whose logs alone are delivered; none if the logs of the whole account are.
    pub fn workspaces(&self) -> Option<&BTreeSet<i64>> {
        self.workspace_ids.as_ref().filter(|ids| !ids.is_empty())
    }

    /// What makes a delivery the one it is, from this month on; none if the state lacks a part that every delivery has.
    fn content(&self, month: Option<&str>) -> Option<String> {
        let (log_type, format) = (self.log_type.as_ref()?, self.output_format.as_ref()?);
        let (credentials, storage) = (self.credentials_id.as_ref()?, self.storage_configuration_id.as_ref()?);
        let prefix = self.delivery_path_prefix.as_ref().map(|prefix| format!(" in {prefix:?}"));
        let month = month.map(|month| format!(" from {month}"));
        let workspaces = self.workspaces().map(|ids| format!(" of {ids:?}"));
        let parts = [prefix, month, workspaces].into_iter().flatten().collect::<String>();
        Some(format!("{log_type} as {format} to {storage} by {credentials}{parts}"))
    }

    fn own_content(&self) -> Option<String> {
        self.content(self.delivery_start_time.as_deref())
    }

    /// The contents by which a spec may mean this delivery: the account chooses a month for a spec that has none.
    fn contents(&self) -> impl Iterator<Item = String> {
        [self.own_content(), self.content(None)].into_iter().flatten()
    }

    /// The natural name: the content, and what the delivery is called. Empty if the content lacks a part.
    pub fn name(&self) -> String {
        let called = self.config_name.as_deref().map(named).unwrap_or_default();
        self.own_content().map(|content| content + &called).unwrap_or_default()
    }

    /// Whether this natural name means a delivery as this one, by any name or by its own.
    pub fn is_called(&self, name: &str, by_any: bool) -> bool {
        self.contents().any(|content| match name.strip_prefix(&content) {
            Some("") => true,
            Some(called) if by_any => called.starts_with(NAMED),
            Some(called) => self.config_name.as_deref().is_some_and(|own| named(own) == called),
            None => false,
        })
    }

    /// Whether a spec with this state may mean `seen`.
    pub fn may_mean(&self, seen: &LogDeliveryState) -> bool {
        self.own_content().is_none_or(|own| seen.contents().any(|content| content == own))
    }
}
