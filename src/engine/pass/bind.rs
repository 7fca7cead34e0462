//! What binds a Kubernetes object to one in the account, and which of several objects may bind itself to it. Nothing here
//! changes the account.

use super::decide::managed_by;
use super::look::Look;
use super::outcome::Outcome;
use super::work::{Target, Work, missing_observation, others_first};
use crate::clock;
use crate::engine::crd::{
    CREATED_BY, EXTERNAL_ID, EventReason, External, Intent, ObjectName, Reason, seconds,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Seen};
use crate::engine::memory::{Claim, named};
use crate::engine::meter::Write;

impl Work<'_> {
    /// Binds the object to what existed already.
    pub fn adopt(&mut self, target: &Target, look: &Look, changes: &[Change]) -> Result<Outcome> {
        let seen = look.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        let managed = !self.observing();
        if managed {
            target.want.as_ref().map_or(Ok(()), |want| self.same_place(want, seen))?;
            let claim = self.claimant(target).claim(&seen.id);
            if let Some(lost) = self.claim(&claim) {
                return Ok(lost);
            }
        }
        // An object that only observes adopts nothing.
        let bind = External { observed: !managed, ..self.external(target, seen, true) };
        let shown = self.shown(target, seen, changes, true)?;
        self.subject.put_bound(bind, self.deletion(true))?;
        self.subject.put_shown(shown)?;
        self.subject.must_record = true;
        if managed {
            let text = format!("adopted the object {} that was in the account", seen.id);
            self.subject.put_binding(Write::Adopt, EventReason::Adopted, text);
        }
        Ok(Outcome::Again)
    }

    /// Binds the object to the result of an interrupted create; the next reconcile continues with it.
    pub fn bind(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        // An older object that would adopt it may read it before our record of it is written.
        if let Some(holder) = self.claimant(target).record(id) {
            return Ok(self.conflict(&holder));
        }
        self.subject.recovered = true;
        let intent = self.subject.status_mut()?.intent.take().ok_or_else(missing_observation)?;
        if self.driver.traits().issues {
            self.subject.retire(id)?;
        }
        // Not written over any other write, as the id of a create is: the intent stays until this is recorded, and a newer one
        // must not be lost.
        self.subject.put_bound(of_intent(intent, id), self.deletion(false))?;
        let text = format!("found the object {id} that an interrupted create had created");
        self.subject.put_binding(Write::Create, EventReason::Created, text);
        Ok(Outcome::Again)
    }

    /// Binds the object to the one that an update has put in place of the old one, as its response shows by another id. It must have
    /// the name that the object wants: otherwise the response is about a foreign object. The old one must be proven gone: otherwise no
    /// object would ever delete it. Returns why it is not bound, if another object comes first.
    pub async fn follow(&mut self, target: &Target, old: &Seen, new: &Seen) -> Result<Option<Outcome>> {
        let key = self.driver.key(&new.state)?;
        target.place.admission.session.snapshots.forget(self.driver, &key.within).await;
        let wanted = target.want.as_ref().map(|want| self.driver.key(want)).transpose()?;
        if wanted.is_some_and(|wanted| wanted != key) {
            return Err(Error::retry(format!(
                "Databricks reported an object of another name, {}, in response to the change of {}: reading again",
                new.id, old.id
            )));
        }
        if self.driver.get(&target.place.reader, &old.id).await?.is_some() {
            return Err(Error::retry(format!(
                "Databricks reported another object, {}, in response to the change of {}, which still exists: reading again; if both \
                 stay, delete in the account console the one that is not intended",
                new.id, old.id
            )));
        }
        if let Some(holder) = self.claimant(target).record(&new.id) {
            return Ok(Some(self.conflict(&holder)));
        }
        let adopted = self.bound().adopted(self.observing());
        let created_at = Some(seconds(clock::now()));
        let external = External { created_at, ..self.external(target, new, adopted) };
        self.subject.put_bound(external, self.deletion(adopted))?;
        self.subject.must_record = true;
        let text = format!("the account replaced the object {} by {}", old.id, new.id);
        self.subject.note(false, EventReason::Updated, text);
        Ok(None)
    }

    /// Binds an object that was restored without its status to what its annotation names.
    pub fn restore(&mut self, target: &Target, seen: &Seen) -> Result<()> {
        let external = self.restored(target, seen)?;
        if external.adopted && !self.observing() {
            let text = self.adopted_by_annotation(&seen.id);
            self.subject.put_binding(Write::Adopt, EventReason::Adopted, text);
        }
        let deletion = self.deletion(external.adopted);
        self.subject.put_bound(external, deletion)
    }

    /// The record of an object that was restored without its status. Its mark, in the account or in an annotation beside
    /// the id, or its intent proves that it created what exists; anything else is adopted, which an event reports.
    fn restored(&self, target: &Target, seen: &Seen) -> Result<External> {
        let marked = {
            let (bound, marker) = (self.bound(), self.marker());
            self.recognise(&bound, &marker).marked(seen) || bound.created_here
        };
        let created_at = self.subject.status()?.intent.as_ref().map(|intent| intent.time.clone());
        let adopted = created_at.is_none() && !marked;
        // An object that only observes adopts nothing, and a record proves nothing by itself.
        let observed = self.observing() && (adopted || !self.recognised(target, seen)?);
        Ok(External { created_at, observed, ..self.external(target, seen, adopted) })
    }

    /// The text of the event.
    fn adopted_by_annotation(&self, id: &str) -> String {
        format!(
            "adopted the object {id}, which the annotation {EXTERNAL_ID} names: the annotation {CREATED_BY} does not say that \
             it was created as {}, so it stays in the account on deletion unless spec.deletionPolicy is Delete",
            self.marker()
        )
    }

    /// The record of an object in the account.
    pub fn external(&self, target: &Target, seen: &Seen, adopted: bool) -> External {
        let account_id = target.place.admission.session.client.account_id().to_owned();
        let name = self.driver.key(&seen.state).ok().map(|key| key.name);
        External { account_id, id: seen.id.clone(), name, adopted, observed: false, created_at: None }
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
    }
}
