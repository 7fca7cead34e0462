//! Metastores: all data of the workspaces of a region is in one, so none is lost, forced away or created a second time.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "Metastore";
const STORE: &str = "metastores";

/// Grants the kind.
async fn begin(name: &str) -> Story {
    let story = Story::start(name).await;
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story.account.insert("Groups", json!({"displayName": "metastore-admins"})).unwrap();
    story
}

fn metastore(story: &Story, more: Value) -> Value {
    let mut spec = json!({"name": "Main", "region": "eu-west-1"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(KIND, "main", spec)
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers SE-05. The owner of a metastore has all rights to its data, so neither a DatabricksAuth without grants nor a grant of everything
/// allows it.
#[tokio::test]
async fn a_metastore_needs_a_grant_that_names_its_kind() {
    let story = Story::start("metastore-grant").await;
    for (name, grants) in [("none", json!(null)), ("all", json!([{"namespaces": {"from": "Same"}}]))] {
        story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
        let spec = json!({"name": name, "region": "eu-west-1", "owner": "attackers"});
        story.apply(&story.managed(KIND, name, spec)).await;
        let refused = story.wait_condition(KIND, name, "Ready", "False", "ReferenceNotPermitted").await;
        assert!(message(&refused, "Ready").contains(KIND), "{refused}");
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// A new owner gets a metastore that is complete: what the operator sent after that, the account could refuse.
#[tokio::test]
async fn the_owner_changes_after_all_else() {
    let story = begin("metastore-owner").await;
    story.account.set(|settings| settings.only_owners_change = true);
    let spec = json!({"owner": "unknown", "deltaSharingScope": "INTERNAL_AND_EXTERNAL"});
    story.apply(&metastore(&story, spec)).await;
    let refused = story.wait_condition(KIND, "main", "Ready", "False", "ReferenceNotFound").await;
    assert!(message(&refused, "Ready").contains("correct spec.owner"), "{refused}");
    assert_eq!(condition(&refused, "Stalled"), None, "the owner may be new: {refused}");
    story.patch(KIND, "main", json!({"spec": {"owner": "METASTORE-ADMINS"}})).await;
    story.wait_ready(KIND, "main").await;
    let main = story.account.objects(STORE).remove(0);
    assert_eq!(main["delta_sharing_scope"], "INTERNAL_AND_EXTERNAL");
    assert_eq!(main["owner"], "METASTORE-ADMINS");

    // The account writes the name in another case, which is no difference.
    let id = main["metastore_id"].as_str().unwrap();
    story.account.edit(STORE, id, json!({"owner": "metastore-admins"})).unwrap();
    let writes = story.account.writes().len();
    story.pass(KIND, "main").await;
    story.wait_ready(KIND, "main").await;
    assert_eq!(story.account.writes().len(), writes, "{:?}", story.account.writes());
    // Now the operator is not the owner.
    story.patch(KIND, "main", json!({"spec": {"externalAccessEnabled": true}})).await;
    story.wait_condition(KIND, "main", "Ready", "False", "PermissionDenied").await;
    story.end().await;
}

/// Covers RF-01, RF-02, RF-14, LC-17. A metastore and a credential in it belong to a group and a service principal of the namespace, applied
/// last. The same owner by name is no change, and a group that gets another name stays the owner.
#[tokio::test]
async fn an_owner_is_an_object_of_the_namespace_or_a_name() {
    let story = begin("metastore-owner-by-reference").await;
    let same = json!({"namespaces": {"from": "Same"}});
    let named = json!({"namespaces": {"from": "Same"}, "kinds": [KIND, "StorageCredential"]});
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": [same, named]}})).await;
    let by_ref = json!({"owner": null, "ownerRef": {"groupRef": {"name": "stewards"}}});
    story.apply(&metastore(&story, json!({"ownerRef": by_ref["ownerRef"]}))).await;
    let credential = json!({
        "name": "lake", "metastoreRef": {"name": "main"}, "awsIamRole": {"roleArn": "arn:aws:iam::123456789012:role/lake"},
        "ownerRef": {"servicePrincipalRef": {"name": "robot"}},
    });
    story.apply(&story.managed("StorageCredential", "lake", credential)).await;
    let waits = story.wait_condition(KIND, "main", "ReferencesResolved", "False", "ReferenceNotFound").await;
    assert!(message(&waits, "ReferencesResolved").contains("correct spec.ownerRef.groupRef"), "{waits}");
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.apply(&story.managed("Group", "stewards", json!({"displayName": "data-stewards"}))).await;
    story.apply(&story.managed("ServicePrincipal", "robot", json!({"displayName": "robot"}))).await;
    for (kind, name) in [(KIND, "main"), ("StorageCredential", "lake")] {
        story.wait_ready(kind, name).await;
    }
    let owner = |store: &str| story.account.objects(store).remove(0)["owner"].clone();
    assert_eq!(owner(STORE), "data-stewards");
    let robot = story.get("ServicePrincipal", "robot").await["status"]["applicationId"].clone();
    assert_eq!(owner("storage-credentials"), robot);

    story.account.clear_journal();
    let by_name = json!({"owner": "data-stewards", "ownerRef": null});
    for same in [&by_name, &by_ref] {
        story.patch(KIND, "main", json!({"spec": same})).await;
        story.wait_ready(KIND, "main").await;
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.patch("Group", "stewards", json!({"spec": {"displayName": "stewards"}})).await;
    let renamed = |_: &Value| (owner(STORE) == "stewards").then_some(());
    story.wait(KIND, "main", "the owner has its new name", renamed).await;
    story.wait_ready(KIND, "main").await;
    story.end().await;
}

/// Covers LC-08. A create takes few fields of a metastore, and the operator sets the others after it, a new owner last.
#[tokio::test]
async fn a_metastore_is_created_completed_corrected_and_retained() {
    let story = begin("metastore-life").await;
    let spec = json!({
        "storageRoot": "s3://lake/main", "owner": "metastore-admins", "deltaSharingScope": "INTERNAL_AND_EXTERNAL",
        "deltaSharingRecipientTokenLifetimeInSeconds": 3600, "externalAccessEnabled": false,
    });
    story.apply(&metastore(&story, spec)).await;
    let ready = story.wait_ready(KIND, "main").await;
    let id = ready["status"]["externalId"].as_str().unwrap().to_owned();
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
    assert_eq!(ready["status"]["globalMetastoreId"], format!("aws:eu-west-1:{id}"));
    // The account adds the id to the path, which is no difference.
    assert_eq!(story.account.objects(STORE)[0]["storage_root"], format!("s3://lake/main/{id}"));
    let bodies: Vec<Value> = story.account.writes().into_iter().filter_map(|call| call.body).collect();
    let lifetime = "delta_sharing_recipient_token_lifetime_in_seconds";
    assert_eq!(
        bodies,
        [
            json!({"metastore_info": {
                "name": "Main", "region": "eu-west-1", "storage_root": "s3://lake/main", "external_access_enabled": false,
            }}),
            json!({"metastore_info": {"delta_sharing_scope": "INTERNAL_AND_EXTERNAL", lifetime: 3600}}),
            json!({"metastore_info": {"owner": "metastore-admins"}}),
        ]
    );

    // A person opens it in the console.
    story.account.edit(STORE, &id, json!({"external_access_enabled": true})).unwrap();
    let corrected = story.wait_event(KIND, "main", "DriftCorrected").await;
    assert!(corrected.contains("externalAccessEnabled"), "{corrected}");
    assert_eq!(story.account.objects(STORE)[0]["external_access_enabled"], false);
    let refused =
        story.kubectl(&["patch", "dbms", "main", "--type=merge", "-p", r#"{"spec":{"region":"a"}}"#]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("spec.region cannot be changed"), "{refused}");

    story.delete(KIND, "main").await;
    story.wait_gone(KIND, "main").await;
    assert_eq!(story.account.objects(STORE).len(), 1);
    assert_eq!(story.account.calls("DELETE", "*"), 0);
    story.end().await;
}

/// Covers LC-12. A metastore holds data: one that is lost is a question for a person, and the message says how to decide.
#[tokio::test]
async fn a_lost_metastore_is_not_created_again() {
    let story = begin("metastore-lost").await;
    story.apply(&metastore(&story, json!({}))).await;
    let ready = story.wait_ready(KIND, "main").await;
    assert!(story.account.remove(STORE, ready["status"]["externalId"].as_str().unwrap()));
    let lost = story.wait_condition(KIND, "main", "Stalled", "True", "ExternalResourceMissing").await;
    let said = message(&lost, "Stalled");
    assert!(
        said.contains("delete this object and apply it again") && said.contains("spec.externalId"),
        "{said}"
    );
    assert!(
        said.contains("restore it") && said.contains("five days") && said.contains("undropById"),
        "{said}"
    );
    story.wait_event(KIND, "main", "ExternalResourceMissing").await;
    story.pass(KIND, "main").await;
    assert_eq!(story.account.writes().len(), 1, "{:?}", story.account.writes());

    // Databricks restores it: it is the same one.
    let id = ready["status"]["externalId"].clone();
    let restored = json!({"metastore_id": id, "name": "Main", "region": "eu-west-1"});
    story.account.insert(STORE, restored).unwrap();
    story.pass(KIND, "main").await;
    let back = story.wait_ready(KIND, "main").await;
    assert_eq!(back["status"]["externalId"], id);
    assert_eq!(story.account.writes().len(), 1, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers DL-05. With `Delete` a metastore is deleted once it is empty, and never by force.
#[tokio::test]
async fn a_metastore_with_content_is_not_deleted() {
    let story = begin("metastore-content").await;
    story.apply(&metastore(&story, json!({"deletionPolicy": "Delete"}))).await;
    let ready = story.wait_ready(KIND, "main").await;
    let id = ready["status"]["externalId"].as_str().unwrap();
    story.account.insert("storage-credentials", json!({"metastore_id": id, "name": "lake"})).unwrap();
    story.delete(KIND, "main").await;
    let held = story.wait_condition(KIND, "main", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let said = message(&held, "DeletionBlocked");
    assert!(said.contains("lake") && said.contains("spec.deletionPolicy to Retain"), "{said}");
    assert!(story.account.remove("storage-credentials", &format!("{id}/lake")));
    story.wait_gone(KIND, "main").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    let forced = |call: &simulator::Call| call.method == "DELETE" && !call.query.is_empty();
    assert!(!story.account.writes().iter().any(forced), "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-03. Newer accounts have a metastore in each region: it is found by its name in any case, and only if the spec says so.
#[tokio::test]
async fn the_metastore_that_a_region_has_is_adopted_by_its_name() {
    let story = begin("metastore-adopted").await;
    let theirs = json!({"name": "Auto-eu-west-1", "region": "eu-west-1"});
    let theirs = story.account.insert(STORE, theirs).unwrap();
    story.apply(&metastore(&story, json!({}))).await;
    let refused = story.wait_condition(KIND, "main", "Ready", "False", "AlreadyExists").await;
    let said = message(&refused, "Ready");
    assert!(said.contains("limit for metastores") && said.contains("spec.adoptionPolicy"), "{said}");

    let named = json!({"name": "auto-eu-west-1", "adoptionPolicy": "IfExists"});
    story.apply(&metastore(&story, named)).await;
    let ready = story.wait_ready(KIND, "main").await;
    assert_eq!(ready["status"]["externalId"], theirs["metastore_id"]);
    assert_eq!(ready["status"]["observed"]["name"], "Auto-eu-west-1");
    assert_eq!(story.account.objects(STORE), [theirs], "nothing of it is changed");
    story.end().await;
}
