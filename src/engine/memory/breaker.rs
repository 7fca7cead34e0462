//! The breaker on mass deletion: a namespace that is deleted, or a GitOps prune gone wrong, must not empty a whole account
//! before a person notices.
//!
//! It counts the objects whose deletion is requested in an account within an hour, and what lists remove. At one more than the limit, this
//! process stops all deletions there, also after the hour: a person decides, and starts the operator with a higher limit (or
//! `deletionPolicy: Retain` releases an object without its deletion). The count is in memory, so every start and fail-over
//! resets it: it limits the harm of an accident and leaves time to react; it is no quota.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(3600);

/// Counts deletions, for each account.
pub struct Breaker {
    /// Objects that may be deleted within an hour; 0 is any number.
    limit: u32,
    accounts: Mutex<HashMap<String, Account>>,
}

#[derive(Default)]
struct Account {
    /// When each Kubernetes object, by its UID, or entry of a list was first allowed; a repeated deletion counts once, and an object that
    /// was applied again counts again.
    allowed: HashMap<String, Instant>,
    tripped: bool,
}

impl Breaker {
    /// Allows the deletion of `limit` objects of each account within an hour; 0 is any number.
    pub fn new(limit: u32) -> Breaker {
        Breaker { limit, accounts: Mutex::default() }
    }

    /// Counts that a Kubernetes object deletes its object in the account, or removes an entry of its list, and refuses once there are too
    /// many: why, and what a person can do.
    pub fn admit(&self, account: &str, uid: &str) -> Result<(), String> {
        self.at(Instant::now(), account, uid)
    }

    /// In how many accounts deletion is stopped.
    pub fn tripped(&self) -> usize {
        let accounts = self.accounts.lock().expect("no panic while held");
        accounts.values().filter(|account| account.tripped).count()
    }

    fn at(&self, now: Instant, account: &str, uid: &str) -> Result<(), String> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut accounts = self.accounts.lock().expect("no panic while held");
        let state = accounts.entry(account.to_owned()).or_default();
        if state.allowed.contains_key(uid) {
            return Ok(());
        }
        state.allowed.retain(|_, at| now.saturating_duration_since(*at) < WINDOW);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if !state.tripped && state.allowed.len() < limit {
            state.allowed.insert(uid.to_owned(), now);
            return Ok(());
        }
        if !std::mem::replace(&mut state.tripped, true) {
            tracing::error!(
                account,
                limit,
                "mass deletion stopped: the operator deletes nothing more in this account"
            );
        }
        let objects = if limit == 1 { "1 object".to_owned() } else { format!("{limit} objects") };
        Err(format!(
            "more than {objects} of account {account} were to be deleted within an hour, so the operator deletes none \
             until a person has checked: if all of it is intended, start the operator with a higher --max-deletions-per-hour"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_account_stays_stopped_and_others_continue() {
        let breaker = Breaker::new(2);
        let start = Instant::now();
        let at = |minutes: u64, account: &str, uid: &str| {
            breaker.at(start + Duration::from_secs(60 * minutes), account, uid)
        };
        assert!(at(0, "a", "1").is_ok());
        assert!(at(1, "a", "2").is_ok());
        // Repeated until it is gone, a deletion is one deletion.
        assert!(at(2, "a", "1").is_ok());
        // The first is more than an hour ago.
        assert!(at(60, "a", "3").is_ok());
        let error = at(60, "a", "4").unwrap_err();
        assert!(error.contains("--max-deletions-per-hour"), "{error}");
        assert!(at(60, "b", "4").is_ok());
        // An allowed deletion may be repeated, everything else waits for a person, however long.
        assert!(at(61, "a", "3").is_ok());
        assert!(at(600, "a", "5").is_err());
    }

    #[test]
    fn no_limit_is_none() {
        let breaker = Breaker::new(0);
        assert!((0..1000).all(|n| breaker.admit("a", &n.to_string()).is_ok()));
    }
}
