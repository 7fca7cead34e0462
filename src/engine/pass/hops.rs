//! One reconcile of a managed object, in ten hops that the function `hops` reads in order:
//!
//! watch → parse → admit → hold → resolve → desire → observe → decide → act → conclude.
//!
//! A reconcile does not know what triggered it (level-triggered). It sends at most one change to the account, and whatever
//! happens it ends in one conclusion. [`super::observe`] decides what is believed of the account, and how fresh that must
//! be; what is sent, and what is recorded before and after it, is in the file of the step, such as [`super::create`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde::Deserialize;
use serde_json::Value;
use tracing::{Instrument, Span};

use super::bound::BoundAs;
use super::decide::{Released, Step, deleting_without_account};
use super::end::Ended;
use super::engine::Engine;
use super::inputs::Decision;
use super::outcome::Outcome;
use super::reading::{Freshness, Reading};
use super::subject::Subject;
use super::undo::undo;
use super::work::{Target, Work};
use crate::engine::crd::{EXTERNAL_ID, Management, Reason, has_finalizer};
use crate::engine::error::{Error, Result};
use crate::engine::kind::Driver;
use crate::engine::memory::WorkerSlot;

/// An object that waits in line is triggered when it may continue, and asks again after this time at the latest.
const IN_LINE: Duration = Duration::from_secs(60);

/// After this many failures in a row, about half a minute at the usual back-off, an object counts as reconciled.
const FAILED_ATTEMPTS: u32 = 5;

/// One reconcile. A panic in it is caught, shown on the object, and harms no other.
pub async fn reconcile(object: &DynamicObject, engine: Arc<Engine>, driver: &'static dyn Driver) -> Action {
    let kind = driver.kind();
    let mut subject = Subject::new(&engine, object, &kind);
    let uid = subject.uid();
    let (mut auth, mut slot, mut waits) = (None, None, false);
    let outcome = match hop("parse").in_scope(|| parse(&subject)) {
        Ok(management) => {
            let mut work = Work { engine: &engine, driver, subject, management, admitted_by: None };
            let outcome = match work.take_worker_slot() {
                Ok(taken) => {
                    slot = taken;
                    hops_and_config_map(&mut work).await
                }
                Err(waited) => {
                    waits = true;
                    work.waits_in_line(waited)
                }
            };
            (subject, auth) = (work.subject, work.admitted_by);
            outcome
        }
        Err(_) if subject.deleting() && nothing_outside(&subject) => subject.release(&engine, None).await,
        Err(error) => {
            engine.memory.line.leave(&subject.who);
            Err(error)
        }
    };
    // A stale view, or an outage, leaves the object open. One that fails again and again must not hold up all others.
    let transient = matches!(outcome, Err(Error::Conflict(_) | Error::Transient { .. } | Error::Later(_)));
    let settled = !transient && !waits;
    if settled || engine.memory.objects.attempts(&uid) >= FAILED_ATTEMPTS {
        engine.reconciled(&uid);
    }
    let (who, created) = (subject.who.clone(), subject.created.take());
    if let (Err(error), Some(auth)) = (&outcome, auth) {
        engine.auths.note_error(&auth, error);
    }
    // Not within a span of its own: what it concludes is recorded in the span of the reconcile.
    let ended = subject.conclude(&engine, outcome, Reason::Available).await;
    // Held until now: the conclusion is work too.
    drop(slot);
    if let (Ended::Gone, Some((writer, new))) = (&ended, created) {
        let undone = undo(engine.clone(), driver, writer, new, (who, uid));
        engine.undoing.tasks.spawn(undone.in_current_span());
    }
    ended.action()
}

/// Hop 2: the shared block. An unreadable status is an error of its own: it may hold an id.
fn parse(subject: &Subject) -> Result<Management> {
    subject.status.as_ref().map_err(Clone::clone)?;
    Management::deserialize(&subject.spec())
        .map_err(|e| Error::terminal(Reason::InvalidSpec, format!("spec cannot be read: {e}")))
}

fn nothing_outside(subject: &Subject) -> bool {
    let status_empty = subject.status.as_ref().is_ok_and(|s| s.external.is_none() && s.intent.is_none());
    status_empty && !subject.object.annotations().contains_key(EXTERNAL_ID)
}

/// The hops, then the ConfigMap that shows their findings, if the spec names one. Catches a panic.
async fn hops_and_config_map(work: &mut Work<'_>) -> Result<Outcome> {
    let both = async {
        let outcome = hops(work).await;
        work.write_config_map(outcome).await
    };
    let done = AssertUnwindSafe(both).catch_unwind().await;
    match done {
        Ok(outcome) => {
            work.give_up_parts(&outcome);
            outcome
        }
        Err(_) => {
            work.engine.meter.panicked();
            let text = "the operator failed on this object; its log has the details";
            Err(Error::terminal(Reason::InternalError, text))
        }
    }
}

/// The hops before the act only read the object under work; what they return is put on it here and in `decide_by`. From the act on, each
/// step puts what it did on the object. Before a call that does nothing for most objects, a comment names those that it is for.
async fn hops(work: &mut Work<'_>) -> Result<Outcome> {
    work.forget_references()?;
    if let Some(outcome) = work.without_account().await? {
        return Ok(outcome);
    }
    let place = work.admit().instrument(hop("admit")).await?;
    work.admitted_by = Some(place.auth.clone());
    work.subject.put_terms(work.terms(Some(&place.admission))?)?;
    if let Some(blocked) = hop("hold").in_scope(|| work.blocked_by_dependents()) {
        return Ok(blocked);
    }
    let resolved = work.resolve(&place).instrument(hop("resolve")).await?;
    let mut target = hop("desire").in_scope(|| work.desire(place, resolved))?;
    work.subject.put_references(target.refs.as_ref(), target.unresolved.shown())?;
    // What manages a part of another object, such as one member of a group.
    work.forget_unclaimed_parts(&target)?;
    // What is in a workspace.
    work.find_home(&target).instrument(hop("desire")).await?;
    work.write_finalizer().await?;
    let (reading, mut decision) = match work.observe_and_decide(&mut target).await {
        // What is in a workspace that is being deleted.
        Err(error) if work.goes_with_workspace(&error)? => {
            return work.release(Released::Left("left to the deletion of its workspace".into())).await;
        }
        both => both?,
    };
    work.release_other_claims(&target, &reading, &decision.step)?;
    // What manages a part of another object.
    if let Some(outcome) = work.claim_parts(&target, &reading, &mut decision)? {
        return Ok(outcome);
    }
    work.act(&target, reading, decision).await
}

/// What a hop does and logs is within its span.
fn hop(name: &'static str) -> Span {
    tracing::debug_span!("hop", hop = name, otel.name = name)
}

impl<'e> Work<'e> {
    /// What needs no account: an object that is suspended, or that is deleted and has nothing there to delete.
    async fn without_account(&mut self) -> Result<Option<Outcome>> {
        self.engine.memory.taken_names.remove(&self.subject.who);
        if self.subject.deleting() && !has_finalizer(&self.subject.object) {
            // The work is done, or never began; another finalizer keeps the object.
            self.subject.released = true;
            return Ok(Some(Outcome::Rest));
        }
        self.subject.put_terms(self.terms(None)?)?;
        if self.management.suspended() && !self.subject.deleting() {
            return Ok(Some(Outcome::Suspended));
        }
        if !self.subject.deleting() {
            return Ok(None);
        }
        let bound_as = self.bound().bound_as();
        match deleting_without_account(bound_as, self.deletes_outside(), self.protected()) {
            Some(Step::Refuse { reason, message }) => Ok(Some(Outcome::Blocked { reason, message })),
            Some(Step::Release(how)) => self.release(how).await.map(Some),
            Some(other) => Err(Error::terminal(Reason::InternalError, format!("unexpected step {other:?}"))),
            None => Ok(None),
        }
    }

    /// A new object waits in the line of its kind if many others are created. Not one that only observes: it sends no call of its own.
    /// `Err` is how long it has waited.
    fn take_worker_slot(&self) -> Result<Option<WorkerSlot<'e>>, Duration> {
        let (line, who) = (&self.engine.memory.line, &self.subject.who);
        if self.is_bound() || self.read_only() || self.management.suspended() || self.subject.deleting() {
            line.leave(who);
            return Ok(None);
        }
        line.enter(who).map(Some)
    }

    /// What a wait in line comes to. A new object has no status, and that says enough; an older status would be wrong after a while.
    fn waits_in_line(&self, waited: Duration) -> Result<Outcome> {
        let says_something = self.subject.status.as_ref().is_ok_and(|status| !status.conditions.is_empty());
        if waited < IN_LINE || !says_something {
            return Err(Error::Later(IN_LINE));
        }
        let message = "waiting until other new objects were reconciled".into();
        Ok(Outcome::Progress { reason: Reason::Progressing, message, sent: false })
    }

    /// Whether there may be an object in the account for this one.
    fn is_bound(&self) -> bool {
        !matches!(self.bound().bound_as(), BoundAs::Nothing | BoundAs::NamedBySpec)
    }

    /// An object that is bound has our finalizer. A new one gets it once it is to be bound: until then nothing is left behind if it is
    /// deleted.
    async fn write_finalizer(&mut self) -> Result<()> {
        if self.read_only() || self.subject.deleting() || !self.is_bound() {
            return Ok(());
        }
        let engine = self.engine;
        self.subject.set_finalizer(engine).await
    }

    /// Hops 7 and 8: once by the shared LISTs, and again by a read of its own if the step needs that.
    async fn observe_and_decide(&mut self, target: &mut Target) -> Result<(Reading, Decision)> {
        let wanted = target.want.clone();
        let (reading, decision) = self.decide_by(target, wanted.as_ref(), Freshness::Routine).await?;
        if reading.may_be_stale && decision.step.needs_own_read() {
            return self.decide_by(target, wanted.as_ref(), Freshness::BeforeWrite).await;
        }
        Ok((reading, decision))
    }

    /// Hops 7 and 8, by a reading of this freshness.
    async fn decide_by(
        &mut self,
        target: &mut Target,
        wanted: Option<&Value>,
        freshness: Freshness,
    ) -> Result<(Reading, Decision)> {
        let reading = self.observe(target, freshness).instrument(hop("observe")).await?;
        self.subject.put_read(&reading, self.usable(&reading));
        // Each reading begins with what the spec wants, as it decides what is kept of a list.
        target.want = match self.driver.traits().roster {
            None => target.unresolved.with_kept_entries(wanted, reading.seen()),
            Some(_) => wanted.cloned(),
        };
        // What determines a whole list: it also decides what is left to other objects, and what is removed.
        self.settle_roster(target, &reading).instrument(hop("decide")).await?;
        let decision = hop("decide").in_scope(|| self.decide(target, &reading))?;
        if decision.aside {
            self.close_operation()?;
        }
        Ok((reading, decision))
    }

    /// Hop 9. The right to write ends with the lease; if that is held when the act fails for want of it, something else forbade the write.
    async fn act(&mut self, target: &Target, reading: Reading, decision: Decision) -> Result<Outcome> {
        let done = self.carry_out(target, reading, decision).instrument(hop("act")).await;
        if matches!(done, Err(Error::Fenced)) && self.engine.permit().holds() {
            let text =
                "this object or its DatabricksAuth was changed while this reconcile waited; nothing was sent";
            return Err(Error::Conflict(text.into()));
        }
        done
    }

    /// Each of these functions is one order of effects, and that order is what makes a change safe. None of them retries.
    async fn carry_out(&mut self, target: &Target, reading: Reading, decision: Decision) -> Result<Outcome> {
        // A response to the last create or deletion says nothing about a later one.
        self.remember(|m| {
            m.refused_as_existing.take_if(|_| !matches!(decision.step, Step::Create | Step::Replace));
            m.in_use_since.take_if(|_| !matches!(decision.step, Step::Delete));
        });
        match &decision.step {
            Step::Release(how) => self.release(how.clone()).await,
            Step::Create => self.create(target, reading).await,
            Step::Replace => self.replace(target, reading).await,
            Step::Discard(id) => self.discard(target, id).await,
            Step::MakeRoom(id) => self.make_room(target, id).await,
            Step::Adopt => self.adopt(target, &reading, &decision.changes).await,
            Step::TakeUp => self.take_up(target, &reading, &decision.changes).await,
            Step::Update(fields) => self.update(target, &reading, fields, &decision.changes).await,
            Step::Delete => self.delete(target, &reading).await,
            Step::BindCreated(id) => self.bind_created(target, id),
            Step::DropIntent => self.drop_intent(target).await,
            Step::DecideLater { after, message } => Err(Error::Transient {
                reason: Reason::Retrying,
                message: message.clone(),
                after: Some(*after),
            }),
            Step::Rest | Step::Wait { .. } | Step::Refuse { .. } | Step::Plan { .. } => {
                self.report(target, &reading, decision)
            }
        }
    }
}
