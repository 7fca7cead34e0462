//! Whole reconciles, against a kind, an account and an API server made by hand: what is sent, what is written, and in which
//! order. The tests of each hop are beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake::account::HttpAccount;
use super::fake::cluster::{ApiServer, Trouble};
use super::fake::log::Log;
use super::fake::{Fake, account, client, seen, settings, vacant};
use super::{Engine, Settings, reconcile};
use crate::databricks::{HostPolicy, Settings as ClientSettings};
use crate::engine::account::{Auths, Session};
use crate::engine::cluster::{Cached, Cluster, Events, Objects, Stores};
use crate::engine::crd::{DatabricksAuthSpec, ObjectName, Reason};
use crate::engine::error::Error;
use crate::engine::kind::{About, Driver, Issues, Lifecycle, Ownership, Permit, Phase, Seen};
use crate::engine::memory::{Memory, Triggers};
use crate::engine::meter::Meter;

mod adopt;
mod auth;
mod compare;
mod connect;
mod create;
mod delete;
mod guard;
mod issue;
mod outputs;
mod parts;
mod record;
mod refuse;
mod replace;
mod resolve;
mod roster;
mod send;
mod standing;
mod undo;
mod unmanaged;

/// One operator, one API server, one account.
struct World {
    fake: &'static Fake,
    api: Arc<ApiServer>,
    engine: Arc<Engine>,
    cache: Mutex<Writer<Cached>>,
    cached: Mutex<Vec<DynamicObject>>,
    /// The cache of DatabricksAuths.
    auths: Mutex<Writer<Cached>>,
    /// Whether the operator leads.
    leads: Arc<AtomicBool>,
}

fn auth() -> ObjectName {
    ObjectName { kind: "DatabricksAuth".into(), namespace: "ns".into(), name: "account".into() }
}

fn auth_spec(grants: Value) -> DatabricksAuthSpec {
    let mut spec = json!({"cloud": "AWS", "accountId": "account", "authType": "OAUTH_M2M"});
    spec["grants"] = grants;
    serde_json::from_value(spec).unwrap()
}

fn world() -> World {
    world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |_| {})
}

fn world_of(fake: &'static Fake, change: impl FnOnce(&mut Settings)) -> World {
    let (api, kube) = ApiServer::start();
    let mut settings = settings(Duration::from_secs(600), Duration::ZERO);
    change(&mut settings);
    let (resource, wake) = (fake.api_resource(), Arc::new(Triggers::default()));
    let cache = Writer::new(resource.clone());
    let auths =
        ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", "DatabricksAuth"));
    let cached_auths = Writer::new(auths.clone());
    let stores = Stores::new([(resource, cache.as_reader()), (auths, cached_auths.as_reader())].into_iter());
    let cluster = Cluster { objects: Objects::new(kube.clone()), events: Events::new(kube.clone()), stores };
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let auths = Auths::new(kube, wake.clone(), policy, ClientSettings::default(), false, vec![]);
    auths.store(&auth(), &auth_spec(Value::Null), Ok(Arc::new(Session::of(account()))));
    let memory = Memory::new(wake, settings.max_deletions_per_hour, settings.concurrency.into());
    memory.barrier.begin(std::iter::empty());
    let meter = Meter::register(&mut Registry::default(), ["Fake".to_owned()].into_iter());
    let kinds: [&dyn Driver; 1] = [fake];
    let shared = (cluster, auths, memory, meter);
    let leads = Arc::new(AtomicBool::new(true));
    let (permit, stop) = (leads.clone(), CancellationToken::new());
    let permit = Permit::while_valid(move || permit.load(Ordering::SeqCst));
    let engine = Arc::new(Engine::new(settings, shared, permit, &kinds, stop));
    let (cache, auths) = (Mutex::new(cache), Mutex::new(cached_auths));
    World { fake, api, engine, cache, cached: Mutex::default(), auths, leads }
}

/// One that reads at each reconcile, and in which what is missing once is gone: no test of it has to advance the clock.
fn eager(fake: &'static Fake) -> World {
    world_of(fake, |settings| (settings.resync, settings.absence) = (Some(Duration::ZERO), Duration::ZERO))
}

fn named(name: &str) -> ObjectName {
    ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: name.into() }
}

/// The spec of a managed object with this name in the account and this value.
fn spec(name: &str, more: Value) -> Value {
    let mut spec = json!({"authRef": {"name": "account"}, "name": name, "value": "v"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

impl World {
    /// Applies the object `it`.
    fn apply(&self, more: Value) -> &World {
        self.api.apply("it", spec("a", more));
        self
    }

    /// The watch brings what there is.
    fn watch(&self) {
        let (mut cache, mut cached) = (self.cache.lock().unwrap(), self.cached.lock().unwrap());
        for gone in
            cached.drain(..).filter(|object| self.api.get(object.metadata.name.as_ref().unwrap()).is_none())
        {
            cache.apply_watcher_event(&Event::Delete((&gone).into()));
        }
        for object in ["it", "other", "parent"].iter().filter_map(|name| self.api.get(name)) {
            cached.push(object.clone());
            cache.apply_watcher_event(&Event::Apply((&object).into()));
        }
    }

    async fn reconcile_named(&self, name: &str) -> Action {
        self.watch();
        let object = self.api.get(name).unwrap();
        reconcile(&object, self.engine.clone(), self.fake).await
    }

    async fn reconcile(&self) -> Action {
        self.reconcile_named("it").await
    }

    /// Reconciles until the object is at rest.
    async fn settle(&self) -> &World {
        for _ in 0..4 {
            if self.api.get("it").is_some() {
                self.reconcile().await;
            }
        }
        self
    }

    /// An object that is Ready; the calls until then are forgotten.
    async fn ready(more: Value) -> World {
        let world = world();
        world.apply(more).settle().await;
        assert_eq!(world.condition("Ready"), "True Available");
        world.quiet();
        world
    }

    /// The operator gets the lease, or loses it.
    fn leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::SeqCst);
    }

    fn quiet(&self) {
        self.fake.calls();
        self.api.writes();
        self.api.events();
    }

    /// From now on the objects use this account, over HTTP, of which nothing was read yet.
    fn connect(&self, account: &HttpAccount) -> &World {
        let session = Arc::new(Session::of(account.client.clone()));
        self.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(session));
        self
    }

    fn status(&self) -> Value {
        self.api.get("it").unwrap().data["status"].clone()
    }

    /// The status and the reason of a condition; empty if it does not exist.
    fn condition(&self, kind: &str) -> String {
        condition(&self.status(), kind)
    }

    fn message(&self, kind: &str) -> String {
        let status = self.status();
        let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
        found.map_or(String::new(), |c| c["message"].as_str().unwrap().to_owned())
    }

    /// The calls that change something.
    fn changes(&self) -> Vec<String> {
        let reads = ["GET", "LIST"];
        self.fake
            .calls()
            .into_iter()
            .filter(|call| !reads.iter().any(|read| call.starts_with(read)))
            .collect()
    }

    fn fails(&self, error: Error) -> &World {
        *self.fake.fails.lock().unwrap() = Some(error);
        self
    }

    fn loses(&self, error: Error) -> &World {
        *self.fake.loses.lock().unwrap() = Some(error);
        self
    }
}

/// The status and the reason of a condition; empty if it does not exist.
fn condition(status: &Value, kind: &str) -> String {
    let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or(String::new(), |c| {
        format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
    })
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn unknown() -> Error {
    Error::Unknown { message: "POST was sent, and there is no answer".into() }
}

const NOTHING: [&str; 0] = [];
