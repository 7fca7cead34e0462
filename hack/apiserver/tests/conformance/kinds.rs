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

    /// A random change of what users write: of one field or two, to a value that may be valid or not.
    pub fn change(&self, random: &mut Random) -> Value {
        let Some(schema) = &self.schema else { return self.builtin_change(random) };
        let mut change =
            json!({"spec": self.change_of(&schema["properties"]["spec"], &self.sample["spec"], random)});
        if random.percent(30) {
            let more =
                json!({"spec": self.change_of(&schema["properties"]["spec"], &self.sample["spec"], random)});
            json_patch::merge(&mut change, &more);
        }
        change
    }

    /// A random change of the status.
    pub fn status_change(&self, random: &mut Random) -> Value {
        let status = self.schema.as_ref().map_or(&Value::Null, |schema| &schema["properties"]["status"]);
        self.change_of(status, &Value::Null, random)
    }

    fn change_of(&self, schema: &Value, sample: &Value, random: &mut Random) -> Value {
        if random.percent(4) {
            return json!({"unknownField": 1});
        }
        let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) else {
            return value(schema, sample, random);
        };
        let names: Vec<&String> = fields.keys().collect();
        let name = *random.one_of(&names);
        let inner = match &fields[name] {
            field if field["type"] == "object" && field["properties"].is_object() && random.percent(60) => {
                self.change_of(field, &sample[name], random)
            }
            field => value(field, &sample[name], random),
        };
        json!({name.as_str(): inner})
    }

    /// A random half of the sample's fields.
    pub fn part(&self, random: &mut Random) -> Value {
        let fields = self.sample["spec"].as_object().into_iter().flatten();
        let some = fields.filter(|_| random.percent(50));
        some.map(|(name, value)| (name.clone(), value.clone())).collect()
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

/// A random value for a schema.
fn value(schema: &Value, sample: &Value, random: &mut Random) -> Value {
    match random.below(20) {
        0 | 1 => return Value::Null,
        2 => return json!(5),
        3 => return json!("text"),
        4 => return json!([]),
        5..8 if !sample.is_null() => return sample.clone(),
        _ => {}
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|_| random.percent(90)) {
        return random.one_of(allowed).clone();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => json!(random.percent(50)),
        "integer" => json!(*random.one_of(&[-1, 0, 1, 7, 1_000_000])),
        "number" => json!(*random.one_of(&[0.5, 2.0])),
        "array" => (0..random.below(3)).map(|_| value(&schema["items"], &sample[0], random)).collect(),
        "object" if schema["additionalProperties"].is_object() => {
            let key = random.one_of(&["team", "databricks-operator", "a\tb", "x/y"]).to_string();
            json!({key: value(&schema["additionalProperties"], &Value::Null, random)})
        }
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let wanted = |name: &str| {
                schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
            };
            let mut object = json!({});
            for (name, field) in fields {
                if wanted(name) && random.percent(95) || random.percent(25) {
                    object[name] = value(field, &sample[name], random);
                }
            }
            object
        }
        _ => json!(text(random)),
    }
}

/// Texts that some fields take.
fn text(random: &mut Random) -> String {
    let texts = [
        "a",
        "Big",
        "office",
        "7",
        "10m",
        "1s",
        "Never",
        "10.0.0.0/8",
        "203.0.113.7",
        "",
        "two\nlines",
        "us-east-1",
        "11111111-2222-3333-4444-555555555555",
        "2026-01-01T00:00:00Z",
        "someone@example.com",
        "1.5",
    ];
    match random.below(texts.len() + 1) {
        at if at < texts.len() => texts[at].to_owned(),
        _ => "x".repeat(300),
    }
}
