//! The wall clock: the time of day, for what people read and what outlives the process.
//!
//! It is the only part of the operator that reads one. Waits, ages within the process and deadlines are measured by tokio's
//! `Instant` instead, which no step of the wall clock moves. In production this is the clock of the machine, nothing else. A
//! test that runs under tokio's paused clock lets the time of its thread follow that clock, so that both move together.

use std::cell::Cell;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

thread_local! {
    /// The time of day at some moment of tokio's clock, if this thread follows that clock.
    static FOLLOWED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The time now.
pub fn now() -> Timestamp {
    match FOLLOWED.get() {
        Some((time, at)) => time.checked_add(at.elapsed()).unwrap_or(Timestamp::MAX),
        None => Timestamp::now(),
    }
}

/// For tests under tokio's paused clock: on this thread it is `time` now, and the time of day moves as tokio's clock does. To be
/// called within the runtime; another call sets the time of day again, as a correction of a machine's clock would.
pub fn follow_tokio(time: Timestamp) {
    FOLLOWED.set(Some((time, Instant::now())));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_follows_tokio_has_its_time() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        follow_tokio(start);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(now().to_string(), "2026-01-01T00:01:30Z");
        let elsewhere = std::thread::spawn(now).join().unwrap();
        assert!(
            (Timestamp::now().as_second() - elsewhere.as_second()).abs() < 60,
            "other threads do not follow"
        );
        FOLLOWED.set(None);
    }
}
