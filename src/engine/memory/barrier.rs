//! The startup barrier: after a start, creates and adoptions wait until every object that existed and is bound to nothing
//! was reconciled once. Of two objects that claim the same, the older wins, and the process that just started does not know
//! yet which one that is.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::crd::ObjectName;

/// An account may ask for a long delay: creates wait no longer than this.
const LONGEST: Duration = Duration::from_secs(120);

/// How often objects that are gone by now are looked for.
const PRUNING: Duration = Duration::from_secs(1);

/// Which objects were not reconciled yet since the start. One for the process.
#[derive(Debug, Default)]
pub struct StartupBarrier {
    unseen: Mutex<Unseen>,
    began: OnceLock<Instant>,
    claims_recorded: AtomicBool,
}

#[derive(Debug, Default)]
struct Unseen {
    /// The objects that were not reconciled yet, by UID.
    objects: HashMap<String, ObjectName>,
    /// The objects that wait for them.
    waiting: HashSet<ObjectName>,
    pruned: Option<Instant>,
}

impl StartupBarrier {
    /// The claims of all objects that existed at the start are recorded: from here on, each event adds its own.
    pub fn note_claims_recorded(&self) {
        self.claims_recorded.store(true, Ordering::Release);
    }

    /// Whether the claims of all objects that existed at the start are recorded.
    pub fn claims_recorded(&self) -> bool {
        self.claims_recorded.load(Ordering::Acquire)
    }

    /// Reconciles begin. `unbound` are the objects, by UID, that creates wait for.
    pub fn begin(&self, unbound: impl Iterator<Item = (String, ObjectName)>) {
        self.began.get_or_init(Instant::now);
        self.unseen().objects.extend(unbound);
    }

    /// When reconciles began, if they did.
    pub fn began(&self) -> Option<Instant> {
        self.began.get().copied()
    }

    /// An object was reconciled. After the last one, returns those that waited.
    pub fn reconciled(&self, uid: &str) -> HashSet<ObjectName> {
        let mut unseen = self.unseen();
        unseen.objects.remove(uid);
        if unseen.objects.is_empty() { std::mem::take(&mut unseen.waiting) } else { HashSet::new() }
    }

    /// Whether an object must wait for others. `uid_of` is the UID that an object of this name has now.
    pub fn must_wait(
        &self,
        who: &ObjectName,
        uid: &str,
        uid_of: impl Fn(&ObjectName) -> Option<String>,
    ) -> bool {
        let mut unseen = self.unseen();
        if self.began().is_none_or(|began| began.elapsed() > LONGEST) {
            unseen.objects.clear();
        }
        if unseen.pruned.is_none_or(|at| at.elapsed() >= PRUNING) {
            unseen.objects.retain(|other, who| uid_of(who).as_ref() == Some(other));
            unseen.pruned = Some(Instant::now());
        }
        let others = unseen.objects.len() - usize::from(unseen.objects.contains_key(uid));
        if others > 0 {
            unseen.waiting.insert(who.clone());
        } else {
            unseen.waiting.remove(who);
        }
        others > 0
    }

    fn unseen(&self) -> MutexGuard<'_, Unseen> {
        self.unseen.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn who(name: &str) -> ObjectName {
        ObjectName { kind: "K".into(), namespace: "ns".into(), name: name.into() }
    }

    fn barrier() -> StartupBarrier {
        let barrier = StartupBarrier::default();
        barrier.begin(["a", "b"].map(|name| (format!("uid-{name}"), who(name))).into_iter());
        barrier
    }

    /// As long as no object was replaced by another of its name.
    fn same(who: &ObjectName) -> Option<String> {
        Some(format!("uid-{}", who.name))
    }

    /// Whether an object must wait.
    fn waits(barrier: &StartupBarrier, name: &str) -> bool {
        barrier.must_wait(&who(name), &format!("uid-{name}"), same)
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_waits_for_all_others_and_not_for_itself() {
        let barrier = barrier();
        assert!(waits(&barrier, "a") && waits(&barrier, "new"));
        assert!(barrier.reconciled("uid-b").is_empty());
        assert!(!waits(&barrier, "a") && waits(&barrier, "new"));
        assert_eq!(barrier.reconciled("uid-a"), HashSet::from([who("new")]), "who waited is woken");
        assert!(!waits(&barrier, "new") && barrier.reconciled("uid-a").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_what_is_gone_or_was_replaced() {
        assert!(!barrier().must_wait(&who("new"), "uid-new", |_| None));
        assert!(!barrier().must_wait(&who("new"), "uid-new", |_| Some("uid-of-another".into())));
        let barrier = barrier();
        assert!(waits(&barrier, "new"));
        advance(PRUNING).await;
        assert!(!barrier.must_wait(&who("new"), "uid-new", |_| None), "they are gone since");
    }

    /// Of ten thousand objects each asks.
    #[tokio::test(start_paused = true)]
    async fn to_ask_costs_the_same_for_any_number_of_objects() {
        let barrier = StartupBarrier::default();
        barrier.begin((0..1000).map(|n| (format!("uid-{n}"), who(&n.to_string()))));
        let looked_up = std::cell::Cell::new(0);
        for n in 0..1000 {
            let uid_of = |who: &ObjectName| {
                looked_up.set(looked_up.get() + 1);
                same(who)
            };
            assert!(barrier.must_wait(&who(&n.to_string()), &format!("uid-{n}"), uid_of));
        }
        assert_eq!(looked_up.get(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let barrier = barrier();
        advance(LONGEST).await;
        assert!(waits(&barrier, "new"));
        advance(Duration::from_millis(1)).await;
        assert!(!waits(&barrier, "new"));
        assert!(!waits(&StartupBarrier::default(), "new"), "reconciles have not begun");
    }
}
