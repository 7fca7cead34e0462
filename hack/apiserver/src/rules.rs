//! The CEL rules of a schema (`x-kubernetes-validations`), also those that compare with the old object.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use cel::common::types::CelString;
use cel::objects::{Key, Map, OptionalValue};
use cel::{Context, Env, ExecutionError, Program, Value as Cel};
use regex::Regex;
use serde_json::{Value, json};

use crate::failure::Cause;
use crate::schema::Schema;

/// So many verdicts of a schema are kept.
const KEPT: usize = 1_000;

/// What values break, by their place, the new value and the old one.
#[derive(Default)]
pub struct Verdicts(Mutex<HashMap<String, Vec<Cause>>>);

impl Verdicts {
    /// The verdict on values, which `judge` finds if it is not known.
    fn of(
        &self,
        place: &str,
        new: &Value,
        old: Option<&Value>,
        judge: impl FnOnce() -> Vec<Cause>,
    ) -> Vec<Cause> {
        let values = format!("{place}\n{new}\n{}", old.map(Value::to_string).unwrap_or_default());
        if let Some(known) = self.known().get(&values) {
            return known.clone();
        }
        let found = judge();
        let mut known = self.known();
        if known.len() < KEPT {
            known.insert(values, found.clone());
        }
        found
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Vec<Cause>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rule, compiled when it is first needed.
pub struct Rule {
    text: String,
    message: String,
    reason: String,
    /// The field it is about, below the place of the rule, with a leading dot.
    field: String,
    /// It also holds for values that were not there before: the old value is an optional.
    optional_old: bool,
    compiled: OnceLock<std::result::Result<Program, String>>,
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    cel::add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)
        .expect("it has no such function");
    Arc::new(env)
});

impl Rule {
    pub fn compile(rule: &Value) -> Rule {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        Rule {
            text: text("rule").trim().to_owned(),
            message: text("message").trim().to_owned(),
            reason: text("reason"),
            field: text("fieldPath"),
            optional_old: rule["optionalOldSelf"] == true,
            compiled: OnceLock::new(),
        }
    }

    /// Whether it compares with the old value.
    fn is_transition(&self) -> bool {
        self.text.contains("oldSelf")
    }

    /// Whether a value keeps the rule, or why that cannot be said.
    fn holds(&self, new: Cel, old: Option<Cel>) -> std::result::Result<bool, String> {
        let compiled =
            self.compiled.get_or_init(|| ENV.compile(&self.text).map_err(|error| error.to_string()));
        let program = compiled.as_ref().map_err(Clone::clone)?;
        let mut context = Context::with_env(ENV.clone());
        context.add_variable_from_value("self", new);
        if self.optional_old {
            let old = old.map_or_else(OptionalValue::none, OptionalValue::of);
            context.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
        } else if let Some(old) = old {
            context.add_variable_from_value("oldSelf", old);
        }
        match program.execute(&context) {
            Ok(Cel::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("not a boolean: {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn broken(&self, value: &Value, place: &str) -> Cause {
        let message = if self.message.is_empty() {
            format!("failed rule: {}", self.text)
        } else {
            self.message.clone()
        };
        let field = format!("{place}{}", self.field);
        let field = field.trim_start_matches('.');
        let field = if field.is_empty() { "<nil>" } else { field };
        match self.reason.as_str() {
            "FieldValueRequired" => Cause::required(field, &message),
            "FieldValueForbidden" => Cause::forbidden(field, &message),
            _ if value.is_object() || value.is_array() => {
                Cause::new(field, "FieldValueInvalid", format!("Invalid value: {message}"))
            }
            _ => Cause::invalid(field, value, &message),
        }
    }
}

/// Kubernetes' `find`: the first match of a pattern.
fn find<'v>(
    text: &CelString<'_>,
    pattern: &CelString<'_>,
) -> std::result::Result<CelString<'v>, ExecutionError> {
    let pattern =
        Regex::new(pattern.inner()).map_err(|error| ExecutionError::function_error("find", error))?;
    let found = pattern.find(text.inner()).map_or("", |found| found.as_str());
    Ok(CelString::from(found.to_owned()))
}

impl Schema {
    /// The rules that an object breaks. `old` is the object before, if there was one.
    pub fn broken_rules(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = vec![];
        let old = old.map(|old| self.shown_to_rules(old));
        self.apply_rules(&self.shown_to_rules(new), old.as_ref(), "", &mut causes);
        causes
    }

    /// What rules can see of an object. As in a real server, no more of its metadata than the name. Fields of the status that no rule
    /// names are left out as well: they differ from write to write, and so more values are the same.
    fn shown_to_rules(&self, object: &Value) -> Value {
        let named = |field: &str| {
            let inner = self.field("status").and_then(|status| status.field(field));
            inner.is_some_and(|inner| inner.has_rules)
                || self.rules.iter().any(|rule| rule.text.contains(field))
        };
        let shown = object.as_object().into_iter().flatten().map(|(name, value)| {
            let value = match (name.as_str(), value.as_object()) {
                ("metadata", Some(fields)) => json!({"name": fields.get("name")}),
                ("status", Some(fields)) => {
                    let named = fields.iter().filter(|(field, _)| named(field));
                    named.map(|(field, value)| (field.clone(), value.clone())).collect()
                }
                _ => value.clone(),
            };
            (name.clone(), value)
        });
        shown.collect()
    }

    fn apply_rules(&self, new: &Value, old: Option<&Value>, place: &str, causes: &mut Vec<Cause>) {
        let old = old.filter(|old| !old.is_null());
        // A real server, too, accepts what was there before, whatever rules were added since.
        if !self.has_rules || new.is_null() || old == Some(new) {
            return;
        }
        if !self.rules.is_empty() {
            causes.extend(self.verdicts.of(place, new, old, || self.own_rules(new, old, place)));
        }
        match new {
            Value::Object(map) => {
                for (name, value) in map {
                    let Some(field) = self.field(name) else { continue };
                    let inside = match self.properties.contains_key(name) {
                        true if place.is_empty() => name.clone(),
                        true => format!("{place}.{name}"),
                        false => format!("{place}[{name}]"),
                    };
                    field.apply_rules(value, old.and_then(|old| old.get(name)), &inside, causes);
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (at, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| self.counterpart(old, item));
                    schema.apply_rules(item, old, &format!("{place}[{at}]"), causes);
                }
            }
            _ => {}
        }
    }

    /// The rules of this schema itself that a value breaks.
    fn own_rules(&self, new: &Value, old: Option<&Value>, place: &str) -> Vec<Cause> {
        let (mut causes, values) = (vec![], (self.to_cel(new), old.map(|old| self.to_cel(old))));
        for rule in &self.rules {
            if rule.is_transition() && old.is_none() && !rule.optional_old {
                continue;
            }
            let (new_value, old_value) = values.clone();
            match rule.holds(new_value, old_value) {
                Ok(true) => {}
                Ok(false) => causes.push(rule.broken(new, place)),
                Err(why) => {
                    let why = format!("{why} evaluating rule: {}", rule.message);
                    causes.push(Cause::invalid(place, format!("{:?}", self.of), &why));
                }
            }
        }
        causes
    }

    /// The item of an old list with the same keys.
    fn counterpart<'a>(&self, old: &'a Value, item: &Value) -> Option<&'a Value> {
        if self.list != "map" {
            return None;
        }
        let same = |other: &&Value| self.list_keys.iter().all(|key| other[key] == item[key]);
        old.as_array()?.iter().find(same)
    }

    /// A value as CEL has it, by its schema.
    fn to_cel(&self, value: &Value) -> Cel {
        match value {
            Value::Null => Cel::Null,
            Value::Bool(value) => Cel::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(number) if self.of != "number" => Cel::Int(number),
                _ => Cel::Float(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => Cel::String(Arc::new(text.clone())),
            Value::Array(items) => {
                let mut items: Vec<&Value> = items.iter().collect();
                if self.list == "set" || self.list == "map" {
                    // Such lists are equal in any order.
                    items.sort_by_cached_key(|item| item.to_string());
                }
                let any = Schema::default();
                let schema = self.items.as_deref().unwrap_or(&any);
                Cel::List(Arc::new(items.into_iter().map(|item| schema.to_cel(item)).collect()))
            }
            Value::Object(fields) => {
                let any = Schema::default();
                let field = |(name, value): (&String, &Value)| {
                    let schema = self.field(name).unwrap_or(&any);
                    let name = if self.properties.contains_key(name) { escaped(name) } else { name.clone() };
                    (Key::String(Arc::new(name)), schema.to_cel(value))
                };
                let map: HashMap<Key, Cel> = fields.iter().map(field).collect();
                Cel::Map(Map { map: Arc::new(map) })
            }
        }
    }
}

/// The words of CEL's grammar, which fields of this name are escaped for.
const RESERVED: [&str; 8] = ["as", "const", "for", "function", "if", "in", "namespace", "package"];

fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) { format!("__{name}__") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(rule: Value, new: Value, old: Option<Value>) -> Vec<Cause> {
        let schema = json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "labels": {
                "type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-validations": [rule],
            }},
        });
        Schema::compile(&schema).broken_rules(&new, old.as_ref())
    }

    #[test]
    fn an_optional_old_value_is_there_or_not() {
        let rule = json!({"rule": "self.all(key, key == 'a' || (oldSelf.hasValue() && key in oldSelf.value()))",
                          "optionalOldSelf": true});
        let labels = |key: &str| json!({"labels": {key: "1"}});
        assert_eq!(broken(rule.clone(), labels("a"), None), []);
        assert_eq!(broken(rule.clone(), labels("b"), None).len(), 1);
        assert_eq!(broken(rule.clone(), labels("b"), Some(labels("a"))).len(), 1);
        assert_eq!(broken(rule, labels("b"), Some(labels("b"))), []);
    }

    #[test]
    fn a_rule_finds_text() {
        let rule = json!({"rule": "int('a/b/17'.find('[^/]+$')) == 17 && duration('1m') > duration('59s')"});
        assert_eq!(broken(rule, json!({"labels": {}}), None), []);
    }
}
