//! Hop 6: the desired state, and what is claimed with it. A kind computes it from the spec and the ids; here it is checked
//! against the grants. Pure.

use kube::ResourceExt;
use serde_json::Value;

use super::work::{Place, Target, Work};
use crate::engine::account::{Admission, check_power};
use crate::engine::crd::EXTERNAL_ID;
use crate::engine::error::Result;
use crate::engine::kind::Resolved;
use crate::engine::memory::Claim;

impl Work<'_> {
    /// Computes the desired state. While deleting, it may be unreadable.
    pub fn desire(&self, place: Place, resolved: Option<Resolved>) -> Result<Target> {
        let spec = self.subject.spec();
        let (want, refs) = match resolved {
            None => (None, None),
            Some(got) if self.subject.deleting() => match self.driver.desired(&spec, &got) {
                Ok(want) => (Some(want), Some(got.ids)),
                Err(_) => (None, None),
            },
            Some(got) => {
                let want = self.driver.desired(&spec, &got)?;
                check_power(&place.admission, &self.driver.power(&want)?, &self.subject.who.namespace)?;
                (Some(want), Some(got.ids))
            }
        };
        let claims = self.claims(&place.admission, want.as_ref())?;
        Ok(Target { place, want, refs, claims })
    }

    /// What this object claims: not what it claimed under a name that it no longer has, nor what it only observes.
    fn claims(&self, admission: &Admission, want: Option<&Value>) -> Result<Vec<Claim>> {
        let account = admission.session.client.account_id();
        let kind = &self.subject.who.kind;
        let key =
            want.map(|want| self.driver.key(want)).transpose()?.map(|key| Claim::key(account, kind, &key));
        let status = self.subject.status()?;
        let annotated = self.subject.object.annotations().get(EXTERNAL_ID);
        let id = status.external.as_ref().map(|e| &e.id).or(annotated).map(|id| Claim::id(account, kind, id));
        // A create that has begun may still have its effect.
        let begun = status.intent.as_ref().map(|intent| Claim::intent(kind, intent));
        let wanted = key.into_iter().chain(id).filter(|_| !self.observing());
        Ok(wanted.chain(begun).collect())
    }
}
