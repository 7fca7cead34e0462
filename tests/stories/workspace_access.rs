//! The list of all principals with access to a workspace: what is not on it is reported, or removed after a while.
//!
//! A delay is at least ten minutes, and no story waits for that: what the status records is set back instead, as if it had been seen long
//! ago. Delays themselves are tested beside the code, with a clock that can be moved.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{AUTH, SOON, Story, condition};

const KIND: &str = "WorkspaceAccess";
const ONE: &str = "PermissionAssignment";

/// The id of a principal of the account.
fn principal(story: &Story, collection: &str, field: &str, value: &str) -> i64 {
    let all = story.account.objects(collection);
    let found = all.iter().find(|one| one[field] == value).unwrap_or_else(|| panic!("no {value}"));
    found["id"].as_str().unwrap().parse().unwrap()
}

fn user(story: &Story, name: &str) -> i64 {
    principal(story, "Users", "userName", &format!("{name}@example.com"))
}

fn own(story: &Story) -> i64 {
    principal(story, "ServicePrincipals", "applicationId", &story.account.client_id)
}

/// Gives access in the console.
fn give(story: &Story, workspace: i64, principal: i64, level: &str) {
    let row = json!({"workspace_id": workspace, "principal_id": principal, "permissions": [level]});
    story.account.insert("permissionassignments", row).unwrap();
}

/// A workspace that the operator's own service principal has created.
fn workspace(story: &Story) -> i64 {
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap();
    give(story, workspace, own(story), "ADMIN");
    workspace
}

/// Who has access, and what: sorted by the id of the principal.
fn access(story: &Story) -> Vec<(i64, String)> {
    let rows = story.account.objects("permissionassignments").into_iter();
    let row = |row: Value| {
        let level = row["permissions"][0].as_str().unwrap_or_default().to_owned();
        (row["principal_id"].as_i64().unwrap(), level)
    };
    let mut all: Vec<_> = rows.map(row).collect();
    all.sort();
    all
}

/// Whether a principal has access.
fn has(story: &Story, principal: i64) -> bool {
    access(story).iter().any(|(id, _)| *id == principal)
}

/// Lets objects of the namespace manage such lists, and with `enforce` remove access.
async fn grant(story: &Story, enforce: bool) {
    let by_name = json!({"namespaces": {"from": "Same"}, "kinds": [KIND], "removeAccess": enforce});
    let grants = json!([{"namespaces": {"from": "Same"}}, by_name]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
}

/// A list with the group data-eng, and more.
fn list(story: &Story, workspace: i64, more: Value) -> Value {
    let mut spec = json!({"workspaceId": workspace, "mode": "Report", "adoptionPolicy": "IfExists",
        "principals": [{"groupName": "data-eng"}]});
    more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
    story.managed(KIND, "team", spec)
}

/// The ids of the principals that the status shows as not listed.
fn unlisted(object: &Value) -> Vec<i64> {
    let all = object["status"]["unlisted"].as_array().into_iter().flatten();
    let id = |one: &Value| one["id"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let mut ids: Vec<i64> = all.map(id).collect();
    ids.sort_unstable();
    ids
}

async fn wait_unlisted(story: &Story, ids: &[i64]) -> Value {
    let mut expected = ids.to_vec();
    expected.sort_unstable();
    let shown = |object: &Value| (unlisted(object) == expected).then(|| object.clone());
    story.wait(KIND, "team", &format!("{expected:?} are not listed"), shown).await
}

/// As if all that is not listed had been seen, and the mode had been Enforce, years ago.
async fn long_ago(story: &Story) {
    let long_ago = "2020-01-01T00:00:00Z";
    let enforced = |object: &Value| object["status"]["enforcedSince"].is_string().then(|| object.clone());
    let object = story.wait(KIND, "team", "it removes what is not listed", enforced).await;
    let mut unlisted = object["status"]["unlisted"].clone();
    for one in unlisted.as_array_mut().into_iter().flatten() {
        one["firstSeen"] = json!(long_ago);
    }
    let status = json!({"status": {"unlisted": unlisted, "enforcedSince": long_ago}});
    let params = PatchParams { field_manager: Some("databricks-operator".into()), ..PatchParams::default() };
    story.api(KIND).patch_status("team", &params, &Patch::Merge(status)).await.unwrap();
}

/// Waits until several more comparisons with the account are over.
async fn compared(story: &Story) -> Value {
    for _ in 0..3 {
        story.pass(KIND, "team").await;
    }
    story.wait_ready(KIND, "team").await
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers LC-34, SE-10. An administrator gives a friend access in the console. The list reports that, and removes it once it may and its time
/// has come; the operator's own access stays, though it is not listed either.
#[tokio::test]
async fn a_foreign_admin_is_reported_and_then_removed_and_the_operator_never() {
    let story = Story::start("access-foreign").await;
    let workspace = workspace(&story);
    let (grace, own, team) =
        (user(&story, "grace"), own(&story), principal(&story, "Groups", "displayName", "data-eng"));
    story.apply(&list(&story, workspace, json!({}))).await;
    let refused = story.wait_condition(KIND, "team", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message(&refused, "Ready").contains(KIND), "{refused}");
    assert_eq!(access(&story), [(own, "ADMIN".to_owned())]);

    grant(&story, false).await;
    story.pass(KIND, "team").await;
    let ready = story.wait_ready(KIND, "team").await;
    assert!(has(&story, team));
    assert_eq!((unlisted(&ready), &ready["status"]["listedCount"]), (vec![own], &json!(1)));
    give(&story, workspace, grace, "ADMIN");
    let seen = wait_unlisted(&story, &[own, grace]).await;
    assert_eq!(seen["status"]["unlistedCount"], 2);
    let says = message(&compared(&story).await, "Ready");
    assert!(
        says.starts_with("2 not listed in the spec") && says.contains("user grace@example.com (ADMIN)"),
        "{says}"
    );
    let kept = [(own, "ADMIN"), (grace, "ADMIN"), (team, "USER")].map(|(id, level)| (id, level.to_owned()));
    let mut kept = kept.to_vec();
    kept.sort();
    assert_eq!(access(&story), kept);

    // It takes the access of others, so a grant must say so.
    story.patch(KIND, "team", json!({"spec": {"mode": "Enforce"}})).await;
    let refused = story.wait_condition(KIND, "team", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message(&refused, "Ready").contains("removeAccess: true"), "{refused}");
    grant(&story, true).await;
    compared(&story).await;
    assert_eq!(access(&story), kept, "its time has not come");

    long_ago(&story).await;
    let text = story.wait_event(KIND, "team", "Deleted").await;
    assert!(
        text.contains("user grace@example.com (ADMIN)") && !text.contains(&story.account.client_id),
        "{text}"
    );
    let left = wait_unlisted(&story, &[own]).await;
    assert!(!has(&story, grace) && has(&story, own) && has(&story, team));
    let says = |object: &Value| object["status"]["unlisted"][0]["kept"].as_str().map(str::to_owned);
    let why = match says(&left) {
        Some(why) => why,
        None => story.wait(KIND, "team", "why the operator stays", says).await,
    };
    assert!(why.contains(&story.account.client_id), "{why}");

    // A user who gets it again has the whole time again.
    give(&story, workspace, grace, "ADMIN");
    wait_unlisted(&story, &[own, grace]).await;
    compared(&story).await;
    assert!(has(&story, grace));
    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert!(has(&story, grace) && has(&story, team), "what the list gave stays, too");
    story.end().await;
}

/// Covers LC-34, SE-10. A team whose grant removes no access lists an administrator as a user: that one stays an administrator, until a
/// grant, the mode and the delay say otherwise. Then it still is a user.
#[tokio::test]
async fn a_list_makes_no_user_of_an_administrator_without_the_right_to_remove() {
    let story = Story::start("access-lower").await;
    let workspace = workspace(&story);
    let (ada, own) = (user(&story, "ada"), own(&story));
    give(&story, workspace, ada, "ADMIN");
    grant(&story, false).await;
    let ada_as_user = json!({"principals": [{"groupName": "data-eng"}, {"id": ada}]});
    story.apply(&list(&story, workspace, ada_as_user)).await;
    story.wait_ready(KIND, "team").await;
    wait_unlisted(&story, &[ada, own]).await;
    let says = message(&compared(&story).await, "Ready");
    assert!(says.contains("user ada@example.com (ADMIN, listed with USER)"), "{says}");
    assert!(access(&story).contains(&(ada, "ADMIN".to_owned())));

    grant(&story, true).await;
    story.patch(KIND, "team", json!({"spec": {"mode": "Enforce"}})).await;
    long_ago(&story).await;
    let text = story.wait_event(KIND, "team", "Deleted").await;
    assert!(text.contains("user ada@example.com (ADMIN, listed with USER)"), "{text}");
    wait_unlisted(&story, &[own]).await;
    assert!(access(&story).contains(&(ada, "USER".to_owned())));
    story.end().await;
}

/// Covers LC-34. The assignment of a tenant waits, as the access was there before. It says that a person wants it, so the list leaves it.
#[tokio::test]
async fn access_that_a_refused_assignment_names_is_not_removed() {
    let story = Story::start("access-in-vain").await;
    let workspace = workspace(&story);
    let (ada, grace, own) = (user(&story, "ada"), user(&story, "grace"), own(&story));
    grant(&story, true).await;
    give(&story, workspace, ada, "USER");
    give(&story, workspace, grace, "USER");
    let spec = json!({"workspaceId": workspace, "principal": {"userName": "Ada@example.com"}, "permissions": ["USER"]});
    story.apply(&story.managed(ONE, "ada", spec)).await;
    story.wait_condition(ONE, "ada", "Stalled", "True", "AlreadyExists").await;
    story.apply(&list(&story, workspace, json!({"mode": "Enforce"}))).await;
    story.wait_ready(KIND, "team").await;
    wait_unlisted(&story, &[ada, grace, own]).await;
    long_ago(&story).await;
    let left = wait_unlisted(&story, &[ada, own]).await;
    assert!(has(&story, ada) && !has(&story, grace));
    let kept = |object: &Value| {
        let mut all = object["status"]["unlisted"].as_array().into_iter().flatten();
        let ada = all.find(|one| one["name"] == "user ada@example.com");
        ada.and_then(|one| one["kept"].as_str().map(str::to_owned))
    };
    let why = match kept(&left) {
        Some(why) => why,
        None => story.wait(KIND, "team", "why it stays", kept).await,
    };
    assert!(why.contains("PermissionAssignment access-in-vain/ada"), "{why}");
    story.end().await;
}

/// Covers LC-34. What a PermissionAssignment gives counts as listed; one for a principal of the list is the second of two, and waits until
/// the entry is gone.
#[tokio::test]
async fn what_another_object_manages_is_not_removed_and_both_are_named() {
    let story = Story::start("access-assignments").await;
    let workspace = workspace(&story);
    let (ada, grace, own) = (user(&story, "ada"), user(&story, "grace"), own(&story));
    grant(&story, true).await;
    let one = |name: &str| {
        let user = json!({"userName": format!("{name}@example.com")});
        let spec = json!({"workspaceId": workspace, "principal": user, "permissions": ["USER"]});
        story.managed(ONE, name, spec)
    };
    story.apply(&one("ada")).await;
    story.wait_ready(ONE, "ada").await;
    story.apply(&list(&story, workspace, json!({"mode": "Enforce"}))).await;
    story.wait_ready(KIND, "team").await;
    wait_unlisted(&story, &[own]).await;
    long_ago(&story).await;
    compared(&story).await;
    assert!(has(&story, ada));

    // An entry for it is left out; the rest of the list is carried out.
    let both = json!([{"groupName": "data-eng"}, {"userName": "ada@example.com", "permissions": ["ADMIN"]},
        {"userName": "grace@example.com"}]);
    story.patch(KIND, "team", json!({"spec": {"principals": both}})).await;
    let refused =
        story.wait_condition(KIND, "team", "ReferencesResolved", "False", "ManagementConflict").await;
    let says = message(&refused, "ReferencesResolved");
    assert!(
        says.contains("PermissionAssignment access-assignments/ada manages user ada@example.com"),
        "{says}"
    );
    story.wait(KIND, "team", "grace is in", |_| has(&story, grace).then_some(())).await;
    assert!(access(&story).contains(&(ada, "USER".to_owned())));

    // And the other way round.
    story.apply(&one("grace")).await;
    let refused = story.wait_condition(ONE, "grace", "Stalled", "True", "ManagementConflict").await;
    let says = message(&refused, "Ready");
    assert!(says.contains("WorkspaceAccess access-assignments/team, as an entry of its list"), "{says}");
    story.delete(ONE, "grace").await;
    story.wait_gone(ONE, "grace").await;
    assert!(has(&story, grace));

    // The end of the conflict wakes the list, and the entry is given.
    story.patch(ONE, "ada", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.delete(ONE, "ada").await;
    story.wait_gone(ONE, "ada").await;
    story.wait_ready(KIND, "team").await;
    assert!(access(&story).contains(&(ada, "ADMIN".to_owned())));
    story.end().await;
}

/// Covers LC-34. A tenant's assignment counts as listed too, whatever namespace it is in.
#[tokio::test]
async fn an_assignment_of_another_namespace_is_not_removed() {
    let theirs = Story::without_operator("access-tenant").await;
    let mut ours = Story::without_operator("access-platform").await;
    let grants = json!([
        {"namespaces": {"from": "Names", "names": [theirs.namespace]}, "kinds": [ONE]},
        {"namespaces": {"from": "Same"}, "kinds": [KIND], "removeAccess": true},
    ]);
    let mut auth = ours.auth(AUTH);
    auth["spec"]["grants"] = grants;
    ours.apply(&auth).await;
    ours.start_operator(&[("namespaces", &theirs.namespace)]).await;
    let workspace = workspace(&ours);
    let (ada, grace, own) = (user(&ours, "ada"), user(&ours, "grace"), own(&ours));
    let spec = json!({"workspaceId": workspace, "principal": {"id": ada}, "permissions": ["ADMIN"]});
    let mut one = theirs.managed(ONE, "ada", spec);
    one["spec"]["authRef"]["namespace"] = json!(ours.namespace);
    theirs.apply(&one).await;
    theirs.wait_ready(ONE, "ada").await;
    give(&ours, workspace, grace, "USER");
    ours.apply(&list(&ours, workspace, json!({"mode": "Enforce"}))).await;
    ours.wait_ready(KIND, "team").await;
    wait_unlisted(&ours, &[own, grace]).await;
    long_ago(&ours).await;
    wait_unlisted(&ours, &[own]).await;
    compared(&ours).await;
    assert!(has(&ours, ada) && !has(&ours, grace));
    ours.end().await;
    theirs.end().await;
}

/// Covers LC-34. A list is far too short, by mistake: a few lose access, and there is time to notice. A restart keeps what was recorded.
#[tokio::test]
async fn a_few_are_removed_within_an_hour_and_a_restart_keeps_the_record() {
    let mut story = Story::start("access-few").await;
    let workspace = workspace(&story);
    let own = own(&story);
    grant(&story, true).await;
    let ids: Vec<i64> = (0..5)
        .map(|n| {
            let user =
                story.account.insert("Users", json!({"userName": format!("user-{n}@example.com")})).unwrap();
            user["id"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    ids.iter().for_each(|id| give(&story, workspace, *id, "USER"));
    story.apply(&list(&story, workspace, json!({"mode": "Enforce", "maxRemovals": 2}))).await;
    story.wait_ready(KIND, "team").await;
    let all: Vec<i64> = ids.iter().copied().chain([own]).collect();
    let before = wait_unlisted(&story, &all).await["status"].clone();

    let ended = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(ended.success(), "{ended}");
    story.start_operator(&[]).await;
    let after = compared(&story).await["status"].clone();
    assert_eq!(
        (&after["unlisted"], &after["enforcedSince"]),
        (&before["unlisted"], &before["enforcedSince"])
    );

    long_ago(&story).await;
    story.wait_event(KIND, "team", "Deleted").await;
    compared(&story).await;
    let left = ids.iter().filter(|id| has(&story, **id)).count();
    assert_eq!(left, 3, "two within the hour");
    story.end().await;
}

/// Covers LC-34. A list that was read in part, or not at all, removes nothing; nor does one of which an entry is not known.
#[tokio::test]
async fn what_is_not_known_removes_nothing() {
    let story = Story::start("access-unknown").await;
    let workspace = workspace(&story);
    let (ada, grace) = (user(&story, "ada"), user(&story, "grace"));
    grant(&story, true).await;
    give(&story, workspace, ada, "USER");
    give(&story, workspace, grace, "USER");
    let unknown = json!([{"groupName": "data-eng"}, {"groupName": "no-such-group"}]);
    let spec = json!({"mode": "Enforce", "principals": unknown});
    story.apply(&list(&story, workspace, spec)).await;
    story.wait_condition(KIND, "team", "ReferencesResolved", "False", "ReferenceNotFound").await;
    long_ago(&story).await;
    story.pass(KIND, "team").await;
    story.pass(KIND, "team").await;
    assert!(has(&story, ada) && has(&story, grace), "the group may be renamed");

    // A row that Databricks could not read.
    let row = format!("{workspace}/{ada}");
    story.account.edit("permissionassignments", &row, json!({"error": "odd", "permissions": []})).unwrap();
    story.patch(KIND, "team", json!({"spec": {"principals": [{"groupName": "data-eng"}]}})).await;
    compared(&story).await;
    assert!(has(&story, grace));
    // A read that fails.
    let path = "*/permissionassignments".to_owned();
    let body = json!({"error_code": "INTERNAL_ERROR", "message": "no"});
    let fault =
        Fault { method: Some("GET".into()), path, status: Some(500), body: Some(body), ..Fault::default() };
    story.account.fault(fault);
    let back = json!({"error": null, "permissions": ["USER"]});
    story.account.edit("permissionassignments", &row, back).unwrap();
    story.account.clear_journal();
    let read = eventually("the list was requested in vain", SOON, async || {
        let calls = story.account.calls("GET", "*/permissionassignments");
        if calls > 2 { Ok(()) } else { Err(calls.to_string()) }
    });
    read.await.unwrap();
    assert!(has(&story, ada) && has(&story, grace));
    story.account.clear_faults();
    story
        .wait(KIND, "team", "all is known", |_| (!has(&story, ada) && !has(&story, grace)).then_some(()))
        .await;
    story.end().await;
}
