//! What several scenarios do with a stack: each is a line of the table.

use std::ops::Range;
use std::time::{Duration, Instant};

use world::{Error, Result};

use crate::count::Difference;
use crate::stack::Stack;
use crate::table::Line;

/// The resync interval while nothing changes: as long as reads of one burst share a LIST.
const INTERVAL: Duration = Duration::from_secs(30);
/// So many intervals are measured.
const INTERVALS: u32 = 2;
/// What is written in the annotation that requests a reconcile.
const TOKEN: &str = "bench";

/// Creates objects beside those that exist, until all are Ready. Bound: a call each.
pub async fn create(stack: &mut Stack, step: String, numbers: Range<usize>) -> Result<Line> {
    let (count, all) = (numbers.len(), numbers.end);
    let before = stack.sample()?;
    stack.create(numbers).await?;
    stack.wait("Ready", all, |seen| seen.ready).await?;
    let cost = stack.since(&before).await?;
    Ok(each_a_call(stack, step, count, cost))
}

/// Changes the permission of the first objects. Bound: a call each.
pub async fn change(stack: &mut Stack, step: String, count: usize) -> Result<Line> {
    let before = stack.sample()?;
    stack.permit(0..count, "ADMIN").await?;
    stack.wait("Ready after the change", count, |seen| seen.ready && seen.generation > 1).await?;
    let cost = stack.since(&before).await?;
    Ok(each_a_call(stack, step, count, cost))
}

/// Requests a reconcile of each object. Bound: a LIST for each workspace.
pub async fn request(stack: &mut Stack, step: String) -> Result<Line> {
    let count = stack.objects();
    let before = stack.sample()?;
    stack.request(0..count, TOKEN).await?;
    stack.wait("reconciled on request", count, |seen| seen.handled.as_deref() == Some(TOKEN)).await?;
    let cost = stack.since(&before).await?;
    Ok(a_list_for_each_workspace(stack, step, count, cost))
}

/// Deletes all objects. Bound: a call each.
pub async fn delete(stack: &mut Stack, step: String) -> Result<Line> {
    let count = stack.objects();
    let before = stack.sample()?;
    stack.delete(0..count).await?;
    stack.wait("left", 0, |_| true).await?;
    let cost = stack.since(&before).await?;
    Ok(each_a_call(stack, step, count, cost))
}

/// Starts the operator again, until it has compared all objects. Bound: a LIST for each workspace.
pub async fn restart(stack: &mut Stack, step: String) -> Result<Line> {
    let count = stack.objects();
    stack.stop_operators().await?;
    let before = stack.sample()?;
    stack.start_operators(&[]).await?;
    let cost = stack.since_until_quiet(&before).await?;
    all_compared(&cost, count)?;
    Ok(a_list_for_each_workspace(stack, step, count, cost))
}

/// Changes nothing for two resync intervals, which are shorter than usual. Bound: a LIST for each workspace and interval. The
/// operator keeps this interval until the next start.
pub async fn resync(stack: &mut Stack, step: String) -> Result<Line> {
    let count = stack.objects();
    stack.stop_operators().await?;
    let interval = format!("{}s", INTERVAL.as_secs());
    stack.start_operators(&[("resync-interval", &*interval)]).await?;
    // What the start sends is not measured.
    stack.quiet().await?;
    let before = stack.sample()?;
    // Not in place of a condition: this is the time that is measured.
    tokio::time::sleep(INTERVAL * INTERVALS).await;
    let cost = stack.sample()?.since(&before, Instant::now());
    all_compared(&cost, count)?;
    let bound = stack.parents() as u64 * u64::from(INTERVALS);
    Ok(Line { bound_calls: Some(bound), ..stack.line(step, count, cost) })
}

fn each_a_call(stack: &Stack, step: String, count: usize, cost: Difference) -> Line {
    let bound_seconds = stack.seconds(count);
    Line { bound_calls: Some(count as u64), bound_seconds, ..stack.line(step, count, cost) }
}

fn a_list_for_each_workspace(stack: &Stack, step: String, count: usize, cost: Difference) -> Line {
    Line { bound_calls: Some(stack.parents() as u64), ..stack.line(step, count, cost) }
}

/// A figure of objects that were not all compared would be too good.
fn all_compared(cost: &Difference, count: usize) -> Result<()> {
    let reconciles = cost.reconciles;
    if reconciles >= count as u64 {
        return Ok(());
    }
    Err(Error::new(format_args!("the operator compared only {reconciles} of {count} objects")))
}
