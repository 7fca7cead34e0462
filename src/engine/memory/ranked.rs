//! Objects that hold one thing, or wish to, by rank: the older first. An object has one rank here at a time.
//!
//! Thousands can share a part of one object. So an object is found by its rank and by its name, and what is read in order are the first
//! few, or those that can exclude another one. Which of them may have the thing is in `claims.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::crd::ObjectName;

/// Age decides among equals: `metadata.creationTimestamp` in seconds, then `metadata.uid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Seconds since 1970.
    pub created: i64,
    /// `metadata.uid`.
    pub uid: String,
}

/// One that holds a claim, or wishes to.
#[derive(Clone)]
pub struct Claiming {
    /// The object.
    pub who: ObjectName,
    /// Whether others can hold it too, if they share it.
    pub shared: bool,
}

impl Claiming {
    /// Whether the two cannot both hold it.
    pub fn excludes(&self, other: &Claiming) -> bool {
        self.who != other.who && !(self.shared && other.shared)
    }
}

/// All that hold one thing, or all that wish to.
#[derive(Default)]
pub struct Ranked {
    all: BTreeMap<Rank, Claiming>,
    ranks: HashMap<ObjectName, Rank>,
    /// The ranks of those that do not share it.
    alone: BTreeSet<Rank>,
}

impl Ranked {
    /// The one of a rank.
    pub fn get(&self, rank: &Rank) -> Option<&Claiming> {
        self.all.get(rank)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds an object. Under its name it may have had another rank, before it was created again.
    pub fn put(&mut self, rank: &Rank, one: Claiming) {
        self.remove(&one.who);
        self.ranks.insert(one.who.clone(), rank.clone());
        if one.shared {
            self.alone.remove(rank);
        } else {
            self.alone.insert(rank.clone());
        }
        if let Some(replaced) = self.all.insert(rank.clone(), one) {
            self.ranks.remove(&replaced.who);
        }
    }

    /// Removes an object, if it is there.
    pub fn remove(&mut self, who: &ObjectName) {
        if let Some(rank) = self.ranks.remove(who) {
            self.all.remove(&rank);
            self.alone.remove(&rank);
        }
    }

    /// The oldest ones.
    pub fn first(&self, count: usize) -> impl Iterator<Item = &Claiming> {
        self.all.values().take(count).inspect(|_| passed())
    }

    /// Those older than a rank that exclude an object, the oldest first.
    pub fn older<'a>(
        &'a self,
        rank: &'a Rank,
        me: &'a Claiming,
    ) -> impl Iterator<Item = (&'a Rank, &'a Claiming)> {
        // One that shares it is excluded only by those that do not.
        let (alone, all) = match me.shared {
            true => (Some(self.alone.range::<Rank, _>(..rank)), None),
            false => (None, Some(self.all.range::<Rank, _>(..rank))),
        };
        let alone = alone.into_iter().flatten().filter_map(move |rank| self.all.get_key_value(rank));
        let older = alone.chain(all.into_iter().flatten()).inspect(|_| passed());
        older.filter(move |(_, by)| by.excludes(me))
    }
}

#[cfg(test)]
thread_local! {
    /// How many objects were read in order.
    pub static PASSED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts, in tests, an object that is read in order.
fn passed() {
    #[cfg(test)]
    PASSED.set(PASSED.get() + 1);
}
