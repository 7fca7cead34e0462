//! Which objects a list or watch is about: its namespace, label selector and field selector.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::request::Ask;
use crate::resources::{Resource, Sort};

/// A filter of objects.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    prefix: String,
    labels: Vec<Label>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    pub fn of(ask: &Ask, resource: &Resource) -> Result<Selector> {
        let prefix = ask.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let labels = parse_labels(ask.query("labelSelector"))?;
        let mut fields = parse_fields(ask.query("fieldSelector"), resource)?;
        if let Some(name) = &ask.name {
            fields.push(("metadata.name".into(), name.clone(), true));
        }
        Ok(Selector { prefix, labels, fields })
    }

    /// How the keys of the namespace begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it selects within its namespace at all.
    pub fn selects(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    pub fn matches(&self, key: &str, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |name: &str| labels[name].as_str();
        key.starts_with(&self.prefix)
            && self.labels.iter().all(|one| match one {
                Label::In(name, values) => label(name).is_some_and(|is| values.iter().any(|v| v == is)),
                Label::NotIn(name, values) => !label(name).is_some_and(|is| values.iter().any(|v| v == is)),
                Label::Exists(name) => label(name).is_some(),
                Label::Missing(name) => label(name).is_none(),
            })
            && self.fields.iter().all(|(path, value, equal)| (field(object, path) == *value) == *equal)
    }
}

fn field(object: &Value, path: &str) -> String {
    let found = path.split('.').fold(object, |inner, part| &inner[part]);
    found.as_str().unwrap_or_default().to_owned()
}

static SET: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(KEY)\s+(in|notin)\s+\(([^()]*)\)$"));
static EQUAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(KEY)\s*(=|==|!=)\s*([-A-Za-z0-9_.]*)$"));
static EXISTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(!?)\s*(KEY)$"));

fn pattern(text: &str) -> Regex {
    Regex::new(&text.replace("KEY", "[A-Za-z0-9][-A-Za-z0-9_./]*")).expect("a valid pattern")
}

/// `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas.
fn parse_labels(text: &str) -> Result<Vec<Label>> {
    let mut all = vec![];
    for part in split(text) {
        if let Some(found) = SET.captures(part) {
            let values = found[3].split(',').map(|value| value.trim().to_owned()).collect();
            let name = found[1].to_owned();
            all.push(if &found[2] == "in" { Label::In(name, values) } else { Label::NotIn(name, values) });
        } else if let Some(found) = EQUAL.captures(part) {
            let (name, values) = (found[1].to_owned(), vec![found[3].to_owned()]);
            all.push(if &found[2] == "!=" { Label::NotIn(name, values) } else { Label::In(name, values) });
        } else if let Some(found) = EXISTS.captures(part) {
            let name = found[2].to_owned();
            all.push(if &found[1] == "!" { Label::Missing(name) } else { Label::Exists(name) });
        } else {
            return Err(Failure::bad_request(format!("unable to parse requirement: {part}")));
        }
    }
    Ok(all)
}

/// The parts between commas that are not in parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let parts = text.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// `a=b`, `a==b`, `a!=b`, joined by commas.
fn parse_fields(text: &str, resource: &Resource) -> Result<Vec<(String, String, bool)>> {
    let mut all = vec![];
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = part.split_once('=') {
            (path, value.trim_start_matches('='), true)
        } else {
            let message = format!("invalid selector: '{text}'; can't understand '{part}'");
            return Err(Failure::bad_request(message));
        };
        let known = match resource.sort {
            Sort::Secret => path == "type",
            Sort::Event => path == "reason" || path == "type" || path.starts_with("regarding."),
            Sort::Namespace => path == "status.phase",
            _ => false,
        };
        if !known && !["metadata.name", "metadata.namespace"].contains(&path) {
            let generic = matches!(resource.sort, Sort::ConfigMap | Sort::Lease);
            return Err(Failure::bad_request(match generic {
                true => format!(
                    "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                ),
                false => format!("field label not supported: {path}"),
            }));
        }
        all.push((path.to_owned(), value.to_owned(), equal));
    }
    Ok(all)
}
