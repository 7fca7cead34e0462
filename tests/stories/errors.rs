//! Failures of the account: which are tried again and when, which wait for a person, and that none of them costs an object.
//!
//! Times are read from the account's journal. Lower bounds are exact, because a timer is never early; upper bounds leave
//! a slow machine room.

use serde_json::{Value, json};
use simulator::{Call, Fault, When};
use world::eventually;

use crate::support::{AUTH, SOON, Story, condition};

const LIST: &str = "IpAccessList";
const LISTS: &str = "*/ip-access-lists";
const ONE_LIST: &str = "*/ip-access-lists/*";

fn list(story: &Story, name: &str) -> Value {
    story.managed(LIST, name, json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]}))
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault {
        method: Some("POST".into()),
        path: LISTS.into(),
        status: Some(status),
        body: Some(json!({"error_code": code, "message": format!("refused with {code}")})),
        ..Fault::default()
    }
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Calls of IP access lists with this method (`*`: any).
fn calls(story: &Story, method: &str) -> Vec<Call> {
    let mut all = story.account.journal();
    all.retain(|call| call.class == "ip-access-lists" && (method == "*" || call.method == method));
    all
}

async fn wait_calls(story: &Story, method: &str, count: usize) -> Vec<Call> {
    let enough = eventually(format!("{count} {method} of IP access lists"), SOON, async || {
        let found = calls(story, method);
        if found.len() >= count { Ok(found) } else { Err(format!("{} so far", found.len())) }
    });
    enough.await.unwrap()
}

/// Milliseconds between one call and the next.
fn gaps(calls: &[Call]) -> Vec<u64> {
    calls.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect()
}

/// Covers ER-01. What is refused for good is shown under its reason, and sent once: no retry follows by itself.
#[tokio::test]
async fn a_refusal_is_named_and_not_repeated() {
    let story = Story::start("errors-refused").await;
    let rows = [
        (400, "INVALID_PARAMETER_VALUE", "InvalidSpec"),
        (400, "MALFORMED_REQUEST", "InvalidSpec"),
        (409, "ALREADY_EXISTS", "AlreadyExists"),
        (400, "RESOURCE_ALREADY_EXISTS", "AlreadyExists"),
        (403, "PERMISSION_DENIED", "PermissionDenied"),
        (400, "QUOTA_EXCEEDED", "QuotaExceeded"),
        (404, "FEATURE_DISABLED", "NotSupported"),
    ];
    for (n, (status, code, reason)) in rows.into_iter().enumerate() {
        story.account.clear_faults();
        story.account.fault(refusal(status, code));
        let name = format!("refused-{n}");
        story.apply(&list(&story, &name)).await;
        let seen = story.wait_condition(LIST, &name, "Stalled", "True", reason).await;
        assert_eq!(condition(&seen, "Ready").unwrap()["reason"], reason);
        let says = message(&seen, "Stalled");
        assert!(says.contains(&format!("refused with {code}")), "{says}");
    }
    let events = story.events(LIST, "refused-0").await;
    assert!(
        events.iter().any(|(reason, note)| reason == "Stalled" && note.contains("InvalidSpec")),
        "{events:?}"
    );

    // Long after the first refusals, by the time that an object took which was retried each second.
    story.account.clear_faults();
    story.apply(&list(&story, "fine")).await;
    story.wait_ready(LIST, "fine").await;
    let reads = calls(&story, "GET").len();
    wait_calls(&story, "GET", reads + 2).await;
    let labels: Vec<Value> =
        calls(&story, "POST").into_iter().map(|call| call.body.unwrap()["label"].clone()).collect();
    let expected: Vec<String> =
        (0..rows.len()).map(|n| format!("refused-{n}")).chain(["fine".into()]).collect();
    assert_eq!(labels, expected);
    story.end().await;
}

/// Covers ER-01. What a person has to decide is tried once in each slow re-check, after one look at what is there.
#[tokio::test]
async fn a_refused_object_is_tried_once_in_each_slow_recheck() {
    let story = Story::start_with("errors-recheck", &[("recheck-stalled", "1s")]).await;
    story.account.fault(refusal(400, "INVALID_PARAMETER_VALUE"));
    story.apply(&list(&story, "office")).await;
    let posts = wait_calls(&story, "POST", 4).await;
    let gaps = gaps(&posts);
    assert!(gaps.iter().all(|gap| *gap >= 1_000), "{gaps:?}");
    for pair in posts.windows(2) {
        let between = calls(&story, "*").into_iter().filter(|c| pair[0].n < c.n && c.n < pair[1].n).count();
        assert!(between <= 1, "{between} calls beside the try");
    }
    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Accepts each change of a list, and carries out none.
fn deaf() -> Fault {
    Fault { method: Some("PATCH".into()), path: ONE_LIST.into(), body: Some(json!({})), ..Fault::default() }
}

/// Covers LC-08, ER-01. A change that is accepted and not kept is sent again, after a while; it is called stalled after
/// `--operation-timeout`, stays so without a word more, and is carried out once that works.
#[tokio::test]
async fn what_is_accepted_and_not_kept_is_sent_again() {
    let flags = [
        ("poll-max", "300ms"),
        ("operation-timeout", "2s"),
        ("recheck-stalled", "1s"),
        ("resync-interval", "500ms"),
    ];
    let story = Story::start_with("errors-not-kept", &flags).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    story.account.fault(deaf());
    story.patch(LIST, "office", json!({"spec": {"label": "branch"}})).await;
    let moving = story.wait_condition(LIST, "office", "Ready", "False", "Provisioning").await;
    assert_eq!(message(&moving, "Ready"), "Databricks is changing label");
    let sent = wait_calls(&story, "PATCH", 3).await;
    assert!(gaps(&sent).iter().all(|gap| *gap >= 300), "{:?}", gaps(&sent));

    let stalled = story.wait_condition(LIST, "office", "Stalled", "True", "ApplyFailed").await;
    let text = message(&stalled, "Stalled");
    assert!(text.contains("does not keep it") && text.contains("who else changes it"), "{text}");
    story.account.clear_journal();
    let sent = wait_calls(&story, "PATCH", 3).await;
    assert!(gaps(&sent).iter().all(|gap| *gap >= 1_000), "{:?}", gaps(&sent));
    let still = story.get(LIST, "office").await;
    assert_eq!(still["metadata"]["resourceVersion"], stalled["metadata"]["resourceVersion"]);
    let events = story.kubectl(&["get", "events.events.k8s.io", "-o", "json"]).await.unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    let updated: Vec<&Value> =
        events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "Updated").collect();
    assert!(
        matches!(updated[..], [one] if one["series"].is_null()),
        "what is sent again is no news: {updated:?}"
    );

    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;
    assert_eq!(story.account.objects("ip-access-lists")[0]["label"], "branch");
    story.end().await;
}

/// Covers LC-08. Somebody else changes an object just after we have, and before we have read what became of it: that is
/// corrected too, and so is another field that they change meanwhile.
#[tokio::test]
async fn a_writer_that_reverts_a_change_at_once_does_not_win() {
    // Only what is asked for, and what differs besides, is sent again within the story.
    let flags =
        [("poll-max", "1h"), ("poll-min", "1s"), ("operation-timeout", "1h"), ("resync-interval", "500ms")];
    let story = Story::start_with("errors-fight", &flags).await;
    story.apply(&list(&story, "office")).await;
    let id = story.wait_ready(LIST, "office").await["status"]["externalId"].as_str().unwrap().to_owned();
    let theirs = json!({"ip_addresses": ["198.51.100.7/32"]});
    for round in 0..2 {
        story.account.clear_journal();
        let held = Fault { hold: true, when: When::After, times: Some(1), body: None, ..deaf() };
        let held = story.account.fault(held);
        story.account.edit("ip-access-lists", &id, theirs.clone()).unwrap();
        let correction = story.account.held(held).await;
        story.account.edit("ip-access-lists", &id, theirs.clone()).unwrap();
        assert!(story.account.release(correction.n));
        story.wait_condition(LIST, "office", "Ready", "False", "Provisioning").await;
        if round == 0 {
            ask(&story, "now").await;
        } else {
            story.account.edit("ip-access-lists", &id, json!({"enabled": false})).unwrap();
        }
        story.wait_ready(LIST, "office").await;
        let now = &story.account.objects("ip-access-lists")[0];
        assert_eq!((&now["ip_addresses"], &now["enabled"]), (&json!(["203.0.113.0/24"]), &json!(true)));
    }
    story.end().await;
}

/// Covers ER-02. A change of the spec, of the credentials or of the object's trigger ends Stalled at once; the slow
/// re-check would be half an hour.
#[tokio::test]
async fn a_change_ends_stalled_at_once() {
    let mut story = Story::start("errors-unstall").await;
    story.account.fault(refusal(403, "PERMISSION_DENIED"));
    for name in ["spec", "trigger", "auth", "secret"] {
        story.apply(&list(&story, name)).await;
        story.wait_condition(LIST, name, "Stalled", "True", "PermissionDenied").await;
    }
    story.account.clear_faults();
    let refused = calls(&story, "POST").len();
    assert_eq!(refused, 4);

    story.patch(LIST, "spec", json!({"spec": {"label": "better"}})).await;
    story.wait_ready(LIST, "spec").await;

    let now = json!({"databricks-operator.io/reconcile-requested-at": "now"});
    story.patch(LIST, "trigger", json!({"metadata": {"annotations": now}})).await;
    let done = story.wait_ready(LIST, "trigger").await;
    assert_eq!(done["status"]["lastHandledReconcileAt"], "now");
    assert_eq!(calls(&story, "POST").len(), refused + 2, "the others wait for a change of theirs");

    // A changed DatabricksAuth wakes all that use it.
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"egressCidrs": ["203.0.113.7"]}})).await;
    story.wait_ready(LIST, "auth").await;
    story.wait_ready(LIST, "secret").await;

    story.account.fault(refusal(403, "PERMISSION_DENIED"));
    story.apply(&list(&story, "again")).await;
    story.wait_condition(LIST, "again", "Stalled", "True", "PermissionDenied").await;
    story.account.clear_faults();
    story.account.rotate_secret("a-new-canary-secret", 60_000);
    story.set_secret("a-new-canary-secret").await;
    story.wait_ready(LIST, "again").await;
    story.end().await;
}

/// Covers ER-03. A 429 stops its class of calls for as long as the account asks. It shows on the DatabricksAuth and on
/// what is not Ready yet; what is Ready stays so, and other classes go on.
#[tokio::test]
async fn a_rate_limit_is_kept_to_and_shown() {
    let story = Story::start("errors-limited").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    story.apply(&list(&story, "kept")).await;
    let kept = story.wait_ready(LIST, "kept").await;

    let asked_ms = 6_000;
    story.account.fault(Fault {
        times: Some(1),
        headers: [("Retry-After".to_owned(), "6".to_owned())].into(),
        ..refusal(429, "REQUEST_LIMIT_EXCEEDED")
    });
    story.apply(&list(&story, "fresh")).await;
    let fresh = story.wait_condition(LIST, "fresh", "Reconciling", "True", "RateLimited").await;
    assert_eq!(condition(&fresh, "Ready").unwrap()["reason"], "RateLimited");
    let auth = story.wait_condition("DatabricksAuth", AUTH, "Synced", "False", "RateLimited").await;
    assert_eq!(condition(&auth, "Ready").unwrap()["status"], "True");
    story.wait_event("DatabricksAuth", AUTH, "RateLimited").await;

    let access =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed("PermissionAssignment", "elsewhere", access)).await;
    story.wait_ready("PermissionAssignment", "elsewhere").await;
    story.wait_ready(LIST, "fresh").await;
    story.wait_condition("DatabricksAuth", AUTH, "Synced", "True", "InSync").await;

    let journal = story.account.journal();
    let limited = journal.iter().find(|call| call.status == Some(429)).unwrap();
    let until_ms = limited.at_ms + asked_ms;
    let inside = |call: &&Call| call.n > limited.n && call.at_ms < until_ms;
    // A call may have been under way when the answer was written.
    let late = |call: &&Call| inside(call) && call.at_ms > limited.at_ms + 500;
    let broken: Vec<_> = journal.iter().filter(late).filter(|call| call.class == "ip-access-lists").collect();
    assert!(broken.is_empty(), "{broken:?}");
    for class in ["scim", "permissionassignments"] {
        assert!(journal.iter().filter(inside).any(|call| call.class == class), "no call of {class} inside");
    }
    let now = story.get(LIST, "kept").await;
    for type_ in ["Ready", "Synced"] {
        assert_eq!(condition(&now, type_), condition(&kept, type_), "it stayed as it was");
    }
    story.end().await;
}

/// Covers ER-03. The first token is limited, too: a reconcile that a user asks for sends no second request within the wait.
#[tokio::test]
async fn a_rate_limit_of_the_first_token_is_kept_to() {
    let mut story = Story::without_operator("errors-limited-token").await;
    let limit = story.account.fault(Fault {
        headers: [("Retry-After".to_owned(), "600".to_owned())].into(),
        path: "*/v1/token".into(),
        ..refusal(429, "REQUEST_LIMIT_EXCEEDED")
    });
    story.start_operator(&[]).await;
    story.wait_condition("DatabricksAuth", AUTH, "Reconciling", "True", "RateLimited").await;
    for _ in 0..3 {
        story.pass("DatabricksAuth", AUTH).await;
    }
    assert_eq!(story.account.calls("POST", "*/v1/token"), 1, "fault {limit}");
    story.end().await;
}

/// Covers ER-04. Outages are tried again in growing steps with a bound, and a success starts the steps anew.
#[tokio::test]
async fn outages_are_retried_in_growing_steps() {
    let (first, most) = (600, 3_000);
    let story = Story::start_with("errors-backoff", &[("backoff-min", "600ms"), ("backoff-max", "3s")]).await;
    let outage = || Fault {
        path: LISTS.into(),
        status: Some(503),
        body: Some(json!({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "down"})),
        ..Fault::default()
    };
    story.account.fault(outage());
    story.apply(&list(&story, "office")).await;
    let tries = wait_calls(&story, "GET", 6).await;
    let seen = story.wait_condition(LIST, "office", "Reconciling", "True", "Retrying").await;
    assert!(
        message(&seen, "Ready").starts_with("down (GET ")
            && message(&seen, "Ready").contains(": 503 TEMPORARILY_UNAVAILABLE)"),
        "{}",
        message(&seen, "Ready")
    );
    let steps = gaps(&tries);
    for (n, gap) in steps.iter().enumerate() {
        let full = most.min(first << n);
        assert!((full / 2..full + 1_000).contains(gap), "step {n} of {steps:?}");
    }
    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;

    story.account.clear_journal();
    story.account.fault(outage());
    let failed = |call: &Call| call.status == Some(503);
    let down = eventually("two failures", SOON, async || {
        let found: Vec<Call> = calls(&story, "GET").into_iter().filter(failed).collect();
        if found.len() >= 2 { Ok(found) } else { Err(format!("{found:?}")) }
    });
    let again = gaps(&down.await.unwrap())[0];
    assert!(
        (first / 2..most / 2).contains(&again),
        "after a success the steps begin anew, not with {again} ms"
    );
    assert_eq!(condition(&story.get(LIST, "office").await, "Ready").unwrap()["status"], "True");
    story.account.clear_faults();
    story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
    story.end().await;
}

/// What a host answers that is broken, or not the account API, and what has to be said of it.
fn oddities() -> Vec<(&'static str, Fault, &'static str)> {
    let fault = || Fault { method: Some("GET".into()), ..Fault::default() };
    let html = "<!doctype html><title>Sign in</title>";
    let page = |status| Fault {
        status: Some(status),
        body: Some(json!(html)),
        content_type: Some("text/html".into()),
        ..fault()
    };
    let text = |text: &str| Fault {
        body: Some(json!(text)),
        content_type: Some("application/json".into()),
        ..fault()
    };
    vec![
        ("page", page(200), "web page"),
        ("no-page", page(404), "web page"),
        ("bad-gateway", page(502), "502"),
        (
            "no-endpoint",
            Fault {
                status: Some(404),
                body: Some(json!({"error_code": "ENDPOINT_NOT_FOUND",
            "message": "No API found"})),
                ..fault()
            },
            "ENDPOINT_NOT_FOUND",
        ),
        ("bare-404", Fault { status: Some(404), body: Some(json!("")), ..fault() }, "404"),
        ("garbage", text("\u{1}\u{2}{{{"), "no usable response"),
        ("cut-json", text("{\"ip_access_list\": {\"list_id\": \"a"), "no usable response"),
        ("shape", text("{\"ip_access_list\": 7, \"ip_access_lists\": 7}"), "not as expected"),
        ("array", text("[]"), ""),
        (
            "truncated",
            Fault { truncate_bytes: Some(9), when: simulator::When::After, ..fault() },
            "no usable response",
        ),
        ("huge", text(&" ".repeat((8 << 20) + 1)), "no usable response"),
        (
            "slow",
            Fault { slow_ms_per_byte: Some(200), when: simulator::When::After, ..fault() },
            "no usable response",
        ),
        ("silent", Fault { drop: true, ..fault() }, ""),
        (
            "redirect",
            Fault { status: Some(302), headers: [("Location".to_owned(), "/".to_owned())].into(), ..fault() },
            "redirect",
        ),
    ]
}

/// Covers DL-06. Whatever comes instead of an object that is to be deleted, it is not taken for gone: nothing is
/// deleted, the object stays and says what came, and when the account is itself again the deletion goes on.
#[tokio::test]
async fn odd_answers_do_not_end_a_deletion() {
    let story = Story::start_with("errors-odd-delete", &[("request-timeout", "1s")]).await;
    let oddities = oddities();
    let all: Vec<Value> = oddities.iter().map(|(name, ..)| list(&story, name)).collect();
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": all})).await;
    for (name, fault, _) in &oddities {
        let id = story.wait_ready(LIST, name).await["status"]["externalId"].clone();
        let path = format!("*/ip-access-lists/{}", id.as_str().unwrap());
        story.account.fault(Fault { path, ..fault.clone() });
    }
    for (name, ..) in &oddities {
        story.delete(LIST, name).await;
    }
    for (name, _, says) in &oddities {
        let seen = story
            .wait(LIST, name, "a named condition while deleting", |object| {
                let ready = condition(object, "Ready")?;
                let named = ["Retrying", "Deleting"].contains(&ready["reason"].as_str()?);
                (named && ready["status"] == "False" && ready["message"] != "").then(|| object.clone())
            })
            .await;
        assert!(message(&seen, "Ready").contains(says), "{name}: {}", message(&seen, "Ready"));
    }
    assert_eq!(story.account.objects("ip-access-lists").len(), oddities.len());
    assert_eq!(calls(&story, "DELETE").len(), 0);
    story.account.clear_faults();
    for (name, ..) in &oddities {
        story.wait_gone(LIST, name).await;
    }
    assert_eq!(story.account.objects("ip-access-lists"), [] as [Value; 0]);
    story.end().await;
}

/// Covers DL-05, DL-06. A deletion that is answered oddly, or accepted and not carried out, is asked for again until the
/// object is gone; until then the Kubernetes object stays.
#[tokio::test]
async fn odd_answers_to_a_deletion_are_not_believed() {
    let story = Story::start_with("errors-odd-answer", &[("request-timeout", "1s")]).await;
    let lies = [("empty", Fault { status: Some(200), ..Fault::default() })];
    let lies = lies.into_iter().chain([("object", Fault { body: Some(json!({})), ..Fault::default() })]);
    // Those strike before the effect here: nothing is ever deleted.
    let odd = oddities().into_iter().map(|(name, fault, _)| {
        let status = fault.status.or(Some(200));
        (name, Fault { when: simulator::When::Before, status, ..fault })
    });
    let all: Vec<(&str, Fault)> = lies.chain(odd).collect();
    let manifests: Vec<Value> = all.iter().map(|(name, _)| list(&story, name)).collect();
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": manifests})).await;
    let mut paths = vec![];
    for (name, fault) in &all {
        let id = story.wait_ready(LIST, name).await["status"]["externalId"].clone();
        let path = format!("*/ip-access-lists/{}", id.as_str().unwrap());
        story.account.fault(Fault { path: path.clone(), method: Some("DELETE".into()), ..fault.clone() });
        paths.push((*name, path));
    }
    for (name, _) in &paths {
        story.delete(LIST, name).await;
    }
    for (name, path) in &paths {
        let again = eventually(format!("{name} is deleted again"), SOON, async || {
            let count = story.account.calls("DELETE", path);
            if count >= 2 { Ok(()) } else { Err(format!("{count} so far: {}", story.get(LIST, name).await)) }
        });
        again.await.unwrap();
        let not_ready = |o: &Value| (condition(o, "Ready")?["status"] == "False").then_some(());
        story.wait(LIST, name, "not Ready", not_ready).await;
    }
    assert_eq!(story.account.objects("ip-access-lists").len(), all.len());
    story.account.clear_faults();
    for (name, _) in &paths {
        story.wait_gone(LIST, name).await;
    }
    assert_eq!(story.account.objects("ip-access-lists"), [] as [Value; 0]);
    story.end().await;
}

/// Covers ER-02. A change of what an object refers to ends Stalled at once too.
#[tokio::test]
async fn a_change_of_a_referent_ends_stalled_at_once() {
    let story = Story::start("errors-referent").await;
    let (credentials, storage) =
        ("11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000");
    let made =
        json!({"workspace_name": "lab", "credentials_id": credentials, "storage_configuration_id": storage});
    let made = story.account.insert("workspaces", made).unwrap();
    let lab = json!({"workspaceName": "lab", "externalId": made["workspace_id"].to_string(),
        "managementPolicy": "Observe", "awsRegion": made["aws_region"], "credentialsId": credentials,
        "storageConfigurationId": storage});
    story.apply(&story.managed("Workspace", "lab", lab)).await;
    story.wait_ready("Workspace", "lab").await;
    story.account.fault(Fault {
        method: Some("PUT".into()),
        path: "*/principals/*".into(),
        ..refusal(400, "INVALID_PARAMETER_VALUE")
    });
    let access = json!({"workspaceRef": {"name": "lab"}, "principal": {"groupName": "data-eng"},
        "permissions": ["USER"]});
    story.apply(&story.managed("PermissionAssignment", "team", access)).await;
    story.wait_condition("PermissionAssignment", "team", "Stalled", "True", "InvalidSpec").await;
    story.account.clear_faults();
    // Suspending changes what the workspace is to others, and nothing in the account.
    story.patch("Workspace", "lab", json!({"spec": {"suspend": true}})).await;
    story.wait_ready("PermissionAssignment", "team").await;
    story.end().await;
}

/// Asks for a pass over the list `office`.
async fn ask(story: &Story, token: &str) {
    let trigger = json!({"databricks-operator.io/reconcile-requested-at": token});
    story.patch(LIST, "office", json!({"metadata": {"annotations": trigger}})).await;
}

/// Covers DL-06. Whatever comes instead of the list that objects are compared with, what is there is neither made again
/// nor deleted nor changed, and the object says what came.
#[tokio::test]
async fn odd_answers_change_nothing_in_the_account() {
    let flags = [("request-timeout", "1s"), ("backoff-max", "100ms")];
    let story = Story::start_with("errors-odd-list", &flags).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    let before = story.account.objects("ip-access-lists");
    // A bare empty array is a list, of nothing; that what it lacks is still there is then seen by its id.
    for (name, fault, says) in oddities().into_iter().filter(|(name, ..)| *name != "array") {
        story.account.fault(Fault { path: LISTS.into(), ..fault });
        ask(&story, &format!("{name}, odd")).await;
        let seen = story
            .wait(LIST, "office", &format!("{name} is told of"), |object| {
                let synced = condition(object, "Synced")?;
                let named = ["Retrying", "NotSupported"].contains(&synced["reason"].as_str()?);
                (named && synced["status"] == "False").then(|| object.clone())
            })
            .await;
        assert!(message(&seen, "Synced").contains(says), "{name}: {}", message(&seen, "Synced"));
        story.account.clear_faults();
        ask(&story, name).await;
        story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
        story.wait_ready(LIST, "office").await;
    }
    assert_eq!(story.account.objects("ip-access-lists"), before);
    assert_eq!(story.account.writes().len(), 1, "the one that made it: {:?}", story.account.writes());
    story.end().await;
}

/// Waits until an object says under `Retrying` what this text is part of.
async fn wait_retrying(story: &Story, kind: &str, name: &str, text: &str) {
    let says = |c: &Value| c["reason"] == "Retrying" && c["message"].as_str().unwrap().contains(text);
    let told = |object: &Value| object["status"]["conditions"].as_array()?.iter().any(says).then_some(());
    story.wait(kind, name, &format!("Retrying, because of {text}"), told).await;
}

/// Covers DL-06. An answer about another object than the one that was asked for is no answer: neither of the two is changed
/// or deleted, and once the account is itself again both go on.
#[tokio::test]
async fn a_response_about_another_object_is_not_used() {
    let story = Story::start("errors-other-object").await;
    let mut ids = vec![];
    for name in ["changed", "deleted", "other"] {
        story.apply(&list(&story, name)).await;
        ids.push(story.wait_ready(LIST, name).await["status"]["externalId"].as_str().unwrap().to_owned());
    }
    let before = story.account.objects("ip-access-lists");
    let other = before.iter().find(|list| list["list_id"] == ids[2]).unwrap();
    for id in &ids[..2] {
        story.account.fault(Fault {
            method: Some("GET".into()),
            path: format!("*/ip-access-lists/{id}"),
            body: Some(json!({"ip_access_list": other})),
            ..Fault::default()
        });
    }
    story.account.clear_journal();
    story.patch(LIST, "changed", json!({"spec": {"ipAddresses": ["198.51.100.0/24"]}})).await;
    story.delete(LIST, "deleted").await;
    for name in ["changed", "deleted"] {
        wait_retrying(&story, LIST, name, &ids[2]).await;
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    assert_eq!(story.account.objects("ip-access-lists"), before);

    story.account.clear_faults();
    story.wait_gone(LIST, "deleted").await;
    story.wait_ready(LIST, "changed").await;
    story.wait_ready(LIST, "other").await;
    let mut written: Vec<(String, String)> =
        story.account.writes().into_iter().map(|call| (call.method, call.path)).collect();
    written.sort();
    assert_eq!(written.len(), 2, "{written:?}");
    for ((method, path), (expected, id)) in written.iter().zip([("DELETE", &ids[1]), ("PATCH", &ids[0])]) {
        assert!(method == expected && path.ends_with(id.as_str()), "{written:?}");
    }
    story.end().await;
}

/// Covers ER-04. After a restart new objects wait until all were looked at once. One that ends in a conflict with the account
/// again and again does not make them wait for ever.
#[tokio::test]
async fn an_object_in_lasting_conflict_holds_up_no_other_after_a_restart() {
    let mut story = Story::without_operator("errors-conflict").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    story.account.fault(Fault {
        method: Some("PUT".into()),
        path: "*/principals/*".into(),
        ..refusal(409, "RESOURCE_CONFLICT")
    });
    let access =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&story.managed("PermissionAssignment", "stuck", access)).await;
    for name in ["first", "second"] {
        story.apply(&list(&story, name)).await;
    }
    story.start_operator(&[("recheck-stalled-min", "200ms")]).await;
    for name in ["first", "second"] {
        story.wait_ready(LIST, name).await;
    }
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
    story.account.clear_faults();
    story.wait_ready("PermissionAssignment", "stuck").await;
    story.end().await;
}

/// Covers DL-06. Where the API lists in a bare array, an object without one is not an empty list: what may be there is not made
/// a second time.
#[tokio::test]
async fn an_object_in_place_of_an_array_is_no_empty_list() {
    let story = Story::start("errors-bare").await;
    story.account.set(|settings| (settings.start_ms, settings.provisioning_ms) = (0, 100));
    let workspace = json!({"workspaceName": "made", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS"});
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let credential = json!({"credentialsName": "made", "awsCredentials": role});
    let kinds = [("Workspace", "workspaces", workspace), ("Credential", "credentials", credential)];
    for (kind, collection, spec) in kinds {
        let (path, body) = (format!("*/{collection}"), Some(json!({})));
        story.account.fault(Fault { method: Some("GET".into()), path, body, ..Fault::default() });
        story.apply(&story.managed(kind, "made", spec)).await;
        wait_retrying(&story, kind, "made", "it holds no list").await;
        assert_eq!(story.account.objects(collection), [] as [Value; 0]);
        story.account.clear_faults();
        story.wait_ready(kind, "made").await;
    }
    assert_eq!(story.account.writes().len(), 2, "{:?}", story.account.writes());
    story.end().await;
}
