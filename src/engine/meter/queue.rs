//! What waits for a reconcile, and which watches fail. [`Meter`](super::Meter) keeps one queue for each kind.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use kube::runtime::watcher;
use tokio::time::Instant;

use crate::engine::cluster::TIMEOUT;

/// A watch that could not start, and has not failed again for this long, counts as working: kube does not report when it
/// starts. An attempt that fails does so in time, and the next one comes after half a minute at most.
const QUIET: Duration = TIMEOUT.saturating_mul(3);

/// What waits for a reconcile of a kind, and the state of its watches. kube does not expose its queue, so this type records
/// what enters and leaves it.
#[derive(Debug, Default)]
pub struct Queue {
    /// Namespace and name of what was triggered, and when.
    waiting: Mutex<HashMap<(String, String), Instant>>,
    /// By the namespace that is watched, if not all are.
    failing: Mutex<HashMap<Option<String>, Failures>>,
}

/// A series of failures of a watch.
#[derive(Clone, Copy, Debug)]
struct Failures {
    first: Instant,
    last: Instant,
    /// The last failure was one of a LIST; a LIST that succeeds is reported.
    listing: bool,
}

impl Queue {
    /// An object was triggered. What waits already keeps its time.
    pub fn triggered(&self, namespace: &str, name: &str) {
        let mut waiting = self.waiting();
        waiting.entry((namespace.to_owned(), name.to_owned())).or_insert_with(Instant::now);
    }

    /// Its reconcile begins, or the object is gone and there will be none.
    pub fn taken(&self, namespace: &str, name: &str) {
        self.waiting().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The watch failed. One that had begun worked until then: it may have been cut off because it was quiet for long.
    pub fn failed(&self, namespace: Option<&str>, error: &watcher::Error) {
        use watcher::Error;
        let listing = match error {
            Error::WatchFailed(_) => return self.works(namespace),
            // The API server asks for a new LIST.
            Error::WatchError(status) if status.code == 410 => return self.works(namespace),
            Error::WatchStartFailed(_) | Error::WatchError(_) => false,
            Error::InitialListFailed(_) | Error::NoResourceVersion => true,
        };
        let (mut failing, now) = (self.failing(), Instant::now());
        let namespace = namespace.map(str::to_owned);
        let same = failing
            .get(&namespace)
            .filter(|series| series.listing || now.duration_since(series.last) <= QUIET);
        let first = same.map_or(now, |series| series.first);
        failing.insert(namespace, Failures { first, last: now, listing });
    }

    /// The watch has brought something, so it works.
    pub fn works(&self, namespace: Option<&str>) {
        let mut failing = self.failing();
        if !failing.is_empty() {
            failing.remove(&namespace.map(str::to_owned));
        }
    }

    /// How many objects wait, and how long the first of them has waited. Nothing waits before reconciles `began`.
    pub fn depth(&self, began: Option<Instant>) -> (usize, Duration) {
        let Some(began) = began else { return (0, Duration::ZERO) };
        let waiting = self.waiting();
        let oldest = waiting.values().min().map(|since| (*since).max(began).elapsed());
        (waiting.len(), oldest.unwrap_or_default())
    }

    /// For how long at least a watch has been failing: since its first failure while it cannot list, else the time between
    /// its first failure and its last.
    pub fn failing_for(&self) -> Duration {
        let failing = self.failing();
        let lasting = failing.values().filter_map(|series| match series.listing {
            true => Some(series.first.elapsed()),
            false if series.last.elapsed() > QUIET => None,
            false => Some(series.last.duration_since(series.first)),
        });
        lasting.max().unwrap_or_default()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<(String, String), Instant>> {
        self.waiting.lock().expect("no panic while held")
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<Option<String>, Failures>> {
        self.failing.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_was_triggered_waits_until_its_reconcile_begins() {
        let (queue, began) = (Queue::default(), Instant::now());
        queue.triggered("ns", "a");
        advance(seconds(3)).await;
        queue.triggered("ns", "b");
        queue.triggered("ns", "a");
        advance(seconds(2)).await;
        assert_eq!(queue.depth(Some(began)), (2, seconds(5)));
        assert_eq!(queue.depth(None), (0, Duration::ZERO), "a replica that waits is not late");
        assert_eq!(queue.depth(Some(Instant::now())), (2, Duration::ZERO), "nor was it before it led");
        queue.taken("ns", "a");
        assert_eq!(queue.depth(Some(began)), (1, seconds(2)));
        queue.taken("ns", "b");
        queue.taken("ns", "unknown");
        assert_eq!(queue.depth(Some(began)), (0, Duration::ZERO));
    }

    fn cut() -> kube::Error {
        kube::Error::LinesCodecMaxLineLengthExceeded
    }

    fn start() -> watcher::Error {
        watcher::Error::WatchStartFailed(cut())
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_fails_from_its_first_error_to_its_last() {
        let queue = Queue::default();
        assert_eq!(queue.failing_for(), Duration::ZERO);
        // A single one is a blip.
        queue.failed(None, &start());
        advance(seconds(20)).await;
        assert_eq!(queue.failing_for(), Duration::ZERO);
        for _ in 0..3 {
            queue.failed(None, &start());
            advance(seconds(30)).await;
        }
        assert_eq!(queue.failing_for(), seconds(80));
        queue.works(None);
        assert_eq!(queue.failing_for(), Duration::ZERO);
        // Of several, the one that has been failing for longest; one that brings nothing works when it fails no more.
        for namespace in [Some("a"), Some("b"), Some("a")] {
            queue.failed(namespace, &start());
            advance(seconds(10)).await;
        }
        queue.works(Some("b"));
        assert_eq!(queue.failing_for(), seconds(20));
        advance(QUIET).await;
        assert_eq!(queue.failing_for(), Duration::ZERO);
        queue.failed(Some("a"), &start());
        assert_eq!(queue.failing_for(), Duration::ZERO, "a new series");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_watch_that_is_cut_off_now_and_then_does_not_fail() {
        let queue = Queue::default();
        let gone = kube::core::Status { code: 410, ..kube::core::Status::default() };
        for error in [watcher::Error::WatchFailed(cut()), watcher::Error::WatchError(gone.boxed())] {
            queue.failed(None, &start());
            for _ in 0..20 {
                advance(seconds(40)).await;
                queue.failed(None, &error);
            }
            assert_eq!(queue.failing_for(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_fails_until_one_succeeds() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.failed(None, &watcher::Error::InitialListFailed(cut()));
            advance(seconds(330)).await;
        }
        assert_eq!(queue.failing_for(), seconds(990));
        queue.works(None);
        assert_eq!(queue.failing_for(), Duration::ZERO);
    }
}
