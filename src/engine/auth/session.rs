//! One account, one set of credentials, and what was read with them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::databricks::{Client, Pages, Urgency};
use crate::engine::access::{AuthFacts, Reader};
use crate::engine::error::{Error, Result};
use crate::engine::needs::PrincipalName;
use crate::engine::snapshot::Snapshots;
use crate::engine::status::Reason;

/// One account, one set of credentials, and what was read with them.
pub struct Session {
    /// The client.
    pub client: Client,
    /// What guards may know.
    pub facts: AuthFacts,
    /// LISTs shared by objects.
    pub snapshots: Snapshots,
    pub(super) principals: Mutex<HashMap<PrincipalName, (Instant, Option<String>)>>,
    pub(super) own_id: OnceCell<Option<String>>,
    pub(super) key: Key,
}

/// What a session belongs to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) auth: String,
    pub(super) secret: (String, String),
    pub(super) host: String,
    pub(super) account_id: String,
    pub(super) client_id: String,
}

/// How long the answer to "which id has this name" may be used again.
const PRINCIPAL_TTL: Duration = Duration::from_secs(60);

impl Session {
    /// The id of the operator's own service principal, asked for once. `None` if the account does not tell: some
    /// credentials may manage a workspace's assignments and not read the account's principals.
    pub async fn own_id(&self) -> Result<Option<String>> {
        let ask = || async {
            let own = PrincipalName::ServicePrincipal(self.facts.client_id.clone());
            match self.principal(&own, Urgency::Urgent, false).await {
                Err(error) if error.is_rejected(Reason::PermissionDenied) => Ok(None),
                told => told,
            }
        };
        self.own_id.get_or_try_init(ask).await.cloned()
    }

    /// Forgets which ids names stand for: one of them turned out to be no longer true.
    pub fn forget_principals(&self) {
        self.principals.lock().expect("no panic while held").clear();
    }

    /// The id of a principal, or `None` if the account has none of that name. Answers are kept for a minute unless
    /// `fresh` is asked for.
    pub async fn principal(
        &self,
        name: &PrincipalName,
        urgency: Urgency,
        fresh: bool,
    ) -> Result<Option<String>> {
        let known = self.principals.lock().expect("no panic while held").get(name).cloned();
        if let Some((at, Some(id))) = known
            && !fresh
            && at.elapsed() < PRINCIPAL_TTL
        {
            return Ok(Some(id));
        }
        let (collection, attribute, value) = name.search();
        let reader = Reader::new(self.client.clone(), urgency);
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let query = vec![
            ("filter".into(), format!("{attribute} eq \"{quoted}\"")),
            ("attributes".into(), format!("id,{attribute}")),
        ];
        let path = reader.path(&["scim", "v2", collection]);
        let mut found: Vec<Principal> = reader.search(path, query, Pages::Scim).await?;
        // A host that does not know the filter tells others too.
        found.retain(|one| one.name(attribute).is_some_and(|name| same(name, &value)));
        let id = match found.as_slice() {
            [] => None,
            [one] => Some(one.id.clone()),
            several => {
                let ids: Vec<&str> = several.iter().map(|p| p.id.as_str()).collect();
                return Err(Error::terminal(
                    Reason::Ambiguous,
                    format!(
                        "the account has several principals called {name}: {}; give the id instead",
                        ids.join(", ")
                    ),
                ));
            }
        };
        self.principals
            .lock()
            .expect("no panic while held")
            .insert(name.clone(), (Instant::now(), id.clone()));
        Ok(id)
    }
}

/// SCIM compares these names without regard to case.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[derive(serde::Deserialize)]
struct Principal {
    id: String,
    #[serde(flatten)]
    attributes: serde_json::Map<String, serde_json::Value>,
}

impl Principal {
    fn name(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute)?.as_str()
    }
}
