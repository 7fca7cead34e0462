//! One LIST for all objects of (session, kind, parent).
//!
//! A snapshot owns its rows. The first caller that finds it too old reads it, while the others wait for that one response.
//! It amends itself with the responses to our own writes: dropping it would turn a hundred writes into a hundred LISTs. It
//! has no timer and triggers nothing: objects are due a resync interval after the *reading* that served them, so that all
//! objects of one snapshot come due together and the first of them pays for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Reader, Seen, Shared};

/// Readings of one snapshot begin at least this far apart, so that objects that each need one newer than their own last
/// write share it.
const SPACING: std::time::Duration = std::time::Duration::from_millis(250);

/// A burst is over when nothing came for this long.
const GAP: std::time::Duration = std::time::Duration::from_secs(2);

/// A reading serves a burst for no longer than this.
const BURST: std::time::Duration = std::time::Duration::from_secs(30);

type Slot = Arc<tokio::sync::Mutex<Snapshot>>;

/// The snapshots of one session.
#[derive(Default)]
pub struct Snapshots {
    slots: Mutex<HashMap<(String, String), Slot>>,
}

#[derive(Default)]
struct Snapshot {
    /// When the reading began; it is not believed to contain later writes.
    read_at: Option<Instant>,
    /// When the reading was complete.
    ended: Option<Instant>,
    /// When a first upsert last rested on it.
    used: Option<Instant>,
    rows: HashMap<String, Seen>,
    /// What all rows share.
    shared: Shared,
    /// Our own writes since the reading began: `None` is a deletion.
    written: HashMap<String, (Instant, Option<Seen>)>,
    /// The last failure, with when the reading began and ended, so that the callers that waited for it do not each repeat
    /// it.
    failed: Option<(Instant, Instant, Error)>,
}

/// The rows of a snapshot, for the length of one read.
pub struct Rows<'a> {
    /// When the reading began.
    pub read_at: Instant,
    rows: &'a HashMap<String, Seen>,
}

impl Rows<'_> {
    /// The row of an id.
    pub fn row(&self, id: &str) -> Option<&Seen> {
        self.rows.get(id)
    }

    /// All rows.
    pub fn all(&self) -> impl Iterator<Item = &Seen> {
        self.rows.values()
    }
}

impl Snapshots {
    /// Reads from a snapshot whose reading began at `not_before` or later; lists if there is none.
    pub async fn look<T>(
        &self,
        driver: &dyn Driver,
        api: &Reader,
        within: &str,
        not_before: Instant,
        f: impl FnOnce(&Rows<'_>) -> T,
    ) -> Result<T> {
        let asked = Instant::now();
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        if snapshot.read_at.is_none_or(|at| at < not_before) {
            // A reading that began too early is no result, not even by failing.
            if let Some((began, ended, error)) = &snapshot.failed
                && *began >= not_before
                && *ended >= asked
            {
                return Err(error.clone());
            }
            // The same reading serves the callers that come meanwhile. A failure from before they came is not theirs: they
            // may have been triggered by the fix of its cause.
            if let Some(last) = snapshot.read_at.max(snapshot.failed.as_ref().map(|(_, ended, _)| *ended)) {
                tokio::time::sleep_until(last + SPACING).await;
            }
            snapshot.refresh(driver, api, within).await?;
        }
        let read_at = snapshot.read_at.expect("set by refresh");
        Ok(f(&Rows { read_at, rows: &snapshot.rows }))
    }

    /// Amends the snapshot with a response about one object, if there is a snapshot. Returns the object with what all rows share.
    pub async fn amend(&self, driver: &dyn Driver, within: &str, seen: Seen) -> Seen {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        let seen = snapshot.with_shared(seen);
        snapshot.written.insert(seen.id.clone(), (Instant::now(), Some(seen.clone())));
        snapshot.apply(&seen.id, Some(seen.clone()));
        seen
    }

    /// Amends the snapshot with our own deletion of an object.
    pub async fn remove(&self, driver: &dyn Driver, within: &str, id: &str) {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        snapshot.written.insert(id.to_owned(), (Instant::now(), None));
        snapshot.apply(id, None);
    }

    /// The earliest start of a reading that a first upsert may rest on. A row that another user created just now must not
    /// count as absent, so it is a moment ago; but objects that come in a burst share a reading.
    pub async fn join_burst(&self, driver: &dyn Driver, within: &str) -> Instant {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        let now = Instant::now();
        let last = snapshot.used.replace(now).max(snapshot.ended);
        let ongoing = last.is_some_and(|last| now.duration_since(last) < GAP);
        now.checked_sub(if ongoing { BURST } else { GAP }).unwrap_or(now)
    }

    /// Makes the next read list again.
    pub async fn make_stale(&self, driver: &dyn Driver, within: &str) {
        self.slot(driver, within).lock().await.read_at = None;
    }

    fn slot(&self, driver: &dyn Driver, within: &str) -> Slot {
        let mut slots = self.slots.lock().expect("no panic while held");
        slots.entry((driver.kind().into_owned(), within.to_owned())).or_default().clone()
    }
}

impl Snapshot {
    async fn refresh(&mut self, driver: &dyn Driver, api: &Reader, within: &str) -> Result<()> {
        let began = Instant::now();
        let rows = match driver.list(api, within).await {
            Ok(rows) => rows,
            Err(error) => {
                self.failed = Some((began, Instant::now(), error.clone()));
                return Err(error);
            }
        };
        // If they cannot be read, the last ones stay: the rows serve without them.
        if let Ok(shared) = driver.shared(api, within).await {
            self.shared = shared;
        }
        self.rows = rows.into_iter().map(|seen| (seen.id.clone(), self.with_shared(seen))).collect();
        self.read_at = Some(began);
        self.ended = Some(Instant::now());
        self.failed = None;
        self.written.retain(|_, (at, _)| *at >= began);
        for (id, (_, seen)) in self.written.clone() {
            self.apply(&id, seen);
        }
        Ok(())
    }

    fn with_shared(&self, mut seen: Seen) -> Seen {
        seen.facts.extend(self.shared.facts.clone());
        seen.about.remark = seen.about.remark.or_else(|| self.shared.remark.clone());
        seen
    }

    fn apply(&mut self, id: &str, seen: Option<Seen>) {
        match seen {
            Some(seen) => self.rows.insert(id.to_owned(), seen),
            None => self.rows.remove(id),
        };
    }
}
