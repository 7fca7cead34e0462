//! LC-01: one object in the account for each Kubernetes object, wherever the operator crashes.
//!
//! Each managed kind goes through its life once without a fault, which tells all calls that the operator makes to the
//! account and all its writes to the API server. Then it lives again for each of these calls twice: the operator, a real
//! process, is killed before the call has its effect, and after, before it has the answer. After a restart all must end as
//! without the crash, and at no moment may there be two objects. A user who changes the spec while the operator is down
//! makes a case of its own as long as the object is being made: what was made is then no longer what is wanted.
//!
//! A secret that comes once with its object may be lost on the way: then the operator says so, and a person starts over.
//!
//! One kind of each lifecycle takes part, the first in `KINDS`, one whose objects are secrets, and one whose objects have one: this shows
//! that a real process, a real API server and real sockets behave as those of `hack/campaign`, where all kinds take part and far more goes wrong.
//! `KIND=all cargo test --test crash` is the campaign of all kinds, `KIND=IpAccessList,Credential` of these, and
//! `CRASH="create: after account POST"` repeats only the kills whose names have this text.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

#[path = "../account/connect.rs"]
mod connect;
#[path = "../account/edits.rs"]
mod edits;
mod gate;
#[path = "../stories/invariants.rs"]
mod invariants;
mod life;
mod outside;
#[path = "../account/referents.rs"]
mod referents;
#[path = "../account/samples.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod samples;
#[allow(dead_code, reason = "the stories need more of it")]
#[path = "../stories/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use databricks_operator::engine::kind::{Driver, Issues};
use databricks_operator::kinds::KINDS;
use futures::{FutureExt, StreamExt};
use gate::Kill;
use life::{Subject, live};

/// The kinds that `KIND` names, separated by commas; without it one of each lifecycle.
fn kinds() -> Vec<&'static dyn Driver> {
    let Ok(only) = std::env::var("KIND") else {
        let mut known = BTreeSet::new();
        return KINDS.iter().copied().filter(|driver| known.insert(lifecycle(*driver))).collect();
    };
    if only == "all" {
        return KINDS.to_vec();
    }
    let known = |name: &str| KINDS.iter().copied().find(|driver| driver.kind() == name);
    let all = || KINDS.iter().map(|driver| driver.kind().into_owned()).collect::<Vec<_>>().join(", ");
    let found = only.split(',').map(|name| {
        known(name).unwrap_or_else(|| panic!("KIND: there is no kind {name:?}; the kinds are {}", all()))
    });
    found.collect()
}

/// What differs most in what the engine does around a call. The campaign in memory crashes in all kinds, at far more calls.
fn lifecycle(driver: &dyn Driver) -> String {
    let traits = driver.traits();
    format!("{:?} {}", traits.lifecycle, traits.are_secrets())
}

/// What lives: the sample of each kind, and an object that has a secret.
fn subjects() -> Vec<Subject> {
    let all = kinds();
    let with_secret = KINDS.iter().find(|driver| driver.traits().issues == Issues::WithSecret);
    let named = |driver: &dyn Driver| all.iter().any(|other| other.kind() == driver.kind());
    let with_secret = with_secret.filter(|driver| std::env::var("KIND").is_err() || named(**driver));
    let with_secret = with_secret.map(|driver| Subject::with_secret(*driver));
    all.iter().map(|driver| Subject::sample(*driver)).chain(with_secret).collect()
}

/// Lives side by side. They wait more than they work.
const AT_ONCE: usize = 16;

/// Covers LC-01, LC-30, LC-32.
///
/// Wherever the operator is killed, there is one object in the account while the Kubernetes object is there, and none after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_call_leaves_one_object_and_after_the_deletion_none() {
    let began = std::time::Instant::now();
    support::cluster();
    let faultless = subjects().into_iter().map(async |mut subject| {
        subject.told = Some(live(Arc::new(subject.clone()), None).await);
        Arc::new(subject)
    });
    let mut kills = vec![];
    for subject in futures::future::join_all(faultless).await {
        for point in subject.points() {
            for (after, edited) in [(false, false), (true, false), (false, true), (true, true)] {
                let created = point.phase == "create";
                // All else is that of the sample without a secret.
                if subject.has_secret() && (edited || !created) {
                    continue;
                }
                if !edited || (created && subject.changes()) {
                    kills.push((subject.clone(), Kill { point: point.clone(), after, edited }));
                }
            }
        }
    }
    let only = std::env::var("CRASH").unwrap_or_default();
    kills.retain(|(_, kill)| kill.to_string().contains(&only));
    let mut counts = BTreeMap::new();
    for (subject, kill) in &kills {
        *counts.entry(format!("{} {}", subject.kind, kill.point.phase)).or_insert(0) += 1;
    }
    let total = kills.len();
    let lives = futures::stream::iter(kills).map(async |(subject, kill)| {
        let name = format!("{} {kill}", subject.kind);
        AssertUnwindSafe(live(subject, Some(kill))).catch_unwind().await.err().map(|_| name)
    });
    let violations: Vec<String> =
        lives.buffer_unordered(AT_ONCE).filter_map(futures::future::ready).collect().await;
    // Past the test's capture: the figure is worth a line in every log.
    let seconds = began.elapsed().as_secs();
    let mut err = std::io::stderr();
    for (what, count) in counts {
        writeln!(err, "LC-01: {what}: {count} kills").unwrap();
    }
    writeln!(err, "LC-01: {total} kills, {} violations, {seconds} s", violations.len()).unwrap();
    assert!(total > 0, "no kill has a name with {only:?}");
    assert!(violations.is_empty(), "each is explained above:\n{}", violations.join("\n"));
}
