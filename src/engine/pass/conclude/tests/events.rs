//! Which transitions are events, and which of them are warnings.

use super::*;

#[test]
fn the_same_failure_again_is_no_news() {
    let outcome = Outcome::Refused { reason: Reason::AlreadyExists, message: "it is there".into() };
    let one = after(AnyStatus::default(), &outcome, &pass(1));
    let two = after(one.status.clone(), &outcome, &Circumstances { attempts: 9, ..pass(1) });
    assert_eq!(one.notes.len(), 1);
    assert!(two.notes.is_empty());
    assert_eq!(one.status, two.status);
}

/// Covers OB-01. What several conditions say is one Warning, and a stop of the retries is no second one.
#[test]
fn one_fact_is_one_warning() {
    let warnings = |from: &AnyStatus, outcome: &Outcome, pass: &Circumstances| {
        let concluded = after(from.clone(), outcome, pass);
        let events: Vec<&'static str> =
            concluded.notes.iter().filter(|n| n.warning).map(|n| n.reason.name()).collect();
        (events, concluded.status)
    };
    let refused = |reason| Outcome::Refused { reason, message: "it is so".into() };
    let waits = |reason| Outcome::Failed(Error::waiting(reason, "it is so"));
    for (outcome, event) in [
        (refused(Reason::ExternalResourceMissing), "ExternalResourceMissing"),
        (refused(Reason::CredentialsInvalid), "CredentialsInvalid"),
        (refused(Reason::InvalidSpec), "Stalled"),
        (waits(Reason::ReferenceNotPermitted), "ReferenceNotPermitted"),
        (waits(Reason::CredentialsInvalid), "CredentialsInvalid"),
    ] {
        for start in [AnyStatus::default(), ready(1)] {
            let (first, status) = warnings(&start, &outcome, &pass(1));
            assert_eq!(first, [event], "{outcome:?}");
            assert_eq!(warnings(&status, &outcome, &pass(2)).0, [""; 0], "{outcome:?}");
        }
    }
    let (_, waiting) = warnings(&ready(1), &waits(Reason::CredentialsInvalid), &pass(1));
    let stalled = refused(Reason::CredentialsInvalid);
    assert_eq!(warnings(&waiting, &stalled, &pass(1)).0, [""; 0], "reported already");
    let deleting = Circumstances { deleting: true, ..pass(1) };
    let blocked = warnings(&waiting, &waits(Reason::CredentialsInvalid), &deleting).0;
    assert_eq!(blocked, ["DeletionBlocked"], "that the deletion waits is news");
    let (events, _) = warnings(&ready(1), &refused(Reason::PermissionDenied), &pass(1));
    assert_eq!(events, ["Stalled"]);
    let (_, one) = warnings(&ready(1), &refused(Reason::PermissionDenied), &pass(1));
    assert_eq!(warnings(&one, &refused(Reason::InvalidSpec), &pass(1)).0, ["Stalled"], "another reason");
}

#[test]
fn what_begins_and_ends_is_an_event_that_is_no_warning() {
    let events = |start: &AnyStatus, outcome: &Outcome| -> Vec<String> {
        let concluded = after(start.clone(), outcome, &pass(1));
        assert!(concluded.notes.iter().all(|note| !note.warning), "{:?}", concluded.notes);
        concluded.notes.iter().map(|note| format!("{} {}", note.reason.name(), note.text)).collect()
    };
    let usable = Outcome::Partly { reason: Reason::SecretNotReadable, message: "one field".into() };
    let suspended = after(ready(1), &Outcome::Suspended, &pass(1)).status;
    let matches = "Ready the object in the account matches the spec";
    assert_eq!(events(&AnyStatus::default(), &Outcome::Rest), [matches]);
    assert_eq!(events(&AnyStatus::default(), &usable), ["Ready the object in the account is usable"]);
    assert_eq!(events(&ready(1), &Outcome::Suspended), ["Suspended spec.suspend is true"]);
    assert_eq!(events(&suspended, &Outcome::Suspended), [""; 0]);
    assert_eq!(events(&suspended, &Outcome::Rest), [matches, "Resumed spec.suspend is no longer true"]);
    assert_eq!(events(&ready(1), &Outcome::Rest), [""; 0]);
}

/// It has no object in the account.
#[test]
fn a_databricks_auth_reports_its_credentials() {
    let pass = Circumstances { ready: Reason::Authenticated, ..pass(1) };
    let works = after(AnyStatus::default(), &Outcome::Rest, &pass);
    let texts: Vec<&str> = works.notes.iter().map(|note| &*note.text).collect();
    assert_eq!(texts, ["a token was obtained: the credentials work"]);
    let suspended = after(works.status.clone(), &Outcome::Suspended, &pass).status;
    let said = &suspended.condition(ConditionType::Ready).unwrap().message;
    assert!(said.ends_with("the objects that use them wait"), "{said}");
}

/// Covers OB-01.
#[test]
fn drift_of_other_fields_is_news_and_another_text_of_the_same_failure_is_none() {
    let drifted = |start: &AnyStatus, path: &str| {
        let drift = Drift { path: path.into(), want: "1".into(), seen: "2".into() };
        after(AnyStatus { drift: vec![drift], ..start.clone() }, &Outcome::Rest, &pass(1))
    };
    let label = drifted(&ready(1), "label");
    assert_eq!(label.notes.len(), 1);
    let name = drifted(&label.status, "name");
    assert_eq!(name.notes.iter().map(|n| &*n.text).collect::<Vec<_>>(), ["differs in name"]);
    let refused = |start: &AnyStatus, text: &str| {
        let outcome = Outcome::Refused { reason: Reason::AlreadyExists, message: text.into() };
        after(start.clone(), &outcome, &pass(1))
    };
    let one = refused(&ready(1), "the id is 1");
    assert_eq!((one.notes.len(), refused(&one.status, "the id is 2").notes.len()), (1, 0));
}
