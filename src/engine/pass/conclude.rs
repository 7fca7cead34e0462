//! What a reconcile results in: the conditions, the events, and the time of the next one. Pure: time and chance are
//! arguments.
//!
//! Every path of the engine ends here, once. A Ready object stays Ready through a transient failure: a blip is not news. A
//! refusal by Databricks is shown at once, and is called Stalled only once it was repeated: refusals often resolve by
//! themselves, and a Stalled object pages a person.

use std::time::Duration;

use super::outcome::{Outcome, Pace, Pass};
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
pub fn conclude(status: AnyStatus, outcome: &Outcome, pass: &Pass, pace: &Pace) -> Conclusion {
    let old = status.conditions.clone();
    let mut status = status;
    if let Some(mut verdicts) = verdicts(&status, outcome, pass) {
        speak_for_synced(&mut verdicts, pass.ready);
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
    let of = |kind, status| move |v: &&Verdict| v.kind == kind && v.status == status;
    let synced = verdicts.iter().find(of(ConditionType::Synced, ConditionStatus::False)).cloned();
    let found = |v: &&mut Verdict| v.kind == ConditionType::Ready && v.status == ConditionStatus::True;
    let (Some(synced), Some(said)) = (synced, verdicts.iter_mut().find(found)) else { return };
    said.reason = if synced.reason == Reason::DriftDetected { synced.reason } else { ready };
    said.message = synced.message;
}

/// What an outcome means for this object. A refused read says nothing about an object that was Ready and was not changed
/// since: it is a transient failure like any other.
pub fn weighed(outcome: Outcome, status: &AnyStatus, generation: i64) -> Outcome {
    let settled = status.is_true(ConditionType::Ready) && status.observed_generation == generation;
    match outcome {
        Outcome::Failed(Error::Rejected { message, read: true, .. }) if settled => {
            Outcome::Failed(Error::retry(message))
        }
        outcome => outcome,
    }
}

/// This many failures in a row are no blip.
const LASTING: u32 = 3;

/// The same text for all, as the wait changes from try to try.
const LIMITED: &str = "the account's rate limit delays calls";

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

/// The conditions of an outcome; `None` leaves them as they are.
fn verdicts(status: &AnyStatus, outcome: &Outcome, pass: &Pass) -> Option<Vec<Verdict>> {
    use ConditionType::*;
    let v = |kind, status: bool, reason, message: &str| Verdict {
        kind,
        status: status.into(),
        reason,
        message: message.into(),
    };
    let refs = v(ReferencesResolved, true, Reason::Resolved, "");
    Some(match outcome {
        Outcome::Again if !status.conditions.is_empty() => return None,
        Outcome::Again => begun(),
        Outcome::Rest => {
            let synced = match status.drift.as_slice() {
                [] => v(Synced, true, Reason::InSync, ""),
                drift => {
                    let fields: Vec<&str> = drift.iter().map(|d| d.path.as_str()).collect();
                    v(Synced, false, Reason::DriftDetected, &format!("differs in {}", fields.join(", ")))
                }
            };
            vec![v(Ready, true, pass.ready, ""), synced, refs]
        }
        Outcome::Limited(_) => {
            vec![v(Ready, true, pass.ready, ""), v(Synced, false, Reason::RateLimited, LIMITED), refs]
        }
        Outcome::Partly { reason, message } => {
            vec![v(Ready, true, pass.ready, ""), v(Synced, false, *reason, message), refs]
        }
        Outcome::Suspended => {
            let text = "spec.suspend is true: no calls are sent; the object in the account stays as it is";
            vec![
                v(Ready, false, Reason::SuspendedBySpec, text),
                v(Synced, false, Reason::SuspendedBySpec, text),
                references(status, pass),
                v(Suspended, true, Reason::SuspendedBySpec, text),
            ]
        }
        Outcome::Progress { reason, message, .. } => {
            vec![
                v(Ready, false, *reason, message),
                synced(status, *reason, message, pass),
                refs,
                v(Reconciling, true, Reason::Progressing, message),
            ]
        }
        // Neither Reconciling nor Stalled: no work is in progress, and no person needs to act.
        Outcome::Planned { reason, message } => {
            let plan = *reason == Reason::WouldBeCreated;
            let synced = if plan { Reason::DriftDetected } else { *reason };
            vec![v(Ready, false, *reason, message), v(Synced, false, synced, message), refs]
        }
        Outcome::Refused { reason, message } => stalled(status, *reason, message, pass),
        Outcome::Blocked { reason, message } => blocked(status, *reason, message, pass),
        Outcome::Failed(error) => return failed(status, error, pass),
    })
}

fn failed(status: &AnyStatus, error: &Error, pass: &Pass) -> Option<Vec<Verdict>> {
    let blocked = |reason| blocked(status, reason, &with_way_out(error.to_string()), pass);
    match error {
        Error::Fenced => None,
        Error::Conflict(_) if pass.attempts < LASTING && !status.conditions.is_empty() => None,
        Error::Conflict(_) if status.conditions.is_empty() => Some(begun()),
        Error::Conflict(message) => transient(status, Reason::Retrying, message, pass),
        Error::Rejected { reason: Reason::OperatorNotPermitted, .. } if pass.deleting => {
            Some(blocked(Reason::OperatorNotPermitted))
        }
        Error::Terminal { .. } | Error::Rejected { .. } if pass.deleting => Some(blocked(Reason::ApiRefused)),
        Error::Waiting { reason, .. } | Error::Transient { reason, .. }
            if pass.deleting && about_credentials(*reason) =>
        {
            Some(blocked(Reason::CredentialsUnavailable))
        }
        Error::Waiting { .. } if pass.deleting => Some(blocked(Reason::ApiRefused)),
        Error::Terminal { reason, message } => Some(stalled(status, *reason, message, pass)),
        Error::Rejected { reason, message, .. } if pass.confirmed => {
            Some(stalled(status, *reason, message, pass))
        }
        Error::Rejected { reason, message, .. } => Some(retrying(status, *reason, message, pass)),
        Error::Waiting { reason, message } => Some(waiting(status, *reason, message, pass)),
        Error::Unknown { message } => Some(retrying(status, Reason::Retrying, message, pass)),
        Error::Transient { reason, message, .. } => transient(status, *reason, message, pass),
    }
}

/// Adds how to end a blocked deletion, unless the text names a way already.
fn with_way_out(text: String) -> String {
    if text.contains("deletionPolicy") {
        return text;
    }
    format!("{text}; to leave the object in the account, set spec.deletionPolicy to Retain")
}

fn transient(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Option<Vec<Verdict>> {
    use ConditionType::*;
    let v = |kind, status: bool, reason, message: &str| Verdict {
        kind,
        status: status.into(),
        reason,
        message: message.into(),
    };
    let current = status.observed_generation == pass.generation;
    if !status.is_true(Ready) || !current || pass.deleting {
        return Some(retrying(status, reason, message, pass));
    }
    // A Ready object stays Ready; only a lasting failure is worth a write. A rate limit alone is not worth a write; a stale
    // `Retrying` message is.
    let limited = reason == Reason::RateLimited;
    let told = status.condition(Synced).is_some_and(|c| c.reason == Reason::Retrying.name());
    let message = if limited { LIMITED } else { message };
    let worth = pass.attempts >= LASTING && (!limited || told);
    worth.then(|| {
        vec![
            kept(status, Ready).unwrap_or_else(|| v(Ready, true, pass.ready, "")),
            v(Synced, false, reason, message),
            v(ReferencesResolved, true, Reason::Resolved, ""),
        ]
    })
}

/// The conditions of an object whose first reconcile has only begun.
pub fn begun() -> Vec<Verdict> {
    use ConditionStatus::*;
    use ConditionType::*;
    let v = |kind, status| Verdict { kind, status, reason: Reason::Progressing, message: "begun".into() };
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

fn about_references(reason: Reason) -> bool {
    use Reason::{SecretKeyMissing, SecretNotFound, SecretNotReadable, SecretValueEmpty};
    let secret = [SecretNotFound, SecretNotReadable, SecretKeyMissing, SecretValueEmpty];
    about_credentials(reason) || secret.contains(&reason)
}

/// Whether a failure for this reason means that a reference is unusable.
fn of_references(reason: Reason, message: &str) -> Option<Verdict> {
    (about_references(reason) || reason == Reason::AccountMismatch).then(|| Verdict {
        kind: ConditionType::ReferencesResolved,
        status: ConditionStatus::False,
        reason,
        message: message.into(),
    })
}

/// What the last comparison found, if it was one with this generation; unknown before that.
fn synced(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Verdict {
    let compared = status.observed_generation == pass.generation;
    let unknown = || Verdict {
        kind: ConditionType::Synced,
        status: ConditionStatus::Unknown,
        reason,
        message: message.into(),
    };
    kept(status, ConditionType::Synced).filter(|_| compared).unwrap_or_else(unknown)
}

/// The state of references: resolved, once a reconcile has passed that hop; else the last finding.
fn references(status: &AnyStatus, pass: &Pass) -> Verdict {
    let verdict = |status: bool, reason| Verdict {
        kind: ConditionType::ReferencesResolved,
        status: status.into(),
        reason,
        message: String::new(),
    };
    match kept(status, ConditionType::ReferencesResolved) {
        _ if pass.resolved => verdict(true, Reason::Resolved),
        Some(known) => known,
        None => verdict(false, Reason::Progressing),
    }
}

fn kept(status: &AnyStatus, kind: ConditionType) -> Option<Verdict> {
    let old = status.condition(kind)?;
    let reason = Reason::ALL.iter().map(|(r, _)| *r).find(|r| r.name() == old.reason)?;
    let status = ConditionStatus::read(&old.status);
    Some(Verdict { kind, status, reason, message: old.message.clone() })
}

fn blocked(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Vec<Verdict> {
    use ConditionType::*;
    let v =
        |kind, status: bool, reason| Verdict { kind, status: status.into(), reason, message: message.into() };
    vec![
        v(Ready, false, Reason::Deleting),
        synced(status, Reason::Deleting, message, pass),
        references(status, pass),
        v(DeletionBlocked, true, reason),
    ]
}

fn stalled(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Vec<Verdict> {
    use ConditionType::*;
    let v = |kind, status: bool| Verdict { kind, status: status.into(), reason, message: message.into() };
    let refs = of_references(reason, message).unwrap_or_else(|| references(status, pass));
    vec![v(Ready, false), v(Synced, false), refs, v(Stalled, true)]
}

fn waiting(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Vec<Verdict> {
    use ConditionType::*;
    let v =
        |kind, status: bool, reason| Verdict { kind, status: status.into(), reason, message: message.into() };
    if about_references(reason) {
        vec![
            v(Ready, false, reason),
            synced(status, Reason::WaitingForReference, message, pass),
            v(ReferencesResolved, false, reason),
            v(Reconciling, true, Reason::WaitingForReference),
        ]
    } else {
        retrying(status, reason, message, pass)
    }
}

fn retrying(status: &AnyStatus, reason: Reason, message: &str, pass: &Pass) -> Vec<Verdict> {
    use ConditionType::*;
    let v =
        |kind, status: bool, reason| Verdict { kind, status: status.into(), reason, message: message.into() };
    vec![
        v(Ready, false, reason),
        v(Synced, false, reason),
        of_references(reason, message).unwrap_or_else(|| references(status, pass)),
        v(
            Reconciling,
            true,
            if reason == Reason::RateLimited { Reason::RateLimited } else { Reason::Retrying },
        ),
    ]
}

/// Events for what became true.
fn transitions(before: &AnyStatus, after: &AnyStatus) -> Vec<Note> {
    use ConditionType::*;
    let mut notes = vec![];
    let mut note = |warning, reason, text: String| notes.push(Note { warning, reason, text });
    if after.is_true(Ready) && !before.is_true(Ready) {
        let text = if after.is_true(Synced) { "matches the spec" } else { "is usable" };
        note(false, EventReason::Ready, format!("the object in the account {text}"));
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

/// When to reconcile again.
fn requeue(outcome: &Outcome, pass: &Pass, pace: &Pace) -> Option<Duration> {
    let doubled = |min: Duration, max: Duration| {
        min.saturating_mul(2u32.saturating_pow(pass.attempts.min(20))).min(max)
    };
    let up_to = |d: Duration| d.mul_f64(0.5 + 0.5 * pass.chance);
    let refused = |max: Duration| {
        let steps = 2u32.saturating_pow(pass.refusals.min(20));
        pace.stalled_min.saturating_mul(steps).min(max).mul_f64(1.0 + 0.2 * pass.chance)
    };
    Some(match outcome {
        Outcome::Rest | Outcome::Planned { .. } => pass.resync?.mul_f64(1.0 + 0.2 * pass.chance),
        Outcome::Suspended => return None,
        Outcome::Again => Duration::ZERO,
        Outcome::Limited(after) => *after,
        Outcome::Progress { .. } => up_to(doubled(pace.poll_min, pace.poll_max)),
        Outcome::Refused { .. } if pass.sent => pace.poll_min,
        Outcome::Refused { .. } => refused(pace.stalled),
        Outcome::Blocked { .. } | Outcome::Partly { .. } => pace.waiting.mul_f64(1.0 + 0.2 * pass.chance),
        Outcome::Failed(error) => match error {
            // A right is used soon after it is granted: a retry costs the account nothing.
            Error::Rejected { reason: Reason::OperatorNotPermitted, .. } => refused(pace.poll_max),
            Error::Terminal { .. } | Error::Rejected { .. } if pass.deleting => refused(pace.backoff_max),
            Error::Terminal { .. } | Error::Rejected { .. } => refused(pace.stalled),
            Error::Waiting { reason: Reason::CredentialsInvalid, .. } => {
                up_to(doubled(pace.backoff_min, pace.backoff_max))
            }
            Error::Waiting { reason, .. } if about_references(*reason) => pace.waiting,
            Error::Waiting { .. } => up_to(doubled(pace.backoff_min, pace.backoff_max)),
            Error::Transient { after, .. } => {
                let backoff = up_to(doubled(pace.backoff_min, pace.backoff_max));
                after.map_or(backoff, |a| a + pace.backoff_min.mul_f64(pass.chance))
            }
            Error::Unknown { .. } => up_to(doubled(pace.backoff_min, pace.backoff_max)),
            Error::Conflict(_) if pass.attempts == 0 => Duration::ZERO,
            Error::Conflict(_) => up_to(doubled(pace.backoff_min, pace.backoff_max)),
            // The lease may be renewed in time after all.
            Error::Fenced => up_to(doubled(pace.backoff_min, pace.backoff_max)),
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::engine::crd::Drift;

    const PACE: Pace = Pace {
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(300),
        poll_min: Duration::from_secs(5),
        poll_max: Duration::from_secs(60),
        waiting: Duration::from_secs(300),
        stalled_min: Duration::from_secs(10),
        stalled: Duration::from_secs(1800),
    };

    fn pass(generation: i64) -> Pass {
        Pass {
            generation,
            deleting: false,
            attempts: 0,
            refusals: 0,
            confirmed: false,
            resolved: true,
            ready: Reason::Available,
            sent: false,
            resync: Some(Duration::from_secs(600)),
            now: Timestamp::from_second(1_000).unwrap(),
            chance: 0.5,
        }
    }

    fn after(status: AnyStatus, outcome: &Outcome, pass: &Pass) -> Conclusion {
        conclude(status, outcome, pass, &PACE)
    }

    fn ready(generation: i64) -> AnyStatus {
        after(AnyStatus::default(), &Outcome::Rest, &pass(generation)).status
    }

    fn every_outcome() -> Vec<Outcome> {
        let text = || "text".to_owned();
        let reasons = Reason::ALL.iter().map(|(r, _)| *r);
        let mut all = vec![
            Outcome::Rest,
            Outcome::Suspended,
            Outcome::Again,
            Outcome::Limited(Duration::from_secs(5)),
            Outcome::Failed(Error::Conflict(text())),
            Outcome::Failed(Error::Unknown { message: text() }),
            Outcome::Failed(Error::Fenced),
        ];
        for reason in reasons {
            all.push(Outcome::Progress { reason, message: text(), sent: true });
            all.push(Outcome::Progress { reason, message: text(), sent: false });
            all.push(Outcome::Refused { reason, message: text() });
            all.push(Outcome::Planned { reason, message: text() });
            all.push(Outcome::Partly { reason, message: text() });
            all.push(Outcome::Blocked { reason, message: text() });
            all.push(Outcome::Failed(Error::terminal(reason, text())));
            all.push(Outcome::Failed(Error::rejected(reason, text())));
            all.push(Outcome::Failed(Error::waiting(reason, text())));
            all.push(Outcome::Failed(Error::Transient { reason, message: text(), after: None }));
        }
        all
    }

    #[test]
    fn whatever_happens_the_conditions_keep_their_promises() {
        for outcome in every_outcome() {
            for start in [AnyStatus::default(), ready(1), ready(2)] {
                for deleting in [false, true] {
                    let pass = Pass { deleting, attempts: 5, ..pass(2) };
                    let fresh = start.conditions.is_empty();
                    let status = after(start.clone(), &outcome, &pass).status;
                    let is = |kind| status.is_true(kind);
                    let told = |kind| status.condition(kind).is_some();
                    use ConditionType::*;
                    assert!(!(is(Reconciling) && is(Stalled)), "{outcome:?}");
                    assert!(!is(Ready) || !(told(Reconciling) || told(Stalled)), "{outcome:?}");
                    assert!(status.observed_generation <= 2, "{outcome:?}");
                    let untouched = fresh && status.conditions.is_empty();
                    assert!(
                        untouched || (told(Ready) && told(Synced) && told(ReferencesResolved)),
                        "{outcome:?}"
                    );
                    assert!(
                        status.conditions.iter().all(|c| c.observed_generation <= Some(2)),
                        "{outcome:?}"
                    );
                    if is(Ready) {
                        let same = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                            c.observed_generation == Some(status.observed_generation)
                        };
                        assert!(status.conditions.iter().all(same), "{outcome:?} from {start:?}: {status:?}");
                    }
                    assert!(!told(DeletionBlocked) || deleting || matches!(outcome, Outcome::Blocked { .. }));
                }
            }
        }
    }

    #[test]
    fn a_blip_leaves_a_ready_object_ready_and_a_new_generation_open() {
        let blip = Outcome::Failed(Error::retry("503"));
        let calm = after(ready(1), &blip, &pass(1));
        assert_eq!(calm.status, ready(1));
        assert!(calm.notes.is_empty());
        let edited = after(ready(1), &blip, &pass(2)).status;
        assert_eq!(edited.observed_generation, 1, "not processed");
        assert!(!edited.is_true(ConditionType::Ready) && edited.is_true(ConditionType::Reconciling));
        let lasting = after(ready(1), &blip, &Pass { attempts: 3, ..pass(1) }).status;
        assert!(lasting.is_true(ConditionType::Ready) && !lasting.is_true(ConditionType::Synced));

        let limit = Error::Transient { reason: Reason::RateLimited, message: "for 3 s".into(), after: None };
        let limit = Outcome::Failed(limit);
        let limited = |status| after(status, &limit, &Pass { attempts: 9, ..pass(1) }).status;
        assert_eq!(limited(ready(1)), ready(1), "a limit alone is not worth a write");
        let told = limited(lasting);
        let synced = told.condition(ConditionType::Synced).unwrap();
        assert_eq!((&*synced.reason, &*synced.message), ("RateLimited", LIMITED));
        assert_eq!(limited(told.clone()), told);
    }

    #[test]
    fn a_deletion_that_has_to_wait_says_that_it_is_blocked() {
        for (reason, shown) in [
            (Reason::WaitingForWorkspace, "ApiRefused"),
            (Reason::ApplyFailed, "ApiRefused"),
            (Reason::CredentialsInvalid, "CredentialsUnavailable"),
        ] {
            let waits = Outcome::Failed(Error::waiting(reason, "not yet"));
            let status = after(ready(1), &waits, &Pass { deleting: true, ..pass(1) }).status;
            let blocked = status.condition(ConditionType::DeletionBlocked).unwrap();
            assert_eq!((&*blocked.status, &*blocked.reason), ("True", shown), "{reason:?}");
            assert!(blocked.message.contains("not yet"), "{}", blocked.message);
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let refuse = |reason, at| {
            let outcome = Outcome::Refused { reason, message: format!("{reason:?}") };
            (outcome, Pass { now: Timestamp::from_second(at).unwrap(), ..pass(1) })
        };
        let (outcome, first) = refuse(Reason::PermissionDenied, 2_000);
        let one = after(ready(1), &outcome, &first).status;
        let (outcome, second) = refuse(Reason::InvalidSpec, 3_000);
        let two = after(one.clone(), &outcome, &second).status;
        let time =
            |s: &AnyStatus| s.condition(ConditionType::Ready).unwrap().last_transition_time.0.as_second();
        assert_eq!((time(&one), time(&two)), (2_000, 2_000));
        assert_eq!(two.condition(ConditionType::Ready).unwrap().reason, "InvalidSpec");
    }

    #[test]
    fn the_same_failure_again_is_no_news() {
        let outcome = Outcome::Refused { reason: Reason::AlreadyExists, message: "it is there".into() };
        let one = after(AnyStatus::default(), &outcome, &pass(1));
        let two = after(one.status.clone(), &outcome, &Pass { attempts: 9, ..pass(1) });
        assert_eq!(one.notes.len(), 1);
        assert!(two.notes.is_empty());
        assert_eq!(one.status, two.status);
    }

    /// Covers OB-01. What several conditions say is one Warning, and a stop of the retries is no second one.
    #[test]
    fn one_fact_is_one_warning() {
        let warnings = |from: &AnyStatus, outcome: &Outcome, pass: &Pass| {
            let concluded = after(from.clone(), outcome, pass);
            let told: Vec<&'static str> =
                concluded.notes.iter().filter(|n| n.warning).map(|n| n.reason.name()).collect();
            (told, concluded.status)
        };
        let refused = |reason| Outcome::Refused { reason, message: "it is so".into() };
        let waits = |reason| Outcome::Failed(Error::waiting(reason, "it is so"));
        for (outcome, told) in [
            (refused(Reason::ExternalResourceMissing), "ExternalResourceMissing"),
            (refused(Reason::CredentialsInvalid), "CredentialsInvalid"),
            (refused(Reason::InvalidSpec), "Stalled"),
            (waits(Reason::ReferenceNotPermitted), "ReferenceNotPermitted"),
            (waits(Reason::CredentialsInvalid), "CredentialsInvalid"),
        ] {
            for start in [AnyStatus::default(), ready(1)] {
                let (first, status) = warnings(&start, &outcome, &pass(1));
                assert_eq!(first, [told], "{outcome:?}");
                assert_eq!(warnings(&status, &outcome, &pass(2)).0, [""; 0], "{outcome:?}");
            }
        }
        let (_, waiting) = warnings(&ready(1), &waits(Reason::CredentialsInvalid), &pass(1));
        let stalled = refused(Reason::CredentialsInvalid);
        assert_eq!(warnings(&waiting, &stalled, &pass(1)).0, [""; 0], "reported already");
        let deleting = Pass { deleting: true, ..pass(1) };
        let blocked = warnings(&waiting, &waits(Reason::CredentialsInvalid), &deleting).0;
        assert_eq!(blocked, ["DeletionBlocked"], "that the deletion waits is news");
        let (told, _) = warnings(&ready(1), &refused(Reason::PermissionDenied), &pass(1));
        assert_eq!(told, ["Stalled"]);
        let (_, one) = warnings(&ready(1), &refused(Reason::PermissionDenied), &pass(1));
        assert_eq!(warnings(&one, &refused(Reason::InvalidSpec), &pass(1)).0, ["Stalled"], "another reason");
    }

    /// Covers ER-10.
    #[test]
    fn a_refusal_by_databricks_is_stalled_only_once_it_is_confirmed() {
        let rejected = Outcome::Failed(Error::rejected(Reason::InvalidSpec, "400"));
        let first = after(ready(1), &rejected, &pass(2));
        let condition = |s: &AnyStatus, kind| {
            s.condition(kind).map(|c| format!("{} {} {}", c.status, c.reason, c.message))
        };
        assert_eq!(condition(&first.status, ConditionType::Ready).as_deref(), Some("False InvalidSpec 400"));
        assert_eq!(condition(&first.status, ConditionType::Synced).as_deref(), Some("False InvalidSpec 400"));
        assert_eq!(
            condition(&first.status, ConditionType::Reconciling).as_deref(),
            Some("True Retrying 400")
        );
        assert!(!first.status.is_true(ConditionType::Stalled));
        assert_eq!(first.status.observed_generation, 1, "the generation is still open");
        assert!(first.notes.iter().all(|n| n.reason != EventReason::Stalled));

        let last = after(first.status, &rejected, &Pass { refusals: 3, confirmed: true, ..pass(2) });
        assert_eq!(condition(&last.status, ConditionType::Stalled).as_deref(), Some("True InvalidSpec 400"));
        assert_eq!(last.status.observed_generation, 2);
        assert!(last.notes.iter().any(|n| n.reason == EventReason::Stalled));

        let ours = Outcome::Failed(Error::terminal(Reason::ImmutableFieldChanged, "no"));
        assert!(after(ready(1), &ours, &pass(2)).status.is_true(ConditionType::Stalled), "final at once");
    }

    /// Covers ER-10.
    #[test]
    fn what_is_refused_is_tried_again_in_growing_steps() {
        let delay = |error: Error, refusals| {
            let pass = Pass { refusals, confirmed: refusals > 2, chance: 0.0, ..pass(1) };
            after(AnyStatus::default(), &Outcome::Failed(error), &pass).requeue.unwrap().as_secs()
        };
        let delays = |error: &dyn Fn() -> Error| [0, 1, 2, 3, 20].map(|n| delay(error(), n));
        assert_eq!(delays(&|| Error::rejected(Reason::InvalidSpec, "400")), [10, 20, 40, 80, 1800]);
        assert_eq!(delays(&|| Error::terminal(Reason::InvalidSpec, "no")), [10, 20, 40, 80, 1800]);
    }

    /// Covers ER-11.
    #[test]
    fn a_refused_read_says_nothing_about_a_settled_object() {
        let refused = |read| {
            let (reason, message) = (Reason::PermissionDenied, "403".to_owned());
            Outcome::Failed(Error::Rejected { reason, message, patience: None, read })
        };
        let seen = |outcome, status: &AnyStatus, attempts, generation| {
            let outcome = weighed(outcome, status, generation);
            after(status.clone(), &outcome, &Pass { attempts, ..pass(generation) }).status
        };
        assert_eq!(seen(refused(true), &ready(1), 0, 1), ready(1));
        let lasting = seen(refused(true), &ready(1), 9, 1);
        assert!(lasting.is_true(ConditionType::Ready) && !lasting.is_true(ConditionType::Synced));
        assert!(!seen(refused(true), &ready(1), 0, 2).is_true(ConditionType::Ready), "a new generation");
        assert!(!seen(refused(false), &ready(1), 0, 1).is_true(ConditionType::Ready), "a refused write");
    }

    /// Covers ST-15.
    #[test]
    fn synced_does_not_speak_for_a_generation_that_was_not_compared() {
        let not_ready = Outcome::Failed(Error::waiting(Reason::ReferenceNotReady, "not yet"));
        let is = |status: &AnyStatus| status.condition(ConditionType::Synced).unwrap().status.clone();
        let waits = after(ready(1), &not_ready, &pass(2)).status;
        assert_eq!(is(&waits), "Unknown");
        assert_eq!(is(&after(waits, &not_ready, &pass(2)).status), "Unknown", "nor the next time");
        assert_eq!(is(&after(ready(1), &not_ready, &pass(1)).status), "True", "this one was compared");
        let progress =
            Outcome::Progress { reason: Reason::Provisioning, message: "begun".into(), sent: true };
        assert_eq!(is(&after(ready(1), &progress, &pass(2)).status), "Unknown");
    }

    #[test]
    fn drift_that_is_only_observed_is_shown_and_ready() {
        let drift = Drift { path: "label".into(), want: "1".into(), seen: "2".into() };
        let status = AnyStatus { drift: vec![drift], ..AnyStatus::default() };
        let concluded = after(status, &Outcome::Rest, &pass(1));
        assert!(
            concluded.status.is_true(ConditionType::Ready)
                && !concluded.status.is_true(ConditionType::Synced)
        );
        let told = concluded.status.condition(ConditionType::Ready).unwrap();
        assert_eq!((&*told.reason, &*told.message), ("DriftDetected", "differs in label"));
        let again = after(concluded.status.clone(), &Outcome::Rest, &pass(1));
        assert_eq!((again.status, again.notes), (concluded.status.clone(), vec![]));
        let corrected = AnyStatus { drift: vec![], ..concluded.status.clone() };
        let corrected = after(corrected, &Outcome::Rest, &pass(1));
        let told = corrected.status.condition(ConditionType::Ready).unwrap();
        assert_eq!((&*told.reason, &*told.message), ("Available", ""));
        assert_eq!(corrected.notes, [], "it was Ready all the time");
        assert!(
            concluded
                .notes
                .iter()
                .any(|n| n.reason == EventReason::DriftDetected && n.text.contains("label"))
        );
    }

    /// Covers LC-18.
    #[test]
    fn a_plan_is_neither_work_nor_a_failure() {
        let planned = |reason| {
            after(
                AnyStatus::default(),
                &Outcome::Planned { reason, message: "it is not there".into() },
                &pass(1),
            )
        };
        let plan = planned(Reason::WouldBeCreated);
        let said = |kind| plan.status.condition(kind).map(|c| format!("{} {}", c.status, c.reason));
        assert_eq!(said(ConditionType::Ready).as_deref(), Some("False WouldBeCreated"));
        assert_eq!(said(ConditionType::Synced).as_deref(), Some("False DriftDetected"));
        assert_eq!((said(ConditionType::Stalled), said(ConditionType::Reconciling)), (None, None));
        assert_eq!(
            (plan.status.observed_generation, plan.requeue.unwrap() >= Duration::from_secs(600)),
            (1, true)
        );
        let missing = planned(Reason::ExternalResourceMissing).status;
        assert_eq!(missing.condition(ConditionType::Synced).unwrap().reason, "ExternalResourceMissing");
        assert!(!missing.is_true(ConditionType::Stalled));
    }

    #[test]
    fn delays_grow_are_bounded_and_obey_the_server() {
        let delay = |error, attempts| {
            after(AnyStatus::default(), &Outcome::Failed(error), &Pass { attempts, ..pass(1) })
                .requeue
                .unwrap()
        };
        let seconds = |s| Duration::from_secs_f64(s);
        let delays: Vec<Duration> = (0..4).map(|n| delay(Error::retry("x"), n)).collect();
        assert_eq!(delays, [0.75, 1.5, 3.0, 6.0].map(seconds));
        assert_eq!(delay(Error::retry("x"), 50), seconds(225.0));
        let limited = Error::Transient {
            reason: Reason::RateLimited,
            message: "429".into(),
            after: Some(Duration::from_secs(40)),
        };
        assert!(delay(limited, 0) >= Duration::from_secs(40));
        assert_eq!(delay(Error::Conflict("x".into()), 0), Duration::ZERO);
        assert!(delay(Error::Conflict("x".into()), 3) > Duration::ZERO);
        let refused = Outcome::Refused { reason: Reason::ApplyFailed, message: "x".into() };
        let refused =
            |sent| after(AnyStatus::default(), &refused, &Pass { sent, ..pass(1) }).requeue.unwrap();
        assert!(refused(false) >= PACE.stalled_min && refused(true) == PACE.poll_min, "it may show soon");
        let never = Pass { resync: None, ..pass(1) };
        assert_eq!(after(AnyStatus::default(), &Outcome::Rest, &never).requeue, None);
    }
}
