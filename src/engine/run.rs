//! Watches, work queues, start and end of the process, and the gauges that a scrape reads from the caches.

mod census;
mod controller;
mod longest;
mod startup;
mod watch;

pub use census::Census;
pub use controller::{Parts, SHUTDOWN, run};
