//! Objects that get another name in Git, and specs that say the same in another way: nothing changes in the account.

use serde_json::{Value, json};
use world::eventually;

use crate::support::{SOON, Story, condition};

const LIST: &str = "IpAccessList";
const ACCESS: &str = "PermissionAssignment";
const WORKSPACE: &str = "Workspace";
const CREDENTIAL: &str = "Credential";

fn calls(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| format!("{} {}", call.method, call.class)).collect()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

fn workspace(story: &Story, name: &str, workspace_name: &str) -> Value {
    let spec =
        json!({"workspaceName": workspace_name, "awsRegion": "eu-west-1", "computeMode": "SERVERLESS"});
    story.managed(WORKSPACE, name, spec)
}

fn access(story: &Story, name: &str, workspace: Value, principal: Value) -> Value {
    let mut spec = json!({"principal": principal, "permissions": ["ADMIN"]});
    spec.as_object_mut().unwrap().extend(workspace.as_object().unwrap().clone());
    story.managed(ACCESS, name, spec)
}

fn by_ref(name: &str) -> Value {
    json!({"workspaceRef": {"name": name}})
}

fn quick(story: &Story) {
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
}

/// The numeric id of a principal of the account.
fn principal(story: &Story, collection: &str, field: &str, value: &str) -> i64 {
    let all = story.account.objects(collection);
    all.iter().find(|p| p[field] == value).unwrap()["id"].as_str().unwrap().parse().unwrap()
}

/// Covers LC-17. The message of the conflict says how an object takes another's place; done to the letter, for every kind,
/// nothing is deleted or created in the account.
#[tokio::test]
async fn an_object_takes_anothers_place_as_the_message_says() {
    let story = Story::start("renamed").await;
    quick(&story);
    let team = json!({"groupName": "data-eng"});
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let id = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let kinds = |name: &str| {
        let list = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
        let credential = json!({"credentialsName": "compute", "awsCredentials": role});
        [
            story.managed(LIST, name, list),
            story.managed(CREDENTIAL, name, credential),
            workspace(&story, name, "analytics"),
            access(&story, name, json!({"workspaceId": id}), team.clone()),
        ]
    };
    let everything = || {
        ["ip-access-lists", "credentials", "workspaces", "permissionassignments"]
            .map(|of| story.account.objects(of).len())
    };
    for (old, mut new) in kinds("old").into_iter().zip(kinds("new")) {
        let kind = old["kind"].as_str().unwrap();
        story.apply(&old).await;
        let bound = story.wait_ready(kind, "old").await["status"]["externalId"].clone();
        let before = everything();
        story.account.clear_journal();
        story.apply(&new).await;
        let refused = story.wait_condition(kind, "new", "Stalled", "True", "ManagementConflict").await;
        let text = message(&refused, "Stalled");
        for part in [&format!("{kind} renamed/old"), "deletionPolicy to Retain", "adoptionPolicy to IfExists"]
        {
            assert!(text.contains(part), "{text}");
        }
        story.patch(kind, "old", json!({"spec": {"deletionPolicy": "Retain"}})).await;
        story.wait_ready(kind, "old").await;
        new["spec"]["adoptionPolicy"] = json!("IfExists");
        story.apply(&new).await;
        story.wait_condition(kind, "new", "Stalled", "True", "ManagementConflict").await;
        story.delete(kind, "old").await;
        let ready = story.wait_ready(kind, "new").await;
        story.wait_gone(kind, "old").await;
        assert_eq!(ready["status"]["externalId"], bound, "{kind}");
        // Its own mark is all that is new on a workspace.
        let expected = if kind == WORKSPACE { vec!["PATCH workspaces".to_owned()] } else { vec![] };
        assert_eq!((calls(&story), everything()), (expected, before), "{kind}");
    }
    story.end().await;
}

/// Covers LC-17, LC-16. Who copies a whole object, annotations and all, under another name is told of the mark on a workspace,
/// and takes it over by a word.
#[tokio::test]
async fn a_workspace_that_was_copied_with_its_annotations_is_adopted_with_a_policy() {
    let story = Story::start("renamed-copied").await;
    quick(&story);
    story.apply(&workspace(&story, "old", "analytics")).await;
    let id = story.wait_ready(WORKSPACE, "old").await["status"]["externalId"].clone();
    let noted = |o: &Value| {
        let annotations = &o["metadata"]["annotations"];
        annotations["databricks-operator.io/created-by"].as_str().map(|_| annotations.clone())
    };
    let annotations = story.wait(WORKSPACE, "old", "its record is in annotations", noted).await;
    story.delete(WORKSPACE, "old").await;
    story.wait_gone(WORKSPACE, "old").await;
    let mut new = workspace(&story, "new", "analytics");
    new["metadata"]["annotations"] = annotations;
    story.account.clear_journal();
    story.apply(&new).await;
    let refused = story.wait_condition(WORKSPACE, "new", "Stalled", "True", "AlreadyExists").await;
    let text = message(&refused, "Stalled");
    assert!(text.contains("mark of another") && text.contains("adoptionPolicy to IfExists"), "{text}");
    assert_eq!(calls(&story), [""; 0]);
    story.patch(WORKSPACE, "new", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    let ready = story.wait_ready(WORKSPACE, "new").await;
    assert_eq!(
        (&ready["status"]["externalId"], &ready["status"]["external"]["adopted"]),
        (&id, &json!(true))
    );
    story.wait_event(WORKSPACE, "new", "Adopted").await;
    assert_eq!(calls(&story), ["PATCH workspaces"]);
    story.end().await;
}

/// Covers LC-17, IM-02. Where somebody has access may be said by another Workspace object or by the id, and back, as long as
/// it is the same workspace; what means another is refused, and nothing is written.
#[tokio::test]
async fn the_workspace_of_an_assignment_may_be_named_in_another_way() {
    let story = Story::start("renamed-workspace").await;
    quick(&story);
    for name in ["first", "other"] {
        story.apply(&workspace(&story, name, name)).await;
    }
    let bound = story.wait_ready(WORKSPACE, "first").await["status"]["externalId"].clone();
    let id: i64 = bound.as_str().unwrap().parse().unwrap();
    let other = story.wait_ready(WORKSPACE, "other").await["status"]["externalId"].clone();
    let other: i64 = other.as_str().unwrap().parse().unwrap();
    let mut second = workspace(&story, "second", "first");
    second["spec"]["managementPolicy"] = json!("Observe");
    second["spec"]["externalId"] = bound;
    story.apply(&second).await;
    story.wait_ready(WORKSPACE, "second").await;
    story.apply(&access(&story, "team", by_ref("first"), json!({"groupName": "data-eng"}))).await;
    let ready = story.wait_ready(ACCESS, "team").await;
    story.account.clear_journal();

    let by_id = |id: i64| json!({"workspaceId": id, "workspaceRef": null});
    let back = |name: &str| json!({"workspaceRef": {"name": name}, "workspaceId": null});
    for same in [back("second"), by_id(id), back("first"), by_id(id), back("second")] {
        story.patch(ACCESS, "team", json!({"spec": same})).await;
        let now = story.wait_ready(ACCESS, "team").await;
        assert_eq!(now["status"]["externalId"], ready["status"]["externalId"], "{same}");
    }
    let row = ready["status"]["externalId"].as_str().unwrap();
    for (from, wrong) in [(back("second"), back("other")), (by_id(id), back("other"))] {
        story.patch(ACCESS, "team", json!({"spec": from})).await;
        story.wait_ready(ACCESS, "team").await;
        let there = eventually("the row is there", SOON, async || {
            let rows = story.account.objects("permissionassignments");
            if rows.iter().any(|known| known["id"] == row) { Ok(()) } else { Err(json!(rows).to_string()) }
        });
        there.await.unwrap();
        let refused = story.api(ACCESS).patch("team", &Default::default(), &merge(by_id(other))).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("spec.workspaceId cannot be changed"), "{refused}");
        // Even where the row is gone in the account: it is not written somewhere else.
        assert!(story.account.remove("permissionassignments", row));
        story.patch(ACCESS, "team", json!({"spec": wrong})).await;
        let stalled = story.wait_condition(ACCESS, "team", "Stalled", "True", "ImmutableFieldChanged").await;
        let text = message(&stalled, "Stalled");
        assert!(text.contains("spec.workspaceRef") && text.contains(&other.to_string()), "{text}");
        let refused = story.api(ACCESS).patch("team", &Default::default(), &merge(by_id(other))).await;
        assert!(refused.is_err(), "{wrong}: not in two steps either");
        story.patch(ACCESS, "team", json!({"spec": back("first")})).await;
        story.wait_ready(ACCESS, "team").await;
    }
    let elsewhere = story.account.calls("*", &format!("*/workspaces/{other}/permissionassignments/*"));
    assert_eq!((elsewhere, story.account.calls("DELETE", "*")), (0, 0));
    story.end().await;
}

fn merge(spec: Value) -> kube::api::Patch<Value> {
    kube::api::Patch::Merge(json!({"spec": spec}))
}

/// Covers LC-17, IM-02. Who has access may be said by the id instead of the name, and back; another principal is refused.
#[tokio::test]
async fn the_principal_of_an_assignment_may_be_named_in_another_way() {
    let story = Story::start("renamed-principal").await;
    let id = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let (team, others) = (
        principal(&story, "Groups", "displayName", "data-eng"),
        principal(&story, "Groups", "displayName", "analysts"),
    );
    let by_name = |name: &str| json!({"principal": {"groupName": name, "id": null}});
    let by_id = |id: i64| json!({"principal": {"groupName": null, "userName": null, "id": id}});
    story.apply(&access(&story, "team", json!({"workspaceId": id}), json!({"groupName": "data-eng"}))).await;
    let ready = story.wait_ready(ACCESS, "team").await;
    story.account.clear_journal();
    for same in [by_id(team), by_name("data-eng"), by_id(team)] {
        story.patch(ACCESS, "team", json!({"spec": same})).await;
        let now = story.wait_ready(ACCESS, "team").await;
        assert_eq!(now["status"]["externalId"], ready["status"]["externalId"], "{same}");
    }
    // A group that got another name in the account.
    story.account.edit("Groups", &team.to_string(), json!({"displayName": "engineering"})).unwrap();
    story.patch(ACCESS, "team", json!({"spec": by_name("engineering")})).await;
    story.wait_ready(ACCESS, "team").await;
    for wrong in [
        by_name("analysts"),
        by_id(others),
        json!({"principal": {"groupName": null, "userName": "ada@example.com"}}),
    ] {
        let refused = story.api(ACCESS).patch("team", &Default::default(), &merge(wrong.clone())).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("spec.principal cannot be changed"), "{wrong}: {refused}");
    }
    // A name in place of the id is admitted, as only the account knows whom it means.
    story.patch(ACCESS, "team", json!({"spec": by_id(team)})).await;
    story.wait_ready(ACCESS, "team").await;
    story.patch(ACCESS, "team", json!({"spec": by_name("analysts")})).await;
    let stalled = story.wait_condition(ACCESS, "team", "Stalled", "True", "ImmutableFieldChanged").await;
    assert!(message(&stalled, "Stalled").contains("spec.principal"), "{stalled}");
    story.patch(ACCESS, "team", json!({"spec": by_id(team)})).await;
    story.wait_ready(ACCESS, "team").await;
    // A name that nobody has can be taken back too.
    story.patch(ACCESS, "team", json!({"spec": by_name("typo")})).await;
    story.wait_condition(ACCESS, "team", "Ready", "False", "ReferenceNotFound").await;
    story.patch(ACCESS, "team", json!({"spec": by_id(team)})).await;
    story.wait_ready(ACCESS, "team").await;
    assert_eq!(calls(&story), [""; 0]);
    story.end().await;
}

/// Covers LC-17, RF-12. A member of a group may be said by its name, its id, or an object that does not exist yet: it stays a member all
/// the time, and the group is not written.
#[tokio::test]
async fn a_member_may_be_named_in_another_way() {
    let story = Story::start("renamed-member").await;
    let ada = principal(&story, "Users", "userName", "ada@example.com");
    let group =
        |member: Value| story.managed("Group", "crew", json!({"displayName": "crew", "members": [member]}));
    let (by_name, by_ref) = (json!({"userName": "ada@example.com"}), json!({"userRef": {"name": "ada"}}));
    story.apply(&group(by_name.clone())).await;
    story.wait_ready("Group", "crew").await;
    story.account.clear_journal();
    story.apply(&group(by_ref.clone())).await;
    story.wait_condition("Group", "crew", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let user = json!({"userName": "ada@example.com", "adoptionPolicy": "IfExists"});
    story.apply(&story.managed("User", "ada", user)).await;
    for same in [by_ref.clone(), json!({"id": ada}), by_ref, by_name] {
        story.apply(&group(same)).await;
        story.wait_ready("Group", "crew").await;
    }
    assert_eq!(story.account.calls("PATCH", "*/scim/v2/Groups/*"), 0, "{:?}", calls(&story));
    story.end().await;
}

/// Covers LC-17. A workspace and those who have access to it get other names, in any order, and nobody is let out meanwhile.
#[tokio::test]
async fn a_workspace_with_access_to_it_is_renamed_without_a_gap() {
    let story = Story::start("renamed-both").await;
    quick(&story);
    story.apply(&workspace(&story, "old", "analytics")).await;
    story.apply(&access(&story, "team", by_ref("old"), json!({"groupName": "data-eng"}))).await;
    story.wait_ready(ACCESS, "team").await;
    story.account.clear_journal();
    let mut new = workspace(&story, "new", "analytics");
    new["spec"]["adoptionPolicy"] = json!("IfExists");
    story.apply(&new).await;
    story.patch(WORKSPACE, "old", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_ready(WORKSPACE, "old").await;
    story.patch(ACCESS, "team", json!({"spec": by_ref("new")})).await;
    story.wait_condition(ACCESS, "team", "ReferencesResolved", "False", "ReferenceNotReady").await;
    story.delete(WORKSPACE, "old").await;
    story.wait_ready(WORKSPACE, "new").await;
    story.wait_ready(ACCESS, "team").await;
    assert_eq!(calls(&story), ["PATCH workspaces"], "its own mark is put on");
    let team = principal(&story, "Groups", "displayName", "data-eng");
    let rows = story.account.objects("permissionassignments");
    assert!(rows.iter().any(|row| row["principal_id"] == team), "{rows:?}");
    story.end().await;
}

/// Covers LC-17. The credential of a workspace may be said by id instead of by reference, and back: nothing is sent.
#[tokio::test]
async fn the_credential_of_a_workspace_may_be_named_in_another_way() {
    let story = Story::start("renamed-credential").await;
    quick(&story);
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    story
        .apply(&story.managed(
            CREDENTIAL,
            "compute",
            json!({"credentialsName": "compute", "awsCredentials": role}),
        ))
        .await;
    let id = story.wait_ready(CREDENTIAL, "compute").await["status"]["externalId"].clone();
    let spec = json!({
        "workspaceName": "analytics", "awsRegion": "eu-west-1", "credentialsRef": {"name": "compute"},
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b",
    });
    story.apply(&story.managed(WORKSPACE, "analytics", spec)).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    story.account.clear_journal();
    for same in [
        json!({"credentialsRef": null, "credentialsId": id}),
        json!({"credentialsRef": {"name": "compute"}, "credentialsId": null}),
    ] {
        story.patch(WORKSPACE, "analytics", json!({"spec": same})).await;
        story.wait_ready(WORKSPACE, "analytics").await;
    }
    let still = eventually("it was read again", SOON, async || {
        let reads = story.account.calls("GET", "*/workspaces*");
        if reads > 0 { Ok(()) } else { Err(String::new()) }
    });
    still.await.unwrap();
    assert_eq!(calls(&story), [""; 0]);
    story.end().await;
}
