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
use crate::engine::crd::{KIND, age};

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
}

impl ReconcileResult {
    const ALL: [(ReconcileResult, &'static str); 12] = [
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
    passes: Vec<Counter>,
    durations: Histogram,
    ready: Histogram,
    deletions: Histogram,
    drift_detected: Counter,
    drift_corrected: Counter,
    status_writes: Counter,
    external_writes: Vec<Counter>,
    watch_errors: Counter,
    /// What waits for a reconcile.
    pub queue: Queue,
}

impl Meter {
    /// Counts for these kinds and DatabricksAuth, under their names in a registry.
    pub fn register(registry: &mut Registry, kinds: impl Iterator<Item = String>) -> Arc<Meter> {
        let families = Families::register(registry);
        let kinds = kinds.chain([KIND.to_owned()]);
        let kinds = kinds.map(|kind| (kind.clone(), families.of(&kind))).collect();
        Arc::new(Meter { kinds, panics: families.panics })
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
        self.passes[result as usize].inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// An object that was created at this time is Ready for the first time.
    pub fn became_ready(&self, made: Timestamp) {
        self.ready.observe(seconds_since(made));
    }

    /// An object was released whose deletion was requested at this time.
    pub fn let_go(&self, asked: Timestamp) {
        self.deletions.observe(seconds_since(asked));
    }

    /// A settled object was found to differ from its spec.
    pub fn drift_detected(&self) {
        self.drift_detected.inc();
    }

    /// That difference was corrected.
    pub fn drift_corrected(&self) {
        self.drift_corrected.inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// Something was changed in the account.
    pub fn wrote(&self, write: Write) {
        self.external_writes[write as usize].inc();
    }

    /// The watch failed, in this namespace or in all.
    pub fn watch_failed(&self, namespace: Option<&str>, error: &watcher::Error) {
        self.watch_errors.inc();
        self.queue.failed(namespace, error);
    }
}

fn seconds_since(then: Timestamp) -> f64 {
    age(then, Timestamp::now()).as_secs_f64()
}

type Labels<const N: usize> = [(&'static str, String); N];

type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// The metric families in the registry; each kind keeps its own part.
struct Families {
    passes: Family<Labels<2>, Counter>,
    durations: Histograms,
    ready: Histograms,
    deletions: Histograms,
    drift_detected: Family<Labels<1>, Counter>,
    drift_corrected: Family<Labels<1>, Counter>,
    status_writes: Family<Labels<1>, Counter>,
    external_writes: Family<Labels<2>, Counter>,
    watch_errors: Family<Labels<1>, Counter>,
    panics: Counter,
}

impl Families {
    fn register(to: &mut Registry) -> Families {
        let passes =
            || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        // From a moment to the hour after which an operation counts as stalled, and days.
        let lives = || {
            Histogram::new([1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 86400.0])
        };
        let all = Families {
            passes: Family::default(),
            durations: Family::new_with_constructor(passes),
            ready: Family::new_with_constructor(lives),
            deletions: Family::new_with_constructor(lives),
            drift_detected: Family::default(),
            drift_corrected: Family::default(),
            status_writes: Family::default(),
            external_writes: Family::default(),
            watch_errors: Family::default(),
            panics: Counter::default(),
        };
        to.register(
            "reconcile",
            "Reconciliations by result: done, again (something was written, another reconcile follows), progress (Databricks is \
             working), waiting (for another object), limited (by the rate limit), transient (retried), conflict (a stale view, read \
             again), refused (needs a person), blocked (a deletion that is blocked), unknown (a create without a response), fenced \
             (the lease was lost), suspended",
            all.passes.clone(),
        );
        to.register("reconcile_duration_seconds", "How long reconciliations took", all.durations.clone());
        to.register(
            "time_to_ready_seconds",
            "From the creation of an object to the first time that it was Ready; not if the operator was restarted in between",
            all.ready.clone(),
        );
        to.register(
            "deletion_duration_seconds",
            "From the request to delete an object until the operator removed its finalizer",
            all.deletions.clone(),
        );
        to.register(
            "drift_detected",
            "Objects that matched their spec and were found changed in the account, and differences found with Observe",
            all.drift_detected.clone(),
        );
        to.register(
            "drift_corrected",
            "Objects changed in the account that the operator corrected to match their spec",
            all.drift_corrected.clone(),
        );
        to.register("status_writes", "Writes of the status of objects", all.status_writes.clone());
        to.register(
            "external_writes",
            "Changes in the account that were accepted; adopt is the adoption of an existing object",
            all.external_writes.clone(),
        );
        to.register("watch_errors", "Errors of the watch on the API server", all.watch_errors.clone());
        to.register(
            "panics",
            "Reconciliations that panicked because of a bug in the operator; the log has the details",
            all.panics.clone(),
        );
        all
    }

    /// The part of a kind, with a zero for everything.
    fn of(&self, kind: &str) -> OfKind {
        let kind = ("kind", kind.to_owned());
        let one = [kind.clone()];
        let two = |key, value: &str| [kind.clone(), (key, value.to_owned())];
        let passes = ReconcileResult::ALL
            .iter()
            .map(|(_, word)| self.passes.get_or_create_owned(&two("result", word)));
        let writes = Write::ALL
            .iter()
            .map(|(_, word)| self.external_writes.get_or_create_owned(&two("operation", word)));
        OfKind {
            passes: passes.collect(),
            durations: self.durations.get_or_create_owned(&one),
            ready: self.ready.get_or_create_owned(&one),
            deletions: self.deletions.get_or_create_owned(&one),
            drift_detected: self.drift_detected.get_or_create_owned(&one),
            drift_corrected: self.drift_corrected.get_or_create_owned(&one),
            status_writes: self.status_writes.get_or_create_owned(&one),
            external_writes: writes.collect(),
            watch_errors: self.watch_errors.get_or_create_owned(&one),
            queue: Queue::default(),
        }
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
    fn each_word_is_at_the_place_that_is_counted() {
        assert!(ReconcileResult::ALL.iter().enumerate().all(|(at, (result, _))| *result as usize == at));
        assert!(Write::ALL.iter().enumerate().all(|(at, (write, _))| *write as usize == at));
    }
}
