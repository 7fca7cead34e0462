//! What a scrape gets: one registry with all that the client and the engine count, and the text of it.
//!
//! Names begin with `databricks_operator_`. Each count is next to the code that it counts: [`crate::databricks::Meter`],
//! [`crate::engine::meter`] and [`crate::engine::run`]. [`router`] responds to scrapes.

mod admit;
mod serve;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::databricks;
use crate::engine::kind::Driver;
use crate::engine::meter::Meter;
use crate::engine::run::Census;

pub use admit::Authorizer;
pub use serve::router;

/// Everything that is counted in this process.
pub struct Metrics {
    registry: Registry,
    /// The calls to Databricks.
    pub calls: Arc<databricks::Meter>,
    /// The reconciles.
    pub engine: Arc<Meter>,
    /// The objects in the caches.
    pub census: Arc<Census>,
}

impl Metrics {
    /// Counts for these kinds. Every series of a closed set of labels exists at once, with a zero.
    pub fn new(kinds: &[&dyn Driver]) -> Metrics {
        let mut registry = Registry::with_prefix("databricks_operator");
        let build: Family<[(&str, &str); 1], Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "Always 1; the label has the version", build);
        let calls = Arc::new(databricks::Meter::default());
        calls.register(&mut registry);
        let engine = Meter::register(&mut registry, kinds.iter().map(|kind| kind.kind().into_owned()));
        let census = Census::register(&mut registry, engine.clone());
        Metrics { registry, calls, engine, census }
    }

    /// All values now, in the text form of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }
}

/// The same in the older form of Prometheus, in which counters are described under the name of their samples.
pub fn plain(openmetrics: &str) -> String {
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                format!("# {what} {name}_total {rest}\n")
            }
            _ if line == "# EOF" => String::new(),
            _ => format!("{line}\n"),
        }
    };
    openmetrics.lines().map(line).collect()
}
