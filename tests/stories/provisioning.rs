//! Workspaces: what takes minutes, what fails, and what is never made twice.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::Fault;
use tokio::time::Instant;
use world::eventually;

use crate::support::{SOON, Story, WOKEN, condition};

const KIND: &str = "Workspace";
/// An hour on the account's clock: until a story says otherwise.
const LONG: u64 = 3_600_000;

const CREDENTIALS: &str = "7f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f";

pub fn workspace(story: &Story, name: &str) -> Value {
    if story.account.objects("credentials").is_empty() {
        let credentials = json!({"credentials_id": CREDENTIALS, "credentials_name": "analytics"});
        story.account.insert("credentials", credentials).unwrap();
    }
    let spec = json!({
        "workspaceName": name, "awsRegion": "eu-west-1",
        "credentialsId": CREDENTIALS,
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b",
    });
    story.managed(KIND, name, spec)
}

pub fn provisioning_takes(story: &Story, ms: u64) {
    story.account.set(|settings| (settings.start_ms, settings.provisioning_ms) = (0, ms));
}

fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers LC-04. A workspace that was retained carries the tag of its object: applied again, it is found without an id.
#[tokio::test]
async fn a_retained_workspace_comes_back_by_its_tag() {
    let story = Story::start("retained-workspace").await;
    provisioning_takes(&story, 100);
    story.apply(&workspace(&story, "analytics")).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    let id = ready["status"]["externalId"].clone();
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
    let tags = story.account.objects("workspaces")[0]["custom_tags"].clone();
    assert_eq!(tags, json!({"databricks-operator": "default/retained-workspace/analytics"}));
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    // Somebody else's workspace of the same name is no reason to doubt.
    let twin = json!({"workspace_name": "analytics", "aws_region": "eu-west-1"});
    story.account.insert("workspaces", twin).unwrap();

    story.apply(&workspace(&story, "analytics")).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(story.account.objects("workspaces").len(), 2);
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-12. A workspace holds data: one that is lost is not made again by itself, and the message says how to decide.
#[tokio::test]
async fn a_lost_workspace_is_not_created_again() {
    let story = Story::start("lost-workspace").await;
    provisioning_takes(&story, 100);
    story.apply(&workspace(&story, "analytics")).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert!(story.account.remove("workspaces", ready["status"]["externalId"].as_str().unwrap()));
    let lost = story.wait_condition(KIND, "analytics", "Stalled", "True", "ExternalResourceMissing").await;
    assert_eq!(condition(&lost, "Synced").unwrap()["reason"], "ExternalResourceMissing");
    let text = message(&lost, "Stalled");
    assert!(
        text.contains("delete this object and apply it again") && text.contains("spec.externalId"),
        "{text}"
    );
    story.wait_event(KIND, "analytics", "ExternalResourceMissing").await;
    story.pass(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST"]);

    // The decision: a new one.
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    story.apply(&workspace(&story, "analytics")).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST", "POST"]);
    story.end().await;
}

/// Covers LC-14. Provisioning shows how far it is and goes on where it was after a crash of the operator.
#[tokio::test]
async fn provisioning_survives_a_restart() {
    let mut story = Story::start("provisioning").await;
    provisioning_takes(&story, LONG);
    story.apply(&workspace(&story, "analytics")).await;
    let told = async |story: &Story| {
        story
            .wait(KIND, "analytics", "being provisioned", |object| {
                let ready = condition(object, "Ready")?;
                let reconciling = condition(object, "Reconciling")?["status"] == "True";
                let text = ready["message"].as_str()?.contains("Workspace is being provisioned.");
                (ready["reason"] == "Provisioning" && reconciling && text).then_some(())
            })
            .await;
    };
    told(&story).await;
    let shown = story.kubectl(&["get", "workspace", "analytics"]).await.unwrap();
    assert!(shown.contains("Provisioning"), "{shown}");
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    story.pass(KIND, "analytics").await;
    told(&story).await;
    story.account.advance_ms(LONG);
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-14. Forty workspaces that take their time leave two workers free for what is quickly done.
#[tokio::test]
async fn a_long_operation_holds_up_no_other_object() {
    let flags = [("concurrency", "2"), ("poll-min", "1s"), ("poll-max", "2s")];
    let story = Story::start_with("forty", &flags).await;
    provisioning_takes(&story, LONG);
    let all: Vec<Value> = (0..40).map(|n| workspace(&story, &format!("w-{n}"))).collect();
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": all})).await;
    let provisioning = eventually("all are being provisioned", SOON * 3, async || {
        let list = story.api(KIND).list(&Default::default()).await.map_err(|e| e.to_string())?;
        let is = |object: &Value| {
            condition(object, "Ready").is_some_and(|ready| ready["reason"] == "Provisioning")
        };
        let count = list.iter().filter(|object| is(&json!(object))).count();
        if count == all.len() { Ok(()) } else { Err(format!("{count} are")) }
    });
    provisioning.await.unwrap();

    let running = json!({"workspace_name": "old", "aws_region": "eu-west-1"});
    let id = story.account.insert("workspaces", running).unwrap()["workspace_id"].to_string();
    let mut old = workspace(&story, "old");
    old["spec"] = json!({
        "authRef": old["spec"]["authRef"], "workspaceName": "old", "awsRegion": "eu-west-1", "externalId": id,
    });
    let list = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    for (kind, name, manifest) in
        [(KIND, "old", old), ("IpAccessList", "office", story.managed("IpAccessList", "office", list))]
    {
        story.apply(&manifest).await;
        let applied = Instant::now();
        story.wait_ready(kind, name).await;
        assert!(applied.elapsed() < WOKEN, "{kind}: {:?}", applied.elapsed());
    }
    assert_eq!(story.account.calls("POST", "*/workspaces"), all.len());
    story.end().await;
}

/// Covers LC-14. What takes longer than `--operation-timeout` is called stalled, with a way on; if it ends well after all,
/// so much the better.
#[tokio::test]
async fn provisioning_that_takes_too_long_is_reported() {
    let story = Story::start_with("too-long", &[("operation-timeout", "1s")]).await;
    provisioning_takes(&story, LONG);
    story.apply(&workspace(&story, "analytics")).await;
    let late = story.wait_condition(KIND, "analytics", "Stalled", "True", "ProvisioningFailed").await;
    let text = message(&late, "Stalled");
    assert!(
        text.contains("not finished in time") && text.contains("set spec.deletionPolicy to Delete"),
        "{text}"
    );
    story.wait_event(KIND, "analytics", "Stalled").await;
    story.account.advance_ms(LONG);
    story.pass(KIND, "analytics").await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-14. A workspace that failed says why in Databricks' words, and is repaired by a change of what may change.
#[tokio::test]
async fn a_failed_workspace_is_repaired_by_a_change() {
    let story = Story::start("failed-workspace").await;
    provisioning_takes(&story, 100);
    story.account.set(|settings| settings.fail_next_workspace = Some("the bucket does not exist".into()));
    story.apply(&workspace(&story, "analytics")).await;
    let failed = story.wait_condition(KIND, "analytics", "Stalled", "True", "ProvisioningFailed").await;
    let text = message(&failed, "Stalled");
    assert!(text.contains("the bucket does not exist"), "{text}");
    assert_eq!(failed["status"]["state"], "FAILED");
    assert_eq!(writes(&story), ["POST"]);

    let bucket = "3c0e2071-6d55-4a1f-8b64-1d2e3f4a5b6c";
    story.patch(KIND, "analytics", json!({"spec": {"storageConfigurationId": bucket}})).await;
    story.wait_ready(KIND, "analytics").await;
    let writes = story.account.writes();
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert_eq!(writes[1].method, "PATCH");
    assert_eq!(writes[1].body, Some(json!({"storage_configuration_id": bucket})));
    assert_eq!(story.account.objects("workspaces")[0]["workspace_status"], "RUNNING");
    story.end().await;
}

/// Covers LC-19. The cause is outside the spec: once it is mended, whoever asks for another try gets one, also where the first
/// request meets an outage. One request is one try.
#[tokio::test]
async fn a_failed_workspace_is_retried_on_request() {
    let mut story = Story::start("failed-asked").await;
    provisioning_takes(&story, 100);
    story.account.set(|settings| settings.fail_next_workspace = Some("the bucket policy is wrong".into()));
    story.apply(&workspace(&story, "analytics")).await;
    let failed = story.wait_condition(KIND, "analytics", "Stalled", "True", "ProvisioningFailed").await;
    let text = message(&failed, "Stalled");
    let advice = [
        "the bucket policy is wrong",
        "databricks-operator.io/reconcile-requested-at",
        "storageConfigurationId",
    ];
    for part in advice {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Not mended yet.
    story.account.set(|settings| settings.fail_next_workspace = Some("it is still wrong".into()));
    story.pass(KIND, "analytics").await;
    let still = |object: &Value| {
        condition(object, "Stalled")?["message"].as_str()?.contains("it is still wrong").then_some(())
    };
    story.wait(KIND, "analytics", "it failed once more", still).await;
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    story.wait(KIND, "analytics", "it is still failed", still).await;
    assert_eq!(writes(&story), ["POST", "PATCH"], "a request is carried out once");

    for method in ["GET", "PATCH"] {
        let outage = Fault {
            method: Some(method.into()),
            path: "*/workspaces*".into(),
            status: Some(503),
            times: Some(3),
            ..Fault::default()
        };
        story.account.fault(outage);
    }
    story.pass(KIND, "analytics").await;
    story.wait_ready(KIND, "analytics").await;
    let sent = story.account.writes().pop().unwrap();
    assert_eq!((sent.method.as_str(), sent.applied), ("PATCH", true));
    let spec = &failed["spec"];
    let same = json!({"aws_region": spec["awsRegion"], "credentials_id": spec["credentialsId"],
        "storage_configuration_id": spec["storageConfigurationId"]});
    assert_eq!(sent.body, Some(same));
    assert_eq!(story.account.calls("POST", "*/workspaces"), 1);
    story.end().await;
}

/// Covers LC-19. A workspace that failed is retained, as any other: applied again, its object finds it, failed as it is. The way
/// to another one is the one that the message names.
#[tokio::test]
async fn a_failed_workspace_is_replaced_in_the_way_that_its_message_names() {
    let story = Story::start("failed-replaced").await;
    provisioning_takes(&story, 100);
    story.account.set(|settings| settings.fail_next_workspace = Some("wrong".into()));
    story.apply(&workspace(&story, "analytics")).await;
    let failed = async || {
        let failed = story.wait_condition(KIND, "analytics", "Stalled", "True", "ProvisioningFailed").await;
        assert!(message(&failed, "Stalled").contains("set spec.deletionPolicy to Delete"), "{failed}");
        failed["status"]["externalId"].clone()
    };
    let first = failed().await;
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    story.apply(&workspace(&story, "analytics")).await;
    assert_eq!(failed().await, first, "it is found again by its tag");

    story.patch(KIND, "analytics", json!({"spec": {"deletionPolicy": "Delete"}})).await;
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    story.apply(&workspace(&story, "analytics")).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_ne!(ready["status"]["externalId"], first);
    assert_eq!(story.account.objects("workspaces").len(), 1);
    story.end().await;
}

/// Covers LC-01, LC-03. A create was lost before its effect, and somebody makes a workspace of that name by hand. It does not
/// carry our tag: it is never taken for the one that was to be made.
#[tokio::test]
async fn a_workspace_without_our_tag_is_not_the_result_of_a_lost_create() {
    let mut story = Story::start("lost-workspace-create").await;
    provisioning_takes(&story, 100);
    let lost = story.account.fault(Fault {
        method: Some("POST".into()),
        path: "*/workspaces".into(),
        hold: true,
        drop: true,
        ..Fault::default()
    });
    story.apply(&workspace(&story, "analytics")).await;
    story.account.held(lost).await;
    story.operator.take().unwrap().kill().unwrap();
    story.account.release_all();
    story.account.clear_faults();
    let by_hand = json!({"workspace_name": "analytics", "aws_region": "eu-west-1"});
    let id = story.account.insert("workspaces", by_hand).unwrap()["workspace_id"].to_string();
    let before = story.account.objects("workspaces");

    story.start_operator(&[]).await;
    let stalled = story.wait_condition(KIND, "analytics", "Stalled", "True", "AlreadyExists").await;
    assert!(message(&stalled, "Stalled").contains(&id), "{stalled}");
    assert_eq!(stalled["status"]["external"], Value::Null);
    story.patch(KIND, "analytics", json!({"spec": {"deletionPolicy": "Delete"}})).await;
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!(story.account.objects("workspaces"), before);
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-04. A workspace of ours that somebody is deleting outside is not taken over by an object that is applied again,
/// nor is it in its way.
#[tokio::test]
async fn a_workspace_that_is_being_deleted_is_not_adopted() {
    let mut story = Story::start("leaving-workspace").await;
    provisioning_takes(&story, 100);
    for status in ["CANCELLING", "CANCELLED"] {
        let name = status.to_lowercase();
        story.apply(&workspace(&story, &name)).await;
        let old = story.wait_ready(KIND, &name).await["status"]["externalId"].as_str().unwrap().to_owned();
        story.delete(KIND, &name).await;
        story.wait_gone(KIND, &name).await;
        // So that no reading from before is left.
        story.operator.take().unwrap().kill().unwrap();
        let leaving = story.account.edit("workspaces", &old, json!({"workspace_status": status})).unwrap();
        assert!(leaving["custom_tags"].to_string().contains(&name), "it is ours: {leaving}");
        story.start_operator(&[]).await;

        story.apply(&workspace(&story, &name)).await;
        let new = story.wait_ready(KIND, &name).await["status"]["externalId"].as_str().unwrap().to_owned();
        assert_ne!(new, old);
        let all = story.account.objects("workspaces");
        assert!(all.contains(&leaving), "{leaving} in {all:?}");
    }
    assert_eq!(writes(&story), ["POST"; 4]);
    story.end().await;
}

/// Covers LC-01, IM-09. The console can rename a workspace, and the API cannot: its object keeps it and says what to write, and the rest
/// of the spec is still carried out. Retained and applied again under its old name it is recognised, and no second one is created.
#[tokio::test]
async fn a_workspace_that_was_renamed_in_the_console_keeps_its_object() {
    let mut story = Story::start("renamed-in-console").await;
    provisioning_takes(&story, 100);
    story.apply(&workspace(&story, "analytics")).await;
    let id = story.wait_ready(KIND, "analytics").await["status"]["externalId"].clone();
    let key = id.as_str().unwrap();
    story.account.edit("workspaces", key, json!({"workspace_name": "insights"})).unwrap();
    let kept = async |story: &Story| {
        let seen = story.wait_condition(KIND, "analytics", "Stalled", "True", "ImmutableFieldChanged").await;
        let says = message(&seen, "Stalled");
        assert!(says.contains("spec.workspaceName") && says.contains("insights"), "{says}");
        let drift = json!([{"path": "workspaceName", "want": "\"analytics\"", "seen": "\"insights\""}]);
        assert_eq!((&seen["status"]["externalId"], &seen["status"]["drift"]), (&id, &drift));
    };
    kept(&story).await;
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    story.pass(KIND, "analytics").await;
    kept(&story).await;
    assert_eq!(writes(&story), ["POST"]);
    story.patch(KIND, "analytics", json!({"spec": {"customTags": {"team": "data"}}})).await;
    kept(&story).await;
    assert_eq!(story.account.objects("workspaces")[0]["custom_tags"]["team"], "data");

    story.patch(KIND, "analytics", json!({"spec": {"workspaceName": "insights"}})).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!((&ready["status"]["externalId"], ready["status"].get("drift")), (&id, None));

    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    story.apply(&workspace(&story, "analytics")).await;
    let seen = story.wait_condition(KIND, "analytics", "Stalled", "True", "Ambiguous").await;
    assert!(message(&seen, "Stalled").contains(key), "{seen}");
    let mut renamed = workspace(&story, "analytics");
    renamed["spec"]["workspaceName"] = json!("insights");
    story.apply(&renamed).await;
    assert_eq!(story.wait_ready(KIND, "analytics").await["status"]["externalId"], id);
    assert_eq!(story.account.objects("workspaces").len(), 1);
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    story.end().await;
}

/// Covers ST-11. Databricks finds the network of a running workspace broken: the workspace stays Ready and says so, until it is repaired.
#[tokio::test]
async fn a_running_workspace_says_that_its_network_is_broken() {
    let story = Story::start("workspace-network").await;
    provisioning_takes(&story, 100);
    let network = story.account.insert("networks", json!({"network_name": "main"})).unwrap();
    let network = network["network_id"].as_str().unwrap();
    let mut manifest = workspace(&story, "analytics");
    manifest["spec"]["networkId"] = json!(network);
    story.apply(&manifest).await;
    let says = async |part: &'static str| {
        story
            .wait(KIND, "analytics", &format!("Ready says {part:?}"), |object| {
                let ready = condition(object, "Ready")?;
                let text = ready["message"].as_str()?;
                let fits = if part.is_empty() { text.is_empty() } else { text.contains(part) };
                (ready["status"] == "True" && fits).then_some(())
            })
            .await;
    };
    says("").await;
    let errors = json!([{"error_type": "subnet", "error_message": "too small"}]);
    let broken = json!({"vpc_status": "BROKEN", "error_messages": errors});
    story.account.edit("networks", network, broken).unwrap();
    says("BROKEN (subnet: too small)").await;
    story.account.edit("networks", network, json!({"vpc_status": "VALID", "error_messages": []})).unwrap();
    says("").await;
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-22. Provisioning is paused so that the service account of the workspace can be given its roles; what the spec adds meanwhile goes
/// with the change that ends the pause. Once it runs, the field has no effect.
#[tokio::test]
async fn a_paused_workspace_resumes_when_its_spec_says_so() {
    let story = Story::start("workspace-paused").await;
    provisioning_takes(&story, 100);
    let mut manifest = workspace(&story, "analytics");
    manifest["spec"]["expectedWorkspaceStatus"] = json!("PROVISIONING");
    story.apply(&manifest).await;
    let paused = story.wait_condition(KIND, "analytics", "Ready", "False", "AwaitingApproval").await;
    assert!(message(&paused, "Ready").contains("set spec.expectedWorkspaceStatus to RUNNING"), "{paused}");
    assert_eq!(condition(&paused, "Stalled"), None, "{paused}");
    let network =
        story.account.insert("networks", json!({"network_name": "main"})).unwrap()["network_id"].clone();
    story.patch(KIND, "analytics", json!({"spec": {"networkId": network}})).await;
    story.wait_condition(KIND, "analytics", "Ready", "False", "AwaitingApproval").await;
    assert_eq!(writes(&story), ["POST"]);

    story.patch(KIND, "analytics", json!({"spec": {"expectedWorkspaceStatus": "RUNNING"}})).await;
    story.wait_ready(KIND, "analytics").await;
    let sent = story.account.writes().pop().unwrap().body.unwrap();
    assert_eq!(sent, json!({"expected_workspace_status": "RUNNING", "network_id": network}));
    story.patch(KIND, "analytics", json!({"spec": {"expectedWorkspaceStatus": "PROVISIONING"}})).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    story.end().await;
}

/// Covers IM-03. What the rules of a Workspace ask for is enough. What they refuse is in tests/crds/broken.yaml.
#[tokio::test]
async fn a_workspace_is_accepted_in_each_form_that_its_rules_allow() {
    let story = Story::start("workspace-forms").await;
    let (key, value) = ("k".repeat(127), "v".repeat(255));
    for form in [
        json!({"awsRegion": null, "credentialsId": null, "storageConfigurationId": null, "managementPolicy": "Observe"}),
        json!({"awsRegion": null, "credentialsId": null, "storageConfigurationId": null, "managementPolicy": "Observe",
            "location": "us-east4"}),
        json!({"awsRegion": null, "credentialsId": null, "storageConfigurationId": null, "location": "us-east4",
            "cloudResourceContainer": {"gcp": {"projectId": "p"}},
            "gcpManagedNetworkConfig": {"subnetCidr": "10.0.0.0/20"}}),
        json!({"computeMode": "SERVERLESS", "credentialsId": null, "storageConfigurationId": null}),
        json!({"credentialsId": null, "credentialsRef": {"name": "compute"}}),
        json!({"storageConfigurationId": null, "storageConfigurationRef": {"name": "root"}}),
        json!({"credentialsId": null, "adoptionPolicy": "Required"}),
        json!({"storageConfigurationId": null, "managementPolicy": "Observe"}),
        json!({"credentialsId": null, "storageConfigurationId": null, "externalId": "1"}),
        json!({"externalId": "1234567890123456789"}),
        json!({"customTags": {key: value}}),
    ] {
        // Suspended, so that nothing comes of it. A null takes a field away.
        let mut manifest = workspace(&story, "analytics");
        let spec = manifest["spec"].as_object_mut().unwrap();
        spec.insert("suspend".into(), json!(true));
        spec.extend(form.as_object().unwrap().clone());
        spec.retain(|_, value| !value.is_null());
        let accepted = story.try_apply(&manifest).await;
        assert!(accepted.is_ok(), "{form}: {accepted:?}");
    }
    assert_eq!(writes(&story), [""; 0]);
    story.end().await;
}

/// Covers LC-14. A clock that was set back makes it seem as if a workspace were begun in the future: that is not too long ago.
#[tokio::test]
async fn a_clock_that_was_set_back_stalls_nothing() {
    let mut story = Story::start("clock-set-back").await;
    provisioning_takes(&story, LONG);
    story.apply(&workspace(&story, "analytics")).await;
    let begun = |object: &Value| object["status"]["operation"]["since"].as_str().map(str::to_owned);
    story.wait(KIND, "analytics", "it is timed", begun).await;
    story.operator.take().unwrap().kill().unwrap();
    let later = k8s_openapi::jiff::Timestamp::now() + Duration::from_secs(7_200);
    let since = later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"status": {"operation": {"since": since}}}).to_string();
    let patch = ["patch", "workspace", "analytics", "--subresource=status", "--type=merge", "-p", &patch];
    story.kubectl(&patch).await.unwrap();
    story.start_operator(&[]).await;
    let seen = story.pass(KIND, "analytics").await;
    assert_eq!(seen["status"]["operation"]["since"], since, "nobody timed it anew");
    assert_eq!(condition(&seen, "Ready").unwrap()["reason"], "Provisioning", "{seen}");
    assert_eq!(condition(&seen, "Stalled"), None, "{seen}");
    story.account.advance_ms(LONG);
    story.wait_ready(KIND, "analytics").await;
    story.end().await;
}

/// Covers DL-05. A workspace that is gone is gone, though a list still has it as cancelled.
#[tokio::test]
async fn a_cancelled_row_does_not_hold_up_a_deletion() {
    let story = Story::start("cancelled-row").await;
    provisioning_takes(&story, 100);
    story.account.set(|settings| settings.deletion_ms = 100);
    let mut manifest = workspace(&story, "analytics");
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    story.apply(&manifest).await;
    story.wait_ready(KIND, "analytics").await;
    let mut row = story.account.objects("workspaces").remove(0);
    row["workspace_status"] = json!("CANCELLED");
    story.account.fault(Fault {
        method: Some("GET".into()),
        path: "*/workspaces".into(),
        body: Some(json!([row])),
        ..Fault::default()
    });
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!(story.account.objects("workspaces"), [] as [Value; 0]);
    assert_eq!(writes(&story), ["POST", "DELETE"]);
    story.end().await;
}
