//! The object under work together with its kind, as the hops see it: what binds it to an object in the account, and what is remembered of
//! it. Here is what several hops need; what one hop needs is in its file. The hops before the act only read it, and return values.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use serde_json::Value;

use super::bound::{Bound, BoundAs, Recognise};
use super::engine::Engine;
use super::lag::Lag;
use super::subject::Subject;
use super::unlisted::Findings;
use super::unresolved::Unresolved;
use crate::databricks::Urgency;
use crate::engine::account::{Admission, Session};
use crate::engine::crd::{
    AdoptionPolicy, CREATED_BY, DeletionPolicy, EXTERNAL_ID, Management, ManagementPolicy, ObjectName, Reason,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Lifecycle, Reader, Seen, Writer};
use crate::engine::memory::{Claim, Claimant, ObjectMemory};

/// One object of a managed kind under work.
pub struct Work<'e> {
    /// The engine.
    pub engine: &'e Arc<Engine>,
    /// The kind.
    pub driver: &'static dyn Driver,
    /// The object.
    pub subject: Subject,
    /// The spec fields that all kinds share.
    pub management: Management,
    /// The DatabricksAuth that admitted the object: faults of the account after that concern it too.
    pub admitted_by: Option<ObjectName>,
}

/// Where an object may act, and how.
pub struct Place {
    /// The DatabricksAuth: faults of the account from now on concern it too.
    pub auth: ObjectName,
    /// The session, and what its grants allow.
    pub admission: Admission,
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// How urgent the calls are.
    pub urgency: Urgency,
}

impl Place {
    /// The session with the account.
    pub fn session(&self) -> &Session {
        &self.admission.session
    }
}

/// What a reconcile knows once references are resolved.
pub struct Target {
    /// Where the object may act, and how.
    pub place: Place,
    /// The desired state; while deleting it may be unreadable.
    pub want: Option<Value>,
    /// The ids that it was computed with.
    pub refs: Option<BTreeMap<String, String>>,
    /// What the object claims.
    pub claims: Vec<Claim>,
    /// What its spec names, is not known, and is left out.
    pub unresolved: Unresolved,
    /// What was found out about the list that it determines, if it does that.
    pub findings: Findings,
}

impl Target {
    /// The session with the account.
    pub fn session(&self) -> &Session {
        self.place.session()
    }

    /// The id of the account.
    pub fn account_id(&self) -> &str {
        self.session().client.account_id()
    }
}

impl Work<'_> {
    /// What binds this object to one in the account.
    pub fn bound(&self) -> Bound {
        let status = self.subject.status.as_ref().ok();
        let annotations = self.subject.object.annotations();
        let created_here = annotations.get(CREATED_BY) == Some(&self.marker());
        // What is always there has the same id in every account, so an annotation that came with a copy says nothing; and a copy that
        // may adopt nothing does not become the owner by its annotation either.
        let standing = self.driver.traits().lifecycle == Lifecycle::Standing;
        let never = self.management.adoption() == AdoptionPolicy::Never;
        let annotated = annotations.get(EXTERNAL_ID).filter(|_| created_here || !(standing || never));
        Bound {
            external: status.and_then(|status| status.external.clone()),
            intent: status.and_then(|status| status.intent.clone()),
            annotated: annotated.cloned(),
            created_here,
            spec_id: self.management.external_id.clone(),
            born: self.subject.object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// How to recognise what is ours in the account.
    pub fn recognise<'a>(&self, bound: &'a Bound, marker: &'a str) -> Recognise<'a> {
        Recognise { driver: self.driver, bound, marker, adoption: self.management.adoption() }
    }

    /// Whether we manage what was read.
    pub fn recognised(&self, target: &Target, seen: &Seen) -> Result<bool> {
        self.recognise(&self.bound(), &self.marker()).is_ours(target.want.as_ref(), seen)
    }

    /// Whether nothing is written to the account.
    pub fn read_only(&self) -> bool {
        self.management.policy() == ManagementPolicy::Observe
    }

    /// This object as one that claims objects of the account.
    pub fn claimant<'a>(&'a self, target: &'a Target) -> Claimant<'a> {
        Claimant {
            claims: &self.engine.memory.claims,
            account_id: target.account_id(),
            who: &self.subject.who,
            rank: &self.subject.rank,
            observing: self.read_only(),
        }
    }

    /// How long reads may lag behind writes.
    pub fn lag(&self) -> Lag {
        Lag::new(self.driver.traits().read_lag, &self.engine.settings)
    }

    /// The mark on objects of ours.
    pub fn marker(&self) -> String {
        self.engine.mark(&self.subject.who)
    }

    /// Reads or changes what is remembered of this object.
    pub fn remember<T>(&self, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        self.engine.memory.objects.of(&self.subject.uid(), f)
    }

    /// Makes the next read under this parent list again.
    pub async fn list_again(&self, target: &Target, within: &str) {
        target.session().snapshots.make_stale(self.driver, within).await;
    }

    /// What happens to the object in the account on deletion. What would be set back stays if it is bound and not known what it was.
    pub fn deletion_policy(&self, adopted: bool) -> DeletionPolicy {
        let traits = self.driver.traits();
        if !traits.removable && !traits.restored {
            return DeletionPolicy::Retain;
        }
        if traits.restored && self.bound().bound_as() == BoundAs::Managed && self.state_before().is_none() {
            return DeletionPolicy::Retain;
        }
        self.management.deletion(traits.retained, adopted)
    }

    /// What the account had before the object was managed, for a kind that is restored on deletion, as far as it is recorded. A record is
    /// input: one that cannot be read, or is about something else than what is bound, is none.
    pub fn state_before(&self) -> Option<Value> {
        let external = self.subject.status.as_ref().ok()?.external.as_ref()?;
        let former: Value = serde_json::from_str(external.former.as_ref()?).ok()?;
        let key = self.driver.key(&former).ok()?;
        let within = self.driver.within(&external.id).ok()?;
        let same = key.within == within && external.name.as_ref() == Some(&key.name);
        (self.driver.traits().restored && same).then_some(former)
    }

    /// Whether a deletion deletes the object in the account: `deletionPolicy` is effectively Delete, and neither `Observe` nor `suspend`
    /// prevents it. What would be set back stays as it is if it is not known what it was.
    pub fn deletes_outside(&self) -> bool {
        let observe = self.read_only();
        let adopted = self.bound().adopted(observe);
        let delete = self.deletion_policy(adopted) == DeletionPolicy::Delete;
        let known = !self.driver.traits().restored || self.state_before().is_some();
        delete && known && !observe && !self.management.suspended()
    }

    /// `deletionProtection`.
    pub fn protected(&self) -> bool {
        self.management.deletion_protection == Some(true)
    }
}

/// A decided step needs an observation that is missing: a bug of ours.
pub fn missing_observation() -> Error {
    Error::terminal(Reason::InternalError, "there is nothing to act on")
}
