//! A create whose result is not known: when it is searched for, and what proves that an object is its result.
//!
//! The proof is our mark, where the kind has one, or the time at which the object was created. Where the API does not say that
//! time, the object must have been there soon after the create, as another user will hardly have created one of that name in so
//! short a time. Later, an id or a name that the spec chose proves nothing: a person who creates by hand what is missing chooses
//! the same.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{CREATE_FRESH, Observer, recent};
use crate::engine::account::Rows;
use crate::engine::crd::{Intent, age};
use crate::engine::error::Result;
use crate::engine::kind::{Key, Ownership, Seen};
use crate::engine::pass::look::{Found, Interrupted};

/// How far the clocks of the account and of this machine may differ.
const SKEW: Duration = Duration::from_secs(300);

/// How much later than the account shows it the result of a create may be found without a time of creation. The operator may be
/// starting again meanwhile: on another node, that takes six minutes and more until Kubernetes gives up the lost one.
const RESTART: Duration = Duration::from_secs(600);

impl Observer<'_> {
    /// What did not exist before a create whose result is not known. The key is the intent's, for the spec may have been
    /// changed since.
    pub(super) async fn interrupted(&self, intent: &Intent) -> Result<Interrupted> {
        let (asked, age, wait) = (Instant::now(), age(intent.time.0, self.now), self.shown_after());
        if age < wait {
            return Ok(Interrupted::TooEarly(wait - age));
        }
        let key = Key { within: intent.within.clone(), name: intent.name.clone() };
        let listed = self.listed_after(&key.within, intent.time.0, wait).await?;
        // The LIST may have waited for the account.
        let age = age + asked.elapsed();
        let (mut hits, mut in_time) = (vec![], true);
        let issues = self.driver.traits().issues;
        for seen in listed {
            // Our own create always sets the mark.
            let possible = match self.driver.traits().ownership {
                Ownership::Marker => self.recognise.marked(&seen),
                Ownership::RecordedId => true,
            };
            // A secret is recognised by its times. Where those are not shown, it may be the result, and nothing proves it.
            let unproven = issues && (seen.about.created.is_none() || seen.about.expires.is_none());
            let fits = self.driver.matches(&key, &seen)? || unproven;
            // A LIST that lagged behind may have left out the present secret when its successor was announced.
            let present = issues && self.bound.external.as_ref().is_some_and(|bound| bound.id == seen.id);
            let fits = fits && possible && !present && !intent.before.contains(&seen.id);
            if fits && self.claimant.watch_holder(&seen.id).is_none() {
                in_time &= !unproven && self.is_its_result(intent, age, &seen);
                hits.push(seen.id);
            }
        }
        hits.sort();
        Ok(Interrupted::Since { hits, in_time, sent: intent.time.0 })
    }

    /// The row of an upsert that was announced and is still meant. Another user may have set it since.
    pub(super) fn of_announced(&self, intent: &Intent, seen: Seen) -> Found {
        if self.is_its_result(intent, age(intent.time.0, self.now), &seen) {
            return Found::Ours(seen);
        }
        let sent = intent.time.0;
        Found::Interrupted(Interrupted::Since { hits: vec![seen.id], in_time: false, sent })
    }

    /// After this time the account certainly shows what a create created.
    fn shown_after(&self) -> Duration {
        self.quarantine.max(self.lag.read)
    }

    /// Whether an object is the result of a create that was announced so long ago.
    fn is_its_result(&self, intent: &Intent, age: Duration, seen: &Seen) -> bool {
        let Some(created) = seen.about.created else {
            return self.recognise.marked(seen) || age <= self.shown_after() + RESTART;
        };
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let off = created.saturating_sub(intent.time.0.as_second());
        (-seconds(SKEW)..=seconds(self.quarantine.saturating_add(SKEW))).contains(&off)
    }

    /// A LIST that began at least this long after `sent`. Objects whose creates were interrupted together share one.
    async fn listed_after(&self, within: &str, sent: Timestamp, wait: Duration) -> Result<Vec<Seen>> {
        let all = |rows: &Rows<'_>| (rows.read_at_utc, rows.all().cloned().collect());
        let list = |not_before| self.snapshots.look(self.driver, self.reader, within, not_before, all);
        let (began, rows) = list(self.not_before.max(recent(CREATE_FRESH))).await?;
        if age(sent, began) >= wait {
            return Ok(rows);
        }
        Ok(list(Instant::now()).await?.1)
    }
}
