//! Private endpoint rules and network policies against the simulated account: what the drivers report, and what they send.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Driver, Phase, Resolved, Seen, When, Writer, of};
use databricks_operator::kinds::account_network_policy::AccountNetworkPolicy;
use databricks_operator::kinds::private_endpoint_rule::PrivateEndpointRule;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const RULES: &str = "private-endpoint-rules";
const RESOURCE: &str =
    "/subscriptions/S/resourceGroups/Data/providers/Microsoft.Storage/storageAccounts/Landing";

fn rules() -> &'static dyn Driver {
    of::<PrivateEndpointRule>()
}

fn policies() -> &'static dyn Driver {
    of::<AccountNetworkPolicy>()
}

fn spec(own: &Value) -> Value {
    let mut spec = json!({"authRef": {"name": "account"}});
    spec.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    spec
}

/// An account with a config, and what a rule of it wants.
async fn start(own: Value) -> (Simulator, Writer, Value) {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let config = simulator
        .insert("network-connectivity-configs", json!({"name": "main", "region": "eu-west-1"}))
        .unwrap();
    let mut spec = spec(&own);
    spec["networkConnectivityConfigId"] = config["network_connectivity_config_id"].clone();
    let want = rules().desired(&spec, &Resolved::default()).unwrap();
    let api = connect(&simulator);
    (simulator, api, want)
}

async fn get(api: &Writer, id: &str) -> Seen {
    rules().get(api, id).await.unwrap().expect("the rule is there")
}

fn when(want: &Value, seen: &Seen) -> Vec<(String, When)> {
    let changes = rules().changes(want, seen).unwrap().into_iter();
    changes.map(|change| (change.path, change.when)).collect()
}

#[tokio::test]
async fn each_state_of_a_rule_says_what_to_do() {
    let (simulator, api, want) = start(json!({"resourceId": RESOURCE, "groupId": "blob"})).await;
    let created = rules().create(&api, &want).await.unwrap().seen.unwrap();
    assert!(matches!(created.about.phase, Phase::Pending(_)), "{created:?}");
    for (state, parts) in [
        ("PENDING", vec![RESOURCE, "14 days", "Azure portal", "databricks-"]),
        ("INIT", vec!["has to approve it"]),
        ("REJECTED", vec![RESOURCE, "rejected", "delete this object"]),
        ("DISCONNECTED", vec!["removed", "delete this object"]),
        ("EXPIRED", vec!["14 days", "delete this object"]),
        ("CREATE_FAILED", vec!["no such subnet", "delete this object"]),
        ("MERGING", vec!["unknown to this operator", "MERGING"]),
    ] {
        let edit = json!({"connection_state": state, "error_message": "no such subnet"});
        simulator.edit(RULES, &created.id, edit).unwrap();
        let seen = get(&api, &created.id).await;
        let text = match (state, &seen.about.phase) {
            ("PENDING" | "INIT", Phase::Awaiting(text)) | ("MERGING", Phase::Pending(text)) => text,
            ("PENDING" | "INIT" | "MERGING", other) => panic!("{state}: {other:?}"),
            (_, Phase::Failed(text)) => text,
            (_, other) => panic!("{state}: {other:?}"),
        };
        assert!(parts.iter().all(|part| text.contains(part)), "{state}: {text}");
    }
    simulator.edit(RULES, &created.id, json!({"connection_state": "ESTABLISHED"})).unwrap();
    assert_eq!(get(&api, &created.id).await.about.phase, Phase::Ready);
}

#[tokio::test]
async fn a_rule_to_s3_is_enabled_once_it_is_established() {
    let (simulator, api, want) = start(json!({"resourceNames": ["b", "a"], "enabled": true})).await;
    let created = rules().create(&api, &want).await.unwrap();
    let body = simulator.writes().pop().unwrap().body.unwrap();
    assert_eq!(body, json!({"resource_names": ["a", "b"]}), "what has no effect is not sent");
    let pending = get(&api, &created.id).await;
    assert!(
        matches!(&when(&want, &pending)[..], [(field, When::NotNow(_))] if field == "enabled"),
        "{pending:?}"
    );
    simulator.edit(RULES, &created.id, json!({"connection_state": "ESTABLISHED"})).unwrap();
    let seen = get(&api, &created.id).await;
    assert_eq!(when(&want, &seen), [("enabled".to_owned(), When::Now)]);
    let enabled = rules().update(&api, &seen, &want, &["enabled"]).await.unwrap();
    assert_eq!(when(&want, &enabled), []);
    let (spec, mut other) = (json!(want), want.clone());
    other["resource_names"] = json!(["c"]);
    assert!(rules().recognises(&other, &enabled).unwrap(), "{spec}: the buckets may be changed");
}

#[tokio::test]
async fn a_deactivated_rule_is_gone() {
    let service = json!({"endpointService": "com.amazonaws.vpce.x.y", "domainNames": ["a.example"]});
    let (simulator, api, want) = start(service).await;
    let created = rules().create(&api, &want).await.unwrap();
    simulator.edit(RULES, &created.id, json!({"connection_state": "ESTABLISHED"})).unwrap();
    let seen = get(&api, &created.id).await;
    rules().delete(&api, &seen).await.unwrap();
    assert_eq!(simulator.objects(RULES)[0]["deactivated"], true);
    assert_eq!(rules().get(&api, &created.id).await.unwrap(), None);
    let within = rules().within(&created.id).unwrap();
    assert_eq!(rules().list(&api, &within).await.unwrap(), []);
    let twin = rules().create(&api, &want).await.unwrap();
    assert_eq!(rules().list(&api, &within).await.unwrap().len(), 1, "{twin:?}");
}

/// Azure ignores the case of ids, and may show another one.
#[tokio::test]
async fn an_id_of_azure_in_another_case_is_the_same() {
    let (simulator, api, want) = start(json!({"resourceId": RESOURCE, "groupId": "blob"})).await;
    let created = rules().create(&api, &want).await.unwrap();
    let other = json!({"resource_id": RESOURCE.to_uppercase(), "group_id": "BLOB"});
    simulator.edit(RULES, &created.id, other).unwrap();
    let seen = get(&api, &created.id).await;
    assert_eq!(when(&want, &seen), []);
    assert!(rules().matches(&rules().key(&want).unwrap(), &seen).unwrap());
    simulator.edit(RULES, &created.id, json!({"group_id": "dfs"})).unwrap();
    let seen = get(&api, &created.id).await;
    assert!(matches!(&when(&want, &seen)[..], [.., (_, When::Never(_))]), "{seen:?}");
}

#[tokio::test]
async fn a_create_that_takes_too_long_may_have_worked() {
    let (simulator, api, want) = start(json!({"resourceNames": ["landing"]})).await;
    let refuse = |status, code: &str, message: &str| {
        simulator.clear_faults();
        let body = json!({"error_code": code, "message": message});
        let (method, path) = (Some("POST".into()), format!("*/{RULES}"));
        simulator.fault(Fault { method, path, status: Some(status), body: Some(body), ..Fault::default() });
    };
    let slow = "The service at /api is taking too long to process your request. Please try again later or try a faster operation.";
    for (status, code) in [(400, "BAD_REQUEST"), (409, "ABORTED"), (503, "TEMPORARILY_UNAVAILABLE")] {
        refuse(status, code, slow);
        let result = rules().create(&api, &want).await;
        assert!(matches!(&result, Err(Error::Unknown { .. })), "{status}: {result:?}");
    }
    refuse(409, "ALREADY_EXISTS", "A private endpoint rule to this target already exists");
    let twin = rules().create(&api, &want).await.unwrap_err();
    assert!(twin.is_rejected(Reason::AlreadyExists) && twin.to_string().contains("some days"), "{twin}");
}

fn policy(id: &str) -> Value {
    let host = |name: &str| json!({"destination": name, "internetDestinationType": "DNS_NAME"});
    let access = json!({
        "restrictionMode": "RESTRICTED_ACCESS", "allowedInternetDestinations": [host("Packages.Example.com"), host("git.example.com")],
    });
    let spec = spec(&json!({"networkPolicyId": id, "egress": {"networkAccess": access}}));
    policies().desired(&spec, &Resolved::default()).unwrap()
}

/// The API replaces a policy as a whole.
#[tokio::test]
async fn what_a_policy_has_besides_its_spec_stays() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let ingress = json!({"public_access": {"restriction_mode": "FULL_ACCESS"}});
    let storage =
        json!([{"storage_destination_type": "AWS_S3", "bucket_name": "landing", "region": "eu-west-1"}]);
    let access = json!({
        "restriction_mode": "RESTRICTED_ACCESS", "allowed_storage_destinations": storage,
        "allowed_databricks_destinations": [{"workspace_ids": [42]}],
    });
    let edit = json!({"ingress": ingress, "ingress_dry_run": ingress, "egress": {"network_access": access}});
    simulator.edit("network-policies", "default-policy", edit).unwrap();
    let want = policy("default-policy");
    let seen = policies().get(&api, "default-policy").await.unwrap().unwrap();
    let changes = policies().changes(&want, &seen).unwrap();
    let paths: Vec<&str> = changes.iter().map(|change| &*change.path).collect();
    assert_eq!(
        paths,
        ["egress.networkAccess.allowedInternetDestinations"],
        "what is left out is not managed"
    );
    let after = policies().update(&api, &seen, &want, &["egress"]).await.unwrap();
    assert_eq!(policies().changes(&want, &after).unwrap(), []);
    let stored = simulator.objects("network-policies");
    let stored = stored.iter().find(|policy| policy["network_policy_id"] == "default-policy").unwrap();
    assert_eq!((&stored["ingress"], &stored["ingress_dry_run"]), (&ingress, &ingress));
    let kept = &stored["egress"]["network_access"];
    assert_eq!(kept["allowed_storage_destinations"], storage);
    assert_eq!(kept["allowed_databricks_destinations"], json!([{"workspace_ids": [42]}]));
    assert_eq!(kept["allowed_internet_destinations"][0]["destination"], "git.example.com");
}

/// What was read may be older than what a person opened in an emergency.
#[tokio::test]
async fn a_policy_that_was_opened_since_it_was_read_stays_open() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let access = |mode: &str| {
        let egress = json!({"network_access": {"restriction_mode": mode}});
        simulator.edit("network-policies", "default-policy", json!({"egress": egress})).unwrap();
    };
    access("RESTRICTED_ACCESS");
    let seen = policies().get(&api, "default-policy").await.unwrap().unwrap();
    let mut want = policy("default-policy");
    access("FULL_ACCESS");
    let refused = policies().update(&api, &seen, &want, &["egress"]).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::WouldLockOut), "{refused:?}");
    assert_eq!(simulator.writes().len(), 0);
    want["allow_default_policy_restriction"] = json!(true);
    policies().update(&api, &seen, &want, &["egress"]).await.unwrap();
    assert_eq!(simulator.writes().len(), 1);
}

/// Otherwise they would be in force again with the next RESTRICTED_ACCESS.
#[tokio::test]
async fn full_access_ends_the_lists_of_what_is_allowed() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let host = |name: &str| json!({"destination": name, "internet_destination_type": "DNS_NAME"});
    let storage =
        json!([{"storage_destination_type": "AWS_S3", "bucket_name": "landing", "region": "eu-west-1"}]);
    let access = json!({
        "restriction_mode": "RESTRICTED_ACCESS", "allowed_internet_destinations": [host("git.example.com")],
        "allowed_storage_destinations": storage, "blocked_internet_destinations": [host("ads.example.com")],
        "allowed_databricks_destinations": [{"workspace_ids": [42]}],
    });
    let policy = json!({"network_policy_id": "strict", "egress": {"network_access": access}});
    simulator.insert("network-policies", policy).unwrap();
    let open = spec(
        &json!({"networkPolicyId": "strict", "egress": {"networkAccess": {"restrictionMode": "FULL_ACCESS"}}}),
    );
    let want = policies().desired(&open, &Resolved::default()).unwrap();
    let seen = policies().get(&api, "strict").await.unwrap().unwrap();
    let after = policies().update(&api, &seen, &want, &["egress"]).await.unwrap();
    assert_eq!(policies().changes(&want, &after).unwrap(), []);
    let stored = simulator.objects("network-policies");
    let stored = stored.iter().find(|policy| policy["network_policy_id"] == "strict").unwrap();
    let kept = json!({
        "restriction_mode": "FULL_ACCESS", "blocked_internet_destinations": [host("ads.example.com")],
        "allowed_databricks_destinations": [{"workspace_ids": [42]}],
    });
    assert_eq!(stored["egress"]["network_access"], kept, "what the spec does not name stays");
}

#[tokio::test]
async fn the_default_policy_is_never_deleted() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let seen = policies().get(&api, "default-policy").await.unwrap().unwrap();
    let refused = policies().delete(&api, &seen).await.unwrap_err();
    assert!(refused.to_string().contains("Retain"), "{refused}");
    assert_eq!(simulator.writes().len(), 0);
    let created = policies().create(&api, &policy("strict")).await.unwrap().seen.unwrap();
    policies().delete(&api, &created).await.unwrap();
    assert_eq!(policies().get(&api, "strict").await.unwrap(), None);
}
