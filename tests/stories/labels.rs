//! Grants by the labels of namespaces: a label opens the door and closes it, within a minute, without a resync.

use std::path::Path;

use serde_json::{Value, json};
use world::{Operator, fast};

use crate::support::{AUTH, BINARY, Story, cluster, condition, kubeconfig};

const LIST: &str = "IpAccessList";
const DENIED: &str = "ReferenceNotPermitted";

/// An operator for all namespaces, which sees only what has the label of the story. Nothing but a wake-up, or a minute at
/// most, makes it compare anything again.
async fn wide(owner: &mut Story) {
    let selector = format!("story={}", owner.namespace);
    let flags = fast(&[("selector", &selector), ("resync-interval", "Never")]);
    let dir = &cluster().dir;
    let operator = Operator::start_with(Path::new(BINARY), kubeconfig(), dir, &flags, &[]).await.unwrap();
    owner.operator = Some(operator);
}

/// The DatabricksAuth of the owner lets in namespaces of the team; an object of the tenant uses it.
async fn neighbours(name: &str) -> (Story, Story) {
    let owner = Story::without_operator(name).await;
    let tenant = Story::without_operator(&format!("{name}-tenant")).await;
    let label = |mut object: Value| {
        object["metadata"]["labels"] = json!({"story": name});
        object
    };
    let mut auth = owner.auth(AUTH);
    auth["spec"]["grants"] =
        json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "data"}}}}]);
    owner.apply(&label(auth)).await;
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"],
        "authRef": {"name": AUTH, "namespace": name}});
    tenant.apply(&label(tenant.object(LIST, "office", spec))).await;
    (owner, tenant)
}

/// Sets the label of the tenant's namespace, or takes it away.
async fn label(tenant: &Story, label: &str) {
    cluster().kubectl(&["label", "namespace", &tenant.namespace, label, "--overwrite"], "").await.unwrap();
}

async fn denied(tenant: &Story) {
    tenant.wait_condition(LIST, "office", "ReferencesResolved", "False", DENIED).await;
}

/// Covers RF-04. A label that a namespace gets lets it in, one that it loses shuts it out, within a minute and without a
/// resync.
#[tokio::test]
async fn a_label_of_a_namespace_gives_and_takes_access() {
    let (mut owner, tenant) = neighbours("labels").await;
    wide(&mut owner).await;
    denied(&tenant).await;
    label(&tenant, "team=data").await;
    tenant.wait_ready(LIST, "office").await;
    label(&tenant, "team=web").await;
    denied(&tenant).await;
    let writes = owner.account.writes();
    tenant.patch(LIST, "office", json!({"spec": {"ipAddresses": ["198.51.100.0/24"]}})).await;
    denied(&tenant).await;
    assert_eq!(owner.account.writes().len(), writes.len());
    label(&tenant, "team-").await;
    label(&tenant, "team=data").await;
    tenant.wait_ready(LIST, "office").await;
    tenant.end().await;
    owner.end().await;
}

/// Covers RF-04. The DatabricksAuth reports a grant that cannot allow any object, and its other grants work.
#[tokio::test]
async fn a_grant_by_labels_that_cannot_be_read_is_reported() {
    let story = Story::start("labels-blind").await;
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "data"}}});
    let grants = json!([{"namespaces": selector}, {"namespaces": {"from": "Same"}}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    let auth = story.wait_condition("DatabricksAuth", AUTH, "Synced", "False", "OperatorNotPermitted").await;
    let says = condition(&auth, "Synced").unwrap()["message"].as_str().unwrap();
    assert!(says.contains("chosen namespaces only: use from: Names"), "{says}");
    story.wait_ready("DatabricksAuth", AUTH).await;
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.apply(&story.managed(LIST, "office", spec)).await;
    story.wait_ready(LIST, "office").await;
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": null}})).await;
    story.wait_condition("DatabricksAuth", AUTH, "Synced", "True", "InSync").await;
    story.end().await;
}
