//! The Kubernetes object under work, parsed as far as all kinds share it, with the findings of the reconcile so far. The hops
//! return values; [`super::hops`] and the steps that it takes put them in here. Nothing here leaves the process: [`super::record`]
//! writes it, and [`super::end`] publishes and counts what is certain in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::engine::Engine;
use super::reading::{Reading, Usable};
use crate::clock;
use crate::engine::crd::{
    AUTH_KIND, AnyStatus, DeletionPolicy, Drift, Effective, EventReason, External, HeldPart, Note,
    ObjectName, RECONCILE_REQUESTED, Reason, Retired, created, seconds,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{New, Writer};
use crate::engine::memory::Rank;
use crate::engine::meter::Write;

/// What is counted of a reconcile when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A change in the account, or an object there that was bound.
    Wrote(Write),
    /// An object differed from its spec for the first time.
    DriftDetected,
    /// It was changed back.
    DriftCorrected,
}

/// The policies in force for an object, and how often it is compared with the account.
#[derive(Clone, Debug)]
pub struct Terms {
    /// As the status shows them.
    pub effective: Effective,
    /// The interval; `None` is never.
    pub resync: Option<Duration>,
}

/// What the status shows of an object in the account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Its natural name, if the object is ours.
    pub name: Option<String>,
    /// The state that the account reports.
    pub state: Option<String>,
    /// The facts of the kind.
    pub facts: Map<String, Value>,
    /// The values of fields.
    pub observed: Map<String, Value>,
    /// How many entries lists have that are cut.
    pub counts: BTreeMap<String, i64>,
    /// What differs from the spec.
    pub drift: Vec<Drift>,
    /// What a user has to know of it.
    pub remark: Option<String>,
}

/// The object under work.
pub struct Subject {
    /// The Kubernetes object, as fresh as known.
    pub object: DynamicObject,
    /// Its type.
    pub resource: ApiResource,
    /// Its name.
    pub who: ObjectName,
    /// The status as it will be written; an unreadable one is an error, never a blank one, which would forget the id.
    pub status: Result<AnyStatus>,
    /// Events to publish.
    pub notes: Vec<Note>,
    /// What to count.
    pub counted: Vec<Counted>,
    /// How the object was bound without a call: counted and reported once that is recorded.
    pub bound_without_call: Option<(Write, Note)>,
    /// What this reconcile has created: deleted again if it cannot be recorded, as the Kubernetes object is gone.
    pub created: Option<(Writer, New)>,
    /// How often to compare with the account.
    pub resync: Option<Duration>,
    /// How long until something is to be done that nothing triggers: a secret is to be replaced, or its predecessor deleted.
    pub act_in: Option<Duration>,
    /// How long until the object is compared again, if this reconcile rested on a shared reading: then that is renewed.
    pub compare_in: Option<Duration>,
    /// The DatabricksAuth and all references that the object cannot be without exist and are ready.
    pub resolved: bool,
    /// Why a reference that it can be without is left out.
    pub unresolved: Option<(Reason, String)>,
    /// What a user has to know of the object in the account.
    pub remark: Option<String>,
    /// It was released: there is nothing left to write to.
    pub released: bool,
    /// Something else was resolved first, such as an interrupted create: nothing was compared yet.
    pub not_compared: bool,
    /// A change was accepted in this reconcile.
    pub change_accepted: bool,
    /// Whether the object in the account is usable.
    pub usable: Usable,
    /// Its status was written in this reconcile.
    pub written: bool,
    /// The id was just learnt: the status must be written whatever happens.
    pub must_record: bool,
    /// Its rank among those that claim the same.
    pub rank: Rank,
    /// It had no status yet.
    pub had_no_status: bool,
    /// When the reconcile began.
    pub begun: Instant,
}

impl Subject {
    /// Parses an object.
    pub fn new(engine: &Engine, object: &DynamicObject, kind: &str) -> Subject {
        let shows = || engine.cluster.stores.object(&ObjectName::of(kind, object));
        let object = engine.cluster.objects.freshest(object, shows);
        let mut status = match object.data.get("status") {
            None | Some(Value::Null) => Ok(AnyStatus::default()),
            Some(status) => serde_json::from_value(status.clone()).map_err(|e| {
                Error::terminal(
                    Reason::InvalidSpec,
                    format!("status cannot be read: {e}; restore it, or remove it with kubectl edit --subresource=status"),
                )
            }),
        };
        let rank = Rank { created: created(&object), uid: object.uid().unwrap_or_default() };
        if let Ok(status) = &mut status {
            let without_effect = engine.memory.objects.of(&rank.uid, |memory| memory.without_effect.clone());
            status.intent.take_if(|it| without_effect.as_ref() == Some(it));
        }
        Subject {
            had_no_status: status.as_ref().is_ok_and(|status: &AnyStatus| status.conditions.is_empty()),
            who: ObjectName::of(kind, &object),
            resource: engine.cluster.stores.resource(kind),
            object,
            status,
            notes: vec![],
            counted: vec![],
            bound_without_call: None,
            created: None,
            resync: engine.settings.resync,
            compare_in: None,
            act_in: None,
            resolved: kind == AUTH_KIND,
            unresolved: None,
            remark: None,
            released: false,
            change_accepted: false,
            not_compared: false,
            usable: Usable::Unknown,
            written: false,
            must_record: false,
            rank,
            begun: Instant::now(),
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

    /// The status as far as it is known, to be read.
    pub fn status(&self) -> Result<&AnyStatus> {
        self.status.as_ref().map_err(Clone::clone)
    }

    /// The parts that are recorded, in the status as the API server has it.
    pub fn recorded_parts(&self) -> Vec<HeldPart> {
        Vec::deserialize(&self.object.data["status"]["parts"]).unwrap_or_default()
    }

    /// The recorded id of the object in the account.
    pub fn recorded_id(&self) -> Option<&str> {
        self.status.as_ref().ok()?.external.as_ref().map(|external| external.id.as_str())
    }

    /// Whether this generation was carried out before.
    pub fn is_carried_out(&self) -> Result<bool> {
        let generation = self.object.metadata.generation.unwrap_or_default();
        Ok(self.status()?.is_settled(generation))
    }

    /// The request for a reconcile that was not handled yet.
    pub fn requested(&self) -> Option<&String> {
        let status = self.status.as_ref().ok();
        let handled = status.and_then(|status| status.last_handled_reconcile_at.as_ref());
        self.object.annotations().get(RECONCILE_REQUESTED).filter(|token| Some(*token) != handled)
    }

    /// When that request was seen first. Many requests at once share one reading: it need only be newer than that.
    pub fn requested_at(&self, engine: &Engine) -> Option<Instant> {
        let token = self.requested()?;
        Some(engine.memory.objects.of(&self.uid(), |memory| memory.note_request(token)))
    }

    /// Adds an event.
    pub fn note(&mut self, warning: bool, reason: EventReason, text: impl Into<String>) {
        self.notes.push(Note { warning, reason, text: text.into() });
    }

    /// Puts in the policies and the interval in force.
    pub fn put_terms(&mut self, terms: Terms) -> Result<()> {
        self.status_mut()?.effective = Some(terms.effective);
        self.resync = terms.resync;
        Ok(())
    }

    /// Puts in the ids that references mean. From now on they count as resolved, but for those that are left out.
    pub fn put_references(
        &mut self,
        refs: Option<&BTreeMap<String, String>>,
        unresolved: Option<(Reason, String)>,
    ) -> Result<()> {
        if let Some(refs) = refs {
            self.status_mut()?.resolved_refs = refs.clone();
        }
        (self.resolved, self.unresolved) = (true, unresolved);
        Ok(())
    }

    /// Puts in what a read says: whether the object in the account is usable, and when the next read is due, which is a
    /// resync interval after this one.
    pub fn put_read(&mut self, reading: &Reading, usable: Usable) {
        if usable != Usable::Unknown {
            self.usable = usable;
        }
        if let (Some(resync), Some(read_at)) = (self.resync, reading.read_at) {
            self.compare_in = Some(resync.saturating_sub(read_at.elapsed()));
        }
    }

    /// Binds the object to one in the account; `deletion` is what then happens to that on deletion.
    pub fn put_bound(&mut self, external: External, deletion: DeletionPolicy) -> Result<()> {
        let status = self.status_mut()?;
        status.effective.iter_mut().for_each(|effective| effective.deletion_policy = deletion);
        status.external_id = Some(external.id.clone());
        status.external = Some(external);
        Ok(())
    }

    /// Binds the object to what it was bound to before.
    pub fn put_back(&mut self, before: Option<External>) -> Result<()> {
        let status = self.status_mut()?;
        status.external_id = before.as_ref().map(|external| external.id.clone());
        status.external = before;
        Ok(())
    }

    /// Reports, once it is recorded, how the object was bound.
    pub fn report_once_recorded(&mut self, write: Write, reason: EventReason, text: String) {
        self.bound_without_call = Some((write, Note { warning: false, reason, text }));
    }

    /// Binds the object to what was just created for it, which must be recorded whatever happens.
    pub fn put_created(
        &mut self,
        external: External,
        created: (Writer, New),
        deletion: DeletionPolicy,
        retires: bool,
    ) -> Result<()> {
        let id = external.id.clone();
        let status = self.status_mut()?;
        (status.intent, status.operation) = (None, None);
        if retires {
            self.retire(&id)?;
        }
        self.put_bound(external, deletion)?;
        self.must_record = true;
        self.counted.push(Counted::Wrote(Write::Create));
        self.note(false, EventReason::Created, format!("created the object {id} in the account"));
        self.created = Some(created);
        Ok(())
    }

    /// Records that the bound secret has a successor. Only what the operator created is deleted later.
    pub fn retire(&mut self, successor: &str) -> Result<()> {
        let since = seconds(clock::now());
        let status = self.status_mut()?;
        let former = status.external.as_ref().filter(|former| former.id != successor);
        if let Some(former) = former.filter(|former| !former.adopted && !former.observed) {
            status.retired.push(Retired { id: former.id.clone(), since });
        }
        Ok(())
    }

    /// When to compare again, or to act: at the latest in a day, as timers of years do not exist.
    pub fn next_due(&self) -> Option<Duration> {
        const DAY: Duration = Duration::from_secs(86_400);
        let compare = self.resync.map(|resync| self.compare_in.unwrap_or(resync));
        compare.into_iter().chain(self.act_in.map(|wait| wait.min(DAY))).min()
    }

    /// Puts in what is shown of the object in the account.
    pub fn put_shown(&mut self, shown: Shown) -> Result<()> {
        let status = self.status_mut()?;
        if let (Some(external), Some(name)) = (status.external.as_mut(), shown.name) {
            external.name = Some(name);
        }
        status.external_id = status.external.as_ref().map(|external| external.id.clone());
        status.state = shown.state;
        status.facts = shown.facts;
        (status.observed, status.observed_counts) = (shown.observed, shown.counts);
        status.drift = shown.drift;
        self.remark = shown.remark;
        Ok(())
    }
}
