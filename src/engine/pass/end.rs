//! The end of each reconcile, which concludes once: failures in a row are counted, the pure [`super::conclude`] says what the outcome
//! means, the status is written, and what is then certain is published as events and counted.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::conclude::{conclude, weighed};
use super::engine::Engine;
use super::log;
use super::outcome::{Circumstances, Outcome};
use super::reading::Usable;
use super::subject::{Counted, Subject};
use crate::clock;
use crate::engine::crd::{AnyStatus, ConditionType, EventReason, Note, RECONCILE_REQUESTED, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::memory::Refusal;
use crate::engine::meter::{OfKind, ReconcileResult};

/// The pause before an id is written again that could not be written.
const RECORD_AGAIN: Duration = Duration::from_millis(250);

impl Subject {
    /// Ends the reconcile: one conclusion, at most one status write, events, and when to reconcile again.
    pub async fn conclude(self, engine: &Engine, outcome: Result<Outcome>, ready: Reason) -> Ended {
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        let (counts, result, begun) = (engine.meter.of(&self.who.kind), outcome.result(), self.begun);
        let (who, uid) = (self.who.clone(), self.uid());
        self.count_changes(counts);
        let (ended, lost) = if let Outcome::Failed(Error::Later(after)) = outcome {
            (Ended::Requeue(Some(after)), None)
        } else if self.released {
            (self.end_released(engine, &outcome).await, None)
        } else {
            self.end(engine, outcome, ready).await
        };
        engine.forget_if_gone(&who, &uid);
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
        engine.forget(&self.uid());
        Ended::Done
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
        let unwritten = written.is_err().then_some(generation);
        engine.memory.objects.of(&self.uid(), |memory| memory.unwritten = unwritten);
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
            Ok(()) => (Ended::Requeue(conclusion.requeue), None),
            Err(Lost::Gone) => {
                engine.forget(&self.uid());
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
            refusal_is_final: refusals.is_final,
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
            let reason = error.reason().map(|reason| format!("{}: ", reason.name())).unwrap_or_default();
            self.note(true, EventReason::Stalled, format!("{reason}{error}"));
            self.publish_events(engine).await;
        }
        Ended::Requeue(Some(engine.settings.pace.stalled))
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
        let again = Ended::Requeue(Some(if attempts == 0 { Duration::from_millis(20) } else { wait }));
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
    Requeue(Option<Duration>),
    /// It was released.
    Done,
    /// The object disappeared before its id could be recorded.
    Gone,
}

impl Ended {
    /// As the work queue expects it.
    pub fn action(self) -> Action {
        match self {
            Ended::Requeue(Some(after)) => Action::requeue(after),
            Ended::Requeue(None) | Ended::Done | Ended::Gone => Action::await_change(),
        }
    }
}

/// What is known of refusals in a row for the same reason.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    /// How many before this one.
    before: u32,
    /// It was refused often enough, and for long enough, or the status shows it as Stalled already.
    is_final: bool,
}

impl Subject {
    /// How often in a row this object has failed or waited before; this time counts from now on.
    fn count_attempt(&self, engine: &Engine, outcome: &Outcome) -> u32 {
        engine.memory.objects.of(&self.uid(), |memory| {
            let attempts = memory.attempts;
            memory.attempts = match outcome {
                Outcome::Failed(Error::Terminal { .. } | Error::Rejected { .. }) => 0,
                Outcome::Failed(_) | Outcome::Progress { .. } => attempts.saturating_add(1),
                _ => 0,
            };
            attempts
        })
    }

    /// How often in a row this object was refused for this reason; this time counts from now on. A failure for another cause
    /// in between neither counts nor clears it. One that the status already shows as Stalled stays final, whatever a restart
    /// forgot.
    fn count_refusal(&self, engine: &Engine, outcome: &Outcome, generation: i64) -> Refusals {
        let (reason, patience) = match outcome {
            Outcome::Refused { reason, .. } | Outcome::Failed(Error::Terminal { reason, .. }) => {
                (*reason, None)
            }
            Outcome::Failed(Error::Rejected { reason, patience, .. }) => (*reason, *patience),
            Outcome::Failed(_) | Outcome::Again => return Refusals::default(),
            _ => {
                engine.memory.objects.of(&self.uid(), |memory| memory.refusal = None);
                return Refusals::default();
            }
        };
        let now = tokio::time::Instant::now();
        let refusal = engine.memory.objects.of(&self.uid(), |memory| {
            let same =
                memory.refusal.filter(|known| known.reason == reason && known.generation == generation);
            let refusal = same.unwrap_or(Refusal { reason, generation, since: now, tries: 0 });
            memory.refusal = Some(Refusal { tries: refusal.tries.saturating_add(1), ..refusal });
            refusal
        });
        let settings = &engine.settings;
        let at_once = settings.refusal_tries == 1;
        let period = if at_once { Duration::ZERO } else { settings.refusal_period };
        let long = now.duration_since(refusal.since) >= period.max(patience.unwrap_or_default());
        let long = long && refusal.tries.saturating_add(1) >= settings.refusal_tries;
        Refusals { before: refusal.tries, is_final: long || self.shown_as_stalled(reason, generation) }
    }

    fn shown_as_stalled(&self, reason: Reason, generation: i64) -> bool {
        self.status.as_ref().is_ok_and(|status| {
            let stalled = status.condition(ConditionType::Stalled);
            status.observed_generation == generation && stalled.is_some_and(|c| c.reason == reason.name())
        })
    }
}

/// A random number in 0..1. UUIDs are a source of chance that is available already.
fn chance() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u64_pair().0 >> 11;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let number = bits as f64;
    number / 9_007_199_254_740_992.0
}
