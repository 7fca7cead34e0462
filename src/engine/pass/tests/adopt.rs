//! Objects that existed in the account before: adopted, bound again after a restore, or only observed.

use super::*;

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
async fn an_existing_object_is_adopted_only_if_the_spec_allows_it_and_stays_on_deletion() {
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
    for events in [["Adopted", "Ready"], ["again", "again"]] {
        world.api.edit("it", |it| {
            it["status"] = Value::Null;
            it["metadata"]["annotations"]["databricks-operator.io/created-by"] = json!("there/ns/it");
        });
        world.settle().await;
        assert_eq!(world.status()["external"]["adopted"], true);
        assert_eq!(world.api.events(), events, "what happens once more is counted on the first event");
    }
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
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
async fn the_message_about_the_mark_of_another_installation_says_how_to_adopt() {
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

/// A manifest may be copied with its annotations. What they name is another object's, and a copy that may adopt nothing leaves it
/// alone, also when it is deleted.
#[tokio::test(start_paused = true)]
async fn a_copied_annotation_makes_no_object_the_owner_that_may_adopt_nothing() {
    for (policy, ready, changes) in
        [("IfOwned", "True Available", &["PATCH 1 value"][..]), ("Never", "False AlreadyExists", &[])]
    {
        let world = world();
        world.fake.put(seen("1", "a", None));
        world.apply(json!({"adoptionPolicy": policy, "deletionPolicy": "Delete"}));
        world.api.edit("it", |it| {
            it["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": "1"});
        });
        world.settle().await;
        assert_eq!(world.changes(), changes, "{policy}");
        assert_eq!(world.condition("Ready"), ready, "{policy}");
        assert_eq!(world.status()["external"].is_null(), policy == "Never", "{policy}");
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{policy}");
        assert_eq!(world.fake.got.lock().unwrap().contains_key("1"), policy == "Never", "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn adoptions_wait_until_every_older_object_was_reconciled() {
    let world = world();
    world.fake.put(seen("1", "a", None));
    world.api.apply("other", spec("b", json!({})));
    world.engine.memory.barrier.begin([("uid-other".to_owned(), named("other"))].into_iter());
    world.apply(json!({"adoptionPolicy": "IfExists"})).reconcile().await;
    assert_eq!(world.status(), Value::Null, "a moment is no news");
    tokio::time::advance(Duration::from_secs(10)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.status()["external"], Value::Null);
    world.reconcile_named("other").await;
    world.settle().await;
    assert_eq!(world.status()["externalId"], "1");
    assert_eq!(world.api.events().iter().filter(|event| *event == "Adopted").count(), 1);
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

/// A user takes the permission back while the operator reads the account.
#[tokio::test(start_paused = true)]
async fn an_adoption_is_not_recorded_over_a_spec_that_no_longer_allows_it() {
    let world = world();
    world.fake.put(seen("1", "a", None));
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    world.apply(json!({"adoptionPolicy": "IfExists"})).watch();
    let before = world.api.get("it").unwrap();
    world.apply(json!({"adoptionPolicy": "Never"})).quiet();
    reconcile(&before, world.engine.clone(), world.fake).await;
    assert!(world.status()["external"].is_null(), "{}", world.status());
    world.settle().await;
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert!(world.status()["external"].is_null(), "{}", world.status());
    assert_eq!(world.changes(), NOTHING);
    assert!(!world.api.events().contains(&"Adopted".to_owned()));
}
