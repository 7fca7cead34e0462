//! The checklist of the chart and the tests that show each line, `tests/chart/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::helm::{in_step, root};

/// A line that waits for something else, and for what. All others need a test.
const LATER: &str = "LATER: ";

/// What the chart has to have, and what was decided about it.
const LINES: &[(&str, &str, &str)] = &[
    (
        "H-01",
        "a closed schema of the values, from one source with the table in the README",
        "`values.yaml` is the source",
    ),
    ("H-02", "CRDs are templates that can be left out, marked, and kept", ""),
    ("H-03", "CRDs by themselves, and notes for GitOps", "`crds/` of the repository"),
    (
        "H-04",
        "stored objects are migrated before a version is dropped",
        "rendered only; there is one version so far",
    ),
    (
        "H-05",
        "values that contradict each other, and old clusters, are refused by name",
        "there is no upgrade to refuse before the second release",
    ),
    ("H-06", "the image, from parts; a digest wins", "no registry is built in: none has the image"),
    ("H-07", "Pod Security `restricted`", "no user is set, so OpenShift needs no adaptation"),
    ("H-08", "requests, a limit of memory and none of the CPU", ""),
    ("H-09", "three probes", "that they answer is shown with the process"),
    ("H-10", "replicas and the election of a leader", ""),
    ("H-11", "a budget for disruptions", ""),
    ("H-12", "where pods run, also from `global`, with templates", ""),
    (
        "H-13",
        "a network policy that closes",
        "names of hosts are for policies of one's own, with `extraObjects`",
    ),
    ("H-14", "ServiceMonitor and PodMonitor, for clusters that know them", ""),
    ("H-15", "alerts with runbooks", "that they fire and are silent is shown in `tests/monitoring`"),
    ("H-16", "a dashboard, for Grafana's side-car or its operator", "that it fits the metrics, too"),
    ("H-17", "a metrics endpoint, in plain or protected", "that it keeps to it is shown with the process"),
    (
        "H-18",
        "rights of people through `view`, `edit` and `admin`; DatabricksAuth in `admin` only",
        "mode `cluster` only: Roles do not aggregate",
    ),
    (
        "H-19",
        "the whole cluster or chosen namespaces, with Roles only; shards by label",
        "namespaces are chosen by name: by label it would take the right to read them",
    ),
    (
        "H-20",
        "rights that can be narrowed; none to write Secrets or make tokens",
        "no switch for exports and tokens: the operator has neither",
    ),
    ("H-21", "the ServiceAccount", "a token for federation is one of `extraVolumes`"),
    ("H-22", "anything can be added", ""),
    ("H-23", "labels, annotations and what else a Deployment has", ""),
    (
        "H-24",
        "a changed setting rolls the pods",
        "settings are flags, so they are in the pod's template themselves; a ConfigMap with a checksum would say it twice",
    ),
    (
        "H-25",
        "a proxy and roots of one's own",
        "for https only: nothing is called in plain; that they reach both clients is shown with the process",
    ),
    (
        "H-26",
        "every operational value is a flag",
        "crossing namespaces is a matter of grants, not of a value",
    ),
    ("H-27", "protection from deletion by the API server, without a webhook", ""),
    (
        "H-28",
        "the first DatabricksAuth, with the name of a Secret",
        "not in the first installation: Helm must know the kind",
    ),
    ("H-29", "`helm test`", "rendered only: there is no kubelet here"),
    ("H-30", "renders that are kept, a file for each combination, the linter", ""),
    ("H-31", "notes with next steps and risks", ""),
    ("H-32", "no hook, no chance, no look-up but for CRDs that are being deleted: two renders are equal", ""),
    (
        "H-33",
        "one version; a package",
        "publication and signature want a registry; the list of CRDs is added when it is published",
    ),
    ("H-34", "several releases side by side", "a release is a shard"),
    ("H-35", "rules of upgrades in the README", ""),
    ("H-36", "a share of the API server", ""),
    ("H-37", "what is null or empty is as if left out", ""),
    (
        "H-38",
        "no installation onto CRDs that are being deleted",
        "what renders without a cluster cannot see them",
    ),
    (
        "H-39",
        "each cluster is an installation of its own by default",
        "in chosen namespaces its name has to be written",
    ),
];

/// The tests of the chart, rendered and installed, by the ids of this list that their doc comments cover.
fn shown() -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["chart", "install"] {
        for entry in std::fs::read_dir(root().join("tests").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("checklist.rs") {
                let file = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
                tests(&file, &std::fs::read_to_string(&path).unwrap(), &mut shown);
            }
        }
    }
    shown
}

/// The tests of a file. Those that cover promises of `tests/ids.rs` too have a list of their own for these.
fn tests(file: &str, text: &str, shown: &mut BTreeMap<String, Vec<String>>) {
    let mut doc = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("/// ") {
            doc = doc + more + " ";
            continue;
        }
        if ["#[test]", "#[tokio::test]"].contains(&line) {
            continue;
        }
        if let Some((_, ids)) = doc.split_once("Covers H-") {
            let ids = ids.split([':', '.']).next().unwrap_or_default();
            let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = name.and_then(|line| line.split('(').next());
            let name = name.unwrap_or_else(|| panic!("{file}: what covers H-{ids} is no test: {line}"));
            for id in format!("H-{ids}").split(", ") {
                shown.entry(id.to_owned()).or_default().push(format!("`{file}` `{name}`"));
            }
        }
        doc.clear();
    }
}

#[test]
fn every_line_of_the_checklist_has_a_test_and_the_table_is_in_step() {
    let mut shown = shown();
    let mut text = String::from(
        "# Checklist of the chart\n\nWritten by `UPDATE=1 cargo test --test chart` from the doc comments of the tests. Do not edit.\n\n\
         | id | the chart has | note | tests |\n|---|---|---|---|\n",
    );
    let mut wrong = vec![];
    for (id, line, note) in LINES {
        let mut tests = shown.remove(*id).unwrap_or_default();
        tests.sort();
        if tests.is_empty() != note.starts_with(LATER) {
            wrong.push(format!("{id}, {line}: {} tests, and the note is {note:?}", tests.len()));
        }
        let note = note.strip_prefix(LATER).map_or((*note).to_owned(), |what| format!("not yet: {what}"));
        writeln!(text, "| {id} | {line} | {note} | {} |", tests.join("<br>")).unwrap();
    }
    assert!(shown.is_empty(), "no line of the checklist: {shown:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    in_step(&root().join("tests/chart/README.md"), &text);
}
