//! What a careless client might send, and is not allowed to.

use serde_json::{Value, json};

use crate::{Account, answer, refused};

const MALFORMED: (u16, &str) = (400, "MALFORMED_REQUEST");
const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const NOWHERE: (u16, &str) = (404, "ENDPOINT_NOT_FOUND");
const GONE: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");

fn role(arn: Value) -> Value {
    json!({"credentials_name": "good", "aws_credentials": {"sts_role": {"role_arn": arn}}})
}

#[tokio::test]
async fn bodies_are_checked_field_by_field() {
    let account = Account::new().await;
    let mut surplus = role(json!("arn:aws:iam::123456789012:role/x"));
    surplus["aws_credentials"]["sts_role"]["external_id"] = json!("x");
    for (path, body, refusal) in [
        ("credentials", surplus, MALFORMED),
        ("credentials", json!({"credentials_name": "good"}), INVALID),
        ("credentials", json!({"credentials_name": "abc"}), INVALID),
        ("credentials", role(json!(7)), MALFORMED),
        ("credentials", role(json!("role/x")), INVALID),
        ("credentials", role(json!("arn:aws:iam::1:role/x")), INVALID),
        ("credentials", role(json!("arn:aws:iam::123456789012:user/x")), INVALID),
        ("credentials", role(json!("arn:aws:s3:::bucket")), INVALID),
        ("credentials", role(json!("arn:aws:iam::123456789012:role/")), INVALID),
        ("credentials", role(json!("arn:aws:iam::123456789012:role/x y")), INVALID),
        ("credentials", json!([]), MALFORMED),
        ("credentials", json!({"credentials_name": null}), MALFORMED),
        ("ip-access-lists", json!({"label": "", "list_type": "ALLOW"}), INVALID),
        ("ip-access-lists", json!({"label": "a", "list_type": "allow"}), INVALID),
        ("ip-access-lists", json!({"label": "a", "list_type": "ALLOW", "enabled": true}), MALFORMED),
        (
            "ip-access-lists",
            json!({"label": "a", "list_type": "ALLOW", "ip_addresses": "1.2.3.4"}),
            MALFORMED,
        ),
        ("ip-access-lists", json!({"label": "a", "list_type": "ALLOW", "ip_addresses": ["::1"]}), INVALID),
        (
            "ip-access-lists",
            json!({"label": "a", "list_type": "ALLOW", "ip_addresses": ["1.2.3.4/33"]}),
            INVALID,
        ),
        ("workspaces", json!({"workspace_name": "a"}), INVALID),
        ("workspaces", json!({"workspace_name": "a", "aws_region": "eu-west-1"}), INVALID),
        (
            "workspaces",
            json!({"workspace_name": "a", "aws_region": "eu-west-1", "credentials_id": "no-uuid"}),
            INVALID,
        ),
        (
            "workspaces",
            json!({"workspace_name": "a", "aws_region": "eu-west-1", "pricing_tier": "FREE"}),
            INVALID,
        ),
        ("workspaces", json!({"workspace_name": "a", "aws_region": "eu-west-1", "location": "x"}), MALFORMED),
        (
            "workspaces",
            json!({"workspace_name": "a", "aws_region": "eu-west-1", "custom_tags": {"a": 1}}),
            MALFORMED,
        ),
    ] {
        let answer = account.send("POST", path, body.clone()).await;
        assert_eq!(refused(&answer), refusal, "{path} {body}: {}", answer.1);
    }
    assert!(account.sim.writes().iter().all(|call| !call.applied), "nothing was applied");
}

#[tokio::test]
async fn paths_and_verbs_are_taken_literally() {
    let account = Account::new().await;
    for (method, path, refusal) in [
        ("GET", "credential", NOWHERE),
        ("GET", "credentials/", NOWHERE),
        ("GET", "/credentials", NOWHERE),
        ("GET", "cred%65ntials", NOWHERE),
        ("GET", "credentials/%37", NOWHERE),
        ("GET", "Credentials", NOWHERE),
        ("PUT", "credentials/x", NOWHERE),
        ("DELETE", "credentials", NOWHERE),
        ("HEAD", "credentials", (404, "")),
        ("GET", "credentials/x/y", NOWHERE),
        ("PUT", "workspaces/1", NOWHERE),
        ("GET", "scim/v2/groups", NOWHERE),
        ("GET", "workspaces/1/permissionassignments/principals/1", NOWHERE),
        ("GET", "workspaces/one/permissionassignments", INVALID),
        ("GET", "workspaces/1/permissionassignments", GONE),
        ("GET", "credentials/7", GONE),
        ("GET", "workspaces/7", GONE),
        ("GET", "ip-access-lists/7", GONE),
        ("DELETE", "credentials/7", GONE),
        ("DELETE", "workspaces/7", GONE),
        ("DELETE", "ip-access-lists/7", GONE),
        ("GET", "credentials?page=2", INVALID),
        ("GET", "workspaces?update_mask=x", INVALID),
    ] {
        let answer = answer(account.request(method, path)).await;
        assert_eq!(refused(&answer), refusal, "{method} {path}: {}", answer.1);
    }
}

#[tokio::test]
async fn the_form_of_a_request_matters() {
    let account = Account::new().await;
    let text = || role(json!("arn:aws:iam::123456789012:role/x")).to_string();
    for request in [
        account.request("POST", "credentials").body(text()),
        account.request("POST", "credentials").body(text()).header("content-type", "text/plain"),
        account.request("POST", "credentials").body("{").header("content-type", "application/json"),
        account.request("POST", "credentials").header("content-type", "application/json"),
        account.request("DELETE", "credentials/7").json(&json!({})),
        account.request("GET", "credentials").json(&json!({})),
    ] {
        assert_eq!(refused(&answer(request).await), MALFORMED);
    }
    let charset = account.request("POST", "credentials").body(text());
    assert_eq!(answer(charset.header("content-type", "application/json; charset=utf-8")).await.0, 201);
}
