//! What is told at a scrape without being counted along: how the objects in the caches are, what waits for a pass, which
//! watches fail, when tokens end. Nothing here can run out of step with what it tells of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use kube::runtime::watcher;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use tokio::time::Instant;

use super::cluster::TIMEOUT;
use super::controller::condition;
use super::meter::Meter;
use super::pass::Engine;
use super::status::ConditionType;

mod since;

use since::Longest;

/// A watch that could not be begun, and has not failed again for this long, is taken to work: kube does not tell when it
/// begins. An attempt that fails does so in time, and the next one comes after half a minute at most.
const LULL: Duration = TIMEOUT.saturating_mul(3);

/// What waits for a pass of a kind, and how its watches are. kube's queue cannot be looked at, so what goes into it and
/// what comes out is written down here.
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
    /// It was a LIST that failed last, and if one succeeds that is told.
    listing: bool,
}

impl Queue {
    /// An object was triggered. What waits already keeps its time.
    pub fn triggered(&self, namespace: &str, name: &str) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.entry((namespace.to_owned(), name.to_owned())).or_insert_with(Instant::now);
    }

    /// Its pass begins, or it is gone and there will be none.
    pub fn taken(&self, namespace: &str, name: &str) {
        self.waiting.lock().expect("no panic while held").remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The watch failed. One that had begun worked until then: it may have been cut off because it was quiet for long.
    pub(super) fn failed(&self, namespace: Option<&str>, error: &watcher::Error) {
        use watcher::Error;
        let listing = match error {
            Error::WatchFailed(_) => return self.works(namespace),
            // A new LIST is asked for.
            Error::WatchError(status) if status.code == 410 => return self.works(namespace),
            Error::WatchStartFailed(_) | Error::WatchError(_) => false,
            Error::InitialListFailed(_) | Error::NoResourceVersion => true,
        };
        let (mut failing, now) = (self.failing.lock().expect("no panic while held"), Instant::now());
        let namespace = namespace.map(str::to_owned);
        let same = failing
            .get(&namespace)
            .filter(|series| series.listing || now.duration_since(series.last) <= LULL);
        let first = same.map_or(now, |series| series.first);
        failing.insert(namespace, Failures { first, last: now, listing });
    }

    /// The watch has brought something, so it works.
    pub fn works(&self, namespace: Option<&str>) {
        let mut failing = self.failing.lock().expect("no panic while held");
        if !failing.is_empty() {
            failing.remove(&namespace.map(str::to_owned));
        }
    }

    /// How many wait, and the longest for how long. Nobody waits before passes `began`.
    fn told(&self, began: Option<Instant>) -> (usize, Duration) {
        let Some(began) = began else { return (0, Duration::ZERO) };
        let waiting = self.waiting.lock().expect("no panic while held");
        let oldest = waiting.values().min().map(|since| (*since).max(began).elapsed());
        (waiting.len(), oldest.unwrap_or_default())
    }

    /// For how long at least a watch has been failing: since its first failure while it cannot list, else the time between
    /// its first failure and its last.
    fn failing_for(&self) -> Duration {
        let failing = self.failing.lock().expect("no panic while held");
        let lasting = failing.values().filter_map(|series| match series.listing {
            true => Some(series.first.elapsed()),
            false if series.last.elapsed() > LULL => None,
            false => Some(series.last.duration_since(series.first)),
        });
        lasting.max().unwrap_or_default()
    }
}

/// How often each condition of a kind has each status.
#[derive(Default)]
struct Conditions([[u64; 3]; ConditionType::ALL.len()]);

const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

impl Conditions {
    /// A condition that is not there counts too, so that the three sum up to the number of objects: as False where it is
    /// only there while it is true, as Unknown where an object was not looked at yet.
    fn add(&mut self, object: &DynamicObject) {
        for (at, kind) in ConditionType::ALL.into_iter().enumerate() {
            let found = condition(object, kind);
            let missing = if kind.always_there() { "Unknown" } else { "False" };
            let status = found.and_then(|c| c["status"].as_str()).unwrap_or(missing);
            let which = STATUSES.iter().position(|known| *known == status).unwrap_or(2);
            self.0[at][which] += 1;
        }
    }
}

impl Engine {
    /// All objects of a kind, as the caches have them.
    fn objects(&self, kind: &str) -> impl Iterator<Item = Arc<DynamicObject>> {
        self.stores.iter().filter(move |(other, _)| other == kind).flat_map(|(_, store)| store.state())
    }

    /// One walk for all that is told of a kind.
    fn count(&self, kind: &str, now: Timestamp) -> Census {
        let mut census = Census::default();
        for object in self.objects(kind) {
            census.conditions.add(&object);
            census.longest.add(&object, now);
        }
        census
    }
}

/// How the objects of a kind are.
#[derive(Default)]
struct Census {
    conditions: Conditions,
    longest: Longest,
}

impl Collector for Meter {
    fn encode(&self, mut to: DescriptorEncoder) -> fmt::Result {
        let engine = self.engine.get().and_then(Weak::upgrade);
        let engine = engine.as_deref();
        let now = Timestamp::now();
        let count = |kind| engine.map(|engine| engine.count(kind, now)).unwrap_or_default();
        let kinds: Vec<_> = self.kinds().map(|(kind, _)| (kind, count(kind))).collect();
        resources(&kinds, &mut to)?;
        since::encode(&kinds, &mut to)?;
        queues(self, engine, &mut to)?;
        let help = "When the first of the tokens in use expires; missing if the operator has none";
        let mut expiry = gauge(&mut to, "auth_token_expiry_timestamp_seconds", help)?;
        let ends = engine.and_then(|engine| engine.auths.token_expiry());
        if let Some(since_epoch) = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            expiry.encode_gauge(&since_epoch.as_secs_f64().round())?;
        }
        let help = "Accounts in which the operator deletes nothing more, because they reached the limit of deletions per hour";
        let stopped = engine.map_or(0, |engine| engine.breaker.tripped());
        gauge(&mut to, "mass_deletion_stopped", help)?.encode_gauge(&stopped)?;
        let leads = engine.is_some_and(|engine| engine.permit.holds());
        let help = "1 while this process holds the lease and acts, else 0";
        gauge(&mut to, "leader", help)?.encode_gauge(&u64::from(leads))
    }
}

fn gauge<'e>(
    to: &'e mut DescriptorEncoder,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    to.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn resources(kinds: &[(&str, Census)], to: &mut DescriptorEncoder) -> fmt::Result {
    let help = "Objects in the cluster, by kind and by the status of each condition. A condition that an object does not have \
                counts as False where it is only there while true, else as Unknown";
    let mut to = gauge(to, "resources", help)?;
    for (kind, census) in kinds {
        for (condition, counts) in ConditionType::ALL.into_iter().zip(census.conditions.0) {
            for (status, count) in STATUSES.into_iter().zip(counts) {
                let labels = [("kind", *kind), ("condition", condition.name()), ("status", status)];
                to.encode_family(&labels)?.encode_gauge(&count)?;
            }
        }
    }
    Ok(())
}

fn queues(meter: &Meter, engine: Option<&Engine>, to: &mut DescriptorEncoder) -> fmt::Result {
    let began = engine.and_then(|engine| engine.began.get().copied());
    let all: Vec<_> = meter.kinds().map(|(kind, of)| ([("kind", kind)], of.queue.told(began))).collect();
    let help = "Objects that were changed or triggered and wait for their reconcile";
    let mut depth = gauge(to, "workqueue_depth", help)?;
    for (kind, (waiting, _)) in &all {
        depth.encode_family(kind)?.encode_gauge(waiting)?;
    }
    let mut oldest = gauge(to, "workqueue_oldest_seconds", "How long the first of them has been waiting")?;
    for (kind, (_, longest)) in &all {
        oldest.encode_family(kind)?.encode_gauge(&longest.as_secs_f64())?;
    }
    let help = "How long the watch on the API server has been failing, at least; 0 when it works";
    let mut failing = gauge(to, "watch_failing_seconds", help)?;
    for (kind, of) in meter.kinds() {
        failing.encode_family(&[("kind", kind)])?.encode_gauge(&of.queue.failing_for().as_secs_f64())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_triggered_waits_until_its_pass_begins() {
        let (queue, began) = (Queue::default(), Instant::now());
        queue.triggered("ns", "a");
        advance(seconds(3)).await;
        queue.triggered("ns", "b");
        queue.triggered("ns", "a");
        advance(seconds(2)).await;
        assert_eq!(queue.told(Some(began)), (2, seconds(5)));
        assert_eq!(queue.told(None), (0, Duration::ZERO), "a replica that waits is not late");
        assert_eq!(queue.told(Some(Instant::now())), (2, Duration::ZERO), "nor was it before it led");
        queue.taken("ns", "a");
        assert_eq!(queue.told(Some(began)), (1, seconds(2)));
        queue.taken("ns", "b");
        queue.taken("ns", "unknown");
        assert_eq!(queue.told(Some(began)), (0, Duration::ZERO));
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
        advance(LULL).await;
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

    #[test]
    fn the_statuses_of_a_condition_sum_up_to_the_objects() {
        let object = |conditions: serde_json::Value| -> DynamicObject {
            let status = json!({"conditions": conditions});
            serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap()
        };
        let mut all = Conditions::default();
        all.add(&object(json!([])));
        all.add(&object(json!([{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}])));
        all.add(&object(json!([{"type": "Ready", "status": "odd"}, {"type": "Stalled", "status": "True"}])));
        let of = |kind: ConditionType| all.0[ConditionType::ALL.iter().position(|k| *k == kind).unwrap()];
        assert_eq!(of(ConditionType::Ready), [1, 0, 2]);
        assert_eq!(of(ConditionType::Synced), [0, 0, 3]);
        assert_eq!(of(ConditionType::Stalled), [1, 2, 0]);
        assert!(all.0.iter().all(|counts| counts.iter().sum::<u64>() == 3));
    }
}
