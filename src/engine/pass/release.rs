//! How a Kubernetes object goes: what has to go before it, and what is said when it does.

use kube::ResourceExt;

use super::decide::{Released, Step};
use super::outcome::Outcome;
use super::work::Work;
use crate::engine::crd::{EventReason, FINALIZER, ManagementPolicy, Note, Reason, still};
use crate::engine::error::{Error, Result};

impl Work<'_> {
    /// Hop 4: before an object is deleted, what refers to it goes.
    pub fn hold(&self) -> Option<Outcome> {
        let dependents = self.engine.memory.wake.dependents(&self.subject.who);
        let them = if dependents.len() == 1 { "it" } else { "them" };
        (self.subject.deleting() && !dependents.is_empty()).then(|| Outcome::Blocked {
            reason: Reason::DependencyStillInUse,
            message: format!(
                "{}: delete {them}, or set spec.deletionPolicy to Retain",
                still(&dependents, "refer to", "this one")
            ),
        })
    }

    /// Lets the object go, or says why not, without asking the account.
    pub async fn leave(&mut self, step: Step) -> Result<Outcome> {
        match step {
            Step::Refuse { reason, message } => Ok(Outcome::Blocked { reason, message }),
            Step::Release(how) => self.release(how).await,
            other => Err(Error::terminal(Reason::InternalError, format!("{other:?} is no way to leave"))),
        }
    }

    /// Removes our finalizer; the event says what became of the object in the account.
    pub async fn release(&mut self, how: Released) -> Result<Outcome> {
        let id = self.subject.status.as_ref().ok().and_then(|s| s.external.as_ref()).map(|e| e.id.clone());
        let note = match (how, id) {
            (Released::NeverCreated, _) => None,
            (Released::Retained, None) => {
                let intent = self.subject.status.as_ref().ok().and_then(|s| s.intent.as_ref());
                intent.map(|intent| Note {
                    warning: true,
                    reason: EventReason::OrphanedOnDelete,
                    text: format!(
                        "a create of {} was interrupted; what it may have made stays in the account",
                        intent.name
                    ),
                })
            }
            (Released::Retained, Some(id)) => {
                let left =
                    self.management.suspended() || self.management.policy() == ManagementPolicy::Observe;
                let reason = if left { EventReason::OrphanedOnDelete } else { EventReason::Retained };
                Some(Note { warning: left, reason, text: format!("the object {id} stays in the account") })
            }
            (Released::Gone, None) => None,
            (Released::Gone, Some(id)) => Some(Note {
                warning: false,
                reason: EventReason::Deleted,
                text: format!("the object {} is gone from the account", id),
            }),
        };
        let engine = self.engine;
        self.subject.release(engine, note).await
    }

    /// A finalizer of somebody else means that the object is still needed.
    pub fn foreign_finalizer(&self) -> Option<Outcome> {
        let ours = [FINALIZER, "foregroundDeletion", "orphan"];
        let foreign: Vec<&String> =
            self.subject.object.finalizers().iter().filter(|f| !ours.contains(&f.as_str())).collect();
        foreign.first().map(|name| Outcome::Blocked {
            reason: Reason::ForeignFinalizer,
            message: format!("the finalizer {name} of somebody else is still on this object; it goes first"),
        })
    }
}
