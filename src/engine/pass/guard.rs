//! The last check before a write: a kind's guard refuses what would lock the operator or its users out.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::work::{Target, Work};
use crate::engine::crd::{External, ObjectName, Operation, age};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{AuthFacts, Seen};
use crate::engine::memory::named;

impl Work<'_> {
    /// A last check before a write. If it reads all objects of the kind, the lock that it returns keeps two changes from
    /// passing it together.
    pub async fn guard(
        &self,
        target: &Target,
        want: Option<&Value>,
        seen: Option<&Seen>,
    ) -> Result<Option<OwnedMutexGuard<()>>> {
        let session = &target.place.admission.session;
        let facts = &session.facts;
        if self.driver.traits().guarded_alone {
            let principal_id = session.own_id().await?;
            let facts = AuthFacts { principal_id, ..facts.clone() };
            return self.driver.guard(want, seen, &[], &facts).map(|()| None);
        }
        // Such guards are about the operator's own addresses: without any there is nothing to check.
        if !self.driver.traits().guarded_among_siblings || facts.egress.is_empty() {
            return Ok(None);
        }
        let account_id = target.place.admission.session.client.account_id();
        let held = self.engine.memory.guards.lock(account_id, &self.subject.who.kind).await;
        self.no_change_is_unseen(target)?;
        let state = want.or(seen.map(|seen| &seen.state)).unwrap_or(&Value::Null);
        let siblings = self.driver.list(&target.place.reader, &self.driver.key(state)?.within).await?;
        self.all_are_shown(target, &siblings)?;
        self.driver.guard(want, seen, &siblings, facts).map(|()| Some(held))
    }

    /// A guard that reads all objects of the kind must not miss one that was created a moment ago.
    fn all_are_shown(&self, target: &Target, shown: &[Seen]) -> Result<()> {
        for (object, external) in self.siblings(target) {
            let young = external.created_at.is_some_and(|at| age(at.0, Timestamp::now()) < self.lag().read);
            if young && !shown.iter().any(|seen| seen.id == external.id) {
                return Err(self.unsure("created for", &object));
            }
        }
        Ok(())
    }

    /// Nor must it see one as it was before a change or a deletion. Called before it reads them: what a read has shown by then,
    /// a later read shows too.
    fn no_change_is_unseen(&self, target: &Target) -> Result<()> {
        for (object, _) in self.siblings(target) {
            let recent = |at: Instant| at.elapsed() < self.lag().read;
            let uid = object.uid().unwrap_or_default();
            let (sent, deleted) = self.engine.memory.objects.changed(&uid);
            if deleted.is_some_and(recent) {
                return Err(self.unsure("deleted with", &object));
            }
            // A start of the operator forgets when something was sent, but not that no read had shown it.
            let recorded = Operation::deserialize(&object.data["status"]["operation"]).ok();
            let recorded = recorded.map(|operation| age(operation.since.0, Timestamp::now()));
            if sent.is_some_and(recent) || recorded.is_some_and(|age| age < self.lag().read) {
                return Err(self.unsure("changed for", &object));
            }
        }
        Ok(())
    }

    /// The other objects of the kind that stand for one in this account.
    fn siblings(&self, target: &Target) -> Vec<(Arc<DynamicObject>, External)> {
        let account = target.place.admission.session.client.account_id();
        let own = self.subject.uid();
        let objects = self.engine.cluster.stores.objects(&self.subject.who.kind);
        let others = objects.filter(|object| object.uid().as_ref() != Some(&own));
        let bound = others.filter_map(|object| {
            let external = External::deserialize(&object.data["status"]["external"]).ok()?;
            (external.account_id == account).then_some((object, external))
        });
        bound.collect()
    }

    fn unsure(&self, done: &str, object: &DynamicObject) -> Error {
        let name = named(&self.subject.who, &ObjectName::of(&self.subject.who.kind, object));
        Error::retry(format!(
            "the account does not show yet what was just {done} {name}: without that it cannot be judged whether this change is \
             safe; waiting until a read shows it"
        ))
    }
}
