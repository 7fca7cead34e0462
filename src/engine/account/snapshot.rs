//! One LIST for all objects of (session, kind, parent).
//!
//! A snapshot owns its rows. The first caller that finds it too old reads it, while the others that need that reading wait for it. A LIST of
//! many pages may take minutes, so the rows are not locked meanwhile: a caller whom the former reading serves does not wait, nor does one
//! that has created an object and is about to record its id.
//!
//! A snapshot amends itself with the responses to our own writes: dropping it would turn a hundred writes into a hundred LISTs. It
//! has no timer: objects are due a resync interval after the *reading* that served them, so that all objects of one snapshot
//! come due together and the first of them pays for all. An object that needs a reading newer than its own deletion, or than a
//! request, has a turn instead (see `burst.rs`): it waits outside of the work queue, so that many of them share a reading. Objects that
//! Databricks is still creating, changing or deleting are polled at times of their own: the first one that needs news of it pays for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::burst::Burst;
use super::own_writes::OwnWrites;
use super::rows::{Ids, Rows};
use crate::engine::crd::ObjectName;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Reader, Seen, Shared};

/// Readings of one snapshot begin at least this far apart, so that objects that each need one newer than their own last
/// write share it.
const SPACING: Duration = Duration::from_millis(250);

/// An upsert that is the first one under its parent for this long rests on a reading of a moment ago. So many objects may share the
/// rate of calls that one under the same parent comes each few seconds.
const GAP: Duration = Duration::from_secs(10);

/// How long ago that moment is.
const MOMENT: Duration = Duration::from_secs(2);

/// A reading serves the first upserts of a burst for no longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// A snapshot that no caller has used for this long is dropped: its parent may be gone from the account. Looked for as often.
const KEPT: Duration = Duration::from_secs(7200);

/// A snapshot, and the turn to read the account for it.
#[derive(Default)]
struct Slot {
    snapshot: tokio::sync::Mutex<Snapshot>,
    /// Held while the account is read.
    reading: tokio::sync::Mutex<()>,
}

/// The snapshots, by kind and parent.
#[derive(Default)]
struct Slots {
    /// With when each was used last.
    all: HashMap<(String, String), (Instant, Arc<Slot>)>,
    pruned: Option<Instant>,
}

/// The snapshots of one session.
#[derive(Default)]
pub struct Snapshots {
    slots: Mutex<Slots>,
    /// Objects that each need a reading newer than something that they did or saw, by kind: the calls for all parents share one rate.
    turns: Mutex<HashMap<String, Turns>>,
    /// Objects whose turn came before its time, as another one had the account read.
    served: Mutex<Vec<ObjectName>>,
}

/// The objects of a kind that wait for their turn to have the account read.
#[derive(Default)]
struct Turns {
    burst: Burst,
    /// By parent, with what each needs a reading to be newer than.
    waiting: HashMap<String, HashMap<ObjectName, Instant>>,
}

impl Turns {
    /// Takes out the objects that a reading serves.
    fn serve(&mut self, within: &str, read_at: Instant) -> Vec<ObjectName> {
        let Some(waiting) = self.waiting.get_mut(within) else { return vec![] };
        let served = waiting.extract_if(|_, since| *since <= read_at).map(|(who, _)| who).collect();
        if waiting.is_empty() {
            self.waiting.remove(within);
        }
        served
    }
}

#[derive(Default)]
struct Snapshot {
    /// When the reading began; it is not believed to contain later writes. None if what was read is stale.
    read_at: Option<Instant>,
    /// When the reading began that is in progress; none also if that is stale already.
    begun: Option<Instant>,
    /// When the reading was complete.
    ended: Option<Instant>,
    /// When a first upsert last rested on it.
    used: Option<Instant>,
    rows: HashMap<String, Seen>,
    /// From the first search on. To read the keys at each search would cost a thousand creates a million keys.
    ids: OnceLock<Result<Ids>>,
    /// What all rows share.
    shared: Shared,
    /// When an object in transition was polled last, and its id.
    polled: Option<(Instant, String)>,
    /// Our own writes, without what all rows share.
    written: OwnWrites,
    /// The last failure, with when the reading began and ended, so that the callers that waited for it do not each repeat
    /// it.
    failed: Option<(Instant, Instant, Error)>,
}

impl Snapshots {
    /// Reads from a snapshot whose reading began at `not_before` or later; lists if there is none.
    pub async fn read<T>(
        &self,
        driver: &dyn Driver,
        api: &Reader,
        within: &str,
        not_before: Instant,
        f: impl FnOnce(&Rows<'_>) -> T,
    ) -> Result<T> {
        let asked = Instant::now();
        let slot = self.slot(driver, within);
        if let Some(rows) = slot.snapshot.lock().await.since(not_before) {
            return Ok(f(&rows));
        }
        let _turn = slot.reading.lock().await;
        let last = {
            let snapshot = slot.snapshot.lock().await;
            if let Some(rows) = snapshot.since(not_before) {
                return Ok(f(&rows));
            }
            // A reading that began too early is no result, not even by failing.
            if let Some((began, ended, error)) = &snapshot.failed
                && *began >= not_before
                && *ended >= asked
            {
                return Err(error.clone());
            }
            // A failure from before they came is not theirs: they may have been triggered by the fix of its cause.
            snapshot.read_at.max(snapshot.failed.as_ref().map(|(_, ended, _)| *ended))
        };
        // The same reading serves the callers that come meanwhile.
        if let Some(last) = last {
            tokio::time::sleep_until(last + SPACING).await;
        }
        let (read_at, snapshot) = slot.refresh(driver, api, within).await?;
        let served = self.turns(driver, |turns| turns.serve(within, read_at));
        self.served().extend(served);
        Ok(f(&snapshot.rows(read_at)))
    }

    /// Whether a change that ended at `since` is in the rows, if it was sent with this session or a reading began after it.
    pub async fn has(&self, driver: &dyn Driver, within: &str, id: &str, since: Instant) -> bool {
        let slot = self.slot(driver, within);
        let snapshot = slot.snapshot.lock().await;
        snapshot.read_at.max(snapshot.written.ended(id)).is_some_and(|at| at >= since)
    }

    /// The row of an id, by a reading that began at `not_before` or later; none if there is no such row, or it cannot be read. A
    /// reading that has failed since is not repeated.
    pub async fn row(
        &self,
        driver: &dyn Driver,
        api: &Reader,
        within: &str,
        id: &str,
        not_before: Instant,
    ) -> Option<Seen> {
        {
            let slot = self.slot(driver, within);
            let snapshot = slot.snapshot.lock().await;
            let failed = snapshot.failed.as_ref().is_some_and(|(began, ..)| *began >= not_before);
            if failed && snapshot.read_at.is_none_or(|at| at < not_before) {
                return None;
            }
        }
        self.read(driver, api, within, not_before, |rows| rows.row(id).cloned()).await.ok().flatten()
    }

    /// The row of an object in transition that is polled, by a LIST that it shares with others: one that began after this object was
    /// read by itself or changed, and after `polled`, when its last poll ended. None if no other one was polled since then: alone, it costs
    /// less to read it by its id.
    pub async fn poll(
        &self,
        driver: &dyn Driver,
        api: &Reader,
        within: &str,
        id: &str,
        polled: Option<Instant>,
    ) -> Result<Option<Seen>> {
        let not_before = {
            let slot = self.slot(driver, within);
            let mut snapshot = slot.snapshot.lock().await;
            let known_at = snapshot.written.ended(id).max(polled);
            let last = snapshot.polled.replace((Instant::now(), id.to_owned()));
            let others =
                last.is_some_and(|(at, other)| other != id && known_at.is_none_or(|since| at >= since));
            if !others {
                return Ok(None);
            }
            // What has begun at the end of the last poll, or before, is no news. If this process knows nothing of it, any reading is.
            let later = known_at.map(|at| at + Duration::from_nanos(1));
            later.or(snapshot.read_at).unwrap_or_else(Instant::now)
        };
        let row = self.read(driver, api, within, not_before, |rows| rows.row(id).cloned()).await?;
        // For those that are polled next, another one was polled just now: they share a LIST again.
        self.slot(driver, within).snapshot.lock().await.polled = Some((Instant::now(), id.to_owned()));
        Ok(row)
    }

    /// Amends the snapshot with a response about one object, if there is a snapshot. Returns the object with what all rows share.
    pub async fn amend(&self, driver: &dyn Driver, within: &str, seen: Seen) -> Seen {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.snapshot.lock().await;
        snapshot.written.note(&seen.id, Some(seen.clone()));
        let seen = snapshot.with_shared(seen);
        snapshot.apply(driver, &seen.id, Some(seen.clone()));
        seen
    }

    /// Amends the snapshot with our own deletion of an object.
    pub async fn remove(&self, driver: &dyn Driver, within: &str, id: &str) {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.snapshot.lock().await;
        snapshot.written.note(id, None);
        snapshot.apply(driver, id, None);
    }

    /// How long an object waits before it has the account read, if it needs a reading that began at `since` or later: others need one
    /// as well, and share it. `None` is not at all.
    pub async fn turn(
        &self,
        driver: &dyn Driver,
        within: &str,
        since: Instant,
        who: &ObjectName,
    ) -> Option<Duration> {
        let read_at = {
            let slot = self.slot(driver, within);
            let snapshot = slot.snapshot.lock().await;
            // The one in progress serves too.
            snapshot.read_at.max(snapshot.begun)
        };
        if read_at.is_some_and(|at| at >= since) {
            return None;
        }
        let now = Instant::now();
        self.turns(driver, |turns| {
            let due = turns.burst.turn(since, read_at, now);
            if due.is_some() {
                turns.waiting.entry(within.to_owned()).or_default().insert(who.clone(), since);
            } else if let Some(waiting) = turns.waiting.get_mut(within) {
                waiting.remove(who);
            }
            if turns.burst.is_over(now) {
                self.served().extend(turns.waiting.drain().flat_map(|(_, waiting)| waiting.into_keys()));
            }
            due.map(|due| due - now)
        })
    }

    /// Takes out the objects whose turn came before its time.
    pub fn take_served(&self) -> Vec<ObjectName> {
        std::mem::take(&mut *self.served())
    }

    /// The earliest start of a reading that a first upsert may rest on. A row that another user created just now must not
    /// count as absent, so it is a moment ago; but objects that come in a burst share a reading.
    pub async fn join_burst(&self, driver: &dyn Driver, within: &str) -> Instant {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.snapshot.lock().await;
        let now = Instant::now();
        let within = |at: Option<Instant>, time| at.is_some_and(|at| now.duration_since(at) < time);
        // One that is in progress will have ended a moment ago.
        let ends = within(snapshot.begun, LONGEST) || within(snapshot.ended, MOMENT);
        let ongoing = within(snapshot.used.replace(now), GAP) || ends;
        now.checked_sub(if ongoing { LONGEST } else { MOMENT }).unwrap_or(now)
    }

    /// Makes the next read list again.
    pub async fn make_stale(&self, driver: &dyn Driver, within: &str) {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.snapshot.lock().await;
        (snapshot.read_at, snapshot.begun) = (None, None);
    }

    fn slot(&self, driver: &dyn Driver, within: &str) -> Arc<Slot> {
        let (mut slots, now) = (self.slots.lock().expect("no panic while held"), Instant::now());
        if slots.pruned.is_none_or(|at| now.duration_since(at) >= KEPT) {
            // One that is in use is not replaced by another.
            slots
                .all
                .retain(|_, (used, slot)| now.duration_since(*used) < KEPT || Arc::strong_count(slot) > 1);
            slots.pruned = Some(now);
        }
        let key = (driver.kind().into_owned(), within.to_owned());
        let (used, slot) = slots.all.entry(key).or_insert_with(|| (now, Arc::default()));
        *used = now;
        slot.clone()
    }

    fn turns<T>(&self, driver: &dyn Driver, f: impl FnOnce(&mut Turns) -> T) -> T {
        let mut turns = self.turns.lock().expect("no panic while held");
        f(turns.entry(driver.kind().into_owned()).or_default())
    }

    fn served(&self) -> MutexGuard<'_, Vec<ObjectName>> {
        self.served.lock().expect("no panic while held")
    }
}

impl Slot {
    /// Reads the account. Returns when the reading began, and the snapshot that has it.
    async fn refresh(
        &self,
        driver: &dyn Driver,
        api: &Reader,
        within: &str,
    ) -> Result<(Instant, tokio::sync::MutexGuard<'_, Snapshot>)> {
        let began = self.snapshot.lock().await.begin();
        let rows = match driver.list(api, within).await {
            Ok(rows) => rows,
            Err(error) => {
                let mut snapshot = self.snapshot.lock().await;
                snapshot.begun = None;
                snapshot.failed = Some((began, Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let shared = driver.shared(api, within).await;
        let mut snapshot = self.snapshot.lock().await;
        // If they cannot be read, the last ones stay: the rows serve without them.
        if let Ok(shared) = shared {
            snapshot.shared = shared;
        }
        snapshot.replace(driver, rows);
        Ok((began, snapshot))
    }
}

impl Snapshot {
    /// The rows, if their reading began at `not_before` or later.
    fn since(&self, not_before: Instant) -> Option<Rows<'_>> {
        self.read_at.filter(|at| *at >= not_before).map(|read_at| self.rows(read_at))
    }

    fn rows(&self, read_at: Instant) -> Rows<'_> {
        Rows { read_at, rows: &self.rows, ids: &self.ids }
    }

    /// Begins a reading; returns when.
    fn begin(&mut self) -> Instant {
        self.written.begin_reading();
        *self.begun.insert(Instant::now())
    }

    /// Puts in what was read, and on top of it our own writes since the reading began.
    fn replace(&mut self, driver: &dyn Driver, rows: Vec<Seen>) {
        self.rows = rows.into_iter().map(|seen| (seen.id.clone(), self.with_shared(seen))).collect();
        self.read_at = self.begun.take();
        self.ended = Some(Instant::now());
        (self.failed, self.ids) = (None, OnceLock::new());
        for (id, seen) in self.written.complete_reading() {
            let seen = seen.map(|seen| self.with_shared(seen));
            self.apply(driver, &id, seen);
        }
    }

    fn with_shared(&self, mut seen: Seen) -> Seen {
        seen.facts.extend(self.shared.facts.clone());
        seen.about.remark = seen.about.remark.or_else(|| self.shared.remark.clone());
        seen
    }

    fn apply(&mut self, driver: &dyn Driver, id: &str, seen: Option<Seen>) {
        if let Some(seen) = &seen {
            self.note_key(driver, seen);
        }
        match seen {
            Some(seen) => self.rows.insert(id.to_owned(), seen),
            None => self.rows.remove(id),
        };
    }

    /// Keeps searches complete.
    fn note_key(&mut self, driver: &dyn Driver, seen: &Seen) {
        let Some(Ok(ids)) = self.ids.get_mut() else { return };
        let Ok(key) = driver.key(&seen.state) else {
            // The next search reads all keys, and says why.
            self.ids = OnceLock::new();
            return;
        };
        let ids = ids.entry(key).or_default();
        if !ids.contains(&seen.id) {
            ids.push(seen.id.clone());
        }
    }
}
