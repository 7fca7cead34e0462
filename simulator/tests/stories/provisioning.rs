//! What workspaces are built from: networks, VPC endpoints, private access settings, keys.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, refused};

const IN_USE: (u16, &str) = (400, "INVALID_STATE");
const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const MALFORMED: (u16, &str) = (400, "MALFORMED_REQUEST");

fn network(name: &str, n: u8) -> Value {
    json!({
        "network_name": name, "vpc_id": "vpc-0a1b", "security_group_ids": [format!("sg-{n}")],
        "subnet_ids": [format!("subnet-{n}a"), format!("subnet-{n}b")],
    })
}

fn endpoint(n: u8) -> Value {
    json!({"vpc_endpoint_name": format!("door-{n}"), "aws_vpc_endpoint_id": format!("vpce-0{n}"), "region": "eu-west-1"})
}

fn id(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("{field} of {object}")).to_owned()
}

#[tokio::test]
async fn a_network_serves_one_workspace_and_says_how_it_is() {
    let account = Account::new().await;
    let (status, made) = account.send("POST", "networks", network("main", 1)).await;
    assert_eq!((status, &made["vpc_status"]), (201, &json!("UNATTACHED")), "{made}");
    let path = format!("networks/{}", id(&made, "network_id"));
    assert_eq!(account.get("networks").await.1[0]["network_name"], "main", "the list is a bare array");

    let user = account.sim.insert("workspaces", json!({"network_id": made["network_id"]})).unwrap();
    let (_, used) = account.get(&path).await;
    assert_eq!((&used["vpc_status"], &used["workspace_id"]), (&json!("VALID"), &user["workspace_id"]));
    let other = account.sim.insert("workspaces", json!({"network_id": "another"})).unwrap();
    let take = account
        .send(
            "PATCH",
            &format!("workspaces/{}", other["workspace_id"]),
            json!({"network_id": made["network_id"]}),
        )
        .await;
    assert_eq!(refused(&take), IN_USE, "{}", take.1);
    assert_eq!(refused(&account.delete(&path).await), IN_USE);

    let broken = json!({"vpc_status": "BROKEN", "error_messages": [{"error_type": "subnet", "error_message": "gone"}]});
    account.sim.edit("networks", &id(&made, "network_id"), broken).unwrap();
    assert_eq!(account.get(&path).await.1["vpc_status"], "BROKEN");
    account.sim.remove("workspaces", &user["workspace_id"].to_string());
    assert_eq!(account.delete(&path).await.0, 200);
}

#[tokio::test]
async fn what_another_network_has_is_refused() {
    let account = Account::new().await;
    assert_eq!(account.send("POST", "networks", network("main", 1)).await.0, 201);
    let twin = account.send("POST", "networks", network("main", 2)).await;
    assert_eq!(refused(&twin), (409, "ALREADY_EXISTS"));
    let mut shared = network("other", 2);
    shared["subnet_ids"] = json!(["subnet-1b", "subnet-2b"]);
    assert_eq!(refused(&account.send("POST", "networks", shared).await), INVALID);
    let mut short = network("other", 3);
    short["subnet_ids"] = json!(["subnet-3a"]);
    assert_eq!(refused(&account.send("POST", "networks", short).await), INVALID, "two subnets at least");
}

#[tokio::test]
async fn a_vpc_endpoint_is_accepted_after_a_while_and_held_by_what_uses_it() {
    let account = Account::with(Settings { vpc_endpoint_ms: 60_000, ..Settings::default() }).await;
    let (status, made) = account.send("POST", "vpc-endpoints", endpoint(1)).await;
    assert_eq!((status, &made["state"]), (201, &json!("pendingAcceptance")));
    assert_eq!(made.get("creation_time"), None, "an endpoint does not say when it was registered");
    let path = format!("vpc-endpoints/{}", id(&made, "vpc_endpoint_id"));
    account.sim.advance_ms(60_001);
    assert_eq!(account.get(&path).await.1["state"], "available");
    account.sim.edit("vpc-endpoints", &id(&made, "vpc_endpoint_id"), json!({"state": "rejected"})).unwrap();
    account.sim.advance_ms(600_000);
    assert_eq!(account.get(&path).await.1["state"], "rejected", "what was set by hand stays");
    assert_eq!(refused(&account.send("POST", "vpc-endpoints", endpoint(1)).await), (409, "ALREADY_EXISTS"));

    let mut net = network("main", 1);
    net["vpc_endpoints"] = json!({"rest_api": [made["vpc_endpoint_id"]], "dataplane_relay": []});
    let (_, net) = account.send("POST", "networks", net).await;
    assert_eq!(refused(&account.delete(&path).await), IN_USE);
    let mut unknown = network("other", 2);
    unknown["vpc_endpoints"] = json!({"rest_api": ["nowhere"], "dataplane_relay": []});
    assert_eq!(refused(&account.send("POST", "networks", unknown).await), INVALID);
    account.delete(&format!("networks/{}", id(&net, "network_id"))).await;
    assert_eq!(account.delete(&path).await.0, 200);
}

#[tokio::test]
async fn private_access_settings_are_replaced_as_a_whole() {
    let account = Account::new().await;
    let whole =
        json!({"private_access_settings_name": "main", "region": "eu-west-1", "public_access_enabled": true});
    let (status, made) = account.send("POST", "private-access-settings", whole.clone()).await;
    assert_eq!((status, &made["private_access_level"]), (201, &json!("ACCOUNT")));
    let path = format!("private-access-settings/{}", id(&made, "private_access_settings_id"));
    let renamed = json!({"private_access_settings_name": "renamed", "region": "eu-west-1"});
    let (status, after) = account.send("PUT", &path, renamed).await;
    assert_eq!((status, &after["private_access_settings_name"]), (200, &json!("renamed")));
    assert_eq!(after["public_access_enabled"], false, "what is left out has its default again");

    let mut moved = whole.clone();
    moved["region"] = json!("eu-central-1");
    assert_eq!(refused(&account.send("PUT", &path, moved).await), INVALID);
    let part = json!({"private_access_settings_name": "renamed"});
    assert_eq!(refused(&account.send("PUT", &path, part).await), INVALID, "the region is missing");
    let mut levels = whole.clone();
    levels["private_access_level"] = json!("ENDPOINT");
    assert_eq!(refused(&account.send("PUT", &path, levels).await), INVALID, "the endpoints are missing");
    assert_eq!(refused(&account.send("PATCH", &path, whole).await), (404, "ENDPOINT_NOT_FOUND"));

    account
        .sim
        .insert("workspaces", json!({"private_access_settings_id": made["private_access_settings_id"]}))
        .unwrap();
    assert_eq!(refused(&account.delete(&path).await), IN_USE);
}

#[tokio::test]
async fn the_server_completes_a_key() {
    let account = Account::new().await;
    let key = json!({"key_arn": "arn:aws:kms:eu-west-1:111122223333:key/k1"});
    let body = json!({"use_cases": ["STORAGE"], "aws_key_info": key});
    let (status, made) = account.send("POST", "customer-managed-keys", body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["aws_key_info"]["key_region"], "eu-west-1");
    assert_eq!(made["aws_key_info"]["reuse_key_for_cluster_volumes"], true);
    assert_eq!(account.send("POST", "customer-managed-keys", body).await.0, 201, "twins are allowed");
    for (body, refusal) in [
        (json!({"use_cases": [], "aws_key_info": key}), INVALID),
        (json!({"use_cases": ["OTHER"], "aws_key_info": key}), INVALID),
        (json!({"use_cases": ["STORAGE"]}), INVALID),
        (json!({"use_cases": ["STORAGE"], "aws_key_info": {"key_arn": "k1"}}), INVALID),
        (json!({"use_cases": ["STORAGE"], "aws_key_info": key, "gcp_key_info": {}}), MALFORMED),
    ] {
        assert_eq!(
            refused(&account.send("POST", "customer-managed-keys", body.clone()).await),
            refusal,
            "{body}"
        );
    }
    let path = format!("customer-managed-keys/{}", id(&made, "customer_managed_key_id"));
    let other = account.sim.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let services = json!({"managed_services_customer_managed_key_id": made["customer_managed_key_id"]});
    let answer = account.send("PATCH", &format!("workspaces/{other}"), services).await;
    assert_eq!(refused(&answer), INVALID, "it is registered for storage only");
    let user = json!({"storage_customer_managed_key_id": made["customer_managed_key_id"]});
    let user = account.sim.insert("workspaces", user).unwrap();
    assert_eq!(refused(&account.delete(&path).await), IN_USE);
    account.sim.remove("workspaces", &user["workspace_id"].to_string());
    assert_eq!(account.delete(&path).await.0, 200);
}

#[tokio::test]
async fn there_are_fifty_storage_configurations_at_most() {
    let account = Account::new().await;
    let body = |n: usize| json!({"storage_configuration_name": format!("root-{n}"), "root_bucket_info": {"bucket_name": "root"}});
    for n in 0..50 {
        account.sim.insert("storage-configurations", body(n)).unwrap();
    }
    let answer = account.send("POST", "storage-configurations", body(50)).await;
    assert_eq!(refused(&answer), IN_USE, "the code is that of an object in use");
    assert!(answer.1["message"].as_str().unwrap().contains("limit exceeded"), "{}", answer.1);
}
