//! Deletes: preconditions, finalizers, and what is left of an object that has some.

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::request::Ask;
use crate::resources::{NAMESPACES, Resource};
use crate::store::Stored;
use crate::{ApiServer, State, meta};

impl ApiServer {
    /// Deletes one object. Returns it if it is still there, or that it is gone.
    pub(crate) fn delete(&self, ask: &Ask, body: &[u8]) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        let options: Value = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?,
        };
        let name = ask.name.as_deref().unwrap_or_default();
        let mut state = self.state();
        let Some(old) = state.store.get(ask.resource, &ask.key()).cloned() else {
            return Err(Failure::not_found(resource, name));
        };
        check(resource, name, &options["preconditions"], &old.object)?;
        if ask.dry_run() || options["dryRun"] == json!(["All"]) {
            let marked = || self.marked(&old.object);
            let left = if meta::finalizers(&old.object).is_empty() { None } else { Some(marked()) };
            return Ok(left.unwrap_or_else(|| gone(resource, &old.object)));
        }
        if ask.resource == NAMESPACES {
            return Ok(self.terminate(&mut state, name, &old));
        }
        let left = self.remove(&mut state, ask.resource, &ask.key(), &old);
        self.collect(&mut state, ask.namespace.as_deref());
        Ok(left.unwrap_or_else(|| gone(resource, &old.object)))
    }

    /// Deletes all objects that a list with the same parameters finds; returns that list.
    pub(crate) fn delete_all(&self, ask: &Ask, body: &[u8]) -> Result<Value> {
        let list = self.list(ask)?;
        for object in list["items"].as_array().into_iter().flatten() {
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            let one = Ask { name: Some(meta::name(object).to_owned()), namespace, ..ask.clone() };
            self.delete(&one, body)?;
        }
        Ok(list)
    }

    /// Deletes an object, or marks it as being deleted if it has finalizers; returns what is left.
    pub(crate) fn remove(
        &self,
        state: &mut State,
        resource: usize,
        key: &str,
        old: &Stored,
    ) -> Option<Value> {
        if meta::finalizers(&old.object).is_empty() {
            state.store.delete(resource, key);
            return None;
        }
        if meta::is_deleting(&old.object) {
            return Some((*old.object).clone());
        }
        let object = self.marked(&old.object);
        Some((*state.store.put(resource, key, object, false)).clone())
    }

    /// An object that is being deleted from now on, if it was not before.
    fn marked(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if !meta::is_deleting(&object) {
            let generation = object["metadata"]["generation"].as_i64();
            let metadata = meta::of(&mut object);
            metadata.insert("deletionTimestamp".into(), self.now().into());
            metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
            if let Some(generation) = generation {
                metadata.insert("generation".into(), json!(generation + 1));
            }
        }
        object
    }
}

/// Whether the preconditions of a delete hold.
fn check(resource: &Resource, name: &str, preconditions: &Value, object: &Value) -> Result<()> {
    let all = [
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ];
    for (field, word, why) in all {
        let (asked, is) =
            (preconditions[field].as_str(), object["metadata"][field].as_str().unwrap_or_default());
        if let Some(asked) = asked.filter(|asked| *asked != is) {
            let why = format!(
                "the {word} in the precondition ({asked}) does not match the {word} in record ({is}). {why}"
            );
            return Err(Failure::precondition(resource, name, &why));
        }
    }
    Ok(())
}

/// The response to the delete of an object without finalizers.
fn gone(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": meta::name(object), "kind": resource.plural, "uid": object["metadata"]["uid"],
    });
    if !resource.group.is_empty() {
        details["group"] = resource.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
