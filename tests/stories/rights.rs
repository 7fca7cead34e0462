//! What the cluster does not let the operator do: said in plain words, for a person, and over as soon as it is let.

use databricks_operator::rbac::rules;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::support::{AUTH, Story, cluster, condition, kubeconfig};

const LIST: &str = "IpAccessList";
/// What Rust prints for people who write Rust.
const DEBUG: [&str; 5] = ["Status {", "Some(", "ErrorResponse", "metadata:", "ApiError"];

fn list(story: &Story, name: &str) -> Value {
    let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// A Role of the story's namespace, bound to the ServiceAccount `narrow`.
pub async fn grant(story: &Story, name: &str, rules: &[PolicyRule]) {
    let namespace = &story.namespace;
    let metadata = json!({"name": name, "namespace": namespace});
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules});
    let binding = json!({
        "apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "narrow", "namespace": namespace}],
    });
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}).to_string();
    cluster().kubectl(&["apply", "-f", "-"], &both).await.unwrap();
}

/// The reasons of the Warnings about an object.
async fn warnings(story: &Story, kind: &str, name: &str) -> Vec<String> {
    let which =
        format!("--field-selector=type=Warning,involvedObject.kind={kind},involvedObject.name={name}");
    let text = story.kubectl(&["get", "events", &which, "-o", "json"]).await.unwrap();
    let events: Value = serde_json::from_str(&text).unwrap();
    let notes: Vec<&str> =
        events["items"].as_array().unwrap().iter().filter_map(|e| e["message"].as_str()).collect();
    assert!(!DEBUG.iter().any(|debug| notes.iter().any(|note| note.contains(debug))), "{notes:?}");
    events["items"].as_array().unwrap().iter().map(|e| e["reason"].as_str().unwrap().to_owned()).collect()
}

/// Covers CR-03, ST-09. A Secret that the operator may not read is for a person: the message says so, and what to write in
/// the chart's values. Once it may, everything goes on by itself.
#[tokio::test]
async fn a_secret_that_may_not_be_read_names_the_chart_value() {
    let mut story = Story::without_operator("rights-secret").await;
    story.kubectl(&["create", "serviceaccount", "narrow"]).await.unwrap();
    grant(&story, "operator", &rules().operator).await;
    let narrow = cluster().control_plane.kubeconfig_for(&story.namespace, "narrow").unwrap();
    story.operator = Some(story.replica(&narrow, &[]).await);
    story.apply(&list(&story, "office")).await;
    let auth = story.wait_condition("DatabricksAuth", AUTH, "Stalled", "True", "SecretNotReadable").await;
    for type_ in ["Ready", "ReferencesResolved"] {
        let condition = condition(&auth, type_).unwrap();
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("SecretNotReadable"))
        );
    }
    let told = message(&auth, "Ready");
    for part in
        ["let the operator read Secret rights-secret/databricks", "rbac.secretNames", "rbac.secretNamespaces"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("write") && !DEBUG.iter().any(|debug| told.contains(debug)), "{told}");
    let office = story.wait_condition(LIST, "office", "Ready", "False", "CredentialsUnavailable").await;
    assert!(message(&office, "Ready").contains("rbac.secretNames"), "{office}");
    story.wait_event("DatabricksAuth", AUTH, "Stalled").await;
    assert_eq!(warnings(&story, "DatabricksAuth", AUTH).await, ["Stalled"]);
    assert_eq!(story.account.journal().len(), 0, "{:?}", story.account.journal());

    grant(&story, "secrets", &rules().secrets).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    story.wait_ready(LIST, "office").await;

    // Taken away again, it is no news at first: what is there works on.
    story.kubectl(&["delete", "rolebinding", "secrets"]).await.unwrap();
    let auth = story.wait_condition("DatabricksAuth", AUTH, "Synced", "False", "Retrying").await;
    assert_eq!(condition(&auth, "Ready").unwrap()["status"], "True");
    assert!(message(&auth, "Synced").contains("rbac.secretNames"), "{auth}");
    story.patch(LIST, "office", json!({"spec": {"label": "branch"}})).await;
    story.wait_ready(LIST, "office").await;
    let log = story.operator.as_ref().unwrap().text();
    assert!(!DEBUG.iter().any(|debug| log.contains(debug)), "{log}");
    story.end().await;
}

/// A policy that refuses this of the story's lists, with its words.
async fn policy(story: &Story, rule: &str, says: &str) {
    let name = &story.namespace;
    let admission = "admissionregistration.k8s.io/v1";
    let rules = json!([{"apiGroups": ["databricks-operator.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["ipaccesslists", "ipaccesslists/status"]}]);
    let policy = json!({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": rule, "message": says}],
        },
    });
    let only = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    let binding = json!({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": only}},
    });
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string();
    cluster().kubectl(&["apply", "-f", "-"], &both).await.unwrap();
}

/// Covers ST-09. A policy that refuses what the operator writes is named with its own words, and goes unnoticed once it
/// lets the write through.
#[tokio::test]
async fn a_policy_that_refuses_a_write_is_named() {
    let story = Story::start("rights-policy").await;
    policy(
        &story,
        "!has(object.metadata.finalizers) || object.metadata.name == 'canary'",
        "no finalizers here",
    )
    .await;
    // The API server takes a policy up after a moment.
    let probe = json!({"metadata": {"finalizers": ["example.com/probe"]}});
    let mut refused = list(&story, "probe");
    refused["spec"]["suspend"] = json!(true);
    story.apply(&refused).await;
    let in_force = world::eventually("the policy is in force", crate::support::SOON, async || {
        let patch = kube::api::Patch::Merge(&probe);
        let params = kube::api::PatchParams { dry_run: true, ..Default::default() };
        match story.api(LIST).patch("probe", &params, &patch).await {
            Ok(_) => Err("it is let through".to_owned()),
            Err(_) => Ok(()),
        }
    });
    in_force.await.unwrap();
    story.apply(&list(&story, "office")).await;
    let office = story.wait_condition(LIST, "office", "Stalled", "True", "OperatorNotPermitted").await;
    let told = message(&office, "Ready");
    for part in ["a policy of the cluster", "IpAccessList rights-policy/office", "no finalizers here"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!DEBUG.iter().any(|debug| told.contains(debug)), "{told}");
    assert_eq!(story.account.objects("ip-access-lists").len(), 0);
    story.wait_event(LIST, "office", "Stalled").await;
    assert_eq!(warnings(&story, LIST, "office").await, ["Stalled"]);

    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        cluster().kubectl(&["delete", kind, &story.namespace], "").await.unwrap();
    }
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers ST-09. Where the status cannot be written, an event says why.
#[tokio::test]
async fn a_status_that_may_not_be_written_is_reported_by_an_event() {
    let mut story = Story::without_operator("rights-status").await;
    story.kubectl(&["create", "serviceaccount", "narrow"]).await.unwrap();
    let all = [rules().operator, rules().secrets].concat();
    grant(&story, "operator", &all).await;
    let narrow = cluster().control_plane.kubeconfig_for(&story.namespace, "narrow").unwrap();
    story.operator = Some(story.replica(&narrow, &[]).await);
    story.wait_ready("DatabricksAuth", AUTH).await;
    let less: Vec<PolicyRule> = all
        .into_iter()
        .map(|mut rule| {
            rule.resources.iter_mut().for_each(|of| of.retain(|one| one != "ipaccesslists/status"));
            rule
        })
        .collect();
    grant(&story, "operator", &less).await;
    story.apply(&list(&story, "office")).await;
    let told = story.wait_event(LIST, "office", "Stalled").await;
    assert!(
        told.contains("OperatorNotPermitted: the cluster does not let the operator write the status of"),
        "{told}"
    );
    assert!(told.contains("databricks-operator rbac"), "{told}");
    // Without a record nothing is made.
    assert_eq!(story.account.calls("POST", "*/ip-access-lists"), 0);
    grant(&story, "operator", &[rules().operator, rules().secrets].concat()).await;
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers DL-03. A DatabricksAuth that goes, with its namespace perhaps, advises nobody to make a Secret in it.
#[tokio::test]
async fn a_secret_that_was_deleted_with_its_auth_is_not_required() {
    let mut story = Story::start("rights-going").await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    story.operator.take().unwrap().kill().unwrap();
    story.kubectl(&["delete", "secret", "databricks"]).await.unwrap();
    story.delete("DatabricksAuth", AUTH).await;
    story.delete(LIST, "office").await;
    story.operator = Some(story.replica(kubeconfig(), &[]).await);
    let office =
        story.wait_condition(LIST, "office", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    let told = message(&office, "DeletionBlocked");
    assert!(told.contains("Secret rights-going/databricks does not exist any more"), "{told}");
    let auth =
        story.wait_condition("DatabricksAuth", AUTH, "DeletionBlocked", "True", "DependencyStillInUse").await;
    for object in [&office, &auth] {
        let status = object["status"].to_string();
        assert!(!status.contains("create it"), "{status}");
    }
    story.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(LIST, "office").await;
    story.wait_gone("DatabricksAuth", AUTH).await;
    story.end().await;
}
