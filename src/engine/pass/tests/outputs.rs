//! The ConfigMap that shows ids and facts: when it is written, which one is left alone, and what a failure holds up, which is
//! nothing.

use futures::{FutureExt, StreamExt};

use super::*;

const OUT: &str = "out";

/// One that asks for this ConfigMap, and reads the account at each reconcile.
fn asks(name: &str) -> World {
    let world = eager(Fake::new(Lifecycle::Object, Ownership::RecordedId));
    world.apply(outputs(name));
    world
}

/// The same, with its ConfigMap; the calls until then are forgotten.
async fn published() -> World {
    let world = asks(OUT);
    world.settle().await;
    assert_eq!(data(&world, OUT), ids());
    world.quiet();
    world
}

fn outputs(name: &str) -> Value {
    json!({"outputs": {"configMapName": name}})
}

fn data(world: &World, name: &str) -> Value {
    world.api.get(name).map_or(Value::Null, |found| found.data["data"].clone())
}

fn ids() -> Value {
    json!({"accountId": "account", "externalId": "id-a"})
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn a_config_map_shows_what_the_status_shows_and_is_written_only_when_that_changes() {
    let world = asks(OUT);
    world.reconcile().await;
    assert_eq!(data(&world, OUT), Value::Null, "the id is recorded first");
    world.settle().await;
    assert_eq!((world.condition("Ready"), data(&world, OUT)), ("True Available".into(), ids()));
    assert_eq!(world.status()["outputs"], json!({"configMapName": OUT}));
    let owner = world.api.get(OUT).unwrap().metadata.owner_references.unwrap().remove(0);
    assert_eq!((&*owner.kind, &*owner.uid, owner.controller), ("Fake", "uid-it", Some(true)));
    world.quiet();

    world.reconcile().await;
    // After a restart nothing of it is known: it is read, and has all.
    world.engine.memory.objects.forget("uid-it");
    world.reconcile().await;
    assert_eq!(world.api.writes(), NOTHING);

    world.fake.edit("id-a", |seen| drop(seen.facts.insert("url".into(), json!("https://x"))));
    tokio::time::advance(seconds(601)).await;
    world.reconcile().await;
    assert_eq!(data(&world, OUT)["url"], "https://x");
    world.fake.edit("id-a", |seen| seen.facts.clear());
    tokio::time::advance(seconds(601)).await;
    world.reconcile().await;
    assert_eq!((data(&world, OUT), world.api.writes().len()), (ids(), 4), "each time also the status");
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn an_object_that_asks_for_none_writes_no_more_than_before() {
    let world = world();
    world.apply(json!({})).settle().await;
    let without = world.api.writes();
    assert!(!without.is_empty() && !without.contains(&"publish"), "{without:?}");
    assert_eq!(world.status()["outputs"], Value::Null);
}

/// Covers LC-31, SE-09.
#[tokio::test(start_paused = true)]
async fn a_foreign_config_map_is_left_alone_and_the_message_says_so() {
    let world = asks(OUT);
    world.api.config_map(OUT, json!({"key": "x"}));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "the account is as the spec says");
    assert_eq!(world.condition("Synced"), "False ConfigMapNotOwned");
    assert!(world.message("Ready").contains("spec.outputs.configMapName"), "{}", world.message("Ready"));
    assert_eq!((data(&world, OUT), &world.status()["outputs"]), (json!({"key": "x"}), &Value::Null));

    // It is not deleted either when the spec names it no more.
    world.apply(json!({})).settle().await;
    assert_eq!((data(&world, OUT), world.condition("Synced")), (json!({"key": "x"}), "True InSync".into()));

    world.apply(outputs(OUT)).settle().await;
    world.api.remove(OUT);
    world.reconcile().await;
    assert_eq!((data(&world, OUT), world.condition("Synced")), (ids(), "True InSync".into()));
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_only_observed_shows_its_drift_and_what_is_wrong_with_its_config_map() {
    let world = asks(OUT);
    world.fake.put(seen("id-a", "a", None));
    let mut observe = outputs(OUT);
    observe["managementPolicy"] = json!("Observe");
    world.apply(observe).settle().await;
    assert_eq!((world.condition("Synced"), data(&world, OUT)), ("False DriftDetected".into(), ids()));
    world.api.config_map(OUT, json!({"key": "x"}));
    world.engine.memory.objects.forget("uid-it");
    world.reconcile().await;
    assert_eq!(world.condition("Synced"), "False DriftDetected");
    let message = world.message("Ready");
    assert!(message.contains("differs in value; the ConfigMap ns/out exists"), "{message}");
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-31. The object was deleted and created again, and the cluster has not deleted the ConfigMap of the earlier one yet.
#[tokio::test(start_paused = true)]
async fn the_config_map_of_an_earlier_object_is_taken_up() {
    let world = asks(OUT);
    world.api.config_map(OUT, json!({"accountId": "account", "old": "x"}));
    let owner = json!({"apiVersion": "databricks-operator.io/v1alpha1", "kind": "Fake", "name": "it", "uid": "earlier",
        "controller": true});
    world.api.edit(OUT, |map| map["metadata"]["ownerReferences"] = json!([owner]));
    world.settle().await;
    assert_eq!(data(&world, OUT), ids());
    let owner = world.api.get(OUT).unwrap().metadata.owner_references.unwrap().remove(0);
    assert_eq!(owner.uid, "uid-it");
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn the_former_config_map_goes_when_the_spec_names_another_or_none() {
    let world = published().await;
    world.apply(outputs("other")).settle().await;
    assert_eq!((data(&world, OUT), data(&world, "other")), (Value::Null, ids()));
    assert_eq!(world.status()["outputs"], json!({"configMapName": "other"}));
    world.apply(json!({})).settle().await;
    assert_eq!((data(&world, "other"), &world.status()["outputs"]), (Value::Null, &Value::Null));

    // In its place is one of another user by now.
    world.apply(outputs(OUT)).settle().await;
    world.api.config_map(OUT, json!({"key": "x"}));
    world.apply(json!({})).settle().await;
    assert_eq!((data(&world, OUT), &world.status()["outputs"]), (json!({"key": "x"}), &Value::Null));
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn a_config_map_that_a_user_deletes_is_written_again() {
    let world = published().await;
    // Until its watch has seen it.
    tokio::time::sleep(seconds(60)).await;
    world.api.remove(OUT);
    world.reconcile().await;
    assert_eq!(data(&world, OUT), Value::Null, "nothing is read without a trigger");
    tokio::time::sleep(seconds(60)).await;
    world.reconcile().await;
    assert_eq!(data(&world, OUT), ids());
}

/// Covers LC-31, SE-09.
#[tokio::test(start_paused = true)]
async fn a_missing_right_holds_up_nothing_in_the_account() {
    for what in ["config map", "publish"] {
        let world = asks(OUT);
        world.reconcile().await;
        assert_eq!(world.changes(), ["POST a"]);
        match what {
            "publish" => world.api.next_write(what, Trouble::Refuse(403)),
            _ => world.api.next_read(what, 403),
        }
        world.reconcile().await;
        assert_eq!(world.condition("Ready"), "True Available", "{what}");
        assert_eq!(world.condition("Synced"), "False ConfigMapNotWritable", "{what}");
        let message = world.message("Ready");
        assert!(message.contains("rbac.outputConfigMaps.enabled"), "{message}");
        world.reconcile().await;
        assert_eq!((data(&world, OUT), world.condition("Synced")), (ids(), "True InSync".into()), "{what}");
    }
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_delete_a_former_config_map_it_stays_until_the_object_is_gone() {
    let world = published().await;
    world.api.next_write("publish", Trouble::Refuse(403));
    world.apply(json!({})).reconcile().await;
    assert_eq!((data(&world, OUT), &world.status()["outputs"]), (ids(), &Value::Null));
    assert_eq!(world.condition("Synced"), "True InSync");
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn a_write_without_a_response_is_no_second_one() {
    let world = asks(OUT);
    world.reconcile().await;
    world.api.next_write("publish", Trouble::Lose);
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "True Available");
    world.quiet();
    world.settle().await;
    assert_eq!((world.api.writes(), data(&world, OUT)), (vec![], ids()));
}

/// Covers LC-31. Another program writes the ConfigMap whenever the operator does: that keeps neither of them, nor the API server, busy.
#[tokio::test(start_paused = true)]
async fn a_config_map_that_another_program_writes_each_time_is_not_written_each_time() {
    let world = world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |settings| {
        (settings.resync, settings.absence) = (Some(Duration::ZERO), Duration::ZERO);
        settings.pace.poll_max = seconds(600);
    });
    world.apply(outputs(OUT)).settle().await;
    assert_eq!(data(&world, OUT), ids());
    world.quiet();
    for _ in 0..5 {
        world.api.edit(OUT, |map| map["data"] = json!({"key": "theirs"}));
        // Until its watch has seen it.
        tokio::time::sleep(seconds(60)).await;
        world.reconcile().await;
    }
    assert_eq!((world.api.writes(), data(&world, OUT)), (vec!["publish"], json!({"key": "theirs"})));
    tokio::time::sleep(seconds(600)).await;
    world.reconcile().await;
    assert_eq!(data(&world, OUT), ids());
}

/// Covers LC-31, SE-09. Kubernetes writes it in each namespace, and pods need it: it is no place for anything else, also while it is missing.
#[tokio::test(start_paused = true)]
async fn the_config_map_of_kubernetes_itself_is_not_written() {
    let world = asks("kube-root-ca.crt");
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Synced"), "False ConfigMapNotOwned");
    assert!(world.api.get("kube-root-ca.crt").is_none());
    assert_eq!(world.status()["outputs"], Value::Null);
}

/// Covers LC-31.
#[tokio::test(start_paused = true)]
async fn a_foreign_config_map_is_watched_only_while_the_spec_names_it() {
    for (more, woken) in [(outputs(OUT), true), (json!({}), false)] {
        let world = asks(OUT);
        world.api.config_map(OUT, json!({"key": "x"}));
        world.settle().await;
        // Until its watch has seen it.
        tokio::time::sleep(seconds(60)).await;
        world.apply(more).settle().await;
        let mut triggers = world.engine.memory.triggers.subscribe("Fake", None);
        world.api.remove(OUT);
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(triggers.next().now_or_never().is_some(), woken);
    }
}
