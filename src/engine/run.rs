//! Watches, work queues, start and end of the process, and the gauges that a scrape reads from the caches.
//!
//! `controller.rs` starts and stops all of it and calls each reconcile. `watch.rs` decides which event needs a reconcile, and of which
//! objects. `startup.rs` records what the caches show before the first reconcile. `census.rs` has the gauges, `longest.rs` those of ages.

mod census;
mod controller;
mod longest;
mod startup;
mod watch;

pub use census::Census;
pub use controller::{Parts, SHUTDOWN, run};
