//! A create whose result is not known: when it is searched for, and what proves that an object is its result.
//!
//! The proof is our mark, where the kind has one, or the time at which the object was created. Where the API does not say that
//! time, the object must have been there soon after the create, as another user will hardly have created one of that name in so
//! short a time. Later, an id or a name that the spec chose proves nothing: a person who creates by hand what is missing chooses
//! the same. Nor does the time prove anything of a kind with marks whose object can hold none: another cluster with the same manifests
//! and the same credentials creates its own in the same minute.
//!
//! A create of an earlier process is searched for once this one has known of it for as long as if it had just been sent. How old it is by
//! the wall clock shortens no wait: the clock may have been set while no process ran, and a LIST may be from before a suspend of the machine.

use std::time::Duration;

use tokio::time::Instant;

use super::{CREATE_FRESH, Observer, recent};
use crate::engine::account::Rows;
use crate::engine::crd::{Intent, age};
use crate::engine::error::Result;
use crate::engine::kind::{Key, Ownership, Seen};
use crate::engine::memory::Age;
use crate::engine::pass::reading::{Found, Interrupted};

/// How far the clocks of the account and of this machine may differ.
const SKEW: Duration = Duration::from_secs(300);

/// How much later than the account shows it the result of a create may be found without a time of creation. The operator may be
/// starting again meanwhile: on another node, that takes six minutes and more until Kubernetes gives up the lost one.
const RESTART: Duration = Duration::from_secs(600);

impl Observer<'_> {
    /// What did not exist before a create whose result is not known. The key is the intent's, for the spec may have been
    /// changed since.
    pub(super) async fn interrupted(&self, intent: &Intent) -> Result<Interrupted> {
        let (asked, age, wait) = (Instant::now(), self.announced_for(intent), self.shown_after());
        let Some(past_wait) = age.here.checked_sub(wait) else {
            return Ok(Interrupted::TooEarly(wait - age.here));
        };
        let key = Key { within: intent.within.clone(), name: intent.name.clone() };
        // The LIST must have begun once that time was over; creates that were interrupted together share one.
        let not_before = self.not_before.max(recent(CREATE_FRESH.min(past_wait)));
        let all = |rows: &Rows<'_>| rows.all().cloned().collect::<Vec<_>>();
        let listed = self.snapshots.read(self.driver, self.reader, &key.within, not_before, all).await?;
        // The LIST may have waited for the account.
        let age = age.whole + asked.elapsed();
        let (mut hits, mut in_time) = (vec![], true);
        let is_secret = self.driver.traits().are_secrets();
        for seen in listed {
            // Our own create always sets the mark, where the API can hold one.
            let possible = match self.driver.traits().ownership {
                Ownership::Marker => seen.about.unmarkable || self.recognise.marked(&seen),
                Ownership::RecordedId => true,
            };
            // A secret is recognised by its times. Where those are not shown, it may be the result, and nothing proves it.
            let unproven = is_secret && (seen.about.created.is_none() || seen.about.expires.is_none());
            let fits = self.driver.matches(&key, &seen)? || unproven;
            // A LIST that lagged behind may have left out the present secret when its successor was announced.
            let present = is_secret && self.bound.external.as_ref().is_some_and(|bound| bound.id == seen.id);
            let fits = fits && possible && !present && !intent.before.contains(&seen.id);
            if fits && self.claimant.watch_holder(&seen.id).is_none() {
                let proven = !unproven && !seen.about.unmarkable;
                in_time &= proven && self.is_its_result(intent, age, &seen);
                hits.push(seen.id);
            }
        }
        hits.sort();
        Ok(Interrupted::Since { hits, in_time, sent: intent.time.0 })
    }

    /// The row of an upsert that was announced and is still meant. Another user may have set it since.
    pub(super) fn of_announced(&self, intent: &Intent, seen: Seen) -> Found {
        if self.is_its_result(intent, self.announced_for(intent).whole, &seen) {
            return Found::Ours(seen);
        }
        let sent = intent.time.0;
        Found::Interrupted(Interrupted::Since { hits: vec![seen.id], in_time: false, sent })
    }

    /// After this time the account certainly shows what a create created.
    fn shown_after(&self) -> Duration {
        self.quarantine.max(self.lag.read)
    }

    /// How long ago a create was announced.
    fn announced_for(&self, intent: &Intent) -> Age {
        self.remembered.with(|m| m.announced_for(intent, self.age(intent)))
    }

    /// The same by the wall clock alone.
    fn age(&self, intent: &Intent) -> Duration {
        age(intent.time.0, self.now)
    }

    /// Whether an object is the result of a create that was announced so long ago.
    fn is_its_result(&self, intent: &Intent, age: Duration, seen: &Seen) -> bool {
        let Some(created) = seen.about.created else {
            // The time in which a machine was suspended is in the wall clock's age alone.
            let age = age.max(self.age(intent));
            return self.recognise.marked(seen) || age <= self.shown_after() + RESTART;
        };
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let off = created.saturating_sub(intent.time.0.as_second());
        (-seconds(SKEW)..=seconds(self.quarantine.saturating_add(SKEW))).contains(&off)
    }
}
