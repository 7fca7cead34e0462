//! What is written to the Kubernetes object, and what follows if that fails.

use super::*;

impl World {
    /// An object that is about to be created; the write of its id meets this trouble.
    async fn creates_and_then(trouble: Trouble) -> World {
        let world = world();
        world.apply(json!({})).api.next_write("status", Trouble::Pass);
        world.api.next_write("status", trouble);
        world
    }

    fn request(&self, token: &str) {
        self.api.edit("it", |it| {
            it["metadata"]["annotations"]["databricks-operator.io/reconcile-requested-at"] = json!(token);
        });
    }

    fn handled(&self, token: &str) -> bool {
        self.status()["lastHandledReconcileAt"] == token
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_new_object_is_written_over_what_others_wrote_meanwhile() {
    let world = World::creates_and_then(Trouble::Label).await;
    world.reconcile().await;
    assert_eq!(world.api.get("it").unwrap().metadata.labels.unwrap()["a"], "b");
    assert_eq!(world.status()["externalId"], "id-a", "within the same reconcile");
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["POST a"]);
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_new_object_is_written_as_soon_as_the_api_server_responds_again() {
    let world = World::creates_and_then(Trouble::Refuse(500)).await;
    (0..3).for_each(|_| world.api.next_read("object", 500));
    (0..3).for_each(|_| world.api.next_write("status", Trouble::Refuse(500)));
    let began = tokio::time::Instant::now();
    world.reconcile().await;
    assert_eq!(began.elapsed(), 7 * Duration::from_millis(250), "after four writes and three reads");
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.changes(), ["POST a"]);
}

/// The tries must last longer than what refuses the first of them. Only after a change of the object the next may succeed at once.
#[tokio::test(start_paused = true)]
async fn the_id_of_a_new_object_is_written_again_after_a_pause_unless_the_object_was_changed() {
    for (status, pause) in [(403, 250), (500, 250), (409, 0)] {
        let world = World::creates_and_then(Trouble::Refuse(status)).await;
        (0..3).for_each(|_| world.api.next_write("status", Trouble::Refuse(status)));
        let began = tokio::time::Instant::now();
        world.reconcile().await;
        assert_eq!(began.elapsed(), 4 * Duration::from_millis(pause), "{status}");
        assert_eq!(world.status()["externalId"], "id-a", "{status}");
        assert_eq!(world.changes(), ["POST a"], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_written_although_no_response_came_is_not_written_twice() {
    let world = World::creates_and_then(Trouble::Lose).await;
    assert_eq!(world.reconcile().await, Action::requeue(Duration::from_millis(20)));
    assert_eq!(world.status()["externalId"], "id-a");
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn what_was_created_for_an_object_that_another_replica_bound_meanwhile_is_deleted() {
    let world = World::creates_and_then(Trouble::Rebind).await;
    world.reconcile().await;
    world.engine.undoing.tasks.close();
    // The Kubernetes object still exists, and does not own it.
    world.fake.refuse(Error::retry("no answer"));
    world.engine.undoing.tasks.wait().await;
    assert_eq!(world.status()["externalId"], "another");
    assert_eq!(world.changes(), ["POST a", "DELETE id-a", "DELETE id-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_cluster_does_not_accept_is_reported_by_an_event() {
    let world = World::ready(json!({})).await;
    let (log, _kept) = Log::keep();
    let mut waits = vec![];
    world.apply(json!({"suspend": true}));
    for _ in 0..3 {
        world.api.next_write("status", Trouble::Refuse(403));
        waits.push(world.reconcile().await);
    }
    assert_eq!(world.condition("Ready"), "True Available", "nothing was written");
    assert_eq!(world.api.events(), ["Stalled"], "nor is what was not written reported");
    assert_eq!(waits[0], Action::requeue(Duration::from_millis(20)));
    assert_ne!(waits[2], waits[0], "it is not tried without a pause");
    let lines = log.lines();
    let warnings = lines.iter().filter(|line| line.contains("WARN"));
    assert!(
        warnings
            .clone()
            .all(|line| line.contains("does not let the operator write the status of Fake ns/it"))
    );
    assert_eq!(warnings.count(), 3, "{lines:?}");
    world.reconcile().await;
    assert_eq!(world.condition("Suspended"), "True SuspendedBySpec");
}

/// Covers ER-01. The watch is silent, so the cache shows what was there before the write that was refused.
#[tokio::test(start_paused = true)]
async fn a_write_from_a_stale_view_is_refused_once() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"value": "w"})).watch();
    let cached = world.api.get("it").unwrap();
    world.api.next_write("status", Trouble::Label);
    reconcile(&cached, world.engine.clone(), world.fake).await;
    assert_eq!(world.status()["observedGeneration"], 1, "refused: {}", world.status());
    reconcile(&cached, world.engine.clone(), world.fake).await;
    assert_eq!(world.status()["observedGeneration"], 2, "{}", world.status());
    assert_eq!(world.api.get("it").unwrap().metadata.labels.unwrap()["a"], "b");
}

/// Nothing says what is in the cluster by now: the cache is stale, and reads fail.
#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_recorded_is_not_repeated_at_once() {
    let world = World::ready(json!({})).await;
    let at_once = Action::requeue(Duration::from_millis(20));
    for value in ["w", "of another spec"] {
        world.apply(json!({"value": value})).watch();
        let cached = world.api.get("it").unwrap();
        world.api.edit("it", |it| it["metadata"]["labels"]["a"] = json!(value));
        for first in [true, false] {
            world.fake.edit("id-a", |seen| seen.state["value"] = json!("v"));
            world.api.next_read("object", 500);
            tokio::time::advance(seconds(600)).await;
            let again = reconcile(&cached, world.engine.clone(), world.fake).await;
            assert_eq!(again == at_once, first, "{value}: {again:?}");
            assert_eq!(world.changes(), ["PATCH id-a value"]);
        }
    }
}

/// A reconcile that ended before it did anything does not use a request up.
#[tokio::test(start_paused = true)]
async fn a_request_for_a_reconcile_is_handled_once_something_was_done() {
    let world = World::ready(json!({})).await;
    world.request("1");
    tokio::time::advance(seconds(5)).await;
    world.fails(Error::retry("down")).reconcile().await;
    assert!(world.handled("1"), "what is Ready was to be read, and will be");

    // A change that has to be sent again.
    world.apply(json!({"value": "new"})).request("2");
    tokio::time::advance(seconds(5)).await;
    world.fake.refuse(Error::rejected(Reason::ExternalResourceMissing, "there is no such object"));
    world.reconcile().await;
    assert!(!world.handled("2"));
    world.reconcile().await;
    assert!(world.handled("2"));

    // What failed in the account is to be retried, and an outage prevents that.
    world.fake.edit("id-a", |seen| seen.about.phase = Phase::Failed("no quota".into()));
    tokio::time::advance(seconds(601)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ProvisioningFailed");
    world.request("3");
    tokio::time::advance(seconds(5)).await;
    world.fails(Error::retry("down")).reconcile().await;
    assert!(!world.handled("3"));
    tokio::time::advance(seconds(5)).await;
    world.reconcile().await;
    assert!(world.handled("3"));
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_reconcile_survives_the_end_of_an_interrupted_create() {
    let world = world();
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.request("1");
    world.sent_ago(61);
    tokio::time::advance(seconds(6)).await;
    assert_eq!(world.reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.status()["externalId"], "id-a");
    assert!(!world.handled("1"), "nothing was compared yet");
    world.reconcile().await;
    assert!(world.handled("1"));
}

/// Covers UX-04. An operator that is newer than its CRDs writes fields that the API server drops. That is no reason to write or
/// to reconcile again and again.
#[tokio::test(start_paused = true)]
async fn what_the_api_server_drops_from_a_status_is_no_endless_loop() {
    let world = world();
    world.api.drops("observed");
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert!(world.status()["observed"].is_null());
    world.quiet();
    let version = world.api.get("it").unwrap().metadata.resource_version;
    for _ in 0..3 {
        tokio::time::advance(seconds(601)).await;
        let again = world.reconcile().await;
        for at_once in [Duration::ZERO, Duration::from_millis(20)] {
            assert_ne!(again, Action::requeue(at_once));
        }
    }
    assert_eq!(
        world.api.get("it").unwrap().metadata.resource_version,
        version,
        "so no watch shows anything new"
    );
    assert_eq!(world.api.writes(), ["status"; 3], "one attempt for each comparison with the account");
    assert_eq!(world.api.events(), NOTHING);
    assert_eq!(world.changes(), NOTHING);
    // A write that changed nothing is no reason to write the annotations.
    world.api.edit("it", |it| {
        it["metadata"]["annotations"].as_object_mut().unwrap().remove("databricks-operator.io/created-by");
    });
    tokio::time::advance(seconds(601)).await;
    world.reconcile().await;
    assert_eq!(world.api.writes(), ["status"]);
}

/// Covers ST-07, ST-12. Thousands of objects may have the interval of one DatabricksAuth: each shows another one with its next write.
#[tokio::test(start_paused = true)]
async fn another_interval_of_the_databricks_auth_is_in_force_at_once_and_no_reason_to_write() {
    let world = World::ready(json!({})).await;
    let mut spec = auth_spec(Value::Null);
    spec.resync_interval = Some(serde_json::from_value(json!("1h")).unwrap());
    world.engine.auths.store(&auth(), &spec, Ok(Arc::new(Session::of(account()))));
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST "], "nothing was read in this session yet");
    tokio::time::advance(seconds(3_500)).await;
    world.reconcile().await;
    assert_eq!(world.fake.calls(), NOTHING, "the reading is new enough");
    assert_eq!(world.api.writes(), NOTHING);
    assert_eq!(world.status()["effective"]["resyncInterval"], "10m");
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.status()["effective"]["resyncInterval"], "1h");
}

/// It had no finalizer yet. The watch shows that it is gone while its reconcile is under way.
#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_an_object_that_disappears_during_its_reconcile() {
    let world = world();
    world.apply(json!({})).watch();
    let before = world.api.get("it").unwrap();
    world.api.delete("it");
    world.watch();
    reconcile(&before, world.engine.clone(), world.fake).await;
    let remembered = format!("{:?}", world.engine.memory.objects);
    assert!(!remembered.contains("uid-it"), "{remembered}");
}

/// A user removes the finalizer by hand. Another object may manage what this one had.
#[tokio::test(start_paused = true)]
async fn an_object_that_disappears_during_its_reconcile_claims_nothing() {
    let world = World::ready(json!({})).await;
    let before = world.api.get("it").unwrap();
    world.api.edit("it", |it| it["metadata"]["finalizers"] = json!([]));
    world.api.delete("it");
    world.watch();
    world.engine.release_name(&named("it"));
    // It has begun before that, and finds the object in the account after it.
    reconcile(&before, world.engine.clone(), world.fake).await;
    world.api.apply("other", spec("a", json!({"externalId": "id-a", "adoptionPolicy": "IfExists"})));
    for _ in 0..3 {
        world.reconcile_named("other").await;
    }
    let other = world.api.get("other").unwrap().data["status"].clone();
    assert_eq!(condition(&other, "Ready"), "True Available", "{other}");
    assert_eq!(other["externalId"], "id-a");
}
