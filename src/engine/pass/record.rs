//! What is written to the Kubernetes object in the course of a reconcile: its status, its finalizer and annotations. [`super::end`]
//! concludes with the last of these writes.

use super::conclude::begun;
use super::engine::Engine;
use super::outcome::Outcome;
use super::subject::Subject;
use crate::clock;
use crate::engine::cluster::RecordCopy;
use crate::engine::crd::{AUTH_KIND, Intent, Note, Reason, conditions, has_finalizer};
use crate::engine::error::{Error, Result};

impl Subject {
    /// Adds our finalizer, and what the annotations lack.
    pub async fn set_finalizer(&mut self, engine: &Engine) -> Result<()> {
        self.write_metadata(engine, true).await
    }

    async fn remove_finalizer(&mut self, engine: &Engine) -> Result<()> {
        self.write_metadata(engine, false).await
    }

    /// Writes what the annotations lack.
    pub async fn annotate(&mut self, engine: &Engine) -> Result<()> {
        let finalizer = has_finalizer(&self.object);
        self.write_metadata(engine, finalizer).await
    }

    /// Writes the finalizer, and the copy of the record in annotations. The status in memory stays as it is.
    async fn write_metadata(&mut self, engine: &Engine, finalizer: bool) -> Result<()> {
        let external = self.status.as_ref().ok().and_then(|status| status.external.as_ref());
        let annotated = self.who.kind != AUTH_KIND;
        // An object that is only observed is not ours, whatever the status says.
        let ours = external.filter(|external| annotated && !self.deleting() && !external.observed);
        let copy = ours.map(|external| RecordCopy {
            id: external.id.clone(),
            created_by: (!external.adopted).then(|| engine.mark(&self.who)),
            written: self.written,
        });
        engine
            .cluster
            .objects
            .write_metadata(&self.resource, &mut self.object, finalizer, copy.as_ref())
            .await
    }

    /// Writes the status in memory, fenced by the resourceVersion: a stale view fails here.
    pub async fn write_status(&mut self, engine: &Engine) -> Result<()> {
        let generation = self.object.metadata.generation.unwrap_or_default();
        let status = self.status.as_mut().map_err(|e| e.clone())?;
        if status.conditions.is_empty() {
            // An intent may be the first thing that is written; conditions exist from the first write on.
            status.conditions = conditions(&[], &begun(), generation, clock::now());
        }
        let value = serde_json::to_value(status)
            .map_err(|_| Error::terminal(Reason::InternalError, "the status cannot be written as JSON"))?;
        if engine.cluster.objects.write_status(&self.resource, &mut self.object, &value).await? {
            engine.meter.of(&self.who.kind).status_written();
            self.written = true;
        }
        Ok(())
    }

    /// Announces a create before it is sent. If that fails, nothing is sent; if the status was written after all, the next
    /// write is stale and the next reconcile sees it. What was announced before stays, as it may have had an effect.
    pub async fn announce(&mut self, engine: &Engine, intent: Intent) -> Result<()> {
        let before = self.status_mut()?.intent.replace(intent);
        let written = self.write_status(engine).await;
        if written.is_err() {
            self.status_mut()?.intent = before;
        }
        written
    }

    /// The announced create certainly has no effect. `open` is what was announced before and is still in doubt.
    pub fn withdraw(&mut self, engine: &Engine, open: Option<Intent>) -> Result<()> {
        let is_open = open.is_some();
        let withdrawn = std::mem::replace(&mut self.status_mut()?.intent, open);
        engine.memory.objects.of(&self.uid(), |memory| memory.withdraw_create(withdrawn, is_open));
        Ok(())
    }

    /// Releases the Kubernetes object.
    pub async fn release(&mut self, engine: &Engine, note: Option<Note>) -> Result<Outcome> {
        if has_finalizer(&self.object) {
            self.remove_finalizer(engine).await?;
            if let Some(asked) = &self.object.metadata.deletion_timestamp {
                engine.meter.of(&self.who.kind).released(asked.0);
            }
            self.notes.extend(note);
        }
        self.released = true;
        Ok(Outcome::Rest)
    }
}
