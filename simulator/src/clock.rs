//! The simulator's clock: real time, plus whatever a test has advanced it by.
//!
//! It follows tokio's clock, so it stands still where a test has paused that one.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub(crate) struct Clock {
    started: Instant,
    /// Epoch milliseconds at `started`, plus all advances.
    base_ms: u64,
}

impl Clock {
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), base_ms: since_epoch.as_millis() as u64 }
    }

    /// Epoch milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.base_ms + self.started.elapsed().as_millis() as u64
    }

    pub fn advance(&mut self, ms: u64) {
        self.base_ms += ms;
    }
}
