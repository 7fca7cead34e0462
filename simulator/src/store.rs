//! Every object of the account, with its past, so that a read can show the state of a while ago.
//!
//! Values are JSON as the API shows them; keys that begin with `_` are the simulator's own notes and never
//! leave it. Nothing here knows a rule of the API.

use std::collections::BTreeMap;

use serde_json::Value;

/// How long the past is kept: the largest lag that can be simulated.
const MEMORY_MS: u64 = 60 * 60 * 1000;

#[derive(Clone)]
struct Entry {
    /// Order of creation.
    number: u64,
    /// Oldest first; `None` once deleted.
    versions: Vec<(u64, Option<Value>)>,
}

#[derive(Clone, Default)]
pub(crate) struct Store {
    collections: BTreeMap<String, BTreeMap<String, Entry>>,
    created: u64,
}

impl Entry {
    fn at(&self, as_of_ms: u64) -> Option<&Value> {
        let known = self.versions.iter().rev().find(|(at_ms, _)| *at_ms <= as_of_ms);
        known.and_then(|(_, value)| value.as_ref())
    }
}

impl Store {
    pub fn put(&mut self, collection: &str, id: &str, value: Value, now_ms: u64) {
        self.record(collection, id, Some(value), now_ms);
    }

    pub fn remove(&mut self, collection: &str, id: &str, now_ms: u64) {
        if self.get(collection, id).is_some() {
            self.record(collection, id, None, now_ms);
        }
    }

    fn record(&mut self, collection: &str, id: &str, value: Option<Value>, now_ms: u64) {
        self.created += 1;
        let number = self.created;
        let entries = self.collections.entry(collection.to_owned()).or_default();
        let fresh = || Entry { number, versions: Vec::new() };
        let versions = &mut entries.entry(id.to_owned()).or_insert_with(fresh).versions;
        versions.push((now_ms, value));
        while versions.len() > 1 && versions[1].0 + MEMORY_MS < now_ms {
            versions.remove(0);
        }
    }

    /// The object as it is now.
    pub fn get(&self, collection: &str, id: &str) -> Option<&Value> {
        self.get_at(collection, id, u64::MAX)
    }

    pub fn get_at(&self, collection: &str, id: &str, as_of_ms: u64) -> Option<&Value> {
        self.collections.get(collection)?.get(id)?.at(as_of_ms)
    }

    /// Ids of objects removed after this time, each with what it was last.
    pub fn removed_since(&self, collection: &str, since_ms: u64) -> Vec<(&str, &Value)> {
        let mut removed = Vec::new();
        for (id, entry) in self.collections.get(collection).into_iter().flatten() {
            if let [.., (_, Some(last)), (at_ms, None)] = entry.versions.as_slice()
                && *at_ms > since_ms
            {
                removed.push((id.as_str(), last));
            }
        }
        removed
    }

    /// Ids and objects as they are now, in order of creation.
    pub fn list(&self, collection: &str) -> Vec<(&str, &Value)> {
        self.list_at(collection, u64::MAX)
    }

    pub fn list_at(&self, collection: &str, as_of_ms: u64) -> Vec<(&str, &Value)> {
        let mut found: Vec<(u64, &str, &Value)> = Vec::new();
        for (id, entry) in self.collections.get(collection).into_iter().flatten() {
            found.extend(entry.at(as_of_ms).map(|value| (entry.number, id.as_str(), value)));
        }
        found.sort_by_key(|(number, _, _)| *number);
        found.into_iter().map(|(_, id, value)| (id, value)).collect()
    }

    pub fn collections(&self) -> impl Iterator<Item = &str> {
        self.collections.keys().map(String::as_str)
    }
}

/// A value as the API shows it: without the simulator's own notes.
pub(crate) fn shown(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(object) = &mut value {
        object.retain(|key, _| !key.starts_with('_'));
    }
    value
}
