//! Network endpoints: Databricks approves them, and one that is disconnected has to be registered again.

use serde_json::{Value, json};

use crate::support::{Story, condition};

const KIND: &str = "NetworkEndpoint";
const STORE: &str = "network-endpoints";

fn in_aws(story: &Story, name: &str, id: &str) -> Value {
    let info = json!({"awsVpcEndpointId": id});
    story.managed(KIND, name, json!({"displayName": name, "region": "eu-west-1", "awsVpcEndpointInfo": info}))
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// An endpoint is not Ready before Databricks approves it. A person removes the connection in AWS: the object says so, and the way out
/// that it names works.
#[tokio::test]
async fn an_endpoint_is_ready_once_it_is_approved_and_fails_when_it_is_disconnected() {
    let story = Story::start("network-endpoint-life").await;
    story.account.set(|settings| settings.vpc_endpoint_ms = 3_600_000);
    story.apply(&in_aws(&story, "office", "vpce-0a")).await;
    let waits = |object: &Value| {
        let waiting = condition(object, "Ready")?["message"].as_str()?.contains("has not approved");
        (waiting && object["status"]["state"] == "PENDING").then_some(())
    };
    story.wait(KIND, "office", "it waits for the approval", waits).await;
    let made = story.account.objects(STORE).remove(0);
    let id = made["endpoint_id"].as_str().unwrap();
    story.account.edit(STORE, id, json!({"state": "APPROVED"})).unwrap();
    let ready = story.wait_ready(KIND, "office").await;
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(ready["status"]["awsAccountId"], made["aws_vpc_endpoint_info"]["aws_account_id"]);
    let writes = story.account.writes();
    let body = json!({"display_name": "office", "region": "eu-west-1",
        "aws_vpc_endpoint_info": {"aws_vpc_endpoint_id": "vpce-0a"}});
    assert_eq!((writes.len(), &writes[0].body), (1, &Some(body)));
    let path = format!("/api/networking/v1/accounts/{}/endpoints", story.account.account_id);
    assert_eq!(writes[0].path, path);

    story.account.edit(STORE, id, json!({"state": "DISCONNECTED"})).unwrap();
    story.pass(KIND, "office").await;
    let failed = story.wait_condition(KIND, "office", "Stalled", "True", "ProvisioningFailed").await;
    assert!(message(&failed, "Ready").contains("DISCONNECTED"), "{failed}");
    assert_eq!(story.account.writes().len(), 1, "nothing is replaced by itself");
    story.delete(KIND, "office").await;
    story.wait_gone(KIND, "office").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    story.account.set(|settings| settings.vpc_endpoint_ms = 0);
    story.apply(&in_aws(&story, "office", "vpce-0a")).await;
    story.wait_ready(KIND, "office").await;
    story.end().await;
}

/// Covers LC-03. The account registers an endpoint of a cloud once, whatever its name: one of others is left alone, and kept when it
/// was adopted. A slip is refused.
#[tokio::test]
async fn an_endpoint_of_others_is_left_alone_and_a_slip_is_refused() {
    let story = Story::start("network-endpoint-theirs").await;
    let azure = json!({"privateEndpointName": "pe",
        "privateEndpointResourceGuid": "8d2f1a60-5c44-4f0e-9a53-0c1d2e3f4a5b"});
    let mut both = in_aws(&story, "both", "vpce-0b");
    both["spec"]["azurePrivateEndpointInfo"] = azure.clone();
    let refused = story.try_apply(&both).await.unwrap_err().to_string();
    assert!(refused.contains("keep the one of your cloud and remove the others"), "{refused}");

    // The API shows a GUID in any case.
    let info = json!({"private_endpoint_name": "pe",
        "private_endpoint_resource_guid": "8D2F1A60-5C44-4F0E-9A53-0C1D2E3F4A5B"});
    let theirs = json!({"display_name": "pe", "region": "westeurope", "azure_private_endpoint_info": info});
    story.account.insert(STORE, theirs).unwrap();
    let spec = json!({"displayName": "pe", "region": "westeurope", "azurePrivateEndpointInfo": azure});
    story.apply(&story.managed(KIND, "pe", spec)).await;
    story.wait_condition(KIND, "pe", "Stalled", "True", "AlreadyExists").await;
    story.patch(KIND, "pe", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    story.wait_ready(KIND, "pe").await;
    story.delete(KIND, "pe").await;
    story.wait_gone(KIND, "pe").await;
    assert_eq!(story.account.objects(STORE).len(), 1, "what was adopted is retained");
    assert!(story.account.writes().is_empty(), "{:?}", story.account.writes());
    story.end().await;
}
