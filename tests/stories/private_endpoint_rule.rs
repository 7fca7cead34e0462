//! Private endpoints of serverless compute: a rule waits for the owner of its target, and its configuration for a deleted rule.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const CONFIG: &str = "NetworkConnectivityConfig";
const RULE: &str = "PrivateEndpointRule";
const RULES: &str = "private-endpoint-rules";
const SERVICE: &str = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A story in which no owner approves anything yet, and a deleted rule stays for a day.
async fn start(name: &str) -> Story {
    let story = Story::start_with(name, &[("recheck-waiting", "200ms")]).await;
    story.account.set(|settings| {
        settings.endpoint_rule_approval_ms = None;
        settings.endpoint_rule_deactivated_ms = DAY_MS;
    });
    story
}

fn config(story: &Story, name: &str) -> Value {
    story.managed(CONFIG, name, json!({"name": name, "region": "eu-west-1"}))
}

fn rule(story: &Story, name: &str, config: &str, more: Value) -> Value {
    let mut spec = json!({"networkConnectivityConfigRef": {"name": config}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(RULE, name, spec)
}

fn to_service() -> Value {
    json!({"endpointService": SERVICE, "domainNames": ["orders.example.com"]})
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// The owner of a rule's target approves it.
fn approve(story: &Story, rule: &Value) {
    let id = rule["status"]["externalId"].as_str().unwrap();
    story.account.edit(RULES, id, json!({"connection_state": "ESTABLISHED"})).unwrap();
}

fn writes(story: &Story) -> Vec<String> {
    let writes = story.account.writes().into_iter().filter(|call| call.class == RULES);
    writes.map(|call| format!("{} {}", call.method, call.body.unwrap_or_default())).collect()
}

/// Covers LC-22.
#[tokio::test]
async fn a_rule_waits_for_the_owner_of_its_target() {
    let story = start("endpoint-rule-approval").await;
    story.apply(&config(&story, "serverless")).await;
    story.apply(&rule(&story, "orders", "serverless", to_service())).await;
    let s3 = json!({"resourceNames": ["landing-zone"], "enabled": true});
    story.apply(&rule(&story, "landing", "serverless", s3)).await;
    for name in ["orders", "landing"] {
        let waits = story.wait_condition(RULE, name, "Ready", "False", "AwaitingApproval").await;
        assert_eq!(condition(&waits, "Reconciling").unwrap()["status"], "True");
        assert_eq!(condition(&waits, "Stalled"), None, "{waits}");
        assert_eq!(waits["status"]["state"], "PENDING");
    }
    // Days later it still waits, and says for what. It can be changed meanwhile.
    story.account.advance_ms(5 * DAY_MS);
    let waits = story.pass(RULE, "orders").await;
    let said = message(&waits, "Ready");
    let endpoint = waits["status"]["vpcEndpointId"].as_str().unwrap();
    assert!(said.contains(SERVICE) && said.contains(endpoint) && said.contains("14 days"), "{said}");
    let names = json!(["orders.example.com", "ORDERS.example.org"]);
    story.patch(RULE, "orders", json!({"spec": {"domainNames": names}})).await;
    let changed = |object: &Value| {
        (object["status"]["observedGeneration"] == object["metadata"]["generation"]).then(|| object.clone())
    };
    let waits = story.wait(RULE, "orders", "it is changed", changed).await;
    assert_eq!(condition(&waits, "Ready").unwrap()["reason"], "AwaitingApproval");

    // A rule to S3 begins disabled, whatever its create says.
    approve(&story, &waits);
    let landing = story.get(RULE, "landing").await;
    approve(&story, &landing);
    for name in ["orders", "landing"] {
        story.wait_ready(RULE, name).await;
    }
    let sent = writes(&story);
    for call in [
        json!({"domain_names": ["orders.example.com"], "endpoint_service": SERVICE}),
        json!({"resource_names": ["landing-zone"]}),
    ] {
        assert!(sent.contains(&format!("POST {call}")), "{sent:?}");
    }
    for call in
        [json!({"domain_names": ["orders.example.com", "orders.example.org"]}), json!({"enabled": true})]
    {
        assert!(sent.contains(&format!("PATCH {call}")), "{sent:?}");
    }
    assert_eq!(sent.len(), 4, "{sent:?}");
    story.end().await;
}

/// Covers DL-13. A rule that was in use stays listed for a day after its deletion, and its configuration as long.
#[tokio::test]
async fn a_config_waits_until_its_deleted_rules_are_gone() {
    let story = start("endpoint-rule-deletion").await;
    for name in ["kept", "gone"] {
        story.apply(&config(&story, name)).await;
        story.apply(&rule(&story, name, name, to_service())).await;
        let waits = story.wait_condition(RULE, name, "Ready", "False", "AwaitingApproval").await;
        approve(&story, &waits);
        story.wait_ready(RULE, name).await;
        story.delete(CONFIG, name).await;
        story.wait_condition(CONFIG, name, "DeletionBlocked", "True", "DependencyStillInUse").await;
        story.delete(RULE, name).await;
        story.wait_gone(RULE, name).await;
        let held = story.wait_condition(CONFIG, name, "DeletionBlocked", "True", "ApiRefused").await;
        let said = message(&held, "DeletionBlocked");
        assert!(
            said.contains("private endpoint rules") && said.contains("spec.deletionPolicy to Retain"),
            "{said}"
        );
    }
    assert!(story.account.objects(RULES).iter().all(|rule| rule["deactivated"] == true));
    story.patch(CONFIG, "kept", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(CONFIG, "kept").await;
    story.account.advance_ms(DAY_MS + 1);
    story.wait_gone(CONFIG, "gone").await;
    let left = story.account.objects("network-connectivity-configs");
    assert_eq!(left.iter().map(|config| &config["name"]).collect::<Vec<_>>(), ["kept"]);
    story.end().await;
}

/// A rule that the owner rejected cannot be asked for again: it says how to have another one.
#[tokio::test]
async fn a_rejected_rule_is_replaced_in_the_way_that_its_message_names() {
    let story = start("endpoint-rule-rejected").await;
    story.apply(&config(&story, "serverless")).await;
    let manifest = rule(&story, "orders", "serverless", to_service());
    story.apply(&manifest).await;
    let waits = story.wait_condition(RULE, "orders", "Ready", "False", "AwaitingApproval").await;
    let id = waits["status"]["externalId"].as_str().unwrap();
    story.account.edit(RULES, id, json!({"connection_state": "REJECTED"})).unwrap();
    let rejected = story.wait_condition(RULE, "orders", "Stalled", "True", "ProvisioningFailed").await;
    let said = message(&rejected, "Stalled");
    assert!(said.contains("rejected") && said.contains("delete this object"), "{said}");
    story.delete(RULE, "orders").await;
    story.wait_gone(RULE, "orders").await;
    // The deactivated one is not found again.
    story.apply(&manifest).await;
    let again = story.wait_condition(RULE, "orders", "Ready", "False", "AwaitingApproval").await;
    assert_ne!(again["status"]["externalId"], id);
    story.end().await;
}
