//! The account as the driver of the kind reads it, past the gates: what is there that was not before, whatever form the API has.
//!
//! A LIST of the account may be late, here as for the operator. A second object that is gone before a LIST shows it is found by
//! its POST at the end of a life.

use std::collections::BTreeSet;

use databricks_operator::engine::kind::{Driver, Lifecycle, Phase, Seen, Writer};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::life::HOUR_MS;

/// The objects of a kind in an account.
pub struct Outside {
    driver: &'static dyn Driver,
    account: Simulator,
    api: Writer,
    within: String,
    before: BTreeSet<String>,
    /// The Kubernetes Secret that the secret goes to, if the kind has one, and what tries the secret: a client of its own for
    /// each try would read all authorities of this machine each time.
    output: Option<(Api<Secret>, String, reqwest::Client)>,
}

impl Outside {
    /// The objects under a parent that come after those that are there now.
    pub async fn begin(
        driver: &'static dyn Driver,
        account: &Simulator,
        api: Writer,
        within: &str,
    ) -> Outside {
        let account = account.clone();
        let before = BTreeSet::new();
        let (within, output) = (within.into(), None);
        let mut outside = Outside { driver, account, api, within, before, output };
        // What is always there is the object of the life, in whatever state it is.
        if driver.traits().lifecycle != Lifecycle::Standing {
            let listed = outside.listed().await.unwrap();
            outside.before.extend(listed.into_iter().map(|seen| seen.id));
        }
        outside
    }

    /// The same in a copy of the account.
    #[allow(dead_code, reason = "not every test copies the account")]
    pub fn in_account(&self, account: &Simulator, api: Writer) -> Outside {
        let (account, before) = (account.clone(), self.before.clone());
        Outside { driver: self.driver, account, api, within: self.within.clone(), before, output: None }
    }

    /// Its way to the account.
    #[allow(dead_code, reason = "not every test writes past it")]
    pub fn writer(&self) -> &Writer {
        &self.api
    }

    /// From now on this Kubernetes Secret holds the secret.
    pub fn holds_in(&mut self, secrets: Api<Secret>, name: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        self.output = Some((secrets, name.to_owned(), client));
    }

    /// The Kubernetes Secret that the secret goes to.
    pub fn output(&self) -> (&Api<Secret>, &str) {
        let (secrets, name, _) = self.output.as_ref().expect("asked only of kinds with a secret");
        (secrets, name)
    }

    /// So many objects may be there at a time: a secret and its successor.
    pub fn most(&self) -> usize {
        if self.output.is_some() { 2 } else { 1 }
    }

    /// What is wrong with the secret that users find in the Kubernetes Secret: the service principal can sign in with it at every
    /// moment.
    pub async fn held(&self) -> Result<(), String> {
        let Some((secrets, name, client)) = &self.output else { return Ok(()) };
        let read = async || {
            let secret = secrets.get_opt(name).await.map_err(|e| e.to_string())?;
            let value = secret.and_then(|secret| secret.data?.remove("client-secret"));
            Ok::<_, String>(value.map(|value| String::from_utf8(value.0).unwrap()))
        };
        // While it is tried, the operator may replace it.
        let mut tried = None;
        while let Some(value) = read().await? {
            if self.signs_in(client, &value).await {
                return Ok(());
            }
            if tried.as_ref() == Some(&value) {
                return Err("the secret in the Kubernetes Secret is not valid".into());
            }
            tried = Some(value);
        }
        Ok(())
    }

    async fn signs_in(&self, client: &reqwest::Client, secret: &str) -> bool {
        let principals = self.account.objects("ServicePrincipals");
        let own = principals.into_iter().find(|found| found["id"] == json!(self.within)).unwrap();
        let url = format!("{}/oidc/accounts/{}/v1/token", self.account.url(), self.account.account_id);
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        let call = client.post(url).basic_auth(own["applicationId"].as_str().unwrap(), Some(secret));
        call.form(&form).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// The objects that were not there before, but for what a deletion leaves behind; and what is always there.
    pub async fn objects(&self) -> Result<Vec<Seen>, String> {
        self.listed().await
    }

    /// The objects that were not there before, of those that something manages.
    pub async fn managed(&self) -> Result<Vec<Seen>, String> {
        let mut listed = self.listed().await?;
        listed.retain(|seen| seen.about.phase != Phase::Vacant);
        Ok(listed)
    }

    /// Whether the deletion of the object in Kubernetes may take it away here.
    pub fn removable(&self) -> bool {
        self.driver.traits().removable
    }

    /// What is wrong after the deletion of the object, which looked like this before.
    pub async fn left(&self, end: &Seen) -> Result<Vec<Seen>, String> {
        let left = self.managed().await?;
        if self.removable() {
            return Ok(left);
        }
        // It stays as it was.
        Ok(left.into_iter().filter(|left| left.state != end.state).collect())
    }

    async fn listed(&self) -> Result<Vec<Seen>, String> {
        let listed = self.driver.list(&self.api, &self.within).await;
        let listed = listed.map_err(|error| format!("{}: list: {error}", self.driver.kind()))?;
        let left = |seen: &Seen| self.driver.left_behind(None, seen).is_ok_and(|word| word.is_some());
        Ok(listed.into_iter().filter(|seen| !self.before.contains(&seen.id) && !left(seen)).collect())
    }

    /// One object.
    pub async fn get(&self, id: &str) -> Result<Option<Seen>, String> {
        let found = self.driver.get(&self.api, id).await;
        found.map_err(|error| format!("{}: get {id}: {error}", self.driver.kind()))
    }

    /// What an object differs in from what is wanted.
    pub fn differences(&self, want: &Value, seen: &Seen) -> Vec<String> {
        let changes = self.driver.changes(want, seen);
        let changes = changes.unwrap_or_else(|e| panic!("{}: changes: {e}", self.driver.kind()));
        let fields: BTreeSet<String> = changes.iter().map(|change| change.field().to_owned()).collect();
        fields.into_iter().collect()
    }

    /// Changes an object as somebody else would, if there is a difference.
    pub async fn change(&self, seen: &Seen, want: &Value) {
        let fields = self.differences(want, seen);
        if fields.is_empty() {
            return;
        }
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        let changed = self.driver.update(&self.api, seen, want, &now).await;
        let mut changed =
            changed.unwrap_or_else(|e| panic!("{}: update of {now:?}: {e}", self.driver.kind()));
        while let Phase::Pending(_) = changed.about.phase {
            self.account.advance_ms(HOUR_MS);
            changed = self.get(&seen.id).await.unwrap().unwrap_or_else(|| panic!("{} is gone", seen.id));
        }
    }
}

/// All that is read of an object but its id.
pub fn shown(seen: &Seen) -> Value {
    let about = &seen.about;
    json!({
        "state": seen.state, "facts": seen.facts, "phase": format!("{:?}", about.phase), "words": about.state,
        "owner": about.owner,
    })
}
