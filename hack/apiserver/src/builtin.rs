//! The built-in kinds: which fields they have, and the few rules of theirs that tests rely on.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::failure::{Cause, Failure, Result};
use crate::resources::{Resource, Sort};

/// The object as its type has it: fields of another type are refused. Also where unknown fields were, which are dropped.
pub fn typed(resource: &Resource, object: Value) -> Result<(Value, Vec<String>)> {
    let stated = object.clone();
    let read = match resource.sort {
        Sort::Custom(_) => Ok(object),
        Sort::ConfigMap => through::<ConfigMap>(object),
        Sort::Event => through::<Event>(object),
        Sort::Lease => through::<Lease>(object),
        Sort::Namespace => through::<Namespace>(object),
        Sort::Secret => through::<Secret>(object),
    };
    let mut object = read.map_err(|error| {
        let (kind, version) = (&resource.kind, &resource.version);
        Failure::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}"))
    })?;
    let mut unknown = vec![];
    dropped("", &stated, &object, &mut unknown);
    set_defaults(resource, &mut object);
    Ok((object, unknown))
}

/// The places of fields that only the first of two values has.
fn dropped(place: &str, stated: &Value, typed: &Value, unknown: &mut Vec<String>) {
    for (name, value) in stated.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        match typed.get(name) {
            Some(typed) => dropped(&place, value, typed, unknown),
            None => unknown.push(place),
        }
    }
}

fn through<T: Serialize + DeserializeOwned>(object: Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(object)?)
}

fn set_defaults(resource: &Resource, object: &mut Value) {
    match resource.sort {
        Sort::Secret => {
            if object["type"].as_str().unwrap_or_default().is_empty() {
                object["type"] = "Opaque".into();
            }
            let Some(texts) = object.as_object_mut().and_then(|object| object.remove("stringData")) else {
                return;
            };
            for (key, text) in texts.as_object().into_iter().flatten() {
                object["data"][key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
            }
        }
        Sort::Namespace => {
            let name = object["metadata"]["name"].clone();
            if name.is_string() {
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            }
        }
        _ => {}
    }
    if let Some(object) = object.as_object_mut() {
        let empty = |value: &Value| value.as_object().is_some_and(|map| map.is_empty());
        object.retain(|name, value| name == "metadata" || name == "spec" || !empty(value));
    }
}

/// What the server sets in a new object.
pub fn prepare(resource: &Resource, object: &mut Value) {
    if let Sort::Namespace = resource.sort {
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["status"] = json!({"phase": "Active"});
    }
}

/// What is wrong with an object.
pub fn check(resource: &Resource, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    match resource.sort {
        Sort::ConfigMap | Sort::Secret => check_data(resource, old, new),
        Sort::Event if old.is_none() => check_event(new),
        Sort::Lease => check_lease(new),
        _ => vec![],
    }
}

fn check_data(resource: &Resource, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    let mut causes = vec![];
    if let Some(old) = old {
        if matches!(resource.sort, Sort::Secret) && old["type"] != new["type"] {
            causes.push(Cause::invalid("type", &new["type"], "field is immutable"));
        }
        if old["immutable"] == true {
            let why = "field is immutable when `immutable` is set";
            let fields = ["immutable", "data", "binaryData"];
            let changed = fields.into_iter().filter(|field| old[*field] != new[*field]);
            causes.extend(changed.map(|field| Cause::forbidden(field, why)));
        }
    }
    for key in new["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if key.is_empty() || !key.chars().all(plain) {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            causes.push(Cause::invalid(format!("data[{key}]"), json!(key), why));
        }
    }
    causes
}

fn check_event(new: &Value) -> Vec<Cause> {
    let mut causes = vec![];
    if new["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
    }
    for field in ["reportingController", "reportingInstance", "action", "reason"] {
        if new[field].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    causes
}

fn check_lease(new: &Value) -> Vec<Cause> {
    let spec = &new["spec"];
    let mut causes = vec![];
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|seconds| seconds <= 0) {
        let why = "must be greater than 0";
        causes.push(Cause::invalid("spec.leaseDurationSeconds", &spec["leaseDurationSeconds"], why));
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|count| count < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.leaseTransitions", &spec["leaseTransitions"], why));
    }
    causes
}
