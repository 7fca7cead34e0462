//! The ids and facts of an object in a ConfigMap, for programs that cannot read a status: on request, as they are, and nowhere else.

use databricks_operator::rbac::rules;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use world::eventually;

use crate::provisioning::{provisioning_takes, workspace};
use crate::rights::grant;
use crate::support::{Story, WOKEN, cluster, condition};

const KIND: &str = "StorageConfiguration";
const STORE: &str = "storage-configurations";
const OUT: &str = "databricks-outputs";

fn maps(story: &Story) -> Api<ConfigMap> {
    Api::namespaced(story.client.clone(), &story.namespace)
}

/// What a ConfigMap has; null if there is none.
async fn data(story: &Story, name: &str) -> Value {
    maps(story).get_opt(name).await.unwrap().map_or(Value::Null, |map| json!(map.data))
}

/// Waits for a moment until a ConfigMap has what is looked for.
async fn wait_data(story: &Story, name: &str, what: &str, look: impl Fn(&Value) -> bool) {
    let found = eventually(format!("ConfigMap {name}: {what}"), WOKEN, async || {
        let data = data(story, name).await;
        if look(&data) { Ok(()) } else { Err(data.to_string()) }
    });
    found.await.unwrap();
}

fn root(story: &Story) -> Value {
    let outputs = json!({"configMapName": OUT});
    let spec = json!({"storageConfigurationName": "analytics-root", "bucketName": "root-bucket", "outputs": outputs});
    story.managed(KIND, "root", spec)
}

/// Covers LC-31. A Deployment can take the address of a new workspace from a ConfigMap. What a user deletes or another tool changes in
/// it is there again within moments, and it follows the spec to another name.
#[tokio::test]
async fn the_address_of_a_new_workspace_is_in_a_config_map() {
    let story = Story::start("outputs-workspace").await;
    provisioning_takes(&story, 100);
    let mut manifest = workspace(&story, "analytics");
    manifest["spec"]["outputs"] = json!({"configMapName": OUT});
    story.apply(&manifest).await;
    let status = story.wait_ready("Workspace", "analytics").await["status"].take();
    let address = json!({"workspace_url": "acme.cloud.databricks.com"});
    story.account.edit("workspaces", status["externalId"].as_str().unwrap(), address).unwrap();
    let has_url = |data: &Value| data["workspaceUrl"] == "https://acme.cloud.databricks.com";
    wait_data(&story, OUT, "it has the address", has_url).await;
    let shown = data(&story, OUT).await;
    assert_eq!(shown["externalId"], status["externalId"]);
    assert_eq!(shown["accountId"], story.account.account_id);
    let before = maps(&story).get(OUT).await.unwrap().metadata;
    let owner = &before.owner_references.as_ref().unwrap()[0];
    assert_eq!((&*owner.kind, &*owner.name, owner.controller), ("Workspace", "analytics", Some(true)));
    assert_eq!(owner.block_owner_deletion, None, "the workspace does not wait for it");

    story.pass("Workspace", "analytics").await;
    let after = maps(&story).get(OUT).await.unwrap().metadata;
    assert_eq!(after.resource_version, before.resource_version, "nothing changed");

    maps(&story).delete(OUT, &Default::default()).await.unwrap();
    wait_data(&story, OUT, "it is there again", has_url).await;
    let params = PatchParams { field_manager: Some("another-tool".into()), ..PatchParams::default() };
    let change = json!({"data": {"workspaceUrl": "https://elsewhere.example.com", "more": "x"}});
    maps(&story).patch(OUT, &params, &Patch::Merge(&change)).await.unwrap();
    wait_data(&story, OUT, "it is as before", |data| has_url(data) && data["more"].is_null()).await;

    let outputs = |outputs: Value| json!({"spec": {"outputs": outputs}});
    story.patch("Workspace", "analytics", outputs(json!({"configMapName": "other"}))).await;
    wait_data(&story, "other", "it has the address", has_url).await;
    wait_data(&story, OUT, "it is gone", Value::is_null).await;
    story.patch("Workspace", "analytics", outputs(Value::Null)).await;
    wait_data(&story, "other", "it is gone", Value::is_null).await;
    let settled = story.wait("Workspace", "analytics", "no record of it", |it| {
        it["status"]["outputs"].is_null().then_some(())
    });
    settled.await;
    story.end().await;
}

/// Covers LC-31, SE-09. A ConfigMap of another user is left as it is. The object is created anyway, and says what to write. Once that
/// ConfigMap is gone, the object has its place.
#[tokio::test]
async fn a_config_map_of_another_user_is_left_alone() {
    let story = Story::start("outputs-foreign").await;
    let metadata = json!({"name": OUT, "namespace": story.namespace});
    let foreign =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "theirs"}});
    story.apply(&foreign).await;
    story.apply(&root(&story)).await;
    let shown = story.wait_condition(KIND, "root", "Synced", "False", "ConfigMapNotOwned").await;
    let ready = condition(&shown, "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Available")));
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("write another name in spec.outputs.configMapName"), "{message}");
    assert_eq!(story.account.objects(STORE).len(), 1);
    assert_eq!(data(&story, OUT).await, json!({"key": "theirs"}));

    maps(&story).delete(OUT, &Default::default()).await.unwrap();
    wait_data(&story, OUT, "it is that of the object", |data| data["externalId"].is_string()).await;
    story.wait_condition(KIND, "root", "Synced", "True", "InSync").await;
    story.delete(KIND, "root").await;
    story.wait_gone(KIND, "root").await;
    story.end().await;
}

/// Covers LC-31, SE-09. By default the operator may not write ConfigMaps: the message names the value of the chart, and nothing else
/// waits for it. Once it may, the ConfigMap is written by itself.
#[tokio::test]
async fn without_the_right_to_write_config_maps_the_object_is_managed_and_says_so() {
    let mut story = Story::without_operator("outputs-rights").await;
    story.kubectl(&["create", "serviceaccount", "narrow"]).await.unwrap();
    grant(&story, "operator", &rules().operator).await;
    grant(&story, "secrets", &rules().secrets).await;
    let narrow = cluster().control_plane.kubeconfig_for(&story.namespace, "narrow").unwrap();
    story.operator = Some(story.replica(&narrow, &[("recheck-waiting", "500ms")]).await);
    story.apply(&root(&story)).await;
    let shown = story.wait_condition(KIND, "root", "Synced", "False", "ConfigMapNotWritable").await;
    let ready = condition(&shown, "Ready").unwrap();
    assert_eq!(ready["status"], "True");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("rbac.outputConfigMaps.enabled"), "{message}");
    assert_eq!(story.account.objects(STORE).len(), 1);
    grant(&story, "config", &rules().output_config_maps).await;
    story.wait_condition(KIND, "root", "Synced", "True", "InSync").await;
    wait_data(&story, OUT, "it is written", |data| data["externalId"].is_string()).await;
    story.end().await;
}
