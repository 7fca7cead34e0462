//! What follows from the scripts in `config/argocd/lua`, the kinds and the samples: the layout of Argo CD's own repository,
//! the ConfigMap, and the manifests with their waves. Pure: it says what the files are to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use databricks_operator::engine::crd::RECONCILE_REQUESTED;
use serde_json::{Value, json};

use crate::samples;

/// What Argo CD calls a group is a folder of this name.
pub const LAYOUT: &str = "resource_customizations";
const GROUP: &str = "databricks-operator.io";
/// The actions, and what of the captured object each is run on. They have no wildcard in Argo CD, so each kind has its own.
pub const ACTIONS: [(&str, &str, &str); 3] = [
    ("reconcile", "ready", "reconciled"),
    ("suspend", "ready", "suspended"),
    ("resume", "suspended", "resumed"),
];

/// `config/argocd`.
pub fn folder() -> PathBuf {
    root().join("config/argocd")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// An object of the repository.
pub fn object(path: impl AsRef<Path>) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

fn script(name: &str) -> String {
    read(folder().join(format!("lua/{name}.lua")))
}

/// All our kinds, as the operator has them.
pub fn kinds() -> Vec<String> {
    databricks_operator::cli::crds().into_iter().map(|crd| crd.spec.names.kind).collect()
}

/// Where the files of a kind are in the layout; `_` stands for all kinds.
pub fn home(kind: &str) -> PathBuf {
    folder().join(LAYOUT).join(GROUP).join(kind)
}

/// All files that are generated, with their text.
pub fn generated() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::from([
        (home("_").join("health.lua"), script("health")),
        (folder().join("argocd-cm.yaml"), config_map()),
    ]);
    for kind in kinds() {
        let actions = home(&kind).join("actions");
        files.insert(actions.join("discovery.lua"), script("discovery"));
        files.insert(actions.join("action_test.yaml"), action_test());
        for (action, _, _) in ACTIONS {
            files.insert(actions.join(action).join("action.lua"), script(action));
        }
        files.extend(results(&actions.join("testdata")));
        let file = format!("{}.yaml", kind.to_lowercase());
        let sample = read(root().join("config/samples").join(&file));
        files.insert(folder().join("account").join(file), with_wave(&sample, wave(&kind)));
    }
    files
}

/// What the actions are to make of the captured object: the same with one field changed.
fn results(testdata: &Path) -> Vec<(PathBuf, String)> {
    let captured = testdata.join("ready.yaml");
    assert!(captured.is_file(), "UPDATE=1 cargo test --test stories argocd writes {}", captured.display());
    let ready = object(captured);
    let changed = |place: &[&str], value: Value| {
        let mut object = ready.clone();
        let field = place.iter().fold(&mut object, |inner, key| &mut inner[*key]);
        *field = value;
        serde_saphyr::to_string(&object).unwrap()
    };
    let version = ready["metadata"]["resourceVersion"].as_str().unwrap();
    let asked = json!(format!("resourceVersion {version}"));
    let files = [
        ("reconciled", changed(&["metadata", "annotations", RECONCILE_REQUESTED], asked)),
        ("suspended", changed(&["spec", "suspend"], json!(true))),
        ("resumed", changed(&["spec", "suspend"], json!(false))),
    ];
    files.map(|(name, text)| (testdata.join(format!("{name}.yaml")), text)).into()
}

fn action_test() -> String {
    let mut text = String::from("discoveryTests:\n");
    for (input, suspended) in [("ready", false), ("suspended", true), ("resumed", false)] {
        writeln!(text, "- inputPath: testdata/{input}.yaml\n  result:").unwrap();
        for (action, _, _) in ACTIONS {
            let disabled = suspended != (action == "resume");
            writeln!(text, "  - name: {action}\n    disabled: {disabled}").unwrap();
        }
    }
    text += "actionTests:\n";
    for (action, input, output) in ACTIONS {
        let paths =
            format!("  inputPath: testdata/{input}.yaml\n  expectedOutputPath: testdata/{output}.yaml");
        writeln!(text, "- action: {action}\n{paths}").unwrap();
    }
    text
}

fn indented(text: &str, by: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".into() } else { format!("{:by$}{line}\n", "") };
    text.lines().map(line).collect()
}

/// The ConfigMap has keys of each kind: a wildcard is only possible in the one key that others use too, and a patch of ours
/// would throw away what they wrote.
fn config_map() -> String {
    let mut actions = format!("discovery.lua: |\n{}definitions:\n", indented(&script("discovery"), 2));
    for (action, _, _) in ACTIONS {
        write!(actions, "- name: {action}\n  action.lua: |\n{}", indented(&script(action), 4)).unwrap();
    }
    let parts = [("health", script("health")), ("actions", actions)];
    let mut text = String::from(
        "# Health checks and actions for Argo CD, as a patch of its ConfigMap: it adds these keys and touches no other.\n\
         # Written by `UPDATE=1 cargo test --test argocd_health` from lua/. Do not edit.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n  labels:\n    \
         app.kubernetes.io/name: argocd-cm\n    app.kubernetes.io/part-of: argocd\ndata:\n",
    );
    for (part, script) in parts {
        for (index, kind) in kinds().iter().enumerate() {
            write!(text, "  resource.customizations.{part}.{GROUP}_{kind}: ").unwrap();
            match index {
                0 => write!(text, "&{part} |\n{}", indented(&script, 4)),
                _ => writeln!(text, "*{part}"),
            }
            .unwrap();
        }
    }
    text
}

/// The order in which objects are created; they are deleted in the reverse order.
fn wave(kind: &str) -> usize {
    if kind == "DatabricksAuth" { 0 } else { samples::wave(kind) }
}

fn with_wave(sample: &str, wave: usize) -> String {
    let head = "# Written by `UPDATE=1 cargo test --test argocd_health` from config/samples. Do not edit.\n";
    let (before, after) = sample.split_once("\nmetadata:\n").unwrap();
    let annotations = format!("  annotations:\n    argocd.argoproj.io/sync-wave: \"{wave}\"\n");
    format!("{head}{before}\nmetadata:\n{annotations}{after}")
}

/// An object with its conditions in another order: reversed, or each in turn as the first.
pub fn reordered(object: &Value) -> Vec<Value> {
    let Some(conditions) = object["status"]["conditions"].as_array() else { return vec![] };
    let mut reversed = conditions.clone();
    reversed.reverse();
    let turned = (1..conditions.len()).map(|by| [&conditions[by..], &conditions[..by]].concat());
    turned
        .chain([reversed])
        .map(|conditions| {
            let mut object = object.clone();
            object["status"]["conditions"] = json!(conditions);
            object
        })
        .collect()
}
