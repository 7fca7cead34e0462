//! The order of effects of a create: it is claimed, guarded, announced, sent and recorded. Nothing here retries. The result of an
//! interrupted create is bound by [`super::bind`].
//!
//! A create is announced in the status before it is sent, by a write that fails if our view is stale; without that, a crash between the
//! call and its record would lead to a second object. An upsert is announced too: not because it could be doubled, but because after a
//! crash a row that existed before must not count as ours.

use serde_json::Value;
use tokio::time::Instant;

use super::bound::BoundAs;
use super::outcome::Outcome;
use super::reading::Reading;
use super::work::{Target, Work, missing_observation};
use crate::clock;
use crate::databricks::Urgency;
use crate::engine::account::Rows;
use crate::engine::crd::{External, Intent, Reason, seconds};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Key, NEW_REFERENCE, New, Wanted, Writer};
use crate::engine::memory::Claim;

impl Work<'_> {
    /// Claims the name · asks the guard · reserves the Kubernetes Secret, if there is one · announces · sends · fills the
    /// Kubernetes Secret · binds. A secret that was bound before is retired then: it stays valid for a while.
    pub async fn create(&mut self, target: &Target, reading: Reading) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let key = self.driver.key(want)?;
        let account_id = target.account_id().to_owned();
        let is_secret = self.driver.traits().are_secrets();
        // What is gone already is not kept for a while.
        let retires = is_secret && reading.seen().is_some();
        let claim = Claim::key(&account_id, &self.subject.who.kind, &key);
        if !is_secret && let Some(lost) = self.claim(target, Some(&claim), None)? {
            return Ok(lost);
        }
        self.subject.set_finalizer(self.engine).await?;
        self.refused_before(target, want, &key)?;
        self.same_principals(target).await?;
        let _one_at_a_time = self.guard(target, Some(want), None, &reading.before).await?;
        let (within, name) = (key.within.clone(), key.name.clone());
        let reserved = self.reserve().await?;
        let before = if is_secret { self.all_within(target, &within).await? } else { reading.before };
        let secret_name = self.secret_output()?.map(|output| output.secret_name);
        let time = seconds(clock::now());
        let intent = Intent { account_id, within, name, time, secret_name, before };
        let engine = self.engine;
        // An upsert is sent again although what it was announced with before may have had an effect.
        let open = self.subject.status()?.intent.clone();
        self.remember(|m| m.announce_create(&intent, open.is_some()));
        self.subject.announce(engine, intent.clone()).await?;
        let place = &target.place;
        let permit = self.permit(&place.auth, &place.admission, true);
        self.remember(|m| m.send_create(intent));
        let mut new = match self.driver.create(&Writer::new(place.reader.clone(), permit), want).await {
            Ok(new) => new,
            // It may have been created, so the announcement stays.
            Err(error @ Error::Unknown { .. }) => {
                self.remember(|m| m.doubt_create());
                return Err(error);
            }
            Err(error) => {
                self.subject.withdraw(engine, open)?;
                return Err(self.not_created(target, want, error).await?);
            }
        };
        if let Some(reserved) = reserved {
            self.keep_secret(target, reserved, &mut new).await?;
        }
        self.created(target, key, new, retires).await
    }

    /// Fails as the last create did if that was refused because the name is taken, which no LIST has shown.
    fn refused_before(&self, target: &Target, want: &Value, key: &Key) -> Result<()> {
        let refused = self.remember(|m| m.refused_as_existing.take());
        let Some((_, error)) = refused.filter(|(of, _)| of == key) else { return Ok(()) };
        self.record_name_taken(target, None, want)?;
        Err(error)
    }

    /// Before something lost is written again under a name, the name must still mean the same principal. A group that was
    /// deleted and created again must not inherit the access of the old one.
    async fn same_principals(&self, target: &Target) -> Result<()> {
        let status = self.subject.status()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = &status.resolved_refs;
        for need in self.driver.needs(&self.subject.spec())? {
            let (Wanted::Principal(name), false) = (&need.what, need.soft) else { continue };
            let now = target.session().directory.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(&need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was created for: delete this \
                     object and apply it again if the new one is intended"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    /// The ids of all objects of the parent, of whatever user, read now: none of them is the result of a create that follows.
    async fn all_within(&self, target: &Target, within: &str) -> Result<Vec<String>> {
        let snapshots = &target.session().snapshots;
        let ids = |rows: &Rows<'_>| rows.all().map(|seen| seen.id.clone()).collect();
        snapshots.read(self.driver, &target.place.reader, within, Instant::now(), ids).await
    }

    /// Records what was just created, and reads the response, or the account if that shows only the id.
    async fn created(&mut self, target: &Target, key: Key, mut new: New, retires: bool) -> Result<Outcome> {
        let snapshots = &target.session().snapshots;
        match new.seen.take() {
            Some(seen) => new.seen = Some(snapshots.amend(self.driver, &key.within, seen).await),
            None => self.list_again(target, &key.within).await,
        }
        self.claimant(target).hold(&new.id);
        self.remember(|m| m.end_create());
        let created_at = Some(seconds(clock::now()));
        let account_id = target.account_id().to_owned();
        let shown = new.seen.as_ref().and_then(|seen| self.driver.key(&seen.state).ok());
        let (id, name) = (new.id.clone(), Some(shown.unwrap_or(key).name));
        let (adopted, observed, former) = (false, false, None);
        let external = External { account_id, id, name, adopted, observed, created_at, former };
        // It is deleted again if it cannot be recorded, whatever was changed meanwhile.
        let created = (self.own_writer(target), new.clone());
        self.subject.put_created(external, created, self.deletion_policy(false), retires)?;
        self.hold_parts(target, &new.id)?;
        match new.seen {
            // Its secret was written just now.
            Some(seen) => self.respond(target, seen, None),
            None => Ok(Outcome::Again),
        }
    }

    /// Why a create failed. Whether it was carried out is known: it was not.
    async fn not_created(&self, target: &Target, want: &Value, error: Error) -> Result<Error> {
        if error.is_rejected(Reason::ReferenceNotFound) {
            // A principal that was created again has another id.
            target.session().directory.forget();
            return Ok(self.about_references(&error));
        }
        if matches!(error, Error::Conflict(_)) {
            let within = self.driver.key(want)?.within;
            self.list_again(target, &within).await;
        }
        if !error.is_rejected(Reason::AlreadyExists) {
            return Ok(error);
        }
        self.record_name_taken(target, None, want)?;
        // It may have appeared since the listing that this reconcile rested on, so a new one is read. If that does not show it
        // either, this refusal is the result, without another call.
        let key = self.driver.key(want)?;
        self.list_again(target, &key.within).await;
        let message = error.to_string();
        self.remember(|m| m.refused_as_existing = Some((key, error)));
        Ok(Error::Conflict(message))
    }

    /// The target of a reference to another object of ours does exist: the operator waits until the account knows it
    /// everywhere, as it does if the kind knows better. An id that a user wrote may be wrong, and a name may mean another object since
    /// it was resolved.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.place()))
        });
        if self.bound().bound_as() == BoundAs::Managed {
            text += ", or delete this object if that was deleted in the account";
        }
        let patience = match error {
            Error::Rejected { patience, .. } => patience.or(found.then_some(NEW_REFERENCE)),
            _ => None,
        };
        Error::Rejected { reason: Reason::ReferenceNotFound, message: text, patience, about_object: true }
    }
}
