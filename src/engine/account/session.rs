//! One account, one set of credentials, and what was read with them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::snapshot::Snapshots;
use crate::databricks::{Client, Pages, Urgency};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{AuthFacts, PrincipalName, Reader};

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
    pub(super) standing: Mutex<Standing>,
    pub(super) key: SessionKey,
}

/// Whether the account accepts the calls of the session as a whole.
#[derive(Default)]
pub struct Standing {
    /// Since when a call has been rejected for its token or its address, and no later one is known to be accepted.
    doubted_since: Option<Instant>,
    /// Why the account accepts no call at all.
    refusal: Option<Error>,
}

/// What a session belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub auth: String,
    pub secret: (String, String),
    pub host: String,
    pub account_id: String,
    pub client_id: String,
}

/// How long the id of a name may be used again.
const PRINCIPAL_TTL: Duration = Duration::from_secs(60);

impl Session {
    pub(super) fn new(client: Client, facts: AuthFacts, key: SessionKey) -> Session {
        Session {
            client,
            facts,
            snapshots: Snapshots::default(),
            principals: Mutex::default(),
            own_id: OnceCell::new(),
            standing: Mutex::default(),
            key,
        }
    }

    /// A session for the tests of its callers.
    #[cfg(test)]
    pub fn of(client: Client) -> Session {
        let egress = "198.51.100.0/24".parse().into_iter().collect();
        let facts = AuthFacts { client_id: "client".into(), egress, ..AuthFacts::default() };
        let account_id = client.account_id().to_owned();
        let text = || String::from("test");
        let secret = (text(), text());
        let key = SessionKey { auth: text(), secret, host: text(), account_id, client_id: text() };
        Session::new(client, facts, key)
    }

    /// A call was rejected for its token or its address. [`Session::prove`] checks whether all are.
    pub fn doubt(&self) {
        self.standing().doubted_since.get_or_insert_with(Instant::now);
    }

    /// For how long it has been in doubt whether the account accepts calls.
    pub fn doubted_for(&self) -> Option<Duration> {
        self.standing().doubted_since.map(|since| since.elapsed())
    }

    /// Why the account accepts no call of this session, if so.
    pub fn refusal(&self) -> Option<Error> {
        self.standing().refusal.clone()
    }

    /// Checks whether the account accepts calls, by one small read that depends on no spec. Any response to the read
    /// itself, such as a lack of rights, proves that it does.
    pub async fn prove(&self) -> Result<()> {
        let own = PrincipalName::ServicePrincipal(self.facts.client_id.clone());
        let result = self.principal(&own, Urgency::Urgent, true).await;
        let mut standing = self.standing();
        match result {
            Err(error)
                if matches!(error.reason(), Some(Reason::CredentialsInvalid | Reason::AddressBlocked)) =>
            {
                standing.doubted_since.get_or_insert_with(Instant::now);
                standing.refusal = Some(error.clone());
                Err(error)
            }
            // There was no response: the doubt remains, if there was one.
            Err(error @ Error::Transient { .. }) if standing.doubted_since.is_some() => Err(error),
            _ => {
                *standing = Standing::default();
                Ok(())
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().expect("no panic while held")
    }

    /// The id of the operator's own service principal, requested once. `None` if the account does not return it: some
    /// credentials may manage a workspace's assignments and not read the account's principals.
    pub async fn own_id(&self) -> Result<Option<String>> {
        let ask = || async {
            let own = PrincipalName::ServicePrincipal(self.facts.client_id.clone());
            match self.principal(&own, Urgency::Urgent, false).await {
                Err(error) if error.is_rejected(Reason::PermissionDenied) => Ok(None),
                result => result,
            }
        };
        self.own_id.get_or_try_init(ask).await.cloned()
    }

    /// Forgets the ids of names: one of them turned out to be stale.
    pub fn forget_principals(&self) {
        self.principals.lock().expect("no panic while held").clear();
    }

    /// The id of a principal, or `None` if the account has none of that name. Results are kept for a minute unless `fresh`
    /// is set.
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
        let path = reader
            .path(&["scim", "v2", collection])
            .with("filter", format!("{attribute} eq \"{quoted}\""))
            .with("attributes", format!("id,{attribute}"));
        let mut found: Vec<Principal> = reader.list(path, Pages::Scim).await?;
        // A host that does not know the filter returns others too.
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
