//! How old a shared LIST may be that an observation rests on.

use super::*;

/// The calls of a second observation this long after the first.
async fn again(world: &World, freshness: Freshness, after: u64) -> Vec<String> {
    world.look(freshness).await.unwrap();
    world.fake.calls();
    world.wait(after).await;
    world.look(freshness).await.unwrap();
    world.fake.calls()
}

#[tokio::test(start_paused = true)]
async fn a_bound_object_rests_on_a_list_for_as_long_as_its_state_allows() {
    boot().await;
    let object = || World { bound: bound("1"), ..unmarked() };
    let upsert = || World { bound: bound("/a"), ..upsert() };
    let (list, none) = (&["LIST "][..], &[""; 0][..]);
    let cases: [(&str, World, u64, &[&str]); 10] = [
        ("within the resync interval", object(), 3_600, none),
        ("after it", object(), 3_601, list),
        ("its delete is proven by reading it", World { deleting: true, ..object() }, 3_600, none),
        ("its operation as well", World { operation: true, ..object() }, 3_600, &["GET 1"]),
        ("an upsert, within the resync interval", upsert(), 3_600, none),
        ("after it", upsert(), 3_601, list),
        ("being deleted", World { deleting: true, ..upsert() }, 60, none),
        ("being deleted, a minute ago", World { deleting: true, ..upsert() }, 61, list),
        ("in an operation", World { operation: true, ..upsert() }, 1, none),
        ("in an operation, at the next poll", World { operation: true, ..upsert() }, 2, list),
    ];
    for (case, world, after, calls) in cases {
        world.fake.put(seen("1", "a", None));
        world.fake.put(seen("/a", "a", None));
        assert_eq!(again(&world, Freshness::Routine, after).await, calls, "{case}, {after} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upsert_is_written_by_a_list_of_the_last_minute() {
    boot().await;
    for (after, calls) in [(60, &[][..]), (61, &["LIST "][..])] {
        let world = World { bound: bound("/a"), ..upsert() };
        world.fake.put(seen("/a", "a", None));
        assert_eq!(again(&world, Freshness::BeforeWrite, after).await, *calls, "{after} s");
    }
}

/// Another object of the kind was deleted a moment before.
#[tokio::test(start_paused = true)]
async fn of_several_that_are_deleted_the_last_reads_for_all() {
    boot().await;
    let world = World { bound: bound("/a"), deleting: true, ..upsert() };
    world.fake.put(seen("/a", "a", None));
    world.found().await;
    world.wait(1).await;
    assert_eq!(world.snapshots.turn(world.fake, "", Instant::now(), &who("first")).await, None);
    world.fake.calls();
    advance(Duration::from_millis(500)).await;
    world.remembered.of("uid", |memory| memory.delete_accepted = Some(Instant::now()));
    world.fake.take("/a");
    assert_eq!(world.look(Freshness::Routine).await.unwrap_err(), Error::Later(seconds(1)));
    let later = Instant::now() + Duration::from_millis(10);
    assert_eq!(
        world.snapshots.turn(world.fake, "", later, &who("last")).await,
        Some(Duration::from_millis(1010))
    );
    advance(seconds(1)).await;
    assert!(
        matches!(world.look(Freshness::Routine).await, Err(Error::Later(_))),
        "another one came after it"
    );
    assert_eq!(world.fake.calls(), [""; 0]);
    advance(Duration::from_millis(10)).await;
    assert_eq!(world.snapshots.turn(world.fake, "", later, &who("last")).await, None);
    world.snapshots.read(world.fake, &reader(), "", later, |_| ()).await.unwrap();
    assert_eq!(world.snapshots.take_served(), [who("it")]);
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["LIST "]);
}

#[tokio::test(start_paused = true)]
async fn an_upsert_whose_delete_was_accepted_is_compared_with_a_later_list() {
    boot().await;
    let world = World { bound: bound("/a"), deleting: true, ..upsert() };
    world.fake.put(seen("/a", "a", None));
    world.found().await;
    world.wait(1).await;
    world.remembered.of("uid", |memory| memory.delete_accepted = Some(Instant::now()));
    world.fake.take("/a");
    world.fake.calls();
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["LIST "]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_bound_is_searched_for_in_a_list_of_this_moment() {
    boot().await;
    let observer = || World { observing: true, ..unmarked() };
    let list = &["LIST "][..];
    let cases: [(&str, World, u64, &[&str]); 7] = [
        ("an object", unmarked(), 5, &[]),
        ("an object", unmarked(), 6, list),
        ("an observer creates nothing", observer(), 3_600, &[]),
        ("an observer", observer(), 3_601, list),
        ("upserts in a burst", upsert(), 1, &[]),
        ("the burst is over", upsert(), 10, list),
        ("an observer of an upsert", World { observing: true, ..upsert() }, 10, list),
    ];
    for (case, world, after, calls) in cases {
        assert_eq!(again(&world, Freshness::Routine, after).await, calls, "{case}, {after} s");
    }
    let world = upsert();
    world.found().await;
    for _ in 0..20 {
        world.wait(1).await;
        world.found().await;
    }
    assert_eq!(world.fake.calls(), ["LIST "], "one LIST serves a long burst");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_by_its_id_is_shown_by_the_list_that_others_rest_on() {
    boot().await;
    let world = World { bound: bound("1"), ..unmarked() };
    let mut pending = seen("1", "a", None);
    pending.about.phase = Phase::Pending("soon".into());
    world.fake.listed.lock().unwrap().push(pending);
    world.fake.got.lock().unwrap().insert("1".into(), seen("1", "a", None));
    world.found().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET 1"]);
    assert_eq!(world.found().await, Found::Ours(seen("1", "a", None)));
    assert_eq!(world.fake.calls(), [""; 0]);
}

/// A field that no row shows would seem to differ, or to be as it is wanted.
#[tokio::test(start_paused = true)]
async fn what_a_list_leaves_out_is_read_by_its_id_where_it_matters() {
    boot().await;
    let fake = || Fake::with(|fake| fake.traits.unlisted = &["value"]);
    let wants =
        |value: Value| World { fake: fake(), want: Some(json!({"name": "a", "value": value})), ..unmarked() };
    let bound = |world| World { bound: bound("1"), ..world };
    for (case, world, calls) in [
        ("managed", bound(wants(json!("x"))), &["LIST ", "GET 1"][..]),
        ("not managed", bound(wants(Value::Null)), &["LIST "]),
        ("observed", bound(World { observing: true, ..wants(Value::Null) }), &["LIST ", "GET 1"]),
        ("found by its name", wants(json!("x")), &["LIST ", "GET 1"]),
        ("only named", wants(Value::Null), &["LIST "]),
    ] {
        world.fake.put(seen("1", "a", None));
        world.fake.got.lock().unwrap().get_mut("1").unwrap().state["value"] = json!("whole");
        let look = world.look(Freshness::Routine).await.unwrap();
        assert_eq!(world.fake.calls(), calls, "{case}");
        let is_whole = look.seen().unwrap().state["value"] == "whole";
        assert_eq!(is_whole, calls.len() == 2, "{case}");
    }
}

/// Databricks takes minutes: what waits for it is polled by one LIST, and read by its id once that shows another state.
#[tokio::test(start_paused = true)]
async fn objects_in_transition_share_the_lists_that_poll_them() {
    boot().await;
    for phase in [Phase::Pending("soon".into()), Phase::Leaving("going".into())] {
        let there = |id: &str| {
            let mut seen = seen(id, "a", None);
            seen.about.phase = phase.clone();
            seen
        };
        let world = World { bound: bound("1"), ..unmarked() };
        world.fake.put(there("1"));
        world.fake.put(there("2"));
        let other = async |polled| {
            let row = world.snapshots.poll(world.fake, &reader(), "", "2", polled).await.unwrap();
            row.map(|row| row.about.phase)
        };
        world.found().await;
        assert_eq!(world.fake.calls(), ["LIST ", "GET 1"]);
        world.wait(5).await;
        assert_eq!(world.found().await, Found::Ours(there("1")));
        assert_eq!(world.fake.calls(), ["GET 1"], "it is alone");
        world.wait(1).await;
        let polled = Instant::now();
        assert_eq!(other(None).await, Some(phase.clone()), "what was read since the start serves");
        world.wait(5).await;
        assert_eq!(world.found().await, Found::Ours(there("1")));
        assert_eq!(world.fake.calls(), ["LIST "], "another one was polled since then");
        world.wait(1).await;
        assert_eq!(other(Some(polled)).await, Some(phase.clone()));
        assert_eq!(world.fake.calls(), [""; 0], "the other one shares it");
        world.wait(5).await;
        world.fake.put(seen("1", "a", None));
        let look = world.look(Freshness::Routine).await.unwrap();
        assert_eq!((look.found, look.may_be_stale), (Found::Ours(seen("1", "a", None)), false));
        assert_eq!(world.fake.calls(), ["LIST ", "GET 1"], "a write may follow");
    }
}

/// What a LIST says beside the objects of another kind is not worth a failed call for each of them.
#[tokio::test(start_paused = true)]
async fn a_row_is_not_read_again_right_after_a_failure() {
    boot().await;
    let (world, begin) = (unmarked(), Instant::now());
    world.fake.put(seen("1", "a", None));
    let row = async |not_before| world.snapshots.row(world.fake, &reader(), "", "1", not_before).await;
    *world.fake.fails.lock().unwrap() = Some(Error::retry("down"));
    assert_eq!((row(begin).await, row(begin).await), (None, None));
    assert_eq!(world.fake.calls(), ["LIST "]);
    world.wait(1).await;
    assert_eq!(row(Instant::now()).await, Some(seen("1", "a", None)));
    assert_eq!(row(begin).await, Some(seen("1", "a", None)));
    assert_eq!(world.fake.calls(), ["LIST "]);
}

fn ids(rows: &Rows<'_>) -> Vec<String> {
    rows.all().map(|seen| seen.id.clone()).collect()
}

/// Covers HA-03. A LIST of many pages takes a minute. A create that ends meanwhile is recorded at once: the process may be about to end.
#[tokio::test(start_paused = true)]
async fn while_the_account_is_read_nothing_waits_that_does_not_need_that_reading() {
    boot().await;
    for after in [Duration::ZERO, seconds(1)] {
        let world = World { bound: bound("1"), ..unmarked() };
        world.fake.put(seen("1", "a", None));
        world.found().await;
        world.wait(1).await;
        world.fake.calls();
        *world.fake.slow.lock().unwrap() = seconds(60);
        let (snapshots, reader, begun) = (&world.snapshots, reader(), Instant::now());
        let again = snapshots.read(world.fake, &reader, "", begun, ids);
        let meanwhile = async {
            tokio::time::sleep(after).await;
            assert_eq!(world.found().await, Found::Ours(seen("1", "a", None)), "by the former reading");
            snapshots.amend(world.fake, "", seen("2", "b", None)).await;
            snapshots.remove(world.fake, "", "1").await;
            begun.elapsed()
        };
        let (listed, waited) = tokio::join!(again, meanwhile);
        assert!(waited < seconds(2), "{waited:?}");
        assert_eq!(listed, Ok(vec!["2".to_owned()]), "with the writes since it began, {after:?} after that");
        assert_eq!(world.fake.calls(), ["LIST "]);
    }
}

/// A proxy responded with 200 in place of the account.
#[tokio::test(start_paused = true)]
async fn a_deletion_without_effect_does_not_hide_the_object_from_the_list_after_it() {
    boot().await;
    let world = World { bound: bound("/a"), deleting: true, ..upsert() };
    world.fake.put(seen("/a", "a", None));
    world.found().await;
    world.wait(1).await;
    world.snapshots.remove(world.fake, "", "/a").await;
    world.remembered.of("uid", |memory| memory.delete_accepted = Some(Instant::now()));
    world.fake.calls();
    assert_eq!(world.found().await, Found::Ours(seen("/a", "a", None)));
    assert_eq!(world.fake.calls(), ["LIST "]);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_stale_before_it_ends_serves_no_later_read() {
    boot().await;
    let world = World { bound: bound("1"), ..unmarked() };
    world.fake.put(seen("1", "a", None));
    *world.fake.slow.lock().unwrap() = seconds(60);
    let overtake = async {
        tokio::time::sleep(seconds(1)).await;
        world.snapshots.make_stale(world.fake, "").await;
    };
    tokio::join!(world.found(), overtake);
    assert_eq!(world.fake.calls(), ["LIST "]);
    world.found().await;
    assert_eq!(world.fake.calls(), ["LIST "]);
    world.found().await;
    assert_eq!(world.fake.calls(), [""; 0]);
}

/// Workspaces come and go: their rows are not kept for as long as the process runs.
#[tokio::test(start_paused = true)]
async fn what_was_read_under_a_parent_is_forgotten_hours_after_its_last_use() {
    boot().await;
    let (world, reader, any) = (unmarked(), reader(), Instant::now());
    let read = |within: &'static str| world.snapshots.read(world.fake, &reader, within, any, ids);
    for within in ["gone", "used"] {
        assert_eq!(read(within).await, Ok(vec![]));
    }
    assert_eq!(world.fake.calls(), ["LIST gone", "LIST used"]);
    for _ in 0..5 {
        world.wait(3_600).await;
        assert_eq!(read("used").await, Ok(vec![]));
    }
    assert_eq!(world.fake.calls(), [""; 0]);
    assert_eq!(read("gone").await, Ok(vec![]));
    assert_eq!(world.fake.calls(), ["LIST gone"]);
}

/// A LIST of many pages takes a minute.
#[tokio::test(start_paused = true)]
async fn a_reading_in_progress_serves_those_that_came_before_it_began_and_no_others() {
    boot().await;
    let (world, before) = (unmarked(), Instant::now());
    *world.fake.slow.lock().unwrap() = seconds(60);
    let turn = async |since: Instant, name: &str| {
        world.snapshots.turn(world.fake, "", since, &who(name)).await.is_none()
    };
    let meanwhile = async {
        tokio::time::sleep(seconds(10)).await;
        assert!(turn(before, "early").await, "it waits for that reading, and needs no other");
        assert!(turn(Instant::now(), "late").await, "it reads next");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!turn(Instant::now(), "later").await, "it has its turn");
    };
    let reader = reader();
    let listed = world.snapshots.read(world.fake, &reader, "", before, ids);
    let (listed, ()) = tokio::join!(listed, meanwhile);
    assert_eq!(listed, Ok(vec![]));
    assert!(world.snapshots.take_served().is_empty(), "they need a later one");
}
