//! IP access lists of a workspace: at its host, whatever becomes of it.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "WorkspaceIpAccessList";
const STORE: &str = "workspace-ip-access-lists";

/// A story with a workspace that runs.
async fn start(name: &str) -> (Story, Value) {
    let story = Story::start(name).await;
    let workspace = story.account.insert("workspaces", json!({"deployment_name": "acme"})).unwrap();
    let id = workspace["workspace_id"].clone();
    (story, id)
}

fn office(workspace: &Value) -> Value {
    json!({"workspaceId": workspace, "label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]})
}

fn ready_message(object: &Value) -> Option<&str> {
    condition(object, "Ready")?["message"].as_str()
}

/// Covers LC-28, LC-26, DL-14. The workspace heeds the list once `enforce` says so. It falls asleep, cannot be reached, comes back,
/// and is deleted while the list is.
#[tokio::test]
async fn a_list_is_kept_with_the_workspace_asleep_unreachable_and_gone() {
    let (story, workspace) = start("workspace-list").await;
    story.apply(&story.managed(KIND, "office", office(&workspace))).await;
    let ready = story.wait_ready(KIND, "office").await;
    let lists = || story.account.objects(STORE);
    let own = lists()[0]["list_id"].as_str().unwrap().to_owned();
    assert_eq!(ready["status"]["externalId"], format!("{workspace}/{own}"));
    assert_eq!(ready["status"]["enforced"], false);
    assert!(ready_message(&ready).unwrap().contains("set spec.enforce to true"), "{ready}");

    story.patch(KIND, "office", json!({"spec": {"enforce": true}})).await;
    let enforced = story.wait(KIND, "office", "enforced", |object| {
        (object["status"]["enforced"] == true && ready_message(object)?.is_empty()).then(|| object.clone())
    });
    enforced.await;

    let key = format!("{workspace}/{own}");
    story.account.edit(STORE, &key, json!({"ip_addresses": ["192.0.2.1"]})).unwrap();
    story.pass(KIND, "office").await;
    story.wait_event(KIND, "office", "DriftCorrected").await;
    assert_eq!(lists()[0]["ip_addresses"], json!(["203.0.113.0/24"]));

    let set = |changes: Value| story.account.edit("workspaces", &workspace.to_string(), changes).unwrap();
    set(json!({"workspace_status": "BANNED"}));
    story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await;
    let waiting = story.wait_condition(KIND, "office", "Ready", "False", "WaitingForWorkspace").await;
    assert!(ready_message(&waiting).unwrap().contains("BANNED"), "{waiting}");
    assert_eq!(condition(&waiting, "Stalled"), None);
    set(json!({"workspace_status": "RUNNING", "workspace_url": "http://127.0.0.1:1"}));
    story
        .wait(KIND, "office", "unreachable", |object| {
            ready_message(object)?.contains("cannot be reached").then_some(())
        })
        .await;
    set(json!({"workspace_url": null}));
    story.wait_ready(KIND, "office").await;
    assert_eq!(lists()[0]["label"], "branch");

    set(json!({"workspace_status": "CANCELLING"}));
    story.delete(KIND, "office").await;
    let blocked = story
        .wait(KIND, "office", "blocked", |object| {
            let blocked = condition(object, "DeletionBlocked")?;
            (blocked["reason"] == "WaitingForWorkspace").then(|| blocked["message"].to_string())
        })
        .await;
    assert!(blocked.contains("CANCELLING") && blocked.contains("spec.deletionPolicy to Retain"), "{blocked}");
    story.account.remove("workspaces", &workspace.to_string());
    story.wait_gone(KIND, "office").await;
    story.wait_event(KIND, "office", "Deleted").await;
    assert!(story.account.calls("DELETE", "*") == 0, "there was nothing left to delete");
    story.end().await;
}

/// Covers DL-14. Each would wait for the other: the list for a workspace that can be called, the workspace for the end of the list.
#[tokio::test]
async fn a_list_and_its_workspace_are_deleted_together_though_the_workspace_does_not_run() {
    let (story, workspace) = start("workspace-list-both").await;
    let id = workspace.to_string();
    story.account.edit("workspaces", &id, json!({"workspace_name": "acme"})).unwrap();
    let spec = json!({"workspaceName": "acme", "awsRegion": "eu-west-1", "adoptionPolicy": "Required",
        "deletionPolicy": "Delete"});
    story.apply(&story.managed("Workspace", "acme", spec)).await;
    let mut office = office(&workspace);
    office.as_object_mut().unwrap().remove("workspaceId");
    office["workspaceRef"] = json!({"name": "acme"});
    story.apply(&story.managed(KIND, "office", office)).await;
    story.wait_ready(KIND, "office").await;

    story.account.edit("workspaces", &id, json!({"workspace_status": "BANNED"})).unwrap();
    story.delete(KIND, "office").await;
    story.wait_condition(KIND, "office", "DeletionBlocked", "True", "WaitingForWorkspace").await;
    story.delete("Workspace", "acme").await;
    story.wait_gone(KIND, "office").await;
    let deleted = story.wait_event(KIND, "office", "Deleted").await;
    assert!(deleted.contains("left to the deletion of its workspace"), "{deleted}");
    story.wait_gone("Workspace", "acme").await;
    assert_eq!(story.account.objects("workspaces"), [] as [Value; 0]);
    story.end().await;
}

/// Covers RF-04, RF-05. A grant for another workspace is none, and no call goes to the host of this one. A workspace that does not exist is
/// named.
#[tokio::test]
async fn a_workspace_is_called_only_with_a_grant_for_it() {
    let (story, workspace) = start("workspace-list-grant").await;
    let limit =
        |id: &Value| json!({"spec": {"grants": [{"namespaces": {"from": "Same"}, "workspaceIds": [id]}]}});
    story.patch("DatabricksAuth", AUTH, limit(&json!(77))).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    story.apply(&story.managed(KIND, "office", office(&workspace))).await;
    story.wait_condition(KIND, "office", "Ready", "False", "ReferenceNotPermitted").await;
    assert_eq!(story.account.calls("*", "/oidc/v1/token") + story.account.calls("*", "/api/2.0/ip-*"), 0);

    story.apply(&story.managed(KIND, "nowhere", office(&json!(77)))).await;
    let nowhere = story.wait_condition(KIND, "nowhere", "Ready", "False", "ReferenceNotFound").await;
    assert!(ready_message(&nowhere).unwrap().contains("the account has no workspace 77"), "{nowhere}");
    assert_eq!(nowhere["metadata"].get("finalizers"), None, "there is nothing to clean up");

    let by_id =
        json!({"workspaceId": 77, "externalId": format!("{workspace}/00000000-0000-4000-8000-000000000000")});
    story.apply(&story.managed(KIND, "forged", by_id)).await;
    story.wait_condition(KIND, "forged", "Ready", "False", "ReferenceNotPermitted").await;
    assert_eq!(story.account.calls("*", "/oidc/v1/token"), 0, "an id is no grant either");

    story.patch("DatabricksAuth", AUTH, limit(&workspace)).await;
    story.wait_ready(KIND, "office").await;
    for name in ["office", "nowhere", "forged"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    story.end().await;
}
