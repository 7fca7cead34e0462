//! OAuth apps of one's own: one without a secret is created, corrected and deleted; the secret of a confidential one is in its Kubernetes
//! Secret, never anywhere else, and a person decides about a lost one.

use databricks_operator::rbac::rules;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::{Value, json};
use simulator::{Fault, When};
use world::eventually;

use crate::rights::grant;
use crate::support::{AUTH, SOON, Story, cluster, condition};

const KIND: &str = "CustomAppIntegration";
const STORE: &str = "custom-app-integrations";
const BACK: &str = "https://bi.example.com/callback";
const OUT: &str = "bi-oauth";

/// Grants the kind.
async fn begin(name: &str) -> Story {
    let story = Story::start(name).await;
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story
}

fn app(story: &Story, more: Value) -> Value {
    let mut spec = json!({"name": "bi", "redirectUrls": [BACK], "scopes": ["sql", "offline_access"]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(KIND, "bi", spec)
}

/// The methods of the changes that the account carried out, in order.
fn applied(story: &Story) -> Vec<String> {
    let all = story.account.writes().into_iter();
    all.filter(|call| call.applied && call.class == STORE).map(|call| call.method).collect()
}

/// Covers SE-05. A user who controls an address to which Databricks returns users gets their tokens, so a grant must name the kind.
#[tokio::test]
async fn an_app_of_ones_own_needs_a_grant_that_names_its_kind() {
    let story = Story::start("custom-app-grant").await;
    story.apply(&app(&story, json!({}))).await;
    let refused = story.wait_condition(KIND, "bi", "Ready", "False", "ReferenceNotPermitted").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains(KIND), "{message}");
    assert_eq!(applied(&story), [""; 0]);
    story.end().await;
}

/// An address that an attacker adds is removed. Neither the order of scopes nor what the spec leaves out is drift.
#[tokio::test]
async fn an_app_is_created_kept_changed_and_deleted() {
    let story = begin("custom-app-life").await;
    story.apply(&app(&story, json!({"tokenAccessPolicy": {"accessTokenTtlInMinutes": 30}}))).await;
    let ready = story.wait_ready(KIND, "bi").await;
    let made = story.account.objects(STORE).remove(0);
    let id = made["integration_id"].as_str().unwrap();
    assert_eq!(
        (&ready["status"]["externalId"], &ready["status"]["clientId"]),
        (&json!(id), &made["client_id"])
    );
    assert_eq!(made["confidential"], false);
    story.account.edit(STORE, id, json!({"scopes": ["sql", "offline_access"]})).unwrap();
    story.account.edit(STORE, id, json!({"user_authorized_scopes": ["sql"]})).unwrap();
    story.pass(KIND, "bi").await;
    assert_eq!(applied(&story), ["POST"]);

    let theirs = json!({"redirect_urls": [BACK, "https://attacker.example.com"]});
    story.account.edit(STORE, id, theirs).unwrap();
    let corrected = story.wait_event(KIND, "bi", "DriftCorrected").await;
    assert!(corrected.contains("redirectUrls"), "{corrected}");
    let now = story.account.objects(STORE).remove(0);
    assert_eq!((&now["redirect_urls"], &now["user_authorized_scopes"]), (&json!([BACK]), &json!(["sql"])));
    let patch = story.account.writes().pop().unwrap().body;
    assert_eq!(patch, Some(json!({"redirect_urls": [BACK]})), "what differs, and no more");

    let wider = json!({"scopes": ["all-apis", "sql"], "tokenAccessPolicy": {"accessTokenTtlInMinutes": 60}});
    story.patch(KIND, "bi", json!({"spec": wider})).await;
    story.wait_ready(KIND, "bi").await;
    let now = story.account.objects(STORE).remove(0);
    assert_eq!(now["scopes"], json!(["all-apis", "sql"]));
    assert_eq!(now["token_access_policy"]["access_token_ttl_in_minutes"], 60);
    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    assert_eq!(applied(&story), ["POST", "PATCH", "PATCH", "DELETE"]);
    story.end().await;
}

/// A confidential app, whose secret goes to the Kubernetes Secret [`OUT`].
fn confidential(story: &Story, more: Value) -> Value {
    let mut all = json!({"confidential": true, "secretName": OUT});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app(story, all)
}

fn secrets(story: &Story) -> Api<Secret> {
    Api::namespaced(story.client.clone(), &story.namespace)
}

/// The id that the Kubernetes Secret names, the client id in it, and the client secret, which is a canary from now on.
async fn held(story: &mut Story) -> [String; 3] {
    let secret = secrets(story).get(OUT).await.unwrap();
    let id = secret.metadata.annotations.unwrap()["databricks-operator.io/external-id"].clone();
    let data = secret.data.unwrap();
    let [client_id, value] =
        ["client-id", "client-secret"].map(|key| String::from_utf8(data[key].0.clone()).unwrap());
    assert!(!value.is_empty());
    story.canaries.push(value.clone());
    [id, client_id, value]
}

/// Covers LC-32, ST-12. The client secret is in the Kubernetes Secret and nowhere else, and no later change of the app touches that.
#[tokio::test]
async fn the_secret_of_a_confidential_app_is_written_once() {
    let mut story = begin("custom-app-confidential").await;
    for (more, says) in [
        (json!({"confidential": true}), "secretName is needed"),
        (json!({"confidential": true, "adoptionPolicy": "IfExists"}), "secretName is needed"),
        (json!({"secretName": OUT}), "set confidential to true"),
        (json!({"userAuthorizedScopes": ["all-apis"]}), "may have only what scopes has"),
    ] {
        let refused = story.try_apply(&app(&story, more.clone())).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{more}: {refused}");
    }
    story.apply(&confidential(&story, json!({}))).await;
    let ready = story.wait_ready(KIND, "bi").await;
    let made = story.account.objects(STORE).remove(0);
    assert_eq!(made["confidential"], true);
    let [id, client_id, _] = held(&mut story).await;
    assert_eq!(
        (&ready["status"]["externalId"], &ready["status"]["clientId"]),
        (&json!(id), &json!(client_id))
    );
    assert_eq!((&made["integration_id"], &made["client_id"]), (&json!(id), &json!(client_id)));
    let written = secrets(&story).get(OUT).await.unwrap().metadata;
    let owner = &written.owner_references.as_ref().unwrap()[0];
    assert_eq!((&json!(owner.uid), owner.controller), (&ready["metadata"]["uid"], Some(true)));

    story.patch(KIND, "bi", json!({"spec": {"scopes": ["sql"]}})).await;
    story.wait_ready(KIND, "bi").await;
    story.pass(KIND, "bi").await;
    assert_eq!(secrets(&story).get(OUT).await.unwrap().metadata.resource_version, written.resource_version);
    assert_eq!(applied(&story), ["POST", "PATCH"]);
    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    assert_eq!(story.account.objects(STORE), [] as [Value; 0]);
    let gone = eventually("the Kubernetes Secret goes with its object", SOON, async || {
        let left = secrets(&story).get_opt(OUT).await.map_err(|e| e.to_string())?;
        left.map_or(Ok(()), |_| Err("it is still there".to_owned()))
    });
    gone.await.unwrap();
    story.end().await;
}

/// Covers LC-01, LC-32. The operator is killed after the account created the app, before it knows the secret. The app is found, not created
/// twice and not deleted, as only a person can know that no user signs in with it. It is managed meanwhile, and the message says how to get
/// another one.
#[tokio::test]
async fn an_app_whose_secret_is_lost_on_the_way_is_reported_and_replaced_by_a_person() {
    let mut story = begin("custom-app-killed").await;
    let path = "*/custom-app-integrations".to_owned();
    let (method, when) = (Some("POST".to_owned()), When::After);
    let create =
        story.account.fault(Fault { method, path, when, times: Some(1), hold: true, ..Fault::default() });
    story.apply(&confidential(&story, json!({}))).await;
    story.account.held(create).await;
    story.operator.take().unwrap().kill().unwrap();
    story.account.release_all();
    story.start_operator(&[]).await;
    let lost = story.wait_condition(KIND, "bi", "Stalled", "True", "SecretLost").await;
    let message = condition(&lost, "Ready").unwrap()["message"].to_string();
    for part in [OUT, "CustomAppIntegration bi", "delete this object", "remove spec.secretName"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let made = story.account.objects(STORE).remove(0);
    assert_eq!(lost["status"]["externalId"], made["integration_id"]);
    assert!(secrets(&story).get(OUT).await.unwrap().data.is_none(), "it is still reserved");
    let theirs = json!({"redirect_urls": [BACK, "https://attacker.example.com"]});
    story.account.edit(STORE, made["integration_id"].as_str().unwrap(), theirs).unwrap();
    let still = story.pass(KIND, "bi").await;
    assert_eq!(condition(&still, "Ready").unwrap()["reason"], "SecretLost");
    assert_eq!(story.account.objects(STORE)[0]["redirect_urls"], json!([BACK]));
    assert_eq!(applied(&story), ["POST", "PATCH"]);

    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    story.apply(&confidential(&story, json!({}))).await;
    let ready = story.wait_ready(KIND, "bi").await;
    let [id, client_id, _] = held(&mut story).await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    assert_eq!(story.account.objects(STORE)[0]["client_id"], json!(client_id));
    assert_eq!(applied(&story), ["POST", "PATCH", "DELETE", "POST"]);
    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    story.end().await;
}

/// Covers LC-32. A user deletes the Kubernetes Secret: that is reported within moments, and no empty one takes its place. A user who has
/// the secret elsewhere says so in the spec.
#[tokio::test]
async fn a_deleted_kubernetes_secret_of_an_app_is_reported_and_the_app_stays() {
    let mut story = begin("custom-app-lost").await;
    story.apply(&confidential(&story, json!({}))).await;
    story.wait_ready(KIND, "bi").await;
    let [id, ..] = held(&mut story).await;
    secrets(&story).delete(OUT, &Default::default()).await.unwrap();
    story.wait_condition(KIND, "bi", "Stalled", "True", "SecretLost").await;
    story.pass(KIND, "bi").await;
    assert!(secrets(&story).get_opt(OUT).await.unwrap().is_none());
    let without = json!({"spec": {"secretName": null, "adoptionPolicy": "Required"}});
    story.patch(KIND, "bi", without).await;
    let ready = story.wait_ready(KIND, "bi").await;
    assert_eq!(ready["status"]["externalId"], json!(id));
    assert!(secrets(&story).get_opt(OUT).await.unwrap().is_none());
    assert_eq!(applied(&story), ["POST"]);
    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    story.end().await;
}

/// Covers SE-09. No app is created whose secret could not be kept: neither without the right to write Secrets, nor where a Secret of that
/// name exists.
#[tokio::test]
async fn an_app_whose_secret_could_not_be_kept_is_not_created() {
    let mut story = Story::without_operator("custom-app-rights").await;
    story.kubectl(&["create", "serviceaccount", "narrow"]).await.unwrap();
    grant(&story, "operator", &rules().operator).await;
    grant(&story, "secrets", &rules().secrets).await;
    let narrow = cluster().control_plane.kubeconfig_for(&story.namespace, "narrow").unwrap();
    story.operator = Some(story.replica(&narrow, &[]).await);
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [KIND]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story.apply(&confidential(&story, json!({}))).await;
    let refused = story.wait_condition(KIND, "bi", "Stalled", "True", "SecretNotWritable").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains("rbac.outputSecrets.enabled"), "{message}");
    let taken = json!({"name": "other", "confidential": true, "secretName": "databricks"});
    let mut taken = app(&story, taken);
    taken["metadata"]["name"] = json!("other");
    story.apply(&taken).await;
    grant(&story, "output", &rules().output_secrets).await;
    story.wait_condition(KIND, "other", "Stalled", "True", "SecretNotOwned").await;
    story.wait_ready(KIND, "bi").await;
    let [id, ..] = held(&mut story).await;
    assert_eq!((applied(&story), story.account.objects(STORE).len()), (vec!["POST".to_owned()], 1));
    assert_eq!(story.account.objects(STORE)[0]["integration_id"], json!(id));
    for name in ["bi", "other"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    story.end().await;
}

/// Covers LC-03. An app that a person created in the console is managed without its secret, retained when its object is deleted, and not
/// created again once it is lost. A spec that wants its secret is refused by a text that says what to do.
#[tokio::test]
async fn an_existing_app_with_a_secret_is_managed_without_it() {
    let story = begin("custom-app-secret").await;
    let theirs = json!({"name": "bi", "redirect_urls": [BACK], "scopes": ["sql"], "confidential": true});
    let theirs = story.account.insert(STORE, theirs).unwrap();
    let id = theirs["integration_id"].as_str().unwrap();
    story.apply(&confidential(&story, json!({"adoptionPolicy": "IfExists"}))).await;
    let refused = story.wait_condition(KIND, "bi", "Stalled", "True", "AlreadyExists").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains("remove spec.secretName") && message.contains("Required"), "{message}");
    assert!(secrets(&story).get_opt(OUT).await.unwrap().is_none());

    let without = json!({"spec": {"secretName": null, "adoptionPolicy": "Required"}});
    story.patch(KIND, "bi", without).await;
    let ready = story.wait_ready(KIND, "bi").await;
    assert_eq!(ready["status"]["clientId"], theirs["client_id"]);
    assert_eq!(story.account.objects(STORE)[0]["scopes"], json!(["offline_access", "sql"]));
    assert_eq!(applied(&story), ["PATCH"]);

    assert!(story.account.remove(STORE, id));
    story.pass(KIND, "bi").await;
    story.wait_condition(KIND, "bi", "Ready", "False", "ExternalResourceMissing").await;
    assert_eq!(applied(&story), ["PATCH"], "no app takes its place");
    story.delete(KIND, "bi").await;
    story.wait_gone(KIND, "bi").await;
    story.end().await;
}
