//! A run can be replayed: the same seed gives the same run, whatever ran before it or runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use campaign::{Begins, Case, Start, Story, operator, run};
use databricks_operator::kinds::KINDS;

/// How often.
const REPLAYS: u64 = 50;

fn case(kind: &str, story: Story) -> Case {
    let driver = KINDS.iter().copied().find(|driver| driver.kind() == kind).unwrap();
    let bare = Arc::new(Start::bare(driver, operator(&[])).unwrap());
    let start = match story.begins() {
        Begins::Bare => bare,
        Begins::Present => Arc::new(bare.present().unwrap()),
        Begins::Settled => Arc::new(bare.settled().unwrap()),
    };
    Case { story, start, seed: 0, faults: true, known: None, rest: Duration::from_secs(1800) }
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
    for story in [Story::Life, Story::Change] {
        let case = case("Credential", story);
        // A swarm of faults.
        let case = Case { known: Some(run(&case).known), ..case };
        let found: BTreeSet<u64> = hashes(&case, (0..REPLAYS).map(|_| 100_002)).into_iter().collect();
        assert_eq!(found.len(), 1, "{story:?}");
    }
}

#[test]
fn seeds_have_different_traces() {
    let found: BTreeSet<u64> = hashes(&case("Credential", Story::Life), 0..20).into_iter().collect();
    assert_eq!(found.len(), 20);
}

/// Each kind takes part by being in the table of kinds.
#[test]
fn without_faults_every_story_of_every_kind_goes_as_it_must() {
    let mut wrong = vec![];
    for driver in KINDS {
        for story in Story::ALL.into_iter().filter(|story| story.fits(*driver)) {
            let outcome = run(&case(&driver.kind(), story));
            wrong
                .extend((!outcome.violations.is_empty()).then(|| (driver.kind(), story, outcome.violations)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
