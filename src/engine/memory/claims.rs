//! Which Kubernetes object manages which object in the account, so that two never manage one.
//!
//! The recorded holder wins, then the older, then the one with the smaller UID. Records come from the watch and from our
//! own writes. An object that does not exist yet is claimed by its natural key before its create: first wished for, so that
//! after a start the older of two is known before either acts, then taken, after which no other object gets it. An object
//! that lost is remembered, and is triggered when the holder releases the claim.
//!
//! Claims decide between Kubernetes objects alone. What waits because the account refuses a name as taken is in `exchange.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use super::exchange::Exchanges;
use crate::engine::crd::{Intent, ObjectName};
use crate::engine::kind::Key;

/// What can be claimed: an id that exists, or a natural key that is about to be created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    account_id: String,
    kind: String,
    what: String,
}

impl Claim {
    /// The claim of an existing object.
    pub fn id(account_id: &str, kind: &str, id: &str) -> Claim {
        Claim { account_id: account_id.into(), kind: kind.into(), what: format!("id:{id}") }
    }

    /// The claim of an object before its create.
    pub fn key(account_id: &str, kind: &str, key: &Key) -> Claim {
        Claim {
            account_id: account_id.into(),
            kind: kind.into(),
            what: format!("key:{}/{}", key.within, key.name),
        }
    }

    /// The claim of an object whose create has begun.
    pub fn intent(kind: &str, intent: &Intent) -> Claim {
        let key = Key { within: intent.within.clone(), name: intent.name.clone() };
        Claim::key(&intent.account_id, kind, &key)
    }
}

/// Age decides among equals: `metadata.creationTimestamp` in seconds, then `metadata.uid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Seconds since 1970.
    pub created: i64,
    /// `metadata.uid`.
    pub uid: String,
}

/// All claims.
#[derive(Default)]
pub struct Claims {
    all: Mutex<Table>,
    exchanges: Exchanges,
}

#[derive(Default)]
struct Table {
    slots: HashMap<Claim, Slot>,
    of: HashMap<ObjectName, HashSet<Claim>>,
}

#[derive(Default)]
struct Slot {
    held: Option<(Rank, ObjectName)>,
    wished: BTreeMap<Rank, ObjectName>,
    losers: BTreeSet<ObjectName>,
}

impl Claims {
    /// Records an object as the manager of an id. The current holder keeps the claim, so that no record can take it away;
    /// at a start, the older of two is recorded first. `Some` is another holder.
    pub fn record(&self, claim: &Claim, rank: &Rank, who: &ObjectName) -> Option<ObjectName> {
        self.change(claim, who, |slot| {
            if slot.held.as_ref().is_none_or(|(_, holder)| holder == who) {
                slot.held = Some((rank.clone(), who.clone()));
            }
        })
    }

    /// Records that an object wishes to create, or adopt, something: of two objects that wish for it, the older one gets it.
    pub fn wish(&self, claim: &Claim, rank: &Rank, who: &ObjectName) {
        self.change(claim, who, |slot| {
            slot.wished.retain(|_, other| other != who);
            slot.wished.insert(rank.clone(), who.clone());
        });
    }

    /// Takes a claim, unless another object holds it, or an older one has wished for it. `Some` is that other object.
    pub fn take(&self, claim: &Claim, rank: &Rank, who: &ObjectName) -> Option<ObjectName> {
        self.change(claim, who, |slot| {
            let free = slot.held.as_ref().is_none_or(|(_, holder)| holder == who);
            let older = slot.wished.iter().next().filter(|(other, by)| *other < rank && *by != who);
            match (free, older) {
                (true, None) => slot.held = Some((rank.clone(), who.clone())),
                (true, Some((older, by))) => slot.held = Some((older.clone(), by.clone())),
                (false, _) => {}
            }
        })
    }

    /// The other holder of a claim, if there is one: the caller's object is then triggered when that changes.
    pub fn watch_holder(&self, claim: &Claim, who: &ObjectName) -> Option<ObjectName> {
        let mut table = self.table();
        let slot = table.slots.get_mut(claim)?;
        let holder = slot.held.as_ref().map(|(_, holder)| holder.clone()).filter(|holder| holder != who)?;
        slot.losers.insert(who.clone());
        Some(holder)
    }

    /// Drops the claims that an object no longer needs. Returns the objects that may have a chance now.
    pub fn keep_only(&self, who: &ObjectName, kept: &[Claim]) -> Vec<ObjectName> {
        let mut table = self.table();
        let mine = table.of.remove(who).unwrap_or_default();
        let (keep, drop): (HashSet<_>, HashSet<_>) = mine.into_iter().partition(|c| kept.contains(c));
        let mut freed = vec![];
        for claim in drop {
            let Some(slot) = table.slots.get_mut(&claim) else { continue };
            slot.wished.retain(|_, other| other != who);
            if slot.held.as_ref().is_some_and(|(_, holder)| holder == who) {
                slot.held = None;
                freed.extend(std::mem::take(&mut slot.losers));
            }
            if slot.held.is_none() && slot.wished.is_empty() {
                table.slots.remove(&claim);
            }
        }
        if !keep.is_empty() {
            table.of.insert(who.clone(), keep);
        }
        freed
    }

    /// Takes out the objects that lost against an object and may have a chance now that it was changed.
    pub fn take_losers(&self, who: &ObjectName) -> Vec<ObjectName> {
        let mut table = self.table();
        let mine: Vec<Claim> = table.of.get(who).into_iter().flatten().cloned().collect();
        let mut losers = vec![];
        for claim in mine {
            let Some(slot) = table.slots.get_mut(&claim) else { continue };
            if slot.held.as_ref().is_some_and(|(_, holder)| holder == who) {
                losers.extend(std::mem::take(&mut slot.losers));
            }
        }
        losers
    }

    /// The account refuses the key that an object needs because it is taken, or may refuse it. Returns whether the objects that
    /// wait for each other's keys form a circle through this object, so that one must step aside.
    pub fn record_name_taken(
        &self,
        account_id: &str,
        who: &ObjectName,
        has: Option<&Key>,
        wants: &Key,
    ) -> bool {
        self.exchanges.record(account_id, who, has, wants)
    }

    /// An object gave up its key, or may have. Returns the others of its kind that wait for it.
    pub fn name_freed(&self, account_id: &str, who: &ObjectName, had: &Key) -> Vec<ObjectName> {
        self.exchanges.freed(account_id, who, had)
    }

    /// Removes an object from those that wait for a key. It is added again when a key that it needs is taken.
    pub fn stop_waiting_for_name(&self, who: &ObjectName) {
        self.exchanges.remove(who);
    }

    /// Drops all claims of an object. Returns the objects that may have a chance now.
    pub fn release(&self, who: &ObjectName) -> Vec<ObjectName> {
        self.exchanges.remove(who);
        self.keep_only(who, &[])
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.all.lock().expect("no panic while held")
    }

    /// Changes a slot; `Some` is a holder other than `who`; `who` then counts as having lost.
    fn change(&self, claim: &Claim, who: &ObjectName, f: impl FnOnce(&mut Slot)) -> Option<ObjectName> {
        let mut table = self.table();
        table.of.entry(who.clone()).or_default().insert(claim.clone());
        let slot = table.slots.entry(claim.clone()).or_default();
        f(slot);
        let other = slot.held.as_ref().map(|(_, holder)| holder.clone()).filter(|holder| holder != who)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> ObjectName {
        ObjectName { kind: "IpAccessList".into(), namespace: "a".into(), name: name.into() }
    }

    fn rank(created: i64) -> Rank {
        Rank { created, uid: format!("u{created}") }
    }

    fn office() -> Claim {
        Claim::id("acc", "IpAccessList", "1")
    }

    #[test]
    fn a_claim_that_is_taken_stays_taken() {
        let claims = Claims::default();
        assert_eq!(claims.take(&office(), &rank(2), &who("newer")), None);
        assert_eq!(claims.take(&office(), &rank(1), &who("older")), Some(who("newer")));
        assert_eq!(
            claims.take(&office(), &rank(2), &who("newer")),
            None,
            "again is no conflict with oneself"
        );
        assert_eq!(claims.release(&who("newer")), [who("older")], "the loser is triggered");
        assert_eq!(claims.take(&office(), &rank(1), &who("older")), None);
    }

    #[test]
    fn of_two_wishes_the_older_wins() {
        let claims = Claims::default();
        claims.wish(&office(), &rank(2), &who("newer"));
        claims.wish(&office(), &rank(1), &who("older"));
        assert_eq!(claims.take(&office(), &rank(2), &who("newer")), Some(who("older")));
        assert_eq!(claims.take(&office(), &rank(1), &who("older")), None);
    }

    #[test]
    fn a_record_does_not_replace_the_holder() {
        let claims = Claims::default();
        assert_eq!(claims.record(&office(), &rank(2), &who("newer")), None);
        assert_eq!(claims.record(&office(), &rank(1), &who("forged")), Some(who("newer")));
        assert_eq!(claims.watch_holder(&office(), &who("third")), Some(who("newer")));
        let mut freed = claims.release(&who("newer"));
        freed.sort();
        assert_eq!(freed, [who("forged"), who("third")]);
    }

    #[test]
    fn a_renamed_object_releases_its_old_name() {
        let claims = Claims::default();
        let old = Claim::key("acc", "IpAccessList", &Key { within: String::new(), name: "old".into() });
        assert_eq!(claims.take(&old, &rank(1), &who("one")), None);
        claims.keep_only(&who("one"), &[office()]);
        assert_eq!(claims.take(&old, &rank(2), &who("two")), None);
    }
}
