//! Parts of objects in the account that objects of several kinds can manage, such as the members of a group: before the act, the object
//! under work claims its parts. [`super::claims`] says which of two objects gets one. Nothing here reads or changes the account.
//!
//! An object that does not get a part is refused as a whole, with `ManagementConflict`. The rest of its spec could be carried out without
//! that part, as it is without a member that is not known yet; but such a member comes by itself, and a spec in conflict is carried out
//! only after a person has changed one of two objects. Until then the object writes nothing, is `Stalled`, and says what to change; those
//! that refer to it can still use it. The end of the conflict triggers it.
//!
//! A part that is held is recorded in `status.parts`, before the first write that rests on it, so that after a restart the same object
//! holds it, whichever is older; `run/startup.rs` reads it. Without a record, the older of two gets it, once all objects that are bound to
//! nothing were reconciled: neither of them has written anything then. An object that was created with a part holds it from then on.
//!
//! An object that is refused, by its guard, a grant or the account, gives up what it has claimed and not recorded: what it may not change
//! must not keep another object out.

use super::bound::BoundAs;
use super::decide::Step;
use super::inputs::Decision;
use super::outcome::Outcome;
use super::reading::Reading;
use super::work::{Target, Work};
use crate::engine::crd::{HeldPart, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::memory::Claim;

impl Work<'_> {
    /// Claims the parts of an object that exists. If another object has one, the step is refused. A create and an adoption claim theirs by
    /// themselves, together with the object. Returns an outcome if the reconcile ends here.
    pub fn claim_parts(
        &mut self,
        target: &Target,
        reading: &Reading,
        decision: &mut Decision,
    ) -> Result<Option<Outcome>> {
        let Some(seen) = reading.seen().filter(|_| !self.subject.deleting()) else { return Ok(None) };
        match &decision.step {
            Step::Update(_) | Step::Rest | Step::Wait { .. } => {}
            // What is there already may be there because of the other object.
            Step::Refuse { reason: Reason::AlreadyExists, .. } => {
                return self.held_by_another(target, &seen.id);
            }
            _ => return Ok(None),
        }
        match self.claim(target, None, Some(&seen.id))? {
            Some(Outcome::Refused { reason, message }) => decision.step = Step::Refuse { reason, message },
            Some(waits) => return Ok(Some(waits)),
            None => {}
        }
        Ok(None)
    }

    /// Records the parts that an update rests on, before it is sent.
    pub async fn record_parts(&mut self) -> Result<()> {
        let recorded = self.subject.recorded_parts();
        if self.subject.status()?.parts.iter().all(|part| recorded.contains(part)) {
            return Ok(());
        }
        let engine = self.engine;
        self.subject.write_status(engine).await
    }

    /// After a refusal, leaves the object the parts that are recorded, and none if it manages nothing. Other objects may have the rest. What
    /// was created in this reconcile has its parts.
    pub fn give_up_parts(&mut self, result: &Result<Outcome>) {
        if !self.driver.traits().has_parts || self.subject.must_record || !refuses(result) {
            return;
        }
        let manages = self.bound().bound_as() == BoundAs::Managed && !self.read_only();
        let recorded = self.subject.recorded_parts();
        let Ok(status) = &mut self.subject.status else { return };
        status.parts.retain(|part| manages && recorded.contains(part));
        let bound = status.external.as_ref().map(|external| &external.account_id);
        let account = bound.or(status.intent.as_ref().map(|intent| &intent.account_id));
        let kept: Vec<Claim> = account
            .into_iter()
            .flat_map(|account| status.parts.iter().map(move |part| Claim::part(account, part)))
            .collect();
        let memory = &self.engine.memory;
        let freed = memory.claims.give_up_parts(&self.subject.who, &kept);
        freed.iter().for_each(|who| memory.triggers.trigger(who));
    }

    /// Records the parts of an object that was just created: it has them, whatever others wish.
    pub fn hold_parts(&mut self, target: &Target, id: &str) -> Result<()> {
        let parts = self.parts(target.account_id(), target.want.as_ref(), Some(id))?.into_iter();
        let (claims, rank, who) = (&self.engine.memory.claims, &self.subject.rank, &self.subject.who);
        let got = parts.filter(|it| claims.record(&it.claim, rank, who).is_none());
        let held: Vec<HeldPart> = got.map(|it| it.held).collect();
        self.subject.status_mut()?.parts = held;
        Ok(())
    }

    /// Removes from the record what the spec no longer claims.
    pub fn forget_unclaimed_parts(&mut self, target: &Target) -> Result<()> {
        let kept = |part: &HeldPart| target.claims.contains(&Claim::part(target.account_id(), part));
        self.subject.status_mut()?.parts.retain(kept);
        Ok(())
    }

    /// Why this object may not have a part, if another one has it.
    fn held_by_another(&self, target: &Target, id: &str) -> Result<Option<Outcome>> {
        let parts = self.parts(target.account_id(), target.want.as_ref(), Some(id))?;
        Ok(parts.iter().find_map(|it| {
            let holder = self.engine.memory.claims.watch_holder(&it.claim, &self.subject.who)?;
            Some(self.part_conflict(&it.part, &holder))
        }))
    }
}

/// Whether a reconcile ended with something that only others can change. What a retry may resolve is no refusal.
fn refuses(result: &Result<Outcome>) -> bool {
    matches!(
        result,
        Ok(Outcome::Refused { .. } | Outcome::Suspended)
            | Err(Error::Terminal { .. } | Error::Rejected { .. } | Error::Waiting { .. })
    )
}
