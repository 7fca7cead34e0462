//! The watch of one kind: fills the cache, keeps the indexes, triggers dependents, and decides which changes of an object
//! need a reconcile.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use serde::Deserialize;

use super::startup::record_claim;
use crate::engine::cluster::prune;
use crate::engine::crd::{
    AUTH_KIND, EXTERNAL_ID, FINALIZER, Management, ObjectName, RECONCILE_REQUESTED, Summary, has_finalizer,
};
use crate::engine::error::chain;
use crate::engine::kind::{Driver, Wanted};
use crate::engine::memory::RefersTo;
use crate::engine::pass::Engine;

/// What a watch is for.
pub struct Source {
    pub kind: String,
    /// The namespace that is watched; `None` is all.
    pub namespace: Option<String>,
    pub driver: Option<&'static dyn Driver>,
}

/// The watch of one kind: fills the store, keeps the indexes, triggers dependents, and passes on what needs a reconcile.
pub fn triggers(
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
        let due = match event {
            // Passed on, it would delay the triggers too. The watch itself slows down.
            Err(error) => {
                tracing::warn!(kind, error = %chain(&error), "watch failed");
                counts.watch_failed(namespace.as_deref(), &error);
                vec![]
            }
            Ok(event) => {
                // An event during a LIST does not show whether the whole LIST will arrive.
                if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                    counts.queue.works(namespace.as_deref());
                    works.store(true, Ordering::Relaxed);
                }
                seen.take_in(&engine, kind, *driver, event)
            }
        };
        for object in &due {
            counts.queue.triggered(&object.namespace().unwrap_or_default(), &object.name_any());
        }
        futures::stream::iter(due.into_iter().map(Ok))
    })
}

/// The pauses after failures of a watch: they grow, up to half a minute, and start again once it has brought something.
/// kube would start them again at each event, even at the start of a LIST: a refused LIST would be sent again and again,
/// every second.
struct Pauses {
    grown: watcher::DefaultBackoff,
    /// It has brought an event since the last pause.
    works: Arc<AtomicBool>,
}

impl Iterator for Pauses {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        if self.works.swap(false, Ordering::Relaxed) {
            self.grown.reset();
        }
        // kube adds jitter, which makes them longer.
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
    /// What each object has shown to those that refer to it.
    shown: HashMap<ObjectName, (Summary, Vec<String>)>,
    fingerprints: HashMap<ObjectName, Fingerprint>,
    /// While a new list arrives: its objects.
    listing: Option<HashSet<ObjectName>>,
    /// Held until the first list is complete.
    filling: Option<tokio::sync::mpsc::Sender<()>>,
    /// While a new list arrives: those of its objects that need a reconcile.
    kept_back: Vec<DynamicObject>,
}

impl SeenBefore {
    /// Handles one event; returns the objects that need a reconcile. While a list arrives they are kept back: the store
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
                // Deletions before the new list brought no events.
                let now = self.listing.take().unwrap_or_default();
                let gone: Vec<ObjectName> =
                    self.shown.keys().filter(|w| !now.contains(*w)).cloned().collect();
                gone.iter().for_each(|who| self.drop(engine, who));
                self.filling = None;
                return std::mem::take(&mut self.kept_back);
            }
            Event::Delete(object) => {
                engine.cluster.objects.forget(&object);
                engine.memory.objects.forget(&object.uid().unwrap_or_default());
                self.drop(engine, &ObjectName::of(kind, &object));
            }
            Event::Apply(object) | Event::InitApply(object) => {
                if !self.applied(engine, kind, driver, &object) {
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

    /// Keeps the indexes in step with an object as it is now; returns whether it needs a reconcile.
    fn applied(
        &mut self,
        engine: &Engine,
        kind: &str,
        driver: Option<&'static dyn Driver>,
        object: &DynamicObject,
    ) -> bool {
        let who = ObjectName::of(kind, object);
        if let Some(listing) = &mut self.listing {
            listing.insert(who.clone());
        }
        engine.cluster.objects.saw(object);
        if engine.memory.barrier.claims_recorded() {
            record_claim(engine, kind, object);
        }
        refer(engine, &who, object, driver);
        let shows = engine.shown_to_dependents(object);
        // A DatabricksAuth triggers its users itself, when its session changes.
        if self.shown.insert(who.clone(), shows.clone()) != Some(shows) && kind != AUTH_KIND {
            engine.memory.wake.wake_dependents(&who);
        }
        let fingerprint = Fingerprint::of(object);
        let before = self.fingerprints.insert(who, fingerprint);
        before.is_none_or(|before| fingerprint.triggers_reconcile_after(before))
    }

    fn drop(&mut self, engine: &Engine, who: &ObjectName) {
        self.shown.remove(who);
        self.fingerprints.remove(who);
        gone(engine, who);
    }
}

/// An object is gone.
fn gone(engine: &Engine, who: &ObjectName) {
    let wake = &engine.memory.wake;
    let held = wake.refer(who, vec![]);
    engine.memory.claims.release(who).iter().chain(&held).for_each(|other| wake.wake(other));
    if who.kind == AUTH_KIND {
        engine.auths.forget(who);
    }
    engine.outputs().unwatch(who);
    wake.wake_dependents(who);
}

/// Keeps the index of which objects refer to which. An object that is no longer referred to may be waiting for just that.
fn refer(engine: &Engine, who: &ObjectName, object: &DynamicObject, driver: Option<&'static dyn Driver>) {
    let Some(driver) = driver else { return };
    let spec = &object.data["spec"];
    let mut targets = vec![];
    if let Ok(management) = Management::deserialize(spec) {
        targets.push(RefersTo { who: management.auth_ref.who(&who.namespace), soft: false });
    }
    for need in driver.needs(spec).unwrap_or_default() {
        if let Wanted::Object { kind, name } = need.what {
            let who = ObjectName { kind, namespace: who.namespace.clone(), name };
            targets.push(RefersTo { who, soft: need.soft });
        }
    }
    for freed in engine.memory.wake.refer_to(who, targets) {
        engine.memory.wake.wake(&freed);
    }
}

/// The parts of an object whose change needs a reconcile: not the status, which we write ourselves.
#[derive(Clone, Copy)]
struct Fingerprint {
    hash: u64,
    has_finalizer: bool,
}

impl Fingerprint {
    fn of(object: &DynamicObject) -> Fingerprint {
        let mut hasher = DefaultHasher::new();
        let metadata = &object.metadata;
        metadata.uid.hash(&mut hasher);
        metadata.generation.hash(&mut hasher);
        metadata.deletion_timestamp.as_ref().map(|t| t.0.as_second()).hash(&mut hasher);
        object.finalizers().iter().filter(|f| *f != FINALIZER).for_each(|f| f.hash(&mut hasher));
        let annotations = metadata.annotations.as_ref();
        annotations.and_then(|a| a.get(RECONCILE_REQUESTED)).hash(&mut hasher);
        annotations.is_some_and(|a| a.contains_key(EXTERNAL_ID)).hash(&mut hasher);
        Fingerprint { hash: hasher.finish(), has_finalizer: has_finalizer(object) }
    }

    /// The reconcile in progress sets our finalizer, and another user may remove it: a call that was just refused must not
    /// be sent once more because of the former.
    fn triggers_reconcile_after(self, before: Fingerprint) -> bool {
        self.hash != before.hash || (before.has_finalizer && !self.has_finalizer)
    }
}
