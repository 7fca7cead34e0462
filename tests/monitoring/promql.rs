//! What an expression names. No parser: `promtool` is one; this finds the names of our metrics, and of labels.

use std::collections::BTreeSet;

/// A metric in an expression, with what is asked of its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    pub metric: String,
    /// Label, and the values that it may have; none where anything but a list of words is asked for.
    pub labels: Vec<(String, Vec<String>)>,
}

fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
}

/// The metrics of ours that it names.
pub fn selected(expression: &str) -> Vec<Selected> {
    let prefix = "databricks_operator_";
    let found = expression.match_indices(prefix).map(|(at, _)| {
        let metric = word(&expression[at..]);
        let rest = &expression[at + metric.len()..];
        let inside = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap()).unwrap_or_default();
        let matchers = inside.split(',').filter(|matcher| !matcher.trim().is_empty());
        Selected { metric: metric.to_owned(), labels: matchers.map(matcher).collect() }
    });
    found.collect()
}

fn matcher(text: &str) -> (String, Vec<String>) {
    let text = text.trim();
    let label = word(text);
    let value = text.split('"').nth(1).unwrap_or_else(|| panic!("{text} is no matcher"));
    let words = value.split('|').map(str::to_owned);
    let plain = value.chars().all(|c| c.is_alphanumeric() || c == '|' || c == '_');
    (label.to_owned(), if plain { words.collect() } else { vec![] })
}

/// The labels that it groups or joins by.
pub fn grouped(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["by (", "on ("] {
        for rest in expression.split(start).skip(1) {
            let inside = rest.split(')').next().unwrap();
            found.extend(inside.split(',').map(|label| label.trim().to_owned()));
        }
    }
    found
}

#[test]
fn names_are_found() {
    let text = "sum by (job, kind) (rate(databricks_operator_a_total{x=\"1|2\", y!~\"a.*\"}[5m])) > on (job) databricks_operator_b";
    let labels = vec![("x".into(), vec!["1".into(), "2".into()]), ("y".into(), vec![])];
    let a = Selected { metric: "databricks_operator_a_total".into(), labels };
    let b = Selected { metric: "databricks_operator_b".into(), labels: vec![] };
    assert_eq!(selected(text), [a, b]);
    assert_eq!(grouped(text).into_iter().collect::<Vec<_>>(), ["job", "kind"]);
}
