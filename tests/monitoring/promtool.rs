//! Calls of `promtool`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use world::Tool;

use crate::files::RULES;

/// The program, built from its Go module at the first use.
static PROMTOOL: LazyLock<PathBuf> =
    LazyLock::new(|| Tool::Promtool.locate().unwrap_or_else(|e| panic!("{e}")));

/// Runs it; what it prints is the error where it fails.
pub fn run(args: &[&str]) -> Result<String, String> {
    let output = Command::new(&*PROMTOOL).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// An expression, the minute at which it is asked, and what it must give: labels with a value.
pub type Question = (String, u32, Vec<(String, f64)>);

/// One test of the rules: series with their values by the minute, and questions.
pub fn story(name: &str, series: &[(String, String)], questions: Vec<Question>) -> Value {
    let series = series.iter().map(|(series, values)| json!({"series": series, "values": values}));
    let questions = questions.into_iter().map(|(expression, minute, expected)| {
        let samples = expected.into_iter().map(|(labels, value)| json!({"labels": labels, "value": value}));
        json!({"expr": expression, "eval_time": format!("{minute}m"), "exp_samples": samples.collect::<Vec<_>>()})
    });
    json!({
        "name": name, "interval": "1m",
        "input_series": series.collect::<Vec<_>>(), "promql_expr_test": questions.collect::<Vec<_>>(),
    })
}

/// Runs tests of the rules.
pub fn test(stories: &[Value]) -> Result<String, String> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let file = json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": stories});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tests.yaml");
    // JSON is YAML.
    std::fs::write(&path, serde_json::to_string_pretty(&file).unwrap()).unwrap();
    run(&["test", "rules", path.to_str().unwrap()])
}

/// A series by its labels, with its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// What expressions give in a minute of series that begin at this time, in seconds since 1970.
pub fn answers(series: &[(String, String)], start: u64, minute: u32, asked: Vec<String>) -> Vec<Vec<Sample>> {
    let count = asked.len();
    // It only tells what it got where that is not expected.
    let never = vec![("{of=\"no metric\"}".to_owned(), 0.0)];
    let asked = asked.into_iter().map(|expression| (expression, minute, never.clone())).collect();
    let mut story = story("answers", series, asked);
    story["start_timestamp"] = json!(start.to_string());
    let told = test(&[story]).expect_err("nothing gives what is expected");
    let got = told.lines().filter_map(|line| line.trim().strip_prefix("got: "));
    let all: Vec<Vec<Sample>> = got.map(samples).collect();
    assert_eq!(all.len(), count, "not every expression has an answer:\n{told}");
    all
}

/// Reads `{kind="Workspace", operation="create"} 1E+00, {…} 2E+00`.
fn samples(got: &str) -> Vec<Sample> {
    let sample = |text: &str| {
        let (labels, value) = text.split_once("} ").unwrap_or_else(|| panic!("{text} is no sample"));
        let labels = labels.split(", ").filter_map(|label| label.split_once('='));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
        (labels.collect(), value.trim_end_matches(", ").parse().unwrap_or_else(|e| panic!("{text}: {e}")))
    };
    got.split('{').skip(1).map(sample).collect()
}
