//! Events. They are written on transitions and on writes to the account only, never per retry.

use kube::core::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, core::ApiResource};

use super::conclude::Note;

/// No event is worth more of a worker's time.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Writes events on behalf of the operator.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// One for the process.
    pub fn new(client: Client) -> Events {
        let reporter = Reporter { controller: "databricks-operator".into(), instance: None };
        Events { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes notes about an object. An event that cannot be written is logged and otherwise ignored: events are news,
    /// the state is in the status.
    pub async fn publish(&self, object: &DynamicObject, kind: &ApiResource, notes: &[Note]) {
        let reference = object.object_ref(kind);
        for note in notes {
            let event = Event {
                type_: if note.warning { EventType::Warning } else { EventType::Normal },
                reason: note.reason.into(),
                note: Some(super::status::shorten(&note.text, 1000)),
                // Events with equal action are counted as one series, whose text is the first one's. Which fields changed,
                // or why something stalled, is news of its own, so it is part of the action.
                action: action(note),
                secondary: None,
            };
            let published = tokio::time::timeout(LIMIT, self.recorder.publish(&event, &reference)).await;
            if !matches!(published, Ok(Ok(()))) {
                let error =
                    published.err().map(|_| "time-out".to_owned()).unwrap_or_else(|| "refused".into());
                tracing::debug!(object = %object.metadata.name.as_deref().unwrap_or(""), %error, "event not written");
            }
        }
    }
}

fn action(note: &Note) -> String {
    match note.reason {
        "Updated" | "DriftCorrected" => super::status::shorten(&note.text, 128),
        "Stalled" | "DeletionBlocked" => note.text.split(':').next().unwrap_or_default().into(),
        _ => "Reconcile".into(),
    }
}
