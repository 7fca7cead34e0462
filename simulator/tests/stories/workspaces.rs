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

/// An account that has the credentials, and in which everything takes long.
async fn account() -> Account {
    let account = Account::with(slow()).await;
    for id in [CREDENTIALS, OTHER] {
        account.sim.insert("credentials", json!({"credentials_id": id})).unwrap();
    }
    account
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
    let account = account().await;
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
    let account = account().await;
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
    let account = account().await;
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
    let account = account().await;
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
    let account = account().await;
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
async fn a_paused_workspace_waits_for_a_change_that_may_carry_more() {
    let account = account().await;
    let mut paused = body("main");
    paused["expected_workspace_status"] = json!("PROVISIONING");
    let path = create(&account, paused.clone()).await;
    account.sim.advance_ms(1_500_000);
    let (_, shown) = account.get(&path).await;
    assert_eq!(shown["workspace_status"], "PROVISIONING");
    assert_eq!(shown["expected_workspace_status"], "PROVISIONING");
    let network = json!({"network_id": OTHER});
    assert_eq!(refused(&account.send("PATCH", &path, network).await), (400, "INVALID_STATE"));
    let both = json!({"network_id": OTHER, "expected_workspace_status": "RUNNING"});
    assert_eq!(account.send("PATCH", &path, both).await.0, 200);
    assert_eq!(status(&account, &path).await, "PROVISIONING");
    account.sim.advance_ms(600_001);
    let (_, running) = account.get(&path).await;
    assert_eq!((&running["workspace_status"], &running["network_id"]), (&json!("RUNNING"), &json!(OTHER)));

    paused["workspace_name"] = json!("second");
    let second = create(&account, paused).await;
    account.sim.advance_ms(600_001);
    assert_eq!(account.delete(&second).await.0, 200, "a paused one may be deleted");
}

#[tokio::test]
async fn a_workspace_refers_only_to_what_is_there() {
    let account = account().await;
    let path = create(&account, body("main")).await;
    account.sim.advance_ms(1_200_001);
    let never = "55555555-5555-4555-8555-555555555555";
    account.sim.remove("credentials", OTHER);
    for id in [never, OTHER] {
        let mut body = body("second");
        body["credentials_id"] = json!(id);
        for answer in [
            account.send("POST", "workspaces", body).await,
            account.send("PATCH", &path, json!({"credentials_id": id})).await,
        ] {
            assert_eq!(refused(&answer), (400, "INVALID_PARAMETER_VALUE"), "{}", answer.1);
            assert!(answer.1["message"].as_str().unwrap().contains(id), "{}", answer.1);
        }
    }
    assert_eq!(account.sim.objects("workspaces").len(), 1);
}

#[tokio::test]
async fn a_network_serves_one_workspace() {
    let account = account().await;
    let with = |name: &str, network: &str| {
        let mut body = body(name);
        body["network_id"] = json!(network);
        body
    };
    let first = create(&account, with("first", STORAGE)).await;
    let taken = account.send("POST", "workspaces", with("second", STORAGE)).await;
    assert_eq!(refused(&taken), (400, "INVALID_STATE"), "{}", taken.1);
    let second = create(&account, with("second", OTHER)).await;
    account.sim.advance_ms(1_200_001);
    let change = json!({"network_id": STORAGE});
    assert_eq!(account.send("PATCH", &first, change.clone()).await.0, 200, "its own network");
    assert_eq!(refused(&account.send("PATCH", &second, change.clone()).await), (400, "INVALID_STATE"));

    assert_eq!(account.delete(&first).await.0, 200);
    assert_eq!(account.send("PATCH", &second, change.clone()).await.0, 400, "not before the first is gone");
    account.sim.advance_ms(600_001);
    assert_eq!(account.send("PATCH", &second, change).await.0, 200);
}

#[tokio::test]
async fn regions_are_those_that_there_are() {
    let account = account().await;
    for region in ["eu-west-11", "eu-west", "EU-WEST-1", "westeurope", ""] {
        let mut body = body("main");
        body["aws_region"] = json!(region);
        let answer = account.send("POST", "workspaces", body).await;
        assert_eq!(refused(&answer), (400, "INVALID_PARAMETER_VALUE"), "{region}");
    }
}

/// What a provider of infrastructure as code sends: the account, fields of answers, everything it knows in each PATCH.
#[tokio::test]
async fn a_client_may_send_back_what_it_has_read() {
    let account = account().await;
    account.sim.set(|settings| settings.deployment_prefix = Some("acme".to_owned()));
    let mut body = body("main");
    body["account_id"] = json!(account.sim.account_id);
    body["deployment_name"] = json!("main");
    body["is_no_public_ip_enabled"] = json!(true);
    body["cloud"] = json!("aws");
    body["effective_compute_mode"] = json!("HYBRID");
    body["workspace_id"] = json!(7);
    body["workspace_status"] = json!("RUNNING");
    body["workspace_url"] = json!("https://example.com");
    body["storage_mode"] = json!("CUSTOMER_HOSTED");
    let path = create(&account, body.clone()).await;
    assert_ne!(path, "workspaces/7");
    account.sim.advance_ms(1_200_001);
    let (_, running) = account.get(&path).await;
    assert!(running.get("effective_compute_mode").is_none() && running.get("workspace_url").is_none());

    let mut read = running.clone();
    read["custom_tags"] = json!({"team": "data"});
    read.as_object_mut().unwrap().remove("x_unknown");
    body["custom_tags"] = json!({"team": "science"});
    for (mask, sent, team) in [
        ("?update_mask=*", &read, "data"),
        ("", &body, "science"),
        ("?update_mask=custom_tags,effective_compute_mode", &read, "data"),
    ] {
        let (status, changed) = account.send("PATCH", &format!("{path}{mask}"), sent.clone()).await;
        assert_eq!((status, &changed["custom_tags"]["team"]), (200, &json!(team)), "{mask}: {changed}");
        for field in ["workspace_id", "workspace_status", "deployment_name", "creation_time"] {
            assert_eq!(changed[field], running[field], "{field}");
        }
    }
    read["colour"] = json!("red");
    assert_eq!(account.send("PATCH", &path, read).await.0, 400, "a misspelt field is still refused");
}

#[tokio::test]
async fn ids_can_be_small_enough_for_every_client() {
    let account = Account::with(Settings { small_ids: true, ..slow() }).await;
    account.sim.insert("credentials", json!({"credentials_id": CREDENTIALS})).unwrap();
    let path = create(&account, body("main")).await;
    let people = account.sim.objects("Users");
    let ids = people.iter().map(|person| person["id"].as_str().unwrap());
    for id in ids.chain([path.trim_start_matches("workspaces/")]) {
        let id: i64 = id.parse().unwrap();
        assert!((1..1 << 53).contains(&id), "{id}");
    }
}
