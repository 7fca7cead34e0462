//! The objects that the health checks and actions for Argo CD are tested with, in `config/argocd`: they come from here, so
//! they are what Argo CD will see. `UPDATE=1 cargo test --test stories argocd` writes them anew.

use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::gitops::samples;
use crate::support::{AUTH, Story, kinds};

const GROUP: &str = "config/argocd/resource_customizations/databricks-operator.io";
/// In place of what differs from run to run.
const TIME: &str = "2026-01-01T00:00:00Z";

fn sample(story: &Story, kind: &str) -> Value {
    let mut sample = samples(story).into_iter().find(|sample| sample["kind"] == kind).unwrap();
    sample["metadata"]["namespace"] = json!(story.namespace);
    sample
}

/// Writes ids, times and places that are of this run alone as they could be elsewhere.
fn settled(value: &mut Value, known: &[(String, String)]) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            // A list shows it from the first LIST after the sample of the setting was applied.
            map.remove("enforced");
            for (key, inner) in map {
                match key.as_str() {
                    "resourceVersion" => *inner = json!("1000"),
                    "vpcEndpointId" => *inner = json!("vpce-0123456789abcdef0"),
                    "resyncInterval" => *inner = json!("10m"),
                    _ => settled(inner, known),
                }
            }
        }
        Value::Array(list) => {
            list.iter_mut().for_each(|inner| settled(inner, known));
            // A list in the order of ids is in the order of other ids.
            if list.iter().all(|item| item["id"].is_number()) {
                list.sort_by_key(|item| item["id"].as_i64());
            }
        }
        Value::Number(number) => {
            let other = known.iter().find(|(ours, _)| *ours == number.to_string());
            if let Some(other) = other.and_then(|(_, other)| other.parse::<i64>().ok()) {
                *value = json!(other);
            }
        }
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = TIME.to_owned(),
        Value::String(text) => {
            *text = known.iter().fold(text.clone(), |text, (ours, other)| text.replace(ours, other));
        }
        _ => {}
    }
}

/// What is of this run alone, and what is put in its place.
fn known(story: &Story, object: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut known = vec![
        (story.account.account_id.clone(), "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d".into()),
        (story.account.client_id.clone(), "5f6e7d8c-9b0a-4c1d-8e2f-3a4b5c6d7e8f".into()),
        (story.account.url(), "https://accounts.cloud.databricks.com".into()),
        (story.namespace.clone(), "default".into()),
        (text(&object["metadata"]["uid"]), "6f1b0c52-0d3e-4f5a-8b6c-7d8e9fa0b1c2".into()),
    ];
    let deployment = text(&object["status"]["observed"]["deploymentName"]);
    known.push((deployment, "dbc-1a2b3c4d-5e6f".into()));
    let numbers = ["1234567890123456", "2345678901234567"].into_iter();
    for (id, number) in text(&object["status"]["externalId"]).split('/').zip(numbers) {
        let uuid = id.len() == 36 && id.matches('-').count() == 4;
        // Others are chosen in the spec.
        if uuid || id.parse::<i64>().is_ok() {
            let other = if uuid { "9d3c1f7e-2a4b-4c5d-8e6f-7a8b9c0d1e2f" } else { number };
            known.push((id.to_owned(), other.to_owned()));
        }
    }
    let refers = object["status"]["resolvedRefs"].as_object().into_iter().flatten();
    let numbers = refers.clone().map(|(_, id)| text(id)).filter(|id| id.parse::<i64>().is_ok());
    known.extend(numbers.zip(3_456_789_012_345_678_i64..).map(|(id, other)| (id, other.to_string())));
    let others = refers.map(|(_, id)| text(id)).filter(|id| id.contains('-'));
    known.extend(others.map(|id| (id, "8c2b0e6d-1f3a-4b4c-9d5e-5f6a7b8c9d0e".to_owned())));
    known.push((text(&object["status"]["uid"]), "3c5d7e9f-0a1b-4c2d-8e3f-4a5b6c7d8e9f".into()));
    known.push((text(&object["status"]["vpcEndpointId"]), "vpce-0123456789abcdef0".into()));
    known.push((text(&object["status"]["applicationId"]), "7e6d5c4b-3a2f-4e1d-8c9b-0a1f2e3d4c5b".into()));
    // Other ids that the account gives out.
    for fact in object["status"].as_object().into_iter().flatten().map(|(_, fact)| text(fact)) {
        let uuid = fact.len() == 36 && fact.matches('-').count() == 4;
        if uuid && !known.iter().any(|(ours, _)| *ours == fact) {
            known.push((fact, "4d5e6f70-8192-4a3b-9c4d-5e6f708192a3".to_owned()));
        }
    }
    known.retain(|(ours, _)| !ours.is_empty());
    known
}

/// Compares an object with the one that is kept, or writes it where `UPDATE` is set.
fn keep(story: &Story, path: &str, object: &Value) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(GROUP).join(path);
    let known = known(story, object);
    let mut object = object.clone();
    let object_kind = object["kind"].clone();
    settled(&mut object, &known);
    // The binding sets it in the account, and the workspace may be read before or after.
    if let Some(observed) = object.pointer_mut("/status/observed").and_then(Value::as_object_mut)
        && object_kind == "Workspace"
    {
        observed.remove("networkConnectivityConfigId");
    }
    let text = serde_saphyr::to_string(&object).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    } else {
        let kept: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(kept, object, "{}: UPDATE=1 cargo test --test stories argocd", path.display());
    }
}

fn keep_state(story: &Story, name: &str, object: &Value) {
    keep(story, &format!("_/testdata/{name}.yaml"), object);
}

/// The object with the copy of its id, which is written after the status.
async fn recorded(story: &Story, kind: &str, name: &str) -> Value {
    story
        .wait(kind, name, "it has the copy of its id", |object| {
            let noted = object["metadata"]["annotations"].get("databricks-operator.io/external-id").is_some();
            (noted || kind == "DatabricksAuth").then(|| object.clone())
        })
        .await
}

/// Keeps the sample of a kind once it is Ready.
async fn keep_ready(story: &Story, kind: &str) {
    let name = sample(story, kind)["metadata"]["name"].as_str().unwrap().to_owned();
    story.wait_ready(kind, &name).await;
    let ready = recorded(story, kind, &name).await;
    keep(story, &format!("{kind}/actions/testdata/ready.yaml"), &ready);
}

/// A Workspace from its first second on, and what waits for it.
#[tokio::test]
async fn argocd_is_tested_with_the_life_of_a_workspace() {
    let mut story = Story::without_operator("argocd-life").await;
    let (kind, name) = ("Workspace", "analytics");
    let workspace = sample(&story, kind);
    story.apply(&workspace).await;
    keep_state(&story, "new", &story.get(kind, name).await);
    story.delete(kind, name).await;
    story.wait_gone(kind, name).await;

    // Each kind takes its time while the workspace is provisioned.
    story.start_operator(&[("operation-timeout", "10m")]).await;
    story.apply(&sample(&story, "DatabricksAuth")).await;
    story.wait_ready("DatabricksAuth", "databricks").await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms) = (0, 600_000));
    story.apply(&workspace).await;
    let begun = |object: &Value| (object["status"]["state"] == "PROVISIONING").then(|| object.clone());
    story.wait(kind, name, "it is being provisioned", begun).await;
    let provisioning = recorded(&story, kind, name).await;
    keep_state(&story, "provisioning", &provisioning);
    // This one changes the workspace, and so what its object shows.
    let binding = "NetworkConnectivityBinding";
    for kind in kinds().iter().filter(|it| !["DatabricksAuth", "Workspace", binding].contains(&it.as_str())) {
        story.apply(&sample(&story, kind)).await;
    }
    let (access, group, resolved) = ("PermissionAssignment", "data-eng", "ReferencesResolved");
    let waiting = story.wait_condition(access, group, resolved, "False", "ReferenceNotReady").await;
    keep_state(&story, "waiting_for_reference", &waiting);

    story.account.advance_ms(600_000);
    keep_ready(&story, kind).await;
    keep_state(&story, "ready", &story.get(kind, name).await);
    story.apply(&sample(&story, binding)).await;
    for other in kinds().iter().filter(|other| other.as_str() != kind) {
        keep_ready(&story, other).await;
    }
    story.operator.take().unwrap().terminate().await.unwrap();
    story.patch(kind, name, json!({"spec": {"customTags": {"team": "platform"}}})).await;
    keep_state(&story, "edited", &story.get(kind, name).await);
    story.end().await;
}

/// What a person has to decide, what nobody works on, and what is only looked at.
#[tokio::test]
async fn argocd_is_tested_with_what_is_not_in_order() {
    let mut story = Story::start("argocd-disorder").await;
    let (kind, name) = ("IpAccessList", "office");
    let id = "9d3c1f7e-2a4b-4c5d-8e6f-7a8b9c0d1e2f";
    let there =
        json!({"list_id": id, "label": "office", "list_type": "ALLOW", "ip_addresses": ["192.0.2.1"]});
    story.account.insert("ip-access-lists", there).unwrap();
    story.let_reads_catch_up();
    let mut list = sample(&story, kind);
    list["spec"]["authRef"]["name"] = json!(AUTH);
    story.apply(&list).await;
    let stalled = story.wait_condition(kind, name, "Stalled", "True", "AlreadyExists").await;
    keep_state(&story, "stalled", &stalled);
    let observe = json!({"spec": {"managementPolicy": "Observe", "adoptionPolicy": "IfExists"}});
    story.patch(kind, name, observe).await;
    let drifted = story.wait_condition(kind, name, "Synced", "False", "DriftDetected").await;
    keep_state(&story, "observed_with_drift", &drifted);
    let mut plan = sample(&story, kind);
    plan["metadata"]["name"] = json!("branch");
    plan["spec"]["authRef"]["name"] = json!(AUTH);
    plan["spec"]["label"] = json!("branch");
    plan["spec"]["managementPolicy"] = json!("Observe");
    story.apply(&plan).await;
    let planned = story.wait_condition(kind, "branch", "Ready", "False", "WouldBeCreated").await;
    keep_state(&story, "would_be_created", &planned);
    story.patch(kind, name, json!({"spec": {"suspend": true}})).await;
    let suspended = story.wait_condition(kind, name, "Suspended", "True", "SuspendedBySpec").await;
    keep_state(&story, "suspended", &suspended);
    story.set_secret("not-the-secret").await;
    let auth = "DatabricksAuth";
    let invalid = story.wait_condition(auth, AUTH, "Stalled", "True", "CredentialsInvalid").await;
    keep_state(&story, "credentials_invalid", &invalid);
    story.end().await;
}
