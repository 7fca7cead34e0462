//! Secrets of service principals: in a Kubernetes Secret, replaced without a gap, and never anywhere else.

use databricks_operator::rbac::rules;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use world::eventually;

use crate::rights::grant;
use crate::support::{AUTH, SOON, Story, WOKEN, cluster, condition};

const KIND: &str = "ServicePrincipalSecret";
const STORE: &str = "service-principal-secrets";
const OUT: &str = "pipeline-oauth";

/// Grants the kind, and returns the id of a service principal.
async fn begin(story: &Story) -> i64 {
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    principal(story, "pipeline")["id"].as_str().unwrap().parse().unwrap()
}

fn principal(story: &Story, name: &str) -> Value {
    let principals = story.account.objects("ServicePrincipals");
    principals.into_iter().find(|found| found["displayName"] == name).unwrap()
}

fn secrets(story: &Story) -> Api<Secret> {
    Api::namespaced(story.client.clone(), &story.namespace)
}

/// The id that the Kubernetes Secret names, and its value, which is a canary from now on.
async fn held(story: &mut Story) -> (String, String) {
    let secret = secrets(story).get(OUT).await.unwrap();
    let id = secret.metadata.annotations.unwrap()["databricks-operator.io/external-id"].clone();
    let value = String::from_utf8(secret.data.unwrap()["client-secret"].0.clone()).unwrap();
    story.canaries.push(value.clone());
    (id, value)
}

/// Whether the service principal can sign in with this secret.
async fn signs_in(story: &Story, secret: &str) -> bool {
    let url = format!("{}/oidc/accounts/{}/v1/token", story.account.url(), story.account.account_id);
    let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
    let id = principal(story, "pipeline")["applicationId"].as_str().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.post(url).basic_auth(id, Some(secret)).form(&form).send().await.unwrap().status().is_success()
}

/// Covers LC-30, ST-12. A user asks for a new secret: both are valid for the overlap, and then only the new one is. A Kubernetes
/// Secret that a user deletes exists again within moments, with a valid secret. With the object everything goes.
#[tokio::test]
async fn a_secret_is_replaced_without_a_gap_and_a_lost_one_comes_back() {
    let mut story = Story::start("secret-rotation").await;
    let principal = begin(&story).await;
    let spec = json!({"servicePrincipalId": principal, "secretName": OUT, "lifetime": "7776000s"});
    story.apply(&story.managed(KIND, "pipeline", spec)).await;
    let ready = story.wait_ready(KIND, "pipeline").await;
    let (first, old) = held(&mut story).await;
    assert_eq!(ready["status"]["externalId"], json!(first));
    assert!(ready["status"]["expireTime"].is_string(), "{ready}");
    assert!(signs_in(&story, &old).await);

    story.patch(KIND, "pipeline", json!({"spec": {"renewal": "2026-11"}})).await;
    let ready = story.wait_ready(KIND, "pipeline").await;
    let (second, new) = held(&mut story).await;
    assert_eq!(
        (&ready["status"]["externalId"], &ready["status"]["retired"][0]["id"]),
        (&json!(second), &json!(first))
    );
    assert!(signs_in(&story, &old).await && signs_in(&story, &new).await, "both are valid for a day");
    story.patch(KIND, "pipeline", json!({"spec": {"overlap": "0s"}})).await;
    story
        .wait(KIND, "pipeline", "the former one is deleted", |it| {
            it["status"]["retired"].is_null().then_some(())
        })
        .await;
    assert!(!signs_in(&story, &old).await && signs_in(&story, &new).await);

    secrets(&story).delete(OUT, &Default::default()).await.unwrap();
    let again = eventually("the Kubernetes Secret is there again", WOKEN, async || {
        let found = secrets(&story).get_opt(OUT).await.map_err(|e| e.to_string())?;
        found.and_then(|secret| secret.data).map(drop).ok_or_else(|| "not yet".to_owned())
    });
    again.await.unwrap();
    story
        .wait(KIND, "pipeline", "only one is left", |it| {
            let other = it["status"]["externalId"] != json!(second);
            (other && it["status"]["retired"].is_null()).then_some(())
        })
        .await;
    let (_, third) = held(&mut story).await;
    assert!(signs_in(&story, &third).await && !signs_in(&story, &new).await);
    assert_eq!(story.account.objects(STORE).len(), 1);

    story.delete(KIND, "pipeline").await;
    story.wait_gone(KIND, "pipeline").await;
    assert!(story.account.objects(STORE).is_empty() && !signs_in(&story, &third).await);
    story.end().await;
}

/// Covers LC-30. Another tool writes something else over the value, and leaves the rest: users of the Kubernetes Secret find a valid
/// secret again within moments. A note beside it changes nothing.
#[tokio::test]
async fn a_value_that_another_tool_overwrites_is_replaced() {
    let mut story = Story::start("secret-overwritten").await;
    let principal = begin(&story).await;
    let spec = json!({"servicePrincipalId": principal, "secretName": OUT});
    story.apply(&story.managed(KIND, "pipeline", spec)).await;
    story.wait_ready(KIND, "pipeline").await;
    let (first, _) = held(&mut story).await;
    let patch = async |patch: Value| {
        let params = PatchParams { field_manager: Some("another-tool".into()), ..PatchParams::default() };
        secrets(&story).patch(OUT, &params, &Patch::Merge(&patch)).await.unwrap();
    };
    patch(json!({"metadata": {"annotations": {"example.com/note": "seen"}}})).await;
    story.pass(KIND, "pipeline").await;
    assert_eq!(story.account.objects(STORE).len(), 1);
    patch(json!({"stringData": {"client-secret": "something else"}})).await;
    let again = story.wait(KIND, "pipeline", "another secret", |it| {
        it["status"]["externalId"].as_str().filter(|id| *id != first).map(str::to_owned)
    });
    let again = again.await;
    story.wait_ready(KIND, "pipeline").await;
    let (id, value) = held(&mut story).await;
    assert_eq!(id, again);
    assert!(signs_in(&story, &value).await);
    story.end().await;
}

/// Covers SE-06, SE-09. A Secret that exists is not touched, and neither is the service principal that the operator signs in as: the
/// messages say what to do, and nothing is created in the account.
#[tokio::test]
async fn neither_a_foreign_secret_nor_the_operators_own_principal_is_touched() {
    let story = Story::start("secret-foreign").await;
    let id = begin(&story).await;
    let spec = json!({"servicePrincipalId": id, "secretName": "databricks"});
    story.apply(&story.managed(KIND, "taken", spec)).await;
    let own: i64 = principal(&story, "operator")["id"].as_str().unwrap().parse().unwrap();
    let spec = json!({"servicePrincipalId": own, "secretName": "own"});
    story.apply(&story.managed(KIND, "own", spec)).await;
    let refused = story.wait_condition(KIND, "taken", "Stalled", "True", "SecretNotOwned").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains("write another secretName"), "{message}");
    story.wait_condition(KIND, "own", "Stalled", "True", "WouldLockOut").await;
    let held = secrets(&story).get("databricks").await.unwrap().data.unwrap();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["client-secret"]);
    assert_eq!(held["client-secret"].0, story.account.client_secret.as_bytes());
    assert!(secrets(&story).get_opt("own").await.unwrap().is_none());
    assert!(story.account.writes().is_empty(), "{:?}", story.account.writes());
    for name in ["taken", "own"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    story.end().await;
}

/// Covers SE-09. By default the operator may not write Secrets: nothing is created, and the message names the value of the chart.
/// Once it may, everything goes on by itself.
#[tokio::test]
async fn without_the_right_to_write_secrets_nothing_is_created() {
    let mut story = Story::without_operator("secret-rights").await;
    story.kubectl(&["create", "serviceaccount", "narrow"]).await.unwrap();
    grant(&story, "operator", &rules().operator).await;
    grant(&story, "secrets", &rules().secrets).await;
    let narrow = cluster().control_plane.kubeconfig_for(&story.namespace, "narrow").unwrap();
    story.operator = Some(story.replica(&narrow, &[]).await);
    let id = begin(&story).await;
    let spec = json!({"servicePrincipalId": id, "secretName": OUT});
    story.apply(&story.managed(KIND, "pipeline", spec)).await;
    let refused = story.wait_condition(KIND, "pipeline", "Stalled", "True", "SecretNotWritable").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains("rbac.outputSecrets.enabled"), "{message}");
    assert!(story.account.writes().is_empty(), "{:?}", story.account.writes());
    grant(&story, "output", &rules().output_secrets).await;
    story.wait_ready(KIND, "pipeline").await;
    let (_, value) = held(&mut story).await;
    assert!(signs_in(&story, &value).await);
    let only_one = eventually("one secret", SOON, async || match story.account.objects(STORE).len() {
        1 => Ok(()),
        count => Err(count.to_string()),
    });
    only_one.await.unwrap();
    story.end().await;
}
