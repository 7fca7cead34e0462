//! What time does to objects of plain collections: states that follow each other, and ends.
//!
//! As with workspaces there are no timers: each step is carried out at the next call, with the time at which it was due.

use serde_json::{Value, json};

use super::all::all;
use super::table::{Collection, GONE_AT};
use crate::world::World;

/// Lets everything happen that was due by now.
pub(crate) fn settle(world: &mut World) {
    for collection in all() {
        let ages = |value: &Value| !collection.steps.is_empty() || value.get(GONE_AT).is_some();
        let objects = world.store.list(collection.store).into_iter().filter(|(_, value)| ages(value));
        for key in objects.map(|(key, _)| key.to_owned()).collect::<Vec<_>>() {
            while step(world, collection, &key) {}
        }
    }
}

/// Carries out the next step of an object; returns whether there was one.
fn step(world: &mut World, collection: &Collection, key: &str) -> bool {
    let Some(value) = world.store.get(collection.store, key) else { return false };
    let gone_ms = value[GONE_AT].as_u64().map(|at_ms| (at_ms, None));
    let entered_ms = value["_since"].as_u64().unwrap_or_default();
    let steps = collection.steps.iter().filter(|step| value[step.field] == step.from);
    let steps = steps.filter_map(|step| {
        let after_ms = (step.after_ms)(&world.settings)?;
        Some((entered_ms + after_ms, Some(step)))
    });
    let due = steps.chain(gone_ms).min_by_key(|(at_ms, _)| *at_ms);
    let Some((at_ms, step)) = due.filter(|(at_ms, _)| *at_ms <= world.now()) else { return false };
    let Some(step) = step else {
        world.store.remove(collection.store, key, at_ms);
        return false;
    };
    let mut value = value.clone();
    value[step.field] = json!(step.to);
    value["_since"] = json!(at_ms);
    world.store.put(collection.store, key, value, at_ms);
    true
}

/// Notes that a state was set by hand just now.
pub(crate) fn restart(world: &World, store: &str, changed: &[String], object: &mut Value) {
    let steps = super::all::find(store).map_or(&[][..], |collection| collection.steps);
    if steps.iter().any(|step| changed.iter().any(|name| name == step.field)) {
        object["_since"] = json!(world.now());
    }
}
