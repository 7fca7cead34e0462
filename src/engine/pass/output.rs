//! The secret that a create returns: from the response into a Kubernetes Secret. [`super::decide`] says when; [`super::act`] in which order.
//!
//! No secret is in what is logged, shown or remembered here: it goes from the response into the Secret, and is dropped.

use tokio::time::Instant;

use super::decide::Issue;
use super::look::Look;
use super::outcome::Outcome;
use super::subject::Counted;
use super::undo::take_back;
use super::work::{Target, Work};
use crate::clock;
use crate::engine::account::Rows;
use crate::engine::cluster::{Content, Held, NotFilled, OutputSecret, Reserved};
use crate::engine::crd::{EventReason, Reason, age};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{New, Output, Seen};
use crate::engine::meter::Write;

impl Work<'_> {
    /// Where the secret goes; none for a kind without one.
    pub fn output(&self) -> Result<Option<Output>> {
        if self.driver.traits().issues { self.driver.output(&self.subject.spec()) } else { Ok(None) }
    }

    fn at<'a>(&'a self, output: &'a Output) -> OutputSecret<'a> {
        OutputSecret {
            client: self.engine.cluster.objects.client(),
            resource: &self.subject.resource,
            owner: &self.subject.object,
            name: &output.secret_name,
            key: output.key,
        }
    }

    /// The Kubernetes Secret as it is now, if what is to be done depends on it. From now on a change of it triggers the object.
    pub async fn read_held(&self) -> Result<Option<Held>> {
        if !self.driver.traits().issues {
            return Ok(None);
        }
        // One that only observes binds what an interrupted create has put there.
        let manages = !self.observing() || self.bound().intent.is_some();
        let needed = !self.subject.deleting() && manages;
        let mut output = if needed { self.output()? } else { None };
        // What an interrupted create has created is where it was to go, whatever the spec says by now.
        if let (Some(output), Some(name)) = (&mut output, self.bound().intent.and_then(|it| it.secret_name)) {
            output.secret_name = name;
        }
        let name = output.as_ref().map(|output| output.secret_name.as_str());
        let (watches, who) = (self.engine.outputs(), &self.subject.who);
        watches.watch(who, name);
        let Some(output) = output else { return Ok(None) };
        let held = self.at(&output).read().await?;
        if let Held::Own(reserved) = &held {
            watches.knows(who, &output.secret_name, reserved.version.clone());
        }
        Ok(Some(held))
    }

    /// What is known of the secret, for a kind with one. While deleting, the spec may be unreadable.
    pub fn issue(&self, look: &Look) -> Result<Option<Issue>> {
        if !self.driver.traits().issues {
            return Ok(None);
        }
        let output = match self.output() {
            Ok(output) => output.unwrap_or_default(),
            Err(_) if self.subject.deleting() => Output::default(),
            Err(error) => return Err(error),
        };
        Ok(Some(Issue {
            output,
            held: look.held.clone(),
            retired: self.subject.status()?.retired.clone(),
            refilled: self.remember(|m| m.refilled).map(|at| at.elapsed()),
            renewed: self.remember(|m| m.renewed.clone()),
            created: self.bound().created_at(),
            now: clock::now(),
        }))
    }

    /// Reserves the Kubernetes Secret: before anything is created, it is there, and the object's own.
    pub async fn reserve(&self) -> Result<Option<Reserved>> {
        if !self.driver.traits().issues {
            return Ok(None);
        }
        let Some(output) = self.output()? else {
            let text = "spec.secretName is needed to create the secret: set it";
            return Err(Error::terminal(Reason::InvalidSpec, text));
        };
        let reserved = self.at(&output).reserve().await?;
        self.engine.outputs().knows(&self.subject.who, &output.secret_name, reserved.version.clone());
        Ok(Some(reserved))
    }

    /// The ids of all objects of the parent, of whatever user, read now: none of them is the result of a create that follows.
    pub async fn all_within(&self, target: &Target, within: &str) -> Result<Vec<String>> {
        let snapshots = &target.place.admission.session.snapshots;
        let ids = |rows: &Rows<'_>| rows.all().map(|seen| seen.id.clone()).collect();
        snapshots.look(self.driver, &target.place.reader, within, Instant::now(), ids).await
    }

    /// Puts the secret of a response into the Kubernetes Secret. If that fails the secret is lost, so what was created is deleted
    /// at once; if that fails too, or the secret may be in the Kubernetes Secret after all, the intent stays, by which it is found.
    pub async fn keep_secret(&mut self, target: &Target, reserved: Reserved, new: &mut New) -> Result<()> {
        let Some(output) = self.output()? else { return Ok(()) };
        let failed = match new.secret.take() {
            None => Error::retry("the response of Databricks to a create holds no secret"),
            Some(secret) => {
                let renewal = output.renewal.as_deref();
                let content = Content { id: &new.id, renewal, secret: &secret };
                let refills = self.subject.recorded_id().is_some_and(|id| reserved.id.as_deref() != Some(id));
                let permit = || self.engine.permit().holds();
                match self.at(&output).fill(reserved, &content, permit).await {
                    Ok(version) => {
                        self.engine.outputs().knows(&self.subject.who, &output.secret_name, version);
                        self.remember(|m| {
                            m.refilled = refills.then(Instant::now).or(m.refilled);
                            m.renewed.clone_from(&output.renewal);
                        });
                        return Ok(());
                    }
                    Err(NotFilled::Unknown(error)) => {
                        let text = "it is not known yet whether the Secret holds the new secret";
                        return Err(Error::Unknown { message: format!("{text}, {}: {error}", new.id) });
                    }
                    Err(NotFilled::Overtaken) => Error::Conflict("another operator wrote the Secret".into()),
                    Err(NotFilled::Failed(error)) => error,
                }
            }
        };
        tracing::warn!(external_id = new.id, error = %failed, "a secret could not be kept; deleting it in the account");
        match take_back(self.driver, &self.own_writer(target), new).await {
            Ok(()) => {
                self.engine.meter.of(&self.subject.who.kind).wrote(Write::Delete);
                self.withdraw(None)?;
                Err(failed)
            }
            Err(error) => Err(Error::Unknown {
                message: format!(
                    "{failed}; the secret {} in the account cannot be deleted yet: {error}",
                    new.id
                ),
            }),
        }
    }

    /// Deletes a secret that was replaced, or whose value was lost: never the present one.
    pub async fn discard(&mut self, target: &Target, id: &str) -> Result<Outcome> {
        if self.subject.recorded_id() == Some(id) {
            return Err(Error::terminal(Reason::InternalError, "the present secret would be deleted"));
        }
        if self.subject.deleting() {
            if let Some(blocked) = self.foreign_finalizer() {
                return Ok(blocked);
            }
            self.unchanged().await?;
        }
        let within = self.driver.within(id)?;
        match self.driver.get(&target.place.reader, id).await? {
            Some(seen) => self.discard_seen(target, &seen).await?,
            None => self.surely_gone(target, &within, id).await?,
        }
        target.place.admission.session.snapshots.remove(self.driver, &within, id).await;
        self.subject.status_mut()?.retired.retain(|one| one.id != id);
        self.subject.recovered = true;
        Ok(Outcome::Again)
    }

    /// A read does not show it, and may lag behind: a lost secret was just in a LIST, and a former one may have been created a moment
    /// ago.
    async fn surely_gone(&self, target: &Target, within: &str, id: &str) -> Result<()> {
        let status = self.subject.status()?;
        let lag = self.lag().shown_within;
        let recent = status.retired.iter().any(|one| one.id == id && age(one.since.0, clock::now()) < lag);
        if status.intent.is_none() && !recent {
            return Ok(());
        }
        target.place.admission.session.snapshots.forget(self.driver, within).await;
        Err(Error::retry(format!(
            "the account does not show the secret {id} at present, and its reads may lag behind: reading again before it counts as gone"
        )))
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
            let why = if lost { "whose value was lost" } else { "which was replaced" };
            self.subject.note(false, EventReason::Deleted, format!("deleted the secret {id}, {why}"));
        } else if lost {
            return Err(Error::retry(format!("waiting until the account no longer shows the secret {id}")));
        }
        Ok(())
    }

    /// Whether a former secret is one of this object: a record is no proof by itself. It has the mark, and the parent of the present
    /// one.
    fn was_ours(&self, target: &Target, seen: &Seen) -> Result<bool> {
        let present = self.subject.recorded_id().map(|id| self.driver.within(id)).transpose()?;
        let beside = present.is_none_or(|parent| self.driver.within(&seen.id).is_ok_and(|own| own == parent));
        Ok(beside && self.recognised(target, seen)?)
    }
}
