//! Binding a Kubernetes object to one in the account: to the result of an interrupted create, to one that existed already,
//! or to the one that a restored record names. Nothing is sent.

use super::decide::managed_by;
use super::look::Look;
use super::outcome::Outcome;
use super::work::{Target, Work, missing_observation, others_first};
use crate::engine::crd::{
    CREATED_BY, EXTERNAL_ID, EventReason, External, ManagementPolicy, ObjectName, Reason,
};
use crate::engine::error::Result;
use crate::engine::kind::Seen;
use crate::engine::memory::named;
use crate::engine::meter::Write;

impl Work<'_> {
    /// Binds the object to the result of an interrupted create; the next reconcile continues with it.
    pub fn bind(&mut self, target: &Target, id: String) -> Result<Outcome> {
        // An older object that would adopt it may read it before our record of it is written.
        if let Some(holder) = self.claimant(target).record(&id) {
            return Ok(self.conflict(&holder));
        }
        self.subject.recovered = true;
        let status = self.subject.status_mut()?;
        let intent = status.intent.take().ok_or_else(missing_observation)?;
        status.external_id = Some(id.clone());
        status.external = Some(External {
            account_id: intent.account_id,
            id: id.clone(),
            name: Some(intent.name),
            adopted: false,
            observed: false,
            created_at: Some(intent.time),
        });
        self.counts().wrote(Write::Create);
        let text = format!("found the object {id} that an interrupted create had created");
        self.subject.note(false, EventReason::Created, text);
        Ok(Outcome::Again)
    }

    /// The record of an object that was restored without its status. Its mark, in the account or in an annotation beside
    /// the id, or its intent proves that it created what exists; anything else is adopted, and that is reported.
    pub fn restored(&mut self, target: &Target, seen: &Seen) -> Result<External> {
        let marked = {
            let (bound, marker) = (self.bound(), self.marker());
            self.recognise(&bound, &marker).marked(seen) || bound.created_here
        };
        let created_at = self.subject.status_mut()?.intent.as_ref().map(|intent| intent.time.clone());
        let adopted = created_at.is_none() && !marked;
        if self.management.policy() == ManagementPolicy::Observe {
            // An object that only observes adopts nothing, and a record proves nothing by itself.
            let observed = adopted || !self.recognised(target, seen)?;
            return Ok(External { created_at, observed, ..self.external(target, seen, adopted) });
        }
        if adopted {
            self.counts().wrote(Write::Adopt);
            let text = format!(
                "adopted the object {}, which the annotation {EXTERNAL_ID} names: the annotation {CREATED_BY} does not say \
                 that it was created as {}, so it stays in the account on deletion unless spec.deletionPolicy is Delete",
                seen.id,
                self.marker()
            );
            self.subject.note(false, EventReason::Adopted, text);
        }
        Ok(External { created_at, ..self.external(target, seen, adopted) })
    }

    pub fn external(&self, target: &Target, seen: &Seen, adopted: bool) -> External {
        let account_id = target.admission.session.client.account_id().to_owned();
        let name = self.driver.key(&seen.state).ok().map(|key| key.name);
        External { account_id, id: seen.id.clone(), name, adopted, observed: false, created_at: None }
    }

    pub async fn adopt(&mut self, target: &Target, look: Look) -> Result<Outcome> {
        let seen = look.seen().cloned().ok_or_else(missing_observation)?;
        self.may_touch(target, &seen)?;
        let managed = self.management.policy() == ManagementPolicy::Managed;
        if managed {
            let claim = self.claimant(target).claim(&seen.id);
            self.engine.memory.claims.wish(&claim, &self.subject.rank, &self.subject.who);
            if self.engine.others_unseen(&self.subject.uid()) {
                return Ok(others_first());
            }
            if let Some(holder) =
                self.engine.memory.claims.take(&claim, &self.subject.rank, &self.subject.who)
            {
                return Ok(self.conflict(&holder));
            }
        }
        // An object that only observes adopts nothing.
        let bind = External { observed: !managed, ..self.external(target, &seen, true) };
        let changes = self.changes(target, &look)?;
        self.show(target, &seen, &changes, Some(bind), true)?;
        self.subject.must_record = true;
        if managed {
            self.counts().wrote(Write::Adopt);
            self.subject.note(
                false,
                EventReason::Adopted,
                format!("adopted the object {} that was in the account", seen.id),
            );
        }
        Ok(Outcome::Again)
    }

    pub fn conflict(&self, holder: &ObjectName) -> Outcome {
        let message = managed_by(&named(&self.subject.who, holder));
        Outcome::Refused { reason: Reason::ManagementConflict, message }
    }
}
