//! How long each outcome waits for the next reconcile.

use super::*;

/// Covers ER-10.
#[test]
fn what_is_refused_is_tried_again_in_growing_steps() {
    let delay = |error: Error, refusals| {
        let pass = Circumstances { refusals, refusal_is_final: refusals > 2, chance: 0.0, ..pass(1) };
        after(AnyStatus::default(), &Outcome::Failed(error), &pass).requeue.unwrap().as_secs()
    };
    let delays = |error: &dyn Fn() -> Error| [0, 1, 2, 3, 20].map(|n| delay(error(), n));
    assert_eq!(delays(&|| Error::rejected(Reason::InvalidSpec, "400")), [10, 20, 40, 80, 1800]);
    assert_eq!(delays(&|| Error::terminal(Reason::InvalidSpec, "no")), [10, 20, 40, 80, 1800]);
}

#[test]
fn delays_grow_are_bounded_and_obey_the_server() {
    let delay = |error, attempts| {
        after(AnyStatus::default(), &Outcome::Failed(error), &Circumstances { attempts, ..pass(1) })
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
    let refused = |change_accepted| {
        after(AnyStatus::default(), &refused, &Circumstances { change_accepted, ..pass(1) }).requeue.unwrap()
    };
    assert!(refused(false) >= PACE.stalled_min && refused(true) == PACE.poll_min, "it may show soon");
    let never = Circumstances { next_due: None, ..pass(1) };
    assert_eq!(after(AnyStatus::default(), &Outcome::Rest, &never).requeue, None);
}

#[test]
fn each_outcome_is_reconciled_again_between_two_times() {
    use Reason::*;
    let seconds = Duration::from_secs_f64;
    let text = || "text".to_owned();
    let failed = Outcome::Failed;
    let transient = |after| Error::Transient { reason: Retrying, message: text(), after };
    let calm = || pass(1);
    let deleting = || Circumstances { deleting: true, ..pass(1) };
    let refused = || Outcome::Refused { reason: InvalidSpec, message: text() };
    for (outcome, pass, first, last) in [
        (Outcome::Rest, calm(), 600.0, 720.0),
        (Outcome::Planned { reason: WouldBeCreated, message: text() }, calm(), 600.0, 720.0),
        (Outcome::Again, calm(), 0.0, 0.0),
        (Outcome::Limited(seconds(7.0)), calm(), 7.0, 7.0),
        (Outcome::Progress { reason: Provisioning, message: text(), sent: true }, calm(), 2.5, 5.0),
        (Outcome::Progress { reason: AwaitingApproval, message: text(), sent: true }, calm(), 300.0, 360.0),
        (refused(), calm(), 10.0, 12.0),
        (refused(), Circumstances { refusals: 20, ..calm() }, 1_800.0, 2_160.0),
        (refused(), Circumstances { change_accepted: true, ..calm() }, 5.0, 5.0),
        (Outcome::Blocked { reason: DeletionProtected, message: text() }, deleting(), 300.0, 360.0),
        (Outcome::Partly { reason: SecretNotReadable, message: text() }, calm(), 300.0, 360.0),
        (
            failed(Error::rejected(OperatorNotPermitted, "")),
            Circumstances { refusals: 20, ..calm() },
            60.0,
            72.0,
        ),
        (
            failed(Error::rejected(InvalidSpec, "")),
            Circumstances { refusals: 20, ..calm() },
            1_800.0,
            2_160.0,
        ),
        (
            failed(Error::rejected(InvalidSpec, "")),
            Circumstances { refusals: 20, ..deleting() },
            300.0,
            360.0,
        ),
        (
            failed(Error::terminal(InvalidSpec, "")),
            Circumstances { refusals: 20, ..deleting() },
            300.0,
            360.0,
        ),
        (failed(Error::waiting(CredentialsInvalid, "")), calm(), 0.5, 1.0),
        (failed(Error::waiting(ReferenceNotReady, "")), calm(), 300.0, 300.0),
        (failed(Error::waiting(WaitingForWorkspace, "")), calm(), 0.5, 1.0),
        (failed(transient(None)), Circumstances { attempts: 2, ..calm() }, 2.0, 4.0),
        (failed(transient(Some(seconds(40.0)))), calm(), 40.0, 41.0),
        (failed(Error::Unknown { message: text() }), calm(), 0.5, 1.0),
        (failed(Error::Conflict(text())), calm(), 0.0, 0.0),
        (failed(Error::Conflict(text())), Circumstances { attempts: 1, ..calm() }, 1.0, 2.0),
        (failed(Error::Fenced), calm(), 0.5, 1.0),
    ] {
        let at =
            |chance| after(AnyStatus::default(), &outcome, &Circumstances { chance, ..pass.clone() }).requeue;
        assert_eq!((at(0.0), at(1.0)), (Some(seconds(first)), Some(seconds(last))), "{outcome:?}");
    }
    assert_eq!(after(ready(1), &Outcome::Suspended, &calm()).requeue, None, "an edit triggers it");
}
