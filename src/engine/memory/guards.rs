//! One lock for each account and kind whose guard reads all objects of the kind: two changes must not pass it together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The locks, by account and kind. One for the process.
#[derive(Debug, Default)]
pub struct GuardLocks(Mutex<HashMap<(String, String), Lock>>);

impl GuardLocks {
    /// Waits until no other change to objects of this kind is in progress in this account.
    pub async fn lock(&self, account_id: &str, kind: &str) -> OwnedMutexGuard<()> {
        let slot = (account_id.to_owned(), kind.to_owned());
        let lock = self.0.lock().expect("no panic while held").entry(slot).or_default().clone();
        lock.lock_owned().await
    }
}
