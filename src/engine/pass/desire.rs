//! Hop 6: the desired state. A kind computes it from the spec and the ids; here it is checked against the grants, and the
//! claims follow it.

use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

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
        let not_before = self.not_before();
        self.keep_claims(&place.admission, want.as_ref())?;
        Ok(Target { place, want, refs, not_before })
    }

    /// Releases what this object claimed under a name that it no longer has, or now only observes.
    fn keep_claims(&self, admission: &Admission, want: Option<&Value>) -> Result<()> {
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
        let kept: Vec<Claim> = wanted.chain(begun).collect();
        self.engine
            .memory
            .claims
            .keep_only(&self.subject.who, &kept)
            .iter()
            .for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }

    /// A reading must be no older than a resync interval; a request for a reconcile asks for a new one.
    fn not_before(&self) -> Instant {
        let now = Instant::now();
        if let Some(token) = self.requested().cloned() {
            // Many requests at once share one reading: it need only be newer than the first sight of the request.
            return self.remember(|m| match &m.requested {
                Some((seen, at)) if *seen == token => *at,
                _ => m.requested.insert((token, now)).1,
            });
        }
        // Without an interval any reading is recent enough; a year is longer than the life of every process.
        let interval = self.subject.resync.unwrap_or(std::time::Duration::from_secs(31_536_000));
        now.checked_sub(interval).unwrap_or_else(|| now - now.elapsed())
    }
}
