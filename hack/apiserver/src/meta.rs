//! The rules of metadata: which fields there are, which a client may set, which values are valid.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::failure::{Cause, Failure, Result};
use crate::resources::{Resource, Sort};

/// The fields of metadata that the server knows, without empty ones; fails if one has another type.
pub fn normalized(metadata: &Value) -> Result<Value> {
    if metadata.is_null() {
        return Ok(json!({}));
    }
    let typed: ObjectMeta = serde_json::from_value(metadata.clone())
        .map_err(|error| Failure::bad_request(format!("metadata cannot be read: {error}")))?;
    let mut metadata = serde_json::to_value(typed).expect("metadata can be written");
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("selfLink");
        fields.retain(|_, value| !is_empty(value));
    }
    Ok(metadata)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The name of an object, empty if it has none.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Its finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

/// Whether it is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// The metadata of an object, which has some.
pub fn of(object: &mut Value) -> &mut Map<String, Value> {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("it was just set")
}

/// What an update may not change is taken from the old object where the new one does not state it.
pub fn carry_over(old: &Value, new: &mut Value) {
    let old = &old["metadata"];
    let new = of(new);
    for field in ["uid", "creationTimestamp", "deletionGracePeriodSeconds", "namespace"] {
        if !old[field].is_null() && !new.contains_key(field) {
            new.insert(field.into(), old[field].clone());
        }
    }
    for field in ["deletionTimestamp", "generation"] {
        match &old[field] {
            Value::Null if field == "deletionTimestamp" => {}
            Value::Null => drop(new.remove(field)),
            value => drop(new.insert(field.into(), value.clone())),
        }
    }
}

static SUBDOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").expect("a valid pattern")
});
static LABEL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").expect("a valid pattern"));
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$").expect("a valid pattern"));

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// What is wrong with the metadata of a new object.
pub fn check_new(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = vec![];
    match name(object) {
        "" => causes.push(Cause::required("metadata.name", "name or generateName is required")),
        name if matches!(resource.sort, Sort::Namespace) && !LABEL.is_match(name) => {
            causes.push(Cause::invalid("metadata.name", json!(name), LABEL_RULE));
        }
        name if !SUBDOMAIN.is_match(name) => {
            causes.push(Cause::invalid("metadata.name", json!(name), SUBDOMAIN_RULE));
        }
        _ => {}
    }
    causes.extend(check_values(object));
    causes
}

/// What is wrong with labels, annotations and finalizers.
fn check_values(object: &Value) -> Vec<Cause> {
    let metadata = &object["metadata"];
    let mut causes = vec![];
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        causes.extend(check_key("metadata.labels", key));
        let value = value.as_str().unwrap_or_default();
        if !value.is_empty() && !WORD.is_match(value) {
            causes.push(Cause::invalid("metadata.labels", json!(value), VALUE_RULE));
        }
    }
    for key in metadata["annotations"].as_object().into_iter().flatten().map(|(key, _)| key) {
        causes.extend(check_key("metadata.annotations", &key.to_lowercase()));
    }
    for finalizer in finalizers(object) {
        causes.extend(check_key("metadata.finalizers", finalizer));
    }
    causes
}

/// What is wrong with a key such as `example.com/name`.
fn check_key(field: &str, key: &str) -> Option<Cause> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| !SUBDOMAIN.is_match(prefix)) {
        let why = format!("prefix part {SUBDOMAIN_RULE}");
        return Some(Cause::invalid(field, json!(key), &why));
    }
    (!WORD.is_match(name)).then(|| Cause::invalid(field, json!(key), NAME_PART_RULE))
}

/// What is wrong with changed metadata.
pub fn check_changed(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = vec![];
    let before = finalizers(old);
    let added: Vec<&str> = finalizers(new).into_iter().filter(|one| !before.contains(one)).collect();
    if is_deleting(old) && !added.is_empty() {
        let added = added.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ");
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{added}}}"
        );
        causes.push(Cause::forbidden("metadata.finalizers", &why));
    }
    let immutable =
        ["namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in immutable {
        let (old, new) = (&old["metadata"][field], &new["metadata"][field]);
        if old != new {
            causes.push(Cause::invalid(format!("metadata.{field}"), new, "field is immutable"));
        }
    }
    causes.extend(check_values(new));
    causes
}
