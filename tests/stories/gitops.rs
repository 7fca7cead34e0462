//! What whoever keeps manifests in Git, by hand or with Argo CD or Flux, can rely on: no difference that nobody made, no
//! order that must be kept, no field that moves away.

use std::path::Path;

use databricks_operator::engine::cluster::FIELD_MANAGER;
use databricks_operator::kinds::KINDS;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use world::eventually;

use crate::support::{AUTH, SOON, Story, cluster, condition, kinds};

const LISTS: &str = "*/ip-access-lists";

async fn kubectl(story: &Story, args: &[&str], manifest: &Value) -> world::Result<String> {
    let args = [&["--namespace", &story.namespace], args, &["-f", "-"]].concat();
    cluster().kubectl(&args, &manifest.to_string()).await
}

fn all(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn sample(kind: &str) -> Value {
    let file = format!("config/samples/{}.yaml", kind.to_lowercase());
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The samples of all kinds, with nothing changed but which account it is; what they take for granted is in that account.
pub fn samples(story: &Story) -> Vec<Value> {
    let mut samples: Vec<Value> = kinds().iter().map(|kind| sample(kind)).collect();
    for sample in &mut samples {
        match sample["kind"].as_str().unwrap() {
            "DatabricksAuth" => {
                sample["spec"]["accountId"] = json!(story.account.account_id);
                sample["spec"]["clientId"] = json!(story.account.client_id);
                sample["spec"]["host"] = json!(story.account.url());
                sample["spec"]["grants"] = json!([{"namespaces": {"from": "Same"}, "kinds": of_account()}]);
            }
            // The sample of PermissionAssignment gives access to the same workspace.
            "WorkspaceAccess" => sample["spec"]["adoptionPolicy"] = json!("IfExists"),
            "Workspace" => {
                let id = &sample["spec"]["credentialsId"];
                let credentials = json!({"credentials_id": id, "credentials_name": "analytics"});
                story.account.insert("credentials", credentials).unwrap();
                let id = &sample["spec"]["storageConfigurationId"];
                let storage =
                    json!({"storage_configuration_id": id, "storage_configuration_name": "analytics"});
                story.account.insert("storage-configurations", storage).unwrap();
            }
            _ => {}
        }
    }
    samples
}

/// The kinds of which objects use credentials, those included that a grant must name.
fn of_account() -> Vec<String> {
    KINDS.iter().map(|kind| kind.kind().into_owned()).collect()
}

fn name_of(object: &Value) -> (&str, &str) {
    (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

async fn stays_as_applied(namespace: &str, apply: &[&str], diff: &[&str]) {
    let story = Story::start(namespace).await;
    let mut samples = samples(&story);
    kubectl(&story, &[&["apply"], apply].concat(), &all(&samples)).await.unwrap();
    for sample in &samples {
        let (kind, name) = name_of(sample);
        story.wait_ready(kind, name).await;
    }
    let diff = [&["diff"], diff].concat();
    let nothing = kubectl(&story, &diff, &all(&samples)).await;
    assert_eq!(nothing.unwrap(), "");

    // It would be seen.
    let list = samples.iter_mut().find(|sample| sample["kind"] == "IpAccessList").unwrap();
    list["spec"]["label"] = json!("another-label");
    let something = kubectl(&story, &diff, &all(&samples)).await.unwrap_err().to_string();
    assert!(something.contains("exit status: 1"), "{something}");
    story.end().await;
}

/// Covers GO-01. Argo CD applies every sample on the server's side and sees no difference once all is Ready.
#[tokio::test]
async fn server_side_apply_shows_no_difference() {
    let server_side = ["--server-side", "--field-manager=argocd-controller"];
    stays_as_applied("diff-server-side", &server_side, &server_side).await;
}

/// Covers GO-02. The same with `kubectl apply` on the client's side.
#[tokio::test]
async fn client_side_apply_shows_no_difference() {
    stays_as_applied("diff-client-side", &[], &[]).await;
}

/// Covers IM-07. The API server accepts every sample file as it is.
#[tokio::test]
async fn every_sample_is_accepted() {
    let story = Story::without_operator("samples-accepted").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    let said =
        story.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", folder]).await.unwrap();
    assert_eq!(said.lines().count(), kinds().len(), "{said}");
    assert!(said.lines().all(|line| line.ends_with("created (server dry run)")), "{said}");
    story.end().await;
}

/// Covers GO-03. Users' labels, annotations and finalizers stay; the operator owns its own finalizer, its own annotation and
/// the status.
#[tokio::test]
async fn the_operator_owns_what_is_its_own() {
    let story = Story::start("ownership").await;
    let spec = json!({"label": "office", "listType": "BLOCK", "ipAddresses": ["203.0.113.0/24"]});
    let mut list = story.managed("IpAccessList", "office", spec);
    let labels = json!({"team": "data", "app.kubernetes.io/instance": "prod"});
    let annotations =
        json!({"argocd.argoproj.io/sync-wave": "1", "databricks-operator.example.com/note": "mine"});
    list["metadata"]["labels"] = labels.clone();
    list["metadata"]["annotations"] = annotations.clone();
    list["metadata"]["finalizers"] = json!(["example.com/audit"]);
    story.apply(&list).await;
    story.wait_ready("IpAccessList", "office").await;
    let id_is_noted = |object: &Value| {
        let noted = &object["metadata"]["annotations"]["databricks-operator.io/external-id"];
        noted.is_string().then(|| object.clone())
    };
    let object = story.wait("IpAccessList", "office", "the id is noted", id_is_noted).await;
    assert_eq!(object["metadata"]["labels"], labels);
    let mut noted = object["metadata"]["annotations"].clone();
    noted.as_object_mut().unwrap().remove("databricks-operator.io/external-id");
    let mark = noted.as_object_mut().unwrap().remove("databricks-operator.io/created-by");
    assert_eq!(mark, Some(json!("default/ownership/office")));
    assert_eq!(noted, annotations);
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["example.com/audit", "databricks-operator.io/finalizer"])
    );

    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = entries.iter().filter(|entry| entry["manager"] == FIELD_MANAGER);
    let (status, rest): (Vec<&Value>, Vec<&Value>) = ours.partition(|entry| entry["subresource"] == "status");
    assert!(!status.is_empty());
    for entry in status {
        let owned: Vec<&String> = entry["fieldsV1"].as_object().unwrap().keys().collect();
        assert_eq!(owned, ["f:status"]);
    }
    let owned = json!({"f:metadata": {
        "f:annotations": {
            "f:databricks-operator.io/created-by": {}, "f:databricks-operator.io/external-id": {},
        },
        "f:finalizers": {"v:\"databricks-operator.io/finalizer\"": {}},
    }});
    assert_eq!(rest.iter().map(|entry| &entry["fieldsV1"]).collect::<Vec<_>>(), [&owned]);

    // Deleted, the object waits for the other finalizer, which is not ours to remove, and goes once that is gone.
    story.delete("IpAccessList", "office").await;
    story.wait_condition("IpAccessList", "office", "DeletionBlocked", "True", "ForeignFinalizer").await;
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    let ours = json!(["databricks-operator.io/finalizer"]);
    story.patch("IpAccessList", "office", json!({"metadata": {"finalizers": ours}})).await;
    story.wait_gone("IpAccessList", "office").await;
    story.end().await;
}

/// Covers GO-04. Applying the same manifest twenty times changes nothing, neither here nor in the account.
#[tokio::test]
async fn applying_again_changes_nothing() {
    let story = Story::start("apply-again").await;
    let samples = samples(&story);
    let apply = ["apply", "--server-side", "--field-manager=argocd-controller"];
    kubectl(&story, &apply, &all(&samples)).await.unwrap();
    for sample in &samples {
        let (kind, name) = name_of(sample);
        story.wait_ready(kind, name).await;
    }
    story.account.clear_journal();
    let generations = async || {
        let mut found = vec![];
        for sample in &samples {
            let (kind, name) = name_of(sample);
            found.push(story.get(kind, name).await["metadata"]["generation"].clone());
        }
        found
    };
    let before = generations().await;
    for _ in 0..20 {
        kubectl(&story, &apply, &all(&samples)).await.unwrap();
    }
    let compared = story.account.calls("GET", LISTS);
    let once_more =
        async || if story.account.calls("GET", LISTS) > compared { Ok(()) } else { Err(String::new()) };
    eventually("the account was looked at after that", SOON, once_more).await.unwrap();
    assert_eq!(generations().await, before);
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers GO-06. An account that returns lists in another order and in another spelling does not differ.
#[tokio::test]
async fn sets_are_compared_as_sets() {
    let story = Story::start_with("sets", &[("resync-interval", "200ms")]).await;
    story.account.set(|settings| {
        settings.shuffle = true;
        settings.rewrite_cidrs = true;
    });
    let workspace = story.account.insert("workspaces", json!({"workspace_name": "legacy"})).unwrap();
    let addresses = ["203.0.113.9/24", "198.51.100.7", "192.0.2.0/24", "10.1.2.3/16"];
    let spec = json!({"label": "office", "listType": "BLOCK", "ipAddresses": addresses});
    story.apply(&story.managed("IpAccessList", "office", spec)).await;
    let access = |name: &str, principal: Value, permissions: Value| {
        let spec = json!({"workspaceId": workspace["workspace_id"], "principal": principal, "permissions": permissions});
        story.managed("PermissionAssignment", name, spec)
    };
    story.apply(&access("ada", json!({"userName": "ADA@example.com"}), json!(["USER"]))).await;
    story.apply(&access("analysts", json!({"groupName": "analysts"}), json!(["USER", "ADMIN"]))).await;
    story.apply(&access("data-eng", json!({"groupName": "data-eng"}), json!(["USER"]))).await;
    story.wait_ready("IpAccessList", "office").await;
    for name in ["ada", "analysts", "data-eng"] {
        story.wait_ready("PermissionAssignment", name).await;
    }
    let mut methods: Vec<String> = story.account.writes().into_iter().map(|call| call.method).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["POST", "PUT", "PUT", "PUT"]);

    let id = story.account.objects("ip-access-lists")[0]["list_id"].as_str().unwrap().to_owned();
    let otherwise = ["10.1.0.0/16", "192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24"];
    story.account.edit("ip-access-lists", &id, json!({"ip_addresses": otherwise})).unwrap();
    story.account.clear_journal();
    let compared = async || {
        let (lists, rows) =
            (story.account.calls("GET", LISTS), story.account.calls("GET", "*/permissionassignments"));
        if lists > 5 && rows > 5 { Ok(()) } else { Err(format!("{lists} and {rows}")) }
    };
    eventually("five comparisons", SOON, compared).await.unwrap();
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());

    // A real difference is seen.
    story.account.edit("ip-access-lists", &id, json!({"ip_addresses": otherwise[..3]})).unwrap();
    story.wait_event("IpAccessList", "office", "DriftCorrected").await;
    let calls: Vec<_> = story.account.writes().into_iter().map(|call| (call.method, call.body)).collect();
    assert_eq!(calls, [("PATCH".to_owned(), Some(json!({"ip_addresses": otherwise})))]);
    story.end().await;
}

/// Covers GO-08. Secret, account, workspace, list and assignment converge in whatever order they are applied, and nothing
/// that waits for another is called stalled.
#[tokio::test]
async fn any_order_of_applying_converges() {
    const TURNS: u64 = 12;
    let story = Story::start("any-order").await;
    story.account.set(|settings| settings.provisioning_ms = 300);
    let credentials = story.account.insert("credentials", json!({"credentials_name": "shared"})).unwrap();
    let application = async |turn: u64| {
        let name = format!("app-{turn}");
        let mut auth = story.auth(&name);
        auth["spec"]["clientSecretRef"]["name"] = json!(name);
        let mut parts = vec![
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": story.namespace},
                "stringData": {"client-secret": story.account.client_secret},
            }),
            auth,
        ];
        for (kind, mut spec) in [
            (
                "Workspace",
                json!({
                    "workspaceName": name, "awsRegion": "eu-west-1", "credentialsId": credentials["credentials_id"],
                    "storageConfigurationId": uuid::Uuid::new_v4().to_string(),
                }),
            ),
            ("IpAccessList", json!({"label": name, "listType": "BLOCK", "ipAddresses": ["203.0.113.0/24"]})),
            (
                "PermissionAssignment",
                json!({"workspaceRef": {"name": name}, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]}),
            ),
        ] {
            spec["authRef"] = json!({"name": name});
            parts.push(story.object(kind, &name, spec));
        }
        // Takes the parts in the order that the digits of a number say; every number is another order.
        let mut number = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        while !parts.is_empty() {
            let left = parts.len() as u64;
            let part = parts.remove(usize::try_from(number % left).unwrap());
            number /= left;
            apply(&story, &part).await;
        }
    };
    futures::future::join_all((0..TURNS).map(application)).await;
    for turn in 0..TURNS {
        for kind in ["DatabricksAuth", "Workspace", "IpAccessList", "PermissionAssignment"] {
            let name = format!("app-{turn}");
            story.wait_ready(kind, &name).await;
            let events = story.events(kind, &name).await;
            let stalled = kind != "DatabricksAuth" && events.iter().any(|(reason, _)| reason == "Stalled");
            assert!(!stalled, "{kind} {name}: {events:?}");
        }
    }
    let made = |method: &str, path: &str| story.account.calls(method, path);
    let turns = usize::try_from(TURNS).unwrap();
    assert_eq!(
        (made("POST", "*/workspaces"), made("POST", LISTS), made("PUT", "*/principals/*")),
        (turns, turns, turns)
    );
    story.end().await;
}

/// Applies one manifest without a process of its own: this is about the operator, and there are many.
async fn apply(story: &Story, manifest: &Value) {
    let (kind, name) = name_of(manifest);
    let params = PatchParams { field_manager: Some("gitops".into()), ..PatchParams::default() };
    if kind == "Secret" {
        let api = kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(
            story.client.clone(),
            &story.namespace,
        );
        api.patch(name, &params, &Patch::Apply(manifest)).await.unwrap();
    } else {
        story.api(kind).patch(name, &params, &Patch::Apply(manifest)).await.unwrap();
    }
}

/// What the API server says to a change that it refuses.
async fn refused(story: &Story, kind: &str, name: &str, spec: Value) -> String {
    let shown = spec.to_string();
    let patch = Patch::Merge(json!({"spec": spec}));
    match story.api(kind).patch(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 422 => status.message.clone(),
        other => panic!("{kind} {name} took {shown}: {other:?}"),
    }
}

/// Covers IM-01. Who gets access where can be corrected until there is an assignment; then a change is refused, with the
/// field and the way out.
#[tokio::test]
async fn what_cannot_change_is_free_until_it_exists() {
    let story = Story::start("immutable").await;
    let workspace = story.account.insert("workspaces", json!({"workspace_name": "legacy"})).unwrap();
    let (kind, name) = ("PermissionAssignment", "access");
    let spec =
        json!({"workspaceId": 1, "principal": {"groupName": "no-such-group"}, "permissions": ["USER"]});
    story.apply(&story.managed(kind, name, spec)).await;
    story.wait_condition(kind, name, "ReferencesResolved", "False", "ReferenceNotFound").await;
    let corrected = json!({"workspaceId": workspace["workspace_id"], "principal": {"groupName": "data-eng"}});
    story.patch(kind, name, json!({"spec": corrected})).await;
    let before = story.wait_ready(kind, name).await;

    for (field, value) in [
        ("principal", json!({"groupName": "analysts"})),
        ("principal", json!({"groupName": null, "userName": "ada@example.com"})),
        ("workspaceId", json!(1)),
        ("externalId", json!("1/1")),
    ] {
        let said = refused(&story, kind, name, json!({field: value})).await;
        assert!(said.contains(&format!("spec.{field}")) && said.contains("cannot be changed"), "{said}");
        assert!(said.contains("delete this object and create a new one"), "{said}");
    }
    let after = story.get(kind, name).await;
    assert_eq!(after["spec"], before["spec"]);
    story.patch(kind, name, json!({"spec": {"permissions": ["ADMIN"]}})).await;
    story.wait_ready(kind, name).await;
    assert_eq!(story.account.objects("permissionassignments")[0]["permissions"], json!(["ADMIN"]));
    story.end().await;
}

/// Covers IM-02. An optional field that cannot change is not added, removed or moved in two steps either; only what the
/// account has may be written down.
#[tokio::test]
async fn what_cannot_change_cannot_be_added_or_removed() {
    let story = Story::start("immutable-optional").await;
    let workspace = story.account.insert("workspaces", json!({"workspace_name": "legacy"})).unwrap();
    let (kind, name) = ("PermissionAssignment", "access");
    let spec = json!({
        "workspaceId": workspace["workspace_id"], "principal": {"groupName": "data-eng"}, "permissions": ["USER"],
    });
    story.apply(&story.managed(kind, name, spec)).await;
    let id = story.wait_ready(kind, name).await["status"]["externalId"].clone();

    let said = refused(&story, kind, name, json!({"workspaceId": 1})).await;
    assert!(said.contains("spec.workspaceId") && said.contains("status.observed"), "{said}");
    // What a reference means only the operator finds out; and it is no step on the way to another id.
    let moved = json!({"workspaceId": null, "workspaceRef": {"name": "other"}});
    story.patch(kind, name, json!({"spec": moved})).await;
    story.wait_condition(kind, name, "ReferencesResolved", "False", "ReferenceNotFound").await;
    refused(&story, kind, name, json!({"workspaceId": 1, "workspaceRef": null})).await;
    let back = json!({"workspaceId": workspace["workspace_id"], "workspaceRef": null});
    story.patch(kind, name, json!({"spec": back})).await;
    story.wait_ready(kind, name).await;

    refused(&story, kind, name, json!({"externalId": "1/1"})).await;
    story.patch(kind, name, json!({"spec": {"externalId": id}})).await;
    refused(&story, kind, name, json!({"externalId": "1/1"})).await;
    story.patch(kind, name, json!({"spec": {"externalId": null}})).await;
    refused(&story, kind, name, json!({"externalId": "1/1"})).await;

    let credentials = story.account.insert("credentials", json!({"credentials_name": "c"})).unwrap();
    let spec = json!({
        "workspaceName": "analytics", "awsRegion": "eu-west-1", "credentialsId": credentials["credentials_id"],
        "storageConfigurationId": uuid::Uuid::new_v4().to_string(),
    });
    story.apply(&story.managed("Workspace", "analytics", spec)).await;
    let ready = story.wait_ready("Workspace", "analytics").await;
    let seen = ready["status"]["observed"]["pricingTier"].as_str().unwrap();
    let other = ["STANDARD", "PREMIUM", "ENTERPRISE"].into_iter().find(|tier| *tier != seen).unwrap();
    let said = refused(&story, "Workspace", "analytics", json!({"pricingTier": other})).await;
    assert!(said.contains("spec.pricingTier") && said.contains("status.observed"), "{said}");
    story.patch("Workspace", "analytics", json!({"spec": {"pricingTier": seen}})).await;
    for value in [json!(other), Value::Null] {
        let said = refused(&story, "Workspace", "analytics", json!({"pricingTier": value})).await;
        assert!(said.contains("spec.pricingTier"), "{said}");
    }
    let now = story.wait_ready("Workspace", "analytics").await;
    assert_eq!(condition(&now, "Ready").unwrap()["status"], "True");
    assert_eq!(now["spec"]["authRef"]["name"], AUTH);
    story.end().await;
}
