//! Objects that are bound to one in the account: compared and corrected.

use serde_json::Map;
use tokio::time::Instant;

use super::*;
use crate::engine::kind::{Explained, Shared};
use crate::engine::pass::fake::reader;

#[tokio::test(start_paused = true)]
async fn what_is_as_it_should_be_costs_one_list_and_no_write() {
    let world = World::ready(json!({})).await;
    for _ in 0..3 {
        world.reconcile().await;
    }
    assert_eq!(
        world.fake.calls(),
        NOTHING,
        "the LIST of the create serves until the resync interval is over"
    );
    assert_eq!(world.api.writes(), NOTHING);
    assert_eq!(world.api.events(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn drift_is_corrected_after_one_more_read() {
    let world = World::ready(json!({})).await;
    world.fake.edit("id-a", |seen| seen.state["value"] = json!("other"));
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET id-a", "PATCH id-a value"]);
    assert_eq!(world.api.events(), ["DriftCorrected"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

/// The response to a change is lost, and the spec is changed back: what was read before the change is not what the account has.
#[tokio::test(start_paused = true)]
async fn after_a_change_whose_response_is_lost_the_account_is_read_again() {
    let world = World::ready(json!({})).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    world.fake.refuse(Error::retry("no response"));
    world.apply(json!({"value": "new"})).reconcile().await;
    world.fake.edit("id-a", |seen| seen.state["value"] = json!("new"));
    world.fake.calls();
    tokio::time::advance(Duration::from_secs(1)).await;
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET id-a", "PATCH id-a value"]);
    assert_eq!(world.condition("Synced"), "True InSync");
}

/// The spec is changed back together with `authRef`: what the other DatabricksAuth had read before the change is not what the account has.
#[tokio::test(start_paused = true)]
async fn after_a_change_with_other_credentials_the_account_is_read_again() {
    let world = World::ready(json!({})).await;
    let (other, reader) = (Arc::new(Session::of(account())), reader());
    other.snapshots.read(world.fake, &reader, "", Instant::now(), |_| ()).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(other));
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET id-a", "PATCH id-a value"]);
    world.reconcile().await;
    assert_eq!(world.fake.calls(), NOTHING, "that one knows of it");
    assert_eq!(world.condition("Synced"), "True InSync");
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_spec_is_an_update_and_no_drift() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.api.events(), ["Updated"]);
    assert_eq!(world.status()["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_leaves_what_is_ready_ready_until_it_lasts() {
    let world = World::ready(json!({})).await;
    for attempt in 0..5 {
        tokio::time::advance(Duration::from_secs(601)).await;
        world.fails(Error::retry("down")).reconcile().await;
        assert_eq!(world.condition("Ready"), "True Available", "{attempt}");
    }
    assert_eq!(world.condition("Synced"), "False Retrying");
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Synced"), "True InSync");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_object_costs_nothing_and_is_resumed() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"suspend": true})).settle().await;
    assert_eq!(world.fake.calls(), NOTHING);
    assert_eq!(world.condition("Suspended"), "True SuspendedBySpec");
    world.apply(json!({"suspend": false})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Suspended"), "");
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_waited_for_and_its_id_is_pinned() {
    let world = world();
    world.apply(json!({"parentRef": {"name": "parent"}})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotFound");
    world.api.apply("parent", spec("p", json!({})));
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotReady");
    *world.fake.mark.lock().unwrap() = "parent".into();
    world.reconcile_named("parent").await;
    *world.fake.mark.lock().unwrap() = "it".into();
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["resolvedRefs"]["parentRef"], "id-p");
    assert_eq!(world.fake.got.lock().unwrap()["id-a"].state["value"], "id-p");
    // What is being deleted gets no new dependents, and keeps those it has.
    world.api.delete("parent");
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_reconcile_reads_again_and_is_noted() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| {
        it["metadata"]["annotations"]["databricks-operator.io/reconcile-requested-at"] = json!("now");
    });
    tokio::time::advance(Duration::from_secs(5)).await;
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST "]);
    assert_eq!(world.status()["lastHandledReconcileAt"], "now");
    world.reconcile().await;
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_create_cannot_set_is_sent_at_once() {
    let world = world();
    *world.fake.partial.lock().unwrap() = true;
    assert_eq!(world.apply(json!({})).reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "False Progressing");
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_reads_do_not_show_is_sent_again_in_time_and_reported_once() {
    let world = World::ready(json!({})).await;
    *world.fake.late.lock().unwrap() = true;
    world.apply(json!({"value": "new"})).reconcile().await;
    let sent = world.status()["operation"].clone();
    assert_eq!(sent["paths"], json!(["value"]));
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH id-a value"], "it gets a moment");
    assert_eq!(world.condition("Ready"), "False Provisioning");
    tokio::time::advance(seconds(30)).await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.status()["operation"], sent, "it has been open since it was sent first");
    assert_eq!(world.api.events(), ["Updated"]);
    *world.fake.late.lock().unwrap() = false;
    world.fake.edit("id-a", |seen| seen.state["value"] = json!("new"));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["operation"], Value::Null);
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_done_in_time_is_for_a_person() {
    let world = World::ready(json!({})).await;
    *world.fake.late.lock().unwrap() = true;
    world.apply(json!({"value": "new"})).reconcile().await;
    world.api.edit("it", |it| it["status"]["operation"]["since"] = json!("2026-01-01T00:00:00Z"));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ApplyFailed");
    // A new spec is a new attempt.
    *world.fake.late.lock().unwrap() = false;
    world.apply(json!({"value": "newer"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_and_a_rejected_token_are_shown_to_the_databricks_auth() {
    let cases = [
        (Reason::RateLimited, true),
        (Reason::CredentialsInvalid, true),
        (Reason::AddressBlocked, true),
        (Reason::Retrying, false),
    ];
    for (reason, concerns) in cases {
        let world = World::ready(json!({})).await;
        let mut checks = world.engine.memory.triggers.subscribe("DatabricksAuth", None);
        tokio::time::advance(seconds(601)).await;
        world.fails(Error::Transient { reason, message: "no".into(), after: None }).reconcile().await;
        assert_eq!(checks.try_recv().is_ok(), concerns, "{reason:?}");
        let in_doubt = concerns && reason != Reason::RateLimited;
        assert_eq!(world.engine.auths.doubted_for(&auth()).is_some(), in_doubt, "{reason:?}");
        assert_eq!(world.condition("Ready"), "True Available", "it says nothing about the object");
    }
}

/// A change that the account refuses in part is no change that was refused: the status shows what was carried out and what was not, and
/// only the rest is sent again.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_refused_in_part_is_shown_as_far_as_it_was_carried_out() {
    let world = World::ready(json!({})).await;
    *world.fake.in_part.lock().unwrap() = Some(Error::rejected(Reason::InvalidSpec, "no such name"));
    world.apply(json!({"name": "b", "value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name,value"]);
    let status = world.status();
    assert_eq!(status["observed"], json!({"name": "a", "value": "new"}));
    assert_eq!(status["drift"], json!([{"path": "name", "want": "\"b\"", "seen": "\"a\""}]));
    assert!(world.message("Ready").contains("no such name"), "{}", world.message("Ready"));
    assert_eq!(world.condition("Synced").split(' ').next(), Some("False"), "{status}");
    assert_eq!(status["operation"], Value::Null, "what was refused is not waited for");
    assert!(world.api.events().contains(&"Updated".to_owned()));

    // Nothing is left to carry out but what is refused: that is no event.
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name"]);
    assert!(!world.api.events().contains(&"Updated".to_owned()));
    *world.fake.in_part.lock().unwrap() = None;
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name"]);
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["drift"], Value::Null);
}

/// Covers ST-16. Whatever the account has, the object can be stored.
#[tokio::test(start_paused = true)]
async fn a_list_of_any_length_is_compared_whole_and_shown_in_part() {
    let (world, ids) = (world(), |count: i64| json!((0..count).collect::<Vec<_>>()));
    world.apply(json!({"value": ids(10_000)})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["observed"]["value"], ids(1_000));
    assert_eq!(world.status()["observedCounts"], json!({"value": 10_000}));
    world.quiet();

    // What differs beyond what is shown is a difference.
    world.fake.edit("id-a", |seen| seen.state["value"] = ids(9_999));
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    world.fake.edit("id-a", |seen| seen.state["value"] = ids(10));
    world.apply(json!({"value": ids(10)})).settle().await;
    assert_eq!(world.status()["observed"]["value"], ids(10));
    assert_eq!(world.status()["observedCounts"], Value::Null);
}

/// What no response about one object has is shown whatever was read last, and an outage does not take it away.
#[tokio::test(start_paused = true)]
async fn what_all_objects_share_is_read_once_for_a_list_and_kept() {
    let heeds = |heeded: bool| {
        let remark = (!heeded).then(|| "nothing heeds it".to_owned());
        Ok(Shared { facts: Map::from_iter([("heeded".to_owned(), json!(heeded))]), remark })
    };
    let message = |world: &World| {
        let conditions = world.status()["conditions"].as_array().unwrap().clone();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap();
        format!("{} {}", ready["status"].as_str().unwrap(), ready["message"].as_str().unwrap())
    };
    let world = world();
    *world.fake.shared.lock().unwrap() = heeds(false);
    world.apply(json!({})).settle().await;
    assert_eq!(message(&world), "True nothing heeds it", "the response to the create does not show it");
    *world.fake.shared.lock().unwrap() = Err(Error::retry("down"));
    world.apply(json!({"value": "new"})).settle().await;
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!((message(&world), &world.status()["heeded"]), ("True nothing heeds it".into(), &json!(false)));
    // The fake account keeps what the update sent.
    world.fake.edit("id-a", |seen| (seen.facts, seen.about.remark) = (Map::new(), None));
    *world.fake.shared.lock().unwrap() = heeds(true);
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!((message(&world), &world.status()["heeded"]), ("True ".into(), &json!(true)));
    *world.fake.shared.lock().unwrap() = Ok(Shared::default());
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!(world.status().get("heeded"), None, "it is not known any more");
}

/// What another object says is read by the LIST that its own kind shares, and stays what it was after a change.
#[tokio::test(start_paused = true)]
async fn what_another_object_says_is_shown_without_a_call() {
    let fake = Fake::with(|fake| {
        let add = |about: &mut About, beside: &Seen| about.remark.clone_from(&beside.about.state);
        fake.traits.explained = Some(Explained { by: "Fake", field: "value", add });
    });
    let mut beside = seen("v", "beside", None);
    beside.about.state = Some("broken".into());
    fake.put(beside);
    let world = world_of(fake, |_| {});
    world.apply(json!({})).settle().await;
    assert_eq!((&*world.condition("Ready"), &*world.message("Ready")), ("True Available", "broken"));
    assert_eq!(fake.calls(), ["LIST ", "POST a"]);
    world.apply(json!({"name": "b"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name"]);
    assert_eq!(world.message("Ready"), "broken");
    fake.edit("v", |beside| beside.about.state = None);
    tokio::time::advance(seconds(601)).await;
    world.reconcile().await;
    assert_eq!(fake.calls(), ["LIST "]);
    assert_eq!(world.message("Ready"), "");
}
