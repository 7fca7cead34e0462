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
        let lock = self.0.lock().expect("no panic while held").entry(slot).or_default().clone();
        match lock.clone().try_lock_owned() {
            Ok(held) => (held, false),
            Err(_) => (lock.lock_owned().await, true),
        }
    }
}
