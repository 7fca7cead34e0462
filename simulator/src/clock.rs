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

    /// A clock that shows `epoch_ms` now.
    pub fn at(epoch_ms: u64) -> Self {
        Self { started: Instant::now(), base_ms: epoch_ms }
    }

    /// Epoch milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.base_ms + self.started.elapsed().as_millis() as u64
    }

    pub fn advance(&mut self, ms: u64) {
        self.base_ms += ms;
    }
}

/// Epoch milliseconds as RFC 3339 in UTC, in whole seconds.
pub(crate) fn rfc3339(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut day, mut year, mut month) = (seconds / 86_400, 1970, 0);
    while day >= if is_leap(year) { 366 } else { 365 } {
        day -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn a_time_is_written_as_its_date() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59Z"),
            (1_835_395_200_000, "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }
}
