//! Federation policies: a grant must name them, what another user adds to one is removed, and none lets a token in as the operator.

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "AccountFederationPolicy";
const CHILD: &str = "ServicePrincipalFederationPolicy";

fn policy(story: &Story) -> Value {
    let keys = "{\n  \"keys\": []\n}\n";
    let oidc = json!({"issuer": "https://login.example.com", "audiences": ["databricks"], "jwksJson": keys});
    story.managed(KIND, "company", json!({"policyId": "company", "oidcPolicy": oidc}))
}

fn grants(kinds: &[&str]) -> Value {
    json!({"spec": {"grants": [{"namespaces": {"from": "Same"}}, {"namespaces": {"from": "Same"}, "kinds": kinds}]}})
}

/// Covers SE-05. A policy for an issuer of another user's choice is a way into the account as its admin. So neither a DatabricksAuth
/// without grants nor a grant of everything allows it; the message says what to write.
#[tokio::test]
async fn a_policy_for_another_issuer_needs_a_grant_that_names_it() {
    let story = Story::start("federation-grant").await;
    story.apply(&policy(&story)).await;
    let refused = story.wait_condition(KIND, "company", "Ready", "False", "ReferenceNotPermitted").await;
    let message = condition(&refused, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a grant added there whose kinds name AccountFederationPolicy"), "{message}");
    story.patch("DatabricksAuth", AUTH, grants(&["ServicePrincipalFederationPolicy"])).await;
    story.pass(KIND, "company").await;
    story.wait_condition(KIND, "company", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(story.account.writes().is_empty(), "{:?}", story.account.writes());

    story.patch("DatabricksAuth", AUTH, grants(&[KIND])).await;
    story.wait_ready(KIND, "company").await;
    let sent = story.account.writes();
    assert_eq!(sent[0].query, [("policy_id".to_owned(), "company".to_owned())]);
    let kept = &story.account.objects("federation-policies")[0]["oidc_policy"]["jwks_json"];
    assert_eq!(kept, r#"{"keys":[]}"#, "what the spec has in lines");
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": null}})).await;
    story.wait_condition(KIND, "company", "Ready", "False", "ReferenceNotPermitted").await;
    assert_eq!(story.account.objects("federation-policies").len(), 1, "what exists stays");
    // Without the grant it is not deleted either, and there is a way out.
    story.delete(KIND, "company").await;
    story.wait_condition(KIND, "company", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    story.patch(KIND, "company", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(KIND, "company").await;
    story.end().await;
}

/// Keys of an attacker in a policy let the attacker in, whether or not the spec has keys: they are removed by one request. An
/// audience that the spec leaves to the account is not touched.
#[tokio::test]
async fn keys_that_another_user_adds_to_a_policy_are_removed() {
    let story = Story::start("federation-keys").await;
    story.patch("DatabricksAuth", AUTH, grants(&[CHILD])).await;
    let principals = story.account.objects("ServicePrincipals");
    let principal = principals.iter().find(|found| found["displayName"] == "pipeline").unwrap();
    let oidc =
        json!({"issuer": "https://oidc.example.com", "subject": "system:serviceaccount:data:pipeline"});
    let number: i64 = principal["id"].as_str().unwrap().parse().unwrap();
    let spec = json!({"servicePrincipalId": number, "policyId": "k8s", "oidcPolicy": oidc});
    story.apply(&story.managed(CHILD, "pipeline", spec)).await;
    let ready = story.wait_ready(CHILD, "pipeline").await;
    let id = format!("{}/k8s", principal["id"].as_str().unwrap());
    assert_eq!(ready["status"]["externalId"], json!(id));

    story.account.clear_journal();
    let store = "service-principal-federation-policies";
    let mut planted = story.account.objects(store)[0]["oidc_policy"].clone();
    planted["jwks_uri"] = json!("https://attacker.example.com/keys");
    story.account.edit(store, &id, json!({"oidc_policy": planted})).unwrap();
    story.pass(CHILD, "pipeline").await;
    story.wait_event(CHILD, "pipeline", "DriftCorrected").await;
    let now = &story.account.objects(store)[0]["oidc_policy"];
    assert_eq!(now.get("jwks_uri"), None, "{now}");
    assert_eq!(now["audiences"], json!([story.account.account_id]), "the default is kept");
    let writes = story.account.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0].query, [("update_mask".to_owned(), "oidc_policy".to_owned())]);
    story.delete(CHILD, "pipeline").await;
    story.wait_gone(CHILD, "pipeline").await;
    assert!(story.account.objects(store).is_empty());
    story.end().await;
}

/// A team whose grant names the kind writes the id of the service principal that a DatabricksAuth of the namespace signs in as: with
/// a token of its own issuer it would have all rights of the operator. Nothing is sent, and the message says what to write.
#[tokio::test]
async fn no_policy_lets_a_token_sign_in_as_the_operator() {
    let story = Story::start("federation-own").await;
    story.patch("DatabricksAuth", AUTH, grants(&[CHILD])).await;
    let client = "0f9e8d7c-6b5a-4c3d-8e2f-1a0b9c8d7e6f";
    let second = json!({"displayName": "second", "applicationId": client});
    let second = story.account.insert("ServicePrincipals", second).unwrap();
    let mut auth = story.auth("second");
    auth["spec"]["clientId"] = json!(client);
    story.apply(&auth).await;
    let observed = |auth: &Value| auth["status"]["conditions"].is_array().then_some(());
    story.wait("DatabricksAuth", "second", "it was reconciled", observed).await;

    let principals = story.account.objects("ServicePrincipals");
    let own = principals.iter().find(|one| one["applicationId"] == story.account.client_id.as_str()).unwrap();
    for (name, principal) in [("own", own), ("of-another-auth", &second)] {
        let number: i64 = principal["id"].as_str().unwrap().parse().unwrap();
        let oidc = json!({"issuer": "https://attacker.example.com", "subject": "anyone"});
        let spec = json!({"servicePrincipalId": number, "policyId": "k8s", "oidcPolicy": oidc});
        story.apply(&story.managed(CHILD, name, spec)).await;
        let refused = story.wait_condition(CHILD, name, "Stalled", "True", "WouldLockOut").await;
        let message = condition(&refused, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("the operator itself signs in as"), "{message}");
        assert!(message.contains("spec.servicePrincipalId"), "{message}");
    }
    assert!(story.account.writes().is_empty(), "{:?}", story.account.writes());
    for name in ["own", "of-another-auth"] {
        story.delete(CHILD, name).await;
        story.wait_gone(CHILD, name).await;
    }
    story.end().await;
}
