//! Objects that exist: compared, corrected, adopted, only observed.

use serde_json::Map;

use super::*;
use crate::engine::kind::Shared;

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

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_spec_is_an_update_and_no_drift() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.api.events(), ["Updated"]);
    assert_eq!(world.status()["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_only_observed_is_shown_and_left_alone() {
    let world = world();
    world.apply(json!({"managementPolicy": "Observe"})).settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.condition("Ready"), "False WouldBeCreated");
    assert_eq!(world.status()["drift"][0]["path"], "name");
    world.fake.put(seen("1", "a", None));
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.condition("Synced"), "False DriftDetected");
    assert_eq!(world.status()["external"]["observed"], true);
    world.api.delete("it");
    assert!(
        world.settle().await.api.get("it").is_none(),
        "it has no finalizer, so nothing has to be released"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_adopted_only_by_a_users_word_and_stays_on_deletion() {
    for (policy, ready) in [("IfOwned", false), ("Never", false), ("IfExists", true), ("Required", true)] {
        let world = world();
        let mut there = seen("1", "a", None);
        there.state["value"] = json!("v");
        world.fake.put(there);
        world.apply(json!({"adoptionPolicy": policy})).settle().await;
        assert_eq!(world.changes(), NOTHING, "{policy}");
        let expected = if ready { "True Available" } else { "False AlreadyExists" };
        assert_eq!(world.condition("Ready"), expected, "{policy}");
        assert_eq!(world.api.events().contains(&"Adopted".to_owned()), ready, "{policy}");
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{policy}");
        assert_eq!(world.changes(), NOTHING, "{policy}: what was adopted stays");
    }
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
async fn a_restored_object_knows_its_own_by_the_annotation() {
    let world = World::ready(json!({})).await;
    // A backup without the status, restored under the same name.
    world.api.edit("it", |it| it["status"] = Value::Null);
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["external"]["adopted"], false);
    assert_eq!(world.changes(), NOTHING);
    // Copied from another namespace: it was not created as this object, so it stays on deletion.
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| {
        it["status"] = Value::Null;
        it["metadata"]["annotations"]["databricks-operator.io/created-by"] = json!("there/ns/it");
    });
    world.settle().await;
    assert_eq!(world.status()["external"]["adopted"], true);
    assert_eq!(
        world.api.events(),
        ["Adopted", "again"],
        "that it is Ready once more is counted on the first event"
    );
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
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
async fn a_plan_for_what_must_exist_already_creates_nothing() {
    let world = world();
    world.apply(json!({"managementPolicy": "Observe"})).settle().await;
    assert_ne!(world.status()["drift"], Value::Null);
    world.apply(json!({"managementPolicy": "Observe", "adoptionPolicy": "Required"})).settle().await;
    assert_eq!(world.condition("Ready"), "False ExternalResourceMissing");
    assert_eq!(world.status()["drift"], Value::Null);
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_is_only_observed_may_change_and_go_away() {
    for (policy, gone) in [("IfOwned", "False WouldBeCreated"), ("Required", "False ExternalResourceMissing")]
    {
        let world = world();
        world.fake.put(seen("1", "a", None));
        world.apply(json!({"managementPolicy": "Observe", "adoptionPolicy": policy})).settle().await;
        assert_eq!(world.status()["usable"], true);
        assert_eq!(world.status()["observed"]["name"], "a");
        world.fake.edit("1", |seen| seen.about.phase = Phase::Pending("soon".into()));
        tokio::time::advance(seconds(601)).await;
        world.settle().await;
        assert_eq!(world.status()["usable"], false);
        world.fake.take("1");
        for _ in 0..2 {
            tokio::time::advance(seconds(601)).await;
            world.settle().await;
        }
        assert_eq!(world.condition("Ready"), gone);
        assert_eq!(world.status()["usable"], Value::Null, "{policy}");
        assert_eq!(world.status()["observed"], Value::Null, "{policy}: nothing is shown of what is gone");
        assert_eq!(world.changes(), NOTHING);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_only_observed_needs_permission_to_be_managed() {
    let world = world();
    world.fake.put(seen("1", "a", None));
    world.apply(json!({"managementPolicy": "Observe"})).settle().await;
    world.apply(json!({"adoptionPolicy": "Never"})).settle().await;
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert_eq!(world.status()["usable"], true, "its dependents lose nothing by that");
    world.apply(json!({"adoptionPolicy": "IfExists"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["PATCH 1 value"]);
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_another_installation_says_how_to_take_over() {
    for (mark, advice) in [("there/ns/it", true), ("there/ns/other", false)] {
        let world = world_of(Fake::new(Lifecycle::Object, Ownership::Marker), |_| {});
        world.fake.put(seen("1", "a", Some(mark)));
        world.apply(json!({})).settle().await;
        assert_eq!(world.condition("Ready"), "False AlreadyExists", "{mark}");
        let message = world.message("Ready");
        assert_eq!(message.contains("--installation=there"), advice, "{mark}: {message}");
        assert_eq!(world.changes(), NOTHING);
    }
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
async fn a_restored_object_that_differs_is_corrected_and_bound_again() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"] = Value::Null);
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.status()["external"]["adopted"], false);
    assert_eq!(world.condition("Ready"), "True Available");
}

/// The mark that it gets by that is no proof that it was created as this object.
#[tokio::test(start_paused = true)]
async fn what_a_copied_annotation_names_is_adopted_by_the_update_that_marks_it() {
    let world = world_of(Fake::new(Lifecycle::Object, Ownership::Marker), |_| {});
    world.fake.put(seen("1", "a", None));
    world.apply(json!({"adoptionPolicy": "IfExists"}));
    world.api.edit("it", |it| {
        it["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": "1"});
    });
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH 1 value"]);
    assert_eq!(world.fake.got.lock().unwrap()["1"].about.owner.as_deref(), Some("here/ns/it"));
    assert_eq!(world.status()["external"]["adopted"], true);
    assert!(world.api.events().contains(&"Adopted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn adoptions_wait_until_every_older_object_was_reconciled() {
    let world = world();
    world.fake.put(seen("1", "a", None));
    world.api.apply("other", spec("b", json!({})));
    world.engine.memory.barrier.begin([("uid-other".to_owned(), named("other"))].into_iter());
    world.apply(json!({"adoptionPolicy": "IfExists"})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.status()["external"], Value::Null);
    world.reconcile_named("other").await;
    world.settle().await;
    assert_eq!(world.status()["externalId"], "1");
    assert_eq!(world.api.events().iter().filter(|event| *event == "Adopted").count(), 1);
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
        let mut checks = world.engine.memory.wake.subscribe("DatabricksAuth", None);
        tokio::time::advance(seconds(601)).await;
        world.fails(Error::Transient { reason, message: "no".into(), after: None }).reconcile().await;
        assert_eq!(checks.try_recv().is_ok(), concerns, "{reason:?}");
        let in_doubt = concerns && reason != Reason::RateLimited;
        assert_eq!(world.engine.auths.doubted_for(&auth()).is_some(), in_doubt, "{reason:?}");
        assert_eq!(world.condition("Ready"), "True Available", "it says nothing about the object");
    }
}

#[tokio::test(start_paused = true)]
async fn an_adoption_is_reported_even_if_its_record_gets_no_response() {
    let world = world();
    let mut there = seen("1", "a", None);
    there.state["value"] = json!("v");
    world.fake.put(there);
    world.apply(json!({"adoptionPolicy": "IfExists"})).api.next_write("status", Trouble::Lose);
    world.settle().await;
    assert_eq!(world.status()["externalId"], "1");
    assert_eq!(world.api.events().iter().filter(|event| *event == "Adopted").count(), 1);
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
