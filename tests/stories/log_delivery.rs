//! The life of a LogDelivery: the API removes none, so it is disabled and enabled again.

use serde_json::{Value, json};

use crate::support::{Story, cluster, condition};

const DELIVERY: &str = "LogDelivery";
const COLLECTION: &str = "log-delivery";

/// What a delivery refers to, in the cluster.
async fn ground(story: &Story) {
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::111122223333:role/logs"}});
    let credential = json!({"credentialsName": "logs", "awsCredentials": role});
    story.apply(&story.managed("Credential", "logs", credential)).await;
    let bucket = json!({"storageConfigurationName": "logs", "bucketName": "example-logs"});
    story.apply(&story.managed("StorageConfiguration", "logs", bucket)).await;
}

fn audit(story: &Story, more: Value) -> Value {
    let mut spec = json!({
        "logType": "AUDIT_LOGS", "outputFormat": "JSON", "credentialsRef": {"name": "logs"},
        "storageConfigurationRef": {"name": "logs"}, "configName": "audit",
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    story.managed(DELIVERY, "audit", spec)
}

/// The ids and statuses in the account.
fn deliveries(story: &Story) -> Vec<(Value, Value)> {
    let all = story.account.objects(COLLECTION).into_iter();
    all.map(|found| (found["config_id"].clone(), found["status"].clone())).collect()
}

/// Method and body of the changes of deliveries since the last time.
fn changes(story: &Story) -> Vec<(String, Value)> {
    let of_ours = story.account.writes().into_iter().filter(|call| call.class == COLLECTION);
    let changes =
        of_ours.map(|call| (call.method, call.body.unwrap_or_default()["status"].clone())).collect();
    story.account.clear_journal();
    changes
}

/// Covers LC-29, DL-07, LC-26.
#[tokio::test]
async fn a_delivery_is_disabled_and_the_same_one_is_enabled_again() {
    let story = Story::start("log-delivery").await;
    ground(&story).await;
    story.apply(&audit(&story, json!({}))).await;
    let ready = story.wait_ready(DELIVERY, "audit").await;
    let id = ready["status"]["externalId"].clone();
    assert_eq!(deliveries(&story), [(id.clone(), json!("ENABLED"))]);
    assert_eq!(ready["status"]["observed"]["configName"], "audit");
    changes(&story);

    // Hours later the account reports that it cannot write to the bucket.
    let failed = json!({"status": "USER_FAILURE", "message": "Access denied"});
    story.account.edit(COLLECTION, id.as_str().unwrap(), json!({"log_delivery_status": failed})).unwrap();
    story.pass(DELIVERY, "audit").await;
    let seen = story.wait_ready(DELIVERY, "audit").await;
    let says = condition(&seen, "Ready").unwrap()["message"].to_string();
    assert!(says.contains("Access denied") && says.contains("write to the bucket"), "{says}");
    let works = json!({"status": "SUCCEEDED", "message": ""});
    story.account.edit(COLLECTION, id.as_str().unwrap(), json!({"log_delivery_status": works})).unwrap();
    story.pass(DELIVERY, "audit").await;
    let seen = story.wait_ready(DELIVERY, "audit").await;
    assert_eq!(condition(&seen, "Ready").unwrap()["message"], "");
    assert_eq!(changes(&story), []);

    story.delete(DELIVERY, "audit").await;
    story.wait_gone(DELIVERY, "audit").await;
    assert_eq!(deliveries(&story), [(id.clone(), json!("DISABLED"))]);
    assert_eq!(changes(&story), [("PATCH".to_owned(), json!("DISABLED"))]);
    let said = story.wait_event(DELIVERY, "audit", "Deleted").await;
    assert!(said.contains("is not removed from the account") && said.contains("DISABLED"), "{said}");

    story.apply(&audit(&story, json!({}))).await;
    let again = story.wait_ready(DELIVERY, "audit").await;
    assert_eq!(again["status"]["externalId"], id);
    assert_eq!(deliveries(&story), [(id.clone(), json!("ENABLED"))]);
    assert_eq!(changes(&story), [("PATCH".to_owned(), json!("ENABLED"))]);

    // Somebody disables it in the console: that is drift. The spec may say the same.
    story.account.edit(COLLECTION, id.as_str().unwrap(), json!({"status": "DISABLED"})).unwrap();
    story.pass(DELIVERY, "audit").await;
    story.wait_event(DELIVERY, "audit", "DriftCorrected").await;
    assert_eq!(changes(&story), [("PATCH".to_owned(), json!("ENABLED"))]);
    story.patch(DELIVERY, "audit", json!({"spec": {"status": "DISABLED"}})).await;
    story.wait_ready(DELIVERY, "audit").await;
    assert_eq!(deliveries(&story), [(id, json!("DISABLED"))]);
    story.patch(DELIVERY, "audit", json!({"spec": {"status": null}})).await;
    story.wait_ready(DELIVERY, "audit").await;

    // An enabled delivery needs its role and its bucket, and all three go together.
    let namespace = ["delete", "namespace", &story.namespace, "--timeout=180s"];
    cluster().kubectl(&namespace, "").await.unwrap();
    assert_eq!(deliveries(&story).iter().filter(|(_, status)| status == "ENABLED").count(), 0);
    for collection in ["credentials", "storage-configurations"] {
        assert_eq!(story.account.objects(collection), [] as [Value; 0], "{collection}");
    }
    story.end().await;
}

/// Covers LC-03, LC-29. An equal delivery that is enabled is another user's.
#[tokio::test]
async fn an_enabled_delivery_of_others_is_left_alone_and_a_slip_is_refused() {
    let story = Story::start("log-delivery-theirs").await;
    let credentials = story.account.insert("credentials", json!({})).unwrap()["credentials_id"].clone();
    let storage = story.account.insert("storage-configurations", json!({})).unwrap();
    let by_id = |more: Value| {
        let mut object = audit(&story, more);
        let spec = object["spec"].as_object_mut().unwrap();
        spec.retain(|field, value| !field.ends_with("Ref") || field == "authRef" && !value.is_null());
        spec.insert("credentialsId".into(), credentials.clone());
        spec.insert("storageConfigurationId".into(), storage["storage_configuration_id"].clone());
        object
    };
    let theirs = json!({
        "log_type": "AUDIT_LOGS", "output_format": "JSON", "credentials_id": credentials, "config_name": "security",
        "storage_configuration_id": storage["storage_configuration_id"], "status": "ENABLED",
    });
    story.account.insert(COLLECTION, theirs).unwrap();
    for (slip, says) in [
        (json!({"outputFormat": "CSV"}), "outputFormat is CSV for BILLABLE_USAGE"),
        (json!({"deliveryStartTime": "2026-01"}), "deliveryStartTime is for BILLABLE_USAGE only"),
        (json!({"workspaceIds": []}), "workspaceIds"),
        (json!({"deliveryPathPrefix": "/logs"}), "deliveryPathPrefix"),
    ] {
        let refused = story.try_apply(&by_id(slip)).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    story.apply(&by_id(json!({}))).await;
    story.wait_condition(DELIVERY, "audit", "Stalled", "True", "AlreadyExists").await;
    assert_eq!(changes(&story), []);
    story.delete(DELIVERY, "audit").await;
    story.wait_gone(DELIVERY, "audit").await;
    assert_eq!(deliveries(&story)[0].1, "ENABLED");
    story.end().await;
}
