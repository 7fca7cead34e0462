//! Which object depends on which, and how a change of one triggers the others: by a reverse index over references, not by a
//! scan and not by polling.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use crate::engine::crd::ObjectName;

type Queue = (String, Option<String>);

/// The index and the senders of the work queues.
#[derive(Default)]
pub struct Triggers {
    /// By kind, and namespace where only chosen ones are watched.
    queues: Mutex<HashMap<Queue, UnboundedSender<ObjectName>>>,
    index: Mutex<Index>,
}

/// What an object refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefersTo {
    /// The other object.
    pub who: ObjectName,
    /// It may be deleted while it is referred to.
    pub soft: bool,
}

#[derive(Default)]
struct Index {
    /// By target, with whether the reference is soft.
    dependents: HashMap<ObjectName, BTreeMap<ObjectName, bool>>,
    targets: HashMap<ObjectName, Vec<RefersTo>>,
    /// By object that was released while its object in the account stays: what it referred to.
    keeps: HashMap<ObjectName, Vec<ObjectName>>,
    /// The same by what it referred to.
    keepers: HashMap<ObjectName, BTreeSet<ObjectName>>,
}

impl Index {
    /// Records what an object that was released keeps in use: nothing, if it is managed again.
    fn keep(&mut self, who: &ObjectName, used: Vec<ObjectName>) {
        for target in self.keeps.remove(who).unwrap_or_default() {
            if let Some(keepers) = self.keepers.get_mut(&target) {
                keepers.remove(who);
                if keepers.is_empty() {
                    self.keepers.remove(&target);
                }
            }
        }
        for target in &used {
            self.keepers.entry(target.clone()).or_default().insert(who.clone());
        }
        if !used.is_empty() {
            self.keeps.insert(who.clone(), used);
        }
    }

    /// An object is gone: what is kept in use is not that of another object of its name.
    fn forget_kept(&mut self, target: &ObjectName) {
        for who in self.keepers.remove(target).unwrap_or_default() {
            if let Some(kept) = self.keeps.get_mut(&who) {
                kept.retain(|other| other != target);
                if kept.is_empty() {
                    self.keeps.remove(&who);
                }
            }
        }
    }
}

impl Triggers {
    /// The triggers for a kind, in one namespace or in all; to be called once for each.
    pub fn subscribe(&self, kind: &str, namespace: Option<&str>) -> UnboundedReceiver<ObjectName> {
        let (sender, receiver) = unbounded();
        let key = (kind.to_owned(), namespace.map(str::to_owned));
        self.queues.lock().expect("no panic while held").insert(key, sender);
        receiver
    }

    /// Puts an object into its work queue, if it is one that we watch.
    pub fn trigger(&self, who: &ObjectName) {
        let queues = self.queues.lock().expect("no panic while held");
        let own = queues.get(&(who.kind.clone(), Some(who.namespace.clone())));
        if let Some(queue) = own.or_else(|| queues.get(&(who.kind.clone(), None))) {
            // A closed queue means that the process is ending.
            let _ = queue.unbounded_send(who.clone());
        }
    }

    /// Puts everything that refers to an object into the work queues.
    pub fn trigger_dependents(&self, of: &ObjectName) {
        let index = self.index.lock().expect("no panic while held");
        let all: Vec<ObjectName> =
            index.dependents.get(of).into_iter().flat_map(|all| all.keys().cloned()).collect();
        drop(index);
        all.iter().for_each(|who| self.trigger(who));
    }

    /// What refers to an object and needs it, in a stable order.
    pub fn dependents(&self, of: &ObjectName) -> Vec<ObjectName> {
        let index = self.index.lock().expect("no panic while held");
        let all = index.dependents.get(of).into_iter().flatten();
        all.filter(|(_, soft)| !**soft).map(|(who, _)| who.clone()).collect()
    }

    /// Records what an object refers to now and needs: nothing, if it is gone. Returns what it no longer refers to.
    pub fn refer(&self, who: &ObjectName, targets: Vec<ObjectName>) -> Vec<ObjectName> {
        self.refer_to(who, targets.into_iter().map(|who| RefersTo { who, soft: false }).collect())
    }

    /// The same, with soft references among them.
    pub fn refer_to(&self, who: &ObjectName, targets: Vec<RefersTo>) -> Vec<ObjectName> {
        let mut index = self.index.lock().expect("no panic while held");
        // Most events change no reference.
        if index.targets.get(who) == Some(&targets) {
            return vec![];
        }
        let old = index.targets.remove(who).unwrap_or_default();
        if targets.is_empty() {
            index.forget_kept(who);
        } else if old.is_empty() {
            // It was applied again, and is managed again.
            index.keep(who, vec![]);
        }
        for target in &old {
            if let Some(all) = index.dependents.get_mut(&target.who) {
                all.remove(who);
                if all.is_empty() {
                    index.dependents.remove(&target.who);
                }
            }
        }
        for target in &targets {
            let all = index.dependents.entry(target.who.clone()).or_default();
            // Of several references to one object, one that is not soft decides.
            *all.entry(who.clone()).or_insert(true) &= target.soft;
        }
        let kept: HashSet<&RefersTo> = targets.iter().collect();
        let lost = old.into_iter().filter(|old| !kept.contains(old)).map(|old| old.who).collect();
        if !targets.is_empty() {
            index.targets.insert(who.clone(), targets);
        }
        lost
    }

    /// What an object refers to and needs.
    pub fn uses(&self, who: &ObjectName) -> Vec<ObjectName> {
        let index = self.index.lock().expect("no panic while held");
        let all = index.targets.get(who).into_iter().flatten();
        all.filter(|target| !target.soft).map(|target| target.who.clone()).collect()
    }

    /// An object was released, and its object in the account stays: what it used until then stays in use there. The watch may have
    /// shown already that it is gone.
    pub fn retain(&self, who: &ObjectName, used: Vec<ObjectName>) {
        self.index.lock().expect("no panic while held").keep(who, used);
    }

    /// Objects that were released, whose object in the account stays and may use that of this one. A start of the process forgets
    /// them, and another user may have deleted what they left: only the account knows whether something is in use.
    pub fn keepers(&self, of: &ObjectName) -> Vec<ObjectName> {
        let index = self.index.lock().expect("no panic while held");
        index.keepers.get(of).into_iter().flatten().cloned().collect()
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
        let (triggers, user, used) = (Triggers::default(), named("user"), named("used"));
        triggers.refer(&user, vec![used.clone()]);
        triggers.refer(&user, vec![]);
        assert_eq!(triggers.keepers(&used), [], "it was deleted in the account");

        // The watch may show that it is gone before or after its release is known here, and another finalizer may hold it.
        for (before, held) in [(true, false), (false, false), (false, true)] {
            triggers.refer(&user, vec![used.clone()]);
            assert_eq!(triggers.keepers(&used), [], "it is managed again");
            let uses = triggers.uses(&user);
            if before {
                triggers.refer(&user, vec![]);
            }
            triggers.retain(&user, uses);
            if held {
                triggers.refer(&user, vec![used.clone()]);
            }
            if !before {
                triggers.refer(&user, vec![]);
            }
            assert_eq!(triggers.keepers(&used), std::slice::from_ref(&user), "{before} {held}");
        }
        triggers.refer(&used, vec![]);
        assert_eq!(triggers.keepers(&used), [], "an object of the same name is another one");
    }

    #[test]
    fn each_that_stays_keeps_what_it_uses_for_itself() {
        let (triggers, used, other) = (Triggers::default(), named("used"), named("other"));
        triggers.retain(&named("first"), vec![used.clone(), other.clone()]);
        triggers.retain(&named("second"), vec![used.clone()]);
        triggers.retain(&named("third"), vec![]);
        assert_eq!(triggers.keepers(&used), [named("first"), named("second")]);
        triggers.retain(&named("first"), vec![other.clone()]);
        assert_eq!(triggers.keepers(&used), [named("second")]);
        triggers.refer(&named("second"), vec![used.clone()]);
        assert_eq!((triggers.keepers(&used), triggers.keepers(&other)), (vec![], vec![named("first")]));
        triggers.refer(&other, vec![]);
        let index = triggers.index.lock().unwrap();
        assert!(index.keeps.is_empty() && index.keepers.is_empty(), "nothing is remembered of what is over");
    }

    /// Covers RF-13.
    #[test]
    fn a_soft_reference_triggers_and_does_not_hold() {
        let triggers = Triggers::default();
        let mut queue = triggers.subscribe("Fake", None);
        let (team, ada) = (named("team"), named("ada"));
        let target = |soft| RefersTo { who: ada.clone(), soft };
        triggers.refer_to(&team, vec![target(true)]);
        assert_eq!(triggers.dependents(&ada), []);
        triggers.trigger_dependents(&ada);
        assert_eq!(queue.try_recv().ok(), Some(team.clone()));

        assert_eq!(triggers.refer_to(&team, vec![target(true), target(false)]), []);
        assert_eq!(triggers.dependents(&ada), std::slice::from_ref(&team), "one of the two needs it");
        assert_eq!(
            triggers.refer(&team, vec![]),
            [ada.clone(), ada.clone()],
            "what waits for that is triggered"
        );
        assert_eq!(triggers.dependents(&ada), []);
    }
}
