//! Which Kubernetes object manages which object in the account, so that two never manage one.
//!
//! The recorded holder wins, then the older, then the one with the smaller UID. Records come from the watch and from our
//! own writes. An object that does not exist yet is claimed by its natural key before its create: first wished for, so that
//! after a start the older of two is known before either acts, then taken, after which no other object gets it. An object
//! that lost is remembered, and is triggered when the holder releases the claim.
//!
//! A part of an object that objects of several kinds can manage is claimed like an id. Objects that share it hold it together, and each of
//! them excludes one that does not share it.
//!
//! Claims decide between Kubernetes objects alone. What waits because the account refuses a name as taken is in `taken_names.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use super::ranked::{Claiming, Rank, Ranked};
use crate::engine::crd::{HeldPart, Intent, ObjectName};
use crate::engine::kind::Key;

/// What can be claimed: an id that exists, a natural key that is about to be created, or a part of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    thing: Thing,
    /// Whether others can hold it too, if they share it.
    shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thing {
    account_id: String,
    /// Empty for a part, which any kind can claim.
    kind: String,
    what: String,
}

impl Claim {
    fn alone(account_id: &str, kind: &str, what: String) -> Claim {
        let thing = Thing { account_id: account_id.into(), kind: kind.into(), what };
        Claim { thing, shared: false }
    }

    /// The claim of an existing object.
    pub fn id(account_id: &str, kind: &str, id: &str) -> Claim {
        Claim::alone(account_id, kind, format!("id:{id}"))
    }

    /// The claim of an object before its create.
    pub fn key(account_id: &str, kind: &str, key: &Key) -> Claim {
        Claim::alone(account_id, kind, format!("key:{}/{}", key.within, key.name))
    }

    /// The claim of a part of an object.
    pub fn part(account_id: &str, part: &HeldPart) -> Claim {
        Claim { shared: part.shared, ..Claim::alone(account_id, "", format!("part:{}", part.what)) }
    }

    fn is_part(&self) -> bool {
        self.thing.kind.is_empty()
    }

    /// The claim of an object whose create has begun.
    pub fn intent(kind: &str, intent: &Intent) -> Claim {
        let key = Key { within: intent.within.clone(), name: intent.name.clone() };
        Claim::key(&intent.account_id, kind, &key)
    }
}

/// All claims.
#[derive(Default)]
pub struct Claims {
    all: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    slots: HashMap<Thing, Slot>,
    of: HashMap<ObjectName, HashSet<Claim>>,
}

#[derive(Default)]
struct Slot {
    /// Several only if all of them share it.
    held: Ranked,
    wished: Ranked,
    losers: BTreeSet<ObjectName>,
}

impl Slot {
    fn is_held_by(&self, rank: &Rank, who: &ObjectName) -> bool {
        self.held.get(rank).is_some_and(|holder| holder.who == *who)
    }

    /// Whether it is the holder that those who lost were refused for: the oldest.
    fn is_named(&self, who: &ObjectName) -> bool {
        self.held.first(1).next().is_some_and(|holder| holder.who == *who)
    }

    /// The holder that excludes this one; of several the oldest. Those that share it are many: the first two speak for all.
    fn excluder(&self, me: &Claiming) -> Option<&ObjectName> {
        self.held.first(2).find(|holder| holder.excludes(me)).map(|holder| &holder.who)
    }

    /// Another object that has wished for it, is older, excludes this one, and could have it.
    fn older(&self, rank: &Rank, me: &Claiming) -> Option<(Rank, Claiming)> {
        let mut older = self.wished.older(rank, me);
        let (rank, by) = older.find(|(_, by)| self.excluder(by).is_none())?;
        Some((rank.clone(), by.clone()))
    }
}

impl Claims {
    /// Records an object as the manager of an id. The current holder keeps the claim, so that no record can take it away;
    /// at a start, the older of two is recorded first. `Some` is another holder.
    pub fn record(&self, claim: &Claim, rank: &Rank, who: &ObjectName) -> Option<ObjectName> {
        self.change(claim, who, |slot, me| {
            if !slot.is_held_by(rank, who) && slot.excluder(me).is_none() {
                slot.held.put(rank, me.clone());
            }
        })
    }

    /// Records that an object wishes to create, or adopt, something: of two objects that wish for it, the older one gets it.
    pub fn wish(&self, claim: &Claim, rank: &Rank, who: &ObjectName) {
        self.change(claim, who, |slot, me| {
            if slot.wished.get(rank).is_none_or(|by| by.who != *who) {
                slot.wished.put(rank, me.clone());
            }
        });
    }

    /// Takes a claim, unless another object holds it, or an older one has wished for it. `Some` is that other object.
    pub fn take(&self, claim: &Claim, rank: &Rank, who: &ObjectName) -> Option<ObjectName> {
        self.change(claim, who, |slot, me| {
            if slot.is_held_by(rank, who) || slot.excluder(me).is_some() {
                return;
            }
            let (rank, first) = slot.older(rank, me).unwrap_or_else(|| (rank.clone(), me.clone()));
            slot.held.put(&rank, first);
        })
    }

    /// Whether an object holds a claim.
    pub fn holds(&self, claim: &Claim, rank: &Rank, who: &ObjectName) -> bool {
        self.table().slots.get(&claim.thing).is_some_and(|slot| slot.is_held_by(rank, who))
    }

    /// The other holder of a claim, if there is one: the caller's object is then triggered when that changes.
    pub fn watch_holder(&self, claim: &Claim, who: &ObjectName) -> Option<ObjectName> {
        let mut table = self.table();
        let slot = table.slots.get_mut(&claim.thing)?;
        let holder = slot.excluder(&Claiming { who: who.clone(), shared: claim.shared })?.clone();
        slot.losers.insert(who.clone());
        Some(holder)
    }

    /// Drops the claims that an object no longer needs. Returns the objects that may have a chance now, or were refused for this holder of
    /// several.
    pub fn keep_only(&self, who: &ObjectName, kept: &[Claim]) -> Vec<ObjectName> {
        let mut table = self.table();
        let mine = table.of.remove(who).unwrap_or_default();
        // A list of thousands has a claim for each entry.
        let kept: HashSet<&Claim> = kept.iter().collect();
        let (keep, drop): (HashSet<_>, HashSet<_>) = mine.into_iter().partition(|c| kept.contains(c));
        let mut freed = vec![];
        for claim in drop {
            let Some(slot) = table.slots.get_mut(&claim.thing) else { continue };
            slot.wished.remove(who);
            if slot.is_named(who) {
                freed.extend(std::mem::take(&mut slot.losers));
            }
            slot.held.remove(who);
            if slot.held.is_empty() && slot.wished.is_empty() {
                table.slots.remove(&claim.thing);
            }
        }
        if !keep.is_empty() {
            table.of.insert(who.clone(), keep);
        }
        freed
    }

    /// Drops the claims of parts that an object may not have, all but `kept`. What another object holds it still wishes for: that one may
    /// give it up. Returns the same as [`Self::keep_only`].
    pub fn give_up_parts(&self, who: &ObjectName, kept: &[Claim]) -> Vec<ObjectName> {
        let kept: Vec<Claim> = {
            let table = self.table();
            let held_by_another = |claim: &Claim| {
                let me = Claiming { who: who.clone(), shared: claim.shared };
                table.slots.get(&claim.thing).is_some_and(|slot| slot.excluder(&me).is_some())
            };
            let mine = table.of.get(who).into_iter().flatten();
            mine.filter(|it| !it.is_part() || kept.contains(it) || held_by_another(it)).cloned().collect()
        };
        self.keep_only(who, &kept)
    }

    /// Takes out the objects that lost against an object and may have a chance now that it was changed.
    pub fn take_losers(&self, who: &ObjectName) -> Vec<ObjectName> {
        let mut table = self.table();
        let mine: Vec<Claim> = table.of.get(who).into_iter().flatten().cloned().collect();
        let mut losers = vec![];
        for claim in mine {
            let Some(slot) = table.slots.get_mut(&claim.thing) else { continue };
            if slot.is_named(who) {
                losers.extend(std::mem::take(&mut slot.losers));
            }
        }
        losers
    }

    /// Drops all claims of an object. Returns the objects that may have a chance now.
    pub fn release(&self, who: &ObjectName) -> Vec<ObjectName> {
        self.keep_only(who, &[])
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.all.lock().expect("no panic while held")
    }

    /// Changes a slot; `Some` is a holder other than `who`; `who` then counts as having lost.
    fn change(
        &self,
        claim: &Claim,
        who: &ObjectName,
        f: impl FnOnce(&mut Slot, &Claiming),
    ) -> Option<ObjectName> {
        let me = Claiming { who: who.clone(), shared: claim.shared };
        let mut table = self.table();
        table.of.entry(who.clone()).or_default().insert(claim.clone());
        let slot = table.slots.entry(claim.thing.clone()).or_default();
        f(slot, &me);
        let other = slot.excluder(&me)?.clone();
        slot.losers.insert(who.clone());
        Some(other)
    }
}

/// An object as one that claims objects of one account.
#[derive(Clone, Copy)]
pub struct Claimant<'a> {
    /// All claims.
    pub claims: &'a Claims,
    /// The account.
    pub account_id: &'a str,
    /// The object.
    pub who: &'a ObjectName,
    /// Its rank among those that claim the same.
    pub rank: &'a Rank,
    /// It only observes: it claims nothing, and takes nothing away from others.
    pub observing: bool,
}

impl Claimant<'_> {
    /// The claim of the object with this id.
    pub fn claim_of(&self, id: &str) -> Claim {
        Claim::id(self.account_id, &self.who.kind, id)
    }

    /// The other object that manages the one with this id.
    pub fn watch_holder(&self, id: &str) -> Option<ObjectName> {
        (!self.observing).then(|| self.claims.watch_holder(&self.claim_of(id), self.who)).flatten()
    }

    /// Claims the object with this id, which a record says is ours; returns another holder.
    pub fn hold(&self, id: &str) -> Option<ObjectName> {
        (!self.observing).then(|| self.claims.record(&self.claim_of(id), self.rank, self.who)).flatten()
    }
}

/// Another object's name in a message to `reader`, as far as its namespace may know it.
pub fn named(reader: &ObjectName, other: &ObjectName) -> String {
    if other.namespace == reader.namespace {
        other.to_string()
    } else {
        "an object of another namespace".into()
    }
}

/// Ends what [`holding`] returns for an object that holds something as an entry of its list.
pub const AS_ENTRY: &str = ", as an entry of its list";

/// The same for the holder of a claim on what `reader` is to manage: one of another kind has it as an entry of a list.
pub fn holding(reader: &ObjectName, holder: &ObjectName) -> String {
    let end = if holder.kind == reader.kind { "" } else { AS_ENTRY };
    format!("{}{end}", named(reader, holder))
}

#[cfg(test)]
mod tests;
