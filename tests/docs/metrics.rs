//! `docs/metrics.md` has every metric that the operator exposes, as it exposes it. `UPDATE=1 cargo test --test docs` writes
//! its tables.

use std::collections::{BTreeMap, BTreeSet};

use databricks_operator::databricks::CODES;
use databricks_operator::kinds::KINDS;
use databricks_operator::metrics::Metrics;

use crate::{read, root};

const DOCUMENT: &str = "docs/metrics.md";

/// One metric, as a scrape tells of it.
#[derive(Default)]
struct Metric {
    type_: String,
    help: String,
    /// Values by label, in the order in which they come first.
    labels: Vec<(String, Vec<String>)>,
}

impl Metric {
    fn add(&mut self, label: &str, value: &str) {
        let at = self.labels.iter().position(|(name, _)| name == label).unwrap_or_else(|| {
            self.labels.push((label.into(), vec![]));
            self.labels.len() - 1
        });
        let values = &mut self.labels[at].1;
        if !values.iter().any(|known| known == value) {
            values.push(value.into());
        }
    }
}

/// All metrics by name, read off what a process exposes that has done nothing yet.
fn metrics() -> BTreeMap<String, Metric> {
    let text = databricks_operator::metrics::plain(&Metrics::new(KINDS).text());
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name.into()).or_default().help = help.trim_end_matches('.').into();
        } else if let Some((name, type_)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            all.entry(name.into()).or_default().type_ = type_.into();
        } else if let Some((name, rest)) = line.split_once('{') {
            let of = |name: &str| name.rsplit_once('_').map(|(stem, _)| stem.to_owned());
            let name = if all.contains_key(name) { name.to_owned() } else { of(name).unwrap() };
            for label in rest.split_once('}').unwrap().0.split(',') {
                let (label, value) = label.split_once('=').unwrap();
                if label != "le" {
                    all.get_mut(&name)
                        .unwrap_or_else(|| panic!("{line}"))
                        .add(label, value.trim_matches('"'));
                }
            }
        }
    }
    // The only labels whose values come when they come.
    let codes = all.get_mut("databricks_operator_api_requests_total").unwrap();
    CODES.iter().for_each(|code| codes.add("code", code));
    let unmanaged = all.get_mut("databricks_operator_unmanaged_objects").unwrap();
    let counted = KINDS.iter().filter(|kind| kind.traits().is_counted());
    counted.for_each(|kind| unmanaged.add("kind", &kind.kind()));
    all
}

/// The tables as they have to be.
fn tables() -> String {
    let all = metrics();
    let code = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let mut sets: BTreeMap<(String, Vec<String>), BTreeSet<String>> = BTreeMap::new();
    for (name, metric) in &all {
        let labels: Vec<String> = metric.labels.iter().map(|(label, _)| label.clone()).collect();
        text += &format!("| `{name}` | {} | {} | {} |\n", metric.type_, code(&labels), metric.help);
        // The version is told by whatever asks for it.
        for (label, values) in metric.labels.iter().filter(|(label, _)| label != "version") {
            let mut values = values.clone();
            // Where the order has no meaning.
            if label != "code" {
                values.sort();
            }
            sets.entry((label.clone(), values)).or_default().insert(name.clone());
        }
    }
    text += "\n| label | of | values |\n|---|---|---|\n";
    for ((label, values), metrics) in &sets {
        let one =
            metrics.iter().next().filter(|_| sets.keys().filter(|(other, _)| other == label).count() > 1);
        let of = one.map_or("all".to_owned(), |name| format!("`{name}`"));
        text += &format!("| `{label}` | {of} | {} |\n", code(values));
    }
    text
}

#[test]
fn metrics_md_has_every_metric_with_its_labels_and_meaning() {
    let (text, known) = (read(DOCUMENT), tables());
    let head = text.find("| metric |").expect("docs/metrics.md has the table of metrics");
    if std::env::var_os("UPDATE").is_some() && text[head..] != known {
        std::fs::write(root().join(DOCUMENT), [&text[..head], &known].concat()).unwrap();
        return;
    }
    assert_eq!(&text[head..], known, "UPDATE=1 cargo test --test docs writes it");
}

#[test]
fn every_metric_says_what_it_is() {
    let all = metrics();
    assert!(all.len() > 20, "only {} metrics", all.len());
    for (name, metric) in all {
        assert!(name.starts_with("databricks_operator_"), "{name}");
        assert!(
            ["counter", "gauge", "histogram"].contains(&metric.type_.as_str()),
            "{name}: {}",
            metric.type_
        );
        assert!(metric.help.len() > 20, "{name}: {:?}", metric.help);
        assert_eq!(metric.type_ == "counter", name.ends_with("_total"), "{name}");
    }
}
