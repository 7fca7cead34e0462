//! The operator under the ServiceAccount of the chart: what it may do is what it needs.

use databricks_operator::engine::kind::Driver;
use databricks_operator::kinds::KINDS;
use serde_json::{Value, json};
use world::{Operator, eventually};

use crate::audit::{granted, nothing_was_forbidden, requests, unused};
use crate::site::{BASE, Site, full_name, newest, oldest};
use crate::stage::{AUTH, SOON, Stage, demo, one_of_each};

/// Who holds the Lease of a release.
async fn holder(site: &Site, release: &str) -> String {
    let lease = site.get(release, &format!("lease/{}", full_name(release))).await;
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// Ends the one of two replicas that leads, waits until the other does, and returns that one.
async fn hand_over(site: &Site, release: &str, replicas: [(&str, Operator); 2]) -> Operator {
    let before = holder(site, release).await;
    let (mut leads, mut waits): (Vec<_>, Vec<_>) =
        replicas.into_iter().partition(|(name, _)| before.starts_with(&format!("{name}_")));
    let ((_, leader), (next, standby)) = (leads.pop().unwrap(), waits.pop().unwrap());
    assert!(leader.terminate().await.unwrap().success());
    let taken = eventually(format!("{next} leads"), SOON, async || {
        let now = holder(site, release).await;
        if now.starts_with(&format!("{next}_")) { Ok(()) } else { Err(now) }
    });
    taken.await.unwrap();
    standby
}

/// The demo, an object of each kind that it does not have, and an object of another namespace that is let in by its labels.
async fn everything(stage: &Stage<'_>) -> Vec<Value> {
    let guest = format!("{}-guest", stage.namespace);
    stage.site.namespace(&guest, &json!({"team": "guest"})).await;
    let named = KINDS.iter().filter(|driver| driver.traits().granted_by_name);
    let named: Vec<String> = named.map(|driver| driver.kind().into_owned()).collect();
    let by_label = json!([
        {"namespaces": {"from": "Same"}},
        {"namespaces": {"from": "Same"}, "kinds": named},
        {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "guest"}}}},
    ]);
    let patch = json!({"spec": {"grants": by_label}}).to_string();
    stage.kubectl(&["patch", "databricksauth", AUTH, "--type=merge", "--patch", &patch]).await.unwrap();
    let mut all = ["ip-access-list", "permission-assignments", "workspace"].map(demo).concat();
    let shown = all.iter().map(|manifest| manifest["kind"].clone()).collect::<Vec<_>>();
    all.extend(one_of_each().into_iter().filter(|manifest| !shown.contains(&manifest["kind"])));
    let mut branch = demo("ip-access-list").remove(0);
    branch["metadata"] = json!({"name": "branch", "namespace": guest});
    branch["spec"]["label"] = json!("branch");
    branch["spec"]["authRef"] = json!({"name": AUTH, "namespace": stage.namespace});
    all.push(branch);
    for manifest in &mut all {
        manifest["spec"]["authRef"]["name"] = json!(AUTH);
        // Everything goes at the end, as far as the API can take it away: the workspaces of a user would stay.
        let removable =
            |driver: &&&dyn Driver| manifest["kind"] == *driver.kind() && driver.traits().removable;
        if KINDS.iter().any(|driver| removable(&driver)) {
            manifest["spec"]["deletionPolicy"] = json!("Delete");
        }
    }
    stage.apply(&all).await;
    all
}

/// Covers SE-01. Covers H-10, H-20. Under the chart's ServiceAccount the operator is refused nothing, and needs every
/// verb that it has on every resource: made, corrected, granted by label, led by one of two replicas and by the other,
/// deleted.
#[tokio::test]
async fn every_right_is_needed_and_no_other_is_asked_for() {
    let site = newest().await;
    let stage = Stage::start(site, "rights", json!({"for": BASE})).await;
    let replicas = [("pod-0", site.pod(BASE, "pod-0").await), ("pod-1", site.pod(BASE, "pod-1").await)];
    let all = everything(&stage).await;
    stage.ready(&all).await;
    // Told twice, it is a series, which is an event that is changed.
    stage.drift("headquarters", 1).await;
    stage.drift("headquarters", 2).await;
    let last = hand_over(site, BASE, replicas).await;
    stage.drift("headquarters", 3).await;

    let list = json!({"apiVersion": "v1", "kind": "List", "items": stage.here(&all)}).to_string();
    site.kubectl(&["delete", "--timeout=60s", "-f", "-"], &list).await.unwrap();
    stage.kubectl(&["delete", "databricksauth", AUTH, "--timeout=60s"]).await.unwrap();
    for collection in ["workspaces", "ip-access-lists", "permissionassignments"] {
        assert_eq!(stage.account.objects(collection), [] as [Value; 0], "{collection}");
    }
    assert!(last.terminate().await.unwrap().success());
    assert_eq!(holder(site, BASE).await, "");

    let granted = granted(site, BASE, BASE).await;
    let needed = eventually("every right was used", SOON, async || {
        let mut unused = unused(&granted, &requests(site, BASE, BASE));
        unused.retain(|right| !(right.verb == "get" && stays(&right.resource)));
        if unused.is_empty() { Ok(()) } else { Err(format!("unused: {unused:#?}")) }
    });
    nothing_was_forbidden(&requests(site, BASE, BASE));
    needed.await.unwrap();
}

/// Whether objects of a resource are never deleted in the account. The operator reads a single one only before it deletes, and to
/// record what it bound over a change that it did not see.
fn stays(resource: &str) -> bool {
    let of = |driver: &&&dyn Driver| driver.api_resource().plural == resource;
    KINDS.iter().find(of).is_some_and(|driver| !driver.traits().removable)
}

/// Covers SE-02. Covers H-19. Where namespaces are chosen there is nothing of the release outside them and its own, on
/// the oldest Kubernetes; it works there, and tells why it cannot look at labels.
#[tokio::test]
async fn chosen_namespaces_take_no_right_in_the_cluster() {
    let site = oldest().await;
    let stage = Stage::start(site, "chosen-home", json!({})).await;
    site.namespace("chosen-team", &json!({"team": "data"})).await;
    site.namespace("not-chosen", &json!({})).await;
    let values = json!({
        "crds": {"enabled": false},
        "installation": "chosen", "scope": {"mode": "namespaces", "watchNamespaces": ["chosen-home", "chosen-team"]},
        "rbac": {"secretNamespaces": ["chosen-home"], "secretNames": ["databricks"]},
    });
    site.install("chosen", &values).await;
    let resources =
        site.kubectl(&["api-resources", "--namespaced=false", "--verbs=list", "-o", "name"], "").await;
    let resources = resources.unwrap().lines().collect::<Vec<_>>().join(",");
    let wide = site.list(&[&resources, "--selector", "app.kubernetes.io/instance=chosen"]).await;
    assert_eq!(wide, [] as [Value; 0]);
    let rights = granted(site, "chosen", &full_name("chosen")).await;
    assert!(rights.iter().all(|right| right.namespace.is_some()), "{rights:#?}");

    let operator = site.pod("chosen", "pod-0").await;
    let in_team = |name: &str, auth: Value| {
        let mut list = demo("ip-access-list").remove(0);
        list["metadata"] = json!({"name": name, "namespace": "chosen-team"});
        list["spec"]["label"] = json!(name);
        list["spec"]["authRef"] = auth;
        list
    };
    let named = json!([{"namespaces": {"from": "Names", "names": ["chosen-team"]}}, {"namespaces": {"from": "Same"}}]);
    let patch = json!({"spec": {"grants": named}}).to_string();
    stage.kubectl(&["patch", "databricksauth", AUTH, "--type=merge", "--patch", &patch]).await.unwrap();
    let home = demo("ip-access-list");
    let team = [in_team("branch", json!({"name": AUTH, "namespace": "chosen-home"}))];
    let mut elsewhere = in_team("elsewhere", json!({"name": AUTH, "namespace": "chosen-home"}));
    elsewhere["metadata"]["namespace"] = json!("not-chosen");
    stage.apply(&[&home[..], &team, &[elsewhere]].concat()).await;
    stage.ready(&home).await;
    stage.ready(&team).await;
    stage.drift("headquarters", 1).await;
    let elsewhere = site.get("not-chosen", "ipaccesslist/elsewhere").await;
    // What the CRD gives to an object that nobody has looked at.
    assert_eq!(elsewhere["status"], json!({"observedGeneration": -1}));

    let labels = json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "data"}}}}]);
    let mut by_label = site.get("chosen-home", "databricksauth/account").await;
    by_label = json!({
        "apiVersion": by_label["apiVersion"], "kind": by_label["kind"],
        "metadata": {"name": "by-label"}, "spec": by_label["spec"],
    });
    by_label["spec"]["grants"] = labels;
    let mut refused = demo("ip-access-list").remove(0);
    refused["metadata"]["name"] = json!("refused");
    refused["spec"]["authRef"]["name"] = json!("by-label");
    stage.apply(&[by_label, refused.clone()]).await;
    stage.reason("ReferenceNotPermitted", &[refused]).await;
    let refused = site.get("chosen-home", "ipaccesslist/refused").await["status"].to_string();
    assert!(refused.contains("chosen namespaces only: use from: Names"), "{refused}");
    assert!(operator.terminate().await.unwrap().success());
    nothing_was_forbidden(&requests(site, "chosen", &full_name("chosen")));
}
