//! A kind made by hand for the tests of the hops, and what else they need: a desired state and an account are plain JSON,
//! no call leaves the process, and each call is recorded.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::ApiResource;
use serde_json::{Map, Value, json};

use super::engine::Settings;
use super::outcome::Pace;
use crate::databricks::{Client, Connection, Host, HostPolicy, Urgency};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, AuthFacts, Change, Driver, Key, Lifecycle, Need, Ownership, Phase, Power, Reader, Resolved, Seen,
    Traits, When, Writer,
};

/// A kind whose objects have a name, and values that differ where they differ. What is in the account is set by a test.
pub struct Fake {
    /// Its lifecycle, and what proves ownership.
    pub traits: Traits,
    /// What GET shows.
    pub got: Mutex<HashMap<String, Seen>>,
    /// What LIST shows.
    pub listed: Mutex<Vec<Seen>>,
    /// The next failure of a read.
    pub fails: Mutex<Option<Error>>,
    /// The calls, in order: `GET id`, `LIST within`.
    pub calls: Mutex<Vec<String>>,
}

impl Fake {
    /// A kind with an empty account. Leaked, as drivers are static.
    pub fn new(lifecycle: Lifecycle, ownership: Ownership) -> &'static Fake {
        let traits = Traits {
            immutable: &[],
            untold: &[],
            ownership,
            lifecycle,
            data_bearing: false,
            read_lag: Duration::ZERO,
            guarded_alone: false,
            guarded_among_siblings: false,
        };
        Box::leak(Box::new(Fake {
            traits,
            got: Mutex::default(),
            listed: Mutex::default(),
            fails: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    /// Puts an object into the account, in GET and in LIST.
    pub fn put(&self, seen: Seen) {
        self.listed.lock().unwrap().retain(|other| other.id != seen.id);
        self.listed.lock().unwrap().push(seen.clone());
        self.got.lock().unwrap().insert(seen.id.clone(), seen);
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn called<T>(&self, call: String, answer: impl FnOnce() -> T) -> Result<T> {
        self.calls.lock().unwrap().push(call);
        match self.fails.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(answer()),
        }
    }
}

/// An object of the account: Ready, with this name, and the mark of this owner.
pub fn seen(id: &str, name: &str, owner: Option<&str>) -> Seen {
    let about = About { phase: Phase::Ready, owner: owner.map(str::to_owned), ..About::default() };
    Seen { id: id.into(), state: json!({"name": name}), facts: Map::new(), about }
}

/// The settings of the engine, with these times.
pub fn settings(read_lag: Duration, quarantine: Duration) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        resync: Some(600 * second),
        pace: Pace {
            backoff_min: second,
            backoff_max: 300 * second,
            poll_min: second,
            poll_max: 30 * second,
            waiting: 60 * second,
            stalled_min: 10 * second,
            stalled: 1_800 * second,
        },
        refusal_tries: 3,
        refusal_period: 60 * second,
        quarantine,
        absence: 10 * second,
        read_lag,
        operation: 3_600 * second,
        installation: "here".into(),
        namespaces: vec![],
        selector: String::new(),
        concurrency: 1,
        max_deletions_per_hour: 0,
    }
}

/// A reader of an account that no call reaches.
pub fn reader() -> Reader {
    let host = Host::parse("https://accounts.cloud.databricks.com", &HostPolicy::default()).unwrap();
    let connection = Connection {
        host,
        account_id: "account".into(),
        client_id: "client".into(),
        client_secret: "secret".to_owned().into(),
    };
    Reader::new(Client::new(connection, &crate::databricks::Settings::default()).unwrap(), Urgency::Routine)
}

impl Driver for Fake {
    fn api_resource(&self) -> ApiResource {
        unreachable!("a hop that knows nothing of Kubernetes asks for no type")
    }

    fn kind(&self) -> std::borrow::Cow<'static, str> {
        "Fake".into()
    }

    fn crd(&self) -> CustomResourceDefinition {
        unreachable!("no hop reads the CRD")
    }

    fn fields(&self) -> BTreeSet<String> {
        BTreeSet::from(["name".into(), "value".into()])
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    fn needs(&self, _: &Value) -> Result<Vec<Need>> {
        Ok(vec![])
    }

    fn desired(&self, spec: &Value, _: &Resolved) -> Result<Value> {
        Ok(spec.clone())
    }

    fn key(&self, want: &Value) -> Result<Key> {
        let text = |field: &str| want[field].as_str().unwrap_or_default().to_owned();
        Ok(Key { within: text("within"), name: text("name") })
    }

    fn aside(&self, _: &Value, _: &str) -> Result<Option<Value>> {
        Ok(None)
    }

    fn power(&self, _: &Value) -> Result<Power> {
        Ok(Power::default())
    }

    fn recognises(&self, want: &Value, seen: &Seen) -> Result<bool> {
        Ok(want["name"] == seen.state["name"])
    }

    fn changes(&self, want: &Value, seen: &Seen) -> Result<Vec<Change>> {
        let fields =
            want.as_object().into_iter().flatten().filter(|(field, value)| seen.state[*field] != **value);
        Ok(fields.map(|(field, _)| Change { path: field.clone(), when: When::Now }).collect())
    }

    fn again(&self, _: &Value, _: &Seen) -> Result<Vec<&'static str>> {
        Ok(vec![])
    }

    fn matches(&self, key: &Key, seen: &Seen) -> Result<bool> {
        Ok(seen.state["name"] == *key.name)
    }

    fn guard(&self, _: Option<&Value>, _: Option<&Seen>, _: &[Seen], _: &AuthFacts) -> Result<()> {
        Ok(())
    }

    fn get<'a>(&'a self, _: &'a Reader, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>>> {
        async move { self.called(format!("GET {id}"), || self.got.lock().unwrap().get(id).cloned()) }.boxed()
    }

    fn list<'a>(&'a self, _: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Vec<Seen>>> {
        async move { self.called(format!("LIST {within}"), || self.listed.lock().unwrap().clone()) }.boxed()
    }

    fn create<'a>(&'a self, _: &'a Writer, _: &'a Value) -> BoxFuture<'a, Result<Seen>> {
        unreachable!("only reads are made by hand so far")
    }

    fn update<'a>(
        &'a self,
        _: &'a Writer,
        _: &'a Seen,
        _: &'a Value,
        _: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Seen>> {
        unreachable!("only reads are made by hand so far")
    }

    fn delete<'a>(&'a self, _: &'a Writer, _: &'a str) -> BoxFuture<'a, Result<()>> {
        unreachable!("only reads are made by hand so far")
    }
}
