//! One account, one set of credentials, and what was read with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::snapshot::Snapshots;
use crate::databricks::{Client, Optional, Pages, Urgency};
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

/// Names in one search. Databricks documents at most 200 nodes in a filter; names are long, and so are addresses with many.
const NAMES_AT_ONCE: usize = 40;

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
        if let Some(id) = self.known(name).filter(|_| !fresh) {
            return Ok(Some(id));
        }
        self.search(&[name], urgency).await?.swap_remove(0)
    }

    /// The same for many names, with few calls. A name that several principals have is an error of its own.
    pub async fn principals(
        &self,
        names: &[&PrincipalName],
        urgency: Urgency,
    ) -> Result<Vec<Result<Option<String>>>> {
        let mut unknown: BTreeMap<&str, Vec<&PrincipalName>> = BTreeMap::new();
        for name in names.iter().filter(|name| self.known(name).is_none()) {
            unknown.entry(name.search().0).or_default().push(name);
        }
        let mut found: HashMap<&PrincipalName, Result<Option<String>>> = HashMap::new();
        for together in unknown.values().flat_map(|names| names.chunks(NAMES_AT_ONCE)) {
            let results = self.search(together, urgency).await?;
            found.extend(together.iter().copied().zip(results));
        }
        let result =
            |name: &&PrincipalName| found.get(*name).cloned().unwrap_or_else(|| Ok(self.known(name)));
        Ok(names.iter().map(result).collect())
    }

    /// Whether a principal still has a name, by a read of its id.
    pub async fn is_still(&self, name: &PrincipalName, id: &str, urgency: Urgency) -> Result<bool> {
        let (collection, attribute, value) = name.search();
        let reader = Reader::new(self.client.clone(), urgency);
        let found: Option<Principal> =
            reader.get(reader.path(&["scim", "v2", collection, id])).await.optional()?;
        Ok(found.is_some_and(|one| one.name(attribute).is_some_and(|name| same(name, &value))))
    }

    /// The id of a name that was found a moment ago.
    fn known(&self, name: &PrincipalName) -> Option<String> {
        let known = self.principals.lock().expect("no panic while held").get(name).cloned();
        known.filter(|(at, _)| at.elapsed() < PRINCIPAL_TTL).and_then(|(_, id)| id)
    }

    /// Searches principals of one collection by name; a result for each name.
    async fn search(
        &self,
        names: &[&PrincipalName],
        urgency: Urgency,
    ) -> Result<Vec<Result<Option<String>>>> {
        let Some((collection, attribute, _)) = names.first().map(|name| name.search()) else {
            return Ok(vec![]);
        };
        let filter: Vec<String> = names.iter().map(|name| equals(attribute, &name.search().2)).collect();
        let reader = Reader::new(self.client.clone(), urgency);
        let path = reader
            .path(&["scim", "v2", collection])
            .with("filter", filter.join(" or "))
            .with("attributes", format!("id,{attribute}"));
        let found: Vec<Principal> = reader.list(path, Pages::Scim).await?;
        let now = Instant::now();
        let results: Vec<_> = names.iter().map(|name| one_of(&found, attribute, name)).collect();
        let mut known = self.principals.lock().expect("no panic while held");
        for (name, result) in names.iter().zip(&results) {
            if let Ok(id) = result {
                known.insert((*name).clone(), (now, id.clone()));
            }
        }
        Ok(results)
    }
}

/// The filter for one name.
fn equals(attribute: &str, value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{attribute} eq \"{quoted}\"")
}

/// The principal of a name among those found: a host that does not know the filter returns others too.
fn one_of(found: &[Principal], attribute: &str, name: &PrincipalName) -> Result<Option<String>> {
    let value = name.search().2;
    let of_name = |one: &&Principal| one.name(attribute).is_some_and(|name| same(name, &value));
    let ids: Vec<&str> = found.iter().filter(of_name).map(|one| one.id.as_str()).collect();
    match ids.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        several => Err(Error::terminal(
            Reason::Ambiguous,
            format!(
                "the account has several principals called {name}: {}; give the id instead",
                several.join(", ")
            ),
        )),
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
