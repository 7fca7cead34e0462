//! References: who waits for whom, who wakes whom, and whose credentials may be used by whom.
//!
//! Where two namespaces are needed, the second one is a story of its own, with its own account and credentials: what
//! is refused across the border is a call that its account never saw.

use databricks_operator::cli::crds;
use serde_json::{Value, json};
use simulator::Fault;
use tokio::time::Instant;
use world::eventually;

use crate::support::{AUTH, SOON, Story, WOKEN, condition};

const LIST: &str = "IpAccessList";
const ACCESS: &str = "PermissionAssignment";
const WORKSPACE: &str = "Workspace";
const DENIED: &str = "ReferenceNotPermitted";

fn list(story: &Story, name: &str) -> Value {
    let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

/// The same with the credentials of another namespace.
fn with_auth(mut manifest: Value, namespace: &str, name: &str) -> Value {
    manifest["spec"]["authRef"] = json!({"name": name, "namespace": namespace});
    manifest
}

/// Access to the workspace of this name in the same namespace.
fn access(story: &Story, name: &str, workspace: &str) -> Value {
    let user = story.account.objects("Users")[0]["userName"].clone();
    let spec = json!({"workspaceRef": {"name": workspace}, "principal": {"userName": user}, "permissions": ["USER"]});
    story.managed(ACCESS, name, spec)
}

fn workspace(story: &Story, name: &str) -> Value {
    let spec = json!({"workspaceName": name, "awsRegion": "eu-west-1", "computeMode": "SERVERLESS",
        "deletionPolicy": "Delete"});
    story.managed(WORKSPACE, name, spec)
}

/// Workspaces are made and deleted in a moment.
fn quick(story: &Story) {
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Calls of the account, but for those by which the DatabricksAuth itself signs in.
fn calls(story: &Story) -> Vec<String> {
    let all = story.account.journal().into_iter();
    let all = all.filter(|call| !["token", "metadata"].contains(&call.class.as_str()));
    all.map(|call| format!("{} {}", call.method, call.path)).collect()
}

async fn wait_denied(story: &Story, kind: &str, name: &str) -> Value {
    story.wait_condition(kind, name, "ReferencesResolved", "False", DENIED).await
}

/// Two namespaces with an account each and one operator for both: the one of a tenant, and the one whose credentials he
/// would like to use.
async fn neighbours(tenant: &str, owner: &str) -> (Story, Story) {
    let owner = Story::without_operator(owner).await;
    let mut tenant = Story::without_operator(tenant).await;
    tenant.canaries.extend(owner.canaries.clone());
    tenant.start_operator(&[("namespaces", &owner.namespace)]).await;
    tenant.wait_ready("DatabricksAuth", AUTH).await;
    owner.wait_ready("DatabricksAuth", AUTH).await;
    owner.account.clear_journal();
    (tenant, owner)
}

async fn grant(owner: &Story, grants: Value) {
    owner.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
}

fn to(namespace: &str) -> Value {
    json!({"from": "Names", "names": [namespace]})
}

/// Covers RF-01. What is missing is named, nothing is written, and a retry is announced.
#[tokio::test]
async fn a_missing_referent_is_named_and_nothing_is_written() {
    let story = Story::start("ref-missing").await;
    let mut no_auth = list(&story, "no-auth");
    no_auth["spec"]["authRef"]["name"] = json!("nowhere");
    let mut no_user = access(&story, "no-user", "nowhere");
    no_user["spec"]["principal"] = json!({"userName": "nobody@example.com"});
    no_user["spec"].as_object_mut().unwrap().remove("workspaceRef");
    no_user["spec"]["workspaceId"] = json!(7);
    for (manifest, says) in [
        (no_auth, "DatabricksAuth ref-missing/nowhere"),
        (access(&story, "no-workspace", "nowhere"), "Workspace ref-missing/nowhere"),
        (no_user, "user nobody@example.com"),
    ] {
        story.apply(&manifest).await;
        let (kind, name) =
            (manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap());
        let object =
            story.wait_condition(kind, name, "ReferencesResolved", "False", "ReferenceNotFound").await;
        assert!(message(&object, "ReferencesResolved").contains(says), "{object}");
        let reconciling = condition(&object, "Reconciling").unwrap();
        assert_eq!(
            (&reconciling["status"], &reconciling["reason"]),
            (&json!("True"), &json!("WaitingForReference"))
        );
        assert_eq!(condition(&object, "Ready").unwrap()["status"], "False");
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers RF-01. A message has the name that was searched for, and the field that it is in.
#[tokio::test]
async fn a_name_that_means_nothing_is_in_the_message_with_its_field() {
    let story = Story::start("ref-named").await;
    let with = |mut manifest: Value, field: &str, value: Value| {
        manifest["spec"][field] = value;
        manifest
    };
    let mut no_secret = story.auth("no-secret");
    no_secret["spec"]["clientSecretRef"]["name"] = json!("databrick");
    let classic = json!({"workspaceName": "classic", "awsRegion": "eu-west-1", "credentialsRef": {"name": "rol"},
        "storageConfigurationId": uuid::Uuid::new_v4().to_string()});
    let classic = story.managed(WORKSPACE, "classic", classic);
    let asked = uuid::Uuid::new_v4().to_string();
    let only_there = |manifest| with(manifest, "adoptionPolicy", json!("Required"));
    let id = story.account.insert("workspaces", json!({"workspace_name": "old", "aws_region": "eu-west-1"}));
    let by_id = |mut manifest: Value| {
        manifest["spec"].as_object_mut().unwrap().remove("workspaceRef");
        with(manifest, "workspaceId", id.as_ref().unwrap()["workspace_id"].clone())
    };
    let no_group = with(by_id(access(&story, "no-group", "")), "principal", json!({"groupName": "analist"}));
    let by_display_name = json!({"servicePrincipalName": "pipeline"});
    let by_display_name = with(by_id(access(&story, "by-display-name", "")), "principal", by_display_name);
    let user = story.account.objects("Users")[0]["userName"].as_str().unwrap().to_owned();
    for (manifest, reason, says) in [
        (
            with(list(&story, "no-auth"), "authRef", json!({"name": "acount"})),
            "ReferenceNotFound",
            "DatabricksAuth ref-named/acount does not exist: create it, or correct spec.authRef.name",
        ),
        (
            access(&story, "no-workspace", "analitics"),
            "ReferenceNotFound",
            "Workspace ref-named/analitics does not exist: create it, or correct spec.workspaceRef.name",
        ),
        (
            classic,
            "ReferenceNotFound",
            "Credential ref-named/rol does not exist: create it, or correct spec.credentialsRef.name",
        ),
        (no_group, "ReferenceNotFound", "no group analist: create it there, or correct spec.principal"),
        (
            by_display_name,
            "ReferenceNotFound",
            "no service principal with the application id pipeline: create it there, or correct spec.principal",
        ),
        (
            no_secret,
            "SecretNotFound",
            "Secret ref-named/databrick does not exist: create it with the key client-secret, or correct \
             spec.clientSecretRef.name",
        ),
        (only_there(list(&story, "no-list")), "ExternalResourceMissing", "no IpAccessList ALLOW/no-list,"),
        (
            only_there(workspace(&story, "nowhere")),
            "ExternalResourceMissing",
            "no Workspace eu-west-1/nowhere,",
        ),
        (
            only_there(by_id(access(&story, "nobody", ""))),
            "ExternalResourceMissing",
            &format!("(user {user})"),
        ),
        (
            with(list(&story, "by-id"), "externalId", json!(asked)),
            "ExternalResourceMissing",
            &format!("no IpAccessList with the id {asked}: correct spec.externalId"),
        ),
    ] {
        story.apply(&manifest).await;
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let kind = manifest["kind"].as_str().unwrap();
        let object = story.wait_condition(kind, name, "Ready", "False", reason).await;
        assert!(message(&object, "Ready").contains(says), "{name}: {}", message(&object, "Ready"));
    }
    story.end().await;
}

/// Covers RF-02. With no resync at all, what waits goes on as soon as its credentials or its workspace are there.
#[tokio::test]
async fn a_referent_that_becomes_ready_wakes_what_waits_for_it() {
    let mut story = Story::without_operator("ref-wakes").await;
    quick(&story);
    story.kubectl(&["delete", "secret", "databricks"]).await.unwrap();
    story.start_operator(&[("resync-interval", "Never")]).await;
    story.apply(&list(&story, "office")).await;
    story.wait_condition(LIST, "office", "ReferencesResolved", "False", "CredentialsUnavailable").await;
    let secret = story.account.client_secret.clone();
    story.set_secret(&secret).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    let there = Instant::now();
    story.wait_ready(LIST, "office").await;
    assert!(there.elapsed() < WOKEN, "it took {:?}", there.elapsed());

    // An object that comes, and one that becomes ready.
    story.apply(&access(&story, "team", "analytics")).await;
    story.wait_condition(ACCESS, "team", "ReferencesResolved", "False", "ReferenceNotFound").await;
    story.account.set(|s| s.provisioning_ms = 600_000);
    story.apply(&workspace(&story, "analytics")).await;
    story.wait_condition(ACCESS, "team", "ReferencesResolved", "False", "ReferenceNotReady").await;
    let begun = |object: &Value| (object["status"]["state"] == "PROVISIONING").then_some(());
    story.wait(WORKSPACE, "analytics", "it is being provisioned", begun).await;
    story.account.advance_ms(600_000);
    let made = story.wait_ready(WORKSPACE, "analytics").await;
    let there = Instant::now();
    let team = story.wait_ready(ACCESS, "team").await;
    assert!(there.elapsed() < WOKEN, "it took {:?}", there.elapsed());
    assert_eq!(team["status"]["resolvedRefs"]["workspaceRef"], made["status"]["externalId"]);
    story.end().await;
}

/// Covers RF-03. Across namespaces without a grant, what exists and what does not look the same.
#[tokio::test]
async fn a_refusal_does_not_reveal_what_another_namespace_has() {
    let (tenant, owner) = neighbours("ref-tenant-blind", "ref-owner-blind").await;
    tenant.apply(&with_auth(list(&tenant, "one"), &owner.namespace, AUTH)).await;
    tenant.apply(&with_auth(list(&tenant, "other"), &owner.namespace, "nowhere")).await;
    let one = wait_denied(&tenant, LIST, "one").await;
    let other = wait_denied(&tenant, LIST, "other").await;
    let told = |object: &Value, name: &str| {
        let conditions = object["status"]["conditions"].as_array().unwrap().iter();
        let said = |c: &Value| format!("{} {} {} {}", c["type"], c["status"], c["reason"], c["message"]);
        conditions.map(said).collect::<Vec<_>>().join("\n").replace(&format!("/{name} "), "/NAME ")
    };
    assert_eq!(told(&one, AUTH), told(&other, "nowhere"));
    let event = tenant.wait_event(LIST, "one", DENIED).await;
    assert_eq!(event, tenant.wait_event(LIST, "other", DENIED).await.replace("nowhere", AUTH));

    // Nor when it is there and does not work, nor when it grants something to others.
    owner.kubectl(&["delete", "secret", "databricks"]).await.unwrap();
    owner.wait_condition("DatabricksAuth", AUTH, "Ready", "False", "SecretNotFound").await;
    grant(&owner, json!([{"namespaces": to("somebody-else")}])).await;
    let generation = owner.get("DatabricksAuth", AUTH).await["metadata"]["generation"].clone();
    let taken_in = |auth: &Value| (auth["status"]["observedGeneration"] == generation).then_some(());
    owner.wait("DatabricksAuth", AUTH, "the grant was taken in", taken_in).await;
    let nudge =
        json!({"metadata": {"annotations": {"databricks-operator.io/reconcile-requested-at": "now"}}});
    tenant.patch(LIST, "one", nudge).await;
    let handled =
        |object: &Value| (object["status"]["lastHandledReconcileAt"] == "now").then(|| object.clone());
    let again = tenant.wait(LIST, "one", "looked at again", handled).await;
    assert_eq!(told(&again, AUTH), told(&one, AUTH));
    assert_eq!(calls(&owner), [""; 0]);
    tenant.end().await;
    owner.end().await;
}

/// Covers RF-04. A grant opens the door at once; without it nothing is written any more, and what is there stays.
#[tokio::test]
async fn a_grant_allows_objects_and_its_removal_changes_nothing_in_the_account() {
    let (tenant, owner) = neighbours("ref-tenant-grant", "ref-owner-grant").await;
    let lists = || owner.account.objects("ip-access-lists");
    tenant.apply(&with_auth(list(&tenant, "office"), &owner.namespace, AUTH)).await;
    wait_denied(&tenant, LIST, "office").await;
    grant(&owner, json!([{"namespaces": to(&tenant.namespace), "kinds": [LIST]}])).await;
    let granted = Instant::now();
    tenant.wait_ready(LIST, "office").await;
    assert!(granted.elapsed() < WOKEN, "it took {:?}", granted.elapsed());
    assert_eq!(lists().len(), 1);

    grant(&owner, json!([])).await;
    wait_denied(&tenant, LIST, "office").await;
    owner.account.clear_journal();
    tenant.patch(LIST, "office", json!({"spec": {"label": "renamed"}})).await;
    wait_denied(&tenant, LIST, "office").await;
    assert_eq!(calls(&owner), [""; 0]);
    assert_eq!(lists()[0]["label"], "office");

    // Given back, what was missed is made up for.
    grant(&owner, json!([{"namespaces": {"from": "All"}}])).await;
    tenant.wait_ready(LIST, "office").await;
    assert_eq!(lists()[0]["label"], "renamed");

    // Neither does a deletion go through a closed door; Retain is the way out.
    grant(&owner, json!([])).await;
    wait_denied(&tenant, LIST, "office").await;
    owner.account.clear_journal();
    tenant.delete(LIST, "office").await;
    tenant.wait_condition(LIST, "office", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    tenant.patch(LIST, "office", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    tenant.wait_gone(LIST, "office").await;
    assert_eq!((calls(&owner), lists().len()), (vec![], 1));
    tenant.end().await;
    owner.end().await;
}

/// Covers RF-05. Whatever a tenant writes into the references of his objects, no call is made with his neighbour's
/// credentials.
#[tokio::test]
async fn no_reference_gets_at_the_credentials_of_another_namespace() {
    let (tenant, owner) = neighbours("ref-tenant-table", "ref-owner-table").await;
    let borrowed = |manifest: Value| with_auth(manifest, &owner.namespace, AUTH);
    let own = owner.account.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap();
    let by_id = |name: &str, level: &str| {
        let mut manifest = access(&tenant, name, "x");
        manifest["spec"].as_object_mut().unwrap().remove("workspaceRef");
        manifest["spec"]["workspaceId"] = json!(own);
        manifest["spec"]["principal"] = json!({"id": 7});
        manifest["spec"]["permissions"] = json!([level]);
        borrowed(manifest)
    };
    let mut observed = list(&tenant, "observe");
    observed["spec"]["managementPolicy"] = json!("Observe");
    let mut bound = list(&tenant, "bound");
    let office = json!({"label": "office", "list_type": "ALLOW", "ip_addresses": ["203.0.113.0/24"]});
    bound["spec"]["externalId"] = owner.account.insert("ip-access-lists", office).unwrap()["list_id"].clone();
    owner.let_reads_catch_up();
    let me = tenant.namespace.clone();
    let table = [
        // No grants at all, in every kind and every way to read.
        (json!(null), borrowed(list(&tenant, "plain"))),
        (json!(null), borrowed(observed)),
        (json!(null), borrowed(bound)),
        (json!(null), borrowed(workspace(&tenant, "workspace"))),
        (json!(null), borrowed(access(&tenant, "by-ref", "workspace"))),
        (json!(null), by_id("by-id", "USER")),
        // Grants to somebody else, for something else, or for less.
        (json!([{"namespaces": {"from": "Same"}}]), borrowed(list(&tenant, "same"))),
        (json!([{"namespaces": to("somebody-else")}]), borrowed(list(&tenant, "names"))),
        (json!([{"namespaces": to(&me), "kinds": [WORKSPACE]}]), borrowed(list(&tenant, "kinds"))),
        (json!([{"namespaces": to(&me), "workspaceIds": [own]}]), borrowed(list(&tenant, "account"))),
        (json!([{"namespaces": to(&me), "workspaceIds": [own + 1]}]), by_id("ids", "USER")),
        (json!([{"namespaces": to(&me), "maxPermission": "USER"}]), by_id("admin", "ADMIN")),
    ];
    for (grants, manifest) in table {
        grant(&owner, grants.clone()).await;
        let generation = owner.get("DatabricksAuth", AUTH).await["metadata"]["generation"].clone();
        let taken_in = |auth: &Value| (auth["status"]["observedGeneration"] == generation).then_some(());
        owner.wait("DatabricksAuth", AUTH, "the grants were taken in", taken_in).await;
        let (kind, name) =
            (manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap());
        owner.account.clear_journal();
        tenant.apply(&manifest).await;
        wait_denied(&tenant, kind, name).await;
        assert_eq!(calls(&owner), [""; 0], "{kind} {name} with {grants}");
        // Not by deleting it either.
        tenant.delete(kind, name).await;
        tenant.wait_gone(kind, name).await;
        assert_eq!(calls(&owner), [""; 0], "{kind} {name} with {grants}");
    }
    tenant.end().await;
    owner.end().await;
}

/// Names of the fields of a schema that end in `Ref`, at any depth, and take a namespace.
fn refs_across(schema: &Value, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if name.ends_with("Ref") && !field["properties"]["namespace"].is_null() {
            found.push(name.clone());
        }
        refs_across(field, found);
    }
    if schema["items"].is_object() {
        refs_across(&schema["items"], found);
    }
}

/// Covers RF-05. Only `authRef` crosses the border between namespaces: no other reference can even be written so.
#[tokio::test]
async fn only_credentials_can_be_named_across_namespaces() {
    for crd in crds() {
        let schema = json!(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema);
        let spec = &schema["properties"]["spec"];
        let mut found = vec![];
        refs_across(spec, &mut found);
        let kind = &crd.spec.names.kind;
        let expected: &[&str] = if kind == "DatabricksAuth" { &[] } else { &["authRef"] };
        assert_eq!(found, expected, "{kind}");
    }
    let story = Story::start("ref-across").await;
    let mut thief = story.auth("thief");
    thief["spec"]["clientSecretRef"]["namespace"] = json!("default");
    let mut stranger = access(&story, "stranger", "analytics");
    stranger["spec"]["workspaceRef"]["namespace"] = json!("default");
    for manifest in [thief, stranger] {
        let refused = story.try_apply(&manifest).await.unwrap_err().to_string();
        assert!(refused.contains("namespace: field not declared in schema"), "{refused}");
    }
    story.end().await;
}

/// Covers RF-06. A workspace to which somebody is assigned is deleted after the assignment, and says what it waits for.
#[tokio::test]
async fn what_others_refer_to_is_deleted_last() {
    let story = Story::start("ref-in-use").await;
    quick(&story);
    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "team", "analytics")).await;
    story.wait_ready(ACCESS, "team").await;
    story.delete(WORKSPACE, "analytics").await;
    let reason = "DependencyStillInUse";
    let held = story.wait_condition(WORKSPACE, "analytics", "DeletionBlocked", "True", reason).await;
    let told = message(&held, "DeletionBlocked");
    for part in [
        "1 object still refers to this one (PermissionAssignment ref-in-use/team): delete it, or",
        "deletionPolicy to Retain",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(story.wait_event(WORKSPACE, "analytics", "DeletionBlocked").await.contains(reason));
    assert_eq!(story.account.calls("DELETE", "*"), 0);
    assert_eq!(story.account.objects("workspaces")[0]["workspace_status"], "RUNNING");

    story.delete(ACCESS, "team").await;
    story.wait_gone(WORKSPACE, "analytics").await;
    let id = held["status"]["externalId"].as_str().unwrap();
    let deleted = story.account.journal().into_iter().filter(|call| call.method == "DELETE" && call.applied);
    let deleted: Vec<String> = deleted.map(|call| call.path).collect();
    assert!(deleted[0].contains("/permissionassignments/principals/"), "{deleted:?}");
    assert!(deleted[1..].iter().all(|path| path.ends_with(&format!("/workspaces/{id}"))), "{deleted:?}");
    assert_eq!(story.account.objects("workspaces").len(), 0);
    story.end().await;
}

/// Covers DL-08, RF-03. Who only names credentials of another namespace, and was not granted them, neither holds their
/// deletion nor is named in their status. Who was granted them does and is.
#[tokio::test]
async fn a_reference_that_was_not_granted_holds_no_credentials() {
    let (tenant, owner) = neighbours("ref-tenant-holds", "ref-owner-holds").await;
    grant(
        &owner,
        json!([{"namespaces": {"from": "Same"}}, {"namespaces": to(&tenant.namespace), "kinds": [LIST]}]),
    )
    .await;
    tenant.apply(&with_auth(list(&tenant, "guest"), &owner.namespace, AUTH)).await;
    tenant.apply(&with_auth(workspace(&tenant, "stranger"), &owner.namespace, AUTH)).await;
    owner.apply(&list(&owner, "own")).await;
    tenant.wait_ready(LIST, "guest").await;
    wait_denied(&tenant, WORKSPACE, "stranger").await;
    owner.wait_ready(LIST, "own").await;

    owner.delete("DatabricksAuth", AUTH).await;
    let reason = "DependencyStillInUse";
    let held = owner.wait_condition("DatabricksAuth", AUTH, "DeletionBlocked", "True", reason).await;
    let first = json!(["IpAccessList ref-owner-holds/own", "IpAccessList ref-tenant-holds/guest"]);
    assert_eq!(held["status"]["dependents"], json!({"count": 2, "first": first}));
    assert!(!held["status"].to_string().contains("stranger"), "{held}");
    tenant.delete(LIST, "guest").await;
    tenant.wait_gone(LIST, "guest").await;
    owner.delete(LIST, "own").await;
    owner.wait_gone("DatabricksAuth", AUTH).await;
    wait_denied(&tenant, WORKSPACE, "stranger").await;
    tenant.end().await;
    owner.end().await;
}

/// Covers RF-05. Whom a grant lets use one workspace learns nothing of another by writing its id where ids are believed.
#[tokio::test]
async fn a_grant_for_one_workspace_shows_nothing_of_another() {
    let story = Story::start("ref-one-workspace").await;
    let new = || story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let (granted, other) = (new(), new());
    let grace = story.account.objects("Users").into_iter().find(|u| u["displayName"] == "grace").unwrap();
    let grace: i64 = grace["id"].as_str().unwrap().parse().unwrap();
    let row = json!({"workspace_id": other, "principal_id": grace, "permissions": ["ADMIN"]});
    story.account.insert("permissionassignments", row).unwrap();
    let before = story.account.objects("permissionassignments");
    grant(&story, json!([{"namespaces": {"from": "Same"}, "workspaceIds": [granted]}])).await;
    story.wait_ready("DatabricksAuth", AUTH).await;

    let id = format!("{other}/{grace}");
    let spec = json!({"workspaceId": granted, "principal": {"id": grace}, "permissions": ["USER"]});
    let annotation = json!({"databricks-operator.io/external-id": id});
    for (name, policy, asked) in [
        ("asked", "Managed", true),
        ("asked-observed", "Observe", true),
        ("annotated", "Managed", false),
        ("annotated-observed", "Observe", false),
    ] {
        let mut manifest = story.managed(ACCESS, name, spec.clone());
        manifest["spec"]["managementPolicy"] = json!(policy);
        if asked {
            manifest["spec"]["externalId"] = json!(id);
        } else {
            manifest["metadata"]["annotations"] = annotation.clone();
        }
        story.apply(&manifest).await;
        let refused = |object: &Value| {
            let ready = condition(object, "Ready")?;
            (ready["status"] == "False" && ready["reason"] == DENIED).then_some(())
        };
        story.wait(ACCESS, name, "it is refused", refused).await;
        let status = story.pass(ACCESS, name).await["status"].to_string();
        for secret in ["grace", "ADMIN"] {
            assert!(!status.contains(secret), "{name}: {secret} in {status}");
        }
        story.delete(ACCESS, name).await;
        story.wait_gone(ACCESS, name).await;
    }
    let events = story.kubectl(&["get", "events", "-o", "json"]).await.unwrap();
    assert!(!events.contains("grace"), "{events}");
    assert_eq!(story.account.objects("permissionassignments"), before);
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// The level that the account gives the user of [`access`]; the operator is an administrator of what it made.
fn level(story: &Story) -> Vec<Value> {
    let user: i64 = story.account.objects("Users")[0]["id"].as_str().unwrap().parse().unwrap();
    let rows = story.account.objects("permissionassignments").into_iter();
    rows.filter(|row| row["principal_id"] == user).map(|row| row["permissions"].clone()).collect()
}

/// Somebody gives the user of [`access`] more than the spec says.
fn escalate(story: &Story, access: &Value) {
    let id = access["status"]["externalId"].as_str().unwrap();
    story.account.edit("permissionassignments", id, json!({"permissions": ["ADMIN"]})).unwrap();
}

async fn put_right(story: &Story) {
    let corrected = eventually("the escalation is corrected", SOON, async || match level(story).as_slice() {
        [level] if *level == json!(["USER"]) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    corrected.await.unwrap();
}

/// Covers RF-07, IM-09. A field of a running workspace is mistyped, then Databricks refuses another: access to it is given,
/// corrected and taken away all the same, also after a restart.
#[tokio::test]
async fn a_refused_field_of_a_workspace_freezes_no_access() {
    let mut story = Story::start("ref-refused-field").await;
    quick(&story);
    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "team", "analytics")).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let team = story.wait_ready(ACCESS, "team").await;

    story.patch(WORKSPACE, "analytics", json!({"spec": {"awsRegion": "eu-west-11"}})).await;
    let stalled =
        story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "ImmutableFieldChanged").await;
    let told = message(&stalled, "Stalled");
    assert!(told.contains("spec.awsRegion") && told.contains("write \"eu-west-1\""), "{told}");
    escalate(&story, &team);
    put_right(&story).await;
    story.wait_ready(ACCESS, "team").await;

    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[]).await;
    story.patch(ACCESS, "team", json!({"spec": {"permissions": ["ADMIN"]}})).await;
    story.wait_ready(ACCESS, "team").await;
    assert_eq!(level(&story), [json!(["ADMIN"])]);
    story.delete(ACCESS, "team").await;
    story.wait_gone(ACCESS, "team").await;
    assert_eq!(level(&story), [] as [Value; 0]);

    story.account.fault(Fault {
        method: Some("PATCH".into()),
        path: "*/workspaces/*".into(),
        status: Some(400),
        body: Some(json!({"error_code": "INVALID_PARAMETER_VALUE", "message": "no such tag"})),
        ..Fault::default()
    });
    let tags = json!({"awsRegion": "eu-west-1", "customTags": {"team": "x"}});
    story.patch(WORKSPACE, "analytics", json!({"spec": tags})).await;
    story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "InvalidSpec").await;
    story.apply(&access(&story, "again", "analytics")).await;
    story.wait_ready(ACCESS, "again").await;
    assert_eq!(level(&story), [json!(["USER"])]);
    story.end().await;
}

/// Covers RF-07. A credential whose role somebody changed cannot be as its spec says, and serves new workspaces all the same.
#[tokio::test]
async fn a_credential_that_differs_serves_its_workspaces() {
    let story = Story::start("ref-credential").await;
    quick(&story);
    let role = |arn: &str| json!({"sts_role": {"role_arn": format!("arn:aws:iam::123456789012:role/{arn}")}});
    let spec = json!({"credentialsName": "compute",
        "awsCredentials": {"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}}});
    story.apply(&story.managed("Credential", "compute", spec)).await;
    let made = story.wait_ready("Credential", "compute").await;
    let id = made["status"]["externalId"].as_str().unwrap();
    story.account.edit("credentials", id, json!({"aws_credentials": role("other")})).unwrap();
    let stalled =
        story.wait_condition("Credential", "compute", "Stalled", "True", "ImmutableFieldChanged").await;
    let told = message(&stalled, "Stalled");
    let said = "spec.awsCredentials.stsRole.roleArn: it cannot be changed after creation: write \"arn:aws:iam::123456789012:role/other\"";
    assert!(told.contains(said), "{told}");

    let spec = json!({"workspaceName": "analytics", "awsRegion": "eu-west-1", "credentialsRef": {"name": "compute"},
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b", "deletionPolicy": "Delete"});
    story.apply(&story.managed(WORKSPACE, "analytics", spec)).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    assert_eq!(story.account.objects("workspaces")[0]["credentials_id"], id);
    story.end().await;
}

/// Covers RF-07. Access that was given is kept right while its workspace waits to be deleted. Nobody gets new access to a
/// workspace that is going, that has failed, or that is gone.
#[tokio::test]
async fn new_access_needs_a_usable_workspace_and_existing_access_only_one_that_exists() {
    let story = Story::start("ref-usable").await;
    quick(&story);
    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "team", "analytics")).await;
    let id =
        story.wait_ready(WORKSPACE, "analytics").await["status"]["externalId"].as_str().unwrap().to_owned();
    let team = story.wait_ready(ACCESS, "team").await;
    let usable = async |wanted: Value| {
        let is = |object: &Value| (object["status"]["usable"] == wanted).then(|| object.clone());
        story.wait(WORKSPACE, "analytics", &format!("usable is {wanted}"), is).await
    };
    let waits = async |name: &str| {
        let new = access(&story, name, "analytics");
        story.apply(&new).await;
        story.wait_condition(ACCESS, name, "ReferencesResolved", "False", "ReferenceNotReady").await;
        story.delete(ACCESS, name).await;
        story.wait_gone(ACCESS, name).await;
    };
    usable(json!(true)).await;
    story.account.edit("workspaces", &id, json!({"workspace_status": "FAILED"})).unwrap();
    usable(json!(false)).await;
    waits("failed").await;
    story.account.edit("workspaces", &id, json!({"workspace_status": "RUNNING"})).unwrap();
    story.pass(WORKSPACE, "analytics").await;
    usable(json!(true)).await;
    story.wait_ready(ACCESS, "team").await;

    story.delete(WORKSPACE, "analytics").await;
    story.wait_condition(WORKSPACE, "analytics", "DeletionBlocked", "True", "DependencyStillInUse").await;
    escalate(&story, &team);
    put_right(&story).await;
    story.wait_ready(ACCESS, "team").await;
    waits("leaving").await;
    story.delete(ACCESS, "team").await;
    story.wait_gone(WORKSPACE, "analytics").await;

    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "team", "analytics")).await;
    let again = story.wait_ready(WORKSPACE, "analytics").await;
    story.wait_ready(ACCESS, "team").await;
    assert!(story.account.remove("workspaces", again["status"]["externalId"].as_str().unwrap()));
    story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "ExternalResourceMissing").await;
    usable(json!(null)).await;
    story.wait_condition(ACCESS, "team", "ReferencesResolved", "False", "ReferenceNotReady").await;
    waits("gone").await;
    let before = story.account.calls("PUT", "*");
    story.pass(ACCESS, "team").await;
    assert_eq!(story.account.calls("PUT", "*"), before, "nothing is written to what is gone");
    story.end().await;
}
