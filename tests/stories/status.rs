//! What people and tools read from the status, the events and `kubectl`, and when it changes.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use simulator::{Fault, When};
use world::eventually;

use crate::support::{AUTH, SOON, Story, cluster, condition};

const KIND: &str = "IpAccessList";
const LISTS: &str = "*/ip-access-lists";
const ONE_LIST: &str = "*/ip-access-lists/*";
const REQUESTED: &str = "databricks-operator.io/reconcile-requested-at";

fn list(story: &Story, name: &str) -> Value {
    story.managed(KIND, name, json!({"label": name, "listType": "BLOCK", "ipAddresses": ["203.0.113.0/24"]}))
}

fn workspace(story: &Story, name: &str) -> Value {
    let credentials = story.account.insert("credentials", json!({"credentials_name": name})).unwrap();
    let spec = json!({
        "workspaceName": name, "awsRegion": "eu-west-1", "credentialsId": credentials["credentials_id"],
        "storageConfigurationId": uuid::Uuid::new_v4().to_string(),
    });
    story.account.set(|settings| settings.provisioning_ms = 300);
    story.managed("Workspace", name, spec)
}

fn access(story: &Story, group: &str, workspace: &str) -> Value {
    let spec = json!({
        "workspaceRef": {"name": workspace}, "principal": {"groupName": group}, "permissions": ["USER"],
    });
    story.managed("PermissionAssignment", group, spec)
}

fn hold(method: &str, path: &str) -> Fault {
    Fault { method: Some(method.into()), path: path.into(), hold: true, times: Some(1), ..Fault::default() }
}

/// An answer in place of the effect, the way the API refuses, with ids of the request where the API puts them.
fn refusal(method: &str, path: &str, status: u16, code: &str) -> Fault {
    let request = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "error_code": code, "message": format!("the account says no to request {request} [ReqId: {request}]"),
        "details": [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": request}],
    });
    Fault {
        method: Some(method.into()),
        path: path.into(),
        status: Some(status),
        body: Some(body),
        headers: [("x-request-id".to_owned(), request)].into(),
        ..Fault::default()
    }
}

/// The same refusal `times` times, each of another request, and then for ever.
fn refuse(story: &Story, times: u32, status: u16, code: &str) {
    for left in (0..=times).rev() {
        story
            .account
            .fault(Fault { times: (left > 0).then_some(1), ..refusal("PATCH", ONE_LIST, status, code) });
    }
}

fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

/// What kstatus, and with it Flux and `kpt`, concludes from an object.
fn kstatus(object: &Value) -> &'static str {
    let is = |type_: &str| condition(object, type_).is_some_and(|c| c["status"] == "True");
    let observed = &object["status"]["observedGeneration"];
    let stale = !observed.is_null() && *observed != object["metadata"]["generation"];
    if !object["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if stale || is("Reconciling") {
        "InProgress"
    } else if is("Stalled") {
        "Failed"
    } else if condition(object, "Ready").is_some() && !is("Ready") {
        "InProgress"
    } else {
        // No condition at all counts as done: it is how a ConfigMap looks.
        "Current"
    }
}

/// Writes to the story's namespace that the API server got since then, as `verb resource/subresource name`. For our own
/// kinds, events and Secrets; that is what its audit log has.
fn audited_writes(story: &Story, since: Timestamp) -> Vec<String> {
    let log = std::fs::read_to_string(cluster().control_plane.audit_log()).unwrap();
    let mut writes = vec![];
    for line in log.lines() {
        // The last line may still be being written.
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        let (verb, on) = (entry["verb"].as_str().unwrap(), &entry["objectRef"]);
        let at: Timestamp = entry["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap();
        // One that was refused for an old version wrote nothing.
        let written = entry["responseStatus"]["code"].as_u64().is_some_and(|code| code < 400);
        let here = on["namespace"] == *story.namespace && at >= since;
        if here && written && !["get", "list", "watch"].contains(&verb) {
            let text = |key: &str| on[key].as_str().unwrap_or_default();
            writes.push(format!("{verb} {}/{} {}", text("resource"), text("subresource"), text("name")));
        }
    }
    writes
}

/// Asks for a pass and waits until it has ended.
async fn pass(story: &Story, name: &str) -> Value {
    let token = uuid::Uuid::new_v4().to_string();
    story.patch(KIND, name, json!({"metadata": {"annotations": {REQUESTED: token}}})).await;
    story
        .wait(KIND, name, "the pass asked for has ended", |object| {
            (object["status"]["lastHandledReconcileAt"] == token).then(|| object.clone())
        })
        .await
}

/// Covers ST-01. While a creation or an edit is under way in the account, the status stays that of the generation before.
#[tokio::test]
async fn a_generation_counts_as_observed_once_the_account_has_it() {
    let story = Story::start("observed-late").await;
    let fault = story.account.fault(hold("POST", LISTS));
    story.apply(&list(&story, "office")).await;
    story.account.held(fault).await;
    let making = story.get(KIND, "office").await;
    assert_eq!(making["status"]["observedGeneration"], -1, "{making}");
    story.account.clear_faults();
    story.account.release_all();
    let before = story.wait_ready(KIND, "office").await;
    assert_eq!(before["status"]["observedGeneration"], 1);

    let fault = story.account.fault(hold("PATCH", ONE_LIST));
    story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await;
    story.account.held(fault).await;
    let during = story.get(KIND, "office").await;
    assert_eq!(during["metadata"]["generation"], 2);
    assert_eq!(during["status"]["observedGeneration"], 1, "{during}");
    for condition in during["status"]["conditions"].as_array().unwrap() {
        let early = condition["status"] == "True" && condition["observedGeneration"] == 2;
        assert!(
            !early || condition["type"] == "Reconciling" || condition["type"] == "ReferencesResolved",
            "{condition}"
        );
    }
    assert_eq!(story.account.objects("ip-access-lists")[0]["label"], "office");

    story.account.release_all();
    let after = story.wait_ready(KIND, "office").await;
    assert_eq!(after["status"]["observedGeneration"], 2);
    assert_eq!(story.account.objects("ip-access-lists")[0]["label"], "branch");
    story.end().await;
}

/// Covers ST-02. Objects of every kind are in progress for kstatus before any operator has seen them, and it follows them
/// through their life.
#[tokio::test]
async fn kstatus_never_takes_unfinished_work_for_done() {
    let mut story = Story::without_operator("kstatus").await;
    for crd in databricks_operator::cli::crds() {
        let kind = crd.spec.names.kind;
        let sample = format!("{}/config/samples/{}.yaml", env!("CARGO_MANIFEST_DIR"), kind.to_lowercase());
        story.kubectl(&["apply", "-f", &sample]).await.unwrap();
        for object in story.api(&kind).list(&Default::default()).await.unwrap() {
            let object = json!(object);
            assert_eq!(object["status"], json!({"observedGeneration": -1}), "{kind}");
            assert_eq!(kstatus(&object), "InProgress", "{kind}");
        }
        story.kubectl(&["delete", "-f", &sample]).await.unwrap();
    }
    story.apply(&list(&story, "mine")).await;
    assert_eq!(kstatus(&story.get(KIND, "mine").await), "InProgress");
    story.start_operator(&[]).await;
    assert_eq!(kstatus(&story.wait_ready(KIND, "mine").await), "Current");

    story.account.fault(refusal("PATCH", ONE_LIST, 400, "INVALID_PARAMETER_VALUE"));
    story.patch(KIND, "mine", json!({"spec": {"label": "refused"}})).await;
    let stalled = story.wait_condition(KIND, "mine", "Stalled", "True", "InvalidSpec").await;
    assert_eq!(kstatus(&stalled), "Failed");

    story.account.clear_faults();
    let fault = story.account.fault(hold("PATCH", ONE_LIST));
    story.patch(KIND, "mine", json!({"spec": {"label": "taken"}})).await;
    story.account.held(fault).await;
    assert_eq!(kstatus(&story.get(KIND, "mine").await), "InProgress");
    story.account.release_all();
    assert_eq!(kstatus(&story.wait_ready(KIND, "mine").await), "Current");

    let fault = story.account.fault(hold("DELETE", ONE_LIST));
    story.delete(KIND, "mine").await;
    story.account.held(fault).await;
    assert_eq!(kstatus(&story.get(KIND, "mine").await), "Terminating");
    story.account.release_all();
    story.wait_gone(KIND, "mine").await;
    story.end().await;
}

/// Covers ST-07, OB-01. Fifty Ready objects are compared with the account ten times, and nothing at all is written, no
/// event either.
#[tokio::test]
async fn comparing_fifty_ready_objects_writes_nothing() {
    let story = Story::start_with("quiet", &[("resync-interval", "300ms")]).await;
    let names: Vec<String> = (0..50).map(|n| format!("list-{n:02}")).collect();
    let items: Vec<Value> = names.iter().map(|name| list(&story, name)).collect();
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).await;
    for name in &names {
        story.wait_ready(KIND, name).await;
        let annotation = "databricks-operator.io/external-id";
        let noted = |object: &Value| object["metadata"]["annotations"][annotation].is_string().then_some(());
        story.wait(KIND, name, "its id is noted", noted).await;
    }
    let writes = |writes: Vec<String>, what: &str| writes.iter().filter(|w| w.starts_with(what)).count();
    eventually("the audit log has the status writes so far", SOON, async || {
        let found = writes(audited_writes(&story, Timestamp::MIN), "patch ipaccesslists/status ");
        if found >= 50 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await
    .unwrap();

    let versions = async || {
        let all = story.api(KIND).list(&Default::default()).await.unwrap();
        let auth = story.get("DatabricksAuth", AUTH).await;
        all.items.into_iter().map(|o| json!(o)).chain([auth]).map(|o| version(&o).clone()).collect::<Vec<_>>()
    };
    let (before, since) = (versions().await, Timestamp::now());
    story.account.clear_journal();
    eventually("ten comparisons", SOON, async || {
        let found = story.account.calls("GET", LISTS);
        if found > 10 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await
    .unwrap();
    assert_eq!(versions().await, before);
    assert_eq!(audited_writes(&story, since), [] as [&str; 0]);
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers ST-07. After a restart, the sign-in of the DatabricksAuth takes seconds. What is Ready keeps its status meanwhile.
#[tokio::test]
async fn a_slow_sign_in_after_a_start_writes_nothing() {
    let mut story = Story::start("slow-sign-in").await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    story.pass(KIND, "office").await;
    story.operator.take().unwrap().kill().unwrap();
    let before = story.get(KIND, "office").await;
    let sign_in = story.account.fault(hold("POST", "/oidc/*"));
    story.start_operator(&[("backoff-min", "300ms"), ("backoff-max", "30s")]).await;
    let held = story.account.held(sign_in).await;
    eventually("the list has waited four times", SOON, async || {
        let waited =
            story.operator.as_ref().unwrap().text().matches("account was not reconciled yet").count();
        if waited >= 4 { Ok(()) } else { Err(waited.to_string()) }
    })
    .await
    .unwrap();
    story.account.clear_journal();
    story.account.release(held.n);
    eventually("the list is compared", SOON, async || {
        let found = story.account.calls("GET", LISTS);
        if found > 2 { Ok(()) } else { Err(found.to_string()) }
    })
    .await
    .unwrap();
    assert_eq!(story.get(KIND, "office").await, before);
    story.end().await;
}

/// Covers ST-08. Two failures one after the other: reason and message are the second one's, the time is that of the first.
#[tokio::test]
async fn the_time_of_a_condition_is_that_of_its_last_change_of_status() {
    let story = Story::start("transitions").await;
    story.account.fault(refusal("POST", LISTS, 403, "PERMISSION_DENIED"));
    story.apply(&list(&story, "office")).await;
    let first = story.wait_condition(KIND, "office", "Ready", "False", "PermissionDenied").await;
    // Times have whole seconds: only in a later one could a changed time be told from a kept one.
    let time = |object: &Value, type_: &str| condition(object, type_).unwrap()["lastTransitionTime"].clone();
    let at: Timestamp = time(&first, "Ready").as_str().unwrap().parse().unwrap();
    let later =
        async || if Timestamp::now().as_second() > at.as_second() { Ok(()) } else { Err("not yet".into()) };
    eventually("the next second", SOON, later).await.unwrap();

    story.account.clear_faults();
    story.account.fault(refusal("POST", LISTS, 400, "INVALID_PARAMETER_VALUE"));
    let second = pass(&story, "office").await;
    for type_ in ["Ready", "Synced", "Stalled", "ReferencesResolved"] {
        let (old, new) = (condition(&first, type_).unwrap(), condition(&second, type_).unwrap());
        assert_eq!(old["status"], new["status"], "{type_}");
        assert_eq!(time(&first, type_), time(&second, type_), "{type_}");
        if type_ != "ReferencesResolved" {
            assert_eq!(new["reason"], "InvalidSpec", "{type_}");
            assert_ne!(old["message"], new["message"], "{type_}");
        }
    }

    story.account.clear_faults();
    let ready = pass(&story, "office").await;
    assert_eq!(condition(&ready, "Ready").unwrap()["status"], "True");
    assert_ne!(time(&ready, "Ready"), time(&first, "Ready"));
    story.end().await;
}

/// Covers ST-09. The same refusal, each time of a request with another id, is written once and is at most one event.
#[tokio::test]
async fn the_same_failure_again_and_again_is_written_once() {
    let flags = [("recheck-stalled", "50ms"), ("backoff-min", "50ms"), ("backoff-max", "50ms")];
    let story = Story::start_with("same-failure", &flags).await;
    // A late read right after the create would be one more thing to write.
    story.account.set(|s| s.ip_list_lag_ms = 0);
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    for (round, (status, code, reason)) in [
        (400, "INVALID_PARAMETER_VALUE", "InvalidSpec"),
        (403, "PERMISSION_DENIED", "PermissionDenied"),
        (503, "TEMPORARILY_UNAVAILABLE", "Retrying"),
    ]
    .into_iter()
    .enumerate()
    {
        story.account.clear_journal();
        refuse(&story, 10, status, code);
        let edited = Timestamp::now();
        story.patch(KIND, "office", json!({"spec": {"label": format!("round {round}")}})).await;
        let first = story.wait_condition(KIND, "office", "Ready", "False", reason).await;
        let again = eventually("it was tried again and again", SOON, async || {
            let calls = story.account.calls("PATCH", ONE_LIST);
            if calls > 8 { Ok(()) } else { Err(format!("{calls} calls")) }
        });
        again.await.unwrap();
        let last = story.get(KIND, "office").await;
        assert_eq!(first["status"], last["status"], "{code}");
        assert_eq!(version(&first), version(&last), "{code}");
        let message = condition(&last, "Ready").unwrap()["message"].as_str().unwrap();
        assert!(message.contains("the account says no") && !message.contains("ReqId"), "{message}");
        let writes = audited_writes(&story, edited);
        let status_writes = writes.iter().filter(|w| *w == "patch ipaccesslists/status office").count();
        assert!(status_writes <= 1, "{code}: {writes:?}");

        story.account.clear_faults();
        story.wait_ready(KIND, "office").await;
    }
    let events = story.events(KIND, "office").await;
    let stalled = events.iter().filter(|(reason, _)| reason == "Stalled");
    let reasons: Vec<&str> = stalled.filter_map(|(_, note)| note.split(':').next()).collect();
    assert_eq!(reasons, ["InvalidSpec", "PermissionDenied"], "one for each reason: {events:?}");
    story.end().await;
}

/// Covers OB-01. An object has events whatever its name is: Kubernetes allows 253 characters. One that somebody deleted is
/// written again.
#[tokio::test]
async fn an_object_with_the_longest_name_has_events() {
    let story = Story::start("long-names").await;
    let names = [
        "a".repeat(250),
        "b".repeat(253),
        format!("{}.{}", "c".repeat(235), "d".repeat(17)),
        format!("{}-{}", "e".repeat(235), "f".repeat(17)),
    ];
    for name in &names {
        let mut list = list(&story, name);
        list["spec"]["label"] = json!(&name[..30]);
        story.apply(&list).await;
        story.wait_ready(KIND, name).await;
        story.wait_event(KIND, name, "Created").await;
    }
    let mut auth = story.auth(&names[0]);
    auth["spec"]["clientSecretRef"]["key"] = json!("absent");
    story.apply(&auth).await;
    story.wait_condition("DatabricksAuth", &names[0], "Ready", "False", "SecretKeyMissing").await;
    story.patch("DatabricksAuth", &names[0], json!({"spec": {"suspend": true}})).await;
    story.wait_event("DatabricksAuth", &names[0], "Suspended").await;

    story.kubectl(&["delete", "events.events.k8s.io", "--all"]).await.unwrap();
    for suspended in [false, true] {
        story.patch("DatabricksAuth", &names[0], json!({"spec": {"suspend": suspended}})).await;
        let (status, reason) =
            if suspended { ("True", "SuspendedBySpec") } else { ("False", "SecretKeyMissing") };
        let shown = if suspended { "Suspended" } else { "Ready" };
        story.wait_condition("DatabricksAuth", &names[0], shown, status, reason).await;
    }
    story.wait_event("DatabricksAuth", &names[0], "Suspended").await;
    story.end().await;
}

/// Covers OB-01. What is wrong is one Warning, however many conditions say it.
#[tokio::test]
async fn one_fact_is_one_warning() {
    let mut story = Story::start("one-warning").await;
    let mut asked = list(&story, "lost");
    asked["spec"]["externalId"] = json!(uuid::Uuid::new_v4().to_string());
    story.apply(&asked).await;
    story.wait_condition(KIND, "lost", "Stalled", "True", "ExternalResourceMissing").await;
    story.set_secret("canary-of-a-wrong-secret").await;
    story.wait_condition("DatabricksAuth", AUTH, "Stalled", "True", "CredentialsInvalid").await;
    for (kind, name, reason) in
        [(KIND, "lost", "ExternalResourceMissing"), ("DatabricksAuth", AUTH, "CredentialsInvalid")]
    {
        story.wait_event(kind, name, reason).await;
        story.pass(kind, name).await;
        let warning =
            format!("--field-selector=type=Warning,involvedObject.kind={kind},involvedObject.name={name}");
        let text = story.kubectl(&["get", "events", &warning, "-o", "json"]).await.unwrap();
        let events: Value = serde_json::from_str(&text).unwrap();
        let reasons: Vec<&str> =
            events["items"].as_array().unwrap().iter().map(|e| e["reason"].as_str().unwrap()).collect();
        let other = if kind == KIND { vec!["CredentialsInvalid"] } else { vec![] };
        let about: Vec<&&str> = reasons.iter().filter(|r| !other.contains(r)).collect();
        assert_eq!(about, [&reason], "{kind}: {text}");
    }
    story.end().await;
}

/// Covers OB-01, ST-09. A hundred refusals, and a refusal that keeps changing, leave one event for each reason.
#[tokio::test]
async fn a_hundred_failures_are_no_hundred_events() {
    let story = Story::start_with("few-events", &[("recheck-stalled", "10ms")]).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    for (times, status, code) in [
        (50, 400, "INVALID_PARAMETER_VALUE"),
        (1, 403, "PERMISSION_DENIED"),
        (48, 400, "INVALID_PARAMETER_VALUE"),
    ] {
        for _ in 0..times {
            story.account.fault(Fault { times: Some(1), ..refusal("PATCH", ONE_LIST, status, code) });
        }
    }
    story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await;
    story.wait_ready(KIND, "office").await;
    assert_eq!(story.account.calls("PATCH", ONE_LIST), 100);
    let text = story.kubectl(&["get", "events.events.k8s.io", "-o", "json"]).await.unwrap();
    let events: Value = serde_json::from_str(&text).unwrap();
    let about = |e: &&Value| e["regarding"]["kind"] == KIND;
    let mut found: Vec<(&str, Option<i64>)> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(about)
        .map(|e| (e["reason"].as_str().unwrap(), e["series"]["count"].as_i64()))
        .collect();
    found.sort_unstable();
    // Stalled with one reason, with another, with the first again. Ready after that; before, it is in the event of the create.
    let stalled = [("Stalled", None), ("Stalled", Some(2))];
    assert_eq!(found, [&[("Created", None), ("Ready", None)], &stalled[..], &[("Updated", None)]].concat());
    story.end().await;
}

/// Covers ST-10. `kubectl wait` for Ready and for the deletion returns when the account is there, and not before.
#[tokio::test]
async fn kubectl_waits_as_long_as_it_takes() {
    let story = Story::start("kubectl-wait").await;
    let wait = async |what: &str, timeout: &str| {
        let timeout = format!("--timeout={timeout}");
        story.kubectl(&["wait", "ipaccesslist/office", what, &timeout]).await
    };
    for (method, path, what) in [
        ("POST", LISTS, "--for=condition=Ready"),
        ("PATCH", ONE_LIST, "--for=condition=Ready"),
        ("DELETE", ONE_LIST, "--for=delete"),
    ] {
        let fault = story.account.fault(hold(method, path));
        match method {
            "POST" => story.apply(&list(&story, "office")).await,
            "PATCH" => story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await,
            _ => story.delete(KIND, "office").await,
        }
        story.account.held(fault).await;
        let early = wait(what, "1s").await.unwrap_err().to_string();
        assert!(early.contains("timed out"), "{method}: {early}");
        story.account.release_all();
        wait(what, "20s").await.unwrap();
        let calls = story.account.writes();
        let last = calls.last().unwrap();
        assert!(last.method == method && last.applied && last.status == Some(200), "{last:?}");
    }
    story.end().await;
}

/// Covers ST-12. The status says which object it is, in which account, under which policies; and no message quotes a
/// secret that the account sends back.
#[tokio::test]
async fn the_status_shows_the_policies_in_force_and_no_secret() {
    let mut story = Story::start("what-is-in-force").await;
    story.apply(&list(&story, "office")).await;
    let status = story.wait_ready(KIND, "office").await["status"].clone();
    let made = story.account.objects("ip-access-lists").remove(0);
    let account = &story.account.account_id;
    assert_eq!(status["externalId"], made["list_id"]);
    let mut external = status["external"].clone();
    assert!(
        external.as_object_mut().unwrap().remove("createdAt").is_some_and(|time| time.is_string()),
        "{status}"
    );
    assert_eq!(
        external,
        json!({"accountId": account, "id": made["list_id"], "adopted": false, "name": "BLOCK/office"})
    );
    assert_eq!(status["state"], "ENABLED");
    assert_eq!(status["addressCount"], 1);
    assert_eq!(status["observedGeneration"], 1);
    let defaults = json!({
        "managementPolicy": "Managed", "adoptionPolicy": "IfOwned", "deletionPolicy": "Delete", "resyncInterval": "1s",
    });
    assert_eq!(status["effective"], defaults);
    let policies = json!({
        "managementPolicy": "Observe", "adoptionPolicy": "Never", "deletionPolicy": "Retain", "resyncInterval": "1h",
    });
    story.patch(KIND, "office", json!({"spec": policies})).await;
    assert_eq!(story.wait_ready(KIND, "office").await["status"]["effective"], policies);
    let auth = story.get("DatabricksAuth", AUTH).await;
    assert_eq!(auth["status"]["externalId"], **account);
    assert_eq!(auth["status"]["host"], story.account.url());

    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "analysts", "analytics")).await;
    let workspace = story.wait_ready("Workspace", "analytics").await["status"].clone();
    let told = json!({"workspace_url": "acme.cloud.databricks.com"});
    story.account.edit("workspaces", workspace["externalId"].as_str().unwrap(), told).unwrap();
    let shown = |object: &Value| {
        (object["status"]["workspaceUrl"] == "https://acme.cloud.databricks.com").then_some(())
    };
    story.wait("Workspace", "analytics", "its address is shown", shown).await;
    assert_eq!(workspace["effective"]["deletionPolicy"], "Retain");
    let access = story.wait_ready("PermissionAssignment", "analysts").await["status"].clone();
    let principal = access["resolvedRefs"]["principal"].as_str().unwrap();
    let workspace_id = workspace["externalId"].as_str().unwrap();
    assert_eq!(access["resolvedRefs"]["workspaceRef"], *workspace_id);
    assert_eq!(access["externalId"], format!("{workspace_id}/{principal}"));

    // The account quotes what it was sent. `end` looks for it everywhere.
    let secret = story.account.client_secret.clone();
    let quote = json!({"error_code": "INVALID_PARAMETER_VALUE", "message": format!("what is {secret}?")});
    let answer = Fault { status: Some(400), body: Some(quote), when: When::Before, ..Fault::default() };
    story.account.fault(Fault { path: LISTS.into(), ..answer });
    story.apply(&list(&story, "other")).await;
    let quoted = story.wait_condition(KIND, "other", "Ready", "False", "InvalidSpec").await;
    let message = condition(&quoted, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(message.contains("what is ***?"), "{message}");
    let canary = "a-canary-that-the-token-endpoint-quotes";
    let quote = json!({"error": "invalid_client", "error_description": format!("what is {canary}?")});
    let answer = Fault { status: Some(401), body: Some(quote), when: When::Before, ..Fault::default() };
    story.account.fault(Fault { path: "/oidc/*".into(), ..answer });
    story.set_secret(canary).await;
    story.wait_condition("DatabricksAuth", AUTH, "Ready", "False", "CredentialsInvalid").await;
    story.end().await;
}

/// Covers ST-13. Two hundred edits by one user, and the operator's writes all the while: the last edit stands, here and in
/// the account.
#[tokio::test]
async fn no_edit_is_lost_while_the_operator_writes() {
    use kube::api::{Patch, PatchParams};
    let story = Story::start("many-edits").await;
    let api = story.api(KIND);
    let params = PatchParams { field_manager: Some("gitops".into()), ..PatchParams::default() };
    let edit = async |turn: u64| {
        // Any sequence without a pattern will do.
        let chance = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let addresses: Vec<String> =
            (0..=chance % 4).map(|n| format!("198.51.100.{}", (chance + n) % 250)).collect();
        let mut wanted = list(&story, "office");
        wanted["spec"]["label"] = json!(format!("edit {}", chance % 50));
        wanted["spec"]["ipAddresses"] = json!(addresses);
        if let Some(enabled) = [None, Some(true), Some(false)][usize::try_from(chance % 3).unwrap()] {
            wanted["spec"]["enabled"] = json!(enabled);
        }
        let applied = api.patch("office", &params, &Patch::Apply(&wanted)).await.unwrap();
        assert_eq!(json!(applied)["spec"], wanted["spec"], "edit {turn}");
        wanted["spec"].clone()
    };
    let mut last = edit(0).await;
    story.wait_ready(KIND, "office").await;
    let since = Timestamp::now();
    for turn in 1..=200 {
        last = edit(turn).await;
        if turn % 20 == 0 {
            // Lets the operator begin with one of many.
            story
                .wait(KIND, "office", "an edit is seen", |o| {
                    (o["status"]["observedGeneration"] == o["metadata"]["generation"]).then_some(())
                })
                .await;
        }
    }
    let ready = story.wait_ready(KIND, "office").await;
    assert_eq!(ready["spec"], last);
    let in_account = story.account.objects("ip-access-lists");
    assert_eq!(in_account.len(), 1);
    assert_eq!(in_account[0]["label"], last["label"]);
    let written =
        audited_writes(&story, since).iter().filter(|w| w.starts_with("patch ipaccesslists/status")).count();
    assert!(written >= 10, "the operator wrote only {written} times");
    story.end().await;
}

/// Covers ST-14. `kubectl get databricks` lists all kinds in the same columns, with what a person needs of each; `kubectl explain`
/// explains.
#[tokio::test]
async fn kubectl_shows_what_matters_in_columns() {
    let story = Story::start("columns").await;
    story.apply(&workspace(&story, "analytics")).await;
    story.apply(&access(&story, "analysts", "analytics")).await;
    story.apply(&list(&story, "office")).await;
    let mut ids = vec![];
    for (kind, name) in [(KIND, "office"), ("Workspace", "analytics"), ("PermissionAssignment", "analysts")] {
        let id = story.wait_ready(kind, name).await["status"]["externalId"].as_str().unwrap().to_owned();
        ids.push(id);
    }
    story.account.fault(refusal("POST", LISTS, 403, "PERMISSION_DENIED"));
    story.apply(&list(&story, "refused")).await;
    story.wait_condition(KIND, "refused", "Stalled", "True", "PermissionDenied").await;

    let get = async |args: &[&str]| {
        let text = story.kubectl(&[&["get"], args].concat()).await.unwrap();
        let one_space = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().filter(|line| !line.is_empty()).map(one_space).collect::<Vec<_>>()
    };
    let header = |own: &str| format!("NAME READY SYNCED EXTERNAL-ID {own}STATUS AGE");
    let (any, lists) = (header(""), header("TYPE ADDRESSES "));
    let (assignments, workspaces) = (header("PRINCIPAL PERMISSION WORKSPACE "), header("REGION STATE URL "));
    let in_workspace = ids[2].split_once('/').unwrap().0;
    let (account, group) = (&story.account.account_id, "databricks-operator.io");
    let expected = [
        any.clone(),
        format!("databricksauth.{group}/account True True {account} Authenticated"),
        lists,
        format!("ipaccesslist.{group}/office True True {} BLOCK 1 Available", ids[0]),
        // No id, which is an empty column.
        format!("ipaccesslist.{group}/refused False False PermissionDenied"),
        assignments,
        format!(
            "permissionassignment.{group}/analysts True True {} analysts USER {in_workspace} Available",
            ids[2]
        ),
        workspaces.clone(),
        // The simulated account has no address for it.
        format!("workspace.{group}/analytics True True {} eu-west-1 RUNNING Available", ids[1]),
    ];
    let table = get(&["databricks"]).await;
    let without_age = |line: &String| match line.rsplit_once(' ') {
        Some((rest, _)) if !line.starts_with("NAME ") => rest.to_owned(),
        _ => line.clone(),
    };
    assert_eq!(table.iter().map(without_age).collect::<Vec<_>>(), expected);
    let wide = get(&["dbws", "-o", "wide"]).await;
    assert_eq!(wide[0], format!("{workspaces} AUTH POLICY DELETION MESSAGE"));
    assert!(wide[1].ends_with(&format!(" {AUTH} Managed Retain")), "{wide:?}");
    let everywhere = get(&["databricks", "--all-namespaces"]).await;
    assert!(everywhere.contains(&format!("NAMESPACE {any}")), "{everywhere:?}");

    // What is Ready and differs all the same says so, though Ready is the only condition with these columns.
    story.account.clear_faults();
    let id = &ids[0];
    story.patch(KIND, "office", json!({"spec": {"managementPolicy": "Observe"}})).await;
    story.account.edit("ip-access-lists", id, json!({"enabled": false})).unwrap();
    story.wait_condition(KIND, "office", "Ready", "True", "DriftDetected").await;
    let observed = get(&["dbip", "office", "-o", "wide"]).await.remove(1);
    assert!(observed.starts_with(&format!("office True False {id} BLOCK 1 DriftDetected ")), "{observed}");
    assert!(observed.ends_with(&format!(" {AUTH} Observe Delete differs in enabled")), "{observed}");

    let text = story.kubectl(&["explain", "ipaccesslist.spec.listType"]).await.unwrap();
    assert!(text.contains("only the addresses of the ALLOW lists have access"), "{text}");
    story.end().await;
}
