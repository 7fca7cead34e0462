//! Calls of `helm`, and what is read off a render.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use world::Tool;

/// The program, built from its Go module at the first use.
static HELM: LazyLock<PathBuf> = LazyLock::new(|| Tool::Helm.locate().unwrap_or_else(|e| panic!("{e}")));

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the chart.
pub fn chart() -> PathBuf {
    root().join("charts/databricks-operator")
}

/// A file of the chart.
pub fn chart_file(name: &str) -> String {
    std::fs::read_to_string(chart().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Runs `helm` and gives its standard output, or its standard error if it fails. It knows of no cluster.
pub fn run(args: &[&str]) -> Result<String, String> {
    if updating() {
        // It may refuse the render otherwise.
        crate::values::keep_made();
    }
    let output = Command::new(&*HELM)
        .args(args)
        .env("KUBECONFIG", "/dev/null")
        // It lives for a moment: collecting garbage costs a third of it.
        .env("GOGC", "off")
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", HELM.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The text of a render without the CRDs as release `dbx` in namespace `ops`: with them, it takes four times as long, and nothing
/// else in it depends on them.
pub fn text(args: &[&str]) -> Result<String, String> {
    with_crds(&[&["--set", "crds.enabled=false"], args].concat())
}

/// The same with the CRDs, unless the values want none.
pub fn with_crds(args: &[&str]) -> Result<String, String> {
    let chart = chart();
    run(&[&["template", "dbx", chart.to_str().unwrap(), "--namespace", "ops"], args].concat())
}

/// The objects of a text.
pub fn objects(text: &str) -> Vec<Value> {
    let parts = format!("\n{text}\n");
    let parts = parts
        .split("\n---\n")
        .map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{e}:\n{part}")));
    parts.filter(|object: &Value| !object.is_null()).collect()
}

/// The objects that these arguments give, without the CRDs.
pub fn render(args: &[&str]) -> Vec<Value> {
    objects(&text(args).unwrap_or_else(|e| panic!("{args:?}: {e}")))
}

/// The objects that a values file of `ci/` gives, with the CRDs if it wants them. Each is rendered once, all at the same time.
pub fn ci(name: &str) -> &'static [Value] {
    &ALL[name]
}

/// The objects of every file of `ci/`, by its name.
pub static ALL: LazyLock<BTreeMap<String, Vec<Value>>> = LazyLock::new(|| {
    std::thread::scope(|scope| {
        let renders = ci_files().into_iter().map(|(name, path)| {
            let render = scope.spawn(move || {
                let text = with_crds(&["--values", path.to_str().unwrap()]);
                objects(&text.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
            });
            (name, render)
        });
        let renders: Vec<_> = renders.collect();
        renders.into_iter().map(|(name, render)| (name, render.join().unwrap())).collect()
    })
});

/// The files of `ci/`, by the name before `-values.yaml`.
pub fn ci_files() -> BTreeMap<String, PathBuf> {
    let paths = std::fs::read_dir(chart().join("ci")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| {
        path.file_name().unwrap().to_str().unwrap().strip_suffix("-values.yaml").map(str::to_owned)
    };
    paths
        .map(|path| (name(&path).unwrap_or_else(|| panic!("{} is no values file", path.display())), path))
        .collect()
}

/// Objects of a kind.
pub fn of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one object of a kind.
pub fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let [object] = of(objects, kind)[..] else {
        panic!("{} objects of kind {kind}", of(objects, kind).len())
    };
    object
}

/// The pod's spec in the Deployment.
pub fn pod(objects: &[Value]) -> &Value {
    &one(objects, "Deployment")["spec"]["template"]["spec"]
}

/// The operator's container.
pub fn container(objects: &[Value]) -> &Value {
    let containers = pod(objects)["containers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == "operator").unwrap()
}

/// The operator's arguments.
pub fn args(objects: &[Value]) -> Vec<&str> {
    container(objects)["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect()
}

/// The value of a flag among the operator's arguments.
pub fn flag<'a>(objects: &'a [Value], name: &str) -> Option<&'a str> {
    args(objects).into_iter().find_map(|arg| arg.strip_prefix(&format!("--{name}=")))
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Compares with a file that is kept, or writes it where `UPDATE` is set.
pub fn in_step(path: &Path, text: &str) {
    if updating() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In one step: other tests may be rendering the chart with it.
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, path).unwrap();
    } else {
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text, "{} is not in step: UPDATE=1 cargo test --test chart", path.display());
    }
}
