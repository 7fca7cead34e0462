//! A run can be replayed: the same seed gives the same run, whatever ran before it or runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use campaign::{Case, run};
use databricks_operator::kinds::KINDS;

/// How often, and of how many seeds.
const REPLAYS: u64 = 50;

fn case(kind: &str) -> Case {
    let driver = KINDS.iter().copied().find(|driver| driver.kind() == kind).unwrap();
    Case { driver, seed: 0, calls: None, end: None, quiet_hours: 1 }
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
    for kind in ["Group", "Credential"] {
        let case = case(kind);
        let calls = Some(run(&case).busy());
        // A pair of faults or more, a crash among them sooner or later.
        for seed in [3, 100_001, 100_002, 100_003] {
            let found: BTreeSet<u64> =
                hashes(&Case { calls: calls.clone(), ..case.clone() }, (0..REPLAYS).map(|_| seed))
                    .into_iter()
                    .collect();
            assert_eq!(found.len(), 1, "{kind}, seed {seed}");
        }
    }
}

#[test]
fn seeds_have_different_traces() {
    let found: BTreeSet<u64> = hashes(&case("Credential"), 0..REPLAYS).into_iter().collect();
    assert_eq!(found.len() as u64, REPLAYS);
}
