//! Workspaces: they take their time, and not every change is allowed at every time.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, refused};

const STORAGE: &str = "22222222-2222-4222-8222-222222222222";
const CREDENTIALS: &str = "33333333-3333-4333-8333-333333333333";
const OTHER: &str = "44444444-4444-4444-8444-444444444444";

fn slow() -> Settings {
    Settings { start_ms: 600_000, provisioning_ms: 600_000, deletion_ms: 600_000, ..Settings::default() }
}

fn body(name: &str) -> Value {
    json!({
        "workspace_name": name, "aws_region": "eu-west-1",
        "credentials_id": CREDENTIALS, "storage_configuration_id": STORAGE,
    })
}

async fn create(account: &Account, body: Value) -> String {
    let (status, created) = account.send("POST", "workspaces", body).await;
    assert_eq!((status, &created["workspace_status"]), (201, &json!("NOT_PROVISIONED")), "{created}");
    format!("workspaces/{}", created["workspace_id"])
}

async fn status(account: &Account, path: &str) -> Value {
    account.get(path).await.1["workspace_status"].clone()
}

#[tokio::test]
async fn a_workspace_is_born_lives_and_goes() {
    let account = Account::with(slow()).await;
    let path = create(&account, body("main")).await;
    let id: i64 = path.trim_start_matches("workspaces/").parse().unwrap();
    assert!(id > 1 << 53 && id as f64 as i64 != id, "{id} must not survive as a float");

    account.sim.advance_ms(600_001);
    assert_eq!(status(&account, &path).await, "PROVISIONING");
    assert_eq!(refused(&account.delete(&path).await), (400, "INVALID_STATE"), "not while it is being made");
    account.sim.advance_ms(600_001);
    let (_, running) = account.get(&path).await;
    assert_eq!(running["workspace_status"], "RUNNING");
    assert!(running["deployment_name"].as_str().unwrap().starts_with("dbc-"));
    assert!(running.as_object().unwrap().keys().all(|key| !key.starts_with('_')), "{running}");
    let access = account.sim.objects("permissionassignments");
    assert_eq!(access[0]["permissions"], json!(["ADMIN"]), "its creator is its admin");

    for _ in 0..2 {
        assert_eq!(account.delete(&path).await.0, 200);
    }
    assert_eq!(account.get("workspaces").await.1[0]["workspace_status"], "CANCELLING");
    account.sim.advance_ms(600_001);
    assert_eq!(account.get(&path).await.0, 404);
    assert!(account.sim.objects("permissionassignments").is_empty());
}

#[tokio::test]
async fn a_failed_workspace_says_why_and_can_be_mended() {
    let account = Account::with(slow()).await;
    account.sim.set(|settings| settings.fail_next_workspace = Some("no such bucket".to_owned()));
    let path = create(&account, body("main")).await;
    account.sim.advance_ms(1_200_001);
    let (_, failed) = account.get(&path).await;
    assert_eq!(
        (&failed["workspace_status"], &failed["workspace_status_message"]),
        (&json!("FAILED"), &json!("no such bucket"))
    );

    let mended = json!({"storage_configuration_id": OTHER});
    let (_, answer) =
        account.send("PATCH", &(path.clone() + "?update_mask=storage_configuration_id"), mended).await;
    assert_eq!(answer["workspace_status"], "PROVISIONING");
    account.sim.advance_ms(600_001);
    assert_eq!(status(&account, &path).await, "RUNNING");
}

#[tokio::test]
async fn a_storage_key_comes_before_the_first_run_or_never() {
    let account = Account::with(slow()).await;
    let key = json!({"storage_customer_managed_key_id": OTHER});
    account.sim.set(|settings| settings.fail_next_workspace = Some("no".to_owned()));
    let young = create(&account, body("young")).await;
    account.sim.advance_ms(1_200_001);
    assert_eq!(account.send("PATCH", &young, key.clone()).await.0, 200);
    let broken = account.sim.insert("workspaces", json!({"workspace_status": "FAILED"})).unwrap();
    let broken = format!("workspaces/{}", broken["workspace_id"]);
    assert_eq!(refused(&account.send("PATCH", &broken, key).await), (400, "INVALID_PARAMETER_VALUE"));
}

#[tokio::test]
async fn what_may_change_depends_on_the_state() {
    let account = Account::with(slow()).await;
    let path = create(&account, body("main")).await;
    let tags = json!({"custom_tags": {"team": "data"}});
    assert_eq!(refused(&account.send("PATCH", &path, tags.clone()).await), (400, "INVALID_STATE"));
    account.sim.advance_ms(1_200_001);

    let mask = |names: &str| format!("{path}?update_mask={names}");
    let (_, tagged) = account.send("PATCH", &mask("custom_tags"), tags.clone()).await;
    assert_eq!(
        (&tagged["workspace_status"], &tagged["custom_tags"]),
        (&json!("RUNNING"), &tags["custom_tags"])
    );
    let (_, kept) = account.send("PATCH", &path, json!({"custom_tags": {}})).await;
    assert_eq!(kept["custom_tags"], tags["custom_tags"], "the last tag cannot be removed");

    for (path, change) in [
        (path.clone(), json!({"workspace_name": "new"})),
        (path.clone(), json!({"aws_region": "us-east-1"})),
        (path.clone(), json!({"storage_configuration_id": OTHER})),
        (path.clone(), json!({"network_id": OTHER})),
        (mask("network_connectivity_config_id"), json!({})),
        (mask("colour"), json!({})),
    ] {
        let answer = account.send("PATCH", &path, change.clone()).await;
        assert_eq!(refused(&answer), (400, "INVALID_PARAMETER_VALUE"), "{path} {change}");
    }
    let both = json!({"network_connectivity_config_id": OTHER, "credentials_id": OTHER});
    let (_, masked) = account.send("PATCH", &mask("network_connectivity_config_id"), both.clone()).await;
    assert_eq!(
        (&masked["network_connectivity_config_id"], &masked["credentials_id"]),
        (&json!(OTHER), &json!(CREDENTIALS))
    );
    let (_, moved) = account.send("PATCH", &path, json!({"credentials_id": OTHER})).await;
    assert_eq!(
        moved["workspace_status"], "PROVISIONING",
        "new credentials in a network of Databricks take time"
    );
}

#[tokio::test]
async fn serverless_workspaces_and_named_deployments_have_rules_of_their_own() {
    let account = Account::with(slow()).await;
    let serverless = json!({"workspace_name": "a", "aws_region": "eu-west-1", "compute_mode": "SERVERLESS"});
    create(&account, serverless).await;
    let mut mixed = body("a");
    mixed["compute_mode"] = json!("SERVERLESS");
    assert_eq!(account.send("POST", "workspaces", mixed).await.0, 400);

    let mut named = body("a");
    named["deployment_name"] = json!("main");
    assert_eq!(refused(&account.send("POST", "workspaces", named.clone()).await), (400, "MALFORMED_REQUEST"));
    account.sim.set(|settings| settings.deployment_prefix = Some("acme".to_owned()));
    let path = create(&account, named.clone()).await;
    assert_eq!(account.get(&path).await.1["deployment_name"], "acme-main");
    assert_eq!(refused(&account.send("POST", "workspaces", named).await), (409, "RESOURCE_ALREADY_EXISTS"));
}

#[tokio::test]
async fn a_workspace_cannot_use_credentials_that_are_gone() {
    let account = Account::new().await;
    let credentials = account.sim.insert("credentials", json!({})).unwrap();
    let id = credentials["credentials_id"].as_str().unwrap();
    account.sim.remove("credentials", id);
    let mut body = body("main");
    body["credentials_id"] = json!(id);
    assert_eq!(refused(&account.send("POST", "workspaces", body).await), (400, "INVALID_PARAMETER_VALUE"));
}
