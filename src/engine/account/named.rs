//! Objects of other kinds that ours name, Secrets and ConfigMaps: each is watched by its name, so that a change of it triggers those
//! that name it. They are never listed, and of each only the metadata are read here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::TryStreamExt;
use kube::Client as KubeClient;
use kube::api::{Api, WatchParams};
use kube::core::{ApiResource, DynamicObject, WatchEvent};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::cluster::timed;
use crate::engine::crd::ObjectName;
use crate::engine::error::{Asked, chain};
use crate::engine::memory::Triggers;

/// The objects of one type that ours name. A clone shares the watches.
#[derive(Clone)]
pub struct NamedWatches {
    kube: KubeClient,
    resource: ApiResource,
    triggers: Arc<Triggers>,
    watches: Arc<Mutex<Watches>>,
}

#[derive(Default)]
struct Watches {
    by_name: HashMap<ObjectName, Watched>,
    /// What each object names.
    names: HashMap<ObjectName, ObjectName>,
}

struct Watched {
    task: JoinHandle<()>,
    /// The API server has accepted the watch: it shows all changes from then on.
    begun: bool,
    /// The objects that name it.
    users: BTreeMap<ObjectName, Known>,
}

/// What an object knows of the one that it names.
#[derive(Default)]
struct Known {
    /// The versions that its last reconciles have read or written. The watch need not trigger another reconcile for those.
    versions: Vec<String>,
    /// The watch has seen another one since [`NamedWatches::changed`] was called.
    changed: bool,
    /// The object was read before the watch had begun, which does not show a deletion in between.
    read_before: bool,
}

impl Watches {
    /// An object names nothing. What no other one names is not watched any more.
    fn leave(&mut self, user: &ObjectName) {
        let Some(named) = self.names.remove(user) else { return };
        let Some(watched) = self.by_name.get_mut(&named) else { return };
        watched.users.remove(user);
        if watched.users.is_empty() {
            watched.task.abort();
            self.by_name.remove(&named);
        }
    }
}

impl NamedWatches {
    /// Those of a type. None is watched yet.
    pub fn of<K: kube::Resource<DynamicType = ()>>(
        kube: KubeClient,
        triggers: Arc<Triggers>,
    ) -> NamedWatches {
        NamedWatches { kube, resource: ApiResource::erase::<K>(&()), triggers, watches: Arc::default() }
    }

    /// The one of this name that an object means: that in its own namespace.
    pub fn named(&self, user: &ObjectName, name: &str) -> ObjectName {
        let (kind, namespace) = (self.resource.kind.clone(), user.namespace.clone());
        ObjectName { kind, namespace, name: name.into() }
    }

    /// An object names none any more, or is gone.
    pub fn unwatch(&self, user: &ObjectName) {
        self.watch(user, None);
    }

    /// Watches the one that an object names now; none, if it names none. From then on a change of it triggers a reconcile of
    /// the object.
    pub fn watch(&self, user: &ObjectName, name: Option<&str>) {
        let wanted = name.map(|name| self.named(user, name));
        let mut watches = self.watches();
        if watches.names.get(user) == wanted.as_ref() {
            return;
        }
        watches.leave(user);
        let Some(named) = wanted else { return };
        watches.names.insert(user.clone(), named.clone());
        let watched = watches.by_name.entry(named).or_insert_with_key(|named| Watched {
            task: tokio::spawn(self.clone().follow(named.clone())),
            begun: false,
            users: BTreeMap::new(),
        });
        watched.users.entry(user.clone()).or_default();
    }

    /// An object has read or written this version of what it names.
    pub fn knows(&self, user: &ObjectName, name: &str, version: Option<String>) {
        let named = self.named(user, name);
        let mut watches = self.watches();
        let watched = watches.by_name.get_mut(&named);
        if let Some(known) = watched.and_then(|watched| watched.users.get_mut(user)) {
            known.versions.extend(version);
            known.versions.drain(..known.versions.len().saturating_sub(KNOWN));
        }
    }

    /// An object has read what it names, and waits for the end of that: if the watch has not begun yet, the object is triggered once
    /// more when it begins.
    pub fn waits(&self, user: &ObjectName, name: &str) {
        let named = self.named(user, name);
        let mut watches = self.watches();
        let Some(watched) = watches.by_name.get_mut(&named) else { return };
        let begun = watched.begun;
        if let Some(known) = watched.users.get_mut(user) {
            known.read_before = !begun;
        }
    }

    /// Whether the watch has seen a version that the object does not know, or that there is none, since this was last called.
    pub fn changed(&self, user: &ObjectName, name: &str) -> bool {
        let named = self.named(user, name);
        let mut watches = self.watches();
        let known = watches.by_name.get_mut(&named).and_then(|watched| watched.users.get_mut(user));
        known.is_some_and(|known| std::mem::take(&mut known.changed))
    }

    /// Triggers the objects that name one whenever it is created, changed or deleted. A watch from version 0 begins with the
    /// object as it is, so no list is needed; a change between two watches shows in its version.
    async fn follow(self, named: ObjectName) {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.kube.clone(), &named.namespace, &self.resource);
        let params = WatchParams::default().fields(&format!("metadata.name={}", named.name)).timeout(240);
        let mut version = None;
        let mut pause = Duration::from_secs(1);
        loop {
            let began = Instant::now();
            let ended = async {
                let mut events = std::pin::pin!(api.watch_metadata(&params, "0").await?);
                self.begins(&named);
                while let Some(event) = events.try_next().await? {
                    let seen = match event {
                        WatchEvent::Added(o) | WatchEvent::Modified(o) => o.metadata.resource_version,
                        WatchEvent::Deleted(_) => None,
                        WatchEvent::Bookmark(_) => continue,
                        WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                    };
                    self.saw(&named, &mut version, seen);
                }
                Ok(())
            };
            if let Err(error) = ended.await {
                tracing::debug!(watched = %named, error = chain(&error), "watch ended; starting again");
            }
            pause = if began.elapsed() > GOOD_WATCH {
                Duration::from_secs(1)
            } else {
                (pause * 2).min(GOOD_WATCH)
            };
            tokio::time::sleep(pause).await;
            // A deletion in between sends no event; the next watch then begins with no object.
            let found = timed(Asked::Read(&named.to_string()), api.get_metadata_opt(&named.name)).await;
            if let Ok(found) = found {
                self.saw(&named, &mut version, found.and_then(|o| o.metadata.resource_version));
            }
        }
    }

    /// The watch has begun: what was read before is read again.
    fn begins(&self, named: &ObjectName) {
        let mut watches = self.watches();
        let Some(watched) = watches.by_name.get_mut(named) else { return };
        watched.begun = true;
        for (user, known) in &mut watched.users {
            if std::mem::take(&mut known.read_before) {
                self.triggers.trigger(user);
            }
        }
    }

    /// The watch has seen this version, or that there is no object. If that is a change, it triggers the objects that do not know
    /// this version yet.
    fn saw(&self, named: &ObjectName, version: &mut Option<String>, seen: Option<String>) {
        if *version == seen {
            return;
        }
        let mut watches = self.watches();
        let users = watches.by_name.get_mut(named).into_iter().flat_map(|watched| &mut watched.users);
        for (user, known) in users {
            if seen.as_ref().is_none_or(|seen| !known.versions.contains(seen)) {
                known.changed = true;
                self.triggers.trigger(user);
            }
        }
        *version = seen;
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().expect("no panic while held")
    }
}

/// The most versions that one reconcile reads or writes: as it was, reserved, filled.
const KNOWN: usize = 3;

/// A watch that lasted this long was a good one; the longest pause after one that was not.
const GOOD_WATCH: Duration = Duration::from_secs(30);
