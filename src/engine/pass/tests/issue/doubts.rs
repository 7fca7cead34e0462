//! Secrets about which a read, a spec or a record says less than it seems: none is left behind, none is replaced without need.

use super::*;
use crate::engine::cluster::FIELD_MANAGER;

/// A former secret that the overlap no longer protects, and that waits to be deleted.
fn overdue(world: &World) {
    world.api.edit("it", |it| it["status"]["retired"][0]["since"] = json!("2020-01-01T00:00:00Z"));
}

/// An object that rests as long as nothing is to be done: other worlds of these tests reconcile at once.
async fn rested() -> World {
    let world = world_of(Fake::with(|fake| fake.traits.issues = Issues::Secret), |settings| {
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
            fake.traits.issues = Issues::Secret;
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

/// The clock was set back after it was replaced: that is recorded for a time in the future.
#[tokio::test(start_paused = true)]
async fn a_former_secret_that_is_gone_is_forgotten_though_the_clock_was_set_back() {
    let world = world_of(
        Fake::with(|fake| {
            fake.traits.issues = Issues::Secret;
            fake.traits.read_lag = seconds(60);
        }),
        |settings| settings.resync = Some(Duration::ZERO),
    );
    apply(&world, json!({}));
    world.settle().await;
    apply(&world, json!({"renewal": "now", "overlap": 0}));
    world.reconcile().await;
    let future = Timestamp::from_second(clock::now().as_second() + 86_400).unwrap().to_string();
    world.api.edit("it", |it| it["status"]["retired"][0]["since"] = json!(future));
    world.fake.take("id-1");
    world.settle().await;
    assert_eq!(retired(&world), ["id-1"], "reads may lag behind");
    tokio::time::advance(seconds(60)).await;
    world.settle().await;
    assert_eq!(retired(&world), NOTHING);
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

/// A user deletes the object while its successor waits for its turn. What was announced is sent, and all of it goes.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_deleted_in_the_middle_of_a_rotation_leaves_nothing() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    *world.fake.waits.lock().unwrap() = seconds(10);
    let meanwhile = async {
        announced(&world).await;
        world.api.delete("it");
        world.watch();
    };
    tokio::join!(world.reconcile(), meanwhile);
    tokio::time::advance(seconds(6)).await;
    world.settle().await.settle().await;
    assert!(world.api.get("it").is_none() && there(&world).is_empty(), "{:?}", there(&world));
}

/// Its finalizer is forced off before the successor is recorded.
#[tokio::test(start_paused = true)]
async fn a_successor_is_deleted_if_its_object_disappears_before_the_record() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Vanish);
    world.reconcile().await;
    world.engine.undoing.tasks.close();
    world.engine.undoing.tasks.wait().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-2"]);
}

/// Another operator writes its own secret first: that one stays, and ours is of no use.
#[tokio::test(start_paused = true)]
async fn the_secret_of_another_operator_is_not_overwritten() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    *world.fake.waits.lock().unwrap() = seconds(10);
    let meanwhile = async {
        announced(&world).await;
        world.api.edit(OUT, |secret| {
            secret["metadata"]["annotations"]["databricks-operator.io/external-id"] = json!("id-9");
            secret["data"]["key"] = json!("c2VjcmV0IG9mIGlkLTk=");
        });
        let ours = json!([{"manager": FIELD_MANAGER, "fieldsV1": {"f:data": {"f:key": {}}}}]);
        world.api.edit(OUT, |secret| secret["metadata"]["managedFields"] = ours);
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!(
        (world.changes(), held(&world)),
        (vec!["POST a".into(), "DELETE id-2".into()], Some("id-9".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_for_a_kubernetes_secret_that_is_immutable() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.api.next_write("dry", Trouble::Refuse(422));
    world.reconcile().await;
    assert_eq!((world.changes(), held(&world)), (vec![], Some("id-1".into())));
    assert!(world.message("Ready").contains("if it is immutable, delete it"), "{}", world.message("Ready"));
}

/// There and back: the first Kubernetes Secret still holds the former secret, which stays until that one is filled again.
#[tokio::test(start_paused = true)]
async fn a_secret_that_a_former_kubernetes_secret_holds_is_not_deleted_when_that_is_named_again() {
    let world = issued(json!({})).await;
    apply(&world, json!({"secretName": "elsewhere"}));
    world.settle().await;
    tokio::time::advance(seconds(60)).await;
    apply(&world, json!({}));
    world.settle().await;
    assert_eq!(world.changes(), ["POST a", "POST a"]);
    assert_eq!((held(&world), retired(&world)), (Some("id-3".into()), vec!["id-1".into(), "id-2".into()]));
}

/// The value of a secret that exists is not known, so managing what was observed creates another one, and adopts nothing.
#[tokio::test(start_paused = true)]
async fn a_secret_that_was_observed_is_never_adopted() {
    for adoption in ["IfOwned", "IfExists"] {
        let world = eager(Fake::with(|fake| fake.traits.issues = Issues::Secret));
        world.fake.put(seen("foreign", "b", None));
        world.apply(json!({"managementPolicy": "Observe", "externalId": "foreign"}));
        world.settle().await;
        world.quiet();
        apply(&world, json!({"adoptionPolicy": adoption}));
        world.settle().await;
        let (events, ready) = (world.api.events().join(" "), world.message("Ready"));
        assert_eq!(
            (held(&world), present(&world)),
            (Some("id-1".into()), "id-1".into()),
            "{adoption}: {ready}"
        );
        assert_eq!((there(&world).len(), retired(&world)), (2, vec![]), "{adoption}");
        assert!(
            !events.contains("Adopted") && !ready.contains("to adopt it"),
            "{adoption}: {events}; {ready}"
        );
    }
}

/// What users find is valid for a while more, although they have to read the next one elsewhere.
#[tokio::test(start_paused = true)]
async fn a_crash_and_another_secret_name_do_not_end_what_users_find() {
    let world = crashed_after_the_fill().await;
    apply(&world, json!({"renewal": "now", "secretName": "elsewhere"}));
    world.settle().await.settle().await;
    assert_eq!(held(&world), Some("id-2".into()));
    assert!(there(&world).contains(&"id-2".to_owned()), "{:?}", there(&world));
}

/// Another tool takes away what the operator notes beside the value: that is not a request for a new secret each time.
#[tokio::test(start_paused = true)]
async fn a_note_that_another_tool_removes_does_not_renew_without_end() {
    let world = issued(json!({"renewal": "now", "overlap": 0})).await;
    for _ in 0..5 {
        world.api.edit(OUT, |secret| {
            let notes = secret["metadata"]["annotations"].as_object_mut().unwrap();
            notes.remove("databricks-operator.io/renewal");
        });
        world.settle().await;
    }
    let created = world.changes().iter().filter(|call| *call == "POST a").count();
    assert!(created <= 1, "{created} secrets");
}

/// A user writes something else over the value, and leaves the rest as it is: users of the Secret find nothing that is valid.
#[tokio::test(start_paused = true)]
async fn a_value_that_was_overwritten_is_as_good_as_lost() {
    let world = issued(json!({})).await;
    world.api.edit(OUT, |secret| secret["data"]["key"] = json!("eA=="));
    world.settle().await;
    assert_eq!(held(&world), Some("id-2".into()), "{}", world.condition("Ready"));
}

/// A user names another Kubernetes Secret, whose value is lost a moment later: that is the first loss, so it is filled at once.
#[tokio::test(start_paused = true)]
async fn a_kubernetes_secret_that_the_spec_names_only_now_has_lost_nothing() {
    let world = issued(json!({})).await;
    apply(&world, json!({"secretName": "elsewhere"}));
    world.settle().await;
    world.api.edit("elsewhere", |secret| secret["data"] = json!({}));
    world.settle().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-1", "POST a"]);
    assert_eq!((present(&world), retired(&world)), ("id-3".into(), vec!["id-2".into()]));
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}

/// The account accepts a deletion that has no effect: the former secret is still valid, so it is neither forgotten nor left.
#[tokio::test(start_paused = true)]
async fn a_former_secret_is_deleted_until_the_account_no_longer_shows_it() {
    let world = issued(json!({})).await;
    *world.fake.late.lock().unwrap() = true;
    apply(&world, json!({"renewal": "now", "overlap": 0}));
    world.settle().await;
    assert_eq!((there(&world).len(), retired(&world)), (2, vec!["id-1".into()]));
    *world.fake.late.lock().unwrap() = false;
    world.settle().await;
    assert_eq!((there(&world), retired(&world)), (vec!["id-2".to_owned()], vec![]));
}

/// The same of a secret whose value was lost.
#[tokio::test(start_paused = true)]
async fn a_lost_secret_is_deleted_until_the_account_no_longer_shows_it() {
    let world = world_of(Fake::with(|fake| fake.traits.issues = Issues::Secret), |_| {});
    apply(&world, json!({}));
    world.settle().await;
    apply(&world, json!({"renewal": "now"}));
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(6)).await;
    *world.fake.late.lock().unwrap() = true;
    world.settle().await;
    assert_eq!(there(&world), ["id-1", "id-2"]);
    assert!(world.status()["intent"].is_object(), "{}", world.status());
    *world.fake.late.lock().unwrap() = false;
    world.settle().await.settle().await;
    assert_eq!((there(&world), held(&world)), (vec!["id-1".into(), "id-3".into()], Some("id-3".into())));
}
