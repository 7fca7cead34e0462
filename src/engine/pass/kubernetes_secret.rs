//! The Kubernetes Secret that a secret of the account goes to: it is read, reserved before a create, and filled from the response.
//! [`super::decide`] says when, [`super::create`] in which order; [`super::rotate`] deletes former secrets in the account.
//!
//! The object in the account may be the secret itself, or have a secret of its own, see [`Issues`]. Both are reserved and filled alike, and
//! what a response to our own create names is deleted if its secret cannot be kept: no user ever had that. They differ once a response is
//! lost. A secret gets a successor. An object that only has one is bound without it, and a person decides: whatever shows that the object is
//! the result of that create, its name and its time, may also be true of one that another client created in the same minutes and whose
//! secret that client has, and a new object has another id, which its users must learn.
//!
//! No secret is in what is logged, shown or remembered here: it goes from the response into the Secret, and is dropped.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secrecy::SecretString;
use tokio::time::Instant;

use super::decide::IssuedSecret;
use super::reading::Reading;
use super::undo::take_back;
use super::work::{Target, Work};
use crate::clock;
use crate::engine::cluster::{Content, Held, NotFilled, OutputSecret, Reserved};
use crate::engine::crd::{Reason, Retired};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Issues, New, Output};
use crate::engine::meter::Write;

impl Work<'_> {
    /// Where the secret goes; none for a kind without one, and for an object that is managed without its secret.
    pub fn secret_output(&self) -> Result<Option<Output>> {
        match self.driver.traits().issues {
            Issues::Nothing => Ok(None),
            Issues::Secret | Issues::WithSecret => self.driver.output(&self.subject.spec()),
        }
    }

    fn kubernetes_secret<'a>(&'a self, output: &'a Output) -> OutputSecret<'a> {
        OutputSecret {
            client: self.engine.cluster.objects.client(),
            resource: &self.subject.resource,
            owner: &self.subject.object,
            name: &output.secret_name,
            key: output.key,
        }
    }

    /// The Kubernetes Secret as it is now, if what is to be done depends on it. From now on a change of it triggers the object.
    pub async fn read_output_secret(&self) -> Result<Option<Held>> {
        if self.driver.traits().issues == Issues::Nothing {
            return Ok(None);
        }
        // One that only observes binds what an interrupted create has put there.
        let manages = !self.read_only() || self.bound().intent.is_some();
        let needed = !self.subject.deleting() && manages;
        let mut spec = self.subject.spec();
        // What an interrupted create has created is where it was to go, whatever the spec says by now, or if it names no Secret.
        if let Some(name) = self.bound().intent.and_then(|it| it.secret_name) {
            spec["secretName"] = name.into();
        }
        let output = if needed { self.driver.output(&spec)? } else { None };
        let name = output.as_ref().map(|output| output.secret_name.as_str());
        let (watches, who) = (self.engine.secrets(), &self.subject.who);
        watches.watch(who, name);
        let Some(output) = output else { return Ok(None) };
        let held = self.kubernetes_secret(&output).read().await?;
        if let Held::Own(reserved) = &held {
            watches.knows(who, &output.secret_name, reserved.version.clone());
        }
        Ok(Some(held))
    }

    /// What is known of the secret, for an object with one. While deleting, the spec may be unreadable.
    pub fn issued_secret(&self, reading: &Reading) -> Result<Option<IssuedSecret>> {
        let output = match self.secret_output() {
            Ok(output) => output,
            Err(_) if self.subject.deleting() => None,
            Err(error) => return Err(error),
        };
        let is_secret = self.driver.traits().are_secrets();
        // What is a secret has one, whatever the spec says.
        let Some(output) = output.or_else(|| is_secret.then(Output::default)) else { return Ok(None) };
        let now = clock::now();
        // A clock that was set since neither ends an overlap nor lengthens it.
        let since = |one: &Retired| now.checked_sub(self.retired_for(one)).map_or(one.since.clone(), Time);
        let retired = self.subject.status()?.retired.iter();
        Ok(Some(IssuedSecret {
            output,
            without_successor: !is_secret,
            held: reading.output_secret.clone(),
            retired: retired.map(|one| Retired { since: since(one), ..one.clone() }).collect(),
            refilled: self.remember(|m| m.refilled).map(|at| at.elapsed()),
            renewed: self.remember(|m| m.renewed.clone()),
            created: self.bound().created_at(),
            now,
        }))
    }

    /// How long ago a secret was replaced.
    pub fn retired_for(&self, one: &Retired) -> Duration {
        self.remember(|m| m.sightings.age_of(&one.id, one.since.0, clock::now()).whole)
    }

    /// Reserves the Kubernetes Secret: before anything is created, it is there, and the object's own.
    pub async fn reserve(&self) -> Result<Option<Reserved>> {
        let Some(output) = self.secret_output()? else {
            if !self.driver.traits().are_secrets() {
                return Ok(None);
            }
            let text = "spec.secretName is needed to create the secret: set it";
            return Err(Error::terminal(Reason::InvalidSpec, text));
        };
        let reserved = self.kubernetes_secret(&output).reserve().await?;
        self.engine.secrets().knows(&self.subject.who, &output.secret_name, reserved.version.clone());
        Ok(Some(reserved))
    }

    /// Puts the secret of a response into the Kubernetes Secret. If that fails the secret is lost, so what was created is deleted
    /// at once; if that fails too, or the secret may be in the Kubernetes Secret after all, the intent stays, by which it is found.
    pub async fn keep_secret(&mut self, target: &Target, reserved: Reserved, new: &mut New) -> Result<()> {
        let Some(output) = self.secret_output()? else { return Ok(()) };
        let failed = match new.secret.take() {
            None => Error::retry("the response of Databricks to a create holds no secret"),
            Some(secret) => match self.fill(&output, reserved, new, &secret).await {
                Ok(()) => return Ok(()),
                Err(NotFilled::Unknown(error)) => {
                    let text = "it is not known yet whether the Secret holds the new secret";
                    return Err(Error::Unknown { message: format!("{text}, {}: {error}", new.id) });
                }
                Err(NotFilled::Overtaken) => Error::Conflict("another operator wrote the Secret".into()),
                Err(NotFilled::Failed(error)) => error,
            },
        };
        tracing::warn!(external_id = new.id, error = %failed, "a secret could not be kept; deleting what was created in the account");
        match take_back(self.driver, &self.own_writer(target), new).await {
            Ok(()) => {
                self.engine.meter.of(&self.subject.who.kind).wrote(Write::Delete);
                self.subject.withdraw(self.engine, None)?;
                Err(failed)
            }
            Err(error) => Err(Error::Unknown {
                message: format!(
                    "{failed}; what was created in the account, {}, cannot be deleted at present: {error}",
                    new.id
                ),
            }),
        }
    }

    async fn fill(
        &self,
        output: &Output,
        reserved: Reserved,
        new: &New,
        secret: &SecretString,
    ) -> Result<(), NotFilled> {
        let refills = self.has_lost_secret(&reserved);
        let (renewal, beside) = (output.renewal.as_deref(), new.beside.as_ref());
        let content = Content { id: &new.id, renewal, secret, beside };
        let permit = || self.engine.permit().holds();
        let version = self.kubernetes_secret(output).fill(reserved, &content, permit).await?;
        self.engine.secrets().knows(&self.subject.who, &output.secret_name, version);
        self.remember(|m| {
            m.refilled = refills.then(Instant::now).or(m.refilled);
            m.renewed.clone_from(&output.renewal);
        });
        Ok(())
    }

    /// Whether the Kubernetes Secret has lost the present secret. One that the spec names only now has lost nothing.
    fn has_lost_secret(&self, reserved: &Reserved) -> bool {
        let observed = self.subject.status.as_ref().ok().map(|status| status.observed_generation);
        let same_spec = observed == self.subject.object.metadata.generation;
        same_spec && self.subject.recorded_id().is_some_and(|id| reserved.id.as_deref() != Some(id))
    }
}
