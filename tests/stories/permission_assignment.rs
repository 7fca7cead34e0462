//! Permission assignments.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const KIND: &str = "PermissionAssignment";

fn workspace(story: &Story) -> i64 {
    story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_group_gets_into_a_new_workspace_is_promoted_and_goes() {
    let story = Story::start("assignment-life").await;
    let workspace = workspace(&story);
    story.account.set(|s| s.federation_delay_ms = 3_600_000);
    let spec =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let waiting = story.wait_condition(KIND, "team", "Ready", "False", "WaitingForWorkspace").await;
    assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");

    story.account.set(|s| s.federation_delay_ms = 0);
    let ready = story.wait_ready(KIND, "team").await;
    let group = story.account.objects("Groups").into_iter().find(|g| g["displayName"] == "data-eng").unwrap();
    let id = format!("{workspace}/{}", group["id"].as_str().unwrap());
    assert_eq!((&ready["status"]["externalId"], &ready["status"]["state"]), (&json!(id), &json!("USER")));
    assert_eq!(ready["status"]["observed"], json!({"workspaceId": workspace}));
    assert_eq!(ready["status"]["principalName"], "data-eng");

    // Somebody else's access is another object.
    let other = json!({"spec": {"principal": {"groupName": "analysts"}}});
    let patch = other.to_string();
    let refused = story.kubectl(&["patch", "dbpa", "team", "--type=merge", "-p", &patch]).await.unwrap_err();
    assert!(refused.to_string().contains("spec.principal cannot be changed"), "{refused}");

    story.patch(KIND, "team", json!({"spec": {"permissions": ["ADMIN", "USER"]}})).await;
    story.wait_ready(KIND, "team").await;
    let levels = |all: Vec<Value>| all.into_iter().map(|a| a["permissions"].clone()).collect::<Vec<_>>();
    assert_eq!(levels(story.account.objects("permissionassignments")), [json!(["ADMIN"])]);

    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
    let done = story.account.writes().into_iter().filter(|call| call.applied).map(|call| call.method);
    assert_eq!(done.collect::<Vec<_>>(), ["PUT", "PUT", "DELETE"]);
    story.end().await;
}

#[tokio::test]
async fn a_spec_that_leaves_open_who_or_where_is_refused_with_what_to_write() {
    let story = Story::start("assignment-schema").await;
    let user = json!({"userName": "ada@example.com"});
    let both = json!({"userName": "ada@example.com", "id": 7});
    for (spec, says) in [
        (json!({"principal": user, "permissions": ["USER"]}), "exactly one of workspaceRef and workspaceId"),
        (
            json!({"workspaceId": 1, "workspaceRef": {"name": "w"}, "principal": user, "permissions": ["USER"]}),
            "exactly one of workspaceRef and workspaceId",
        ),
        (
            json!({"workspaceId": 1, "principal": both, "permissions": ["USER"]}),
            "principal needs exactly one of",
        ),
        (
            json!({"workspaceId": 1, "principal": {}, "permissions": ["USER"]}),
            "principal needs exactly one of",
        ),
        (json!({"workspaceId": 1, "principal": user, "permissions": []}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["USER", "USER"]}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["UNKNOWN"]}), "spec.permissions"),
    ] {
        let refused = story.try_apply(&story.managed(KIND, "wrong", spec.clone())).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
    story.end().await;
}
