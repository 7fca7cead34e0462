//! Patches: JSON merge patches and JSON patches.

use serde_json::{Value, json};

use crate::ApiServer;
use crate::failure::{Failure, Result};
use crate::managed::Managers;
use crate::request::Ask;
use crate::write::{fit_name, fit_namespace};

impl ApiServer {
    /// Applies a patch. Returns whether it created the object.
    pub(crate) fn patch(&self, ask: &Ask, body: &[u8]) -> Result<(Value, bool)> {
        let resource = self.definitions().get(ask.resource);
        let change: fn(&Value, &[u8]) -> Result<Value> = match ask.content_type.as_str() {
            "application/merge-patch+json" => merged,
            "application/json-patch+json" => patched,
            "application/apply-patch+yaml" => return self.apply(ask, body),
            _ => return Err(unsupported()),
        };
        let mut state = self.state();
        let Some(old) = state.store.get(ask.resource, &ask.key()).cloned() else {
            return Err(Failure::not_found(resource, ask.name.as_deref().unwrap_or_default()));
        };
        let new = change(&old.object, body)?;
        let mut new = self.decode(ask, new)?;
        fit_name(ask, &new)?;
        fit_namespace(ask, &mut new)?;
        let managers = Managers::of(&old.object);
        self.update(&mut state, ask, &old, new, managers).map(|object| (object, false))
    }
}

fn merged(old: &Value, body: &[u8]) -> Result<Value> {
    let bad = |why: String| Failure::bad_request(format!("error decoding patch: {why}"));
    let patch: Value = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if !patch.is_object() {
        return Err(bad("json: cannot unmarshal into Go value of type map[string]interface {}".into()));
    }
    let mut new = old.clone();
    json_patch::merge(&mut new, &patch);
    Ok(new)
}

fn patched(old: &Value, body: &[u8]) -> Result<Value> {
    let refused = || {
        let message = "the server rejected our request due to an error in our request";
        let mut failure = Failure::new(422, "Invalid", message);
        failure.status["details"] = json!({});
        failure
    };
    let bad = |error| Failure::bad_request(format!("error decoding patch: {error}"));
    let operations: Vec<Value> = serde_json::from_slice(body).map_err(bad)?;
    let mut new = old.clone();
    for mut operation in operations {
        // The real server's library does not mind a replaced field that is missing.
        let path = operation["path"].as_str().unwrap_or_default().to_owned();
        if operation["op"] == "replace" && new.pointer(&path).is_none() {
            operation["op"] = "add".into();
        }
        let patch: json_patch::Patch = serde_json::from_value(json!([operation])).map_err(|_| refused())?;
        json_patch::patch(&mut new, &patch).map_err(|_| refused())?;
    }
    Ok(new)
}

fn unsupported() -> Failure {
    let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    let message = "the body of the request was in an unknown format - accepted media types include:";
    Failure::new(415, "UnsupportedMediaType", format!("{message} {accepted}"))
}
