//! Deletion of an object of a plain collection, and what stands in its way or goes with it.

use serde_json::{Value, json};

use super::all::{Route, children_of};
use super::read::{shown, unknown};
use super::table::{Collection, Delete, Use};
use crate::refusals;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

pub(super) fn delete(world: &mut World, route: &Route, request: &Request, id: &str) -> Answer {
    let (collection, key) = (route.collection, route.key(id));
    if matches!(collection.delete, Delete::Never) {
        return Err(Reply::no_endpoint(request));
    }
    let Some(value) = world.store.get(collection.store, &key).cloned() else {
        return Err(unknown(collection, id));
    };
    if let Some(user) = user_of(world, collection, id).or_else(|| child_of(world, collection, id)) {
        return Err(refusals::in_use(world, collection.store, id, &user));
    }
    if let Delete::Own(delete) = collection.delete {
        return delete(world, &key);
    }
    let reply = match collection.delete {
        Delete::Shown => Reply::json(200, shown(world, collection, &key, &value)),
        _ => Reply::empty(200),
    };
    world.remove(collection.store, &key);
    orphan(world, collection.store, id);
    Ok(reply)
}

/// Who uses an object, or did until a moment ago.
fn user_of(world: &World, collection: &Collection, id: &str) -> Option<String> {
    collection.used_by.iter().find_map(|used| {
        let refers = |value: &Value| {
            let counts = used.only.is_none_or(|(field, only)| value[field] == only);
            counts && refers(value, used, id)
        };
        let user = objects_lately(world, used.by).into_iter().find(|(_, value)| refers(value))?;
        Some(format!("{} {}", used.says, user.0))
    })
}

fn refers(value: &Value, used: &Use, id: &str) -> bool {
    let found = used.field.split('.').fold(value, |value, name| &value[name]);
    match found {
        Value::Array(ids) => ids.contains(&json!(id)),
        found => *found == id,
    }
}

/// The first object whose parent this is, where these hold up the deletion of the parent.
fn child_of(world: &World, collection: &Collection, id: &str) -> Option<String> {
    let prefix = format!("{id}/");
    children_of(collection.store).find_map(|children| {
        let says = children.under.as_ref()?.holds?;
        let objects = objects_lately(world, children.store);
        let (key, _) = objects.into_iter().find(|(key, _)| key.starts_with(&prefix))?;
        Some(format!("{says} {}", key.trim_start_matches(&prefix)))
    })
}

/// Objects that are there, or were until a moment ago.
fn objects_lately<'a>(world: &'a World, store: &str) -> Vec<(&'a str, &'a Value)> {
    let since_ms = world.now().saturating_sub(world.settings.release_ms);
    let gone = world.store.removed_since(store, since_ms);
    world.store.list(store).into_iter().chain(gone).collect()
}

/// Removes what had its parent in an object that is gone.
pub(crate) fn orphan(world: &mut World, store: &str, id: &str) {
    let prefix = format!("{id}/");
    for children in children_of(store) {
        let keys = world.store.list(children.store).into_iter().map(|(key, _)| key.to_owned());
        for key in keys.filter(|key| key.starts_with(&prefix)).collect::<Vec<_>>() {
            world.remove(children.store, &key);
        }
    }
}
