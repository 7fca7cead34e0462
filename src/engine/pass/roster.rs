//! The list that an object determines as a whole: which entries of it other objects manage, and which are removed now because neither this
//! object lists them nor another one manages them. Between hops 7 and 8, as it depends on what was read. Nothing here writes to the account.
//!
//! This object claims each entry that it lists, under the id and the key that an object for that entry alone has. So the second of the two
//! is refused; here, only the entry is left out, and the conditions name both. Claims of listed entries are not recorded: after a start,
//! objects that are bound keep what they have, and creates and adoptions wait until each list was reconciled once, see `run/startup.rs`.
//!
//! An entry is removed, or set back to what is listed of it, only if all of this holds: the spec says so and a grant allows it; the object
//! is bound, and no user has changed it since; a whole list was just read, and shows the entry; no principal in the spec is unknown; since
//! the start of the process each object that is bound to nothing was reconciled; no object of the other kind that is watched claims it, or
//! is for it by its record or its spec; it was seen for the time in the spec, and the spec asks for removals for that time; this process
//! has seen it for longer than reads may lag behind, ten minutes by default, so that neither a clock that was set, nor a status from a
//! backup, nor a late read removes anything at once; another entry administers the list; not too many were removed within the hour, nor
//! deleted in the account; and the guard of the kind does not refuse it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::bound::BoundAs;
use super::meaning::Meaning;
use super::reading::Reading;
use super::unlisted::{Findings, recorded, recorded_after, remark};
use super::work::{Target, Work};
use crate::clock;
use crate::engine::crd::{EventReason, Listing, ObjectName, Reason, Unlisted};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Entries, Entry, Key, Removal, Seen};
use crate::engine::memory::{Claim, named};

/// The list as it was read.
struct Roster<'a> {
    /// The kind whose objects manage one entry alone.
    by: &'static str,
    /// As the spec has it.
    want: &'a Value,
    seen: &'a Seen,
    entries: &'a Entries,
    /// The entries that it lists and others manage.
    managed: &'a BTreeSet<String>,
}

impl Work<'_> {
    /// Takes the entries that the spec lists, and puts into what is wanted which are left out, and which are removed.
    pub async fn settle_roster(&mut self, target: &mut Target, reading: &Reading) -> Result<()> {
        target.findings = Findings::default();
        let Some(by) = self.driver.traits().roster.filter(|_| !self.subject.deleting()) else {
            return Ok(());
        };
        let (Some(want), Some(seen)) = (target.want.clone(), reading.seen()) else { return Ok(()) };
        let entries = self.driver.entries(&want, seen)?;
        let (managed, conflicts) = self.share_entries(target, by, &entries.listed);
        let mut unresolved = target.unresolved.clone();
        conflicts.into_iter().for_each(|text| unresolved.add(Reason::ManagementConflict, text));
        self.subject.unresolved = unresolved.shown();
        target.findings.list = Some(want.clone());
        let roster = Roster { by, want: &want, seen, entries: &entries, managed: &managed };
        let removed = match entries.removal.filter(|_| self.enforces(&entries)) {
            Some(removal) => self.removed_now(target, &roster, removal).await?,
            None => BTreeSet::new(),
        };
        target.want = Some(self.driver.settle(&want, &entries.settled(&managed, removed))?);
        Ok(())
    }

    /// Claims what is listed. Returns the entries that other objects manage, and what to say of each. One that only observes, or manages
    /// nothing yet, claims nothing.
    fn share_entries(
        &self,
        target: &mut Target,
        by: &str,
        listed: &[Entry],
    ) -> (BTreeSet<String>, Vec<String>) {
        let (mut held, mut conflicts) = (BTreeSet::new(), vec![]);
        if self.read_only() {
            return (held, conflicts);
        }
        let (claims, rank, who) = (&self.engine.memory.claims, &self.subject.rank, &self.subject.who);
        let manages = self.bound().bound_as() == BoundAs::Managed;
        for entry in listed {
            let own = claims_of(target.account_id(), by, &entry.id);
            let holder = own.iter().find_map(|claim| claims.watch_holder(claim, who));
            let take = || own.iter().find_map(|claim| claims.take(claim, rank, who));
            match holder.or_else(|| if manages { take() } else { None }) {
                Some(holder) => {
                    let (holder, name) = (named(who, &holder), &entry.name);
                    conflicts.push(format!(
                        "{holder} manages {name}, which this object lists: delete that object, or remove {name} from the list"
                    ));
                    held.insert(entry.id.clone());
                }
                None if manages => target.claims.extend(own),
                None => {}
            }
        }
        (held, conflicts)
    }

    /// Whether what is not listed is removed.
    fn enforces(&self, entries: &Entries) -> bool {
        entries.removal.is_some() && !self.read_only() && self.bound().bound_as() == BoundAs::Managed
    }

    /// The entries that are removed now. What is known of the others goes into the findings.
    async fn removed_now(
        &self,
        target: &mut Target,
        roster: &Roster<'_>,
        removal: Removal,
    ) -> Result<BTreeSet<String>> {
        let mut removed = BTreeSet::new();
        let Some(listing) = self.listing(target, roster.want, roster.seen)? else { return Ok(removed) };
        let left = self.time_left(&listing, removal.after);
        target.findings.next = left.values().filter(|left| !left.is_zero()).min().copied();
        target.findings.waits = waits(target, roster.entries);
        let due = listing.unlisted.iter().filter(|one| left.get(&one.id) == Some(&Duration::ZERO));
        let due: Vec<&Unlisted> = due.collect();
        let unseen = || self.engine.others_unseen(&self.subject.who, &self.subject.uid());
        if due.is_empty() || target.findings.waits.is_some() || unseen() {
            return Ok(removed);
        }
        let Some(meant) = self.meant_by_others(roster, &due) else { return Ok(removed) };
        for one in due {
            let why = match meant.get(&one.id) {
                Some(other) => Some(format!(
                    "{other} names it too: the access stays until that object manages it, or is deleted"
                )),
                None => self.kept(target, roster, &one.id, &removed).await?,
            };
            // What was kept until now has its whole time again.
            let (stays, again) = (why.is_some(), one.kept.is_some());
            target.findings.kept.insert(one.id.clone(), why);
            if stays {
                continue;
            }
            if again {
                target.findings.within(removal.after);
                continue;
            }
            if !self.has_room(target, removal.at_most, &one.id, removed.len()) {
                break;
            }
            removed.insert(one.id.clone());
            target.findings.removed.insert(one.id.clone(), format!("{} ({})", one.name, one.state));
        }
        Ok(removed)
    }

    /// How long each entry stays at least.
    fn time_left(&self, listing: &Listing, after: Duration) -> BTreeMap<String, Duration> {
        const ENFORCED: &str = "";
        let (now, settings) = (clock::now(), &self.engine.settings);
        let floor = settings.quarantine.max(settings.read_lag);
        self.remember(|m| {
            m.sightings.retain(|id| id == ENFORCED || listing.unlisted.iter().any(|one| one.id == id));
            let enforced = listing.enforced_since.as_ref();
            let enforced =
                enforced.map_or(Duration::ZERO, |since| m.sightings.age_of(ENFORCED, since.0, now).whole);
            let left = listing.unlisted.iter().map(|one| {
                let age = m.sightings.age_of(&one.id, one.first_seen.0, now);
                let left = after.saturating_sub(age.whole.min(enforced));
                (one.id.clone(), left.max(floor.saturating_sub(age.here)))
            });
            left.collect()
        })
    }

    /// The entries that objects of the other kind are for, with how to name one of those. None is known if no such object is watched.
    fn meant_by_others(&self, roster: &Roster<'_>, due: &[&Unlisted]) -> Option<BTreeMap<String, String>> {
        let driver = self.engine.driver(roster.by)?;
        let is_due = |id: &str| due.iter().any(|one| one.id == id);
        let unlisted: Vec<&Entry> = roster.entries.unlisted.iter().filter(|one| is_due(&one.id)).collect();
        let mut meant = BTreeMap::new();
        for object in self.engine.cluster.stores.objects(roster.by) {
            let meaning = Meaning::of(&object, driver, &self.engine.cluster.stores);
            let name = || named(&self.subject.who, &ObjectName::of(roster.by, &object));
            for entry in unlisted.iter().filter(|entry| meaning.has(entry)) {
                meant.entry(entry.id.clone()).or_insert_with(name);
            }
        }
        Some(meant)
    }

    /// Why an entry stays although its time has come, if it does: the guard refuses its removal, or it is the last one of those that
    /// administer the list.
    async fn kept(
        &self,
        target: &Target,
        roster: &Roster<'_>,
        id: &str,
        removed: &BTreeSet<String>,
    ) -> Result<Option<String>> {
        let alone = roster.entries.settled(roster.managed, BTreeSet::from([id.to_owned()]));
        let without = self.driver.settle(roster.want, &alone)?;
        match self.guard(target, Some(&without), Some(roster.seen), &[]).await {
            Ok(_) => {
                let last = roster.entries.is_last(id, removed);
                Ok(last.then(|| "no administrator would be left: list one".to_owned()))
            }
            Err(Error::Terminal { message, .. } | Error::Rejected { message, .. }) => Ok(Some(message)),
            // It is not known, and the next reconcile asks again.
            Err(error) => Err(error),
        }
    }

    /// Whether one more entry may be removed now, after so many. If not, the findings have how long until it may, or why not.
    fn has_room(&self, target: &mut Target, at_most: usize, id: &str, before: usize) -> bool {
        if let Err(wait) = self.remember(|m| m.sightings.room(at_most, before)) {
            target.findings.within(wait);
            return false;
        }
        let counted = format!("{} {id}", self.subject.uid());
        let stopped = self.engine.memory.breaker.admit(target.account_id(), &counted).err();
        target.findings.waits = stopped;
        target.findings.waits.is_none()
    }

    /// The record of what is not listed, after this read; `None` for a kind without a list.
    fn listing(&self, target: &Target, want: &Value, seen: &Seen) -> Result<Option<Listing>> {
        let Some(by) = self.driver.traits().roster.filter(|_| !self.subject.deleting()) else {
            return Ok(None);
        };
        let mut entries = self.driver.entries(want, seen)?;
        let (claims, who) = (&self.engine.memory.claims, &self.subject.who);
        let is_held = |entry: &Entry| {
            let own = claims_of(target.account_id(), by, &entry.id);
            own.iter().any(|claim| claims.watch_holder(claim, who).is_some())
        };
        entries.unlisted.retain(|entry| !is_held(entry));
        let before = recorded(&self.subject.status()?.facts);
        let enforces = self.enforces(&entries);
        let count = (entries.listed.len(), entries.unlisted.as_slice());
        Ok(Some(recorded_after(&before, count, enforces, &target.findings, clock::now())))
    }

    /// What the status shows of the list, and what a user has to know of it.
    pub fn shown_listing(&self, target: &Target, seen: &Seen) -> Result<Option<ShownListing>> {
        let Some(list) = &target.findings.list else { return Ok(None) };
        let Some(listing) = self.listing(target, list, seen)? else { return Ok(None) };
        match serde_json::to_value(&listing) {
            Ok(Value::Object(facts)) => Ok(Some((facts, remark(&listing, target.findings.waits.as_deref())))),
            _ => Err(Error::terminal(Reason::InternalError, "a record cannot be written as JSON")),
        }
    }

    /// Right before removals are sent: no user has changed this object, and no other object has got one of the entries, since they were
    /// decided. From now on they count, and until [`Self::end_removals`] no other object gets them.
    pub async fn begin_removals(&self, target: &Target) -> Result<()> {
        let (removed, who) = (&target.findings.removed, &self.subject.who);
        let Some(by) = self.driver.traits().roster.filter(|_| !removed.is_empty()) else { return Ok(()) };
        self.unchanged().await?;
        for (id, name) in removed {
            let own = claims_of(target.account_id(), by, id);
            let take = |claim| self.engine.memory.claims.take(claim, &self.subject.rank, who);
            if own.iter().any(|claim| take(claim).is_some()) {
                return Err(Error::Conflict(format!(
                    "another object got {name} meanwhile; nothing was sent"
                )));
            }
        }
        self.remember(|m| m.sightings.count_removed(removed.len()));
        Ok(())
    }

    /// Reports what was removed, as far as a response shows it. Other objects may manage it again.
    pub fn end_removals(&mut self, target: &Target) -> Result<()> {
        if target.findings.removed.is_empty() {
            return Ok(());
        }
        let (memory, who) = (&self.engine.memory, &self.subject.who);
        memory.claims.keep_only(who, &target.claims).iter().for_each(|other| memory.triggers.trigger(other));
        let left = recorded(&self.subject.status()?.facts).unlisted;
        let gone = target.findings.removed.iter().filter(|(id, _)| left.iter().all(|one| one.id != **id));
        let gone: Vec<&str> = gone.map(|(_, name)| name.as_str()).collect();
        if !gone.is_empty() {
            let text = format!("removed what was not listed: {}", gone.join(", "));
            self.subject.note(false, EventReason::Deleted, text);
        }
        Ok(())
    }
}

/// The facts of a list, and what a user has to know of it.
pub type ShownListing = (Map<String, Value>, Option<String>);

/// Why nothing is removed at present, if so.
fn waits(target: &Target, entries: &Entries) -> Option<String> {
    if !entries.complete {
        return Some("Databricks could not read each of them".to_owned());
    }
    target.unresolved.shown().map(|_| "not everything that the spec lists is known".to_owned())
}

/// What an object for this entry alone claims: its key, and its id.
fn claims_of(account_id: &str, by: &str, id: &str) -> [Claim; 2] {
    let (within, name) = id.rsplit_once('/').unwrap_or(("", id));
    let key = Key { within: within.to_owned(), name: name.to_owned() };
    [Claim::key(account_id, by, &key), Claim::id(account_id, by, id)]
}
