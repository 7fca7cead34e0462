//! An example of `config/examples`, applied and deleted in many orders, without faults. A campaign draws the order of each run, with
//! faults.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use campaign::{Case, Outcome, Plan, Starts, Story, What, operator, run};
use databricks_operator::kinds::KINDS;

/// So many orders are tried: of any two objects each is the first one in some of them, when they are created and when they are deleted.
const ORDERS: u64 = 24;

/// In which order users did this to the objects.
fn order(outcome: &Outcome, what: &str) -> Vec<String> {
    let lines = outcome.trace.lines();
    let objects = lines.iter().filter_map(|line| match &line.what {
        What::Note(text) => text.strip_prefix(what).map(str::to_owned),
        What::Call { .. } => None,
    });
    objects.collect()
}

/// Covers GO-08, GO-09. With so many objects not all orders can be tried, but all of any two.
#[test]
fn an_example_comes_and_goes_in_any_order_of_any_two_of_its_objects() {
    let driver = KINDS.iter().copied().find(|driver| driver.kind() == campaign::example::KIND).unwrap();
    let (story, start) = (Story::Example, Starts::new(driver, operator(&[])).of(Story::Example).unwrap());
    let (plan, rest) = (Some(Plan::default()), Duration::from_secs(900));
    let case = Case { story, start, seed: 0, plan, known: None, rest };
    let first = run(&case);
    assert!(first.violations.is_empty(), "{:#?}", first.violations);
    let case = Case { known: Some(first.known), ..case };

    let (next, outcomes) = (AtomicU64::new(0), Mutex::new(vec![]));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < ORDERS) {
            let outcome = run(&Case { seed, ..case.clone() });
            outcomes.lock().unwrap().push((seed, outcome));
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let outcomes = outcomes.into_inner().unwrap();

    for (seed, outcome) in &outcomes {
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
    }
    for what in ["a user creates ", "a user deletes "] {
        let (mut objects, mut pairs) = (BTreeSet::new(), BTreeSet::new());
        for (_, outcome) in &outcomes {
            let order = order(outcome, what);
            objects.extend(order.iter().cloned());
            for (at, first) in order.iter().enumerate() {
                pairs.extend(order[at + 1..].iter().map(|second| (first.clone(), second.clone())));
            }
        }
        let all = objects.len() * (objects.len() - 1);
        println!("{what}one of {} objects before another: {} of {all} pairs", objects.len(), pairs.len());
        assert!(objects.len() > 10, "{objects:?}");
        assert_eq!(pairs.len(), all, "add to ORDERS");
    }
}
