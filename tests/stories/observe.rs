//! `managementPolicy: Observe`: what somebody sees who only wants to look, and what happens when he no longer does.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const LIST: &str = "IpAccessList";

/// A list that is only observed, by its name alone.
fn observed(story: &Story, name: &str) -> Value {
    let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"],
        "managementPolicy": "Observe"});
    story.managed(LIST, name, spec)
}

fn made_by_hand(story: &Story, label: &str) -> Value {
    let list = json!({"label": label, "list_type": "ALLOW", "ip_addresses": ["198.51.100.7"]});
    let made = story.account.insert("ip-access-lists", list).unwrap();
    story.let_reads_catch_up();
    made["list_id"].clone()
}

async fn reasons(story: &Story, kind: &str, name: &str) -> Vec<String> {
    story.events(kind, name).await.into_iter().map(|(reason, _)| reason).collect()
}

/// Row and message of `kubectl get -o wide`, with one space between columns.
async fn row(story: &Story, kind: &str, name: &str) -> String {
    let text = story.kubectl(&["get", kind, name, "-o", "wide", "--no-headers"]).await.unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The plan for what is not there.
async fn planned(story: &Story, kind: &str, name: &str) -> Value {
    let plan = story.wait_condition(kind, name, "Ready", "False", "WouldBeCreated").await;
    let synced = condition(&plan, "Synced").unwrap();
    assert_eq!((&synced["status"], &synced["reason"]), (&json!("False"), &json!("DriftDetected")), "{plan}");
    assert_eq!(plan["status"]["observedGeneration"], plan["metadata"]["generation"]);
    for absent in ["Stalled", "Reconciling"] {
        assert_eq!(condition(&plan, absent), None, "{plan}");
    }
    plan
}

/// Covers LC-18, LC-06, LC-07. Something that is not there is a plan with its fields, and no alert; once somebody makes it, it is
/// watched without being taken over; once it is gone, it is a plan again.
#[tokio::test]
async fn a_missing_object_that_is_observed_is_a_plan() {
    let story = Story::start("observe-plan").await;
    story.apply(&observed(&story, "office")).await;
    let plan = planned(&story, LIST, "office").await;
    let said = condition(&plan, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(said.contains("would be created") && said.contains("spec.managementPolicy to Managed"), "{said}");
    let drift = |path: &str, want: &str| json!({"path": path, "want": want, "seen": "null"});
    let fields = json!([
        drift("enabled", "true"),
        drift("ipAddresses", r#"["203.0.113.0/24"]"#),
        drift("label", "\"office\""),
        drift("listType", "\"ALLOW\""),
    ]);
    let mut shown = plan["status"]["drift"].as_array().unwrap().clone();
    shown.sort_by_key(|field| field["path"].as_str().unwrap().to_owned());
    assert_eq!(json!(shown), fields);
    let row = row(&story, "ipaccesslist", "office").await;
    assert!(
        row.starts_with("office False False WouldBeCreated ") && row.contains("would be created"),
        "{row}"
    );
    assert!(story.wait_event(LIST, "office", "DriftDetected").await.contains("would be created"));

    let id = made_by_hand(&story, "office");
    let there = story.wait_condition(LIST, "office", "Ready", "True", "DriftDetected").await;
    assert_eq!(there["status"]["externalId"], id);
    assert_eq!(there["status"]["drift"][0]["path"], "ipAddresses");
    assert_eq!(
        there["status"]["observed"],
        json!({"enabled": true, "ipAddresses": ["198.51.100.7/32"], "label": "office", "listType": "ALLOW"})
    );
    assert_eq!(there["metadata"]["annotations"], Value::Null, "a look leaves no record of ownership");
    story.wait_event(LIST, "office", "Ready").await;
    assert!(story.account.remove("ip-access-lists", id.as_str().unwrap()));
    let gone = planned(&story, LIST, "office").await;
    assert_eq!(gone["status"]["observed"], Value::Null, "nothing is seen any more");
    let reasons = reasons(&story, LIST, "office").await;
    assert!(
        !reasons.iter().any(|reason| ["Adopted", "Stalled", "Created"].contains(&reason.as_str())),
        "{reasons:?}"
    );
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    // The plan is carried out.
    story.patch(LIST, "office", json!({"spec": {"managementPolicy": "Managed"}})).await;
    let made = story.wait_ready(LIST, "office").await;
    assert_eq!(made["status"]["externalId"], story.account.objects("ip-access-lists")[0]["list_id"]);
    assert_eq!(made["status"]["effective"]["deletionPolicy"], "Delete", "it is ours");
    story.end().await;
}

/// Covers LC-18, LC-03. To have looked at something gives no right to it: to manage it takes the permission that it would have
/// taken without looking, and that it was taken over is said then.
#[tokio::test]
async fn an_earlier_observation_gives_no_right_to_adopt() {
    let mut story = Story::start("observe-then-manage").await;
    let id = made_by_hand(&story, "office");
    story.apply(&observed(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    story.patch(LIST, "office", json!({"spec": {"managementPolicy": "Managed"}})).await;
    let refused = async |story: &Story| {
        let refused = story.wait_condition(LIST, "office", "Stalled", "True", "AlreadyExists").await;
        let told = condition(&refused, "Stalled").unwrap()["message"].as_str().unwrap();
        assert!(told.contains(id.as_str().unwrap()) && told.contains("IfExists"), "{told}");
    };
    refused(&story).await;
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    story.pass(LIST, "office").await;
    refused(&story).await;
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    // Neither is it deleted with the object, whatever the policy.
    story.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Delete"}})).await;
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    story.apply(&observed(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    let managed = json!({"managementPolicy": "Managed", "adoptionPolicy": "IfExists"});
    story.patch(LIST, "office", json!({"spec": managed})).await;
    let taken = story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
    assert_eq!(
        (&taken["status"]["externalId"], &taken["status"]["external"]["adopted"]),
        (&id, &json!(true))
    );
    assert!(story.wait_event(LIST, "office", "Adopted").await.contains("adopted"));
    let methods: Vec<String> = story.account.writes().into_iter().map(|call| call.method).collect();
    assert_eq!(methods, ["PATCH"]);
    story.end().await;
}

/// Covers LC-18, LC-07. What differs has the name that users write it under; what the operator would add by itself is no
/// difference. What is seen is shown under the names of the spec, too.
#[tokio::test]
async fn drift_and_observed_values_have_the_field_names_of_the_spec() {
    let story = Story::start("observe-names").await;
    let observe = |mut spec: Value| {
        spec["managementPolicy"] = json!("Observe");
        spec
    };
    let theirs = json!({"workspace_name": "analytics", "aws_region": "eu-west-1", "pricing_tier": "PREMIUM"});
    let made = story.account.insert("workspaces", theirs).unwrap();
    let workspace = made["workspace_id"].clone();
    let spec = json!({"workspaceName": "analytics", "awsRegion": "eu-west-1"});
    story.apply(&story.managed("Workspace", "analytics", observe(spec))).await;
    let seen = story.wait_condition("Workspace", "analytics", "Synced", "True", "InSync").await;
    assert_eq!(seen["status"]["drift"], Value::Null, "our tag is not theirs to miss");
    let shown = &seen["status"]["observed"];
    assert_eq!(
        (&shown["awsRegion"], &shown["pricingTier"]),
        (&json!("eu-west-1"), &json!("PREMIUM")),
        "{shown}"
    );
    assert_eq!(shown["ownerTag"], Value::Null);

    let user = story.account.objects("Users")[0].clone();
    let id: i64 = user["id"].as_str().unwrap().parse().unwrap();
    let assigned = json!({"workspace_id": workspace, "principal_id": id, "permissions": ["ADMIN"]});
    story.account.insert("permissionassignments", assigned).unwrap();
    let spec = json!({"workspaceRef": {"name": "analytics"}, "principal": {"userName": user["userName"]},
        "permissions": ["USER"]});
    story.apply(&story.managed("PermissionAssignment", "team", observe(spec))).await;
    let seen = story.wait_condition("PermissionAssignment", "team", "Ready", "True", "DriftDetected").await;
    let drift = json!([{"path": "permissions", "want": "[\"USER\"]", "seen": "[\"ADMIN\"]"}]);
    assert_eq!(seen["status"]["drift"], drift);
    assert_eq!(seen["status"]["observed"], json!({"permissions": ["ADMIN"], "workspaceId": workspace}));

    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let theirs =
        json!({"credentials_name": "compute", "aws_credentials": {"sts_role": {"role_arn": role("theirs")}}});
    story.account.insert("credentials", theirs).unwrap();
    let spec =
        json!({"credentialsName": "compute", "awsCredentials": {"stsRole": {"roleArn": role("ours")}}});
    story.apply(&story.managed("Credential", "compute", observe(spec))).await;
    let seen = story.wait_condition("Credential", "compute", "Ready", "True", "DriftDetected").await;
    let drift = json!([{"path": "awsCredentials.stsRole.roleArn", "want": format!("{:?}", role("ours")),
        "seen": format!("{:?}", role("theirs"))}]);
    assert_eq!(seen["status"]["drift"], drift);
    let row = row(&story, "credential", "compute").await;
    let said = "differs in awsCredentials.stsRole.roleArn";
    assert!(row.contains(" True False ") && row.contains(" DriftDetected ") && row.ends_with(said), "{row}");
    for (kind, name) in
        [("Workspace", "analytics"), ("PermissionAssignment", "team"), ("Credential", "compute")]
    {
        let reasons = reasons(&story, kind, name).await;
        assert!(!reasons.contains(&"Adopted".to_owned()), "{kind}: {reasons:?}");
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-18. An id that is not there, and a workspace that would not be made again, are no failure of who only looks.
#[tokio::test]
async fn an_observed_object_that_would_not_be_created_is_reported_and_not_stalled() {
    let story = Story::start("observe-missing").await;
    let mut by_id = observed(&story, "by-id");
    by_id["spec"]["externalId"] = json!("9d3c1f7e-2a4b-4c5d-8e6f-7a8b9c0d1e2f");
    let mut required = observed(&story, "required");
    required["spec"]["adoptionPolicy"] = json!("Required");
    for manifest in [by_id, required] {
        story.apply(&manifest).await;
    }
    let theirs =
        story.account.insert("workspaces", json!({"workspace_name": "lost", "aws_region": "eu-west-1"}));
    let id = theirs.unwrap()["workspace_id"].to_string();
    let spec = json!({"workspaceName": "lost", "awsRegion": "eu-west-1", "managementPolicy": "Observe"});
    story.apply(&story.managed("Workspace", "lost", spec)).await;
    story.wait_ready("Workspace", "lost").await;
    assert!(story.account.remove("workspaces", &id));
    for (kind, name) in [(LIST, "by-id"), (LIST, "required"), ("Workspace", "lost")] {
        let missing = story.wait_condition(kind, name, "Ready", "False", "ExternalResourceMissing").await;
        assert_eq!(
            (condition(&missing, "Stalled"), condition(&missing, "Reconciling")),
            (None, None),
            "{missing}"
        );
        assert_eq!(missing["status"]["drift"], Value::Null, "nothing would be created");
    }
    story.wait_event("Workspace", "lost", "ExternalResourceMissing").await;
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-18, LC-16. Annotations that name somebody else's list, and claim that it was created here, are believed no more by
/// way of a look: managed after that, it is left alone, and deleted, it stays.
#[tokio::test]
async fn a_forged_record_gains_nothing_by_observing() {
    let story = Story::start("observe-forged").await;
    let theirs = made_by_hand(&story, "theirs");
    let before = story.account.objects("ip-access-lists");
    let mut forged = observed(&story, "mine");
    forged["metadata"]["annotations"] = json!({
        "databricks-operator.io/external-id": theirs,
        "databricks-operator.io/created-by": "default/observe-forged/mine",
    });
    forged["spec"]["deletionPolicy"] = json!("Delete");
    story.apply(&forged).await;
    story.wait_ready(LIST, "mine").await;
    story.pass(LIST, "mine").await;
    story.patch(LIST, "mine", json!({"spec": {"managementPolicy": "Managed"}})).await;
    story.wait_condition(LIST, "mine", "Stalled", "True", "AlreadyExists").await;
    story.delete(LIST, "mine").await;
    story.wait_gone(LIST, "mine").await;
    assert_eq!(story.account.objects("ip-access-lists"), before);
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-18. To read what is in the account, its name or its id is enough. The status then shows all that a spec can control, and a
/// spec that is written from it is managed without a change.
#[tokio::test]
async fn a_name_or_an_id_is_enough_to_read_and_the_status_has_the_rest() {
    let story = Story::start("observe-import").await;
    let list = made_by_hand(&story, "office");
    let role = "arn:aws:iam::123456789012:role/databricks";
    let credential =
        json!({"credentials_name": "by-hand", "aws_credentials": {"sts_role": {"role_arn": role}}});
    let credential = story.account.insert("credentials", credential).unwrap()["credentials_id"].clone();
    let workspace = json!({"workspace_name": "by-hand", "aws_region": "eu-west-1"});
    let workspace = story.account.insert("workspaces", workspace).unwrap()["workspace_id"].to_string();
    for (kind, name, spec) in [
        (LIST, "by-name", json!({"label": "office", "listType": "ALLOW"})),
        (LIST, "by-id", json!({"externalId": list})),
        ("Credential", "by-name", json!({"credentialsName": "by-hand"})),
        ("Credential", "by-id", json!({"externalId": credential})),
        ("Workspace", "by-name", json!({"workspaceName": "by-hand"})),
        ("Workspace", "by-id", json!({"externalId": workspace})),
    ] {
        let mut spec = spec;
        spec["managementPolicy"] = json!("Observe");
        story.apply(&story.managed(kind, name, spec)).await;
    }
    for (kind, id, observed) in [
        (
            LIST,
            list.as_str().unwrap(),
            json!({"label": "office", "listType": "ALLOW", "enabled": true,
            "ipAddresses": ["198.51.100.7/32"]}),
        ),
        ("Credential", credential.as_str().unwrap(), json!({"credentialsName": "by-hand", "roleArn": role})),
        ("Workspace", &workspace, json!({"workspaceName": "by-hand", "awsRegion": "eu-west-1"})),
    ] {
        for name in ["by-name", "by-id"] {
            let seen = story.wait_ready(kind, name).await["status"].clone();
            assert_eq!(
                (&seen["externalId"], &seen["drift"]),
                (&json!(id), &Value::Null),
                "{kind} {name}: {seen}"
            );
            for (field, value) in observed.as_object().unwrap() {
                assert_eq!(seen["observed"][field], *value, "{kind} {name}: {field} in {seen}");
            }
        }
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    let spec = story.get(LIST, "by-id").await["status"]["observed"].clone();
    story.patch(LIST, "by-id", json!({"spec": {"managementPolicy": "Managed"}})).await;
    story.patch(LIST, "by-id", json!({"spec": spec})).await;
    story.wait_condition(LIST, "by-id", "Ready", "True", "Available").await;
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    let nothing = story.managed(LIST, "nothing", json!({"managementPolicy": "Observe"}));
    let refused = story.try_apply(&nothing).await.unwrap_err().to_string();
    assert!(refused.contains("spec.label is needed to find or create the object"), "{refused}");
    let half = story.managed(LIST, "half", json!({"label": "half", "listType": "BLOCK"}));
    let refused = story.try_apply(&half).await.unwrap_err().to_string();
    assert!(refused.contains("spec.ipAddresses is needed to create the object"), "{refused}");
    story.end().await;
}
