//! Budgets.

use serde_json::{Value, json};
use simulator::{Fault, When};

use crate::support::{Story, condition};

const KIND: &str = "Budget";

fn alert(threshold: &str) -> Value {
    json!({
        "timePeriod": "MONTH", "triggerType": "CUMULATIVE_SPENDING_EXCEEDED", "quantityType": "LIST_PRICE_DOLLARS_USD",
        "quantityThreshold": threshold, "actionConfigurations": [{"actionType": "EMAIL_NOTIFICATION", "target": "a@example.com"}],
    })
}

fn budget(story: &Story) -> Value {
    story.account.objects("budgets").remove(0)
}

/// The methods of the changes that the account carried out, in order.
fn applied(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().filter(|call| call.applied).map(|call| call.method).collect()
}

#[tokio::test]
async fn a_budget_is_created_kept_changed_and_deleted() {
    let story = Story::start("budget-life").await;
    let spec = json!({"displayName": "team-a", "alertConfigurations": [alert("500")]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let ready = story.wait_ready(KIND, "team").await;
    let made = budget(&story);
    let id = made["budget_configuration_id"].as_str().unwrap();
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(made["alert_configurations"][0]["quantity_threshold"], "500.000000");
    let shown = &ready["status"]["observed"];
    assert_eq!(shown["alertConfigurations"][0]["quantityThreshold"], "500", "{shown}");
    // Padded amounts are no drift.
    story.pass(KIND, "team").await;
    assert_eq!(applied(&story), ["POST"]);

    // A user changes it in the console.
    story.account.edit("budgets", id, json!({"display_name": "team-x"})).unwrap();
    let corrected = story.wait_event(KIND, "team", "DriftCorrected").await;
    assert!(corrected.contains("displayName"), "{corrected}");
    let now = budget(&story);
    assert_eq!(
        (&now["display_name"], &now["alert_configurations"]),
        (&json!("team-a"), &made["alert_configurations"])
    );

    story.patch(KIND, "team", json!({"spec": {"alertConfigurations": [alert("700")]}})).await;
    story.wait_ready(KIND, "team").await;
    let now = budget(&story)["alert_configurations"][0].clone();
    assert_eq!(now["quantity_threshold"], "700.000000");
    assert_eq!(now["alert_configuration_id"], made["alert_configurations"][0]["alert_configuration_id"]);

    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects("budgets"), [] as [Value; 0]);
    assert_eq!(applied(&story), ["POST", "PUT", "PUT", "DELETE"]);
    story.end().await;
}

#[tokio::test]
async fn a_budget_that_the_api_would_refuse_is_refused_with_what_to_write() {
    let story = Story::start("budget-schema").await;
    let with = |alert: Value, field: &str, value: Value| {
        let mut alert = alert;
        alert[field] = value;
        alert
    };
    let block =
        |threshold| with(alert(threshold), "actionConfigurations", json!([{"actionType": "BLOCK_USAGE"}]));
    let each =
        |threshold| with(alert(threshold), "scopeType", json!("ALERT_CONFIGURATION_SCOPE_TYPE_PER_USER"));
    let gateway = json!({"resourceType": "BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY"});
    let silent = with(alert("1"), "actionConfigurations", json!([{"actionType": "EMAIL_NOTIFICATION"}]));
    for (alerts, more, says) in [
        (
            vec![alert("1"), alert("2"), alert("3"), alert("4"), alert("5")],
            json!({}),
            "at most four shared alerts",
        ),
        (vec![each("1"), each("2")], gateway.clone(), "one per user"),
        (vec![alert("1"), alert("1.0")], json!({}), "another quantityThreshold"),
        (vec![block("1")], json!({}), "BLOCK_USAGE and alerts per user are for resourceType"),
        (vec![each("1")], json!({}), "BLOCK_USAGE and alerts per user are for resourceType"),
        (vec![block("1"), alert("2")], gateway.clone(), "highest quantityThreshold"),
        (vec![block("1"), block("2")], gateway.clone(), "highest quantityThreshold"),
        (vec![silent], json!({}), "EMAIL_NOTIFICATION needs target"),
        (vec![alert("1e3")], json!({}), "quantityThreshold"),
        (vec![], json!({}), "spec.alertConfigurations"),
    ] {
        let mut spec = json!({"displayName": "team-a", "alertConfigurations": alerts});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = story.try_apply(&story.managed(KIND, "wrong", spec.clone())).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
    let alerts = [alert("1"), alert("2"), alert("3"), block("10.5"), each("100")];
    let mut spec = json!({"displayName": "gateway", "alertConfigurations": alerts});
    spec["resourceType"] = gateway["resourceType"].clone();
    story.apply(&story.managed(KIND, "gateway", spec)).await;
    story.wait_ready(KIND, "gateway").await;
    story.end().await;
}

/// A change of the filter can give a budget another id.
#[tokio::test]
async fn a_budget_that_gets_another_id_stays_managed() {
    let story = Story::start("budget-replaced").await;
    let spec = json!({"displayName": "team-a", "alertConfigurations": [alert("500")]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let before = story.wait_ready(KIND, "team").await["status"]["externalId"].clone();
    story.account.set(|settings| settings.moves_budgets = true);
    let filter = json!({"workspaceId": {"operator": "IN", "values": [42]}});
    story.patch(KIND, "team", json!({"spec": {"filter": filter}})).await;
    let ready = story.wait_ready(KIND, "team").await;
    let now = budget(&story)["budget_configuration_id"].clone();
    assert_ne!(before, now);
    assert_eq!(ready["status"]["externalId"], now);
    let again = story.pass(KIND, "team").await;
    assert_eq!(again["status"]["externalId"], now);
    let events = story.events(KIND, "team").await;
    assert!(events.iter().any(|(_, note)| note.contains(now.as_str().unwrap())), "{events:?}");

    story.delete(KIND, "team").await;
    story.wait_gone(KIND, "team").await;
    assert_eq!(story.account.objects("budgets"), [] as [Value; 0]);
    assert_eq!(applied(&story), ["POST", "PUT", "DELETE"]);
    story.end().await;
}

/// While the account shows both the old and the new one, the old one stays bound. Whatever becomes of it, no other budget is created.
#[tokio::test]
async fn a_budget_that_gets_another_id_is_not_created_twice() {
    let story = Story::start("budget-moves").await;
    let spec = json!({"displayName": "team-a", "alertConfigurations": [alert("500")]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    story.wait_ready(KIND, "team").await;
    let mut moved = budget(&story);
    let before = moved.as_object_mut().unwrap().remove("budget_configuration_id").unwrap();
    let filter = |name: &str| json!({name: {"operator": "IN", "values": [42]}});
    moved["filter"] = filter("workspace_id");
    let moved = story.account.insert("budgets", moved).unwrap();
    story.account.fault(Fault {
        method: Some("PUT".into()),
        path: "*/budgets/*".into(),
        when: When::After,
        times: Some(1),
        body: Some(json!({"budget": moved})),
        ..Fault::default()
    });
    story.patch(KIND, "team", json!({"spec": {"filter": filter("workspaceId")}})).await;
    story.wait_event(KIND, "team", "Updated").await;
    assert!(story.account.remove("budgets", before.as_str().unwrap()));
    let refused = story.wait_condition(KIND, "team", "Ready", "False", "AlreadyExists").await;
    let text = condition(&refused, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(text.contains(moved["budget_configuration_id"].as_str().unwrap()), "{text}");
    assert_eq!(applied(&story), ["POST", "PUT"]);
    story.end().await;
}

#[tokio::test]
async fn a_lack_of_the_billing_role_is_named() {
    let story = Story::start("budget-role").await;
    let text = "You are not allowed to call this API, consider getting billing.admin role for : account";
    story.account.fault(Fault {
        path: "*/budgets*".into(),
        status: Some(403),
        body: Some(json!({"error_code": "PERMISSION_DENIED", "message": text})),
        ..Fault::default()
    });
    let spec = json!({"displayName": "team-a", "alertConfigurations": [alert("500")]});
    story.apply(&story.managed(KIND, "team", spec)).await;
    let refused = story.wait_condition(KIND, "team", "Ready", "False", "PermissionDenied").await;
    let message = condition(&refused, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(message.contains("service principal of the DatabricksAuth the role billing.admin"), "{message}");
    story.account.clear_faults();
    story.pass(KIND, "team").await;
    story.wait_ready(KIND, "team").await;
    story.end().await;
}
