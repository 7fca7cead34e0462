//! The last check before a write: a kind's guard refuses what would lock the operator or its users out.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::work::{Target, Work};
use crate::engine::crd::{External, ObjectName, age};
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
        let session = &target.admission.session;
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
        let account_id = target.admission.session.client.account_id();
        let held = self.engine.memory.guards.lock(account_id, &self.subject.who.kind).await;
        let state = want.or(seen.map(|seen| &seen.state)).unwrap_or(&Value::Null);
        let siblings = self.driver.list(&target.reader, &self.driver.key(state)?.within).await?;
        self.all_are_shown(target, &siblings)?;
        self.driver.guard(want, seen, &siblings, facts).map(|()| Some(held))
    }

    /// A guard that reads all objects of the kind must not miss one that was created a moment ago.
    fn all_are_shown(&self, target: &Target, shown: &[Seen]) -> Result<()> {
        let account = target.admission.session.client.account_id();
        let (kind, own) = (&self.subject.who.kind, self.subject.uid());
        let objects = self.engine.cluster.stores.objects(kind);
        for object in objects.filter(|object| object.uid().as_ref() != Some(&own)) {
            let Ok(external) = External::deserialize(&object.data["status"]["external"]) else { continue };
            let young = external.created_at.is_some_and(|at| age(at.0, Timestamp::now()) < self.lag().read);
            if young && external.account_id == account && !shown.iter().any(|seen| seen.id == external.id) {
                let name = named(&self.subject.who, &ObjectName::of(kind, &object));
                return Err(Error::retry(format!(
                    "the account does not show yet what was just created for {name}: without that it cannot be judged whether \
                     this change is safe; waiting until a read shows it"
                )));
            }
        }
        Ok(())
    }
}
