//! How objects live: who wins, who is taken over, what is corrected, what is left alone, what comes back.

use serde_json::{Value, json};
use simulator::Fault;
use tokio::time::Instant;
use world::eventually;

use crate::support::{AUTH, SOON, Story, WOKEN, condition};

const LIST: &str = "IpAccessList";

/// A list of the addresses of an office.
fn list(story: &Story, name: &str, label: &str) -> Value {
    let spec = json!({"label": label, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

/// The same list as somebody made it in the console; its id.
fn made_by_hand(story: &Story, label: &str) -> String {
    let list = json!({"label": label, "list_type": "ALLOW", "ip_addresses": ["203.0.113.0/24"]});
    let made = story.account.insert("ip-access-lists", list).unwrap();
    story.let_reads_catch_up();
    made["list_id"].as_str().unwrap().to_owned()
}

/// Methods of the calls that wanted to change something.
fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

async fn crash(story: &mut Story) {
    story.operator.take().unwrap().kill().unwrap();
}

/// Covers LC-02. The first to come keeps the list, after a restart too; when it goes, the other gets its turn.
#[tokio::test]
async fn of_two_objects_for_one_list_the_older_wins() {
    let mut story = Story::start("older-wins").await;
    story.apply(&list(&story, "older", "office")).await;
    story.wait_ready(LIST, "older").await;
    story.apply(&list(&story, "newer", "office")).await;
    let conflict = async |story: &Story| {
        let newer = story.wait_condition(LIST, "newer", "Synced", "False", "ManagementConflict").await;
        assert_eq!(condition(&newer, "Stalled").unwrap()["status"], "True");
        let text = message(&newer, "Stalled");
        assert!(text.contains("IpAccessList older-wins/older"), "{text}");
    };
    conflict(&story).await;

    crash(&mut story).await;
    story.start_operator(&[]).await;
    for name in ["newer", "older", "newer"] {
        story.pass(LIST, name).await;
    }
    conflict(&story).await;
    story.wait_ready(LIST, "older").await;
    assert_eq!(writes(&story), ["POST"]);

    story.delete(LIST, "older").await;
    story.wait_gone(LIST, "older").await;
    story.wait_ready(LIST, "newer").await;
    assert_eq!(writes(&story), ["POST", "DELETE", "POST"]);
    story.end().await;
}

/// Covers LC-02. Of two namespaces, the loser learns that it lost and not to whom.
#[tokio::test]
async fn the_loser_does_not_learn_the_name_of_another_namespaces_object() {
    let theirs = Story::without_operator("older-wins-there").await;
    let mut ours = Story::without_operator("older-wins-here").await;
    let mut auth = ours.auth(AUTH);
    auth["spec"]["grants"] = json!([{"namespaces": {"from": "Same"}}, {"namespaces": {"from": "Names", "names": [theirs.namespace]}}]);
    ours.apply(&auth).await;
    ours.start_operator(&[("namespaces", &theirs.namespace)]).await;
    let mut first = list(&theirs, "tenant-list", "office");
    first["spec"]["authRef"]["namespace"] = json!(ours.namespace);
    theirs.apply(&first).await;
    theirs.wait_ready(LIST, "tenant-list").await;

    ours.apply(&list(&ours, "second", "office")).await;
    let second = ours.wait_condition(LIST, "second", "Stalled", "True", "ManagementConflict").await;
    let text = message(&second, "Stalled");
    assert!(text.contains("an object of another namespace"), "{text}");
    let all = second.to_string() + &ours.kubectl(&["get", "events", "-o", "json"]).await.unwrap();
    assert!(!all.contains("older-wins-there") && !all.contains("tenant-list"), "{all}");
    assert_eq!(writes(&ours), ["POST"]);
    ours.end().await;
    theirs.end().await;
}

/// Covers LC-02. What was applied while the operator was down is sorted out by age, whatever comes first in the watch.
#[tokio::test]
async fn of_two_objects_applied_while_the_operator_was_down_the_older_wins() {
    let mut story = Story::without_operator("older-wins-at-start").await;
    let pairs = 0..5;
    for n in pairs.clone() {
        story.apply(&list(&story, &format!("z-older-{n}"), &format!("office-{n}"))).await;
    }
    story.wait_older(LIST, "z-older-4").await;
    for n in pairs.clone() {
        story.apply(&list(&story, &format!("a-newer-{n}"), &format!("office-{n}"))).await;
    }
    story.start_operator(&[]).await;
    for n in pairs {
        story.wait_ready(LIST, &format!("z-older-{n}")).await;
        let newer = format!("a-newer-{n}");
        story.wait_condition(LIST, &newer, "Synced", "False", "ManagementConflict").await;
    }
    assert_eq!(writes(&story), ["POST"; 5]);
    story.end().await;
}

/// Covers LC-02. A label that an object no longer has is free for another, one that waits for it or one that comes later.
#[tokio::test]
async fn a_label_that_was_given_up_is_free_again() {
    let story = Story::start("given-up").await;
    for n in 0..4 {
        let (old, new) = (format!("old-{n}"), format!("new-{n}"));
        let label = format!("office-{n}");
        story.apply(&list(&story, &old, &label)).await;
        story.wait_ready(LIST, &old).await;
        let waits = n % 2 == 0;
        if waits {
            story.apply(&list(&story, &new, &label)).await;
            story.wait_condition(LIST, &new, "Stalled", "True", "ManagementConflict").await;
        }
        story.patch(LIST, &old, json!({"spec": {"label": format!("lab-{n}")}})).await;
        story.wait_ready(LIST, &old).await;
        if !waits {
            story.apply(&list(&story, &new, &label)).await;
        }
        story.wait_ready(LIST, &new).await;
    }
    assert_eq!(writes(&story), ["POST", "PATCH", "POST"].repeat(4));
    story.end().await;
}

/// Covers LC-03. What is there already is left alone, and the message says which object it is and how to take it over.
#[tokio::test]
async fn an_existing_object_is_left_alone_until_the_spec_allows_its_adoption() {
    let story = Story::start("there-already").await;
    let id = made_by_hand(&story, "office");
    let mut manifest = list(&story, "office", "office");
    manifest["spec"]["adoptionPolicy"] = json!("Never");
    story.apply(&manifest).await;
    let stalled = story.wait_condition(LIST, "office", "Stalled", "True", "AlreadyExists").await;
    let text = message(&stalled, "Stalled");
    assert!(text.contains(&id) && text.contains("spec.adoptionPolicy to IfExists"), "{text}");
    assert_eq!(stalled["status"]["externalId"], Value::Null);
    assert_eq!(writes(&story), [""; 0]);

    story.patch(LIST, "office", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    let ready = story.wait_ready(LIST, "office").await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    // What was taken over is given back.
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
    story.wait_event(LIST, "office", "Adopted").await;
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;
    story.wait_event(LIST, "office", "Retained").await;
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    assert_eq!(writes(&story), [""; 0]);
    story.end().await;
}

/// Covers LC-04. Nothing in an IP access list says whose it is: the recorded id proves it, a name does not.
#[tokio::test]
async fn a_retained_list_comes_back_by_its_recorded_id_only() {
    let story = Story::start("retained-list").await;
    let mut manifest = list(&story, "office", "office");
    manifest["spec"]["deletionPolicy"] = json!("Retain");
    story.apply(&manifest).await;
    let ready = story.wait_ready(LIST, "office").await;
    let id = ready["status"]["externalId"].as_str().unwrap().to_owned();
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;

    story.apply(&manifest).await;
    let stalled = story.wait_condition(LIST, "office", "Stalled", "True", "AlreadyExists").await;
    assert!(message(&stalled, "Stalled").contains(&id));
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;

    manifest["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": id});
    story.apply(&manifest).await;
    let ready = story.wait_ready(LIST, "office").await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-04. An assignment is proven by the record that we wrote it; a row that was there before is not ours.
#[tokio::test]
async fn a_retained_assignment_comes_back_by_its_record_only() {
    let story = Story::start("retained-assignment").await;
    let (mut manifest, id) = assignment(&story, "ada");
    manifest["spec"]["deletionPolicy"] = json!("Retain");
    story.apply(&manifest).await;
    let ready = story.wait_ready("PermissionAssignment", "ada").await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    story.delete("PermissionAssignment", "ada").await;
    story.wait_gone("PermissionAssignment", "ada").await;

    story.apply(&manifest).await;
    story.wait_condition("PermissionAssignment", "ada", "Stalled", "True", "AlreadyExists").await;
    manifest["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": id});
    story.apply(&manifest).await;
    let ready = story.wait_ready("PermissionAssignment", "ada").await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    assert_eq!(writes(&story), ["PUT"]);
    story.end().await;
}

/// Access of a user to a new running workspace, and the id that it will have.
fn assignment(story: &Story, user: &str) -> (Value, String) {
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let users = story.account.objects("Users");
    let found = users.iter().find(|found| found["displayName"] == user).unwrap();
    let id = format!("{workspace}/{}", found["id"].as_str().unwrap());
    let spec = json!({
        "workspaceId": workspace, "principal": {"userName": found["userName"]}, "permissions": ["USER"],
    });
    (story.managed("PermissionAssignment", user, spec), id)
}

/// Covers LC-06, LC-07. Observing is the plan: field by field what is wanted and what is there, and no write; when all is
/// well, managing begins without a write too.
#[tokio::test]
async fn an_observed_object_shows_what_would_change_and_changes_nothing() {
    let story = Story::start("observing").await;
    let id = made_by_hand(&story, "office");
    story.account.edit("ip-access-lists", &id, json!({"ip_addresses": ["198.51.100.7"]})).unwrap();
    let mut manifest = list(&story, "office", "office");
    manifest["spec"]["managementPolicy"] = json!("Observe");
    manifest["spec"]["externalId"] = json!(id);
    story.apply(&manifest).await;
    let drifted = story.wait_condition(LIST, "office", "Synced", "False", "DriftDetected").await;
    let drift = json!([{
        "path": "ipAddresses", "want": r#"["203.0.113.0/24"]"#, "seen": r#"["198.51.100.7/32"]"#,
    }]);
    assert_eq!(drifted["status"]["drift"], drift);
    let told = story.wait_event(LIST, "office", "DriftDetected").await;
    assert!(told.contains("ipAddresses"), "{told}");

    story.account.edit("ip-access-lists", &id, json!({"ip_addresses": ["203.0.113.0/24"]})).unwrap();
    let synced = story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
    assert_eq!(synced["status"]["drift"], Value::Null);
    story.patch(LIST, "office", json!({"spec": {"managementPolicy": "Managed"}})).await;
    story.wait_ready(LIST, "office").await;
    story.pass(LIST, "office").await;
    assert_eq!(writes(&story), [""; 0]);
    story.end().await;
}

/// Covers LC-08. What somebody changed in the console is changed back within the resync interval, that and no more.
#[tokio::test]
async fn only_what_drifted_is_corrected() {
    let story = Story::start_with("drift", &[("resync-interval", "2s")]).await;
    story.apply(&list(&story, "office", "office")).await;
    let ready = story.wait_ready(LIST, "office").await;
    let id = ready["status"]["externalId"].as_str().unwrap();
    story.account.clear_journal();
    let changes = json!({"ip_addresses": ["198.51.100.7"], "enabled": false});
    let edited = story.account.now_ms();
    story.account.edit("ip-access-lists", id, changes).unwrap();
    let told = story.wait_event(LIST, "office", "DriftCorrected").await;
    assert!(told.contains("enabled") && told.contains("ipAddresses") && !told.contains("label"), "{told}");

    story.pass(LIST, "office").await;
    let writes = story.account.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!((&*writes[0].method, writes[0].path.ends_with(id)), ("PATCH", true));
    let body = json!({"ip_addresses": ["203.0.113.0/24"], "enabled": true});
    assert_eq!(writes[0].body, Some(body));
    // The interval is two seconds and may be a fifth longer.
    let took = writes[0].at_ms - edited;
    assert!(took < 3 * 2_400, "{took} ms");
    let events = story.events(LIST, "office").await;
    assert_eq!(events.iter().filter(|(reason, _)| reason == "DriftCorrected").count(), 1, "{events:?}");
    story.end().await;
}

/// Covers LC-09. While an object is suspended nothing is asked and nothing is changed; resuming acts at once.
#[tokio::test]
async fn a_suspended_object_makes_no_call() {
    let story = Story::start("suspended").await;
    let (assignment, _) = assignment(&story, "ada");
    story.apply(&assignment).await;
    story.wait_ready("PermissionAssignment", "ada").await;
    story.apply(&list(&story, "office", "office")).await;
    let ready = story.wait_ready(LIST, "office").await;
    let id = ready["status"]["externalId"].as_str().unwrap();

    let asked = Instant::now();
    story.patch(LIST, "office", json!({"spec": {"suspend": true}})).await;
    story.wait_condition(LIST, "office", "Suspended", "True", "SuspendedBySpec").await;
    assert!(asked.elapsed() < WOKEN, "it took {:?}", asked.elapsed());
    let shown = story.kubectl(&["get", "ipaccesslist", "office", "-o", "wide"]).await.unwrap();
    assert!(shown.contains("suspend"), "{shown}");
    let calls = || story.account.calls("*", "*/ip-access-lists*");
    let before = calls();
    story.account.edit("ip-access-lists", id, json!({"ip_addresses": ["198.51.100.7"]})).unwrap();
    story.pass(LIST, "office").await;
    // As long as another object is compared three times, which is three resync intervals.
    let resyncs = || story.account.calls("GET", "*/permissionassignments");
    let until = resyncs() + 3;
    let passed = eventually("three resyncs", SOON, async || {
        let now = resyncs();
        if now >= until { Ok(()) } else { Err(now.to_string()) }
    });
    passed.await.unwrap();
    assert_eq!(calls(), before);

    let resumed = story.account.now_ms();
    story.patch(LIST, "office", json!({"spec": {"suspend": false}})).await;
    story.wait_ready(LIST, "office").await;
    let patched = story.account.writes().into_iter().find(|call| call.method == "PATCH").unwrap();
    assert!(patched.at_ms - resumed < 3_000, "{} ms", patched.at_ms - resumed);
    story.wait_event(LIST, "office", "Suspended").await;
    story.wait_event(LIST, "office", "Resumed").await;
    story.end().await;
}

/// Covers LC-10. A new token is one look at the account, and an old one is none.
#[tokio::test]
async fn a_reconcile_can_be_requested() {
    let story = Story::start_with("asked", &[("resync-interval", "Never")]).await;
    story.apply(&list(&story, "office", "office")).await;
    story.wait_ready(LIST, "office").await;
    let ask = async |token: &str, note: &str| {
        let annotations = json!({"databricks-operator.io/reconcile-requested-at": token, "note": note});
        story.patch(LIST, "office", json!({"metadata": {"annotations": annotations}})).await;
        story
            .wait(LIST, "office", "handled", |object| {
                (object["status"]["lastHandledReconcileAt"] == token).then_some(())
            })
            .await;
    };
    let looks = || story.account.calls("GET", "*/ip-access-lists*");
    let before = looks();
    ask("first", "").await;
    assert_eq!(looks(), before + 1);
    // The same again, on an object that changed besides.
    ask("first", "a").await;
    ask("first", "b").await;
    ask("second", "b").await;
    assert_eq!(looks(), before + 2);
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-10. Who has repaired the account need not wait until a long backoff is over.
#[tokio::test]
async fn a_reconcile_can_be_requested_during_a_backoff() {
    let slow = [("backoff-min", "10m"), ("backoff-max", "10m")];
    let story = Story::start_with("asked-in-backoff", &slow).await;
    story.account.fault(Fault { path: "*/ip-access-lists".into(), status: Some(500), ..Fault::default() });
    story.apply(&list(&story, "office", "office")).await;
    story.wait_condition(LIST, "office", "Reconciling", "True", "Retrying").await;
    story.account.clear_faults();
    story.pass(LIST, "office").await;
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers LC-12. A list that disappeared in the console is made again.
#[tokio::test]
async fn a_lost_list_is_created_again() {
    let story = Story::start("lost-list").await;
    story.apply(&list(&story, "office", "office")).await;
    let ready = story.wait_ready(LIST, "office").await;
    let id = ready["status"]["externalId"].as_str().unwrap();
    assert!(story.account.remove("ip-access-lists", id));
    let again = story
        .wait(LIST, "office", "bound to a new list", |object| {
            let now = object["status"]["externalId"].as_str()?;
            (now != id && condition(object, "Ready")?["status"] == "True").then(|| now.to_owned())
        })
        .await;
    let lists = story.account.objects("ip-access-lists");
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0]["list_id"], json!(again));
    assert_eq!(writes(&story), ["POST", "POST"]);
    story
        .wait(LIST, "office", "a copy of the new id", |object| {
            let copy = &object["metadata"]["annotations"]["databricks-operator.io/external-id"];
            (*copy == json!(again)).then_some(())
        })
        .await;
    story.end().await;
}

/// Covers LC-13. A backup without status, restored into an empty cluster, finds the objects that are there.
#[tokio::test]
async fn a_restored_backup_finds_its_objects_again() {
    let mut story = Story::start("restored").await;
    let (assignment, _) = assignment(&story, "ada");
    let all = [(LIST, "office"), (LIST, "lab"), ("PermissionAssignment", "ada")];
    for manifest in [list(&story, "office", "office"), list(&story, "lab", "lab"), assignment] {
        story.apply(&manifest).await;
    }
    let mut saved = vec![];
    for (kind, name) in all {
        story.wait_ready(kind, name).await;
        // The copy of the id is the last thing that is written.
        let copied = |o: &Value| {
            o["metadata"]["annotations"]["databricks-operator.io/external-id"].as_str()?;
            Some(o.clone())
        };
        let object = story.wait(kind, name, "has a copy of its id", copied).await;
        let mut manifest = story.object(kind, name, object["spec"].clone());
        manifest["metadata"]["annotations"] = object["metadata"]["annotations"].clone();
        saved.push((manifest, object["status"]["externalId"].clone()));
    }
    crash(&mut story).await;
    for (kind, name) in all {
        story.patch(kind, name, json!({"metadata": {"finalizers": null}})).await;
        story.delete(kind, name).await;
        story.wait_gone(kind, name).await;
    }
    story.account.clear_journal();
    for (manifest, _) in &saved {
        story.apply(manifest).await;
    }
    story.start_operator(&[]).await;
    for ((kind, name), (_, id)) in all.into_iter().zip(&saved) {
        let ready = story.wait_ready(kind, name).await;
        assert_eq!(ready["status"]["externalId"], *id, "{kind} {name}");
        // The annotations tell that it was created for this object.
        assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Delete", "{kind} {name}");
    }
    assert_eq!(writes(&story), [""; 0]);
    assert_eq!(story.account.objects("ip-access-lists").len(), 2);
    story.end().await;
}

/// A manifest of the list `office` under this name, with these fields.
fn office(story: &Story, name: &str, fields: Value) -> Value {
    let mut manifest = list(story, name, "office");
    for (field, value) in fields.as_object().unwrap() {
        manifest["spec"][field] = value.clone();
    }
    manifest
}

/// Covers LC-02, LC-06. Who only observes claims nothing: any number may watch one list, none keeps an object from managing it,
/// after a restart neither; but one that begins to manage meets the one that does already.
#[tokio::test]
async fn objects_that_observe_take_nothing_from_the_one_that_manages() {
    let mut story = Story::start("observers").await;
    let id = made_by_hand(&story, "office");
    let by_id = json!({"managementPolicy": "Observe", "externalId": id});
    let by_name = json!({"managementPolicy": "Observe", "adoptionPolicy": "IfExists"});
    for (name, fields) in [("asleep", &by_id), ("by-id", &by_id), ("by-name", &by_name)] {
        story.apply(&office(&story, name, fields.clone())).await;
        story.wait_ready(LIST, name).await;
        story.pass(LIST, name).await;
        story.wait_older(LIST, name).await;
    }
    story.patch(LIST, "asleep", json!({"spec": {"suspend": true}})).await;
    story.wait_condition(LIST, "asleep", "Suspended", "True", "SuspendedBySpec").await;
    story.apply(&office(&story, "manager", json!({"adoptionPolicy": "IfExists"}))).await;
    story.wait_ready(LIST, "manager").await;
    story.patch(LIST, "manager", json!({"spec": {"enabled": false}})).await;
    story.wait_ready(LIST, "manager").await;
    story.apply(&office(&story, "late", by_name)).await;
    let watched = ["by-id", "by-name", "late"];
    for name in watched {
        let told = story.wait_condition(LIST, name, "Synced", "False", "DriftDetected").await;
        assert_eq!(condition(&told, "Ready").unwrap()["status"], "True", "{told}");
    }

    crash(&mut story).await;
    story.start_operator(&[]).await;
    for name in ["by-id", "manager", "late", "by-name"] {
        story.pass(LIST, name).await;
        story.wait_ready(LIST, name).await;
    }
    assert_eq!(writes(&story), ["PATCH"]);
    for name in watched {
        story.patch(LIST, name, json!({"spec": {"managementPolicy": "Managed"}})).await;
        let refused = story.wait_condition(LIST, name, "Stalled", "True", "ManagementConflict").await;
        assert!(message(&refused, "Stalled").contains("IpAccessList observers/manager"), "{refused}");
    }
    for name in ["by-id", "by-name"] {
        story.patch(LIST, name, json!({"spec": {"managementPolicy": "Observe"}})).await;
        story.wait_condition(LIST, name, "Synced", "False", "DriftDetected").await;
    }
    story.pass(LIST, "manager").await;
    story.wait_ready(LIST, "manager").await;
    assert_eq!(writes(&story), ["PATCH"]);

    // Who manages no longer leaves it to the one who waits for it.
    story.patch(LIST, "manager", json!({"spec": {"managementPolicy": "Observe"}})).await;
    story.wait_ready(LIST, "late").await;
    story.wait_condition(LIST, "manager", "Synced", "False", "DriftDetected").await;
    assert_eq!(writes(&story), ["PATCH", "PATCH"]);
    story.end().await;
}

/// Covers LC-02, LC-13. A backup without status, in which an object that would take over whatever is there is older than the
/// one whose list it is: the record decides, not the age.
#[tokio::test]
async fn after_a_restore_the_holder_keeps_its_list_though_another_is_older() {
    restored_with_a_rival("restored-rival", None).await;
}

/// Covers LC-13. The same where the account cannot be read at first.
#[tokio::test]
async fn after_a_restore_in_an_outage_the_holder_keeps_its_list_too() {
    let outage =
        Fault { path: "*/ip-access-lists".into(), status: Some(503), times: Some(4), ..Fault::default() };
    restored_with_a_rival("restored-outage", Some(outage)).await;
}

async fn restored_with_a_rival(name: &str, outage: Option<Fault>) {
    let mut story = Story::without_operator(name).await;
    let names: Vec<String> = (0..5).map(|n| format!("office-{n}")).collect();
    for label in &names {
        let mut rival = list(&story, &format!("a-rival-{label}"), label);
        rival["spec"]["adoptionPolicy"] = json!("IfExists");
        story.apply(&rival).await;
    }
    story.wait_older(LIST, "a-rival-office-4").await;
    let mut ids = vec![];
    for label in &names {
        let id = made_by_hand(&story, label);
        let mut holder = list(&story, &format!("z-holder-{label}"), label);
        holder["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": id});
        story.apply(&holder).await;
        ids.push(id);
    }
    if let Some(outage) = outage {
        story.account.fault(outage);
    }
    // Quick to look again, so that a rival comes as soon as anything lets it.
    story.start_operator(&[("poll-min", "5ms"), ("poll-max", "5ms")]).await;
    for (label, id) in names.iter().zip(&ids) {
        let holder = story.wait_ready(LIST, &format!("z-holder-{label}")).await;
        assert_eq!(holder["status"]["externalId"], *id, "{label}");
        let rival = format!("a-rival-{label}");
        story.wait_condition(LIST, &rival, "Stalled", "True", "ManagementConflict").await;
    }
    assert_eq!(writes(&story), [""; 0]);
    story.end().await;
}
