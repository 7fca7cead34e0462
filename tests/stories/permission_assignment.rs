//! Permission assignments.

use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{SOON, Story, condition};

const KIND: &str = "PermissionAssignment";

fn workspace(story: &Story) -> i64 {
    story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_group_gets_into_a_new_workspace_is_promoted_and_goes() {
    let story = Story::start("assignment-life").await;
    let workspace = workspace(&story);
    story.account.set(|s| s.federation_delay_ms = 3_600_000);
    let spec =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let waiting = story.wait_condition(KIND, "team", "Ready", "False", "WaitingForWorkspace").await;
    assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");

    story.account.set(|s| s.federation_delay_ms = 0);
    let ready = story.wait_ready(KIND, "team").await;
    let group = story.account.objects("Groups").into_iter().find(|g| g["displayName"] == "data-eng").unwrap();
    let id = format!("{workspace}/{}", group["id"].as_str().unwrap());
    assert_eq!((&ready["status"]["externalId"], &ready["status"]["state"]), (&json!(id), &json!("USER")));
    assert_eq!(ready["status"]["observed"], json!({"workspaceId": workspace, "permissions": ["USER"]}));
    assert_eq!(ready["status"]["principalName"], "data-eng");

    // Somebody else's access is another object.
    let other = json!({"spec": {"principal": {"groupName": "analysts"}}});
    let patch = other.to_string();
    let refused = story.kubectl(&["patch", "dbpa", "team", "--type=merge", "-p", &patch]).await.unwrap_err();
    assert!(refused.to_string().contains("spec.principal cannot be changed"), "{refused}");

    story.patch(KIND, "team", json!({"spec": {"permissions": ["ADMIN", "USER"]}})).await;
    story.wait_ready(KIND, "team").await;
    let levels = |all: Vec<Value>| all.into_iter().map(|a| a["permissions"].clone()).collect::<Vec<_>>();
    assert_eq!(levels(story.account.objects("permissionassignments")), [json!(["ADMIN"])]);

    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
    let done = story.account.writes().into_iter().filter(|call| call.applied).map(|call| call.method);
    assert_eq!(done.collect::<Vec<_>>(), ["PUT", "PUT", "DELETE"]);
    story.end().await;
}

#[tokio::test]
async fn a_spec_that_leaves_open_who_or_where_is_refused_with_what_to_write() {
    let story = Story::start("assignment-schema").await;
    let user = json!({"userName": "ada@example.com"});
    let both = json!({"userName": "ada@example.com", "id": 7});
    for (spec, says) in [
        (json!({"principal": user, "permissions": ["USER"]}), "exactly one of workspaceRef and workspaceId"),
        (
            json!({"workspaceId": 1, "workspaceRef": {"name": "w"}, "principal": user, "permissions": ["USER"]}),
            "exactly one of workspaceRef and workspaceId",
        ),
        (
            json!({"workspaceId": 1, "principal": both, "permissions": ["USER"]}),
            "principal needs exactly one of",
        ),
        (
            json!({"workspaceId": 1, "principal": {}, "permissions": ["USER"]}),
            "principal needs exactly one of",
        ),
        (
            json!({"workspaceId": 1, "principal": {"groupName": "a", "groupRef": {"name": "a"}}, "permissions": ["USER"]}),
            "principal needs exactly one of",
        ),
        (json!({"workspaceId": 1, "principal": user, "permissions": []}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["USER", "USER"]}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["UNKNOWN"]}), "spec.permissions"),
    ] {
        let refused = story.try_apply(&story.managed(KIND, "wrong", spec.clone())).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
    story.end().await;
}

/// A team of a user and a program, its group, and what each of the three may do in a workspace; all by references.
fn team(story: &Story, team: &str, workspace: i64) -> Vec<Value> {
    let (lead, robot) = (format!("{team}-lead"), format!("{team}-robot"));
    let access = |name: &str, principal: Value, level: &str| {
        let spec = json!({"workspaceId": workspace, "principal": principal, "permissions": [level]});
        story.managed(KIND, name, spec)
    };
    let members = json!([{"userRef": {"name": lead}}, {"servicePrincipalRef": {"name": robot}}]);
    vec![
        story.managed("User", &lead, json!({"userName": format!("{lead}@example.com")})),
        story.managed("ServicePrincipal", &robot, json!({"displayName": robot})),
        story.managed("Group", team, json!({"displayName": team, "members": members})),
        access(team, json!({"groupRef": {"name": team}}), "USER"),
        access(&lead, json!({"userRef": {"name": lead}}), "ADMIN"),
        access(&robot, json!({"servicePrincipalRef": {"name": robot}}), "USER"),
    ]
}

/// What each of the objects of [`team`] may do in the account, by the id of its principal: group, user, service principal.
async fn levels(story: &Story, team: &str) -> Vec<Value> {
    let (lead, robot) = (format!("{team}-lead"), format!("{team}-robot"));
    let mut found = vec![];
    for (kind, name) in [("Group", team), ("User", &*lead), ("ServicePrincipal", &*robot)] {
        let id = story.get(kind, name).await["status"]["externalId"].clone();
        let id: i64 = id.as_str().unwrap().parse().unwrap();
        let rows = story.account.objects("permissionassignments").into_iter();
        let mut rows = rows.filter(|row| row["principal_id"] == id);
        found.push(rows.next().map(|row| row["permissions"].clone()).unwrap_or_default());
    }
    found
}

/// Covers RF-01, RF-02, RF-06, RF-11. A team is applied in the order of its parts, another one in the wrong order: both have their members
/// and their access. Deleted in any order, no principal goes before its access.
#[tokio::test]
async fn a_team_comes_and_goes_with_its_members_and_its_access_in_any_order() {
    let story = Story::start("assignment-team").await;
    let workspace = workspace(&story);
    let [lead, robot] = ["blue-lead", "blue-robot"];
    let mut blue = team(&story, "blue", workspace);
    blue.reverse();
    let (access, principals) = blue.split_at(3);
    story.apply(&json!({"items": access})).await;
    let waits = story.wait_condition(KIND, "blue", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let says = ready_message(&waits);
    let expected = "Group assignment-team/blue does not exist: create it, or correct spec.principal.groupRef";
    assert!(says.contains(expected), "{says}");
    assert_eq!(story.account.writes().len(), 0);
    story.apply(&json!({"items": principals})).await;
    story.apply(&json!({"items": team(&story, "red", workspace)})).await;
    for team in ["blue", "red"] {
        for name in [team.to_owned(), format!("{team}-lead"), format!("{team}-robot")] {
            story.wait_ready(KIND, &name).await;
        }
        story.wait_ready("Group", team).await;
        assert_eq!(
            levels(&story, team).await,
            [json!(["USER"]), json!(["ADMIN"]), json!(["USER"])],
            "{team}"
        );
        let mut groups = story.account.objects("Groups").into_iter();
        let group = groups.find(|group| group["displayName"] == team).unwrap();
        assert_eq!(group["members"].as_array().map(Vec::len), Some(2), "{group}");
    }
    let group = story.get("Group", "blue").await["status"]["externalId"].clone();
    let shown = story.get(KIND, "blue").await["status"]["resolvedRefs"].clone();
    assert_eq!(shown, json!({"principal.groupRef": group}));

    story.account.clear_journal();
    for (kind, name) in [("Group", "blue"), ("User", lead), ("ServicePrincipal", robot)] {
        story.delete(kind, name).await;
        let held = story.wait_condition(kind, name, "DeletionBlocked", "True", "DependencyStillInUse").await;
        let says = condition(&held, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
        assert!(says.contains(&format!("{KIND} assignment-team/{name}")), "{says}");
    }
    assert_eq!(story.account.writes().len(), 0);
    for name in ["blue", lead, robot] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    for (kind, name) in [("Group", "blue"), ("User", lead), ("ServicePrincipal", robot)] {
        story.wait_gone(kind, name).await;
    }
    let done = story.account.writes().into_iter().filter(|call| call.applied);
    let paths: Vec<String> = done.map(|call| call.path).collect();
    let at = |part: String| paths.iter().position(|path| path.contains(&part)).unwrap();
    let group = group.as_str().unwrap();
    assert!(at(format!("principals/{group}")) < at(format!("Groups/{group}")), "{paths:?}");
    assert_eq!(story.account.objects("permissionassignments").len(), 3, "those of the other team");
    story.end().await;
}

/// Covers LC-17, IM-02, RF-11. A group that gets another name keeps its access, and who has it may be said by the reference, by the name and
/// by the id, one directly in place of the other: nothing is written. What means another principal is refused, and changes nothing either.
#[tokio::test]
async fn a_renamed_group_keeps_its_access_in_whatever_way_it_is_named() {
    let story = Story::start("assignment-forms").await;
    let workspace = workspace(&story);
    story.apply(&json!({"items": team(&story, "blue", workspace)})).await;
    let ready = story.wait_ready(KIND, "blue").await;
    let group: i64 =
        story.get("Group", "blue").await["status"]["externalId"].as_str().unwrap().parse().unwrap();
    for name in ["blue-lead", "blue-robot"] {
        story.wait_ready(KIND, name).await;
    }
    story.patch("Group", "blue", json!({"spec": {"displayName": "azure"}})).await;
    story.wait_ready("Group", "blue").await;
    story.account.clear_journal();
    let form = |principal: Value| {
        let mut all = json!({"id": null, "groupName": null, "groupRef": null, "userRef": null});
        all.as_object_mut().unwrap().extend(principal.as_object().unwrap().clone());
        json!({"spec": {"principal": all}})
    };
    let by_ref = form(json!({"groupRef": {"name": "blue"}}));
    let (by_name, by_id) = (form(json!({"groupName": "azure"})), form(json!({"id": group})));
    for same in [&by_name, &by_ref, &by_id, &by_ref, &by_name, &by_id, &by_name] {
        story.patch(KIND, "blue", same.clone()).await;
        let now = story.wait_ready(KIND, "blue").await;
        assert_eq!(now["status"]["externalId"], ready["status"]["externalId"], "{same}");
    }
    // Only the operator knows what a reference means.
    story.patch(KIND, "blue", form(json!({"userRef": {"name": "blue-lead"}}))).await;
    let stalled = story.wait_condition(KIND, "blue", "Stalled", "True", "ImmutableFieldChanged").await;
    assert!(ready_message(&stalled).contains("spec.principal.userRef"), "{stalled}");
    story.patch(KIND, "blue", by_ref).await;
    story.wait_ready(KIND, "blue").await;
    let other = form(json!({"groupRef": {"name": "other"}})).to_string();
    let refused = story.kubectl(&["patch", "dbpa", "blue", "--type=merge", "-p", &other]).await.unwrap_err();
    assert!(refused.to_string().contains("spec.principal cannot be changed"), "{refused}");
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    assert_eq!(levels(&story, "blue").await[0], json!(["USER"]));

    // A group that was deleted and created again in the account is another one: it inherits nothing.
    assert!(story.account.remove("Groups", &group.to_string()));
    story.pass("Group", "blue").await;
    story.wait_ready("Group", "blue").await;
    let stalled = story.wait_condition(KIND, "blue", "Stalled", "True", "ImmutableFieldChanged").await;
    assert!(ready_message(&stalled).contains("spec.principal.groupRef now means"), "{stalled}");
    assert_eq!(levels(&story, "blue").await[0], Value::Null);
    story.end().await;
}

fn answer(method: &str, path: &str, status: u16, body: Value) -> Fault {
    let (method, path) = (Some(method.into()), path.into());
    Fault { method, path, status: Some(status), body: Some(body), ..Fault::default() }
}

fn ready_message(object: &Value) -> String {
    condition(object, "Ready").unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers ER-13. A new workspace does not take assignments yet: that is waited for, in whatever words the API says it.
#[tokio::test]
async fn a_workspace_without_assignments_yet_is_waited_for_in_all_words() {
    let story = Story::start("assignment-words").await;
    let workspace = workspace(&story);
    let texts = [
        "Permission assignment APIs are not available for this workspace.",
        "Permission assignments not supported for current workspace.",
        "PERMISSION ASSIGNMENT APIs are not supported for current workspace",
        "Assignment APIs not available for this workspace",
    ];
    let groups = ["data-eng", "analysts"];
    for (n, text) in texts.into_iter().enumerate() {
        let forms = [
            json!({"error_code": "BAD_REQUEST", "message": text}),
            json!({"error_code": "INVALID_PARAMETER_VALUE", "message": text}),
            json!(text),
        ];
        for (m, body) in forms.into_iter().enumerate() {
            let name = format!("team-{n}-{m}");
            let path = if m == 0 { "*/permissionassignments" } else { "*/principals/*" };
            story.account.fault(answer(if m == 0 { "GET" } else { "PUT" }, path, 400, body.clone()));
            let group = groups[n % groups.len()];
            let spec = json!({"workspaceId": workspace, "principal": {"groupName": group},
                "permissions": ["USER"], "adoptionPolicy": "IfExists", "deletionPolicy": "Delete"});
            story.apply(&story.managed(KIND, &name, spec)).await;
            let waiting = story.wait_condition(KIND, &name, "Ready", "False", "WaitingForWorkspace").await;
            assert!(ready_message(&waiting).contains(text), "{}", ready_message(&waiting));
            assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");
            story.account.clear_faults();
            story.wait_ready(KIND, &name).await;
            story.delete(KIND, &name).await;
            story.wait_gone(KIND, &name).await;
        }
    }
    story.end().await;
}

/// Covers RF-08. An id that is mistyped is no loss: what the account does not know is named with the field to correct.
#[tokio::test]
async fn an_unknown_id_is_named_with_its_field() {
    let story = Story::start("assignment-mistyped").await;
    let known = workspace(&story);
    let group = story.account.objects("Groups").into_iter().find(|g| g["displayName"] == "data-eng").unwrap();
    let group: i64 = group["id"].as_str().unwrap().parse().unwrap();
    let other = story.account.objects("Groups").into_iter().find(|g| g["displayName"] == "analysts").unwrap();
    let other: i64 = other["id"].as_str().unwrap().parse().unwrap();
    let assignment = |workspace: i64, principal: Value| json!({"workspaceId": workspace, "principal": principal, "permissions": ["USER"]});
    let nobody = 999_999_999_999_i64;
    for (name, spec, says, not) in [
        (
            "workspace",
            assignment(42, json!({"groupName": "data-eng"})),
            "correct spec.workspaceId",
            "spec.principal",
        ),
        (
            "workspace-and-id",
            assignment(42, json!({"id": other})),
            "correct spec.workspaceId",
            "spec.principal",
        ),
        ("principal", assignment(known, json!({"id": nobody})), "correct spec.principal", "spec.workspaceId"),
    ] {
        story.apply(&story.managed(KIND, name, spec)).await;
        let seen = story.wait_condition(KIND, name, "Stalled", "True", "ReferenceNotFound").await;
        let text = ready_message(&seen);
        assert!(text.contains(says) && !text.contains(not), "{name}: {text}");
        assert_eq!(condition(&seen, "ReferencesResolved").unwrap()["reason"], "ReferenceNotFound", "{seen}");
        assert_eq!(seen["status"]["external"], Value::Null, "{seen}");
    }
    // An answer that names neither leaves both open.
    let silent = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"});
    story.account.fault(answer("PUT", "*/principals/*", 404, silent));
    let spec = assignment(known, json!({"id": group}));
    story.apply(&story.managed(KIND, "silent", spec)).await;
    let seen = story.wait_condition(KIND, "silent", "Stalled", "True", "ReferenceNotFound").await;
    let text = ready_message(&seen);
    assert!(text.contains("spec.workspaceId") && text.contains("spec.principal"), "{text}");
    story.account.clear_faults();

    // Corrected, they go on.
    story.patch(KIND, "workspace-and-id", json!({"spec": {"workspaceId": known}})).await;
    story.wait_ready(KIND, "workspace-and-id").await;
    story.end().await;
}

/// Covers RF-08. A workspace of this namespace is Ready, and the API of assignments does not know it yet: that is waited for,
/// for as long as it may take to be known everywhere.
#[tokio::test]
async fn a_ready_workspace_that_is_not_known_everywhere_yet_is_waited_for() {
    let story = Story::start("assignment-lag").await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let lab = json!({"workspaceName": "lab", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS",
        "deletionPolicy": "Delete"});
    story.apply(&story.managed("Workspace", "lab", lab)).await;
    story.wait_ready("Workspace", "lab").await;
    let missing = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Workspace does not exist"});
    let assignment = |group: &str| {
        let spec = json!({"workspaceRef": {"name": "lab"}, "principal": {"groupName": group}, "permissions": ["USER"]});
        story.managed(KIND, group, spec)
    };
    let waits = async |name: &str| {
        let waiting = story
            .wait(KIND, name, "it waits", |object| {
                let reconciling = condition(object, "Reconciling")?["status"] == "True";
                let told = condition(object, "Ready")?["message"].as_str()?.contains("does not exist");
                (reconciling && told).then(|| object.clone())
            })
            .await;
        assert_eq!(condition(&waiting, "Stalled"), None, "{waiting}");
        story.account.clear_faults();
        story.pass(KIND, name).await;
        story.wait_ready(KIND, name).await;
    };
    // An account that lists the workspace does not lack it: nobody's assignment is overlooked.
    let (listing, principals) = ("*/permissionassignments", "*/principals/*");
    story.account.fault(answer("GET", listing, 404, missing.clone()));
    story.apply(&assignment("analysts")).await;
    let tried = eventually("it is read again", SOON, async || {
        let count = story.account.calls("GET", listing);
        if count >= 3 { Ok(()) } else { Err(format!("{count} so far")) }
    });
    tried.await.unwrap();
    assert_eq!(story.account.calls("PUT", principals), 0);
    waits("analysts").await;

    story.account.fault(answer("PUT", principals, 404, missing));
    story.apply(&assignment("data-eng")).await;
    waits("data-eng").await;
    story.end().await;
}

/// Covers RF-08. A workspace is deleted in the account under an assignment that is there: what is missing is named, and that
/// the assignment may go too.
#[tokio::test]
async fn an_assignment_whose_workspace_is_gone_says_so() {
    let story = Story::start("assignment-orphan").await;
    let workspace = workspace(&story);
    let spec =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    story.wait_ready(KIND, "team").await;
    assert!(story.account.remove("workspaces", &workspace.to_string()));
    story.patch(KIND, "team", json!({"spec": {"permissions": ["ADMIN"]}})).await;
    let seen = story.wait_condition(KIND, "team", "Stalled", "True", "ReferenceNotFound").await;
    let text = ready_message(&seen);
    assert!(text.contains("spec.workspaceId") && text.contains("delete this object"), "{text}");
    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    story.end().await;
}

/// Covers DL-06. While the account says of itself that it does not exist, nobody's access is taken for gone.
#[tokio::test]
async fn an_account_that_denies_itself_ends_no_deletion() {
    let flags = [("recheck-stalled-min", "200ms")];
    let story = Story::start_with("assignment-denied", &flags).await;
    let workspace = workspace(&story);
    let spec =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    story.wait_ready(KIND, "team").await;
    let denied = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Account does not exist"});
    story.account.fault(Fault { method: None, ..answer("*", "/api/2.0/accounts/*", 404, denied) });
    story.account.clear_journal();
    story.delete(KIND, "team").await;
    let looked = eventually("it is looked for several times", SOON, async || {
        let count = story.account.calls("GET", "*/permissionassignments");
        if count >= 5 { Ok(()) } else { Err(format!("{count} so far")) }
    });
    looked.await.unwrap();
    story.wait_condition(KIND, "team", "Ready", "False", "Deleting").await;
    story.account.clear_faults();
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
    story.end().await;
}
