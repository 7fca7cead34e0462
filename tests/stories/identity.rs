//! Users, groups and service principals.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const GROUP: &str = "Group";
const USER: &str = "User";
const SERVICE: &str = "ServicePrincipal";

/// A principal of the account, by an attribute.
fn principal(story: &Story, collection: &str, attribute: &str, value: &str) -> Value {
    let found = story.account.objects(collection).into_iter().find(|one| one[attribute] == value);
    found.unwrap_or_else(|| panic!("{collection} has no {value}"))
}

fn id_of(story: &Story, name: &str) -> String {
    principal(story, "Users", "displayName", name)["id"].as_str().unwrap().to_owned()
}

/// The ids of the members of a group, sorted.
fn members(story: &Story, group: &str) -> Vec<String> {
    let group = principal(story, "Groups", "displayName", group);
    let members = group["members"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = members.map(|member| member["value"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// The ids of users, sorted.
fn ids(story: &Story, names: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = names.iter().map(|name| id_of(story, name)).collect();
    ids.sort();
    ids
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// The DatabricksAuth with a grant that also allows the role of an account administrator.
async fn allow_admins(story: &Story) {
    let grants = json!([{"namespaces": {"from": "Same"}, "maxPermission": "ACCOUNT_ADMIN"}]);
    let mut auth = story.auth(AUTH);
    auth["spec"]["grants"] = grants;
    story.apply(&auth).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
}

/// Covers RF-12. A console adds one and removes another; one PATCH does both, and reads cost no more than one group.
#[tokio::test]
async fn members_drift_and_are_repaired_by_one_patch() {
    let story = Story::start("group-drift").await;
    let spec = json!({"displayName": "crew", "members": [{"userName": "Ada@Example.com"}, {"userName": "grace@example.com"}]});
    story.apply(&story.managed(GROUP, "crew", spec)).await;
    let ready = story.wait_ready(GROUP, "crew").await;
    assert_eq!(members(&story, "crew"), ids(&story, &["ada", "grace"]));
    assert_eq!(ready["status"]["memberCount"], 2);

    let id = ready["status"]["externalId"].as_str().unwrap();
    let outside = json!([{"value": id_of(&story, "grace")}, {"value": id_of(&story, "edsger")}]);
    story.account.edit("Groups", id, json!({"members": outside})).unwrap();
    story.account.clear_journal();
    story.pass(GROUP, "crew").await;
    story.wait_ready(GROUP, "crew").await;
    assert_eq!(members(&story, "crew"), ids(&story, &["ada", "grace"]));
    let writes = story.account.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    let operations = writes[0].body.as_ref().unwrap()["Operations"].clone();
    let expected = json!([
        {"op": "add", "path": "members", "value": [{"value": id_of(&story, "ada")}]},
        {"op": "remove", "path": format!("members[value eq \"{}\"]", id_of(&story, "edsger"))},
    ]);
    assert_eq!(operations, expected);
    assert_eq!(
        story.account.calls("GET", "*/scim/v2/Users"),
        0,
        "names that are known are not searched again"
    );

    // Renamed in the console it is still this group, and gets its name back.
    story.account.edit("Groups", id, json!({"displayName": "renamed"})).unwrap();
    story.pass(GROUP, "crew").await;
    story.wait_ready(GROUP, "crew").await;
    assert_eq!(principal(&story, "Groups", "displayName", "crew")["id"], id);

    story.delete(GROUP, "crew").await;
    story.wait_gone(GROUP, "crew").await;
    assert!(story.account.objects("Groups").iter().all(|group| group["id"] != id));
    story.end().await;
}

/// Covers RF-12, RF-13. A member that is no longer in the spec is removed, although the spec also names one that the account does not have.
#[tokio::test]
async fn an_unknown_member_keeps_no_other_member_in_the_group() {
    let story = Story::start("group-unknown").await;
    let group = |members: Value| {
        let spec = json!({"displayName": "analysts", "members": members, "adoptionPolicy": "IfExists"});
        story.managed(GROUP, "analysts", spec)
    };
    let before = members(&story, "analysts");
    assert_eq!(before, ids(&story, &["grace", "edsger"]));
    story.apply(&group(json!([{"userName": "grace@example.com"}, {"userName": "ghost@example.com"}]))).await;
    let seen = story.wait_condition(GROUP, "analysts", "Ready", "False", "ReferenceNotFound").await;
    story
        .wait(GROUP, "analysts", "edsger is out", |_| (members(&story, "analysts").len() == 1).then_some(()))
        .await;
    assert_eq!(members(&story, "analysts"), ids(&story, &["grace"]));
    for type_ in ["Ready", "ReferencesResolved"] {
        let text = message(&seen, type_);
        assert!(text.contains("user ghost@example.com") && text.contains("spec.members.userName"), "{text}");
    }
    let seen = story.wait_condition(GROUP, "analysts", "Synced", "False", "WaitingForReference").await;
    assert_eq!(condition(&seen, "Stalled"), None, "{seen}");

    // As soon as there is such a user, it is in the group.
    let ghost = json!({"userName": "ghost@example.com", "displayName": "ghost"});
    story.account.insert("Users", ghost).unwrap();
    story.pass(GROUP, "analysts").await;
    story.wait_ready(GROUP, "analysts").await;
    assert_eq!(members(&story, "analysts"), ids(&story, &["grace", "ghost"]));

    // Which user an object without an id stands for is not known: it may be any of those in the group.
    story.apply(&group(json!([{"userRef": {"name": "lin"}}, {"userName": "ada@example.com"}]))).await;
    let seen = story.wait_condition(GROUP, "analysts", "Ready", "False", "ReferenceNotFound").await;
    let text = message(&seen, "ReferencesResolved");
    assert!(text.contains("User") && text.contains("lin") && text.contains("nothing is removed"), "{text}");
    story
        .wait(GROUP, "analysts", "ada is in", |_| (members(&story, "analysts").len() == 3).then_some(()))
        .await;
    assert_eq!(members(&story, "analysts"), ids(&story, &["ada", "grace", "ghost"]));
    story
        .apply(&story.managed(USER, "lin", json!({"userName": "lin@example.com", "displayName": "lin"})))
        .await;
    story.wait_ready(GROUP, "analysts").await;
    assert_eq!(members(&story, "analysts"), ids(&story, &["ada", "lin"]));

    // The reference holds up no deletion, and who was known stays.
    story.delete(USER, "lin").await;
    story.wait_gone(USER, "lin").await;
    let seen = story.wait_condition(GROUP, "analysts", "Ready", "False", "ReferenceNotFound").await;
    assert!(!message(&seen, "Ready").contains("nothing is removed"), "{seen}");
    assert_eq!(members(&story, "analysts"), ids(&story, &["ada", "lin"]));
    story.end().await;
}

/// An id that no principal has is accepted by the account, and adds nothing.
#[tokio::test]
async fn a_member_that_the_account_does_not_add_is_named() {
    let story = Story::start("group-wrong-id").await;
    let spec = json!({"displayName": "crew", "members": [{"id": 4242}, {"userName": "ada@example.com"}]});
    story.apply(&story.managed(GROUP, "crew", spec)).await;
    let seen = story.wait_condition(GROUP, "crew", "Ready", "False", "ReferenceNotFound").await;
    let text = message(&seen, "Ready");
    assert!(text.contains("did not add") && text.contains("4242") && text.contains("spec.members"), "{text}");
    assert_eq!(members(&story, "crew"), ids(&story, &["ada"]));
    story.patch(GROUP, "crew", json!({"spec": {"members": [{"userName": "ada@example.com"}]}})).await;
    story.wait_ready(GROUP, "crew").await;

    // Only observed, its members are shown as a spec has them, and are no difference.
    let spec = json!({"displayName": "data-eng", "managementPolicy": "Observe"});
    story.apply(&story.managed(GROUP, "watched", spec)).await;
    let seen = story.wait_ready(GROUP, "watched").await;
    assert_eq!(seen["status"]["drift"], Value::Null, "{seen}");
    let shown = seen["status"]["observed"]["members"].as_array().unwrap().iter();
    let shown: Vec<String> = shown.map(|member| member["id"].to_string()).collect();
    assert_eq!(shown, members(&story, "data-eng"));
    story.end().await;
}

/// Covers DL-15. Nothing that a person owns is lost by the deletion of an object, unless the spec has the word for it.
#[tokio::test]
async fn a_deletion_deactivates_a_user_and_an_adoption_activates_it() {
    let story = Story::start("user-life").await;
    let user = |more: Value| {
        let mut spec =
            json!({"userName": "Lin@Example.com", "displayName": "Lin", "name": {"givenName": "Lin"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        story.managed(USER, "lin", spec)
    };
    story.apply(&user(json!({}))).await;
    let ready = story.wait_ready(USER, "lin").await;
    let id = ready["status"]["externalId"].clone();
    let now = || principal(&story, "Users", "userName", "lin@example.com");
    story.account.edit("Users", id.as_str().unwrap(), json!({"active": false, "displayName": "X"})).unwrap();
    story.pass(USER, "lin").await;
    story.wait_ready(USER, "lin").await;
    assert_eq!((&now()["active"], &now()["displayName"]), (&json!(true), &json!("Lin")));

    story.delete(USER, "lin").await;
    story.wait_gone(USER, "lin").await;
    let note = story.wait_event(USER, "lin", "Deleted").await;
    assert!(note.contains("deactivated"), "{note}");
    assert_eq!((&now()["id"], &now()["active"]), (&id, &json!(false)));
    assert_eq!(story.account.calls("DELETE", "*"), 0);

    // The name is taken by it. To give access again is a decision.
    story.apply(&user(json!({}))).await;
    let seen = story.wait_condition(USER, "lin", "Stalled", "True", "AlreadyExists").await;
    assert!(message(&seen, "Ready").contains("IfExists"), "{seen}");
    story.apply(&user(json!({"adoptionPolicy": "IfExists"}))).await;
    story.wait_ready(USER, "lin").await;
    assert_eq!((&now()["id"], &now()["active"]), (&id, &json!(true)));

    story
        .apply(&user(json!({"adoptionPolicy": "IfExists", "deletionPolicy": "Delete", "purge": true})))
        .await;
    story.wait_ready(USER, "lin").await;
    story.delete(USER, "lin").await;
    story.wait_gone(USER, "lin").await;
    assert!(story.account.objects("Users").iter().all(|user| user["id"] != id), "erased");
    story.end().await;
}

/// Covers SE-07, SE-08. The operator signs in as a service principal that is an account administrator.
#[tokio::test]
async fn the_operator_takes_nothing_from_its_own_service_principal() {
    let story = Story::start("own-principal").await;
    let own = principal(&story, "ServicePrincipals", "applicationId", &story.account.client_id);
    let own_id = own["id"].as_str().unwrap();
    let spec = json!({"displayName": "operator", "externalId": own_id, "active": false});
    story.apply(&story.managed(SERVICE, "own", spec)).await;
    let seen = story.wait_condition(SERVICE, "own", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message(&seen, "Ready").contains("ACCOUNT_ADMIN"), "{seen}");
    allow_admins(&story).await;
    let refused = story.wait_condition(SERVICE, "own", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Ready").contains(&story.account.client_id), "{refused}");
    story.patch(SERVICE, "own", json!({"spec": {"active": null, "roles": []}})).await;
    story.wait_condition(SERVICE, "own", "Stalled", "True", "WouldLockOut").await;
    story
        .patch(SERVICE, "own", json!({"spec": {"roles": ["account_admin"], "deletionPolicy": "Delete"}}))
        .await;
    story.wait_ready(SERVICE, "own").await;

    // Nor from a group that it has the role through.
    let members = json!([{"value": own_id}, {"value": id_of(&story, "ada")}]);
    let admins = json!({"displayName": "chiefs", "members": members, "roles": [{"value": "account_admin"}]});
    story.account.insert("Groups", admins).unwrap();
    let spec = json!({"displayName": "chiefs", "members": [{"userName": "ada@example.com"}], "adoptionPolicy": "IfExists"});
    story.apply(&story.managed(GROUP, "chiefs", spec)).await;
    story.wait_condition(GROUP, "chiefs", "Stalled", "True", "WouldLockOut").await;

    story.delete(SERVICE, "own").await;
    let seen = story.wait_condition(SERVICE, "own", "DeletionBlocked", "True", "ApiRefused").await;
    assert!(message(&seen, "DeletionBlocked").contains("Retain"), "{seen}");
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    let now = principal(&story, "ServicePrincipals", "id", own_id);
    assert_eq!((&now["active"], &now["roles"]), (&own["active"], &own["roles"]));
    story.patch(SERVICE, "own", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(SERVICE, "own").await;
    story.end().await;
}

/// Covers SE-07. The role reaches the operator through a group in a group, and a second DatabricksAuth of the namespace signs in as
/// another service principal, which has the role through a group too.
#[tokio::test]
async fn a_role_that_comes_through_groups_is_kept_for_all_identities() {
    let story = Story::start("nested-admins").await;
    allow_admins(&story).await;
    let own = principal(&story, "ServicePrincipals", "applicationId", &story.account.client_id);
    let group = |name: &str, members: &[&Value], roles: Value| {
        let members: Value = members.iter().map(|id| json!({"value": id})).collect();
        let group = json!({"displayName": name, "members": members, "roles": roles});
        story.account.insert("Groups", group).unwrap()["id"].clone()
    };
    let (ada, admin) = (json!(id_of(&story, "ada")), json!([{"value": "account_admin"}]));
    let team = group("team", &[&own["id"], &ada], json!([]));
    let client = "0f9e8d7c-6b5a-4c3d-8e2f-1a0b9c8d7e6f";
    let second = json!({"displayName": "second", "applicationId": client});
    let second = story.account.insert("ServicePrincipals", second).unwrap()["id"].clone();
    group("chiefs", &[&team, &second], admin);
    let mut auth = story.auth("second");
    auth["spec"]["clientId"] = json!(client);
    story.apply(&auth).await;

    let managed = |name: &str, members: Value| {
        let spec = json!({"displayName": name, "members": members, "adoptionPolicy": "IfExists", "deletionPolicy": "Delete"});
        story.managed(GROUP, name, spec)
    };
    story.apply(&managed("team", json!([{"userName": "ada@example.com"}]))).await;
    let refused = story.wait_condition(GROUP, "team", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Ready").contains(&story.account.client_id), "{refused}");
    story.delete(GROUP, "team").await;
    story.wait_condition(GROUP, "team", "DeletionBlocked", "True", "ApiRefused").await;
    story.apply(&managed("chiefs", json!([{"groupName": "team"}]))).await;
    let refused = story.wait_condition(GROUP, "chiefs", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Ready").contains(client), "{refused}");
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    // Nothing signs in as it any more.
    story.delete("DatabricksAuth", "second").await;
    story.wait_gone("DatabricksAuth", "second").await;
    story.pass(GROUP, "chiefs").await;
    story.wait_ready(GROUP, "chiefs").await;
    assert_eq!(members(&story, "chiefs"), [team.as_str().unwrap()]);
    story.patch(GROUP, "team", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(GROUP, "team").await;
    story.end().await;
}

/// Covers RF-12. An account that refuses a member that it does not know carries out the rest of the change, and the status says what it
/// did not.
#[tokio::test]
async fn a_member_that_the_account_refuses_holds_up_no_other() {
    let story = Story::start("group-refused").await;
    story.account.set(|settings| settings.unknown_member_status = Some(400));
    let spec = json!({"displayName": "crew", "members": [{"userName": "ada@example.com"}, {"userName": "edsger@example.com"}]});
    story.apply(&story.managed(GROUP, "crew", spec)).await;
    story.wait_ready(GROUP, "crew").await;
    let wanted = json!([{"id": 4242}, {"userName": "ada@example.com"}, {"userName": "grace@example.com"}]);
    story.patch(GROUP, "crew", json!({"spec": {"members": wanted}})).await;
    let seen = story
        .wait(GROUP, "crew", "the refusal is shown", |crew| {
            message(crew, "Ready").contains("not added yet: 4242").then(|| crew.clone())
        })
        .await;
    assert_eq!(members(&story, "crew"), ids(&story, &["ada", "grace"]));
    let shown = seen["status"]["observed"]["members"].as_array().unwrap().iter();
    let shown: Vec<String> = shown.map(|member| member["id"].to_string()).collect();
    assert_eq!(shown, ids(&story, &["ada", "grace"]));
    assert_eq!(seen["status"]["memberCount"], 2);
    assert_eq!(seen["status"]["drift"][0]["path"], "members", "{seen}");
    story.patch(GROUP, "crew", json!({"spec": {"members": [{"userName": "ada@example.com"}]}})).await;
    story.wait_ready(GROUP, "crew").await;
    assert_eq!(members(&story, "crew"), ids(&story, &["ada"]));
    story.end().await;
}

/// What an identity provider owns is refused with that cause, and can be observed.
#[tokio::test]
async fn what_an_identity_provider_owns_is_observed_only() {
    let story = Story::start("identity-provider").await;
    story.account.set(|settings| {
        settings.identity_managed = true;
        settings.lean_scim_lists = true;
    });
    let provided = json!({"userName": "lin@example.com", "displayName": "Lin", "externalId": "e-1"});
    story.account.insert("Users", provided).unwrap();
    let spec = json!({"userName": "lin@example.com", "displayName": "Linnea", "adoptionPolicy": "IfExists"});
    story.apply(&story.managed(USER, "lin", spec)).await;
    let seen = story.wait_condition(USER, "lin", "Stalled", "True", "ManagedByIdentityProvider").await;
    assert!(message(&seen, "Ready").contains("managementPolicy to Observe"), "{seen}");
    story.patch(USER, "lin", json!({"spec": {"managementPolicy": "Observe"}})).await;
    let seen = story.wait_ready(USER, "lin").await;
    assert_eq!(seen["status"]["scimExternalId"], "e-1");
    assert_eq!(seen["status"]["drift"][0]["path"], "displayName", "{seen}");
    assert_eq!(principal(&story, "Users", "userName", "lin@example.com")["displayName"], "Lin");
    story.end().await;
}
