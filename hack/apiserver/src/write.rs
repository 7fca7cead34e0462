//! Creates and updates: what they check, in the order of the real server, and what they store.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::apply::unfit;
use crate::failure::{Cause, Failure, Result};
use crate::managed::{Managers, applied, difference};
use crate::names::{suffix, uid};
use crate::request::{Ask, Verb};
use crate::resources::Resource;
use crate::store::Stored;
use crate::{ApiServer, State, builtin, meta};

impl ApiServer {
    pub(crate) fn create(&self, ask: &Ask, body: &[u8]) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        let object = parse(resource, body)?;
        let mut state = self.state();
        self.create_in(&mut state, ask, object)
    }

    /// Creates an object for a POST, or for a PUT or an apply that found none.
    pub(crate) fn create_in(&self, state: &mut State, ask: &Ask, object: Value) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        let config = ask.is_apply().then(|| object.clone());
        let mut object = self.decode(ask, object)?;
        fit_namespace(ask, &mut object)?;
        let asked = meta::name(&object).to_owned();
        self.admit(state, ask, &asked)?;
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let managers = self.first_manager(ask, config.as_ref().unwrap_or(&object));
        self.fill_in(state, resource, &mut object);
        managers.write(&mut object);
        let read = self.without_status(resource, &mut object);
        let mut causes = meta::check_new(resource, &object);
        causes.extend(self.check(resource, None, &read, &causes));
        let (name, kind) = (meta::name(&object).to_owned(), object["kind"].as_str().unwrap_or_default());
        if !causes.is_empty() {
            return Err(Failure::invalid_as(&resource.group, kind, &name, causes));
        }
        if !version.is_empty() && version != "0" && !ask.dry_run() && !ask.is_apply() {
            return Err(Failure::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        let key = key(ask, &name);
        match state.store.get(ask.resource, &key) {
            Some(found) if meta::is_deleting(&found.object) => {
                return Err(Failure::still_exists(resource, &name));
            }
            Some(_) => return Err(Failure::already_exists(resource, &name)),
            None => {}
        }
        if ask.dry_run() {
            let mut read = read;
            if !version.is_empty() {
                meta::of(&mut read).insert("resourceVersion".into(), version.into());
            }
            return Ok(read);
        }
        let lacks_defaults = read != object;
        let stored = state.store.put(ask.resource, &key, read, lacks_defaults);
        Ok((*stored).clone())
    }

    /// A PUT. Returns whether it created the object.
    pub(crate) fn replace(&self, ask: &Ask, body: &[u8]) -> Result<(Value, bool)> {
        let resource = self.definitions().get(ask.resource);
        let object = parse(resource, body)?;
        let managers = Managers::of(&object);
        let mut new = self.decode(ask, object)?;
        fit_namespace(ask, &mut new)?;
        fit_name(ask, &new)?;
        let mut state = self.state();
        let name = ask.name.as_deref().unwrap_or_default();
        let Some(old) = state.store.get(ask.resource, &ask.key()).cloned() else {
            if resource.create_on_update() && !ask.is_status() {
                if let Some(asked) = new["metadata"]["uid"].as_str() {
                    return Err(Failure::another(resource, name, asked, ""));
                }
                return self.create_in(&mut state, ask, new).map(|object| (object, true));
            }
            return Err(Failure::not_found(resource, name));
        };
        let (asked, uid) = (&new["metadata"]["uid"], &old.object["metadata"]["uid"]);
        if asked.is_string() && asked != uid {
            let [asked, uid] = [asked, uid].map(|uid| uid.as_str().unwrap_or_default());
            return Err(Failure::another(resource, name, asked, uid));
        }
        let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if version.is_empty() || version == "0" {
            if !resource.unconditional_update() {
                let why = "must be specified for an update";
                let cause = Cause::invalid("metadata.resourceVersion", 0, why);
                let (group, plural) = (&resource.group, &resource.plural);
                return Err(Failure::invalid_as(group, plural, name, vec![cause]));
            }
            new["metadata"]["resourceVersion"] = old.object["metadata"]["resourceVersion"].clone();
        }
        let managers = if managers.is_empty() { Managers::of(&old.object) } else { managers };
        self.update(&mut state, ask, &old, new, managers).map(|object| (object, false))
    }

    /// Stores a new version of an object, which `decode` has read. `managers` are those of the old version; of an apply,
    /// those of the new one.
    pub(crate) fn update(
        &self,
        state: &mut State,
        ask: &Ask,
        old: &Stored,
        mut new: Value,
        mut managers: Managers,
    ) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        let name = ask.name.as_deref().unwrap_or_default();
        if new["metadata"]["resourceVersion"] != old.object["metadata"]["resourceVersion"] {
            return Err(Failure::stale(resource, name));
        }
        // What does not fit the schema, and is accepted, makes the real server forget the managers: a part that is ignored, or a list in
        // place of a value with a format.
        let ignored = if ask.is_status() { "spec" } else { "status" };
        let ignores = resource.status && new[ignored] != old.object[ignored];
        let accepted = resource.schema().is_some_and(|schema| schema.has_list_for_format(&new));
        if accepted || ignores && !unfit(resource, &new)?.is_empty() {
            managers = Managers::of(&Value::Null);
        }
        self.prepare(ask, resource, &old.object, &mut new);
        // An object that has no managers gets some with the first apply.
        if !ask.is_apply() && !managers.is_empty() {
            let diff = difference(ask, resource, &old.object, &new);
            let mut owned = managers.own(ask, "Update");
            owned.retain(|path| !diff.removed.contains(path));
            owned.extend(diff.changed.iter().cloned());
            managers.update(ask, resource, "Update", owned, &diff, &self.now());
        }
        managers.write(&mut new);
        let mut causes = meta::check_changed(&old.object, &new);
        causes.extend(self.check(resource, Some(&old.object), &new, &causes));
        if ask.is_status() {
            causes.iter_mut().for_each(relative_to_status);
        }
        if !causes.is_empty() {
            let kind = new["kind"].as_str().unwrap_or_default();
            return Err(Failure::invalid_as(&resource.group, kind, name, causes));
        }
        let released = meta::is_deleting(&new) && meta::finalizers(&new).is_empty();
        if ask.dry_run() || new == *old.object && !old.lacks_defaults && !released {
            return Ok(new);
        }
        if released && !self.holds_namespace(resource, &new) {
            state.store.delete(ask.resource, &ask.key());
            self.collect(state, ask.namespace.as_deref());
            return Ok(new);
        }
        let stored: Arc<Value> = state.store.put(ask.resource, &ask.key(), new, false);
        Ok((*stored).clone())
    }

    /// The creator of an object owns what it stated.
    fn first_manager(&self, ask: &Ask, object: &Value) -> Managers {
        let resource = self.definitions().get(ask.resource);
        let diff = difference(ask, resource, &Value::Null, object);
        let (operation, owned) = match ask.is_apply() {
            true => ("Apply", applied(ask, resource, object)),
            false => ("Update", diff.changed.clone()),
        };
        let mut managers = Managers::of(&Value::Null);
        managers.update(ask, resource, operation, owned, &diff, &self.now());
        managers
    }

    /// Sets what a client may not change: the other half (status or the rest), metadata, generation.
    fn prepare(&self, ask: &Ask, resource: &Resource, old: &Value, new: &mut Value) {
        if ask.is_status() {
            let status = new.as_object_mut().and_then(|new| new.remove("status"));
            let typed = [new["kind"].clone(), new["apiVersion"].clone()];
            *new = old.clone();
            [new["kind"], new["apiVersion"]] = typed;
            set(new, "status", status);
            return;
        }
        if resource.status {
            set(new, "status", old.get("status").cloned());
        }
        if !resource.is_custom() && resource.status {
            set(new, "spec", old.get("spec").cloned());
        }
        meta::carry_over(old, new);
        if resource.is_custom() && differs(resource, old, new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            meta::of(new).insert("generation".into(), json!(generation + 1));
        }
    }

    /// An object as it is stored, from a body that may be incomplete.
    pub(crate) fn decode(&self, ask: &Ask, mut object: Value) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        object["metadata"] = meta::normalized(&object["metadata"])?;
        meta::of(&mut object).remove("managedFields");
        let unknown;
        if let Some(schema) = resource.schema() {
            schema.set_defaults(&mut object);
            unknown = schema.prune(&mut object);
        } else {
            (object, unknown) = builtin::typed(resource, object)?;
        }
        if ask.strict() && !unknown.is_empty() {
            return Err(strict(ask, resource, &unknown));
        }
        Ok(object)
    }

    /// What is wrong with an object but for its metadata. `causes` is what was wrong before.
    fn check(&self, resource: &Resource, old: Option<&Value>, new: &Value, causes: &[Cause]) -> Vec<Cause> {
        let Some(schema) = resource.schema() else { return builtin::check(resource, old, new) };
        let mut found = vec![];
        if new["kind"] != resource.kind.as_str() {
            found.push(Cause::invalid("kind", &new["kind"], &format!("must be {}", resource.kind)));
        }
        found.extend(schema.check(new));
        let blocking = [
            "FieldValueRequired",
            "FieldValueNotSupported",
            "FieldValueTooLong",
            "FieldValueTooMany",
            "FieldValueTypeInvalid",
        ];
        if causes.iter().chain(&found).any(|cause| blocking.contains(&cause.reason)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                errors to complete validation";
            found.push(Cause::invalid("<nil>", "null", why));
        } else {
            found.extend(schema.broken_rules(new, old));
        }
        found
    }

    /// Removes the status of a new object; returns the object as it is read, with defaults.
    fn without_status(&self, resource: &Resource, object: &mut Value) -> Value {
        if let (true, true, Some(object)) = (resource.is_custom(), resource.status, object.as_object_mut()) {
            object.remove("status");
        }
        let mut read = object.clone();
        if let Some(schema) = resource.schema() {
            schema.set_defaults(&mut read);
        }
        read
    }

    /// Sets what the server decides about a new object.
    fn fill_in(&self, state: &mut State, resource: &Resource, object: &mut Value) {
        let now = self.now();
        let base = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
        state.generated += 1;
        if meta::name(object).is_empty() && !base.is_empty() {
            let base: String = base.chars().take(58).collect();
            object["metadata"]["name"] = format!("{base}{}", suffix(state.generated)).into();
        }
        builtin::prepare(resource, object);
        let metadata = meta::of(object);
        metadata.insert("uid".into(), uid(state.generated).into());
        metadata.insert("creationTimestamp".into(), now.into());
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
            metadata.remove(field);
        }
        if resource.is_custom() {
            metadata.insert("generation".into(), 1.into());
        }
    }
}

/// Whether something that counts for the generation differs: all but metadata, and the status if it has an own resource.
fn differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let part = |object: &Value| {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|name, _| name != "metadata" && !(resource.status && name == "status"));
        }
        object
    };
    part(old) != part(new)
}

/// A write of the status names its fields without the word in messages.
fn relative_to_status(cause: &mut Cause) {
    if let Some(rest) = cause.field.strip_prefix("status.") {
        let (full, short) = (format!(": {} in body", cause.field), format!(": {rest} in body"));
        cause.message = cause.message.replacen(&full, &short, 1);
    }
}

/// The refusal of unknown fields.
fn strict(ask: &Ask, resource: &Resource, unknown: &[String]) -> Failure {
    let unknown: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    let why = format!("strict decoding error: {}", unknown.join(", "));
    if ask.verb == Verb::Patch {
        let cause = Cause::new("patch", "FieldValueInvalid", format!("Invalid value: {why}"));
        return Failure::invalid_as("", "", "", vec![cause]);
    }
    let (kind, version) = (&resource.kind, &resource.version);
    Failure::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => drop(fields.insert(field.into(), value)),
        None => drop(fields.remove(field)),
    }
}

/// Reads a body that must be an object of this resource.
pub fn parse(resource: &Resource, body: &[u8]) -> Result<Value> {
    let unrecognized = |why: String| {
        let kind = &resource.kind;
        Failure::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why}"))
    };
    let mut object: Value = serde_json::from_slice(body)
        .map_err(|error| unrecognized(format!("couldn't get version/kind; json parse error: {error}")))?;
    if !object.is_object() {
        return Err(unrecognized("couldn't get version/kind; json parse error".into()));
    }
    let (kind, version) = (object["kind"].as_str(), object["apiVersion"].as_str());
    if resource.is_custom() {
        if kind.unwrap_or_default().is_empty() {
            let text = String::from_utf8_lossy(body);
            return Err(unrecognized(format!("Object 'Kind' is missing in '{text}'")));
        }
        fit_version(resource, version.unwrap_or_default())?;
    } else {
        // Those of built-in kinds may be left out.
        fit_version(resource, version.unwrap_or(&resource.api_version()))?;
        object["kind"] = resource.kind.clone().into();
        object["apiVersion"] = resource.api_version().into();
    }
    Ok(object)
}

fn fit_version(resource: &Resource, version: &str) -> Result<()> {
    let expected = resource.api_version();
    if version == expected {
        return Ok(());
    }
    if !resource.is_custom() {
        let (kind, version) = (&resource.kind, version.rsplit('/').next().unwrap_or_default());
        return Err(Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: it is not registered"
        )));
    }
    Err(Failure::bad_request(format!(
        "the API version in the data ({version}) does not match the expected API version ({expected})"
    )))
}

/// The namespace of a request is that of its object.
pub fn fit_namespace(ask: &Ask, object: &mut Value) -> Result<()> {
    let stated = object["metadata"]["namespace"].as_str().unwrap_or_default();
    match &ask.namespace {
        Some(namespace) if stated.is_empty() => {
            object["metadata"]["namespace"] = namespace.clone().into();
            Ok(())
        }
        namespace if namespace.as_deref().unwrap_or_default() == stated => Ok(()),
        _ => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

/// The name of a request is that of its object.
pub fn fit_name(ask: &Ask, object: &Value) -> Result<()> {
    let (stated, asked) = (meta::name(object), ask.name.as_deref().unwrap_or_default());
    if stated == asked {
        return Ok(());
    }
    Err(Failure::bad_request(match stated {
        "" => {
            format!("the name of the object ({asked} based on URL) was undeterminable: name must be provided")
        }
        _ => format!("the name of the object ({stated}) does not match the name on the URL ({asked})"),
    }))
}

fn key(ask: &Ask, name: &str) -> String {
    match &ask.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}
