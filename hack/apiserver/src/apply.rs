//! Server-side apply: the configuration is merged into the object, fields that the manager no longer states are removed,
//! fields that others own are conflicts unless the request forces them.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::failure::{Cause, Failure, Result};
use crate::managed::{ANY, Fields, Managers, Path, applied, difference, element, inner};
use crate::meta::normalized;
use crate::request::Ask;
use crate::resources::Resource;
use crate::schema::Schema;
use crate::write::{fit_name, fit_namespace, parse};
use crate::{ApiServer, State, builtin};

impl ApiServer {
    /// Applies a configuration. Returns whether it created the object.
    pub(crate) fn apply(&self, ask: &Ask, body: &[u8]) -> Result<(Value, bool)> {
        let resource = self.definitions().get(ask.resource);
        if ask.query("fieldManager").is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Failure::invalid_as("meta.k8s.io", "PatchOptions", "", vec![cause]));
        }
        let config: Value = serde_json::from_slice(body)
            .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
        let config = checked(resource, config, body)?;
        let mut state = self.state();
        let Some(old) = state.store.get(ask.resource, &ask.key()).cloned() else {
            return self.apply_new(&mut state, ask, config);
        };
        let mut managers = Managers::of(&old.object);
        managers.begin(ask, resource, &old.object, &self.now());
        let (owned, before) = (applied(ask, resource, &config), managers.own(ask, "Apply"));
        let schema = Schema::default();
        let schema = resource.schema().unwrap_or(&schema);
        let mut new = (*old.object).clone();
        merge(schema, &mut new, &config, true);
        let stated = with_parents(schema, &owned);
        let gone: Fields = with_parents(schema, &before).difference(&stated).cloned().collect();
        let kept: Fields = managers.of_others(ask).chain(&owned).cloned().collect();
        let used = |path: &Path| kept.range(path.clone()..).next().is_some_and(|next| next.starts_with(path));
        for path in gone.iter().filter(|path| !used(path)) {
            remove(schema, &mut new, path, true);
        }
        let diff = difference(ask, resource, &old.object, &new);
        let conflicts = managers.others(ask, &diff.changed);
        if !conflicts.is_empty() && ask.query("force") != "true" {
            return Err(conflict(&conflicts));
        }
        managers.update(ask, resource, "Apply", owned, &diff, &self.now());
        let applied = new;
        let mut new = self.decode(ask, applied.clone())?;
        if resource.schema().is_some() {
            keep_nulls(&mut new, &applied, &gone);
        }
        fit_name(ask, &new)?;
        fit_namespace(ask, &mut new)?;
        self.update(&mut state, ask, &old, new, managers).map(|object| (object, false))
    }

    fn apply_new(&self, state: &mut State, ask: &Ask, config: Value) -> Result<(Value, bool)> {
        let resource = self.definitions().get(ask.resource);
        fit_name(ask, &config)?;
        if ask.is_status() {
            return Err(Failure::not_found(resource, ask.name.as_deref().unwrap_or_default()));
        }
        if let Some(uid) = config["metadata"]["uid"].as_str() {
            let name = ask.name.as_deref().unwrap_or_default();
            return Err(Failure::missing(resource, name, uid));
        }
        self.create_in(state, ask, config).map(|object| (object, true))
    }
}

fn merge(schema: &Schema, live: &mut Value, config: &Value, root: bool) {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) => {
            for (name, value) in config {
                let field = inner(schema, name, root);
                merge(field, live.entry(name).or_insert(Value::Null), value, false);
            }
        }
        (Value::Array(live), Value::Array(config)) if element(schema, &Value::Null).is_some() => {
            *live = merge_items(schema, live, config);
        }
        (live, config) => *live = config.clone(),
    }
}

/// The items of a set or a map: those that the configuration has are in its order, and the others stay before the items that they were
/// before.
fn merge_items(schema: &Schema, live: &[Value], config: &[Value]) -> Vec<Value> {
    let any = Schema::default();
    let items = schema.items.as_deref().unwrap_or(&any);
    let keys = |all: &[Value]| all.iter().map(|item| element(schema, item)).collect::<Vec<_>>();
    let (there, wanted) = (keys(live), keys(config));
    let merged = |at: usize| {
        let before = there.iter().position(|key| *key == wanted[at]).map(|at| &live[at]);
        let mut item = before.cloned().unwrap_or(Value::Null);
        merge(items, &mut item, &config[at], false);
        item
    };
    let mut shared = wanted.iter().filter(|key| there.contains(key)).peekable();
    let (mut all, mut old, mut new) = (vec![], 0, 0);
    while old < live.len() || new < config.len() {
        if old < live.len() && new < config.len() {
            if there[old] == wanted[new] {
                all.push(merged(new));
                (old, new) = (old + 1, new + 1);
                shared.next();
                continue;
            }
            // It comes later, or came before.
            if wanted.contains(&there[old]) && shared.peek().is_some_and(|next| **next != there[old]) {
                old += 1;
                continue;
            }
        }
        if old < live.len() {
            if !wanted.contains(&there[old]) {
                all.push(live[old].clone());
                old += 1;
                continue;
            }
            if wanted[..new].contains(&there[old]) {
                old += 1;
            }
        }
        if new < config.len() {
            all.push(merged(new));
            if shared.peek() == Some(&&wanted[new]) {
                shared.next();
            }
            new += 1;
        }
    }
    all
}

/// These fields, and those that they are in, but for the entries of a map, and for `metadata`: it has the name, which has no owner.
fn with_parents(schema: &Schema, fields: &Fields) -> Fields {
    let mut all = fields.clone();
    for path in fields {
        let mut at = schema;
        for (depth, step) in path.iter().enumerate() {
            let Some(name) = step.strip_prefix("f:") else {
                at = at.items.as_deref().unwrap_or(&ANY);
                continue;
            };
            if depth == 0 && name != "metadata" || depth > 0 && at.values.is_none() {
                all.insert(path[..=depth].to_vec());
            }
            at = inner(at, name, depth == 0);
        }
    }
    all
}

/// Removes a field or an item. A field that is empty then is null, as in the real server, also where null is not allowed.
fn remove(schema: &Schema, value: &mut Value, path: &[String], root: bool) {
    let Some((first, rest)) = path.split_first() else { return };
    let any = Schema::default();
    match value {
        Value::Object(map) => {
            let name = first.strip_prefix("f:").unwrap_or_default();
            let Some(inside) = map.get_mut(name) else { return };
            if rest.is_empty() {
                map.remove(name);
                return;
            }
            remove(inner(schema, name, root), inside, rest, false);
            if is_empty(inside) {
                *inside = Value::Null;
            }
        }
        Value::Array(items) => {
            let Some(at) = items.iter().position(|item| element(schema, item).as_ref() == Some(first)) else {
                return;
            };
            remove(schema.items.as_deref().unwrap_or(&any), &mut items[at], rest, false);
            if rest.is_empty() || is_empty(&items[at]) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

/// Puts back the nulls that `remove` left at these paths and that reading a custom object drops. Metadata is read as that of any object,
/// without nulls.
fn keep_nulls(object: &mut Value, applied: &Value, paths: &Fields) {
    for path in paths.iter().filter(|path| path.first().is_none_or(|step| *step != "f:metadata")) {
        let (mut object, mut applied) = (&mut *object, applied);
        for name in path.iter().filter_map(|step| step.strip_prefix("f:")) {
            let (Some(fields), Some(inside)) = (object.as_object_mut(), applied.get(name)) else { break };
            if inside.is_null() {
                fields.entry(name).or_insert(Value::Null);
            }
            let Some(there) = fields.get_mut(name) else { break };
            (object, applied) = (there, inside);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.is_empty())
        || value.as_array().is_some_and(|list| list.is_empty())
}

/// A configuration that can be applied: of this kind, with this name.
fn checked(resource: &Resource, mut config: Value, body: &[u8]) -> Result<Value> {
    let version = config["apiVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != resource.api_version() {
        let kind = config["kind"].as_str().unwrap_or_default();
        return Err(Failure::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    parse(resource, body)?;
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    config["metadata"] = normalized(&config["metadata"])?;
    let unfit = unfit(resource, &config)?;
    if unfit.is_empty() {
        return Ok(config);
    }
    let message = format!("failed to create typed patch object: {}", unfit.join(", "));
    Err(Failure::new(500, "", message))
}

/// Where a configuration has unknown fields or values of another type.
pub fn unfit(resource: &Resource, config: &Value) -> Result<Vec<String>> {
    let mut config = config.clone();
    let Some(schema) = resource.schema() else {
        return builtin::typed(resource, config).map(|(_, unknown)| unknown);
    };
    let mut places = schema.prune(&mut config);
    let wrong = |cause: &Cause| match cause.reason {
        "FieldValueTypeInvalid" => {
            !cause.message.contains("\"null\"") && !cause.message.contains("date-time")
        }
        reason => reason == "FieldValueDuplicate",
    };
    null_items(schema, &config, &mut places);
    places.extend(schema.check(&config).into_iter().filter(wrong).map(|cause| cause.field));
    Ok(places)
}

/// Where a list that is a set or a map has null, or an item of a map lacks a key.
fn null_items(schema: &Schema, value: &Value, places: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(field) = schema.field(name) {
                    null_items(field, value, places);
                }
            }
        }
        Value::Array(items) => {
            if element(schema, &Value::Null).is_some() && items.contains(&Value::Null) {
                places.push("a list has an element that's an explicit null".into());
            }
            // Null where it is not allowed was removed before.
            let lacks =
                |key: &&String| items.iter().any(|item| item.is_object() && item[key.as_str()].is_null());
            places.extend(schema.list_keys.iter().filter(lacks).map(|key| {
                format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
            }));
            for item in items {
                null_items(schema.items.as_deref().unwrap_or(&Schema::default()), item, places);
            }
        }
        _ => {}
    }
}

/// The refusal of fields that others own.
fn conflict(conflicts: &[(&Value, Fields)]) -> Failure {
    let (mut causes, mut texts) = (vec![], vec![]);
    for (entry, fields) in conflicts {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let mut using = format!("{:?}", text("manager"));
        if text("operation") == "Update" {
            if !text("subresource").is_empty() {
                using += &format!(" with subresource {:?}", text("subresource"));
            }
            using += &format!(" using {}", text("apiVersion"));
        }
        let message = format!("conflict with {using}");
        let cause =
            |path| json!({"reason": "FieldManagerConflict", "message": message, "field": shown(path)});
        let mut fields: Vec<&Path> = fields.iter().collect();
        fields.sort_by(|one, other| members_first(one, other));
        causes.extend(fields.iter().copied().map(cause));
        let paths: Vec<String> = fields.into_iter().map(shown).collect();
        texts.push(match &paths[..] {
            [path] => format!("{message}: {path}"),
            paths => format!("conflicts with {using}:\n- {}", paths.join("\n- ")),
        });
    }
    let count = causes.len();
    let conflicts = if count == 1 { "conflict" } else { "conflicts" };
    let message = format!("Apply failed with {count} {conflicts}: {}", texts.join("\n"));
    let mut failure = Failure::new(409, "Conflict", message);
    failure.status["details"] = json!({"causes": causes});
    failure
}

/// The order in which the real server names fields: those of an object before what is in them.
fn members_first(one: &Path, other: &Path) -> Ordering {
    let Some(at) = one.iter().zip(other).position(|(one, other)| one != other) else {
        return one.len().cmp(&other.len());
    };
    let inside = |path: &Path| path.len() > at + 1;
    inside(one).cmp(&inside(other)).then_with(|| one[at].cmp(&other[at]))
}

/// A path as conflicts name it: `.spec.label`, `.status.conditions[type="Ready"].status`.
fn shown(path: &Path) -> String {
    let part = |part: &String| match part.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let keys = keys.as_object().into_iter().flatten();
            format!("[{}]", keys.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
        }
        Some((_, value)) => format!("[={value}]"),
        None => String::new(),
    };
    path.iter().map(part).collect()
}
