//! When an object is reconciled again if nothing triggers it earlier. Pure: chance is an argument.

use std::time::Duration;

use super::verdicts::about_references;
use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::pass::outcome::{Outcome, Pace, Pass};

/// When to reconcile again.
pub fn requeue(outcome: &Outcome, pass: &Pass, pace: &Pace) -> Option<Duration> {
    let doubled = |min: Duration, max: Duration| {
        min.saturating_mul(2u32.saturating_pow(pass.attempts.min(20))).min(max)
    };
    let later = |d: Duration| d.mul_f64(1.0 + 0.2 * pass.chance);
    let up_to = |d: Duration| d.mul_f64(0.5 + 0.5 * pass.chance);
    let refused = |max: Duration| {
        let steps = 2u32.saturating_pow(pass.refusals.min(20));
        later(pace.stalled_min.saturating_mul(steps).min(max))
    };
    let backoff = up_to(doubled(pace.backoff_min, pace.backoff_max));
    Some(match outcome {
        // Nothing triggers a reconcile when the account has what was left out.
        Outcome::Rest | Outcome::Planned { .. } if pass.unresolved.is_some() => {
            pass.resync.map_or(pace.waiting, |resync| later(resync).min(pace.waiting))
        }
        Outcome::Rest | Outcome::Planned { .. } => later(pass.resync?),
        Outcome::Suspended => return None,
        Outcome::Again => Duration::ZERO,
        Outcome::Limited(after) => *after,
        // A person may take days.
        Outcome::Progress { reason: Reason::AwaitingApproval, .. } => later(pace.waiting),
        Outcome::Progress { .. } => up_to(doubled(pace.poll_min, pace.poll_max)),
        Outcome::Refused { .. } if pass.sent => pace.poll_min,
        Outcome::Refused { .. } => refused(pace.stalled),
        Outcome::Blocked { .. } | Outcome::Partly { .. } => later(pace.waiting),
        Outcome::Failed(error) => match error {
            // A right is used soon after it is granted: a retry costs the account nothing.
            Error::Rejected { reason: Reason::OperatorNotPermitted | Reason::SecretNotWritable, .. } => {
                refused(pace.poll_max)
            }
            Error::Terminal { .. } | Error::Rejected { .. } if pass.deleting => refused(pace.backoff_max),
            Error::Terminal { .. } | Error::Rejected { .. } => refused(pace.stalled),
            // Nothing triggers a reconcile when Databricks accepts the credentials again.
            Error::Waiting { reason: Reason::CredentialsInvalid, .. } => backoff,
            Error::Waiting { reason, .. } if about_references(*reason) => pace.waiting,
            Error::Transient { after: Some(after), .. } => *after + pace.backoff_min.mul_f64(pass.chance),
            Error::Conflict(_) if pass.attempts == 0 => Duration::ZERO,
            // Fenced: the lease may be renewed in time after all.
            Error::Waiting { .. }
            | Error::Transient { .. }
            | Error::Conflict(_)
            | Error::Unknown { .. }
            | Error::Fenced => backoff,
        },
    })
}
