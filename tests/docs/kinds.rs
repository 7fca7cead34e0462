//! `docs/kinds.md` has every kind with its fields, and the first screen of README shows objects of the demo.

use std::collections::BTreeSet;

use databricks_operator::cli;
use databricks_operator::engine::kind::{Driver, Lifecycle, Ownership};
use databricks_operator::kinds::KINDS;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::samples::references;
use crate::{code, in_step, read, table};

const DOCUMENT: &str = "docs/kinds.md";

/// The part of a CRD's schema at a JSON pointer.
fn schema(crd: &CustomResourceDefinition, pointer: &str) -> Value {
    let crd = serde_json::to_value(crd).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema.pointer(pointer).cloned().unwrap_or_default()
}

/// The names of the fields of a spec.
fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    schema(crd, "/properties/spec/properties").as_object().unwrap().keys().cloned().collect()
}

/// The fields that all kinds share. DatabricksAuth is no kind in this sense: it has no counterpart in the account.
fn shared() -> BTreeSet<String> {
    KINDS.iter().map(|driver| fields(&driver.crd())).reduce(|a, b| &a & &b).unwrap()
}

fn driver(crd: &CustomResourceDefinition) -> Option<&'static dyn Driver> {
    KINDS.iter().copied().find(|driver| driver.api_resource().kind == crd.spec.names.kind)
}

fn quoted(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What proves that an object in the account was created by the operator.
fn proof(driver: &dyn Driver) -> &'static str {
    let traits = driver.traits();
    match (traits.ownership, traits.lifecycle) {
        (Ownership::Marker, _) => "the mark `<installation>/<namespace>/<name>` on it, or the recorded id",
        (Ownership::RecordedId, Lifecycle::Object) => "the recorded id, if the natural name still matches",
        (Ownership::RecordedId, Lifecycle::Upsert) => {
            "the record that the operator wrote it; the natural name is the id"
        }
        (Ownership::RecordedId, Lifecycle::Standing) => "the record that it manages what is always there",
    }
}

#[test]
fn every_kind_is_documented_with_what_deletion_does_and_what_is_proof() {
    let rows = cli::crds().into_iter().map(|crd| {
        let names = &crd.spec.names;
        let (deletion, proof) = match driver(&crd) {
            Some(driver) if !driver.traits().removable => ("Retain, always", proof(driver)),
            Some(driver) if driver.traits().data_bearing => ("Retain", proof(driver)),
            Some(driver) => ("Delete", proof(driver)),
            None => ("nothing is in the account", "–"),
        };
        vec![
            format!("`{}`", names.kind),
            format!("`{}`", names.short_names.as_ref().unwrap()[0]),
            schema(&crd, "/description").as_str().unwrap().to_owned(),
            deletion.to_owned(),
            proof.to_owned(),
        ]
    });
    in_step(DOCUMENT, "kind", &rows.collect::<Vec<_>>());
}

#[test]
fn every_field_of_a_kind_is_documented() {
    let shared = shared();
    let rows = cli::crds().into_iter().map(|crd| {
        let required = schema(&crd, "/properties/spec/required");
        let rules = schema(&crd, "/x-kubernetes-validations");
        let is_required = |name: &String| {
            let always = required.as_array().is_some_and(|all| all.contains(&Value::from(&**name)));
            let asked = |rule: &Value| {
                rule["reason"] == "FieldValueRequired" && rule["fieldPath"] == format!(".spec.{name}")
            };
            always || rules.as_array().into_iter().flatten().any(asked)
        };
        let own = fields(&crd).into_iter().filter(|name| driver(&crd).is_none() || !shared.contains(name));
        let (required, optional): (Vec<_>, Vec<_>) = own.partition(is_required);
        let fixed = driver(&crd).map(|driver| driver.traits().immutable).unwrap_or_default();
        // A path such as `awsCredentials.stsRole.roleArn` in full: the objects around it may change otherwise.
        let fixed = fixed.iter().flat_map(|field| field.spec).map(|&path| path.to_owned());
        vec![format!("`{}`", crd.spec.names.kind), quoted(required), quoted(optional), quoted(fixed)]
    });
    in_step(DOCUMENT, "fields of", &rows.collect::<Vec<_>>());
}

#[test]
fn every_reference_is_documented() {
    let rows = KINDS.iter().flat_map(|driver| {
        let of = |(field, kind): (String, String)| {
            let field = field.split('/').next().unwrap_or_default();
            vec![format!("`{}`", driver.kind()), format!("`{field}`"), format!("`{kind}`")]
        };
        references(*driver).into_iter().map(of).collect::<BTreeSet<_>>()
    });
    in_step(DOCUMENT, "references of", &rows.collect::<Vec<_>>());
}

#[test]
fn the_fields_that_all_kinds_share_are_documented() {
    let rows = table(&read(DOCUMENT), "field");
    let documented: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(documented, shared());
}

#[test]
fn every_kind_is_documented_with_its_natural_name() {
    let rows = table(&read(DOCUMENT), "natural name of");
    let documented: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(
        documented,
        KINDS.iter().map(|driver| driver.api_resource().kind).collect(),
        "write what a new kind is found by into {DOCUMENT}, under `natural name of`"
    );
}

/// Parses each object of a text.
fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|object| serde_saphyr::from_str(object).unwrap()).collect()
}

#[test]
fn the_readme_begins_with_objects_of_the_demo() {
    let readme = read("README.md");
    let block = readme.split("```yaml\n").nth(1).unwrap().split("\n```").next().unwrap();
    let demo = ["workspace", "ip-access-list", "permission-assignments"];
    let demo: Vec<Value> =
        demo.iter().flat_map(|name| objects(&read(&format!("config/demo/{name}.yaml")))).collect();
    for object in objects(block) {
        assert!(demo.contains(&object), "README shows what is not in config/demo: {object}");
    }
}
