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

use document::{Block, blocks, commands, documents, runbooks};
use place::Place;
use serde_json::Value;

/// Blocks that are not run here: the document, how the block begins, and why.
const NOT_HERE: &[(&str, &str, &str)] = &[
    ("README.md", "make demo", "compiles, and its second line is what runs this test"),
    ("README.md", "make up", "compiles; an operator and the account of the demo are given here in its place"),
    ("README.md", "databricks-operator run", "needs a proxy; see tests/egress"),
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

/// What a runbook has one type, with what an alert tells filled in. There are no pods to have logs here, and where nothing is
/// wrong a search finds nothing, which is no error.
fn looks(runbook: &str) -> Vec<Block> {
    let mut blocks = blocks(runbook);
    for block in &mut blocks {
        let lines = block.text.lines().filter(|line| !line.contains(" logs "));
        let known = "NAMESPACE=databricks-operator KIND=databricksauth NAME=databricks\ngrep() { command grep \"$@\" || true; }";
        block.text = [known].into_iter().chain(lines).map(|line| format!("{line}\n")).collect();
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
            "docs/upgrade.md" => assert_eq!(place.state().await, before, "an upgrade changed something"),
            _ => {}
        }
    }
    place.nothing_is_left().await;
    // What was to stay in the account is there.
    let lists = place.account.objects("ip-access-lists");
    assert!(lists.iter().any(|list| list["label"] == "office"), "{lists:?}");
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

/// The README of the chart installs an operator; with the account of the demo that is what `make up` gives.
#[tokio::test]
async fn the_readmes_can_be_followed() {
    let place = Place::start("readme").await;
    place.follow(&path("charts/databricks-operator/README.md", "")).await;
    place.apply_the_demos_account().await;
    place.follow(&path("README.md", "")).await;
    place.is_ready("default", "workspace/analytics").await;
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
    let known = ["mermaid", "promql", "sh", "yaml"];
    assert!(labels.iter().all(|label| known.contains(&label.as_str())), "{labels:?}");
}

/// The image that the documents build is the one that they install.
#[test]
fn the_image_that_is_built_is_the_one_that_is_installed() {
    let manifest =
        std::fs::read_to_string(document::root().join("config/install/databricks-operator.yaml")).unwrap();
    let mut objects = manifest.split("\n---\n").map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
    let deployment = objects.find(|object| object["kind"] == "Deployment").unwrap();
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    let built = image.replace("registry.example.com", "$REGISTRY");
    let build = blocks("docs/install.md").into_iter().find(|block| block.text.starts_with("docker")).unwrap();
    assert!(build.text.contains(&built), "{built} is installed, and built is: {}", build.text);
}
