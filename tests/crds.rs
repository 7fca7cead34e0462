//! The CRDs as users get them: the committed files, the conventions that every kind keeps, the samples, what the rules refuse.
//!
//! No real API server is needed. That one accepts CRDs and samples is shown by the stories, which install the former and apply
//! the latter.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use databricks_operator::cli;
use databricks_operator::engine::crd::Management;
use databricks_operator::engine::kind::of;
use kube::core::{ApiResource, GroupVersionKind};
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use serde_json::{Value, json};

#[path = "crds/examples.rs"]
mod examples;
#[path = "account/planted.rs"]
mod planted;
#[path = "account/resource.rs"]
mod resource;
#[path = "crds/rules.rs"]
mod rules;

fn crds() -> Vec<Value> {
    cli::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

fn kind(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// The YAML files of a folder of the repository, by name without the ending.
fn files(folder: &str) -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    yaml.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// Visits a schema and all schemas in it. `place` reads like a path; `[]` stands for an item of a list or map.
fn walk(place: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(place, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{place}.{name}"), inner, visit);
    }
    for inside in ["items", "additionalProperties"] {
        if schema[inside].is_object() {
            walk(&format!("{place}[]"), &schema[inside], visit);
        }
    }
}

/// The places of a CRD's schema where something is wrong.
fn places(crd: &Value, wrong: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut found = vec![];
    walk(kind(crd), schema(crd), &mut |place, schema| {
        if wrong(place, schema) {
            found.push(place.to_owned());
        }
    });
    found
}

fn without(crds: &[Value], what: &str, wrong: impl Fn(&str, &Value) -> bool) {
    let found: Vec<String> = crds.iter().flat_map(|crd| places(crd, &wrong)).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Covers IM-07: what is committed in `crds/` is what the types say, no file less and none more.
#[test]
fn the_committed_crds_are_the_generated_ones() {
    let mut committed = files("crds");
    for crd in cli::crds() {
        let path = committed.remove(&crd.spec.names.plural);
        let path = path.unwrap_or_else(|| panic!("no crds/{}.yaml: make generate", crd.spec.names.plural));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text == cli::crd_yaml(&crd).unwrap(), "{} is not in step: make generate", path.display());
    }
    assert!(committed.is_empty(), "files of kinds that are no more: {committed:?}");
}

/// What ends a line, or hides or reorders text where it is shown: the first and the last of each range.
const HOSTILE: [(char, char); 11] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// Whether an expression takes any of these characters.
fn takes_hostile(expression: &Hir) -> bool {
    let hostile = |first, last| HOSTILE.iter().any(|range| first <= range.1 && range.0 <= last);
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(text) => str::from_utf8(&text.0).unwrap().chars().any(|c| hostile(c, c)),
        HirKind::Class(Class::Unicode(class)) => class.iter().any(|r| hostile(r.start(), r.end())),
        HirKind::Class(Class::Bytes(_)) => true,
        HirKind::Repetition(inner) => takes_hostile(&inner.sub),
        HirKind::Capture(inner) => takes_hostile(&inner.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => all.iter().any(takes_hostile),
    }
}

/// Whether a text that fits a pattern is plain, from its beginning to its end.
fn is_plain(pattern: &str) -> bool {
    let parsed = regex_syntax::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let (begins, ends) = (parsed.properties().look_set_prefix(), parsed.properties().look_set_suffix());
    begins.contains(Look::Start) && ends.contains(Look::End) && !takes_hostile(&parsed)
}

/// Covers IM-07: no text of a spec can look like a log line of its own, or like other text than it is.
#[test]
fn every_text_of_a_spec_is_plain() {
    let crds = crds();
    let in_spec = |place: &str| place.split('.').nth(1) == Some("spec");
    // A document of several lines. It is parsed as JSON, and what is sent and shown is one line.
    let document = |place: &str| place.ends_with(".spec.oidcPolicy.jwksJson");
    without(&crds, "strings that may have control characters", |place, schema| {
        let plain = || schema["pattern"].as_str().is_some_and(is_plain);
        let text = schema["type"] == "string" && !schema["enum"].is_array() && !document(place);
        in_spec(place) && text && !plain()
    });
    without(&crds, "maps whose keys may have control characters", |place, schema| {
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        let mut rules = rules.filter_map(|rule| rule["rule"].as_str());
        let plain = |rule: &str| {
            // A key that was there before may stay.
            let old = "') || (oldSelf.hasValue() && key in oldSelf.value()))";
            let pattern = rule.strip_prefix("self.all(key, key.matches(r'");
            pattern.and_then(|rest| rest.strip_suffix(old)).is_some_and(is_plain)
        };
        // Labels are compared with those of namespaces and never shown; in a list the API server finds the rule too dear.
        let shown = !place.ends_with(".matchLabels");
        in_spec(place) && shown && schema["additionalProperties"].is_object() && !rules.any(plain)
    });
}

#[test]
fn the_check_tells_plain_patterns_from_others() {
    for plain in ["^[a-z]+$", r"^[^\p{C}\p{Zl}\p{Zp}]*$", "^(a|[!-~]é)$"] {
        assert!(is_plain(plain), "{plain}");
    }
    for other in [
        "",
        r"^\P{C}$",
        "[a-z]+",
        "^[a-z]+",
        "^a$|b",
        "^.*$",
        r"^\s$",
        r"^[^\n]$",
        "(?m)^a$",
        "^a\u{202e}$",
        r"^\x1b$",
    ] {
        assert!(!is_plain(other), "{other}");
    }
}

/// Covers ST-14: `kubectl explain` has text for every field of every kind.
#[test]
fn every_field_is_described() {
    without(&crds(), "fields without a description", |place, schema| {
        let field = place.contains('.') && !place.ends_with("[]");
        field && schema["description"].as_str().is_none_or(|text| text.trim().is_empty())
    });
}

/// Covers IM-07: a user finds every kind under the same group, version, category and the like.
#[test]
fn every_kind_is_named_alike() {
    let mut short_names = BTreeSet::new();
    for crd in crds() {
        let (spec, names, kind) = (&crd["spec"], &crd["spec"]["names"], kind(&crd));
        assert_eq!(spec["group"], "databricks-operator.io", "{kind}");
        assert_eq!(spec["scope"], "Namespaced", "{kind}");
        assert_eq!(spec["conversion"], Value::Null, "{kind}: there is no webhook");
        assert_eq!(names["singular"], kind.to_lowercase(), "{kind}: write no `singular`, kube makes it");
        assert_eq!(names["categories"], json!(["databricks"]), "{kind}");
        let [short] = names["shortNames"].as_array().unwrap().as_slice() else {
            panic!("{kind} has not one short name: {names}")
        };
        assert!(short.as_str().unwrap().starts_with("db"), "{kind}: {short}");
        assert!(short_names.insert(short.to_string()), "{kind}: another kind is called {short} too");
        let [version] = spec["versions"].as_array().unwrap().as_slice() else {
            panic!("{kind}: one version")
        };
        assert_eq!(version["name"], "v1alpha1", "{kind}");
        assert_eq!((&version["served"], &version["storage"]), (&json!(true), &json!(true)), "{kind}");
        assert_eq!(version["subresources"], json!({"status": {}}), "{kind}");
    }
}

/// Kinds whose names are plurals already: what is guessed from such a name is no word, `privateaccesssettingses`, and no user
/// would find it.
const PLURALS: [&str; 1] = ["PrivateAccessSettings"];

/// Covers IM-07: a client that knows only the kind guesses the plural, as kube and `kubectl` do. A kind that is a plural already is
/// its own.
#[test]
fn every_kind_has_the_plural_that_is_guessed() {
    let planted = serde_json::to_value(of::<planted::PlantedPolicy>().crd()).unwrap();
    for crd in crds().into_iter().chain([planted]) {
        let (group, kind) = (crd["spec"]["group"].as_str().unwrap(), kind(&crd));
        if PLURALS.contains(&kind) {
            let own = kind.to_lowercase();
            assert_eq!(crd["spec"]["names"]["plural"], own, "{kind}: write `plural = \"{own}\"`");
            continue;
        }
        let guessed = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1alpha1", kind)).plural;
        assert_eq!(crd["spec"]["names"]["plural"], guessed, "{kind}: write no `plural`, kube makes it");
    }
    let policies = ApiResource::from_gvk(&GroupVersionKind::gvk("g", "v1", "NetworkPolicy")).plural;
    assert_eq!(policies, "networkpolicies");
}

/// Covers IM-07: a grant names kinds that there are.
#[test]
fn the_kinds_of_a_grant_are_all_that_use_credentials() {
    let crds = crds();
    let (auth, kinds): (Vec<&Value>, Vec<&Value>) =
        crds.iter().partition(|crd| kind(crd) == "DatabricksAuth");
    let grant = &schema(auth[0])["properties"]["spec"]["properties"]["grants"]["items"];
    let all: Vec<&str> = kinds.into_iter().map(kind).collect();
    assert_eq!(grant["properties"]["kinds"]["items"], json!({"type": "string", "enum": all}));
}

/// Covers ST-14: every kind is listed with the same columns, and with columns of its own that show fields of its status.
#[test]
fn every_kind_has_the_same_columns_and_its_own() {
    let of_ready = |what: &str| format!(".status.conditions[?(@.type==\"Ready\")].{what}");
    let expected = [
        ("Ready", of_ready("status"), 0),
        ("Synced", ".status.conditions[?(@.type==\"Synced\")].status".into(), 0),
        ("External-ID", ".status.externalId".into(), 0),
        ("Status", of_ready("reason"), 0),
        ("Age", ".metadata.creationTimestamp".into(), 0),
        ("Auth", ".spec.authRef.name".into(), 1),
        ("Policy", ".status.effective.managementPolicy".into(), 1),
        ("Deletion", ".status.effective.deletionPolicy".into(), 1),
        ("Message", of_ready("message"), 1),
    ];
    for crd in crds() {
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        let column = |c: &Value| {
            let text = |key: &str| c[key].as_str().unwrap().to_owned();
            (text("name"), text("jsonPath"), c["priority"].as_i64().unwrap_or(0))
        };
        let found: Vec<_> = columns.iter().map(column).collect();
        let expected: Vec<_> =
            expected.iter().map(|(n, path, p)| ((*n).to_owned(), path.clone(), *p)).collect();
        let (shared, own): (Vec<_>, Vec<_>) = found.into_iter().partition(|column| expected.contains(column));
        assert_eq!(shared, expected, "{}", kind(&crd));
        for (name, path, _) in own {
            let shown = path.trim_start_matches('.').split('.');
            let field = shown.fold(schema(&crd), |schema, field| &schema["properties"][field]);
            assert!(
                field["type"].is_string(),
                "{}: the column {name} shows {path}, which is no field",
                kind(&crd)
            );
        }
    }
}

/// Covers IM-07, GO-02: nothing in a schema makes what is stored differ from what the user wrote, or an immutability rule
/// see a value that is not there.
#[test]
fn no_schema_adds_to_what_the_user_wrote() {
    let crds = crds();
    without(&crds, "nullable", |_, schema| schema.get("nullable").is_some());
    without(&crds, "a default inside an item of a list or map", |place, schema| {
        place.contains("[]") && schema.get("default").is_some()
    });
    without(&crds, "a default in the spec", |place, schema| {
        place.split('.').nth(1) == Some("spec") && schema.get("default").is_some()
    });
    without(&crds, "unknown fields are kept", |_, schema| {
        schema.get("x-kubernetes-preserve-unknown-fields").is_some()
    });
    without(&crds, "no property, which the API server does not keep", |_, schema| {
        schema["properties"].as_object().is_some_and(serde_json::Map::is_empty)
    });
    without(&crds, "a rule without a message", |_, schema| {
        let rules = schema["x-kubernetes-validations"].as_array();
        rules.into_iter().flatten().any(|rule| rule["message"].as_str().is_none_or(str::is_empty))
    });
}

/// Covers ST-02: what the API server gives a new object is a status that no tool takes for done.
#[test]
fn a_new_object_begins_with_no_generation_observed() {
    for crd in crds() {
        let status = &schema(&crd)["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}), "{}", kind(&crd));
        assert_eq!(status["properties"]["observedGeneration"]["default"], json!(-1), "{}", kind(&crd));
    }
}

/// Covers IM-07: the fields that all managed kinds share are the same in each.
#[test]
fn managed_kinds_share_one_block_of_fields() {
    let shared = json!(schemars::schema_for!(Management))["properties"].clone();
    let shared: Vec<&String> = shared.as_object().unwrap().keys().collect();
    let block = |crd: &Value, field: &str| schema(crd)["properties"]["spec"]["properties"][field].clone();
    let crds = crds();
    let managed: Vec<&Value> = crds.iter().filter(|crd| kind(crd) != "DatabricksAuth").collect();
    for crd in &managed {
        for field in &shared {
            let (found, first) = (block(crd, field), block(managed[0], field));
            assert!(
                found.is_object(),
                "{} has no {field}: its spec needs `management`, flattened",
                kind(crd)
            );
            assert_eq!(
                found,
                first,
                "{}: {field} is not that of {}: give the kind's own field another name",
                kind(crd),
                kind(managed[0])
            );
        }
    }
}

/// Covers GO-01: every kind has a sample, of that kind, and there is no other.
#[test]
fn every_kind_has_a_sample() {
    let samples = files("config/samples");
    let kinds: BTreeMap<String, String> =
        crds().iter().map(|crd| (kind(crd).to_lowercase(), kind(crd).to_owned())).collect();
    assert_eq!(samples.keys().collect::<Vec<_>>(), kinds.keys().collect::<Vec<_>>());
    for (name, path) in samples {
        let sample: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(sample["kind"], json!(kinds[&name]), "{name}");
        assert_eq!(sample["apiVersion"], "databricks-operator.io/v1alpha1", "{name}");
    }
}
