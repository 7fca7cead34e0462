//! What to do about a create whose result is not known. Pure.

use k8s_openapi::jiff::Timestamp;

use super::step::{Step, View, refuse};
use crate::engine::crd::Reason;
use crate::engine::pass::reading::Interrupted;

/// A create whose result is not known. An object that was created at another time may be another user's, or ours by a wrong
/// clock, and so may one whose time is not known: a person must decide. Once the spec names one of them, that one is adopted, if
/// the policy allows it. A secret that no Kubernetes Secret holds is lost, so it is deleted instead of bound; an object that is more
/// than its secret is bound without it.
pub fn recover(view: &View<'_>, create: &Interrupted) -> Step {
    let (hits, in_time, sent) = match create {
        Interrupted::TooEarly(after) => {
            let message =
                "a create was interrupted; waiting until the account certainly shows what it created";
            return Step::DecideLater { after: *after, message: message.into() };
        }
        Interrupted::Since { hits, in_time, sent } => (hits, *in_time, sent),
    };
    let secret = view.secret.as_ref();
    let is_secret = secret.is_some_and(|secret| !secret.without_successor);
    let decided = view.spec_id.is_some_and(|id| hits.iter().any(|hit| hit == id)) && !view.deleting;
    match hits.as_slice() {
        [] => Step::DropIntent,
        // The Kubernetes Secret holds it: only the status does not say so yet.
        hits if let Some(id) = secret.and_then(|secret| hits.iter().find(|id| secret.holds(id))) => {
            Step::BindCreated(id.clone())
        }
        [id] if in_time && !is_secret => Step::BindCreated(id.clone()),
        [id] if in_time && !view.observe => Step::Discard(id.clone()),
        _ if decided => Step::DropIntent,
        [id] if in_time => refuse(
            Reason::CreateResultUnknown,
            format!(
                "a create was interrupted at {sent}, and the value of its secret {id} is lost: delete the secret in the account, or set \
                 spec.managementPolicy to Managed to have the operator delete it"
            ),
        ),
        several => undecided(view, several, sent),
    }
}

/// What may or may not be the result of a create is for a person.
fn undecided(view: &View<'_>, hits: &[String], sent: &Timestamp) -> Step {
    let text = format!(
        "a create was interrupted at {sent}, and what is in the account now may or may not be its result ({})",
        hits.join(", ")
    );
    let delete = "delete in the account what is not intended";
    if view.deleting {
        let retain = "or set spec.deletionPolicy to Retain to leave it there";
        return refuse(Reason::ApiRefused, format!("{text}: {delete}, {retain}"));
    }
    let adopt = match &view.secret {
        None => "set spec.externalId to the id of the right one to adopt it",
        Some(secret) if secret.without_successor => {
            "set spec.externalId to the id of the right one and remove spec.secretName to adopt it without its secret"
        }
        // No policy adopts a secret.
        Some(_) => return refuse(Reason::CreateResultUnknown, format!("{text}: {delete}")),
    };
    refuse(Reason::CreateResultUnknown, format!("{text}: {adopt}, or {delete}"))
}
