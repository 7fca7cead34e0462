//! What to do about an object in the account that is not proven to be ours: adopt it, if the policy allows that, or leave it alone. Pure.

use super::secret::IssuedSecret;
use super::step::{Step, View, refuse};
use crate::engine::crd::{AdoptionPolicy, EXTERNAL_ID, Reason};
use crate::engine::kind::{Phase, Seen};
use crate::engine::pass::bound::BoundAs;

/// An object that matches the spec. `marked` if it carries our mark.
pub fn foreign(view: &View<'_>, seen: &Seen, marked: bool) -> Step {
    if let Some(secret) = &view.secret
        && !view.observe
        && view.bound_as != BoundAs::Managed
    {
        return instead_of_adoption(view, secret, seen);
    }
    let allowed = match view.adoption {
        AdoptionPolicy::IfExists | AdoptionPolicy::Required => true,
        AdoptionPolicy::IfOwned => marked || view.spec_id.is_some() || view.bound_as == BoundAs::NamedBySpec,
        AdoptionPolicy::Never => false,
    };
    // Nothing manages it, so no permission is needed either: it is as good as missing.
    let vacant =
        seen.about.phase == Phase::Vacant && matches!(view.bound_as, BoundAs::Nothing | BoundAs::Observed);
    if vacant && !allowed && !view.observe {
        return Step::TakeUp;
    }
    // Nothing is written to what is only observed, so that needs no permission.
    if (allowed || view.observe) && view.bound_as != BoundAs::Managed {
        return Step::Adopt;
    }
    if view.copied && seen.about.owner.is_some() {
        return refuse(
            Reason::AlreadyExists,
            format!(
                "the annotation {EXTERNAL_ID} names the object {}, which carries the mark of another Kubernetes object, so it is left \
                 alone: if that one is gone and the name is right, set spec.adoptionPolicy to IfExists to adopt it",
                seen.id
            ),
        );
    }
    if view.copied && view.bound_as == BoundAs::Managed {
        return refuse(
            Reason::AlreadyExists,
            format!(
                "the annotation {EXTERNAL_ID} names the object {}, which does not match the spec, so it is left alone: correct the \
                 annotation or the spec; or, to adopt that object, remove the annotation, and set spec.externalId to its id and \
                 spec.adoptionPolicy to IfExists",
                seen.id
            ),
        );
    }
    if view.bound_as == BoundAs::Managed {
        return refuse(
            Reason::AlreadyExists,
            format!(
                "the object {} in the account no longer looks like the one this object manages, so it is left alone: \
                 change it back there, or apply this object again with spec.externalId and spec.adoptionPolicy: IfExists",
                seen.id
            ),
        );
    }
    refuse(
        Reason::AlreadyExists,
        format!(
            "{} is in the account already, with the id {}: set spec.adoptionPolicy to IfExists to adopt it, \
             or give this one another name",
            view.called, seen.id
        ),
    )
}

/// The value of a secret that exists is not known. One that was only observed stays, and another one is created; unless it is more than
/// a secret.
fn instead_of_adoption(view: &View<'_>, secret: &IssuedSecret, seen: &Seen) -> Step {
    if secret.without_successor {
        let text = format!(
            "{} is in the account already, with the id {}, and no read shows its secret: to adopt it without its secret, remove \
             spec.secretName and set spec.adoptionPolicy to Required; otherwise give this one another name",
            view.called, seen.id
        );
        return refuse(Reason::AlreadyExists, text);
    }
    if view.bound_as == BoundAs::Observed && view.adoption != AdoptionPolicy::Required {
        return Step::Create;
    }
    refuse(
        Reason::AlreadyExists,
        "a secret that exists cannot be managed, as its value is not known: to have one created, remove spec.externalId and \
         spec.adoptionPolicy: Required",
    )
}
