//! Budgets against the simulated account: what the driver reads, and what it sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Driver, Resolved, Seen, When, Writer, of};
use databricks_operator::kinds::budget::Budget;
use serde_json::{Value, json};
use simulator::{Config, Fault, Settings, Simulator, When as Strikes};

#[path = "account/connect.rs"]
mod connect;

const BUDGETS: &str = "budgets";

fn budgets() -> &'static dyn Driver {
    of::<Budget>()
}

fn alert(threshold: &str, target: &str) -> Value {
    json!({
        "timePeriod": "MONTH", "triggerType": "CUMULATIVE_SPENDING_EXCEEDED", "quantityType": "LIST_PRICE_DOLLARS_USD",
        "quantityThreshold": threshold, "actionConfigurations": [{"actionType": "EMAIL_NOTIFICATION", "target": target}],
    })
}

fn want(name: &str, alerts: &[Value], more: Value) -> Value {
    let mut spec =
        json!({"authRef": {"name": "account"}, "displayName": name, "alertConfigurations": alerts});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    budgets().desired(&spec, &Resolved::default()).unwrap()
}

async fn start(settings: Settings) -> (Simulator, Writer) {
    let simulator = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
    let api = connect(&simulator);
    (simulator, api)
}

async fn get(api: &Writer, id: &str) -> Seen {
    budgets().get(api, id).await.unwrap().expect("the budget exists")
}

/// The fields that differ; all of them may be changed.
fn differ(want: &Value, seen: &Seen) -> Vec<String> {
    let changes = budgets().changes(want, seen).unwrap();
    assert!(changes.iter().all(|change| change.when == When::Now), "{changes:?}");
    changes.into_iter().map(|change| change.path).collect()
}

/// Requests and responses have an envelope, and the API is version 2.1.
#[tokio::test]
async fn amounts_that_come_back_padded_are_no_drift() {
    let (simulator, api) = start(Settings::default()).await;
    let want = want("team-a", &[alert("500", "a@example.com"), alert("99.50", "b@example.com")], json!({}));
    let created = budgets().create(&api, &want).await.unwrap().seen.unwrap();
    let call = simulator.writes().pop().unwrap();
    assert!(call.path.starts_with("/api/2.1/accounts/") && call.body.unwrap()["budget"].is_object());
    let stored = simulator.objects(BUDGETS).remove(0);
    let amounts: Vec<&str> = stored["alert_configurations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["quantity_threshold"].as_str().unwrap())
        .collect();
    assert!(amounts.contains(&"500.000000") && amounts.contains(&"99.500000"), "{amounts:?}");
    assert!(differ(&want, &created).is_empty());
    let mut alerts = stored["alert_configurations"].clone();
    alerts.as_array_mut().unwrap().reverse();
    simulator.edit(BUDGETS, &created.id, json!({"alert_configurations": alerts})).unwrap();
    assert!(differ(&want, &get(&api, &created.id).await).is_empty(), "the order does not count");
    alerts[0]["quantity_threshold"] = json!("500.000001");
    simulator.edit(BUDGETS, &created.id, json!({"alert_configurations": alerts})).unwrap();
    assert_eq!(differ(&want, &get(&api, &created.id).await), ["alert_configurations"]);
}

/// A budget that goes away just before it is changed is read again: that is no refusal.
#[tokio::test]
async fn a_budget_that_is_gone_when_it_is_changed_is_read_again() {
    let (simulator, api) = start(Settings::default()).await;
    let alerts = [alert("500", "a@example.com")];
    let created = budgets().create(&api, &want("team-a", &alerts, json!({}))).await.unwrap().seen.unwrap();
    assert!(simulator.remove(BUDGETS, &created.id));
    let renamed = want("team-b", &alerts, json!({}));
    let failed = budgets().update(&api, &created, &renamed, &["display_name"]).await.unwrap_err();
    assert!(matches!(failed, Error::Transient { .. }), "{failed:?}");
}

/// The API takes an alert without its id for a new one.
#[tokio::test]
async fn alerts_keep_their_ids_when_a_budget_is_changed() {
    let (simulator, api) = start(Settings::default()).await;
    let before = [alert("500", "a@example.com"), alert("800", "b@example.com")];
    let created = budgets().create(&api, &want("team-a", &before, json!({}))).await.unwrap().seen.unwrap();
    let ids = |field: &str| {
        let stored = simulator.objects(BUDGETS).remove(0);
        let alerts = stored["alert_configurations"].as_array().unwrap().clone();
        let id = |alert: &Value| match field {
            "alert_configuration_id" => alert[field].to_string(),
            _ => alert["action_configurations"][0][field].to_string(),
        };
        alerts.iter().map(id).collect::<std::collections::BTreeSet<_>>()
    };
    let (alerts, actions) = (ids("alert_configuration_id"), ids("action_configuration_id"));
    let seen = get(&api, &created.id).await;

    // The name alone is changed: all is sent back.
    let renamed = want("team-b", &before, json!({}));
    let seen = budgets().update(&api, &seen, &renamed, &["display_name"]).await.unwrap();
    assert_eq!((&seen.id, differ(&renamed, &seen)), (&created.id, vec![]));
    assert_eq!(
        (ids("alert_configuration_id"), ids("action_configuration_id")),
        (alerts.clone(), actions.clone())
    );

    // One amount is changed, and the order.
    let after = [alert("800.0", "b@example.com"), alert("700", "a@example.com")];
    let changed = want("team-b", &after, json!({}));
    let seen = budgets().update(&api, &seen, &changed, &["alert_configurations"]).await.unwrap();
    assert!(differ(&changed, &seen).is_empty());
    assert_eq!((ids("alert_configuration_id"), ids("action_configuration_id")), (alerts, actions));
}

/// The API drops what a replacement leaves out.
#[tokio::test]
async fn what_a_budget_has_besides_its_spec_stays() {
    let (simulator, api) = start(Settings::default()).await;
    let tags = json!([{"key": "team", "value": {"operator": "IN", "values": ["a"]}}]);
    let filter = json!({"workspaceId": {"operator": "IN", "values": [42]}, "tags": tags});
    let more = json!({"filter": filter, "includeExternalSpend": true});
    let created = budgets()
        .create(&api, &want("team-a", &[alert("1", "a@example.com")], more))
        .await
        .unwrap()
        .seen
        .unwrap();
    let less = json!({"filter": {"workspaceId": {"operator": "IN", "values": [42, 7]}}});
    let less = want("team-a", &[alert("1", "a@example.com")], less);
    let seen = get(&api, &created.id).await;
    assert_eq!(differ(&less, &seen), ["filter.workspaceId.values"], "what is left out is not managed");
    budgets().update(&api, &seen, &less, &["filter"]).await.unwrap();
    let stored = simulator.objects(BUDGETS).remove(0);
    assert_eq!((&stored["filter"]["tags"], &stored["include_external_spend"]), (&tags, &json!(true)));
    assert_eq!(stored["filter"]["workspace_id"]["values"], json!([7, 42]));
    let open = want(
        "team-a",
        &[alert("1", "a@example.com")],
        json!({"filter": {"workspaceId": {"operator": "IN", "values": []}, "tags": []}}),
    );
    let seen = budgets().update(&api, &get(&api, &created.id).await, &open, &["filter"]).await.unwrap();
    assert!(differ(&open, &seen).is_empty());
    assert_eq!(simulator.objects(BUDGETS)[0].get("filter"), None);
}

/// A changed filter can give a budget another id: it is taken from the response, and the budget is found by its name.
#[tokio::test]
async fn a_change_returns_the_id_that_the_budget_has_then() {
    let (simulator, api) = start(Settings::default()).await;
    let want = want("team-a", &[alert("1", "a@example.com")], json!({}));
    let created = budgets().create(&api, &want).await.unwrap().seen.unwrap();
    let mut moved = simulator.objects(BUDGETS).remove(0);
    moved.as_object_mut().unwrap().remove("budget_configuration_id");
    let moved = simulator.insert(BUDGETS, moved).unwrap();
    simulator.fault(Fault {
        method: Some("PUT".into()),
        path: "*/budgets/*".into(),
        when: Strikes::After,
        body: Some(json!({"budget": moved})),
        ..Fault::default()
    });
    let seen = budgets().update(&api, &created, &want, &["display_name"]).await.unwrap();
    assert_eq!(json!(seen.id), moved["budget_configuration_id"]);
    assert!(simulator.remove(BUDGETS, &created.id));
    assert_eq!(budgets().get(&api, &created.id).await.unwrap(), None);
    let key = budgets().key(&want).unwrap();
    let listed = budgets().list(&api, "").await.unwrap();
    let matching: Vec<&Seen> = listed.iter().filter(|row| budgets().matches(&key, row).unwrap()).collect();
    assert_eq!(matching.iter().map(|row| &row.id).collect::<Vec<_>>(), [&seen.id]);
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let (_simulator, api) = start(Settings { page_size: 2, ..Settings::default() }).await;
    for name in ["a", "b", "c", "d", "e"] {
        let want = want(name, &[alert("1", "a@example.com")], json!({}));
        budgets().create(&api, &want).await.unwrap();
    }
    let all = budgets().list(&api, "").await.unwrap();
    let mut names: Vec<&str> = all.iter().map(|row| row.state["display_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn each_call_names_the_role_that_it_lacks() {
    let (simulator, api) = start(Settings::default()).await;
    let want = want("team-a", &[alert("1", "a@example.com")], json!({}));
    let created = budgets().create(&api, &want).await.unwrap().seen.unwrap();
    let refuse = |method: Option<&str>| {
        simulator.clear_faults();
        let text = "You are not allowed to call this API, consider getting billing.admin role for : account";
        simulator.fault(Fault {
            method: method.map(Into::into),
            path: "*/budgets*".into(),
            status: Some(403),
            body: Some(json!({"error_code": "PERMISSION_DENIED", "message": text})),
            ..Fault::default()
        });
    };
    refuse(None);
    let mut refused = vec![
        budgets().get(&api, &created.id).await.unwrap_err(),
        budgets().list(&api, "").await.unwrap_err(),
        budgets().create(&api, &want).await.unwrap_err(),
        budgets().update(&api, &created, &want, &["display_name"]).await.unwrap_err(),
        budgets().delete(&api, &created).await.unwrap_err(),
    ];
    refuse(Some("PUT"));
    refused.push(budgets().update(&api, &created, &want, &["display_name"]).await.unwrap_err());
    for (n, error) in refused.iter().enumerate() {
        assert!(error.is_rejected(Reason::PermissionDenied), "{n}: {error:?}");
        assert!(
            error.to_string().contains("the service principal of the DatabricksAuth the role"),
            "{n}: {error}"
        );
        let Error::Rejected { about_object, .. } = error else { panic!("{error:?}") };
        assert_eq!(*about_object, ![0, 1, 3].contains(&n), "{n}: {error:?}");
    }
}

/// An alert per user, other amounts for some of them, and an end of usage.
#[tokio::test]
async fn a_budget_of_ai_gateways_can_end_usage() {
    let (simulator, api) = start(Settings::default()).await;
    let mut block = alert("900", "a@example.com");
    block["actionConfigurations"] = json!([{"actionType": "BLOCK_USAGE"}]);
    let mut each = alert("50", "a@example.com");
    each["scopeType"] = json!("ALERT_CONFIGURATION_SCOPE_TYPE_PER_USER");
    each["principalOverrides"] =
        json!([{"principalId": 1_234_567_890_123_456_i64, "overrideThreshold": "75.0"}]);
    let more = json!({"resourceType": "BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY"});
    let gateway = want("gateway", &[block, each.clone()], more.clone());
    let created = budgets().create(&api, &gateway).await.unwrap().seen.unwrap();
    let seen = get(&api, &created.id).await;
    assert!(differ(&gateway, &seen).is_empty(), "{seen:?}");
    each["principalOverrides"] = json!([]);
    let less = want("gateway", &[each], more);
    assert_eq!(differ(&less, &seen), ["alert_configurations"]);
    let seen = budgets().update(&api, &seen, &less, &["alert_configurations"]).await.unwrap();
    assert!(differ(&less, &seen).is_empty(), "{seen:?}");
    let stored = simulator.objects(BUDGETS).remove(0);
    assert_eq!(stored["alert_configurations"].as_array().map(Vec::len), Some(1));
    assert_eq!(stored["alert_configurations"][0].get("principal_overrides"), None);
}
