//! Creates: what is announced, sent and recorded, and what follows if one of these fails.

use super::*;

mod remembered;

impl World {
    /// The create that was announced was sent this many seconds ago.
    pub(super) fn sent_ago(&self, count: i64) {
        let time = Timestamp::from_second(crate::clock::now().as_second() - count).unwrap().to_string();
        self.api.edit("it", |it| it["status"]["intent"]["time"] = json!(time));
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_is_announced_sent_and_recorded() {
    let world = world();
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "POST a"]);
    assert_eq!(world.api.writes(), ["metadata", "status", "status", "metadata"]);
    assert_eq!(world.api.events(), ["Created"], "that it is Ready at once is no second event");
    let it = world.api.get("it").unwrap();
    let status = &it.data["status"];
    assert_eq!(status["externalId"], "id-a");
    assert_eq!(status["external"]["adopted"], false);
    assert!(status["intent"].is_null() && status["external"]["createdAt"].is_string(), "{status}");
    assert_eq!(it.metadata.annotations.unwrap()["databricks-operator.io/external-id"], "id-a");
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Synced"), "True InSync");
}

/// Some APIs return the id of what they created, and no more.
#[tokio::test(start_paused = true)]
async fn a_create_whose_response_shows_only_the_id_is_recorded_and_then_read() {
    let world = world();
    *world.fake.silent.lock().unwrap() = true;
    assert_eq!(world.apply(json!({})).reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.fake.calls(), ["LIST ", "POST a"]);
    let external = world.status()["external"].clone();
    assert_eq!(
        (&external["id"], &external["name"]),
        (&json!("id-a"), &json!("a")),
        "recorded before it is read"
    );
    assert_eq!(world.condition("Ready"), "False Progressing");
    world.quiet();
    world.settle().await;
    assert_eq!(world.fake.calls(), ["LIST "], "not the LIST from before the create");
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Synced"), "True InSync");
}

/// The finalizer was removed by hand during such a create.
#[tokio::test(start_paused = true)]
async fn an_orphan_of_which_only_the_id_is_known_is_read_and_deleted() {
    let world = world();
    *world.fake.silent.lock().unwrap() = true;
    world.apply(json!({})).watch();
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Vanish);
    world.reconcile().await;
    world.engine.undoing.tasks.close();
    world.engine.undoing.tasks.wait().await;
    assert_eq!(world.fake.calls(), ["LIST ", "POST a", "GET id-a", "DELETE id-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_to_a_create_never_leads_to_a_second_object() {
    let world = world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |s| {
        s.quarantine = Duration::from_secs(60)
    });
    world.apply(json!({})).loses(unknown()).reconcile().await;
    assert_eq!(world.condition("Ready"), "False Retrying");
    assert!(world.status()["intent"].is_object());
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"], "it waits");
    assert!(world.message("Ready").contains("a create was interrupted"), "{}", world.message("Ready"));
    world.quiet();
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(world.reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.fake.calls(), ["LIST "]);
    assert_eq!(world.status()["externalId"], "id-a");
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), NOTHING);
    assert!(world.api.events().contains(&"Created".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_interrupted_before_it_was_sent_is_sent_later() {
    let world = world();
    world.apply(json!({})).reconcile().await;
    world.fake.take("id-a");
    world.api.edit("it", |it| {
        let sent = Timestamp::from_second(crate::clock::now().as_second() - 700).unwrap().to_string();
        it["status"]["external"] = Value::Null;
        it["metadata"]["annotations"] = json!({});
        it["status"]["intent"] = json!({"accountId": "account", "within": "", "name": "a", "time": sent});
    });
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(
        world.fake.calls(),
        ["LIST ", "LIST ", "POST a"],
        "that nothing was created and that nothing is there are proven by one LIST each"
    );
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_whose_announcement_was_not_written() {
    let world = world();
    world.apply(json!({})).api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING);
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    // The announcement was written without a response. That nothing was sent is remembered, so nothing is in doubt.
    let world = self::world();
    world.apply(json!({})).api.next_write("status", Trouble::Lose);
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING);
    assert!(world.status()["intent"].is_object(), "{}", world.status());
    world.reconcile().await;
    assert_eq!(
        (world.condition("Ready").as_str(), world.changes()),
        ("True Available", vec!["POST a".to_owned()])
    );
}

/// A user edits the spec just when Databricks refuses what it was.
#[tokio::test(start_paused = true)]
async fn a_refused_create_whose_record_was_lost_is_not_in_doubt() {
    let world = world();
    world
        .apply(json!({}))
        .fake
        .refuse(Error::rejected(Reason::ApiRefused, "Databricks refused: no such region"));
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    assert!(world.status()["intent"].is_object(), "{}", world.status());
    world.quiet();
    world.reconcile().await;
    assert_eq!(
        (world.condition("Ready").as_str(), world.changes()),
        ("True Available", vec!["POST a".to_owned()])
    );
}

/// What was announced later is in doubt if its result is unknown, whatever is remembered of an earlier one.
#[tokio::test(start_paused = true)]
async fn a_create_without_a_response_is_in_doubt_although_one_before_was_refused() {
    let world = world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |s| {
        s.quarantine = Duration::from_secs(60)
    });
    let refusal = Error::rejected(Reason::ApiRefused, "Databricks refused: no such region");
    world.apply(json!({})).fake.refuse(refusal);
    world.reconcile().await;
    tokio::time::advance(Duration::from_secs(40)).await;
    world.loses(unknown()).reconcile().await;
    world.settle().await;
    assert_eq!(world.changes(), ["POST a", "POST a"]);
    assert!(world.message("Ready").contains("a create was interrupted"), "{}", world.message("Ready"));
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_new_object_is_written_whatever_others_write() {
    let world = world();
    world.apply(json!({})).api.next_write("metadata", Trouble::Lose);
    world.reconcile().await;
    world.quiet();
    let api = world.api.clone();
    // The second write of the status is the record.
    api.next_write("status", Trouble::Lose);
    world.settle().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.changes().iter().filter(|call| *call == "POST a").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_object_vanished_meanwhile_is_undone() {
    let world = world();
    world.apply(json!({})).watch();
    world.api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    world.quiet();
    world.fake.fails.lock().unwrap().take();
    let before = world.api.get("it").unwrap();
    // The announcement succeeds, and the record finds no object.
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Vanish);
    reconcile(&before, world.engine.clone(), world.fake).await;
    world.watch();
    world.engine.undoing.tasks.close();
    world.engine.undoing.tasks.wait().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_create_is_shown_at_once_and_stalled_when_it_is_confirmed() {
    let world = world();
    world.apply(json!({}));
    let refusal = || Error::rejected(Reason::ApiRefused, "Databricks refused: no such region");
    for stalled in ["", "", "True ApiRefused"] {
        world.fake.put(seen("0", "unrelated", None));
        tokio::time::advance(Duration::from_secs(40)).await;
        world.fake.refuse(refusal());
        world.reconcile().await;
        assert_eq!(world.condition("Ready"), "False ApiRefused");
        assert_eq!(world.condition("Stalled"), stalled);
        assert!(world.status()["intent"].is_null(), "nothing was created");
    }
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn what_exists_although_no_list_shows_it_is_read_again_before_that_is_said() {
    let world = world();
    world.apply(json!({}));
    let exists = Error::rejected(Reason::AlreadyExists, "a exists already");
    world.fake.refuse(exists);
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING, "it is not asked twice");
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_deleted_outside_is_created_again_once_that_is_certain() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"]["external"]["createdAt"] = json!("2026-01-01T00:00:00Z"));
    world.fake.take("id-a");
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.changes(), NOTHING);
    tokio::time::advance(Duration::from_secs(11)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_that_mean_the_same_the_first_keeps_it() {
    let world = World::ready(json!({})).await;
    world.api.apply("other", spec("a", json!({"adoptionPolicy": "IfExists"})));
    world.reconcile_named("other").await;
    let other = world.api.get("other").unwrap();
    let ready = &other.data["status"]["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("ManagementConflict")),
        "{ready}"
    );
    assert!(ready["message"].as_str().unwrap().contains("Fake ns/it"), "{ready}");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn creates_wait_until_every_older_object_was_reconciled() {
    let world = world();
    world.api.apply("other", spec("b", json!({})));
    let other = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "other".into() };
    world.engine.memory.barrier.begin([("uid-other".to_owned(), other)].into_iter());
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.status(), Value::Null, "a moment is no news");
    tokio::time::advance(Duration::from_secs(10)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.changes(), NOTHING);
    world.reconcile_named("other").await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST b", "POST a"]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_is_polled_and_stalled_when_it_takes_too_long() {
    let world = world();
    *world.fake.phase.lock().unwrap() = Phase::Pending("being provisioned".into());
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "False Provisioning");
    assert_eq!(world.condition("Reconciling"), "True Progressing");
    world.api.edit("it", |it| it["status"]["operation"]["since"] = json!("2026-01-01T00:00:00Z"));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ProvisioningFailed");
    world.fake.edit("id-a", |seen| seen.about.phase = Phase::Ready);
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["POST a"]);
}

#[tokio::test(start_paused = true)]
async fn an_upsert_is_written_under_its_key_and_never_doubled() {
    let world = world_of(Fake::upsert(), |_| {});
    world.apply(json!({})).settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
    world.api.delete("it");
    for _ in 0..8 {
        tokio::time::advance(Duration::from_secs(61)).await;
        world.settle().await;
    }
    assert_eq!(world.changes(), ["DELETE /a"]);
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_create_had_created_is_reported_once_it_is_recorded() {
    let world = world();
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.sent_ago(61);
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    // Another write came first, and may have announced another create.
    world.api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    assert!(world.status()["intent"].is_object() && world.status()["externalId"].is_null());
    assert_eq!(world.api.events(), NOTHING);
    world.settle().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.api.events().iter().filter(|event| *event == "Created").count(), 1);
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_with_one_name_the_second_waits_for_the_create_of_the_first() {
    let world = world_of(Fake::with(|_| {}), |settings| settings.quarantine = seconds(60));
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.fake.listed.lock().unwrap().clear();
    world.api.apply("other", spec("a", json!({})));
    world.quiet();
    world.reconcile_named("other").await;
    let other = world.api.get("other").unwrap().data["status"].clone();
    assert_eq!(condition(&other, "Stalled"), "True ManagementConflict");
    assert!(other.to_string().contains("managed by Fake ns/it"), "{other}");
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-01, LC-03. A create was sent, and the operator was down for a day. What it finds then may be another user's, as
/// the API does not say when it was created.
#[tokio::test(start_paused = true)]
async fn what_is_found_long_after_an_interrupted_create_is_for_a_person() {
    let world = world();
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.sent_ago(86_400);
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(world.condition("Stalled"), "True CreateResultUnknown");
    let message = world.message("Ready");
    assert!(message.contains("id-a") && message.contains("set spec.externalId to"), "{message}");
    assert!(world.status()["external"].is_null() && world.status()["intent"].is_object());
    assert_eq!(world.changes(), NOTHING);

    // A person says which one is meant. As its author is not known, it is adopted, and so it is retained.
    world.apply(json!({"externalId": "id-a"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["external"]["adopted"], true);
    assert_eq!(world.status()["effective"]["deletionPolicy"], "Retain");
    assert!(world.status()["intent"].is_null());
    assert_eq!(world.changes(), NOTHING);
}

/// A person removed what was found: nothing is left of the create, and there is one object in the end.
#[tokio::test(start_paused = true)]
async fn an_interrupted_create_whose_result_a_person_removed_is_sent_again() {
    let world = world();
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.sent_ago(86_400);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(world.condition("Stalled"), "True CreateResultUnknown");
    world.fake.take("id-a");
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["POST a"]);
}
