//! What is sent to the account, and what is recorded before it is sent.
//!
//! A create is announced in the status first, by a write that fails if our view is stale; without that, a crash between the
//! call and its record would lead to a second object. An upsert is announced too: not because it could be doubled, but
//! because after a crash a row that existed before must not count as ours. Before a delete, the operator reads the
//! Kubernetes object once more. Nothing here retries.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::bound::Record;
use super::decide::{Step, View, decide, fields_now, words};
use super::look::Look;
use super::outcome::Outcome;
use super::work::{Target, Work, missing_observation, others_first};
use crate::databricks::Urgency;
use crate::engine::crd::{
    ConditionType, EventReason, External, Intent, ManagementPolicy, Operation, Reason, camel, seconds,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, NEW_REFERENCE, Phase, Seen, Wanted, When};
use crate::engine::memory::{Claim, ObjectMemory};
use crate::engine::meter::{OfKind, Write};

impl Work<'_> {
    /// Why the account may not show an object yet whose deletion was requested.
    fn unseen(&self, id: &str) -> Option<Error> {
        let created = self.bound().created_at()?;
        let called = format!("{} {id}", self.subject.who.kind);
        let deleting = self.subject.deleting();
        self.lag().may_be_unseen(&called, created, Timestamp::now(), Duration::ZERO, deleting)
    }

    /// Hop 9: at most one change in the account.
    pub async fn act(&mut self, target: &Target, look: Look, step: Step) -> Result<Outcome> {
        match step {
            Step::Release(how) => self.release(how).await,
            Step::Create => self.create(target, look).await,
            Step::Adopt => self.adopt(target, look).await,
            Step::Update(fields) => self.update(target, look, &fields).await,
            Step::Delete => self.delete(target, look).await,
            Step::Bind(id) => self.bind(target, id),
            Step::Forget => {
                self.subject.recovered = true;
                self.subject.status_mut()?.intent = None;
                Ok(Outcome::Again)
            }
            Step::WaitOut { after, message } => {
                Err(Error::Transient { reason: Reason::Retrying, message, after: Some(after) })
            }
            Step::Rest | Step::Wait { .. } | Step::Refuse { .. } | Step::Plan { .. } => {
                self.report(target, &look, step)
            }
        }
    }

    /// Shows what is seen, without sending anything.
    fn report(&mut self, target: &Target, look: &Look, step: Step) -> Result<Outcome> {
        let bound = self.bound().record() == Record::Bound;
        if let Some(seen) = look.seen() {
            self.may_touch(target, seen)?;
            let changes = self.changes(target, look)?;
            self.keep_time(seen, &changes)?;
            // An observed object is shown whatever its state. That alone does not make it ours.
            let observing = self.management.policy() == ManagementPolicy::Observe;
            let ours = if observing {
                self.recognised(target, seen)?
            } else {
                !matches!(step, Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, .. })
            };
            let unbound = self.subject.status_mut()?.external.is_none();
            let bind =
                (bound && (ours || observing) && unbound).then(|| self.restored(target, seen)).transpose()?;
            let corrected = matches!(step, Step::Update(_));
            self.show(target, seen, if corrected { &[] } else { &changes }, bind, ours)?;
        }
        match step {
            Step::Plan { reason, .. } => self.show_plan(target, reason == Reason::WouldBeCreated)?,
            _ if look.seen().is_none() => self.subject.status_mut()?.drift.clear(),
            _ => {}
        }
        Ok(match step {
            Step::Wait { reason, message } => {
                let generation = self.subject.object.metadata.generation;
                let operation = self.subject.status_mut()?.operation.as_ref();
                let sent = operation.is_some_and(|o| Some(o.generation) == generation);
                Outcome::Progress { reason, message, sent }
            }
            Step::Refuse { reason, message } if self.subject.deleting() => {
                Outcome::Blocked { reason, message }
            }
            Step::Refuse { reason, message } => Outcome::Refused { reason, message },
            Step::Plan { reason, message } => Outcome::Planned { reason, message },
            Step::Rest => {
                self.remember(|m| (m.drifted, m.not_found) = (false, false));
                self.subject.status_mut()?.intent = None;
                self.close_operation()?;
                Outcome::Rest
            }
            _ => Outcome::Again,
        })
    }

    /// What a response to our own write means.
    fn after_write(&mut self, target: &Target, seen: Seen) -> Result<Outcome> {
        let look = Look::from_response(seen);
        self.note_usable(&look)?;
        let changes = self.changes(target, &look)?;
        // It was sent a moment ago.
        let step = decide(&View { resend: false, requested: false, ..self.view(target, &look, &changes)? });
        self.report(target, &look, step)
    }

    /// An operation that takes time is timed from when it was first seen.
    fn keep_time(&mut self, seen: &Seen, changes: &[Change]) -> Result<()> {
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let pending = matches!(seen.about.phase, Phase::Pending(_));
        let status = self.subject.status_mut()?;
        if pending && status.operation.is_none() {
            status.operation =
                Some(Operation { paths: vec![], generation, since: seconds(Timestamp::now()) });
        }
        let open = |o: &Operation| pending || changes.iter().any(|c| o.paths.contains(&camel(c.field())));
        if !status.operation.as_ref().is_some_and(open) {
            self.close_operation()?;
        }
        Ok(())
    }

    async fn create(&mut self, target: &Target, look: Look) -> Result<Outcome> {
        let want = target.want.clone().ok_or_else(missing_observation)?;
        let key = self.driver.key(&want)?;
        let account_id = target.admission.session.client.account_id().to_owned();
        let claim = Claim::key(&account_id, &self.subject.who.kind, &key);
        let rank = self.subject.rank.clone();
        self.engine.memory.claims.wish(&claim, &rank, &self.subject.who);
        if self.engine.others_unseen(&self.subject.uid()) {
            return Ok(others_first());
        }
        if let Some(holder) = self.engine.memory.claims.take(&claim, &rank, &self.subject.who) {
            return Ok(self.conflict(&holder));
        }
        if let Some(exists) = self.remember(|m| m.exists.take()) {
            return Err(exists);
        }
        self.same_principals(target).await?;
        let _one_at_a_time = self.guard(target, Some(&want), None).await?;
        let engine = self.engine;
        let time = seconds(Timestamp::now());
        let intent = Intent {
            account_id,
            within: key.within.clone(),
            name: key.name.clone(),
            time,
            before: look.before,
        };
        self.subject.status_mut()?.intent = Some(intent);
        if let Err(error) = self.subject.write_status(engine).await {
            // Nothing was sent. If the status was written after all, the next write is stale and the next reconcile sees
            // it.
            self.subject.status_mut()?.intent = None;
            return Err(error);
        }
        let seen = match self.driver.create(&target.writer, &want).await {
            Ok(seen) => seen,
            Err(error @ Error::Unknown { .. }) => return Err(error),
            Err(error) => {
                self.subject.status_mut()?.intent = None;
                if error.is_rejected(Reason::ReferenceNotFound) {
                    // A principal that was created again has another id.
                    target.admission.session.forget_principals();
                    return Err(self.about_references(&error));
                }
                if error.is_rejected(Reason::AlreadyExists) {
                    self.name_taken(target, None, &want)?;
                    // It may have appeared since the listing that this reconcile rested on, so a new one is read. If that
                    // does not show it either, this refusal is the result, without another call.
                    target.admission.session.snapshots.forget(self.driver, &key.within).await;
                    let message = error.to_string();
                    self.remember(|m| m.exists = Some(error));
                    return Err(Error::Conflict(message));
                }
                return Err(error);
            }
        };
        self.counts().wrote(Write::Create);
        target.admission.session.snapshots.amend(self.driver, &key.within, &seen.id, Some(&seen)).await;
        let created_at = Some(seconds(Timestamp::now()));
        let external = External { created_at, ..self.external(target, &seen, false) };
        self.engine.memory.claims.record(
            &self.claimant(target).claim(&seen.id),
            &self.subject.rank,
            &self.subject.who,
        );
        self.remember(|m| {
            *m = ObjectMemory { awaiting_first_ready: m.awaiting_first_ready, ..ObjectMemory::default() }
        });
        let status = self.subject.status_mut()?;
        status.intent = None;
        status.operation = None;
        status.external = Some(external);
        self.subject.must_record = true;
        self.made = Some((target.writer.clone(), seen.id.clone()));
        self.subject.note(
            false,
            EventReason::Created,
            format!("created the object {} in the account", seen.id),
        );
        self.after_write(target, seen)
    }

    /// The target of a reference to another object of ours does exist: the operator waits until the account knows it
    /// everywhere. An id that a user wrote may be wrong, and a name may mean another object since it was resolved.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.field))
        });
        if self.bound().record() == Record::Bound {
            text += ", or delete this object if that was deleted in the account";
        }
        let error = Error::rejected(Reason::ReferenceNotFound, text);
        if found { error.patient(NEW_REFERENCE) } else { error }
    }

    /// Before something lost is written again under a name, the name must still mean the same principal. A group that was
    /// deleted and created again must not inherit the access of the old one.
    async fn same_principals(&mut self, target: &Target) -> Result<()> {
        let status = self.subject.status_mut()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = status.resolved_refs.clone();
        for need in self.driver.needs(&self.subject.spec())? {
            let Wanted::Principal(name) = &need.what else { continue };
            let now = target.admission.session.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was created for: delete this \
                     object and apply it again if that is meant"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    async fn update(&mut self, target: &Target, look: Look, fields: &[String]) -> Result<Outcome> {
        let want = target.want.clone().ok_or_else(missing_observation)?;
        let seen = look.seen().cloned().ok_or_else(missing_observation)?;
        self.may_touch(target, &seen)?;
        let drifted = self.subject.status_mut()?.is_true(ConditionType::Ready)
            && Some(self.subject.status_mut()?.observed_generation)
                == self.subject.object.metadata.generation;
        if drifted && !self.remember(|m| std::mem::replace(&mut m.drifted, true)) {
            self.counts().drift_detected();
        }
        let _one_at_a_time = self.guard(target, Some(&want), Some(&seen)).await?;
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        let sent_before = self.remember(|m| m.sent.replace(tokio::time::Instant::now()));
        let differs = self.changes(target, &look)?.iter().any(|c| c.when == When::Now);
        let tried_again = matches!(seen.about.phase, Phase::Failed(_)) && !differs;
        let (told, sent) = match self.send_update(target, &seen, &want, &now).await {
            Err(error) if refuses(&error) => {
                self.remember(|m| m.sent = sent_before);
                return Err(self.not_found(target, &seen, fields, error).await?);
            }
            told => told?,
        };
        self.remember(|m| (m.not_found, m.sent_all) = (false, sent == want));
        self.counts().wrote(Write::Update);
        if drifted {
            self.counts().drift_corrected();
        }
        let key = self.driver.key(&want)?;
        target.admission.session.snapshots.amend(self.driver, &key.within, &told.id, Some(&told)).await;
        let paths: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        // A change that is sent again has been open since it was sent first, and is no news.
        let again = |o: &Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        let before = self.subject.status_mut()?.operation.take().filter(again);
        let news = before.as_ref().is_none_or(|before| before.paths != paths);
        if news {
            // What was waited for before is no reason to read this change late.
            self.remember(|m| m.attempts = 0);
            let reason = if drifted { EventReason::DriftCorrected } else { EventReason::Updated };
            let text = paths.join(", ");
            let text = if tried_again { format!("sent again, as requested: {text}") } else { text };
            self.subject.note(false, reason, text);
        }
        // It may have given up the name that they want.
        self.engine
            .memory
            .claims
            .losers(&self.subject.who)
            .iter()
            .for_each(|who| self.engine.memory.wake.wake(who));
        self.name_freed(target, &seen)?;
        // A read that shows what was sent is not late, even if more remains to be sent.
        let open = self.driver.changes(&sent, &told)?.iter().any(|c| matches!(c.when, When::Now));
        let pending = matches!(told.about.phase, Phase::Pending(_));
        let unbound = self.subject.status_mut()?.external.is_none();
        // As it was before: our mark on it may come from this very update.
        let bind = unbound.then(|| self.restored(target, &seen)).transpose()?;
        self.subject.sent = true;
        let status = self.subject.status_mut()?;
        status.external = status.external.take().or(bind);
        let since = before.map_or_else(|| seconds(Timestamp::now()), |operation| operation.since);
        if open || pending {
            status.operation = Some(Operation { paths, generation, since });
        } else {
            // The response shows it.
            self.remember(|m| m.sent = None);
            self.close_operation()?;
        }
        self.after_write(target, told)
    }

    /// A change does not find what a read shows. The object is gone, or a replica lags: a new read decides. If that shows it and
    /// a change still does not find it, this is a refusal like any other. It is not final while reads may lag.
    /// Other errors stay what they are.
    async fn not_found(
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
        target.admission.session.snapshots.forget(self.driver, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but answers the change of {fields} as if there were none: {error}; the change is \
             tried again. If this lasts, check the object in the account console: change it there, or undo the change in the spec, \
             and ask the support of Databricks",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.lag().read))
    }

    /// The update itself. If objects exchange their names, each refused because another has the name, one of them steps
    /// aside: it gets everything except its name, under which the next comparison finds it different. Also returns what was
    /// sent.
    async fn send_update(
        &self,
        target: &Target,
        seen: &Seen,
        want: &Value,
        now: &[&str],
    ) -> Result<(Seen, Value)> {
        let refused = match self.driver.update(&target.writer, seen, want, now).await {
            Err(error) if error.is_rejected(Reason::AlreadyExists) => error,
            updated => return updated.map(|told| (told, want.clone())),
        };
        if !self.name_taken(target, Some(seen), want)? {
            return Err(refused);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Err(refused) };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let told = self.driver.update(&target.writer, seen, &aside, &fields).await?;
        Ok((told, aside))
    }

    async fn delete(&mut self, target: &Target, look: Look) -> Result<Outcome> {
        if let Some(blocked) = self.foreign_finalizer() {
            return Ok(blocked);
        }
        if self.remember(|m| m.delete_accepted).is_some_and(|at| at.elapsed() < self.lag().read) {
            return Ok(deletion_accepted());
        }
        let seen = look.seen().cloned().ok_or_else(missing_observation)?;
        self.may_touch(target, &seen)?;
        // An older view must not overrule what a user has just set, such as a policy.
        let live = self.engine.cluster.objects.live(&self.subject.resource, &self.subject.object).await?;
        if live.is_none_or(|o| o.metadata.resource_version != self.subject.object.metadata.resource_version) {
            return Err(Error::Conflict("the object was changed meanwhile".into()));
        }
        let _one_at_a_time = self.guard(target, None, Some(&seen)).await?;
        let account = target.admission.session.client.account_id();
        if let Err(message) = self.engine.memory.breaker.let_go(account, &self.subject.uid()) {
            return Ok(Outcome::Blocked { reason: Reason::TooManyDeletions, message });
        }
        match self.driver.delete(&target.writer, &seen.id).await {
            Ok(()) => self.counts().wrote(Write::Delete),
            Err(error) if error.is_rejected(Reason::ExternalResourceMissing) => {
                // A replica that lags behind may not know it yet, and then nothing was deleted.
                if let Some(wait) = self.unseen(&seen.id) {
                    return Err(wait);
                }
            }
            // Most often a dependent in the account: the operator waits for it.
            Err(error) if error.is_rejected(Reason::ApplyFailed) => {
                return Err(Error::waiting(Reason::ApplyFailed, error.to_string()));
            }
            Err(error) => return Err(error),
        }
        let key = self.driver.key(&seen.state)?;
        target.admission.session.snapshots.amend(self.driver, &key.within, &seen.id, None).await;
        self.name_freed(target, &seen)?;
        let before = self.remember(|m| m.delete_accepted.replace(tokio::time::Instant::now()));
        Ok(match before {
            None => Outcome::Again,
            Some(_) => deletion_accepted(),
        })
    }

    /// Databricks says that the name is taken: its holder may give it up soon, so this object waits. Returns whether that
    /// holder waits for our name, directly or through others.
    fn name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.admission.session.client.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.claims.name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.admission.session.client.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }

    /// Where changes in the account are counted.
    pub fn counts(&self) -> &OfKind {
        self.engine.meter.of(&self.subject.who.kind)
    }
}

/// Reads may show the object for a while longer.
fn deletion_accepted() -> Outcome {
    let message = "the deletion was accepted; waiting until the object is gone".into();
    Outcome::Progress { reason: Reason::Deleting, message, sent: true }
}

/// Whether an update certainly changed nothing. The response to it is read too, which may fail after it changed something.
fn refuses(error: &Error) -> bool {
    match error {
        // Nothing was sent.
        Error::Fenced => true,
        Error::Rejected { read, .. } => !read,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}
