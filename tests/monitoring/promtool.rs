//! Calls of `promtool`.

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
