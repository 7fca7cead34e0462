//! A run can be replayed: the same seed gives the same run, whatever ran before it or runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use campaign::{Case, Starts, Story, operator, run};
use databricks_operator::engine::kind::{Driver, Lifecycle};
use databricks_operator::kinds::KINDS;

/// How often.
const REPLAYS: u64 = 50;

/// What the stories of a kind begin with.
fn starts(driver: &'static dyn Driver) -> Starts {
    Starts::new(driver, operator(&[]))
}

fn case(starts: &Starts, story: Story) -> Case {
    let start = starts.of(story).unwrap();
    Case { story, start, seed: 0, plan: None, known: None, rest: Duration::from_secs(900) }
}

/// A kind without peculiarities.
fn credential() -> Starts {
    starts(KINDS.iter().copied().find(|driver| driver.kind() == "Credential").unwrap())
}

/// The hashes of the traces of these seeds, run on two threads.
fn hashes(case: &Case, seeds: impl Iterator<Item = u64>) -> Vec<u64> {
    let seeds: Vec<u64> = seeds.collect();
    let half = |seeds: &[u64]| -> Vec<u64> {
        seeds.iter().map(|seed| run(&Case { seed: *seed, ..case.clone() }).trace.hash()).collect()
    };
    let (one, other) = seeds.split_at(seeds.len() / 2);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| half(one));
        [half(other), one.join().unwrap()].concat()
    })
}

#[test]
fn a_seed_has_one_trace() {
    for story in [Story::Life, Story::Change, Story::Crowd, Story::Handover] {
        let case = case(&credential(), story);
        // A swarm of faults.
        let case = Case { known: Some(run(&case).known), ..case };
        let found: BTreeSet<u64> = hashes(&case, (0..REPLAYS).map(|_| 100_002)).into_iter().collect();
        assert_eq!(found.len(), 1, "{story:?}");
    }
}

#[test]
fn seeds_have_different_traces() {
    let found: BTreeSet<u64> = hashes(&case(&credential(), Story::Life), 0..20).into_iter().collect();
    assert_eq!(found.len(), 20);
}

/// No kind stays out of a story because its sample could not be varied.
#[test]
fn stories_of_several_objects_fit_each_kind_that_can_have_them() {
    for driver in KINDS {
        let (kind, traits, starts) = (driver.kind(), driver.traits(), starts(*driver));
        // A workspace has one metastore, and one dashboard of each of two types.
        let few = ["MetastoreAssignment", "UsageDashboard"].contains(&&*kind);
        let distinct = traits.lifecycle != Lifecycle::Standing && !traits.are_secrets() && !few;
        assert_eq!(starts.fit(Story::Crowd), distinct, "{kind} can be distinct");
        let (fits, start) = (starts.fit(Story::Chain), starts.of(Story::Chain));
        // One that refers to nothing may have a parent that only the account knows.
        assert!(start.is_ok() || !fits, "{kind}: {:?}", start.err());
        let all = start.iter().flat_map(|start| start.kinds.iter());
        let kinds: BTreeSet<String> = all.map(|kind| kind.kind().into_owned()).collect();
        assert_eq!(fits, kinds.len() > 1, "{kind}: {kinds:?}");
        if kind == "PermissionAssignment" {
            let wanted = ["Credential", "PermissionAssignment", "StorageConfiguration", "Workspace"];
            assert!(kinds.iter().eq(wanted), "{kinds:?}");
        }
    }
}

/// Each kind takes part by being in the table of kinds.
#[test]
fn without_faults_every_story_of_every_kind_goes_as_it_must() {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let work = || {
        while let Some(driver) = KINDS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let starts = starts(*driver);
            for story in Story::ALL.into_iter().filter(|story| starts.fit(*story)) {
                let violations = run(&case(&starts, story)).violations;
                if !violations.is_empty() {
                    wrong.lock().unwrap().push(format!("{} {story:?}: {violations:?}", driver.kind()));
                }
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
