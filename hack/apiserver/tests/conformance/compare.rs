//! What two responses must have in common.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::side::Reply;

/// Which value of one server is which of the other.
#[derive(Default)]
pub struct Pairs {
    versions: BTreeMap<u64, u64>,
    uids: BTreeMap<String, String>,
}

/// Messages that repeat the server's parser or its numbers.
const FREE_MESSAGES: [&str; 7] = [
    "failed to create typed patch object",
    "StorageError: invalid object",
    "the object provided is unrecognized",
    "error decoding patch",
    "unable to parse requirement",
    "invalid continue token",
    "cannot be handled as a",
];

const WRITE_MISSING: &str = "a write in the real server, none in ours";

/// Whether the only difference is that the real server stored an applied object again, with other times.
pub fn is_time_of_apply(found: &[String], real: &Reply) -> bool {
    let managers = real.body["metadata"]["managedFields"].as_array().into_iter().flatten();
    let applied = managers.into_iter().any(|entry| entry["operation"] == "Apply");
    matches!(found, [only] if only.ends_with(WRITE_MISSING)) && applied
}

impl Pairs {
    /// Every difference between a real response and ours.
    pub fn differences(&mut self, real: &Reply, ours: &Reply) -> Vec<String> {
        let mut found = vec![];
        if real.code != ours.code {
            found.push(format!("code: {} and not {}", real.code, ours.code));
        }
        let (real, ours) = (masked(&real.body), masked(&ours.body));
        self.compare("", &real, &ours, &mut found);
        found
    }

    fn compare(&mut self, place: &str, real: &Value, ours: &Value, found: &mut Vec<String>) {
        match (real, ours) {
            (Value::Object(real), Value::Object(ours)) => {
                let names: std::collections::BTreeSet<_> = real.keys().chain(ours.keys()).collect();
                for name in names {
                    let of =
                        |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                    self.compare(&format!("{place}.{name}"), &of(real), &of(ours), found);
                }
            }
            (Value::Array(real), Value::Array(ours)) if real.len() == ours.len() => {
                for (at, (real, ours)) in real.iter().zip(ours).enumerate() {
                    self.compare(&format!("{place}[{at}]"), real, ours, found);
                }
            }
            (Value::String(real), Value::String(ours)) if place.ends_with(".metadata.resourceVersion") => {
                if let Err(why) = self.same_version(real, ours) {
                    found.push(format!("{place}: {why}"));
                }
            }
            (Value::String(real), Value::String(ours)) if place.ends_with(".uid") => {
                let known = self.uids.entry(real.clone()).or_insert_with(|| ours.clone());
                if known != ours {
                    found.push(format!("{place}: another object than before"));
                }
            }
            (real, ours) if real == ours => {}
            (real, ours) => found.push(format!("{place}: {real} and not {ours}")),
        }
    }

    /// Versions must be equal where the real ones are, and in the same order.
    fn same_version(&mut self, real: &str, ours: &str) -> Result<(), String> {
        let (Ok(real), Ok(ours)) = (real.parse::<u64>(), ours.parse::<u64>()) else {
            return if real == ours { Ok(()) } else { Err(format!("{real} and not {ours}")) };
        };
        if let Some(known) = self.versions.get(&real) {
            return if *known == ours {
                Ok(())
            } else {
                Err("no write in the real server, one in ours".into())
            };
        }
        let before = self.versions.range(..real).next_back().map(|(_, ours)| *ours);
        let after = self.versions.range(real..).next().map(|(_, ours)| *ours);
        if before.is_some_and(|before| before >= ours) {
            return Err(WRITE_MISSING.into());
        }
        if after.is_some_and(|after| after <= ours) {
            return Err("the order of versions differs".into());
        }
        self.versions.insert(real, ours);
        Ok(())
    }
}

/// A body without what may differ; see the table in `main.rs`.
fn masked(body: &Value) -> Value {
    let mut body = body.clone();
    mask(&mut body);
    body
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(_) => {
            if value["items"].is_array() || value["type"] == "BOOKMARK" {
                value["metadata"]["resourceVersion"] = "masked".into();
                value["object"]["metadata"]["resourceVersion"] = "masked".into();
            }
            if value["kind"] == "Status" {
                mask_status(value);
            }
            let Some(map) = value.as_object_mut() else { return };
            for (name, value) in map {
                match name.as_str() {
                    "creationTimestamp" | "deletionTimestamp" | "continue"
                        if value.as_str().is_some_and(|text| !text.is_empty()) =>
                    {
                        *value = "masked".into();
                    }
                    "managedFields" => mask_managers(value),
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

static NUMBERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b\d+\b").unwrap());

/// The entries are in the order of their times.
fn mask_managers(entries: &mut Value) {
    let Some(entries) = entries.as_array_mut() else { return };
    for entry in entries.iter_mut() {
        entry["time"] = Value::Null;
    }
    let key = |entry: &Value| ["operation", "manager", "subresource"].map(|name| entry[name].to_string());
    entries.sort_by_key(key);
}

/// The causes are in no order, and the message lists them again.
fn mask_status(status: &mut Value) {
    if let Some(causes) = status["details"]["causes"].as_array_mut() {
        for cause in causes.iter_mut().filter(|cause| cause["field"] == "patch") {
            // It repeats the whole object.
            let message = cause["message"].as_str().unwrap_or_default();
            let why = message.find("strict decoding error").map_or("", |at| &message[at..]);
            cause["message"] = why.to_owned().into();
        }
        for cause in causes.iter_mut() {
            let message = cause["message"].as_str().unwrap_or_default();
            if let Some(at) = message.find("evaluating rule") {
                cause["message"] = message[at..].to_owned().into();
            }
        }
        causes.sort_by_key(|cause| cause.to_string());
        causes.dedup();
        if status["reason"] == "Invalid" {
            status["message"] = "masked".into();
        }
    }
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    status["message"] = match FREE_MESSAGES.iter().any(|free| message.contains(free)) {
        true => "masked".into(),
        false => NUMBERS.replace_all(&message, "#").into_owned().into(),
    };
}
