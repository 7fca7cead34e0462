//! Updates by which the account replaces an object by one with another id.

use super::*;
use crate::engine::pass::fake::Old;

impl World {
    /// An object that is Ready, and whose value was changed. The account will replace it.
    async fn replaced_by(id: &'static str, old: Old) -> World {
        let world = World::ready(json!({})).await;
        world.is_replaced_by(id, old);
        world
    }

    fn is_replaced_by(&self, id: &'static str, old: Old) {
        *self.fake.replaces.lock().unwrap() = Some((id, old));
        self.apply(json!({"value": "changed"}));
    }
}

#[tokio::test(start_paused = true)]
async fn what_replaces_an_object_is_managed_in_its_place() {
    let world = World::replaced_by("id-new", Old::Gone).await;
    world.reconcile().await;
    assert_eq!(world.status()["externalId"], "id-new");
    assert_eq!(world.status()["external"]["adopted"], false);
    assert_eq!(world.condition("Ready"), "True Available");
    let annotations = world.api.get("it").unwrap().metadata.annotations.unwrap();
    assert_eq!(annotations["databricks-operator.io/external-id"], "id-new");
    assert_eq!(world.api.events(), ["Updated", "Updated"], "the fields, and the new id");

    tokio::time::advance(seconds(700)).await;
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), ["DELETE id-new"]);
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_replaces_an_adopted_object_stays_in_the_account_like_that_one() {
    let world = world();
    world.fake.put(seen("id-a", "a", None));
    world.apply(json!({"adoptionPolicy": "IfExists"})).settle().await;
    world.quiet();
    *world.fake.replaces.lock().unwrap() = Some(("id-new", Old::Gone));
    world.apply(json!({"adoptionPolicy": "IfExists", "value": "changed"})).reconcile().await;
    assert_eq!(world.status()["external"]["id"], "id-new");
    assert_eq!(world.status()["external"]["adopted"], true);
    assert_eq!(world.status()["effective"]["deletionPolicy"], "Retain");
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert!(world.api.get("it").is_none());
}

/// Otherwise no object would ever delete the old one.
#[tokio::test(start_paused = true)]
async fn while_the_old_object_is_in_the_account_it_stays_bound() {
    let world = World::replaced_by("id-new", Old::Stays).await;
    world.reconcile().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.condition("Ready"), "False Retrying");
    let text = world.message("Ready");
    assert!(text.contains("id-a") && text.contains("id-new") && text.contains("delete"), "{text}");
    world.settle().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn if_the_old_object_cannot_be_read_it_stays_bound() {
    let world = World::replaced_by("id-new", Old::Unreadable).await;
    world.reconcile().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.changes(), ["PATCH id-a value"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_object_manages_is_not_bound_instead() {
    let world = World::ready(json!({})).await;
    world.api.apply("other", spec("b", json!({})));
    world.reconcile_named("other").await;
    world.is_replaced_by("id-b", Old::Gone);
    world.reconcile().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.condition("Stalled"), "True ManagementConflict");
}

#[tokio::test(start_paused = true)]
async fn the_new_id_is_written_over_what_others_wrote_meanwhile() {
    let world = World::replaced_by("id-new", Old::Gone).await;
    world.api.next_write("status", Trouble::Label);
    world.reconcile().await;
    assert_eq!(world.status()["externalId"], "id-new", "within the same reconcile");
    assert_eq!(world.changes(), ["PATCH id-a value"]);
}

/// The record is lost, so it is not known which object the update had put there: a person decides.
#[tokio::test(start_paused = true)]
async fn an_interrupted_update_creates_nothing_and_adopts_nothing() {
    let world = World::replaced_by("id-new", Old::Gone).await;
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(30)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    tokio::time::advance(seconds(30)).await;
    world.settle().await;
    assert_eq!(world.condition("Stalled"), "True AlreadyExists");
    assert_eq!(world.changes(), NOTHING);
}
