//! How a Kubernetes object is released: what must be deleted before it, and what is reported then.

use kube::ResourceExt;

use super::decide::Released;
use super::outcome::Outcome;
use super::work::Work;
use crate::engine::crd::{EventReason, FINALIZER, Note, Reason, still};

impl Work<'_> {
    /// Hop 4: objects that refer to this one are deleted before it.
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

    /// What the event reports of the object in the account when its Kubernetes object is released.
    pub fn released(&self, how: Released) -> Option<Note> {
        let id = self.subject.status.as_ref().ok().and_then(|s| s.external.as_ref()).map(|e| e.id.clone());
        match (how, id) {
            (Released::NeverCreated, _) => None,
            (Released::Retained, None) => {
                let intent = self.subject.status.as_ref().ok().and_then(|s| s.intent.as_ref());
                intent.map(|intent| Note {
                    warning: true,
                    reason: EventReason::OrphanedOnDelete,
                    text: format!(
                        "a create of {} was interrupted; what it may have created stays in the account",
                        intent.name
                    ),
                })
            }
            (Released::Retained, Some(id)) => {
                let left = self.management.suspended() || self.observing();
                let reason = if left { EventReason::OrphanedOnDelete } else { EventReason::Retained };
                Some(Note { warning: left, reason, text: format!("the object {id} stays in the account") })
            }
            (Released::Gone, None) => None,
            (Released::Gone, Some(id)) => Some(Note {
                warning: false,
                reason: EventReason::Deleted,
                text: format!("the object {} is gone from the account", id),
            }),
        }
    }

    /// A foreign finalizer means that the object is still needed.
    pub fn foreign_finalizer(&self) -> Option<Outcome> {
        let ours = [FINALIZER, "foregroundDeletion", "orphan"];
        let foreign: Vec<&String> =
            self.subject.object.finalizers().iter().filter(|f| !ours.contains(&f.as_str())).collect();
        foreign.first().map(|name| Outcome::Blocked {
            reason: Reason::ForeignFinalizer,
            message: format!(
                "the foreign finalizer {name} is still on this object and must be removed first"
            ),
        })
    }
}
