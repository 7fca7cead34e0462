//! What the process remembers between reconciles. All of it may be lost: after a restart it is learnt again from the
//! cluster and the account.
//!
//! * Of one object: `remembered.rs`, with the life of a create; `last_change.rs`: that of an update; `sightings.rs`: what its list does not
//!   have.
//! * Of several objects that want the same thing in the account: `claims.rs` (`ranked.rs`: the order in which they get it), `taken_names.rs`.
//! * Of objects that refer to each other, and how one triggers another: `triggers.rs`.
//! * What makes an object wait: `barrier.rs` after a start, `line.rs` if many are new, `parent_locks.rs` for its turn to write, `breaker.rs`
//!   after too many deletions.
//! * Of a DatabricksAuth: `unmanaged.rs`.

mod barrier;
mod breaker;
mod claims;
mod last_change;
mod line;
mod parent_locks;
mod ranked;
mod remembered;
mod sightings;
mod taken_names;
mod triggers;
mod unmanaged;

use std::sync::Arc;

pub use barrier::StartupBarrier;
pub use breaker::Breaker;
pub use claims::{AS_ENTRY, Claim, Claimant, Claims, holding, named};
pub use last_change::LastChange;
pub use line::{Line, WorkerSlot};
pub use parent_locks::ParentLocks;
pub use ranked::Rank;
pub use remembered::{Announced, ObjectMemory, Recall, Refusal, Remembered};
pub use sightings::Age;
pub use taken_names::TakenNames;
pub use triggers::{RefersTo, Triggers};
pub use unmanaged::{Report, Totals, UnmanagedCounts};

/// All that is remembered. One for the process.
pub struct Memory {
    /// Which objects refer to which.
    pub triggers: Arc<Triggers>,
    /// Which object manages what.
    pub claims: Claims,
    /// Which objects wait for a name that is taken in the account.
    pub taken_names: TakenNames,
    /// Stops mass deletion.
    pub breaker: Breaker,
    /// Which objects were not reconciled yet since the start.
    pub barrier: StartupBarrier,
    /// New objects that wait until they may be worked on.
    pub line: Line,
    /// What is remembered of each object.
    pub objects: Remembered,
    /// The counts of what no object names in the accounts.
    pub unmanaged: UnmanagedCounts,
    /// Allows one guarded change under a parent at a time.
    pub parent_locks: ParentLocks,
}

impl Memory {
    /// Nothing is remembered yet. Each kind has so many `workers`.
    pub fn new(triggers: Arc<Triggers>, max_deletions_per_hour: u32, workers: usize) -> Memory {
        Memory {
            line: Line::new(workers, triggers.clone()),
            triggers,
            claims: Claims::default(),
            taken_names: TakenNames::default(),
            breaker: Breaker::new(max_deletions_per_hour),
            barrier: StartupBarrier::default(),
            objects: Remembered::default(),
            unmanaged: UnmanagedCounts::default(),
            parent_locks: ParentLocks::default(),
        }
    }
}
