//! What is remembered of each object from one reconcile to the next. All of it may be lost.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::time::Instant;

use super::last_change::LastChange;
use crate::engine::crd::{Intent, Reason};
use crate::engine::error::Error;
use crate::engine::kind::Key;

/// What is remembered of an object.
#[derive(Clone, Debug, Default)]
pub struct ObjectMemory {
    /// Failures or waits in a row.
    pub attempts: u32,
    /// The refusal that the last reconciles ended with.
    pub refusal: Option<Refusal>,
    /// Since when the object in the account has been absent.
    pub absent_since: Option<Instant>,
    /// When our delete was accepted last.
    pub delete_accepted: Option<Instant>,
    /// Since when the account refuses its deletion, as something there uses it.
    pub in_use_since: Option<Instant>,
    /// Databricks refused a create under this key because the object exists already, although no LIST had shown it.
    pub exists: Option<(Key, Error)>,
    /// A create that was announced and certainly had no effect: it was not sent, was refused, or was undone. The
    /// status may still show it, if the write that removes it was lost; it is not in doubt then.
    pub without_effect: Option<Intent>,
    /// The announcement of the last create that was sent.
    pub sent_intent: Option<Intent>,
    /// The response to a change was that there is no such object, although a read had shown it.
    pub not_found: bool,
    /// The last change that was sent to it.
    pub change: LastChange,
    /// The last request for a reconcile, and when it was first seen.
    pub requested: Option<(String, Instant)>,
    /// It has not been Ready yet since this process saw it without any status.
    pub awaiting_first_ready: bool,
    /// When its Kubernetes Secret, which had lost its secret, was filled last.
    pub refilled: Option<Instant>,
    /// The renewal that its Kubernetes Secret was filled for last.
    pub renewed: Option<String>,
    /// Its drift was counted.
    pub drifted: bool,
}

/// A refusal that repeats.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For which `metadata.generation`.
    pub generation: i64,
    /// Since when.
    pub since: Instant,
    /// How often.
    pub tries: u32,
}

/// What is remembered of all objects, by UID.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<HashMap<String, ObjectMemory>>);

impl Remembered {
    /// Reads or changes what is remembered of an object.
    pub fn of<T>(&self, uid: &str, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        let mut all = self.0.lock().expect("no panic while held");
        match all.get_mut(uid) {
            Some(memory) => f(memory),
            None => f(all.entry(uid.to_owned()).or_default()),
        }
    }

    /// The last change that was sent, and when a delete was accepted last.
    pub fn changed(&self, uid: &str) -> (LastChange, Option<Instant>) {
        let all = self.0.lock().expect("no panic while held");
        all.get(uid).map(|memory| (memory.change, memory.delete_accepted)).unwrap_or_default()
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().expect("no panic while held").remove(uid);
    }

    /// How many reconciles in a row have failed or waited.
    pub fn attempts(&self, uid: &str) -> u32 {
        self.0.lock().expect("no panic while held").get(uid).map_or(0, |memory| memory.attempts)
    }
}

/// What is remembered of one object.
#[derive(Clone, Copy)]
pub struct Recall<'a> {
    /// What is remembered of all.
    pub all: &'a Remembered,
    /// The UID of the object.
    pub uid: &'a str,
}

impl Recall<'_> {
    /// Reads or changes it.
    pub fn with<T>(&self, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        self.all.of(self.uid, f)
    }
}
