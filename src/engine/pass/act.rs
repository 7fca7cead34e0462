//! Hop 9: at most one change in the account, and what is recorded before and after it.
//!
//! A create is announced in the status first, by a write that fails if our view is stale; without that, a crash between the
//! call and its record would lead to a second object. An upsert is announced too: not because it could be doubled, but
//! because after a crash a row that existed before must not count as ours. Before a delete, the operator reads the
//! Kubernetes object once more. Nothing here retries.
//!
//! Each function below is one order of effects, and that order is what makes the change safe. The effects themselves are values
//! or calls from [`super::send`], [`super::bind`] and [`super::findings`]; they are put on the object here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::bind::of_intent;
use super::bound::Record;
use super::decide::{Released, Step, next_due};
use super::look::Look;
use super::outcome::Outcome;
use super::send::{Sent, refuses};
use super::subject::Counted;
use super::work::{Decision, Target, Work, missing_observation};
use crate::engine::crd::{EventReason, External, Intent, Operation, Reason, camel, seconds};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Key, New, Phase, Seen, When};
use crate::engine::memory::{Claim, ObjectMemory};
use crate::engine::meter::Write;

impl Work<'_> {
    /// Carries out a step.
    pub async fn act(&mut self, target: &Target, look: Look, decision: Decision) -> Result<Outcome> {
        match &decision.step {
            Step::Release(how) => self.release(*how).await,
            Step::Create => self.create(target, look, false).await,
            Step::Replace => self.create(target, look, true).await,
            Step::Discard(id) => self.discard(target, id).await,
            Step::Adopt => self.adopt(target, &look, &decision.changes),
            Step::Update(fields) => self.update(target, &look, fields, &decision.changes).await,
            Step::Delete => self.delete(target, &look).await,
            Step::Bind(id) => self.bind(target, id),
            Step::Forget => self.forget(target).await,
            Step::WaitOut { after, message } => Err(Error::Transient {
                reason: Reason::Retrying,
                message: message.clone(),
                after: Some(*after),
            }),
            Step::Rest | Step::Wait { .. } | Step::Refuse { .. } | Step::Plan { .. } => {
                self.report(target, &look, decision)
            }
        }
    }

    /// Releases the Kubernetes object, with the event for it.
    pub async fn release(&mut self, how: Released) -> Result<Outcome> {
        let (engine, note) = (self.engine, self.released(how));
        self.subject.release(engine, note).await
    }

    /// Claims the name · asks the guard · reserves the place of a secret · announces · sends · keeps the secret · binds. What it
    /// replaces is retired then.
    async fn create(&mut self, target: &Target, look: Look, replaces: bool) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let key = self.driver.key(want)?;
        let session = &target.place.admission.session;
        let account_id = session.client.account_id().to_owned();
        let issues = self.driver.traits().issues;
        let claim = Claim::key(&account_id, &self.subject.who.kind, &key);
        if let Some(lost) = (!issues).then(|| self.claim(&claim)).flatten() {
            return Ok(lost);
        }
        if let Some(exists) = self.remember(|m| m.exists.take()) {
            return Err(exists);
        }
        self.same_principals(target).await?;
        let _one_at_a_time = self.guard(target, Some(want), None).await?;
        let time = seconds(Timestamp::now());
        let (within, name) = (key.within.clone(), key.name.clone());
        let reserved = self.reserve().await?;
        let before = if issues { self.all_within(target, &within).await? } else { look.before };
        let intent = Intent { account_id, within, name, time, before };
        let engine = self.engine;
        self.subject.announce(engine, intent).await?;
        let mut new = match self.driver.create(&target.place.writer, want).await {
            Ok(new) => new,
            // It may have been created, so the announcement stays.
            Err(error @ Error::Unknown { .. }) => return Err(error),
            Err(error) => {
                self.subject.status_mut()?.intent = None;
                return Err(self.not_created(target, want, error).await?);
            }
        };
        if let Some(reserved) = reserved {
            self.keep_secret(target, reserved, &mut new).await?;
        }
        self.created(target, key, new, replaces).await
    }

    /// Records what was just created, and reads the response, or the account if that shows only the id.
    async fn created(&mut self, target: &Target, key: Key, new: New, replaces: bool) -> Result<Outcome> {
        let snapshots = &target.place.admission.session.snapshots;
        match &new.seen {
            Some(seen) => snapshots.amend(self.driver, &key.within, &new.id, Some(seen)).await,
            None => snapshots.forget(self.driver, &key.within).await,
        }
        self.claimant(target).record(&new.id);
        self.remember(|m| {
            *m = ObjectMemory { awaiting_first_ready: m.awaiting_first_ready, ..ObjectMemory::default() }
        });
        let created_at = Some(seconds(Timestamp::now()));
        let account_id = target.place.admission.session.client.account_id().to_owned();
        let shown = new.seen.as_ref().and_then(|seen| self.driver.key(&seen.state).ok());
        let (id, name) = (new.id.clone(), Some(shown.unwrap_or(key).name));
        let external = External { account_id, id, name, adopted: false, observed: false, created_at };
        let made = (target.place.writer.clone(), new.clone());
        self.subject.put_created(external, made, self.deletion(false), replaces)?;
        match new.seen {
            Some(seen) => self.respond(target, seen),
            None => Ok(Outcome::Again),
        }
    }

    /// Checks what may be touched · asks the guard · sends · records what no read shows yet.
    async fn update(
        &mut self,
        target: &Target,
        look: &Look,
        fields: &[String],
        changes: &[Change],
    ) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = look.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        let drifted = self.subject.settled()?;
        if drifted && !self.remember(|m| std::mem::replace(&mut m.drifted, true)) {
            self.subject.counted.push(Counted::DriftDetected);
        }
        let _one_at_a_time = self.guard(target, Some(want), Some(seen)).await?;
        let sent_before = self.remember(|m| m.sent.replace(Instant::now()));
        let sent = match self.send_update(target, seen, want, fields).await {
            Err(error) if refuses(&error) => {
                self.remember(|m| m.sent = sent_before);
                return Err(self.not_found(target, seen, fields, error).await?);
            }
            sent => sent?,
        };
        self.remember(|m| (m.not_found, m.sent_all) = (false, sent.state == *want));
        self.subject.counted.push(Counted::Wrote(Write::Update));
        let within = self.driver.key(want)?.within;
        let snapshots = &target.place.admission.session.snapshots;
        snapshots.amend(self.driver, &within, &sent.shown.id, Some(&sent.shown)).await;
        let differs = changes.iter().any(|c| c.when == When::Now);
        let tried_again = matches!(seen.about.phase, Phase::Failed(_)) && !differs;
        let since = self.announce_update(fields, drifted, tried_again)?;
        // It may have given up the name that they want.
        self.wake_losers();
        self.name_freed(target, seen)?;
        self.keep_open(fields, since, &sent)?;
        if self.subject.status()?.external.is_none() {
            // As it was before: our mark on it may come from this very update.
            self.restore(target, seen)?;
        }
        self.respond(target, sent.shown)
    }

    /// Checks who still needs it and what may be touched · reads the Kubernetes object again · asks the guard · sends.
    async fn delete(&mut self, target: &Target, look: &Look) -> Result<Outcome> {
        if let Some(blocked) = self.foreign_finalizer() {
            return Ok(blocked);
        }
        if self.remember(|m| m.delete_accepted).is_some_and(|at| at.elapsed() < self.lag().read) {
            return Ok(deletion_accepted());
        }
        let seen = look.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        // An older view must not overrule what a user has just set, such as a policy.
        let object = &self.subject.object;
        let live = self.engine.cluster.objects.live(&self.subject.resource, object).await?;
        if live.is_none_or(|live| live.resource_version() != object.resource_version()) {
            return Err(Error::Conflict("the object was changed meanwhile".into()));
        }
        let _one_at_a_time = self.guard(target, None, Some(seen)).await?;
        let session = &target.place.admission.session;
        let account = session.client.account_id();
        if let Err(message) = self.engine.memory.breaker.let_go(account, &self.subject.uid()) {
            return Ok(Outcome::Blocked { reason: Reason::TooManyDeletions, message });
        }
        if self.send_delete(target, seen).await? {
            self.subject.counted.push(Counted::Wrote(Write::Delete));
        }
        let key = self.driver.key(&seen.state)?;
        session.snapshots.amend(self.driver, &key.within, &seen.id, None).await;
        self.name_freed(target, seen)?;
        let before = self.remember(|m| m.delete_accepted.replace(Instant::now()));
        Ok(before.map_or(Outcome::Again, |_| deletion_accepted()))
    }

    /// Binds the object to what existed already.
    fn adopt(&mut self, target: &Target, look: &Look, changes: &[Change]) -> Result<Outcome> {
        let seen = look.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        let managed = !self.observing();
        if managed {
            let claim = self.claimant(target).claim(&seen.id);
            if let Some(lost) = self.claim(&claim) {
                return Ok(lost);
            }
        }
        // An object that only observes adopts nothing.
        let bind = External { observed: !managed, ..self.external(target, seen, true) };
        let shown = self.shown(target, seen, changes, true)?;
        self.subject.put_bound(bind, self.deletion(true))?;
        self.subject.put_shown(shown)?;
        self.subject.must_record = true;
        if managed {
            let text = format!("adopted the object {} that was in the account", seen.id);
            self.subject.put_binding(Write::Adopt, EventReason::Adopted, text);
        }
        Ok(Outcome::Again)
    }

    /// Binds the object to the result of an interrupted create; the next reconcile continues with it.
    fn bind(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        // An older object that would adopt it may read it before our record of it is written.
        if let Some(holder) = self.claimant(target).record(id) {
            return Ok(self.conflict(&holder));
        }
        self.subject.recovered = true;
        let intent = self.subject.status_mut()?.intent.take().ok_or_else(missing_observation)?;
        self.subject.retire(id)?;
        // Not written over any other write, as the id of a create is: the intent stays until this is recorded, and a newer one
        // must not be lost.
        self.subject.put_bound(of_intent(intent, id), self.deletion(false))?;
        let text = format!("found the object {id} that an interrupted create had created");
        self.subject.put_binding(Write::Create, EventReason::Created, text);
        Ok(Outcome::Again)
    }

    /// Deletes a secret that was replaced, or whose value was lost: never the one that is recorded.
    async fn discard(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        if self.subject.status()?.external.as_ref().is_some_and(|external| external.id == id) {
            return Err(Error::terminal(Reason::InternalError, "the present secret would be discarded"));
        }
        if let Some(seen) = self.driver.get(&target.place.reader, id).await?
            && self.send_delete(target, &seen).await?
        {
            self.subject.counted.push(Counted::Wrote(Write::Delete));
            let text = format!("deleted the secret {id}, which was replaced or whose value was lost");
            self.subject.note(false, EventReason::Deleted, text);
        }
        let within = self.driver.within(id)?;
        target.place.admission.session.snapshots.amend(self.driver, &within, id, None).await;
        self.subject.status_mut()?.retired.retain(|one| one.id != id);
        self.subject.recovered = true;
        Ok(Outcome::Again)
    }

    /// An interrupted create created nothing. What comes next rests on another LIST than this.
    async fn forget(&mut self, target: &Target) -> Result<Outcome> {
        let intent = self.subject.status_mut()?.intent.take();
        let within = intent.ok_or_else(missing_observation)?.within;
        target.place.admission.session.snapshots.forget(self.driver, &within).await;
        self.subject.recovered = true;
        Ok(Outcome::Again)
    }

    /// Binds an object that was restored without its status to what its annotation names.
    fn restore(&mut self, target: &Target, seen: &Seen) -> Result<()> {
        let external = self.restored(target, seen)?;
        if external.adopted && !self.observing() {
            let text = self.adopted_by_annotation(&seen.id);
            self.subject.put_binding(Write::Adopt, EventReason::Adopted, text);
        }
        let deletion = self.deletion(external.adopted);
        self.subject.put_bound(external, deletion)
    }

    /// A response to our own change is one more reading.
    fn respond(&mut self, target: &Target, seen: Seen) -> Result<Outcome> {
        let look = Look::from_response(seen);
        self.subject.put_read(&look, self.usable(&look));
        let decision = self.decide_on_response(target, &look)?;
        self.report(target, &look, decision)
    }

    /// Shows what was read, without sending anything.
    fn report(&mut self, target: &Target, look: &Look, decision: Decision) -> Result<Outcome> {
        let Decision { step, changes, .. } = decision;
        self.subject.act_in = self.issue(look)?.and_then(|issue| next_due(&issue, look.seen()));
        if let Some(seen) = look.seen() {
            self.may_touch(target, seen)?;
            self.keep_time(seen, &changes)?;
            let (record, observing) = (self.bound().record(), self.observing());
            // An observed object is shown whatever its state. That alone does not make it ours.
            let ours = if observing {
                self.recognised(target, seen)?
            } else {
                !matches!(step, Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, .. })
            };
            let unbound = self.subject.status()?.external.is_none();
            if record == Record::Bound && unbound && (ours || observing) {
                self.restore(target, seen)?;
            }
            // What is being corrected is no drift.
            let left = if matches!(step, Step::Update(_)) { &[] } else { changes.as_slice() };
            self.subject.put_shown(self.shown(target, seen, left, ours)?)?;
        }
        match (&step, &target.want) {
            (Step::Plan { reason: Reason::WouldBeCreated, .. }, Some(want)) => {
                self.subject.put_shown(self.planned(want))?;
            }
            (Step::Plan { .. }, _) => self.subject.put_shown(Default::default())?,
            _ if look.seen().is_none() => self.subject.status_mut()?.drift.clear(),
            _ => {}
        }
        Ok(match step {
            Step::Wait { reason, message } => {
                let generation = self.subject.object.metadata.generation;
                let operation = self.subject.status()?.operation.as_ref();
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

    /// Adds the event of an accepted change. Returns since when it is open: a change that is sent again has been open since it
    /// was sent first, and is no news.
    fn announce_update(&mut self, fields: &[String], drifted: bool, tried_again: bool) -> Result<Time> {
        let paths: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let again = |o: &Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        let before = self.subject.status()?.operation.as_ref().filter(|operation| again(operation));
        let since = before.map_or_else(|| seconds(Timestamp::now()), |before| before.since.clone());
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
    fn keep_open(&mut self, fields: &[String], since: Time, sent: &Sent) -> Result<()> {
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

    /// A read has shown what was sent, or nothing was. A change whose response was lost has no operation: what is read may be
    /// from before it, for as long as reads may lag.
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

/// Reads may show the object for a while longer.
fn deletion_accepted() -> Outcome {
    let message = "the deletion was accepted; waiting until the object is gone".into();
    Outcome::Progress { reason: Reason::Deleting, message, sent: true }
}
