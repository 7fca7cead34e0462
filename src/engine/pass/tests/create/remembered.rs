//! What is remembered of a create that failed: it is neither given as the result of a later one, nor does it hide one that is in doubt.

use super::*;

fn exists() -> Error {
    Error::rejected(Reason::AlreadyExists, "a exists already")
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_taken_is_tried_again_once_a_read_has_shown_what_had_it() {
    let world = world();
    world.apply(json!({})).fake.refuse(exists());
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    world.fake.put(seen("1", "a", None));
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert_eq!(world.changes(), NOTHING);
    world.fake.take("1");
    tokio::time::advance(seconds(6)).await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn that_a_name_is_taken_says_nothing_about_another_name() {
    let world = world();
    world.apply(json!({})).fake.refuse(exists());
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    world.apply(json!({"name": "b"})).reconcile().await;
    assert_eq!(world.changes(), ["POST b"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

/// Covers ER-01. A reconcile that is due has the object as the cache showed it then. While it waits for a thread, the watch shows what was
/// written last.
#[tokio::test(start_paused = true)]
async fn a_reconcile_works_on_no_view_that_is_older_than_the_last_write() {
    let world = world();
    world.apply(json!({})).fake.refuse(exists());
    world.watch();
    let due = world.api.get("it").unwrap();
    reconcile(&due, world.engine.clone(), world.fake).await;
    world.watch();
    world.engine.cluster.objects.saw(&world.api.get("it").unwrap());
    world.quiet();
    reconcile(&due, world.engine.clone(), world.fake).await;
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert_eq!((world.api.writes(), world.changes()), (vec!["status"], vec![]));
}

/// The response to a create is lost, and so is the status after it. The watch still shows the object as it was before, so within the
/// same second the same create is announced again, which fails: that says nothing about the one that was sent.
#[tokio::test(start_paused = true)]
async fn a_create_in_doubt_is_not_forgotten_for_an_equal_one_that_was_not_sent() {
    let second = Timestamp::from_second(crate::clock::now().as_second()).unwrap();
    crate::clock::follow_tokio(second);
    let fake = Fake::new(Lifecycle::Object, Ownership::RecordedId);
    let world = world_of(fake, |settings| settings.quarantine = seconds(60));
    // After a refused create there is the finalizer, and nothing else.
    world.apply(json!({})).fake.refuse(Error::rejected(Reason::ApiRefused, "no such region"));
    world.reconcile().await;
    assert!(world.status()["intent"].is_null(), "{}", world.status());
    world.quiet();
    let before = world.api.get("it").unwrap();
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Refuse(500));
    world.loses(unknown());
    reconcile(&before, world.engine.clone(), world.fake).await;
    assert!(world.status()["intent"].is_object(), "{}", world.status());
    // No LIST shows yet what was created.
    world.fake.listed.lock().unwrap().clear();
    reconcile(&before, world.engine.clone(), world.fake).await;
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"], "it waits");
    world.fake.edit("id-a", |_| {});
    tokio::time::advance(seconds(61)).await;
    world.settle().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), NOTHING);
}
