//! Which of several Kubernetes objects may create or adopt an object in the account, or manage a part of one, and which waits for a name
//! there. [`crate::engine::memory`] keeps what each claims and waits for; here the object under work claims, waits and gives up. Nothing here
//! reads or changes the account.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;

use super::bound::BoundAs;
use super::decide::{Step, managed_by, part_managed_by};
use super::outcome::Outcome;
use super::reading::Reading;
use super::work::{Target, Work};
use crate::engine::account::Admission;
use crate::engine::crd::{EXTERNAL_ID, HeldPart, ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Part, Seen};
use crate::engine::memory::{Claim, holding, named};

/// A part that a spec claims.
pub struct ClaimedPart {
    /// The part.
    pub part: Part,
    /// As the status records it.
    pub held: HeldPart,
    /// Its claim.
    pub claim: Claim,
}

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
        let key = key.filter(|_| !self.driver.traits().are_secrets());
        let wanted = key.into_iter().chain(id).filter(|_| !self.read_only());
        Ok(wanted.chain(begun).chain(self.part_claims(account, want)?).collect())
    }

    /// The claims of parts. While deleting, the spec may be unreadable: then what it held before.
    fn part_claims(&self, account_id: &str, want: Option<&Value>) -> Result<Vec<Claim>> {
        if want.is_none() && !self.read_only() {
            let recorded = self.subject.status()?.parts.iter();
            return Ok(recorded.map(|part| Claim::part(account_id, part)).collect());
        }
        let bound = self.bound();
        let id = bound.id().filter(|_| bound.bound_as() == BoundAs::Managed);
        Ok(self.parts(account_id, want, id)?.into_iter().map(|claimed| claimed.claim).collect())
    }

    /// The parts that the spec claims of the object with this id.
    pub fn parts(
        &self,
        account_id: &str,
        want: Option<&Value>,
        id: Option<&str>,
    ) -> Result<Vec<ClaimedPart>> {
        let Some(want) = want.filter(|_| !self.read_only()) else { return Ok(vec![]) };
        let claimed = self.driver.parts(want, id)?.into_iter().map(|part| {
            let held = HeldPart { what: part.what.clone(), shared: part.shared };
            ClaimedPart { claim: Claim::part(account_id, &held), held, part }
        });
        Ok(claimed.collect())
    }

    /// Releases what this object claimed before and no longer needs for this step; others may want it.
    pub fn release_other_claims(&self, target: &Target, reading: &Reading, step: &Step) -> Result<()> {
        let mut claims = target.claims.clone();
        let adopts = matches!(step, Step::Adopt | Step::TakeUp) && !self.read_only();
        // It was wished for at the startup barrier, and an older wish must not give way to a newer one.
        if let Some(seen) = reading.seen().filter(|_| adopts) {
            claims.push(self.claimant(target).claim_of(&seen.id));
            let parts = self.parts(target.account_id(), target.want.as_ref(), Some(&seen.id))?;
            claims.extend(parts.into_iter().map(|part| part.claim));
        }
        let memory = &self.engine.memory;
        memory
            .claims
            .keep_only(&self.subject.who, &claims)
            .iter()
            .for_each(|who| memory.triggers.trigger(who));
        Ok(())
    }

    /// Wishes for `own`, which is to be created or adopted, if anything is, and for the parts of the object with this `id` · waits at the
    /// startup barrier, see [`crate::engine::memory::StartupBarrier`], unless only parts are claimed that it holds, or another object ·
    /// takes them. Returns why not, if another object comes first.
    pub fn claim(
        &mut self,
        target: &Target,
        own: Option<&Claim>,
        id: Option<&str>,
    ) -> Result<Option<Outcome>> {
        let parts = self.parts(target.account_id(), target.want.as_ref(), id)?;
        let (claims, rank, who) = (&self.engine.memory.claims, &self.subject.rank, &self.subject.who);
        // All of them before the barrier: after it, each is known to others.
        own.into_iter().chain(parts.iter().map(|it| &it.claim)).for_each(|it| claims.wish(it, rank, who));
        // Without our finalizer it may have been deleted meanwhile. If the cache still shows it, the watch releases what it claims.
        let shown = self.engine.cluster.stores.uid(who);
        if own.is_some() && shown != Some(self.subject.uid()) {
            self.engine.memory.taken_names.remove(who);
            claims.release(who).iter().for_each(|other| self.engine.memory.triggers.trigger(other));
            return Err(Error::Conflict("the object was deleted meanwhile".into()));
        }
        let held = |it: &Claim| claims.holds(it, rank, who) || claims.watch_holder(it, who).is_some();
        let decided = own.is_none() && parts.iter().all(|it| held(&it.claim));
        if !decided && let Some(waits) = self.wait_for_others()? {
            return Ok(Some(waits));
        }
        if let Some(holder) = own.and_then(|own| claims.take(own, rank, who)) {
            return Ok(Some(self.conflict(&holder)));
        }
        self.take_parts(&parts)
    }

    /// Takes parts, and puts those that it gets on record; returns why it may not have one, if another object has it.
    fn take_parts(&mut self, parts: &[ClaimedPart]) -> Result<Option<Outcome>> {
        let (mut held, mut lost) = (vec![], None);
        for ClaimedPart { part, held: record, claim } in parts {
            match self.engine.memory.claims.take(claim, &self.subject.rank, &self.subject.who) {
                None => held.push(record.clone()),
                Some(holder) => lost = Some(self.part_conflict(part, &holder)),
            }
        }
        self.subject.status_mut()?.parts = held;
        Ok(lost)
    }

    /// The outcome of one that waits at the startup barrier; `None` once it need not wait.
    fn wait_for_others(&self) -> Result<Option<Outcome>> {
        let (uid, who) = (self.subject.uid(), &self.subject.who);
        if self.engine.others_unseen(who, &uid) {
            // Others need not wait for this one: what it wants is known.
            self.engine.reconciled(&uid);
            let began = self.engine.memory.barrier.began();
            return match began.is_some_and(|began| began.elapsed() >= OTHERS_FIRST) {
                true => Ok(Some(others_first())),
                false => Err(Error::Later(OTHERS_FIRST)),
            };
        }
        Ok(None)
    }

    /// Another object manages it.
    pub fn conflict(&self, holder: &ObjectName) -> Outcome {
        let message = managed_by(&holding(&self.subject.who, holder));
        Outcome::Refused { reason: Reason::ManagementConflict, message }
    }

    /// Another object manages a part of it.
    pub fn part_conflict(&self, part: &Part, holder: &ObjectName) -> Outcome {
        let message = part_managed_by(part, &named(&self.subject.who, holder));
        Outcome::Refused { reason: Reason::ManagementConflict, message }
    }

    /// Databricks says that the name is taken, or may say so: its holder may give it up soon, so this object waits. Returns whether
    /// that holder waits for our name, directly or through others.
    pub fn record_name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.taken_names.record(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    pub fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.taken_names.freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.triggers.trigger(who));
        Ok(())
    }

    /// Objects that lost against this one try again: it may have given up what they want.
    pub fn trigger_losers(&self) {
        let memory = &self.engine.memory;
        memory.claims.take_losers(&self.subject.who).iter().for_each(|who| memory.triggers.trigger(who));
    }
}

/// An object at the startup barrier is triggered when it may continue. After this time it asks again, and its status says that it waits:
/// most often that is over by then.
const OTHERS_FIRST: Duration = Duration::from_secs(10);

fn others_first() -> Outcome {
    let message = "waiting until all objects were reconciled once".into();
    Outcome::Progress { reason: Reason::Progressing, message, sent: false }
}
