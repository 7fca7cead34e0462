//! OAuth apps: creates that show ids only, a secret that is shown once, and the life of tokens.

use serde_json::{Value, json};

use crate::{Account, refused};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const GONE: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");
const PUBLISHED: &str = "oauth2/published-app-integrations";
const CUSTOM: &str = "oauth2/custom-app-integrations";

#[tokio::test]
async fn a_published_app_is_enabled_once_and_its_tokens_have_a_life() {
    let account = Account::new().await;
    assert_eq!(account.get(PUBLISHED).await.1.get("apps"), None, "an empty list");
    let dbt = json!({"app_id": "databricks-dbt-adapter", "token_access_policy": {"access_token_ttl_in_minutes": 30}});
    let (status, made) = account.send("POST", PUBLISHED, dbt.clone()).await;
    assert_eq!((status, made.get("app_id")), (200, None), "its id alone: {made}");
    let path = format!("{PUBLISHED}/{}", made["integration_id"].as_str().unwrap());
    assert_eq!(refused(&account.send("POST", PUBLISHED, dbt).await), (409, "ALREADY_EXISTS"));
    let (_, found) = account.get(&path).await;
    assert!(found["name"].is_string() && found["create_time"].is_string(), "{found}");
    assert_eq!(found["token_access_policy"]["refresh_token_ttl_in_minutes"], 129_600, "the default");

    let policy = json!({"enable_single_use_refresh_tokens": true});
    let change = json!({"token_access_policy": policy});
    assert_eq!(account.send("PATCH", &path, change).await, (200, Value::Null), "an empty response");
    let (_, found) = account.get(&path).await;
    let policy = &found["token_access_policy"];
    assert_eq!(policy["access_token_ttl_in_minutes"], 60, "a change replaces the policy");
    assert!(policy["absolute_session_lifetime_in_minutes"].is_i64(), "the server sets one: {policy}");
    for policy in [
        json!({"access_token_ttl_in_minutes": 4}),
        json!({"access_token_ttl_in_minutes": 1441}),
        json!({"refresh_token_ttl_in_minutes": 129_601}),
        json!({"access_token_ttl_in_minutes": 60, "refresh_token_ttl_in_minutes": 59}),
        json!({"absolute_session_lifetime_in_minutes": 60}),
    ] {
        let change = json!({"token_access_policy": policy});
        assert_eq!(refused(&account.send("PATCH", &path, change.clone()).await), INVALID, "{change}");
    }
    let other = json!({"app_id": "power-bi"});
    assert_eq!(refused(&account.send("PATCH", &path, other.clone()).await), INVALID);
    assert_eq!(account.send("POST", PUBLISHED, other).await.0, 200);
    let (_, page) = account.get(&format!("{PUBLISHED}?page_size=1")).await;
    assert_eq!(page["apps"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(account.delete(&path).await.0, 200);
    assert_eq!(refused(&account.get(&path).await), GONE);
}

fn bi(change: Value) -> Value {
    let mut body =
        json!({"name": "bi", "redirect_urls": ["https://bi.example.com/cb"], "scopes": ["sql", "openid"]});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_confidential_app_has_a_secret_that_only_its_create_shows() {
    let account = Account::new().await;
    let (status, public) = account.send("POST", CUSTOM, bi(json!({}))).await;
    assert_eq!((status, public.get("client_secret"), public.get("name")), (200, None, None), "{public}");
    let (_, made) = account.send("POST", CUSTOM, bi(json!({"confidential": true}))).await;
    assert!(made["client_secret"].is_string() && made["client_id"].is_string(), "of the same name: {made}");
    let path = format!("{CUSTOM}/{}", made["integration_id"].as_str().unwrap());
    let (_, found) = account.get(&path).await;
    assert_eq!((found.get("client_secret"), &found["client_id"]), (None, &made["client_id"]));
    assert_eq!((&found["confidential"], &found["name"]), (&json!(true), &json!("bi")));
    assert!(!account.get(CUSTOM).await.1.to_string().contains(made["client_secret"].as_str().unwrap()));

    let moved = json!({"redirect_urls": ["https://bi.example.com/other"]});
    assert_eq!(account.send("PATCH", &path, moved).await, (200, Value::Null), "an empty response");
    let (_, found) = account.get(&path).await;
    assert_eq!(found["redirect_urls"], json!(["https://bi.example.com/other"]));
    assert_eq!(found["scopes"], json!(["sql", "openid"]), "what a change leaves out stays");
    for change in [json!({"name": "other"}), json!({"confidential": false})] {
        assert_eq!(refused(&account.send("PATCH", &path, change.clone()).await), INVALID, "{change}");
    }
    assert_eq!(account.delete(&path).await.0, 200);
    assert_eq!(refused(&account.get(&path).await), GONE);
}

#[tokio::test]
async fn an_app_needs_a_place_to_return_to_and_scopes() {
    let account = Account::new().await;
    let no_scope = account.send("POST", CUSTOM, bi(json!({"scopes": []}))).await;
    assert_eq!(refused(&no_scope), (400, "BAD_REQUEST"));
    let says = "Custom application integration must specify at least one valid scope.";
    assert_eq!(no_scope.1["message"], says);
    for change in [
        json!({"redirect_urls": []}),
        json!({"user_authorized_scopes": ["all-apis"]}),
        json!({"token_access_policy": {"access_token_ttl_in_minutes": 1441}}),
    ] {
        assert_eq!(refused(&account.send("POST", CUSTOM, bi(change.clone())).await), INVALID, "{change}");
    }
    let narrow = bi(json!({"user_authorized_scopes": ["sql"]}));
    assert_eq!(account.send("POST", CUSTOM, narrow).await.0, 200);
}
