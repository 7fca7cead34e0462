//! The startup barrier: after a start, creates and adoptions wait until every object that existed and is bound to nothing
//! was reconciled once. Of two objects that claim the same, the older wins, and the process that just started does not know
//! yet which one that is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::crd::ObjectName;

/// An account may ask for a long delay: creates wait no longer than this.
const LONGEST: Duration = Duration::from_secs(120);

/// Which objects were not reconciled yet since the start. One for the process.
#[derive(Debug, Default)]
pub struct StartupBarrier {
    /// By UID.
    waiting: Mutex<HashMap<String, ObjectName>>,
    began: OnceLock<Instant>,
    claims_recorded: AtomicBool,
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
        self.waiting.lock().expect("no panic while held").extend(unbound);
    }

    /// When reconciles began, if they did.
    pub fn began(&self) -> Option<Instant> {
        self.began.get().copied()
    }

    /// An object was reconciled; after the last one, the waiting creates continue.
    pub fn reconciled(&self, uid: &str) {
        self.waiting.lock().expect("no panic while held").remove(uid);
    }

    /// Whether an object must wait for others. `uid_of` is the UID that an object of this name has now.
    pub fn must_wait(&self, uid: &str, uid_of: impl Fn(&ObjectName) -> Option<String>) -> bool {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        if self.began().is_none_or(|began| began.elapsed() > LONGEST) {
            waiting.clear();
        }
        waiting.retain(|other, who| uid_of(who).as_ref() == Some(other));
        waiting.keys().any(|other| other != uid)
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

    #[tokio::test(start_paused = true)]
    async fn a_create_waits_for_all_others_and_not_for_itself() {
        let barrier = barrier();
        assert!(barrier.must_wait("uid-a", same) && barrier.must_wait("uid-new", same));
        barrier.reconciled("uid-b");
        assert!(!barrier.must_wait("uid-a", same) && barrier.must_wait("uid-new", same));
        barrier.reconciled("uid-a");
        assert!(!barrier.must_wait("uid-new", same));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_what_is_gone_or_was_replaced() {
        assert!(!barrier().must_wait("uid-new", |_| None));
        assert!(!barrier().must_wait("uid-new", |_| Some("uid-of-another".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let barrier = barrier();
        advance(LONGEST).await;
        assert!(barrier.must_wait("uid-new", same));
        advance(Duration::from_millis(1)).await;
        assert!(!barrier.must_wait("uid-new", same));
        assert!(!StartupBarrier::default().must_wait("uid-new", same), "reconciles have not begun");
    }
}
