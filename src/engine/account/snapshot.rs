//! One LIST for all objects of (session, kind, parent).
//!
//! A snapshot owns its rows. The first caller that finds it too old reads it, while the others wait for that one response.
//! It amends itself with the responses to our own writes: dropping it would turn a hundred writes into a hundred LISTs. It
//! has no timer: objects are due a resync interval after the *reading* that served them, so that all objects of one snapshot
//! come due together and the first of them pays for all. An object that needs a reading newer than its own deletion, or than a
//! request, has a turn instead (see `burst.rs`): it waits outside of the work queue, so that many of them share a reading. Objects that
//! Databricks is still creating, changing or deleting are polled at times of their own: the first one that needs news of it pays for all.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::burst::Burst;
use crate::engine::crd::ObjectName;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Key, Reader, Seen, Shared};

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

/// A snapshot that nothing has used for this long is dropped once there is one of another parent: parents come and go, and specs name some
/// that do not exist.
const UNUSED: Duration = Duration::from_secs(3600);

type Slot = Arc<tokio::sync::Mutex<Snapshot>>;

/// The ids of rows by key. A row that was changed may still be under its former key too.
type Ids = HashMap<Key, Vec<String>>;

/// The snapshots of one session.
#[derive(Default)]
pub struct Snapshots {
    /// By kind and parent, each with when it was last used.
    slots: Mutex<HashMap<(String, String), (Slot, Instant)>>,
    /// Objects that each need a reading newer than something that they did or saw, by kind: the calls for all parents share one rate.
    turns: Mutex<HashMap<String, Turns>>,
    /// Objects whose turn came before its time, as another one had the account read.
    served: Mutex<Vec<ObjectName>>,
}

/// The objects of a kind that wait for their turn to have the account read.
#[derive(Default)]
struct Turns {
    burst: Burst,
    /// By parent.
    waiting: HashMap<String, HashSet<ObjectName>>,
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
    /// From the first search on. To read the keys at each search would cost a thousand creates a million keys.
    ids: OnceLock<Result<Ids>>,
    /// What all rows share.
    shared: Shared,
    /// When an object in transition was polled last, and its id.
    polled: Option<(Instant, String)>,
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
    ids: &'a OnceLock<Result<Ids>>,
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

    /// The rows that a create with this key could have created, by id.
    pub fn matching(&self, driver: &dyn Driver, key: &Key) -> Result<Vec<&Seen>> {
        let found_by_key = driver.traits().found_by_key;
        let possible = if found_by_key { self.with_key(driver, key)? } else { self.all().collect() };
        let mut matching = vec![];
        for seen in possible {
            if driver.matches(key, seen)? {
                matching.push(seen);
            }
        }
        matching.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(matching)
    }

    fn with_key(&self, driver: &dyn Driver, key: &Key) -> Result<Vec<&Seen>> {
        let ids = self.ids.get_or_init(|| {
            let mut ids = Ids::new();
            for seen in self.all() {
                ids.entry(driver.key(&seen.state)?).or_default().push(seen.id.clone());
            }
            Ok(ids)
        });
        let ids = ids.as_ref().map_err(Clone::clone)?.get(key);
        Ok(ids.into_iter().flatten().filter_map(|id| self.row(id)).collect())
    }
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
            let waiting = self.turns(driver, |turns| turns.waiting.remove(within));
            self.served().extend(waiting.into_iter().flatten());
        }
        let read_at = snapshot.read_at.expect("set by refresh");
        Ok(f(&Rows { read_at, rows: &snapshot.rows, ids: &snapshot.ids }))
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
            let snapshot = slot.lock().await;
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
            let mut snapshot = slot.lock().await;
            let known_at = snapshot.written.get(id).map(|(at, _)| *at).max(polled);
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
        self.read(driver, api, within, not_before, |rows| rows.row(id).cloned()).await
    }

    /// Amends the snapshot with a response about one object, if there is a snapshot. Returns the object with what all rows share.
    pub async fn amend(&self, driver: &dyn Driver, within: &str, seen: Seen) -> Seen {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        let seen = snapshot.with_shared(seen);
        snapshot.written.insert(seen.id.clone(), (Instant::now(), Some(seen.clone())));
        snapshot.apply(driver, &seen.id, Some(seen.clone()));
        seen
    }

    /// Amends the snapshot with our own deletion of an object.
    pub async fn remove(&self, driver: &dyn Driver, within: &str, id: &str) {
        let slot = self.slot(driver, within);
        let mut snapshot = slot.lock().await;
        snapshot.written.insert(id.to_owned(), (Instant::now(), None));
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
        let read_at = self.slot(driver, within).lock().await.read_at;
        if read_at.is_some_and(|at| at >= since) {
            return None;
        }
        let now = Instant::now();
        self.turns(driver, |turns| {
            let due = turns.burst.turn(since, read_at, now);
            if due.is_some() {
                turns.waiting.entry(within.to_owned()).or_default().insert(who.clone());
            } else if let Some(waiting) = turns.waiting.get_mut(within) {
                waiting.remove(who);
            }
            if turns.burst.is_over(now) {
                self.served().extend(turns.waiting.drain().flat_map(|(_, waiting)| waiting));
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
        let mut snapshot = slot.lock().await;
        let now = Instant::now();
        let within = |at: Option<Instant>, time| at.is_some_and(|at| now.duration_since(at) < time);
        let ongoing = within(snapshot.used.replace(now), GAP) || within(snapshot.ended, MOMENT);
        now.checked_sub(if ongoing { LONGEST } else { MOMENT }).unwrap_or(now)
    }

    /// Makes the next read list again.
    pub async fn make_stale(&self, driver: &dyn Driver, within: &str) {
        self.slot(driver, within).lock().await.read_at = None;
    }

    fn slot(&self, driver: &dyn Driver, within: &str) -> Slot {
        let mut slots = self.slots.lock().expect("no panic while held");
        let (key, now) = ((driver.kind().into_owned(), within.to_owned()), Instant::now());
        if !slots.contains_key(&key) {
            slots.retain(|_, (_, used)| now.duration_since(*used) < UNUSED);
        }
        let (slot, used) = slots.entry(key).or_insert_with(|| (Slot::default(), now));
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
        (self.failed, self.ids) = (None, OnceLock::new());
        self.written.retain(|_, (at, _)| *at >= began);
        for (id, (_, seen)) in self.written.clone() {
            self.apply(driver, &id, seen);
        }
        Ok(())
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
