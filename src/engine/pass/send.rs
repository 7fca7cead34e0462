//! One change in the account: the last checks before it, the call, and what its failure means. Reads the object under work;
//! [`super::act`] puts what comes of it on the object.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::bound::Record;
use super::decide::{fields_now, words};
use super::outcome::Outcome;
use super::work::{Target, Work};
use crate::clock;
use crate::databricks::Urgency;
use crate::engine::crd::{
    AUTH_KIND, DatabricksAuthSpec, External, FINALIZER, ObjectName, Operation, Reason, age,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Acting, AuthFacts, Key, Lifecycle, NEW_REFERENCE, Seen, Wanted};
use crate::engine::memory::named;

/// How long a workspace that is being deleted may count as a user of what it was built from: its deletion takes up to a quarter of
/// an hour (Terraform's provider waits that long), and some minutes more.
const USED_FOR: Duration = Duration::from_secs(1200);

/// A change that was accepted.
pub struct Sent {
    /// The object in the response.
    pub shown: Seen,
    /// The state that was sent.
    pub state: Value,
}

impl Work<'_> {
    /// A foreign finalizer means that the object is still needed.
    pub fn foreign_finalizer(&self) -> Option<Outcome> {
        let ours = [FINALIZER, "foregroundDeletion", "orphan"];
        let foreign: Vec<&String> =
            self.subject.object.finalizers().iter().filter(|f| !ours.contains(&f.as_str())).collect();
        foreign.first().map(|name| Outcome::Blocked {
            reason: Reason::ForeignFinalizer,
            message: format!(
                "the foreign finalizer {name} is still on this object and must be removed first"
            ),
        })
    }

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
        if !traits.guarded_among_siblings {
            for (at, identity) in identities.iter().enumerate() {
                let own_id = session.directory.own_id(&identity.client_id);
                let principal_id = if traits.guarded_alone { own_id.await? } else { None };
                // What the account does not have needs no guard; whether it has the session's own may be unknown.
                if at == 0 || principal_id.is_some() {
                    let facts = AuthFacts { principal_id, ..identity.clone() };
                    let act = Acting { want, seen, siblings: &[], auth: &facts };
                    self.driver.guard(act, &place.reader).await?;
                }
            }
        }
        let egress: BTreeSet<IpNet> = identities.into_iter().flat_map(|identity| identity.egress).collect();
        let facts = AuthFacts { egress: egress.into_iter().collect(), ..session.facts.clone() };
        // Guards that read all objects are about the operator's own addresses: without any there is nothing to check.
        let checked = traits.guarded_among_siblings && !facts.egress.is_empty();
        let creates_in_turn = traits.creates_in_turn && seen.is_none();
        if !(checked || creates_in_turn || traits.writes_in_turn) {
            return Ok(None);
        }
        let state = want.or(seen.map(|seen| &seen.state)).unwrap_or(&Value::Null);
        let key = self.driver.key(state)?;
        let locks = &self.engine.memory.guards;
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

    /// The object that was read and the one that the spec means are the same. Where the key is the id, or names a parent, an update
    /// is sent to what the spec means, and an id in `spec.externalId`, or in a restored status, may be that of another one.
    pub fn same_place(&self, want: &Value, seen: &Seen) -> Result<()> {
        let (wanted, read) = (self.driver.key(want)?, self.driver.key(&seen.state)?);
        let object = self.driver.traits().lifecycle == Lifecycle::Object;
        if wanted.within == read.within && (object || wanted.name == read.name) {
            return Ok(());
        }
        let means = format!("{}/{}", wanted.within, wanted.name);
        let (id, means) = (&seen.id, means.trim_matches('/'));
        let bound = self.bound().record() == Record::Bound;
        let text = match self.management.external_id.as_ref().filter(|_| !bound) {
            Some(_) => format!(
                "spec.externalId names {id}, and the rest of the spec means another one ({means}): correct spec.externalId or the rest"
            ),
            None => format!(
                "this object is bound to {id}, and its spec means another one ({means}): correct the spec or spec.externalId, or \
                 delete this object and apply it again"
            ),
        };
        Err(Error::terminal(Reason::ImmutableFieldChanged, text))
    }

    /// The same for a deletion. What the operator has created goes with its record, even if the spec was changed while the result
    /// of the create was not known.
    pub fn same_place_if_adopted(&self, want: Option<&Value>, seen: &Seen) -> Result<()> {
        let adopted = self.bound().adopted(self.observing());
        want.filter(|_| adopted).map_or(Ok(()), |want| self.same_place(want, seen))
    }

    /// Why a create failed. Whether it was carried out is known: it was not.
    pub async fn not_created(&self, target: &Target, want: &Value, error: Error) -> Result<Error> {
        if error.is_rejected(Reason::ReferenceNotFound) {
            // A principal that was created again has another id.
            target.place.admission.session.directory.forget();
            return Ok(self.about_references(&error));
        }
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(want)?.within;
            target.place.admission.session.snapshots.forget(self.driver, &within).await;
        }
        if !error.is_rejected(Reason::AlreadyExists) {
            return Ok(error);
        }
        self.name_taken(target, None, want)?;
        // It may have appeared since the listing that this reconcile rested on, so a new one is read. If that does not show it
        // either, this refusal is the result, without another call.
        target.place.admission.session.snapshots.forget(self.driver, &self.driver.key(want)?.within).await;
        let message = error.to_string();
        self.remember(|m| m.exists = Some(error));
        Ok(Error::Conflict(message))
    }

    /// The target of a reference to another object of ours does exist: the operator waits until the account knows it
    /// everywhere. An id that a user wrote may be wrong, and a name may mean another object since it was resolved.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.place()))
        });
        if self.bound().record() == Record::Bound {
            text += ", or delete this object if that was deleted in the account";
        }
        let error = Error::rejected(Reason::ReferenceNotFound, text);
        if found { error.patient(NEW_REFERENCE) } else { error }
    }

    /// Before something lost is written again under a name, the name must still mean the same principal. A group that was
    /// deleted and created again must not inherit the access of the old one.
    pub async fn same_principals(&self, target: &Target) -> Result<()> {
        let status = self.subject.status()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = &status.resolved_refs;
        for need in self.driver.needs(&self.subject.spec())? {
            let (Wanted::Principal(name), false) = (&need.what, need.soft) else { continue };
            let now = target.place.admission.session.directory.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(&need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was created for: delete this \
                     object and apply it again if that is meant"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    /// A change does not find what a read shows. The object is gone, or a replica lags: a new read decides. If that shows it and
    /// a change still does not find it, this is a refusal like any other. It is not final while reads may lag.
    /// Other errors stay what they are.
    pub async fn not_found(
        &self,
        target: &Target,
        seen: &Seen,
        fields: &[String],
        error: Error,
    ) -> Result<Error> {
        if !error.is_rejected(Reason::ExternalResourceMissing) {
            return Ok(error);
        }
        let within = self.driver.key(&seen.state)?.within;
        target.place.admission.session.snapshots.forget(self.driver, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but answers the change of {fields} as if there were none: {error}; the change is \
             tried again. If this lasts, check the object in the account console: change it there, or undo the change in the spec, \
             and ask the support of Databricks",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.lag().read))
    }

    /// A write that named the version that was read was refused for a later one: what was read no longer serves. Other errors stay
    /// what they are.
    pub async fn overtaken(&self, target: &Target, seen: &Seen, error: Error) -> Result<Error> {
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(&seen.state)?.within;
            target.place.admission.session.snapshots.forget(self.driver, &within).await;
        }
        Ok(error)
    }

    /// The update itself. If objects exchange their names, each refused because another has the name, one of them steps
    /// aside: it gets everything except its name, under which the next comparison finds it different.
    pub async fn send_update(
        &self,
        target: &Target,
        seen: &Seen,
        want: &Value,
        fields: &[String],
    ) -> Result<Sent> {
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        let updated = self.driver.update(&target.place.writer, seen, want, &now).await;
        let refusal = match &updated {
            Ok(shown) => shown.about.refused.as_ref(),
            Err(error) => Some(error),
        };
        let taken = refusal.is_some_and(|error| error.is_rejected(Reason::AlreadyExists));
        let sent = updated.map(|shown| Sent { shown, state: want.clone() });
        if !taken || !self.name_taken(target, Some(seen), want)? {
            return sent;
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return sent };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let shown = self.driver.update(&target.place.writer, seen, &aside, &fields).await?;
        Ok(Sent { shown, state: aside })
    }

    /// The deletion itself. Returns whether it was accepted; if not, the object is gone already.
    pub async fn send_delete(&self, target: &Target, seen: &Seen) -> Result<bool> {
        match self.driver.retire(&target.place.writer, seen, target.want.as_ref()).await {
            Ok(()) => Ok(true),
            // A replica that lags behind may not know it yet, and then nothing was deleted.
            Err(error) if error.is_rejected(Reason::ExternalResourceMissing) => {
                self.unseen(&seen.id).map_or(Ok(false), Err)
            }
            // Most often a dependent in the account: the operator waits for it.
            Err(error) if error.is_rejected(Reason::ApplyFailed) => {
                Err(Error::waiting(Reason::ApplyFailed, error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether something in the account uses the object and will continue to: what is known to stay there uses it, or the account
    /// has refused the deletion for long. What uses it may stay on purpose, and then waiting would never end. A written policy says
    /// to wait.
    pub fn stays_in_use(&self, error: &Error) -> bool {
        let used = matches!(error, Error::Waiting { reason: Reason::DependencyStillInUse, .. });
        let since = self.remember(|m| used.then(|| *m.in_use_since.get_or_insert_with(Instant::now)));
        let kept = || !self.engine.memory.wake.keepers(&self.subject.who).is_empty();
        let lasts = since.is_some_and(|since| since.elapsed() >= USED_FOR || kept());
        self.management.deletion_policy.is_none() && lasts
    }

    /// Why the account may not show an object yet whose deletion was requested.
    fn unseen(&self, id: &str) -> Option<Error> {
        let created = self.bound().created_at()?;
        let called = format!("{} {id}", self.subject.who.kind);
        let deleting = self.subject.deleting();
        self.lag().may_be_unseen(&called, created, clock::now(), Duration::ZERO, deleting)
    }

    /// Databricks says that the name is taken: its holder may give it up soon, so this object waits. Returns whether that
    /// holder waits for our name, directly or through others.
    fn name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.place.admission.session.client.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.claims.name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// Objects that lost against this one try again: it may have given up what they want.
    pub fn wake_losers(&self) {
        let memory = &self.engine.memory;
        memory.claims.losers(&self.subject.who).iter().for_each(|who| memory.wake.wake(who));
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    pub fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.place.admission.session.client.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }
}

/// Whether an update certainly changed nothing. The response to it is read too, which may fail after it changed something.
pub fn refuses(error: &Error) -> bool {
    match error {
        // Nothing was sent.
        Error::Fenced => true,
        Error::Rejected { read, .. } => !read,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}
