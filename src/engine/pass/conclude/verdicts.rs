//! The conditions that an outcome gives an object: a table written as code. It does not decide on events, nor on the time of the
//! next reconcile.

use crate::engine::crd::{AnyStatus, ConditionStatus, ConditionType, Reason, Verdict};
use crate::engine::error::Error;
use crate::engine::pass::outcome::{Circumstances, Outcome};

/// This many failures in a row are no blip.
const LASTING: u32 = 3;

/// This many reconciles in a row that were overtaken are more than a busy moment. The objects of a DatabricksAuth are overtaken by its
/// first reconcile after a start, and there may be ten thousand of them: to write that down, and take it back, would be two writes each.
const OVERTAKEN: u32 = 8;

/// The same text for all, as the wait changes from try to try.
pub const LIMITED: &str = "the account's rate limit delays calls";

fn verdict(kind: ConditionType, status: impl Into<ConditionStatus>, reason: Reason, text: &str) -> Verdict {
    Verdict { kind, status: status.into(), reason, message: text.into() }
}

/// The conditions of an outcome; `None` leaves them as they are.
pub fn verdicts(status: &AnyStatus, outcome: &Outcome, given: &Circumstances) -> Option<Vec<Verdict>> {
    use ConditionType::*;
    let refs = verdict(ReferencesResolved, true, Reason::Resolved, "");
    Some(match outcome {
        Outcome::Again if !status.conditions.is_empty() => return None,
        Outcome::Again => begun(),
        Outcome::Rest => vec![verdict(Ready, true, given.ready, ""), compared(status), refs],
        Outcome::Limited(_) => {
            vec![
                verdict(Ready, true, given.ready, ""),
                verdict(Synced, false, Reason::RateLimited, LIMITED),
                refs,
            ]
        }
        Outcome::Partly { reason, message } => {
            vec![verdict(Ready, true, given.ready, ""), verdict(Synced, false, *reason, message), refs]
        }
        Outcome::Suspended => {
            let text = match given.ready {
                Reason::Authenticated => {
                    "spec.suspend is true: no calls are sent with these credentials; the objects that use them wait"
                }
                _ => "spec.suspend is true: no calls are sent; the object in the account stays as it is",
            };
            vec![
                verdict(Ready, false, Reason::SuspendedBySpec, text),
                verdict(Synced, false, Reason::SuspendedBySpec, text),
                references(status, given),
                verdict(Suspended, true, Reason::SuspendedBySpec, text),
            ]
        }
        Outcome::Progress { reason, message, .. } => {
            vec![
                verdict(Ready, false, *reason, message),
                synced(status, *reason, message, given),
                refs,
                verdict(Reconciling, true, Reason::Progressing, message),
            ]
        }
        // Neither Reconciling nor Stalled: no work is in progress, and no person needs to act.
        Outcome::Planned { reason, message } => {
            let plan = *reason == Reason::WouldBeCreated;
            let synced = if plan { Reason::DriftDetected } else { *reason };
            vec![verdict(Ready, false, *reason, message), verdict(Synced, false, synced, message), refs]
        }
        Outcome::Refused { reason, message } => stalled(status, *reason, message, given),
        Outcome::Blocked { reason, message } => blocked(status, *reason, message, given),
        Outcome::Failed(error) => return failed(status, error, given),
    })
}

/// Something that the spec names is left out, and the rest is carried out: the account does not match the whole spec, so the object
/// is neither Ready nor Synced, whatever else was found.
pub fn incomplete(verdicts: &mut Vec<Verdict>, reason: Reason, message: &str) {
    use ConditionType::*;
    for found in verdicts.iter_mut() {
        let holds = found.status == ConditionStatus::True;
        match found.kind {
            ReferencesResolved => *found = verdict(found.kind, false, reason, message),
            Ready if holds => *found = verdict(found.kind, false, reason, message),
            Synced if holds => *found = verdict(found.kind, false, Reason::WaitingForReference, message),
            _ => {}
        }
    }
    if !verdicts.iter().any(|v| matches!(v.kind, Reconciling | Stalled | DeletionBlocked)) {
        verdicts.push(verdict(Reconciling, true, Reason::WaitingForReference, message));
    }
}

/// Whether the account matches the spec, by the comparison of this reconcile.
fn compared(status: &AnyStatus) -> Verdict {
    if status.drift.is_empty() {
        return verdict(ConditionType::Synced, true, Reason::InSync, "");
    }
    let fields: Vec<&str> = status.drift.iter().map(|d| d.path.as_str()).collect();
    let text = format!("differs in {}", fields.join(", "));
    verdict(ConditionType::Synced, false, Reason::DriftDetected, &text)
}

fn failed(status: &AnyStatus, error: &Error, given: &Circumstances) -> Option<Vec<Verdict>> {
    let held = |reason| blocked(status, reason, &with_way_out(error.to_string()), given);
    match error {
        Error::Fenced | Error::Later(_) => None,
        Error::Conflict(_) if given.attempts < OVERTAKEN && !status.conditions.is_empty() => None,
        Error::Conflict(_) if status.conditions.is_empty() => Some(begun()),
        Error::Conflict(message) => transient(status, Reason::Retrying, message, given),
        // `Retain` is no way out: the release is a write that the cluster may refuse too.
        Error::Rejected { reason: reason @ Reason::OperatorNotPermitted, message, .. } if given.deleting => {
            Some(blocked(status, *reason, message, given))
        }
        Error::Terminal { .. } | Error::Rejected { .. } if given.deleting => Some(held(Reason::ApiRefused)),
        // One failed sign-in is no obstacle yet, and one that is shown as an obstacle remains it.
        Error::Transient { reason: Reason::CredentialsUnavailable, .. }
            if given.deleting
                && given.attempts < LASTING
                && !status.is_true(ConditionType::DeletionBlocked) =>
        {
            status.conditions.is_empty().then(begun)
        }
        Error::Waiting { reason, .. } | Error::Transient { reason, .. }
            if given.deleting && about_credentials(*reason) =>
        {
            Some(held(Reason::CredentialsUnavailable))
        }
        // What is in a workspace may be gone with it, and until then only the workspace can delete it.
        Error::Transient { reason: reason @ Reason::WaitingForWorkspace, .. } if given.deleting => {
            Some(held(*reason))
        }
        Error::Waiting { reason: Reason::DependencyStillInUse, .. } if given.deleting => {
            Some(held(Reason::DependencyStillInUse))
        }
        Error::Waiting { .. } if given.deleting => Some(held(Reason::ApiRefused)),
        Error::Terminal { reason, message } => Some(stalled(status, *reason, message, given)),
        Error::Rejected { reason, message, .. } if given.refusal_is_final => {
            Some(stalled(status, *reason, message, given))
        }
        Error::Rejected { reason, message, .. } => Some(retrying(status, *reason, message, given)),
        Error::Waiting { reason, message } => Some(waiting(status, *reason, message, given)),
        Error::Unknown { message } => Some(retrying(status, Reason::Retrying, message, given)),
        Error::Transient { reason, message, .. } => transient(status, *reason, message, given),
    }
}

/// Adds how to end a blocked deletion, unless the text names a way already.
fn with_way_out(text: String) -> String {
    if text.contains("deletionPolicy") {
        return text;
    }
    format!("{text}; to leave the object in the account, set spec.deletionPolicy to Retain")
}

fn transient(
    status: &AnyStatus,
    reason: Reason,
    message: &str,
    given: &Circumstances,
) -> Option<Vec<Verdict>> {
    use ConditionType::*;
    let current = status.observed_generation == given.generation;
    if !status.is_true(Ready) || !current || given.deleting {
        return Some(retrying(status, reason, message, given));
    }
    // A Ready object stays Ready; only a lasting failure is worth a write. A rate limit alone is not worth a write; a stale
    // `Retrying` message is.
    let limited = reason == Reason::RateLimited;
    let stale = status.condition(Synced).is_some_and(|c| c.reason == Reason::Retrying.name());
    let message = if limited { LIMITED } else { message };
    let worth = given.attempts >= LASTING && (!limited || stale);
    worth.then(|| {
        vec![
            kept(status, Ready).unwrap_or_else(|| verdict(Ready, true, given.ready, "")),
            verdict(Synced, false, reason, message),
            verdict(ReferencesResolved, true, Reason::Resolved, ""),
        ]
    })
}

/// The conditions of an object whose first reconcile has only begun.
pub fn begun() -> Vec<Verdict> {
    use ConditionStatus::*;
    use ConditionType::*;
    let v = |kind, status| verdict(kind, status, Reason::Progressing, "begun");
    vec![v(Ready, False), v(Synced, Unknown), v(ReferencesResolved, False), v(Reconciling, True)]
}

fn about_credentials(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CredentialsInvalid
            | Reason::AddressBlocked
            | Reason::CredentialsUnavailable
            | Reason::ReferenceNotFound
            | Reason::ReferenceNotReady
            | Reason::ReferenceNotPermitted
    )
}

/// Whether an object fails for this reason because something that it refers to is unusable.
pub fn about_references(reason: Reason) -> bool {
    use Reason::{SecretKeyMissing, SecretNotFound, SecretNotReadable, SecretValueEmpty};
    let secret = [SecretNotFound, SecretNotReadable, SecretKeyMissing, SecretValueEmpty];
    about_credentials(reason) || secret.contains(&reason)
}

/// Whether a failure for this reason means that a reference is unusable.
fn of_references(reason: Reason, message: &str) -> Option<Verdict> {
    (about_references(reason) || reason == Reason::AccountMismatch)
        .then(|| verdict(ConditionType::ReferencesResolved, false, reason, message))
}

/// What the last comparison found, if it was one with this generation; unknown before that.
fn synced(status: &AnyStatus, reason: Reason, message: &str, given: &Circumstances) -> Verdict {
    let compared = status.observed_generation == given.generation;
    let unknown = || verdict(ConditionType::Synced, ConditionStatus::Unknown, reason, message);
    kept(status, ConditionType::Synced).filter(|_| compared).unwrap_or_else(unknown)
}

/// The state of references: resolved, once a reconcile has passed that hop; else the last finding.
fn references(status: &AnyStatus, given: &Circumstances) -> Verdict {
    let kind = ConditionType::ReferencesResolved;
    match kept(status, kind) {
        _ if given.resolved => verdict(kind, true, Reason::Resolved, ""),
        Some(known) => known,
        None => verdict(kind, false, Reason::Progressing, ""),
    }
}

fn kept(status: &AnyStatus, kind: ConditionType) -> Option<Verdict> {
    let old = status.condition(kind)?;
    let reason = Reason::ALL.iter().map(|(r, _)| *r).find(|r| r.name() == old.reason)?;
    let status = ConditionStatus::read(&old.status);
    Some(Verdict { kind, status, reason, message: old.message.clone() })
}

fn blocked(status: &AnyStatus, reason: Reason, message: &str, given: &Circumstances) -> Vec<Verdict> {
    use ConditionType::*;
    let v = |kind, status: bool, reason| verdict(kind, status, reason, message);
    vec![
        v(Ready, false, Reason::Deleting),
        synced(status, Reason::Deleting, message, given),
        references(status, given),
        v(DeletionBlocked, true, reason),
    ]
}

fn stalled(status: &AnyStatus, reason: Reason, message: &str, given: &Circumstances) -> Vec<Verdict> {
    use ConditionType::*;
    let v = |kind, status: bool| verdict(kind, status, reason, message);
    let refs = of_references(reason, message).unwrap_or_else(|| references(status, given));
    vec![v(Ready, false), v(Synced, false), refs, v(Stalled, true)]
}

fn waiting(status: &AnyStatus, reason: Reason, message: &str, given: &Circumstances) -> Vec<Verdict> {
    use ConditionType::*;
    let v = |kind, status: bool, reason| verdict(kind, status, reason, message);
    if about_references(reason) {
        vec![
            v(Ready, false, reason),
            synced(status, Reason::WaitingForReference, message, given),
            v(ReferencesResolved, false, reason),
            v(Reconciling, true, Reason::WaitingForReference),
        ]
    } else {
        retrying(status, reason, message, given)
    }
}

fn retrying(status: &AnyStatus, reason: Reason, message: &str, given: &Circumstances) -> Vec<Verdict> {
    use ConditionType::*;
    let v = |kind, status: bool, reason| verdict(kind, status, reason, message);
    vec![
        v(Ready, false, reason),
        v(Synced, false, reason),
        of_references(reason, message).unwrap_or_else(|| references(status, given)),
        v(
            Reconciling,
            true,
            if reason == Reason::RateLimited { Reason::RateLimited } else { Reason::Retrying },
        ),
    ]
}
