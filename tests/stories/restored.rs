//! Objects that come back from a backup without their status: what they created is theirs again, and a copy of the record
//! makes nobody else the owner.

use serde_json::{Value, json};
use world::eventually;

use crate::support::{AUTH, SOON, Story, cluster, condition};

const LIST: &str = "IpAccessList";
const ACCESS: &str = "PermissionAssignment";
const WORKSPACE: &str = "Workspace";
const CREDENTIAL: &str = "Credential";
const ID: &str = "databricks-operator.io/external-id";
const MARK: &str = "databricks-operator.io/created-by";

fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

fn list(story: &Story, name: &str, label: &str) -> Value {
    let spec = json!({"label": label, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

/// Ada as the administrator of a workspace that somebody else made.
fn access(story: &Story) -> Value {
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let ada = json!({"userName": "ada@example.com"});
    story.managed(
        ACCESS,
        "ada",
        json!({"workspaceId": workspace, "principal": ada, "permissions": ["ADMIN"]}),
    )
}

/// One object of every kind that makes something in the account.
fn one_of_each(story: &Story) -> Vec<Value> {
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let workspace = json!({"workspaceName": "analytics", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS",
        "deletionPolicy": "Delete"});
    vec![
        list(story, "office", "office"),
        story.managed(CREDENTIAL, "compute", json!({"credentialsName": "compute", "awsCredentials": role})),
        story.managed(WORKSPACE, "analytics", workspace),
        access(story),
    ]
}

fn named(manifest: &Value) -> (&str, &str) {
    (manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap())
}

/// What a backup has of an object once its record is in annotations: no status.
async fn saved(story: &Story, kind: &str, name: &str) -> Value {
    let recorded = |o: &Value| {
        let annotations = &o["metadata"]["annotations"];
        (annotations[ID] == o["status"]["externalId"] && annotations[MARK].is_string()).then(|| o.clone())
    };
    let object = story.wait(kind, name, "its record is in annotations", recorded).await;
    let mut manifest = story.object(kind, name, object["spec"].clone());
    manifest["metadata"]["annotations"] = object["metadata"]["annotations"].clone();
    manifest
}

/// Takes an object out of the cluster as a lost cluster does: the account does not notice.
async fn lost(story: &mut Story, kind: &str, name: &str) {
    if let Some(operator) = story.operator.take() {
        operator.kill().unwrap();
    }
    story.patch(kind, name, json!({"metadata": {"finalizers": null}})).await;
    story.delete(kind, name).await;
    story.wait_gone(kind, name).await;
}

/// What of the account is not there from the beginning, and was not made by somebody else.
fn ours(story: &Story) -> [usize; 4] {
    ["ip-access-lists", "credentials", "workspaces", "permissionassignments"]
        .map(|of| story.account.objects(of).len())
}

/// Covers LC-13, LC-16. A namespace is saved, deleted under `Retain` and applied again: every object is bound to what it
/// created, nothing is made twice, and deletion deletes.
#[tokio::test]
async fn a_namespace_that_comes_back_from_a_backup_owns_what_it_created() {
    let story = Story::start("restored-namespace").await;
    let manifests = one_of_each(&story);
    let mut backup = vec![];
    for manifest in &manifests {
        let (kind, name) = named(manifest);
        story.apply(manifest).await;
        let ready = story.wait_ready(kind, name).await;
        backup.push((saved(&story, kind, name).await, ready["status"]["externalId"].clone()));
        story.patch(kind, name, json!({"spec": {"deletionPolicy": "Retain"}})).await;
        story.wait_ready(kind, name).await;
    }
    let before = ours(&story);
    story.account.clear_journal();
    let namespace = story.namespace.clone();
    let gone = cluster().kubectl(&["delete", "namespace", &namespace, "--timeout=180s"], "").await;
    gone.unwrap();
    cluster().kubectl(&["create", "namespace", &namespace], "").await.unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": namespace},
        "stringData": {"client-secret": story.account.client_secret},
    });
    story.apply(&secret).await;
    story.apply(&story.auth(AUTH)).await;
    for (manifest, _) in &backup {
        story.apply(manifest).await;
    }
    for (manifest, id) in &backup {
        let (kind, name) = named(manifest);
        let ready = story.wait_ready(kind, name).await;
        assert_eq!(ready["status"]["externalId"], *id, "{kind}");
        assert_eq!(ready["status"]["external"]["adopted"], false, "{kind}");
        assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Delete", "{kind}");
        let events = story.events(kind, name).await;
        assert!(!events.iter().any(|(reason, _)| reason == "Adopted"), "{kind}: {events:?}");
    }
    assert_eq!((ours(&story), writes(&story)), (before, vec![]));
    for (manifest, _) in &backup {
        let (kind, name) = named(manifest);
        story.delete(kind, name).await;
        story.wait_gone(kind, name).await;
    }
    assert_eq!(ours(&story), [0, 0, 1, 0], "the workspace of somebody else is left");
    story.end().await;
}

/// Covers LC-13, LC-16. An assignment that comes back and is deleted before any operator has seen it takes its ADMIN along.
#[tokio::test]
async fn access_that_is_restored_and_deleted_at_once_ends() {
    let mut story = Story::start("restored-deleted").await;
    let manifest = access(&story);
    story.apply(&manifest).await;
    story.wait_ready(ACCESS, "ada").await;
    let mut backup = saved(&story, ACCESS, "ada").await;
    lost(&mut story, ACCESS, "ada").await;
    backup["metadata"]["finalizers"] = json!(["databricks-operator.io/finalizer"]);
    story.apply(&backup).await;
    story.delete(ACCESS, "ada").await;
    assert_eq!(ours(&story)[3], 1);
    story.start_operator(&[]).await;
    story.wait_gone(ACCESS, "ada").await;
    assert_eq!(ours(&story)[3], 0);
    story.end().await;
}

/// Covers LC-16. A record that was copied, to another name or from another installation, or that tells only the id, adopts:
/// that is reported, the object stays on deletion, and `kubectl get -o wide` says so.
#[tokio::test]
async fn a_record_that_was_copied_adopts_and_says_so() {
    let mut story = Story::start("restored-copied").await;
    for (name, mark) in [
        ("other-name", Some(format!("default/{}/original", story.namespace))),
        ("other-cluster", Some(format!("elsewhere/{}/other-cluster", story.namespace))),
        ("older-backup", None),
    ] {
        story.apply(&list(&story, "original", name)).await;
        story.wait_ready(LIST, "original").await;
        let mut copy = saved(&story, LIST, "original").await;
        lost(&mut story, LIST, "original").await;
        copy["metadata"]["name"] = json!(name);
        copy["metadata"]["annotations"][MARK] = json!(mark);
        if mark.is_none() {
            copy["metadata"]["annotations"].as_object_mut().unwrap().remove(MARK);
        }
        story.apply(&copy).await;
        story.start_operator(&[]).await;
        let ready = story.wait_ready(LIST, name).await;
        assert_eq!(ready["status"]["external"]["adopted"], true, "{name}");
        assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain", "{name}");
        let note = story.wait_event(LIST, name, "Adopted").await;
        let id = ready["status"]["externalId"].as_str().unwrap();
        assert!(note.contains(id) && note.contains(MARK) && note.contains("deletionPolicy"), "{note}");
        let wide = story.kubectl(&["get", "ipaccesslist", name, "-o", "wide"]).await.unwrap();
        assert!(wide.contains("DELETION") && wide.contains("Retain"), "{wide}");
        story.delete(LIST, name).await;
        story.wait_gone(LIST, name).await;
    }
    assert_eq!(ours(&story)[0], 3);
    assert_eq!(writes(&story), ["POST"; 3]);
    story.end().await;
}

/// Covers LC-16, LC-02. A forged record, with one's own mark and the id of what somebody else made, is refused unless the
/// natural name is the same; and never takes from who manages it.
#[tokio::test]
async fn a_forged_record_deletes_nothing_of_others() {
    let mut story = Story::start("restored-forged").await;
    let by_hand = json!({"label": "console", "list_type": "ALLOW", "ip_addresses": ["203.0.113.0/24"]});
    let by_hand = story.account.insert("ip-access-lists", by_hand).unwrap()["list_id"].clone();
    story.let_reads_catch_up();
    story.apply(&list(&story, "office", "office")).await;
    let managed = story.wait_ready(LIST, "office").await["status"]["externalId"].clone();
    let forged = |name: &str, label: &str, id: &Value| {
        let mut manifest = list(&story, name, label);
        let mark = saved_mark(&story, name);
        manifest["metadata"]["annotations"] = json!({ID: id, MARK: mark});
        manifest
    };
    let rows = [
        (forged("other-label", "mine", &by_hand), "AlreadyExists"),
        (forged("held-by-another", "office", &managed), "ManagementConflict"),
    ];
    for (manifest, reason) in &rows {
        story.apply(manifest).await;
        story.wait_condition(LIST, named(manifest).1, "Stalled", "True", reason).await;
    }
    // At a start nothing but the objects themselves tells who came first.
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    for (manifest, reason) in &rows {
        let name = named(manifest).1;
        story.pass(LIST, name).await;
        story.wait_condition(LIST, name, "Stalled", "True", reason).await;
        story.delete(LIST, name).await;
    }
    let held = story.wait_condition(LIST, "other-label", "DeletionBlocked", "True", "ApiRefused").await;
    assert!(message(&held, "DeletionBlocked").contains("no longer looks like"), "{held}");
    story.patch(LIST, "other-label", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    for (manifest, _) in &rows {
        story.wait_gone(LIST, named(manifest).1).await;
    }
    story.pass(LIST, "office").await;
    story.wait_ready(LIST, "office").await;
    assert_eq!((ours(&story)[0], writes(&story)), (2, vec!["POST".to_owned()]));
    story.end().await;
}

fn saved_mark(story: &Story, name: &str) -> String {
    format!("default/{}/{name}", story.namespace)
}

/// Covers LC-16, UX-04. An object that an earlier version bound has no mark: it is not written for that alone, and gets the
/// mark with the next thing that is written of it. What was adopted gets none.
#[tokio::test]
async fn the_mark_comes_with_the_next_write_and_only_on_what_was_created() {
    let mut story = Story::start("restored-mark").await;
    let by_hand = json!({"label": "console", "list_type": "ALLOW", "ip_addresses": ["203.0.113.0/24"]});
    story.account.insert("ip-access-lists", by_hand).unwrap();
    story.let_reads_catch_up();
    let mut adopted = list(&story, "adopted", "console");
    adopted["spec"]["adoptionPolicy"] = json!("IfExists");
    for manifest in [adopted, list(&story, "office", "office")] {
        story.apply(&manifest).await;
        story.wait_ready(LIST, named(&manifest).1).await;
    }
    assert_eq!(
        saved(&story, LIST, "office").await["metadata"]["annotations"][MARK],
        saved_mark(&story, "office")
    );
    story.operator.take().unwrap().kill().unwrap();
    story.patch(LIST, "office", json!({"metadata": {"annotations": {MARK: null}}})).await;
    let before = story.get(LIST, "office").await;
    story.account.clear_journal();
    story.start_operator(&[]).await;
    let compared = async || {
        let calls = story.account.calls("GET", "*/ip-access-lists");
        if calls > 3 { Ok(()) } else { Err(calls.to_string()) }
    };
    eventually("the lists were compared three times", SOON, compared).await.unwrap();
    assert_eq!(story.get(LIST, "office").await, before);

    for name in ["adopted", "office"] {
        story.patch(LIST, name, json!({"spec": {"ipAddresses": ["192.0.2.0/24"]}})).await;
        story.wait_ready(LIST, name).await;
    }
    saved(&story, LIST, "office").await;
    story.pass(LIST, "adopted").await;
    let adopted = story.get(LIST, "adopted").await;
    assert!(adopted["metadata"]["annotations"][ID].is_string(), "{adopted}");
    assert_eq!(adopted["metadata"]["annotations"][MARK], Value::Null);
    assert_eq!(adopted["status"]["external"]["createdAt"], Value::Null);
    story.end().await;
}
