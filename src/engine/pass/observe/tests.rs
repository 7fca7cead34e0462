//! Each way in which an object can be found, or not, against a kind and an account made by hand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::engine::crd::{AdoptionPolicy, External};
use crate::engine::kind::Lifecycle;
use crate::engine::memory::{Claim, Claims, Rank, Remembered};
use crate::engine::pass::fake::{Fake, reader, seen};

const MARK: &str = "here/ns/it";
const NOW: i64 = 1_000_000;

/// A Kubernetes object and the account that it is observed in.
struct World {
    fake: &'static Fake,
    snapshots: Snapshots,
    claims: Claims,
    remembered: Remembered,
    bound: Bound,
    want: Option<Value>,
    adoption: AdoptionPolicy,
    deleting: bool,
    observing: bool,
    operation: bool,
    lag: Duration,
    stale: Duration,
    now: i64,
}

fn world(lifecycle: Lifecycle, ownership: Ownership) -> World {
    World {
        fake: Fake::new(lifecycle, ownership),
        snapshots: Snapshots::default(),
        claims: Claims::default(),
        remembered: Remembered::default(),
        bound: Bound::default(),
        want: Some(json!({"name": "a"})),
        adoption: AdoptionPolicy::IfOwned,
        deleting: false,
        observing: false,
        operation: false,
        lag: Duration::ZERO,
        stale: seconds(3_600),
        now: NOW,
    }
}

/// A kind with a mark, as Workspace.
fn marked() -> World {
    world(Lifecycle::Object, Ownership::Marker)
}

/// A kind without one, as IpAccessList.
fn unmarked() -> World {
    world(Lifecycle::Object, Ownership::RecordedId)
}

/// A kind whose id is its key, as PermissionAssignment.
fn upsert() -> World {
    world(Lifecycle::Upsert, Ownership::RecordedId)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn who(name: &str) -> ObjectName {
    ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: name.into() }
}

fn external(id: &str, created: Option<i64>) -> Option<External> {
    let created_at = created.map(|second| Time(at(second)));
    let name = Some("a".into());
    Some(External {
        account_id: "account".into(),
        id: id.into(),
        name,
        adopted: false,
        observed: false,
        created_at,
    })
}

fn intent(sent: i64, before: &[&str]) -> Option<Intent> {
    let before = before.iter().map(|id| (*id).to_owned()).collect();
    Some(Intent {
        account_id: "account".into(),
        within: String::new(),
        name: "a".into(),
        time: Time(at(sent)),
        before,
    })
}

impl World {
    async fn look(&self, freshness: Freshness) -> Result<Look> {
        let (who, rank, reader) = (who("it"), Rank { created: 5, uid: "uid".into() }, reader());
        let observer = Observer {
            driver: self.fake,
            reader: &reader,
            snapshots: &self.snapshots,
            want: self.want.as_ref(),
            bound: &self.bound,
            recognise: Recognise {
                driver: self.fake,
                bound: &self.bound,
                marker: MARK,
                adoption: self.adoption,
            },
            claimant: Claimant {
                claims: &self.claims,
                account_id: "account",
                who: &who,
                rank: &rank,
                observing: self.observing,
            },
            remembered: Recall { all: &self.remembered, uid: "uid" },
            deleting: self.deleting,
            operation: self.operation,
            not_before: recent(self.stale),
            lag: Lag { read: self.lag, shown_within: self.lag, poll: (seconds(1), seconds(30)) },
            quarantine: seconds(60),
            absence: seconds(10),
            now: at(self.now),
        };
        observer.observe(freshness).await
    }

    /// What is found routinely.
    async fn found(&self) -> Found {
        self.look(Freshness::Routine).await.unwrap().found
    }

    /// Another Kubernetes object, older than this one, manages the object with this id.
    fn held(&self, id: &str) {
        let older = Rank { created: 1, uid: "older".into() };
        assert_eq!(self.claims.record(&Claim::id("account", "Fake", id), &older, &who("older")), None);
    }

    /// Time passes until the LIST is read again.
    async fn wait(&self, count: u64) {
        advance(seconds(count)).await;
    }
}

/// A machine that has been up for long enough that times can be subtracted.
async fn boot() {
    advance(seconds(100_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bound_object_is_compared_with_its_row_of_the_list_and_read_before_a_write() {
    boot().await;
    let world = World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
    world.fake.put(seen("1", "a", None));
    let look = world.look(Freshness::Routine).await.unwrap();
    assert_eq!((look.found, look.may_be_stale), (Found::Ours(seen("1", "a", None)), true));
    assert!(look.read_at.is_some(), "it comes due a resync interval after this");
    assert_eq!(world.fake.calls(), ["LIST "]);
    assert!(!world.look(Freshness::BeforeWrite).await.unwrap().may_be_stale);
    assert_eq!(world.fake.calls(), ["GET 1"]);
    world.found().await;
    assert_eq!(world.fake.calls(), [""; 0], "the LIST serves until the resync interval is over");
}

#[tokio::test(start_paused = true)]
async fn an_object_in_transition_is_read_by_itself() {
    boot().await;
    let bound = Bound { external: external("1", None), ..Bound::default() };
    let mut world = World { bound, ..unmarked() };
    let mut pending = seen("1", "a", None);
    pending.about.phase = Phase::Pending("soon".into());
    world.fake.put(pending.clone());
    assert_eq!(world.found().await, Found::Ours(pending));
    assert_eq!(world.fake.calls(), ["LIST ", "GET 1"]);
    world.fake.put(seen("1", "a", None));
    world.operation = true;
    assert_eq!(world.found().await, Found::Ours(seen("1", "a", None)));
    assert_eq!(world.fake.calls(), ["GET 1"], "an open operation is one too");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_id_is_a_failure() {
    boot().await;
    let world = World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
    world.fake.got.lock().unwrap().insert("1".into(), seen("2", "a", None));
    assert!(matches!(world.look(Freshness::BeforeWrite).await, Err(Error::Transient { .. })));
}

#[tokio::test(start_paused = true)]
async fn absence_is_believed_when_a_list_agrees_and_it_lasts() {
    boot().await;
    let world = World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
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
    let mut world =
        World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
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

#[tokio::test(start_paused = true)]
async fn objects_like_a_lost_one_were_created_by_others() {
    boot().await;
    let mut world =
        World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
    world.fake.put(seen("2", "a", None));
    assert_eq!(world.found().await, Found::Nothing { settled: false }, "at first it may be back");
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Replaced(vec!["2".into()]));
    world.deleting = true;
    assert_eq!(world.found().await, Found::Nothing { settled: true }, "they are not ours to delete");
}

#[tokio::test(start_paused = true)]
async fn a_record_alone_proves_nothing() {
    boot().await;
    let annotated = || Bound { annotated: Some("1".into()), ..Bound::default() };
    let cases = [
        ("our mark", Some(MARK), "a", true),
        ("our mark under another name", Some(MARK), "b", true),
        ("no mark, the natural name", None, "a", true),
        ("no mark, another name", None, "b", false),
        ("the mark of another", Some("here/ns/other"), "a", false),
    ];
    for (case, owner, name, ours) in cases {
        let world = World { bound: annotated(), ..marked() };
        world.fake.put(seen("1", name, owner));
        let found = world.found().await;
        assert_eq!(matches!(found, Found::Ours(_)), ours, "{case}: {found:?}");
        assert_eq!(matches!(found, Found::Foreign(_)), !ours, "{case}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_user_said_is_ours_is_ours_although_it_carries_another_mark() {
    boot().await;
    for (adoption, ours) in [(AdoptionPolicy::IfOwned, false), (AdoptionPolicy::IfExists, true)] {
        let bound = Bound { annotated: Some("1".into()), ..Bound::default() };
        let world = World { bound, adoption, ..marked() };
        world.fake.put(seen("1", "a", Some("old/ns/it")));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{adoption:?}");
    }
    let adopted = External { adopted: true, ..external("1", None).unwrap() };
    let world = World { bound: Bound { external: Some(adopted), ..Bound::default() }, ..marked() };
    world.fake.put(seen("1", "a", Some("old/ns/it")));
    assert!(matches!(world.found().await, Found::Ours(_)), "our mark is still to be set");
}

#[tokio::test(start_paused = true)]
async fn the_name_that_was_last_seen_is_recognised_and_any_other_is_not() {
    boot().await;
    let renamed = || World {
        bound: Bound { external: external("1", None), ..Bound::default() },
        want: Some(json!({"name": "new"})),
        ..unmarked()
    };
    for (name, ours) in [("a", true), ("new", true), ("other", false)] {
        let world = renamed();
        world.fake.put(seen("1", name, None));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{name}");
    }
    // While deleting, the spec may be unreadable.
    for (name, ours) in [("a", true), ("other", false)] {
        let world = World { want: None, deleting: true, ..renamed() };
        world.fake.put(seen("1", name, None));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_spec_names_by_id_is_foreign_until_it_is_adopted() {
    boot().await;
    let world = World { bound: Bound { asked: Some("1".into()), ..Bound::default() }, ..marked() };
    world.fake.put(seen("1", "a", Some(MARK)));
    assert!(matches!(world.found().await, Found::Foreign(_)));
}

#[tokio::test(start_paused = true)]
async fn an_observer_needs_only_the_id_and_claims_nothing() {
    boot().await;
    let bound = Bound { external: external("1", None), ..Bound::default() };
    let world = World { bound, observing: true, ..marked() };
    world.held("1");
    world.fake.put(seen("1", "b", Some("here/ns/older")));
    assert!(matches!(world.found().await, Found::Ours(_)));
    // Managed again, what was only observed is ours only by its mark.
    let observed = External { observed: true, adopted: true, ..external("1", None).unwrap() };
    for (owner, ours) in [(Some(MARK), true), (None, false)] {
        let world =
            World { bound: Bound { external: Some(observed.clone()), ..Bound::default() }, ..marked() };
        world.fake.put(seen("1", "a", owner));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{owner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_object_manages_is_held_and_costs_no_call() {
    boot().await;
    let world = World { bound: Bound { external: external("1", None), ..Bound::default() }, ..unmarked() };
    world.held("1");
    assert_eq!(world.found().await, Found::Held("Fake ns/older".into()));
    assert_eq!(world.fake.calls(), [""; 0]);
    let world = unmarked();
    world.held("1");
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, Found::Held("Fake ns/older".into()), "found by its name");
}

#[tokio::test(start_paused = true)]
async fn without_a_record_the_account_is_searched_for_what_the_spec_means() {
    boot().await;
    type There<'a> = &'a [(&'a str, &'a str, Option<&'a str>)];
    let cases: [(&str, There<'_>, Found); 6] = [
        ("empty", &[], Found::Nothing { settled: true }),
        ("others", &[("1", "b", None)], Found::Nothing { settled: true }),
        ("one", &[("1", "a", None)], Found::Foreign(seen("1", "a", None))),
        ("two", &[("2", "a", None), ("1", "a", None)], Found::Several(vec!["1".into(), "2".into()])),
        ("ours", &[("1", "a", Some(MARK))], Found::Ours(seen("1", "a", Some(MARK)))),
        (
            "ours among two",
            &[("1", "a", None), ("2", "a", Some(MARK))],
            Found::Ours(seen("2", "a", Some(MARK))),
        ),
    ];
    for (case, there, found) in cases {
        let world = marked();
        there.iter().for_each(|(id, name, owner)| world.fake.put(seen(id, name, *owner)));
        let look = world.look(Freshness::Routine).await.unwrap();
        assert_eq!(look.found, found, "{case}");
        assert_eq!(look.may_be_stale, !matches!(found, Found::Nothing { .. }), "{case}");
        assert_eq!(world.fake.calls(), ["LIST "], "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_by_its_name_is_read_by_its_id_before_a_write() {
    boot().await;
    let world = unmarked();
    world.fake.put(seen("1", "a", None));
    let look = world.look(Freshness::BeforeWrite).await.unwrap();
    assert_eq!((look.found, look.may_be_stale), (Found::Foreign(seen("1", "a", None)), false));
    assert_eq!(look.before, ["1"], "a create must not take it for its result");
    assert_eq!(world.fake.calls(), ["LIST ", "GET 1"]);
    // It disappeared meanwhile.
    world.fake.got.lock().unwrap().clear();
    assert!(matches!(world.look(Freshness::BeforeWrite).await, Err(Error::Transient { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_out_keeps_nothing_from_being_created() {
    boot().await;
    let world = unmarked();
    let mut leaving = seen("1", "a", None);
    leaving.about.phase = Phase::Leaving("going".into());
    world.fake.put(leaving);
    let look = world.look(Freshness::Routine).await.unwrap();
    assert_eq!(look.found, Found::Nothing { settled: true });
    assert_eq!(look.before, ["1"], "nor is it the result of that create");
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
    world.wait(11).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), ["LIST "], "another LIST than the one before");
}

#[tokio::test(start_paused = true)]
async fn an_upsert_that_means_another_object_now_is_read_where_it_was_made() {
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

#[tokio::test(start_paused = true)]
async fn creates_that_were_interrupted_together_share_a_list_that_began_late_enough() {
    boot().await;
    let real = Timestamp::now().as_second();
    let interrupted = |sent| Bound { intent: intent(sent, &[]), ..Bound::default() };
    let mut world = World { now: real, bound: interrupted(real - 700), ..unmarked() };
    for _ in 0..2 {
        assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
    }
    assert_eq!(world.fake.calls(), ["LIST "], "one for both");
    // The clock says that this create is old enough by now. The LIST above began before it was.
    (world.now, world.bound) = (real + 100, interrupted(real));
    world.wait(1).await;
    assert!(matches!(world.found().await, Found::Interrupted(Interrupted::Since { .. })));
    assert_eq!(world.fake.calls(), ["LIST "]);
}

#[tokio::test(start_paused = true)]
async fn an_announced_upsert_finds_its_own_row_after_a_crash() {
    boot().await;
    let world = World { bound: Bound { intent: intent(NOW - 5, &[]), ..Bound::default() }, ..upsert() };
    world.fake.put(seen("/a", "a", None));
    assert!(matches!(world.found().await, Found::Ours(_)));
    let world = upsert();
    world.fake.put(seen("/a", "a", None));
    assert!(matches!(world.found().await, Found::Foreign(_)), "one that was there before is not");
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
    let early = World { bound: Bound { intent: intent(NOW - 20, &[]), ..Bound::default() }, ..unmarked() };
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
            World { bound: Bound { intent: intent(NOW - 61, &["0"]), ..Bound::default() }, ..unmarked() };
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
    let world = World { bound: interrupted(), ..marked() };
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, none);
    // Another object manages it.
    let world = World { bound: interrupted(), ..unmarked() };
    world.held("1");
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, none);
    // The spec may have been changed since: the name is the one that was sent.
    let world = World { bound: interrupted(), want: Some(json!({"name": "b"})), ..unmarked() };
    world.fake.put(seen("1", "a", None));
    world.fake.put(seen("2", "b", None));
    assert!(
        matches!(world.found().await, Found::Interrupted(Interrupted::Since { hits, .. }) if hits == ["1"])
    );
    // An upsert that still matches the spec is written again; any other must be found first.
    let world = World { bound: interrupted(), want: Some(json!({"name": "b"})), ..upsert() };
    assert!(matches!(world.found().await, Found::Interrupted(_)));
    let world = World { bound: interrupted(), ..upsert() };
    assert_eq!(world.found().await, Found::Nothing { settled: true });
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_a_failure_and_no_absence() {
    boot().await;
    let bound = [
        Bound { external: external("1", None), ..Bound::default() },
        Bound { intent: intent(NOW - 61, &[]), ..Bound::default() },
        Bound::default(),
    ];
    for bound in bound {
        for freshness in [Freshness::Routine, Freshness::BeforeWrite] {
            let world = World { bound: bound.clone(), ..unmarked() };
            *world.fake.fails.lock().unwrap() = Some(Error::retry("down"));
            assert_eq!(world.look(freshness).await, Err(Error::retry("down")), "{bound:?}");
            let absent = world.remembered.of("uid", |memory| memory.absent_since);
            assert_eq!(absent, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_without_a_record_made_nothing() {
    boot().await;
    let world = World { deleting: true, ..unmarked() };
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), [""; 0]);
}
