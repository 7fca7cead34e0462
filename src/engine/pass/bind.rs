//! The steps that only record which object in the account this one is bound to: an adoption, and the end of an interrupted create.
//! Nothing here changes the account.

use super::outcome::Outcome;
use super::reading::Reading;
use super::work::{Target, Work, missing_observation};
use crate::engine::crd::{EventReason, External, Intent};
use crate::engine::error::Result;
use crate::engine::kind::Change;
use crate::engine::meter::Write;

impl Work<'_> {
    /// Binds the object to what existed already.
    pub async fn adopt(&mut self, target: &Target, reading: &Reading, changes: &[Change]) -> Result<Outcome> {
        let seen = reading.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        let managed = !self.read_only();
        if managed {
            target.want.as_ref().map_or(Ok(()), |want| self.same_place(want, seen))?;
            let claim = self.claimant(target).claim_of(&seen.id);
            if let Some(lost) = self.claim(target, Some(&claim), Some(&seen.id))? {
                return Ok(lost);
            }
            self.subject.set_finalizer(self.engine).await?;
        }
        // An object that only observes adopts nothing.
        let bind = External { observed: !managed, ..self.record_of(target, seen, true) };
        let shown = self.shown(target, seen, changes, true)?;
        // Not written over any other write, as nothing was changed in the account: the spec may have changed meanwhile, and not allow
        // it any more.
        self.subject.put_bound(bind, self.deletion_policy(true))?;
        self.subject.put_shown(shown)?;
        if managed {
            let text = format!("adopted the object {} that was in the account", seen.id);
            self.subject.report_once_recorded(Write::Adopt, EventReason::Adopted, text);
        }
        Ok(Outcome::Again)
    }

    /// Binds the object to the result of an interrupted create; the next reconcile continues with it.
    pub fn bind_created(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        // An older object that would adopt it may read it before our record of it is written.
        if let Some(holder) = self.claimant(target).hold(id) {
            return Ok(self.conflict(&holder));
        }
        self.hold_parts(target, id)?;
        self.subject.not_compared = true;
        let intent = self.subject.status_mut()?.intent.take().ok_or_else(missing_observation)?;
        if self.driver.traits().are_secrets() {
            self.subject.retire(id)?;
        }
        // Not written over any other write, as the id of a create is: the intent stays until this is recorded, and a newer one
        // must not be lost.
        self.subject.put_bound(of_intent(intent, id), self.deletion_policy(false))?;
        let text = format!("found the object {id} that an interrupted create had created");
        self.subject.report_once_recorded(Write::Create, EventReason::Created, text);
        Ok(Outcome::Again)
    }

    /// An interrupted create created nothing. What comes next rests on another LIST than this.
    pub async fn drop_intent(&mut self, target: &Target) -> Result<Outcome> {
        let intent = self.subject.status_mut()?.intent.take();
        let within = intent.ok_or_else(missing_observation)?.within;
        self.list_again(target, &within).await;
        self.subject.not_compared = true;
        Ok(Outcome::Again)
    }
}

/// The record of what an interrupted create created.
fn of_intent(intent: Intent, id: &str) -> External {
    External {
        account_id: intent.account_id,
        id: id.to_owned(),
        name: Some(intent.name),
        adopted: false,
        observed: false,
        created_at: Some(intent.time),
        former: None,
    }
}
