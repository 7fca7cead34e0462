//! Counts of the engine's work, for `/metrics`. Each label has a closed set of values: a kind, or a word of one of the
//! enums here; never a name, and never more series because there are more objects.
//!
//! Counts only. What a scrape can read from the caches is not counted here: see `run/census.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::queue::Queue;
use crate::clock;
use crate::engine::crd::{AUTH_KIND, age};

/// How a reconcile ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `Outcome` and `Error`")]
pub enum ReconcileResult {
    Done,
    Again,
    Progress,
    Suspended,
    Limited,
    Refused,
    Blocked,
    Waiting,
    Transient,
    Conflict,
    Unknown,
    Fenced,
    Later,
}

impl ReconcileResult {
    const ALL: [(ReconcileResult, &'static str); 13] = [
        (ReconcileResult::Done, "done"),
        (ReconcileResult::Again, "again"),
        (ReconcileResult::Progress, "progress"),
        (ReconcileResult::Suspended, "suspended"),
        (ReconcileResult::Limited, "limited"),
        (ReconcileResult::Refused, "refused"),
        (ReconcileResult::Blocked, "blocked"),
        (ReconcileResult::Waiting, "waiting"),
        (ReconcileResult::Transient, "transient"),
        (ReconcileResult::Conflict, "conflict"),
        (ReconcileResult::Unknown, "unknown"),
        (ReconcileResult::Fenced, "fenced"),
        (ReconcileResult::Later, "later"),
    ];

    /// Its word in metrics, logs and traces.
    pub fn word(self) -> &'static str {
        ReconcileResult::ALL[self as usize].1
    }
}

/// What was changed in the account. An adoption changes which objects are ours there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Write {
    Create,
    Adopt,
    Update,
    Delete,
}

impl Write {
    const ALL: [(Write, &'static str); 4] = [
        (Write::Create, "create"),
        (Write::Adopt, "adopt"),
        (Write::Update, "update"),
        (Write::Delete, "delete"),
    ];

    fn word(self) -> &'static str {
        Write::ALL[self as usize].1
    }
}

/// All counts of the engine. One for the process; also before there is an engine.
#[derive(Debug)]
pub struct Meter {
    kinds: BTreeMap<String, OfKind>,
    panics: Counter,
}

/// The counts of one kind.
#[derive(Debug)]
pub struct OfKind {
    kind: String,
    metrics: Arc<Metrics>,
    /// What waits for a reconcile.
    pub queue: Queue,
}

impl Meter {
    /// Counts for these kinds and DatabricksAuth, under their names in a registry.
    pub fn register(registry: &mut Registry, kinds: impl Iterator<Item = String>) -> Arc<Meter> {
        let kinds: Vec<String> = kinds.chain([AUTH_KIND.to_owned()]).collect();
        let metrics = Arc::new(Metrics::register(&mut Registration { registry, kinds: &kinds }));
        let of = |kind: String| OfKind { kind, metrics: metrics.clone(), queue: Queue::default() };
        let kinds = kinds.into_iter().map(|kind| (kind.clone(), of(kind))).collect();
        let panics = Counter::default();
        let help = "Reconciliations that panicked because of a bug in the operator; the log has the details";
        registry.register("panics", help, panics.clone());
        Arc::new(Meter { kinds, panics })
    }

    /// The counts of a kind.
    pub fn of(&self, kind: &str) -> &OfKind {
        self.kinds.get(kind).expect("every kind of the engine was given to `register`")
    }

    /// All kinds with their counts.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &OfKind)> {
        self.kinds.iter().map(|(kind, counts)| (kind.as_str(), counts))
    }

    /// A reconcile panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

impl OfKind {
    /// A reconcile ended.
    pub fn passed(&self, result: ReconcileResult, took: Duration) {
        self.metrics.reconciles.get_or_create(&two(&self.kind, "result", result.word())).inc();
        self.metrics.durations.get_or_create(&one(&self.kind)).observe(took.as_secs_f64());
    }

    /// An object that was created at this time is Ready for the first time.
    pub fn became_ready(&self, created: Timestamp) {
        self.metrics.ready.get_or_create(&one(&self.kind)).observe(seconds_since(created));
    }

    /// An object was released whose deletion was requested at this time.
    pub fn released(&self, asked: Timestamp) {
        self.metrics.deletions.get_or_create(&one(&self.kind)).observe(seconds_since(asked));
    }

    /// A settled object was found to differ from its spec.
    pub fn drift_detected(&self) {
        self.metrics.drift_detected.get_or_create(&one(&self.kind)).inc();
    }

    /// That difference was corrected.
    pub fn drift_corrected(&self) {
        self.metrics.drift_corrected.get_or_create(&one(&self.kind)).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.metrics.status_writes.get_or_create(&one(&self.kind)).inc();
    }

    /// Something was changed in the account.
    pub fn wrote(&self, write: Write) {
        self.metrics.external_writes.get_or_create(&two(&self.kind, "operation", write.word())).inc();
    }

    /// The watch failed, in this namespace or in all.
    pub fn watch_failed(&self, namespace: Option<&str>, error: &watcher::Error) {
        self.metrics.watch_errors.get_or_create(&one(&self.kind)).inc();
        self.queue.failed(namespace, error);
    }
}

fn seconds_since(then: Timestamp) -> f64 {
    age(then, clock::now()).as_secs_f64()
}

type Labels<const N: usize> = [(&'static str, String); N];

fn one(kind: &str) -> Labels<1> {
    [("kind", kind.to_owned())]
}

fn two(kind: &str, label: &'static str, value: &str) -> Labels<2> {
    [("kind", kind.to_owned()), (label, value.to_owned())]
}

type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// The metrics of all kinds.
#[derive(Debug)]
struct Metrics {
    reconciles: Counters<2>,
    durations: Histograms,
    ready: Histograms,
    deletions: Histograms,
    drift_detected: Counters<1>,
    drift_corrected: Counters<1>,
    status_writes: Counters<1>,
    external_writes: Counters<2>,
    watch_errors: Counters<1>,
}

impl Metrics {
    fn register(to: &mut Registration<'_>) -> Metrics {
        Metrics {
            reconciles: to.counter_by(
                "reconcile",
                "Reconciliations by result: done, again (something was written, another reconcile follows), progress (Databricks is \
                 working), waiting (for another object), limited (by the rate limit), transient (retried), conflict (a stale view, \
                 read again), refused (needs a person), blocked (a deletion that is blocked), unknown (a create without a response), \
                 fenced (the lease was lost), later (others go first, or share their reads with it), suspended",
                "result",
                &ReconcileResult::ALL.map(|(_, word)| word),
            ),
            durations: to.histogram("reconcile_duration_seconds", "How long reconciliations took", short),
            ready: to.histogram(
                "time_to_ready_seconds",
                "From the creation of an object to the first time that it was Ready; not counted if the operator was restarted in between",
                long,
            ),
            deletions: to.histogram(
                "deletion_duration_seconds",
                "From the request to delete an object until the operator removed its finalizer",
                long,
            ),
            drift_detected: to.counter(
                "drift_detected",
                "Objects that matched their spec and were then found changed in the account, and differences found with Observe",
            ),
            drift_corrected: to.counter(
                "drift_corrected",
                "Objects changed in the account that the operator corrected to match their spec",
            ),
            status_writes: to.counter("status_writes", "Writes of the status of objects"),
            external_writes: to.counter_by(
                "external_writes",
                "Changes in the account that were accepted; adopt is the adoption of an existing object",
                "operation",
                &Write::ALL.map(|(_, word)| word),
            ),
            watch_errors: to.counter("watch_errors", "Errors of the watch on the API server"),
        }
    }
}

/// The buckets of reconciles.
fn short() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// The buckets of lives of objects: from a moment to the hour after which an operation counts as stalled, and days.
fn long() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 86400.0])
}

/// Creates metrics in a registry. Every series of these kinds exists at once, with a zero.
struct Registration<'a> {
    registry: &'a mut Registry,
    kinds: &'a [String],
}

impl Registration<'_> {
    fn counter(&mut self, name: &str, help: &str) -> Counters<1> {
        let family = Counters::default();
        self.kinds.iter().for_each(|kind| drop(family.get_or_create(&one(kind))));
        self.registry.register(name, help, family.clone());
        family
    }

    /// A counter with one more label, which has these values.
    fn counter_by(&mut self, name: &str, help: &str, label: &'static str, values: &[&str]) -> Counters<2> {
        let family = Counters::default();
        for kind in self.kinds {
            values.iter().for_each(|value| drop(family.get_or_create(&two(kind, label, value))));
        }
        self.registry.register(name, help, family.clone());
        family
    }

    fn histogram(&mut self, name: &str, help: &str, new: fn() -> Histogram) -> Histograms {
        let family = Histograms::new_with_constructor(new);
        self.kinds.iter().for_each(|kind| drop(family.get_or_create(&one(kind))));
        self.registry.register(name, help, family.clone());
        family
    }
}

/// Begins a gauge in a scrape.
pub fn gauge<'e>(
    to: &'e mut DescriptorEncoder,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    to.encode_descriptor(name, help, None, MetricType::Gauge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_at_the_index_of_its_value() {
        assert!(ReconcileResult::ALL.iter().enumerate().all(|(at, (result, _))| *result as usize == at));
        assert!(Write::ALL.iter().enumerate().all(|(at, (write, _))| *write as usize == at));
    }
}
