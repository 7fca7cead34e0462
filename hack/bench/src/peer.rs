//! Assignments at the rate with which Databricks' Terraform provider was measured: it limits itself to 15 requests/s, too.
//!
//! The other tool is not run here: its figures were recorded once, on the same simulated account.

use world::Result;

use crate::stack::{Place, RATE, SPREAD, Setup, Stack};
use crate::steps;
use crate::table::{Line, Recorded, Report};

/// So many objects the recorded figures are about.
const RECORDED: usize = 1_000;
const CREATE: Recorded = Recorded { seconds: 134.3, calls: 2_000 };
const REFRESH: Recorded = Recorded { seconds: 77.5, calls: 1_000 };
const CHANGE: Recorded = Recorded { seconds: 90.7, calls: 1_300 };
const DELETE: Recorded = Recorded { seconds: 143.1, calls: 2_000 };

/// All in one workspace.
pub async fn peer(place: &Place, n: usize, report: &mut Report) -> Result<()> {
    let setup = Setup { workspaces: 1, objects: n, rate: Some(RATE), operators: 1 };
    let mut stack = Stack::start(place, setup).await?;
    let beside = |line: Line, recorded| Line { terraform: (n == RECORDED).then_some(recorded), ..line };
    let line = steps::create(&mut stack, "peer: create".into(), 0..n).await?;
    report.add(beside(line, CREATE));
    let line = steps::change(&mut stack, "peer: USER to ADMIN".into(), n / 10).await?;
    report.add(beside(line, CHANGE));
    report.add(steps::request(&mut stack, "peer: each requested".into()).await?);
    let line = steps::resync(&mut stack, "peer: refresh, 2 intervals".into()).await?;
    report.add(beside(line, REFRESH));
    stack.stop_operators().await?;
    stack.start_operators(&[]).await?;
    stack.quiet().await?;
    let line = steps::delete(&mut stack, "peer: delete".into()).await?;
    report.add(beside(line, DELETE));
    stack.stop().await
}

/// In 20 workspaces.
pub async fn spread(place: &Place, n: usize, report: &mut Report) -> Result<()> {
    let setup = Setup { workspaces: SPREAD, objects: n, rate: Some(RATE), operators: 1 };
    let mut stack = Stack::start(place, setup).await?;
    report.add(steps::create(&mut stack, "spread: create".into(), 0..n).await?);
    report.add(steps::delete(&mut stack, "spread: delete".into()).await?);
    stack.stop().await
}
