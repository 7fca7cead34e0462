//! Every outcome from every status: which conditions, events and delays follow. No clock, no chance. Longer than other
//! files, as all of it is about one function.

mod events;
mod requeue;

use k8s_openapi::jiff::Timestamp;

use super::verdicts::LIMITED;
use super::*;
use crate::engine::crd::{Drift, EventReason};

const PACE: Pace = Pace {
    backoff_min: Duration::from_secs(1),
    backoff_max: Duration::from_secs(300),
    poll_min: Duration::from_secs(5),
    poll_max: Duration::from_secs(60),
    waiting: Duration::from_secs(300),
    stalled_min: Duration::from_secs(10),
    stalled: Duration::from_secs(1800),
};

fn pass(generation: i64) -> Circumstances {
    Circumstances {
        generation,
        deleting: false,
        attempts: 0,
        refusals: 0,
        refusal_is_final: false,
        resolved: true,
        unresolved: None,
        ready: Reason::Available,
        remark: None,
        change_accepted: false,
        next_due: Some(Duration::from_secs(600)),
        now: Timestamp::from_second(1_000).unwrap(),
        chance: 0.5,
    }
}

fn after(status: AnyStatus, outcome: &Outcome, pass: &Circumstances) -> Conclusion {
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
            for (deleting, unresolved) in [(false, false), (false, true), (true, false)] {
                let unresolved = unresolved.then(|| (Reason::ReferenceNotFound, "no ghost".to_owned()));
                let pass = Circumstances { deleting, unresolved, attempts: 5, ..pass(2) };
                let fresh = start.conditions.is_empty();
                let status = after(start.clone(), &outcome, &pass).status;
                let is = |kind| status.is_true(kind);
                let has = |kind| status.condition(kind).is_some();
                use ConditionType::*;
                assert!(!(is(Reconciling) && is(Stalled)), "{outcome:?}");
                assert!(!is(Ready) || !(has(Reconciling) || has(Stalled)), "{outcome:?}");
                assert!(status.observed_generation <= 2, "{outcome:?}");
                let untouched = fresh && status.conditions.is_empty();
                assert!(untouched || (has(Ready) && has(Synced) && has(ReferencesResolved)), "{outcome:?}");
                assert!(status.conditions.iter().all(|c| c.observed_generation <= Some(2)), "{outcome:?}");
                if is(Ready) {
                    let same = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                        c.observed_generation == Some(status.observed_generation)
                    };
                    assert!(status.conditions.iter().all(same), "{outcome:?} from {start:?}: {status:?}");
                }
                assert!(!has(DeletionBlocked) || deleting || matches!(outcome, Outcome::Blocked { .. }));
            }
        }
    }
}

/// Covers LC-26.
#[test]
fn what_a_user_has_to_know_of_a_ready_object_is_the_message_of_ready() {
    let message = |start: AnyStatus, outcome: &Outcome, remark: Option<&str>| {
        let pass = Circumstances { remark: remark.map(str::to_owned), ..pass(1) };
        let status = after(start, outcome, &pass).status;
        status.condition(ConditionType::Ready).unwrap().message.clone()
    };
    let no_effect = Some("it has no effect");
    assert_eq!(message(AnyStatus::default(), &Outcome::Rest, no_effect), "it has no effect");
    assert_eq!(message(ready(1), &Outcome::Rest, None), "");
    let refused = Outcome::Refused { reason: Reason::AlreadyExists, message: "taken".into() };
    assert_eq!(message(ready(1), &refused, no_effect), "taken", "what stops it comes first");
    let partly = Outcome::Partly { reason: Reason::SecretNotReadable, message: "one field".into() };
    assert_eq!(message(ready(1), &partly, no_effect), "one field");
}

/// Covers RF-12.
#[test]
fn what_is_left_out_is_named_whatever_else_was_found() {
    use ConditionType::*;
    let unresolved = Some((Reason::ReferenceNotFound, "no user ghost".to_owned()));
    let pass = Circumstances { unresolved, ..pass(2) };
    let Conclusion { status, requeue, .. } = after(AnyStatus::default(), &Outcome::Rest, &pass);
    let is = |kind, is: &str, reason: &str, text: &str| {
        let found = status.condition(kind).unwrap();
        assert_eq!((&*found.status, &*found.reason, &*found.message), (is, reason, text), "{kind:?}");
    };
    is(Ready, "False", "ReferenceNotFound", "no user ghost");
    is(ReferencesResolved, "False", "ReferenceNotFound", "no user ghost");
    is(Reconciling, "True", "WaitingForReference", "no user ghost");
    is(Synced, "False", "WaitingForReference", "no user ghost");
    assert_eq!(
        (status.observed_generation, requeue),
        (2, Some(PACE.waiting)),
        "carried out, and not forgotten"
    );
    let never =
        after(AnyStatus::default(), &Outcome::Rest, &Circumstances { next_due: None, ..pass.clone() });
    assert_eq!(never.requeue, Some(PACE.waiting));

    let refused = Outcome::Refused { reason: Reason::AlreadyExists, message: "taken".into() };
    let status = after(AnyStatus::default(), &refused, &pass).status;
    let ready = status.condition(Ready).unwrap();
    assert_eq!(
        (&*ready.reason, status.is_true(Stalled)),
        ("AlreadyExists", true),
        "what stops it comes first"
    );
    assert!(!status.is_true(ReferencesResolved) && !status.is_true(Reconciling));
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
    let lasting = after(ready(1), &blip, &Circumstances { attempts: 3, ..pass(1) }).status;
    assert!(lasting.is_true(ConditionType::Ready) && !lasting.is_true(ConditionType::Synced));

    let limit = Error::Transient { reason: Reason::RateLimited, message: "for 3 s".into(), after: None };
    let limit = Outcome::Failed(limit);
    let limited = |status| after(status, &limit, &Circumstances { attempts: 9, ..pass(1) }).status;
    assert_eq!(limited(ready(1)), ready(1), "a limit alone is not worth a write");
    let shown = limited(lasting);
    let synced = shown.condition(ConditionType::Synced).unwrap();
    assert_eq!((&*synced.reason, &*synced.message), ("RateLimited", LIMITED));
    assert_eq!(limited(shown.clone()), shown);
}

#[test]
fn a_deletion_that_has_to_wait_says_that_it_is_blocked() {
    for (reason, shown) in [
        (Reason::WaitingForWorkspace, "ApiRefused"),
        (Reason::ApplyFailed, "ApiRefused"),
        (Reason::CredentialsInvalid, "CredentialsUnavailable"),
    ] {
        let waits = Outcome::Failed(Error::waiting(reason, "not yet"));
        let status = after(ready(1), &waits, &Circumstances { deleting: true, ..pass(1) }).status;
        let blocked = status.condition(ConditionType::DeletionBlocked).unwrap();
        assert_eq!((&*blocked.status, &*blocked.reason), ("True", shown), "{reason:?}");
        assert!(blocked.message.contains("not yet"), "{}", blocked.message);
    }
}

#[test]
fn a_sign_in_that_fails_blocks_a_deletion_only_if_that_lasts() {
    let reason = Reason::CredentialsUnavailable;
    let fails = Outcome::Failed(Error::Transient { reason, message: "no answer".into(), after: None });
    let deleting = |attempts| Circumstances { deleting: true, attempts, ..pass(1) };
    let blip = after(ready(1), &fails, &deleting(2));
    assert_eq!((blip.status, blip.notes), (ready(1), vec![]));
    let restored = after(AnyStatus::default(), &fails, &deleting(0)).status;
    assert_eq!(shown(&restored), BEGUN, "without its status");
    let lasting = after(ready(1), &fails, &deleting(3));
    let blocked = lasting.status.condition(ConditionType::DeletionBlocked).unwrap();
    assert_eq!(blocked.reason, "CredentialsUnavailable");
    assert!(blocked.message.starts_with("no answer; to leave the object"), "{}", blocked.message);
    let again = after(lasting.status.clone(), &fails, &deleting(0));
    assert_eq!((again.status, again.notes), (lasting.status, vec![]), "after a restart of the operator");
}

#[test]
fn the_transition_time_moves_only_with_the_status() {
    let refuse = |reason, at| {
        let outcome = Outcome::Refused { reason, message: format!("{reason:?}") };
        (outcome, Circumstances { now: Timestamp::from_second(at).unwrap(), ..pass(1) })
    };
    let (outcome, first) = refuse(Reason::PermissionDenied, 2_000);
    let one = after(ready(1), &outcome, &first).status;
    let (outcome, second) = refuse(Reason::InvalidSpec, 3_000);
    let two = after(one.clone(), &outcome, &second).status;
    let time = |s: &AnyStatus| s.condition(ConditionType::Ready).unwrap().last_transition_time.0.as_second();
    assert_eq!((time(&one), time(&two)), (2_000, 2_000));
    assert_eq!(two.condition(ConditionType::Ready).unwrap().reason, "InvalidSpec");
}

/// Covers ER-10.
#[test]
fn a_refusal_by_databricks_is_stalled_only_once_it_is_confirmed() {
    let rejected = Outcome::Failed(Error::rejected(Reason::InvalidSpec, "400"));
    let first = after(ready(1), &rejected, &pass(2));
    let condition =
        |s: &AnyStatus, kind| s.condition(kind).map(|c| format!("{} {} {}", c.status, c.reason, c.message));
    assert_eq!(condition(&first.status, ConditionType::Ready).as_deref(), Some("False InvalidSpec 400"));
    assert_eq!(condition(&first.status, ConditionType::Synced).as_deref(), Some("False InvalidSpec 400"));
    assert_eq!(condition(&first.status, ConditionType::Reconciling).as_deref(), Some("True Retrying 400"));
    assert!(!first.status.is_true(ConditionType::Stalled));
    assert_eq!(first.status.observed_generation, 1, "the generation is still open");
    assert!(first.notes.iter().all(|n| n.reason != EventReason::Stalled));

    let last =
        after(first.status, &rejected, &Circumstances { refusals: 3, refusal_is_final: true, ..pass(2) });
    assert_eq!(condition(&last.status, ConditionType::Stalled).as_deref(), Some("True InvalidSpec 400"));
    assert_eq!(last.status.observed_generation, 2);
    assert!(last.notes.iter().any(|n| n.reason == EventReason::Stalled));

    let ours = Outcome::Failed(Error::terminal(Reason::ImmutableFieldChanged, "no"));
    assert!(after(ready(1), &ours, &pass(2)).status.is_true(ConditionType::Stalled), "final at once");
}

/// Covers ER-11.
#[test]
fn a_refused_read_says_nothing_about_a_settled_object() {
    let refused = |about_object| {
        let (reason, message) = (Reason::PermissionDenied, "403".to_owned());
        Outcome::Failed(Error::Rejected { reason, message, patience: None, about_object })
    };
    let seen = |outcome, status: &AnyStatus, attempts, generation| {
        let outcome = weighed(outcome, status, generation);
        after(status.clone(), &outcome, &Circumstances { attempts, ..pass(generation) }).status
    };
    assert_eq!(seen(refused(false), &ready(1), 0, 1), ready(1));
    let lasting = seen(refused(false), &ready(1), 9, 1);
    assert!(lasting.is_true(ConditionType::Ready) && !lasting.is_true(ConditionType::Synced));
    let shown = |status: AnyStatus| status.condition(ConditionType::Ready).unwrap().reason.clone();
    assert_eq!(shown(seen(refused(false), &ready(1), 0, 2)), "PermissionDenied", "a new generation");
    assert_eq!(shown(seen(refused(true), &ready(1), 0, 1)), "PermissionDenied", "a refused write");
    let failed =
        after(AnyStatus::default(), &Outcome::Failed(Error::terminal(Reason::InvalidSpec, "no")), &pass(1));
    assert_eq!(shown(seen(refused(false), &failed.status, 0, 1)), "PermissionDenied", "it was not Ready");
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
    let progress = Outcome::Progress { reason: Reason::Provisioning, message: "begun".into(), sent: true };
    assert_eq!(is(&after(ready(1), &progress, &pass(2)).status), "Unknown");
}

#[test]
fn drift_that_is_only_observed_is_shown_and_ready() {
    let drift = Drift { path: "label".into(), want: "1".into(), seen: "2".into() };
    let status = AnyStatus { drift: vec![drift], ..AnyStatus::default() };
    let concluded = after(status, &Outcome::Rest, &pass(1));
    assert!(
        concluded.status.is_true(ConditionType::Ready) && !concluded.status.is_true(ConditionType::Synced)
    );
    let ready = concluded.status.condition(ConditionType::Ready).unwrap();
    assert_eq!((&*ready.reason, &*ready.message), ("DriftDetected", "differs in label"));
    let again = after(concluded.status.clone(), &Outcome::Rest, &pass(1));
    assert_eq!((again.status, again.notes), (concluded.status.clone(), vec![]));
    let corrected = AnyStatus { drift: vec![], ..concluded.status.clone() };
    let corrected = after(corrected, &Outcome::Rest, &pass(1));
    let ready = corrected.status.condition(ConditionType::Ready).unwrap();
    assert_eq!((&*ready.reason, &*ready.message), ("Available", ""));
    assert_eq!(corrected.notes, [], "it was Ready all the time");
    assert!(
        concluded.notes.iter().any(|n| n.reason == EventReason::DriftDetected && n.text.contains("label"))
    );
}

/// Covers LC-18.
#[test]
fn a_plan_is_neither_work_nor_a_failure() {
    let planned = |reason| {
        after(AnyStatus::default(), &Outcome::Planned { reason, message: "it is not there".into() }, &pass(1))
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

/// The conditions of a status, as `type status reason`.
fn shown(status: &AnyStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
}

const BEGUN: [&str; 4] = [
    "Ready False Progressing",
    "Synced Unknown Progressing",
    "ReferencesResolved False Progressing",
    "Reconciling True Progressing",
];

#[test]
fn a_reconcile_that_only_has_to_be_repeated_is_no_news_but_a_new_object_shows_that_it_began() {
    for outcome in [Outcome::Again, Outcome::Failed(Error::Conflict("a stale read".into()))] {
        let fresh = after(AnyStatus::default(), &outcome, &pass(1)).status;
        assert_eq!(shown(&fresh), BEGUN, "{outcome:?}");
        assert_eq!(fresh.observed_generation, AnyStatus::default().observed_generation, "not processed");
        assert_eq!(after(ready(1), &outcome, &pass(2)).status, ready(1), "{outcome:?}");
    }
}

#[test]
fn conflicts_are_shown_once_they_last() {
    let conflict = Outcome::Failed(Error::Conflict("a stale read".into()));
    let synced = |start: AnyStatus, attempts, generation| {
        let status = after(start, &conflict, &Circumstances { attempts, ..pass(generation) }).status;
        status.condition(ConditionType::Synced).map(|c| format!("{} {}", c.status, c.reason)).unwrap()
    };
    assert_eq!(synced(ready(1), 7, 1), "True InSync");
    assert_eq!(synced(ready(1), 8, 1), "False Retrying");
    assert_eq!(synced(ready(1), 7, 2), "True InSync", "an edited object too");
    assert_eq!(synced(ready(1), 8, 2), "False Retrying");
    assert_eq!(synced(AnyStatus::default(), 8, 1), "Unknown Progressing", "it has begun, no more");
}

#[test]
fn a_deletion_that_the_account_does_not_carry_out_is_blocked_and_says_how_to_end_it() {
    use Reason::*;
    let transient = |reason| Error::Transient { reason, message: "no".into(), after: None };
    for (error, blocked) in [
        (Error::rejected(OperatorNotPermitted, "no"), Some("OperatorNotPermitted")),
        (Error::rejected(InvalidSpec, "no"), Some("ApiRefused")),
        (Error::terminal(OperatorNotPermitted, "no"), Some("ApiRefused")),
        (Error::waiting(SecretNotFound, "no"), Some("ApiRefused")),
        (Error::waiting(DependencyStillInUse, "no"), Some("DependencyStillInUse")),
        (Error::waiting(ReferenceNotFound, "no"), Some("CredentialsUnavailable")),
        (transient(AddressBlocked), Some("CredentialsUnavailable")),
        (transient(WaitingForWorkspace), Some("WaitingForWorkspace")),
        (transient(Retrying), None),
    ] {
        let deleting = Circumstances { deleting: true, ..pass(1) };
        let status = after(ready(1), &Outcome::Failed(error.clone()), &deleting).status;
        let condition = status.condition(ConditionType::DeletionBlocked);
        assert_eq!(condition.map(|c| &*c.reason), blocked, "{error:?}");
        let way_out = match blocked {
            Some("OperatorNotPermitted") => "no",
            _ => "no; to leave the object in the account, set spec.deletionPolicy to Retain",
        };
        assert!(condition.is_none_or(|c| c.message == way_out), "{condition:?}");
        assert_eq!(status.is_true(ConditionType::Reconciling), blocked.is_none(), "{error:?}");
        assert!(!status.is_true(ConditionType::Ready), "{error:?}");
    }
    let named = Outcome::Failed(Error::terminal(DeletionProtected, "set spec.deletionPolicy"));
    let status = after(ready(1), &named, &Circumstances { deleting: true, ..pass(1) }).status;
    let said = &status.condition(ConditionType::DeletionBlocked).unwrap().message;
    assert_eq!(said, "set spec.deletionPolicy", "it names a way already");
}

/// Covers UX-09.
#[test]
fn the_runbook_has_each_reason_of_a_blocked_deletion() {
    use Reason::*;
    let page = include_str!("../../../../docs/runbooks/DatabricksOperatorDeletionBlocked.md");
    let deleting = Circumstances { deleting: true, ..pass(1) };
    let failures = every_outcome().into_iter().filter(|outcome| matches!(outcome, Outcome::Failed(_)));
    let mut reasons: Vec<String> = failures
        .filter_map(|failure| {
            let status = after(ready(1), &failure, &deleting).status;
            status.condition(ConditionType::DeletionBlocked).map(|c| c.reason.clone())
        })
        .collect();
    assert!(!reasons.is_empty());
    // Decided without a failure: see where an Outcome::Blocked begins.
    let decided = [DeletionProtected, DependencyStillInUse, ForeignFinalizer, TooManyDeletions];
    reasons.extend(decided.map(|reason| reason.name().to_owned()));
    for reason in reasons {
        assert!(page.contains(&format!("* `{reason}`: ")), "the runbook does not explain {reason}");
    }
}

/// Covers ST-15.
#[test]
fn references_are_what_the_failure_says_of_them_or_else_what_was_last_found() {
    use Reason::*;
    let of = |start: AnyStatus, outcome: &Outcome, resolved| {
        let status = after(start, outcome, &Circumstances { resolved, ..pass(1) }).status;
        status
            .condition(ConditionType::ReferencesResolved)
            .map(|c| format!("{} {}", c.status, c.reason))
            .unwrap()
    };
    let refused = |reason| Outcome::Refused { reason, message: "no".into() };
    let waits = |reason| Outcome::Failed(Error::waiting(reason, "no"));
    let rejected = |reason| Outcome::Failed(Error::rejected(reason, "no"));
    for (outcome, expected) in [
        (refused(AccountMismatch), "False AccountMismatch"),
        (refused(CredentialsInvalid), "False CredentialsInvalid"),
        (refused(SecretNotFound), "False SecretNotFound"),
        (refused(InvalidSpec), "True Resolved"),
        (rejected(AccountMismatch), "False AccountMismatch"),
        (rejected(ReferenceNotFound), "False ReferenceNotFound"),
        (rejected(InvalidSpec), "True Resolved"),
        (waits(ReferenceNotReady), "False ReferenceNotReady"),
        (waits(SecretValueEmpty), "False SecretValueEmpty"),
        (waits(WaitingForWorkspace), "True Resolved"),
    ] {
        assert_eq!(of(AnyStatus::default(), &outcome, true), expected, "{outcome:?}");
    }
    let early = refused(InvalidSpec);
    assert_eq!(of(AnyStatus::default(), &early, false), "False Progressing", "nothing is known yet");
    assert_eq!(of(ready(1), &early, false), "True Resolved", "they were found");
    let lost = after(ready(1), &waits(ReferenceNotFound), &pass(1)).status;
    assert_eq!(of(lost.clone(), &early, false), "False ReferenceNotFound", "they were not");
    assert_eq!(of(lost, &early, true), "True Resolved", "they are found by now");
}

#[test]
fn an_object_that_waits_for_a_reference_says_so_and_any_other_retries() {
    let reconciling = |reason| {
        let status = after(ready(1), &Outcome::Failed(Error::waiting(reason, "no")), &pass(1)).status;
        status.condition(ConditionType::Reconciling).unwrap().reason.clone()
    };
    assert_eq!(reconciling(Reason::ReferenceNotReady), "WaitingForReference");
    assert_eq!(reconciling(Reason::SecretNotFound), "WaitingForReference");
    assert_eq!(reconciling(Reason::WaitingForWorkspace), "Retrying");
    let limit = Error::Transient { reason: Reason::RateLimited, message: "429".into(), after: None };
    let limited = after(ready(1), &Outcome::Failed(limit), &pass(2)).status;
    assert_eq!(limited.condition(ConditionType::Reconciling).unwrap().reason, "RateLimited");
}
