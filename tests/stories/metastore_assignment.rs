//! Metastore assignments: a workspace gets one metastore, and no object takes it away from another one.

use serde_json::{Value, json};
use world::eventually;

use crate::support::{SOON, Story, condition};

const KIND: &str = "MetastoreAssignment";
const STORE: &str = "metastore-assignments";

fn metastore(story: &Story, name: &str) -> String {
    let info = json!({"name": name, "region": "eu-west-1"});
    story.account.insert("metastores", info).unwrap()["metastore_id"].as_str().unwrap().to_owned()
}

fn workspace(story: &Story, status: &str) -> i64 {
    let workspace = json!({"aws_region": "eu-west-1", "workspace_status": status});
    story.account.insert("workspaces", workspace).unwrap()["workspace_id"].as_i64().unwrap()
}

fn assignment(story: &Story, workspace: i64, metastore: &str) -> Value {
    story.managed(KIND, "analytics", json!({"workspaceId": workspace, "metastoreId": metastore}))
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// The metastore of the only workspace.
fn assigned(story: &Story) -> Option<Value> {
    story.account.objects(STORE).pop().map(|one| one["metastore_id"].clone())
}

fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().filter(|call| call.applied).map(|call| call.method).collect()
}

/// Covers LC-12. Databricks does not know the region of a new workspace for a while. An assignment that is removed in the account is
/// written again. With the object, the workspace loses it only if the policy says so.
#[tokio::test]
async fn a_new_workspace_gets_its_metastore_and_loses_it_only_by_policy() {
    let story = Story::start("metastore-assignment").await;
    let (main, workspace) = (metastore(&story, "main"), workspace(&story, "PROVISIONING"));
    story.apply(&assignment(&story, workspace, &main)).await;
    let waits = story.wait_condition(KIND, "analytics", "Ready", "False", "WaitingForWorkspace").await;
    assert!(message(&waits, "Ready").contains("Workspace region: Unknown"), "{waits}");
    assert_eq!(condition(&waits, "Stalled"), None, "{waits}");
    let id = workspace.to_string();
    story.account.edit("workspaces", &id, json!({"workspace_status": "RUNNING"})).unwrap();
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!(ready["status"]["externalId"], format!("{workspace}/{main}"));
    assert_eq!(ready["status"]["observed"], json!({"workspaceId": workspace, "metastoreId": main}));
    assert_eq!(assigned(&story), Some(json!(main)));

    assert!(story.account.remove(STORE, &id));
    let again = eventually("it is assigned again", SOON, async || {
        assigned(&story).map(drop).ok_or_else(|| "the workspace has no metastore".to_owned())
    });
    again.await.unwrap();
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!(assigned(&story), Some(json!(main)));

    let mut object = assignment(&story, workspace, &main);
    object["spec"]["adoptionPolicy"] = json!("IfExists");
    object["spec"]["deletionPolicy"] = json!("Delete");
    story.apply(&object).await;
    story.wait_ready(KIND, "analytics").await;
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!(assigned(&story), None);
    assert_eq!(writes(&story), ["POST", "POST", "DELETE"]);
    story.end().await;
}

/// Covers LC-03. A workspace that has another metastore keeps it, whether it had it before or a person moved it there: its users would
/// lose access to all data.
#[tokio::test]
async fn a_workspace_with_another_metastore_keeps_it() {
    let story = Story::start("metastore-assignment-other").await;
    let (main, other, workspace) =
        (metastore(&story, "main"), metastore(&story, "other"), workspace(&story, "RUNNING"));
    let id = workspace.to_string();
    story.account.insert(STORE, json!({"workspace_id": workspace, "metastore_id": other})).unwrap();
    let adopting = |metastore: &str| {
        let mut object = assignment(&story, workspace, metastore);
        object["spec"]["adoptionPolicy"] = json!("IfExists");
        object
    };
    story.apply(&adopting(&main)).await;
    let refused = story.wait_condition(KIND, "analytics", "Ready", "False", "AlreadyExists").await;
    let said = message(&refused, "Ready");
    assert!(said.contains(&other) && said.contains("remove the assignment to"), "{said}");
    assert_eq!((assigned(&story), writes(&story).len()), (Some(json!(other)), 0));

    // The person decides for the one that it has, which existed before and so stays.
    story.apply(&adopting(&other)).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");

    // Moved in the console: neither a correction nor a deletion touches that.
    story.account.edit(STORE, &id, json!({"metastore_id": main})).unwrap();
    story.wait_condition(KIND, "analytics", "Ready", "False", "AlreadyExists").await;
    story.patch(KIND, "analytics", json!({"spec": {"deletionPolicy": "Delete"}})).await;
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!((assigned(&story), writes(&story).len()), (Some(json!(main)), 0));
    story.end().await;
}
