//! The list that an object of the [`super::Fake`] may determine: `entries`, a map from names to levels. In a spec, `after` is the number
//! of seconds for which what is not listed stays. An entry has the id `/<name>`, as an object of that name; `unknown` is a level that could
//! not be read, `ADMIN` administers, and without the entry `own` the operator would be locked out. What is wanted has `null` for what is to
//! be removed.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::engine::kind::{Entries, Entry, Removal, Settled};

/// Not more than this is removed within an hour.
const AT_MOST: usize = 2;

/// Puts the list of a spec into the desired state.
pub fn desire(state: &mut Value, spec: &Value) {
    for field in ["entries", "after"] {
        if !spec[field].is_null() {
            state[field] = spec[field].clone();
        }
    }
}

fn all(state: &Value) -> Map<String, Value> {
    state["entries"].as_object().cloned().unwrap_or_default()
}

fn id(name: &str) -> String {
    format!("/{name}")
}

/// The entries of a desired state and of the account.
pub fn entries(want: &Value, seen: &Value) -> Entries {
    let (listed, there) = (all(want), all(seen));
    let entry = |(name, level): (&String, &Value)| Entry {
        id: id(name),
        name: format!("group {name}"),
        state: level.as_str().unwrap_or_default().to_owned(),
        administers: there.get(name).is_some_and(|level| level == "ADMIN"),
    };
    let after = want["after"].as_u64().map(Duration::from_secs);
    Entries {
        listed: listed.iter().map(entry).collect(),
        unlisted: there.iter().filter(|(name, _)| !listed.contains_key(*name)).map(entry).collect(),
        removal: after.map(|after| Removal { after, at_most: AT_MOST }),
        complete: there.values().all(|level| level != "unknown"),
    }
}

/// The desired state without what is not touched, and with what is to be removed.
pub fn settle(want: &Value, settled: &Settled) -> Value {
    let mut want = want.clone();
    if let Some(entries) = want.get_mut("entries").and_then(Value::as_object_mut) {
        entries.retain(|name, _| !settled.held.contains(&id(name)));
        let removed = settled.removed.iter().map(|id| (id.trim_start_matches('/').to_owned(), Value::Null));
        entries.extend(removed);
    }
    want
}

/// Whether a field differs: what a list lacks is no difference, and `after` is not in the account.
pub fn differs(field: &str, want: &Value, seen: &Value) -> bool {
    match (field, want) {
        ("after", _) => false,
        ("entries", Value::Object(want)) => want.iter().any(|(name, level)| seen[name] != *level),
        _ => want != seen,
    }
}

/// Gives a field its desired value.
pub fn put(field: &mut Value, want: &Value) {
    let Value::Object(want) = want else {
        *field = want.clone();
        return;
    };
    if !field.is_object() {
        *field = json!({});
    }
    let entries = field.as_object_mut().unwrap();
    entries.extend(want.clone());
    entries.retain(|_, level| !level.is_null());
}

/// Whether the operator's own entry is to be removed.
pub fn locks_out(want: Option<&Value>) -> bool {
    want.is_some_and(|want| want["entries"].get("own").is_some_and(Value::is_null))
}
