//! The deletion of what was just created for an object that vanished meanwhile.

use tokio::time::Instant;

use super::*;
use crate::databricks::Urgency;
use crate::engine::kind::{Reader, Writer};
use crate::engine::pass::undo::undo;

const LAG: Duration = Duration::from_secs(20);

/// The UID of an object that no watch shows.
const GONE: &str = "uid-of-the-gone";

/// An object in the account whose Kubernetes object is gone.
fn orphaned() -> World {
    let world = world_of(Fake::with(|fake| fake.traits.read_lag = LAG), |settings| {
        settings.operation = seconds(100);
    });
    world.fake.put(seen("id-a", "a", None));
    world
}

impl World {
    /// Undoes the create for the object with this UID. Returns how long that took, and the last line of the log.
    async fn undo(&self, uid: &str) -> (Duration, String) {
        let (log, _kept) = Log::keep();
        let writer = Writer::new(Reader::new(account(), Urgency::Urgent), self.engine.permit().clone());
        let (began, gone) = (Instant::now(), (named("it"), uid.to_owned()));
        undo(self.engine.clone(), self.fake, writer, seen("id-a", "a", None).into(), gone).await;
        (began.elapsed(), log.lines().pop().unwrap())
    }
}

fn refused() -> Error {
    Error::rejected(Reason::ApplyFailed, "it is being provisioned")
}

fn missing() -> Error {
    Error::rejected(Reason::ExternalResourceMissing, "there is no such object")
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_refused_at_first_is_tried_ever_more_rarely_until_it_is_accepted() {
    let world = orphaned();
    (0..6).for_each(|_| world.fake.refuse(refused()));
    let (took, line) = world.undo(GONE).await;
    assert_eq!(world.fake.calls(), ["DELETE id-a"; 7]);
    assert_eq!(took.as_secs(), 1 + 2 + 4 + 8 + 16 + 30);
    assert!(
        line.contains("deleted what was just created: the object is gone") && line.contains("id-a"),
        "{line}"
    );
    assert!(world.fake.got.lock().unwrap().is_empty());
}

/// Only another UID is a new object: the watch may be late, or another replica has bound the object to something else.
#[tokio::test(start_paused = true)]
async fn an_object_that_the_watch_still_shows_does_not_end_the_retries() {
    let world = orphaned();
    world.apply(json!({})).watch();
    (0..3).for_each(|_| world.fake.refuse(refused()));
    let (took, line) = world.undo("uid-it").await;
    assert_eq!(world.fake.calls(), ["DELETE id-a"; 4]);
    assert_eq!(took.as_secs(), 1 + 2 + 4);
    assert!(line.contains("deleted what was just created: the object is gone"), "{line}");
    assert!(world.fake.got.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_gone_only_if_reads_cannot_lag() {
    let world = orphaned();
    (0..10).for_each(|_| world.fake.refuse(missing()));
    let (took, line) = world.undo(GONE).await;
    assert_eq!(took.as_secs(), 1 + 2 + 4 + 8 + 16, "the first time after 20 s");
    assert_eq!(world.fake.calls().len(), 6);
    assert!(line.contains("what was just created is gone, as its object is"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_deleted_is_named_for_a_person() {
    type Happens = fn(&World);
    let cases: [(&str, Happens, usize); 3] = [
        ("it is refused for too long", |_| {}, 8),
        ("the process ends", |world| world.engine.undoing.stop.cancel(), 1),
        (
            "a new object of that name may own it",
            |world| {
                world.apply(json!({})).watch();
            },
            0,
        ),
    ];
    for (case, happens, calls) in cases {
        let world = orphaned();
        (0..20).for_each(|_| world.fake.refuse(refused()));
        happens(&world);
        let (_, line) = world.undo(GONE).await;
        assert_eq!(world.fake.calls().len(), calls, "{case}");
        assert!(line.contains("ERROR") && line.contains("ORPHAN: delete this object"), "{case}: {line}");
        assert!(line.contains("external_id=\"id-a\""), "{case}: {line}");
    }
}
