//! The API server: our objects, their events, the caches that the watches fill, and the lease.

mod config_map;
mod events;
mod lease;
mod objects;
mod output;
mod owned;
mod stores;

pub use config_map::OutputMap;
pub use events::Events;
pub use lease::{Lease, Settings as LeaseSettings};
pub use objects::{FIELD_MANAGER, Objects, RecordCopy, TIMEOUT, prune, timed};
pub use output::{Content, Held, NotFilled, OutputSecret, Reserved};
pub use stores::{Cached, Stores};

/// Everything that a reconcile reads from the API server and writes to it. One for the process.
pub struct Cluster {
    /// Reads and writes of single objects.
    pub objects: Objects,
    /// Events about objects.
    pub events: Events,
    /// What the watches know.
    pub stores: Stores,
}
