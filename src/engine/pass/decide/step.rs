//! What a decision depends on, and what it can be. Values only; [`super::decide`] decides.

use std::time::Duration;

use serde_json::Value;

use super::secret::IssuedSecret;
use crate::engine::crd::{AdoptionPolicy, Reason};
use crate::engine::kind::{Change, Immutable, Reference};
use crate::engine::pass::bound::BoundAs;
use crate::engine::pass::reading::Found;

/// All that a decision depends on.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// How messages name the object in the account: the kind with the id or the natural name by which it is found.
    pub called: String,
    /// The object is being deleted.
    pub deleting: bool,
    /// `managementPolicy: Observe`.
    pub observe: bool,
    /// `adoptionPolicy`, effective.
    pub adoption: AdoptionPolicy,
    /// `deletionPolicy` is effectively Delete, and neither `Observe` nor `suspend` prevents it.
    pub delete_outside: bool,
    /// `deletionProtection`.
    pub protected: bool,
    /// The kind holds users' data.
    pub data_bearing: bool,
    /// How a person restores one that is gone, if Databricks can do that.
    pub undelete: Option<&'static str>,
    /// The kind's objects are always there, or as long as their parent is.
    pub standing: bool,
    /// In which way this object is bound to one in the account.
    pub bound_as: BoundAs,
    /// Only an annotation says so, which came with a backup or a copy.
    pub copied: bool,
    /// What was found in the account.
    pub found: &'a Found,
    /// What differs between the desired and the observed state.
    pub changes: &'a [Change],
    /// The id of the one object that the spec names.
    pub spec_id: Option<&'a str>,
    /// A user requests a reconcile.
    pub requested: bool,
    /// The fields to send once more if a user requests a retry of what failed; empty if that is of no use.
    pub again: Vec<String>,
    /// The spec, for the names of fields in messages.
    pub spec: &'a Value,
    /// The fields that cannot change, for the same.
    pub immutable: &'static [Immutable],
    /// The references, for the same.
    pub references: &'static [Reference],
    /// What was read is what a deletion leaves behind, in this word: a deactivated user, or what cannot go and nothing manages.
    pub left_behind: Option<String>,
    /// The secret, for a kind whose creates return one.
    pub secret: Option<IssuedSecret>,
    /// A change or a creation that takes time.
    pub operation: Running,
    /// What was accepted and does not show may be sent again: enough time has passed, a user requests it, or more differs
    /// by now.
    pub resend: bool,
}

/// A change or creation that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// None.
    No,
    /// Within its bound.
    Yes,
    /// Longer than its bound, for the current generation of the spec.
    Overdue,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create it.
    Create,
    /// Bind to what was found.
    Adopt,
    /// Bind to what was found and is not managed by anything, and change it: it takes the place of a create.
    TakeUp,
    /// Change these fields of `State`.
    Update(Vec<String>),
    /// Request the deletion.
    Delete,
    /// Release the Kubernetes object, for this cause, which the event reports.
    Release(Released),
    /// Create its successor. It stays valid until that has been in the Kubernetes Secret for a while.
    Replace,
    /// Delete a secret in the account whose value is not needed any more, or was lost.
    Discard(String),
    /// Delete a former secret in the account before its time, if a successor of the present one can be kept: there is room for no more.
    MakeRoom(String),
    /// Bind to what an interrupted create created.
    BindCreated(String),
    /// An interrupted create created nothing: it is not in doubt any more.
    DropIntent,
    /// Too early to decide: what an interrupted create created may not show yet, or a former secret is still needed.
    DecideLater {
        /// Decide again after this time.
        after: Duration,
        /// What is waited for.
        message: String,
    },
    /// Reconcile again later.
    Wait {
        /// Shown in `Ready`.
        reason: Reason,
        /// What is waited for.
        message: String,
    },
    /// A person must decide.
    Refuse {
        /// Shown in `Stalled` or `DeletionBlocked`.
        reason: Reason,
        /// What, why, what to write.
        message: String,
    },
    /// It does not exist, and is only observed: report what managing it would do.
    Plan {
        /// Shown in `Ready`.
        reason: Reason,
        /// What would be done.
        message: String,
    },
    /// Nothing to do.
    Rest,
}

impl Step {
    /// Whether the object must be read by itself first, not only in a shared LIST: the step changes or adopts it, or leaves it there
    /// as not managed. Steps that delete a secret read it themselves.
    pub fn needs_own_read(&self) -> bool {
        match self {
            Step::Create
            | Step::Replace
            | Step::Adopt
            | Step::TakeUp
            | Step::Update(_)
            | Step::Delete
            | Step::Release(Released::Left(_)) => true,
            Step::Release(_)
            | Step::Discard(_)
            | Step::MakeRoom(_)
            | Step::BindCreated(_)
            | Step::DropIntent
            | Step::DecideLater { .. }
            | Step::Wait { .. }
            | Step::Refuse { .. }
            | Step::Plan { .. }
            | Step::Rest => false,
        }
    }
}

/// Why a Kubernetes object may be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// There never was an object in the account.
    NeverCreated,
    /// It stays in the account.
    Retained,
    /// It stays in the account, as another Kubernetes object manages it.
    ManagedByOther,
    /// It stays in the account, as something there uses it, and no policy is written.
    InUse,
    /// It is gone from the account.
    Gone,
    /// It is in the account, in the state that a deletion leaves it in.
    Left(String),
}

/// A person must decide.
pub fn refuse(reason: Reason, message: impl Into<String>) -> Step {
    Step::Refuse { reason, message: message.into() }
}

/// Reconcile again later.
pub fn wait(reason: Reason, message: impl Into<String>) -> Step {
    Step::Wait { reason, message: message.into() }
}

/// Only report what managing it would do.
pub fn plan(reason: Reason, message: impl Into<String>) -> Step {
    Step::Plan { reason, message: message.into() }
}
