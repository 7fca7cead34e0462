//! Storage credentials: the trust policy of a role needs what the account says only after the create, and what uses a credential
//! keeps it.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "StorageCredential";
const STORE: &str = "storage-credentials";
const ROLE: &str = "arn:aws:iam::123456789012:role/lake";

/// Grants the kind, and that of its parent.
async fn begin(name: &str) -> Story {
    let story = Story::start(name).await;
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND, "Metastore"]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story
}

fn credential(story: &Story, name: &str, metastore: Value) -> Value {
    let mut spec = json!({"name": name, "awsIamRole": {"roleArn": ROLE}, "deletionPolicy": "Delete"});
    spec.as_object_mut().unwrap().extend(metastore.as_object().unwrap().clone());
    story.managed(KIND, name, spec)
}

/// A metastore that is not in the cluster.
fn metastore(story: &Story) -> String {
    let info = json!({"name": "main", "region": "eu-west-1"});
    story.account.insert("metastores", info).unwrap()["metastore_id"].as_str().unwrap().to_owned()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers SE-05. The owner of a credential has all rights to what it leads to, so a grant must name the kind.
#[tokio::test]
async fn a_credential_needs_a_grant_that_names_its_kind() {
    let story = Story::start("storage-credential-grant").await;
    let parent = metastore(&story);
    story.apply(&credential(&story, "lake", json!({"metastoreId": parent, "owner": "attackers"}))).await;
    let refused = story.wait_condition(KIND, "lake", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message(&refused, "Ready").contains(KIND), "{refused}");
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    story.end().await;
}

/// A new owner gets a credential that is complete: what the operator sent after that, the account could refuse.
#[tokio::test]
async fn the_owner_of_a_credential_changes_after_all_else() {
    let story = begin("storage-credential-owner").await;
    story.account.set(|settings| settings.only_owners_change = true);
    story.account.insert("Groups", json!({"displayName": "data"})).unwrap();
    let spec = json!({"metastoreId": metastore(&story), "owner": "data", "isolationMode": "ISOLATION_MODE_ISOLATED"});
    story.apply(&credential(&story, "lake", spec)).await;
    story.wait_ready(KIND, "lake").await;
    let made = story.account.objects(STORE).remove(0);
    assert_eq!(
        (&made["owner"], &made["isolation_mode"]),
        (&json!("data"), &json!("ISOLATION_MODE_ISOLATED"))
    );
    story.end().await;
}

/// The external id of a role is in the status, for its trust policy. Databricks tests a role only when it is changed, and while its policy
/// may be too new the object is not Stalled.
#[tokio::test]
async fn a_role_gets_its_external_id_and_a_changed_one_is_tested() {
    let story = begin("storage-credential-life").await;
    let parent = metastore(&story);
    story.account.set(|settings| settings.fail_next_storage_tests = usize::MAX);
    story.apply(&credential(&story, "lake", json!({"metastoreId": parent}))).await;
    let ready = story.wait_ready(KIND, "lake").await;
    let made = story.account.objects(STORE).remove(0);
    let role = &made["aws_iam_role"];
    assert_eq!(ready["status"]["externalId"], format!("{parent}/lake"));
    assert_eq!(ready["status"]["stsExternalId"], role["external_id"]);
    assert_eq!(ready["status"]["unityCatalogIamArn"], role["unity_catalog_iam_arn"]);
    assert_eq!(ready["status"]["storageCredentialId"], made["id"]);
    assert!(role["external_id"].is_string() && made["id"].is_string(), "{made}");
    let info = json!({"name": "lake", "aws_iam_role": {"role_arn": ROLE}});
    let sent = story.account.writes();
    assert_eq!(
        (sent.len(), &sent[0].body),
        (1, &Some(json!({"credential_info": info, "skip_validation": true})))
    );

    let other = format!("{ROLE}-2");
    story.patch(KIND, "lake", json!({"spec": {"awsIamRole": {"roleArn": other}}})).await;
    let refused = |object: &Value| {
        let ready = condition(object, "Ready")?;
        let current = ready["observedGeneration"] == object["metadata"]["generation"];
        let said = ready["message"].as_str()?.contains("status.stsExternalId");
        let waits = condition(object, "Stalled").is_none();
        (current && said && waits && ready["status"] == "False").then_some(())
    };
    story.wait(KIND, "lake", "the refusal says what the trust policy needs", refused).await;
    assert_eq!(story.account.objects(STORE)[0]["aws_iam_role"]["role_arn"], ROLE);
    // A person corrects the trust policy.
    story.account.set(|settings| settings.fail_next_storage_tests = 0);
    story.pass(KIND, "lake").await;
    let changed = story.wait_ready(KIND, "lake").await;
    assert_eq!(story.account.objects(STORE)[0]["aws_iam_role"]["role_arn"], other);
    assert_eq!(changed["status"]["stsExternalId"], ready["status"]["stsExternalId"]);

    // Another client changes the comment, which the spec does not have, and the role.
    let id = format!("{parent}/lake");
    let wrong = json!({"comment": "theirs", "aws_iam_role": {"role_arn": ROLE}});
    story.account.edit(STORE, &id, wrong).unwrap();
    let corrected = story.wait_event(KIND, "lake", "DriftCorrected").await;
    assert!(corrected.contains("awsIamRole") && !corrected.contains("comment"), "{corrected}");
    assert_eq!(story.account.objects(STORE)[0]["comment"], "theirs");
    story.end().await;
}

/// Covers DL-05. What tables use is not deleted, and never by force.
#[tokio::test]
async fn a_credential_that_tables_use_is_not_deleted() {
    let story = begin("storage-credential-in-use").await;
    let parent = metastore(&story);
    story.apply(&credential(&story, "lake", json!({"metastoreId": parent}))).await;
    story.wait_ready(KIND, "lake").await;
    let id = format!("{parent}/lake");
    story.account.edit(STORE, &id, json!({"_external_tables": 2, "_storage_locations": 1})).unwrap();
    story.delete(KIND, "lake").await;
    let held = story.wait_condition(KIND, "lake", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let said = message(&held, "DeletionBlocked");
    assert!(said.contains("2 directly dependent external table(s)"), "{said}");
    story.account.edit(STORE, &id, json!({"_external_tables": null, "_storage_locations": null})).unwrap();
    story.wait_gone(KIND, "lake").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    let forced = |call: &simulator::Call| call.method == "DELETE" && !call.query.is_empty();
    assert!(!story.account.writes().iter().any(forced), "{:?}", story.account.writes());
    story.end().await;
}

/// Covers RF-02. A credential comes after its metastore. The metastore gets it as its root by the id that its status shows, and keeps
/// it.
#[tokio::test]
async fn a_credential_becomes_the_root_of_its_metastore_and_stays() {
    let story = begin("storage-credential-root").await;
    story.apply(&credential(&story, "root", json!({"metastoreRef": {"name": "main"}}))).await;
    let spec = json!({"name": "main", "region": "eu-west-1", "storageRoot": "s3://lake/main"});
    story.apply(&story.managed("Metastore", "main", spec)).await;
    let ready = story.wait_ready(KIND, "root").await;
    let parent = story.get("Metastore", "main").await["status"]["externalId"].clone();
    assert_eq!(ready["status"]["resolvedRefs"]["metastoreRef"], parent);

    let root = ready["status"]["storageCredentialId"].clone();
    story.patch("Metastore", "main", json!({"spec": {"storageRootCredentialId": root}})).await;
    story.wait_ready("Metastore", "main").await;
    let main = story.account.objects("metastores").remove(0);
    assert_eq!(main["storage_root_credential_id"], root);
    story.delete(KIND, "root").await;
    let held = story.wait_condition(KIND, "root", "DeletionBlocked", "True", "DependencyStillInUse").await;
    assert!(message(&held, "DeletionBlocked").contains("root credential"), "{held}");
    story.patch(KIND, "root", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(KIND, "root").await;
    assert_eq!(story.account.objects(STORE).len(), 1);
    story.end().await;
}
