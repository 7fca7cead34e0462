//! The Kubernetes object under work, parsed as far as all kinds share it, with the findings of the reconcile so far.
//! [`super::record`] decides what is written of it, and when.

use std::time::Duration;

use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::engine::Engine;
use crate::engine::crd::{AnyStatus, EventReason, KIND, Note, ObjectName, Reason, created};
use crate::engine::error::{Error, Result};
use crate::engine::memory::Rank;

/// The object under work.
pub struct Subject {
    /// The Kubernetes object, as fresh as known.
    pub object: DynamicObject,
    /// Its type.
    pub resource: ApiResource,
    /// Its name.
    pub who: ObjectName,
    /// The status as it will be written; an unreadable one is an error, never a blank one, which would forget the id.
    pub status: Result<AnyStatus>,
    /// Events to publish.
    pub notes: Vec<Note>,
    /// How often to compare with the account.
    pub resync: Option<Duration>,
    /// When the shared reading that this reconcile rested on is due to be renewed, if there was one.
    pub due: Option<Duration>,
    /// The DatabricksAuth and all references exist and are ready.
    pub resolved: bool,
    /// It was released: there is nothing left to write to.
    pub released: bool,
    /// An interrupted create was resolved, and nothing was compared yet.
    pub recovered: bool,
    /// A change was accepted in this reconcile.
    pub sent: bool,
    /// Whether the object in the account is usable, if it was read; the inner `None` if it does not exist.
    pub usable: Option<Option<bool>>,
    /// Annotations hold a copy of its record.
    pub annotated: bool,
    /// Its status was written in this reconcile.
    pub written: bool,
    /// The id was just learnt: the status must be written whatever happens.
    pub must_record: bool,
    /// Its rank among those that claim the same.
    pub rank: Rank,
    /// It had no status yet.
    pub had_no_status: bool,
    /// When the reconcile began.
    pub begun: tokio::time::Instant,
}

impl Subject {
    /// Parses an object.
    pub fn new(engine: &Engine, object: &DynamicObject, kind: &str) -> Subject {
        let object = engine.cluster.objects.freshest(object);
        let status = match object.data.get("status") {
            None | Some(Value::Null) => Ok(AnyStatus::default()),
            Some(status) => serde_json::from_value(status.clone()).map_err(|e| {
                Error::terminal(
                    Reason::InvalidSpec,
                    format!("status cannot be read: {e}; restore it, or remove it with kubectl edit --subresource=status"),
                )
            }),
        };
        let rank = Rank { created: created(&object), uid: object.uid().unwrap_or_default() };
        Subject {
            had_no_status: status.as_ref().is_ok_and(|status: &AnyStatus| status.conditions.is_empty()),
            who: ObjectName {
                kind: kind.into(),
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
            },
            resource: engine.cluster.stores.resource(kind),
            object,
            status,
            notes: vec![],
            resync: engine.settings.resync,
            due: None,
            resolved: kind == KIND,
            released: false,
            sent: false,
            recovered: false,
            usable: None,
            annotated: kind != KIND,
            written: false,
            must_record: false,
            rank,
            begun: tokio::time::Instant::now(),
        }
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The spec.
    pub fn spec(&self) -> Value {
        self.object.data.get("spec").cloned().unwrap_or_else(|| json!({}))
    }

    /// Whether it is being deleted.
    pub fn deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// The status, to be changed.
    pub fn status_mut(&mut self) -> Result<&mut AnyStatus> {
        self.status.as_mut().map_err(|e| e.clone())
    }

    /// Adds an event.
    pub fn note(&mut self, warning: bool, reason: EventReason, text: impl Into<String>) {
        self.notes.push(Note { warning, reason, text: text.into() });
    }
}
