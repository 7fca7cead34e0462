//! What all passes share: the engine's parts, the object under work, and the one place that writes status.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Permit;
use super::auth::Auths;
use super::breaker::Breaker;
use super::claims::Claims;
use super::cluster::{Cluster, FINALIZER, RECONCILE_REQUESTED, RecordCopy};
use super::conclude::{AnyStatus, Note, Outcome, Pace, Pass, begun, conclude, weighed};
use super::error::{Error, Result};
use super::meter::{Came, Meter};
use super::reason::EventReason;
use super::report::Events;
use super::status::{ConditionType, Reason, conditions};
use super::wake::{Wake, Who};

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often objects are compared with the account where neither they nor their DatabricksAuth say; `None` is never.
    pub resync: Option<Duration>,
    /// How fast to try again.
    pub pace: Pace,
    /// How often Databricks has to refuse the same before that is final.
    pub refusal_tries: u32,
    /// For how long Databricks has to refuse the same before that is final.
    pub refusal_period: Duration,
    /// After a create whose result is not known: how long until the account surely shows what it made.
    pub quarantine: Duration,
    /// How long an object has to be absent before that is believed.
    pub absence: Duration,
    /// The longest time for which a kind may say that reads lag behind writes.
    pub read_lag: Duration,
    /// How long Databricks may take to create or change something before that is called stalled.
    pub operation: Duration,
    /// Part of the mark on objects in the account; the same after a re-install or a restore.
    pub installation: String,
    /// Watch only these namespaces; empty is all.
    pub namespaces: Vec<String>,
    /// Watch only objects with these labels; empty is all. In the form of `kubectl --selector`.
    pub selector: String,
    /// Passes at the same time, for each kind.
    pub concurrency: u16,
    /// Objects of one account that may be deleted within an hour; 0 is any number.
    pub max_deletions_per_hour: u32,
}

/// Lets one at a time through.
pub type Lock = Arc<tokio::sync::Mutex<()>>;

/// The parts that passes work with. One for the process.
pub struct Engine {
    /// Kubernetes.
    pub cluster: Cluster,
    /// Accounts and credentials.
    pub auths: Auths,
    /// Who depends on whom.
    pub wake: Arc<Wake>,
    /// Who manages what.
    pub claims: Claims,
    /// Events.
    pub events: Events,
    /// The right to write.
    pub permit: Permit,
    /// Where the work is counted.
    pub meter: Arc<Meter>,
    /// Stops mass deletion.
    pub breaker: Breaker,
    /// Settings.
    pub settings: Settings,
    /// The kinds' types, by name.
    pub resources: HashMap<String, ApiResource>,
    /// The fields that users write, by kind.
    pub fields: HashMap<String, BTreeSet<String>>,
    /// What the watches know, each with its kind.
    pub stores: Vec<(String, Store<DynamicObject>)>,
    /// One lock for each account and kind whose guard looks at all objects of the kind.
    pub guards: Mutex<HashMap<(String, String), Lock>>,
    /// What is known of objects between passes, by UID.
    pub memory: Mutex<HashMap<String, Memory>>,
    /// Objects that were there at the start, are bound to nothing yet and have not been looked at: creates wait for them,
    /// so that of two that claim the same the older wins.
    pub first_look: Mutex<HashMap<String, Who>>,
    /// The claims of what was there at the start are recorded: from here on, events add to them.
    pub claims_known: AtomicBool,
    /// What is being deleted because its object vanished while it was made; the end of the process waits for it.
    pub undoing: TaskTracker,
    /// The process is ending.
    pub stop: CancellationToken,
    /// When the first pass could begin.
    pub began: OnceLock<tokio::time::Instant>,
}

/// What is remembered of an object between passes. All of it may be lost.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Failures or waits in a row.
    pub attempts: u32,
    /// The same refusal, time and again.
    pub refusal: Option<Refusal>,
    /// Since when the object in the account has been absent.
    pub absent_since: Option<tokio::time::Instant>,
    /// When our delete was accepted last.
    pub delete_accepted: Option<tokio::time::Instant>,
    /// Databricks said that what we were to make is there already, although no listing had shown it.
    pub exists: Option<super::error::Error>,
    /// A change was answered as if there were no such object, although a read had shown it.
    pub not_found: bool,
    /// When a change was sent last that no read has shown since.
    pub sent: Option<tokio::time::Instant>,
    /// What was sent last was all that is wanted; else the object stepped aside, see [`super::lag`].
    pub sent_all: bool,
    /// The last request for a pass, and when it was first seen.
    pub requested: Option<(String, tokio::time::Instant)>,
    /// It has not been Ready yet since this process saw it without any status.
    pub young: bool,
    /// That it has drifted was counted.
    pub drifted: bool,
}

/// The same refusal, time and again.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    reason: Reason,
    generation: i64,
    since: tokio::time::Instant,
    tries: u32,
}

/// The object under work.
pub struct Subject {
    /// The Kubernetes object, as fresh as known.
    pub object: DynamicObject,
    /// Its type.
    pub resource: ApiResource,
    /// Its name.
    pub who: Who,
    /// The status as it will be written; an unreadable one is an error, never a blank one, which would forget the id.
    pub status: Result<AnyStatus>,
    /// Events to publish.
    pub notes: Vec<Note>,
    /// How often to compare with the account.
    pub resync: Option<Duration>,
    /// When the reading that this pass rested on is due to be renewed, if it rested on a shared one.
    pub due: Option<Duration>,
    /// The DatabricksAuth and all references were found to be there and ready.
    pub resolved: bool,
    /// It was let go: there is nothing left to write to.
    pub released: bool,
    /// A change was accepted in this pass.
    pub sent: bool,
    /// Whether the object in the account is usable, if it was looked for; none if it is not there.
    pub usable: Option<Option<bool>>,
    /// Annotations repeat its record.
    pub annotated: bool,
    /// Its status was written in this pass.
    pub written: bool,
    /// The id was just learnt: the status has to be written whatever happens.
    pub must_record: bool,
    /// It had no status yet.
    pub new: bool,
    /// When the pass began.
    pub begun: tokio::time::Instant,
}

impl Subject {
    /// Takes up an object.
    pub fn new(engine: &Engine, object: &DynamicObject, kind: &str) -> Subject {
        let object = engine.cluster.freshest(object);
        let status = match object.data.get("status") {
            None | Some(Value::Null) => Ok(AnyStatus::default()),
            Some(status) => serde_json::from_value(status.clone()).map_err(|e| {
                Error::terminal(
                    Reason::InvalidSpec,
                    format!("status cannot be read: {e}; restore it, or remove it with kubectl edit --subresource=status"),
                )
            }),
        };
        Subject {
            new: status.as_ref().is_ok_and(|status: &AnyStatus| status.conditions.is_empty()),
            who: Who {
                kind: kind.into(),
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
            },
            resource: engine.resources[kind].clone(),
            object,
            status,
            notes: vec![],
            resync: engine.settings.resync,
            due: None,
            resolved: kind == super::auth::KIND,
            released: false,
            sent: false,
            usable: None,
            annotated: kind != super::auth::KIND,
            written: false,
            must_record: false,
            begun: tokio::time::Instant::now(),
        }
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The spec.
    pub fn spec(&self) -> Value {
        self.object.data.get("spec").cloned().unwrap_or_else(|| json!({}))
    }

    /// Whether it is being deleted.
    pub fn deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// The status, to be changed.
    pub fn status_mut(&mut self) -> Result<&mut AnyStatus> {
        self.status.as_mut().map_err(|e| e.clone())
    }

    /// Adds an event.
    pub fn note(&mut self, warning: bool, reason: EventReason, text: impl Into<String>) {
        self.notes.push(Note { warning, reason, text: text.into() });
    }

    /// The finalizer, and what annotations repeat of the record. The status in hand stays what it is.
    pub async fn write_metadata(&mut self, engine: &Engine, finalizer: bool) -> Result<bool> {
        let external = self.status.as_ref().ok().and_then(|status| status.external.as_ref());
        // What is only observed is not ours, whatever becomes of the status.
        let ours = external.filter(|external| self.annotated && !self.deleting() && !external.observed);
        let copy = ours.map(|external| RecordCopy {
            id: external.id.clone(),
            created_by: (!external.adopted).then(|| engine.mark(&self.who)),
            written: self.written,
        });
        engine.cluster.write_metadata(&self.resource, &mut self.object, finalizer, copy.as_ref()).await
    }

    /// Writes the status as it is in hand, fenced by the resourceVersion: a stale view fails here.
    pub async fn write_status(&mut self, engine: &Engine) -> Result<()> {
        let generation = self.object.metadata.generation.unwrap_or_default();
        let status = self.status.as_mut().map_err(|e| e.clone())?;
        if status.conditions.is_empty() {
            // An intent may be the first thing that is written; conditions are there from the first write on.
            status.conditions = conditions(&[], &begun(), generation, Timestamp::now());
        }
        let value = serde_json::to_value(status)
            .map_err(|_| Error::terminal(Reason::InternalError, "the status cannot be written as JSON"))?;
        if engine.cluster.write_status(&self.resource, &mut self.object, &value).await? {
            engine.meter.of(&self.who.kind).status_written();
            self.written = true;
        }
        Ok(())
    }

    /// Lets the Kubernetes object go.
    pub async fn release(&mut self, engine: &Engine, note: Option<Note>) -> Result<Outcome> {
        if self.object.finalizers().iter().any(|f| f == FINALIZER) {
            self.write_metadata(engine, false).await?;
            if let Some(asked) = &self.object.metadata.deletion_timestamp {
                engine.meter.of(&self.who.kind).let_go(asked.0);
            }
            self.notes.extend(note);
        }
        self.released = true;
        Ok(Outcome::Rest)
    }

    /// Ends the pass: one conclusion, at most one status write, events, and when to come back.
    pub async fn conclude(self, engine: &Engine, outcome: Result<Outcome>, ready: Reason) -> Ended {
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        let (counts, mut came, begun) = (engine.meter.of(&self.who.kind), Came::to(&outcome), self.begun);
        let ended = self.end(engine, outcome, ready, &mut came).await;
        counts.passed(came, begun.elapsed());
        ended
    }

    /// `came` becomes another one where it could not be written down.
    async fn end(mut self, engine: &Engine, outcome: Outcome, ready: Reason, came: &mut Came) -> Ended {
        if self.released {
            super::log::outcome(&outcome, true);
            super::log::notes(&self.notes);
            engine.events.publish(&self.object, &self.resource, &self.notes).await;
            engine.memory.lock().expect("no panic while held").remove(&self.uid());
            engine.cluster.forget(&self.object);
            return Ended::Again(None);
        }
        let generation = self.object.metadata.generation.unwrap_or_default();
        let outcome = match &self.status {
            Ok(status) => weighed(outcome, status, generation),
            Err(_) => outcome,
        };
        let (refusals, confirmed) = self.count_refusal(engine, &outcome, generation);
        let pass = Pass {
            generation,
            deleting: self.deleting(),
            refusals,
            confirmed,
            attempts: self.count(engine, &outcome),
            ready,
            sent: self.sent,
            resolved: self.resolved,
            resync: self.resync.map(|resync| self.due.unwrap_or(resync)),
            now: Timestamp::now(),
            chance: chance(),
        };
        // An unreadable status is not overwritten: it holds the id. The event tells.
        let Ok(mut status) = self.status.clone() else {
            super::log::outcome(&outcome, true);
            if let (Outcome::Failed(error), 0) = (&outcome, pass.attempts) {
                self.note(true, EventReason::Stalled, error.to_string());
                engine.events.publish(&self.object, &self.resource, &self.notes).await;
            }
            return Ended::Again(Some(engine.settings.pace.stalled));
        };
        self.conclude_usable(&mut status);
        let before = status.conditions.clone();
        let mut conclusion = conclude(status, &outcome, &pass, &engine.settings.pace);
        super::log::outcome(&outcome, conclusion.status.conditions != before);
        // A pass that was cut off before it did anything has not handled a request.
        let cut_off = match &outcome {
            Outcome::Failed(Error::Conflict(_) | Error::Fenced) => true,
            // What failed is tried again on request: an outage must not use that up.
            Outcome::Failed(Error::Transient { .. }) => {
                conclusion.status.usable == Some(false) && !pass.deleting
            }
            _ => false,
        };
        if let Some(token) = self.object.annotations().get(RECONCILE_REQUESTED).filter(|_| !cut_off) {
            conclusion.status.last_handled_reconcile_at = Some(token.clone());
        }
        self.status = Ok(conclusion.status);
        let written = self.record(engine).await;
        if written.is_ok() {
            self.count_transitions(engine, &conclusion.notes);
            self.notes.append(&mut conclusion.notes);
        }
        super::log::notes(&self.notes);
        engine.events.publish(&self.object, &self.resource, &self.notes).await;
        let written = match written {
            Ok(()) => self.annotate(engine).await.map_err(Lost::Stale),
            lost => lost,
        };
        match written {
            Ok(()) => Ended::Again(conclusion.requeue),
            Err(Lost::Gone) => {
                engine.memory.lock().expect("no panic while held").remove(&self.uid());
                engine.cluster.forget(&self.object);
                Ended::Gone
            }
            Err(Lost::Stale(error)) => {
                if matches!(error, Error::Conflict(_)) {
                    *came = Came::Conflict;
                    tracing::debug!(%error, "not written; looking again");
                } else {
                    *came = Came::Transient;
                    tracing::warn!(hop = "conclude", class = error.class(), %error, "the status cannot be written");
                }
                let attempts = self.remember_failure(engine, pass.attempts);
                // Where the status cannot tell, an event does.
                if let (Error::Rejected { reason, .. }, 0) = (&error, attempts) {
                    let (reason, text) = (EventReason::Stalled, format!("{}: {error}", reason.name()));
                    let note = Note { warning: true, reason, text };
                    engine.events.publish(&self.object, &self.resource, &[note]).await;
                }
                let backoff = engine.settings.pace.backoff_min * 2u32.saturating_pow(attempts.min(20));
                let wait = backoff.min(engine.settings.pace.backoff_max).mul_f64(pass.chance);
                Ended::Again(Some(if attempts == 0 { Duration::from_millis(20) } else { wait }))
            }
        }
    }

    /// Only at the end: what is created again within this pass was never gone for what refers to it.
    fn conclude_usable(&self, status: &mut AnyStatus) {
        let Some(usable) = self.usable.filter(|_| status.external.is_some()) else { return };
        // Of a status of an older version, Ready says the same: an upgrade alone writes no object.
        let said = status.usable.is_none() && usable == Some(true) && status.is_true(ConditionType::Ready);
        if !said {
            status.usable = usable;
        }
    }

    /// Writes the status. One that holds a newly learnt id is written over whatever somebody
    /// else wrote in between: an id that is lost is an object that nobody will ever delete.
    async fn record(&mut self, engine: &Engine) -> Result<(), Lost> {
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
            match engine.cluster.live(&self.resource, &self.object).await {
                Ok(Some(live)) => match live.data["status"]["external"]["id"].as_str() {
                    None => self.object = live,
                    // Another replica was faster, after a look of its own.
                    Some(id) if Some(id) == self.recorded_id() => return Err(Lost::Stale(error)),
                    Some(_) => return Err(Lost::Gone),
                },
                Ok(None) => return Err(Lost::Gone),
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
        Ok(())
    }

    fn recorded_id(&self) -> Option<&str> {
        self.status.as_ref().ok()?.external.as_ref().map(|external| external.id.as_str())
    }

    /// Writes what annotations repeat of the record.
    async fn annotate(&mut self, engine: &Engine) -> Result<()> {
        let finalizer = self.object.finalizers().iter().any(|f| f == FINALIZER);
        self.write_metadata(engine, finalizer).await.map(drop)
    }

    /// A pass whose result could not be written counts as failed, whatever it came to.
    fn remember_failure(&self, engine: &Engine, attempts: u32) -> u32 {
        let mut memory = engine.memory.lock().expect("no panic while held");
        let memory = memory.entry(self.uid()).or_default();
        memory.attempts = attempts.saturating_add(1);
        attempts
    }

    /// Counts what an object becomes once only, and what the status tells of once.
    fn count_transitions(&self, engine: &Engine, notes: &[Note]) {
        let counts = engine.meter.of(&self.who.kind);
        if notes.iter().any(|note| note.reason == EventReason::DriftDetected) {
            counts.drift_detected();
        }
        let mut memory = engine.memory.lock().expect("no panic while held");
        let memory = memory.entry(self.uid()).or_default();
        memory.young |= self.new;
        let ready = self.status.as_ref().is_ok_and(|status| status.is_true(ConditionType::Ready));
        if ready && std::mem::take(&mut memory.young) {
            self.object.metadata.creation_timestamp.iter().for_each(|made| counts.became_ready(made.0));
        }
    }

    fn count(&self, engine: &Engine, outcome: &Outcome) -> u32 {
        let mut memory = engine.memory.lock().expect("no panic while held");
        let memory = memory.entry(self.uid()).or_default();
        let attempts = memory.attempts;
        memory.attempts = match outcome {
            Outcome::Failed(Error::Terminal { .. } | Error::Rejected { .. }) => 0,
            Outcome::Failed(_) | Outcome::Progress { .. } => attempts.saturating_add(1),
            _ => 0,
        };
        attempts
    }

    /// How often in a row this object was refused for this reason before, and whether a refusal by Databricks is final by
    /// now. What failed for another cause in between neither counts nor clears it. One that the status already shows as
    /// Stalled stays final, whatever a restart forgot.
    fn count_refusal(&self, engine: &Engine, outcome: &Outcome, generation: i64) -> (u32, bool) {
        let mut memory = engine.memory.lock().expect("no panic while held");
        let memory = memory.entry(self.uid()).or_default();
        let (reason, patience) = match outcome {
            Outcome::Refused { reason, .. } | Outcome::Failed(Error::Terminal { reason, .. }) => {
                (*reason, None)
            }
            Outcome::Failed(Error::Rejected { reason, patience, .. }) => (*reason, *patience),
            Outcome::Failed(_) | Outcome::Again => return (0, false),
            _ => {
                memory.refusal = None;
                return (0, false);
            }
        };
        let now = tokio::time::Instant::now();
        let same = memory.refusal.filter(|known| known.reason == reason && known.generation == generation);
        let refusal = same.unwrap_or(Refusal { reason, generation, since: now, tries: 0 });
        let tries = refusal.tries.saturating_add(1);
        memory.refusal = Some(Refusal { tries, ..refusal });
        let settings = &engine.settings;
        let at_once = settings.refusal_tries == 1;
        let period = if at_once { Duration::ZERO } else { settings.refusal_period };
        let long = now.duration_since(refusal.since) >= period.max(patience.unwrap_or_default());
        let long = long && tries >= settings.refusal_tries;
        (refusal.tries, long || self.shown_as_stalled(reason, generation))
    }

    fn shown_as_stalled(&self, reason: Reason, generation: i64) -> bool {
        self.status.as_ref().is_ok_and(|status| {
            let stalled = status.condition(ConditionType::Stalled);
            status.observed_generation == generation && stalled.is_some_and(|c| c.reason == reason.name())
        })
    }
}

/// Why a status could not be written.
enum Lost {
    /// The object is gone, or belongs to another one in the account by now.
    Gone,
    /// It may work later.
    Stale(Error),
}

/// How a pass ended.
pub enum Ended {
    /// Look again after this time; `None` is when something wakes us.
    Again(Option<Duration>),
    /// The object vanished before what was learnt could be recorded.
    Gone,
}

impl Ended {
    /// In the words of the work queue.
    pub fn action(self) -> Action {
        match self {
            Ended::Again(Some(after)) => Action::requeue(after),
            Ended::Again(None) | Ended::Gone => Action::await_change(),
        }
    }
}

/// A random number in 0..1. UUIDs are the source of chance that is there already.
fn chance() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u64_pair().0 >> 11;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let number = bits as f64;
    number / 9_007_199_254_740_992.0
}
