//! The last checks before a write: what may be touched, whether the object is the one that the spec means, the guard of the kind, and
//! the right to write. They read, and write nothing; what they find overtaken is read again by the next reconcile.
//!
//! The guard is asked for each identity that the operator signs in as, against all siblings where the kind needs them; where the API
//! does not take several writes at a time, one waits for the other.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::bound::BoundAs;
use super::lag::Lag;
use super::work::{Place, Target, Work};
use crate::clock;
use crate::engine::account::{Admission, check_power};
use crate::engine::crd::{
    AUTH_KIND, DatabricksAuthSpec, External, Intent, ObjectName, Operation, Reason, age,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Acting, AuthFacts, Driver, Key, Lifecycle, Permit, Seen, Writer};
use crate::engine::memory::named;

/// The turn of one of several changes that are sent one at a time.
struct Turn {
    /// Until this is dropped, the others wait.
    held: OwnedMutexGuard<()>,
    /// The key of the object.
    key: Key,
    /// A create that had to wait: what it was decided on is from before.
    late: bool,
}

/// What a guard needs of another object of the kind.
struct Sibling {
    who: ObjectName,
    uid: String,
    external: Option<External>,
    /// A create that it has begun.
    intent: Option<Intent>,
    operation: Option<Operation>,
    /// When its deletion was requested, unless it only observes.
    leaves: Option<Timestamp>,
}

/// Where that is in the text of the object: decoded as a whole, thousands of them would take long.
#[derive(Deserialize)]
struct Recorded {
    status: Records,
}

#[derive(Deserialize)]
struct Records {
    external: Option<External>,
    intent: Option<Value>,
    operation: Option<Value>,
}

impl Work<'_> {
    /// Fails unless a grant allows the object to give what the object in the account already gives: otherwise it could reveal or
    /// remove a permission that it may not give.
    pub fn may_touch(&self, target: &Target, seen: &Seen) -> Result<()> {
        let power = self.driver.power(&seen.state)?;
        check_power(&target.place.admission, &power, &self.subject.who.namespace)
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
        let bound = self.bound().bound_as() == BoundAs::Managed;
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

    /// Before a deletion: an older view must not overrule what a user has just set, such as a policy.
    pub async fn unchanged(&self) -> Result<()> {
        let object = &self.subject.object;
        let live = self.engine.cluster.objects.live(&self.subject.resource, object).await?;
        if live.is_none_or(|live| live.resource_version() != object.resource_version()) {
            return Err(Error::Conflict("the object was changed meanwhile".into()));
        }
        Ok(())
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
        let (place, among_siblings) = (&target.place, self.driver.traits().guarded_among_siblings);
        let identities = self.identities(target);
        let egress: BTreeSet<IpNet> =
            identities.iter().flat_map(|identity| identity.egress.clone()).collect();
        let facts = AuthFacts { egress: egress.into_iter().collect(), ..target.session().facts.clone() };
        if !among_siblings {
            self.others_are_shown(target, want).await?;
            self.guard_by_itself(place, (want, seen), &identities, &facts.egress).await?;
        }
        // Guards that read all objects are about the operator's own addresses: without any there is nothing to check.
        let checked = among_siblings && !facts.egress.is_empty();
        let Some(Turn { held, key, late }) = self.take_turn(target, (want, seen), checked).await? else {
            return Ok(None);
        };
        if checked {
            self.no_change_is_unseen(target, self.driver, &key.within)?;
        }
        if checked || late {
            let siblings = self.driver.list(&place.reader, &key.within).await?;
            if late {
                self.still_absent(target, &key, before, &siblings).await?;
            }
            if checked {
                self.all_are_shown(target, self.driver, &key.within, &siblings)?;
                let act = Acting { want, seen, siblings: &siblings, auth: &facts };
                self.driver.guard(act, &place.reader).await?;
            }
        }
        Ok(Some(held))
    }

    /// Waits until this change may be sent, where only one at a time may; `None` where any number may. Changes that are checked among
    /// all siblings are always sent one at a time.
    async fn take_turn(
        &self,
        target: &Target,
        (want, seen): (Option<&Value>, Option<&Seen>),
        checked: bool,
    ) -> Result<Option<Turn>> {
        let traits = self.driver.traits();
        let creates_in_turn = traits.creates_in_turn && seen.is_none();
        if !(checked || creates_in_turn || traits.writes_in_turn) {
            return Ok(None);
        }
        let state = want.or(seen.map(|seen| &seen.state)).unwrap_or(&Value::Null);
        let key = self.driver.key(state)?;
        let locks = &self.engine.memory.parent_locks;
        let lock = locks.lock(target.account_id(), &self.subject.who.kind, &key.within);
        let (held, waited) = lock.await;
        Ok(Some(Turn { held, key, late: creates_in_turn && waited }))
    }

    /// Waits until reads show what was just done to the objects of another kind, if the guard of this change reads those.
    async fn others_are_shown(&self, target: &Target, want: Option<&Value>) -> Result<()> {
        let reads = self.driver.traits().guard_reads.filter(|reads| want.is_some_and(reads.when));
        let Some(driver) = reads.and_then(|reads| self.engine.driver(reads.kind)) else { return Ok(()) };
        if self.siblings(target, driver, "").is_empty() {
            return Ok(());
        }
        self.no_change_is_unseen(target, driver, "")?;
        let shown = driver.list(&target.place.reader, "").await?;
        self.all_are_shown(target, driver, "", &shown)
    }

    /// Asks a guard that needs no other objects of the kind, once for each identity.
    async fn guard_by_itself(
        &self,
        place: &Place,
        (want, seen): (Option<&Value>, Option<&Seen>),
        identities: &[AuthFacts],
        egress: &[IpNet],
    ) -> Result<()> {
        for (at, identity) in identities.iter().enumerate() {
            let own_id = place.session().directory.own_id(&identity.client_id);
            let principal_id = if self.driver.traits().guarded_alone { own_id.await? } else { None };
            // What the account does not have needs no guard; whether it has the session's own may be unknown.
            if at == 0 || principal_id.is_some() {
                let (client_id, egress) = (identity.client_id.clone(), egress.to_vec());
                let facts = AuthFacts { client_id, principal_id, egress };
                let act = Acting { want, seen, siblings: &[], auth: &facts };
                self.driver.guard(act, &place.reader).await?;
            }
        }
        Ok(())
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
                self.list_again(target, &key.within).await;
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
        let (session, home) = (target.session(), &target.place.auth.namespace);
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

    /// A guard that reads all objects of a kind must not miss one that was created a moment ago, or may have been.
    fn all_are_shown(
        &self,
        target: &Target,
        driver: &dyn Driver,
        within: &str,
        shown: &[Seen],
    ) -> Result<()> {
        let lag = self.lag_of(driver);
        for Sibling { who, uid, external, intent, .. } in self.siblings(target, driver, within) {
            let missing = external.is_some_and(|external| {
                self.was_just_created(&uid, &external, lag)
                    && !shown.iter().any(|seen| seen.id == external.id)
            });
            if missing || intent.is_some_and(|intent| self.may_have_created(&uid, &intent, lag)) {
                return Err(self.unsure("created for", &who));
            }
        }
        Ok(())
    }

    /// Whether reads may not show yet what an object has created.
    fn was_just_created(&self, uid: &str, external: &External, lag: Duration) -> bool {
        external.created_at.as_ref().is_some_and(|at| {
            let age = self.engine.memory.objects.of(uid, |m| {
                let recorded = m.sightings.age_of(&external.id, at.0, clock::now()).whole;
                m.created_for(recorded)
            });
            age < lag
        })
    }

    /// Whether an object may have created what no status names yet: there is no response, or none is recorded.
    fn may_have_created(&self, uid: &str, intent: &Intent, lag: Duration) -> bool {
        let shown_after = lag.max(self.engine.settings.quarantine);
        let objects = &self.engine.memory.objects;
        let known_for = objects.of(uid, |m| m.announced_for(intent, age(intent.time.0, clock::now())).here);
        known_for < shown_after && !objects.created_nothing(uid, intent)
    }

    /// Nor must it see one as it was before a change or a deletion. Called before it reads them: what a read has shown by then,
    /// a later read shows too.
    fn no_change_is_unseen(&self, target: &Target, driver: &dyn Driver, within: &str) -> Result<()> {
        let (lag, began) = (self.lag_of(driver), self.engine.memory.barrier.began());
        let began = began.map_or(Duration::ZERO, |began| began.elapsed());
        for Sibling { who, uid, operation, leaves, .. } in self.siblings(target, driver, within) {
            let (change, deleted) = self.engine.memory.objects.changed(&uid);
            // No status says that a deletion was sent: before this process began, another one may have done so.
            let before = leaves.is_some_and(|at| began < lag && age(at, clock::now()) >= began);
            if before || deleted.is_some_and(|at| at.elapsed() < lag) {
                return Err(self.unsure("deleted with", &who));
            }
            // A start of the operator forgets when something was sent, but not that no read had shown it.
            let recorded = operation.map(|Operation { since, .. }| {
                let objects = &self.engine.memory.objects;
                objects.of(&uid, |m| m.sightings.age_of("operation", since.0, clock::now()).whole)
            });
            if change.may_be_unseen(lag) || recorded.is_some_and(|age| age < lag) {
                return Err(self.unsure("changed for", &who));
            }
        }
        Ok(())
    }

    /// How long reads of a kind may lag behind writes.
    fn lag_of(&self, driver: &dyn Driver) -> Duration {
        Lag::new(driver.traits().read_lag, &self.engine.settings).read
    }

    /// The other objects of a kind that stand for one under this parent in this account, or have begun to create one.
    fn siblings(&self, target: &Target, driver: &dyn Driver, within: &str) -> Vec<Sibling> {
        let (account, own) = (target.account_id(), self.subject.uid());
        let kind = driver.kind();
        let is_here = |external: &External| {
            let parent = driver.within(&external.id);
            external.account_id == account && parent.map_or(true, |parent| parent == within)
        };
        let begins_here = |intent: &Intent| intent.account_id == account && intent.within == within;
        let siblings = self.engine.cluster.stores.all(&kind).filter_map(|cached| {
            let uid = cached.uid().filter(|uid| *uid != own)?;
            let Recorded { status: Records { external, intent, operation } } = cached.read()?;
            let intent = intent.and_then(|intent| Intent::deserialize(intent).ok());
            let operation = operation.and_then(|operation| Operation::deserialize(operation).ok());
            let here = external.as_ref().is_some_and(is_here) || intent.as_ref().is_some_and(begins_here);
            let manages = external.as_ref().is_some_and(|external| !external.observed);
            let leaves = cached.meta().deletion_timestamp.as_ref().filter(|_| manages).map(|at| at.0);
            let who = ObjectName::of(&kind, &*cached);
            here.then_some(Sibling { who, uid, external, intent, operation, leaves })
        });
        siblings.collect()
    }

    fn unsure(&self, done: &str, object: &ObjectName) -> Error {
        let name = named(&self.subject.who, object);
        Error::retry(format!(
            "no read shows yet what was just {done} {name}: until one does, the operator cannot know whether this change is safe, \
             so it waits"
        ))
    }

    /// The right to write in this reconcile, which may wait for the account or for its turn: what was revoked, stopped or changed
    /// meanwhile is not sent. A create that was announced is not stopped by a mere change of the spec.
    pub fn permit(&self, auth: &ObjectName, admission: &Admission, creates: bool) -> Permit {
        let (engine, auth, admission) = (self.engine.clone(), auth.clone(), admission.clone());
        let (who, uid, deleting) = (self.subject.who.clone(), self.subject.uid(), self.subject.deleting());
        let generation = self.subject.object.metadata.generation.filter(|_| !creates);
        Permit::while_valid(move || {
            engine.permit().holds()
                && engine.auths.still_admits(&auth, &admission, deleting)
                && engine.still_asks(&who, &uid, generation)
        })
    }

    /// What deletes an object that was created and cannot be kept, whatever was changed meanwhile: it needs only the lease.
    pub fn own_writer(&self, target: &Target) -> Writer {
        Writer::new(target.place.reader.clone(), self.engine.permit().clone())
    }

    /// A write that named the version that was read was refused for a later one: what was read no longer serves. Other errors stay
    /// what they are.
    pub async fn overtaken(&self, target: &Target, seen: &Seen, error: Error) -> Result<Error> {
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(&seen.state)?.within;
            self.list_again(target, &within).await;
        }
        Ok(error)
    }
}
