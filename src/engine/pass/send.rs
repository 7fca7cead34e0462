//! One change in the account: the call, and what its failure means. Reads the object under work; [`super::act`] puts what comes
//! of it on the object.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::bound::Record;
use super::decide::{fields_now, words};
use super::work::{Target, Work};
use crate::databricks::Urgency;
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{NEW_REFERENCE, Seen, Wanted};

/// A change that was accepted.
pub struct Sent {
    /// The object in the response.
    pub shown: Seen,
    /// The state that was sent.
    pub state: Value,
}

impl Work<'_> {
    /// Why a create failed. Whether it was carried out is known: it was not.
    pub async fn not_created(&self, target: &Target, want: &Value, error: Error) -> Result<Error> {
        if error.is_rejected(Reason::ReferenceNotFound) {
            // A principal that was created again has another id.
            target.place.admission.session.forget_principals();
            return Ok(self.about_references(&error));
        }
        if !error.is_rejected(Reason::AlreadyExists) {
            return Ok(error);
        }
        self.name_taken(target, None, want)?;
        // It may have appeared since the listing that this reconcile rested on, so a new one is read. If that does not show it
        // either, this refusal is the result, without another call.
        target.place.admission.session.snapshots.forget(self.driver, &self.driver.key(want)?.within).await;
        let message = error.to_string();
        self.remember(|m| m.exists = Some(error));
        Ok(Error::Conflict(message))
    }

    /// The target of a reference to another object of ours does exist: the operator waits until the account knows it
    /// everywhere. An id that a user wrote may be wrong, and a name may mean another object since it was resolved.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.field))
        });
        if self.bound().record() == Record::Bound {
            text += ", or delete this object if that was deleted in the account";
        }
        let error = Error::rejected(Reason::ReferenceNotFound, text);
        if found { error.patient(NEW_REFERENCE) } else { error }
    }

    /// Before something lost is written again under a name, the name must still mean the same principal. A group that was
    /// deleted and created again must not inherit the access of the old one.
    pub async fn same_principals(&self, target: &Target) -> Result<()> {
        let status = self.subject.status()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = &status.resolved_refs;
        for need in self.driver.needs(&self.subject.spec())? {
            let Wanted::Principal(name) = &need.what else { continue };
            let now = target.place.admission.session.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was created for: delete this \
                     object and apply it again if that is meant"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    /// A change does not find what a read shows. The object is gone, or a replica lags: a new read decides. If that shows it and
    /// a change still does not find it, this is a refusal like any other. It is not final while reads may lag.
    /// Other errors stay what they are.
    pub async fn not_found(
        &self,
        target: &Target,
        seen: &Seen,
        fields: &[String],
        error: Error,
    ) -> Result<Error> {
        if !error.is_rejected(Reason::ExternalResourceMissing) {
            return Ok(error);
        }
        let within = self.driver.key(&seen.state)?.within;
        target.place.admission.session.snapshots.forget(self.driver, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but answers the change of {fields} as if there were none: {error}; the change is \
             tried again. If this lasts, check the object in the account console: change it there, or undo the change in the spec, \
             and ask the support of Databricks",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.lag().read))
    }

    /// The update itself. If objects exchange their names, each refused because another has the name, one of them steps
    /// aside: it gets everything except its name, under which the next comparison finds it different.
    pub async fn send_update(
        &self,
        target: &Target,
        seen: &Seen,
        want: &Value,
        fields: &[String],
    ) -> Result<Sent> {
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        let refused = match self.driver.update(&target.place.writer, seen, want, &now).await {
            Err(error) if error.is_rejected(Reason::AlreadyExists) => error,
            updated => return updated.map(|shown| Sent { shown, state: want.clone() }),
        };
        if !self.name_taken(target, Some(seen), want)? {
            return Err(refused);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Err(refused) };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let shown = self.driver.update(&target.place.writer, seen, &aside, &fields).await?;
        Ok(Sent { shown, state: aside })
    }

    /// The deletion itself. Returns whether it was accepted; if not, the object is gone already.
    pub async fn send_delete(&self, target: &Target, id: &str) -> Result<bool> {
        match self.driver.delete(&target.place.writer, id).await {
            Ok(()) => Ok(true),
            // A replica that lags behind may not know it yet, and then nothing was deleted.
            Err(error) if error.is_rejected(Reason::ExternalResourceMissing) => {
                self.unseen(id).map_or(Ok(false), Err)
            }
            // Most often a dependent in the account: the operator waits for it.
            Err(error) if error.is_rejected(Reason::ApplyFailed) => {
                Err(Error::waiting(Reason::ApplyFailed, error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Why the account may not show an object yet whose deletion was requested.
    fn unseen(&self, id: &str) -> Option<Error> {
        let created = self.bound().created_at()?;
        let called = format!("{} {id}", self.subject.who.kind);
        let deleting = self.subject.deleting();
        self.lag().may_be_unseen(&called, created, Timestamp::now(), Duration::ZERO, deleting)
    }

    /// Databricks says that the name is taken: its holder may give it up soon, so this object waits. Returns whether that
    /// holder waits for our name, directly or through others.
    fn name_taken(&self, target: &Target, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = target.place.admission.session.client.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.memory.claims.name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// Objects that lost against this one try again: it may have given up what they want.
    pub fn wake_losers(&self) {
        let memory = &self.engine.memory;
        memory.claims.losers(&self.subject.who).iter().for_each(|who| memory.wake.wake(who));
    }

    /// A name may be free by now: the objects that wait for one of this kind retry.
    pub fn name_freed(&self, target: &Target, seen: &Seen) -> Result<()> {
        let account = target.place.admission.session.client.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.memory.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.memory.wake.wake(who));
        Ok(())
    }
}

/// Whether an update certainly changed nothing. The response to it is read too, which may fail after it changed something.
pub fn refuses(error: &Error) -> bool {
    match error {
        // Nothing was sent.
        Error::Fenced => true,
        Error::Rejected { read, .. } => !read,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}
