//! Network connectivity configs and private endpoint rules: pages, masks, a parent, a person's turn. Network endpoints: another base
//! path.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, Answer, answer, refused};

const IN_USE: (u16, &str) = (400, "INVALID_STATE");
const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const GONE: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");
const CONFIGS: &str = "network-connectivity-configs";

/// The path of a new config, and its id.
async fn config(account: &Account, name: &str) -> (String, String) {
    let (status, made) = account.send("POST", CONFIGS, json!({"name": name, "region": "eu-west-1"})).await;
    assert_eq!(status, 200, "{made}");
    let id = made["network_connectivity_config_id"].as_str().unwrap().to_owned();
    (format!("{CONFIGS}/{id}"), id)
}

fn to_bucket(name: &str) -> Value {
    json!({"endpoint_service": "com.amazonaws.eu-west-1.s3", "resource_names": [name]})
}

fn to_service(n: u8) -> Value {
    let service = format!("com.amazonaws.vpce.eu-west-1.vpce-svc-{n}");
    json!({"endpoint_service": service, "domain_names": ["db.example.com"]})
}

#[tokio::test]
async fn configs_come_in_pages_and_change_under_a_mask() {
    let account = Account::with(Settings { page_size: 2, ..Settings::default() }).await;
    assert!(account.get(CONFIGS).await.1.get("items").is_none(), "an empty list has no items");
    let mut paths = vec![];
    for name in ["one", "two", "three"] {
        paths.push(config(&account, name).await.0);
    }
    let (_, page) = account.get(CONFIGS).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    assert!(page["items"][0]["egress_config"]["default_rules"].is_object());
    let token = page["next_page_token"].as_str().unwrap();
    let (_, rest) = account.get(&format!("{CONFIGS}?page_token={token}")).await;
    assert_eq!((rest["items"].as_array().map(Vec::len), rest.get("next_page_token")), (Some(1), None));
    assert_eq!(refused(&account.get(&format!("{CONFIGS}?page_token=mine")).await), INVALID);
    assert_eq!(refused(&account.get(&format!("{CONFIGS}?page_size=1")).await), INVALID);

    let body = json!({"name": "renamed", "region": "eu-central-1", "account_id": "x"});
    let (status, after) =
        account.send("PATCH", &format!("{}?update_mask=name,account_id", paths[0]), body.clone()).await;
    assert_eq!((status, &after["name"], &after["region"]), (200, &json!("renamed"), &json!("eu-west-1")));
    for (mask, body) in [("region", body.clone()), ("colour", body.clone()), ("name", json!({}))] {
        let answer = account.send("PATCH", &format!("{}?update_mask={mask}", paths[0]), body).await;
        assert_eq!(refused(&answer), INVALID, "{mask}");
    }
    let twin = json!({"name": "two", "region": "eu-west-1"});
    let unmasked = account.send("PATCH", &paths[0], twin.clone()).await;
    assert_eq!(unmasked.1["message"], "Update mask must be specified.");
    let masked = account.send("PATCH", &format!("{}?update_mask=name", paths[0]), twin).await;
    assert_eq!(refused(&masked), (409, "ALREADY_EXISTS"));
    let billed = account
        .send("POST", CONFIGS, json!({"name": "four", "region": "r", "billing_workspace_id": 1}))
        .await;
    assert_eq!(refused(&billed), (400, "MALFORMED_REQUEST"));
    assert_eq!(refused(&account.send("POST", CONFIGS, json!({"name": "a b", "region": "r"})).await), INVALID);
}

#[tokio::test]
async fn a_config_waits_for_its_rules_and_workspaces() {
    let account = Account::new().await;
    let (path, id) = config(&account, "main").await;
    let rules = format!("{path}/private-endpoint-rules");
    let (_, rule) = account.send("POST", &rules, to_service(1)).await;
    assert_eq!(rule["network_connectivity_config_id"], id);
    let refusal = account.delete(&path).await;
    assert_eq!(refused(&refusal), IN_USE);
    assert!(refusal.1["message"].as_str().unwrap().contains("has one or more private endpoint rules"));

    let rule = format!("{rules}/{}", rule["rule_id"].as_str().unwrap());
    assert_eq!(account.get(&rule).await.1["connection_state"], "PENDING");
    assert_eq!(account.delete(&rule).await.0, 200);
    assert_eq!(refused(&account.get(&rule).await), GONE, "it was not approved");
    let user = account.sim.insert("workspaces", json!({"network_connectivity_config_id": id})).unwrap();
    let refusal = account.delete(&path).await;
    assert!(
        refusal.1["message"].as_str().unwrap().contains("attached to one or more workspaces: 9"),
        "{}",
        refusal.1
    );
    let billed = json!({"billing_workspace_id": user["workspace_id"]});
    let masked = format!("{path}?update_mask=billing_workspace_id");
    assert_eq!(account.send("PATCH", &masked, billed).await.0, 200);
    account.sim.remove("workspaces", &user["workspace_id"].to_string());
    assert_eq!(account.delete(&path).await, (200, Value::Null));
    for path in [path.clone(), rules, rule] {
        assert_eq!(refused(&account.get(&path).await), GONE, "{path}");
    }
}

#[tokio::test]
async fn a_rule_waits_for_a_person_and_a_deactivated_one_is_gone_after_a_day() {
    let account =
        Account::for_years(Settings { endpoint_rule_creating_ms: 60_000, ..Settings::default() }).await;
    let (path, id) = config(&account, "main").await;
    let rules = format!("{path}/private-endpoint-rules");
    let (status, made) = account.send("POST", &rules, to_service(1)).await;
    assert_eq!(
        (status, &made["connection_state"], made.get("vpc_endpoint_id")),
        (200, &json!("CREATING"), None)
    );
    let key = format!("{id}/{}", made["rule_id"].as_str().unwrap());
    let rule = format!("{rules}/{}", made["rule_id"].as_str().unwrap());
    account.sim.advance_ms(60_001);
    let (_, pending) = account.get(&rule).await;
    assert_eq!(pending["connection_state"], "PENDING");
    assert!(pending["vpc_endpoint_id"].as_str().unwrap().starts_with("vpce-"));
    account.sim.edit("private-endpoint-rules", &key, json!({"connection_state": "ESTABLISHED"})).unwrap();
    account.sim.advance_ms(15 * 24 * 60 * 60 * 1000);
    assert_eq!(refused(&account.send("POST", &rules, to_service(1)).await), (409, "ALREADY_EXISTS"));

    let (status, ended) = account.delete(&rule).await;
    assert_eq!((status, &ended["deactivated"]), (200, &json!(true)));
    assert_eq!(account.get(&rules).await.1["items"][0]["deactivated"], true, "a list shows it still");
    assert_eq!(account.delete(&rule).await.0, 200, "and it can be deleted again");
    assert_eq!(refused(&account.delete(&path).await), IN_USE, "the config waits for it");
    let (status, twin) = account.send("POST", &rules, to_service(1)).await;
    assert_eq!(status, 200);
    account.delete(&format!("{rules}/{}", twin["rule_id"].as_str().unwrap())).await;
    account.sim.advance_ms(24 * 60 * 60 * 1000 + 1);
    assert_eq!(refused(&account.get(&rule).await), GONE);
    assert_eq!(account.delete(&path).await.0, 200);
}

#[tokio::test]
async fn a_rule_that_is_not_approved_expires_after_a_fortnight() {
    let account = Account::for_years(Settings::default()).await;
    let (path, _) = config(&account, "main").await;
    let rules = format!("{path}/private-endpoint-rules");
    account.send("POST", &rules, to_service(1)).await;
    let state = async || account.get(&rules).await.1["items"][0]["connection_state"].clone();
    account.sim.advance_ms(14 * 24 * 60 * 60 * 1000 + 1);
    assert_eq!(state().await, "EXPIRED");
    account.sim.set(|settings| settings.endpoint_rule_approval_ms = Some(1_000));
    account.send("POST", &rules, to_bucket("b1")).await;
    account.sim.advance_ms(1_001);
    assert_eq!(account.get(&rules).await.1["items"][1]["connection_state"], "ESTABLISHED");
}

#[tokio::test]
async fn a_rule_changes_under_a_mask_only() {
    let account = Account::new().await;
    let (path, _) = config(&account, "main").await;
    let rules = format!("{path}/private-endpoint-rules");
    let mut body = to_bucket("b1");
    body["enabled"] = json!(true);
    let (_, made) = account.send("POST", &rules, body).await;
    assert_eq!(made["enabled"], false, "create ignores it");
    let rule = format!("{rules}/{}", made["rule_id"].as_str().unwrap());
    let enable = json!({"enabled": true, "resource_names": ["b2"]});
    let answer = account.send("PATCH", &rule, enable.clone()).await;
    assert_eq!(answer.1["message"], "Update mask must be specified.");
    let (status, after) = account.send("PATCH", &format!("{rule}?update_mask=enabled"), enable.clone()).await;
    assert_eq!((status, &after["enabled"], &after["resource_names"]), (200, &json!(true), &json!(["b1"])));
    let empty = account
        .send("PATCH", &format!("{rule}?update_mask=resource_names"), json!({"resource_names": []}))
        .await;
    assert_eq!(refused(&empty), INVALID);

    let azure = json!({"resource_id": "/subscriptions/s", "group_id": "blob"});
    let (_, made) = account.send("POST", &rules, azure).await;
    let rule = format!("{rules}/{}", made["rule_id"].as_str().unwrap());
    let answer = account.send("PATCH", &format!("{rule}?update_mask=enabled"), enable).await;
    assert!(answer.1["message"].as_str().unwrap().contains("No updates were attempted."), "{}", answer.1);
    for body in [
        json!({}),
        json!({"group_id": "blob", "resource_names": ["b"]}),
        json!({"resource_id": "/s"}),
        json!({"resource_id": "/s", "endpoint_service": "com.amazonaws.x", "group_id": "g"}),
        json!({"resource_names": ["b"], "domain_names": ["d"]}),
        json!({"endpoint_service": "com.amazonaws.vpce.eu-west-1.vpce-svc-1"}),
    ] {
        assert_eq!(refused(&account.send("POST", &rules, body.clone()).await), INVALID, "{body}");
    }
}

#[tokio::test]
async fn a_network_policy_has_the_id_that_the_client_chose_and_one_is_always_there() {
    let account = Account::new().await;
    let access = |mode: &str| json!({"network_access": {"restriction_mode": mode}});
    let body =
        json!({"network_policy_id": "strict", "egress": access("RESTRICTED_ACCESS"), "ingress": {"any": 1}});
    let (status, made) = account.send("POST", "network-policies", body.clone()).await;
    assert_eq!((status, &made["network_policy_id"]), (200, &json!("strict")), "{made}");
    assert_eq!(
        refused(&account.send("POST", "network-policies", body.clone()).await),
        (409, "ALREADY_EXISTS")
    );
    let (_, list) = account.get("network-policies").await;
    assert_eq!(list["items"][0]["network_policy_id"], "default-policy");
    let whole = json!({"network_policy_id": "strict", "egress": access("FULL_ACCESS")});
    let (status, after) = account.send("PUT", "network-policies/strict", whole).await;
    assert_eq!((status, after.get("ingress")), (200, None), "a replacement drops what it leaves out");
    let egress = json!({"egress": access("FULL_ACCESS")});
    for body in [
        egress.clone(),
        json!({"network_policy_id": "a b", "egress": access("FULL_ACCESS")}),
        json!({"network_policy_id": "other", "egress": access("SOME")}),
    ] {
        assert_eq!(refused(&account.send("POST", "network-policies", body.clone()).await), INVALID, "{body}");
    }
    let mut allowed = egress.clone();
    allowed["egress"]["network_access"]["allowed_internet_destinations"] =
        json!([{"destination": "example.com", "internet_destination_type": "DNS_NAME"}]);
    let path = "network-policies/default-policy";
    assert_eq!(refused(&account.send("PUT", path, allowed.clone()).await), INVALID);
    allowed["egress"]["network_access"]["restriction_mode"] = json!("RESTRICTED_ACCESS");
    assert_eq!(account.send("PUT", path, allowed).await.0, 200);
    assert_eq!(account.send("PUT", path, egress).await.0, 200);
    assert_eq!(refused(&account.delete("network-policies/default-policy").await), INVALID);
    assert_eq!(account.delete("network-policies/strict").await, (200, Value::Null));
}

async fn endpoints(account: &Account, method: &str, rest: &str, body: Option<Value>) -> Answer {
    let path = format!("/api/networking/v1/accounts/{}/endpoints{rest}", account.sim.account_id);
    let request =
        account.http.request(method.parse().unwrap(), account.sim.url() + &path).bearer_auth(&account.token);
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn in_aws(id: &str) -> Value {
    json!({"display_name": "office", "region": "eu-west-1", "aws_vpc_endpoint_info": {"aws_vpc_endpoint_id": id}})
}

#[tokio::test]
async fn a_network_endpoint_is_approved_after_a_while_and_registered_once() {
    let account = Account::with(Settings { vpc_endpoint_ms: 60_000, ..Settings::default() }).await;
    assert_eq!(endpoints(&account, "GET", "", None).await.1.get("items"), None, "an empty list");
    let (status, made) = endpoints(&account, "POST", "", Some(in_aws("vpce-1"))).await;
    assert_eq!(
        (status, &made["state"], &made["use_case"]),
        (200, &json!("PENDING"), &json!("SERVICE_DIRECT"))
    );
    assert!(made["aws_vpc_endpoint_info"]["aws_account_id"].is_string(), "{made}");
    let id = made["endpoint_id"].as_str().unwrap();
    assert_eq!(made["name"], format!("accounts/{}/endpoints/{id}", account.sim.account_id));
    account.sim.advance_ms(60_001);
    let path = format!("/{id}");
    assert_eq!(endpoints(&account, "GET", &path, None).await.1["state"], "APPROVED");
    let twin = endpoints(&account, "POST", "", Some(in_aws("vpce-1"))).await;
    assert_eq!(refused(&twin), (409, "ALREADY_EXISTS"));
    assert_eq!(endpoints(&account, "POST", "", Some(in_aws("vpce-2"))).await.0, 200, "of the same name");
    let (_, page) = endpoints(&account, "GET", "?page_size=1", None).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(endpoints(&account, "PATCH", &path, Some(json!({}))).await.0, 404, "nothing can be changed");
    assert_eq!(endpoints(&account, "DELETE", &path, None).await.0, 200);
    assert_eq!(refused(&endpoints(&account, "GET", &path, None).await), GONE);
    // The oldest base path has no such collection.
    assert_eq!(account.get("endpoints").await.0, 404);
}

#[tokio::test]
async fn a_network_endpoint_is_in_exactly_one_cloud() {
    let account = Account::new().await;
    let with = |change: Value| {
        let mut body = in_aws("vpce-1");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let azure = json!({"private_endpoint_name": "pe", "private_endpoint_resource_guid": "1"});
    let gcp = json!({"project_id": "p", "psc_endpoint": "e", "endpoint_region": "r"});
    let none = json!({"display_name": "office", "region": "eu-west-1"});
    for (body, refusal) in [
        (none.clone(), INVALID),
        (with(json!({"azure_private_endpoint_info": azure})), INVALID),
        (with(json!({"gcp_psc_endpoint_info": gcp})), INVALID),
        (with(json!({"aws_vpc_endpoint_info": {}})), INVALID),
        (with(json!({"display_name": "1office"})), INVALID),
        (with(json!({"display_name": "office-"})), INVALID),
        (with(json!({"display_name": "my office"})), INVALID),
    ] {
        assert_eq!(refused(&endpoints(&account, "POST", "", Some(body.clone())).await), refusal, "{body}");
    }
    for (cloud, info) in [("azure_private_endpoint_info", azure), ("gcp_psc_endpoint_info", gcp)] {
        let mut body = none.clone();
        body[cloud] = info;
        assert_eq!(endpoints(&account, "POST", "", Some(body.clone())).await.0, 200, "{body}");
        assert_eq!(refused(&endpoints(&account, "POST", "", Some(body)).await).0, 409);
    }
}
