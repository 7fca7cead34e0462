//! The object under work together with its kind: what binds it to an object in the account, and all that a decision depends
//! on.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::decide::{Record, Running, Step, View, decide};
use super::engine::Engine;
use super::look::Look;
use super::subject::Subject;
use crate::engine::account::Admission;
use crate::engine::crd::{
    DeletionPolicy, EXTERNAL_ID, Management, ManagementPolicy, Operation, Reason, Who, age, camel,
};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Driver, Phase, Reader, Wanted, When, Writer};

/// One object of a managed kind under work.
pub struct Work<'e> {
    /// The engine.
    pub engine: &'e Engine,
    /// The kind.
    pub driver: &'static dyn Driver,
    /// The object.
    pub subject: Subject,
    /// The spec fields that all kinds share.
    pub management: Management,
    /// What this pass has made and not recorded yet.
    pub made: Option<(Writer, String)>,
    /// The DatabricksAuth that admitted the object: what goes wrong with the account after that is its business too.
    pub admitted: Option<Who>,
}

/// What a pass knows once references are resolved.
pub struct Known {
    /// Who may do what.
    pub admission: Admission,
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// What is wanted; while deleting there may be nothing that can be read.
    pub want: Option<Value>,
    /// How fresh a reading has to be at least.
    pub not_before: Instant,
}

impl Work<'_> {
    /// What binds this object to one in the account.
    pub fn record(&self) -> Record {
        let status = self.subject.status.as_ref().ok();
        if status.and_then(|s| s.external.as_ref()).is_some_and(|e| e.observed) {
            return Record::Observed;
        }
        let bound = status.is_some_and(|s| s.external.is_some() || s.intent.is_some());
        if bound || self.subject.object.annotations().contains_key(EXTERNAL_ID) {
            Record::Bound
        } else if self.management.external_id.is_some() {
            Record::Asked
        } else {
            Record::None
        }
    }

    /// Whether the object in the account was there before this one, as far as a record tells: then it stays by default.
    pub fn adopted(&self) -> bool {
        // What was only observed until now may still be created.
        let observing = self.management.policy() == ManagementPolicy::Observe;
        let external = self.subject.status.as_ref().ok().and_then(|status| status.external.as_ref());
        let external = external.filter(|external| observing || !external.observed);
        let annotated = self.subject.object.annotations().contains_key(EXTERNAL_ID);
        external.map_or(annotated && !self.created_here(), |external| external.adopted)
    }

    /// What is looked for in the account, for people: the kind, with the natural name, else with the id.
    fn called(&self, want: Option<&Value>) -> Result<String> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let (kind, bound) = (&self.subject.who.kind, status.external.as_ref());
        let id = bound.map(|e| &e.id).or(self.management.external_id.as_ref());
        let asked = self.record() == Record::Asked;
        let Some(want) = want.filter(|_| !asked) else {
            return Ok(id.map_or_else(|| kind.clone(), |id| format!("{kind} with the id {id}")));
        };
        let key = self.driver.key(want)?;
        let name = bound.and_then(|e| e.name.clone()).unwrap_or(key.name);
        let mut called = format!("{kind} {}", format!("{}/{name}", key.within).trim_matches('/'));
        // Where the natural name is an id, so that the name in the spec is there too.
        for need in self.driver.needs(&self.subject.spec())? {
            if let Wanted::Principal(name) = need.what {
                called += &format!(" ({name})");
            }
        }
        Ok(called)
    }

    /// All that a decision depends on.
    pub fn view<'a>(&'a self, known: &Known, look: &'a Look, changes: &'a [Change]) -> Result<View<'a>> {
        let again = match (&known.want, look.seen()) {
            (Some(want), Some(seen)) if matches!(seen.about.phase, Phase::Failed(_)) => {
                self.driver.again(want, seen)?.into_iter().map(str::to_owned).collect()
            }
            _ => vec![],
        };
        Ok(View { again, ..self.view_of(look, changes, known.want.as_ref())? })
    }

    /// The same before anything is known of the account.
    pub fn view_of<'a>(
        &'a self,
        look: &'a Look,
        changes: &'a [Change],
        want: Option<&Value>,
    ) -> Result<View<'a>> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let traits = self.driver.traits();
        let adopted = self.adopted();
        let observe = self.management.policy() == ManagementPolicy::Observe;
        let delete = self.management.deletion(traits.data_bearing, adopted) == DeletionPolicy::Delete;
        Ok(View {
            called: self.called(want)?,
            deleting: self.subject.deleting(),
            observe,
            adoption: self.management.adoption(),
            delete_outside: delete && !observe && !self.management.suspended(),
            protected: self.management.deletion_protection == Some(true),
            data_bearing: traits.data_bearing,
            record: self.record(),
            copied: status.external.is_none() && self.record() == Record::Bound && status.intent.is_none(),
            found: look.found(changes),
            asked: self.management.external_id.is_some(),
            requested: self.requested().is_some(),
            again: vec![],
            spec: &self.subject.object.data["spec"],
            immutable: traits.immutable,
            operation: self.operation(status.operation.as_ref()),
            resend: status.operation.as_ref().is_some_and(|sent| self.resend(sent, changes)),
        })
    }

    fn operation(&self, operation: Option<&Operation>) -> Running {
        let Some(operation) = operation else { return Running::No };
        if Some(operation.generation) != self.subject.object.metadata.generation
            && !operation.paths.is_empty()
        {
            return Running::No;
        }
        if age(operation.since.0, Timestamp::now()) > self.engine.settings.operation.max(self.read_lag()) {
            Running::Overdue
        } else {
            Running::Yes
        }
    }

    /// Whether what was accepted and cannot be seen may be sent again: Databricks gets a moment to show it, or as long as its
    /// reads may lag behind. What is stalled is looked at rarely, unless something wakes it.
    fn resend(&self, sent: &Operation, changes: &[Change]) -> bool {
        let more = |c: &Change| c.when == When::Now && !sent.paths.contains(&camel(c.field()));
        // A start of the operator forgets when it was sent last.
        let last = self
            .remember(|m| m.sent)
            .map_or_else(|| age(sent.since.0, Timestamp::now()), |last| last.elapsed());
        self.requested().is_some()
            || changes.iter().any(more)
            || last >= self.engine.settings.pace.poll_max.max(self.read_lag())
    }

    /// Hop 8.
    pub fn step(&mut self, known: &Known, look: &Look) -> Result<Step> {
        self.note_usable(look)?;
        let changes = self.changes(known, look)?;
        let mut step = decide(&self.view(known, look, &changes)?);
        if let Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, message } = &mut step
            && let Some(advice) = look.seen().and_then(|seen| self.marked_elsewhere(seen))
        {
            *message = format!("{message}; {advice}");
        }
        Ok(step)
    }

    /// What differs between what is wanted and what is seen.
    pub fn changes(&self, known: &Known, look: &Look) -> Result<Vec<Change>> {
        match (&known.want, look.seen()) {
            (Some(want), Some(seen)) => {
                let mut changes = self.driver.changes(want, seen)?;
                changes.extend(self.unconfirmed(want, &changes)?);
                Ok(changes)
            }
            _ => Ok(vec![]),
        }
    }
}
