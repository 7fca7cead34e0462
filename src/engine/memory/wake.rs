//! Which object depends on which, and how a change of one triggers the others: by a reverse index over references, not by a
//! scan and not by polling.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use crate::engine::crd::ObjectName;

type Queue = (String, Option<String>);

/// The index and the senders of the work queues.
#[derive(Default)]
pub struct Wake {
    /// By kind, and namespace where only chosen ones are watched.
    queues: Mutex<HashMap<Queue, UnboundedSender<ObjectName>>>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    dependents: HashMap<ObjectName, BTreeSet<ObjectName>>,
    targets: HashMap<ObjectName, Vec<ObjectName>>,
}

impl Wake {
    /// The triggers for a kind, in one namespace or in all; to be called once for each.
    pub fn subscribe(&self, kind: &str, namespace: Option<&str>) -> UnboundedReceiver<ObjectName> {
        let (sender, receiver) = unbounded();
        let key = (kind.to_owned(), namespace.map(str::to_owned));
        self.queues.lock().expect("no panic while held").insert(key, sender);
        receiver
    }

    /// Puts an object into its work queue, if it is one that we watch.
    pub fn wake(&self, who: &ObjectName) {
        let queues = self.queues.lock().expect("no panic while held");
        let own = queues.get(&(who.kind.clone(), Some(who.namespace.clone())));
        if let Some(queue) = own.or_else(|| queues.get(&(who.kind.clone(), None))) {
            // A closed queue means that the process is ending.
            let _ = queue.unbounded_send(who.clone());
        }
    }

    /// Puts everything that refers to an object into the work queues.
    pub fn wake_dependents(&self, of: &ObjectName) {
        for who in self.dependents(of) {
            self.wake(&who);
        }
    }

    /// What refers to an object, in a stable order.
    pub fn dependents(&self, of: &ObjectName) -> Vec<ObjectName> {
        let index = self.index.lock().expect("no panic while held");
        index.dependents.get(of).into_iter().flatten().cloned().collect()
    }

    /// Records what an object refers to now; nothing, if it is gone. Returns what it no longer refers to.
    pub fn refer(&self, who: &ObjectName, targets: Vec<ObjectName>) -> Vec<ObjectName> {
        let mut index = self.index.lock().expect("no panic while held");
        let old = index.targets.remove(who).unwrap_or_default();
        for target in &old {
            if let Some(set) = index.dependents.get_mut(target) {
                set.remove(who);
                if set.is_empty() {
                    index.dependents.remove(target);
                }
            }
        }
        for target in &targets {
            index.dependents.entry(target.clone()).or_default().insert(who.clone());
        }
        let lost = old.into_iter().filter(|t| !targets.contains(t)).collect();
        if !targets.is_empty() {
            index.targets.insert(who.clone(), targets);
        }
        lost
    }
}
