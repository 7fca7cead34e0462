//! One change in the account: the last checks before it, the call, what its failure means, and `status.operation`: what was sent and no
//! read has shown yet, and since when. [`super::act`] puts the rest of what comes of it on the object.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::bound::Record;
use super::decide::{fields_now, words};
use super::outcome::Outcome;
use super::subject::Counted;
use super::work::{Target, Work};
use crate::clock;
use crate::databricks::Urgency;
use crate::engine::crd::{EventReason, FINALIZER, Operation, Reason, camel, seconds};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Lifecycle, NEW_REFERENCE, Phase, Seen, Wanted, When};

/// How long a workspace that is being deleted may count as a user of what it was built from: its deletion takes up to a quarter of
/// an hour (Terraform's provider waits that long), and some minutes more.
const USED_FOR: Duration = Duration::from_secs(1200);

/// A change that was accepted.
pub struct Sent {
    /// The object in the response.
    pub shown: Seen,
    /// The state that was sent.
    pub state: Value,
}

impl Work<'_> {
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

    /// The object that was read and the one that the spec means are the same. Where the key is the id, or names a parent, an update
    /// is sent to what the spec means, and an id in `spec.externalId`, or in a restored status, may be that of another one.
    pub fn same_place(&self, want: &Value, seen: &Seen) -> Result<()> {
        let (wanted, read) = (self.driver.key(want)?, self.driver.key(&seen.state)?);
        let object = self.driver.traits().lifecycle == Lifecycle::Object;
        if wanted.within == read.within && (object || wanted.name == read.name) {
            return Ok(());
        }
        let means = format!("{}/{}", wanted.within, wanted.name);
        let (id, means) = (&seen.id, means.trim_matches('/'));
        let bound = self.bound().record() == Record::Bound;
        let text = match self.management.external_id.as_ref().filter(|_| !bound) {
            Some(_) => format!(
                "spec.externalId names {id}, and the rest of the spec means another one ({means}): correct spec.externalId or the rest"
            ),
            None => format!(
                "this object is bound to {id}, and its spec means another one ({means}): correct the spec or spec.externalId, or \
                 delete this object and apply it again"
            ),
        };
        Err(Error::terminal(Reason::ImmutableFieldChanged, text))
    }

    /// The same for a deletion. What the operator has created goes with its record, even if the spec was changed while the result
    /// of the create was not known.
    pub fn same_place_if_adopted(&self, want: Option<&Value>, seen: &Seen) -> Result<()> {
        let adopted = self.bound().adopted(self.observing());
        want.filter(|_| adopted).map_or(Ok(()), |want| self.same_place(want, seen))
    }

    /// Why a create failed. Whether it was carried out is known: it was not.
    pub async fn not_created(&self, target: &Target, want: &Value, error: Error) -> Result<Error> {
        if error.is_rejected(Reason::ReferenceNotFound) {
            // A principal that was created again has another id.
            target.place.admission.session.directory.forget();
            return Ok(self.about_references(&error));
        }
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(want)?.within;
            target.place.admission.session.snapshots.forget(self.driver, &within).await;
        }
        if !error.is_rejected(Reason::AlreadyExists) {
            return Ok(error);
        }
        self.record_name_taken(target, None, want)?;
        // It may have appeared since the listing that this reconcile rested on, so a new one is read. If that does not show it
        // either, this refusal is the result, without another call.
        target.place.admission.session.snapshots.forget(self.driver, &self.driver.key(want)?.within).await;
        let message = error.to_string();
        self.remember(|m| m.exists = Some(error));
        Ok(Error::Conflict(message))
    }

    /// The target of a reference to another object of ours does exist: the operator waits until the account knows it
    /// everywhere. An id that a user wrote may be wrong, and a name may mean another object since it was resolved.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.place()))
        });
        if self.bound().record() == Record::Bound {
            text += ", or delete this object if that was deleted in the account";
        }
        let error = Error::rejected(Reason::ReferenceNotFound, text);
        if found { error.patient(NEW_REFERENCE) } else { error }
    }

    /// Before something lost is written again under a name, the name must still mean the same principal. A group that was
    /// deleted and created again must not inherit the access of the old one.
    pub async fn same_principals(&self, target: &Target) -> Result<()> {
        let status = self.subject.status()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = &status.resolved_refs;
        for need in self.driver.needs(&self.subject.spec())? {
            let (Wanted::Principal(name), false) = (&need.what, need.soft) else { continue };
            let now = target.place.admission.session.directory.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(&need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was created for: delete this \
                     object and apply it again if that is meant"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    /// A change does not find what a read shows. The object is gone, or a replica lags: a new read decides. If that shows it and
    /// a change still does not find it, this is a refusal like any other. It is not final while reads may lag.
    /// Other errors stay what they are.
    pub async fn not_found(
        &self,
        target: &Target,
        seen: &Seen,
        fields: &[String],
        error: Error,
    ) -> Result<Error> {
        if !error.is_rejected(Reason::ExternalResourceMissing) {
            return Ok(error);
        }
        let within = self.driver.key(&seen.state)?.within;
        target.place.admission.session.snapshots.forget(self.driver, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but rejects the change of {fields} because it does not find the object: {error}. The \
             operator retries. If this lasts, make the change in the account console or undo it in the spec, and contact Databricks \
             support",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.lag().read))
    }

    /// A write that named the version that was read was refused for a later one: what was read no longer serves. Other errors stay
    /// what they are.
    pub async fn overtaken(&self, target: &Target, seen: &Seen, error: Error) -> Result<Error> {
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(&seen.state)?.within;
            target.place.admission.session.snapshots.forget(self.driver, &within).await;
        }
        Ok(error)
    }

    /// The update itself. If objects exchange their names, each refused because another has the name, one of them steps
    /// aside: it gets everything except its name, under which the next comparison finds it different.
    pub async fn send_update(
        &self,
        target: &Target,
        seen: &Seen,
        want: &Value,
        fields: &[String],
    ) -> Result<Sent> {
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        if self.driver.key(want)? != self.driver.key(&seen.state)? {
            // Before the response, as the name may be free again before a refusal arrives.
            self.record_name_taken(target, Some(seen), want)?;
        }
        let updated = self.driver.update(&target.place.writer, seen, want, &now).await;
        let refusal = match &updated {
            Ok(shown) => shown.about.refused.as_ref(),
            Err(error) => Some(error),
        };
        let taken = refusal.is_some_and(|error| error.is_rejected(Reason::AlreadyExists));
        let sent = updated.map(|shown| Sent { shown, state: want.clone() });
        if !taken {
            self.engine.memory.claims.name_in_doubt(&self.subject.who);
            return sent;
        }
        if !self.record_name_taken(target, Some(seen), want)? {
            return sent;
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return sent };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let shown = self.driver.update(&target.place.writer, seen, &aside, &fields).await?;
        Ok(Sent { shown, state: aside })
    }

    /// The deletion itself. Returns whether it was accepted; if not, the object is gone already.
    pub async fn send_delete(&self, target: &Target, seen: &Seen) -> Result<bool> {
        match self.driver.retire(&target.place.writer, seen, target.want.as_ref()).await {
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

    /// Notes a refused deletion. Returns whether to release the object instead of waiting until nothing uses it: what uses it is known to
    /// stay in the account, or has used it for [`USED_FOR`] since the first refusal and may stay on purpose. Never if the spec sets a
    /// deletion policy.
    pub fn note_in_use(&self, error: &Error) -> bool {
        let used = matches!(error, Error::Waiting { reason: Reason::DependencyStillInUse, .. });
        let since = self.remember(|m| used.then(|| *m.in_use_since.get_or_insert_with(Instant::now)));
        let kept = || !self.engine.memory.wake.keepers(&self.subject.who).is_empty();
        let lasts = since.is_some_and(|since| since.elapsed() >= USED_FOR || kept());
        self.management.deletion_policy.is_none() && lasts
    }

    /// Why the account may not show an object yet whose deletion was requested.
    fn unseen(&self, id: &str) -> Option<Error> {
        let created = self.bound().created_at()?;
        let called = format!("{} {id}", self.subject.who.kind);
        let deleting = self.subject.deleting();
        self.lag().may_be_unseen(&called, created, clock::now(), Duration::ZERO, deleting)
    }

    /// Databricks says that the name is taken, or may say so: its holder may give it up soon, so this object waits. Returns whether
    /// that holder waits for our name, directly or through others.
    pub fn record_name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.place.admission.session.client.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.claims.record_name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// Objects that lost against this one try again: it may have given up what they want.
    pub fn wake_losers(&self) {
        let memory = &self.engine.memory;
        memory.claims.take_losers(&self.subject.who).iter().for_each(|who| memory.wake.wake(who));
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    pub fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.place.admission.session.client.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }

    /// Notes an accepted change: its event, the count of corrected drift, and that something was sent. A new change starts its
    /// attempts again. Returns since when it is open: a change that is sent again has been open since it was sent first, and gets
    /// no event.
    pub fn announce_update(&mut self, fields: &[String], drifted: bool, tried_again: bool) -> Result<Time> {
        let paths: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let again = |o: &Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        let before = self.subject.status()?.operation.as_ref().filter(|operation| again(operation));
        let since = before.map_or_else(|| seconds(clock::now()), |before| before.since.clone());
        if before.is_none_or(|before| before.paths != paths) {
            // What was waited for before is no reason to read this change late.
            self.remember(|m| m.attempts = 0);
            let reason = if drifted { EventReason::DriftCorrected } else { EventReason::Updated };
            let text = paths.join(", ");
            let text = if tried_again { format!("sent again, as requested: {text}") } else { text };
            self.subject.note(false, reason, text);
        }
        if drifted {
            self.subject.counted.push(Counted::DriftCorrected);
        }
        self.subject.sent = true;
        Ok(since)
    }

    /// Records which change is open, until a read shows it. A read that shows what was sent is not late, even if more remains
    /// to be sent.
    pub fn keep_open(&mut self, fields: &[String], since: Time, sent: &Sent) -> Result<()> {
        let open = self.driver.changes(&sent.state, &sent.shown)?.iter().any(|c| c.when == When::Now);
        self.subject.status_mut()?.operation = None;
        if open || matches!(sent.shown.about.phase, Phase::Pending(_)) {
            let generation = self.subject.object.metadata.generation.unwrap_or_default();
            let paths = fields.iter().map(|f| camel(f)).collect();
            self.subject.status_mut()?.operation = Some(Operation { paths, generation, since });
            return Ok(());
        }
        // The response shows it.
        self.remember(|m| m.sent = None);
        self.close_operation()
    }

    /// Opens an operation when the account is first seen at work, so that it is timed, and closes the one that a read shows to be
    /// over.
    pub fn keep_time(&mut self, seen: &Seen, changes: &[Change]) -> Result<()> {
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let pending = matches!(seen.about.phase, Phase::Pending(_));
        let status = self.subject.status_mut()?;
        if pending && status.operation.is_none() {
            status.operation = Some(Operation { paths: vec![], generation, since: seconds(clock::now()) });
        }
        let open = |o: &Operation| pending || changes.iter().any(|c| o.paths.contains(&camel(c.field())));
        if !status.operation.as_ref().is_some_and(open) {
            self.close_operation()?;
        }
        Ok(())
    }

    /// Ends the open operation. If there is none because the response was lost, forgets the change only after the read lag, as
    /// reads may be from before it. Then wakes the objects that lost against this one.
    pub fn close_operation(&mut self) -> Result<()> {
        let open = self.subject.status_mut()?.operation.take().is_some();
        let lag = self.lag().read;
        let sent = self.remember(|m| m.sent.take_if(|at| open || at.elapsed() >= lag)).is_some();
        if open || sent {
            // Until now reads showed what this object gave up as still its own.
            self.wake_losers();
        }
        Ok(())
    }
}

/// Whether an update certainly changed nothing. The response to it is read too, which may fail after it changed something.
pub fn refuses(error: &Error) -> bool {
    match error {
        // Nothing was sent.
        Error::Fenced => true,
        Error::Rejected { read, .. } => !read,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}
