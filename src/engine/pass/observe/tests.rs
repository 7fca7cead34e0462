//! Each way in which an object can be found, or not, against a kind and an account made by hand.

mod absent;
mod fresh;
mod interrupted;
mod ownership;
mod search;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::engine::crd::{AdoptionPolicy, EXTERNAL_ID, External};
use crate::engine::kind::{Lifecycle, Ownership};
use crate::engine::memory::{Announced, Claim, Claims, Rank, Remembered};
use crate::engine::pass::bound::LONGEST_ID;
use crate::engine::pass::fake::{Fake, reader, seen};
use crate::engine::pass::reading::Interrupted;

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
    requested_at: Option<Instant>,
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
        requested_at: None,
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
        former: None,
    })
}

/// The record of an object with this id.
fn bound(id: &str) -> Bound {
    Bound { external: external(id, None), ..Bound::default() }
}

fn intent(sent: i64, before: &[&str]) -> Option<Intent> {
    let before = before.iter().map(|id| (*id).to_owned()).collect();
    Some(Intent {
        account_id: "account".into(),
        within: String::new(),
        name: "a".into(),
        time: Time(at(sent)),
        secret_name: None,
        before,
    })
}

impl World {
    /// This process has known of the interrupted create since it was sent.
    fn known(self) -> World {
        if let Some(intent) = self.bound.intent.clone() {
            let ago = seconds((self.now - intent.time.0.as_second()).unsigned_abs());
            let known = Announced { intent, since: Instant::now() - ago, age: Duration::ZERO };
            self.remembered.of("uid", |memory| memory.interrupted = Some(known));
        }
        self
    }

    async fn look(&self, freshness: Freshness) -> Result<Reading> {
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
            requested_at: self.requested_at,
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

/// A user can edit an annotation, and what is listed for it is remembered.
#[tokio::test(start_paused = true)]
async fn an_id_that_no_status_has_room_for_is_not_read() {
    boot().await;
    for (length, is_read) in [(LONGEST_ID, true), (LONGEST_ID + 1, false)] {
        let bound = Bound { annotated: Some("1".repeat(length)), ..Bound::default() };
        let world = World { bound, ..unmarked() };
        let looked = world.look(Freshness::Routine).await;
        assert_eq!((looked.is_ok(), !world.fake.calls().is_empty()), (is_read, is_read), "{length}");
        if let Err(error) = looked {
            assert_eq!(error.reason(), Some(Reason::InvalidSpec), "{error}");
            assert!(error.to_string().contains(EXTERNAL_ID), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_object_is_compared_with_its_row_of_the_list_and_read_before_a_write() {
    boot().await;
    let world = World { bound: bound("1"), ..unmarked() };
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
    let bound = bound("1");
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
    let world = World { bound: bound("1"), ..unmarked() };
    world.fake.got.lock().unwrap().insert("1".into(), seen("2", "a", None));
    assert!(matches!(world.look(Freshness::BeforeWrite).await, Err(Error::Transient { .. })));
}

/// A retry would never end.
#[tokio::test(start_paused = true)]
async fn an_id_that_the_account_writes_in_another_case_must_be_corrected() {
    boot().await;
    let lake = || Some("Lake".to_owned());
    for (bound, place) in [
        (Bound { spec_id: lake(), ..Bound::default() }, "spec.externalId"),
        (Bound { annotated: lake(), ..Bound::default() }, EXTERNAL_ID),
    ] {
        let world = World { bound, ..unmarked() };
        world.fake.got.lock().unwrap().insert("Lake".into(), seen("lake", "a", None));
        let refused = world.look(Freshness::Routine).await.unwrap_err();
        let Error::Terminal { reason: Reason::InvalidSpec, message } = &refused else {
            panic!("{refused:?}")
        };
        assert!(message.contains("as lake: write that in ") && message.ends_with(place), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_a_failure_and_no_absence() {
    boot().await;
    let bound = [bound("1"), Bound { intent: intent(NOW - 61, &[]), ..Bound::default() }, Bound::default()];
    for bound in bound {
        for freshness in [Freshness::Routine, Freshness::BeforeWrite] {
            let world = World { bound: bound.clone(), ..unmarked() }.known();
            *world.fake.fails.lock().unwrap() = Some(Error::retry("down"));
            assert_eq!(world.look(freshness).await, Err(Error::retry("down")), "{bound:?}");
            let absent = world.remembered.of("uid", |memory| memory.absent_since);
            assert_eq!(absent, None);
        }
    }
}
