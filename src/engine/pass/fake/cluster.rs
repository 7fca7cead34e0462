//! An API server made by hand: it keeps objects, merges patches, refuses stale ones, and records the requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::engine::cluster::FIELD_MANAGER;

/// What an API server does with the next call that fits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// None: the trouble comes later.
    Pass,
    /// Refuses it with this status.
    Refuse(u16),
    /// Carries it out, and sends no response.
    Lose,
    /// The object disappears, finalizers and all, before the write.
    Vanish,
    /// A user labels the object before the write.
    Label,
    /// Another replica binds the object to another id before the write.
    Rebind,
}

/// The objects and the events, and what was written.
#[derive(Default)]
pub struct ApiServer {
    objects: Mutex<BTreeMap<String, Value>>,
    versions: Mutex<u64>,
    /// What was written, in order: `status`, `metadata`.
    writes: Mutex<Vec<&'static str>>,
    events: Mutex<Vec<String>>,
    trouble: Mutex<VecDeque<(&'static str, Trouble)>>,
    /// The field of the status that its CRD does not have.
    dropped: Mutex<Option<&'static str>>,
}

impl ApiServer {
    /// A server and a client of it.
    pub fn start() -> (Arc<ApiServer>, Client) {
        let server = Arc::new(ApiServer::default());
        let router = Router::new().fallback(serve).with_state(server.clone());
        (server, Client::new(router, "default"))
    }

    /// Creates a Secret, or changes its values.
    pub fn secret(&self, name: &str, data: Value) {
        let metadata = json!({"name": name, "namespace": "ns", "uid": name, "resourceVersion": self.next()});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
        self.objects.lock().unwrap().insert(name.to_owned(), secret);
    }

    /// The next read of this sort is refused with this status: `secret`, `config map`, `namespace`, `object`.
    pub fn next_read(&self, what: &'static str, status: u16) {
        self.trouble.lock().unwrap().push_back((what, Trouble::Refuse(status)));
    }

    /// Creates an object, or changes its spec.
    pub fn apply(&self, name: &str, spec: Value) {
        let version = self.next();
        let mut objects = self.objects.lock().unwrap();
        match objects.get_mut(name) {
            Some(object) => {
                let generation = object["metadata"]["generation"].as_i64().unwrap();
                object["metadata"]["generation"] = json!(generation + 1);
                object["metadata"]["resourceVersion"] = json!(version);
                object["spec"] = spec;
            }
            None => {
                let metadata = json!({
                    "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "generation": 1,
                    "resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z",
                });
                let object = json!({
                    "apiVersion": "databricks-operator.io/v1alpha1", "kind": "Fake", "metadata": metadata, "spec": spec,
                });
                objects.insert(name.to_owned(), object);
            }
        }
    }

    /// Changes an object without the operator.
    pub fn edit(&self, name: &str, f: impl FnOnce(&mut Value)) {
        let version = self.next();
        let mut objects = self.objects.lock().unwrap();
        let object = objects.get_mut(name).unwrap();
        let before = object["data"].clone();
        f(object);
        if object["data"] != before {
            // What another client wrote is that one's.
            let all = json!({"f:data": {"f:key": {}}});
            object["metadata"]["managedFields"] = json!([{"manager": "another", "fieldsV1": all}]);
        }
        object["metadata"]["resourceVersion"] = json!(version);
    }

    /// Requests the deletion of an object.
    pub fn delete(&self, name: &str) {
        self.edit(name, |object| object["metadata"]["deletionTimestamp"] = json!("2026-02-01T00:00:00Z"));
        let mut objects = self.objects.lock().unwrap();
        if !is_held(&objects[name]) {
            objects.remove(name);
        }
    }

    /// An object as it is, if it exists.
    pub fn get(&self, name: &str) -> Option<DynamicObject> {
        let objects = self.objects.lock().unwrap();
        objects.get(name).map(|object| serde_json::from_value(object.clone()).unwrap())
    }

    /// What was written since the last time.
    pub fn writes(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }

    /// The reasons of events since the last time.
    pub fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    /// The next write of this sort meets trouble.
    pub fn next_write(&self, what: &'static str, trouble: Trouble) {
        self.trouble.lock().unwrap().push_back((what, trouble));
    }

    /// From now on this field of a status is dropped, as the CRD does not have it.
    pub fn drops(&self, field: &'static str) {
        *self.dropped.lock().unwrap() = Some(field);
    }

    fn next(&self) -> String {
        let mut versions = self.versions.lock().unwrap();
        *versions += 1;
        versions.to_string()
    }

    fn trouble(&self, what: &str) -> Option<Trouble> {
        let mut all = self.trouble.lock().unwrap();
        let at = all.iter().position(|(of, _)| *of == what);
        at.and_then(|at| all.remove(at)).map(|(_, trouble)| trouble)
    }

    fn patch(&self, name: &str, what: &'static str, patch: &Value) -> Response {
        let trouble = self.trouble(what);
        match trouble {
            Some(Trouble::Refuse(status)) => return refused(status),
            Some(Trouble::Vanish) => drop(self.objects.lock().unwrap().remove(name)),
            Some(Trouble::Label) => {
                self.edit(name, |object| object["metadata"]["labels"] = json!({"a": "b"}))
            }
            Some(Trouble::Rebind) => self.edit(name, |object| {
                let external = json!({"accountId": "account", "id": "another", "adopted": false});
                merge(&mut object["status"], &json!({"externalId": "another", "external": external}));
            }),
            _ => {}
        }
        let version = self.next();
        let mut objects = self.objects.lock().unwrap();
        let Some(object) = objects.get_mut(name) else { return refused(404) };
        let metadata = &patch["metadata"];
        if ["uid", "resourceVersion"].iter().any(|field| metadata[field] != object["metadata"][field]) {
            return refused(409);
        }
        let before = object.clone();
        match what {
            "status" => merge(&mut object["status"], &patch["status"]),
            _ => merge(&mut object["metadata"], metadata),
        }
        if let Some(field) = *self.dropped.lock().unwrap() {
            object["status"].as_object_mut().map(|status| status.remove(field));
        }
        // A write that changes nothing gives no new version.
        if *object != before {
            object["metadata"]["resourceVersion"] = json!(version);
        }
        self.writes.lock().unwrap().push(what);
        let answer = object.clone();
        if answer["metadata"]["deletionTimestamp"].is_string() && !is_held(&answer) {
            objects.remove(name);
        }
        match trouble {
            Some(Trouble::Lose) => refused(500),
            _ => Json(answer).into_response(),
        }
    }
}

/// Secrets that the operator writes: `reserve` creates one, `dry` checks whether it can be changed, `fill` changes it.
impl ApiServer {
    fn create_secret(&self, body: &Value) -> Response {
        if let Some(Trouble::Refuse(status)) = self.trouble("reserve") {
            return refused(status);
        }
        let (name, version) = (body["metadata"]["name"].as_str().unwrap().to_owned(), self.next());
        if self.get(&name).is_some() {
            return refused(409);
        }
        let mut secret = encoded(body);
        secret["metadata"]["resourceVersion"] = json!(version);
        self.objects.lock().unwrap().insert(name, secret.clone());
        self.writes.lock().unwrap().push("reserve");
        Json(secret).into_response()
    }

    fn patch_secret(&self, name: &str, patch: &Value, query: &str) -> Response {
        let dry = query.contains("dryRun=All");
        let trouble = self.trouble(if dry { "dry" } else { "fill" });
        if let Some(Trouble::Refuse(status)) = trouble {
            return refused(status);
        }
        let version = self.next();
        let mut objects = self.objects.lock().unwrap();
        let Some(secret) = objects.get_mut(name) else { return refused(404) };
        if patch["metadata"]["resourceVersion"] != secret["metadata"]["resourceVersion"] {
            return refused(409);
        }
        if !dry {
            merge(secret, &encoded(patch));
            secret["metadata"]["resourceVersion"] = json!(version);
            self.writes.lock().unwrap().push("fill");
        }
        match trouble {
            Some(Trouble::Lose) => refused(500),
            _ => Json(secret.clone()).into_response(),
        }
    }

    /// The text under a key of a Secret.
    pub fn value(&self, name: &str, key: &str) -> Option<String> {
        let data = self.get(name)?.data["data"][key].clone();
        let bytes: k8s_openapi::ByteString = serde_json::from_value(data).ok()?;
        String::from_utf8(bytes.0).ok()
    }

    /// Deletes an object, whatever holds it.
    pub fn remove(&self, name: &str) {
        self.objects.lock().unwrap().remove(name);
    }
}

/// ConfigMaps that the operator writes: `publish` creates, changes or deletes one.
impl ApiServer {
    /// Creates a ConfigMap without the operator.
    pub fn config_map(&self, name: &str, data: Value) {
        let metadata = json!({"name": name, "namespace": "ns", "uid": name, "resourceVersion": self.next()});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        self.objects.lock().unwrap().insert(name.to_owned(), map);
    }

    fn write_config_map(&self, method: &Method, name: &str, body: &Value) -> Response {
        let trouble = self.trouble("publish");
        if let Some(Trouble::Refuse(status)) = trouble {
            return refused(status);
        }
        let version = self.next();
        let mut objects = self.objects.lock().unwrap();
        let (stated, there) = match method {
            &Method::DELETE => (&body["preconditions"], true),
            _ => (&body["metadata"], *method != Method::POST),
        };
        match objects.get(name) {
            found if found.is_some() != there => return refused(if there { 404 } else { 409 }),
            Some(found) if stated["resourceVersion"] != found["metadata"]["resourceVersion"] => {
                return refused(409);
            }
            _ => {}
        }
        self.writes.lock().unwrap().push("publish");
        let mut map = objects.remove(name).unwrap_or_else(|| json!({}));
        if *method != Method::DELETE {
            merge(&mut map, body);
            map["metadata"]["resourceVersion"] = json!(version);
            objects.insert(name.to_owned(), map.clone());
        }
        match trouble {
            Some(Trouble::Lose) => refused(500),
            _ => Json(map).into_response(),
        }
    }
}

/// A Secret as the API server keeps it, once we have written it.
fn encoded(secret: &Value) -> Value {
    let mut secret = secret.clone();
    let texts = secret.as_object_mut().unwrap().remove("stringData");
    let mut fields = json!({});
    for (key, text) in texts.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let bytes = k8s_openapi::ByteString(text.as_str().unwrap().as_bytes().to_vec());
        secret["data"][key] = json!(bytes);
        fields["f:data"][format!("f:{key}")] = json!({});
        secret["metadata"]["managedFields"] = json!([{"manager": FIELD_MANAGER, "fieldsV1": fields}]);
    }
    secret
}

/// Whether finalizers hold an object.
fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

async fn serve(State(server): State<Arc<ApiServer>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(Body::new(request.into_body()), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (&method, parts.as_slice()) {
        (_, [.., "events"] | [.., "events", _]) => {
            server.events.lock().unwrap().push(body["reason"].as_str().unwrap_or("again").to_owned());
            let mut event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "eventTime": null});
            merge(&mut event, &body);
            Json(event).into_response()
        }
        // A watch that ends at once.
        (&Method::GET, [.., "secrets" | "configmaps"]) => Body::empty().into_response(),
        (&Method::GET, [.., sort, name]) => {
            let what = match *sort {
                "secrets" => "secret",
                "configmaps" => "config map",
                "namespaces" => "namespace",
                _ => "object",
            };
            match (server.trouble(what), server.get(name)) {
                (Some(Trouble::Refuse(status)), _) => refused(status),
                (_, Some(object)) => Json(object).into_response(),
                (_, None) => refused(404),
            }
        }
        (&Method::POST, [.., "secrets"]) => server.create_secret(&body),
        (&Method::PATCH, [.., "secrets", name]) => server.patch_secret(name, &body, &query),
        (&Method::POST, [.., "configmaps"]) => {
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            server.write_config_map(&method, &name, &body)
        }
        (_, [.., "configmaps", name]) => server.write_config_map(&method, name, &body),
        (&Method::PATCH, [.., name, "status"]) => server.patch(name, "status", &body),
        (&Method::PATCH, [.., name]) => server.patch(name, "metadata", &body),
        _ => refused(404),
    }
}

fn refused(code: u16) -> Response {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        403 => "Forbidden",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "made by hand"});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

/// A JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}
