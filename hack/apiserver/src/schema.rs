//! The structural schema of a custom resource: what it drops (unknown fields) and what it adds (defaults).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::rules::{Rule, Verdicts};

/// A schema, compiled from its JSON.
#[derive(Default)]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty if anything is allowed.
    pub of: String,
    pub properties: BTreeMap<String, Schema>,
    /// The schema of a map's values.
    pub values: Option<Box<Schema>>,
    pub items: Option<Box<Schema>>,
    pub default: Option<Value>,
    pub nullable: bool,
    /// Unknown fields stay.
    pub preserve: bool,
    pub int_or_string: bool,
    pub required: Vec<String>,
    pub allowed: Vec<Value>,
    pub pattern: Option<Pattern>,
    pub format: String,
    /// `minLength` and so on.
    pub limits: BTreeMap<String, f64>,
    /// `atomic`, `set`, `map`; empty is atomic.
    pub list: String,
    pub list_keys: Vec<String>,
    pub rules: Vec<Rule>,
    /// Which values break its rules: the same values are judged again and again.
    pub verdicts: Verdicts,
    /// Whether it or a schema in it has rules.
    pub has_rules: bool,
}

/// A regular expression, compiled when it is first needed.
pub struct Pattern {
    pub text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Whether a text fits. One that is no valid expression here takes anything.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

const LIMITS: [&str; 10] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
];

impl Schema {
    pub fn compile(schema: &Value) -> Schema {
        let text = |field: &str| schema[field].as_str().unwrap_or_default().to_owned();
        let texts = |field: &str| {
            let all = schema[field].as_array().into_iter().flatten();
            all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let inner =
            |field: &str| schema[field].is_object().then(|| Box::new(Schema::compile(&schema[field])));
        let limit = |name: &&str| match &schema[*name] {
            Value::Number(limit) => limit.as_f64(),
            Value::Bool(true) => Some(1.0),
            _ => None,
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        let pattern = schema["pattern"].as_str();
        let mut compiled = Schema {
            of: text("type"),
            properties: properties.map(|(name, inner)| (name.clone(), Schema::compile(inner))).collect(),
            values: inner("additionalProperties"),
            items: inner("items"),
            default: schema.get("default").cloned(),
            nullable: schema["nullable"] == true,
            preserve: schema["x-kubernetes-preserve-unknown-fields"] == true,
            int_or_string: schema["x-kubernetes-int-or-string"] == true,
            required: texts("required"),
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
            pattern: pattern.map(|text| Pattern { text: text.to_owned(), compiled: OnceLock::new() }),
            format: text("format"),
            limits: LIMITS.iter().filter_map(|name| Some(((*name).to_owned(), limit(name)?))).collect(),
            list: text("x-kubernetes-list-type"),
            list_keys: texts("x-kubernetes-list-map-keys"),
            rules: rules.map(Rule::compile).collect(),
            verdicts: Verdicts::default(),
            has_rules: false,
        };
        let mut inside = compiled.properties.values().chain(compiled.values.as_deref());
        compiled.has_rules = !compiled.rules.is_empty()
            || inside.any(|inner| inner.has_rules)
            || compiled.items.as_ref().is_some_and(|inner| inner.has_rules);
        compiled
    }

    /// The schema of a field; `None` if it is unknown.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.values.as_deref())
    }

    /// Removes null where it is not allowed and sets defaults.
    pub fn set_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|name, value| {
                    let field = self.field(name);
                    !(value.is_null() && field.is_some_and(|field| !field.nullable))
                });
                for (name, field) in &self.properties {
                    if let (Some(default), false) = (&field.default, map.contains_key(name)) {
                        map.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in map {
                    if let Some(field) = self.field(name) {
                        field.set_defaults(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.set_defaults(item));
                }
            }
            _ => {}
        }
    }

    /// Removes fields that the schema does not have, and returns where they were.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = vec![];
        self.prune_in(object, "", &mut unknown);
        unknown
    }

    fn prune_in(&self, value: &mut Value, place: &str, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) => self.prune_map(map, place, unknown),
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (at, item) in items.iter_mut().enumerate() {
                    schema.prune_in(item, &format!("{place}[{at}]"), unknown);
                }
            }
            _ => {}
        }
    }

    fn prune_map(&self, map: &mut Map<String, Value>, place: &str, unknown: &mut Vec<String>) {
        let root = place.is_empty();
        map.retain(|name, value| {
            if root && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                return true;
            }
            let place = if root { name.clone() } else { format!("{place}.{name}") };
            match self.field(name) {
                Some(field) => {
                    field.prune_in(value, &place, unknown);
                    true
                }
                None if self.preserve => true,
                None => {
                    unknown.push(place);
                    false
                }
            }
        });
    }
}
