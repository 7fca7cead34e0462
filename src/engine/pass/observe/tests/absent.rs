//! When an object in the account counts as gone.

use super::*;

#[tokio::test(start_paused = true)]
async fn absence_is_believed_when_a_list_agrees_and_it_lasts() {
    boot().await;
    let world = World { bound: bound("1"), ..unmarked() };
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    assert_eq!(world.fake.calls(), ["LIST ", "GET 1"], "the LIST of this moment serves as the second proof");
    world.wait(9).await;
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    world.wait(2).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    // It exists again: the next absence begins from the start.
    world.fake.put(seen("1", "a", None));
    world.look(Freshness::BeforeWrite).await.unwrap();
    world.fake.got.lock().unwrap().clear();
    world.fake.listed.lock().unwrap().clear();
    world.wait(6).await;
    assert_eq!(world.look(Freshness::BeforeWrite).await.unwrap().found, Found::Nothing { settled: false });
}

#[tokio::test(start_paused = true)]
async fn a_list_that_shows_what_get_does_not_is_a_contradiction() {
    boot().await;
    let mut world = World { bound: bound("1"), ..unmarked() };
    world.fake.listed.lock().unwrap().push(seen("1", "a", None));
    assert!(matches!(world.look(Freshness::BeforeWrite).await, Err(Error::Transient { .. })));
    // While being deleted it may be in one and not in the other.
    world.fake.listed.lock().unwrap()[0].about.phase = Phase::Leaving("going".into());
    world.snapshots = Snapshots::default();
    assert_eq!(world.look(Freshness::BeforeWrite).await.unwrap().found, Found::Nothing { settled: false });
}

#[tokio::test(start_paused = true)]
async fn what_was_just_created_is_not_gone() {
    boot().await;
    let bound = |created| Bound { external: external("1", Some(created)), ..Bound::default() };
    let mut world = World { bound: bound(NOW - 30), lag: seconds(60), ..unmarked() };
    let Err(Error::Transient { message, after, .. }) = world.look(Freshness::Routine).await else { panic!() };
    assert!(message.contains("reads may lag behind until"), "{message}");
    assert_eq!(after, Some(seconds(1)));
    world.bound = bound(NOW - 61);
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
}

#[tokio::test(start_paused = true)]
async fn after_our_own_delete_absence_needs_no_second_proof_in_time_and_a_newer_list() {
    boot().await;
    let bound = Bound { external: external("1", Some(NOW)), ..Bound::default() };
    let world = World { bound, deleting: true, lag: seconds(60), ..unmarked() };
    world.fake.put(seen("1", "a", None));
    world.found().await;
    world.wait(1).await;
    world.remembered.of("uid", |memory| memory.delete_accepted = Some(Instant::now()));
    world.fake.got.lock().unwrap().clear();
    world.fake.listed.lock().unwrap().clear();
    world.fake.calls();
    assert_eq!(world.look(Freshness::BeforeWrite).await.unwrap().found, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["GET 1", "LIST "], "the LIST from before the delete proves nothing");
}

/// Of thousands that are deleted at once, each proves its own absence.
#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_gone_without_a_comparison_of_the_others() {
    boot().await;
    let mut world = World { bound: bound("gone"), ..unmarked() };
    for n in 0..300 {
        world.fake.put(seen(&n.to_string(), "other", None));
    }
    let compared = |world: &World| std::mem::take(&mut *world.fake.compared.lock().unwrap());
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    assert_eq!(compared(&world), 300, "another one may be in the place of one that was lost");
    world.deleting = true;
    world.remembered.of("uid", |memory| memory.delete_accepted = Some(Instant::now()));
    world.wait(1).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(compared(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn objects_like_a_lost_one_were_created_by_others() {
    boot().await;
    let mut world = World { bound: bound("1"), ..unmarked() };
    world.fake.put(seen("2", "a", None));
    assert_eq!(world.found().await, Found::Nothing { settled: false }, "at first it may be back");
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Replaced(vec!["2".into()]));
    world.deleting = true;
    assert_eq!(world.found().await, Found::Nothing { settled: true }, "they are not ours to delete");
}

#[tokio::test(start_paused = true)]
async fn an_upsert_that_is_missing_is_written_again_at_once_and_gone_only_when_two_lists_agree() {
    boot().await;
    let bound = Bound { external: external("/a", Some(NOW)), ..Bound::default() };
    let mut world = World { bound, lag: seconds(60), ..upsert() };
    assert_eq!(world.found().await, Found::Nothing { settled: true }, "that repeats nothing but itself");
    assert_eq!(world.fake.calls(), ["LIST "], "and its LIST is the read");
    world.deleting = true;
    world.lag = Duration::ZERO;
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    assert_eq!(world.fake.calls(), [""; 0], "the LIST of this moment is the first of the two");
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["LIST "], "and another is the second");
}

#[tokio::test(start_paused = true)]
async fn only_an_upsert_that_is_missing_from_a_shared_list_is_read_again_before_it_is_written() {
    boot().await;
    for (freshness, from_list) in [(Freshness::Routine, true), (Freshness::BeforeWrite, false)] {
        let world = World { bound: bound("/a"), ..upsert() };
        let look = world.look(freshness).await.unwrap();
        assert_eq!((look.found, look.may_be_stale), (Found::Nothing { settled: true }, from_list));
        let world = World { bound: bound("1"), ..unmarked() };
        let look = world.look(freshness).await.unwrap();
        assert_eq!((look.found, look.may_be_stale), (Found::Nothing { settled: false }, false));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upsert_whose_spec_means_another_object_is_read_under_its_own_parent() {
    boot().await;
    let bound = Bound { external: external("parent/old", None), ..Bound::default() };
    let mut world = World { bound, ..upsert() };
    world.fake.put(seen("parent/old", "old", None));
    assert!(world.look(Freshness::Routine).await.unwrap().seen().is_some());
    // A spec that cannot be read says nothing about where the object is.
    (world.want, world.deleting) = (None, true);
    assert!(world.look(Freshness::BeforeWrite).await.unwrap().seen().is_some());
    assert_eq!(world.fake.calls(), ["LIST parent"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_spec_cannot_be_read_is_gone_when_the_list_of_its_parent_agrees() {
    boot().await;
    let bound = Bound { external: external("parent/1", None), ..Bound::default() };
    let world = World { bound, want: None, deleting: true, ..unmarked() };
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["LIST parent", "GET parent/1", "GET parent/1", "LIST parent"]);
}
