//! When a secret is replaced, and when its predecessor is deleted. Pure: the time is an argument.
//!
//! How long a secret lives is the difference of two times of the account, counted from our own time of its creation: so no
//! difference between the clocks matters.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Step;
use super::step::wait;
use crate::engine::cluster::Held;
use crate::engine::crd::{Reason, Retired, age};
use crate::engine::kind::{Output, Seen};

/// What is known of a secret and of the Kubernetes Secret that it is in.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Where it goes, and how it is replaced.
    pub output: Output,
    /// The Kubernetes Secret; none if it was not read, as nothing depends on it.
    pub held: Option<Held>,
    /// Secrets that were replaced, the oldest first.
    pub retired: Vec<Retired>,
    /// When the operator created the present one, if it did.
    pub created: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// No more secrets than this are valid at once: the present one, and its predecessor. The account has room for five of all users.
const MOST_RETIRED: usize = 1;

impl Issue {
    /// Whether the Kubernetes Secret holds the secret with this id.
    pub fn holds(&self, id: &str) -> bool {
        matches!(&self.held, Some(Held::Own(held)) if held.id.as_deref() == Some(id))
    }

    /// What is to be done about a secret that exists; none if nothing is.
    pub fn step(&self, seen: &Seen) -> Option<Step> {
        let renewed = match &self.held {
            Some(Held::Own(held)) => held.renewal != self.output.renewal && self.output.renewal.is_some(),
            _ => false,
        };
        let lost = self.held.is_some() && !self.holds(&seen.id);
        let over = self.retired.iter().find(|one| self.left(one).is_zero());
        let full = self.retired.len() >= MOST_RETIRED;
        match over {
            _ if lost && !full => Some(Step::Replace),
            // The oldest makes room, unless its value is what users still find.
            _ if lost => Some(match self.retired.iter().find(|one| !self.holds(&one.id)) {
                Some(retired) => Step::Discard(retired.id.clone()),
                None if self.retired.len() > MOST_RETIRED => {
                    wait(Reason::Progressing, "waiting until a former secret may be deleted")
                }
                None => Step::Replace,
            }),
            Some(retired) => Some(Step::Discard(retired.id.clone())),
            None if (renewed || self.is_due(seen)) && !full => Some(Step::Replace),
            None => None,
        }
    }

    /// Whether two thirds of its life are over.
    fn is_due(&self, seen: &Seen) -> bool {
        self.due_in(seen).is_some_and(|left| left.is_zero())
    }

    /// How long until two thirds of its life are over; none if it does not end, or is not known.
    fn due_in(&self, seen: &Seen) -> Option<Duration> {
        let (begins, ends) = (seen.about.created?, seen.about.expires?);
        let life = Duration::from_secs(u64::try_from(ends.saturating_sub(begins)).ok()?);
        let created = self.created.or_else(|| Timestamp::from_second(begins).ok())?;
        Some((life * 2 / 3).saturating_sub(age(created, self.now)))
    }

    fn left(&self, retired: &Retired) -> Duration {
        self.output.overlap.saturating_sub(age(retired.since.0, self.now))
    }
}

/// How long until something is to be done that nothing else triggers; none if nothing is.
pub fn next_due(issue: &Issue, seen: Option<&Seen>) -> Option<Duration> {
    let retired = issue.retired.iter().map(|one| issue.left(one));
    // What waits for its predecessor is looked at when that is deleted.
    let due = seen.and_then(|seen| issue.due_in(seen)).filter(|_| issue.retired.len() < MOST_RETIRED);
    retired.chain(due).min()
}
