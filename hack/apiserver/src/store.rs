//! What is stored, and its history: one counter of revisions for all objects, as in etcd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The first revision. A real server has written its own objects by then, so small numbers are always of the past.
const FIRST: u64 = 100;

/// A stored object.
#[derive(Clone)]
pub struct Stored {
    pub object: Arc<Value>,
    /// What is stored lacks defaults that reads show: only the status of a new custom object. The next write stores
    /// them, even if it changes nothing.
    pub lacks_defaults: bool,
}

/// One write.
#[derive(Clone)]
pub struct Change {
    pub revision: u64,
    pub resource: usize,
    pub key: String,
    /// The object before, if there was one.
    pub before: Option<Stored>,
    /// The object now; `None` if it was deleted.
    pub after: Option<Stored>,
}

/// Everything that is stored, by resource and key (`namespace/name`, or `name`), and every change.
pub struct Store {
    revision: u64,
    compacted: u64,
    objects: Vec<BTreeMap<String, Stored>>,
    history: Vec<Change>,
    wakers: Vec<(usize, Waker)>,
}

impl Store {
    pub fn new(resources: usize) -> Store {
        let objects = vec![BTreeMap::new(); resources];
        Store { revision: FIRST, compacted: FIRST, objects, history: vec![], wakers: vec![] }
    }

    /// The same objects, without a history.
    pub fn fork(&self) -> Store {
        let (revision, objects) = (self.revision, self.objects.clone());
        Store { revision, compacted: revision, objects, history: vec![], wakers: vec![] }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn get(&self, resource: usize, key: &str) -> Option<&Stored> {
        self.objects[resource].get(key)
    }

    /// All objects of a resource in the order of their keys.
    pub fn all(&self, resource: usize) -> &BTreeMap<String, Stored> {
        &self.objects[resource]
    }

    /// Stores an object under the next revision, which it is given, and returns it.
    pub fn put(&mut self, resource: usize, key: &str, mut object: Value, lacks_defaults: bool) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let stored = Stored { object: Arc::new(object), lacks_defaults };
        let object = stored.object.clone();
        let before = self.objects[resource].insert(key.to_owned(), stored.clone());
        self.record(resource, key, before, Some(stored));
        object
    }

    pub fn delete(&mut self, resource: usize, key: &str) {
        if let Some(before) = self.objects[resource].remove(key) {
            self.revision += 1;
            self.record(resource, key, Some(before), None);
        }
    }

    fn record(&mut self, resource: usize, key: &str, before: Option<Stored>, after: Option<Stored>) {
        self.history.push(Change { revision: self.revision, resource, key: key.to_owned(), before, after });
        for (_, waker) in self.wakers.extract_if(.., |(of, _)| *of == resource) {
            waker.wake();
        }
    }

    /// Wakes a watch at the next change of a resource.
    pub fn wake(&mut self, resource: usize, waker: &Waker) {
        if !self.wakers.iter().any(|(of, known)| *of == resource && known.will_wake(waker)) {
            self.wakers.push((resource, waker.clone()));
        }
    }

    /// The changes after a revision.
    pub fn since(&self, revision: u64) -> &[Change] {
        let start = self.history.partition_point(|change| change.revision <= revision);
        &self.history[start..]
    }

    /// The objects of a resource as they were at a revision; fails if that is compacted.
    pub fn at(&self, resource: usize, revision: u64, gone: &str) -> Result<BTreeMap<String, Stored>> {
        if revision < self.compacted {
            return Err(Failure::expired(gone));
        }
        let mut objects = self.objects[resource].clone();
        for change in self.since(revision).iter().rev().filter(|change| change.resource == resource) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }

    /// Makes everything older than now unreadable. Watches that run get every change nevertheless.
    pub fn compact(&mut self) {
        self.compacted = self.revision;
    }

    /// The oldest revision that can be read.
    pub fn oldest(&self) -> u64 {
        self.compacted
    }
}
