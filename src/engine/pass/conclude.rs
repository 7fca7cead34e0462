//! What a reconcile results in: the conditions, the events, and the time of the next one. Pure: time and chance are
//! arguments.
//!
//! Every path of the engine ends here, once. A Ready object stays Ready through a transient failure: a blip is not news. A
//! refusal by Databricks is shown at once, and is called Stalled only once it was repeated: refusals often resolve by
//! themselves, and a Stalled object pages a person.

mod events;
mod requeue;
mod verdicts;

use std::time::Duration;

pub use verdicts::begun;

use events::transitions;
use requeue::requeue;
use verdicts::{incomplete, verdicts};

use super::outcome::{Outcome, Pace, Pass};
use crate::engine::crd::{AnyStatus, ConditionStatus, ConditionType, Note, Reason, Verdict, conditions};
use crate::engine::error::Error;

/// What to write and when to reconcile again.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The whole status.
    pub status: AnyStatus,
    /// Transitions worth an event.
    pub notes: Vec<Note>,
    /// When to reconcile again if nothing triggers it earlier; `None` is never.
    pub requeue: Option<Duration>,
}

/// Concludes a reconcile. `status` is the old one with the findings already in it (ids, facts, drift); conditions,
/// `observedGeneration` and the time of the next reconcile are decided here.
pub fn conclude(status: AnyStatus, outcome: &Outcome, pass: &Pass, pace: &Pace) -> Conclusion {
    let old = status.conditions.clone();
    let mut status = status;
    if let Some(mut verdicts) = verdicts(&status, outcome, pass) {
        speak_for_synced(&mut verdicts, pass.ready);
        remark(&mut verdicts, pass.remark.as_deref());
        if let Some((reason, message)) = &pass.unresolved {
            incomplete(&mut verdicts, *reason, message);
        }
        status.conditions = conditions(&old, &verdicts, pass.generation, pass.now);
        if processed(outcome, pass) {
            status.observed_generation = pass.generation;
        }
    }
    let before = AnyStatus { conditions: old, ..AnyStatus::default() };
    let requeue = requeue(outcome, pass, pace);
    Conclusion { notes: transitions(&before, &status), requeue, status }
}

/// `kubectl get` has columns for the reason and the message of `Ready` alone. So a Ready object shows other news in `Ready`
/// too, and a difference that remains is the reason that readers need.
fn speak_for_synced(verdicts: &mut [Verdict], ready: Reason) {
    let synced = verdicts.iter().find(|v| v.kind == ConditionType::Synced).cloned();
    let found = |v: &&mut Verdict| v.kind == ConditionType::Ready && v.status == ConditionStatus::True;
    let (Some(synced), Some(said)) = (synced, verdicts.iter_mut().find(found)) else { return };
    said.reason = if synced.reason == Reason::DriftDetected { synced.reason } else { ready };
    said.message = synced.message;
}

/// What a user has to know of a Ready object is the message of `Ready`, if nothing else is.
fn remark(verdicts: &mut [Verdict], remark: Option<&str>) {
    let silent = |v: &&mut Verdict| {
        v.kind == ConditionType::Ready && v.status == ConditionStatus::True && v.message.is_empty()
    };
    if let (Some(remark), Some(ready)) = (remark, verdicts.iter_mut().find(silent)) {
        ready.message = remark.to_owned();
    }
}

/// What an outcome means for this object. A refused read says nothing about an object that was Ready and was not changed
/// since: it is a transient failure like any other.
pub fn weighed(outcome: Outcome, status: &AnyStatus, generation: i64) -> Outcome {
    match outcome {
        Outcome::Failed(Error::Rejected { message, read: true, .. }) if status.is_settled(generation) => {
            Outcome::Failed(Error::retry(message))
        }
        outcome => outcome,
    }
}

/// Whether the generation counts as processed: a transient failure leaves it open.
fn processed(outcome: &Outcome, pass: &Pass) -> bool {
    match outcome {
        Outcome::Failed(Error::Rejected { .. }) => pass.confirmed || pass.deleting,
        Outcome::Again
        | Outcome::Progress { sent: false, .. }
        | Outcome::Failed(
            Error::Transient { .. } | Error::Conflict(_) | Error::Unknown { .. } | Error::Fenced,
        ) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
