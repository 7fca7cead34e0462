//! The table: a line for each step, printed at once, and all lines as Markdown and JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::count::Difference;

/// The marks of the table in a document.
const MARKS: [&str; 2] = ["<!-- begin of make bench -->", "<!-- end of make bench -->"];

/// Titles, each with how wide its column is at least.
const COLUMNS: [(&str, usize); 16] = [
    ("step", 28),
    ("objects", 7),
    ("s", 6),
    ("bound, s", 8),
    ("calls", 6),
    ("of bound", 8),
    ("429", 3),
    ("writes", 6),
    ("events", 6),
    ("CPU, ms", 7),
    ("CPU a reconcile, ms", 19),
    ("RSS, MiB", 8),
    ("bytes", 7),
    ("Terraform", 20),
    ("also", 10),
    ("calls by method", 15),
];

/// A step and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The scenario and the step.
    pub step: String,
    /// How many objects the step was about.
    pub objects: usize,
    /// The calls without which the step is impossible.
    pub bound_calls: Option<u64>,
    /// How long they take at the rate that was set.
    pub bound_seconds: Option<f64>,
    /// What was spent.
    pub cost: Difference,
    /// Memory that an existing object needs.
    pub bytes_per_object: Option<u64>,
    /// Other figures by name.
    pub also: Vec<(String, f64)>,
    /// The same step with Databricks' Terraform provider.
    pub terraform: Option<Recorded>,
}

/// What another tool needed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Recorded {
    /// Its time.
    pub seconds: f64,
    /// Its calls to the account.
    pub calls: u64,
}

/// All lines so far.
pub struct Report(Vec<Line>);

impl Line {
    /// A line without a bound.
    pub fn new(step: String, objects: usize, cost: Difference) -> Line {
        Line {
            step,
            objects,
            bound_calls: None,
            bound_seconds: None,
            cost,
            bytes_per_object: None,
            also: vec![],
            terraform: None,
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let cost = &self.cost;
        let each = |count: u64| decimal(count as f64 / self.objects.max(1) as f64);
        let maybe = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        let of_bound =
            self.bound_calls.map(|bound| format!("{:.3}", cost.sent() as f64 / bound.max(1) as f64));
        let reconcile =
            (cost.reconciles > 0).then(|| format!("{:.3}", cost.cpu_ms as f64 / cost.reconciles as f64));
        let terraform =
            self.terraform.map(|it| format!("{:.1} s, {} calls", it.seconds, thousands(it.calls)));
        let also: Vec<String> = self.also.iter().map(|(name, value)| format!("{name}: {value:.2}")).collect();
        [
            self.step.clone(),
            thousands(self.objects as u64),
            format!("{:.1}", cost.seconds),
            maybe(self.bound_seconds.map(|seconds| format!("{seconds:.1}"))),
            thousands(cost.sent()),
            maybe(of_bound),
            thousands(cost.refused),
            each(cost.writes()),
            each(cost.events()),
            each(cost.cpu_ms),
            maybe(reconcile),
            format!("{:.1}", cost.rss_kib as f64 / 1024.0),
            maybe(self.bytes_per_object.map(thousands)),
            maybe(terraform),
            also.join("; "),
            short(cost),
        ]
    }
}

impl Report {
    /// Prints the head of the table.
    pub fn begin() -> Report {
        println!("{}", head());
        Report(vec![])
    }

    /// Prints a line.
    pub fn add(&mut self, line: Line) {
        println!("{}", row(&line.cells()));
        self.0.push(line);
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.0
    }

    /// The table.
    pub fn markdown(&self) -> String {
        let rows = self.0.iter().map(|line| row(&line.cells()));
        std::iter::once(head()).chain(rows).collect::<Vec<_>>().join("\n")
    }
}

fn head() -> String {
    let rules = COLUMNS.map(|(_, width)| "-".repeat(width));
    format!("{}\n{}", row(&COLUMNS.map(|(title, _)| title.to_owned())), row(&rules))
}

fn row(cells: &[String; COLUMNS.len()]) -> String {
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:width$}"));
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

/// The calls, most first, each with its method and the last word of its path.
fn short(cost: &Difference) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in &cost.calls {
        let (method, path) = name.split_once(' ').unwrap_or((name.as_str(), ""));
        let word = path.rsplit('/').find(|part| *part != "*").unwrap_or_default();
        *counts.entry(format!("{method} {word}")).or_default() += count;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let texts = counts.into_iter().map(|(name, count)| format!("{} {name}", thousands(count)));
    texts.collect::<Vec<_>>().join(", ")
}

/// A number with two decimals, or none if it has none.
fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix(".00").map_or(text.clone(), str::to_owned)
}

/// A number with a comma after each three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A document with this text between its marks; none if it does not have both.
pub fn insert(document: &str, text: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = document.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let calls = [
            ("PUT /api/2.0/accounts/*/workspaces/*/permissionassignments/principals/*", 1_000),
            ("GET /api/2.0/accounts/*/workspaces/*/permissionassignments", 3),
            ("POST /oidc/accounts/*/v1/token", 1),
        ];
        let requests = [("patch permissionassignments/status", 2_000), ("create events", 1_500)];
        let cost = Difference {
            seconds: 66.74,
            calls: calls.map(|(name, count)| (name.to_owned(), count)).into(),
            requests: requests.map(|(name, count)| (name.to_owned(), count)).into(),
            reconciles: 2_000,
            cpu_ms: 2_150,
            rss_kib: 46_080,
            ..Difference::default()
        };
        let terraform = Some(Recorded { seconds: 134.3, calls: 2_000 });
        let also = vec![("p50, s".to_owned(), 0.0413)];
        Line { bound_calls: Some(1_000), also, terraform, ..Line::new("peer: create".into(), 1_000, cost) }
    }

    #[test]
    fn a_line_has_the_figures_of_its_step() {
        let cells = line().cells();
        let expected = [
            "peer: create",
            "1,000",
            "66.7",
            "–",
            "1,004",
            "1.004",
            "0",
            "3.50",
            "1.50",
            "2.15",
            "1.075",
            "45.0",
            "–",
            "134.3 s, 2,000 calls",
            "p50, s: 0.04",
            "1,000 PUT principals, 3 GET permissionassignments, 1 POST token",
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn every_row_has_all_columns() {
        let lines = [head(), row(&line().cells())].join("\n");
        let columns: Vec<usize> = lines.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [COLUMNS.len() + 1; 3]);
        assert!(head().lines().all(|line| line.starts_with("| ") && line.ends_with(" |")));
    }

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (number, text) in [(0.0, "0"), (6.0, "6"), (2.154, "2.15")] {
            assert_eq!(decimal(number), text);
        }
    }

    #[test]
    fn a_document_gets_the_table_between_its_marks_alone() {
        let [begin, end] = MARKS;
        let document = format!("# Title\n\n{begin}\nold\n{end}\n\nRest\n");
        let written = insert(&document, "new").unwrap();
        assert_eq!(written, format!("# Title\n\n{begin}\n\nnew\n\n{end}\n\nRest\n"));
        assert_eq!(insert(&written, "new").unwrap(), written);
        assert_eq!(insert("# Title\n", "new"), None);
    }
}
