//! Principals as they are stored, and the one that calls.
//!
//! Observed by others: an account admin cannot take that role from itself. Assumed: the code of the refusal.

use serde_json::{Map, Value};

use super::attributes::Principals;
use crate::wire::Reply;
use crate::world::World;

pub(crate) const COLLECTIONS: &[&str] = &["Users", "Groups", "ServicePrincipals"];

pub(super) fn unknown(collection: &str, id: &str) -> Reply {
    Reply::scim_error(404, None, format!("{collection} with id {id} not found"))
}

/// The principal as it is now.
pub(super) fn stored(world: &World, collection: &str, id: &str) -> Result<Map<String, Value>, Reply> {
    match world.store.get(collection, id) {
        Some(Value::Object(found)) => Ok(found.clone()),
        _ => Err(unknown(collection, id)),
    }
}

/// Refuses to take the role of an account admin from the caller, who is the service principal `operator`.
pub(super) fn keep_admin(
    world: &World,
    kind: &Principals,
    id: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Reply> {
    let is_admin = |object: &Map<String, Value>| {
        let roles = object.get("roles").and_then(Value::as_array);
        roles.is_some_and(|roles| roles.iter().any(|role| role["value"] == "account_admin"))
    };
    let own = kind.collection == "ServicePrincipals" && id == world.caller_id.to_string();
    if own && is_admin(before) && !is_admin(after) {
        return Err(Reply::scim_error(
            400,
            Some("mutability"),
            "You cannot remove your own role account_admin.",
        ));
    }
    Ok(())
}
