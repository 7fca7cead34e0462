//! What can go wrong before a secret is where users find it: lost responses, a lost lease or status, a lagging LIST, no room.

use super::*;

/// The API server carries out a write and does not say so: users may find the new secret, so it is not deleted.
#[tokio::test(start_paused = true)]
async fn a_secret_that_users_may_find_is_not_deleted() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    *world.fake.waits.lock().unwrap() = seconds(10);
    let meanwhile = async {
        announced(&world).await;
        world.api.next_write("fill", Trouble::Lose);
        // Nineteen for the tries, and some for the watch.
        (0..25).for_each(|_| world.api.next_read("secret", 500));
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    world.settle().await.settle().await.settle().await;
    assert_eq!((world.changes(), present(&world)), (vec![], "id-2".into()));
    assert_eq!(retired(&world), ["id-1"]);
}

/// Another replica leads by now, and may have judged already that the value is lost.
#[tokio::test(start_paused = true)]
async fn an_operator_that_leads_no_longer_writes_no_secret() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.api.next_write("fill", Trouble::Refuse(500));
    let meanwhile = async {
        while there(&world).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.leads(false);
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-1".into())));
    world.leads(true);
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-2", "POST a"]);
    assert_eq!((held(&world), retired(&world)), (Some("id-3".into()), vec!["id-1".into()]));
}

/// A backup brings an object back without its status. The secret that it had is one of its own, and is retired like any other.
#[tokio::test(start_paused = true)]
async fn the_secret_of_an_object_that_was_restored_without_its_status_is_not_left_behind() {
    let world = issued(json!({})).await;
    world.api.edit("it", |object| drop(object.as_object_mut().unwrap().remove("status")));
    world.api.edit(OUT, |secret| secret["metadata"]["ownerReferences"][0]["uid"] = json!("earlier"));
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    assert_eq!(retired(&world), ["id-1"]);
}

/// A user names a Kubernetes Secret of another user: the former secret may still be in use, so it stays.
#[tokio::test(start_paused = true)]
async fn a_former_secret_makes_no_room_for_one_that_cannot_be_kept() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    world.quiet();
    world.api.secret("taken", json!({"key": "eA=="}));
    apply(&world, json!({"renewal": "now", "secretName": "taken"}));
    world.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec![], 2));
    assert_eq!(world.condition("Stalled"), "True SecretNotOwned");
}

/// A LIST that lags behind did not show the present secret when its successor was announced: it is no result of that.
#[tokio::test(start_paused = true)]
async fn the_present_secret_is_not_taken_for_a_lost_one() {
    let world = issued(json!({})).await;
    let intent = json!({
        "accountId": "account", "within": "", "name": "a", "time": clock::now().to_string(), "before": [],
    });
    world.api.edit("it", |object| object["status"]["intent"] = intent);
    world.api.remove(OUT);
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    assert_eq!(retired(&world), ["id-1"]);
}

/// Something else still needs the object: its secrets stay as long, also those that it had before.
#[tokio::test(start_paused = true)]
async fn a_former_secret_stays_while_another_finalizer_holds_the_object() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    world.quiet();
    world.api.edit("it", |it| it["metadata"]["finalizers"].as_array_mut().unwrap().push(json!("x/y")));
    world.api.delete("it");
    world.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec![], 2));
    assert_eq!(world.condition("DeletionBlocked"), "True ForeignFinalizer");
    world.api.edit("it", |it| drop(it["metadata"]["finalizers"].as_array_mut().unwrap().pop()));
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-1", "DELETE id-2"]);
}

/// A whole namespace is deleted by mistake. What stops the deletion of an object stops that of its former secrets too.
#[tokio::test(start_paused = true)]
async fn a_former_secret_stays_while_mass_deletion_is_stopped() {
    let world = world_of(Fake::with(|fake| fake.traits.issues = Issues::Secret), |settings| {
        (settings.resync, settings.absence) = (Some(Duration::ZERO), Duration::ZERO);
        settings.max_deletions_per_hour = 1;
    });
    apply(&world, json!({}));
    world.settle().await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    assert_eq!(retired(&world), ["id-1"]);
    world.quiet();
    world.engine.memory.breaker.admit("account", "another").unwrap();
    world.api.delete("it");
    world.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec![], 2));
    assert_eq!(world.condition("DeletionBlocked"), "True TooManyDeletions");
}

/// Others use all places that the service principal has. Users still find the present secret, and the object says why.
#[tokio::test(start_paused = true)]
async fn without_room_in_the_account_the_present_secret_stays_where_users_find_it() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.fake.refuse(Error::rejected(Reason::QuotaExceeded, "there are five"));
    world.reconcile().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-1".into())));
    assert_eq!((present(&world), retired(&world)), ("id-1".into(), vec![]));
    assert_eq!(world.status()["intent"], Value::Null);
    world.settle().await;
    assert_eq!((held(&world), retired(&world)), (Some("id-2".into()), vec!["id-1".into()]));
}

/// The new secret can be neither written nor deleted for the moment. It is valid, so the status names it, and it is deleted later.
#[tokio::test(start_paused = true)]
async fn a_secret_that_can_be_neither_written_nor_deleted_is_shown_and_deleted_later() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    (0..20).for_each(|_| world.api.next_write("fill", Trouble::Refuse(403)));
    let meanwhile = async {
        while there(&world).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.fake.refuse(Error::retry("no response"));
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!(world.changes(), ["POST a", "DELETE id-2"]);
    assert_eq!((there(&world).len(), held(&world)), (2, Some("id-1".into())));
    assert!(world.status()["intent"].is_object(), "{}", world.status());
    let says = world.message("Ready");
    assert!(says.contains("in the account, id-2, cannot be deleted at present"), "{says}");
    tokio::time::advance(seconds(6)).await;
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-2", "POST a"]);
    assert_eq!((held(&world), retired(&world)), (Some("id-3".into()), vec!["id-1".into()]));
}
