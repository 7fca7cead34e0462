//! A DatabricksAuth that has the operator count what no object names, and the calls that this takes: over HTTP, on the real clock, as
//! its account must respond.

use futures::StreamExt;

use super::connect::{connected, connected_of};
use super::*;
use crate::engine::crd::RECONCILE_REQUESTED;

/// From now on the DatabricksAuth asks for a count.
fn ask(world: &World) {
    world.api.edit("account", |auth| auth["spec"]["reportUnmanaged"] = json!(["Fake"]));
}

/// A user requests a reconcile of the DatabricksAuth.
fn request(world: &World, token: &str) {
    world.api.edit("account", |auth| auth["metadata"]["annotations"][RECONCILE_REQUESTED] = json!(token));
}

/// Reconciles the DatabricksAuth, and once more when a count has ended with news; returns the entry that it shows then.
async fn counted(world: &World) -> Value {
    let mut woken = world.engine.memory.triggers.subscribe("DatabricksAuth", None);
    world.reconcile_auth().await;
    assert_eq!(woken.next().await, Some(auth()));
    world.reconcile_auth().await["unmanaged"][0].clone()
}

/// Covers OB-06. By default nothing is counted; a count rests on the LIST that the objects share.
#[tokio::test]
async fn a_count_needs_no_list_of_its_own_where_objects_are_compared() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    world.fake.put(seen("1", "by-hand", None));
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    world.quiet();
    assert_eq!(world.reconcile_auth().await["unmanaged"], Value::Null);
    assert_eq!(world.fake.calls(), NOTHING);
    ask(&world);
    let entry = counted(&world).await;
    assert_eq!((&entry["kind"], &entry["count"]), (&json!("Fake"), &json!(1)), "{entry}");
    assert_eq!(world.fake.calls(), NOTHING, "the LIST of the object serves");
}

/// Covers OB-06.
#[tokio::test]
async fn a_kind_without_objects_is_listed_once_an_interval() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    world.fake.put(seen("1", "by-hand", None));
    ask(&world);
    assert_eq!(counted(&world).await["count"], 1);
    world.reconcile_auth().await;
    assert_eq!(world.fake.calls(), ["LIST "]);
    // The reading serves an object that comes.
    world.apply(json!({"managementPolicy": "Observe", "name": "by-hand"})).settle().await.watch();
    assert!(!world.fake.calls().contains(&"LIST ".to_owned()));
    request(&world, "now");
    assert_eq!(counted(&world).await["count"], 0, "an object observes it");
    assert_eq!(world.fake.calls(), ["LIST "], "a request asks for a new reading");
}

/// Covers OB-06.
#[tokio::test]
async fn a_failed_count_keeps_the_last_number_and_says_why() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    world.fake.put(seen("1", "by-hand", None));
    ask(&world);
    let first = counted(&world).await;
    world.fails(Error::retry("no response"));
    request(&world, "one");
    let failed = counted(&world).await;
    assert_eq!((&failed["count"], &failed["since"]), (&first["count"], &first["since"]));
    assert_eq!(failed["message"], "not counted: no response");
    request(&world, "two");
    assert_eq!(counted(&world).await, first);
    world.api.edit("account", |auth| auth["spec"]["reportUnmanaged"] = Value::Null);
    assert_eq!(world.reconcile_auth().await["unmanaged"], Value::Null);
}

/// Covers OB-06. Of a kind whose objects are under a parent, those parents are read that an object is bound in.
#[tokio::test]
async fn a_parent_is_read_only_if_an_object_is_bound_in_it() {
    let account = HttpAccount::start().await;
    let fake = Fake::with(|fake| {
        fake.traits.lifecycle = Lifecycle::Upsert;
        (fake.traits.parented, fake.traits.has_parts) = (true, false);
    });
    let world = connected_of(world_of(fake, |_| {}), &account, json!({})).await;
    fake.put(seen("7/a", "a", None));
    fake.put(seen("7/by-hand", "by-hand", None));
    ask(&world);
    assert_eq!(counted(&world).await["count"], 0, "no object is in any parent");
    assert_eq!(fake.calls(), NOTHING);
    world.apply(json!({})).api.edit("it", |it| {
        it["status"] = json!({"external": {"accountId": "account", "id": "7/a"}});
    });
    world.watch();
    request(&world, "now");
    assert_eq!(counted(&world).await["count"], 1);
    assert_eq!(fake.calls(), ["LIST 7"]);
    // With another DatabricksAuth it is none of its parents, but still names its object.
    world.api.edit("it", |it| it["spec"]["authRef"]["name"] = json!("another"));
    world.watch();
    request(&world, "again");
    assert_eq!(counted(&world).await["count"], 0);
    assert_eq!(fake.calls(), NOTHING);
}
