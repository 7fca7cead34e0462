//! The events of a reconcile: what became true between two statuses. It writes none, and knows nothing of outcomes.

use crate::engine::crd::{AnyStatus, ConditionType, EventReason, Note};

/// Events for what became true.
pub fn transitions(before: &AnyStatus, after: &AnyStatus) -> Vec<Note> {
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
