//! Which of several Kubernetes objects may create or adopt an object in the account, and which waits for a name there.
//! [`crate::engine::memory`] keeps what each claims and waits for; here the object under work claims, waits and gives up. Nothing here reads
//! or changes the account.

use kube::ResourceExt;
use serde_json::Value;

use super::decide::managed_by;
use super::outcome::Outcome;
use super::work::{Target, Work};
use crate::engine::account::Admission;
use crate::engine::crd::{EXTERNAL_ID, ObjectName, Reason};
use crate::engine::error::Result;
use crate::engine::kind::Seen;
use crate::engine::memory::{Claim, named};

impl Work<'_> {
    /// What this object claims: not what it claimed under a name that it no longer has, nor what it only observes.
    pub fn claims(&self, admission: &Admission, want: Option<&Value>) -> Result<Vec<Claim>> {
        let account = admission.session.client.account_id();
        let kind = &self.subject.who.kind;
        let key =
            want.map(|want| self.driver.key(want)).transpose()?.map(|key| Claim::key(account, kind, &key));
        let status = self.subject.status()?;
        let annotated = self.subject.object.annotations().get(EXTERNAL_ID);
        let id = status.external.as_ref().map(|e| &e.id).or(annotated).map(|id| Claim::id(account, kind, id));
        // A create that has begun may still have its effect.
        let begun = status.intent.as_ref().map(|intent| Claim::intent(kind, intent));
        // No other object finds it by its key.
        let key = key.filter(|_| !self.driver.traits().issues);
        let wanted = key.into_iter().chain(id).filter(|_| !self.read_only());
        Ok(wanted.chain(begun).collect())
    }

    /// Releases what this object claimed before; others may want it.
    pub fn keep_only(&self, claims: &[Claim]) {
        let memory = &self.engine.memory;
        memory.claims.keep_only(&self.subject.who, claims).iter().for_each(|who| memory.wake.wake(who));
    }

    /// Claims what is to be created or adopted; returns why it may not be, if another object comes first.
    pub fn claim(&self, claim: &Claim) -> Option<Outcome> {
        let (claims, rank, who) = (&self.engine.memory.claims, &self.subject.rank, &self.subject.who);
        claims.wish(claim, rank, who);
        if self.engine.others_unseen(&self.subject.uid()) {
            return Some(others_first());
        }
        claims.take(claim, rank, who).map(|holder| self.conflict(&holder))
    }

    /// Another object manages it.
    pub fn conflict(&self, holder: &ObjectName) -> Outcome {
        let message = managed_by(&named(&self.subject.who, holder));
        Outcome::Refused { reason: Reason::ManagementConflict, message }
    }

    /// Databricks says that the name is taken, or may say so: its holder may give it up soon, so this object waits. Returns whether
    /// that holder waits for our name, directly or through others.
    pub fn record_name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.claims.record_name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    pub fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }

    /// Objects that lost against this one try again: it may have given up what they want.
    pub fn wake_losers(&self) {
        let memory = &self.engine.memory;
        memory.claims.take_losers(&self.subject.who).iter().for_each(|who| memory.wake.wake(who));
    }
}

/// Creates and adoptions wait at the startup barrier, see [`crate::engine::memory::StartupBarrier`].
fn others_first() -> Outcome {
    let message = "waiting until all objects were reconciled once".into();
    Outcome::Progress { reason: Reason::Progressing, message, sent: false }
}
