//! What is held against each other: the alerts, their runbooks, the dashboard.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::promql;

/// A file of the repository.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The rules of alerts.
pub const RULES: &str = "charts/databricks-operator/files/alerts.yaml";

/// All alerts, as they are written.
pub fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    let all: Vec<Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
    assert!(all.len() > 9, "only {} alerts", all.len());
    all
}

/// The dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(&read("charts/databricks-operator/files/dashboard.json")).unwrap()
}

/// The panels of the dashboard without its headings.
pub fn panels() -> Vec<Value> {
    let all = dashboard()["panels"].as_array().unwrap().clone();
    let all: Vec<Value> = all.into_iter().filter(|panel| panel["type"] != "row").collect();
    assert!(all.len() > 9, "only {} panels", all.len());
    all
}

/// The queries of a panel, with a value for each variable.
pub fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().unwrap().iter();
    let written = targets.map(|target| target["expr"].as_str().unwrap());
    let filled =
        |text: &str| text.replace("$namespace", ".*").replace("$job", ".*").replace("$__rate_interval", "5m");
    written.map(filled).collect()
}

/// What a page of `docs/runbooks` asks Prometheus.
pub fn runbook_queries(page: &str) -> Vec<String> {
    let blocks = page.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| block.lines().map(str::to_owned)).collect()
}

/// The names of the pages in `docs/runbooks`.
pub fn runbooks() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_str().unwrap().strip_suffix(".md").unwrap().to_owned()).collect()
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do_and_has_a_runbook() {
    let mut named = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(named.insert(name.to_owned()), "{name} is there twice");
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{name}: {severity:?}");
        let text =
            |key: &str| alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name}: no {key}"));
        assert!(text("summary").ends_with('.') && text("summary").len() < 90, "{name}: {}", text("summary"));
        assert!(text("description").contains("First "), "{name} does not say what to do first");
        assert_eq!(text("runbook_url"), format!("docs/runbooks/{name}.md"));
        let row = format!(
            "| [{}](runbooks/{name}.md) | {} |",
            &name["DatabricksOperator".len()..],
            severity.unwrap()
        );
        assert!(read("docs/monitoring.md").contains(&row), "docs/monitoring.md has no {row}");
        // What a text names has to be left by the expression.
        let left = promql::grouped(alert["expr"].as_str().unwrap());
        for key in ["summary", "description"] {
            for label in text(key).split("$labels.").skip(1) {
                let end = label.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap();
                assert!(
                    left.contains(&label[..end]),
                    "{name}: its {key} names {}, which is not left",
                    &label[..end]
                );
            }
        }
    }
    assert_eq!(runbooks(), named, "a page for each alert, and no other");
    for name in named {
        let page = read(&format!("docs/runbooks/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        for part in ["**Noticed by users.**", "## Check", "## Fix", "## Resolved"] {
            assert!(page.contains(part), "docs/runbooks/{name}.md has no {part}");
        }
    }
}

#[test]
fn every_panel_explains_itself() {
    let dashboard = dashboard();
    let headings: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    let order = ["Is anything broken?", "What?", "Since when?", "Whose?", "What does the API say?"];
    assert_eq!(headings[..order.len()], order, "the questions come in this order");
    let datasource = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    let mut places = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title}: no description"
        );
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string(), "{title}: no unit");
        assert!(defaults["thresholds"]["steps"].is_array(), "{title}: no thresholds");
        // Without a plugin.
        assert!(["stat", "table", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"], datasource, "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], datasource, "{title}");
        }
        for row in panel["gridPos"]["y"].as_u64().unwrap()
            ..(panel["gridPos"]["y"].as_u64().unwrap() + panel["gridPos"]["h"].as_u64().unwrap())
        {
            for column in 0..panel["gridPos"]["w"].as_u64().unwrap() {
                let x = panel["gridPos"]["x"].as_u64().unwrap() + column;
                assert!(x < 24 && places.insert((x, row)), "{title} lies over another panel, or outside");
            }
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource");
}
