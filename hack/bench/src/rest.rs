//! Nothing changes: what the operator does for objects that match the account.

use world::Result;

use crate::stack::{Place, SPREAD, Setup, Stack};
use crate::steps;
use crate::table::Report;

/// Two short resync intervals, in place of the hours between two changes.
pub async fn at_rest(place: &Place, n: usize, report: &mut Report) -> Result<()> {
    let mut stack =
        Stack::start(place, Setup { workspaces: SPREAD, objects: n, rate: None, operators: 1 }).await?;
    steps::create(&mut stack, String::new(), 0..n).await?;
    report.add(steps::resync(&mut stack, "rest: 2 intervals".into()).await?);
    stack.stop().await
}
