//! Events. They are written on transitions and on writes to the account only, never per retry.

use std::hash::{DefaultHasher, Hash, Hasher};

use kube::core::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, core::ApiResource};

use super::conclude::Note;
use super::reason::EventReason;
use crate::databricks::plain;

/// No event is worth more of a worker's time.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);
/// What the API server takes.
const LONGEST_ACTION: usize = 128;

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
                reason: note.reason.name().into(),
                note: Some(super::status::shorten(&note.text, 1000)),
                // Events with equal action are counted as one series, whose text stays the first one's.
                action: action(note),
                secondary: None,
            };
            let published = tokio::time::timeout(LIMIT, self.recorder.publish(&event, &reference)).await;
            if !matches!(published, Ok(Ok(()))) {
                let error =
                    published.err().map(|_| "time-out".to_owned()).unwrap_or_else(|| "refused".into());
                tracing::debug!(%error, "event not written");
            }
        }
    }
}

/// What makes events one series. Which fields differ, or which object was made, is news of its own; of failures only the
/// reason is, as their words may change from try to try.
fn action(note: &Note) -> String {
    match note.reason {
        EventReason::Stalled | EventReason::DeletionBlocked => {
            note.text.split(':').next().unwrap_or_default().into()
        }
        reason if note.warning && reason != EventReason::DriftDetected => "Reconcile".into(),
        _ => {
            let text = plain(&note.text);
            if text.len() <= LONGEST_ACTION {
                return text;
            }
            // Two long lists of fields may begin alike.
            let mut hash = DefaultHasher::new();
            text.hash(&mut hash);
            format!("{} {:016x}", super::status::shorten(&text, LONGEST_ACTION - 17), hash.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers OB-01. What is told of a second drift is not the first one's fields, however long the lists are.
    #[test]
    fn events_about_other_fields_are_no_series() {
        let drift =
            |text: &str| Note { warning: false, reason: EventReason::DriftCorrected, text: text.into() };
        assert_eq!(action(&drift("label, enabled")), "label, enabled");
        let long = "aField, ".repeat(30);
        let (one, other) = (action(&drift(&(long.clone() + "one"))), action(&drift(&(long + "other"))));
        assert_ne!(one, other);
        assert!(one.len() <= LONGEST_ACTION && other.len() <= LONGEST_ACTION, "{one}");
        let seen =
            Note { warning: true, reason: EventReason::DriftDetected, text: "differs in label".into() };
        assert_eq!(action(&seen), "differs in label");
    }

    /// Covers OB-01.
    #[test]
    fn the_same_failure_in_other_words_is_one_series() {
        for (reason, one, other) in [
            (EventReason::RateLimited, "for 3 s", "for 4 s"),
            (EventReason::Stalled, "InvalidSpec: label", "InvalidSpec: listType"),
        ] {
            let failure = |text: &str| action(&Note { warning: true, reason, text: text.into() });
            assert_eq!(failure(one), failure(other));
        }
    }
}
