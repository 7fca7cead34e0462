//! Hop 9: at most one change in the account, and what is recorded before and after it.
//!
//! A create is announced in the status first, by a write that fails if our view is stale; without that, a crash between the
//! call and its record would lead to a second object. An upsert is announced too: not because it could be doubled, but
//! because after a crash a row that existed before must not count as ours. Before a delete, the operator reads the
//! Kubernetes object once more. Nothing here retries.
//!
//! Each function below is one order of effects, and that order is what makes the change safe. The effects themselves are values
//! or calls from [`super::send`] and [`super::findings`], which are put on the object here. The steps that only bind are in
//! [`super::bind`]. A create has a file of its own, [`super::create`].

use kube::ResourceExt;
use tokio::time::Instant;

use super::bound::Record;
use super::decide::{Released, Step, fields_now, words};
use super::look::Look;
use super::outcome::Outcome;
use super::send::refuses;
use super::subject::Counted;
use super::work::{Decision, Target, Work, missing_observation};
use crate::engine::crd::{EventReason, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Phase, Seen, When};
use crate::engine::meter::Write;

impl Work<'_> {
    /// Carries out a step.
    pub async fn act(&mut self, target: &Target, look: Look, decision: Decision) -> Result<Outcome> {
        match &decision.step {
            Step::Release(how) => self.release(how.clone()).await,
            Step::Create => self.create(target, look).await,
            Step::Replace => {
                if let (Some(seen), None) = (look.seen(), &self.subject.status()?.external) {
                    // What a restored object had is retired as well.
                    self.restore(target, seen)?;
                }
                self.create(target, look).await
            }
            Step::Discard(id) => self.discard(target, id).await,
            Step::MakeRoom(id) => {
                self.reserve().await?;
                self.discard(target, id).await
            }
            Step::Adopt => self.adopt(target, &look, &decision.changes),
            Step::TakeUp => self.take_up(target, &look, &decision.changes).await,
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

    /// Releases the Kubernetes object, with the event for it. What it managed stays in the account and uses what it used, if it was
    /// managed at all.
    pub async fn release(&mut self, how: Released) -> Result<Outcome> {
        let (engine, note) = (self.engine, self.released(&how));
        let managed = !self.observing() && self.bound().record() == Record::Bound;
        let stays = managed && matches!(how, Released::Retained | Released::InUse);
        let (wake, who) = (&engine.memory.wake, self.subject.who.clone());
        let used = wake.uses(&who);
        let released = self.subject.release(engine, note).await?;
        if stays {
            wake.retain(&who, used);
        }
        Ok(released)
    }

    /// Claims the object · asks the guard · binds · sends. Binds before it sends, so that after a crash the record says that no user
    /// had set this object before. Unbinds if the change is certainly refused.
    async fn take_up(&mut self, target: &Target, look: &Look, changes: &[Change]) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = look.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        self.same_place(want, seen)?;
        let claim = self.claimant(target).claim(&seen.id);
        if let Some(lost) = self.claim(&claim) {
            return Ok(lost);
        }
        let _one_at_a_time = self.guard(target, Some(want), Some(seen), &[]).await?;
        let before = self.subject.status()?.external.clone();
        let (engine, bind) = (self.engine, self.external(target, seen, false));
        self.subject.put_bound(bind, self.deletion(false))?;
        if let Err(error) = self.subject.write_status(engine).await {
            self.subject.put_unbound(before)?;
            return Err(error);
        }
        let fields = fields_now(changes);
        let done = if fields.is_empty() {
            self.respond(target, seen.clone())
        } else {
            self.change(target, look, &fields, changes).await
        };
        match &done {
            Err(error) if refuses(error) || matches!(error, Error::Conflict(_)) => {
                self.subject.put_unbound(before)?;
            }
            Err(_) => {}
            Ok(_) => {
                let text =
                    format!("manages the object {}, which was in the account and not managed", seen.id);
                self.subject.note(false, EventReason::Created, text);
            }
        }
        done
    }

    /// Checks what may be touched · asks the guard · sends.
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
        self.same_place(want, seen)?;
        if self.subject.settled()? && !self.remember(|m| std::mem::replace(&mut m.drifted, true)) {
            self.subject.counted.push(Counted::DriftDetected);
        }
        let _one_at_a_time = self.guard(target, Some(want), Some(seen), &[]).await?;
        self.change(target, look, fields, changes).await
    }

    /// Sends an update that was checked · records what no read shows yet.
    async fn change(
        &mut self,
        target: &Target,
        look: &Look,
        fields: &[String],
        changes: &[Change],
    ) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = look.seen().ok_or_else(missing_observation)?;
        let drifted = self.subject.settled()?;
        let sent_before = self.remember(|m| m.sent.replace(Instant::now()));
        let answered = self.send_update(target, seen, want, fields).await;
        // The effect may be as late as the response, and reads lag behind the effect.
        self.remember(|m| m.sent = Some(Instant::now()));
        let mut sent = match answered {
            Err(error) if refuses(&error) => {
                self.remember(|m| m.sent = sent_before);
                return Err(self.not_found(target, seen, fields, error).await?);
            }
            Err(error) => return Err(self.overtaken(target, seen, error).await?),
            Ok(sent) => sent,
        };
        if let Some(error) = sent.shown.about.refused.take() {
            if sent.shown.state == seen.state {
                self.remember(|m| m.sent = sent_before);
            }
            self.in_part(target, seen, fields, sent.shown).await?;
            return Err(self.not_found(target, seen, fields, error).await?);
        }
        self.remember(|m| (m.not_found, m.sent_all) = (false, sent.state == *want));
        self.subject.counted.push(Counted::Wrote(Write::Update));
        let within = self.driver.key(want)?.within;
        let snapshots = &target.place.admission.session.snapshots;
        sent.shown = snapshots.amend(self.driver, &within, sent.shown).await;
        let differs = changes.iter().any(|c| c.when == When::Now);
        let tried_again = matches!(seen.about.phase, Phase::Failed(_)) && !differs;
        let since = self.announce_update(fields, drifted, tried_again)?;
        if sent.shown.id != seen.id
            && let Some(lost) = self.follow(target, seen, &sent.shown).await?
        {
            return Ok(lost);
        }
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

    /// The account refused a part of an update, or all of it: shows what it has now, and what is missing.
    async fn in_part(&mut self, target: &Target, seen: &Seen, fields: &[String], now: Seen) -> Result<()> {
        let within = self.driver.key(&now.state)?.within;
        let now = &target.place.admission.session.snapshots.amend(self.driver, &within, now).await;
        self.may_touch(target, now)?;
        if now.state != seen.state {
            self.subject.counted.push(Counted::Wrote(Write::Update));
            let text = format!("{}, in part: the account refused the rest", words(fields));
            self.subject.note(false, EventReason::Updated, text);
            self.wake_losers();
            self.name_freed(target, seen)?;
        }
        let changes = match &target.want {
            Some(want) => self.driver.changes(want, now)?,
            None => vec![],
        };
        self.subject.put_shown(self.shown(target, now, &changes, true)?)
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
        self.same_place_if_adopted(target.want.as_ref(), seen)?;
        self.unchanged().await?;
        let _one_at_a_time = self.guard(target, None, Some(seen), &[]).await?;
        let session = &target.place.admission.session;
        let account = session.client.account_id();
        if let Err(message) = self.engine.memory.breaker.admit(account, &self.subject.uid()) {
            return Ok(Outcome::Blocked { reason: Reason::TooManyDeletions, message });
        }
        match self.send_delete(target, seen).await {
            Ok(true) => self.subject.counted.push(Counted::Wrote(Write::Delete)),
            Ok(false) => {}
            Err(error) if self.note_in_use(&error) => return self.release(Released::InUse).await,
            Err(error) => return Err(self.overtaken(target, seen, error).await?),
        }
        let key = self.driver.key(&seen.state)?;
        session.snapshots.remove(self.driver, &key.within, &seen.id).await;
        self.name_freed(target, seen)?;
        let before = self.remember(|m| m.delete_accepted.replace(Instant::now()));
        Ok(before.map_or(Outcome::Again, |_| deletion_accepted()))
    }

    /// Before a deletion: an older view must not overrule what a user has just set, such as a policy.
    pub async fn unchanged(&self) -> Result<()> {
        let object = &self.subject.object;
        let live = self.engine.cluster.objects.live(&self.subject.resource, object).await?;
        if live.is_none_or(|live| live.resource_version() != object.resource_version()) {
            return Err(Error::Conflict("the object was changed meanwhile".into()));
        }
        Ok(())
    }

    /// An interrupted create created nothing. What comes next rests on another LIST than this.
    async fn forget(&mut self, target: &Target) -> Result<Outcome> {
        let intent = self.subject.status_mut()?.intent.take();
        let within = intent.ok_or_else(missing_observation)?.within;
        target.place.admission.session.snapshots.forget(self.driver, &within).await;
        self.subject.recovered = true;
        Ok(Outcome::Again)
    }

    /// A response to our own change is one more reading.
    pub fn respond(&mut self, target: &Target, seen: Seen) -> Result<Outcome> {
        let look = Look::from_response(seen);
        self.subject.put_read(&look, self.usable(&look));
        let decision = self.decide_on_response(target, &look)?;
        self.report(target, &look, decision)
    }

    /// Shows what was read, without sending anything.
    fn report(&mut self, target: &Target, look: &Look, decision: Decision) -> Result<Outcome> {
        let Decision { step, changes, .. } = decision;
        // An object that only observes does nothing that could be due.
        let issue = self.issue(look)?.filter(|_| !self.observing());
        self.subject.act_in = issue.and_then(|issue| issue.next_due(look.seen()));
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
                // What waits for a person alone has nothing left to send.
                let sent = sent || (reason == Reason::AwaitingApproval && changes.is_empty());
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
}

/// Reads may show the object for a while longer.
fn deletion_accepted() -> Outcome {
    let message = "the deletion was accepted; waiting until the object is gone".into();
    Outcome::Progress { reason: Reason::Deleting, message, sent: true }
}
