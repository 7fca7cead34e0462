//! What a kind states in constants, as data for the engine: a [`super::Driver`] has no types. Values only.

use std::time::Duration;

use super::lifecycle::{Home, Lifecycle, Ownership};
use super::output::Issues;
use super::references::Reference;
use super::resource::Immutable;
use super::seen::{Explained, GuardReads};

/// The constants of [`super::ExternalResource`], each with the meaning that it has there.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Fields that cannot change after creation, references among them.
    pub immutable: &'static [Immutable],
    /// The other objects of the account that one refers to.
    pub references: &'static [Reference],
    /// Fields that the API never returns.
    pub untold: &'static [&'static str],
    /// Fields that a LIST leaves out.
    pub unlisted: &'static [&'static str],
    /// Where the objects are.
    pub home: Home,
    /// Whether each is under a parent.
    pub parented: bool,
    /// What proves ownership.
    pub ownership: Ownership,
    /// How it is created.
    pub lifecycle: Lifecycle,
    /// Whether it holds users' data.
    pub data_bearing: bool,
    /// How a person restores one that is lost.
    pub undelete: Option<&'static str>,
    /// Whether it is retained by default.
    pub retained: bool,
    /// What its create returns that no read shows.
    pub issues: Issues,
    /// Whether a grant must name the kind to allow it.
    pub granted_by_name: bool,
    /// Whether the API can take it away.
    pub removable: bool,
    /// Whether a deletion may set it back to what it was before it was managed, though the API cannot take it away.
    pub restored: bool,
    /// How long reads may lag behind writes.
    pub read_lag: Duration,
    /// Whether its guard needs the operator's own principal.
    pub guarded_alone: bool,
    /// Whether its guard reads all objects of the kind.
    pub guarded_among_siblings: bool,
    /// Whether creates under one parent are sent one at a time.
    pub creates_in_turn: bool,
    /// Whether all writes under one parent are sent one at a time.
    pub writes_in_turn: bool,
    /// Whether its objects are found by an equal key alone.
    pub found_by_key: bool,
    /// Whether it manages parts that objects of other kinds can manage too.
    pub has_parts: bool,
    /// The other kind whose objects its guard reads.
    pub guard_reads: Option<GuardReads>,
    /// The kind whose objects say more about its own.
    pub explained: Option<Explained>,
    /// The kind that manages single entries of what it determines as a whole list, if it does that.
    pub roster: Option<&'static str>,
}

impl Traits {
    /// Whether those that no Kubernetes object names can be counted: not what always exists, nor what an object of another kind can
    /// manage as a part of its own, as the members of a group.
    pub fn is_counted(&self) -> bool {
        match self.lifecycle {
            Lifecycle::Object => true,
            Lifecycle::Upsert => !self.has_parts,
            Lifecycle::Standing => false,
        }
    }

    /// Whether its objects are secrets.
    pub fn are_secrets(&self) -> bool {
        self.issues == Issues::Secret
    }
}
