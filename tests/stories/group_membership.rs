//! Members of groups, one by one.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "GroupMembership";

/// A principal of the account, by an attribute.
fn principal(story: &Story, collection: &str, attribute: &str, value: &str) -> Value {
    let found = story.account.objects(collection).into_iter().find(|one| one[attribute] == value);
    found.unwrap_or_else(|| panic!("{collection} has no {value}"))
}

fn id(story: &Story, collection: &str, name: &str) -> String {
    principal(story, collection, "displayName", name)["id"].as_str().unwrap().to_owned()
}

/// The names of the members of a group, sorted.
fn members(story: &Story, group: &str) -> Vec<String> {
    let group = principal(story, "Groups", "displayName", group);
    let users = story.account.objects("Users");
    let name = |member: &Value| {
        users.iter().find(|user| user["id"] == member["value"]).unwrap()["displayName"].clone()
    };
    let members = group["members"].as_array().into_iter().flatten().map(name);
    let mut names: Vec<String> = members.map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers LC-03, LC-12. The members of others stay, whatever becomes of this one.
#[tokio::test]
async fn a_member_is_added_kept_and_removed_and_all_others_stay() {
    let story = Story::start("membership-life").await;
    assert_eq!(members(&story, "analysts"), ["edsger", "grace"]);
    // A workspace has a group of this name too, which the account shows.
    let local = json!({"displayName": "Analysts", "meta": {"resourceType": "WorkspaceGroup"}});
    story.account.insert("Groups", local).unwrap();
    let spec = json!({"group": {"groupName": "analysts"}, "principal": {"userName": "Ada@Example.com"}});
    story.apply(&story.managed(KIND, "ada", spec)).await;
    let ready = story.wait_ready(KIND, "ada").await;
    let (group, ada) = (id(&story, "Groups", "analysts"), id(&story, "Users", "ada"));
    assert_eq!(ready["status"]["externalId"], json!(format!("{group}/{ada}")));
    assert_eq!(members(&story, "analysts"), ["ada", "edsger", "grace"]);
    let writes = story.account.writes();
    let add = json!([{"op": "add", "path": "members", "value": [{"value": ada}]}]);
    assert_eq!((writes.len(), &writes[0].body.as_ref().unwrap()["Operations"]), (1, &add));

    // A user removes two members in the console. Only this one comes back.
    let left = json!([{"value": id(&story, "Users", "grace")}]);
    story.account.edit("Groups", &group, json!({"members": left})).unwrap();
    story
        .wait(KIND, "ada", "in the group again", |_| (members(&story, "analysts").len() == 2).then_some(()))
        .await;
    story.wait_ready(KIND, "ada").await;
    assert_eq!(members(&story, "analysts"), ["ada", "grace"]);

    // A member that was in the group before is another user's, until a policy says otherwise.
    let spec = json!({"group": {"groupName": "analysts"}, "principal": {"userName": "grace@example.com"}});
    story.apply(&story.managed(KIND, "grace", spec)).await;
    story.wait_condition(KIND, "grace", "Stalled", "True", "AlreadyExists").await;
    for name in ["grace", "ada"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    assert_eq!(members(&story, "analysts"), ["grace"]);
    story.end().await;
}

/// Covers RF-01, RF-02, RF-11. Applied in the wrong order, by references; then the same is written by ids. The Group has no members of its
/// own in its spec, so both manage their parts of one group.
#[tokio::test]
async fn a_member_and_its_group_are_named_by_references_or_by_ids() {
    let story = Story::start("membership-refs").await;
    let group = json!({"groupRef": {"name": "crew"}});
    let spec = json!({"group": group, "principal": {"userRef": {"name": "lin"}}});
    story.apply(&story.managed(KIND, "lin", spec)).await;
    let waiting = story.wait_condition(KIND, "lin", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let says = message(&waiting, "ReferencesResolved");
    assert!(says.contains("spec.group.groupRef") && says.contains("spec.principal.userRef"), "{says}");
    assert_eq!(story.account.writes().len(), 0);
    let lin = json!({"userName": "lin@example.com", "displayName": "lin"});
    story.apply(&story.managed("User", "lin", lin)).await;
    story.apply(&story.managed("Group", "crew", json!({"displayName": "crew"}))).await;
    story.wait_ready(KIND, "lin").await;
    assert_eq!(members(&story, "crew"), ["lin"]);
    story.pass("Group", "crew").await;
    story.wait_ready("Group", "crew").await;
    assert_eq!(members(&story, "crew"), ["lin"]);

    story.account.clear_journal();
    let number = |collection, name| id(&story, collection, name).parse::<i64>().unwrap();
    let by_name = json!({"group": {"groupRef": null, "groupName": "crew"},
        "principal": {"userRef": null, "userName": "lin@example.com"}});
    let by_id = json!({"group": {"groupName": null, "groupId": number("Groups", "crew")},
        "principal": {"userName": null, "id": number("Users", "lin")}});
    for same in [by_name, by_id] {
        story.patch(KIND, "lin", json!({"spec": same})).await;
        story.wait_ready(KIND, "lin").await;
    }
    assert_eq!(story.account.writes().len(), 0);
    for (wrong, field) in [
        (json!({"principal": {"id": number("Users", "ada")}}), "spec.principal"),
        (json!({"group": {"groupId": number("Groups", "analysts")}}), "spec.group"),
    ] {
        let patch = json!({"spec": wrong}).to_string();
        let refused = story.kubectl(&["patch", "dbgm", "lin", "--type=merge", "-p", &patch]).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(&format!("{field} cannot be changed")), "{refused}");
    }
    story.delete(KIND, "lin").await;
    story.wait_gone(KIND, "lin").await;
    assert_eq!(members(&story, "crew"), [""; 0]);
    story.end().await;
}

/// Covers LC-02. One object has the list of all members, or others have single ones: the second is refused, whichever is older, until the
/// first gives the members up. Nothing wakes what is refused but the end of the conflict, for half an hour.
#[tokio::test]
async fn a_group_has_a_list_of_all_members_or_single_memberships_and_the_second_waits() {
    let mut story = Story::start("membership-conflict").await;
    let user = |name: &str| json!({"userName": format!("{name}@example.com")});
    let spec = json!({"displayName": "crew", "members": [user("ada")]});
    story.apply(&story.managed("Group", "crew", spec)).await;
    let crew = story.wait_ready("Group", "crew").await["status"]["externalId"].as_str().unwrap().to_owned();
    story.wait_older("Group", "crew").await;
    let membership = |story: &Story, name: &str| {
        let spec = json!({"group": {"groupRef": {"name": "crew"}}, "principal": user(name)});
        story.managed(KIND, name, spec)
    };
    for name in ["grace", "ada"] {
        story.apply(&membership(&story, name)).await;
        let refused = story.wait_condition(KIND, name, "Stalled", "True", "ManagementConflict").await;
        let says = message(&refused, "Ready");
        let expected = format!("Group membership-conflict/crew manages the members of the group {crew}");
        assert!(says.starts_with(&expected) && says.contains("spec.members of that Group"), "{says}");
    }
    assert_eq!(members(&story, "crew"), ["ada"]);

    story.patch("Group", "crew", json!({"spec": {"members": null}})).await;
    story.wait_ready(KIND, "grace").await;
    story.wait_condition(KIND, "ada", "Stalled", "True", "AlreadyExists").await;
    story.delete(KIND, "ada").await;
    story.wait_gone(KIND, "ada").await;
    assert_eq!(members(&story, "crew"), ["ada", "grace"]);

    // The list comes back. Memberships go together, and it excludes them all.
    story.patch("Group", "crew", json!({"spec": {"members": [user("edsger")]}})).await;
    let refused = story.wait_condition("Group", "crew", "Stalled", "True", "ManagementConflict").await;
    let says = message(&refused, "Ready");
    assert!(says.starts_with("GroupMembership membership-conflict/grace manages the members"), "{says}");
    assert!(says.contains("remove spec.members here"), "{says}");
    story.apply(&membership(&story, "edsger")).await;
    story.wait_ready(KIND, "edsger").await;
    assert_eq!(members(&story, "crew"), ["ada", "edsger", "grace"]);

    // After a restart the first still has it, though the Group is older.
    let ended = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(ended.success(), "{ended}");
    story.account.clear_journal();
    story.start_operator(&[]).await;
    story.pass("Group", "crew").await;
    story.wait_condition("Group", "crew", "Stalled", "True", "ManagementConflict").await;
    story.pass(KIND, "grace").await;
    story.wait_ready(KIND, "grace").await;
    assert_eq!(story.account.writes().len(), 0);

    for name in ["grace", "edsger"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    story.wait_ready("Group", "crew").await;
    assert_eq!(members(&story, "crew"), ["edsger"]);
    story.end().await;
}

/// Covers SE-07, SE-08. A group that makes administrators needs a word in the spec and a grant, and the operator stays in it.
#[tokio::test]
async fn a_group_of_administrators_is_joined_only_with_a_permission_and_not_left_by_the_operator() {
    let story = Story::start("membership-admins").await;
    let own = principal(&story, "ServicePrincipals", "applicationId", &story.account.client_id);
    let (member, role) = (json!([{"value": own["id"]}]), json!([{"value": "account_admin"}]));
    let chiefs = json!({"displayName": "chiefs", "members": member, "roles": role});
    let chiefs = story.account.insert("Groups", chiefs).unwrap();
    let in_chiefs =
        || principal(&story, "Groups", "displayName", "chiefs")["members"].as_array().unwrap().len();
    let membership = |name: &str, principal: Value, more: Value| {
        let mut spec = json!({"group": {"groupName": "chiefs"}, "principal": principal});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        story.managed(KIND, name, spec)
    };
    let ada = json!({"userName": "ada@example.com"});
    story.apply(&membership("ada", ada.clone(), json!({}))).await;
    let refused = story.wait_condition(KIND, "ada", "Stalled", "True", "InvalidSpec").await;
    assert!(message(&refused, "Ready").contains("set spec.accountAdmin to true"), "{refused}");
    let allowed = json!({"accountAdmin": true});
    story.apply(&membership("ada", ada, allowed)).await;
    let refused = story.wait_condition(KIND, "ada", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message(&refused, "Ready").contains("ACCOUNT_ADMIN"), "{refused}");
    assert_eq!(in_chiefs(), 1);
    let mut auth = story.auth(AUTH);
    auth["spec"]["grants"] = json!([{"namespaces": {"from": "Same"}, "maxPermission": "ACCOUNT_ADMIN"}]);
    story.apply(&auth).await;
    story.wait_ready(KIND, "ada").await;
    assert_eq!(in_chiefs(), 2);

    let itself = json!({"servicePrincipalName": story.account.client_id});
    let adopted = json!({"accountAdmin": true, "adoptionPolicy": "IfExists", "deletionPolicy": "Delete"});
    story.apply(&membership("operator", itself, adopted)).await;
    story.wait_ready(KIND, "operator").await;
    story.delete(KIND, "operator").await;
    let blocked = story.wait_condition(KIND, "operator", "DeletionBlocked", "True", "ApiRefused").await;
    assert!(message(&blocked, "DeletionBlocked").contains(&story.account.client_id), "{blocked}");
    story.patch(KIND, "operator", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(KIND, "operator").await;
    story.delete(KIND, "ada").await;
    story.wait_gone(KIND, "ada").await;
    let left = principal(&story, "Groups", "displayName", "chiefs");
    assert_eq!((&left["id"], &left["members"][0]["value"]), (&chiefs["id"], &own["id"]));
    assert_eq!(in_chiefs(), 1);
    story.end().await;
}
