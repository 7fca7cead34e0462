//! The watch of one kind: fills the cache, keeps the indexes, triggers dependents, and decides which changes of an object
//! need a reconcile.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::core::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Deserialize;

use super::startup::{record_claim, record_parts};
use crate::engine::cluster::{Cached, prune};
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
    mut writer: Writer<Cached>,
    source: Source,
    engine: Arc<Engine>,
    filling: tokio::sync::mpsc::Sender<()>,
) -> impl Stream<Item = Result<Cached, watcher::Error>> + Send {
    let mut seen = SeenBefore { filling: Some(filling), ..SeenBefore::default() };
    let works = Arc::new(AtomicBool::new(false));
    let pauses = Pauses { grown: watcher::DefaultBackoff::default(), works: works.clone() };
    events.backoff(pauses).modify(prune).flat_map(move |event| {
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
                // First the cache: what is triggered reads from it.
                writer.apply_watcher_event(&cached(&event));
                seen.take_in(&engine, kind, *driver, event)
            }
        };
        for who in &due {
            counts.queue.triggered(&who.namespace, &who.name);
        }
        futures::stream::iter(due.into_iter().map(|who| Ok(Cached::stub(who))))
    })
}

/// The event for the cache.
fn cached(event: &watcher::Event<DynamicObject>) -> watcher::Event<Cached> {
    use watcher::Event;
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
    }
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
    shown: HashMap<ObjectName, LastShown>,
    /// While a new list arrives: its objects.
    listing: Option<HashSet<ObjectName>>,
    /// Held until the first list is complete.
    filling: Option<tokio::sync::mpsc::Sender<()>>,
    /// While a new list arrives: those of its objects that need a reconcile.
    kept_back: Vec<ObjectName>,
    /// While a new list arrives: those of its objects that show something else to those that refer to them.
    news: Vec<ObjectName>,
}

/// What a watch has shown of an object last.
struct LastShown {
    uid: String,
    /// To those that refer to it.
    to_dependents: (Summary, Vec<String>),
    fingerprint: Fingerprint,
}

impl SeenBefore {
    /// Handles one event; returns the objects that need a reconcile. While a list arrives they are kept back, and so are the triggers of
    /// others: the store shows it only when it is complete.
    fn take_in(
        &mut self,
        engine: &Engine,
        kind: &str,
        driver: Option<&'static dyn Driver>,
        event: watcher::Event<DynamicObject>,
    ) -> Vec<ObjectName> {
        use watcher::Event;
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitDone => {
                // Deletions before the new list brought no events.
                let now = self.listing.take().unwrap_or_default();
                let gone: Vec<ObjectName> =
                    self.shown.keys().filter(|w| !now.contains(*w)).cloned().collect();
                gone.iter().for_each(|who| self.deleted(engine, who));
                self.filling = None;
                let news = std::mem::take(&mut self.news);
                news.iter().for_each(|who| engine.memory.triggers.trigger_dependents(who));
                return std::mem::take(&mut self.kept_back);
            }
            Event::Delete(object) => {
                engine.forget(&object.uid().unwrap_or_default());
                self.deleted(engine, &ObjectName::of(kind, &object));
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let who = ObjectName::of(kind, &object);
                if !self.applied(engine, &who, driver, &object) {
                    return vec![];
                }
                if self.listing.is_none() {
                    return vec![who];
                }
                self.kept_back.push(who);
            }
        }
        vec![]
    }

    /// Keeps the indexes in step with an object as it is now; returns whether it needs a reconcile.
    fn applied(
        &mut self,
        engine: &Engine,
        who: &ObjectName,
        driver: Option<&'static dyn Driver>,
        object: &DynamicObject,
    ) -> bool {
        match &mut self.listing {
            Some(listing) => drop(listing.insert(who.clone())),
            None => engine.cluster.objects.saw(object),
        }
        if engine.memory.barrier.claims_recorded() {
            record_claim(engine, &who.kind, object);
        }
        note_request(engine, object);
        refer(engine, who, object, driver);
        let now = LastShown {
            uid: object.uid().unwrap_or_default(),
            to_dependents: engine.shown_to_dependents(object),
            fingerprint: Fingerprint::of(object),
        };
        let before = self.shown.get(who);
        if before.is_none() && engine.memory.barrier.began().is_some() {
            record_parts(engine, &who.kind, object);
        }
        // A DatabricksAuth triggers its users itself, when its session changes.
        if before.is_none_or(|before| before.to_dependents != now.to_dependents) && who.kind != AUTH_KIND {
            match self.listing {
                Some(_) => self.news.push(who.clone()),
                None => engine.memory.triggers.trigger_dependents(who),
            }
        }
        let due = before.is_none_or(|before| now.fingerprint.triggers_reconcile_after(before.fingerprint));
        // Deleted and created again, without an event of the deletion.
        if let Some(replaced) = before.filter(|before| before.uid != now.uid) {
            engine.forget(&replaced.uid);
        }
        self.shown.insert(who.clone(), now);
        due
    }

    /// Forgets an object that is gone, also one whose deletion brought no event, and triggers those that waited for that.
    fn deleted(&mut self, engine: &Engine, who: &ObjectName) {
        if let Some(shown) = self.shown.remove(who) {
            engine.forget(&shown.uid);
        }
        let triggers = &engine.memory.triggers;
        let freed = triggers.refer(who, vec![]);
        engine.release_name(who);
        trigger_deleted(engine, &freed);
        if who.kind == AUTH_KIND {
            engine.auths.forget(who);
            engine.memory.unmanaged.forget(who);
        }
        triggers.trigger_dependents(who);
    }
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
    trigger_deleted(engine, &engine.memory.triggers.refer_to(who, targets));
}

/// Triggers those of these objects that are being deleted: only a deletion waits until no object refers to its own. If the cache does not
/// show the deletion yet, its event comes later and triggers the object.
fn trigger_deleted(engine: &Engine, freed: &[ObjectName]) {
    let deleted = |who: &&ObjectName| {
        let object = engine.cluster.stores.cached(who);
        object.is_some_and(|object| object.meta().deletion_timestamp.is_some())
    };
    freed.iter().filter(deleted).for_each(|who| engine.memory.triggers.trigger(who));
}

/// A request for a reconcile is as old as its event: many of them share one reading, however long their reconciles wait for a worker.
fn note_request(engine: &Engine, object: &DynamicObject) {
    let Some(token) = object.annotations().get(RECONCILE_REQUESTED) else { return };
    // One that was handled costs no memory.
    if object.data["status"]["lastHandledReconcileAt"] != *token {
        let uid = object.uid().unwrap_or_default();
        engine.memory.objects.of(&uid, |memory| memory.note_request(token));
    }
}

/// The parts of an object whose change needs a reconcile: not the status, which we write ourselves.
#[derive(Clone, Copy)]
struct Fingerprint {
    hash: u64,
    has_finalizer: bool,
    /// The hash of the id in the annotation, if it has one.
    id: Option<u64>,
    /// It is a copy of the recorded one.
    id_is_copy: bool,
    id_is_recorded: bool,
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
        let id = annotations.and_then(|a| a.get(EXTERNAL_ID));
        let recorded = &object.data["status"]["external"]["id"];
        Fingerprint {
            hash: hasher.finish(),
            has_finalizer: has_finalizer(object),
            id: id.map(|id| {
                let mut hasher = DefaultHasher::new();
                id.hash(&mut hasher);
                hasher.finish()
            }),
            id_is_copy: id.is_some_and(|id| recorded == id),
            id_is_recorded: recorded.is_string(),
        }
    }

    /// The reconcile in progress sets our finalizer, and copies the recorded id to the annotation: a call that was just refused must not
    /// be sent once more because of that. Another user may remove both, or add or correct the annotation to name what there is to adopt.
    fn triggers_reconcile_after(self, before: Fingerprint) -> bool {
        let finalizer_removed = before.has_finalizer && !self.has_finalizer;
        // Another value beside a record is put right after the next reconcile. To reconcile for it would never end, if another client puts it back.
        let beside_record = self.id_is_recorded && before.id.is_some() && self.id.is_some();
        let id_changed = before.id != self.id && !self.id_is_copy && !beside_record;
        self.hash != before.hash || finalizer_removed || id_changed
    }
}

#[cfg(test)]
mod tests;
