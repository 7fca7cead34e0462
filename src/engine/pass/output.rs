//! The secret that a create returns, on its way to a Kubernetes Secret. [`super::decide`] says when; [`super::act`] in which order.
//!
//! No secret is in what is logged, shown or remembered here: it goes from the response into the Secret, and is dropped.

use k8s_openapi::jiff::Timestamp;

use super::decide::Issue;
use super::hops::take_back;
use super::look::Look;
use super::work::{Target, Work};
use crate::engine::cluster::{Content, Held, NotFilled, OutputSecret, Reserved};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{New, Output};

impl Work<'_> {
    /// Where the secret goes; none for a kind without one.
    fn output(&self) -> Result<Option<Output>> {
        if self.driver.traits().issues { self.driver.output(&self.subject.spec()) } else { Ok(None) }
    }

    fn place<'a>(&'a self, output: &'a Output) -> OutputSecret<'a> {
        OutputSecret {
            client: self.engine.cluster.objects.client(),
            resource: &self.subject.resource,
            owner: &self.subject.object,
            name: &output.secret_name,
            key: output.key,
        }
    }

    /// The Kubernetes Secret as it is now, if what is to be done depends on it.
    pub async fn held(&self) -> Result<Option<Held>> {
        if self.subject.deleting() || self.observing() {
            return Ok(None);
        }
        match self.output()? {
            Some(output) => self.place(&output).read().await.map(Some),
            None => Ok(None),
        }
    }

    /// What is known of the secret, for a kind with one. While deleting, the spec may be unreadable.
    pub fn issue(&self, look: &Look) -> Result<Option<Issue>> {
        let output = match self.output() {
            Ok(None) => return Ok(None),
            Ok(Some(output)) => output,
            Err(_) if self.subject.deleting() => Output::default(),
            Err(error) => return Err(error),
        };
        Ok(Some(Issue {
            output,
            held: look.held.clone(),
            retired: self.subject.status()?.retired.clone(),
            created: self.bound().created_at(),
            now: Timestamp::now(),
        }))
    }

    /// Reserves the Kubernetes Secret: before anything is created, it is there, and ours.
    pub async fn reserve(&self) -> Result<Option<Reserved>> {
        match self.output()? {
            Some(output) => self.place(&output).reserve().await.map(Some),
            None => Ok(None),
        }
    }

    /// The ids of all objects of the parent, of whatever user: none of them is the result of a create that follows.
    pub async fn all_within(&self, target: &Target, within: &str) -> Result<Vec<String>> {
        let all = self.driver.list(&target.place.reader, within).await?;
        Ok(all.into_iter().map(|seen| seen.id).collect())
    }

    /// Puts the secret of a response into the Kubernetes Secret. If that fails the secret is lost, so what was created is deleted
    /// at once; if that fails too, the intent stays, by which it is found.
    pub async fn keep_secret(&mut self, target: &Target, reserved: Reserved, new: &mut New) -> Result<()> {
        let Some(output) = self.output()? else { return Ok(()) };
        let failed = match new.secret.take() {
            None => Error::retry("the response of Databricks to a create holds no secret"),
            Some(secret) => {
                let renewal = output.renewal.as_deref();
                let content = Content { id: &new.id, renewal, secret: &secret };
                match self.place(&output).fill(reserved, &content).await {
                    Ok(()) => return Ok(()),
                    Err(NotFilled::Overtaken) => Error::Conflict("another operator wrote the Secret".into()),
                    Err(NotFilled::Failed(error)) => error,
                }
            }
        };
        tracing::warn!(external_id = new.id, error = %failed, "a secret could not be kept; deleting it in the account");
        match take_back(self.driver, &target.place.writer, new).await {
            Ok(()) => {
                self.subject.status_mut()?.intent = None;
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
}
