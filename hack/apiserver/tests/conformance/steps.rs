//! Random sequences of requests, as clients and people send them.

use std::fmt;

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::random::Random;

/// One request. In its texts, `{ns}` is the namespace of the sequence, `$version:secrets/a` the version of this object that
/// was seen last, `$old:…` the one that was seen first, `$uid:…` its uid, `$start` the revision at the start and `$continue`
/// the token of the last list.
#[derive(Clone)]
pub struct Step {
    pub method: &'static str,
    pub plural: String,
    pub path: String,
    pub content: &'static str,
    /// The object whose last seen version the body is a change of.
    pub base: Option<String>,
    pub body: Value,
}

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";
const NAMES: [&str; 3] = ["a", "b", "c"];
const FINALIZERS: [&str; 2] = ["example.com/one", "example.com/two"];

impl Step {
    pub fn is_watch(&self) -> bool {
        self.path.contains("watch=1")
    }

    /// The same watch with more time.
    pub fn patient(&self) -> Option<Step> {
        let path = self.path.replace("timeoutSeconds=1", "timeoutSeconds=20");
        self.is_watch().then(|| Step { path, ..self.clone() })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if self.content != JSON {
            write!(f, " [{}]", self.content.trim_start_matches("application/"))?;
        }
        if let Some(base) = &self.base {
            write!(f, " the last {base} with")?;
        }
        if self.body.is_null() { Ok(()) } else { write!(f, " {}", self.body) }
    }
}

/// The steps of a sequence.
pub struct Sequence<'a> {
    random: Random,
    kinds: Vec<&'a Kind>,
}

impl<'a> Sequence<'a> {
    /// Of a seed, with some of these kinds.
    pub fn new(seed: u64, kinds: &'a [Kind]) -> Sequence<'a> {
        let mut random = Random::new(seed);
        let (custom, builtin): (Vec<&Kind>, Vec<&Kind>) =
            kinds.iter().partition(|kind| kind.schema.is_some());
        let kinds = vec![*random.one_of(&custom), *random.one_of(&builtin)];
        Sequence { random, kinds }
    }

    /// The namespace, some random steps, and what a watch of each kind saw of it all.
    pub fn steps(mut self) -> Vec<Step> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}"}});
        let mut steps = vec![step("POST", "namespaces", "/api/v1/namespaces", JSON, namespace)];
        steps.push(step("GET", &self.kinds[0].plural, &self.kinds[0].path("", "limit=1"), JSON, Value::Null));
        for _ in 0..8 + self.random.below(10) {
            let kind = if self.random.percent(75) { self.kinds[0] } else { self.kinds[1] };
            match self.random.below(16) {
                0 if kind.schema.is_some() => steps.extend(self.bound(kind)),
                1 => {
                    steps.push(list(kind, "limit=1"));
                    steps.push(self.step(kind));
                    steps.push(list(kind, "limit=1&continue=$continue"));
                }
                _ => steps.push(self.step(kind)),
            }
        }
        steps.truncate(27);
        for kind in &self.kinds {
            let query = "watch=1&resourceVersion=$start&timeoutSeconds=1";
            steps.push(step("GET", &kind.plural, &kind.path("", query), JSON, Value::Null));
        }
        if self.random.percent(20) {
            steps.push(step("DELETE", "namespaces", "/api/v1/namespaces/{ns}", JSON, Value::Null));
        }
        steps
    }

    /// An object that is bound to an id in its status, and edits, which its rules may refuse.
    fn bound(&mut self, kind: &Kind) -> Vec<Step> {
        let create = step("POST", &kind.plural, &kind.path("", ""), JSON, {
            let mut object = kind.sample.clone();
            object["metadata"] = json!({"name": "a"});
            object
        });
        let status = json!({"status": {"externalId": "7"}});
        let bind = step("PATCH", &kind.plural, &kind.path("a/status", ""), MERGE, status);
        let mut edit =
            || step("PATCH", &kind.plural, &kind.path("a", ""), MERGE, kind.change(&mut self.random));
        vec![create, bind, edit(), edit()]
    }

    fn step(&mut self, kind: &Kind) -> Step {
        let name = *self.random.one_of(&NAMES);
        let object = format!("{}/{name}", kind.plural);
        let dry = if self.random.percent(4) { "dryRun=All" } else { "" };
        match self.random.below(100) {
            0..22 => {
                let query = if self.random.percent(5) { "fieldValidation=Strict" } else { dry };
                step("POST", &kind.plural, &kind.path("", query), JSON, self.manifest(kind, name))
            }
            22..27 => step("GET", &kind.plural, &kind.path(name, ""), JSON, Value::Null),
            27 if kind.schema.is_some() => {
                let query = "watch=1&resourceVersion=1&timeoutSeconds=1";
                step("GET", &kind.plural, &kind.path("", query), JSON, Value::Null)
            }
            27..34 => step("GET", &kind.plural, &kind.path("", self.list_query()), JSON, Value::Null),
            34..42 => {
                let mut body = self.change(kind);
                if self.random.percent(15) {
                    body["metadata"]["resourceVersion"] = Value::Null;
                }
                if self.random.percent(10) {
                    body["metadata"]["resourceVersion"] = format!("$old:{object}").into();
                }
                let base = Some(object);
                Step { base, ..step("PUT", &kind.plural, &kind.path(name, dry), JSON, body) }
            }
            42..49 => self.apply(kind, name),
            49..66 => {
                let mut body = self.change(kind);
                self.fence(&mut body, &object);
                let query = if self.random.percent(4) { "fieldValidation=Strict" } else { dry };
                step("PATCH", &kind.plural, &kind.path(name, query), MERGE, body)
            }
            66..70 => step("PATCH", &kind.plural, &kind.path(name, dry), JSON_PATCH, self.json_patch()),
            70..84 if kind.schema.is_some() => {
                let mut body = json!({"status": self.status(kind)});
                self.fence(&mut body, &object);
                if self.random.percent(10) {
                    body["metadata"]["labels"] = json!({"ignored": "yes"});
                    body["spec"] = json!({"suspend": true});
                }
                step("PATCH", &kind.plural, &kind.path(&format!("{name}/status"), dry), MERGE, body)
            }
            _ => self.delete(kind, name),
        }
    }

    fn apply(&mut self, kind: &Kind, name: &str) -> Step {
        let mut body = self.manifest(kind, name);
        if self.random.percent(40) {
            body["spec"] = kind.part(&mut self.random);
        }
        body["metadata"].as_object_mut().unwrap().remove("deletionTimestamp");
        let manager = *self.random.one_of(&["gitops", "person"]);
        let force = if self.random.percent(50) { "&force=true" } else { "" };
        let query = format!("fieldManager={manager}{force}");
        step("PATCH", &kind.plural, &kind.path(name, &query), APPLY, body)
    }

    fn delete(&mut self, kind: &Kind, name: &str) -> Step {
        let object = format!("{}/{name}", kind.plural);
        let preconditions = match self.random.below(8) {
            0 => json!({"uid": format!("$uid:{object}")}),
            1 => json!({"uid": "another"}),
            2 => json!({"resourceVersion": format!("$old:{object}")}),
            3 => json!({"resourceVersion": format!("$version:{object}")}),
            _ => Value::Null,
        };
        let body = json!({"preconditions": preconditions, "propagationPolicy": "Background"});
        step("DELETE", &kind.plural, &kind.path(name, ""), JSON, body)
    }

    fn list_query(&mut self) -> &'static str {
        self.random.one_of::<&'static str>(&[
            "limit=1",
            "limit=2",
            "limit=1&continue=$continue",
            "",
            "labelSelector=tier=gold",
            "labelSelector=tier!=gold",
            "labelSelector=tier in (gold,silver)",
            "labelSelector=!tier&limit=1",
            "fieldSelector=metadata.name=a",
            "fieldSelector=spec.nothing=1",
            "resourceVersion=$start&resourceVersionMatch=Exact",
        ])
    }

    fn fence(&mut self, body: &mut Value, object: &str) {
        match self.random.below(10) {
            0 | 1 => body["metadata"]["resourceVersion"] = format!("$version:{object}").into(),
            2 => body["metadata"]["resourceVersion"] = format!("$old:{object}").into(),
            3 => body["metadata"]["uid"] = format!("$uid:{object}").into(),
            4 if self.random.percent(30) => body["metadata"]["uid"] = "another".into(),
            5 if self.random.percent(10) => body["metadata"]["name"] = "another".into(),
            _ => {}
        }
    }

    fn manifest(&mut self, kind: &Kind, name: &str) -> Value {
        let mut object = kind.sample.clone();
        object["metadata"] = json!({"name": name});
        if self.random.percent(40) {
            let change = self.metadata();
            json_patch::merge(&mut object["metadata"], &change);
        }
        if self.random.percent(30) {
            let change = kind.change(&mut self.random);
            json_patch::merge(&mut object, &change);
        }
        match self.random.below(60) {
            0 => object["metadata"]["name"] = "Not_valid".into(),
            1 => object["metadata"]["resourceVersion"] = "5".into(),
            2 => object["apiVersion"] = "example.com/v9".into(),
            3 => object["metadata"]["namespace"] = "elsewhere".into(),
            4 => object["status"] = json!({"externalId": "7"}),
            5 => drop(object["metadata"].as_object_mut().unwrap().remove("name")),
            6 => object["metadata"]["uid"] = "chosen".into(),
            7 => object["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into(),
            8 => object["metadata"]["generation"] = 9.into(),
            _ => {}
        }
        object
    }

    fn metadata(&mut self) -> Value {
        match self.random.below(10) {
            0 => json!({"labels": {"tier": self.random.one_of(&["gold", "silver"])}}),
            1 => json!({"labels": null}),
            2 => json!({"labels": {"tier": null, "other": "x"}}),
            3 => json!({"annotations": {"example.com/note": self.random.one_of(&["1", "2"])}}),
            4 | 5 => json!({"finalizers": [FINALIZERS[0]]}),
            6 => json!({"finalizers": FINALIZERS}),
            7 => json!({"finalizers": null}),
            8 => json!({"finalizers": []}),
            _ => json!({"labels": {"tier": self.random.one_of(&["-bad", "gold"])}}),
        }
    }

    fn change(&mut self, kind: &Kind) -> Value {
        match self.random.below(10) {
            0..4 => json!({"metadata": self.metadata()}),
            4 => json!({}),
            // Ignored, but for kinds without a status.
            5 => json!({"status": self.status(kind)}),
            _ => kind.change(&mut self.random),
        }
    }

    fn json_patch(&mut self) -> Value {
        let finalizer = FINALIZERS[0];
        match self.random.below(5) {
            0 => json!([{"op": "replace", "path": "/metadata/labels", "value": {"tier": "gold"}}]),
            1 => json!([{"op": "add", "path": "/metadata/labels", "value": {"tier": "silver"}}]),
            2 => json!([{"op": "test", "path": "/metadata/finalizers/0", "value": finalizer},
                        {"op": "remove", "path": "/metadata/finalizers/0"}]),
            3 => json!([{"op": "remove", "path": "/metadata/annotations"}]),
            _ => json!([{"op": "unknown", "path": "/metadata"}]),
        }
    }

    fn status(&mut self, kind: &Kind) -> Value {
        let condition = |status: &str| {
            json!([{"type": "Ready", "status": status, "reason": "Any", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}])
        };
        match self.random.below(8) {
            0 => json!({"externalId": "7"}),
            1 => json!({"externalId": null}),
            2 => json!({"observedGeneration": self.random.below(3)}),
            3 => json!({"conditions": condition("True")}),
            4 => json!({"conditions": condition("False"), "unknown": 1}),
            5 => json!({"external": {"accountId": "1", "id": "7"}}),
            6 => json!({"state": 5}),
            _ => kind.status_change(&mut self.random),
        }
    }
}

/// A list of a kind with these parameters.
pub fn list(kind: &Kind, query: &str) -> Step {
    step("GET", &kind.plural, &kind.path("", query), JSON, Value::Null)
}

fn step(method: &'static str, plural: &str, path: &str, content: &'static str, body: Value) -> Step {
    Step { method, plural: plural.to_owned(), path: path.replace(' ', "%20"), content, base: None, body }
}
