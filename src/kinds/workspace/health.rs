//! What Databricks found wrong with the networks of workspaces, so that a workspace can report it. It is not a state of the
//! workspace: one that runs has no message about its network, and stays usable.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::databricks::Pages;
use crate::engine::kind::Reader;

/// A network, as far as its health goes.
#[derive(Deserialize)]
pub struct NetworkHealth {
    #[serde(default)]
    network_id: String,
    vpc_status: Option<String>,
    error_messages: Option<Vec<NetworkError>>,
}

#[derive(Deserialize)]
struct NetworkError {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// The health of one network; `None` if it cannot be read, as a workspace is shown without it, too.
pub async fn read(api: &Reader, id: &str) -> Option<NetworkHealth> {
    api.get(api.path(&["networks", id])).await.ok()
}

/// The health of all networks of the account, by id; none if they cannot be read.
pub async fn read_all(api: &Reader) -> BTreeMap<String, NetworkHealth> {
    let all: Result<Vec<NetworkHealth>, _> = api.list(api.path(&["networks"]), Pages::Bare).await;
    all.unwrap_or_default().into_iter().map(|network| (network.network_id.clone(), network)).collect()
}

impl NetworkHealth {
    /// The errors, in an order that does not change; empty if there are none.
    pub fn errors(&self) -> String {
        let text = |error: &NetworkError| {
            let parts = [error.error_type.as_deref(), error.error_message.as_deref()];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        };
        let texts: BTreeSet<String> = self.error_messages.iter().flatten().map(text).collect();
        texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// What a user has to know of a workspace that runs in this network, if Databricks found it broken.
    pub fn remark(&self, id: &str) -> Option<String> {
        if self.vpc_status.as_deref() != Some("BROKEN") {
            return None;
        }
        let errors = Some(self.errors()).filter(|errors| !errors.is_empty());
        let errors = errors.unwrap_or_else(|| "Databricks gives no reason".into());
        Some(format!(
            "Databricks found the network {id} of this workspace BROKEN ({errors}), so that compute may not start: correct that in \
             the cloud, or let spec.networkRef or spec.networkId name another network"
        ))
    }
}
