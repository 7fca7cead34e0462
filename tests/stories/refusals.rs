//! Refusals by Databricks that may pass by themselves: when one is shown, when it becomes final, and how often it is repeated.

use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{SOON, Story, condition};

const LIST: &str = "IpAccessList";
const LISTS: &str = "*/ip-access-lists";
const ONE_LIST: &str = "*/ip-access-lists/*";

fn list(story: &Story, name: &str, label: &str, list_type: &str) -> Value {
    story.managed(
        LIST,
        name,
        json!({"label": label, "listType": list_type, "ipAddresses": ["203.0.113.0/24"]}),
    )
}

fn fault(method: &str, path: &str, status: u16, code: &str) -> Fault {
    Fault {
        method: Some(method.into()),
        path: path.into(),
        status: Some(status),
        body: Some(json!({"error_code": code, "message": format!("refused with {code}")})),
        ..Fault::default()
    }
}

/// Milliseconds between one call of this method to IP access lists and the next.
fn gaps(story: &Story, method: &str) -> Vec<u64> {
    let mut calls = story.account.journal();
    calls.retain(|call| call.class == "ip-access-lists" && call.method == method);
    calls.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect()
}

/// Covers ER-10. What is refused for a moment is shown with the words of Databricks, and never called Stalled.
#[tokio::test]
async fn a_transient_refusal_is_never_stalled() {
    let flags = [("recheck-stalled-min", "300ms"), ("refusal-tries", "3"), ("refusal-period", "1m")];
    let story = Story::start_with("refusals-pass", &flags).await;
    let rows = [
        (400, "INVALID_PARAMETER_VALUE", "InvalidSpec"),
        (400, "RESOURCE_ALREADY_EXISTS", "AlreadyExists"),
        (403, "PERMISSION_DENIED", "PermissionDenied"),
        (404, "FEATURE_DISABLED", "NotSupported"),
        (409, "RESOURCE_CONFLICT", "ApplyFailed"),
        (404, "RESOURCE_DOES_NOT_EXIST", "ReferenceNotFound"),
    ];
    for (n, (status, code, reason)) in rows.into_iter().enumerate() {
        story.account.fault(fault("POST", LISTS, status, code));
        let name = format!("office-{n}");
        story.apply(&list(&story, &name, &name, "ALLOW")).await;
        let what = format!("Ready is False with {reason}");
        let seen = story
            .wait(LIST, &name, &what, |object| {
                (condition(object, "Ready")?["reason"] == reason).then(|| object.clone())
            })
            .await;
        for type_ in ["Ready", "Synced", "Reconciling"] {
            let message = condition(&seen, type_).unwrap()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(&format!("refused with {code}")), "{type_}: {message}");
        }
        assert!(condition(&seen, "Stalled").is_none(), "{seen}");
        story.account.clear_faults();
        story.wait_ready(LIST, &name).await;
        let events = story.events(LIST, &name).await;
        assert!(events.iter().all(|(reason, _)| reason != "Stalled"), "{events:?}");
    }
    assert_eq!(story.account.objects("ip-access-lists").len(), rows.len());
    story.end().await;
}

/// Covers ER-10. The same refusal again and again is final; from then on it is tried again in growing steps.
#[tokio::test]
async fn a_lasting_refusal_is_stalled_and_retried_with_growing_delays() {
    let flags = [
        ("recheck-stalled-min", "200ms"),
        ("recheck-stalled", "1s"),
        ("refusal-tries", "3"),
        ("refusal-period", "500ms"),
    ];
    let story = Story::start_with("refusals-stay", &flags).await;
    story.account.fault(fault("POST", LISTS, 400, "INVALID_PARAMETER_VALUE"));
    story.apply(&list(&story, "office", "office", "ALLOW")).await;
    story.wait_condition(LIST, "office", "Stalled", "True", "InvalidSpec").await;
    assert!(story.account.calls("POST", LISTS) >= 3, "it is confirmed by trying");
    let more = eventually("six tries", SOON, async || {
        let tries = story.account.calls("POST", LISTS);
        if tries >= 6 { Ok(()) } else { Err(tries.to_string()) }
    });
    more.await.unwrap();
    let gaps = gaps(&story, "POST");
    let least = [200, 400, 800, 1_000, 1_000];
    assert!(gaps.iter().zip(least).all(|(gap, least)| *gap >= least), "{gaps:?}");

    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers ER-10. A change that the account answers with 404, although it shows the object, is made again after one more read. If it
/// is answered so again, it is a refusal like any other.
#[tokio::test]
async fn a_change_of_an_object_that_is_shown_and_not_found_is_refused() {
    let pages_nobody = [("recheck-stalled-min", "300ms"), ("refusal-tries", "3"), ("refusal-period", "1m")];
    let mut story = Story::start_with("refusals-found", &pages_nobody).await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let access =
        json!({"workspaceId": workspace, "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    story.apply(&list(&story, "office", "office", "ALLOW")).await;
    story.apply(&story.managed("PermissionAssignment", "office", access)).await;
    let rows = [
        (LIST, "PATCH", ONE_LIST, "ipAddresses", json!(["192.0.2.0/24"])),
        ("PermissionAssignment", "PUT", "*/permissionassignments/*", "permissions", json!(["ADMIN"])),
    ];
    for (kind, method, path, field, value) in &rows {
        let before = story.wait_ready(kind, "office").await["spec"][field].clone();
        let tries = story.account.calls(method, path);
        let passes = Fault { times: Some(1), ..fault(method, path, 404, "RESOURCE_DOES_NOT_EXIST") };
        story.account.fault(passes);
        story.patch(kind, "office", json!({"spec": {*field: value}})).await;
        story.wait_ready(kind, "office").await;
        assert_eq!(story.account.calls(method, path), tries + 2, "{kind}: it is made again");

        story.account.fault(fault(method, path, 404, "RESOURCE_DOES_NOT_EXIST"));
        story.patch(kind, "office", json!({"spec": {*field: before}})).await;
        let seen = story.wait_condition(kind, "office", "Synced", "False", "ApplyFailed").await;
        for type_ in ["Ready", "Synced", "Reconciling"] {
            let message = condition(&seen, type_).unwrap()["message"].as_str().unwrap().to_owned();
            for part in [
                "refused with RESOURCE_DOES_NOT_EXIST",
                field,
                "The operator retries",
                "in the account console",
            ] {
                assert!(message.contains(part), "{type_}: {message}");
            }
        }
        assert!(condition(&seen, "Stalled").is_none(), "{seen}");
        story.account.clear_faults();
        story.wait_ready(kind, "office").await;
        assert!(story.events(kind, "office").await.iter().all(|(reason, _)| reason != "Stalled"));
    }

    story.operator.take().unwrap().terminate().await.unwrap();
    story
        .start_operator(&[("recheck-stalled-min", "200ms"), ("refusal-tries", "3"), ("refusal-period", "1s")])
        .await;
    for (kind, method, path, field, value) in &rows {
        story.account.fault(fault(method, path, 404, "RESOURCE_DOES_NOT_EXIST"));
        story.patch(kind, "office", json!({"spec": {*field: value}})).await;
        story.wait_condition(kind, "office", "Stalled", "True", "ApplyFailed").await;
        story.account.clear_faults();
        story.wait_ready(kind, "office").await;
    }
    assert_eq!(story.account.calls("POST", LISTS), 1, "nothing was created again");
    story.end().await;
}

/// Covers ER-10. A restart forgets how often something was refused, but not that it was final.
#[tokio::test]
async fn what_is_stalled_stays_stalled_over_a_restart() {
    let flags = [("recheck-stalled-min", "100ms"), ("refusal-tries", "2"), ("refusal-period", "100ms")];
    let mut story = Story::start_with("refusals-restart", &flags).await;
    story.account.fault(fault("POST", LISTS, 403, "PERMISSION_DENIED"));
    story.apply(&list(&story, "office", "office", "ALLOW")).await;
    let before = story.wait_condition(LIST, "office", "Stalled", "True", "PermissionDenied").await;
    story.operator.take().unwrap().terminate().await.unwrap();
    let tries = story.account.calls("POST", LISTS);
    story.start_operator(&[("refusal-period", "1h")]).await;
    let tried = eventually("a try after the restart", SOON, async || {
        if story.account.calls("POST", LISTS) > tries { Ok(()) } else { Err(String::new()) }
    });
    tried.await.unwrap();
    story.account.clear_faults();
    // Any other write of the status would have moved the time of the condition.
    let since = condition(&before, "Stalled").unwrap()["lastTransitionTime"].clone();
    let now = story.get(LIST, "office").await;
    assert_eq!(condition(&now, "Stalled").unwrap()["lastTransitionTime"], since, "{now}");
    story.pass(LIST, "office").await;
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers ER-10. What the operator decides from the spec alone is final at once.
#[tokio::test]
async fn a_decision_of_ours_is_final_at_once() {
    let story = Story::start_with("refusals-ours", &[("refusal-tries", "9"), ("refusal-period", "1h")]).await;
    story.apply(&list(&story, "first", "office", "ALLOW")).await;
    story.wait_ready(LIST, "first").await;
    story.apply(&list(&story, "second", "office", "ALLOW")).await;
    story.wait_condition(LIST, "second", "Stalled", "True", "ManagementConflict").await;
    story.end().await;
}

/// Covers ER-11. A settled object stays Ready while it cannot be read; if that lasts, `Synced` says so.
#[tokio::test]
async fn a_refused_read_leaves_a_settled_object_ready() {
    let mut story = Story::start_with("refusals-reads", &[("backoff-min", "400ms")]).await;
    story.apply(&list(&story, "office", "office", "ALLOW")).await;
    let refusals = [
        (400, "INVALID_PARAMETER_VALUE"),
        (400, "MALFORMED_REQUEST"),
        (403, "PERMISSION_DENIED"),
        (404, "ENDPOINT_NOT_FOUND"),
        (404, "FEATURE_DISABLED"),
    ];
    for (status, code) in refusals {
        let ready = story.wait_ready(LIST, "office").await;
        let reads = story.account.calls("GET", LISTS);
        story.account.fault(Fault { times: Some(1), ..fault("GET", "*/ip-access-lists*", status, code) });
        let again = eventually("two more reads", SOON, async || {
            if story.account.calls("GET", LISTS) >= reads + 3 { Ok(()) } else { Err(String::new()) }
        });
        again.await.unwrap();
        let now = story.get(LIST, "office").await;
        assert_eq!(now["status"], ready["status"], "{code}: {now}");
    }

    story.account.fault(fault("GET", "*/ip-access-lists*", 403, "PERMISSION_DENIED"));
    let lasting = story.wait_condition(LIST, "office", "Synced", "False", "Retrying").await;
    assert_eq!(condition(&lasting, "Ready").unwrap()["status"], "True");
    let message = condition(&lasting, "Synced").unwrap()["message"].as_str().unwrap();
    assert!(message.contains("refused with PERMISSION_DENIED"), "{message}");
    // After a restart too.
    story.operator.take().unwrap().terminate().await.unwrap();
    story.start_operator(&[]).await;
    let reads = story.account.calls("GET", LISTS);
    let again = eventually("reads after the restart", SOON, async || {
        if story.account.calls("GET", LISTS) >= reads + 3 { Ok(()) } else { Err(String::new()) }
    });
    again.await.unwrap();
    let now = story.get(LIST, "office").await;
    assert_eq!(condition(&now, "Ready").unwrap()["status"], "True", "{now}");
    story.account.clear_faults();
    story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
    assert!(story.events(LIST, "office").await.iter().all(|(reason, _)| reason != "Stalled"));
    story.end().await;
}

/// Covers ER-12. Names that move on in one commit end where they belong, though each is taken at first.
#[tokio::test]
async fn names_that_move_in_one_commit_arrive() {
    let flags = [("refusal-tries", "3"), ("refusal-period", "1m"), ("recheck-stalled-min", "1h")];
    let story = Story::start_with("refusals-names", &flags).await;
    let chain = [("a", "office", "home"), ("b", "home", "plant"), ("c", "plant", "store")];
    for (name, label, _) in chain {
        story.apply(&list(&story, name, label, "ALLOW")).await;
        story.wait_ready(LIST, name).await;
    }
    // In the order in which most are refused at first.
    for (name, _, label) in chain {
        story.apply(&list(&story, name, label, "ALLOW")).await;
    }
    for (name, _, _) in chain {
        story.wait_ready(LIST, name).await;
    }
    let lists = story.account.objects("ip-access-lists");
    let mut labels: Vec<&str> = lists.iter().filter_map(|list| list["label"].as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["home", "plant", "store"]);
    assert_eq!(story.account.calls("POST", LISTS), 3, "nothing was created again");
    assert_eq!(story.account.calls("DELETE", ONE_LIST), 0);
    story.end().await;
}

/// Covers ER-12. Two that exchange their types, or their labels, do so, though neither name is ever free.
#[tokio::test]
async fn names_that_are_exchanged_arrive_too() {
    let flags = [("refusal-tries", "3"), ("refusal-period", "1m"), ("recheck-stalled-min", "300ms")];
    let story = Story::start_with("refusals-exchange", &flags).await;
    story.apply(&list(&story, "a", "office", "ALLOW")).await;
    story.apply(&list(&story, "b", "office", "BLOCK")).await;
    let ids = [story.wait_ready(LIST, "a").await, story.wait_ready(LIST, "b").await]
        .map(|object| object["status"]["externalId"].clone());
    story.apply(&list(&story, "a", "office", "BLOCK")).await;
    story.apply(&list(&story, "b", "office", "ALLOW")).await;
    story.wait_ready(LIST, "a").await;
    story.wait_ready(LIST, "b").await;
    let seen = |id: &Value| {
        let lists = story.account.objects("ip-access-lists");
        let list = lists.iter().find(|list| list["list_id"] == *id).unwrap();
        (list["list_type"].clone(), list["label"].clone())
    };
    assert_eq!(seen(&ids[0]), (json!("BLOCK"), json!("office")));
    assert_eq!(seen(&ids[1]), (json!("ALLOW"), json!("office")));

    story.apply(&list(&story, "a", "home", "BLOCK")).await;
    story.wait_ready(LIST, "a").await;
    story.apply(&list(&story, "b", "plant", "BLOCK")).await;
    story.wait_ready(LIST, "b").await;
    story.apply(&list(&story, "a", "plant", "BLOCK")).await;
    story.apply(&list(&story, "b", "home", "BLOCK")).await;
    story.wait_ready(LIST, "a").await;
    story.wait_ready(LIST, "b").await;
    assert_eq!(seen(&ids[0]).1, json!("plant"));
    assert_eq!(seen(&ids[1]).1, json!("home"));
    assert_eq!(story.account.calls("POST", LISTS), 2, "nothing was created again");
    story.end().await;
}

/// Covers ST-15. `kubectl wait --for=condition=Synced` is not told that a generation is in sync that was never compared.
#[tokio::test]
async fn synced_waits_for_the_generation_it_speaks_for() {
    let story = Story::start("refusals-synced").await;
    story.apply(&list(&story, "office", "office", "ALLOW")).await;
    story.wait_ready(LIST, "office").await;
    let mut edited = list(&story, "office", "home", "ALLOW");
    edited["spec"]["authRef"] = json!({"name": "nowhere"});
    story.apply(&edited).await;
    let seen = story.wait_condition(LIST, "office", "ReferencesResolved", "False", "ReferenceNotFound").await;
    assert_eq!(condition(&seen, "Synced").unwrap()["status"], "Unknown", "{seen}");
    let waited =
        story.kubectl(&["wait", "--for=condition=Synced", "ipaccesslist/office", "--timeout=1s"]).await;
    assert!(waited.is_err(), "{waited:?}");
    story.apply(&list(&story, "office", "home", "ALLOW")).await;
    story.wait_condition(LIST, "office", "Synced", "True", "InSync").await;
    story.end().await;
}
