//! What users may do by the roles that the chart adds to those of the cluster.

use std::collections::BTreeSet;

use databricks_operator::cli;
use serde_json::{Value, json};

use crate::site::{Site, full_name, newest};
use crate::stage::{AUTH, Stage, one_of_each};

const GROUP: &str = "databricks-operator.io";

/// Lets somebody have a role of the cluster in a namespace.
async fn bind(site: &Site, namespace: &str, role: &str, user: &str) {
    let args =
        ["create", "rolebinding", user, "--clusterrole", role, "--user", user, "--namespace", namespace];
    site.kubectl(&args, "").await.unwrap();
}

/// Resource and verb of what somebody may do with our kinds, as the API server says it.
async fn may(site: &Site, namespace: &str, user: &str) -> BTreeSet<(String, String)> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace},
    });
    let args = ["create", "--as", user, "--validate=false", "-o", "json", "-f", "-"];
    let review: Value =
        serde_json::from_str(&site.kubectl(&args, &review.to_string()).await.unwrap()).unwrap();
    assert_eq!(review["status"]["incomplete"], false, "{review}");
    let has = |list: &Value, wanted: &str| list.as_array().unwrap().iter().any(|group| group == wanted);
    let mut all = BTreeSet::new();
    for rule in review["status"]["resourceRules"].as_array().unwrap() {
        if !has(&rule["apiGroups"], GROUP) && !has(&rule["apiGroups"], "*") {
            continue;
        }
        for resource in rule["resources"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                all.insert((resource.as_str().unwrap().to_owned(), verb.as_str().unwrap().to_owned()));
            }
        }
    }
    all
}

/// All verbs on all resources.
fn each(resources: &[String], verbs: &[&str]) -> BTreeSet<(String, String)> {
    let pair = |resource: &String| {
        verbs.iter().map(|verb| (resource.clone(), (*verb).to_owned())).collect::<Vec<_>>()
    };
    resources.iter().flat_map(pair).collect()
}

/// Covers H-18: whoever has `view`, `edit` or `admin` in a namespace has our kinds with it, but no status, and only
/// `admin` has DatabricksAuth.
#[tokio::test]
async fn the_roles_of_the_cluster_have_our_kinds() {
    let site = newest().await;
    site.namespace("people", &json!({})).await;
    let all: Vec<String> = cli::crds().into_iter().map(|crd| crd.spec.names.plural).collect();
    let kinds: Vec<String> = all.iter().filter(|plural| *plural != "databricksauths").cloned().collect();
    let read = ["get", "list", "watch"];
    let write = [&read[..], &["create", "update", "patch", "delete", "deletecollection"]].concat();
    for (role, expected) in
        [("view", each(&kinds, &read)), ("edit", each(&kinds, &write)), ("admin", each(&all, &write))]
    {
        bind(site, "people", role, role).await;
        // The roles are put together by a controller.
        let so = world::eventually(format!("what {role} may do"), crate::stage::SOON, async || {
            let now = may(site, "people", role).await;
            if now == expected { Ok(()) } else { Err(format!("{now:?}")) }
        });
        so.await.unwrap();
    }
}

/// Covers RF-05. Who may edit all kinds but DatabricksAuth gets nothing from an account that did not let him in, by way
/// of none of them; and cannot let himself in.
#[tokio::test]
async fn without_rights_to_an_auth_no_kind_is_a_way_to_it() {
    let site = newest().await;
    let stage = Stage::start(site, "vault", json!({})).await;
    site.namespace("outside", &json!({})).await;
    bind(site, "outside", "edit", "eve").await;
    let values = json!({
        "crds": {"enabled": false}, "operator": {"resyncInterval": "Never"},
        "installation": "vault", "scope": {"mode": "namespaces", "watchNamespaces": ["vault", "outside"]},
    });
    site.install("vault-operator", &values).await;
    let operator = site.pod("vault-operator", "pod-0").await;
    let auth = site.get("vault", "databricksauth/account").await;
    let auth = json!({
        "apiVersion": auth["apiVersion"], "kind": auth["kind"], "metadata": {"name": AUTH}, "spec": auth["spec"],
    });
    stage.ready(std::slice::from_ref(&auth)).await;
    stage.account.clear_journal();

    let eve = async |args: &[&str], stdin: &Value| {
        let args = [args, &["--as", "eve", "--namespace", "outside"]].concat();
        site.kubectl(&args, &stdin.to_string()).await
    };
    let refused = async |args: &[&str], stdin: &Value| {
        let error = eve(args, stdin).await.expect_err(&format!("{args:?}")).to_string();
        assert!(error.contains("Forbidden") || error.contains("forbidden"), "{args:?}: {error}");
    };
    let mut own = auth.clone();
    own["metadata"]["namespace"] = json!("outside");
    refused(&["create", "-f", "-"], &own).await;
    let mut tries = one_of_each();
    for manifest in &mut tries {
        manifest["metadata"]["namespace"] = json!("outside");
        manifest["spec"]["authRef"]["namespace"] = json!("vault");
        if manifest["kind"] == "PermissionAssignment" {
            // A Workspace of the namespace would be waited for first.
            let spec = manifest["spec"].as_object_mut().unwrap();
            spec.remove("workspaceRef");
            spec.insert("workspaceId".into(), json!(7));
        }
        eve(&["create", "-f", "-"], manifest).await.unwrap();
        let status = json!({"status": {"externalId": "7"}}).to_string();
        let object = format!(
            "{}/{}",
            manifest["kind"].as_str().unwrap(),
            manifest["metadata"]["name"].as_str().unwrap()
        );
        refused(
            &["patch", &object, "--subresource=status", "--type=merge", "--patch", &status],
            &Value::Null,
        )
        .await;
    }
    stage.reason("ReferenceNotPermitted", &tries).await;
    assert!(operator.terminate().await.unwrap().success());
    let calls: Vec<String> = stage.account.journal().into_iter().map(|call| call.path).collect();
    assert_eq!(calls, [""; 0]);
    crate::audit::nothing_was_forbidden(&crate::audit::requests(
        site,
        "vault-operator",
        &full_name("vault-operator"),
    ));
}
