//! Credentials, and the workspaces that are made with them.

use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{SOON, Story, condition};

const KIND: &str = "Credential";
const WORKSPACE: &str = "Workspace";
const ROLE: &str = "arn:aws:iam::123456789012:role/compute";

fn credential(story: &Story, name: &str, more: Value) -> Value {
    let mut spec = json!({"credentialsName": name, "awsCredentials": {"stsRole": {"roleArn": ROLE}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(KIND, name, spec)
}

fn workspace(story: &Story, name: &str, more: Value) -> Value {
    let mut spec = json!({
        "workspaceName": name, "awsRegion": "eu-west-1", "deletionPolicy": "Delete",
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b",
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(WORKSPACE, name, spec)
}

/// Method and collection of the calls that changed something, in order; asked for twice in a row counts once.
fn changes(story: &Story) -> Vec<String> {
    let applied = story.account.writes().into_iter().filter(|call| call.applied);
    let mut changes: Vec<String> = applied.map(|call| format!("{} {}", call.method, call.class)).collect();
    changes.dedup_by(|next, last| next == last && next.starts_with("DELETE"));
    changes
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// One that is there already is taken over when its name is the same and I say so, and may then be corrected to what it
/// is; one of our own is made and deleted.
#[tokio::test]
async fn a_credential_is_created_or_adopted_and_deleted() {
    let story = Story::start("credential-life").await;
    // Somebody made one by hand, with another role.
    let other = "arn:aws:iam::123456789012:role/legacy";
    let role = json!({"role_arn": other, "external_id": story.account.account_id});
    let legacy = json!({"credentials_name": "legacy", "aws_credentials": {"sts_role": role}});
    let legacy = story.account.insert("credentials", legacy).unwrap();
    story.apply(&credential(&story, "legacy", json!({}))).await;
    story.wait_condition(KIND, "legacy", "Stalled", "True", "AlreadyExists").await;
    story.patch(KIND, "legacy", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    let bound = story.wait_condition(KIND, "legacy", "Stalled", "True", "ImmutableFieldChanged").await;
    assert_eq!(bound["status"]["externalId"], legacy["credentials_id"]);
    assert_eq!(bound["status"]["stsExternalId"], story.account.account_id);
    let role = |arn: &str| json!({"awsCredentials": {"stsRole": {"roleArn": arn}}});
    let refused = story.try_apply(&credential(&story, "legacy", role(&format!("{ROLE}-2")))).await;
    let refused = refused.unwrap_err().to_string();
    let said = "spec.awsCredentials.stsRole.roleArn cannot be changed";
    assert!(refused.contains(said) && refused.contains("status.observed"), "{refused}");
    let mut corrected = role(other);
    corrected["adoptionPolicy"] = json!("IfExists");
    story.apply(&credential(&story, "legacy", corrected)).await;
    story.wait_ready(KIND, "legacy").await;

    story.apply(&credential(&story, "compute", json!({}))).await;
    let ready = story.wait_ready(KIND, "compute").await;
    let made = story
        .account
        .objects("credentials")
        .into_iter()
        .find(|c| c["credentials_name"] == "compute")
        .unwrap();
    assert_eq!(ready["status"]["externalId"], made["credentials_id"]);
    let observed = json!({"credentialsName": "compute", "roleArn": ROLE});
    assert_eq!(ready["status"]["observed"], observed);
    let body = json!({"credentials_name": "compute", "aws_credentials": {"sts_role": {"role_arn": ROLE}}});
    let sent = story.account.writes();
    assert_eq!((sent.len(), &sent[0].body), (1, &Some(body)));

    // What was taken over stays, what was made goes.
    for name in ["legacy", "compute"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    let left = story.account.objects("credentials");
    assert_eq!(left.iter().map(|c| &c["credentials_name"]).collect::<Vec<_>>(), ["legacy"]);
    assert_eq!(changes(&story), ["POST credentials", "DELETE credentials"]);
    story.end().await;
}

/// Covers IM-02, IM-09. An object that is adopted may lack a value that the spec has. Its message says to remove the field, and the API
/// server accepts that.
#[tokio::test]
async fn a_fixed_field_that_an_adopted_object_lacks_can_be_removed() {
    let story = Story::start("adopted-lacks").await;
    let (kind, bucket) = ("StorageConfiguration", json!({"bucket_name": "legacy-root"}));
    let legacy = json!({"storage_configuration_name": "legacy", "root_bucket_info": bucket});
    let legacy = story.account.insert("storage-configurations", legacy).unwrap();
    let spec = json!({
        "storageConfigurationName": "legacy", "bucketName": "legacy-root", "roleArn": ROLE, "adoptionPolicy": "IfExists",
    });
    story.apply(&story.managed(kind, "legacy", spec)).await;
    let bound = story.wait_condition(kind, "legacy", "Stalled", "True", "ImmutableFieldChanged").await;
    assert_eq!(bound["status"]["externalId"], legacy["storage_configuration_id"]);
    let says = message(&bound, "Stalled");
    assert!(says.contains("spec.roleArn") && says.contains("remove the field"), "{says}");
    story.patch(kind, "legacy", json!({"spec": {"roleArn": null}})).await;
    story.wait_ready(kind, "legacy").await;
    assert_eq!(changes(&story), [""; 0]);
    story.end().await;
}

/// What Databricks answers while AWS does not show a new role, or a new bucket policy, everywhere.
const NOT_YET: [(&str, &str); 4] = [
    ("MALFORMED_REQUEST", "Failed credential validation checks: please use a valid cross account IAM role"),
    ("MALFORMED_REQUEST", "Failed credentials validation checks: Spot Cancellation, Create Placement Group"),
    ("INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST: failed credentials validation checks: Delete Tags"),
    ("", "Failed Credential Validation Checks: Describe Vpcs"),
];

/// The answer in each of its forms: JSON, and bare text with the code in front or without.
fn not_yet(collection: &str) -> Vec<(String, Fault)> {
    let fault = |body: Value| Fault {
        method: Some("POST".into()),
        path: format!("*/{collection}"),
        status: Some(400),
        body: Some(body),
        ..Fault::default()
    };
    let json =
        NOT_YET.map(|(code, text)| (text.to_owned(), fault(json!({"error_code": code, "message": text}))));
    let plain = NOT_YET.map(|(_, text)| (text.to_owned(), fault(json!(text))));
    let coded =
        NOT_YET[..2].iter().map(|(code, text)| ((*text).to_owned(), fault(json!(format!("{code}: {text}")))));
    json.into_iter().chain(plain).chain(coded).collect()
}

/// Covers ER-13. A role that was just made does not work for some seconds: that is waited for, in whatever words Databricks
/// says it, and ends by itself.
#[tokio::test]
async fn a_role_that_does_not_work_yet_is_waited_for() {
    let story = Story::start_with("credential-new-role", &[("recheck-stalled-min", "200ms")]).await;
    for (n, (text, fault)) in not_yet("credentials").into_iter().enumerate() {
        let name = format!("compute-{n}");
        story.account.fault(fault);
        story.apply(&credential(&story, &name, json!({}))).await;
        let waiting = story.wait_condition(KIND, &name, "Ready", "False", "ApplyFailed").await;
        let told = message(&waiting, "Ready");
        let words = text.trim_start_matches("MALFORMED_REQUEST: ");
        assert!(told.contains(words) && told.contains("awsCredentials.stsRole.roleArn"), "{told}");
        assert_eq!(condition(&waiting, "Reconciling").unwrap()["status"], "True");
        assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");
        story.account.clear_faults();
        story.pass(KIND, &name).await;
        story.wait_ready(KIND, &name).await;
    }
    story.end().await;
}

/// Covers ER-13. A workspace is made with such a role, or with a bucket whose policy is as new: that is waited for as well.
#[tokio::test]
async fn a_workspace_with_a_role_that_does_not_work_yet_is_waited_for() {
    let story = Story::start("workspace-new-role").await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let credentials = story.account.insert("credentials", json!({"credentials_name": "lab"})).unwrap();
    let bucket = "Failed storage configuration validation checks: List, Put, Delete";
    let of_bucket = Fault {
        method: Some("POST".into()),
        path: "*/workspaces".into(),
        status: Some(400),
        body: Some(json!({"error_code": "MALFORMED_REQUEST", "message": bucket})),
        ..Fault::default()
    };
    let all = not_yet("workspaces").into_iter().chain([(bucket.to_owned(), of_bucket)]);
    for (n, (text, fault)) in all.enumerate() {
        let name = format!("lab-{n}");
        story.account.fault(fault);
        let id = json!({"credentialsId": credentials["credentials_id"]});
        story.apply(&workspace(&story, &name, id)).await;
        let waiting = story.wait_condition(WORKSPACE, &name, "Ready", "False", "ApplyFailed").await;
        let told = message(&waiting, "Ready");
        let words = text.trim_start_matches("MALFORMED_REQUEST: ");
        let field = if text == bucket { "spec.storageConfigurationId" } else { "spec.credentialsId" };
        assert!(told.contains(words) && told.contains(field), "{told}");
        assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");
        story.account.clear_faults();
        story.pass(WORKSPACE, &name).await;
        story.wait_ready(WORKSPACE, &name).await;
    }
    story.end().await;
}

/// Covers ER-13. What Databricks checked and found wrong in the spec itself is no such thing.
#[tokio::test]
async fn a_parameter_that_fails_its_check_is_refused() {
    let story = Story::start("workspace-parameter").await;
    let text = "Failed parameter validation checks: Deployment name cannot be used until a deployment name prefix is defined";
    story.account.fault(Fault {
        method: Some("POST".into()),
        path: "*/workspaces".into(),
        status: Some(400),
        body: Some(json!({"error_code": "MALFORMED_REQUEST", "message": text})),
        ..Fault::default()
    });
    story.apply(&workspace(&story, "lab", json!({"credentialsId": "7f1c2d3e"}))).await;
    story.wait_condition(WORKSPACE, "lab", "Stalled", "True", "InvalidSpec").await;
    story.end().await;
}

/// Covers RF-02, RF-06. A workspace and its credential are applied at once and become ready in order; the credential is not
/// deleted before the workspace.
#[tokio::test]
async fn a_workspace_comes_after_its_credential_and_goes_before_it() {
    let story = Story::start("credential-of-workspace").await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let both = json!({"credentialsRef": {"name": "compute"}, "credentialsId": "7f1c2d3e"});
    for (spec, says) in [(json!({}), "is needed"), (both, "exclude each other")] {
        let refused = story.try_apply(&workspace(&story, "analytics", spec)).await.unwrap_err().to_string();
        let named = refused.contains("credentialsRef") && refused.contains("credentialsId");
        assert!(named && refused.contains(says), "{refused}");
    }
    let reference = json!({"credentialsRef": {"name": "compute"}});
    story.apply(&workspace(&story, "analytics", reference)).await;
    story.apply(&credential(&story, "compute", json!({}))).await;
    let ready = story.wait_ready(WORKSPACE, "analytics").await;
    let id = story.get(KIND, "compute").await["status"]["externalId"].clone();
    assert_eq!(ready["status"]["resolvedRefs"]["credentialsRef"], id);
    assert_eq!(story.account.objects("workspaces")[0]["credentials_id"], id);
    assert_eq!(changes(&story), ["POST credentials", "POST workspaces"]);

    story.delete(KIND, "compute").await;
    let held = story.wait_condition(KIND, "compute", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let told = message(&held, "DeletionBlocked");
    assert!(told.contains("Workspace credential-of-workspace/analytics"), "{told}");
    assert_eq!(story.account.calls("DELETE", "*"), 0);
    story.delete(WORKSPACE, "analytics").await;
    story.wait_gone(KIND, "compute").await;
    story.wait_gone(WORKSPACE, "analytics").await;
    assert_eq!(changes(&story)[2..], ["DELETE workspaces", "DELETE credentials"]);
    story.end().await;
}

/// A workspace that the cluster does not know uses the credential as well: Databricks refuses the deletion, and it is asked
/// again.
#[tokio::test]
async fn a_credential_in_use_outside_the_cluster_is_deleted_once_it_is_free() {
    let story = Story::start("credential-in-use").await;
    story.apply(&credential(&story, "compute", json!({}))).await;
    let ready = story.wait_ready(KIND, "compute").await;
    let user = json!({"credentials_id": ready["status"]["externalId"]});
    let user = story.account.insert("workspaces", user).unwrap();
    story.delete(KIND, "compute").await;
    let held = story.wait_condition(KIND, "compute", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let told = message(&held, "DeletionBlocked");
    assert!(told.contains(&user["workspace_id"].to_string()), "{told}");
    assert!(story.account.remove("workspaces", &user["workspace_id"].to_string()));
    story.wait_gone(KIND, "compute").await;
    assert_eq!(story.account.objects("credentials").len(), 0);
    story.end().await;
}

/// Covers DL-05. For a while after its workspace is gone Databricks still counts a credential as used, and says so in four
/// shapes: each is waited for, the message says what to do, and the deletion ends by itself.
#[tokio::test]
async fn a_credential_that_still_counts_as_used_is_deleted_later() {
    let story = Story::start("credential-still-used").await;
    let text = "Unable to delete, Credentials is being used by active workspace 4242";
    let shapes = [
        (400, json!({"error_code": "INVALID_STATE", "message": text})),
        (400, json!(format!("MALFORMED_REQUEST: {text}"))),
        (409, json!({"error_code": "RESOURCE_CONFLICT", "message": text})),
        (409, json!("")),
    ];
    for (n, (status, body)) in shapes.into_iter().enumerate() {
        let name = format!("compute-{n}");
        story.apply(&credential(&story, &name, json!({}))).await;
        story.wait_ready(KIND, &name).await;
        story.account.clear_journal();
        story.account.fault(Fault {
            method: Some("DELETE".into()),
            path: "*/credentials/*".into(),
            status: Some(status),
            body: Some(body.clone()),
            ..Fault::default()
        });
        story.delete(KIND, &name).await;
        let held = story.wait_condition(KIND, &name, "DeletionBlocked", "True", "DependencyStillInUse").await;
        let told = message(&held, "DeletionBlocked");
        for part in ["a workspace or a log delivery in the account", "deletionPolicy"] {
            assert!(told.contains(part), "{status} {body}: {part} is missing in {told}");
        }
        let again = eventually("it is tried again", SOON, async || {
            let count = story.account.calls("DELETE", "*/credentials/*");
            if count >= 2 { Ok(()) } else { Err(format!("{count} so far")) }
        });
        again.await.unwrap();
        story.account.clear_faults();
        story.wait_gone(KIND, &name).await;
    }
    story.end().await;
}
