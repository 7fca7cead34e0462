//! How long a change or a deletion of a bound object waits while many new objects are created at a limited rate.

use std::time::{Duration, Instant};

use world::simulator::Call;
use world::{Error, Result, eventually};

use crate::stack::{Place, RATE, Setup, Stack};
use crate::table::{Line, Report};

/// Time between two changes: all are sent in the first half of the time that the creates need.
const PACE: Duration = Duration::from_millis(300);
/// The creates end before that, and with them every wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A change that the account has to see.
struct Change {
    method: &'static str,
    /// The end of the path.
    path: String,
    /// When the API server had accepted it, on the account's clock.
    accepted_ms: u64,
}

/// A tenth as many bound objects as there are creates: half of them are changed, half deleted.
pub async fn backlog(place: &Place, n: usize, report: &mut Report) -> Result<()> {
    let bound = n / 10;
    let setup = Setup { workspaces: 1, objects: bound + n, rate: Some(RATE), operators: 1 };
    let mut stack = Stack::start(place, setup).await?;
    stack.create(0..bound).await?;
    stack.wait("Ready", bound, |seen| seen.ready).await?;
    stack.quiet().await?;
    stack.account.clear_journal();
    let before = stack.sample()?;
    stack.create(bound..bound + n).await?;
    let changes = change(&stack, bound).await?;
    // Those of the changes are among them.
    if stack.account.calls("PUT", "*") >= n {
        return Err(Error::new("all creates were sent before the last change: measure with a larger --n"));
    }
    let waits = eventually("all changes are in the account", LONGEST, async || {
        let journal = stack.account.journal();
        let waits: Vec<Option<f64>> = changes.iter().map(|change| change.wait(&journal)).collect();
        let seen = waits.iter().flatten().count();
        if seen == waits.len() {
            Ok(waits.into_iter().flatten().collect::<Vec<f64>>())
        } else {
            Err(format!("{seen} of {} are", waits.len()))
        }
    })
    .await?;
    let cost = stack.sample()?.since(&before, Instant::now());
    let of = |method: &str| {
        let both = changes.iter().zip(&waits).filter(|(change, _)| change.method == method);
        both.map(|(_, wait)| *wait).collect::<Vec<f64>>()
    };
    let also = [quantiles("change", of("PUT")), quantiles("deletion", of("DELETE"))].concat();
    let line = stack.line("backlog: change and delete".into(), changes.len(), cost);
    report.add(Line { also, ..line });
    stack.stop().await
}

/// Changes and deletes the first objects by turns.
async fn change(stack: &Stack, bound: usize) -> Result<Vec<Change>> {
    let mut pace = tokio::time::interval(PACE);
    let mut changes = vec![];
    for n in 0..bound {
        pace.tick().await;
        let method = if n % 2 == 0 {
            stack.permit(n..n + 1, "ADMIN").await?;
            "PUT"
        } else {
            stack.delete(n..n + 1).await?;
            "DELETE"
        };
        changes.push(Change { method, path: stack.path(n), accepted_ms: stack.account.now_ms() });
    }
    Ok(changes)
}

impl Change {
    /// Seconds until the call that carried it out, once there is one.
    fn wait(&self, journal: &[Call]) -> Option<f64> {
        let is = |call: &&Call| call.method == self.method && call.path.ends_with(&self.path) && call.applied;
        let call = journal.iter().find(is)?;
        Some(call.at_ms.saturating_sub(self.accepted_ms) as f64 / 1_000.0)
    }
}

/// The figures that the table shows of many waits.
fn quantiles(what: &str, mut waits: Vec<f64>) -> Vec<(String, f64)> {
    waits.sort_by(f64::total_cmp);
    let of = |name: &str, per_cent| Some((format!("{what} {name}, s"), percentile(&waits, per_cent)?));
    [of("p50", 50), of("p99", 99), of("max", 100)].into_iter().flatten().collect()
}

/// The smallest value that so many per cent of the values do not exceed.
fn percentile(sorted: &[f64], per_cent: usize) -> Option<f64> {
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(25.0));
        assert_eq!(percentile(&values, 99), Some(50.0));
        assert_eq!(percentile(&values, 100), Some(50.0));
        assert_eq!(percentile(&[7.0], 50), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_figures_of_no_change_are_left_out() {
        let shown = quantiles("change", vec![3.0, 1.0, 2.0]);
        let expected = [("change p50, s", 2.0), ("change p99, s", 3.0), ("change max, s", 3.0)];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value)));
        assert!(quantiles("change", vec![]).is_empty());
    }
}
