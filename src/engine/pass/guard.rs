//! The guard of a kind, asked right before a write: for each identity that the operator signs in as, against all siblings where the
//! kind needs them, and one write at a time where the API does not take several. Reads the object under work, and changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::work::{Target, Work};
use crate::clock;
use crate::engine::crd::{AUTH_KIND, DatabricksAuthSpec, External, ObjectName, Operation, age};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Acting, AuthFacts, Key, Seen};
use crate::engine::memory::named;

impl Work<'_> {
    /// A last check before a write. The lock that it returns keeps two changes from passing a check of all siblings together, and
    /// two creates, or two writes, from being sent at once where the API does not take that. `before` are the ids that match a create
    /// and belong to others.
    pub async fn guard(
        &self,
        target: &Target,
        want: Option<&Value>,
        seen: Option<&Seen>,
        before: &[String],
    ) -> Result<Option<OwnedMutexGuard<()>>> {
        let place = &target.place;
        let (session, traits) = (&place.admission.session, self.driver.traits());
        let identities = self.identities(target);
        let egress: BTreeSet<IpNet> =
            identities.iter().flat_map(|identity| identity.egress.clone()).collect();
        let facts = AuthFacts { egress: egress.into_iter().collect(), ..session.facts.clone() };
        if !traits.guarded_among_siblings {
            for (at, identity) in identities.iter().enumerate() {
                let own_id = session.directory.own_id(&identity.client_id);
                let principal_id = if traits.guarded_alone { own_id.await? } else { None };
                // What the account does not have needs no guard; whether it has the session's own may be unknown.
                if at == 0 || principal_id.is_some() {
                    let (client_id, egress) = (identity.client_id.clone(), facts.egress.clone());
                    let facts = AuthFacts { client_id, principal_id, egress };
                    let act = Acting { want, seen, siblings: &[], auth: &facts };
                    self.driver.guard(act, &place.reader).await?;
                }
            }
        }
        // Guards that read all objects are about the operator's own addresses: without any there is nothing to check.
        let checked = traits.guarded_among_siblings && !facts.egress.is_empty();
        let creates_in_turn = traits.creates_in_turn && seen.is_none();
        if !(checked || creates_in_turn || traits.writes_in_turn) {
            return Ok(None);
        }
        let state = want.or(seen.map(|seen| &seen.state)).unwrap_or(&Value::Null);
        let key = self.driver.key(state)?;
        let locks = &self.engine.memory.parent_locks;
        let lock = locks.lock(session.client.account_id(), &self.subject.who.kind, &key.within);
        let (held, waited) = lock.await;
        let late = creates_in_turn && waited;
        if !(checked || late) {
            return Ok(Some(held));
        }
        if checked {
            self.no_change_is_unseen(target, &key.within)?;
        }
        let siblings = self.driver.list(&place.reader, &key.within).await?;
        if late {
            self.still_absent(target, &key, before, &siblings).await?;
        }
        if checked {
            self.all_are_shown(target, &key.within, &siblings)?;
            let act = Acting { want, seen, siblings: &siblings, auth: &facts };
            self.driver.guard(act, &place.reader).await?;
        }
        Ok(Some(held))
    }

    /// A create that waited for its turn was decided on a read from before that. What appeared since may be the result of another
    /// create, or another user's.
    async fn still_absent(
        &self,
        target: &Target,
        key: &Key,
        before: &[String],
        shown: &[Seen],
    ) -> Result<()> {
        for seen in shown.iter().filter(|seen| !before.contains(&seen.id)) {
            if self.driver.matches(key, seen)? {
                target.place.admission.session.snapshots.forget(self.driver, &key.within).await;
                let text =
                    format!("{} appeared while this object waited for its turn; reading again", seen.id);
                return Err(Error::Conflict(text));
            }
        }
        Ok(())
    }

    /// What guards know of each identity that the operator uses for this account, that of the session first: of the DatabricksAuths
    /// in the namespace of the one in use. Others do not count: a namespace must not keep what another one manages from changing.
    fn identities(&self, target: &Target) -> Vec<AuthFacts> {
        let (session, home) = (&target.place.admission.session, &target.place.auth.namespace);
        let mut identities = vec![session.facts.clone()];
        let auths = self.engine.cluster.stores.objects(AUTH_KIND);
        for auth in auths.filter(|auth| auth.namespace().as_ref() == Some(home)) {
            let Ok(spec) = DatabricksAuthSpec::deserialize(&auth.data["spec"]) else { continue };
            let egress = spec.egress_cidrs.iter().flatten().filter_map(|cidr| cidr.network());
            let (egress, client_id) = (egress.map(IpNet::from).collect(), spec.client_id.unwrap_or_default());
            let known = |known: &AuthFacts| known.client_id == client_id && known.egress == egress;
            if spec.account_id == session.client.account_id() && !identities.iter().any(known) {
                identities.push(AuthFacts { client_id, egress, ..AuthFacts::default() });
            }
        }
        identities
    }

    /// A guard that reads all objects of the kind must not miss one that was created a moment ago.
    fn all_are_shown(&self, target: &Target, within: &str, shown: &[Seen]) -> Result<()> {
        for (object, external) in self.siblings(target, within) {
            let young = external.created_at.is_some_and(|at| age(at.0, clock::now()) < self.lag().read);
            if young && !shown.iter().any(|seen| seen.id == external.id) {
                return Err(self.unsure("created for", &object));
            }
        }
        Ok(())
    }

    /// Nor must it see one as it was before a change or a deletion. Called before it reads them: what a read has shown by then,
    /// a later read shows too.
    fn no_change_is_unseen(&self, target: &Target, within: &str) -> Result<()> {
        for (object, _) in self.siblings(target, within) {
            let recent = |at: Instant| at.elapsed() < self.lag().read;
            let uid = object.uid().unwrap_or_default();
            let (sent, deleted) = self.engine.memory.objects.changed(&uid);
            if deleted.is_some_and(recent) {
                return Err(self.unsure("deleted with", &object));
            }
            // A start of the operator forgets when something was sent, but not that no read had shown it.
            let recorded = Operation::deserialize(&object.data["status"]["operation"]).ok();
            let recorded = recorded.map(|operation| age(operation.since.0, clock::now()));
            if sent.is_some_and(recent) || recorded.is_some_and(|age| age < self.lag().read) {
                return Err(self.unsure("changed for", &object));
            }
        }
        Ok(())
    }

    /// The other objects of the kind that stand for one under this parent in this account.
    fn siblings(&self, target: &Target, within: &str) -> Vec<(Arc<DynamicObject>, External)> {
        let account = target.place.admission.session.client.account_id();
        let own = self.subject.uid();
        let objects = self.engine.cluster.stores.objects(&self.subject.who.kind);
        let others = objects.filter(|object| object.uid().as_ref() != Some(&own));
        let bound = others.filter_map(|object| {
            let external = External::deserialize(&object.data["status"]["external"]).ok()?;
            let here = self.driver.within(&external.id).map_or(true, |parent| parent == within);
            (external.account_id == account && here).then_some((object, external))
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
