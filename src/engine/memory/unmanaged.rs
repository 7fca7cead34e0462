//! The counts of what no Kubernetes object names, one for each DatabricksAuth that asks for them: when the next one is due, whether one
//! runs, and what the last one resulted in. It counts nothing itself, and calls nothing.
//!
//! A count waits for the rate limit, and a large account has many pages. So it runs beside the reconciles of the DatabricksAuth, which must
//! use a changed Secret at once; it triggers one when its totals are news.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::engine::crd::ObjectName;

/// What a count resulted in, by kind: how many, or why that is not known.
pub type Totals = BTreeMap<String, Result<i64, String>>;

/// What a DatabricksAuth asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The account.
    pub account_id: String,
    /// The kinds.
    pub kinds: BTreeSet<String>,
}

/// The counts of all DatabricksAuths.
#[derive(Debug, Default)]
pub struct UnmanagedCounts(Mutex<HashMap<ObjectName, Count>>);

#[derive(Debug)]
struct Count {
    report: Report,
    begun: Instant,
    task: AbortHandle,
    /// Those of the last count that ended.
    totals: Option<Totals>,
}

impl Count {
    fn is_due(&self, interval: Option<Duration>, requested: Option<Instant>, now: Instant) -> bool {
        let over = interval.is_some_and(|interval| now.duration_since(self.begun) >= interval);
        requested.is_some_and(|at| at > self.begun) || (over && self.task.is_finished())
    }
}

impl UnmanagedCounts {
    /// Begins a count if one is due: there was none of this report, the last one began an `interval` ago and has ended, or it began
    /// before a reconcile was `requested`. `begin` gets the time at which the count begins, which [`UnmanagedCounts::end`] needs.
    pub fn begin_if_due(
        &self,
        who: &ObjectName,
        report: &Report,
        interval: Option<Duration>,
        requested: Option<Instant>,
        begin: impl FnOnce(Instant) -> AbortHandle,
    ) {
        let (mut all, now) = (self.all(), Instant::now());
        let same = all.get(who).filter(|count| count.report == *report);
        if same.is_some_and(|count| !count.is_due(interval, requested, now)) {
            return;
        }
        let totals = same.and_then(|count| count.totals.clone());
        let count = Count { report: report.clone(), begun: now, task: begin(now), totals };
        if let Some(former) = all.insert(who.clone(), count) {
            former.task.abort();
        }
    }

    /// A count has ended. Returns whether its totals are news.
    pub fn end(&self, who: &ObjectName, begun: Instant, totals: Totals) -> bool {
        let mut all = self.all();
        let Some(count) = all.get_mut(who).filter(|count| count.begun == begun) else { return false };
        let news = count.totals.as_ref() != Some(&totals);
        count.totals = Some(totals);
        news
    }

    /// The totals of the last count that ended.
    pub fn totals(&self, who: &ObjectName) -> Option<Totals> {
        self.all().get(who)?.totals.clone()
    }

    /// How long until the next count is due; one that runs is as good as new.
    pub fn next_due(&self, who: &ObjectName, interval: Option<Duration>) -> Option<Duration> {
        let (all, interval) = (self.all(), interval?);
        let ended = all.get(who).filter(|count| count.task.is_finished());
        Some(ended.map_or(interval, |count| interval.saturating_sub(count.begun.elapsed())))
    }

    /// Stops to count for a DatabricksAuth.
    pub fn forget(&self, who: &ObjectName) {
        if let Some(count) = self.all().remove(who) {
            count.task.abort();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectName, Count>> {
        self.0.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn auth() -> ObjectName {
        ObjectName { kind: "DatabricksAuth".into(), namespace: "ns".into(), name: "account".into() }
    }

    fn report(kind: &str) -> Report {
        Report { account_id: "a".into(), kinds: BTreeSet::from([kind.to_owned()]) }
    }

    fn totals(count: i64) -> Totals {
        Totals::from([("Group".to_owned(), Ok(count))])
    }

    /// Begins a count that never ends by itself; returns when it began, if it did.
    fn begin(counts: &UnmanagedCounts, report: &Report, requested: Option<Instant>) -> Option<Instant> {
        let mut began = None;
        counts.begin_if_due(&auth(), report, Some(HOUR), requested, |now| {
            began = Some(now);
            tokio::spawn(std::future::pending::<()>()).abort_handle()
        });
        began
    }

    /// Ends the task of the count.
    async fn finish(counts: &UnmanagedCounts) {
        counts.all()[&auth()].task.abort();
        tokio::task::yield_now().await;
        assert!(counts.all()[&auth()].task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_due_once_an_interval_on_request_and_for_another_report() {
        let (counts, groups) = (UnmanagedCounts::default(), report("Group"));
        assert!(begin(&counts, &groups, None).is_some(), "the first one");
        assert_eq!(begin(&counts, &groups, None), None);
        advance(HOUR).await;
        assert_eq!(begin(&counts, &groups, None), None, "it still runs");
        assert_eq!(counts.next_due(&auth(), Some(HOUR)), Some(HOUR), "so it is asked for an hour later");
        finish(&counts).await;
        assert_eq!(counts.next_due(&auth(), Some(HOUR)), Some(Duration::ZERO));
        assert!(begin(&counts, &groups, None).is_some(), "after an interval");
        advance(HOUR / 2).await;
        finish(&counts).await;
        assert_eq!(counts.next_due(&auth(), Some(HOUR)), Some(HOUR / 2));
        assert_eq!(counts.next_due(&auth(), None), None, "never");
        let requested = Some(Instant::now());
        assert!(begin(&counts, &groups, requested).is_some());
        assert_eq!(begin(&counts, &groups, requested), None, "once");
        advance(HOUR / 2).await;
        assert!(begin(&counts, &groups, Some(Instant::now())).is_some(), "though one runs");
        assert!(begin(&counts, &report("User"), None).is_some(), "another report");
    }

    #[tokio::test(start_paused = true)]
    async fn only_other_totals_are_news() {
        let (counts, groups) = (UnmanagedCounts::default(), report("Group"));
        let first = begin(&counts, &groups, None).unwrap();
        assert_eq!(counts.totals(&auth()), None);
        assert!(counts.end(&auth(), first, totals(1)));
        advance(HOUR).await;
        finish(&counts).await;
        let second = begin(&counts, &groups, None).unwrap();
        assert!(!counts.end(&auth(), first, totals(3)), "one that another has replaced");
        assert_eq!(counts.totals(&auth()), Some(totals(1)), "those of the last one that ended");
        assert!(!counts.end(&auth(), second, totals(1)));
        assert!(counts.end(&auth(), second, totals(2)));
        begin(&counts, &report("User"), None);
        assert_eq!(counts.totals(&auth()), None, "of another report");
        counts.forget(&auth());
        assert_eq!(begin(&counts, &groups, None).map(|_| counts.totals(&auth())), Some(None));
    }
}
