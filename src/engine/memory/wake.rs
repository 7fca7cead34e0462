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
    /// Objects that are being released, and whose object in the account stays.
    retained: BTreeSet<ObjectName>,
    /// What objects referred to that are gone, and whose object in the account stays.
    keeps: HashMap<ObjectName, Vec<ObjectName>>,
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
        index.keeps.remove(who);
        if targets.is_empty() {
            index.keeps.values_mut().for_each(|kept| kept.retain(|target| target != who));
            index.keeps.retain(|_, kept| !kept.is_empty());
            if index.retained.remove(who) {
                index.keeps.insert(who.clone(), old.clone());
            }
        }
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

    /// An object is released, and its object in the account stays: what it refers to stays in use there.
    pub fn retain(&self, who: &ObjectName) {
        self.index.lock().expect("no panic while held").retained.insert(who.clone());
    }

    /// Objects that are gone, whose object in the account stays and uses that of this one. A start of the process forgets them.
    pub fn keepers(&self, of: &ObjectName) -> Vec<ObjectName> {
        let index = self.index.lock().expect("no panic while held");
        let keepers = index.keeps.iter().filter(|(_, kept)| kept.contains(of));
        let mut keepers: Vec<ObjectName> = keepers.map(|(who, _)| who.clone()).collect();
        keepers.sort();
        keepers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> ObjectName {
        ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: name.into() }
    }

    #[test]
    fn what_stays_in_the_account_keeps_what_it_uses_until_it_is_managed_again() {
        let (wake, user, used) = (Wake::default(), named("user"), named("used"));
        wake.refer(&user, vec![used.clone()]);
        wake.refer(&user, vec![]);
        assert_eq!(wake.keepers(&used), [], "it was deleted in the account");

        wake.refer(&user, vec![used.clone()]);
        wake.retain(&user);
        wake.refer(&user, vec![used.clone()]);
        assert_eq!(wake.keepers(&used), [], "its Kubernetes object is not gone yet");
        wake.refer(&user, vec![]);
        assert_eq!(wake.keepers(&used), [user.clone()]);

        wake.refer(&user, vec![used.clone()]);
        assert_eq!(wake.keepers(&used), [], "it is managed again");
        wake.retain(&user);
        wake.refer(&user, vec![]);
        wake.refer(&used, vec![]);
        assert_eq!(wake.keepers(&used), [], "an object of the same name is another one");
    }
}
