//! Many objects without a limit of calls: what one object costs, and whether it costs more where there are more.

use world::Result;

use crate::stack::{Place, SPREAD, Setup, Stack};
use crate::steps;
use crate::table::{Report, thousands};

/// Creates objects up to each of these numbers, and does the rest with all of them.
pub async fn scale(place: &Place, sizes: &[usize], report: &mut Report) -> Result<()> {
    let most = sizes.last().copied().unwrap_or_default();
    let mut stack =
        Stack::start(place, Setup { workspaces: SPREAD, objects: most, rate: None, operators: 1 }).await?;
    let mut first = 0;
    for size in sizes {
        let step = format!("scale: create up to {}", thousands(*size as u64));
        report.add(steps::create(&mut stack, step, first..*size).await?);
        first = *size;
    }
    let of = |what: &str| format!("scale: {what} {}", thousands(most as u64));
    report.add(steps::restart(&mut stack, of("restart with")).await?);
    report.add(steps::resync(&mut stack, of("resync of")).await?);
    report.add(steps::delete(&mut stack, of("delete")).await?);
    stack.stop().await
}
