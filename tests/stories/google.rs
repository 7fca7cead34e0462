//! Accounts on Google Cloud: which credentials some calls need there, and what comes up with them.

use serde_json::{Value, json};
use simulator::{Cloud, Fault, GOOGLE_EMAIL, When};

use crate::support::{AUTH, Story, condition};

const KIND: &str = "Workspace";
const AUTHS: &str = "DatabricksAuth";

/// A story in an account on Google Cloud. Its DatabricksAuth has the OAuth secret of a service principal, as elsewhere.
async fn on_google(name: &str) -> Story {
    let story = Story::without_operator(name).await;
    story.account.set(|settings| {
        settings.cloud = Cloud::GCP;
        (settings.start_ms, settings.provisioning_ms, settings.deletion_ms) = (0, 100, 100);
    });
    story.patch(AUTHS, AUTH, json!({"spec": {"cloud": "GCP"}})).await;
    story
}

/// Writes the key of the Google service account into a Secret, and lets the DatabricksAuth use it.
async fn use_google(story: &mut Story) {
    let file: Value = serde_json::from_str(&story.account.google_key()).unwrap();
    // A part of the key that no line break interrupts.
    let line = file["private_key"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    story.canaries.push(line);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": story.namespace},
        "stringData": {"key.json": file.to_string()},
    });
    story.apply(&secret).await;
    let spec = json!({
        "authType": "GOOGLE_ID", "clientId": GOOGLE_EMAIL,
        "clientSecretRef": {"name": "google", "key": "key.json"},
    });
    story.patch(AUTHS, AUTH, json!({"spec": spec})).await;
}

fn workspace(story: &Story) -> Value {
    let spec = json!({
        "workspaceName": "analytics", "location": "europe-west1",
        "cloudResourceContainer": {"gcp": {"projectId": "my-project"}},
        "deletionPolicy": "Delete",
    });
    story.managed(KIND, "analytics", spec)
}

fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

/// Covers CR-03. A secret of Databricks is not enough to create a workspace on Google Cloud: nothing is sent, and the message
/// says what to write. With the key of a Google service account the workspace comes up, is changed and is deleted.
#[tokio::test]
async fn a_workspace_comes_up_with_both_tokens_and_says_what_to_write_without() {
    let mut story = on_google("google-workspace").await;
    story.start_operator(&[]).await;
    story.wait_ready(AUTHS, AUTH).await;
    story.apply(&workspace(&story)).await;
    let stalled = story.wait_condition(KIND, "analytics", "Stalled", "True", "PermissionDenied").await;
    let text = condition(&stalled, "Stalled").unwrap()["message"].as_str().unwrap();
    for part in ["access token of Google", "authType GOOGLE_ID", "clientId", "clientSecretRef"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(stalled["status"].get("intent"), None, "{stalled}");
    assert_eq!(story.account.calls("POST", "*/workspaces"), 0);

    use_google(&mut story).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    story.wait_ready(AUTHS, AUTH).await;
    let there = story.account.objects("workspaces").remove(0);
    assert_eq!(ready["status"]["externalId"], there["workspace_id"].to_string());
    assert_eq!(there["cloud_resource_container"], json!({"gcp": {"project_id": "my-project"}}));
    assert_eq!(there.get("custom_tags"), None, "there are no tags on Google Cloud");
    assert_eq!(writes(&story), ["POST"]);
    assert_eq!(story.account.writes()[0].client_id.as_deref(), Some(GOOGLE_EMAIL));

    let access = json!({"private_access_settings_name": "main", "public_access_enabled": true});
    let access = story.account.insert("private-access-settings", access).unwrap();
    let id = access["private_access_settings_id"].clone();
    story.patch(KIND, "analytics", json!({"spec": {"privateAccessSettingsId": id}})).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(story.account.objects("workspaces")[0]["private_access_settings_id"], id);
    story.delete(KIND, "analytics").await;
    story.wait_gone(KIND, "analytics").await;
    assert_eq!(story.account.objects("workspaces"), [] as [Value; 0]);
    assert_eq!(writes(&story), ["POST", "PATCH", "DELETE"]);
    story.end().await;
}

/// Covers LC-01. A workspace on Google Cloud carries no mark, and another cluster with the same manifests may create its own in the same
/// minute: what may be the result of a create whose response was lost is neither bound nor created again, until a person decides.
#[tokio::test]
async fn a_lost_create_without_a_mark_is_for_a_person() {
    let mut story = on_google("google-lost").await;
    use_google(&mut story).await;
    story.start_operator(&[]).await;
    story.wait_ready(AUTHS, AUTH).await;
    story.account.fault(Fault {
        method: Some("POST".into()),
        path: "*/workspaces".into(),
        when: When::After,
        drop: true,
        times: Some(1),
        ..Fault::default()
    });
    story.apply(&workspace(&story)).await;
    let stalled = story.wait_condition(KIND, "analytics", "Stalled", "True", "CreateResultUnknown").await;
    let there = story.account.objects("workspaces");
    assert_eq!(there.len(), 1, "{there:?}");
    let id = there[0]["workspace_id"].to_string();
    let text = condition(&stalled, "Stalled").unwrap()["message"].as_str().unwrap();
    assert!(text.contains(&id) && text.contains("spec.externalId"), "{text}");
    assert_eq!(stalled["status"].get("externalId"), None, "{stalled}");

    story.patch(KIND, "analytics", json!({"spec": {"externalId": id}})).await;
    let ready = story.wait_ready(KIND, "analytics").await;
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers CR-03, SE-04. Without a Secret the operator would sign in as itself. It does so for the namespaces of a flag, and asks its
/// metadata server for no other one. With the flag a workspace comes up with both tokens, and another service account than the one that
/// the DatabricksAuth names is not used.
#[tokio::test]
async fn the_operators_own_identity_is_for_the_namespaces_of_a_flag() {
    let mut story = on_google("google-identity").await;
    let own = json!({"authType": "GOOGLE_ID", "clientId": GOOGLE_EMAIL, "clientSecretRef": null});
    story.patch(AUTHS, AUTH, json!({"spec": own})).await;
    story.start_operator(&[("google-identity-namespaces", "google-identities")]).await;
    let stalled = story.wait_condition(AUTHS, AUTH, "Stalled", "True", "CredentialsInvalid").await;
    let text = condition(&stalled, "Stalled").unwrap()["message"].as_str().unwrap();
    for part in ["namespace google-identity:", "--google-identity-namespaces", "spec.clientSecretRef"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(story.account.calls("*", "*"), 0);

    story.operator.take().unwrap().terminate().await.unwrap();
    let both = [("google-identity-namespaces", "google-identities,google-identity")];
    story.start_operator(&both).await;
    story.wait_ready(AUTHS, AUTH).await;
    story.apply(&workspace(&story)).await;
    story.wait_ready(KIND, "analytics").await;
    assert_eq!(writes(&story), ["POST"]);
    assert_eq!(story.account.writes()[0].client_id.as_deref(), Some(GOOGLE_EMAIL));
    assert_eq!(story.account.calls("GET", "/computeMetadata/*"), 2, "one for each token");
    assert_eq!(story.account.calls("POST", "/token") + story.account.calls("POST", "/oidc/*"), 0);

    story.patch(AUTHS, AUTH, json!({"spec": {"clientId": "other@example.com"}})).await;
    story
        .wait(AUTHS, AUTH, "another account", |object| {
            let ready = condition(object, "Ready")?;
            let text = ready["message"].as_str()?;
            let named = text.contains(GOOGLE_EMAIL) && text.contains("clientId names another one");
            (ready["reason"] == "CredentialsInvalid" && named).then_some(())
        })
        .await;
    story.patch(AUTHS, AUTH, json!({"spec": {"clientId": GOOGLE_EMAIL}})).await;
    story.wait_ready(AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-03. A key that is not one, that of another service account, and one that Google refuses: the DatabricksAuth says which,
/// and repeats none of it.
#[tokio::test]
async fn a_key_that_cannot_be_used_says_what_to_write() {
    let mut story = on_google("google-key").await;
    use_google(&mut story).await;
    story.start_operator(&[]).await;
    story.wait_ready(AUTHS, AUTH).await;
    let whole: Value = serde_json::from_str(&story.account.google_key()).unwrap();
    let with = |field: &str, value: &str| {
        let mut file = whole.clone();
        file[field] = json!(value);
        file.to_string()
    };
    story.canaries.push("canary-of-a-key".into());
    for (value, says) in [
        ("canary-of-a-key".to_owned(), "the JSON key of a Google service account"),
        (with("client_email", "other@example.com"), "another service account than spec.clientId names"),
        (with("private_key", "canary-of-a-key"), "an RSA key in PEM form"),
        (with("token_uri", "https://canary-of-a-key.example.com/token"), "oauth2.googleapis.com/token"),
        (with("private_key_id", "unknown"), "Google refuses the key"),
    ] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": story.namespace},
            "stringData": {"key.json": value},
        });
        story.apply(&secret).await;
        story
            .wait(AUTHS, AUTH, says, |object| {
                let ready = condition(object, "Ready")?;
                let text = ready["message"].as_str()?;
                (ready["reason"] == "CredentialsInvalid" && text.contains(says)).then_some(())
            })
            .await;
    }
    use_google(&mut story).await;
    story.wait_ready(AUTHS, AUTH).await;
    story.end().await;
}
