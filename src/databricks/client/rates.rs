//! Which clients share a rate: those of one service principal at one account, whatever their secrets. A client with a wrong secret
//! shares it too, with its calls for a token.
//!
//! Databricks counts the calls of all of them together. Another service principal has rates of its own,
//! although some limits of the account API count its calls too: one team must not be able to hold up the calls
//! of another one here, and each rate adapts to the part of a limit that it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::databricks::rate::Rate;

/// The rates of all service principals that have a client.
#[derive(Debug, Default)]
pub struct Rates(Mutex<HashMap<[String; 3], Weak<PrincipalRates>>>);

/// The rates of one service principal: that of the account, and those of workspaces by id.
#[derive(Default)]
pub(super) struct PrincipalRates(Mutex<HashMap<Option<String>, Arc<Rate>>>);

impl Rates {
    /// Those of a service principal, named by host, account and client id: what its other clients use, if there
    /// are any.
    pub(super) fn of(&self, principal: [&str; 3]) -> Arc<PrincipalRates> {
        let key = principal.map(str::to_owned);
        let mut all = lock(&self.0);
        if let Some(shared) = all.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        all.retain(|_, rates| rates.strong_count() > 0);
        let rates = Arc::default();
        all.insert(key, Arc::downgrade(&rates));
        rates
    }
}

impl PrincipalRates {
    /// That of a workspace, or of the account.
    pub(super) fn of(&self, workspace: Option<&str>, new: impl FnOnce() -> Rate) -> Arc<Rate> {
        let mut all = lock(&self.0);
        all.entry(workspace.map(str::to_owned)).or_insert_with(|| Arc::new(new())).clone()
    }

    /// A workspace is gone.
    pub(super) fn forget(&self, workspace: &str) {
        lock(&self.0).remove(&Some(workspace.to_owned()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock, and the map is valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
