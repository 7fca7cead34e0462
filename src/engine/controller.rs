//! Watches, work queues and shutdown: one `Controller` for each kind, all of the same type.
//!
//! Objects are kept as `DynamicObject`, pruned, and decoded at each pass. Decoding once in the watch would save a few
//! microseconds and 15 % of the memory of 5,000 objects; it would cost a second object type with its own `Resource`
//! implementation. Kept simple: an object that cannot be decoded is one failing pass, and the watch never notices.
//! kube's shared streams are not used: they can hang for ever when an object is gone before a subscriber looks.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::access::Permit;
use super::auth::{self, Auths};
use super::breaker::Breaker;
use super::claims::{Claim, Claims, Rank};
use super::cluster::{Cluster, EXTERNAL_ID, FINALIZER, RECONCILE_REQUESTED, prune};
use super::driver::Driver;
use super::error::chain;
use super::meter::Meter;
use super::needs::Wanted;
use super::pass::{Engine, Settings};
use super::report::Events;
use super::spec::Management;
use super::status::{ConditionType, Intent};
use super::wake::{Wake, Who};
use crate::databricks;

/// What the outside of an object shows to those who depend on it. Any change of it wakes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// Whether the object in the account can be used, whatever becomes of its spec; none while it is not known to be there.
    pub usable: Option<bool>,
    /// Ready for its current generation or an earlier one.
    pub ready: bool,
    /// Suspended.
    pub suspended: bool,
    /// Its id in the account.
    pub id: Option<String>,
    /// Being deleted.
    pub leaving: bool,
}

/// A condition of an object, as the cache has it.
pub fn condition(object: &DynamicObject, kind: ConditionType) -> Option<&Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind.name())
}

/// Reads the face of an object. A suspended one that is bound counts as usable: nothing about it is in doubt but how fresh
/// that is. Where an older version wrote the status, `Ready` has to do.
pub fn face(object: &DynamicObject) -> Face {
    let is = |kind| condition(object, kind).is_some_and(|condition| condition["status"] == "True");
    let (ready, suspended) = (is(ConditionType::Ready), is(ConditionType::Suspended));
    let status = &object.data["status"];
    let seen = status["usable"].as_bool().filter(|_| !suspended);
    Face {
        usable: seen.or((ready || suspended).then_some(true)),
        ready,
        suspended,
        id: status["external"]["id"].as_str().map(str::to_owned),
        leaving: object.metadata.deletion_timestamp.is_some(),
    }
}

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
    /// Where the work is counted.
    pub meter: Arc<Meter>,
}

/// One watch: a kind, in one namespace or in all.
struct Watch {
    resource: ApiResource,
    driver: Option<&'static dyn Driver>,
    namespace: Option<String>,
    api: Api<DynamicObject>,
    writer: Writer<DynamicObject>,
    store: Store<DynamicObject>,
}

/// Runs all controllers until `stop`. `ready` is called once all caches are filled; no pass begins before `leading` too is
/// over, so that a replica that waits has its caches warm. Fails if a controller ends before.
pub async fn run(
    parts: Parts,
    stop: CancellationToken,
    ready: impl FnOnce() + Send,
    leading: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let watches = watches(&parts);
    let wake = Arc::new(Wake::default());
    let engine = Arc::new(Engine {
        cluster: Cluster::new(parts.client.clone()),
        auths: Auths::new(
            parts.client.clone(),
            wake.clone(),
            parts.hosts.clone(),
            parts.databricks.clone(),
            !parts.settings.namespaces.is_empty(),
        ),
        wake,
        claims: Claims::default(),
        events: Events::new(parts.client.clone()),
        permit: parts.permit.clone(),
        meter: parts.meter.clone(),
        breaker: Breaker::new(parts.settings.max_deletions_per_hour),
        settings: parts.settings.clone(),
        resources: watches.iter().map(|w| (w.resource.kind.clone(), w.resource.clone())).collect(),
        fields: parts.kinds.iter().map(|driver| (driver.api_resource().kind, driver.fields())).collect(),
        stores: watches.iter().map(|w| (w.resource.kind.clone(), w.store.clone())).collect(),
        guards: Mutex::default(),
        memory: Mutex::default(),
        first_look: Mutex::default(),
        claims_known: AtomicBool::new(false),
        undoing: TaskTracker::new(),
        stop: stop.clone(),
        began: OnceLock::new(),
    });
    engine.meter.attach(&engine);
    let (open, gate) = tokio::sync::watch::channel(false);
    // Each watch drops its end once its cache is filled. `Store::wait_until_ready` would not do: of several tasks that wait
    // for one store it wakes only the last, and the controller waits too.
    let (filling, mut filled) = tokio::sync::mpsc::channel::<()>(1);
    let spawn =
        |watch| tokio::spawn(control(watch, engine.clone(), gate.clone(), stop.clone(), filling.clone()));
    let running: Vec<_> = watches.into_iter().map(spawn).collect();
    drop(filling);
    let past = engine.clone();
    let filled = async move {
        while filled.recv().await.is_some() {}
        // Before any event is taken in: whoever is recorded first holds, also where this process waits for long.
        past.remember_claims();
        ready();
        leading.await;
        past.remember_the_unseen();
        // A receiver is gone only when its controller has ended.
        let _ = open.send(true);
    };
    tokio::select! {
        () = filled => {}
        () = stop.cancelled() => {}
    }
    // A controller that ends by itself would leave its kind alone without anybody noticing.
    let mut running: FuturesUnordered<_> = running.into_iter().collect();
    while let Some(ended) = running.next().await {
        if ended.is_err() || !stop.is_cancelled() {
            stop.cancel();
            return Err("a controller ended by itself; the log has the reason".into());
        }
    }
    engine.undoing.close();
    engine.undoing.wait().await;
    Ok(())
}

fn watches(parts: &Parts) -> Vec<Watch> {
    let auth = (ApiResource::erase::<auth::spec::DatabricksAuth>(&()), None);
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

impl Engine {
    /// What the stores tell of who manages what, older objects first.
    fn remember_claims(&self) {
        for (kind, store) in &self.stores {
            let mut objects = store.state();
            objects.sort_by_cached_key(|o| (created(o), o.uid()));
            objects.iter().for_each(|object| self.claim_recorded(kind, object));
        }
        self.claims_known.store(true, Ordering::Release);
    }

    /// What the stores tell, before the first pass, of who has not been looked at yet.
    fn remember_the_unseen(&self) {
        self.began.get_or_init(tokio::time::Instant::now);
        let mut waiting = self.first_look.lock().expect("no panic while held");
        for (kind, store) in self.stores.iter().filter(|(kind, _)| kind != auth::KIND) {
            for object in store.state() {
                let status = &object.data["status"];
                // One that has begun a create has claimed it by its record.
                let unbound = (status["external"]["id"].is_null() || only_observed(&object))
                    && status["intent"].is_null();
                if unbound && object.metadata.deletion_timestamp.is_none() {
                    waiting.insert(object.uid().unwrap_or_default(), Who::of(kind, &object));
                }
            }
        }
    }

    fn claim_recorded(&self, kind: &str, object: &DynamicObject) {
        if object.data["spec"]["managementPolicy"] == "Observe" {
            return;
        }
        let rank = Rank { created: created(object), uid: object.uid().unwrap_or_default() };
        let external = &object.data["status"]["external"];
        if let (Some(account), Some(id), false) =
            (external["accountId"].as_str(), external["id"].as_str(), only_observed(object))
        {
            self.claims.record(&Claim::id(account, kind, id), &rank, &Who::of(kind, object));
        }
        if let Ok(intent) = Intent::deserialize(&object.data["status"]["intent"]) {
            self.claims.record(&Claim::intent(kind, &intent), &rank, &Who::of(kind, object));
        }
    }
}

/// Whether what an object is bound to was never taken over.
fn only_observed(object: &DynamicObject) -> bool {
    object.data["status"]["external"]["observed"] == true
}

fn created(object: &DynamicObject) -> i64 {
    object.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |t| t.0.as_second())
}

/// Watches one kind and works through its queue.
async fn control(
    watch: Watch,
    engine: Arc<Engine>,
    gate: tokio::sync::watch::Receiver<bool>,
    stop: CancellationToken,
    filling: tokio::sync::mpsc::Sender<()>,
) {
    let wakes = engine.wake.subscribe(&watch.resource.kind, watch.namespace.as_deref());
    let (resource, driver, woken) = (watch.resource.clone(), watch.driver, engine.clone());
    let wakes = wakes.map(move |who| {
        woken.meter.of(&who.kind).queue.triggered(&who.namespace, &who.name);
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
        .reconcile_on(wakes)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            move |object, engine| work(object, engine, kind.clone(), driver, gate.clone()),
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
                Err(error) => tracing::warn!(error = %chain(&error), "watch or queue"),
            }
            std::future::ready(())
        })
        .await;
}

/// One pass over an object whose turn it is.
async fn work(
    object: Arc<DynamicObject>,
    engine: Arc<Engine>,
    kind: String,
    driver: Option<&'static dyn Driver>,
    mut gate: tokio::sync::watch::Receiver<bool>,
) -> Result<Action, Infallible> {
    // No pass before all caches are filled: a reference that is not in a cache would look as if it were missing. None
    // with an object as it was when the waiting began, which may be days ago, either.
    if !*gate.borrow() {
        let opened = gate.wait_for(|open| *open).await.is_ok();
        return Ok(if opened { Action::requeue(Duration::ZERO) } else { Action::await_change() });
    }
    let (who, meter) = (Who::of(&kind, &object), engine.meter.clone());
    meter.of(&kind).queue.taken(&who.namespace, &who.name);
    let span = super::log::span(&kind, &object);
    let pass = async {
        match driver {
            Some(driver) => super::reconcile::reconcile(object, engine, driver).await,
            None => auth::reconcile::reconcile(object, engine).await,
        }
    };
    Ok(survive(pass.instrument(span), &meter).await)
}

/// A panic that got further would end the whole controller. The log has it.
async fn survive(pass: impl Future<Output = Action>, meter: &Meter) -> Action {
    AssertUnwindSafe(pass).catch_unwind().await.unwrap_or_else(|_| {
        meter.panicked();
        Action::requeue(Duration::from_secs(60))
    })
}

/// What a watch is for.
struct Source {
    kind: String,
    /// The one that is watched; `None` is all.
    namespace: Option<String>,
    driver: Option<&'static dyn Driver>,
}

/// The watch of one kind: fills the store, keeps the indexes, wakes dependents, and passes on what is worth a pass.
fn triggers(
    events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Send,
    writer: Writer<DynamicObject>,
    source: Source,
    engine: Arc<Engine>,
    filling: tokio::sync::mpsc::Sender<()>,
) -> impl Stream<Item = Result<DynamicObject, watcher::Error>> + Send {
    let mut seen = SeenBefore { filling: Some(filling), ..SeenBefore::default() };
    let works = Arc::new(AtomicBool::new(false));
    let pauses = Pauses { grown: watcher::DefaultBackoff::default(), works: works.clone() };
    events.backoff(pauses).modify(prune).reflect(writer).flat_map(move |event| {
        let Source { kind, namespace, driver } = &source;
        let counts = engine.meter.of(kind);
        let passed = match event {
            // Passed on, it would hold up the wake-ups too. The watch itself slows down.
            Err(error) => {
                tracing::warn!(kind, error = %chain(&error), "watch");
                counts.watch_failed(namespace.as_deref(), &error);
                vec![]
            }
            Ok(event) => {
                // What comes while a LIST is under way tells nothing of whether all of it will.
                if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                    counts.queue.works(namespace.as_deref());
                    works.store(true, Ordering::Relaxed);
                }
                seen.take_in(&engine, kind, *driver, event)
            }
        };
        for object in &passed {
            counts.queue.triggered(&object.namespace().unwrap_or_default(), &object.name_any());
        }
        futures::stream::iter(passed.into_iter().map(Ok))
    })
}

/// The pauses after failures of a watch: they grow, up to half a minute, and begin anew once it has brought something. kube
/// would begin anew at each event, even the one that says that a LIST begins: one that is refused would be sent again and
/// again, with a second between.
struct Pauses {
    grown: watcher::DefaultBackoff,
    /// It has brought something since the last pause.
    works: Arc<AtomicBool>,
}

impl Iterator for Pauses {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        if self.works.swap(false, Ordering::Relaxed) {
            self.grown.reset();
        }
        // kube makes them longer by chance.
        self.grown.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

/// Between two attempts of a watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

/// What a watch has shown before.
#[derive(Default)]
struct SeenBefore {
    faces: HashMap<Who, Face>,
    sounds: HashMap<Who, Sound>,
    /// While a new list comes in: what it holds.
    listing: Option<HashSet<Who>>,
    /// Held until the first list is complete.
    filling: Option<tokio::sync::mpsc::Sender<()>>,
    /// While a new list comes in: what of it is worth a pass.
    kept_back: Vec<DynamicObject>,
}

impl SeenBefore {
    /// Takes in one event; returns the objects that are worth a pass. While a list comes in they are kept back: the store
    /// shows it only when it is complete.
    fn take_in(
        &mut self,
        engine: &Engine,
        kind: &str,
        driver: Option<&'static dyn Driver>,
        event: watcher::Event<DynamicObject>,
    ) -> Vec<DynamicObject> {
        use watcher::Event;
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitDone => {
                // What a new list no longer holds went unseen.
                let now = self.listing.take().unwrap_or_default();
                let gone: Vec<Who> = self.faces.keys().filter(|w| !now.contains(*w)).cloned().collect();
                gone.iter().for_each(|who| self.drop(engine, who));
                self.filling = None;
                return std::mem::take(&mut self.kept_back);
            }
            Event::Delete(object) => {
                engine.cluster.forget(&object);
                engine.memory.lock().expect("no panic while held").remove(&object.uid().unwrap_or_default());
                self.drop(engine, &Who::of(kind, &object));
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let who = Who::of(kind, &object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(who.clone());
                }
                engine.cluster.saw(&object);
                if engine.claims_known.load(Ordering::Acquire) {
                    engine.claim_recorded(kind, &object);
                }
                engine.refer(&who, &object, driver);
                let face = face(&object);
                // A DatabricksAuth speaks for itself: it wakes its users when its session changes.
                if self.faces.insert(who.clone(), face.clone()) != Some(face) && kind != auth::KIND {
                    engine.wake.wake_dependents(&who);
                }
                let sound = Sound::of(&object);
                if self.sounds.insert(who, sound).is_some_and(|before| !sound.is_news_after(before)) {
                    return vec![];
                }
                if self.listing.is_none() {
                    return vec![object];
                }
                self.kept_back.push(object);
            }
        }
        vec![]
    }

    fn drop(&mut self, engine: &Engine, who: &Who) {
        self.faces.remove(who);
        self.sounds.remove(who);
        engine.gone(who);
    }
}

impl Engine {
    /// An object is gone.
    fn gone(&self, who: &Who) {
        let held = self.wake.refer(who, vec![]);
        self.claims.release(who).iter().chain(&held).for_each(|other| self.wake.wake(other));
        if who.kind == auth::KIND {
            self.auths.forget(who);
        }
        self.wake.wake_dependents(who);
    }

    /// Keeps the index of who refers to whom. What is no longer referred to may be waiting for just that.
    fn refer(&self, who: &Who, object: &DynamicObject, driver: Option<&'static dyn Driver>) {
        let Some(driver) = driver else { return };
        let spec = &object.data["spec"];
        let mut targets = vec![];
        if let Ok(management) = Management::deserialize(spec) {
            targets.push(management.auth_ref.who(&who.namespace));
        }
        for need in driver.needs(spec).unwrap_or_default() {
            if let Wanted::Object { kind, name } = need.what {
                targets.push(Who { kind, namespace: who.namespace.clone(), name });
            }
        }
        for freed in self.wake.refer(who, targets) {
            self.wake.wake(&freed);
        }
    }
}

/// What of an object is worth a pass when it changes: not the status, which we write ourselves.
#[derive(Clone, Copy)]
struct Sound {
    hash: u64,
    /// Our finalizer is there.
    held: bool,
}

impl Sound {
    fn of(object: &DynamicObject) -> Sound {
        let mut hasher = DefaultHasher::new();
        let metadata = &object.metadata;
        metadata.uid.hash(&mut hasher);
        metadata.generation.hash(&mut hasher);
        metadata.deletion_timestamp.as_ref().map(|t| t.0.as_second()).hash(&mut hasher);
        object.finalizers().iter().filter(|f| *f != FINALIZER).for_each(|f| f.hash(&mut hasher));
        let annotations = metadata.annotations.as_ref();
        annotations.and_then(|a| a.get(RECONCILE_REQUESTED)).hash(&mut hasher);
        annotations.is_some_and(|a| a.contains_key(EXTERNAL_ID)).hash(&mut hasher);
        Sound { hash: hasher.finish(), held: object.finalizers().iter().any(|f| f == FINALIZER) }
    }

    /// Our finalizer comes by the very pass that is under way, and goes by somebody else: what was just refused must not
    /// be sent once more because of the former.
    fn is_news_after(self, before: Sound) -> bool {
        self.hash != before.hash || (before.held && !self.held)
    }
}

/// How long a graceful end may take: the calls that are under way, and their records.
pub const SHUTDOWN: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    /// Covers RF-07.
    #[test]
    fn an_object_shows_whether_it_can_be_used_not_whether_its_spec_is_carried_out() {
        use serde_json::json;
        let usable = |conditions: Value, seen: Value| {
            let status = json!({"external": {"id": "1"}, "usable": seen, "conditions": conditions});
            face(&serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap())
                .usable
        };
        let is = |kind: &str, status: &str| json!([{"type": kind, "status": status}]);
        for seen in [true, false] {
            assert_eq!(usable(is("Ready", "False"), json!(seen)), Some(seen));
            assert_eq!(usable(is("Stalled", "True"), json!(seen)), Some(seen));
        }
        assert_eq!(usable(is("Suspended", "True"), json!(false)), Some(true), "it was seen long ago");
        // Written by an older version, or gone.
        assert_eq!(usable(is("Ready", "True"), Value::Null), Some(true));
        assert_eq!(usable(is("Suspended", "True"), Value::Null), Some(true));
        assert_eq!(usable(is("Ready", "False"), Value::Null), None);
    }

    #[tokio::test]
    async fn a_pass_that_panics_is_counted_and_tried_again() {
        let mut registry = Registry::default();
        let meter = Meter::register(&mut registry, std::iter::empty());
        let told = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.lines().find(|line| line.starts_with("panics_total ")).map(str::to_owned)
        };
        assert_eq!(survive(async { Action::await_change() }, &meter).await, Action::await_change());
        assert_eq!(told().as_deref(), Some("panics_total 0"));
        let action = survive(async { panic!("a mistake of ours") }, &meter).await;
        assert_eq!(action, Action::requeue(Duration::from_secs(60)));
        assert_eq!(told().as_deref(), Some("panics_total 1"));
    }
}
