//! `docs/kinds.md` has every kind with its fields and its dangers, and the first screen of README shows objects of the demo.
//!
//! What the dangers of a kind are, and what Databricks does when it deletes one, no code knows and no code needs. So they are no
//! constants of the kinds: they are written in the document, in sections that have the rest from the code.

use std::collections::BTreeSet;

use databricks_operator::cli;
use databricks_operator::engine::kind::{Driver, Lifecycle, Ownership, Traits};
use databricks_operator::kinds::KINDS;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::samples::references;
use crate::{ONE_AT_A_TIME, code, in_step, read, root, table};

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

/// What a deletion does by default, and why.
fn deletion(traits: &Traits) -> (&'static str, &'static str) {
    match traits.lifecycle {
        _ if traits.restored => ("Retain", "no call removes it, and Delete sets what was there before"),
        _ if !traits.removable => ("Retain, always", "the operator sends no call that takes it away"),
        _ if traits.data_bearing => ("Retain", "users lose their data with it"),
        _ if traits.retained => ("Retain", "users lose the access to their data with it"),
        Lifecycle::Standing => ("Delete", "that only puts back the default of Databricks"),
        Lifecycle::Object | Lifecycle::Upsert => ("Delete", "users lose no data with it"),
    }
}

#[test]
fn every_kind_is_documented_with_what_deletion_does_and_what_is_proof() {
    let rows = cli::crds().into_iter().map(|crd| {
        let names = &crd.spec.names;
        let (deletion, proof) = match driver(&crd) {
            Some(driver) => (deletion(&driver.traits()).0, proof(driver)),
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

/// What the section of a kind has by hand, each from the beginning of a line.
const BY_HAND: [&str; 2] = ["* **In the account:** ", "* **Dangers:** "];

/// What is written by hand in the section of a kind, at its end.
fn by_hand<'a>(text: &'a str, kind: &str) -> &'a str {
    let mut sections = text.split("\n### ");
    let section = sections.find_map(|section| section.strip_prefix(kind)?.strip_prefix('\n'));
    let section = section.unwrap_or_default();
    let written = section.find(BY_HAND[0]).map(|at| section[at..].trim_end()).unwrap_or_default();
    for begin in BY_HAND {
        let has = |line: &str| line.strip_prefix(begin).is_some_and(|text| !text.trim().is_empty());
        assert!(
            written.lines().any(has),
            "under `### {kind}` at the end of {DOCUMENT}, write `{}` with what Databricks does when it deletes one and when it \
             refuses that, and then `{}` with what can go wrong",
            BY_HAND[0],
            BY_HAND[1]
        );
    }
    written
}

/// The kinds whose objects hold up the deletion of those of a kind. What items of a list name, as the members of a Group, they do not.
fn referrers(kind: &str) -> String {
    let refers = |driver: &dyn Driver| {
        let references = driver.traits().references;
        references.iter().filter_map(|reference| reference.named()).any(|(_, other)| other == kind)
    };
    quoted(KINDS.iter().filter(|driver| refers(**driver)).map(|driver| driver.kind().into_owned()))
}

/// What a deletion does and what it waits for, and what is adopted.
fn policies(driver: &dyn Driver) -> [String; 2] {
    let traits = driver.traits();
    let (policy, why) = deletion(&traits);
    let waits = match referrers(&driver.kind()) {
        _ if policy == "Retain, always" => String::new(),
        none if none.is_empty() => " No kind refers to it.".to_owned(),
        kinds => format!(" Objects that refer to it hold up a Delete: {kinds}."),
    };
    let adopted = match (traits.lifecycle, proof(driver)) {
        _ if traits.are_secrets() => {
            "none is adopted, as no call returns the secret of one that exists".to_owned()
        }
        (Lifecycle::Standing, proof) => {
            format!(
                "until a user sets it, it needs no adoption; what others have set is adopted only with proof: {proof}"
            )
        }
        (Lifecycle::Object | Lifecycle::Upsert, proof) => {
            format!("one that exists is adopted only with proof: {proof}")
        }
    };
    [
        format!("* **Deletion by default:** {policy}, as {why}.{waits}"),
        format!("* **Adoption by default:** IfOwned: {adopted}."),
    ]
}

/// The fields of a kind without which the operator refuses what can cut off users.
fn guards(crd: &CustomResourceDefinition) -> Vec<String> {
    let fields = schema(crd, "/properties/spec/properties");
    let guards = fields.as_object().unwrap().iter();
    let guards = guards.filter(|(name, field)| name.starts_with("allow") && field["type"] == "boolean");
    let line = |(name, field): (&String, &Value)| {
        let about = field["description"].as_str().unwrap();
        let about = about.split(". ").next().unwrap_or_default();
        format!("* **`{name}: true`:** {about}. Without it, the operator refuses.")
    };
    guards.map(line).collect()
}

/// The section of a kind: what the code knows, then what is written by hand.
fn section(crd: &CustomResourceDefinition, by_hand: &str) -> String {
    let (kind, about) = (&crd.spec.names.kind, schema(crd, "/description"));
    let sample = format!("{}.yaml", kind.to_lowercase());
    let mut lines = vec![
        format!("\n### {kind}\n"),
        format!("{} Sample: [{sample}](../config/samples/{sample}).\n", about.as_str().unwrap()),
    ];
    match driver(crd) {
        Some(driver) => lines.extend(policies(driver)),
        None => lines.push("* **Deletion:** It waits for all objects that use it.".to_owned()),
    }
    lines.extend(guards(crd));
    lines.push(by_hand.to_owned());
    lines.join("\n") + "\n"
}

/// Covers UX-10.
#[test]
fn every_kind_has_a_section_with_its_dangers() {
    let _guard = ONE_AT_A_TIME.lock();
    let text = read(DOCUMENT);
    let (before, _) = text.split_once("\n### ").unwrap();
    let sections = cli::crds().iter().map(|crd| section(crd, by_hand(&text, &crd.spec.names.kind))).collect();
    let known = [before.to_owned(), sections].concat();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(DOCUMENT), known).unwrap();
        return;
    }
    assert_eq!(text, known, "UPDATE=1 cargo test --test docs writes {DOCUMENT}");
}

#[test]
#[should_panic(expected = "under `### Other`")]
fn a_kind_without_dangers_is_named() {
    let whole = "* **In the account:** a\n* **Dangers:** b\n";
    by_hand(
        &format!("\n### Kind\n\n{whole}\n### Other\n\n* **In the account:** a\n* **Dangers:**\n"),
        "Other",
    );
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

/// Covers SE-05.
#[test]
fn every_kind_that_a_grant_must_name_is_documented() {
    let rows = table(&read("docs/multi-tenancy.md"), "kind");
    let documented: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    let named = KINDS.iter().filter(|driver| driver.traits().granted_by_name);
    assert_eq!(documented, named.map(|driver| driver.kind().into_owned()).collect());
}

/// The names of all fields of a schema, at any depth.
fn all_fields(schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        all_fields(field, found);
        all_fields(&field["items"], found);
    }
}

/// Covers SE-05. A namespace that may write a principal of the account into a spec hands rights to it. A grant must name the kind, or
/// limits by `maxPermission` what the principal gets.
#[test]
fn a_kind_that_gives_rights_to_a_principal_needs_a_grant_that_says_so() {
    let limited = ["Group", "GroupMembership", "PermissionAssignment", "RoleGrant"].map(str::to_owned);
    let mut unlimited = BTreeSet::new();
    for driver in KINDS.iter().filter(|driver| !driver.traits().granted_by_name) {
        let mut found = BTreeSet::new();
        all_fields(&schema(&driver.crd(), "/properties/spec"), &mut found);
        if ["owner", "principal", "principals", "members"].iter().any(|name| found.contains(*name)) {
            unlimited.insert(driver.kind().into_owned());
        }
    }
    assert_eq!(
        unlimited,
        BTreeSet::from(limited),
        "set GRANTED_BY_NAME, or write a `power` and what it limits into docs/multi-tenancy.md, and add the kind here"
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
