//! What the event reports when a Kubernetes object is released. Sends nothing, and publishes nothing.

use kube::ResourceExt;

use crate::engine::crd::{EXTERNAL_ID, EventReason, Intent, Note, ObjectName};
use crate::engine::pass::decide::Released;
use crate::engine::pass::work::Work;

impl Work<'_> {
    /// What the event reports of the object in the account when its Kubernetes object is released. One that is deleted before the
    /// first reconcile after a restore without its status says by its annotation what stays.
    pub(super) fn release_note(&self, how: &Released) -> Option<Note> {
        let bound = self.bound();
        let recorded = bound.external.as_ref().map(|external| external.id.as_str());
        let note = |warning, reason, text| Some(Note { warning, reason, text });
        // While a create is in doubt, the annotation names what was there before it.
        let copied = bound.annotated.as_deref().filter(|_| bound.copied());
        let (stays, gone) = (recorded.or(copied), recorded);
        match how {
            // It may name what was adopted before a restore, and what it must not adopt again.
            Released::NeverCreated => {
                let named = self.subject.object.annotations().get(EXTERNAL_ID)?;
                let text = format!("the object {named}, which the annotation names, stays in the account");
                note(false, EventReason::Retained, text)
            }
            Released::Retained => match stays {
                Some(id) => {
                    let left = self.management.suspended() || self.read_only();
                    let reason = if left { EventReason::OrphanedOnDelete } else { EventReason::Retained };
                    let mut text = format!("the object {id} stays in the account");
                    let former = self.subject.status.iter().flat_map(|status| &status.retired);
                    let former: Vec<&str> = former.map(|one| one.id.as_str()).collect();
                    if !former.is_empty() {
                        text += &format!(", and so do its predecessors: {}", former.join(", "));
                    }
                    note(left, reason, text)
                }
                None => note(true, EventReason::OrphanedOnDelete, interrupted(bound.intent.as_ref()?)),
            },
            Released::ManagedByOther => note(
                false,
                EventReason::Retained,
                format!("the object {} stays in the account, as another object manages it", stays?),
            ),
            Released::InUse => note(true, EventReason::Retained, self.in_use(stays?)),
            Released::Left(word) => note(
                false,
                EventReason::Deleted,
                format!("the object {} is not removed from the account: it stays there as {word}", gone?),
            ),
            Released::Gone => {
                note(false, EventReason::Deleted, format!("the object {} is gone from the account", gone?))
            }
        }
    }

    /// The text for an object that stays because it is used. No object of the cluster deletes it any more.
    fn in_use(&self, id: &str) -> String {
        let keepers = self.engine.memory.wake.keepers(&self.subject.who);
        let names: Vec<String> = keepers.iter().map(ObjectName::to_string).collect();
        let user = if names.is_empty() {
            "something in the account".to_owned()
        } else {
            format!("what {} managed, or something else in the account,", names.join(" and "))
        };
        format!(
            "the object {id} stays in the account: {user} still uses it, and spec.deletionPolicy is not set. With Delete, the \
             operator would wait until it can be deleted"
        )
    }
}

/// The text for what a create may have created.
fn interrupted(intent: &Intent) -> String {
    format!("a create of {} was interrupted; what it may have created stays in the account", intent.name)
}
