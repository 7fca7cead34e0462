//! Reads of the account that lag behind writes. For how long, is a constant of each kind. Within that time an object that
//! the operator created is not gone, whatever reads say, and a change that reads do not show yet is not sent again.
//!
//! How old a reading may be that served others is not decided here; see [`super::observe`].

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::cluster::{CREATED_BY, EXTERNAL_ID};
use super::decide::{camel, fields_now};
use super::driver::{Driver, Seen};
use super::error::{Error, Result};
use super::observe::Look;
use super::pass::Settings;
use super::reconcile::{Known, Work};
use super::resource::{Change, When};
use super::spec::ManagementPolicy;
use super::status::{External, Operation, Reason, age};
use super::wake::Who;

/// How long reads may lag behind writes: what the kind says, within what the setting allows.
pub fn read_lag(driver: &dyn Driver, settings: &Settings) -> Duration {
    driver.traits().read_lag.min(settings.read_lag)
}

impl Work<'_> {
    /// The same for the kind of this object.
    pub fn read_lag(&self) -> Duration {
        read_lag(self.driver, &self.engine.settings)
    }

    /// Within this time after its creation an object may be missing from reads: as long as the kind says, and at least as long as
    /// a create with an unknown result is waited for.
    fn shown_within(&self) -> Duration {
        let settings = &self.engine.settings;
        self.read_lag().max(settings.quarantine.min(settings.read_lag))
    }

    /// Whether an annotation says that this very object created the one in the account. Users can edit it: it is no proof by
    /// itself.
    pub fn created_here(&self) -> bool {
        self.subject.object.annotations().get(CREATED_BY) == Some(&self.marker())
    }

    /// When the object in the account was created, if the operator did. An object that was restored without its status does
    /// not know; but it is younger than what it created.
    fn created_at(&self) -> Option<Timestamp> {
        let status = self.subject.status.as_ref().ok()?;
        if let Some(external) = &status.external {
            return external.created_at.as_ref().map(|time| time.0);
        }
        let restored = self.subject.object.annotations().contains_key(EXTERNAL_ID) && self.created_here();
        let born = self.subject.object.metadata.creation_timestamp.as_ref();
        born.filter(|_| restored).map(|time| time.0)
    }

    /// The error to wait with while an object that was just created may be missing from reads; `None` once it counts as gone.
    /// `for_now` is how long it has been missing: the wait grows with it.
    pub fn may_be_unseen(&self, id: &str, for_now: Duration) -> Option<Error> {
        let created = self.created_at()?;
        let until = created.checked_add(self.shown_within()).ok()?;
        let left =
            Duration::try_from(until.duration_since(Timestamp::now())).ok().filter(|left| !left.is_zero())?;
        let next = if self.subject.deleting() {
            "it is deleted as soon as a read shows it, and counts as gone after that time"
        } else {
            "it counts as gone only after that time"
        };
        let pace = &self.engine.settings.pace;
        Some(Error::Transient {
            reason: Reason::Retrying,
            message: format!(
                "the account does not show {} {id}, which was created at {created}: reads may lag behind until {until}; {next}",
                self.subject.who.kind
            ),
            after: Some(for_now.clamp(pace.poll_min, pace.poll_max).min(left)),
        })
    }

    /// What was sent for an earlier generation and no read has shown since. A read that agrees with the present spec may be
    /// from before that change, so the present values are sent.
    pub fn unconfirmed(&self, want: &Value, changes: &[Change]) -> Result<Vec<Change>> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let Some(sent) = status.operation.as_ref().filter(|_| !self.observes()) else { return Ok(vec![]) };
        let earlier = Some(sent.generation) != self.subject.object.metadata.generation;
        if !earlier || age(sent.since.0, Timestamp::now()) >= self.read_lag() {
            return Ok(vec![]);
        }
        let fields = want.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let unseen = fields.map(|(field, _)| field).filter(|field| {
            sent.paths.contains(&camel(field)) && !changes.iter().any(|change| change.field() == *field)
        });
        Ok(unseen.map(|field| Change { path: field.clone(), when: When::Now }).collect())
    }

    /// Whether a read shows an object that stepped aside, and nothing was sent to it since: then no read is late, and the rest of
    /// what is wanted is still to be sent. A start of the operator forgets what was sent last, so the rest is sent then.
    pub fn stepped_aside(&self, known: &Known, look: &Look) -> Result<bool> {
        let (Some(want), Some(seen)) = (&known.want, look.seen()) else { return Ok(false) };
        if self.remember(|m| m.sent_all) {
            return Ok(false);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Ok(false) };
        Ok(fields_now(&self.driver.changes(&aside, seen)?).is_empty())
    }

    /// A read has shown what was sent, or nothing was.
    pub fn close_operation(&mut self) -> Result<()> {
        let sent = self.remember(|m| m.sent.take()).is_some();
        if self.subject.status_mut()?.operation.take().is_some() || sent {
            // Until now reads showed them what it gave up as its own.
            self.engine.claims.losers(&self.subject.who).iter().for_each(|who| self.engine.wake.wake(who));
        }
        Ok(())
    }

    fn observes(&self) -> bool {
        self.management.policy() == ManagementPolicy::Observe
    }

    /// A guard that looks at all objects of the kind must not miss one that was created a moment ago.
    pub fn all_are_shown(&self, known: &Known, shown: &[Seen]) -> Result<()> {
        for (object, external) in self.siblings(known) {
            let young = external.created_at.is_some_and(|at| age(at.0, Timestamp::now()) < self.read_lag());
            if young && !shown.iter().any(|seen| seen.id == external.id) {
                return Err(self.unsure("created for", &object));
            }
        }
        Ok(())
    }

    /// Nor must it see one as it was before a change or a deletion. Before it reads them: what a read has shown by then, a
    /// later read shows too.
    pub fn no_change_is_unseen(&self, known: &Known) -> Result<()> {
        for (object, _) in self.siblings(known) {
            let recent = |at: tokio::time::Instant| at.elapsed() < self.read_lag();
            let (sent, deleted) = {
                let memory = self.engine.memory.lock().expect("no panic while held");
                let memory = object.uid().and_then(|uid| memory.get(&uid));
                memory.map_or((None, None), |m| (m.sent, m.delete_accepted))
            };
            if deleted.is_some_and(recent) {
                return Err(self.unsure("deleted with", &object));
            }
            // A start of the operator forgets when something was sent, but not that no read had shown it.
            let recorded = Operation::deserialize(&object.data["status"]["operation"]).ok();
            let recorded = recorded.map(|operation| age(operation.since.0, Timestamp::now()));
            if sent.is_some_and(recent) || recorded.is_some_and(|age| age < self.read_lag()) {
                return Err(self.unsure("changed for", &object));
            }
        }
        Ok(())
    }

    /// The other objects of the kind that stand for one in this account.
    fn siblings(&self, known: &Known) -> Vec<(Arc<DynamicObject>, External)> {
        let account = known.admission.session.client.account_id();
        let (kind, own) = (&self.subject.who.kind, self.subject.uid());
        let stores = self.engine.stores.iter().filter(|(of, _)| of == kind);
        let others =
            stores.flat_map(|(_, store)| store.state()).filter(|object| object.uid().as_ref() != Some(&own));
        let bound = others.filter_map(|object| {
            let external = External::deserialize(&object.data["status"]["external"]).ok()?;
            (external.account_id == account).then_some((object, external))
        });
        bound.collect()
    }

    fn unsure(&self, done: &str, object: &DynamicObject) -> Error {
        let name = self.named(&Who::of(&self.subject.who.kind, object));
        Error::retry(format!(
            "the account does not show yet what was just {done} {name}: without that it cannot be judged whether this change is \
             safe; waiting until a read shows it"
        ))
    }
}
