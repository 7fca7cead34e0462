//! What a kind states in constants, as data for the engine: a [`super::Driver`] has no types. Values only.

use std::time::Duration;

use super::lifecycle::{Home, Lifecycle, Ownership};
use super::references::Reference;
use super::resource::Immutable;

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
    /// What proves ownership.
    pub ownership: Ownership,
    /// How it is created.
    pub lifecycle: Lifecycle,
    /// Whether it holds users' data.
    pub data_bearing: bool,
    /// Whether its create returns a secret that no read shows.
    pub issues: bool,
    /// Whether a grant must name the kind to allow it.
    pub granted_by_name: bool,
    /// Whether the API can take it away.
    pub removable: bool,
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
}
