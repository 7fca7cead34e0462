//! Two operators that divide the objects of one account, each with half of the rate of calls: what they need together, and how long
//! they take for what one operator would do at the whole rate.

use world::Result;

use crate::stack::{Place, SPREAD, Setup, Stack};
use crate::steps;
use crate::table::{Report, thousands};

/// Calls per second of both together. Fewer than this machine can do, so that the rate decides.
const RATE: u32 = 30;
const OPERATORS: u32 = 2;

/// So many objects for each operator.
pub async fn shards(place: &Place, each: usize, report: &mut Report) -> Result<()> {
    let n = each * OPERATORS as usize;
    let setup = Setup { workspaces: SPREAD, objects: n, rate: Some(RATE), operators: OPERATORS };
    let mut stack = Stack::start(place, setup).await?;
    let of = |what: &str| format!("shards: {what} {OPERATORS} × {}", thousands(each as u64));
    report.add(steps::create(&mut stack, of("create"), 0..n).await?);
    report.add(steps::restart(&mut stack, of("restart with")).await?);
    report.add(steps::resync(&mut stack, of("resync of")).await?);
    stack.stop().await
}
