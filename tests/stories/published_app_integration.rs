//! Apps of Databricks' catalogue: a grant must name them, those that are enabled already are adopted by a word, and of the life of tokens
//! only what the spec names is managed.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "PublishedAppIntegration";
const STORE: &str = "published-app-integrations";

/// Grants the kind.
async fn begin(name: &str) -> Story {
    let story = Story::start(name).await;
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story
}

fn dbt(story: &Story, policy: Value) -> Value {
    story.managed(KIND, "dbt", json!({"appId": "databricks-dbt-adapter", "tokenAccessPolicy": policy}))
}

fn policy(story: &Story) -> Value {
    story.account.objects(STORE).remove(0)["token_access_policy"].take()
}

/// The methods of the changes that the account carried out, in order.
fn applied(story: &Story) -> Vec<String> {
    let all = story.account.writes().into_iter();
    all.filter(|call| call.applied && call.class == STORE).map(|call| call.method).collect()
}

/// Covers SE-05. With an app users sign in outside of Databricks, so neither a DatabricksAuth without grants nor a grant of everything
/// allows it.
#[tokio::test]
async fn an_app_needs_a_grant_that_names_its_kind() {
    let story = Story::start("published-app-grant").await;
    story.apply(&dbt(&story, json!({}))).await;
    let refused = story.wait_condition(KIND, "dbt", "Ready", "False", "ReferenceNotPermitted").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains(KIND), "{message}");
    assert_eq!(applied(&story), [""; 0]);
    story.end().await;
}

/// The server fills in the limit of a session, which the spec leaves out: that is no drift, and a correction keeps it.
#[tokio::test]
async fn an_app_is_enabled_kept_changed_and_disabled() {
    let story = begin("published-app-life").await;
    let tokens = json!({"accessTokenTtlInMinutes": 30, "enableSingleUseRefreshTokens": true});
    story.apply(&dbt(&story, tokens)).await;
    let ready = story.wait_ready(KIND, "dbt").await;
    let made = story.account.objects(STORE).remove(0);
    assert_eq!(ready["status"]["externalId"], made["integration_id"]);
    assert_eq!(ready["status"]["appName"], made["name"]);
    let limit = made["token_access_policy"]["absolute_session_lifetime_in_minutes"].clone();
    assert!(limit.is_i64(), "{made}");
    story.pass(KIND, "dbt").await;
    assert_eq!(applied(&story), ["POST"]);

    // Another client changes what the spec has, and what it leaves out.
    let id = made["integration_id"].as_str().unwrap();
    let theirs = json!({"access_token_ttl_in_minutes": 1440, "refresh_token_ttl_in_minutes": 2000,
        "enable_single_use_refresh_tokens": true, "absolute_session_lifetime_in_minutes": limit});
    story.account.edit(STORE, id, json!({"token_access_policy": theirs})).unwrap();
    let corrected = story.wait_event(KIND, "dbt", "DriftCorrected").await;
    assert!(corrected.contains("tokenAccessPolicy"), "{corrected}");
    let now = policy(&story);
    assert_eq!(now["access_token_ttl_in_minutes"], 30);
    assert_eq!(now["refresh_token_ttl_in_minutes"], 2000, "theirs");
    assert_eq!(now["absolute_session_lifetime_in_minutes"], limit);

    // Without single-use refresh tokens Databricks accepts no limit of the session.
    let plain = json!({"enableSingleUseRefreshTokens": false});
    story.patch(KIND, "dbt", json!({"spec": {"tokenAccessPolicy": plain}})).await;
    story.wait_ready(KIND, "dbt").await;
    let now = policy(&story);
    assert_eq!(now["enable_single_use_refresh_tokens"], false);
    assert_eq!(now.get("absolute_session_lifetime_in_minutes"), None);
    story.delete(KIND, "dbt").await;
    story.wait_gone(KIND, "dbt").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    assert_eq!(applied(&story), ["POST", "PATCH", "PATCH", "DELETE"]);
    story.end().await;
}

/// Covers LC-03. A new account has the app already. It is retained when its object is deleted, and a slip is refused.
#[tokio::test]
async fn an_app_that_is_enabled_already_is_adopted_with_a_policy_and_retained() {
    let story = begin("published-app-theirs").await;
    let short = json!({"accessTokenTtlInMinutes": 60, "refreshTokenTtlInMinutes": 59});
    let refused = story.try_apply(&dbt(&story, short)).await.unwrap_err().to_string();
    assert!(refused.contains("raise it, or lower the other"), "{refused}");

    let tokens = json!({"access_token_ttl_in_minutes": 60, "refresh_token_ttl_in_minutes": 129_600});
    let theirs = json!({"app_id": "databricks-dbt-adapter", "token_access_policy": tokens});
    story.account.insert(STORE, theirs).unwrap();
    story.apply(&dbt(&story, json!({"accessTokenTtlInMinutes": 30}))).await;
    story.wait_condition(KIND, "dbt", "Stalled", "True", "AlreadyExists").await;
    assert_eq!(applied(&story), [""; 0]);
    story.patch(KIND, "dbt", json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
    story.wait_ready(KIND, "dbt").await;
    assert_eq!(policy(&story)["access_token_ttl_in_minutes"], 30);
    story.delete(KIND, "dbt").await;
    story.wait_gone(KIND, "dbt").await;
    assert_eq!(story.account.objects(STORE).len(), 1, "what was adopted is retained");
    assert_eq!(applied(&story), ["PATCH"]);
    story.end().await;
}
