//! What is remembered of each object from one reconcile to the next. All of it may be lost.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::last_change::LastChange;
use super::sightings::{Age, Sightings};
use crate::engine::crd::{Intent, Reason};
use crate::engine::error::Error;
use crate::engine::kind::Key;

/// What is remembered of an object.
#[derive(Clone, Debug, Default)]
pub struct ObjectMemory {
    /// Failures or waits in a row.
    pub attempts: u32,
    /// The generation whose status the last reconcile could not write.
    pub unwritten: Option<i64>,
    /// The refusal that the last reconciles ended with.
    pub refusal: Option<Refusal>,
    /// Since when the object in the account has been absent.
    pub absent_since: Option<Instant>,
    /// When our delete was accepted last.
    pub delete_accepted: Option<Instant>,
    /// When our delete last ended with an unknown result.
    pub delete_in_doubt: Option<Instant>,
    /// Since when the account refuses its deletion, as something there uses it.
    pub in_use_since: Option<Instant>,
    /// Databricks refused a create under this key because the object exists already, although no LIST had shown it.
    pub refused_as_existing: Option<(Key, Error)>,
    /// A create that was announced and certainly had no effect: it was not sent, was refused, or was undone. The
    /// status may still show it, if the write that removes it was lost; it is not in doubt then.
    pub without_effect: Option<Intent>,
    /// The last create that this process announced and sent.
    pub announced: Option<Announced>,
    /// A create in doubt that was found in the status.
    pub interrupted: Option<Announced>,
    /// When the last create ended whose result is unknown: it may still have its effect.
    pub create_in_doubt: Option<Instant>,
    /// When this process created the object in the account.
    pub created: Option<Instant>,
    /// When it was polled last while it was in transition in the account.
    pub polled: Option<Instant>,
    /// The response to a change was that there is no such object, although a read had shown it.
    pub not_found: bool,
    /// The last change that was sent to it.
    pub change: LastChange,
    /// The last request for a reconcile, and when it was first seen, see [`ObjectMemory::note_request`].
    pub requested: Option<(String, Instant)>,
    /// It has not been Ready yet since this process saw it without any status.
    pub awaiting_first_ready: bool,
    /// When its Kubernetes Secret, which had lost its secret, was filled last.
    pub refilled: Option<Instant>,
    /// The renewal that its Kubernetes Secret was filled for last.
    pub renewed: Option<String>,
    /// A hash of what its ConfigMap has, and of the name of that.
    pub config_map_hash: Option<u64>,
    /// When this process last wrote its ConfigMap because another client had changed it.
    pub config_map_contested: Option<Instant>,
    /// Its drift was counted.
    pub drifted: bool,
    /// What the account has on the list of this object and the object does not list.
    pub sightings: Sightings,
}

/// A create that may be in doubt. From the moment that this process knows of it, its age does not depend on the wall clock, which may
/// be set.
#[derive(Clone, Debug)]
pub struct Announced {
    /// The announcement.
    pub intent: Intent,
    /// Since when this process has known of it.
    pub since: Instant,
    /// How old it was then.
    pub age: Duration,
}

/// A refusal that repeats.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For which `metadata.generation`.
    pub generation: i64,
    /// Since when.
    pub since: Instant,
    /// How often.
    pub tries: u32,
}

/// What is remembered of all objects, by UID.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<HashMap<String, ObjectMemory>>);

impl Remembered {
    /// Reads or changes what is remembered of an object.
    pub fn of<T>(&self, uid: &str, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        let mut all = self.0.lock().expect("no panic while held");
        match all.get_mut(uid) {
            Some(memory) => f(memory),
            None => f(all.entry(uid.to_owned()).or_default()),
        }
    }

    /// The last change that was sent, and when a delete was accepted last, or ended with an unknown result.
    pub fn changed(&self, uid: &str) -> (LastChange, Option<Instant>) {
        let all = self.0.lock().expect("no panic while held");
        let changed = |it: &ObjectMemory| (it.change, it.delete_accepted.max(it.delete_in_doubt));
        all.get(uid).map(changed).unwrap_or_default()
    }

    /// Whether a create that an object has announced certainly had no effect.
    pub fn created_nothing(&self, uid: &str, intent: &Intent) -> bool {
        let all = self.0.lock().expect("no panic while held");
        all.get(uid).is_some_and(|memory| memory.without_effect.as_ref() == Some(intent))
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().expect("no panic while held").remove(uid);
    }

    /// How many reconciles in a row have failed or waited.
    pub fn attempts(&self, uid: &str) -> u32 {
        self.0.lock().expect("no panic while held").get(uid).map_or(0, |memory| memory.attempts)
    }
}

/// What is remembered of one object.
#[derive(Clone, Copy)]
pub struct Recall<'a> {
    /// What is remembered of all.
    pub all: &'a Remembered,
    /// The UID of the object.
    pub uid: &'a str,
}

/// The life of a create, in order. `open` says that an earlier one is still announced and in doubt.
impl ObjectMemory {
    /// A create is about to be announced: it has no effect until it is sent. One that equals a create that was sent cannot be
    /// distinguished from that later.
    pub fn announce_create(&mut self, intent: &Intent, open: bool) {
        let fresh = !open && !self.has_sent(intent);
        self.without_effect = fresh.then(|| intent.clone());
    }

    /// The announced create is about to be sent: from now on it may have its effect.
    pub fn send_create(&mut self, intent: Intent) {
        self.without_effect = None;
        self.announced = Some(Announced { intent, since: Instant::now(), age: Duration::ZERO });
    }

    /// There was no response to the create.
    pub fn doubt_create(&mut self) {
        self.create_in_doubt = Some(Instant::now());
    }

    /// The create certainly has no effect.
    pub fn withdraw_create(&mut self, withdrawn: Option<Intent>, open: bool) {
        self.announced.take_if(|_| !open);
        self.without_effect = withdrawn.filter(|_| !open);
    }

    /// The create succeeded: forgets what is about the object that was in the account before.
    pub fn end_create(&mut self) {
        let create_in_doubt = self.in_doubt_since();
        let ObjectMemory { awaiting_first_ready, refilled, renewed, announced, .. } = std::mem::take(self);
        let created = Some(Instant::now());
        let known = ObjectMemory { created, announced, create_in_doubt, ..ObjectMemory::default() };
        *self = ObjectMemory { awaiting_first_ready, refilled, renewed, ..known };
    }
}

impl ObjectMemory {
    /// How long ago a create was announced that is `age` old by the wall clock.
    pub fn announced_for(&mut self, intent: &Intent, age: Duration) -> Age {
        let mut known = self.announced.iter().chain(&self.interrupted);
        if let Some(known) = known.find(|known| known.intent == *intent) {
            let here = known.since.elapsed();
            return Age { whole: known.age + here, here };
        }
        self.interrupted = Some(Announced { intent: intent.clone(), since: Instant::now(), age });
        Age { whole: age, here: Duration::ZERO }
    }

    /// Whether this process has sent a create that was announced so.
    pub fn has_sent(&self, intent: &Intent) -> bool {
        self.announced.as_ref().is_some_and(|known| known.intent == *intent)
    }

    /// When the last write ended, a create or a change, that may still have its effect: its result is unknown.
    pub fn in_doubt_since(&self) -> Option<Instant> {
        self.create_in_doubt.max(self.change.read_not_before())
    }

    /// When this request for a reconcile was first seen: by the watch, or else by a reconcile.
    pub fn note_request(&mut self, token: &str) -> Instant {
        match &self.requested {
            Some((seen, at)) if seen == token => *at,
            _ => self.requested.insert((token.to_owned(), Instant::now())).1,
        }
    }

    /// How long ago the object in the account was created: `age` by the wall clock.
    pub fn created_for(&self, age: Duration) -> Duration {
        self.created.map_or(age, |created| created.elapsed())
    }
}

impl Recall<'_> {
    /// Reads or changes it.
    pub fn with<T>(&self, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        self.all.of(self.uid, f)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use tokio::time::advance;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn intent(second: i64) -> Intent {
        let time = Time(Timestamp::from_second(second).unwrap());
        let (account_id, within, name) = ("a".to_owned(), String::new(), "n".to_owned());
        Intent { account_id, within, name, time, secret_name: None, before: vec![] }
    }

    /// Covers LC-01, LC-03. The wall clock may be set while it is not known whether a create had an effect.
    #[tokio::test(start_paused = true)]
    async fn a_create_in_doubt_is_as_old_as_this_process_knows() {
        let (mut memory, intent, other) = (ObjectMemory::default(), intent(1), intent(2));
        let (since, age) = (Instant::now(), Duration::ZERO);
        memory.announced = Some(Announced { intent: intent.clone(), since, age });
        advance(seconds(7)).await;
        let aged = |whole, here| Age { whole: seconds(whole), here: seconds(here) };
        for by_the_wall_clock in [0, 86_400] {
            assert_eq!(memory.announced_for(&intent, seconds(by_the_wall_clock)), aged(7, 7));
        }
        assert!(memory.has_sent(&intent) && !memory.has_sent(&other));
        // An earlier process announced this one.
        assert_eq!(memory.announced_for(&other, seconds(40)), aged(40, 0));
        advance(seconds(50)).await;
        for by_the_wall_clock in [0, 86_400] {
            assert_eq!(memory.announced_for(&other, seconds(by_the_wall_clock)), aged(90, 50));
        }
        assert!(memory.has_sent(&intent) && !memory.has_sent(&other), "a status may be an old one");
        assert_eq!(memory.announced_for(&intent, seconds(1)), aged(57, 57));
    }

    /// Covers LC-10.
    #[tokio::test(start_paused = true)]
    async fn a_request_is_as_old_as_its_first_sight() {
        let (mut memory, begin) = (ObjectMemory::default(), Instant::now());
        for (token, after) in [("one", 0), ("one", 0), ("other", 2), ("other", 2), ("one", 4)] {
            assert_eq!(memory.note_request(token) - begin, seconds(after), "{token}");
            advance(seconds(1)).await;
        }
    }
}
