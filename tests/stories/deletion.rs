//! Deletion: nothing is left in the account that should go, nothing goes that should stay, and nobody hangs for ever.
//!
//! What an answer means is tabled in the engine's own tests; here it is the whole way that counts: finalizers, restarts,
//! namespaces, and calls that are under way when the user changes his mind.

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use simulator::{Fault, When};
use tokio::time::Instant;
use world::eventually;

use crate::support::{AUTH, SOON, Story, WOKEN, cluster, condition};

const LIST: &str = "IpAccessList";
const ACCESS: &str = "PermissionAssignment";
const FINALIZER: &str = "databricks-operator.io/finalizer";
/// All IP access lists, and each of them.
const LISTS: &str = "*/ip-access-lists*";

/// An IP access list of this name.
fn list(story: &Story, name: &str) -> Value {
    let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

/// The access of a user of the simulated account to a workspace.
fn access(story: &Story, name: &str, workspace: i64, user: &str) -> Value {
    let spec = json!({"workspaceId": workspace, "principal": {"userName": user}, "permissions": ["USER"]});
    story.managed(ACCESS, name, spec)
}

/// A workspace that runs, made by somebody else.
fn workspace(story: &Story, name: &str) -> i64 {
    let made = json!({"workspace_name": name, "workspace_status": "RUNNING"});
    story.account.insert("workspaces", made).unwrap()["workspace_id"].as_i64().unwrap()
}

/// The e-mail addresses of the account's users.
fn users(story: &Story) -> Vec<String> {
    let all = story.account.objects("Users");
    all.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
}

async fn ready_list(story: &Story, name: &str) -> Value {
    story.apply(&list(story, name)).await;
    story.wait_ready(LIST, name).await
}

async fn apply_all(story: &Story, items: &[Value]) {
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).await;
}

async fn delete_secret(story: &Story) {
    story.kubectl(&["delete", "secret", "databricks"]).await.unwrap();
}

fn lists(story: &Story) -> Vec<Value> {
    story.account.objects("ip-access-lists")
}

/// Methods of the calls that wanted to change something.
fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

fn finalizers(object: &Value) -> Vec<&str> {
    let all = object["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(Value::as_str).collect()
}

fn refusal(status: u16, code: &str, message: &str) -> Fault {
    let body = Some(json!({"error_code": code, "message": message}));
    Fault { status: Some(status), body, ..Fault::default() }
}

/// Waits until this many calls were made.
async fn wait_calls(story: &Story, method: &str, path: &str, at_least: usize) {
    let seen = eventually(format!("{at_least} x {method} {path}"), SOON, async || {
        let calls = story.account.calls(method, path);
        if calls >= at_least { Ok(()) } else { Err(format!("{:?}", story.account.journal())) }
    });
    seen.await.unwrap();
}

/// Asks for a pass over an object.
async fn nudge(story: &Story, kind: &str, name: &str, token: &str) {
    let asked =
        json!({"metadata": {"annotations": {"databricks-operator.io/reconcile-requested-at": token}}});
    story.patch(kind, name, asked).await;
}

/// Stops the operator, so that the next one has read nothing yet.
fn kill(story: &mut Story) {
    story.operator.take().unwrap().kill().unwrap();
}

/// Covers DL-01. With no credentials at all, an object that is to be retained goes without a call.
#[tokio::test]
async fn a_retained_object_is_released_without_credentials_and_stays_in_the_account() {
    let mut story = Story::start("delete-retain").await;
    let made = ready_list(&story, "office").await;
    story.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_ready(LIST, "office").await;
    kill(&mut story);
    delete_secret(&story).await;
    story.delete(LIST, "office").await;
    story.account.clear_journal();

    story.start_operator(&[]).await;
    story.wait_gone(LIST, "office").await;
    let calls = story.account.journal();
    assert!(calls.is_empty(), "{calls:?}");
    let id = made["status"]["externalId"].as_str().unwrap();
    assert_eq!(lists(&story)[0]["list_id"], id);
    assert!(story.wait_event(LIST, "office", "Retained").await.contains(id));
    story.end().await;
}

/// Covers DL-02. Objects that never got anything made go at once, with credentials that never worked.
#[tokio::test]
async fn an_object_that_created_nothing_is_released_at_once_without_credentials() {
    let mut story = Story::without_operator("delete-never-made").await;
    delete_secret(&story).await;
    story.start_operator(&[]).await;
    story.apply(&list(&story, "no-auth-from-birth")).await;
    story
        .wait_condition(LIST, "no-auth-from-birth", "ReferencesResolved", "False", "CredentialsUnavailable")
        .await;
    let asked = Instant::now();
    story.delete(LIST, "no-auth-from-birth").await;
    story.wait_gone(LIST, "no-auth-from-birth").await;
    assert!(asked.elapsed() < WOKEN, "it took {:?}", asked.elapsed());
    let calls = story.account.journal();
    assert!(calls.is_empty(), "{calls:?}");

    // One that has the finalizer: its create was refused.
    let secret = story.account.client_secret.clone();
    let refused = refusal(400, "INVALID_PARAMETER_VALUE", "no");
    story.account.fault(Fault { method: Some("POST".into()), path: LISTS.into(), ..refused });
    story.set_secret(&secret).await;
    story.apply(&list(&story, "held")).await;
    story.wait_condition(LIST, "held", "Stalled", "True", "InvalidSpec").await;
    assert_eq!(finalizers(&story.get(LIST, "held").await), [FINALIZER]);
    kill(&mut story);
    delete_secret(&story).await;
    story.delete(LIST, "held").await;
    story.account.clear_journal();
    story.start_operator(&[]).await;
    story.wait_gone(LIST, "held").await;
    let calls = story.account.journal();
    assert!(calls.is_empty(), "{calls:?}");
    story.end().await;
}

/// An object that is being deleted while its operator starts anew and the Secret is gone.
async fn blocked_for_credentials(name: &str) -> Story {
    let mut story = Story::start(name).await;
    ready_list(&story, "office").await;
    kill(&mut story);
    delete_secret(&story).await;
    story.delete(LIST, "office").await;
    story.account.clear_journal();
    story.start_operator(&[]).await;
    let up = Instant::now();
    story.wait_condition(LIST, "office", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    assert!(up.elapsed() < WOKEN, "it took {:?}", up.elapsed());
    story
}

/// Covers DL-03. With the credentials gone the object says so and what to do, and `Retain` lets it go.
#[tokio::test]
async fn a_deletion_without_credentials_says_so_and_retain_releases_it() {
    let story = blocked_for_credentials("delete-no-secret").await;
    let object = story.get(LIST, "office").await;
    let message = condition(&object, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
    for part in ["Secret delete-no-secret/databricks", "deletionPolicy to Retain"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(story.wait_event(LIST, "office", "DeletionBlocked").await.contains(message));
    let warning = "--field-selector=reason=DeletionBlocked,type=Warning,involvedObject.name=office";
    let warnings = story.kubectl(&["get", "events", warning, "-o", "name"]).await.unwrap();
    assert_eq!(warnings.lines().count(), 1, "{warnings}");

    let edited = Instant::now();
    story.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(LIST, "office").await;
    assert!(edited.elapsed() < WOKEN, "it took {:?}", edited.elapsed());
    assert_eq!(lists(&story).len(), 1);
    assert_eq!(story.account.journal().len(), 0, "{:?}", story.account.journal());
    story.end().await;
}

/// Covers DL-04. The Secret comes back, and the deletion goes on by itself.
#[tokio::test]
async fn a_deletion_continues_when_the_secret_comes_back() {
    let mut story = blocked_for_credentials("delete-secret-back").await;
    let secret = story.account.client_secret.clone();
    story.set_secret(&secret).await;
    let back = Instant::now();
    wait_calls(&story, "DELETE", LISTS, 1).await;
    assert!(back.elapsed() < WOKEN, "it took {:?}", back.elapsed());
    story.wait_gone(LIST, "office").await;
    assert_eq!((lists(&story).len(), writes(&story)), (0, vec!["DELETE".to_owned()]));
    story.end().await;
}

/// Covers DL-05. Gone already is as good as deleted: in the console before, or in the answer to our own call.
#[tokio::test]
async fn an_object_that_is_gone_already_counts_as_deleted() {
    let story = Story::start("delete-gone-already").await;
    ready_list(&story, "answered-404").await;
    story.account.fault(Fault {
        method: Some("DELETE".into()),
        when: When::After,
        ..refusal(404, "RESOURCE_DOES_NOT_EXIST", "no such list")
    });
    story.delete(LIST, "answered-404").await;
    story.wait_gone(LIST, "answered-404").await;
    assert_eq!(story.account.calls("DELETE", LISTS), 1);

    // It is not to be made again before the deletion is seen.
    story
        .apply(&{
            let mut slow = list(&story, "removed");
            slow["spec"]["resyncInterval"] = json!("Never");
            slow
        })
        .await;
    let made = story.wait_ready(LIST, "removed").await;
    assert!(story.account.remove("ip-access-lists", made["status"]["externalId"].as_str().unwrap()));
    story.let_reads_catch_up();
    story.delete(LIST, "removed").await;
    story.wait_gone(LIST, "removed").await;
    assert_eq!(story.account.calls("DELETE", LISTS), 1, "there was nothing to delete");
    assert_eq!(story.account.calls("POST", LISTS), 2);
    story.end().await;
}

/// Covers DL-05. What is in use outside is shown with the API's words, asked again ever more slowly, and ends well.
#[tokio::test]
async fn a_refused_deletion_is_shown_and_retried_with_growing_delays() {
    let story = Story::start("delete-refused").await;
    let refusals = [
        ("conflict", refusal(409, "RESOURCE_CONFLICT", "a network still refers to it")),
        ("in-use", refusal(400, "INVALID_STATE", "a network still refers to it")),
    ];
    for (name, fault) in refusals {
        ready_list(&story, name).await;
        story.account.fault(Fault { method: Some("DELETE".into()), path: LISTS.into(), ..fault });
        story.account.clear_journal();
        story.delete(LIST, name).await;
        let object = story.wait_condition(LIST, name, "DeletionBlocked", "True", "ApiRefused").await;
        let message = condition(&object, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
        assert!(message.contains("a network still refers to it"), "{message}");
        wait_calls(&story, "DELETE", LISTS, 5).await;
        assert_eq!(finalizers(&story.get(LIST, name).await), [FINALIZER], "{name}");
        let calls = story.account.journal();
        let times: Vec<u64> = calls.iter().filter(|c| c.method == "DELETE").map(|c| c.at_ms).collect();
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // 100 ms doubled each time, less than half of it taken off by chance.
        for (gap, least) in gaps.iter().zip([50, 100, 200, 400]) {
            assert!(*gap >= least, "{name}: {gaps:?} ms between the calls");
        }
        story.account.clear_faults();
        story.wait_gone(LIST, name).await;
        assert_eq!(lists(&story).len(), 0, "{name}");
    }
    story.end().await;
}

/// Covers DL-05. An outage is tried again, and the finalizer stays until the deletion was answered.
#[tokio::test]
async fn an_outage_delays_a_deletion_and_the_finalizer_waits_for_its_end() {
    let story = Story::start("delete-outage").await;
    ready_list(&story, "office").await;
    let delete = || Fault { method: Some("DELETE".into()), path: LISTS.into(), ..Fault::default() };
    let down = refusal(503, "TEMPORARILY_UNAVAILABLE", "down");
    story.account.fault(Fault { times: Some(2), status: down.status, body: down.body, ..delete() });
    let last = story.account.fault(Fault { nth: Some(3), when: When::After, hold: true, ..delete() });
    story.delete(LIST, "office").await;
    let held = story.account.held(last).await;
    assert_eq!(lists(&story).len(), 0, "it is gone, and nobody told us yet");
    assert_eq!(finalizers(&story.get(LIST, "office").await), [FINALIZER]);
    story.account.release(held.n);
    story.wait_gone(LIST, "office").await;
    assert_eq!(writes(&story), ["POST", "DELETE", "DELETE", "DELETE"]);
    story.end().await;
}

/// Answers to a read that do not say that something does not exist.
fn not_absence() -> Vec<(&'static str, Fault)> {
    let html = |status| Fault {
        status: Some(status),
        body: Some(json!("<html><body>Not here</body></html>")),
        content_type: Some("text/html".into()),
        ..Fault::default()
    };
    let garbage = Fault {
        body: Some(json!("{\"ip_access_lists\": [")),
        content_type: Some("application/json".into()),
        ..Fault::default()
    };
    vec![
        ("error-500", refusal(500, "INTERNAL_ERROR", "down")),
        ("time-out", Fault { delay_ms: 2_000, ..Fault::default() }),
        ("error-403", refusal(403, "PERMISSION_DENIED", "no")),
        ("garbage", garbage),
        ("other-json", Fault { body: Some(json!([1])), ..Fault::default() }),
        ("no-endpoint", refusal(404, "ENDPOINT_NOT_FOUND", "No API found")),
        ("html-404", html(404)),
        ("html-200", html(200)),
    ]
}

/// Covers DL-06. When one list cannot be read, its deletion waits, even if the API says of a listed one that it is absent.
#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_taken_for_gone() {
    let story = Story::start_with("read-one-fails", &[("request-timeout", "1s")]).await;
    let mut faults = not_absence();
    faults.push(("404-but-listed", refusal(404, "RESOURCE_DOES_NOT_EXIST", "no such list")));
    let items: Vec<Value> = faults.iter().map(|(name, _)| list(&story, name)).collect();
    apply_all(&story, &items).await;
    let mut paths = vec![];
    for (name, fault) in faults {
        let made = story.wait_ready(LIST, name).await;
        let path = format!("*/ip-access-lists/{}", made["status"]["externalId"].as_str().unwrap());
        story.account.fault(Fault { method: Some("GET".into()), path: path.clone(), ..fault });
        paths.push((name, path));
    }
    story.account.clear_journal();
    for (name, _) in &paths {
        story.delete(LIST, name).await;
    }
    for (name, path) in &paths {
        wait_calls(&story, "GET", path, 2).await;
        assert_eq!(finalizers(&story.get(LIST, name).await), [FINALIZER], "{name}");
    }
    assert_eq!(writes(&story), [""; 0]);
    assert_eq!(lists(&story).len(), paths.len());

    story.account.clear_faults();
    for (name, _) in &paths {
        story.wait_gone(LIST, name).await;
    }
    assert_eq!((lists(&story).len(), writes(&story)), (0, vec!["DELETE".to_owned(); paths.len()]));
    story.end().await;
}

/// A look for the newest generation of an object ended, and ended badly.
fn looked_at(object: &Value) -> Option<Value> {
    let ready = condition(object, "Ready")?;
    let current = ready["observedGeneration"] == object["metadata"]["generation"];
    let ended = ready["reason"] != "Progressing" && ready["status"] == "False";
    (current && ended).then(|| object.clone())
}

/// Covers DL-06. When the lists cannot be listed, nothing is made, deleted, or made a second time.
#[tokio::test]
async fn without_a_list_nothing_is_created_and_nothing_counts_as_gone() {
    let flags = [("request-timeout", "1s")];
    let mut story = Story::start_with("read-all-fails", &flags).await;
    ready_list(&story, "bystander").await;
    let mut old = "first".to_owned();
    ready_list(&story, &old).await;
    for (name, fault) in not_absence() {
        kill(&mut story);
        story.account.fault(Fault { method: Some("GET".into()), path: "*/ip-access-lists".into(), ..fault });
        story.account.clear_journal();
        story.delete(LIST, &old).await;
        story.apply(&list(&story, name)).await;
        story.start_operator(&flags).await;
        story.wait(LIST, name, "its first look failed", looked_at).await;
        let leaving = story.wait(LIST, &old, "a look for the deletion failed", looked_at).await;
        assert_eq!(finalizers(&leaving), [FINALIZER], "{name}");
        assert_eq!(writes(&story), [""; 0], "{name}");
        assert_eq!(lists(&story).len(), 2, "{name}");

        story.account.clear_faults();
        for waiting in [name, "bystander"] {
            nudge(&story, LIST, waiting, name).await;
        }
        story.wait_gone(LIST, &old).await;
        story.wait_ready(LIST, name).await;
        story.wait_ready(LIST, "bystander").await;
        let mut calls = writes(&story);
        calls.sort();
        assert_eq!(calls, ["DELETE", "POST"], "{name}");
        old = name.to_owned();
    }
    story.end().await;
}

/// Covers DL-06. The same for assignments, which can only be listed: no access is given, or thought to be gone.
#[tokio::test]
async fn without_a_list_no_access_is_given_and_none_counts_as_gone() {
    let flags = [("request-timeout", "1s")];
    let mut story = Story::start_with("read-access-fails", &flags).await;
    let users = users(&story);
    let faults = not_absence();
    let ids: Vec<i64> = faults.iter().map(|(name, _)| workspace(&story, name)).collect();
    let names: Vec<[String; 2]> =
        faults.iter().map(|(name, _)| [format!("old-{name}"), format!("new-{name}")]).collect();
    for ([old, _], id) in names.iter().zip(&ids) {
        story.apply(&access(&story, old, *id, &users[0])).await;
    }
    for [old, _] in &names {
        story.wait_ready(ACCESS, old).await;
    }
    kill(&mut story);
    story.account.clear_journal();
    for (([old, new], (_, fault)), id) in names.iter().zip(faults).zip(&ids) {
        let path = format!("*/workspaces/{id}/permissionassignments");
        story.account.fault(Fault { method: Some("GET".into()), path, ..fault });
        story.delete(ACCESS, old).await;
        story.apply(&access(&story, new, *id, &users[1])).await;
    }
    story.start_operator(&flags).await;
    for [old, new] in &names {
        story.wait(ACCESS, new, "its first look failed", looked_at).await;
        let leaving = story.wait(ACCESS, old, "a look for the deletion failed", looked_at).await;
        assert_eq!(finalizers(&leaving), [FINALIZER], "{old}");
    }
    assert_eq!(writes(&story), [""; 0]);
    assert_eq!(story.account.objects("permissionassignments").len(), names.len());

    story.account.clear_faults();
    for [old, new] in &names {
        nudge(&story, ACCESS, new, "now").await;
        story.wait_gone(ACCESS, old).await;
        story.wait_ready(ACCESS, new).await;
    }
    let mut calls = writes(&story);
    calls.sort();
    assert_eq!(calls, [["DELETE"; 8], ["PUT"; 8]].concat());
    assert_eq!(story.account.objects("permissionassignments").len(), names.len());
    story.end().await;
}

/// Covers DL-06. That one LIST lacks a row does not prove that the access is gone, and words in place of a list prove
/// nothing, however often they come: a DELETE is sent, and no access stays.
#[tokio::test]
async fn access_that_a_list_does_not_show_is_removed_anyway() {
    let mut story = Story::start("delete-access-unlisted").await;
    let odd = [
        ("no-rows", json!({"permission_assignments": []}), Some(1)),
        ("empty", json!({}), Some(1)),
        ("words", json!({"message": "x"}), None),
        ("nameless", json!({"permission_assignments": [{"error": "this row cannot be read"}]}), None),
    ];
    let user = users(&story)[0].clone();
    let mut paths = vec![];
    for (name, ..) in &odd {
        let id = workspace(&story, name);
        let mut manifest = access(&story, name, id, &user);
        // Else the next reading would be due by then anyway.
        manifest["spec"]["resyncInterval"] = json!("Never");
        story.apply(&manifest).await;
        story.wait_ready(ACCESS, name).await;
        paths.push(format!("*/workspaces/{id}/permissionassignments"));
    }
    // So that nothing is known of the rows.
    kill(&mut story);
    for ((name, body, times), path) in odd.iter().zip(&paths) {
        let (method, path) = (Some("GET".into()), path.clone());
        story.account.fault(Fault {
            method,
            path,
            body: Some(body.clone()),
            times: *times,
            ..Fault::default()
        });
        story.delete(ACCESS, name).await;
    }
    story.account.clear_journal();
    story.start_operator(&[]).await;
    for name in ["no-rows", "empty"] {
        story.wait_gone(ACCESS, name).await;
    }
    // By then it could have been looked for twice, were it not for what is no answer.
    for (name, path) in ["words", "nameless"].iter().zip(&paths[2..]) {
        wait_calls(&story, "GET", path, 4).await;
        let leaving = story.wait(ACCESS, name, "a look for the deletion failed", looked_at).await;
        assert_eq!(finalizers(&leaving), [FINALIZER], "{name}");
    }
    assert_eq!(writes(&story), ["DELETE"; 2]);
    story.account.clear_faults();
    for name in ["words", "nameless"] {
        story.wait_gone(ACCESS, name).await;
    }
    assert_eq!(writes(&story), ["DELETE"; 4]);
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
    story.end().await;
}

/// Covers DL-07. A whole namespace is deleted, Secret and credentials with it; it ends, and the account is empty.
#[tokio::test]
async fn the_deletion_of_a_namespace_deletes_its_objects_in_the_account() {
    let story = Story::start("delete-namespace").await;
    let users = users(&story);
    let mut items: Vec<Value> = (0..26).map(|n| list(&story, &format!("list-{n}"))).collect();
    for n in 0..8 {
        let id = workspace(&story, &format!("workspace-{n}"));
        let each = users.iter().take(3).enumerate();
        items.extend(each.map(|(who, user)| access(&story, &format!("access-{n}-{who}"), id, user)));
    }
    assert_eq!(items.len(), 50);
    apply_all(&story, &items).await;
    let all = ["ipaccesslists,permissionassignments", "--all", "--for=condition=Ready", "--timeout=180s"];
    story.kubectl(&[&["wait"], &all[..]].concat()).await.unwrap();
    assert_eq!((lists(&story).len(), story.account.objects("permissionassignments").len()), (26, 24));

    let gone = cluster().kubectl(&["delete", "namespace", "delete-namespace", "--timeout=180s"], "").await;
    gone.unwrap();
    assert_eq!((lists(&story).len(), story.account.objects("permissionassignments").len()), (0, 0));
    assert_eq!(story.account.calls("DELETE", "*"), 50);
    story.end().await;
}

/// Covers DL-08. Credentials that are in use stay, say by how many and which, and leave with the last user.
#[tokio::test]
async fn credentials_in_use_stay_and_leave_with_their_last_user() {
    let story = Story::start("delete-auth-in-use").await;
    let names: Vec<String> = (1..=7).map(|n| format!("list-{n}")).collect();
    apply_all(&story, &names.iter().map(|name| list(&story, name)).collect::<Vec<_>>()).await;
    for name in &names {
        story.wait_ready(LIST, name).await;
    }
    story.delete("DatabricksAuth", AUTH).await;
    let reason = "DependencyStillInUse";
    let auth = story.wait_condition("DatabricksAuth", AUTH, "DeletionBlocked", "True", reason).await;
    let first: Vec<String> = (1..=5).map(|n| format!("{LIST} {}/list-{n}", story.namespace)).collect();
    assert_eq!(auth["status"]["dependents"], json!({"count": 7, "first": first}));
    let message = condition(&auth, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("7 objects still use this DatabricksAuth ({}, ", first[0])),
        "{message}"
    );

    story.delete(LIST, "list-1").await;
    let six = |auth: &Value| (auth["status"]["dependents"]["count"] == 6).then_some(());
    story.wait("DatabricksAuth", AUTH, "six users", six).await;
    for name in &names[1..] {
        story.delete(LIST, name).await;
    }
    for name in &names {
        story.wait_gone(LIST, name).await;
    }
    let last = Instant::now();
    story.wait_gone("DatabricksAuth", AUTH).await;
    assert!(last.elapsed() < WOKEN, "it took {:?}", last.elapsed());
    assert_eq!(lists(&story).len(), 0);
    story.end().await;
}

/// Covers DL-09. A protected object stays in the account, and says how to lift the protection.
#[tokio::test]
async fn a_protected_object_is_kept_until_the_protection_is_lifted() {
    let story = Story::start("delete-protected").await;
    let mut manifest = list(&story, "office");
    manifest["spec"]["deletionProtection"] = json!(true);
    story.apply(&manifest).await;
    story.wait_ready(LIST, "office").await;
    story.delete(LIST, "office").await;
    let object = story.wait_condition(LIST, "office", "DeletionBlocked", "True", "DeletionProtected").await;
    let message = condition(&object, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
    assert!(message.contains("spec.deletionProtection is true: set it to false"), "{message}");
    assert_eq!(finalizers(&object), [FINALIZER]);
    assert_eq!((lists(&story).len(), writes(&story)), (1, vec!["POST".to_owned()]));

    story.patch(LIST, "office", json!({"spec": {"deletionProtection": false}})).await;
    story.wait_gone(LIST, "office").await;
    assert_eq!((lists(&story).len(), writes(&story)), (0, vec!["POST".to_owned(), "DELETE".to_owned()]));
    story.end().await;
}

/// Holds the first POST of a list, before or after its effect.
fn held_create(story: &Story, when: When, drop: bool) -> u64 {
    let (method, path) = (Some("POST".into()), LISTS.into());
    story.account.fault(Fault { method, path, nth: Some(1), when, drop, hold: true, ..Fault::default() })
}

/// Waits until the account has seen these writes of lists and has none.
async fn wait_no_orphan(story: &Story, expected: &[&str]) {
    let clean = eventually("nothing is left in the account", SOON, async || {
        let (left, writes) = (lists(story), writes(story));
        if left.is_empty() && writes == expected { Ok(()) } else { Err(format!("{left:?}, {writes:?}")) }
    });
    clean.await.unwrap();
}

/// Covers DL-10. An object is deleted while its POST is under way: what was made is deleted again.
#[tokio::test]
async fn an_object_that_is_deleted_while_it_is_created_leaves_no_orphan() {
    let story = Story::start("delete-while-made").await;
    for when in [When::Before, When::After] {
        story.account.clear_faults();
        story.account.clear_journal();
        let fault = held_create(&story, when, false);
        story.apply(&list(&story, "office")).await;
        let held = story.account.held(fault).await;
        story.delete(LIST, "office").await;
        assert_eq!(finalizers(&story.get(LIST, "office").await), [FINALIZER]);
        story.account.release(held.n);
        story.wait_gone(LIST, "office").await;
        wait_no_orphan(&story, &["POST", "DELETE"]).await;
    }
    story.end().await;
}

/// Covers DL-10. Even if somebody tears the finalizer off while the POST is under way.
#[tokio::test]
async fn a_finalizer_torn_off_during_the_creation_leaves_no_orphan() {
    let story = Story::start("finalizer-torn-off").await;
    let fault = held_create(&story, When::After, false);
    story.apply(&list(&story, "office")).await;
    let held = story.account.held(fault).await;
    story.delete(LIST, "office").await;
    story.patch(LIST, "office", json!({"metadata": {"finalizers": null}})).await;
    story.wait_gone(LIST, "office").await;
    story.account.release(held.n);
    wait_no_orphan(&story, &["POST", "DELETE"]).await;
    story.end().await;
}

/// How long a workspace is being made in [`torn_off`], by the account's clock.
const MAKING_MS: u64 = 600_000;

/// A workspace that vanished, finalizer and all, while its POST was under way, and the first attempt to delete what that
/// made, which is refused as long as it is being made.
async fn torn_off(name: &str) -> (Story, Value) {
    let story = Story::start(name).await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (0, MAKING_MS, 100));
    let path = "*/workspaces".to_owned();
    let made = Fault { method: Some("POST".into()), path, when: When::After, hold: true, ..Fault::default() };
    let fault = story.account.fault(made);
    let spec = json!({"workspaceName": "made", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS"});
    let workspace = story.managed("Workspace", "made", spec);
    story.apply(&workspace).await;
    let held = story.account.held(fault).await;
    story.delete("Workspace", "made").await;
    story.patch("Workspace", "made", json!({"metadata": {"finalizers": null}})).await;
    story.wait_gone("Workspace", "made").await;
    story.account.release(held.n);
    wait_calls(&story, "DELETE", "*/workspaces/*", 1).await;
    story.account.clear_faults();
    (story, workspace)
}

/// Covers DL-10. The same for what refuses to be deleted as long as it is being made.
#[tokio::test]
async fn a_finalizer_torn_off_a_workspace_leaves_no_orphan_either() {
    let (story, _) = torn_off("workspace-torn-off").await;
    wait_calls(&story, "DELETE", "*/workspaces/*", 2).await;
    assert_eq!(story.account.objects("workspaces").len(), 1, "it is being made, and cannot be deleted");
    story.account.advance_ms(MAKING_MS);
    let gone = eventually("no workspace is left", SOON, async || {
        let left = story.account.objects("workspaces");
        if left.is_empty() { Ok(()) } else { Err(json!(left).to_string()) }
    });
    gone.await.unwrap();
    story.end().await;
}

/// Covers DL-10. What refuses to be deleted is left alone as soon as somebody applies an object of that name again, whose it
/// may be by then.
#[tokio::test]
async fn a_workspace_that_is_applied_again_is_not_deleted_after_all() {
    let (story, workspace) = torn_off("workspace-torn-again").await;
    story.apply(&workspace).await;
    let bound = |object: &Value| object["status"]["externalId"].as_str().map(drop);
    story.wait("Workspace", "made", "it has its id", bound).await;
    let log = || story.operator.as_ref().unwrap().text();
    let given_up =
        eventually(
            "the orphan is named",
            SOON,
            async || {
                if log().contains("ORPHAN") { Ok(()) } else { Err(log()) }
            },
        );
    given_up.await.unwrap();
    story.account.advance_ms(MAKING_MS);
    let ready = story.wait_ready("Workspace", "made").await;
    let workspaces = story.account.objects("workspaces");
    assert_eq!(workspaces.len(), 1);
    assert_eq!(workspaces[0]["workspace_id"].to_string(), ready["status"]["externalId"].as_str().unwrap());
    story.end().await;
}

/// Covers DL-10. The answer to the POST is lost, or the operator dies over it, and the object is deleted meanwhile.
#[tokio::test]
async fn a_creation_with_an_unknown_end_leaves_no_orphan_when_deleted() {
    let mut story = Story::start("delete-unknown-end").await;
    let fault = held_create(&story, When::After, true);
    story.apply(&list(&story, "lost-answer")).await;
    let held = story.account.held(fault).await;
    story.delete(LIST, "lost-answer").await;
    story.account.release(held.n);
    story.wait_gone(LIST, "lost-answer").await;
    wait_no_orphan(&story, &["POST", "DELETE"]).await;

    story.account.clear_faults();
    story.account.clear_journal();
    let fault = held_create(&story, When::Before, false);
    story.apply(&list(&story, "crash")).await;
    let held = story.account.held(fault).await;
    kill(&mut story);
    story.delete(LIST, "crash").await;
    // The call was sent before the crash: it takes effect now.
    story.account.release(held.n);
    story.start_operator(&[]).await;
    story.wait_gone(LIST, "crash").await;
    wait_no_orphan(&story, &["POST", "DELETE"]).await;
    story.end().await;
}

/// Covers DL-11. A finalizer of somebody else holds the external deletion quietly, and is never touched.
#[tokio::test]
async fn a_foreign_finalizer_holds_the_deletion_without_a_write() {
    const FOREIGN: &str = "example.com/backup";
    let story = Story::start("foreign-finalizer").await;
    // What is read of it again and again is the clock of this story.
    let id = workspace(&story, "clock");
    story.apply(&access(&story, "clock", id, &users(&story)[0])).await;
    story.wait_ready(ACCESS, "clock").await;
    let mut manifest = list(&story, "office");
    manifest["metadata"]["finalizers"] = json!([FOREIGN]);
    story.apply(&manifest).await;
    story.wait_ready(LIST, "office").await;
    story.delete(LIST, "office").await;
    let held = story.wait_condition(LIST, "office", "DeletionBlocked", "True", "ForeignFinalizer").await;
    assert_eq!(finalizers(&held), [FOREIGN, FINALIZER]);
    let message = condition(&held, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
    assert!(message.contains(FOREIGN), "{message}");

    story.account.clear_journal();
    wait_calls(&story, "GET", "*/permissionassignments", 4).await;
    let calls = story.account.calls("*", LISTS);
    assert_eq!(calls, 0, "{:?}", story.account.journal());
    let still = story.get(LIST, "office").await;
    assert_eq!(still["metadata"]["resourceVersion"], held["metadata"]["resourceVersion"]);
    let passes = story
        .operator
        .as_ref()
        .unwrap()
        .text()
        .matches("is still on this object and must be removed first")
        .count();
    assert!(passes <= 2 + 1, "{passes} lines in the log: an event's and at most two passes'");

    story.patch(LIST, "office", json!({"metadata": {"finalizers": [FINALIZER]}})).await;
    let freed = Instant::now();
    story.wait_gone(LIST, "office").await;
    assert!(freed.elapsed() < WOKEN, "it took {:?}", freed.elapsed());
    assert_eq!(lists(&story).len(), 0);
    story.end().await;
}

/// Covers DL-11. Our own finalizer leaves alone: the others keep theirs, and those of the garbage collector hold nothing.
#[tokio::test]
async fn only_our_finalizer_is_removed_and_those_of_the_garbage_collector_hold_nothing() {
    const FOREIGN: &str = "example.com/backup";
    let story = Story::start("finalizers-kept").await;
    let mut manifest = list(&story, "retained");
    manifest["metadata"]["finalizers"] = json!([FOREIGN]);
    manifest["spec"]["deletionPolicy"] = json!("Retain");
    story.apply(&manifest).await;
    story.wait_ready(LIST, "retained").await;
    story.delete(LIST, "retained").await;
    let ours_gone = |object: &Value| (finalizers(object) == [FOREIGN]).then_some(());
    story.wait(LIST, "retained", "only the finalizer of somebody else is left", ours_gone).await;
    story.patch(LIST, "retained", json!({"metadata": {"finalizers": null}})).await;
    story.wait_gone(LIST, "retained").await;
    assert_eq!(lists(&story).len(), 1, "retained");

    for cascade in ["foreground", "orphan"] {
        ready_list(&story, cascade).await;
        let how = format!("--cascade={cascade}");
        story.kubectl(&["delete", "ipaccesslist", cascade, &how, "--timeout=20s"]).await.unwrap();
        assert_eq!(lists(&story).len(), 1, "{cascade}");
    }
    story.end().await;
}

/// Covers GO-09. Everything of an application is deleted at once, in whatever order, and it ends with an empty account.
#[tokio::test]
async fn an_application_is_deleted_at_once_in_any_order() {
    let mut story = Story::start("delete-any-order").await;
    let id = workspace(&story, "analytics");
    let users = users(&story);
    let made = json!({"workspaceName": "made", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS",
        "deletionPolicy": "Delete"});
    let by_ref = json!({"workspaceRef": {"name": "made"}, "principal": {"userName": users[2]},
        "permissions": ["USER"]});
    let objects = [
        list(&story, "office"),
        access(&story, "first", id, &users[0]),
        access(&story, "second", id, &users[1]),
        story.managed("Workspace", "made", made),
        story.managed(ACCESS, "third", by_ref),
    ];
    story.account.set(|s| {
        (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100);
    });
    let secret = story.account.client_secret.clone();
    for seed in 0..5 {
        story.set_secret(&secret).await;
        let all = [&[story.auth(AUTH)], &objects[..]].concat();
        apply_all(&story, &all).await;
        for object in &all {
            story.wait_ready(object["kind"].as_str().unwrap(), name(object)).await;
        }
        let mut order: Vec<(String, String)> =
            all.iter().map(|o| (o["kind"].as_str().unwrap().to_owned(), name(o).to_owned())).collect();
        order.push(("secret".into(), "databricks".into()));
        shuffle(&mut order, seed);
        let asked = Instant::now();
        for (kind, name) in &order {
            story.kubectl(&["delete", &kind.to_lowercase(), name, "--wait=false"]).await.unwrap();
        }
        for object in &all {
            story.wait_gone(object["kind"].as_str().unwrap(), name(object)).await;
        }
        assert!(asked.elapsed() < SOON, "{order:?} took {:?}", asked.elapsed());
        let collections = ["ip-access-lists", "permissionassignments", "workspaces"];
        let left = collections.map(|of| story.account.objects(of).len());
        assert_eq!(left, [0, 0, 1], "{order:?}: only the workspace of somebody else is left");
    }
    assert_eq!(story.account.calls("DELETE", "*"), 5 * objects.len());
    story.end().await;
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// The same order for the same seed.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
}

/// More deletions within an hour than the operator is allowed to stop all further ones, with a way on for each
/// object and for all.
#[tokio::test]
async fn a_mass_deletion_stops_until_a_person_has_looked() {
    let mut story = Story::start_with("deletion-breaker", &[("max-deletions-per-hour", "3")]).await;
    let names: Vec<String> = (0..6).map(|n| format!("list-{n}")).collect();
    for name in &names {
        let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.1"]});
        story.apply(&story.managed("IpAccessList", name, spec)).await;
    }
    for name in &names {
        story.wait_ready("IpAccessList", name).await;
    }
    for name in &names {
        story.delete("IpAccessList", name).await;
    }
    let stopped = eventually("three are gone and three are stopped", SOON, async || {
        let left = story.api("IpAccessList").list(&Default::default()).await.map_err(|e| e.to_string())?;
        let is = |object: &&DynamicObject| {
            let object = json!(object);
            condition(&object, "DeletionBlocked").is_some_and(|c| c["reason"] == "TooManyDeletions")
        };
        let stopped: Vec<String> = left.iter().filter(is).map(|object| object.name_any()).collect();
        if left.items.len() == 3 && stopped.len() == 3 { Ok(stopped) } else { Err(format!("{stopped:?}")) }
    });
    let stopped = stopped.await.unwrap();
    assert_eq!(story.account.objects("ip-access-lists").len(), 3);
    assert_eq!(story.account.writes().iter().filter(|call| call.method == "DELETE").count(), 3);

    // One may stay in the account, and the limit may be raised for the others.
    story.patch("IpAccessList", &stopped[0], json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone("IpAccessList", &stopped[0]).await;
    let status = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(status.success(), "{status}");
    story.start_operator(&[("max-deletions-per-hour", "10")]).await;
    for name in &stopped[1..] {
        story.wait_gone("IpAccessList", name).await;
    }
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    story.end().await;
}
