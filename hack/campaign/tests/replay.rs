//! A run can be replayed: the same seed gives the same run, whatever ran before it or runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use campaign::{Case, operator, run};
use databricks_operator::kinds::KINDS;

/// How often.
const REPLAYS: u64 = 50;

fn case(kind: &str) -> Case {
    let driver = KINDS.iter().copied().find(|driver| driver.kind() == kind).unwrap();
    Case { driver, operator: operator(&[]), seed: 0, calls: None, end: None, quiet_hours: 1 }
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
    let case = case("Credential");
    let calls = Some(run(&case).busy());
    // A swarm of faults.
    let case = Case { calls, ..case };
    let found: BTreeSet<u64> = hashes(&case, (0..REPLAYS).map(|_| 100_002)).into_iter().collect();
    assert_eq!(found.len(), 1);
}

#[test]
fn seeds_have_different_traces() {
    let found: BTreeSet<u64> = hashes(&case("Credential"), 0..20).into_iter().collect();
    assert_eq!(found.len(), 20);
}

/// Each kind takes part by being in the table of kinds.
#[test]
fn without_faults_every_kind_lives_as_it_must() {
    for driver in KINDS {
        let outcome = run(&case(&driver.kind()));
        assert!(outcome.violations.is_empty(), "{}: {:?}", driver.kind(), outcome.violations);
    }
}
