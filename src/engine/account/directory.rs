//! Which principals an account has, by name: ids of names are searched with few calls, and remembered for a moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::databricks::{Client, Optional, Pages, Urgency};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{PrincipalName, Reader};

/// The principals of an account, as one session reads them.
pub struct Directory {
    client: Client,
    ids: Mutex<HashMap<PrincipalName, (Instant, Option<String>)>>,
    /// The ids of principals that the operator signs in as, by client id, or why a search failed, and when it ended.
    own: tokio::sync::Mutex<HashMap<String, (Found, Instant)>>,
}

/// The id of a name, or `None` if the account has no principal of that name.
type Found = Result<Option<String>>;

/// How long the id of a name may be used again.
const PRINCIPAL_TTL: Duration = Duration::from_secs(60);

/// Names in one search. Databricks documents at most 200 nodes in a filter; fewer keep the URL short enough.
const NAMES_AT_ONCE: usize = 40;

impl Directory {
    /// Nothing was read yet.
    pub fn new(client: Client) -> Directory {
        Directory { client, ids: Mutex::default(), own: tokio::sync::Mutex::default() }
    }

    /// The id of a principal that the operator signs in as, requested once. `None` if the account does not return it: some
    /// credentials may manage a workspace's assignments and not read the account's principals. That is asked again after a minute:
    /// the right may be granted, and the principal created.
    pub async fn own_id(&self, client_id: &str) -> Result<Option<String>> {
        let asked = Instant::now();
        let mut own = self.own.lock().await;
        if let Some((id, at)) = own.get(client_id) {
            let serves = match id {
                Ok(Some(_)) => true,
                Ok(None) => at.elapsed() < PRINCIPAL_TTL,
                // The callers that waited for it do not each repeat it: each may take as long as the time limit of a call.
                Err(_) => *at >= asked,
            };
            if serves {
                return id.clone();
            }
        }
        let name = PrincipalName::of_client(client_id);
        let id = match self.principal(&name, Urgency::Urgent, false).await {
            Err(error) if error.is_rejected(Reason::PermissionDenied) => Ok(None),
            result => result,
        };
        own.insert(client_id.to_owned(), (id.clone(), Instant::now()));
        id
    }

    /// Forgets the ids of names: one of them turned out to be stale.
    pub fn forget(&self) {
        self.ids.lock().expect("no panic while held").clear();
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
        // What is known now counts, even if it is forgotten while the others are searched: a name without an id would count as missing.
        let known: Vec<Option<String>> = names.iter().map(|name| self.known(name)).collect();
        let mut unknown: BTreeMap<&str, Vec<&PrincipalName>> = BTreeMap::new();
        for (name, _) in names.iter().zip(&known).filter(|(_, known)| known.is_none()) {
            unknown.entry(name.search().0).or_default().push(name);
        }
        let mut found: HashMap<&PrincipalName, Result<Option<String>>> = HashMap::new();
        for together in unknown.values().flat_map(|names| names.chunks(NAMES_AT_ONCE)) {
            let results = self.search(together, urgency).await?;
            found.extend(together.iter().copied().zip(results));
        }
        let results = names.iter().zip(known);
        Ok(results.map(|(name, known)| found.get(*name).cloned().unwrap_or(Ok(known))).collect())
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
        let known = self.ids.lock().expect("no panic while held").get(name).cloned();
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
            .with("attributes", format!("id,{attribute},meta"));
        let found: Vec<Principal> = reader.list(path, Pages::Scim).await?;
        let now = Instant::now();
        let results: Vec<_> = names.iter().map(|name| one_of(&found, attribute, name)).collect();
        let mut known = self.ids.lock().expect("no panic while held");
        // Names come and go, and each is searched again after that time.
        known.retain(|_, (at, _)| now.duration_since(*at) < PRINCIPAL_TTL);
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
    /// Its name. A group of one workspace has none here: the account shows it, but it can neither be a member nor have access, and
    /// a group of the account may have the same name.
    fn name(&self, attribute: &str) -> Option<&str> {
        let local = self.attributes.get("meta").is_some_and(|meta| meta["resourceType"] == "WorkspaceGroup");
        self.attributes.get(attribute).filter(|_| !local)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::databricks::{Connection, Credentials, Exchange, Host, HostPolicy, Settings};

    /// In an account with many years of history, a workspace often has a group of its own with the name of one of the account.
    #[test]
    fn a_name_means_a_group_of_the_account_and_none_of_one_workspace() {
        let row = |id: &str, name: &str, of: &str| {
            let meta = json!({"resourceType": of});
            json!({"id": id, "displayName": name, "meta": meta})
        };
        let (own, local) = (row("1", "Analysts", "Group"), row("2", "analysts", "WorkspaceGroup"));
        let bare = json!({"id": "3", "displayName": "analysts"});
        let found = |rows: &[&serde_json::Value]| {
            let rows: Vec<Principal> =
                rows.iter().map(|row| serde_json::from_value((*row).clone()).unwrap()).collect();
            one_of(&rows, "displayName", &PrincipalName::Group("analysts".into()))
        };
        assert_eq!(found(&[&own, &local]), Ok(Some("1".into())));
        assert_eq!(found(&[&local, &bare]), Ok(Some("3".into())));
        assert_eq!(found(&[&local]), Ok(None));
        let several = found(&[&own, &bare]).unwrap_err();
        assert!(matches!(&several, Error::Terminal { reason: Reason::Ambiguous, .. }), "{several:?}");
    }

    /// An account that has no principals, and responds to searches after this time, or never. Also returns how many were sent.
    fn account(after: Option<Duration>) -> (Client, Arc<AtomicU32>) {
        let searches = Arc::new(AtomicU32::new(0));
        let count = searches.clone();
        let exchange = Exchange::new(move |request| {
            let signs_in = request.uri().path().ends_with("/token");
            let body = match signs_in {
                true => r#"{"access_token": "token", "expires_in": 3600}"#,
                false => r#"{"totalResults": 0, "Resources": []}"#,
            };
            let response = http::Response::builder().header("content-type", "application/json");
            let response = response.body(body.as_bytes().to_vec()).unwrap();
            count.fetch_add(u32::from(!signs_in), Ordering::SeqCst);
            async move {
                match after {
                    _ if signs_in => {}
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending::<()>().await,
                }
                Ok(response)
            }
        });
        let connection = Connection {
            host: Host::parse("https://accounts.cloud.databricks.com", &HostPolicy::default()).unwrap(),
            account_id: "account".into(),
            client_id: "client".into(),
            credentials: Credentials::Secret("secret".to_owned().into()),
            on_google: false,
        };
        let settings = Settings { exchange: Some(exchange), ..Settings::default() };
        (Client::new(connection, &settings).unwrap(), searches)
    }

    /// All writes that a guard checks need that id.
    #[tokio::test(start_paused = true)]
    async fn those_that_wait_for_a_search_that_fails_do_not_each_repeat_it() {
        let (client, searches) = account(None);
        let directory = Directory::new(client);
        let begun = Instant::now();
        let (one, other) = tokio::join!(directory.own_id("client"), directory.own_id("client"));
        assert!(one.is_err() && one == other, "{one:?} {other:?}");
        assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
        assert_eq!(searches.load(Ordering::SeqCst), 1);
        advance(Duration::from_secs(1)).await;
        assert!(directory.own_id("client").await.is_err());
        assert_eq!(searches.load(Ordering::SeqCst), 2, "one that comes later is no part of that");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_is_forgotten_after_a_minute() {
        let directory = Directory::new(account(Some(Duration::ZERO)).0);
        let search = async |name: &str| {
            let group = PrincipalName::Group(name.into());
            directory.principal(&group, Urgency::Routine, false).await
        };
        for (name, remembered) in [("a", 1), ("b", 2)] {
            assert_eq!(search(name).await, Ok(None));
            assert_eq!(directory.ids.lock().unwrap().len(), remembered);
        }
        advance(PRINCIPAL_TTL).await;
        assert_eq!(search("c").await, Ok(None));
        assert_eq!(directory.ids.lock().unwrap().len(), 1);
    }

    /// A member of a group whose name counts as missing would be removed from the group.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_forgotten_while_others_are_searched_is_not_missing() {
        let directory = Directory::new(account(Some(Duration::from_secs(5))).0);
        let [ada, grace] = ["ada", "grace"].map(|name| PrincipalName::User(name.into()));
        let known = (Instant::now(), Some("1".to_owned()));
        directory.ids.lock().unwrap().insert(ada.clone(), known);
        advance(PRINCIPAL_TTL - Duration::from_secs(1)).await;
        let found = directory.principals(&[&grace, &ada], Urgency::Routine).await;
        assert_eq!(found, Ok(vec![Ok(None), Ok(Some("1".into()))]));
        assert_eq!(directory.known(&ada), None);
    }
}
