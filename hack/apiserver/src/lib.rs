//! A Kubernetes API server in memory, for tests of controllers under virtual time.
//!
//! It has no socket, no task and no thread: a [`kube::Client`] talks to it through a tower service. It is deterministic:
//! uids and generated names come from a counter, times from the clock it is given, and lists are sorted. Only a watch
//! waits, on tokio's clock: for its time-out and its bookmarks. Faults are not its business: a layer around
//! [`ApiServer::service`] delays, drops or changes what it says.
//!
//! Its rules are those of a real API server: `tests/conformance.rs` sends random sequences of requests to both and compares
//! the responses. It is own code, as the crate `kube-fake-client` has no watch, no CRD validation and no managed fields: it
//! replaces the client's calls rather than the server. CEL rules are evaluated by the crate `cel`, which carries all of
//! ours but `find`, which is added to it.
//!
//! Managed fields are of leaves; see `managed` for what they leave out. A namespace ends within the request that deletes it
//! or its last object, not a moment later.
//!
//! Not here: discovery, authentication, subresources but `status`, garbage collection by owner references, quota, admission
//! but that of namespaces, strategic merge patches, conversion between versions, tables, protobuf.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod apply;
mod builtin;
mod delete;
mod failure;
mod list;
mod managed;
mod meta;
mod names;
mod namespaces;
mod patch;
mod request;
mod resources;
mod rules;
mod schema;
mod selector;
mod serve;
mod store;
mod validate;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;

pub use resources::Definitions;
pub use serve::{Body, Service};

use crate::store::Store;

/// The server. Clones share their state.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

struct Shared {
    definitions: Arc<Definitions>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
}

/// What changes.
struct State {
    store: Store,
    /// How many uids and names were generated.
    generated: u64,
    /// Refused requests: user, verb, resource.
    denied: BTreeSet<[String; 3]>,
    calm: bool,
}

impl ApiServer {
    /// A server with these CRDs, the namespaces `default` and `kube-system`, and this clock.
    pub fn new(
        crds: Vec<CustomResourceDefinition>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> ApiServer {
        ApiServer::with(Arc::new(Definitions::new(&crds)), now)
    }

    /// The same with definitions that servers share: to compile those of many CRDs takes longer than a short test.
    pub fn with(
        definitions: Arc<Definitions>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> ApiServer {
        let store = Store::new(definitions.len());
        let state = State { store, generated: 0, denied: BTreeSet::new(), calm: false };
        let shared = Shared { definitions, now: Box::new(now), state: Mutex::new(state) };
        let server = ApiServer { shared: Arc::new(shared) };
        for name in ["default", "kube-system"] {
            server.add_namespace(name);
        }
        server
    }

    /// A server that is like this one now, and goes its own way: without a history, with this clock.
    #[must_use]
    pub fn fork(&self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> ApiServer {
        let state = self.state();
        let state = State {
            store: state.store.fork(),
            generated: state.generated,
            denied: state.denied.clone(),
            calm: state.calm,
        };
        let definitions = self.shared.definitions.clone();
        ApiServer { shared: Arc::new(Shared { definitions, now: Box::new(now), state: Mutex::new(state) }) }
    }

    /// The server as a tower service, for requests of this user.
    pub fn service(&self, user: &str) -> Service {
        Service::new(self.clone(), user)
    }

    /// A client of this user. Must be called in a tokio runtime.
    pub fn client(&self, user: &str) -> kube::Client {
        kube::Client::new(self.service(user), "default")
    }

    /// Refuses requests of this user from now on, as if RBAC did not grant them: `deny("operator", "patch",
    /// "ipaccesslists/status")`. `*` as the verb or the resource stands for all.
    pub fn deny(&self, user: &str, verb: &str, resource: &str) {
        self.state().denied.insert([user, verb, resource].map(str::to_owned));
    }

    /// Takes back what [`ApiServer::deny`] did with the same arguments.
    pub fn allow(&self, user: &str, verb: &str, resource: &str) {
        self.state().denied.remove(&[user, verb, resource].map(str::to_owned));
    }

    /// From now on watches last for hours, whatever their requests say, and get few bookmarks: only as many as keep a client from
    /// thinking that the connection is dead. A long rest then costs a test little.
    pub fn calm(&self) {
        self.state().calm = true;
    }

    /// Forgets the history: a list or watch that starts at an older resourceVersion gets 410. Watches that run continue.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic while held")
    }

    fn definitions(&self) -> &Definitions {
        &self.shared.definitions
    }

    /// The time in whole seconds, as the server writes it.
    fn now(&self) -> String {
        (self.shared.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}
