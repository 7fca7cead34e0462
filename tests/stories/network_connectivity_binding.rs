//! Network connectivity configurations of workspaces that no object of the cluster manages.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const KIND: &str = "NetworkConnectivityBinding";
const CONFIG: &str = "NetworkConnectivityConfig";
const FIELD: &str = "network_connectivity_config_id";

/// The configuration of the only workspace.
fn bound(story: &Story) -> Value {
    story.account.objects("workspaces")[0][FIELD].clone()
}

/// The changes of workspaces that the account carried out.
fn patches(story: &Story) -> usize {
    story.account.writes().into_iter().filter(|call| call.applied && call.class == "workspaces").count()
}

/// A configuration in the cluster; returns its id once it is Ready.
async fn config(story: &Story, name: &str) -> Value {
    story.apply(&story.managed(CONFIG, name, json!({"name": name, "region": "eu-west-1"}))).await;
    story.wait_ready(CONFIG, name).await["status"]["externalId"].clone()
}

/// Covers LC-20, RF-11. The workspace keeps its configuration when the object is deleted, as the API cannot take it away.
#[tokio::test]
async fn a_workspace_of_others_gets_a_configuration_and_keeps_it() {
    let story = Story::start("binding-life").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let spec = json!({"workspaceId": workspace, "networkConnectivityConfigRef": {"name": "first"}});
    let delete = json!({"deletionPolicy": "Delete"});
    let mut impossible = story.managed(KIND, "analytics", spec.clone());
    impossible["spec"].as_object_mut().unwrap().extend(delete.as_object().unwrap().clone());
    let refused = story.try_apply(&impossible).await.unwrap_err().to_string();
    assert!(refused.contains("spec.deletionPolicy cannot be Delete"), "{refused}");

    story.apply(&story.managed(KIND, "analytics", spec)).await;
    story.wait_condition(KIND, "analytics", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let first = config(&story, "first").await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!((&bound(&story), &ready["status"]["externalId"]), (&first, &json!(workspace.to_string())));

    // A user replaces it in the console.
    let second = config(&story, "second").await;
    let id = workspace.to_string();
    story.account.edit("workspaces", &id, json!({FIELD: second})).unwrap();
    let corrected = story.wait_event(KIND, "analytics", "DriftCorrected").await;
    assert!(corrected.contains("networkConnectivityConfigId"), "{corrected}");
    assert_eq!(bound(&story), first);

    // Another one in the spec replaces it by one change.
    let other = json!({"networkConnectivityConfigRef": null, "networkConnectivityConfigId": second});
    story.patch(KIND, "analytics", json!({"spec": other})).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!((bound(&story), patches(&story)), (second.clone(), 3));

    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!((bound(&story), patches(&story)), (second, 3));
    story.end().await;
}

/// Covers LC-20, LC-03. Databricks would replace the configuration without a word.
#[tokio::test]
async fn a_workspace_that_has_a_configuration_keeps_it_until_a_policy_says_otherwise() {
    let story = Story::start("binding-theirs").await;
    let (first, second) = (config(&story, "first").await, config(&story, "second").await);
    let workspace =
        story.account.insert("workspaces", json!({FIELD: first})).unwrap()["workspace_id"].clone();
    let spec = json!({"workspaceId": workspace, "networkConnectivityConfigRef": {"name": "second"}});
    story.apply(&story.managed(KIND, "analytics", spec)).await;
    story.wait_condition(KIND, "analytics", "Stalled", "True", "AlreadyExists").await;
    assert_eq!((bound(&story), patches(&story)), (first, 0));
    story.patch(KIND, "analytics", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!((bound(&story), patches(&story)), (second, 1));
    story.end().await;
}

/// Covers LC-02. A Workspace and a binding are the same field of one workspace: the second is refused until the first gives it up.
#[tokio::test]
async fn a_configuration_is_that_of_the_workspace_or_of_a_binding_and_the_second_waits() {
    let story = Story::start("binding-conflict").await;
    story.account.set(|settings| (settings.start_ms, settings.provisioning_ms) = (0, 100));
    let credentials = "7f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f";
    let there = json!({"credentials_id": credentials, "credentials_name": "analytics"});
    story.account.insert("credentials", there).unwrap();
    let (first, second) = (config(&story, "first").await, config(&story, "second").await);
    let spec = json!({
        "workspaceName": "analytics", "awsRegion": "eu-west-1", "credentialsId": credentials,
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b",
        "networkConnectivityConfigRef": {"name": "first"},
    });
    story.apply(&story.managed("Workspace", "analytics", spec)).await;
    story.wait_ready("Workspace", "analytics").await;
    assert_eq!(bound(&story), first);
    story.account.clear_journal();
    let refused = async |kind: &str, by: &str| {
        let refused = story.wait_condition(kind, "analytics", "Stalled", "True", "ManagementConflict").await;
        let says = condition(&refused, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
        let expected =
            format!("{by} binding-conflict/analytics manages the network connectivity configuration");
        assert!(says.starts_with(&expected), "{says}");
        assert!(says.contains("spec.networkConnectivityConfigRef"), "{says}");
    };

    let spec =
        json!({"workspaceRef": {"name": "analytics"}, "networkConnectivityConfigRef": {"name": "second"}});
    story.apply(&story.managed(KIND, "analytics", spec)).await;
    refused(KIND, "Workspace").await;
    story.patch(KIND, "analytics", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    refused(KIND, "Workspace").await;
    assert_eq!((bound(&story), patches(&story)), (first.clone(), 0));
    story.patch("Workspace", "analytics", json!({"spec": {"networkConnectivityConfigRef": null}})).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!((bound(&story), patches(&story)), (second.clone(), 1));

    let again = json!({"networkConnectivityConfigRef": {"name": "first"}, "customTags": {"team": "data"}});
    story.patch("Workspace", "analytics", json!({"spec": again})).await;
    refused("Workspace", KIND).await;
    assert_eq!((bound(&story), patches(&story)), (second, 1));
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    story.wait_ready("Workspace", "analytics").await;
    assert_eq!(bound(&story), first);
    story.end().await;
}
