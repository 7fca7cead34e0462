//! One lock for each parent of objects of a kind: a guard that reads all its siblings must not let two changes pass together, and
//! some APIs take only one create at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The locks, by account, kind and parent. One for the process.
#[derive(Debug, Default)]
pub struct ParentLocks(Mutex<HashMap<(String, String, String), Lock>>);

impl ParentLocks {
    /// Waits until no other change that needs the lock is in progress under this parent; an empty one is the account. Also returns
    /// whether it waited: what was read before that is stale then.
    pub async fn lock(&self, account_id: &str, kind: &str, within: &str) -> (OwnedMutexGuard<()>, bool) {
        let slot = (account_id.to_owned(), kind.to_owned(), within.to_owned());
        let lock = {
            let mut locks = self.0.lock().expect("no panic while held");
            // Parents come and go. What no change holds or waits for is as good as new.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(slot).or_default().clone()
        };
        match lock.clone().try_lock_owned() {
            Ok(held) => (held, false),
            Err(_) => (lock.lock_owned().await, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_lock_is_kept_while_a_change_holds_it_or_waits_for_it() {
        let locks = ParentLocks::default();
        let (held, waited) = locks.lock("account", "Fake", "one").await;
        assert!(!waited);
        for parent in ["two", "three", "four"] {
            assert!(!locks.lock("account", "Fake", parent).await.1);
        }
        let mut next = Box::pin(locks.lock("account", "Fake", "one"));
        assert!((&mut next).now_or_never().is_none(), "one at a time");
        assert_eq!(locks.0.lock().unwrap().len(), 1, "those of the other parents are gone");
        drop(held);
        assert!(!locks.lock("account", "Fake", "two").await.1);
        assert!(next.await.1, "it is the same lock");
    }
}
