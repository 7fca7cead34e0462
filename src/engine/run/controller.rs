//! Watches, work queues and shutdown: one `Controller` for each kind, all of the same type.
//!
//! Objects are of no type of a kind, pruned, and parsed at each reconcile: an object that cannot be parsed is one failing
//! reconcile, and the watch never notices.
//! kube's shared streams are not used: they can hang for ever when an object is gone before a subscriber reads it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::census::Census;
use super::startup;
use super::watch::{Source, triggers};
use crate::databricks;
use crate::engine::account::Auths;
use crate::engine::cluster::{Cached, Cluster, Events, Objects, Stores};
use crate::engine::crd::{DatabricksAuth, ObjectName};
use crate::engine::error::chain;
use crate::engine::kind::{Driver, Permit};
use crate::engine::memory::{Memory, Triggers};
use crate::engine::meter::Meter;
use crate::engine::pass::{self, Engine, Settings};

/// Everything that the operator needs to run.
pub struct Parts {
    /// Kubernetes.
    pub client: Client,
    /// The kinds.
    pub kinds: &'static [&'static dyn Driver],
    /// Settings of the engine.
    pub settings: Settings,
    /// Where credentials may be sent.
    pub hosts: databricks::HostPolicy,
    /// Settings of the client.
    pub databricks: databricks::Settings,
    /// The right to write.
    pub permit: Permit,
    /// Counts of the work.
    pub meter: Arc<Meter>,
    /// The gauges that a scrape reads from the caches.
    pub census: Arc<Census>,
}

/// One watch: a kind, in one namespace or in all.
struct Watch {
    resource: ApiResource,
    driver: Option<&'static dyn Driver>,
    namespace: Option<String>,
    api: Api<DynamicObject>,
    writer: Writer<Cached>,
    store: Store<Cached>,
}

/// Runs all controllers until `stop`. `ready` is called once all caches are filled; no reconcile begins before `leading`
/// has completed too, so that a replica that waits has its caches warm. Fails if a controller ends before.
pub async fn run(
    parts: Parts,
    stop: CancellationToken,
    ready: impl FnOnce() + Send,
    leading: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let watches = watches(&parts);
    let engine = Arc::new(engine(&parts, &watches, stop.clone()));
    parts.census.attach(&engine);
    let (open, gate) = tokio::sync::watch::channel(false);
    // Each watch drops its sender once its cache is filled. `Store::wait_until_ready` would not do: of several tasks that
    // wait for one store it wakes only the last, and the controller waits too.
    let (filling, mut filled) = tokio::sync::mpsc::channel::<()>(1);
    // Dropped, the set aborts its controllers: none outlives this function.
    let mut running: JoinSet<()> = watches
        .into_iter()
        .map(|watch| control(watch, engine.clone(), gate.clone(), stop.clone(), filling.clone()))
        .collect();
    drop(filling);
    let filled = {
        let engine = engine.clone();
        async move {
            while filled.recv().await.is_some() {}
            // Before any event is handled: the first recorded claim holds, also if this process waits for long.
            startup::record_claims(&engine);
            ready();
            leading.await;
            startup::begin(&engine);
            // A receiver is gone only when its controller has ended.
            let _ = open.send(true);
        }
    };
    tokio::select! {
        biased;
        () = filled => {}
        () = stop.cancelled() => {}
    }
    // A controller that ends by itself would leave its kind unmanaged without notice.
    while let Some(ended) = running.join_next().await {
        if ended.is_err() || !stop.is_cancelled() {
            stop.cancel();
            return Err("a controller ended by itself; the log has the reason".into());
        }
    }
    engine.undoing.tasks.close();
    engine.undoing.tasks.wait().await;
    Ok(())
}

fn engine(parts: &Parts, watches: &[Watch], stop: CancellationToken) -> Engine {
    let triggers = Arc::new(Triggers::default());
    let cluster = Cluster {
        objects: Objects::new(parts.client.clone()),
        events: Events::new(parts.client.clone()),
        stores: Stores::new(watches.iter().map(|w| (w.resource.clone(), w.store.clone()))),
    };
    let chosen = !parts.settings.namespaces.is_empty();
    let (hosts, databricks) = (parts.hosts.clone(), parts.databricks.clone());
    let settings = &parts.settings;
    let google_identity = settings.google_identity_namespaces.clone();
    let auths =
        Auths::new(parts.client.clone(), triggers.clone(), hosts, databricks, chosen, google_identity);
    let workers = usize::from(settings.concurrency) * settings.namespaces.len().max(1);
    let memory = Memory::new(triggers, settings.max_deletions_per_hour, workers);
    let shared = (cluster, auths, memory, parts.meter.clone());
    Engine::new(parts.settings.clone(), shared, parts.permit.clone(), parts.kinds, stop)
}

fn watches(parts: &Parts) -> Vec<Watch> {
    let auth = (ApiResource::erase::<DatabricksAuth>(&()), None);
    let kinds = parts.kinds.iter().map(|driver| (driver.api_resource(), Some(*driver)));
    let mut namespaces: Vec<Option<String>> = parts.settings.namespaces.iter().cloned().map(Some).collect();
    if namespaces.is_empty() {
        namespaces.push(None);
    }
    let mut all = vec![];
    for (resource, driver) in std::iter::once(auth).chain(kinds) {
        for namespace in &namespaces {
            let api = match namespace {
                Some(namespace) => Api::namespaced_with(parts.client.clone(), namespace, &resource),
                None => Api::all_with(parts.client.clone(), &resource),
            };
            let writer = Writer::new(resource.clone());
            let store = writer.as_reader();
            let (resource, namespace) = (resource.clone(), namespace.clone());
            all.push(Watch { resource, driver, namespace, api, writer, store });
        }
    }
    all
}

/// Watches one kind and works through its queue.
async fn control(
    watch: Watch,
    engine: Arc<Engine>,
    gate: tokio::sync::watch::Receiver<bool>,
    stop: CancellationToken,
    filling: tokio::sync::mpsc::Sender<()>,
) {
    let triggered = engine.memory.triggers.subscribe(&watch.resource.kind, watch.namespace.as_deref());
    let (resource, driver, counted) = (watch.resource.clone(), watch.driver, engine.clone());
    let triggered = triggered.map(move |who| {
        counted.meter.of(&who.kind).queue.triggered(&who.namespace, &who.name);
        ObjectRef::new_with(&who.name, resource.clone()).within(&who.namespace)
    });
    let selector = engine.settings.selector.clone();
    let events = watcher(watch.api, watcher::Config::default().page_size(500).labels(&selector));
    let source = Source { kind: watch.resource.kind.clone(), namespace: watch.namespace, driver };
    let triggers = triggers(events, watch.writer, source, engine.clone(), filling);
    let config = controller::Config::default().concurrency(engine.settings.concurrency);
    let (kind, meter) = (watch.resource.kind.clone(), engine.meter.clone());
    Controller::for_stream_with(triggers, watch.store, watch.resource)
        .with_config(config)
        .reconcile_on(triggered)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            move |object, engine| reconcile(object, engine, kind.clone(), driver, gate.clone()),
            |_, error: &Infallible, _| match *error {},
            engine,
        )
        .for_each(|result| {
            match result {
                Ok(_) => {}
                Err(controller::Error::ObjectNotFound(gone)) => {
                    let namespace = gone.namespace.as_deref().unwrap_or_default();
                    meter.of(&gone.dyntype.kind).queue.taken(namespace, &gone.name);
                }
                Err(error) => tracing::warn!(error = %chain(&error), "controller error"),
            }
            std::future::ready(())
        })
        .await;
}

/// One reconcile of an object that is due.
async fn reconcile(
    object: Arc<Cached>,
    engine: Arc<Engine>,
    kind: String,
    driver: Option<&'static dyn Driver>,
    mut gate: tokio::sync::watch::Receiver<bool>,
) -> Result<Action, Infallible> {
    // No reconcile before all caches are filled: a reference that is not in a cache would seem to be missing. Nor with the
    // object as it was when the wait began, perhaps days ago.
    if !*gate.borrow() {
        let opened = gate.wait_for(|open| *open).await.is_ok();
        return Ok(if opened { Action::requeue(Duration::ZERO) } else { Action::await_change() });
    }
    let (who, meter) = (ObjectName::of(&kind, &*object), engine.meter.clone());
    meter.of(&kind).queue.taken(&who.namespace, &who.name);
    let object = object.decode();
    let span = pass::span(&kind, &object);
    let reconcile = async {
        match driver {
            Some(driver) => pass::reconcile(&object, engine, driver).await,
            None => pass::reconcile_auth(&object, engine).await,
        }
    };
    Ok(survive(reconcile.instrument(span), &meter).await)
}

/// A panic that got further would end the whole controller. The log has it.
async fn survive(reconcile: impl Future<Output = Action>, meter: &Meter) -> Action {
    AssertUnwindSafe(reconcile).catch_unwind().await.unwrap_or_else(|_| {
        meter.panicked();
        Action::requeue(Duration::from_secs(60))
    })
}

/// How long a graceful end may take: the calls in flight, and their records.
pub const SHUTDOWN: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[tokio::test]
    async fn a_reconcile_that_panics_is_counted_and_retried() {
        let mut registry = Registry::default();
        let meter = Meter::register(&mut registry, std::iter::empty());
        let counted = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.lines().find(|line| line.starts_with("panics_total ")).map(str::to_owned)
        };
        assert_eq!(survive(async { Action::await_change() }, &meter).await, Action::await_change());
        assert_eq!(counted().as_deref(), Some("panics_total 0"));
        let action = survive(async { panic!("a bug of ours") }, &meter).await;
        assert_eq!(action, Action::requeue(Duration::from_secs(60)));
        assert_eq!(counted().as_deref(), Some("panics_total 1"));
    }
}
