//! The rotation of a secret: its successor is created, and the former one is deleted once its time is over, or earlier to make room. A
//! secret whose value was lost is deleted alike. [`super::decide`] says when. Nothing here retries.

use super::outcome::Outcome;
use super::reading::Reading;
use super::subject::Counted;
use super::work::{Target, Work};
use crate::engine::crd::{EventReason, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::Seen;
use crate::engine::meter::Write;

impl Work<'_> {
    /// Creates the successor of the present secret.
    pub async fn replace(&mut self, target: &Target, reading: Reading) -> Result<Outcome> {
        if let (Some(seen), None) = (reading.seen(), &self.subject.status()?.external) {
            // What a restored object had is retired as well.
            self.bind_annotated(target, seen)?;
        }
        self.create(target, reading).await
    }

    /// Deletes a secret that was replaced, or whose value was lost: never the present one. Its record is removed once a read after
    /// the deletion does not show it.
    pub async fn discard(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        if self.subject.recorded_id() == Some(id) {
            return Err(Error::terminal(Reason::InternalError, "the present secret would be deleted"));
        }
        if self.subject.deleting() {
            if let Some(blocked) = self.foreign_finalizer() {
                return Ok(blocked);
            }
            self.unchanged().await?;
            if let Some(blocked) = self.admit_deletion(target) {
                return Ok(blocked);
            }
        }
        let within = self.driver.within(id)?;
        match self.driver.get(&target.place.reader, id).await? {
            Some(seen) => self.discard_seen(target, &seen).await?,
            None => self.surely_gone(target, &within, id).await?,
        }
        target.session().snapshots.remove(self.driver, &within, id).await;
        self.subject.status_mut()?.retired.retain(|one| one.id != id);
        self.remember(|m| m.sightings.retain(|known| known != id));
        self.subject.not_compared = true;
        Ok(Outcome::Again)
    }

    /// Deletes a former secret before its time, if a successor of the present one can be kept.
    pub async fn make_room(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        self.reserve().await?;
        self.discard(target, id).await
    }

    async fn discard_seen(&mut self, target: &Target, seen: &Seen) -> Result<()> {
        let id = &seen.id;
        let lost = self.subject.status()?.intent.is_some();
        if !lost && !self.was_ours(target, seen)? {
            let text = format!(
                "the secret {id} in the account does not look like one of this object, so it is left there: delete it if it is not \
                 needed"
            );
            self.subject.note(true, EventReason::Retained, text);
            return Ok(());
        }
        let _one_at_a_time = self.guard(target, None, Some(seen), &[]).await?;
        if self.send_delete(target, seen).await? {
            self.subject.counted.push(Counted::Wrote(Write::Delete));
            // As long as the account shows it, it may be valid, so it stays recorded.
            if self.driver.get(&target.place.reader, id).await?.is_some() {
                return Err(Error::retry(format!(
                    "the account accepted the deletion of the secret {id} and still shows it: deleting it again"
                )));
            }
            let why = if lost { "whose value was lost" } else { "which was replaced" };
            self.subject.note(false, EventReason::Deleted, format!("deleted the secret {id}, {why}"));
        } else if lost {
            return Err(Error::retry(format!("waiting until the account no longer shows the secret {id}")));
        }
        Ok(())
    }

    /// A read does not show it, and may lag behind: a lost secret was just in a LIST, and a former one may have been created a moment
    /// ago.
    async fn surely_gone(&self, target: &Target, within: &str, id: &str) -> Result<()> {
        let status = self.subject.status()?;
        let lag = self.lag().shown_within;
        let recent = status.retired.iter().any(|one| one.id == id && self.retired_for(one) < lag);
        if status.intent.is_none() && !recent {
            return Ok(());
        }
        self.list_again(target, within).await;
        Err(Error::retry(format!(
            "the account does not show the secret {id} at present, and its reads may lag behind: reading again before it counts as gone"
        )))
    }

    /// Whether a former secret is one of this object: a record is no proof by itself. It has the mark, and the parent of the present
    /// one.
    fn was_ours(&self, target: &Target, seen: &Seen) -> Result<bool> {
        let present = self.subject.recorded_id().map(|id| self.driver.within(id)).transpose()?;
        let beside = present.is_none_or(|parent| self.driver.within(&seen.id).is_ok_and(|own| own == parent));
        Ok(beside && self.recognised(target, seen)?)
    }
}
