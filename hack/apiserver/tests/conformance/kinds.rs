//! The kinds that sequences are about: ours with their samples, and built-in ones.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::random::Random;

/// A kind, its collection and a valid object.
pub struct Kind {
    pub plural: String,
    collection: String,
    pub sample: Value,
    /// The schema of the objects, if a CRD has it.
    pub schema: Option<Value>,
}

/// The repository.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The CRDs as they are committed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    files("crds").iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(TOP).join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// All kinds, in a stable order.
pub fn kinds() -> Vec<Kind> {
    let samples: Vec<Value> =
        files("config/samples").iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let custom = crds().into_iter().map(|crd| {
        let sample = samples.iter().find(|sample| sample["kind"] == crd.spec.names.kind.as_str()).unwrap();
        let version = &crd.spec.versions[0];
        let schema = serde_json::to_value(&version.schema).unwrap()["openAPIV3Schema"].clone();
        let (group, plural) = (&crd.spec.group, crd.spec.names.plural.clone());
        let collection = format!("/apis/{group}/{}/namespaces/{{ns}}/{plural}", version.name);
        Kind { plural, collection, sample: sample.clone(), schema: Some(schema) }
    });
    custom.chain(builtin()).collect()
}

fn builtin() -> Vec<Kind> {
    let all = [
        ("/api/v1", "secrets", json!({"kind": "Secret", "apiVersion": "v1", "data": {"key": "dmFsdWU="}})),
        ("/api/v1", "configmaps", json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"key": "value"}})),
        (
            "/apis/coordination.k8s.io/v1",
            "leases",
            json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                   "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15}}),
        ),
    ];
    let kind = |(api, plural, sample): (&str, &str, Value)| Kind {
        plural: plural.to_owned(),
        collection: format!("{api}/namespaces/{{ns}}/{plural}"),
        sample,
        schema: None,
    };
    all.into_iter().map(kind).collect()
}

impl Kind {
    /// The path of an object, or of the collection, with a query.
    pub fn path(&self, name: &str, query: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{slash}{name}{mark}{query}", self.collection)
    }

    /// A random change of what users write.
    pub fn change(&self, random: &mut Random) -> Value {
        let Some(_) = &self.schema else { return self.builtin_change(random) };
        match random.below(4) {
            0 => json!({"spec": {"suspend": true}}),
            1 => json!({"spec": {"suspend": false}}),
            2 => json!({"spec": {"unknownField": 1}}),
            _ => json!({"spec": {"suspend": null}}),
        }
    }

    /// A random change of the status.
    pub fn status_change(&self, _: &mut Random) -> Value {
        json!({"usable": true})
    }

    fn builtin_change(&self, random: &mut Random) -> Value {
        if self.plural == "leases" {
            return match random.below(4) {
                0 => json!({"spec": {"holderIdentity": "two"}}),
                1 => json!({"spec": {"leaseDurationSeconds": 0}}),
                2 => json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}),
                _ => json!({"spec": {"leaseTransitions": random.below(3)}}),
            };
        }
        match random.below(5) {
            0 => json!({"data": {"key": "YQ=="}}),
            1 => json!({"data": {"other": "Yg=="}}),
            2 => json!({"data": null}),
            3 => json!({"data": {"not valid": "Yg=="}}),
            _ => json!({"unknownField": 1}),
        }
    }
}
