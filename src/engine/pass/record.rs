//! The one place that writes to the Kubernetes object: its status, its finalizer and annotations, its events; and the end
//! of each reconcile, which concludes once.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::attempts::Refusals;
use super::conclude::{begun, conclude, weighed};
use super::engine::Engine;
use super::log;
use super::look::Usable;
use super::outcome::{Circumstances, Outcome};
use super::subject::{Counted, Subject};
use crate::clock;
use crate::engine::cluster::RecordCopy;
use crate::engine::crd::{
    AUTH_KIND, AnyStatus, ConditionType, EventReason, Intent, Note, RECONCILE_REQUESTED, Reason, conditions,
    has_finalizer,
};
use crate::engine::error::{Error, Result};
use crate::engine::meter::{OfKind, ReconcileResult};

/// The pause before an id is written again that could not be written.
const RECORD_AGAIN: Duration = Duration::from_millis(250);

impl Subject {
    /// Adds our finalizer, and what the annotations lack.
    pub async fn set_finalizer(&mut self, engine: &Engine) -> Result<()> {
        self.write_metadata(engine, true).await
    }

    async fn remove_finalizer(&mut self, engine: &Engine) -> Result<()> {
        self.write_metadata(engine, false).await
    }

    /// Writes what the annotations lack.
    async fn annotate(&mut self, engine: &Engine) -> Result<()> {
        let finalizer = has_finalizer(&self.object);
        self.write_metadata(engine, finalizer).await
    }

    /// Writes the finalizer, and the copy of the record in annotations. The status in memory stays as it is.
    async fn write_metadata(&mut self, engine: &Engine, finalizer: bool) -> Result<()> {
        let external = self.status.as_ref().ok().and_then(|status| status.external.as_ref());
        let annotated = self.who.kind != AUTH_KIND;
        // An object that is only observed is not ours, whatever the status says.
        let ours = external.filter(|external| annotated && !self.deleting() && !external.observed);
        let copy = ours.map(|external| RecordCopy {
            id: external.id.clone(),
            created_by: (!external.adopted).then(|| engine.mark(&self.who)),
            written: self.written,
        });
        engine
            .cluster
            .objects
            .write_metadata(&self.resource, &mut self.object, finalizer, copy.as_ref())
            .await
    }

    /// Writes the status in memory, fenced by the resourceVersion: a stale view fails here.
    pub async fn write_status(&mut self, engine: &Engine) -> Result<()> {
        let generation = self.object.metadata.generation.unwrap_or_default();
        let status = self.status.as_mut().map_err(|e| e.clone())?;
        if status.conditions.is_empty() {
            // An intent may be the first thing that is written; conditions exist from the first write on.
            status.conditions = conditions(&[], &begun(), generation, clock::now());
        }
        let value = serde_json::to_value(status)
            .map_err(|_| Error::terminal(Reason::InternalError, "the status cannot be written as JSON"))?;
        if engine.cluster.objects.write_status(&self.resource, &mut self.object, &value).await? {
            engine.meter.of(&self.who.kind).status_written();
            self.written = true;
        }
        Ok(())
    }

    /// Announces a create before it is sent. If that fails, nothing is sent; if the status was written after all, the next
    /// write is stale and the next reconcile sees it. What was announced before stays, as it may have had an effect.
    pub async fn announce(&mut self, engine: &Engine, intent: Intent) -> Result<()> {
        let before = self.status_mut()?.intent.replace(intent);
        let written = self.write_status(engine).await;
        if written.is_err() {
            self.status_mut()?.intent = before;
        }
        written
    }

    /// The announced create certainly has no effect. `open` is what was announced before and is still in doubt.
    pub fn withdraw(&mut self, engine: &Engine, open: Option<Intent>) -> Result<()> {
        let is_open = open.is_some();
        let withdrawn = std::mem::replace(&mut self.status_mut()?.intent, open);
        engine.memory.objects.of(&self.uid(), |memory| memory.withdraw_create(withdrawn, is_open));
        Ok(())
    }

    /// Releases the Kubernetes object.
    pub async fn release(&mut self, engine: &Engine, note: Option<Note>) -> Result<Outcome> {
        if has_finalizer(&self.object) {
            self.remove_finalizer(engine).await?;
            if let Some(asked) = &self.object.metadata.deletion_timestamp {
                engine.meter.of(&self.who.kind).released(asked.0);
            }
            self.notes.extend(note);
        }
        self.released = true;
        Ok(Outcome::Rest)
    }

    /// Ends the reconcile: one conclusion, at most one status write, events, and when to reconcile again.
    pub async fn conclude(self, engine: &Engine, outcome: Result<Outcome>, ready: Reason) -> Ended {
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        let (counts, result, begun) = (engine.meter.of(&self.who.kind), outcome.result(), self.begun);
        self.count_changes(counts);
        let (ended, lost) = if let Outcome::Failed(Error::Later(after)) = outcome {
            (Ended::Again(Some(after)), None)
        } else if self.released {
            (self.end_released(engine, &outcome).await, None)
        } else {
            self.end(engine, outcome, ready).await
        };
        counts.passed(lost.unwrap_or(result), begun.elapsed());
        ended
    }

    fn count_changes(&self, counts: &OfKind) {
        for counted in &self.counted {
            match counted {
                Counted::Wrote(write) => counts.wrote(*write),
                Counted::DriftDetected => counts.drift_detected(),
                Counted::DriftCorrected => counts.drift_corrected(),
            }
        }
    }

    async fn end_released(&self, engine: &Engine, outcome: &Outcome) -> Ended {
        log::outcome(outcome, true);
        self.publish_events(engine).await;
        self.forget(engine);
        Ended::Done
    }

    /// The object is gone: nothing needs to be remembered of it.
    fn forget(&self, engine: &Engine) {
        engine.memory.objects.forget(&self.uid());
        engine.cluster.objects.forget(&self.object);
    }

    /// Concludes, and writes what was concluded. If that fails, it returns the result that counts in place of the outcome's.
    async fn end(
        mut self,
        engine: &Engine,
        mut outcome: Outcome,
        ready: Reason,
    ) -> (Ended, Option<ReconcileResult>) {
        let generation = self.object.metadata.generation.unwrap_or_default();
        if let Ok(status) = &self.status {
            outcome = weighed(outcome, status, generation);
        }
        let refusals = self.count_refusal(engine, &outcome, generation);
        let attempts = self.count_attempt(engine, &outcome);
        let given = self.circumstances(generation, ready, refusals, attempts);
        let Ok(status) = self.status.clone() else {
            return (self.end_unreadable(engine, &outcome, given.attempts).await, None);
        };
        let before = status.conditions.clone();
        let mut conclusion = conclude(self.with_usable(status), &outcome, &given, &engine.settings.pace);
        log::outcome(&outcome, conclusion.status.conditions != before);
        if let Some(token) = self.object.annotations().get(RECONCILE_REQUESTED)
            && self.handled(&outcome, &given, &conclusion.status)
        {
            conclusion.status.last_handled_reconcile_at = Some(token.clone());
        }
        self.status = Ok(conclusion.status);
        let written = self.write_conclusion(engine).await;
        self.count_bound_without_call(engine, &written);
        if written.is_ok() {
            self.count_recorded(engine, std::mem::take(&mut conclusion.notes));
        }
        self.publish_events(engine).await;
        let written = match written {
            Ok(()) => self.annotate(engine).await.map_err(Lost::Stale),
            lost => lost,
        };
        match written {
            Ok(()) => (Ended::Again(conclusion.requeue), None),
            Err(Lost::Gone) => {
                self.forget(engine);
                (Ended::Gone, None)
            }
            Err(Lost::Stale(error)) => {
                let (again, result) = self.not_written(engine, &error, &given).await;
                (again, Some(result))
            }
        }
    }

    fn circumstances(
        &self,
        generation: i64,
        ready: Reason,
        refusals: Refusals,
        attempts: u32,
    ) -> Circumstances {
        Circumstances {
            generation,
            deleting: self.deleting(),
            refusals: refusals.before,
            confirmed: refusals.is_final,
            attempts,
            ready,
            remark: self.remark.clone(),
            change_accepted: self.change_accepted,
            resolved: self.resolved,
            unresolved: self.unresolved.clone(),
            next_due: self.next_due(),
            now: clock::now(),
            chance: chance(),
        }
    }

    /// An unreadable status is not overwritten: it holds the id. The event reports it.
    async fn end_unreadable(&mut self, engine: &Engine, outcome: &Outcome, attempts: u32) -> Ended {
        log::outcome(outcome, true);
        if let (Outcome::Failed(error), 0) = (outcome, attempts) {
            self.note(true, EventReason::Stalled, error.to_string());
            self.publish_events(engine).await;
        }
        Ended::Again(Some(engine.settings.pace.stalled))
    }

    /// Whether a request for a reconcile was handled. A reconcile that ended before it did anything has not handled it, and
    /// an outage must not use it up.
    fn handled(&self, outcome: &Outcome, given: &Circumstances, status: &AnyStatus) -> bool {
        match outcome {
            Outcome::Failed(Error::Conflict(_) | Error::Fenced) => false,
            Outcome::Again => !self.not_compared,
            Outcome::Failed(Error::Transient { .. }) => status.usable != Some(false) || given.deleting,
            _ => true,
        }
    }

    /// When to try again after the status could not be written, and the result that counts.
    async fn not_written(
        &self,
        engine: &Engine,
        error: &Error,
        given: &Circumstances,
    ) -> (Ended, ReconcileResult) {
        let stale = matches!(error, Error::Conflict(_));
        if stale {
            tracing::debug!(%error, "not written; reconciling again");
        } else {
            tracing::warn!(hop = "conclude", class = error.class(), %error, "the status cannot be written");
        }
        // A reconcile whose result could not be written counts as failed, whatever its outcome was.
        let attempts = given.attempts;
        engine.memory.objects.of(&self.uid(), |memory| memory.attempts = attempts.saturating_add(1));
        // If the status cannot report it, an event does.
        if let (Error::Rejected { reason, .. }, 0) = (error, attempts) {
            let (reason, text) = (EventReason::Stalled, format!("{}: {error}", reason.name()));
            let note = Note { warning: true, reason, text };
            engine.cluster.events.publish(&self.object, &self.resource, &[note]).await;
        }
        let backoff = engine.settings.pace.backoff_min * 2u32.saturating_pow(attempts.min(20));
        let wait = backoff.min(engine.settings.pace.backoff_max).mul_f64(given.chance);
        let again = Ended::Again(Some(if attempts == 0 { Duration::from_millis(20) } else { wait }));
        (again, if stale { ReconcileResult::Conflict } else { ReconcileResult::Transient })
    }

    async fn publish_events(&self, engine: &Engine) {
        log::notes(&self.notes);
        engine.cluster.events.publish(&self.object, &self.resource, &self.notes).await;
    }

    /// Only at the end: what is created again within this reconcile was never gone for its dependents.
    fn with_usable(&self, mut status: AnyStatus) -> AnyStatus {
        let usable = match self.usable {
            Usable::Is(usable) => Some(usable),
            Usable::Missing => None,
            Usable::Unknown => return status,
        };
        if status.external.is_none() {
            return status;
        }
        // In a status of an older version, Ready means the same: an upgrade alone writes no object.
        let said = status.usable.is_none() && usable == Some(true) && status.is_true(ConditionType::Ready);
        if !said {
            status.usable = usable;
        }
        status
    }

    /// Writes the status. A newly learnt id is written over any other write in between: a lost id is an object that is
    /// never deleted.
    async fn write_conclusion(&mut self, engine: &Engine) -> Result<(), Lost> {
        let mut tries = if self.must_record { 20 } else { 1 };
        loop {
            let error = match self.write_status(engine).await {
                Ok(()) => break,
                Err(error) => error,
            };
            tries -= 1;
            if tries == 0 {
                return Err(Lost::Stale(error));
            }
            tracing::warn!(%error, "the id of a new object could not be recorded yet");
            if !matches!(error, Error::Conflict(_)) {
                tokio::time::sleep(RECORD_AGAIN).await;
            }
            match engine.cluster.objects.live(&self.resource, &self.object).await {
                Ok(Some(live)) => match live.data["status"]["external"]["id"].as_str() {
                    None => self.object = live,
                    // Another replica was faster, after a read of its own.
                    Some(id) if Some(id) == self.recorded_id() => return Err(Lost::Stale(error)),
                    // The id that the new one replaces.
                    Some(id) if self.object.data["status"]["external"]["id"] == id => self.object = live,
                    Some(_) => return Err(Lost::Gone),
                },
                Ok(None) => return Err(Lost::Gone),
                Err(_) => tokio::time::sleep(RECORD_AGAIN).await,
            }
        }
        Ok(())
    }

    /// Counts and reports a binding, unless it was certainly not recorded: a write without a response may have been carried out.
    fn count_bound_without_call(&mut self, engine: &Engine, written: &Result<(), Lost>) {
        if matches!(written, Err(Lost::Gone | Lost::Stale(Error::Conflict(_)))) {
            return;
        }
        if let Some((write, note)) = self.bound_without_call.take() {
            engine.meter.of(&self.who.kind).wrote(write);
            self.notes.push(note);
        }
    }

    /// Counts and reports the transitions that are recorded.
    fn count_recorded(&mut self, engine: &Engine, transitions: Vec<Note>) {
        let counts = engine.meter.of(&self.who.kind);
        if transitions.iter().any(|note| note.reason == EventReason::DriftDetected) {
            counts.drift_detected();
        }
        self.notes.extend(transitions);
        let ready = self.status.as_ref().is_ok_and(|status| status.is_true(ConditionType::Ready));
        let first = engine.memory.objects.of(&self.uid(), |memory| {
            memory.awaiting_first_ready |= self.had_no_status;
            ready && std::mem::take(&mut memory.awaiting_first_ready)
        });
        if first {
            self.object.metadata.creation_timestamp.iter().for_each(|made| counts.became_ready(made.0));
        }
    }
}

/// Why a status could not be written.
enum Lost {
    /// The object is gone, or is bound to another one in the account by now.
    Gone,
    /// It may work later.
    Stale(Error),
}

/// How a reconcile ended.
pub enum Ended {
    /// Reconcile again after this time; `None` is when something triggers it.
    Again(Option<Duration>),
    /// It was released.
    Done,
    /// The object disappeared before its id could be recorded.
    Gone,
}

impl Ended {
    /// As the work queue expects it.
    pub fn action(self) -> Action {
        match self {
            Ended::Again(Some(after)) => Action::requeue(after),
            Ended::Again(None) | Ended::Done | Ended::Gone => Action::await_change(),
        }
    }
}

/// A random number in 0..1. UUIDs are a source of chance that is available already.
fn chance() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u64_pair().0 >> 11;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let number = bits as f64;
    number / 9_007_199_254_740_992.0
}
