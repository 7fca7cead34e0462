//! What a scrape gets: one registry with all that the client and the engine count, and the text of it.
//!
//! Names begin with `databricks_operator_`. What is counted is next to what does it: [`crate::databricks::Meter`],
//! [`crate::engine::meter`] and [`crate::engine::census`]. How a scrape is answered is in [`answers`].

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::databricks;
use crate::engine::driver::Driver;
use crate::engine::meter::Meter;

mod admit;
mod serve;

pub use admit::Guard;
pub use serve::answers;

/// Everything that is counted in this process.
pub struct Metrics {
    registry: Registry,
    /// The calls to Databricks.
    pub calls: Arc<databricks::Meter>,
    /// The passes over objects.
    pub engine: Arc<Meter>,
}

impl Metrics {
    /// Counts for these kinds. All that has a closed set of labels is there at once, with zeros.
    pub fn new(kinds: &[&dyn Driver]) -> Metrics {
        let mut registry = Registry::with_prefix("databricks_operator");
        let build: Family<[(&str, &str); 1], Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "Always 1; the label tells the version", build);
        let calls = Arc::new(databricks::Meter::default());
        calls.register(&mut registry);
        let engine = Meter::register(&mut registry, kinds.iter().map(|kind| kind.api_resource().kind));
        Metrics { registry, calls, engine }
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
