//! Events. They are written on transitions and on writes to the account only, never per retry, and a create and its success are one.
//!
//! kube's recorder puts the whole name of an object into the name of its event, which the API server refuses for long
//! names. It also continues to patch an event that a user has deleted. So there is a small one here.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::Instant;

use super::objects::FIELD_MANAGER;
use crate::clock;
use crate::databricks::plain;
use crate::engine::crd::{EventReason, Note, shorten};
use crate::engine::error::chain;

/// The longest time that a worker spends on one event.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest action that the API server accepts.
const LONGEST_ACTION: usize = 128;

/// The longest name of an object in Kubernetes.
const LONGEST_NAME: usize = 253;

/// An event that has not happened for this long is a new one when it happens again.
const SERIES: Duration = Duration::from_secs(360);

/// Old events are forgotten this often.
const FORGET: Duration = Duration::from_secs(60);

/// Writes events on behalf of the operator.
#[derive(Clone)]
pub struct Events {
    client: Client,
    recent: Arc<Mutex<Recent>>,
}

/// The events that may continue.
struct Recent {
    written: HashMap<Series, Written>,
    /// When old ones were last forgotten.
    forgot: Instant,
}

/// What events have in common that are counted as one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Series {
    uid: Option<String>,
    reason: &'static str,
    action: String,
}

/// The event of a series.
struct Written {
    name: String,
    count: i32,
    last: Instant,
}

impl Events {
    /// One for the process.
    pub fn new(client: Client) -> Events {
        Events { client, recent: Arc::new(Mutex::new(Recent::new())) }
    }

    /// Publishes notes about an object. An event that cannot be written is logged and otherwise ignored: events are news,
    /// the state is in the status.
    pub async fn publish(&self, object: &DynamicObject, kind: &ApiResource, notes: &[Note]) {
        let about = object.object_ref(kind);
        for note in joined(notes) {
            let error = match tokio::time::timeout(LIMIT, self.write(&about, &note)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => chain(&error),
                Err(_) => "the API server did not answer in time".to_owned(),
            };
            tracing::debug!(error, reason = note.reason.name(), "event not written");
        }
    }

    /// Writes an event, or counts it if it repeats.
    async fn write(&self, about: &ObjectReference, note: &Note) -> kube::Result<()> {
        let events = Api::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or_default());
        let series = Series { uid: about.uid.clone(), reason: note.reason.name(), action: action(note) };
        let continued = self.recent().continued(&series);
        if let Some((name, count)) = continued {
            match events.patch(&name, &params(), &Patch::Merge(&again(count))).await {
                // A user deleted it.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                counted => return counted.map(|_: Event| ()),
            }
        }
        let event = event(about, note, &series.action);
        let name = event.metadata.name.clone().unwrap_or_default();
        events
            .create(&PostParams { field_manager: params().field_manager, ..PostParams::default() }, &event)
            .await?;
        self.recent().written.insert(series, Written { name, count: 1, last: Instant::now() });
        Ok(())
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("no panic while held")
    }
}

impl Recent {
    fn new() -> Recent {
        Recent { written: HashMap::new(), forgot: Instant::now() }
    }

    /// The event that this one continues, with its new count.
    fn continued(&mut self, series: &Series) -> Option<(String, i32)> {
        // Not at each event: a thousand of them would walk through a thousand.
        if self.forgot.elapsed() >= FORGET {
            self.written.retain(|_, event| event.last.elapsed() < SERIES);
            self.forgot = Instant::now();
        }
        let event = self.written.get_mut(series).filter(|event| event.last.elapsed() < SERIES)?;
        event.count = event.count.saturating_add(1);
        event.last = Instant::now();
        Some((event.name.clone(), event.count))
    }
}

/// The notes of one reconcile, an event each. What was created and is ready at once is one: thousands of objects may be new together.
fn joined(notes: &[Note]) -> Vec<Note> {
    let mut all = notes.to_vec();
    let place = |of: EventReason| notes.iter().position(|note| note.reason == of);
    if let (Some(created), Some(ready)) = (place(EventReason::Created), place(EventReason::Ready)) {
        all[created].text = format!("{}; {}", notes[created].text, notes[ready].text);
        all.remove(ready);
    }
    all
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn again(count: i32) -> serde_json::Value {
    json!({"series": EventSeries { count, last_observed_time: MicroTime(clock::now()) }})
}

fn event(about: &ObjectReference, note: &Note, action: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            namespace: about.namespace.clone(),
            name: Some(event_name(about.name.as_deref().unwrap_or_default())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(clock::now())),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
        reason: Some(note.reason.name().into()),
        note: Some(shorten(&note.text, 1000)),
        // Events with equal action are counted as one series, whose text stays the first one's.
        action: Some(action.into()),
        regarding: Some(about.clone()),
        reporting_controller: Some(FIELD_MANAGER.into()),
        reporting_instance: Some(FIELD_MANAGER.into()),
        ..Event::default()
    }
}

/// A name that no other event has: that of the object, as far as there is room, and a random number.
fn event_name(object: &str) -> String {
    let unique = format!(".{:016x}", uuid::Uuid::new_v4().as_u64_pair().0);
    // Names are ASCII, and no part between two dots may end in a hyphen or be empty.
    let room = object.get(..LONGEST_NAME - unique.len()).unwrap_or(object);
    room.trim_end_matches(['.', '-']).to_owned() + &unique
}

/// What makes events one series. A difference in other fields, or another created object, is news of its own; failures are
/// one series by their reason, as their text may change from try to try.
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
            format!("{} {:016x}", shorten(&text, LONGEST_ACTION - 17), hash.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Covers OB-01. Old events are new ones when they happen again, and are not searched for at each event.
    #[tokio::test(start_paused = true)]
    async fn a_series_ends_in_time_and_is_forgotten_later() {
        let series = |action: &str| Series { uid: None, reason: "Ready", action: action.into() };
        let mut recent = Recent::new();
        let written = Written { name: "a".into(), count: 1, last: Instant::now() };
        recent.written.insert(series("old"), written);
        let wait = SERIES - Duration::from_secs(1);
        advance(wait).await;
        assert_eq!(recent.continued(&series("old")), Some(("a".into(), 2)));
        advance(wait).await;
        assert_eq!(recent.continued(&series("another")), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(recent.continued(&series("old")), None, "its time is over");
        assert_eq!(recent.written.len(), 1, "not walked through again so soon");
        advance(FORGET).await;
        assert_eq!(recent.continued(&series("another")), None);
        assert_eq!(recent.written.len(), 0);
    }

    /// Covers OB-01. The name of an event is unique, and the API server accepts it, however long the object's name is.
    #[test]
    fn an_event_has_a_name_of_its_own_that_is_not_too_long() {
        let long = "a".repeat(LONGEST_NAME);
        let (dotted, dashed) = (format!("{}.b", "a".repeat(235)), format!("{}--b", "a".repeat(234)));
        for object in ["office", &long, &dotted, &dashed, &long[..236], &long[..237]] {
            let (one, other) = (event_name(object), event_name(object));
            assert_ne!(one, other);
            assert!(one.len() <= LONGEST_NAME && one.starts_with(&object[..object.len().min(200)]), "{one}");
            assert!(one.split('.').all(|part| !part.is_empty() && !part.ends_with('-')), "{one}");
        }
        assert!(event_name("office").starts_with("office."));
    }

    /// Covers OB-01. What one reconcile creates and finds ready is news once, and it loses no word; what becomes ready later is news of
    /// its own.
    #[test]
    fn a_create_and_its_success_are_one_event() {
        let note = |reason, text: &str| Note { warning: false, reason, text: text.into() };
        let (created, ready) =
            (note(EventReason::Created, "created 7"), note(EventReason::Ready, "it matches"));
        let updated = note(EventReason::Updated, "label");
        let both = note(EventReason::Created, "created 7; it matches");
        for (notes, events) in [
            (vec![created.clone(), ready.clone()], vec![both.clone()]),
            (vec![updated.clone(), created.clone(), ready.clone()], vec![updated.clone(), both]),
            (vec![created.clone()], vec![created]),
            (vec![ready.clone()], vec![ready.clone()]),
            (vec![updated.clone(), ready.clone()], vec![updated, ready]),
            (vec![], vec![]),
        ] {
            assert_eq!(joined(&notes), events);
        }
    }

    /// Covers OB-01. An event of a second drift does not show the first one's fields, however long the lists are.
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
