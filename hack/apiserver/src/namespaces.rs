//! The life of namespaces: objects are created in existing ones only, and go with them.
//!
//! What the real server leaves to a controller, which takes a moment, happens here within the request.

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::request::Ask;
use crate::resources::{NAMESPACES, Resource, Sort};
use crate::store::Stored;
use crate::{ApiServer, State, meta};

impl ApiServer {
    /// Creates a namespace without a request.
    pub(crate) fn add_namespace(&self, name: &str) {
        let request = http::Request::post("/api/v1/namespaces").body(()).expect("a valid request");
        let asked = Ask::parse(&request.into_parts().0, self.definitions(), "system");
        let body = json!({"metadata": {"name": name}}).to_string();
        let created = asked.and_then(|ask| ask.and_then(|ask| self.create(&ask, body.as_bytes())).ok());
        created.expect("a new server takes its namespaces");
    }

    /// Whether an object may be created in its namespace.
    pub(crate) fn admit(&self, state: &State, ask: &Ask, name: &str) -> Result<()> {
        let Some(namespace) = &ask.namespace else { return Ok(()) };
        match state.store.get(NAMESPACES, namespace) {
            None => Err(Failure::not_found(self.definitions().get(NAMESPACES), namespace)),
            Some(found) if meta::is_deleting(&found.object) => {
                Err(Failure::terminating(self.definitions().get(ask.resource), name, namespace))
            }
            Some(_) => Ok(()),
        }
    }

    /// Begins the deletion of a namespace and of everything in it.
    pub(crate) fn terminate(&self, state: &mut State, name: &str, old: &Stored) -> Value {
        let mut object = (*old.object).clone();
        if !meta::is_deleting(&object) {
            meta::of(&mut object).insert("deletionTimestamp".into(), self.now().into());
            object["status"]["phase"] = "Terminating".into();
            object = (*state.store.put(NAMESPACES, name, object, false)).clone();
        }
        let prefix = format!("{name}/");
        for (place, _) in self.definitions().all() {
            let within = state.store.all(place).iter().filter(|(key, _)| key.starts_with(&prefix));
            let within: Vec<(String, Stored)> = within.map(|(key, one)| (key.clone(), one.clone())).collect();
            for (key, one) in within {
                self.remove(state, place, &key, &one);
            }
        }
        self.collect(state, Some(name));
        object
    }

    /// Ends the deletion of a namespace that is empty now.
    pub(crate) fn collect(&self, state: &mut State, namespace: Option<&str>) {
        let Some(namespace) = namespace else { return };
        let terminating = state.store.get(NAMESPACES, namespace);
        let terminating = terminating.is_some_and(|found| {
            meta::is_deleting(&found.object) && meta::finalizers(&found.object).is_empty()
        });
        let prefix = format!("{namespace}/");
        let used = |place: usize| state.store.all(place).keys().any(|key| key.starts_with(&prefix));
        if terminating && !self.definitions().all().any(|(place, _)| used(place)) {
            state.store.delete(NAMESPACES, namespace);
        }
    }

    /// Whether an object is a namespace, which is there until its content is gone.
    pub(crate) fn holds_namespace(&self, resource: &Resource, object: &Value) -> bool {
        matches!(resource.sort, Sort::Namespace) && object["status"]["phase"] == "Terminating"
    }
}
