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
        (json!({"workspaceId": 1, "principal": user, "permissions": []}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["USER", "USER"]}), "spec.permissions"),
        (json!({"workspaceId": 1, "principal": user, "permissions": ["UNKNOWN"]}), "spec.permissions"),
    ] {
        let refused = story.try_apply(&story.managed(KIND, "wrong", spec.clone())).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
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
async fn an_id_that_nobody_has_is_named_with_its_field() {
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
