//! `config/install/databricks-operator.yaml`: the chart for those who have no Helm, as it is rendered with default values,
//! in its own namespace and without the marks of Helm. The CRDs are in `crds/`.

use crate::helm::{chart, in_step, root, run};

/// What is replaced by the reader's own.
const REGISTRY: &str = "registry.example.com";

/// Covers H-32: who has no Helm installs the same.
#[test]
fn the_manifest_without_helm_is_the_chart_with_default_values() {
    let name = "databricks-operator";
    let chart = chart();
    let set = format!("crds.enabled=false,image.registry={REGISTRY}");
    let args = ["template", name, chart.to_str().unwrap(), "--namespace", name, "--set", &set];
    let render = run(&args).unwrap_or_else(|e| panic!("{e}"));
    let helms = ["# Source:", "helm.sh/chart:", "app.kubernetes.io/managed-by:"];
    let lines = render.lines().filter(|line| helms.iter().all(|mark| !line.trim().starts_with(mark)));
    let objects = lines.collect::<Vec<_>>().join("\n");
    assert!(!objects.to_lowercase().contains("helm"), "{objects}");
    let head = "# Written by `make generate` from charts/databricks-operator. Do not edit.";
    let text = format!("{head}\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n{objects}\n");
    assert_eq!(text.matches(REGISTRY).count(), 1, "{text}");
    in_step(&root().join("config/install/databricks-operator.yaml"), &text);
}
