//! What must not go wrong when calls fail half-way: no second object, no lost record, no list in force too early.

use databricks_operator::engine::cluster::{Objects, RecordCopy};
use databricks_operator::engine::error::Error;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use simulator::{Fault, When};
use world::eventually;

use crate::support::{SOON, Story, condition};

const LIST: &str = "IpAccessList";

fn list(story: &Story, name: &str, label: &str) -> Value {
    let spec = json!({"label": label, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

/// A fault of the first call with this method to a path of IP access lists.
fn first(method: &str, path: &str, when: When) -> Fault {
    Fault { method: Some(method.into()), path: path.into(), nth: Some(1), when, ..Fault::default() }
}

/// What is in the account: label, type, addresses, whether in force.
fn lists(story: &Story) -> Vec<Value> {
    let shown =
        |list: &Value| json!([list["label"], list["list_type"], list["ip_addresses"], list["enabled"]]);
    story.account.objects("ip-access-lists").iter().map(shown).collect()
}

/// The labels of the lists that were asked for, in order.
fn posted(story: &Story) -> Vec<Value> {
    let posts = story.account.writes().into_iter().filter(|call| call.method == "POST");
    posts.map(|call| call.body.unwrap_or_default()["label"].clone()).collect()
}

/// Covers LC-01. The answer to a create is lost and the label edited: the list is found, and gets the new label.
#[tokio::test]
async fn a_label_edited_after_a_lost_create_leads_to_no_second_list() {
    let story = Story::start("lost-create").await;
    story.account.fault(Fault { drop: true, ..first("POST", "*/ip-access-lists", When::After) });
    story.apply(&list(&story, "office", "office")).await;
    story.wait_condition(LIST, "office", "Reconciling", "True", "Retrying").await;
    story.patch(LIST, "office", json!({"spec": {"label": "lab"}})).await;
    let ready = story.wait_ready(LIST, "office").await;
    assert_eq!(lists(&story), [json!(["lab", "ALLOW", ["203.0.113.0/24"], true])]);
    assert_eq!(ready["status"]["externalId"], story.account.objects("ip-access-lists")[0]["list_id"]);
    assert_eq!(posted(&story), ["office"]);
    story.end().await;
}

/// Covers LC-01. A create that takes longer than the operator waits is not sent again, whether it had its effect before
/// or has it later.
#[tokio::test]
async fn a_create_is_not_repeated_after_a_time_out() {
    // As in reality, a call times out long before its result counts as known.
    let flags = [("request-timeout", "1s"), ("write-timeout", "1s"), ("quarantine", "4s")];
    let story = Story::start_with("timed-out", &flags).await;
    for (name, when) in [("answered-late", When::After), ("done-late", When::Before)] {
        let fault = story.account.fault(Fault { hold: true, ..first("POST", "*/ip-access-lists", when) });
        story.apply(&list(&story, name, name)).await;
        let held = story.account.held(fault).await;
        story.wait_condition(LIST, name, "Reconciling", "True", "Retrying").await;
        assert!(story.account.release(held.n));
        story.wait_ready(LIST, name).await;
        story.account.clear_faults();
    }
    assert_eq!(posted(&story), ["answered-late", "done-late"]);
    assert_eq!(lists(&story).len(), 2);
    story.end().await;
}

/// A list that is wanted disabled is harmless until it is disabled, and is in force at no time: not between two calls,
/// not when the operator crashes there, not when it is edited.
#[tokio::test]
async fn a_disabled_list_is_never_in_force() {
    let mut story = Story::start("never-live").await;
    let made = story.account.fault(Fault { hold: true, ..first("POST", "*/ip-access-lists", When::After) });
    let patch =
        story.account.fault(Fault { hold: true, ..first("PATCH", "*/ip-access-lists/*", When::Before) });
    let mut manifest = list(&story, "office", "office");
    manifest["spec"]["enabled"] = json!(false);
    story.apply(&manifest).await;
    let harmless = [json!(["office", "BLOCK", [], true])];
    let held = story.account.held(made).await;
    assert_eq!(lists(&story), harmless);
    story.account.release(held.n);
    story.account.held(patch).await;
    assert_eq!(lists(&story), harmless);
    story.operator.take().unwrap().kill().unwrap();
    assert_eq!(lists(&story), harmless);
    story.account.clear_faults();
    story.start_operator(&[]).await;
    story.wait_ready(LIST, "office").await;
    assert_eq!(lists(&story), [json!(["office", "ALLOW", ["203.0.113.0/24"], false])]);

    let changes = json!({"ipAddresses": ["198.51.100.0/24"], "listType": "BLOCK"});
    story.patch(LIST, "office", json!({"spec": changes})).await;
    story.wait_ready(LIST, "office").await;
    assert_eq!(lists(&story), [json!(["office", "BLOCK", ["198.51.100.0/24"], false])]);

    // From the journal: what the list was after each call.
    let mut now = json!({});
    let mut steps = 0;
    for call in story.account.writes() {
        let body = call.body.unwrap();
        if call.method == "POST" {
            now["enabled"] = json!(true);
        }
        for (field, value) in body.as_object().unwrap() {
            now[field] = value.clone();
        }
        let in_force =
            now["enabled"] == true && (now["list_type"] == "ALLOW" || now["ip_addresses"] != json!([]));
        assert!(!in_force, "{} {body}", call.method);
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
    assert_eq!(posted(&story), ["office"]);
    story.account.release_all();
    story.end().await;
}

/// Covers LC-01. Somebody writes to the object while its list is being made: the id is recorded all the same, and what the
/// operator writes does not undo what the other wrote.
#[tokio::test]
async fn a_change_during_a_create_wipes_no_record() {
    let mut story = Story::start("raced-record").await;
    let fault = story.account.fault(Fault { hold: true, ..first("POST", "*/ip-access-lists", When::After) });
    story.apply(&list(&story, "office", "office")).await;
    let held = story.account.held(fault).await;
    let open = story.get(LIST, "office").await;
    assert_eq!(open["status"]["intent"]["name"], "ALLOW/office", "{open}");
    story.patch(LIST, "office", json!({"metadata": {"labels": {"team": "a"}}})).await;
    story.account.release(held.n);
    let ready = story.wait_ready(LIST, "office").await;
    assert_eq!(ready["metadata"]["labels"]["team"], "a");
    assert_eq!(ready["status"]["intent"], Value::Null);

    // And if the operator crashes after the change, what it had announced is still there.
    let fault = story.account.fault(Fault { hold: true, ..first("POST", "*/ip-access-lists", When::After) });
    story.apply(&list(&story, "lab", "lab")).await;
    story.account.held(fault).await;
    story.patch(LIST, "lab", json!({"metadata": {"labels": {"team": "a"}}})).await;
    story.operator.take().unwrap().kill().unwrap();
    story.account.release_all();
    story.start_operator(&[]).await;
    story.wait_ready(LIST, "lab").await;
    assert_eq!(posted(&story), ["office", "lab"]);
    assert_eq!(lists(&story).len(), 2);
    story.end().await;
}

/// Covers LC-01. The object is edited between the operator's look at it and its announcement of a create: nothing is sent
/// for the old spec.
#[tokio::test]
async fn a_create_from_an_old_view_is_not_sent() {
    let story = Story::start("stale-view").await;
    let fault = story.account.fault(Fault { hold: true, ..first("GET", "*/ip-access-lists", When::After) });
    story.apply(&list(&story, "office", "office")).await;
    let held = story.account.held(fault).await;
    story.patch(LIST, "office", json!({"spec": {"label": "lab"}})).await;
    story.account.release(held.n);
    story.wait_ready(LIST, "office").await;
    assert_eq!(posted(&story), ["lab"]);
    story.end().await;
}

/// Covers LC-01. The object is changed between the operator's look at it and a write of its status, finalizer or annotation:
/// the write fails and wipes neither the intent nor the finalizer that came in between.
#[tokio::test]
async fn a_write_from_an_old_view_wipes_nothing() {
    let story = Story::without_operator("stale-write").await;
    story.apply(&list(&story, "office", "office")).await;
    let old = story.api(LIST).get("office").await.unwrap();
    let intent = json!({"accountId": story.account.account_id, "name": "ALLOW/office", "time": "2026-01-01T00:00:00Z"});
    story.patch(LIST, "office", json!({"metadata": {"finalizers": ["example.com/other"]}})).await;
    story
        .kubectl(&[
            "patch",
            "ipaccesslist",
            "office",
            "--subresource=status",
            "--type=merge",
            "-p",
            &json!({"status": {"intent": intent}}).to_string(),
        ])
        .await
        .unwrap();

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", LIST));
    let cluster = Objects::new(story.client.clone());
    let mut status = old.data["status"].clone();
    status["intent"] = json!({"accountId": "other", "name": "ALLOW/lab", "time": "2026-01-01T00:00:01Z"});
    let written = cluster.write_status(&kind, &mut old.clone(), &status).await;
    assert!(matches!(written, Err(Error::Conflict(_))), "{written:?}");
    let copy = RecordCopy { id: "1".into(), created_by: None, written: false };
    for (finalizer, copy) in [(true, None), (false, Some(&copy))] {
        let written = cluster.write_metadata(&kind, &mut old.clone(), finalizer, copy).await;
        assert!(matches!(written, Err(Error::Conflict(_))), "{written:?}");
    }
    let now = story.get(LIST, "office").await;
    assert_eq!(now["status"]["intent"]["name"], "ALLOW/office");
    assert_eq!(now["metadata"]["finalizers"], json!(["example.com/other"]));
    story.end().await;
}

/// Covers LC-01, LC-02. Who has begun to make a list is not overtaken, not even by an older object; nor after a crash.
#[tokio::test]
async fn a_create_that_has_begun_is_not_overtaken() {
    let mut story = Story::start_with("overtaken", &[("quarantine", "5s")]).await;
    story.account.set(|settings| settings.refuse_duplicates = false);
    for (label, crash) in [("office", false), ("lab", true)] {
        let (older, newer) = (format!("{label}-older"), format!("{label}-newer"));
        let mut suspended = list(&story, &older, label);
        suspended["spec"]["suspend"] = json!(true);
        story.apply(&suspended).await;
        story.wait_condition(LIST, &older, "Suspended", "True", "SuspendedBySpec").await;
        story.wait_older(LIST, &older).await;
        let fault =
            story.account.fault(Fault { hold: true, ..first("POST", "*/ip-access-lists", When::Before) });
        story.apply(&list(&story, &newer, label)).await;
        story.account.held(fault).await;
        if crash {
            story.operator.take().unwrap().kill().unwrap();
            story.start_operator(&[("quarantine", "5s")]).await;
        }
        story.patch(LIST, &older, json!({"spec": {"suspend": false}})).await;
        story.wait_condition(LIST, &older, "Stalled", "True", "ManagementConflict").await;
        story.account.release_all();
        story.wait_ready(LIST, &newer).await;
        story.account.clear_faults();
    }
    assert_eq!(posted(&story), ["office", "lab"]);
    assert_eq!(lists(&story).len(), 2);
    story.end().await;
}

const ACCESS: &str = "PermissionAssignment";

/// A workspace of the account, and an assignment of ADMIN in it for a user.
fn access(story: &Story, workspace: &Value, name: &str, user: &Value) -> Value {
    let id: i64 = user["id"].as_str().unwrap().parse().unwrap();
    let spec = json!({"workspaceId": workspace, "principal": {"id": id}, "permissions": ["ADMIN"]});
    story.managed(ACCESS, name, spec)
}

/// Who has access, as the account has it.
fn rows(story: &Story) -> Vec<Value> {
    let shown = |row: &Value| json!([row["principal"]["principal_id"], row["permissions"]]);
    story.account.objects("permissionassignments").iter().map(shown).collect()
}

/// Covers LC-01, DL-10. Access whose answer was lost, and whose object is deleted before anybody knows, is taken away.
#[tokio::test]
async fn access_that_was_given_by_a_lost_call_is_removed_with_its_object() {
    // It finds out nothing before its deletion: what is sent again is refused, or may be.
    for status in [503, 429] {
        let story = Story::start(&format!("lost-access-{status}")).await;
        let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
        let user = story.account.objects("Users")[0].clone();
        story.account.fault(Fault { drop: true, ..first("PUT", "*/principals/*", When::After) });
        let refused =
            Fault { status: Some(status), nth: None, ..first("PUT", "*/principals/*", When::Before) };
        story.account.fault(refused);
        story.apply(&access(&story, &workspace, "admin", &user)).await;
        story.wait_condition(ACCESS, "admin", "Reconciling", "True", "Retrying").await;
        let sent = async || {
            let calls = story.account.calls("PUT", "*/principals/*");
            if calls > 1 { Ok(()) } else { Err(calls.to_string()) }
        };
        eventually("it was sent again", SOON, sent).await.unwrap();
        story.delete(ACCESS, "admin").await;
        story.wait_gone(ACCESS, "admin").await;
        assert_eq!(rows(&story), [] as [Value; 0], "{status}");
        story.end().await;
    }
}

/// Covers LC-01, LC-03. An assignment that is made to mean somebody else while its first write is in doubt neither leaves
/// the first one's access behind unseen, nor takes over what the other one had.
#[tokio::test]
async fn a_write_in_doubt_proves_nothing_about_another_principal() {
    // Time for the edit before the next attempt.
    let slow = [("backoff-min", "5s"), ("backoff-max", "5s")];
    let story = Story::start_with("doubtful-access", &slow).await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let users = story.account.objects("Users");
    let other: i64 = users[1]["id"].as_str().unwrap().parse().unwrap();
    let by_hand = json!({"workspace_id": workspace, "principal_id": other, "permissions": ["USER"]});
    story.account.insert("permissionassignments", by_hand).unwrap();
    let held_by_hand = rows(&story);
    story.account.fault(Fault { drop: true, ..first("PUT", "*/principals/*", When::After) });
    story.apply(&access(&story, &workspace, "admin", &users[0])).await;
    story.wait_condition(ACCESS, "admin", "Reconciling", "True", "Retrying").await;
    story.patch(ACCESS, "admin", json!({"spec": {"principal": {"id": other}}})).await;
    story.wait_condition(ACCESS, "admin", "Stalled", "True", "ImmutableFieldChanged").await;
    assert_eq!(rows(&story).len(), 2);
    story.delete(ACCESS, "admin").await;
    story.wait_gone(ACCESS, "admin").await;
    assert_eq!(rows(&story), held_by_hand);
    story.end().await;
}

/// Covers LC-03, LC-13. A copied annotation does not make somebody's list ours.
#[tokio::test]
async fn a_copied_annotation_adopts_nothing() {
    let story = Story::start("copied-annotation").await;
    let theirs = json!({"label": "theirs", "list_type": "ALLOW", "ip_addresses": ["198.51.100.0/24"]});
    let id = story.account.insert("ip-access-lists", theirs).unwrap()["list_id"].clone();
    story.let_reads_catch_up();
    let before = lists(&story);
    let mut copy = list(&story, "copy", "mine");
    copy["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": id});
    story.apply(&copy).await;
    story.wait_condition(LIST, "copy", "Stalled", "True", "AlreadyExists").await;
    story.delete(LIST, "copy").await;
    story.wait_gone(LIST, "copy").await;
    assert_eq!(lists(&story), before);
    assert_eq!(posted(&story), [] as [Value; 0]);
    story.end().await;
}

/// Covers LC-01. The same where the workspace was changed: the first one's access is not forgotten.
#[tokio::test]
async fn a_write_in_doubt_in_another_workspace_is_not_forgotten() {
    // Time for the edit before the next attempt.
    let slow = [("backoff-min", "5s"), ("backoff-max", "5s")];
    let story = Story::start_with("doubtful-workspace", &slow).await;
    let first_one = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let second_one = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let user = story.account.objects("Users")[0].clone();
    story.account.fault(Fault { drop: true, ..first("PUT", "*/principals/*", When::After) });
    story.apply(&access(&story, &first_one, "admin", &user)).await;
    story.wait_condition(ACCESS, "admin", "Reconciling", "True", "Retrying").await;
    story.patch(ACCESS, "admin", json!({"spec": {"workspaceId": second_one}})).await;
    story.wait_condition(ACCESS, "admin", "Stalled", "True", "ImmutableFieldChanged").await;
    assert_eq!(rows(&story).len(), 1);
    story.delete(ACCESS, "admin").await;
    story.wait_gone(ACCESS, "admin").await;
    assert_eq!(rows(&story), [] as [Value; 0]);
    story.end().await;
}

/// Begins to make a list and crashes over it; `when` says whether the call had its effect before.
async fn crash_over_a_create(story: &mut Story, when: When) {
    let fault =
        story.account.fault(Fault { hold: true, drop: true, ..first("POST", "*/ip-access-lists", when) });
    story.apply(&list(story, "office", "office")).await;
    story.account.held(fault).await;
    story.operator.take().unwrap().kill().unwrap();
    story.account.release_all();
    story.account.clear_faults();
}

/// Covers LC-01, LC-03. A create was lost before its effect, and long after somebody makes a list of that very name by hand.
/// It may be anybody's: it is neither changed nor, with the object, deleted; a person is asked.
#[tokio::test]
async fn a_list_created_long_after_a_lost_create_is_not_taken_for_ours() {
    let mut story = Story::start("lost-create-stranger").await;
    crash_over_a_create(&mut story, When::Before).await;
    assert_eq!(lists(&story), [] as [Value; 0]);
    let by_hand = json!({"label": "office", "list_type": "ALLOW", "ip_addresses": ["198.51.100.0/24"],
        "created_at": story.account.now_ms() + 3_600_000});
    let id = story.account.insert("ip-access-lists", by_hand).unwrap()["list_id"].clone();
    story.let_reads_catch_up();
    let before = story.account.objects("ip-access-lists");

    story.start_operator(&[]).await;
    let stalled = story.wait_condition(LIST, "office", "Stalled", "True", "CreateResultUnknown").await;
    let says = condition(&stalled, "Stalled").unwrap()["message"].as_str().unwrap();
    assert!(says.contains(id.as_str().unwrap()) && says.contains("spec.externalId"), "{says}");
    story.delete(LIST, "office").await;
    story.wait_condition(LIST, "office", "DeletionBlocked", "True", "ApiRefused").await;
    story.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(LIST, "office").await;
    assert_eq!(story.account.objects("ip-access-lists"), before);
    assert_eq!(story.account.writes().len(), 1, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-01. Our clock ran far ahead when we made a list, so it looks older than our wish to make it. It is not forgotten:
/// no second one is made, and a person is asked.
#[tokio::test]
async fn a_list_that_seems_too_old_to_be_ours_is_not_created_twice() {
    let mut story = Story::start("lost-create-clock").await;
    crash_over_a_create(&mut story, When::After).await;
    let id = story.account.objects("ip-access-lists")[0]["list_id"].as_str().unwrap().to_owned();
    let early = story.account.now_ms() - 3_600_000;
    story.account.edit("ip-access-lists", &id, json!({"created_at": early})).unwrap();
    // Under another name nothing would be in the way of a second one.
    story.patch(LIST, "office", json!({"spec": {"label": "lab"}})).await;
    story.start_operator(&[]).await;
    let stalled = story.wait_condition(LIST, "office", "Stalled", "True", "CreateResultUnknown").await;
    assert!(condition(&stalled, "Stalled").unwrap()["message"].to_string().contains(&id), "{stalled}");
    assert_eq!((lists(&story).len(), posted(&story)), (1, vec![json!("office")]));

    // A person decides.
    assert!(story.account.remove("ip-access-lists", &id));
    story.let_reads_catch_up();
    story.pass(LIST, "office").await;
    story.wait_ready(LIST, "office").await;
    assert_eq!((lists(&story).len(), posted(&story)), (1, vec![json!("office"), json!("lab")]));
    story.end().await;
}
