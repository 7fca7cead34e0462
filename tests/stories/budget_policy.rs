//! Budget policies.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const KIND: &str = "BudgetPolicy";
const COLLECTION: &str = "budget-policies";

fn policy(story: &Story) -> Value {
    story.account.objects(COLLECTION).remove(0)
}

/// The methods of the changes of policies that the account carried out, in order.
fn applied(story: &Story) -> Vec<String> {
    let all = story.account.writes().into_iter();
    all.filter(|call| call.applied && call.class == COLLECTION).map(|call| call.method).collect()
}

/// What another client changes of what the spec leaves out stays.
#[tokio::test]
async fn a_policy_is_created_kept_changed_and_deleted() {
    let story = Story::start("budget-policy-life").await;
    let tags = json!([{"key": "team", "value": "a"}, {"key": "cost-centre", "value": ""}]);
    let spec = json!({"policyName": "team-a", "customTags": tags});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let ready = story.wait_ready(KIND, "team").await;
    let made = policy(&story);
    let id = made["policy_id"].as_str().unwrap();
    assert_eq!((&ready["status"]["externalId"], &made["policy_name"]), (&json!(id), &json!("team-a")));

    // The order of tags does not count.
    let sorted = json!([{"key": "cost-centre", "value": ""}, {"key": "team", "value": "a"}]);
    story.account.edit(COLLECTION, id, json!({"custom_tags": sorted})).unwrap();
    story.pass(KIND, "team").await;
    assert_eq!(applied(&story), ["POST"]);

    // A user renames it in the console, and binds it to a workspace. The correction has all fields.
    let theirs = json!({"policy_name": "team-x", "binding_workspace_ids": [17]});
    story.account.edit(COLLECTION, id, theirs).unwrap();
    let corrected = story.wait_event(KIND, "team", "DriftCorrected").await;
    assert!(corrected.contains("policyName"), "{corrected}");
    let now = policy(&story);
    assert_eq!((&now["policy_name"], &now["binding_workspace_ids"]), (&json!("team-a"), &json!([17])));
    assert_eq!(now["custom_tags"].as_array().map(Vec::len), Some(2), "{now}");

    let all = json!({"spec": {"customTags": [], "bindingWorkspaceIds": []}});
    story.patch(KIND, "team", all).await;
    story.wait_ready(KIND, "team").await;
    let now = policy(&story);
    assert_eq!((&now["custom_tags"], &now["binding_workspace_ids"]), (&json!([]), &json!([])));

    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects(COLLECTION), [] as [Value; 0]);
    assert_eq!(applied(&story), ["POST", "PATCH", "PATCH", "DELETE"]);
    story.end().await;
}

/// Covers RF-01, RF-02. Workspaces by name and by id add up.
#[tokio::test]
async fn a_policy_waits_for_the_workspaces_that_it_names() {
    let story = Story::start("budget-policy-refs").await;
    let spec = json!({"policyName": "team-a", "bindingWorkspaceIds": [17],
        "bindingWorkspaceRefs": [{"name": "analytics"}]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let waiting =
        story.wait_condition(KIND, "team", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let says = condition(&waiting, "ReferencesResolved").unwrap()["message"].to_string();
    assert!(says.contains("correct spec.bindingWorkspaceRefs"), "{says}");
    assert_eq!(applied(&story), [""; 0]);

    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let bucket = json!({"storageConfigurationName": "root", "bucketName": "root-bucket"});
    story.apply(&story.managed("StorageConfiguration", "root", bucket)).await;
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let credential = json!({"credentialsName": "compute", "awsCredentials": role});
    story.apply(&story.managed("Credential", "compute", credential)).await;
    let workspace = json!({"workspaceName": "analytics", "awsRegion": "eu-west-1",
        "credentialsRef": {"name": "compute"}, "storageConfigurationRef": {"name": "root"}});
    story.apply(&story.managed("Workspace", "analytics", workspace)).await;
    story.wait_ready(KIND, "team").await;
    let id = story.account.objects("workspaces")[0]["workspace_id"].as_i64().unwrap();
    let bound = policy(&story)["binding_workspace_ids"].clone();
    assert_eq!(bound, json!([17, id]));
    story.end().await;
}

/// Covers LC-03. The name is taken by a policy of others, and a slip in the tags is refused.
#[tokio::test]
async fn a_policy_of_others_is_left_alone_and_a_slip_is_refused() {
    let story = Story::start("budget-policy-theirs").await;
    let twice = json!([{"key": "team", "value": "a"}, {"key": "team", "value": "b"}]);
    let slip = story.managed(KIND, "slip", json!({"policyName": "team-b", "customTags": twice}));
    let refused = story.try_apply(&slip).await.unwrap_err().to_string();
    assert!(refused.contains("keep one tag of each key"), "{refused}");

    story.account.insert(COLLECTION, json!({"policy_name": "team-a", "custom_tags": []})).unwrap();
    let spec = json!({"policyName": "team-a", "customTags": [{"key": "team", "value": "a"}]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    story.wait_condition(KIND, "team", "Stalled", "True", "AlreadyExists").await;
    assert_eq!(applied(&story), [""; 0]);
    story.patch(KIND, "team", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    story.wait_ready(KIND, "team").await;
    assert_eq!(policy(&story)["custom_tags"], json!([{"key": "team", "value": "a"}]));
    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects(COLLECTION).len(), 1, "what was adopted is retained");
    assert_eq!(applied(&story), ["PATCH"]);
    story.end().await;
}
