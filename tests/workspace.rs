//! Workspaces against the simulated account: what the driver of the kind tells the engine, and what it sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Change, Driver, Phase, Reader, Resolved, Seen, When, Writer, of};
use databricks_operator::kinds::KINDS;
use databricks_operator::kinds::workspace::Workspace;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const CREDENTIALS: &str = "7f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f";
const STORAGE: &str = "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b";
const OTHER: &str = "c3e04d5f-6a7b-4c8d-9e0f-1a2b3c4d5e6f";
const MARKER: &str = "prod/team-a/analytics";

fn driver() -> &'static dyn Driver {
    of::<Workspace>()
}

async fn start() -> (Simulator, Writer) {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    // Longer than a busy machine stands still between two calls, and over once `running` has advanced the clock.
    simulator.set(|settings| settings.provisioning_ms = 9_000);
    for (id, name) in [(CREDENTIALS, "analytics"), (OTHER, "other")] {
        simulator.insert("credentials", json!({"credentials_id": id, "credentials_name": name})).unwrap();
    }
    let api = connect(&simulator);
    (simulator, api)
}

/// The desired state of a spec on AWS with `more` fields; a null takes a field away.
fn want(more: Value) -> Value {
    let mut spec = json!({
        "authRef": {"name": "account"}, "workspaceName": "analytics", "awsRegion": "eu-west-1",
        "credentialsId": CREDENTIALS, "storageConfigurationId": STORAGE,
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let got = Resolved { marker: MARKER.into(), ..Resolved::default() };
    driver().desired(&spec, &got).unwrap()
}

async fn get(api: &Reader, id: &str) -> Seen {
    driver().get(api, id).await.unwrap().expect("the workspace is there")
}

/// A workspace of ours that runs.
async fn running(simulator: &Simulator, api: &Writer, want: &Value) -> Seen {
    let made = driver().create(api, want).await.unwrap().seen.unwrap();
    simulator.advance_ms(10_000);
    let seen = get(api, &made.id).await;
    assert_eq!(seen.about.phase, Phase::Ready);
    seen
}

/// What differs from `want`, a word each: `field:Now`.
fn judged(want: &Value, seen: &Seen) -> Vec<String> {
    let word = |change: &Change| match &change.when {
        When::Now => "Now",
        When::NotNow(_) => "NotNow",
        When::Never(_) => "Never",
    };
    let changes = driver().changes(want, seen).unwrap();
    changes.iter().map(|change| format!("{}:{}", change.path, word(change))).collect()
}

fn last_write(simulator: &Simulator) -> simulator::Call {
    simulator.writes().pop().unwrap()
}

#[tokio::test]
async fn a_workspace_is_made_by_one_call_and_runs_after_a_while() {
    let (simulator, api) = start().await;
    simulator.set(|settings| settings.start_ms = 60_000);
    let want = want(json!({
        "customTags": {"team": "data"}, "networkConnectivityConfigId": OTHER, "isNoPublicIpEnabled": true,
    }));
    let made = driver().create(&api, &want).await.unwrap().seen.unwrap();
    assert_eq!(simulator.writes().len(), 1);
    assert_eq!(simulator.calls("GET", "*/workspaces*"), 0);
    assert_eq!(
        last_write(&simulator).body.unwrap(),
        json!({
            "workspace_name": "analytics", "aws_region": "eu-west-1", "credentials_id": CREDENTIALS,
            "storage_configuration_id": STORAGE, "is_no_public_ip_enabled": true,
            "custom_tags": {"team": "data", "databricks-operator": MARKER},
        })
    );
    assert!(
        made.id.parse::<i64>().unwrap() > 1 << 53,
        "the simulator's ids are larger than a float can hold"
    );
    assert_eq!(made.id, simulator.objects("workspaces")[0]["workspace_id"].to_string());
    assert_eq!(made.about.state.as_deref(), Some("NOT_PROVISIONED"));
    assert!(matches!(&made.about.phase, Phase::Pending(why) if why.contains("not yet begun")));

    simulator.advance_ms(60_000);
    let seen = get(&api, &made.id).await;
    assert!(matches!(&seen.about.phase, Phase::Pending(why) if why.contains("being provisioned")));
    assert_eq!(judged(&want, &seen), ["network_connectivity_config_id:NotNow"]);

    simulator.advance_ms(60_000);
    let seen = get(&api, &made.id).await;
    assert_eq!(seen.about.phase, Phase::Ready);
    assert_eq!(seen.about.owner.as_deref(), Some(MARKER));
    assert_eq!(
        seen.about.created,
        Some(simulator.objects("workspaces")[0]["creation_time"].as_i64().unwrap() / 1000)
    );
    assert_eq!(
        (&seen.facts["workspaceStatus"], &seen.facts["storageMode"]),
        (&json!("RUNNING"), &json!("CUSTOMER_HOSTED"))
    );
    assert_eq!(judged(&want, &seen), ["network_connectivity_config_id:Now"]);
    let told = driver().update(&api, &seen, &want, &["network_connectivity_config_id"]).await.unwrap();
    assert_eq!(judged(&want, &told), [""; 0]);
}

#[tokio::test]
async fn a_workspace_is_found_by_name_and_region() {
    let (simulator, api) = start().await;
    for (name, region) in [("analytics", "eu-west-1"), ("analytics", "us-east-1"), ("other", "eu-west-1")] {
        simulator.insert("workspaces", json!({"workspace_name": name, "aws_region": region})).unwrap();
    }
    simulator
        .insert(
            "workspaces",
            json!({"workspace_name": "on-azure", "aws_region": null, "location": "westeurope"}),
        )
        .unwrap();
    let rows = driver().list(&api, "").await.unwrap();
    let found = |want: &Value| -> Vec<&str> {
        let key = driver().key(want).unwrap();
        assert_eq!(key.within, "");
        let fits = rows.iter().filter(|row| driver().matches(&key, row).unwrap());
        fits.map(|row| row.state["workspace_name"].as_str().unwrap()).collect()
    };
    assert_eq!(found(&want(json!({}))), ["analytics"]);
    assert_eq!(found(&want(json!({"awsRegion": "ap-south-1"}))), [""; 0]);
    let azure = want(
        json!({"workspaceName": "on-azure", "awsRegion": null, "credentialsId": null, "storageConfigurationId": null}),
    );
    assert_eq!(found(&azure), ["on-azure"]);
    // No tag marks what cannot be managed, so it is not a difference either.
    let row = rows.iter().find(|row| row.state["workspace_name"] == "on-azure").unwrap();
    assert_eq!(judged(&azure, row), [""; 0]);
}

#[tokio::test]
async fn an_id_is_read_in_one_form_only() {
    let (simulator, api) = start().await;
    for id in [i64::MAX, 9_007_199_254_740_993] {
        simulator.insert("workspaces", json!({"workspace_id": id, "workspace_name": "w"})).unwrap();
        assert_eq!(get(&api, &id.to_string()).await.id, id.to_string());
    }
    simulator.clear_journal();
    for id in ["+1", "01", "", "1e3", "9223372036854775808", "x/../1"] {
        let error = driver().get(&api, id).await.unwrap_err();
        assert!(matches!(error, Error::Terminal { reason: Reason::InvalidSpec, .. }), "{id}: {error}");
    }
    assert_eq!(simulator.calls("*", "*"), 0);
    assert_eq!(driver().get(&api, "1").await.unwrap(), None);
}

#[tokio::test]
async fn a_failure_says_why_and_a_correction_is_tried() {
    let (simulator, api) = start().await;
    simulator.set(|settings| settings.fail_next_workspace = Some("the bucket does not exist".into()));
    let first = want(json!({"networkId": OTHER}));
    let made = driver().create(&api, &first).await.unwrap().seen.unwrap();
    simulator.advance_ms(10_000);
    let failure = |seen: &Seen| match &seen.about.phase {
        Phase::Failed(why) => why.clone(),
        other => panic!("{other:?}"),
    };
    // The account does not show the network, so its errors cannot be read: the failure shows all the same.
    let seen = explained(&api, get(&api, &made.id).await).await;
    assert!(failure(&seen).contains("the bucket does not exist"), "{}", failure(&seen));
    let network = json!({"network_id": OTHER, "network_name": "main", "error_messages": network_errors()});
    simulator.insert("networks", network).unwrap();
    let seen = explained(&api, get(&api, &made.id).await).await;
    assert!(failure(&seen).contains("securityGroup: no egress, subnet: too small"), "{}", failure(&seen));
    let seen = get(&api, &made.id).await;
    let row = driver().list(&api, "").await.unwrap().remove(0);
    assert_eq!(row, seen, "a LIST tells the same, or the status would flap");

    assert_eq!(judged(&first, &seen), [""; 0]);
    let corrected =
        want(json!({"networkId": OTHER, "storageConfigurationId": OTHER, "awsRegion": "eu-central-1"}));
    assert_eq!(judged(&corrected, &seen), ["aws_region:Now", "storage_configuration_id:Now"]);
    let told =
        driver().update(&api, &seen, &corrected, &["aws_region", "storage_configuration_id"]).await.unwrap();
    assert!(matches!(told.about.phase, Phase::Pending(_)));
    simulator.advance_ms(10_000);
    let seen = get(&api, &made.id).await;
    assert_eq!((seen.about.phase.clone(), judged(&corrected, &seen)), (Phase::Ready, vec![]));
}

/// A workspace as the engine shows it: with what the row of its network says, if that can be read.
async fn explained(api: &Reader, mut seen: Seen) -> Seen {
    let explained = driver().traits().explained.unwrap();
    let networks = KINDS.iter().find(|kind| kind.kind() == explained.by).unwrap();
    let rows = networks.list(api, "").await.unwrap_or_default();
    if let Some(network) = rows.iter().find(|row| seen.state[explained.field] == *row.id) {
        (explained.add)(&mut seen.about, network);
    }
    seen
}

/// What Databricks finds wrong with a network.
fn network_errors() -> Value {
    json!([
        {"error_type": "subnet", "error_message": "too small"},
        {"error_type": "securityGroup", "error_message": "no egress"},
    ])
}

/// The message of a workspace that runs does not mention its network: what is wrong with that is shown with it.
#[tokio::test]
async fn a_running_workspace_names_the_errors_of_its_network() {
    let (simulator, api) = start().await;
    simulator.insert("networks", json!({"network_id": OTHER, "network_name": "main"})).unwrap();
    let id = running(&simulator, &api, &want(json!({"networkId": OTHER}))).await.id;
    let remark = async || {
        let seen = get(&api, &id).await;
        assert_eq!(seen.about.phase, Phase::Ready);
        let row = driver().list(&api, "").await.unwrap().remove(0);
        assert_eq!(row, seen, "a LIST tells the same, or the status would flap");
        explained(&api, seen).await.about.remark
    };
    let set = |changes: Value| simulator.edit("networks", OTHER, changes).unwrap();
    assert_eq!(remark().await, None);
    set(json!({"vpc_status": "BROKEN", "error_messages": network_errors()}));
    let says = remark().await.unwrap();
    let errors = "BROKEN (securityGroup: no egress, subnet: too small)";
    assert!(says.contains(OTHER) && says.contains(errors) && says.contains("spec.networkRef"), "{says}");
    set(json!({"error_messages": null}));
    let says = remark().await.unwrap();
    assert!(says.contains("gives no reason"), "{says}");
    set(json!({"vpc_status": "WARNED"}));
    assert_eq!(remark().await, None);

    set(json!({"vpc_status": "BROKEN"}));
    let fault = Fault { path: "*/networks*".into(), status: Some(403), ..Fault::default() };
    simulator.fault(fault);
    assert_eq!(remark().await, None, "a workspace is shown though its network cannot be read");
}

#[tokio::test]
async fn what_may_change_depends_on_the_state() {
    let (simulator, api) = start().await;
    let id = running(&simulator, &api, &want(json!({}))).await.id;
    let set = |changes: Value| simulator.edit("workspaces", &id, changes).unwrap();
    // Field of the spec, then what becomes of setting it: RUNNING without and with a value of its own, FAILED.
    for (field, value, bare, filled, failed) in [
        ("workspaceName", json!("x"), "Never", "Never", "Never"),
        ("deploymentName", json!("x"), "Never", "Never", "Never"),
        ("pricingTier", json!("ENTERPRISE"), "Never", "Never", "Never"),
        ("computeMode", json!("SERVERLESS"), "Never", "Never", "Never"),
        ("location", json!("us-east4"), "Never", "Never", "Never"),
        ("awsRegion", json!("us-east-1"), "Never", "Never", "Now"),
        ("storageConfigurationId", json!("x"), "Never", "Never", "Now"),
        ("networkId", json!("x"), "Never", "Now", "Now"),
        ("storageCustomerManagedKeyId", json!("x"), "Now", "Never", "Now"),
        ("credentialsId", json!("x"), "Now", "Now", "Now"),
        ("privateAccessSettingsId", json!("x"), "Now", "Now", "Now"),
        ("managedServicesCustomerManagedKeyId", json!("x"), "Now", "Now", "Now"),
        ("networkConnectivityConfigId", json!("x"), "Now", "Now", "Now"),
        ("customTags", json!({"team": "x"}), "Now", "Now", "Now"),
    ] {
        let want = want(json!({field: value}));
        let optional = json!({
            "network_id": OTHER, "storage_customer_managed_key_id": OTHER, "private_access_settings_id": OTHER,
            "managed_services_customer_managed_key_id": OTHER, "network_connectivity_config_id": OTHER,
        });
        let none: serde_json::Map<String, Value> =
            optional.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
        for (status, present, expected) in [
            ("RUNNING", json!(none), bare),
            ("RUNNING", optional.clone(), filled),
            ("FAILED", optional, failed),
            ("BANNED", json!(none), if failed == "Never" { "Never" } else { "NotNow" }),
            ("PROVISIONING", json!(none), if failed == "Never" { "Never" } else { "NotNow" }),
        ] {
            set(present);
            set(json!({"workspace_status": status}));
            let seen = get(&api, &id).await;
            let changes = driver().changes(&want, &seen).unwrap();
            let [judged] = &judged(&want, &seen)[..] else { panic!("{field} in {status}: {changes:?}") };
            assert!(
                judged.ends_with(&format!(":{expected}")),
                "{field} in {status}: {judged}, not {expected}"
            );
            let (When::Never(why) | When::NotNow(why)) = &changes[0].when else { continue };
            assert!(why.len() > 30, "{field} in {status}: {why}");
        }
    }
}

/// PrivateLink is switched on by both together. What else changed does not wait for them.
#[tokio::test]
async fn private_access_settings_wait_for_a_network_that_changes_with_them() {
    let (simulator, api) = start().await;
    let id = running(&simulator, &api, &want(json!({}))).await.id;
    let both = json!({"networkId": OTHER, "privateAccessSettingsId": OTHER, "customTags": {"team": "x"}});
    let settings = json!({"private_access_settings_id": OTHER, "public_access_enabled": false});
    simulator.insert("private-access-settings", settings).unwrap();
    for (present, network, access) in [(Value::Null, "Never", "NotNow"), (json!("a"), "Now", "Now")] {
        simulator.edit("workspaces", &id, json!({"network_id": present})).unwrap();
        let mut found = judged(&want(both.clone()), &get(&api, &id).await);
        found.sort();
        let expected = [
            "custom_tags.team:Now".to_owned(),
            format!("network_id:{network}"),
            format!("private_access_settings_id:{access}"),
        ];
        assert_eq!(found, expected);
    }
    simulator.edit("workspaces", &id, json!({"network_id": null})).unwrap();
    let seen = get(&api, &id).await;
    driver().update(&api, &seen, &want(both), &["custom_tags"]).await.unwrap();
    let tags = json!({"team": "x", "databricks-operator": MARKER});
    assert_eq!(last_write(&simulator).body, Some(json!({"custom_tags": tags})));
}

/// Covers LC-22.
#[tokio::test]
async fn a_paused_workspace_resumes_with_all_that_changed() {
    let (simulator, api) = start().await;
    let paused = want(json!({"expectedWorkspaceStatus": "PROVISIONING"}));
    let made = driver().create(&api, &paused).await.unwrap().seen.unwrap();
    simulator.advance_ms(10_000);
    let seen = get(&api, &made.id).await;
    let says = |what: &str| what.contains("set spec.expectedWorkspaceStatus to RUNNING");
    assert!(matches!(&seen.about.phase, Phase::Awaiting(what) if says(what)), "{:?}", seen.about.phase);
    for (spec, expected) in [
        (json!({}), vec![]),
        (json!({"expectedWorkspaceStatus": "PROVISIONING"}), vec![]),
        (json!({"expectedWorkspaceStatus": "PROVISIONING", "networkId": OTHER}), vec!["network_id:NotNow"]),
        (json!({"expectedWorkspaceStatus": "RUNNING"}), vec!["expected_workspace_status:Now"]),
        (
            json!({"expectedWorkspaceStatus": "RUNNING", "networkId": OTHER, "workspaceName": "x"}),
            vec!["expected_workspace_status:Now", "network_id:Now", "workspace_name:Never"],
        ),
    ] {
        let mut found = judged(&want(spec.clone()), &seen);
        found.sort();
        assert_eq!(found, expected, "{spec}");
    }
    let resumed = want(json!({"expectedWorkspaceStatus": "RUNNING", "networkId": OTHER}));
    let now = ["expected_workspace_status", "network_id"];
    let seen = driver().update(&api, &seen, &resumed, &now).await.unwrap();
    assert!(matches!(seen.about.phase, Phase::Pending(_)), "{:?}", seen.about.phase);
    let sent = json!({"expected_workspace_status": "RUNNING", "network_id": OTHER});
    assert_eq!(last_write(&simulator).body, Some(sent));
    simulator.advance_ms(10_000);
    let seen = get(&api, &made.id).await;
    assert_eq!((&seen.about.phase, judged(&paused, &seen)), (&Phase::Ready, vec![]));
}

#[tokio::test]
async fn states_have_the_phases_of_the_engine() {
    let (simulator, api) = start().await;
    let id = running(&simulator, &api, &want(json!({}))).await.id;
    for status in ["BANNED", "CANCELLING", "CANCELLED", "HIBERNATING"] {
        simulator.edit("workspaces", &id, json!({"workspace_status": status})).unwrap();
        let [seen] = &driver().list(&api, "").await.unwrap()[..] else { panic!("one workspace") };
        assert_eq!(seen.about.state.as_deref(), Some(status));
        let fits = match &seen.about.phase {
            Phase::Failed(why) => status == "BANNED" && why.contains("suspended"),
            Phase::Leaving(_) => status.starts_with("CANCELL"),
            Phase::Pending(why) => status == "HIBERNATING" && why.contains(status),
            Phase::Ready | Phase::Vacant | Phase::Awaiting(_) => false,
        };
        assert!(fits, "{status}: {:?}", seen.about.phase);
    }
}

#[tokio::test]
async fn a_deployment_is_compared_without_the_prefix_of_the_account() {
    let (simulator, api) = start().await;
    simulator.set(|settings| settings.deployment_prefix = Some("acme".into()));
    let seen = running(&simulator, &api, &want(json!({"deploymentName": "data"}))).await;
    assert_eq!(seen.state["deployment_name"], "acme-data");
    for same in ["data", "acme-data", "EMPTY"] {
        assert_eq!(judged(&want(json!({"deploymentName": same})), &seen), [""; 0], "{same}");
    }
    for other in ["ata", "acme", "other"] {
        assert_eq!(
            judged(&want(json!({"deploymentName": other})), &seen),
            ["deployment_name:Never"],
            "{other}"
        );
    }
}

#[tokio::test]
async fn what_the_spec_leaves_out_is_left_alone() {
    let (simulator, api) = start().await;
    let seen = running(&simulator, &api, &want(json!({"pricingTier": "ENTERPRISE"}))).await;
    let others = json!({
        "pricing_tier": "enterprise", "network_id": OTHER, "private_access_settings_id": OTHER,
        "managed_services_customer_managed_key_id": OTHER, "storage_customer_managed_key_id": OTHER,
        "network_connectivity_config_id": OTHER,
    });
    simulator.edit("workspaces", &seen.id, others).unwrap();
    let seen = get(&api, &seen.id).await;
    assert_eq!(judged(&want(json!({})), &seen), [""; 0]);
    assert_eq!(
        judged(&want(json!({"pricingTier": "ENTERPRISE", "isNoPublicIpEnabled": false})), &seen),
        [""; 0]
    );
}

#[tokio::test]
async fn a_change_sends_only_what_changed_and_names_it() {
    let (simulator, api) = start().await;
    simulator.set(|settings| settings.require_update_mask = true);
    let seen = running(&simulator, &api, &want(json!({}))).await;
    let want = want(json!({"credentialsId": OTHER, "networkConnectivityConfigId": OTHER}));
    assert_eq!(judged(&want, &seen), ["credentials_id:Now", "network_connectivity_config_id:Now"]);
    let told = driver()
        .update(&api, &seen, &want, &["credentials_id", "network_connectivity_config_id"])
        .await
        .unwrap();
    let call = last_write(&simulator);
    assert_eq!(call.body.unwrap(), json!({"credentials_id": OTHER, "network_connectivity_config_id": OTHER}));
    assert_eq!(
        call.query,
        [("update_mask".to_owned(), "credentials_id,network_connectivity_config_id".to_owned())]
    );
    // New credentials take the workspace through provisioning again.
    assert!(matches!(told.about.phase, Phase::Pending(_)));
}

#[tokio::test]
async fn our_tag_is_kept_and_the_others_are_as_the_spec_says() {
    let (simulator, api) = start().await;
    let seen = running(&simulator, &api, &want(json!({}))).await;
    let tagged = json!({"custom_tags": {"their": "tag", "team": "old"}});
    simulator.edit("workspaces", &seen.id, tagged).unwrap();
    let seen = get(&api, &seen.id).await;
    assert_eq!(seen.about.owner, None);

    // Tags that are not managed survive when ours is put back.
    let unmanaged = want(json!({}));
    assert_eq!(judged(&unmanaged, &seen), ["owner_tag:Now"]);
    let seen = driver().update(&api, &seen, &unmanaged, &["owner_tag"]).await.unwrap();
    let call = last_write(&simulator);
    let kept = json!({"their": "tag", "team": "old", "databricks-operator": MARKER});
    assert_eq!(call.body.unwrap(), json!({"custom_tags": kept}));
    assert_eq!(call.query, [("update_mask".to_owned(), "custom_tags".to_owned())]);
    assert_eq!((seen.about.owner.as_deref(), judged(&unmanaged, &seen)), (Some(MARKER), vec![]));

    let managed = want(json!({"customTags": {"team": "data", "with.dot": "1"}}));
    let changes = ["custom_tags.team:Now", "custom_tags.with.dot:Now", "custom_tags.their:Now"];
    assert_eq!(judged(&managed, &seen), changes);
    let seen = driver().update(&api, &seen, &managed, &["custom_tags"]).await.unwrap();
    let sent = json!({"custom_tags": {"team": "data", "with.dot": "1", "databricks-operator": MARKER}});
    assert_eq!(last_write(&simulator).body.unwrap(), sent);
    assert_eq!(judged(&managed, &seen), [""; 0]);

    // An empty map means none but ours.
    let none = want(json!({"customTags": {}}));
    let seen = driver().update(&api, &seen, &none, &["custom_tags"]).await.unwrap();
    assert_eq!(last_write(&simulator).body.unwrap(), json!({"custom_tags": {"databricks-operator": MARKER}}));
    assert_eq!(judged(&none, &seen), [""; 0]);
}

#[tokio::test]
async fn a_marker_that_fits_no_tag_is_refused_before_anything_is_sent() {
    let spec = json!({"authRef": {"name": "a"}, "workspaceName": "w", "awsRegion": "eu-west-1"});
    let got = |length: usize| Resolved { marker: "x".repeat(length), ..Resolved::default() };
    driver().desired(&spec, &got(255)).unwrap();
    let error = driver().desired(&spec, &got(256)).unwrap_err();
    assert!(error.to_string().contains("shorter name"), "{error}");
}

#[tokio::test]
async fn a_workspace_is_deleted_once_it_is_provisioned_and_then_leaves() {
    let (simulator, api) = start().await;
    let made = driver().create(&api, &want(json!({}))).await.unwrap().seen.unwrap();
    simulator.advance_ms(1_000);
    let error = driver().delete(&api, &made).await.unwrap_err();
    assert!(matches!(error, Error::Waiting { .. }), "a deletion during provisioning has to wait: {error:?}");

    simulator.advance_ms(10_000);
    simulator.set(|settings| settings.deletion_ms = 60_000);
    driver().delete(&api, &made).await.unwrap();
    assert!(matches!(get(&api, &made.id).await.about.phase, Phase::Leaving(_)));
    simulator.advance_ms(60_000);
    assert_eq!(driver().get(&api, &made.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_serverless_workspace_needs_no_credentials() {
    let (simulator, api) = start().await;
    let want =
        want(json!({"computeMode": "SERVERLESS", "credentialsId": null, "storageConfigurationId": null}));
    let seen = running(&simulator, &api, &want).await;
    assert_eq!(seen.facts["storageMode"], "DEFAULT_STORAGE");
    assert_eq!(judged(&want, &seen), [""; 0]);
}
