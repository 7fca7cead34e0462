//! Budgets, budget policies, usage dashboards and the delivery of logs: envelopes, another base path, no deletion.

use serde_json::{Value, json};

use crate::{Account, answer, refused};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const MALFORMED: (u16, &str) = (400, "MALFORMED_REQUEST");
const NOWHERE: (u16, &str) = (404, "ENDPOINT_NOT_FOUND");

fn audit(name: &str, credentials: &Value, workspaces: &[i64]) -> Value {
    json!({"log_delivery_configuration": {
        "log_type": "AUDIT_LOGS", "output_format": "JSON", "config_name": name, "credentials_id": credentials,
        "storage_configuration_id": "s", "workspace_ids_filter": workspaces,
    }})
}

#[tokio::test]
async fn a_log_delivery_is_disabled_and_never_deleted() {
    let account = Account::new().await;
    let credentials = account.sim.insert("credentials", json!({})).unwrap()["credentials_id"].clone();
    let (status, made) = account.send("POST", "log-delivery", audit("a", &credentials, &[])).await;
    let made = &made["log_delivery_configuration"];
    assert_eq!(
        (status, &made["status"], &made["log_delivery_status"]["status"]),
        (200, &json!("ENABLED"), &json!("CREATED"))
    );
    assert!(made["x_unknown"].is_object(), "the content of an envelope has unknown fields too");
    let path = format!("log-delivery/{}", made["config_id"].as_str().unwrap());
    let held = format!("credentials/{}", credentials.as_str().unwrap());
    assert_eq!(refused(&account.delete(&held).await), (400, "INVALID_STATE"));
    assert_eq!(refused(&account.delete(&path).await), NOWHERE);

    assert_eq!(account.send("PATCH", &path, json!({"status": "DISABLED"})).await, (200, Value::Null));
    assert_eq!(account.get(&path).await.1["log_delivery_configuration"]["status"], "DISABLED");
    let (_, found) = account.get("log-delivery?status=DISABLED").await;
    assert_eq!(found["log_delivery_configurations"].as_array().map(Vec::len), Some(1));
    assert_eq!(account.get("log-delivery?status=ENABLED").await.1.get("log_delivery_configurations"), None);
    assert_eq!(refused(&account.send("PATCH", &path, json!({"config_name": "b"})).await), INVALID);
    assert_eq!(refused(&account.send("PATCH", &path, audit("a", &credentials, &[])).await), MALFORMED);
    assert_eq!(account.delete(&held).await.0, 200, "a disabled one holds nothing up");
}

#[tokio::test]
async fn there_are_two_log_deliveries_of_a_type_and_no_twins() {
    let account = Account::new().await;
    let post = async |name: &str, credentials: &str, workspaces: &[i64]| {
        account.send("POST", "log-delivery", audit(name, &json!(credentials), workspaces)).await
    };
    let (_, first) = post("a", "c1", &[]).await;
    assert_eq!(
        refused(&post("b", "c1", &[]).await),
        (409, "ALREADY_EXISTS"),
        "the name alone is no difference"
    );
    assert_eq!(post("b", "c2", &[]).await.0, 200);
    assert_eq!(refused(&post("c", "c3", &[]).await), (400, "QUOTA_EXCEEDED"));
    for credentials in ["c1", "c2"] {
        assert_eq!(post("w", credentials, &[7, 8]).await.0, 200);
    }
    assert_eq!(refused(&post("w", "c3", &[8, 9]).await), (400, "QUOTA_EXCEEDED"));
    let path = format!("log-delivery/{}", first["log_delivery_configuration"]["config_id"].as_str().unwrap());
    account.send("PATCH", &path, json!({"status": "DISABLED"})).await;
    assert_eq!(post("c", "c3", &[]).await.0, 200);
    assert_eq!(
        refused(&account.send("PATCH", &path, json!({"status": "ENABLED"})).await),
        (400, "QUOTA_EXCEEDED")
    );
    let mut bare = audit("d", &json!("c4"), &[]);
    bare = bare["log_delivery_configuration"].take();
    assert_eq!(refused(&account.send("POST", "log-delivery", bare).await).0, 400, "without its envelope");
    let mut mixed = audit("d", &json!("c4"), &[9]);
    mixed["log_delivery_configuration"]["output_format"] = json!("CSV");
    assert_eq!(refused(&account.send("POST", "log-delivery", mixed).await), INVALID);
}

fn alert(threshold: &str) -> Value {
    json!({
        "time_period": "MONTH", "trigger_type": "CUMULATIVE_SPENDING_EXCEEDED",
        "quantity_type": "LIST_PRICE_DOLLARS_USD", "quantity_threshold": threshold,
        "action_configurations": [{"action_type": "EMAIL_NOTIFICATION", "target": "a@example.com"}],
    })
}

async fn budgets(account: &Account, method: &str, rest: &str, body: Option<Value>) -> (u16, Value) {
    in_version_21(account, method, &format!("budgets{rest}"), body).await
}

async fn in_version_21(account: &Account, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let path = format!("/api/2.1/accounts/{}/{path}", account.sim.account_id);
    let request =
        account.http.request(method.parse().unwrap(), account.sim.url() + &path).bearer_auth(&account.token);
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

#[tokio::test]
async fn a_budget_keeps_the_ids_it_is_sent_back_with() {
    let account = Account::new().await;
    let filter = json!({"workspace_id": {"operator": "IN", "values": [1_234_567_890_123_456_i64]}});
    let body = json!({"budget": {"display_name": "team-a", "filter": filter, "alert_configurations": [alert("500")]}});
    let (status, made) = budgets(&account, "POST", "", Some(body)).await;
    assert_eq!(status, 200, "{made}");
    let made = &made["budget"];
    let first = &made["alert_configurations"][0];
    assert_eq!((&first["quantity_threshold"], &made["filter"]), (&json!("500.000000"), &filter));
    let path = format!("/{}", made["budget_configuration_id"].as_str().unwrap());
    assert_eq!(budgets(&account, "GET", &path, None).await.1["budget"]["display_name"], "team-a");
    assert_eq!(budgets(&account, "GET", "", None).await.1["budgets"].as_array().map(Vec::len), Some(1));
    assert_eq!(refused(&account.get("budgets").await), NOWHERE, "it is in version 2.1 only");

    let mut kept = alert("700.5");
    kept["alert_configuration_id"] = first["alert_configuration_id"].clone();
    let change = json!({"budget": {"display_name": "team-b", "alert_configurations": [kept, alert("800")]}});
    let (_, after) = budgets(&account, "PUT", &path, Some(change.clone())).await;
    let alerts = &after["budget"]["alert_configurations"];
    assert_eq!(alerts[0]["alert_configuration_id"], first["alert_configuration_id"]);
    assert_eq!(alerts[0]["quantity_threshold"], "700.500000");
    assert_ne!(alerts[1]["alert_configuration_id"], first["alert_configuration_id"]);
    assert_eq!(after["budget"].get("filter"), None, "a replacement drops what it leaves out");
    let mut unknown = change.clone();
    unknown["budget"]["alert_configurations"][0]["alert_configuration_id"] = json!("mine");
    assert_eq!(refused(&budgets(&account, "PUT", &path, Some(unknown)).await), INVALID);
    assert_eq!(budgets(&account, "DELETE", &path, None).await.0, 200);
    assert_eq!(refused(&budgets(&account, "GET", &path, None).await), (404, "RESOURCE_DOES_NOT_EXIST"));
}

#[tokio::test]
async fn a_budget_with_another_filter_may_get_another_id() {
    let account = Account::new().await;
    let body = |name: &str, workspace: i64| {
        let filter = json!({"workspace_id": {"operator": "IN", "values": [workspace]}});
        json!({"budget": {"display_name": name, "filter": filter, "alert_configurations": [alert("500")]}})
    };
    let id = |answer: &Value| answer["budget"]["budget_configuration_id"].as_str().unwrap().to_owned();
    let first = id(&budgets(&account, "POST", "", Some(body("a", 1))).await.1);
    let path = format!("/{first}");
    assert_eq!(id(&budgets(&account, "PUT", &path, Some(body("a", 2))).await.1), first);
    account.sim.set(|settings| settings.moves_budgets = true);
    assert_eq!(id(&budgets(&account, "PUT", &path, Some(body("b", 2))).await.1), first, "the same filter");
    let second = id(&budgets(&account, "PUT", &path, Some(body("b", 3))).await.1);
    assert_ne!(first, second);
    assert_eq!(refused(&budgets(&account, "GET", &path, None).await), (404, "RESOURCE_DOES_NOT_EXIST"));
    assert_eq!(budgets(&account, "GET", &format!("/{second}"), None).await.0, 200);
}

#[tokio::test]
async fn alerts_of_a_budget_have_rules() {
    let account = Account::new().await;
    let mut block = alert("1");
    block["action_configurations"] = json!([{"action_type": "BLOCK_USAGE"}]);
    let mut silent = alert("1");
    silent["action_configurations"] = json!([{"action_type": "EMAIL_NOTIFICATION"}]);
    let mut number = alert("1");
    number["quantity_threshold"] = json!(500);
    for (alerts, refusal) in [
        (json!([]), INVALID),
        (json!([alert("1"), alert("1.0")]), INVALID),
        (json!([alert("1"), alert("2"), alert("3"), alert("4"), alert("5")]), INVALID),
        (json!([alert("1e3")]), INVALID),
        (json!([block]), INVALID),
        (json!([silent]), INVALID),
        (json!([number]), MALFORMED),
    ] {
        let body = json!({"budget": {"display_name": "b", "alert_configurations": alerts}});
        assert_eq!(refused(&budgets(&account, "POST", "", Some(body.clone())).await), refusal, "{body}");
    }
}

async fn policies(account: &Account, method: &str, rest: &str, body: Option<Value>) -> (u16, Value) {
    in_version_21(account, method, &format!("budget-policies{rest}"), body).await
}

#[tokio::test]
async fn a_budget_policy_is_changed_as_a_whole_and_created_once_for_a_request() {
    let account = Account::new().await;
    let policy = json!({"policy_name": "team-a", "custom_tags": [{"key": "team", "value": "a"}]});
    let body = json!({"policy": policy, "request_id": "0c4f"});
    let (status, made) = policies(&account, "POST", "", Some(body.clone())).await;
    assert_eq!((status, &made["policy_name"]), (200, &json!("team-a")), "without an envelope: {made}");
    let again = policies(&account, "POST", "", Some(body)).await;
    assert_eq!((again.0, &again.1["policy_id"]), (200, &made["policy_id"]));
    let (_, found) = policies(&account, "GET", "?page_size=1", None).await;
    assert_eq!(found["policies"].as_array().map(Vec::len), Some(1), "{found}");
    let taken = policies(&account, "POST", "", Some(json!({"policy": policy, "request_id": "1d5a"}))).await;
    assert_eq!(refused(&taken), (409, "ALREADY_EXISTS"));
    assert_eq!(refused(&policies(&account, "POST", "", Some(policy.clone())).await).0, 400, "its envelope");

    let path = format!("/{}", made["policy_id"].as_str().unwrap());
    let change = json!({"policy_name": "team-b", "binding_workspace_ids": [7]});
    let (status, changed) = policies(&account, "PATCH", &path, Some(change)).await;
    assert_eq!((status, &changed["binding_workspace_ids"]), (200, &json!([7])), "{changed}");
    assert_eq!(changed.get("custom_tags"), None, "a change drops what it leaves out");
    let part = json!({"custom_tags": [{"key": "team", "value": "b"}]});
    assert_eq!(refused(&policies(&account, "PATCH", &path, Some(part)).await), INVALID, "without its name");
    assert_eq!(policies(&account, "DELETE", &path, None).await, (200, Value::Null));
    assert_eq!(refused(&policies(&account, "GET", &path, None).await), (404, "RESOURCE_DOES_NOT_EXIST"));
}

#[tokio::test]
async fn names_and_tags_of_budget_policies_have_rules() {
    let account = Account::new().await;
    let tag = |key: &str| json!({"key": key, "value": "a"});
    let tags: Vec<Value> = (0..21).map(|number| tag(&number.to_string())).collect();
    for (policy, refusal) in [
        (json!({"custom_tags": []}), INVALID),
        (json!({"policy_name": ""}), INVALID),
        (json!({"policy_name": "a".repeat(128)}), INVALID),
        (json!({"policy_name": "日"}), INVALID),
        (json!({"policy_name": "databricks:default-policy"}), INVALID),
        (json!({"policy_name": "a", "custom_tags": tags}), INVALID),
        (json!({"policy_name": "a", "custom_tags": [tag("team"), tag("team")]}), INVALID),
        (json!({"policy_name": "a", "custom_tags": [tag("budget-policy-id")]}), INVALID),
        (json!({"policy_name": "a", "binding_workspace_ids": ["all"]}), MALFORMED),
    ] {
        let body = json!({"policy": policy});
        assert_eq!(refused(&policies(&account, "POST", "", Some(body.clone())).await), refusal, "{body}");
    }
}

#[tokio::test]
async fn a_usage_dashboard_is_created_and_read_and_nothing_else() {
    let account = Account::new().await;
    let workspace = account.sim.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let global = json!({"workspace_id": workspace, "dashboard_type": "USAGE_DASHBOARD_TYPE_GLOBAL"});
    let read = |workspace: &Value, which: &str| {
        format!("dashboard?workspace_id={workspace}&dashboard_type=USAGE_DASHBOARD_TYPE_{which}")
    };
    let missing = account.get(&read(&workspace, "GLOBAL")).await;
    assert_eq!(refused(&missing), (404, "RESOURCE_DOES_NOT_EXIST"));
    account.sim.set(|settings| settings.missing_dashboard_status = 200);
    assert_eq!(account.get(&read(&workspace, "GLOBAL")).await.1["dashboard_id"], "");

    let (status, made) = account.send("POST", "dashboard", global.clone()).await;
    assert_eq!((status, made.get("dashboard_url")), (200, None), "its id alone: {made}");
    let (_, found) = account.get(&read(&workspace, "GLOBAL")).await;
    assert_eq!(found["dashboard_id"], made["dashboard_id"]);
    assert!(found["dashboard_url"].is_string() && found.get("workspace_id").is_none(), "{found}");
    assert_eq!(account.get(&read(&workspace, "WORKSPACE")).await.1["dashboard_id"], "", "one of each type");
    for method in ["PUT", "PATCH"] {
        assert_eq!(refused(&account.send(method, "dashboard", global.clone()).await), NOWHERE, "{method}");
    }
    assert_eq!(refused(&account.delete("dashboard").await), NOWHERE);

    let with = |field: &str, value: Value| {
        let mut body = global.clone();
        body[field] = value;
        body
    };
    for (body, refusal) in [
        (with("dashboard_type", json!("GLOBAL")), INVALID),
        (with("major_version", json!("3")), INVALID),
        (with("workspace_id", json!(17)), (404, "RESOURCE_DOES_NOT_EXIST")),
        (with("colour", json!("red")), MALFORMED),
    ] {
        assert_eq!(refused(&account.send("POST", "dashboard", body.clone()).await), refusal, "{body}");
    }
    assert!(account.sim.remove("workspaces", &workspace.to_string()));
    assert_eq!(account.get(&read(&workspace, "GLOBAL")).await.0, 404, "it goes with its workspace");
}
