//! What each step did with each resource: a table for people, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::tofu::{Expected, Step};

/// Resource by step.
#[derive(Default)]
pub struct Table {
    columns: Vec<Column>,
}

struct Column {
    title: &'static str,
    expected: Expected,
    code: Option<i32>,
    /// By the address of the resource.
    actions: BTreeMap<String, Vec<String>>,
    errors: Vec<String>,
}

impl Table {
    /// Adds a step to the right.
    pub fn add(&mut self, title: &'static str, step: &Step, expected: Expected) {
        let reported = match expected {
            Expected::Planned | Expected::Nothing => planned,
            Expected::Created | Expected::Changed | Expected::Deleted => done,
        };
        let mut actions = BTreeMap::<String, Vec<String>>::new();
        for (address, action) in step.events.iter().filter_map(reported) {
            actions.entry(address).or_default().push(action);
        }
        let diagnostics = step.events.iter().map(|event| &event["diagnostic"]);
        let errors = diagnostics.filter(|diagnostic| diagnostic["severity"] == "error").map(error).collect();
        self.columns.push(Column { title, expected, code: step.code, actions, errors });
    }

    /// What is not as it should be.
    pub fn problems(&self) -> Vec<String> {
        let resources = self.resources();
        self.columns.iter().flat_map(|column| column.problems(&resources)).collect()
    }

    fn resources(&self) -> BTreeSet<&String> {
        self.columns.iter().flat_map(|column| column.actions.keys()).collect()
    }
}

impl Column {
    fn problems(&self, resources: &BTreeSet<&String>) -> Vec<String> {
        let (code, wanted) = match self.expected {
            Expected::Planned => (2, Some("create")),
            Expected::Created => (0, Some("create")),
            Expected::Nothing => (0, Some("")),
            Expected::Changed => (0, None),
            Expected::Deleted => (0, Some("delete")),
        };
        let mut problems = self.errors.clone();
        if self.code != Some(code) {
            let status = self.code.map_or_else(|| "no status".to_owned(), |code| format!("status {code}"));
            problems.push(format!("ended with {status} in place of {code}"));
        }
        if self.actions.is_empty() && wanted != Some("") {
            problems.push("did nothing".to_owned());
        }
        for address in resources {
            let cell = self.cell(address);
            if wanted.is_some_and(|wanted| wanted != cell) {
                problems.push(format!("{address}: {:?} in place of {:?}", cell, wanted.unwrap_or_default()));
            }
        }
        problems.into_iter().map(|problem| format!("{}: {problem}", self.title)).collect()
    }

    fn cell(&self, address: &str) -> String {
        let actions = self.actions.get(address).map(Vec::as_slice).unwrap_or_default();
        let has = |wanted: &str| actions.iter().any(|action| action == wanted);
        match has("create") && has("delete") {
            true => "replace".to_owned(),
            false => actions.join(", "),
        }
    }
}

/// What a plan would do with a resource. That something was read which another resource changed is no plan.
fn planned(event: &Value) -> Option<(String, String)> {
    (event["type"] == "planned_change").then(|| action_of(&event["change"]))?
}

/// What was done with a resource.
fn done(event: &Value) -> Option<(String, String)> {
    match event["type"].as_str()? {
        "apply_complete" => action_of(&event["hook"]),
        "apply_errored" => action_of(&event["hook"]).map(|(address, action)| (address, action + " failed")),
        _ => None,
    }
}

/// A resource's address, without what the addresses of all have, and the action. What is only read has none.
fn action_of(body: &Value) -> Option<(String, String)> {
    let address = body["resource"]["addr"].as_str()?.strip_prefix("databricks_")?;
    Some((address.to_owned(), body["action"].as_str()?.to_owned()))
}

fn error(diagnostic: &Value) -> String {
    let (place, code) = (&diagnostic["range"]["filename"], &diagnostic["snippet"]["code"]);
    let parts = [&diagnostic["address"], place, &diagnostic["summary"], &diagnostic["detail"], code];
    let parts: Vec<&str> =
        parts.into_iter().filter_map(Value::as_str).filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.columns.iter().map(|column| column.title.to_owned());
        let mut rows = vec![std::iter::once("resource".to_owned()).chain(titles).collect::<Vec<_>>()];
        for address in self.resources() {
            let cells = self.columns.iter().map(|column| match column.cell(address) {
                none if none.is_empty() => "–".to_owned(),
                cell => cell,
            });
            rows.push(std::iter::once(address.clone()).chain(cells).collect());
        }
        let width = |at: usize| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..=self.columns.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, address: &str, action: &str) -> Value {
        let body = json!({"resource": {"addr": format!("databricks_{address}")}, "action": action});
        json!({"type": kind, "change": body, "hook": body})
    }

    /// A table of one step, after one that created `group.a`, `group.b` and `user.c`.
    fn after_an_apply(expected: Expected, code: i32, events: Vec<Value>) -> Table {
        let mut table = Table::default();
        let all = ["group.a", "group.b", "user.c"].map(|address| event("apply_complete", address, "create"));
        table.add("apply", &Step { code: Some(0), events: all.into() }, Expected::Created);
        table.add("next", &Step { code: Some(code), events }, expected);
        table
    }

    #[test]
    fn a_step_that_did_what_it_should_has_no_problems() {
        let changed = vec![
            event("planned_change", "group.a", "update"),
            event("apply_complete", "group.a", "delete"),
            event("apply_complete", "group.a", "create"),
            event("apply_complete", "user.c", "update"),
        ];
        let table = after_an_apply(Expected::Changed, 0, changed);
        assert_eq!(table.problems(), Vec::<String>::new());
        let text = table.to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows[1..],
            [["group.a", "create", "replace"], ["group.b", "create", "–"], ["user.c", "create", "update"]]
        );
        let read = json!({"type": "planned_change", "change": {"resource": {"addr": "data.databricks_user.d"}, "action": "read"}});
        let drift = event("resource_drift", "group.a", "update");
        assert_eq!(after_an_apply(Expected::Nothing, 0, vec![read, drift]).problems(), Vec::<String>::new());
    }

    #[test]
    fn a_step_that_did_not_says_with_what() {
        let plan = vec![event("planned_change", "user.c", "update")];
        assert_eq!(
            after_an_apply(Expected::Nothing, 2, plan).problems(),
            ["next: ended with status 2 in place of 0", "next: user.c: \"update\" in place of \"\""]
        );
        let diagnostic = json!({"severity": "error", "address": "databricks_group.b", "summary": "in use"});
        let failed = vec![
            event("apply_complete", "group.a", "delete"),
            event("apply_errored", "group.b", "delete"),
            json!({"type": "diagnostic", "diagnostic": diagnostic}),
            event("apply_complete", "user.c", "delete"),
        ];
        assert_eq!(
            after_an_apply(Expected::Deleted, 0, failed).problems(),
            ["next: databricks_group.b: in use", "next: group.b: \"delete failed\" in place of \"delete\""]
        );
        assert_eq!(after_an_apply(Expected::Changed, 0, vec![]).problems(), ["next: did nothing"]);
    }
}
