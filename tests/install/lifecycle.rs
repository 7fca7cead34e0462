//! Upgrade, rollback, uninstall and a new installation, with objects in the cluster all the time.
//!
//! The chart before is a fixture. There is no binary of before, so it is today's that runs with the arguments of both. It needs the
//! CRDs of all kinds and rights to them, so those that are newer than the fixture are there from the beginning.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use world::{Operator, Release};

use crate::site::{BASE, Site, chart, full_name, root};
use crate::stage::{AUTH, Stage, demo, sample};

const BEFORE: &str = "tests/install/fixture/databricks-operator-0.1.0-0.tgz";

/// All objects of our kinds as the API server has them, by kind and name.
async fn objects(site: &Site) -> BTreeMap<String, Value> {
    let all = site.list(&["databricks", "--all-namespaces"]).await;
    let named = all.into_iter().map(|o| {
        let name = format!("{} {}", o["kind"].as_str().unwrap(), o["metadata"]["name"].as_str().unwrap());
        (name, o)
    });
    named.collect()
}

/// The generation of each of our CRDs.
async fn crds(site: &Site) -> BTreeMap<String, i64> {
    let all = site.list(&["crd"]).await;
    let generation = |crd: &Value| {
        let metadata = &crd["metadata"];
        (metadata["name"].as_str().unwrap().to_owned(), metadata["generation"].as_i64().unwrap())
    };
    all.iter().map(generation).collect()
}

/// What today's binary needs besides the chart before: the CRDs of newer kinds, which an upgrade takes into the release, and rights.
async fn newer(site: &Site, known: &BTreeMap<String, i64>) {
    let folder = std::fs::read_dir(chart().join("files/crds")).unwrap();
    let texts = folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let crds = texts.flat_map(|text| crate::site::objects(&text));
    let mut all: Vec<Value> =
        crds.filter(|crd| !known.contains_key(crd["metadata"]["name"].as_str().unwrap())).collect();
    for crd in &mut all {
        crd["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
        crd["metadata"]["annotations"] =
            json!({"meta.helm.sh/release-name": BASE, "meta.helm.sh/release-namespace": BASE});
    }
    let (api, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let metadata = json!({"name": "newer-kinds"});
    let rules = json!([{"apiGroups": ["databricks-operator.io"], "resources": ["*"], "verbs": ["*"]}]);
    let subject = json!({"kind": "ServiceAccount", "name": full_name(BASE), "namespace": BASE});
    all.push(json!({"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": rules}));
    all.push(
        json!({"apiVersion": api, "kind": "ClusterRoleBinding", "metadata": metadata, "subjects": [subject],
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "newer-kinds"}}),
    );
    site.apply(&all).await.unwrap();
}

/// An object is made and deleted in the account, by whoever leads now.
async fn works(stage: &Stage<'_>) {
    let mut list = demo("ip-access-list");
    list[0]["metadata"]["name"] = json!("sign-of-life");
    list[0]["spec"]["label"] = json!("sign-of-life");
    stage.apply(&list).await;
    stage.ready(&list).await;
    stage.kubectl(&["delete", "ipaccesslist", "sign-of-life", "--timeout=60s"]).await.unwrap();
}

/// Without what the CRDs of a version show of the account: the API server drops what older CRDs do not have, and the operator writes
/// once what newer ones have.
fn but_for_observed(mut objects: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for object in objects.values_mut() {
        object["status"].as_object_mut().into_iter().for_each(|status| drop(status.remove("observed")));
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|name, _| !["resourceVersion", "managedFields"].contains(&name.as_str()));
    }
    objects
}

/// Fails if anything but the sign of life was done since the last time, to an object or in the account.
async fn nothing_else_happened(stage: &Stage<'_>, before: &BTreeMap<String, Value>, what: &str) {
    same(before, &objects(stage.site).await, what);
    nothing_else_was_sent(stage, what);
}

/// The same for a pod that is the first one with its CRDs.
async fn nothing_but_observed_changed(stage: &Stage<'_>, before: &BTreeMap<String, Value>, what: &str) {
    let now = objects(stage.site).await;
    same(&but_for_observed(before.clone()), &but_for_observed(now), what);
    nothing_else_was_sent(stage, what);
}

fn same(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>, what: &str) {
    for (name, object) in before {
        assert_eq!(now.get(name), Some(object), "{what}: {name}");
    }
    assert_eq!(now.len(), before.len(), "{what}");
}

fn nothing_else_was_sent(stage: &Stage<'_>, what: &str) {
    let writes = stage.account.writes();
    let methods: Vec<&str> = writes.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["POST", "DELETE"], "{what}: {writes:#?}");
    stage.account.clear_journal();
}

/// The pod is replaced by one of the Deployment as it is now, as an upgrade does: the new one waits for the lease.
async fn rolled(site: &Site, old: Operator, name: &str) -> Operator {
    let new = site.pod(BASE, name).await;
    assert!(old.terminate().await.unwrap().success());
    new
}

/// Covers H-38. What is installed onto CRDs that are being deleted would go with them a moment later. It is refused and changes
/// nothing, and works once they are gone.
#[tokio::test]
async fn nothing_is_installed_onto_crds_that_are_being_deleted() {
    let site = &Site::start("leaving", Release::Newest);
    site.install(BASE, &json!({})).await;
    let mut list = demo("ip-access-list");
    list[0]["metadata"]["namespace"] = json!("default");
    list[0]["metadata"]["finalizers"] = json!(["example.com/held"]);
    site.apply(&list).await.unwrap();
    site.plain_helm(&["uninstall", BASE], BASE).await.unwrap();
    let crd = "ipaccesslists.databricks-operator.io";
    site.kubectl(&["delete", "crd", crd, "--wait=false"], "").await.unwrap();

    let install = ["install", BASE, chart().to_str().unwrap()].map(str::to_owned);
    let install = install.each_ref().map(String::as_str);
    let refused = site.helm(&install, BASE, &json!({})).await.unwrap_err().to_string();
    for part in
        ["CRDs that are being deleted", &format!("kubectl wait --for=delete --timeout=5m crd {crd}\n")]
    {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(site.list(&["deployments", "--all-namespaces"]).await, [] as [Value; 0]);

    let free = r#"{"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", crd, "headquarters", "--type=merge", "--patch", free], "").await.unwrap();
    site.kubectl(&["wait", "--for=delete", "--timeout=60s", "crd", crd], "").await.unwrap();
    site.install(BASE, &json!({})).await;
    site.apply(&list).await.unwrap();
}

/// Covers UX-04, UX-05. Covers H-02, H-35. While the operator runs, `helm upgrade` changes the CRDs, and `helm
/// rollback` changes them back; `helm uninstall` keeps them and all objects, and a new installation takes up where the
/// last one was. No object is written, and nothing is called in the account: not even read, as long as the pod stays.
#[tokio::test]
async fn objects_outlive_upgrade_rollback_and_a_new_installation() {
    let site = &Site::start("lifecycle", Release::Newest);
    let (before, now) = (root().join(BEFORE), chart());
    let (before, now) = (before.to_str().unwrap(), now.to_str().unwrap());
    // What the chart before had as its default: docs/upgrade.md has one write it.
    let values = json!({"installation": "default", "operator": {"resyncInterval": "Never"}});
    site.helm(&["install", BASE, before, "--create-namespace"], BASE, &values).await.unwrap();
    let known = crds(site).await;
    newer(site, &known).await;
    site.established().await;
    let operator = site.pod(BASE, "first").await;
    let stage = Stage::start(site, "kept", json!({})).await;
    let mut all = ["ip-access-list", "permission-assignments", "workspace"].map(demo).concat();
    all.extend(sample("credential"));
    all.iter_mut().for_each(|manifest| manifest["spec"]["authRef"]["name"] = json!(AUTH));
    stage.apply(&all).await;
    stage.ready(&all).await;
    let kept = objects(site).await;
    assert_eq!(kept.len(), all.len() + 1);
    let first = crds(site).await;
    stage.account.clear_journal();

    site.helm(&["upgrade", BASE, now], BASE, &values).await.unwrap();
    let upgraded = crds(site).await;
    let changed = |from: &BTreeMap<String, i64>, to: &BTreeMap<String, i64>| {
        known.keys().all(|name| to[name] > from[name])
    };
    assert!(changed(&first, &upgraded), "{first:?} {upgraded:?}");
    works(&stage).await;
    for path in ["*/workspaces*", "*/credentials*", "*/permissionassignments*"] {
        assert_eq!(stage.account.calls("GET", path), 0, "{path}");
    }
    nothing_else_happened(&stage, &kept, "upgrade, old pod").await;
    let operator = rolled(site, operator, "upgraded").await;
    works(&stage).await;
    nothing_but_observed_changed(&stage, &kept, "upgrade, new pod").await;

    site.plain_helm(&["rollback", BASE, "1"], BASE).await.unwrap();
    let back = crds(site).await;
    assert!(changed(&upgraded, &back), "{upgraded:?} {back:?}");
    let operator = rolled(site, operator, "back").await;
    works(&stage).await;
    nothing_but_observed_changed(&stage, &kept, "rollback").await;

    // What is removed is the chart of now.
    site.helm(&["upgrade", BASE, now], BASE, &values).await.unwrap();
    let last = crds(site).await;
    assert!(operator.terminate().await.unwrap().success());
    site.plain_helm(&["uninstall", BASE], BASE).await.unwrap();
    assert_eq!(crds(site).await, last);
    let gone =
        "serviceaccounts,deployments,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies";
    let ours = format!("app.kubernetes.io/instance={BASE}");
    assert_eq!(site.list(&[gone, "--all-namespaces", "--selector", &ours]).await, [] as [Value; 0]);
    assert_eq!(but_for_observed(objects(site).await), but_for_observed(kept.clone()));

    site.helm(&["install", BASE, now], BASE, &values).await.unwrap();
    let operator = site.pod(BASE, "again").await;
    works(&stage).await;
    nothing_but_observed_changed(&stage, &kept, "new installation").await;
    assert!(operator.terminate().await.unwrap().success());
}
