//! What a reconcile results in: the conditions, the events, and the time of the next one. Pure: time and chance are
//! arguments.
//!
//! Every path of the engine ends here, once. A Ready object stays Ready through a transient failure: a blip is not news. A
//! refusal by Databricks is shown at once, and is called Stalled only once it was repeated: refusals often resolve by
//! themselves, and a Stalled object pages a person.

mod verdicts;

use std::time::Duration;

pub use verdicts::begun;

use verdicts::{about_references, incomplete, verdicts};

use super::outcome::{Circumstances, Outcome, Pace};
use crate::engine::crd::{
    AnyStatus, ConditionStatus, ConditionType, EventReason, Note, Reason, Verdict, conditions,
};
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
pub fn conclude(status: AnyStatus, outcome: &Outcome, given: &Circumstances, pace: &Pace) -> Conclusion {
    let old = status.conditions.clone();
    let mut status = status;
    if let Some(mut verdicts) = verdicts(&status, outcome, given) {
        speak_for_synced(&mut verdicts, given.ready);
        remark(&mut verdicts, given.remark.as_deref());
        if let Some((reason, message)) = &given.unresolved {
            incomplete(&mut verdicts, *reason, message);
        }
        status.conditions = conditions(&old, &verdicts, given.generation, given.now);
        if processed(outcome, given) {
            status.observed_generation = given.generation;
        }
    }
    let before = AnyStatus { conditions: old, ..AnyStatus::default() };
    let requeue = requeue(outcome, given, pace);
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
        Outcome::Failed(Error::Rejected { message, about_object: false, .. })
            if status.is_settled(generation) =>
        {
            Outcome::Failed(Error::retry(message))
        }
        outcome => outcome,
    }
}

/// Whether the generation counts as processed: a transient failure leaves it open.
fn processed(outcome: &Outcome, given: &Circumstances) -> bool {
    match outcome {
        Outcome::Failed(Error::Rejected { .. }) => given.refusal_is_final || given.deleting,
        Outcome::Again
        | Outcome::Progress { sent: false, .. }
        | Outcome::Failed(
            Error::Transient { .. }
            | Error::Conflict(_)
            | Error::Unknown { .. }
            | Error::Fenced
            | Error::Later(_),
        ) => false,
        _ => true,
    }
}

/// When to reconcile again.
fn requeue(outcome: &Outcome, given: &Circumstances, pace: &Pace) -> Option<Duration> {
    let doubled = |min: Duration, max: Duration| {
        min.saturating_mul(2u32.saturating_pow(given.attempts.min(20))).min(max)
    };
    let later = |d: Duration| d.mul_f64(1.0 + 0.2 * given.chance);
    let up_to = |d: Duration| d.mul_f64(0.5 + 0.5 * given.chance);
    let refused = |max: Duration| {
        let steps = 2u32.saturating_pow(given.refusals.min(20));
        later(pace.stalled_min.saturating_mul(steps).min(max))
    };
    let backoff = up_to(doubled(pace.backoff_min, pace.backoff_max));
    Some(match outcome {
        // Nothing triggers a reconcile when the account has what was left out.
        Outcome::Rest | Outcome::Planned { .. } if given.unresolved.is_some() => {
            given.next_due.map_or(pace.waiting, |due| later(due).min(pace.waiting))
        }
        Outcome::Rest | Outcome::Planned { .. } => later(given.next_due?),
        Outcome::Suspended => return None,
        Outcome::Again => Duration::ZERO,
        Outcome::Limited(after) => *after,
        // A person may take days.
        Outcome::Progress { reason: Reason::AwaitingApproval, .. } => later(pace.waiting),
        Outcome::Progress { .. } => up_to(doubled(pace.poll_min, pace.poll_max)),
        Outcome::Refused { .. } if given.change_accepted => pace.poll_min,
        Outcome::Refused { .. } => refused(pace.stalled),
        Outcome::Blocked { .. } | Outcome::Partly { .. } => later(pace.waiting),
        Outcome::Failed(error) => match error {
            Error::Later(after) => *after,
            // A right is used soon after it is granted: a retry costs the account nothing.
            Error::Rejected { reason: Reason::OperatorNotPermitted | Reason::SecretNotWritable, .. } => {
                refused(pace.poll_max)
            }
            Error::Terminal { .. } | Error::Rejected { .. } if given.deleting => refused(pace.backoff_max),
            Error::Terminal { .. } | Error::Rejected { .. } => refused(pace.stalled),
            // Nothing triggers a reconcile when Databricks accepts the credentials again.
            Error::Waiting { reason: Reason::CredentialsInvalid, .. } => backoff,
            Error::Waiting { reason, .. } if about_references(*reason) => pace.waiting,
            Error::Transient { after: Some(after), .. } => *after + pace.backoff_min.mul_f64(given.chance),
            Error::Conflict(_) if given.attempts == 0 => Duration::ZERO,
            // Fenced: the lease may be renewed in time after all.
            Error::Waiting { .. }
            | Error::Transient { .. }
            | Error::Conflict(_)
            | Error::Unknown { .. }
            | Error::Fenced => backoff,
        },
    })
}

/// Events for what became true.
fn transitions(before: &AnyStatus, after: &AnyStatus) -> Vec<Note> {
    use ConditionType::*;
    let mut notes = vec![];
    let mut note = |warning, reason, text: String| notes.push(Note { warning, reason, text });
    if after.is_true(Ready) && !before.is_true(Ready) {
        let text = match after.condition(Ready) {
            // A DatabricksAuth has no object in the account.
            Some(ready) if ready.reason == Reason::Authenticated.name() => {
                "a token was obtained: the credentials work"
            }
            _ if after.is_true(Synced) => "the object in the account matches the spec",
            _ => "the object in the account is usable",
        };
        note(false, EventReason::Ready, text.into());
    }
    let known = facts(before);
    for fact in facts(after) {
        if !known.iter().any(|known| known.same(&fact)) {
            note(true, fact.event, fact.text);
        }
    }
    match (before.is_true(Suspended), after.is_true(Suspended)) {
        (false, true) => note(false, EventReason::Suspended, "spec.suspend is true".into()),
        (true, false) => note(false, EventReason::Resumed, "spec.suspend is no longer true".into()),
        _ => {}
    }
    notes
}

/// One fact that is worth a Warning, once.
struct Fact {
    event: EventReason,
    /// The reason of the condition that reports it.
    reason: String,
    text: String,
}

impl Fact {
    /// A difference in other fields is another drift. The text of other failures may change.
    fn same(&self, other: &Fact) -> bool {
        self.event == other.event
            && self.reason == other.reason
            && (self.event != EventReason::DriftDetected || self.text == other.text)
    }
}

/// The facts in a status that need a warning. Several conditions may report the same: that is one fact. A reason with an
/// event of its own is reported by that event, also if the object is stalled for it.
fn facts(status: &AnyStatus) -> Vec<Fact> {
    use ConditionType::*;
    use EventReason::{
        AddressBlocked, CredentialsInvalid, DriftDetected, ExternalResourceMissing, RateLimited,
        ReferenceNotPermitted,
    };
    let mut facts: Vec<Fact> = vec![];
    for (kind, worth, own, other) in [
        (DeletionBlocked, "True", &[][..], Some(EventReason::DeletionBlocked)),
        (
            Stalled,
            "True",
            &[CredentialsInvalid, AddressBlocked, ExternalResourceMissing][..],
            Some(EventReason::Stalled),
        ),
        (ReferencesResolved, "False", &[ReferenceNotPermitted, CredentialsInvalid, AddressBlocked][..], None),
        (Synced, "False", &[DriftDetected, ExternalResourceMissing, RateLimited][..], None),
    ] {
        let Some(now) = status.condition(kind).filter(|c| c.status == worth) else { continue };
        let own = own.iter().copied().find(|event| event.name() == now.reason);
        let Some(event) = own.or(other) else { continue };
        if facts.iter().any(|fact| fact.reason == now.reason) {
            continue;
        }
        let text =
            if own.is_some() { now.message.clone() } else { format!("{}: {}", now.reason, now.message) };
        facts.push(Fact { event, reason: now.reason.clone(), text });
    }
    facts
}

#[cfg(test)]
mod tests;
