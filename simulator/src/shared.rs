//! What all calls share: the account behind its lock, and the end of the simulator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::World;

/// What all calls share.
pub(crate) struct Shared {
    world: Mutex<World>,
    /// Some call has begun to be held.
    pub holding: Notify,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

impl Shared {
    pub fn new(world: World) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Arc::new(Self { world: Mutex::new(world), holding: Notify::new(), stop, tasks })
    }

    /// The account, locked. A panic elsewhere leaves it usable: each change is a single insertion.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
