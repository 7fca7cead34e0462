//! What the documents tell the reader to type does what they say: every block of shell in them is run, in order, on a real
//! API server with a simulated account behind it.
//!
//! An installation lives through the documents as a reader would: `docs/install.md` first, then the others, `upgrade.md` and
//! `uninstall.md` last. Headings that begin with "With kubectl" or "With Helm" are two ways to the same end, so there are two
//! such lives; a document without them is part of both. There is no kubelet: see `node.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod document;
mod node;
mod place;

use std::collections::BTreeSet;

use document::{Block, blocks, commands, documents, root, runbooks};
use place::Place;
use serde_json::Value;

/// Blocks that are not run here: the document, how the block begins, and why.
const NOT_HERE: &[(&str, &str, &str)] = &[
    ("README.md", "make demo", "compiles, and its second line is what runs this test"),
    ("README.md", "make up", "compiles; an operator and the account of the demo are given here in its place"),
    ("docs/configuration.md", "databricks-operator run", "needs a proxy; see tests/egress"),
    ("docs/install.md", "docker buildx build", "needs a container engine; see tests/image.rs"),
    ("docs/argocd.md", "kubectl patch configmap argocd-cm", "needs Argo CD; tests/argocd runs it"),
    ("docs/argocd.md", "kubectl apply --server-side -f config/argocd/operator.yaml", "needs Argo CD"),
    (
        "docs/argocd.md",
        "kubectl create secret generic databricks",
        "needs Argo CD; tests/argocd syncs the samples",
    ),
    (
        "docs/install.md",
        "cargo build --release",
        "takes minutes; the program runs here as cargo built it for tests",
    ),
    (
        "docs/monitoring.md",
        "helm upgrade databricks-operator charts/databricks-operator --namespace databricks-operator --reset-then-reuse-values \\\n  \
         --set metrics.serviceMonitor",
        "needs the CRDs of Prometheus Operator",
    ),
];

/// The two ways in which documents tell how to do something.
const WAYS: [&str; 2] = ["With kubectl", "With Helm"];

fn is_run(block: &Block) -> bool {
    !NOT_HERE.iter().any(|(document, start, _)| block.document == *document && block.text.starts_with(start))
}

/// The blocks of a document that are run by somebody who goes this way.
fn path(document: &str, way: &str) -> Vec<Block> {
    let other = |block: &Block| WAYS.iter().any(|known| *known != way && block.heading.starts_with(known));
    blocks(document).into_iter().filter(|block| is_run(block) && !other(block)).collect()
}

/// The documents about an installation, in the order of its life.
fn life() -> Vec<String> {
    let mut all: Vec<String> = documents().into_iter().filter(|name| name.starts_with("docs/")).collect();
    all.sort_by_key(|name| match name.as_str() {
        "docs/install.md" => 0,
        "docs/upgrade.md" => 2,
        "docs/uninstall.md" => 3,
        _ => 1,
    });
    all
}

/// The variables that runbooks may use, and what each is here. A page that uses one says what it is.
const VARIABLES: &[(&str, &str)] = &[
    ("OPERATOR_NAMESPACE", "databricks-operator"),
    ("NAMESPACE", "default"),
    ("OBJECT", "databricksauth.databricks-operator.io/databricks"),
    ("NAME", "databricks"),
];

/// What a runbook has one type, with what an alert and a row of `kubectl get` tell filled in. There are no pods to have logs here,
/// and where nothing is wrong a search finds nothing: neither is an error.
fn looks(runbook: &str) -> Vec<Block> {
    let mut blocks = blocks(runbook);
    let set: String = VARIABLES.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    for block in &mut blocks {
        block.text = format!("{set}grep() {{ command grep \"$@\" || true; }}\n{}", block.text);
    }
    blocks
}

async fn live(way: &str) {
    let place = Place::start(way).await;
    for document in life() {
        let before = place.state().await;
        place.follow(&path(&document, way)).await;
        match document.as_str() {
            "docs/install.md" => {
                place.is_ready("default", "databricksauth/databricks").await;
                for runbook in runbooks() {
                    place.follow(&looks(&runbook)).await;
                }
            }
            "docs/upgrade.md" => {
                assert_eq!(place.state().await, before, "an upgrade changed something");
                let image = "--output=jsonpath={.spec.template.spec.containers[0].image}";
                let name = "databricks-operator";
                let image = place.kubectl(&["get", "deployment", name, "--namespace", name, image], "").await;
                assert!(image.ends_with(":0.1.0-2"), "{image}: with the tag of before, no pod is replaced");
            }
            _ => {}
        }
    }
    place.nothing_is_left().await;
    // What was to stay in the account is there, and what was only looked at is as it was.
    let lists = place.account.objects("ip-access-lists");
    assert!(lists.iter().any(|list| list["label"] == "first" && list["enabled"] == false), "{lists:?}");
    let seen = |workspace: &&Value| workspace["workspace_name"] == "legacy";
    assert_eq!(place.account.objects("workspaces").iter().find(seen), Some(&place.legacy));
    place.end().await;
}

#[tokio::test]
async fn an_installation_with_kubectl_lives_as_the_documents_say() {
    live(WAYS[0]).await;
}

#[tokio::test]
async fn an_installation_with_helm_lives_as_the_documents_say() {
    live(WAYS[1]).await;
}

/// Covers UX-09. Two objects of one name, one Ready, and one that is not although its last comparison found no difference: the
/// runbooks' filters show the rows that they are for, and no others.
#[tokio::test]
async fn the_filters_of_runbooks_show_the_rows_that_they_are_for() {
    let place = Place::start("rows").await;
    place.apply_the_crds().await;
    place.apply_the_account().await;
    place.apply_with_conditions("not-ready", &[("Ready", "False"), ("Synced", "True")]).await;
    place.apply_with_conditions("differs", &[("Ready", "True"), ("Synced", "False")]).await;
    place.apply_with_conditions("well", &[("Ready", "True"), ("Synced", "True")]).await;
    place.apply_with_conditions("new", &[]).await;
    for (page, shown, hidden) in [
        ("NotReady", ["not-ready", "new"], ["differs", "well"]),
        ("DriftRemains", ["differs", "new"], ["not-ready", "well"]),
    ] {
        let look = looks(&format!("docs/runbooks/DatabricksOperator{page}.md")).remove(0);
        let text = look.text.lines().filter(|line| !line.contains("$OBJECT"));
        let rows =
            place.follow(&[Block { text: text.map(|line| format!("{line}\n")).collect(), ..look }]).await;
        let has = |name: &&str| rows.contains(&format!("ipaccesslist.databricks-operator.io/{name} "));
        assert!(shown.iter().all(has) && !hidden.iter().any(has), "{page}: {rows}");
    }
    place.end().await;
}

/// Covers UX-09. A namespace is deleted with everything in it, and the deletions are stopped. The runbook is followed to the letter:
/// what was still in the account stays there, and is what the objects manage once they are applied again.
#[tokio::test]
async fn the_runbook_of_a_stopped_mass_deletion_saves_what_is_left() {
    const PAGE: &str = "docs/runbooks/DatabricksOperatorMassDeletionStopped.md";
    let place = Place::start("mass-deletion").await;
    let values = ["--set", "operator.maxDeletionsPerHour=1", "--set", "installation=prod"];
    place.install_fast(&values).await;
    place.apply_a_team("IfOwned").await;
    place.team_is_ready().await;
    let before = place.left();
    place.kubectl(&["delete", "namespace", "team", "--wait=false"], "").await;
    place.is_stopped("team").await;
    let left = place.left();
    assert_eq!(left.len(), before.len() - 1, "{before:?} {left:?}");

    let rows = place.follow(&looks(PAGE)[..1]).await;
    assert!(rows.contains("to be deleted within an hour"), "{rows}");
    place.follow(&looks(PAGE)[1..]).await;
    place.kubectl(&["wait", "--for=delete", "--timeout=60s", "namespace/team"], "").await;
    assert_eq!(place.left(), left);
    // As manifests from Git: what is found without a word is the workspace alone.
    place.apply_a_team("IfOwned").await;
    place
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "-n", "team", "workspace/kept"], "")
        .await;
    place.apply_a_team("IfExists").await;
    place.team_is_ready().await;
    let again = place.left();
    assert!(left.is_subset(&again) && again.len() == before.len(), "{left:?} {again:?}");
    place.end().await;
}

/// Before everything is deleted, one block makes all objects stay in the account, whatever their kind, and names those that it
/// could not change.
#[tokio::test]
async fn before_an_uninstall_each_kind_is_retained_or_named() {
    let place = Place::start("retained").await;
    place.apply_the_crds().await;
    place.apply_the_samples().await;
    let retain = blocks("docs/uninstall.md").remove(0);
    assert_eq!(retain.heading, "What stays in the account");
    let refuses = "kubectl() { [[ \"$*\" != *\" patch Budget.\"* ]] && command kubectl \"$@\"; }";
    let refused = Block { text: format!("{refuses}\n{}", retain.text), ..retain.clone() };
    let printed = place.follow(&[refused]).await;
    let named: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("NOT CHANGED: ")).collect();
    assert!(matches!(named[..], [one] if one.starts_with("Budget ")), "{printed}");
    assert_eq!(place.not_retained().await, ["Budget"]);
    place.follow(&[retain]).await;
    assert!(place.not_retained().await.is_empty());
    place.end().await;
}

/// A page that uses a variable says what it stands for, and none stands for two things.
#[test]
fn runbooks_explain_their_variables() {
    for page in runbooks() {
        let page_text = std::fs::read_to_string(root().join(&page)).unwrap();
        let (prose, typed): (Vec<&str>, String) = (
            page_text.split("```").step_by(2).collect(),
            blocks(&page).iter().map(|b| b.text.clone()).collect(),
        );
        let prose = prose.concat();
        for word in typed.split('$').skip(1) {
            let end = word.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(word.len());
            let name = &word[..end];
            if !name.is_empty() {
                assert!(VARIABLES.iter().any(|(known, _)| *known == name), "{page}: ${name} is not known");
                assert!(prose.contains(&format!("`{name}`")), "{page} does not say what {name} is");
            }
        }
    }
}

/// The README of the chart installs an operator; with the account of the demo that is what `make up` gives.
#[tokio::test]
async fn the_readmes_can_be_followed() {
    let place = Place::start("readme").await;
    place.follow(&path("charts/databricks-operator/README.md", "")).await;
    place.apply_the_account().await;
    place.follow(&path("README.md", "")).await;
    place.is_ready("default", "workspace/analytics").await;
    // What shows how something comes about goes on until it is ended.
    let watches: Vec<String> = documents().iter().flat_map(|name| document::watches(name)).collect();
    assert!(!watches.is_empty());
    for command in watches {
        place.goes_on(&command).await;
    }
    place.end().await;
}

/// Covers UX-07. From a cluster to the first Ready object five commands are enough, either way, and nothing else has to be
/// there.
#[test]
fn five_commands_are_enough_to_install() {
    for way in WAYS {
        let typed: Vec<String> =
            path("docs/install.md", way).iter().flat_map(|block| commands(&block.text)).collect();
        let first_ready = typed.iter().position(|line| line.contains("condition=Ready")).unwrap();
        assert!(first_ready < 5, "{way}: {typed:#?}");
        assert!(typed.iter().all(|line| !line.contains("cert-manager")), "{typed:#?}");
    }
}

/// No exception is left over or hides more than it says, and no block of shell is missed for its label.
#[test]
fn every_block_is_run_or_named_as_an_exception() {
    for (document, start, reason) in NOT_HERE {
        let hidden = blocks(document).into_iter().filter(|block| block.text.starts_with(start)).count();
        assert_eq!(hidden, 1, "{document} has {hidden} blocks that begin with {start:?} ({reason})");
    }
    let all = documents().into_iter().chain(runbooks());
    let labels: BTreeSet<String> = all.flat_map(|name| document::labels(&name)).collect();
    // `text` is what a command prints: hack/world/tests/demo.rs compares it with a run.
    let known = ["mermaid", "promql", "sh", "text", "yaml"];
    assert!(labels.iter().all(|label| known.contains(&label.as_str())), "{labels:?}");
}

/// The image that the documents build is the one that they install.
#[test]
fn the_image_that_is_built_is_the_one_that_is_installed() {
    let manifest = std::fs::read_to_string(root().join("config/install/databricks-operator.yaml")).unwrap();
    let mut objects = manifest.split("\n---\n").map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
    let deployment = objects.find(|object| object["kind"] == "Deployment").unwrap();
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    let built = image.replace("registry.example.com", "$REGISTRY");
    let build = blocks("docs/install.md").into_iter().find(|block| block.text.starts_with("docker")).unwrap();
    assert!(build.text.contains(&built), "{built} is installed, and built is: {}", build.text);
}
