//! What to do, given the desired state, the observed state and the record. Pure: a table written as code, no clock, no I/O.

mod foreign;
mod recover;
mod secret;
mod step;
mod words;

pub use secret::IssuedSecret;
pub use step::{Released, Running, Step, View};
pub use words::{managed_by, part_managed_by, spec_path, words};

use foreign::foreign;
use recover::recover;
use secret::Task;
use step::{plan, refuse, wait};
use words::{lost_for_good, restore_first, start_over, write_back};

use std::time::Duration;

use super::bound::BoundAs;
use super::reading::Found;
use crate::engine::crd::{AdoptionPolicy, RECONCILE_REQUESTED, Reason};
use crate::engine::kind::{Change, Phase, Seen, When, at};

/// The step for a view.
pub fn decide(view: &View<'_>) -> Step {
    if view.deleting { deleting(view) } else { living(view) }
}

/// Decides what needs no response of the account about a deletion: it needs no credentials then. So it is asked before the account is
/// read, and again as a part of the whole decision. The arguments are those of a [`View`].
pub fn deleting_without_account(bound_as: BoundAs, delete_outside: bool, protected: bool) -> Option<Step> {
    if bound_as == BoundAs::Nothing || bound_as == BoundAs::NamedBySpec {
        return Some(Step::Release(Released::NeverCreated));
    }
    if !delete_outside || bound_as == BoundAs::Observed {
        return Some(Step::Release(Released::Retained));
    }
    protected.then(|| {
        refuse(
            Reason::DeletionProtected,
            "spec.deletionProtection is true: set it to false to delete the object in the account, or set \
             spec.deletionPolicy to Retain and spec.deletionProtection to false to leave it there",
        )
    })
}

fn deleting(view: &View<'_>) -> Step {
    if let Some(step) = deleting_without_account(view.bound_as, view.delete_outside, view.protected) {
        return step;
    }
    let retired = view.secret.as_ref().and_then(|secret| secret.retired.first());
    if let (Some(retired), false) = (retired, matches!(view.found, Found::Interrupted(_))) {
        return Step::Discard(retired.id.clone());
    }
    match view.found {
        Found::Nothing { settled: true } => Step::Release(Released::Gone),
        Found::Nothing { settled: false } => {
            wait(Reason::Deleting, "checking once more that the object is gone")
        }
        Found::Ours(seen) => match (&seen.about.phase, &view.left_behind) {
            (Phase::Leaving(why), _) => wait(Reason::Deleting, why.clone()),
            (_, Some(word)) => Step::Release(Released::Left(word.clone())),
            (_, None) => Step::Delete,
        },
        Found::Foreign(seen) => refuse(
            Reason::ApiRefused,
            format!(
                "the object {} in the account no longer looks like the one this object manages, so it is not deleted: \
                 set spec.deletionPolicy to Retain to release this object",
                seen.id
            ),
        ),
        // The other object deletes it.
        Found::ManagedBy(_) => Step::Release(Released::ManagedByOther),
        Found::Replaced(_) | Found::Renamed(_) => Step::Release(Released::Gone),
        Found::Interrupted(create) => recover(view, create),
        Found::Several(ids) => refuse(
            Reason::ApiRefused,
            format!(
                "several objects match {} ({}): set spec.deletionPolicy to Retain to release this object",
                view.called,
                ids.join(", ")
            ),
        ),
    }
}

fn living(view: &View<'_>) -> Step {
    match view.found {
        Found::Nothing { settled } if view.standing => without_parent(view, *settled),
        Found::Nothing { settled } if view.observe => unseen(view, *settled),
        Found::Nothing { settled } => absent(view, *settled),
        Found::Several(ids) => refuse(
            Reason::Ambiguous,
            format!(
                "several objects match {}: {}; set spec.externalId to the intended one",
                view.called,
                ids.join(", ")
            ),
        ),
        Found::Renamed(ids) => refuse(
            Reason::Ambiguous,
            format!(
                "the account has no object of this name, but one of another name with the mark of this Kubernetes object ({}): to \
                 manage it, set spec.externalId to its id, or write its name in the spec; to create another one, use another \
                 metadata.name",
                ids.join(", ")
            ),
        ),
        Found::ManagedBy(by) => refuse(Reason::ManagementConflict, managed_by(by)),
        Found::Replaced(ids) if view.observe => plan(
            Reason::ExternalResourceMissing,
            format!(
                "the object is gone from the account, and others like it are there ({}): to observe one of them, delete this \
                 object and apply it again with spec.externalId",
                ids.join(", ")
            ),
        ),
        Found::Replaced(ids) => refuse(
            Reason::AlreadyExists,
            format!(
                "{} is gone from the account, and others like it are there ({}): delete them there, or delete this \
                 object and apply it again with spec.adoptionPolicy: IfExists",
                view.called,
                ids.join(", ")
            ),
        ),
        Found::Interrupted(create) => recover(view, create),
        Found::Foreign(seen) => foreign(view, seen, false),
        Found::Ours(seen) if view.bound_as == BoundAs::Managed || observes(view) => {
            let secret = view.secret.as_ref().filter(|_| !view.observe);
            secret.and_then(|secret| about_secret(view, secret, seen)).unwrap_or_else(|| ours(view, seen))
        }
        Found::Ours(seen) => foreign(view, seen, true),
    }
}

/// What is to be done about a secret that exists; none if nothing is.
fn about_secret(view: &View<'_>, secret: &IssuedSecret, seen: &Seen) -> Option<Step> {
    const DAY: Duration = Duration::from_secs(86_400);
    Some(match secret.task(seen) {
        Task::None => return None,
        Task::Replace => Step::Replace,
        Task::Discard(id) => Step::Discard(id),
        Task::MakeRoom(id) => Step::MakeRoom(id),
        Task::Later(id, after) => Step::DecideLater {
            after: after.min(DAY),
            message: format!(
                "spec.renewal requests a new secret: it is created once the former one, {id}, may be deleted; shorten spec.overlap \
                 to get it earlier"
            ),
        },
        // What else is to be done to the object does not need its secret.
        Task::LostForGood => match ours(view, seen) {
            Step::Rest => refuse(Reason::SecretLost, lost_for_good(view, secret)),
            first => first,
        },
        Task::LostAgain => wait(
            Reason::Progressing,
            format!(
                "the Secret {} was deleted or changed again, right after it was written: find out which client does that; the \
                 operator writes a new secret in a minute or two",
                secret.output.secret_name
            ),
        ),
    })
}

/// Whether the object is already recorded as only observed.
fn observes(view: &View<'_>) -> bool {
    view.observe && view.bound_as == BoundAs::Observed
}

/// The object does not exist and is only observed: that is no failure, and the plan is what managing it would do.
fn unseen(view: &View<'_>, settled: bool) -> Step {
    let required = view.adoption == AdoptionPolicy::Required;
    let called = &view.called;
    let missing = |text: String| plan(Reason::ExternalResourceMissing, text);
    let create = "set spec.managementPolicy to Managed to have it created";
    match view.bound_as {
        BoundAs::Managed | BoundAs::Observed if !settled => absent(view, false),
        BoundAs::NamedBySpec => {
            missing(format!("the account has no {called}: correct spec.externalId or remove the field"))
        }
        BoundAs::Nothing if required => missing(format!(
            "the account has no {called}, and none would be created, as spec.adoptionPolicy is Required"
        )),
        BoundAs::Nothing => plan(
            Reason::WouldBeCreated,
            format!("the account has no {called}: it would be created; {create}"),
        ),
        BoundAs::Managed | BoundAs::Observed if view.spec_id.is_some() || required || view.data_bearing => {
            missing(format!(
                "{called} is gone from the account, and would not be created again by itself: {}to have a new one, delete this \
                 object and apply it again without spec.externalId and spec.adoptionPolicy: Required",
                restore_first(view)
            ))
        }
        BoundAs::Managed | BoundAs::Observed => plan(
            Reason::WouldBeCreated,
            format!("{called} is gone from the account: it would be created again; {create}"),
        ),
    }
}

/// What is always there is missing only with what it belongs to, and cannot be created.
fn without_parent(view: &View<'_>, settled: bool) -> Step {
    if !settled {
        return absent(view, false);
    }
    let text = format!(
        "the account has no {}, which exists only together with what it belongs to: correct the spec, or delete this object",
        view.called
    );
    if view.observe {
        plan(Reason::ExternalResourceMissing, text)
    } else {
        refuse(Reason::ExternalResourceMissing, text)
    }
}

fn absent(view: &View<'_>, settled: bool) -> Step {
    let called = &view.called;
    let missing = |text: String| refuse(Reason::ExternalResourceMissing, text);
    match view.bound_as {
        BoundAs::NamedBySpec => {
            missing(format!("the account has no {called}: correct spec.externalId or remove the field"))
        }
        BoundAs::Nothing if view.adoption == AdoptionPolicy::Required => missing(format!(
            "the account has no {called}, and spec.adoptionPolicy is Required: create it there, or set IfOwned to have \
             it created"
        )),
        BoundAs::Nothing => Step::Create,
        BoundAs::Managed | BoundAs::Observed if !settled => {
            wait(Reason::Progressing, format!("{called} seems to be gone; reading once more to be sure"))
        }
        BoundAs::Managed | BoundAs::Observed
            if view.spec_id.is_some() || view.adoption == AdoptionPolicy::Required =>
        {
            missing(format!(
                "{called} is gone from the account, and the spec asks for that one: {}delete this object, and apply it again \
                 without spec.externalId and spec.adoptionPolicy: Required to create a new one",
                restore_first(view)
            ))
        }
        BoundAs::Managed | BoundAs::Observed if view.data_bearing => missing(format!(
            "{called} is gone from the account and holds data, so it is not created again by itself: {}delete this object \
             and apply it again to create a new one, or apply it with spec.externalId to bind another",
            restore_first(view)
        )),
        BoundAs::Managed | BoundAs::Observed => Step::Create,
    }
}

fn ours(view: &View<'_>, seen: &Seen) -> Step {
    let changes = view.changes;
    match &seen.about.phase {
        Phase::Pending(why) if view.operation == Running::Overdue => {
            let otherwise = if view.observe { String::new() } else { format!(", or {}", start_over(view)) };
            let text = format!("Databricks has not finished in time ({why}): wait for it{otherwise}");
            refuse(Reason::ProvisioningFailed, text)
        }
        Phase::Pending(why) => wait(Reason::Provisioning, why.clone()),
        Phase::Awaiting(what)
            if view.observe || changes.iter().all(|c| matches!(c.when, When::NotNow(_))) =>
        {
            wait(Reason::AwaitingApproval, what.clone())
        }
        Phase::Leaving(why) => wait(Reason::Deleting, format!("it is being deleted outside: {why}")),
        Phase::Failed(why) if view.observe || !changes.iter().any(|c| c.when == When::Now) => {
            failed(view, why)
        }
        _ if changes.is_empty() || view.observe => Step::Rest,
        _ => differs(view, seen),
    }
}

/// It failed, and the spec asks for nothing but what failed.
fn failed(view: &View<'_>, why: &str) -> Step {
    if view.observe || view.again.is_empty() {
        return refuse(Reason::ProvisioningFailed, why);
    }
    if view.requested {
        return Step::Update(view.again.clone());
    }
    let text = format!(
        "{why}: correct the cause, then set the annotation {RECONCILE_REQUESTED} to any new value to retry it, or \
         correct the spec ({}); or {}",
        words(&view.again),
        start_over(view)
    );
    refuse(Reason::ProvisioningFailed, text)
}

/// The fields that differ and may be changed now.
pub fn fields_now(changes: &[Change]) -> Vec<String> {
    let now = changes.iter().filter(|change| change.when == When::Now);
    let mut fields: Vec<String> = now.map(|change| change.field().to_owned()).collect();
    fields.dedup();
    fields
}

fn differs(view: &View<'_>, seen: &Seen) -> Step {
    let changes = view.changes;
    let paths =
        |of: &dyn Fn(&When) -> bool| -> Vec<&Change> { changes.iter().filter(|c| of(&c.when)).collect() };
    let now = fields_now(changes);
    if !now.is_empty() {
        return match view.operation {
            Running::No => Step::Update(now),
            // Or a user changed it back at that moment.
            _ if view.resend => Step::Update(now),
            Running::Yes => wait(Reason::Provisioning, format!("Databricks is changing {}", words(&now))),
            Running::Overdue => refuse(
                Reason::ApplyFailed,
                format!(
                    "Databricks accepts the change of {} and does not keep it: correct the spec, or find out who else \
                     changes it in the account; the operator retries it from time to time",
                    words(&now)
                ),
            ),
        };
    }
    let named = |c: &Change| spec_path(view.immutable, view.references, view.spec, &c.path);
    let told = |c: &Change| match &c.when {
        When::NotNow(why) => format!("{}: {why}", named(c)),
        When::Never(why) => {
            format!("spec.{}: {why}: {}", named(c), write_back(&named(c), at(&seen.state, &c.path)))
        }
        When::Now => String::new(),
    };
    let never = paths(&|w| matches!(w, When::Never(_)));
    if never.is_empty() {
        let texts: Vec<String> = changes.iter().map(told).collect();
        return wait(Reason::Progressing, texts.join("; "));
    }
    let texts: Vec<String> = never.into_iter().map(told).collect();
    refuse(Reason::ImmutableFieldChanged, format!("{}; or {}", texts.join("; "), start_over(view)))
}

#[cfg(test)]
mod tests;
