//! What is special about LogDelivery: which deliveries are equal, that each change is one PATCH, and how a failed delivery is reported.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Driver, Phase, Resolved, Seen, When, Writer, of};
use databricks_operator::kinds::log_delivery::LogDelivery;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const KIND: &dyn Driver = of::<LogDelivery>();
const COLLECTION: &str = "log-delivery";

struct Bench {
    account: Simulator,
    api: Writer,
    spec: Value,
}

impl Bench {
    async fn new() -> Bench {
        let account = Simulator::start(Config::default()).await.unwrap();
        let api = connect(&account);
        let credentials = account.insert("credentials", json!({})).unwrap()["credentials_id"].clone();
        let storage = account.insert("storage-configurations", json!({})).unwrap();
        let spec = json!({
            "authRef": {"name": "a"}, "logType": "AUDIT_LOGS", "outputFormat": "JSON", "credentialsId": credentials,
            "storageConfigurationId": storage["storage_configuration_id"], "deliveryPathPrefix": "audit",
        });
        Bench { account, api, spec }
    }

    fn want(&self, more: Value) -> Value {
        let mut spec = self.spec.clone();
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        KIND.desired(&spec, &Resolved::default()).unwrap()
    }

    /// Creates what a spec wants, and returns it as the account lists it, with this status.
    async fn listed(&self, want: &Value, status: &str) -> Seen {
        let created = KIND.create(&self.api, want).await.unwrap().seen.unwrap();
        self.account.edit(COLLECTION, &created.id, json!({"status": status})).unwrap();
        let all = KIND.list(&self.api, "").await.unwrap();
        all.into_iter().find(|seen| seen.id == created.id).unwrap()
    }
}

/// Covers LC-29. All but the name makes a delivery what it is; the month that the account chose is no difference.
#[tokio::test]
async fn a_disabled_delivery_is_enabled_again_if_it_is_equal() {
    let bench = Bench::new().await;
    let same = |want: &Value, seen: &Seen| KIND.matches(&KIND.key(want).unwrap(), seen).unwrap();
    let audit = bench.want(json!({"configName": "audit"}));
    let usage = json!({"logType": "BILLABLE_USAGE", "outputFormat": "CSV"});
    for want in [&audit, &bench.want(usage.clone()), &bench.want(json!({"workspaceIds": [2, 1]}))] {
        for (status, phase) in [("DISABLED", Phase::Vacant), ("ENABLED", Phase::Ready)] {
            let seen = bench.listed(want, status).await;
            assert_eq!(seen.about.phase, phase);
            assert!(same(want, &seen) && KIND.recognises(want, &seen).unwrap(), "{want} {seen:?}");
            bench.account.remove(COLLECTION, &seen.id);
        }
    }
    let disabled = bench.listed(&audit, "DISABLED").await;
    let enabled = Seen { about: bench.listed(&audit, "ENABLED").await.about, ..disabled.clone() };
    let others = [
        json!({"deliveryPathPrefix": null}),
        json!({"deliveryPathPrefix": "audit\", called \"audit"}),
        json!({"workspaceIds": [1]}),
        json!({"credentialsId": "c"}),
        json!({"storageConfigurationId": "s"}),
        json!({"deliveryStartTime": "2026-01"}),
        usage,
    ];
    for other in others {
        let want = bench.want(other);
        assert!(!same(&want, &disabled) && !same(&want, &enabled), "{want}");
        assert!(!KIND.recognises(&want, &disabled).unwrap(), "{want}: a record alone proves nothing");
    }
    // A name cannot be changed. It prevents no second delivery, and two enabled ones must differ in more.
    let named = bench.want(json!({"configName": "security"}));
    assert!(!same(&named, &disabled) && same(&named, &enabled));
    assert!(KIND.recognises(&named, &disabled).unwrap());
    let nameless = bench.want(json!({}));
    assert!(same(&nameless, &disabled) && same(&nameless, &enabled));
}

/// Covers LC-29.
#[tokio::test]
async fn each_change_is_one_patch_and_read_back() {
    let bench = Bench::new().await;
    let created = KIND.create(&bench.api, &bench.want(json!({}))).await.unwrap().seen.unwrap();
    bench.account.clear_journal();
    let off = bench.want(json!({"status": "DISABLED"}));
    let disabled = KIND.update(&bench.api, &created, &off, &["status"]).await.unwrap();
    assert_eq!((&disabled.about.phase, disabled.about.state.as_deref()), (&Phase::Vacant, Some("DISABLED")));
    let enabled = KIND.update(&bench.api, &disabled, &bench.want(json!({})), &["status"]).await.unwrap();
    assert_eq!(enabled, created);
    KIND.delete(&bench.api, &enabled).await.unwrap();
    let calls: Vec<_> = bench.account.journal().into_iter().filter(|call| call.class == COLLECTION).collect();
    let sent: Vec<_> = calls.iter().map(|call| (&*call.method, call.body.clone())).collect();
    let patch = |status: &str| ("PATCH", Some(json!({"status": status})));
    let read = || ("GET", None);
    assert_eq!(sent, [patch("DISABLED"), read(), patch("ENABLED"), read(), patch("DISABLED")]);
    assert_eq!(KIND.get(&bench.api, &created.id).await.unwrap().unwrap().about.phase, Phase::Vacant);
}

/// Without a list the logs of the whole account are delivered. So a spec from which the list is removed asks for something else, and a
/// delivery of the whole account is as desired in each form that a response may have.
#[tokio::test]
async fn a_list_of_workspaces_that_is_removed_from_the_spec_is_a_difference() {
    let bench = Bench::new().await;
    let differs = |want: &Value, seen: &Seen| {
        let changes = KIND.changes(want, seen).unwrap();
        assert!(changes.iter().all(|change| matches!(change.when, When::Never(_))), "{changes:?}");
        changes.into_iter().map(|change| change.path).collect::<Vec<_>>()
    };
    let (whole, some) = (bench.want(json!({})), bench.want(json!({"workspaceIds": [2, 1]})));
    let seen = bench.listed(&some, "ENABLED").await;
    assert_eq!(differs(&some, &seen), [""; 0]);
    assert_eq!(differs(&whole, &seen), ["workspace_ids"]);
    assert!(!KIND.recognises(&whole, &seen).unwrap(), "a record alone proves nothing");
    // A spec that names the delivery by `externalId` alone leaves its workspaces as they are.
    let by_id = json!({"authRef": {"name": "a"}, "externalId": seen.id});
    let by_id = KIND.desired(&by_id, &Resolved::default()).unwrap();
    assert_eq!(differs(&by_id, &seen), [""; 0]);
    bench.account.remove(COLLECTION, &seen.id);

    bench.account.clear_journal();
    let seen = bench.listed(&whole, "ENABLED").await;
    let sent = bench.account.writes().remove(0).body.unwrap();
    assert_eq!(sent["log_delivery_configuration"].get("workspace_ids_filter"), None, "{sent}");
    for shown in [json!(null), json!([])] {
        bench.account.edit(COLLECTION, &seen.id, json!({"workspace_ids_filter": shown})).unwrap();
        let seen = KIND.get(&bench.api, &seen.id).await.unwrap().unwrap();
        assert_eq!(differs(&whole, &seen), [""; 0]);
        assert_eq!(differs(&some, &seen), ["workspace_ids"]);
        assert_eq!(KIND.key(&seen.state).unwrap(), KIND.key(&whole).unwrap());
    }
}

/// During a deletion a reference may be unknown. Then it is not the whole account that the spec means.
#[tokio::test]
async fn workspaces_that_are_not_known_are_not_the_whole_account() {
    let bench = Bench::new().await;
    let mut spec = bench.spec.clone();
    spec["workspaceRefs"] = json!([{"name": "analytics"}]);
    let ids = [("workspaceRefs/analytics".to_owned(), "7".to_owned())].into();
    let known = Resolved { ids, ..Resolved::default() };
    assert_eq!(KIND.desired(&spec, &known).unwrap()["workspace_ids"], json!([7]));
    let unknown = KIND.desired(&spec, &Resolved::default());
    assert!(unknown.is_err(), "{unknown:?}");
}

/// AWS shows a new role or policy everywhere only after minutes, and Databricks tries both before it accepts a delivery.
#[tokio::test]
async fn what_is_new_in_aws_is_waited_for() {
    let bench = Bench::new().await;
    for (text, field) in [
        ("Failed storage configuration validation checks: List", "spec.storageConfigurationId"),
        ("Failed credential validation checks: please use a valid IAM role", "spec.credentialsId"),
    ] {
        let body = json!({"error_code": "MALFORMED_REQUEST", "message": text});
        let fault = Fault { method: Some("POST".into()), path: "*/log-delivery".into(), ..Fault::default() };
        let fault = Fault { status: Some(400), body: Some(body), times: Some(1), ..fault };
        bench.account.fault(fault);
        let refused = KIND.create(&bench.api, &bench.want(json!({}))).await.unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
        let Error::Rejected { reason: Reason::ApplyFailed, patience: Some(_), .. } = refused else {
            panic!("{refused:?}")
        };
    }
}

/// Covers LC-26.
#[tokio::test]
async fn a_failed_delivery_is_reported_with_its_cause_and_what_to_do() {
    let bench = Bench::new().await;
    let seen = bench.listed(&bench.want(json!({})), "ENABLED").await;
    assert_eq!(seen.about.remark, None, "none was tried yet");
    let failed = json!({"log_delivery_status": {
        "status": "USER_FAILURE", "message": "Access denied to s3://logs", "last_attempt_time": "2026-11-29T10:00:00Z",
        "last_successful_attempt_time": "2026-11-28T10:00:00Z",
    }});
    bench.account.edit(COLLECTION, &seen.id, failed).unwrap();
    let seen = KIND.get(&bench.api, &seen.id).await.unwrap().unwrap();
    assert_eq!(seen.about.phase, Phase::Ready);
    let last = &seen.facts["logDeliveryStatus"];
    assert_eq!(
        (&last["lastAttemptTime"], &last["lastSuccessfulAttemptTime"]),
        (&json!("2026-11-29T10:00:00Z"), &json!("2026-11-28T10:00:00Z"))
    );
    let why = seen.about.remark.clone().unwrap();
    assert!(why.contains("Access denied to s3://logs") && why.contains("let the role"), "{why}");
    let off = bench.want(json!({"status": "DISABLED"}));
    let off = KIND.update(&bench.api, &seen, &off, &["status"]).await.unwrap();
    assert_eq!(off.about.remark, None, "nothing is to be delivered");
}
