//! Etags of what is always there, set or not: a write must name the freshest one.
//!
//! Assumed: what an etag looks like.

use serde_json::{Value, json};

use crate::world::World;

/// Kept beside the objects: what was never set has an etag too.
const STORE: &str = "_etags";

/// The etag of an object now.
pub(crate) fn current(world: &mut World, store: &str, key: &str) -> String {
    let known = world.store.get(STORE, &format!("{store}/{key}"));
    let known = known.and_then(Value::as_str).map(str::to_owned);
    known.unwrap_or_else(|| renew(world, store, key))
}

/// The etag that a read shows: as late as the object.
pub(crate) fn shown(world: &mut World, store: &str, key: &str) -> String {
    let now = current(world, store, key);
    let late = world.read(STORE, &format!("{store}/{key}"));
    late.as_ref().and_then(Value::as_str).map_or(now, str::to_owned)
}

/// Gives an object that changes a new etag.
pub(crate) fn renew(world: &mut World, store: &str, key: &str) -> String {
    let etag = format!("e-{}", world.new_uuid());
    world.put(STORE, &format!("{store}/{key}"), json!(etag));
    etag
}
