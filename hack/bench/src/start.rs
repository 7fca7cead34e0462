//! An operator that starts when all objects exist already and none is in the account, as after `kubectl apply` of everything at once.

use world::simulator::Call;
use world::{Error, Result};

use crate::stack::{Place, SPREAD, Setup, Stack};
use crate::table::{Line, Report};

/// Without a limit of calls, so that only the operator itself delays the first create.
pub async fn first_start(place: &Place, n: usize, report: &mut Report) -> Result<()> {
    let mut stack =
        Stack::start(place, Setup { workspaces: SPREAD, objects: n, rate: None, operators: 1 }).await?;
    stack.stop_operators().await?;
    stack.create(0..n).await?;
    stack.wait("created", n, |_| true).await?;
    stack.account.clear_journal();
    let before = stack.sample()?;
    stack.start_operators(&[]).await?;
    stack.wait("Ready", n, |seen| seen.ready).await?;
    let cost = stack.since(&before).await?;
    let delay = first_put_after_list(&stack.account.journal())
        .ok_or_else(|| Error::new("the operator created without a LIST"))?;
    let also = vec![("first PUT after the first LIST, s".to_owned(), delay)];
    let line = stack.line("first start".into(), n, cost);
    report.add(Line { bound_calls: Some(n as u64), also, ..line });
    stack.stop().await
}

/// Seconds from the first LIST of assignments to the first PUT of one.
fn first_put_after_list(journal: &[Call]) -> Option<f64> {
    let first = |method: &str| {
        let is = |call: &&Call| call.method == method && call.path.contains("/permissionassignments");
        journal.iter().find(is).map(|call| call.at_ms)
    };
    Some(first("PUT")?.saturating_sub(first("GET")?) as f64 / 1_000.0)
}
