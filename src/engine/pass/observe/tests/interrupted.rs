//! A create whose result is not known: when it is searched for, and what may be its result.

use super::*;
use crate::clock;
use crate::engine::kind::About;

/// Covers LC-01, LC-03. Its record may look old because the clock was set forwards while no process ran, or because the machine was
/// suspended: then a LIST is known that was read before.
#[tokio::test(start_paused = true)]
async fn a_create_of_an_earlier_process_is_waited_out_by_this_one_however_old_it_looks() {
    boot().await;
    for ago in [0, 60, 86_400] {
        let bound = Bound { intent: intent(NOW - ago, &[]), ..Bound::default() };
        let world = World { bound, ..unmarked() };
        for (left, wait) in [(60, 59), (1, 1)] {
            let early = Found::Interrupted(Interrupted::TooEarly(seconds(left)));
            assert_eq!(world.found().await, early, "sent {ago} s ago");
            world.wait(wait).await;
        }
        let any = world.snapshots.read(world.fake, &reader(), "", recent(seconds(3_600)), |_| ()).await;
        assert_eq!((any, world.fake.calls()), (Ok(()), vec!["LIST ".to_owned()]));
        world.wait(1).await;
        assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
        assert_eq!(world.fake.calls(), [""; 0], "that LIST began late enough");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_create_is_waited_out_and_then_searched_for() {
    boot().await;
    let created = |id: &str, at: Option<i64>| {
        let mut seen = seen(id, "a", None);
        seen.about.created = at;
        seen
    };
    let since = |hits: &[&str], in_time| {
        let hits = hits.iter().map(|id| (*id).to_owned()).collect();
        Found::Interrupted(Interrupted::Since { hits, in_time, sent: at(NOW - 61) })
    };
    let early =
        World { bound: Bound { intent: intent(NOW - 20, &[]), ..Bound::default() }, ..unmarked() }.known();
    assert_eq!(early.found().await, Found::Interrupted(Interrupted::TooEarly(seconds(40))));
    assert_eq!(early.fake.calls(), [""; 0]);
    let cases: [(&str, Vec<Seen>, Found); 5] = [
        ("it created nothing", vec![], since(&[], true)),
        ("what was there before is not its result", vec![created("0", None)], since(&[], true)),
        ("one", vec![created("1", Some(NOW - 60))], since(&["1"], true)),
        ("of another time", vec![created("1", Some(NOW - 5_000))], since(&["1"], false)),
        ("two", vec![created("2", None), created("1", None)], since(&["1", "2"], true)),
    ];
    for (case, there, found) in cases {
        let world =
            World { bound: Bound { intent: intent(NOW - 61, &["0"]), ..Bound::default() }, ..unmarked() }
                .known();
        there.into_iter().for_each(|seen| world.fake.put(seen));
        assert_eq!(world.found().await, found, "{case}");
        assert_eq!(world.fake.calls(), ["LIST "], "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_the_result_of_an_interrupted_create_is_taken_for_it() {
    boot().await;
    let none = Found::Interrupted(Interrupted::Since { hits: vec![], in_time: true, sent: at(NOW - 61) });
    let interrupted = || Bound { intent: intent(NOW - 61, &[]), ..Bound::default() };
    // Our own create sets the mark.
    let world = World { bound: interrupted(), ..marked() }.known();
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, none);
    // Where the API can hold no mark, its absence says nothing, and the time of its creation is no proof.
    for created in [None, Some(NOW - 61)] {
        let world = World { bound: interrupted(), ..marked() }.known();
        let mut unmarkable = seen("1", "a", None);
        (unmarkable.about.unmarkable, unmarkable.about.created) = (true, created);
        world.fake.put(unmarkable);
        let undecided = Interrupted::Since { hits: vec!["1".into()], in_time: false, sent: at(NOW - 61) };
        assert_eq!(world.found().await, Found::Interrupted(undecided), "{created:?}");
    }
    // Another object manages it.
    let world = World { bound: interrupted(), ..unmarked() }.known();
    world.held("1");
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, none);
    // The spec may have been changed since: the name is the one that was sent.
    let world = World { bound: interrupted(), want: Some(json!({"name": "b"})), ..unmarked() }.known();
    world.fake.put(seen("1", "a", None));
    world.fake.put(seen("2", "b", None));
    assert!(
        matches!(world.found().await, Found::Interrupted(Interrupted::Since { hits, .. }) if hits == ["1"])
    );
    // An upsert that still matches the spec is written again; any other must be found first.
    let world = World { bound: interrupted(), want: Some(json!({"name": "b"})), ..upsert() }.known();
    assert!(matches!(world.found().await, Found::Interrupted(_)));
    let world = World { bound: interrupted(), ..upsert() };
    assert_eq!(world.found().await, Found::Nothing { settled: true });
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_create_is_searched_for_as_soon_as_the_account_certainly_shows_it() {
    boot().await;
    for (sent, lag, early) in [(59, 0, Some(1)), (60, 0, None), (60, 90, Some(30)), (90, 90, None)] {
        let bound = Bound { intent: intent(NOW - sent, &[]), ..Bound::default() };
        let world = World { bound, lag: seconds(lag), ..unmarked() }.known();
        let waits = match world.found().await {
            Found::Interrupted(Interrupted::TooEarly(left)) => Some(left.as_secs()),
            _ => None,
        };
        assert_eq!(waits, early, "sent {sent} s ago, reads lag {lag} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_result_of_an_interrupted_create_is_as_old_as_the_create_within_what_clocks_may_differ() {
    boot().await;
    let sent = NOW - 61;
    for (created, expected) in
        [(sent - 301, false), (sent - 300, true), (sent, true), (sent + 360, true), (sent + 361, false)]
    {
        let world =
            World { bound: Bound { intent: intent(sent, &[]), ..Bound::default() }, ..unmarked() }.known();
        let mut result = seen("1", "a", None);
        result.about.created = Some(created);
        world.fake.put(result);
        let Found::Interrupted(Interrupted::Since { in_time, .. }) = world.found().await else { panic!() };
        assert_eq!(in_time, expected, "{} s after the create", created - sent);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upsert_that_was_announced_is_searched_for_before_it_is_deleted() {
    boot().await;
    let bound = Bound { intent: intent(NOW - 61, &[]), ..Bound::default() };
    let world = World { bound, deleting: true, ..upsert() }.known();
    world.fake.put(seen("/a", "a", None));
    assert!(
        matches!(world.found().await, Found::Interrupted(Interrupted::Since { hits, .. }) if hits == ["/a"])
    );
}

#[tokio::test(start_paused = true)]
async fn creates_that_were_interrupted_together_share_a_list_that_began_late_enough() {
    boot().await;
    let real = clock::now().as_second();
    let interrupted = |sent| Bound { intent: intent(sent, &[]), ..Bound::default() };
    let mut world = World { now: real, bound: interrupted(real - 700), ..unmarked() }.known();
    for _ in 0..2 {
        assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
    }
    assert_eq!(world.fake.calls(), ["LIST "], "one for both");
    // A person has decided, and requests a reconcile.
    world.wait(1).await;
    world.stale = Duration::ZERO;
    assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
    assert_eq!(world.fake.calls(), ["LIST "]);
    world.stale = seconds(3_600);
    // This create is old enough by now. The LIST above began before it was.
    world.wait(3).await;
    let world = World { now: real + 4, bound: interrupted(real - 57), ..world }.known();
    assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
    assert_eq!(world.fake.calls(), ["LIST "]);
}

/// Covers LC-01, LC-03. Groups, users, endpoints: their API does not say when they were created. The operator may have been down
/// for a day, and another user may have created an object of that name meanwhile.
#[tokio::test(start_paused = true)]
async fn without_a_creation_time_only_what_is_there_soon_after_the_create_is_its_result() {
    boot().await;
    let created = |at| About { created: at, ..About::default() };
    let ours = || About { owner: Some(MARK.into()), ..About::default() };
    let in_a_day = 86_400;
    type Case = (&'static str, World, About, i64, u64, bool);
    let cases: [Case; 9] = [
        ("as soon as it is searched for", unmarked(), created(None), 60, 0, true),
        ("after a restart", unmarked(), created(None), 660, 0, true),
        ("after more than that", unmarked(), created(None), 661, 0, false),
        ("after a day", unmarked(), created(None), in_a_day, 0, false),
        ("reads lag for longer", unmarked(), created(None), 1_500, 900, true),
        ("and after more than that", unmarked(), created(None), 1_501, 900, false),
        ("its time is known", unmarked(), created(Some(NOW - in_a_day)), in_a_day, 0, true),
        ("it carries our mark", marked(), ours(), in_a_day, 0, true),
        (
            "its time contradicts the mark",
            marked(),
            About { created: Some(NOW), ..ours() },
            in_a_day,
            0,
            false,
        ),
    ];
    for (case, world, about, ago, lag, expected) in cases {
        let bound = Bound { intent: intent(NOW - ago, &[]), ..Bound::default() };
        let world = World { bound, lag: seconds(lag), ..world }.known();
        world.fake.put(Seen { about, ..seen("1", "a", None) });
        let Found::Interrupted(Interrupted::Since { in_time, hits, .. }) = world.found().await else {
            panic!()
        };
        assert_eq!((hits, in_time), (vec!["1".to_owned()], expected), "{case}");
    }
}

/// Covers LC-01, LC-03. The row that another user set looks like our own.
#[tokio::test(start_paused = true)]
async fn the_row_of_an_announced_upsert_is_ours_only_soon_after_that() {
    boot().await;
    for (ago, ours) in [(0, true), (660, true), (661, false), (86_400, false)] {
        let bound = Bound { intent: intent(NOW - ago, &[]), ..Bound::default() };
        let world = World { bound, ..upsert() };
        world.fake.put(seen("/a", "a", None));
        let unknown = Interrupted::Since { hits: vec!["/a".into()], in_time: false, sent: at(NOW - ago) };
        let expected = if ours { Found::Ours(seen("/a", "a", None)) } else { Found::Interrupted(unknown) };
        assert_eq!(world.found().await, expected, "{ago} s ago");
    }
}
