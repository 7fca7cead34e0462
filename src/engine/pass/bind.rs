//! What binds a Kubernetes object to one in the account, and which of several objects may bind itself to it. Nothing is sent.

use super::decide::managed_by;
use super::outcome::Outcome;
use super::work::{Target, Work, others_first};
use crate::engine::crd::{CREATED_BY, EXTERNAL_ID, External, Intent, ObjectName, Reason};
use crate::engine::error::Result;
use crate::engine::kind::Seen;
use crate::engine::memory::{Claim, named};

impl Work<'_> {
    /// The record of an object that was restored without its status. Its mark, in the account or in an annotation beside
    /// the id, or its intent proves that it created what exists; anything else is adopted, which an event reports.
    pub fn restored(&self, target: &Target, seen: &Seen) -> Result<External> {
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
    pub fn adopted_by_annotation(&self, id: &str) -> String {
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
pub fn of_intent(intent: Intent, id: &str) -> External {
    External {
        account_id: intent.account_id,
        id: id.to_owned(),
        name: Some(intent.name),
        adopted: false,
        observed: false,
        created_at: Some(intent.time),
    }
}
