//! Each rule of the CRDs has an example that breaks it, and the samples break none. An API server in memory evaluates the rules;
//! hack/apiserver/tests/conformance shows that it does so as a real one.
//!
//! Examples are the entries of `broken.yaml`, and each sample without one of its fields: as a new object, and as a change of an
//! object that is in the account. A rule is recognised by its message.

use std::collections::BTreeMap;

use apiserver::ApiServer;
use databricks_operator::cli;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::resource::resource;
use crate::{crds, files, kind, schema, walk};

/// An entry of `broken.yaml`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Example {
    #[serde(default = "nothing")]
    create: Value,
    change: Option<Value>,
    says: Vec<String>,
}

fn nothing() -> Value {
    json!({})
}

/// The sample of a kind, and where its objects are.
struct Bench {
    api: Api<DynamicObject>,
    sample: Value,
}

impl Bench {
    /// Creates the sample with a patch of its spec; returns the name of the object, or why it is refused.
    async fn create(&self, patch: &Value) -> Result<String, String> {
        let mut manifest = self.sample.clone();
        manifest["metadata"] = json!({"generateName": "example-"});
        merge(&mut manifest["spec"], patch);
        let object: DynamicObject = serde_json::from_value(manifest).unwrap();
        verdict(self.api.create(&PostParams::default(), &object).await)
    }

    /// Changes such an object that is in the account; returns the same.
    async fn change(&self, create: &Value, patch: &Value) -> Result<String, String> {
        let name = self.create(create).await.unwrap_or_else(|e| panic!("{create}: {e}"));
        let (params, status) = (PatchParams::default(), json!({"externalId": "1", "observedGeneration": 1}));
        let bound = Patch::Merge(json!({"status": status}));
        self.api.patch_status(&name, &params, &bound).await.unwrap();
        let patch = Patch::Merge(json!({"spec": patch}));
        verdict(self.api.patch(&name, &params, &patch).await)
    }

    /// The refusals of all examples.
    async fn refusals<'a>(&self, examples: impl Iterator<Item = &'a Example>) -> Vec<String> {
        let mut refusals = vec![];
        for example in examples {
            let answered = match &example.change {
                Some(change) => self.change(&example.create, change).await,
                None => self.create(&example.create).await,
            };
            let Err(refusal) = answered else { panic!("{} accepts {example:?}", self.sample["kind"]) };
            for part in &example.says {
                assert!(refusal.contains(part), "{} {example:?}: {refusal}", self.sample["kind"]);
            }
            refusals.push(refusal);
        }
        for removal in removals(&self.sample["spec"]) {
            refusals.extend(self.create(&removal).await.err());
            refusals.extend(self.change(&nothing(), &removal).await.err());
        }
        refusals
    }
}

fn verdict(answered: kube::Result<DynamicObject>) -> Result<String, String> {
    match answered {
        Ok(object) => Ok(object.name_any()),
        Err(kube::Error::Api(status)) if status.code == 422 => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Merges a patch into a value: a null removes a field.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (name, inner) in fields {
        if inner.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut value[name.as_str()], inner);
        }
    }
}

/// A patch for each field of an object that removes it, also for the fields of objects in it.
fn removals(object: &Value) -> Vec<Value> {
    let mut found = vec![];
    for (name, value) in object.as_object().into_iter().flatten() {
        let inside = removals(value).into_iter().chain([Value::Null]);
        found.extend(inside.map(|patch| json!({name.as_str(): patch})));
    }
    found
}

/// Covers IM-01, IM-02, IM-03: no rule comes without an example of what it refuses.
#[tokio::test]
async fn each_rule_is_broken_by_an_example() {
    let client = ApiServer::new(cli::crds(), Timestamp::now).client("user");
    let mut examples: BTreeMap<String, Vec<Example>> =
        serde_saphyr::from_str(include_str!("broken.yaml")).unwrap();
    let shared = ["*", "managed"].map(|kinds| examples.remove(kinds).unwrap());
    let (samples, mut unbroken) = (files("config/samples"), vec![]);
    for crd in crds() {
        let kind = kind(&crd);
        let sample = std::fs::read_to_string(&samples[&kind.to_lowercase()]).unwrap();
        let sample = serde_saphyr::from_str(&sample).unwrap();
        let bench = Bench { api: Api::default_namespaced_with(client.clone(), &resource(kind)), sample };
        let own = examples.remove(kind).unwrap_or_default();
        let shared = if kind == "DatabricksAuth" { &shared[..1] } else { &shared[..] };
        let refusals = bench.refusals(shared.iter().flatten().chain(&own)).await;
        let failed = refusals.iter().find(|refusal| refusal.contains("evaluating rule"));
        assert_eq!(failed, None, "{kind}: a rule cannot be evaluated");
        walk(kind, schema(&crd), &mut |place, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap().trim();
                if !refusals.iter().any(|refusal| refusal.contains(message)) {
                    unbroken.push(format!("{place}: {message}"));
                }
            }
        });
    }
    let unknown: Vec<&String> = examples.keys().collect();
    assert!(unknown.is_empty(), "tests/crds/broken.yaml: there are no such kinds: {unknown:?}");
    let unbroken = unbroken.join("\n");
    assert!(unbroken.is_empty(), "add an example to tests/crds/broken.yaml that breaks each of:\n{unbroken}");
}
