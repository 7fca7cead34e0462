//! The order of effects of a deletion: what may be touched is checked, the Kubernetes object is read once more, the guard is asked, and the
//! deletion is sent. The Kubernetes object is released by a later reconcile, when a read shows that the object in the account is gone, or
//! at once if that stays. Nothing here retries.
//!
//! A former secret is deleted alike, see [`super::rotate`].

use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::bound::BoundAs;
use super::decide::{Released, fields_now};
use super::outcome::Outcome;
use super::reading::Reading;
use super::subject::Counted;
use super::update::refuses;
use super::work::{Target, Work, missing_observation};
use crate::clock;
use crate::engine::crd::{EXTERNAL_ID, EventReason, FINALIZER, Intent, Note, ObjectName, Reason, age};
use crate::engine::error::{Error, Result};
use crate::engine::kind::Seen;
use crate::engine::meter::Write;

/// How long a workspace that is being deleted may count as a user of what it was built from: its deletion takes up to a quarter of
/// an hour (Terraform's provider waits that long), and some minutes more.
const USED_FOR: Duration = Duration::from_secs(1200);

impl Work<'_> {
    /// Checks who still needs it and what may be touched · reads the Kubernetes object again · asks the guard · sends.
    pub async fn delete(&mut self, target: &Target, reading: &Reading) -> Result<Outcome> {
        if let Some(blocked) = self.foreign_finalizer() {
            return Ok(blocked);
        }
        if self.remember(|m| m.delete_accepted).is_some_and(|at| at.elapsed() < self.lag().read) {
            return Ok(deletion_accepted());
        }
        let seen = reading.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        self.same_place_if_adopted(target.want.as_ref(), seen)?;
        self.unchanged().await?;
        let _one_at_a_time = self.guard(target, None, Some(seen), &[]).await?;
        if let Some(blocked) = self.admit_deletion(target) {
            return Ok(blocked);
        }
        match self.send_delete(target, seen).await {
            Ok(true) => self.subject.counted.push(Counted::Wrote(Write::Delete)),
            Ok(false) => {}
            Err(error) => {
                if !refuses(&error) {
                    self.remember(|m| m.delete_in_doubt = Some(Instant::now()));
                }
                if self.note_in_use(&error) {
                    return self.release(Released::InUse).await;
                }
                return Err(self.overtaken(target, seen, error).await?);
            }
        }
        let key = self.driver.key(&seen.state)?;
        target.session().snapshots.remove(self.driver, &key.within, &seen.id).await;
        self.name_freed(target, seen)?;
        let before = self.remember(|m| m.delete_accepted.replace(Instant::now()));
        Ok(before.map_or(Outcome::Again, |_| deletion_accepted()))
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

    /// Counts a deletion. Returns why none is sent, after too many in the account.
    pub fn admit_deletion(&self, target: &Target) -> Option<Outcome> {
        let stopped = self.engine.memory.breaker.admit(target.account_id(), &self.subject.uid()).err()?;
        let message =
            format!("{stopped}; to leave this object in the account, set spec.deletionPolicy to Retain");
        Some(Outcome::Blocked { reason: Reason::TooManyDeletions, message })
    }

    /// What was adopted, or is set back, must be the object that the spec means. What the operator has created goes with its record, even if
    /// the spec was changed while the result of the create was not known.
    fn same_place_if_adopted(&self, want: Option<&Value>, seen: &Seen) -> Result<()> {
        let adopted = self.bound().adopted(self.read_only());
        let was_there = adopted || self.driver.traits().restored;
        want.filter(|_| was_there).map_or(Ok(()), |want| self.same_place(want, seen))
    }

    /// The deletion itself, or the change that sets the object back to what it was. Returns whether it was accepted; if not, the object
    /// is gone already.
    pub async fn send_delete(&self, target: &Target, seen: &Seen) -> Result<bool> {
        let writer = &target.place.writer;
        let sent = match self.state_before() {
            Some(before) => {
                let fields = fields_now(&self.driver.changes(&before, seen)?);
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                self.driver.update(writer, seen, &before, &fields).await.map(drop)
            }
            None => self.driver.remove(writer, seen, target.want.as_ref()).await,
        };
        match sent {
            Ok(()) => Ok(true),
            // A replica that lags behind may not know it yet, and then nothing was deleted.
            Err(error) if error.is_rejected(Reason::ExternalResourceMissing) => {
                self.unseen(&seen.id).map_or(Ok(false), Err)
            }
            // Most often a dependent in the account: the operator waits for it.
            Err(error) if error.is_rejected(Reason::ApplyFailed) => {
                Err(Error::waiting(Reason::ApplyFailed, error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Why the account may not show an object yet whose deletion was requested.
    fn unseen(&self, id: &str) -> Option<Error> {
        let created = self.bound().created_at()?;
        let called = format!("{} {id}", self.subject.who.kind);
        let deleting = self.subject.deleting();
        let age = self.remember(|m| m.created_for(age(created, clock::now())));
        self.lag().wait_until_shown(&called, created, age, Duration::ZERO, deleting)
    }

    /// Notes a refused deletion. Returns whether to release the object instead of waiting until nothing uses it: what uses it is known to
    /// stay in the account, or has used it for [`USED_FOR`] since the first refusal and may stay on purpose. Never if the spec sets a
    /// deletion policy.
    fn note_in_use(&self, error: &Error) -> bool {
        let used = matches!(error, Error::Waiting { reason: Reason::DependencyStillInUse, .. });
        let since = self.remember(|m| used.then(|| *m.in_use_since.get_or_insert_with(Instant::now)));
        let kept = || !self.engine.memory.triggers.keepers(&self.subject.who).is_empty();
        let lasts = since.is_some_and(|since| since.elapsed() >= USED_FOR || kept());
        self.management.deletion_policy.is_none() && lasts
    }

    /// Releases the Kubernetes object, with the event for it. What it managed stays in the account and uses what it used, if it was
    /// managed at all.
    pub async fn release(&mut self, how: Released) -> Result<Outcome> {
        let (engine, note) = (self.engine, self.release_note(&how));
        let managed = !self.read_only() && self.bound().bound_as() == BoundAs::Managed;
        let stays = managed && matches!(how, Released::Retained | Released::InUse);
        let (triggers, who) = (&engine.memory.triggers, self.subject.who.clone());
        let used = triggers.uses(&who);
        let released = self.subject.release(engine, note).await?;
        if stays {
            triggers.retain(&who, used);
        }
        Ok(released)
    }

    /// What the event reports of the object in the account when its Kubernetes object is released. One that is deleted before the
    /// first reconcile after a restore without its status says by its annotation what stays.
    fn release_note(&self, how: &Released) -> Option<Note> {
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
        let keepers = self.engine.memory.triggers.keepers(&self.subject.who);
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

/// Reads may show the object for a while longer.
fn deletion_accepted() -> Outcome {
    let message = "the deletion was accepted; waiting until the object is gone".into();
    Outcome::Progress { reason: Reason::Deleting, message, sent: true }
}

/// The text for what a create may have created.
fn interrupted(intent: &Intent) -> String {
    format!("a create of {} was interrupted; what it may have created stays in the account", intent.name)
}
