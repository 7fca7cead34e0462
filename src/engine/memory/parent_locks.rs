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
            let mut all = self.0.lock().expect("no panic while held");
            // Parents come and go, and specs name some that do not exist.
            all.retain(|_, lock| Arc::strong_count(lock) > 1);
            all.entry(slot).or_default().clone()
        };
        match lock.clone().try_lock_owned() {
            Ok(held) => (held, false),
            Err(_) => (lock.lock_owned().await, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_kept_while_it_is_held_and_no_longer() {
        let locks = ParentLocks::default();
        let (held, waited) = locks.lock("a", "Fake", "held").await;
        assert!(!waited);
        for within in 0..10 {
            drop(locks.lock("a", "Fake", &within.to_string()).await);
        }
        assert_eq!(locks.0.lock().unwrap().len(), 2, "the one that is held, and the last one");
        let next = async { locks.lock("a", "Fake", "held").await.1 };
        let frees = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        let (waited, ()) = tokio::join!(next, frees);
        assert!(waited);
    }
}
