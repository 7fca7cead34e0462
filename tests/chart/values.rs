//! `values.yaml` is the one source: its schema, the defaults that templates fill in, and the table in the chart's README are made
//! from it here.
//!
//! A value's default says its type, the comment above it what it means, and a line `# @schema …` what else the schema asks.
//! Only the forms that this file needs are read: one key a line, two spaces a level.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::helm::{chart, chart_file, container, flag, in_step, objects, one, text, with_crds};

/// A value: a leaf, or a mapping with others in it.
#[derive(Debug)]
pub struct Entry {
    /// Such as `image.tag`.
    pub path: String,
    /// What it means; empty for a mapping that needs no words.
    about: String,
    /// What it is when nothing is said.
    pub default: Value,
    /// What `@schema` adds.
    extra: Map<String, Value>,
}

impl Entry {
    /// Whether only the keys that are written here may be in it.
    fn closed(&self) -> bool {
        self.default.is_object()
            && !self.is_leaf()
            && self.extra.get("additionalProperties") != Some(&json!(true))
    }

    /// Whether what is in it is not ours to say.
    pub fn is_leaf(&self) -> bool {
        !self.default.is_object() || self.extra.contains_key("type")
    }
}

/// What a word after `@schema` stands for.
fn word(name: &str) -> Value {
    let label = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
    let dns = format!(r"{label}(\.{label})*");
    let unit = "(ms|h|m|s)";
    // One of its numbers is not zero.
    let duration = format!("([0-9]+{unit})*0*[1-9][0-9]*{unit}([0-9]+{unit})*");
    let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    match name {
        "duration" => json!({"pattern": format!("^{duration}$")}),
        "optionalDuration" => json!({"pattern": format!("^({duration})?$")}),
        "interval" => json!({"pattern": format!("^(Never|{duration})$")}),
        "optionalInterval" => json!({"pattern": format!("^(Never|{duration})?$")}),
        "name" => json!({"pattern": format!("^({dns})?$")}),
        "requiredName" => json!({"pattern": format!("^{dns}$")}),
        "names" => json!({"items": {"type": "string", "pattern": format!("^{dns}$")}, "uniqueItems": true}),
        "namespace" => json!({"pattern": format!("^({label})?$")}),
        "namespaces" => {
            json!({"items": {"type": "string", "pattern": format!("^{label}$")}, "uniqueItems": true})
        }
        "listen" => json!({"pattern": format!(r"^({byte}(\.{byte}){{3}}|\[[0-9a-fA-F:]+\]):{port}$")}),
        "proxy" => {
            json!({"pattern": format!(r"^(http://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:{port})?/?)?$")})
        }
        // Names and IPv4, or what has at least two colons: a port cannot be told.
        "direct" => json!({"items": {"type": "string", "pattern":
            r"^([*.A-Za-z0-9-]+(/[0-9]{1,2})?|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*(/[0-9]{1,3})?)$"}}),
        "strings" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "ports" => json!({"items": {"type": "integer", "minimum": 1, "maximum": 65535}, "minItems": 1}),
        "cidrs" => json!({"items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}}),
        "budget" => json!({"type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]{1,3}%)?$"}),
        other => panic!("@schema {other}: no such word"),
    }
}

/// The entries of `values.yaml`, in its order.
pub fn entries() -> Vec<Entry> {
    let text = chart_file("values.yaml");
    let all: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut found, mut place, mut comment): (Vec<Entry>, Vec<&str>, Vec<&str>) = (vec![], vec![], vec![]);
    // Lines below this depth belong to a leaf.
    let mut leaf = usize::MAX;
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let line = line.trim();
        if line.is_empty() {
            comment.clear();
        } else if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if depth <= leaf {
            let key = line.split(':').next().unwrap();
            place.truncate(depth);
            place.push(key);
            let default = place.iter().fold(&all, |value, key| &value[*key]).clone();
            let (schema, about): (Vec<&str>, Vec<&str>) =
                comment.drain(..).partition(|line| line.starts_with("@schema"));
            let mut extra = Map::new();
            for line in schema {
                let written = line.trim_start_matches("@schema").trim();
                let schema = if written.starts_with('{') {
                    serde_saphyr::from_str(written).unwrap()
                } else {
                    word(written)
                };
                extra.extend(schema.as_object().unwrap().clone());
            }
            let entry = Entry { path: place.join("."), about: about.join(" "), default, extra };
            leaf = if entry.is_leaf() { depth } else { usize::MAX };
            found.push(entry);
        }
    }
    assert!(found.len() > 100, "only {} values were read", found.len());
    found
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn schema() -> Value {
    let mut root = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart databricks-operator",
        "type": "object", "additionalProperties": false, "properties": {},
    });
    for entry in entries() {
        let mut schema = json!({"type": type_of(&entry.default)});
        if !entry.about.is_empty() {
            schema["description"] = json!(entry.about);
        }
        if entry.closed() {
            schema["additionalProperties"] = json!(false);
        }
        schema.as_object_mut().unwrap().extend(entry.extra.clone());
        if entry.is_leaf() {
            schema["default"] = entry.default;
        } else {
            schema["properties"] = json!({});
        }
        let parent = entry.path.split('.').collect::<Vec<_>>();
        let (key, above) = parent.split_last().unwrap();
        let at = above.iter().fold(&mut root, |at, key| &mut at["properties"][*key]);
        at["properties"][*key] = schema;
    }
    root
}

fn table() -> String {
    let mut text = String::from("\n| value | default | meaning |\n|---|---|---|\n");
    for entry in entries().iter().filter(|entry| entry.is_leaf()) {
        let default = match &entry.default {
            Value::String(s) if s.is_empty() => String::new(),
            Value::String(s) => format!("`{s}`"),
            Value::Null => String::new(),
            Value::Array(a) if a.is_empty() => String::new(),
            Value::Object(o) if o.is_empty() => String::new(),
            other => format!("`{other}`"),
        };
        writeln!(text, "| `{}` | {default} | {} |", entry.path, entry.about).unwrap();
    }
    text
}

/// The defaults by path, as templates read them: Helm keeps values.yaml itself from them.
fn defaults() -> String {
    let leaves = entries().into_iter().filter(|entry| entry.is_leaf() && !entry.default.is_null());
    let lines = leaves.map(|entry| format!("{}: {}\n", entry.path, entry.default));
    let head = "# Written by `UPDATE=1 cargo test --test chart` from values.yaml. Do not edit.\n";
    head.to_owned() + &lines.collect::<String>()
}

/// Compares the schema and the defaults with those that are kept, or writes them; once, whoever asks.
pub fn keep_made() {
    static ONCE: LazyLock<()> = LazyLock::new(|| {
        let text = serde_json::to_string_pretty(&schema()).unwrap();
        in_step(&chart().join("values.schema.json"), &format!("{text}\n"));
        in_step(&chart().join("files/defaults.yaml"), &defaults());
    });
    LazyLock::force(&ONCE);
}

/// Covers H-01: the schema and the defaults in the chart are what the comments and defaults of values.yaml say.
#[test]
fn the_schema_and_the_defaults_are_made_from_the_values() {
    keep_made();
}

/// A value in the mappings that its path names.
fn at(path: &str, value: Value) -> String {
    path.rsplit('.').fold(value, |inner, key| json!({ key: inner })).to_string()
}

/// A way to render.
type Render = fn(&[&str]) -> Result<String, String>;

/// The render with values that are given as JSON.
fn with_json(render: Render, values: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values).unwrap();
    render(&["--values", file.path().to_str().unwrap()])
}

/// Covers H-37: a section that is null or has nothing in it, as when all its lines are commented out, is as if it were left
/// out; and so is each value that is null.
#[test]
fn what_is_null_or_empty_is_as_if_left_out() {
    let (plain, plain_with_crds) = (text(&[]).unwrap(), with_crds(&[]).unwrap());
    let (leaves, sections): (Vec<Entry>, Vec<Entry>) = entries().into_iter().partition(Entry::is_leaf);
    assert!(sections.len() > 20, "only {} sections", sections.len());
    std::thread::scope(|scope| {
        for section in &sections {
            let of_crds = section.path.starts_with("crds");
            let render: Render = if of_crds { with_crds } else { text };
            let plain = if of_crds { &plain_with_crds } else { &plain };
            scope.spawn(move || {
                for empty in [Value::Null, json!({})] {
                    let values = at(&section.path, empty);
                    let rendered = with_json(render, &values).unwrap_or_else(|e| panic!("{values}: {e}"));
                    assert!(rendered == *plain, "{values} is rendered otherwise");
                }
            });
        }
    });
    let mut all = json!({});
    for leaf in leaves {
        let (parents, key) = leaf.path.rsplit_once('.').unwrap_or(("", &leaf.path));
        let parents = parents.split('.').filter(|key| !key.is_empty());
        parents.fold(&mut all, |at, key| &mut at[key])[key] = Value::Null;
    }
    let rendered = with_json(with_crds, &all.to_string()).unwrap();
    assert!(rendered == plain_with_crds, "{all} is rendered otherwise");
}

/// Covers H-37: what Helm leaves out of a mapping that is Kubernetes' own stays left out, and what is given beside an emptied
/// section counts.
#[test]
fn what_is_taken_out_of_a_mapping_of_kubernetes_stays_out() {
    let no_times =
        r#"{"livenessProbe": {"periodSeconds": null, "timeoutSeconds": null, "failureThreshold": null}}"#;
    let bare = objects(&with_json(text, no_times).unwrap());
    assert_eq!(container(&bare)["livenessProbe"], json!({"httpGet": {"path": "/healthz", "port": "health"}}));
    let objects = objects(
        &with_json(text, r#"{"resources": {"limits": null}, "operator": null, "replicaCount": 2}"#).unwrap(),
    );
    assert_eq!(container(&objects)["resources"], json!({"requests": {"cpu": "50m", "memory": "64Mi"}}));
    assert_eq!(one(&objects, "Deployment")["spec"]["replicas"], 2);
    assert_eq!(flag(&objects, "lease-duration"), Some("30s"));
}

/// Covers H-37: nobody knows which template is the first, so each fills in the defaults.
#[test]
fn every_template_begins_with_the_defaults() {
    let first = "{{- include \"databricks-operator.defaults\" . -}}\n";
    for (name, text) in templates().iter().filter(|(name, _)| name != "templates/_helpers.tpl") {
        assert!(text.starts_with(first), "{name} does not begin with {first}");
    }
}

/// Covers H-01: so is the table in the README.
#[test]
fn the_table_of_values_is_made_from_the_values() {
    let readme = chart_file("README.md");
    let mark = "Do not edit below this line. -->\n";
    let (before, _) = readme.split_once(mark).unwrap();
    in_step(&chart().join("README.md"), &format!("{before}{mark}{}", table()));
}

/// Covers H-01: a value that nobody explains, or that nothing would refuse, is a mistake.
#[test]
fn every_value_is_explained_and_every_mapping_of_ours_is_closed() {
    for entry in entries() {
        assert!(!entry.is_leaf() || entry.about.ends_with(['.', '?']), "{} is not explained", entry.path);
        assert!(!entry.about.contains('|'), "{}: a bar would break the table", entry.path);
        assert!(entry.is_leaf() || entry.closed() || entry.path == "global", "{} is open", entry.path);
        let list = entry.default.is_array();
        assert!(!list || entry.extra.contains_key("items"), "{}: say what is in the list", entry.path);
    }
}

/// The paths after `.Values` in the templates, and after the short names that stand for parts of it.
fn read_by_templates() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in templates() {
        let short = [
            ("$image.", "image."),
            ("$v.", ""),
            ("$policy.", "networkPolicy."),
            ("$budget.", "podDisruptionBudget."),
            ("$monitor.", "metrics.serviceMonitor."),
            ("$monitor.", "metrics.podMonitor."),
            ("$rule.", "metrics.prometheusRule."),
            ("$board.", "metrics.dashboard."),
        ];
        for (name, path) in [(".Values.", "")].into_iter().chain(short) {
            for rest in text.split(name).skip(1) {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '.')).unwrap_or(rest.len());
                found.insert(format!("{path}{}", rest[..end].trim_end_matches('.')));
            }
        }
    }
    found
}

/// The templates, by their paths in the chart.
pub fn templates() -> Vec<(String, String)> {
    let (mut found, mut folders) = (vec![], vec![chart().join("templates")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(chart()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 12, "only {} templates", found.len());
    found
}

/// Covers H-01: no template reads a value that is not in values.yaml, where it would have neither schema nor row.
#[test]
fn templates_read_only_values_that_exist() {
    let known: BTreeSet<String> = entries().into_iter().map(|entry| entry.path).collect();
    let unknown: Vec<String> = read_by_templates().into_iter().filter(|path| !known.contains(path)).collect();
    assert!(unknown.is_empty(), "templates read what is not in values.yaml: {unknown:?}");
}

/// Covers H-26: every value is read by some template: by itself, or with the mapping it is in.
#[test]
fn every_value_is_read_by_a_template() {
    let read = read_by_templates();
    // By name in a list: fields of the pod that `global` has too, what the table of roles goes through, and mappings of `rbac`.
    let named = |path: &str| {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let quoted = format!("\"{key}\"");
        let by_name = ["", "global", "auth", "helmTest", "rbac"].contains(&parent);
        by_name && templates().iter().any(|(_, text)| text.contains(&quoted))
    };
    for entry in entries().iter().filter(|entry| entry.is_leaf()) {
        let parents = entry.path.match_indices('.').map(|(at, _)| &entry.path[..at]);
        let whole = parents.filter(|path| ["operator", "rbac.aggregate", "auth"].contains(path)).count() > 0;
        let mapping = entry.path.rsplit_once('.').map_or("", |(mapping, _)| mapping);
        let read = read.contains(&entry.path) || whole || named(&entry.path) || named(mapping);
        assert!(read, "nothing reads {}", entry.path);
    }
}
