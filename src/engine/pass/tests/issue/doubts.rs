//! Secrets about which a read, a spec or a record says less than it seems: none is left behind, none is replaced without need.

use super::*;

/// A former secret that the overlap no longer protects, and that waits to be deleted.
fn overdue(world: &World) {
    world.api.edit("it", |it| it["status"]["retired"][0]["since"] = json!("2020-01-01T00:00:00Z"));
}

/// An object that rests as long as nothing is to be done: other worlds of these tests reconcile at once.
async fn rested() -> World {
    let world = world_of(Fake::with(|fake| fake.traits.issues = true), |settings| {
        settings.absence = Duration::ZERO;
    });
    apply(&world, json!({}));
    world.settle().await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    assert_eq!((held(&world), retired(&world)), (Some("id-2".into()), vec!["id-1".into()]));
    world.quiet();
    world
}

/// With `Observe` nothing is replaced and nothing is deleted, so nothing is due either.
#[tokio::test(start_paused = true)]
async fn an_object_that_only_observes_is_not_reconciled_for_what_it_will_not_do() {
    let world = rested().await;
    overdue(&world);
    apply(&world, json!({"renewal": "now", "managementPolicy": "Observe"}));
    world.settle().await;
    let next = world.reconcile().await;
    assert_ne!(next, Action::requeue(Duration::ZERO), "again and again without a pause");
    assert_eq!((world.changes(), retired(&world)), (vec![], vec!["id-1".into()]));
}

/// Reads lag behind, and do not show yet what was created a moment ago: that it is missing is no proof that it is gone.
#[tokio::test(start_paused = true)]
async fn a_former_secret_that_no_read_shows_yet_is_not_forgotten() {
    let world = world_of(
        Fake::with(|fake| {
            fake.traits.issues = true;
            fake.traits.read_lag = seconds(60);
        }),
        |settings| settings.resync = Some(Duration::ZERO),
    );
    apply(&world, json!({}));
    world.settle().await;
    apply(&world, json!({"renewal": "now", "overlap": 0}));
    world.reconcile().await;
    assert_eq!(retired(&world), ["id-1"]);
    let unseen = world.fake.got.lock().unwrap()["id-1"].clone();
    world.fake.take("id-1");
    world.settle().await;
    assert_eq!(retired(&world), ["id-1"]);
    world.fake.put(unseen);
    world.settle().await;
    assert_eq!((there(&world), retired(&world)), (vec!["id-2".to_owned()], vec![]));
}

/// The LIST showed the secret whose value was lost, and the read after it does not: both may be right.
#[tokio::test(start_paused = true)]
async fn a_lost_secret_that_one_read_does_not_show_is_deleted_after_all() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(6)).await;
    let lost = world.fake.got.lock().unwrap().remove("id-2").unwrap();
    world.reconcile().await;
    world.fake.got.lock().unwrap().insert("id-2".into(), lost);
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-2", "POST a"]);
}

/// A user deletes the secret in the account, as it has leaked. It is gone, so nothing has to wait for it.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_gone_from_the_account_is_not_shown_as_one_that_is_still_valid() {
    let world = issued(json!({})).await;
    world.fake.take("id-1");
    tokio::time::advance(seconds(60)).await;
    world.settle().await.settle().await;
    assert_eq!((held(&world), retired(&world)), (Some("id-2".into()), vec![]));
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    assert_eq!(held(&world), Some("id-3".into()));
}
