//! Watches, work queues, start and end of the process, and what a scrape reads off the caches.

mod census;
mod controller;
mod since;
mod startup;
mod watch;

pub use census::Census;
pub use controller::{Parts, SHUTDOWN, run};
