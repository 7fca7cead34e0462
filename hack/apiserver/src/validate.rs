//! What a schema says about values: types, limits, patterns, enums, required fields, lists that are sets or maps.

use serde_json::{Value, json};

use crate::failure::Cause;
use crate::schema::Schema;

impl Schema {
    /// What is wrong with an object, but for its metadata.
    pub fn check(&self, object: &Value) -> Vec<Cause> {
        let mut causes = vec![];
        self.check_in(object, "", &mut causes);
        causes
    }

    fn check_in(&self, value: &Value, place: &str, causes: &mut Vec<Cause>) {
        if value.is_null() && self.nullable {
            return;
        }
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let allowed: Vec<String> = self.allowed.iter().map(Value::to_string).collect();
            let message = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
            causes.push(Cause::new(place, "FieldValueNotSupported", message));
        }
        if let Some(kind) = self.wrong_type(value) {
            let why = format!("{place} in body must be of type {}: {kind:?}", self.expected());
            let message = format!("Invalid value: {kind:?}: {why}");
            causes.push(Cause::new(place, "FieldValueTypeInvalid", message));
            return;
        }
        match value {
            Value::Object(_) => self.check_map(value, place, causes),
            Value::Array(items) => self.check_list(items, place, causes),
            Value::String(text) => self.check_text(text, place, causes),
            Value::Number(_) => self.check_number(value, place, causes),
            _ => {}
        }
    }

    fn expected(&self) -> &str {
        match self.format.as_str() {
            _ if self.int_or_string => "integer,string",
            "" => &self.of,
            _ if self.of == "integer" || self.of == "number" => &self.of,
            format => format,
        }
    }

    /// The type of a value, if it is not the one that is expected.
    fn wrong_type(&self, value: &Value) -> Option<&'static str> {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() && number.as_f64().is_none_or(|n| n.fract() != 0.0) => {
                "number"
            }
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = match self.of.as_str() {
            "" if self.int_or_string => is == "integer" || is == "string",
            "" => true,
            "integer" => is == "integer",
            "number" => is == "number" || is == "integer",
            // The real validator leaves lists to the format, see `has_list_for_format`.
            _ if is == "array" && !self.format.is_empty() => true,
            of => is == of,
        };
        let is =
            if is == "integer" && self.expected() != self.of && !self.int_or_string { "int64" } else { is };
        (!fits).then_some(is)
    }

    /// Whether a list is in place of a value with a format, which the real validator accepts.
    pub fn has_list_for_format(&self, value: &Value) -> bool {
        match value {
            Value::Object(map) => map
                .iter()
                .any(|(name, value)| self.field(name).is_some_and(|field| field.has_list_for_format(value))),
            Value::Array(_) if !self.format.is_empty() => true,
            Value::Array(items) => self
                .items
                .as_ref()
                .is_some_and(|schema| items.iter().any(|item| schema.has_list_for_format(item))),
            _ => false,
        }
    }

    fn limit(&self, name: &str) -> Option<f64> {
        self.limits.get(name).copied()
    }

    fn check_map(&self, value: &Value, place: &str, causes: &mut Vec<Cause>) {
        let Value::Object(map) = value else { return };
        let inside = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        for name in self.required.iter().filter(|name| !map.contains_key(*name)) {
            causes.push(Cause::required(inside(name), ""));
        }
        for (name, value) in map {
            if let Some(field) = self.field(name) {
                field.check_in(value, &inside(name), causes);
            }
        }
        let count = map.len() as f64;
        if let Some(limit) = self.limit("maxProperties").filter(|limit| count > *limit) {
            causes.push(too_many(place, count, limit));
        }
        if let Some(limit) = self.limit("minProperties").filter(|limit| count < *limit) {
            let why = format!("{place} in body should have at least {limit} properties");
            causes.push(Cause::invalid(place, count, &why));
        }
    }

    fn check_list(&self, items: &[Value], place: &str, causes: &mut Vec<Cause>) {
        if let Some(schema) = &self.items {
            for (at, item) in items.iter().enumerate() {
                schema.check_in(item, &format!("{place}[{at}]"), causes);
            }
        }
        let count = items.len() as f64;
        if let Some(limit) = self.limit("maxItems").filter(|limit| count > *limit) {
            causes.push(too_many(place, count, limit));
        }
        if let Some(limit) = self.limit("minItems").filter(|limit| count < *limit) {
            let why = format!("{place} in body should have at least {limit} items");
            causes.push(Cause::invalid(place, count, &why));
        }
        let identity = |item: &Value| match self.list.as_str() {
            "set" => Some(item.clone()),
            "map" => Some(self.list_keys.iter().map(|key| (key.clone(), item[key].clone())).collect()),
            _ => None,
        };
        let mut known = vec![];
        for (at, item) in items.iter().enumerate().filter(|(_, item)| !(self.list == "map" && item.is_null()))
        {
            if self.list == "map" && !item.is_object() {
                let why = "must be an object for an array of list-type map";
                causes.push(Cause::invalid(format!("{place}[{at}]"), item, why));
                continue;
            }
            let Some(identity) = identity(item) else { break };
            if known.contains(&identity) {
                let message = format!("Duplicate value: {identity}");
                causes.push(Cause::new(format!("{place}[{at}]"), "FieldValueDuplicate", message));
            }
            known.push(identity);
        }
    }

    fn check_text(&self, text: &str, place: &str, causes: &mut Vec<Cause>) {
        let length = text.chars().count() as f64;
        // The first of these is the only one that is reported.
        if let Some(limit) = self.limit("maxLength").filter(|limit| length > *limit) {
            let message = format!("Too long: may not be more than {limit} bytes");
            causes.push(Cause::new(place, "FieldValueTooLong", message));
        } else if let Some(limit) = self.limit("minLength").filter(|limit| length < *limit) {
            let why = format!("{place} in body should be at least {limit} chars long");
            causes.push(Cause::invalid(place, json!(text), &why));
        } else if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            let why = format!("{place} in body should match '{}'", pattern.text);
            causes.push(Cause::invalid(place, json!(text), &why));
        }
        if self.format == "date-time" && text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
            let why = format!("{place} in body must be of type date-time: {text:?}");
            let message = format!("Invalid value: {text:?}: {why}");
            causes.push(Cause::new(place, "FieldValueTypeInvalid", message));
        }
    }

    fn check_number(&self, value: &Value, place: &str, causes: &mut Vec<Cause>) {
        let number = value.as_f64().unwrap_or(0.0);
        let exclusive = |name: &str| self.limit(name).is_some();
        if let Some(limit) = self.limit("minimum") {
            let (wrong, word) = match exclusive("exclusiveMinimum") {
                true => (number <= limit, "greater than"),
                false => (number < limit, "greater than or equal to"),
            };
            if wrong {
                let why = format!("{place} in body should be {word} {limit}");
                causes.push(Cause::invalid(place, value, &why));
            }
        }
        if let Some(limit) = self.limit("maximum") {
            let (wrong, word) = match exclusive("exclusiveMaximum") {
                true => (number >= limit, "less than"),
                false => (number > limit, "less than or equal to"),
            };
            if wrong {
                let why = format!("{place} in body should be {word} {limit}");
                causes.push(Cause::invalid(place, value, &why));
            }
        }
    }
}

fn too_many(place: &str, count: f64, limit: f64) -> Cause {
    let items = if limit == 1.0 { "item" } else { "items" };
    Cause::new(place, "FieldValueTooMany", format!("Too many: {count}: must have at most {limit} {items}"))
}
