//! What the process remembers between reconciles. All of it may be lost: after a restart it is learnt again from the
//! cluster and the account.

mod barrier;
mod breaker;
mod claims;
mod exchange;
mod last_change;
mod parent_locks;
mod remembered;
mod wake;

use std::sync::Arc;

pub use barrier::StartupBarrier;
pub use breaker::Breaker;
pub use claims::{Claim, Claimant, Claims, Rank, named};
pub use last_change::LastChange;
pub use parent_locks::ParentLocks;
pub use remembered::{Announced, ObjectMemory, Recall, Refusal, Remembered};
pub use wake::{RefersTo, Wake};

/// All that is remembered. One for the process.
pub struct Memory {
    /// Which objects refer to which.
    pub wake: Arc<Wake>,
    /// Which object manages what.
    pub claims: Claims,
    /// Stops mass deletion.
    pub breaker: Breaker,
    /// Which objects were not reconciled yet since the start.
    pub barrier: StartupBarrier,
    /// What is remembered of each object.
    pub objects: Remembered,
    /// Allows one guarded change under a parent at a time.
    pub parent_locks: ParentLocks,
}

impl Memory {
    /// Nothing is remembered yet.
    pub fn new(wake: Arc<Wake>, max_deletions_per_hour: u32) -> Memory {
        Memory {
            wake,
            claims: Claims::default(),
            breaker: Breaker::new(max_deletions_per_hour),
            barrier: StartupBarrier::default(),
            objects: Remembered::default(),
            parent_locks: ParentLocks::default(),
        }
    }
}
