//! Members of groups: who they are, and where each is found.

use serde_json::{Value, json};

use super::principals::COLLECTIONS;
use crate::world::World;

/// The collection that a principal is in.
fn home(world: &World, id: &str) -> Option<&'static str> {
    COLLECTIONS.iter().copied().find(|kind| world.store.get(kind, id).is_some())
}

/// The members that exist, each once. Observed by others: one that does not is left out without an error. Assumed: this also
/// holds for a number that is the id of no principal.
pub(super) fn known_members(world: &World, members: Vec<Value>) -> Vec<Value> {
    let mut known: Vec<Value> = Vec::new();
    for member in members {
        let Some(id) = member["value"].as_str() else { continue };
        let Some(home) = home(world, id) else { continue };
        if known.iter().all(|other| other["value"] != id) {
            let display = world.store.get(home, id).map(|found| found["displayName"].clone());
            known.push(json!({"value": id, "display": display}));
        }
    }
    known
}

/// Adds the address of each member of a group, unless the member has one itself.
pub(super) fn with_refs(world: &World, mut found: Value) -> Value {
    for member in found.get_mut("members").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(id) = member["value"].as_str().map(str::to_owned) else { continue };
        if let (Some(home), Value::Object(member)) = (home(world, &id), member) {
            member.entry("$ref").or_insert_with(|| json!(format!("{home}/{id}")));
        }
    }
    found
}
