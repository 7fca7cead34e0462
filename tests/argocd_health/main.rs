//! What Argo CD and Flux make of our objects. The scripts for Argo CD are run by its own code, both as its repository would
//! have them (`resource_customizations`) and as its users put them into the ConfigMap; kstatus is the library that Flux uses.
//!
//! The scripts are written once, in `config/argocd/lua`; `UPDATE=1 cargo test --test argocd_health` writes what follows from
//! them. The objects that they are tested with come from runs: see `tests/stories/argocd.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod layout;
mod program;
#[path = "../account/samples.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod samples;
mod statuses;

use std::path::Path;
use std::process::Command;

use layout::{ACTIONS, folder, generated, home, kinds, object, read, reordered};
use program::Program;
use serde_json::{Map, Value, json};
use world::Tool;

/// Argo CD with our scripts, both ways.
fn argo_cds() -> [Program; 2] {
    [Program::built_in(), Program::configured(&folder().join("argocd-cm.yaml"))]
}

#[test]
fn the_generated_files_are_in_step() {
    let mut wrong = vec![];
    for (path, text) in generated() {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 cargo test --test argocd_health writes: {}", wrong.join("\n"));
}

/// Covers GO-07. The cases that are handed to Argo CD with the script. The order of the conditions changes nothing.
#[test]
fn the_health_of_captured_objects_is_as_the_layout_says() {
    let cases = object(home("_").join("health_test.yaml"))["tests"].take();
    let cases = cases.as_array().unwrap();
    for mut argo_cd in argo_cds() {
        for case in cases {
            let captured = object(home("_").join(case["inputPath"].as_str().unwrap()));
            for seen in [vec![captured.clone()], reordered(&captured)].concat() {
                assert_eq!(argo_cd.look(&seen)["health"], case["healthStatus"], "{}", case["inputPath"]);
            }
        }
    }
    let captured = std::fs::read_dir(home("_").join("testdata")).unwrap().count();
    assert_eq!(captured, cases.len(), "a captured object has no case");
}

/// Covers GO-12. Each action changes the one field that is its own, whatever the kind.
#[test]
fn actions_of_each_kind_patch_one_field() {
    for mut argo_cd in argo_cds() {
        for kind in kinds() {
            let actions = home(&kind).join("actions");
            let captured = |name: &str| object(actions.join(format!("testdata/{name}.yaml")));
            for (action, input, output) in ACTIONS {
                let (before, after) = (captured(input), argo_cd.act(action, &captured(input)));
                assert_eq!(plain(&after), plain(&captured(output)), "{kind}: {action}");
                assert_eq!(differences(&plain(&before), &plain(&after)), 1, "{kind}: {action}");
            }
            let cases = object(actions.join("action_test.yaml"))["discoveryTests"].take();
            for case in cases.as_array().unwrap() {
                let input = object(actions.join(case["inputPath"].as_str().unwrap()));
                let offered = argo_cd.look(&input)["actions"].take();
                assert_eq!(by_name(&offered), by_name(&case["result"]), "{kind}: {}", case["inputPath"]);
            }
        }
    }
}

/// An object that never had an annotation is asked about, too, and each request is a new one.
#[test]
fn each_requested_reconcile_has_a_new_value() {
    for mut argo_cd in argo_cds() {
        let mut auth = object(home("DatabricksAuth").join("actions/testdata/ready.yaml"));
        auth["metadata"].as_object_mut().unwrap().remove("annotations");
        let first = argo_cd.act("reconcile", &auth);
        // The API server gives what was written a version of its own.
        let mut written = first.clone();
        written["metadata"]["resourceVersion"] = json!("1001");
        let second = argo_cd.act("reconcile", &written);
        let asked = |object: &Value| {
            object["metadata"]["annotations"][databricks_operator::engine::crd::RECONCILE_REQUESTED].clone()
        };
        assert!(asked(&first).is_string() && asked(&second).is_string());
        assert_ne!(asked(&first), asked(&second));
    }
}

/// Actions by name, with whether they are off.
fn by_name(actions: &Value) -> Map<String, Value> {
    let all = actions.as_array().unwrap().iter();
    all.map(|a| (a["name"].as_str().unwrap().to_owned(), json!(a["disabled"] == true))).collect()
}

/// Lua knows one type of numbers.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// In how many values two objects differ.
fn differences(one: &Value, other: &Value) -> usize {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let more = b.iter().filter(|(key, _)| !a.contains_key(*key)).map(|(_, value)| leaves(value));
            let both = a.iter().map(|(key, value)| differences(value, b.get(key).unwrap_or(&Value::Null)));
            more.chain(both).sum()
        }
        (one, other) => usize::from(one != other),
    }
}

fn leaves(value: &Value) -> usize {
    value.as_object().map_or(1, |map| map.values().map(leaves).sum())
}

/// What an Application points to is there, and no object comes before what it refers to.
#[test]
fn the_applications_install_what_is_there_in_an_order_that_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["operator.yaml", "account.yaml"] {
        let application = object(folder().join(file));
        let path = application["spec"]["source"]["path"].as_str().unwrap();
        assert!(root.join(path).is_dir(), "{file}: {path}");
        let automated = &application["spec"]["syncPolicy"]["automated"];
        assert_eq!(*automated, json!({"prune": true, "selfHeal": true}), "{file}");
    }
    let objects: Vec<Value> = kinds()
        .iter()
        .map(|kind| object(folder().join(format!("account/{}.yaml", kind.to_lowercase()))))
        .collect();
    let wave = |object: &Value| {
        let text = object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].as_str().unwrap();
        text.parse::<i32>().unwrap()
    };
    let mut references = 0;
    for object in &objects {
        let fields = object["spec"].as_object().unwrap().iter();
        for (field, value) in
            fields.filter(|(field, _)| field.ends_with("Ref") && *field != "clientSecretRef")
        {
            let named = objects.iter().find(|other| other["metadata"]["name"] == value["name"]).unwrap();
            assert!(wave(named) < wave(object), "{} {field}", object["kind"]);
            references += 1;
        }
    }
    assert!(references >= kinds().len(), "{references}");
    let files = std::fs::read_dir(folder().join("account")).unwrap().count();
    assert_eq!(files, objects.len(), "a manifest of no kind");
    assert!(
        read(folder().join("account/databricksauth.yaml")).contains("# Its OAuth secret"),
        "comments are lost"
    );
}

/// Also where a sample has the id in place of a reference: users need not.
#[test]
fn a_kind_comes_before_those_that_can_refer_to_it() {
    let mut references = 0;
    for driver in databricks_operator::kinds::KINDS {
        let kind = driver.kind();
        // Objects of one kind that refer to each other are applied together: those that wait become ready with the others.
        for (field, other) in samples::references(*driver).into_iter().filter(|(_, other)| *other != kind) {
            references += 1;
            let (first, then) = (samples::wave(&other), samples::wave(&kind));
            assert!(
                first < then,
                "{kind} refers to {other} by spec.{field}: wave {then}, and {other} is in {first}"
            );
        }
    }
    assert!(references > 1, "{references}");
}

/// The chart takes the values of the Application, and Argo CD is told not to prune the CRDs.
#[test]
fn the_chart_takes_the_values_of_the_application() {
    let source = object(folder().join("operator.yaml"))["spec"]["source"].take();
    let dir = tempfile::tempdir().unwrap();
    let values = dir.path().join("values.json");
    std::fs::write(&values, source["helm"]["valuesObject"].to_string()).unwrap();
    let mut helm = Command::new(Tool::Helm.locate().unwrap());
    helm.args(["template", "databricks-operator", source["path"].as_str().unwrap(), "--values"]);
    let output =
        helm.arg(values).current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered = String::from_utf8(output.stdout).unwrap();
    let kept = rendered.matches("argocd.argoproj.io/sync-options: Prune=false").count();
    assert_eq!(kept, kinds().len());
    assert!(rendered.contains("registry.example.com/databricks-operator"), "{rendered}");
}

/// The manifests in the documents can be read, lead to what is there, and are about the versions that the tests use.
#[test]
fn the_documents_show_manifests_that_fit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (argo_cd, flux) = (read(root.join("docs/argocd.md")), read(root.join("docs/flux.md")));
    for (name, text) in [("argocd.md", &argo_cd), ("flux.md", &flux)] {
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            for manifest in block.split("---\n") {
                let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
                for place in ["/spec/path", "/spec/chart/spec/chart"] {
                    let path = manifest.pointer(place).and_then(Value::as_str);
                    assert!(path.is_none_or(|path| root.join(path).is_dir()), "{name}: {path:?}");
                }
            }
        }
    }
    // A chart from Git has one version for many commits, and the other documents know the release by this name.
    for line in ["releaseName: databricks-operator", "reconcileStrategy: Revision"] {
        assert!(flux.contains(&format!(" {line}\n")), "flux.md has no {line}");
    }
    for (action, _, _) in ACTIONS {
        assert!(argo_cd.contains(&format!("| `{action}` |")), "{action} is not told of");
    }
    let version = argo_cd.split("Argo CD ").find_map(|rest| rest.split(". ").next()?.parse::<f32>().ok());
    let tested = read(root.join("hack/controlplane/go/argocd/go.mod"));
    let tested = tested.split("argo-cd/v3 v").nth(1).unwrap();
    assert!(tested.starts_with(&version.unwrap().to_string()), "tested with {}", &tested[..5]);
}
