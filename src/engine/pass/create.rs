//! The order of effects of a create: it is announced, sent and recorded. Nothing here retries.

use super::look::Look;
use super::outcome::Outcome;
use super::work::{Target, Work, missing_observation};
use crate::clock;
use crate::engine::crd::{External, Intent, seconds};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Key, New, Writer};
use crate::engine::memory::{Claim, ObjectMemory};

impl Work<'_> {
    /// Claims the name · asks the guard · reserves the Kubernetes Secret, if the kind has one · announces · sends · fills the
    /// Kubernetes Secret · binds. A secret that was bound before is retired then: it stays valid for a while.
    pub async fn create(&mut self, target: &Target, look: Look) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let key = self.driver.key(want)?;
        let session = &target.place.admission.session;
        let account_id = session.client.account_id().to_owned();
        let issues = self.driver.traits().issues;
        // What is gone already is not kept for a while.
        let retires = issues && look.seen().is_some();
        let claim = Claim::key(&account_id, &self.subject.who.kind, &key);
        if let Some(lost) = (!issues).then(|| self.claim(&claim)).flatten() {
            return Ok(lost);
        }
        if let Some(exists) = self.remember(|m| m.exists.take()) {
            self.record_name_taken(target, None, want)?;
            return Err(exists);
        }
        self.same_principals(target).await?;
        let _one_at_a_time = self.guard(target, Some(want), None, &look.before).await?;
        let time = seconds(clock::now());
        let (within, name) = (key.within.clone(), key.name.clone());
        let reserved = self.reserve().await?;
        let before = if issues { self.all_within(target, &within).await? } else { look.before };
        let secret_name = self.output()?.map(|output| output.secret_name);
        let intent = Intent { account_id, within, name, time, secret_name, before };
        let engine = self.engine;
        // An upsert is sent again although what it was announced with before may have had an effect.
        let open = self.subject.status()?.intent.clone();
        self.remember(|m| m.without_effect = open.is_none().then(|| intent.clone()));
        self.subject.announce(engine, intent).await?;
        let place = &target.place;
        let permit = self.permit(&place.auth, &place.admission, true);
        self.remember(|m| m.without_effect = None);
        let mut new = match self.driver.create(&Writer::new(place.reader.clone(), permit), want).await {
            Ok(new) => new,
            // It may have been created, so the announcement stays.
            Err(error @ Error::Unknown { .. }) => return Err(error),
            Err(error) => {
                self.withdraw(open)?;
                return Err(self.not_created(target, want, error).await?);
            }
        };
        if let Some(reserved) = reserved {
            self.keep_secret(target, reserved, &mut new).await?;
        }
        self.created(target, key, new, retires).await
    }

    /// The announced create certainly has no effect. `open` is what was announced before and is still in doubt.
    pub fn withdraw(&mut self, open: Option<Intent>) -> Result<()> {
        let in_doubt = open.is_some();
        let withdrawn = std::mem::replace(&mut self.subject.status_mut()?.intent, open);
        self.remember(|m| m.without_effect = withdrawn.filter(|_| !in_doubt));
        Ok(())
    }

    /// Records what was just created, and reads the response, or the account if that shows only the id.
    async fn created(&mut self, target: &Target, key: Key, mut new: New, retires: bool) -> Result<Outcome> {
        let snapshots = &target.place.admission.session.snapshots;
        match new.seen.take() {
            Some(seen) => new.seen = Some(snapshots.amend(self.driver, &key.within, seen).await),
            None => snapshots.forget(self.driver, &key.within).await,
        }
        self.claimant(target).record(&new.id);
        self.remember(|m| {
            let ObjectMemory { awaiting_first_ready, refilled, renewed, .. } = std::mem::take(m);
            *m = ObjectMemory { awaiting_first_ready, refilled, renewed, ..ObjectMemory::default() };
        });
        let created_at = Some(seconds(clock::now()));
        let account_id = target.place.admission.session.client.account_id().to_owned();
        let shown = new.seen.as_ref().and_then(|seen| self.driver.key(&seen.state).ok());
        let (id, name) = (new.id.clone(), Some(shown.unwrap_or(key).name));
        let external = External { account_id, id, name, adopted: false, observed: false, created_at };
        // It is deleted again if it cannot be recorded, whatever was changed meanwhile.
        let made = (self.own_writer(target), new.clone());
        self.subject.put_created(external, made, self.deletion(false), retires)?;
        match new.seen {
            Some(seen) => self.respond(target, seen),
            None => Ok(Outcome::Again),
        }
    }

    /// What deletes an object that was created and cannot be kept, whatever was changed meanwhile: it needs only the lease.
    pub fn own_writer(&self, target: &Target) -> Writer {
        Writer::new(target.place.reader.clone(), self.engine.permit().clone())
    }
}
