//! Runs that once went wrong, with the faults that it took. A campaign draws them from a seed, whose meaning changes with the stories;
//! these stay. `make campaign` with a seed prints the line to add here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use campaign::{Case, Plan, Starts, Story, operator, run};
use databricks_operator::kinds::KINDS;

/// Kind, story, seed, faults.
const KEPT: &[(&str, &str, u64, &str)] = &[
    // The first sign-in was sent again before the account had asked for it, as each attempt had a new client.
    ("Credential", "Life", 0, "call 9: 429 (Retry-After: 600) without effect"),
    ("IpAccessList", "Life", 0, "call 9: 429 (Retry-After: 600) without effect"),
    ("Workspace", "Life", 0, "call 9: 429 (Retry-After: 600) without effect"),
    // What the account had asked to delay was sent at once with the new secret.
    ("Credential", "Rotate", 0, "call 8: 429 (Retry-After: 600) without effect"),
    ("Credential", "Rotate", 0, "call 9: 429 (Retry-After: 600) without effect"),
    ("Group", "Rotate", 0, "call 9: 429 (Retry-After: 600) without effect"),
    // A change was in doubt, and its spec was changed back: Synced was True by what had been read before the change.
    ("EsmEnablementSetting", "Life", 0, "call 22: response lost"),
    ("EsmEnablementSetting", "Life", 0, "call 32: response lost"),
    // A list that was not shown yet counted as gone by a clock that was set forwards.
    ("IpAccessList", "Life", 111, "call 36: clock set by +1 h"),
    ("IpAccessList", "Life", 155, "call 33: clock set by +24 h"),
    ("IpAccessList", "Life", 201, "call 22: clock set by +1 h"),
    // What was lost was missed for as long as the clock was set back.
    ("Credential", "Loss", 0, "call 10: clock set by -24 h"),
    ("WorkspaceIpAccessList", "Loss", 0, "call 2: clock set by -24 h"),
    // An assignment was believed without a read, and one that another user had made was taken for our own.
    ("MetastoreAssignment", "Create", 0, "call 17: empty body without effect"),
    ("MetastoreAssignment", "Foreign", 0, "call 19: response about another object"),
    // One read that showed another metastore counted as a deletion, although none was sent.
    ("MetastoreAssignment", "Delete", 0, "call 11: response about another object"),
    // A change was sent again each 20 ms, from a stale view of the Kubernetes object: its status could not be written.
    (
        "IpAccessList",
        "Change",
        95,
        "call 8: 429 (Retry-After: soon) without effect; call 16: next event lost, the watch is silent; call 20: 502 as a page after its \
         effect; call 21: unreachable",
    ),
    // A LIST that began at the instant of the response counted as older than the deletion.
    ("MetastoreAssignment", "Delete", 0, "call 12: empty body without effect"),
];

#[test]
fn what_once_went_wrong_goes_as_it_must() {
    let mut wrong = vec![];
    for kept in KEPT {
        let (kind, story, seed, plan) = *kept;
        let driver = KINDS.iter().copied().find(|driver| driver.kind() == kind).unwrap();
        let story = Story::ALL.iter().copied().find(|known| format!("{known:?}") == story).unwrap();
        let start = Starts::new(driver, operator(&[])).of(story).unwrap();
        let case = Case { story, start, seed, plan: None, known: None, rest: Duration::from_secs(900) };
        let plan: Plan = plan.parse().unwrap();
        let faults = plan.strikes.len();
        let outcome = run(&Case { plan: Some(plan), known: Some(run(&case.faultless()).known), ..case });
        if !outcome.violations.is_empty() {
            wrong.push(format!("{kept:?}: {:?}", outcome.violations));
        }
        if outcome.trace.strikes() != faults {
            wrong.push(format!("{kept:?}: the calls have other numbers now, and a fault strikes nothing"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
