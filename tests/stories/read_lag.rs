//! Reads that lag behind writes. The account's IP access lists may be read late, by minutes: what the operator created is
//! not gone because a read does not show it, and what it changed is not changed again.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Fault, When};
use tokio::time::Instant;
use world::eventually;

use crate::support::{AUTH, SOON, Story, condition};

const LIST: &str = "IpAccessList";
const LISTS: &str = "*/ip-access-lists";
const EACH: &str = "*/ip-access-lists/*";
/// As users have it.
const LAG: (&str, &str) = ("read-lag", "10m");
/// So late are all reads of the account, by its own clock.
const LATE_MS: u64 = 75_000;

fn list(story: &Story, name: &str) -> Value {
    let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, name, spec)
}

fn writes(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

fn lists(story: &Story) -> Vec<Value> {
    story.account.objects("ip-access-lists")
}

fn late(story: &Story) {
    story.account.set(|s| (s.list_lag_ms, s.get_lag_ms) = (LATE_MS, LATE_MS));
}

/// A list that was created a moment ago in an account whose reads are late.
async fn unseen(name: &str) -> (Story, Value) {
    let story = Story::start_with(name, &[LAG]).await;
    late(&story);
    story.apply(&list(&story, "office")).await;
    let ready = story.wait_ready(LIST, "office").await;
    (story, ready)
}

/// Waits until a list was asked for by its id so often more that it would be believed to be gone by now.
async fn asked_for(story: &Story) {
    read(story, EACH).await;
}

/// Waits for as many reads more.
async fn read(story: &Story, path: &str) {
    let until = story.account.calls("GET", path) + 8;
    let asked = eventually("the list was read", SOON, async || {
        let calls = story.account.calls("GET", path);
        if calls >= until { Ok(()) } else { Err(format!("{calls} of {until}")) }
    });
    asked.await.unwrap();
}

/// The message of a wait for the account to show what was created.
fn waits(object: &Value) -> Option<String> {
    let synced = condition(object, "Synced")?;
    let message = synced["message"].as_str()?;
    (synced["reason"] == "Retrying" && message.contains("reads may lag behind until"))
        .then(|| message.to_owned())
}

/// Covers LC-15. Neither a look, nor an edit, nor a restart in the first minute takes a list for gone that no read shows yet;
/// the edit is carried out once, as soon as a read shows the list.
#[tokio::test]
async fn a_list_that_no_read_shows_yet_is_not_created_again() {
    let (mut story, made) = unseen("lag-edit").await;
    let id = made["status"]["externalId"].as_str().unwrap();
    asked_for(&story).await;
    let settled = story.wait(LIST, "office", "it says what it waits for", waits).await;
    assert!(settled.contains(id), "{settled}");
    let now = story.get(LIST, "office").await;
    assert_eq!(condition(&now, "Ready").unwrap()["status"], "True", "{now}");

    story.patch(LIST, "office", json!({"spec": {"ipAddresses": ["192.0.2.0/24"]}})).await;
    let edited = story.wait_condition(LIST, "office", "Ready", "False", "Retrying").await;
    let message = waits(&edited).unwrap();
    let created = made["status"]["external"]["createdAt"].as_str().unwrap();
    assert!(message.contains(created), "{message}");
    asked_for(&story).await;
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[LAG]).await;
    asked_for(&story).await;
    assert_eq!(writes(&story), ["POST"]);

    story.account.advance_ms(LATE_MS);
    let sent = story.wait_condition(LIST, "office", "Ready", "False", "Provisioning").await;
    asked_for(&story).await;
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[LAG]).await;
    asked_for(&story).await;
    assert!(condition(&story.get(LIST, "office").await, "Stalled").is_none(), "{sent}");
    story.account.advance_ms(LATE_MS);
    story.wait_ready(LIST, "office").await;
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    assert_eq!(lists(&story).len(), 1);
    assert_eq!(lists(&story)[0]["ip_addresses"], json!(["192.0.2.0/24"]));
    story.end().await;
}

/// Covers LC-15. The same where only one of the two reads is late.
#[tokio::test]
async fn a_list_that_one_read_shows_and_another_does_not_is_not_created_again() {
    let story = Story::start_with("lag-one-read", &[LAG, ("resync-interval", "300ms")]).await;
    for (name, lag_ms) in [("only-lists", [LATE_MS, 0]), ("only-gets", [0, LATE_MS])] {
        story.account.set(|s| [s.list_lag_ms, s.get_lag_ms] = lag_ms);
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
        story.patch(LIST, name, json!({"spec": {"ipAddresses": ["192.0.2.0/24"]}})).await;
        for _ in 0..2 {
            read(&story, "*/ip-access-lists*").await;
            story.account.advance_ms(LATE_MS);
        }
        story.wait_ready(LIST, name).await;
    }
    assert_eq!(writes(&story), ["POST", "PATCH", "POST", "PATCH"]);
    story.end().await;
}

/// Covers LC-15. A change that is taken back before any read shows it is taken back in the account as well.
#[tokio::test]
async fn a_change_that_is_reverted_before_a_read_shows_it_is_reverted_in_the_account() {
    let story = Story::start_with("lag-taken-back", &[LAG]).await;
    story.apply(&list(&story, "office")).await;
    let before = story.wait_ready(LIST, "office").await["spec"]["ipAddresses"].clone();
    late(&story);
    story.account.advance_ms(LATE_MS);
    for wanted in [json!(["192.0.2.0/24"]), before.clone()] {
        story.patch(LIST, "office", json!({"spec": {"ipAddresses": wanted}})).await;
        let there = eventually("the change is in the account", SOON, async || {
            let now = lists(&story)[0]["ip_addresses"].clone();
            if now == wanted { Ok(()) } else { Err(now.to_string()) }
        });
        there.await.unwrap();
        // The account has it before the operator has written down that it sent it.
        let recorded = |object: &Value| {
            (object["status"]["operation"]["generation"] == object["metadata"]["generation"]).then_some(())
        };
        // What it takes back looks to it as reads still show it: there is nothing to record.
        if wanted != before {
            story.wait(LIST, "office", "the change is recorded", recorded).await;
        }
    }
    story.account.advance_ms(LATE_MS);
    story.wait_ready(LIST, "office").await;
    assert_eq!(lists(&story)[0]["ip_addresses"], before);
    story.end().await;
}

/// Covers LC-15. A list that is wanted disabled is created and then changed: neither is repeated.
#[tokio::test]
async fn a_disabled_list_that_no_read_shows_yet_is_finished_once() {
    let story = Story::start_with("lag-disabled", &[LAG]).await;
    late(&story);
    let mut manifest = list(&story, "office");
    manifest["spec"]["enabled"] = json!(false);
    story.apply(&manifest).await;
    asked_for(&story).await;
    assert_eq!(writes(&story), ["POST"]);
    story.account.advance_ms(LATE_MS);
    asked_for(&story).await;
    story.account.advance_ms(LATE_MS);
    story.wait_ready(LIST, "office").await;
    assert_eq!(writes(&story), ["POST", "PATCH"]);
    assert_eq!(lists(&story)[0]["enabled"], false);
    story.end().await;
}

/// Covers LC-15, DL-10. What is deleted before a read shows it is deleted in the account once one does, with one call.
#[tokio::test]
async fn a_list_that_is_deleted_before_a_read_shows_it_leaves_nothing() {
    let (mut story, _) = unseen("lag-delete").await;
    story.delete(LIST, "office").await;
    let message = story.wait(LIST, "office", "it says what it waits for", waits).await;
    assert!(message.contains("deleted as soon as a read shows it"), "{message}");
    asked_for(&story).await;
    story.operator.take().unwrap().kill().unwrap();
    story.start_operator(&[LAG]).await;
    asked_for(&story).await;
    assert_eq!((writes(&story), lists(&story).len()), (vec!["POST".to_owned()], 1));
    story.account.advance_ms(LATE_MS);
    let deleted = eventually("it is deleted", SOON, async || {
        if lists(&story).is_empty() { Ok(()) } else { Err(format!("{:?}", writes(&story))) }
    });
    deleted.await.unwrap();
    asked_for(&story).await;
    story.account.advance_ms(LATE_MS);
    story.wait_gone(LIST, "office").await;
    assert_eq!(writes(&story), ["POST", "DELETE"]);
    story.end().await;
}

/// Covers LC-15, DL-05. What somebody deleted in the account right after its creation counts as gone when reads cannot lag
/// any longer: it is created again, or its deletion ends.
#[tokio::test]
async fn a_list_that_was_deleted_outside_is_gone_once_no_read_can_lag() {
    let lag = ("read-lag", "6s");
    let story = Story::start_with("lag-over", &[lag]).await;
    for name in ["kept", "leaving"] {
        let begun = Instant::now();
        story.apply(&list(&story, name)).await;
        let ready = story.wait_ready(LIST, name).await;
        assert!(story.account.remove("ip-access-lists", ready["status"]["externalId"].as_str().unwrap()));
        story.let_reads_catch_up();
        if name == "leaving" {
            story.delete(LIST, name).await;
            story.wait_gone(LIST, name).await;
        } else {
            let again = |object: &Value| {
                (object["status"]["externalId"] != ready["status"]["externalId"]).then_some(())
            };
            story.wait(LIST, name, "it is created again", again).await;
        }
        // Times in a status have whole seconds.
        assert!(begun.elapsed() > Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
    }
    assert_eq!(writes(&story), ["POST", "POST", "POST"]);
    story.end().await;
}

/// Covers LC-15, LC-01. A create whose answer was lost is looked for only once a read must show it.
#[tokio::test]
async fn a_lost_create_is_searched_for_when_reads_cannot_lag_any_longer() {
    let story = Story::start_with("lag-lost", &[("read-lag", "6s"), ("quarantine", "1s")]).await;
    story.account.set(|s| s.list_lag_ms = 4_000);
    let (method, path) = (Some("POST".into()), LISTS.into());
    story.account.fault(Fault {
        method,
        path,
        nth: Some(1),
        when: When::After,
        drop: true,
        ..Fault::default()
    });
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    assert_eq!((writes(&story), lists(&story).len()), (vec!["POST".to_owned()], 1));
    story.end().await;
}

/// Covers LC-15, LC-13. An object that is restored without its status does not know when it created its list: it counts from
/// its own birth.
#[tokio::test]
async fn an_object_restored_at_once_does_not_take_its_list_for_gone() {
    let (mut story, made) = unseen("lag-restored").await;
    let annotated =
        |o: &Value| o["metadata"]["annotations"]["databricks-operator.io/created-by"].as_str().map(drop);
    story.wait(LIST, "office", "its record is in annotations", annotated).await;
    let mut manifest = list(&story, "office");
    manifest["metadata"]["annotations"] = story.get(LIST, "office").await["metadata"]["annotations"].clone();
    story.operator.take().unwrap().kill().unwrap();
    story.patch(LIST, "office", json!({"metadata": {"finalizers": null}})).await;
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;
    story.apply(&manifest).await;
    story.start_operator(&[LAG]).await;
    asked_for(&story).await;
    assert_eq!(writes(&story), ["POST"]);
    story.account.advance_ms(LATE_MS);
    let ready = story.wait_ready(LIST, "office").await;
    assert_eq!(ready["status"]["externalId"], made["status"]["externalId"]);
    assert_eq!(writes(&story), ["POST"]);
    story.end().await;
}

/// Covers LC-15, ST-11. A list that no read shows yet counts when it is judged whether a change would shut the operator out.
#[tokio::test]
async fn a_list_that_no_read_shows_yet_counts_for_the_operators_own_access() {
    let story = Story::start_with("lag-lockout", &[LAG]).await;
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"egressCidrs": ["203.0.113.7"]}})).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    story.apply(&list(&story, "ours")).await;
    story.wait_ready(LIST, "ours").await;
    story.account.advance_ms(LATE_MS);
    late(&story);
    story.account.advance_ms(LATE_MS);
    let mut elsewhere = list(&story, "elsewhere");
    elsewhere["spec"]["ipAddresses"] = json!(["198.51.100.0/24"]);
    story.apply(&elsewhere).await;
    story.wait_ready(LIST, "elsewhere").await;

    // With this one gone the other would allow only its own addresses.
    story.delete(LIST, "ours").await;
    let unsure = |object: &Value| {
        let synced = condition(object, "Synced")?;
        let message = synced["message"].as_str()?;
        (message.contains("IpAccessList lag-lockout/elsewhere")
            && message.contains("whether this change is safe"))
        .then_some(())
    };
    story.wait(LIST, "ours", "it waits for the other list", unsure).await;
    story.account.advance_ms(LATE_MS);
    story.wait_condition(LIST, "ours", "DeletionBlocked", "True", "ApiRefused").await;
    assert_eq!((writes(&story), lists(&story).len()), (vec!["POST".to_owned(), "POST".to_owned()], 2));
    story.patch(LIST, "ours", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(LIST, "ours").await;
    story.end().await;
}

/// Covers LC-15, ST-11. A change or a deletion that no read shows yet counts as well when it is judged whether another would shut
/// the operator out, also after a restart.
#[tokio::test]
async fn a_change_that_no_read_shows_yet_counts_for_the_operators_own_access() {
    let mut story = Story::start_with("lag-lockout-change", &[LAG]).await;
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"egressCidrs": ["203.0.113.7"]}})).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    let elsewhere = json!({"spec": {"ipAddresses": ["198.51.100.0/24"]}});
    for name in ["one", "two", "three"] {
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
    }
    late(&story);
    story.account.advance_ms(LATE_MS);
    let unsure = |other: &'static str| {
        move |object: &Value| {
            let message = condition(object, "Reconciling")?["message"].as_str()?;
            (message.contains(&format!("IpAccessList lag-lockout-change/{other}"))
                && message.contains("whether this change is safe"))
            .then_some(())
        }
    };

    story.patch(LIST, "one", elsewhere.clone()).await;
    story.wait_condition(LIST, "one", "Ready", "False", "Provisioning").await;
    story.patch(LIST, "two", elsewhere.clone()).await;
    story.wait(LIST, "two", "it waits for the change of the first", unsure("one")).await;
    story.operator.take().unwrap().terminate().await.unwrap();
    story.start_operator(&[LAG]).await;
    read(&story, EACH).await;
    story.wait(LIST, "two", "it still waits", unsure("one")).await;
    assert_eq!(writes(&story), ["POST", "POST", "POST", "PATCH"]);
    story.account.advance_ms(LATE_MS);
    // The third one lets the operator in.
    story.wait_condition(LIST, "two", "Ready", "False", "Provisioning").await;
    story.delete(LIST, "three").await;
    story.wait(LIST, "three", "it waits for the change of the second", unsure("two")).await;
    story.account.advance_ms(LATE_MS);
    story.wait_condition(LIST, "three", "DeletionBlocked", "True", "ApiRefused").await;
    assert_eq!(writes(&story), ["POST", "POST", "POST", "PATCH", "PATCH"]);

    // A list that is deleted and still shown lets nobody in.
    story.apply(&list(&story, "four")).await;
    story.wait_ready(LIST, "four").await;
    story.account.advance_ms(LATE_MS);
    story.pass(LIST, "three").await;
    let deleted = eventually("the third is deleted", SOON, async || {
        if lists(&story).len() == 3 { Ok(()) } else { Err(format!("{:?}", writes(&story))) }
    });
    deleted.await.unwrap();
    story.delete(LIST, "four").await;
    story.wait(LIST, "four", "it waits for the deletion of the third", unsure("three")).await;
    story.account.advance_ms(LATE_MS);
    story.wait_condition(LIST, "four", "DeletionBlocked", "True", "ApiRefused").await;
    story.wait_gone(LIST, "three").await;
    story.patch(LIST, "four", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    story.wait_gone(LIST, "four").await;
    assert_eq!(lists(&story).len(), 3);
    story.end().await;
}

/// The lists `one` and `two` exchange their labels in one commit, and get them.
async fn exchange_labels(story: &Story) {
    for (name, label) in [("one", "two"), ("two", "one")] {
        story.patch(LIST, name, json!({"spec": {"label": label}})).await;
    }
    for (name, label) in [("one", "two"), ("two", "one")] {
        let ready = story.wait_ready(LIST, name).await;
        let id = &ready["status"]["externalId"];
        let there = lists(story);
        let there = there.iter().find(|list| list["list_id"] == *id).unwrap();
        assert_eq!(there["label"], label);
    }
}

/// Covers LC-15, ER-12. Two lists exchange their labels within seconds where reads do not lag, though they may: a read that
/// shows what was sent last is taken for what it is.
#[tokio::test]
async fn labels_are_exchanged_at_once_where_reads_do_not_lag() {
    let flags = [LAG, ("poll-max", "1m"), ("refusal-tries", "3"), ("refusal-period", "1m")];
    let story = Story::start_with("lag-exchange", &flags).await;
    story.account.set(|s| s.ip_list_lag_ms = 0);
    for name in ["one", "two"] {
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
    }
    exchange_labels(&story).await;
    assert_eq!(lists(&story).len(), 2);
    story.end().await;
}

/// Covers LC-15, ER-12. The same where reads are late: the list that stepped aside gets its label as soon as a read shows that it
/// did, and nothing is sent twice while no read shows it.
#[tokio::test]
async fn labels_are_exchanged_soon_where_reads_are_late() {
    let flags = [LAG, ("refusal-tries", "3"), ("refusal-period", "1m")];
    let story = Story::start_with("lag-exchange-late", &flags).await;
    for name in ["one", "two"] {
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
    }
    story.account.set(|s| s.ip_list_lag_ms = 2_000);
    exchange_labels(&story).await;
    let applied = story.account.writes().into_iter().filter(|call| call.applied).count();
    assert_eq!(applied, 2 + 3, "two creates; aside, to the free label, and to the label that is free then");
    story.end().await;
}

/// Covers LC-15, DL-10. What the API of a kind says nothing about holds for as long as a create with an unknown result is waited
/// for: no late read makes the operator take for gone what it created, whether it stays or is deleted.
#[tokio::test]
async fn nothing_is_left_behind_because_reads_were_late() {
    let flags = [LAG, ("quarantine", "5m"), ("resync-interval", "300ms")];
    let mut story = Story::start_with("lag-kinds", &flags).await;
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (0, 100, 100));
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let (path, rows) = ("*/permissionassignments", json!({"groupName": "data-eng"}));
    let access = json!({"workspaceId": workspace, "principal": rows, "permissions": ["ADMIN"]});
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let credential = json!({"credentialsName": "compute", "awsCredentials": role});
    let made = json!({"workspaceName": "made", "awsRegion": "eu-west-1", "computeMode": "SERVERLESS", "deletionPolicy": "Delete"});
    let kinds = [
        ("PermissionAssignment", "permissionassignments", access, path),
        ("Credential", "credentials", credential, "*/credentials*"),
        ("Workspace", "workspaces", made, "*/workspaces*"),
    ];
    for (kind, collection, spec, path) in kinds {
        let there = story.account.objects(collection).len();
        story.account.set(|s| (s.list_lag_ms, s.get_lag_ms) = (0, 0));
        story.account.clear_journal();
        story.apply(&story.managed(kind, "it", spec)).await;
        let bound = |object: &Value| object["status"]["externalId"].as_str().map(drop);
        late(&story);
        story.wait(kind, "it", "it has its id", bound).await;
        story.operator.take().unwrap().kill().unwrap();
        story.start_operator(&flags).await;
        read(&story, path).await;
        assert_eq!(story.account.calls("POST", path), usize::from(kind != "PermissionAssignment"), "{kind}");
        let now = story.get(kind, "it").await;
        assert!(condition(&now, "Stalled").is_none(), "{now}");

        // Not killed: a write whose result is not known would be waited out first, which is another story.
        assert!(story.operator.take().unwrap().terminate().await.unwrap().success());
        story.delete(kind, "it").await;
        story.start_operator(&flags).await;
        story.wait(kind, "it", "it says what it waits for", waits).await;
        story.pass(kind, "it").await;
        assert_eq!(story.account.objects(collection).len(), there + 1, "{kind}");
        let gone = eventually(format!("{kind} is gone"), SOON, async || {
            story.account.advance_ms(LATE_MS);
            let left = story.api(kind).get_opt("it").await.map_err(|e| e.to_string())?;
            left.map_or(Ok(()), |left| Err(json!(left)["status"].to_string()))
        });
        gone.await.unwrap();
        assert_eq!(story.account.objects(collection).len(), there, "{kind}");
    }
    story.end().await;
}
