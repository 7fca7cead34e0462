//! Create, replace and delete of a principal.
//!
//! Documented: a replacement loses what it leaves out; two names of groups are reserved; a second object of a name is a 409.
//! Observed by others: under automatic identity management nothing but the identity provider creates objects with an
//! `externalId`, or changes them. Assumed: codes; that a principal which is gone is a member of no group.

use serde_json::{Map, Value, json};

use super::attributes::{Principals, defaults, fill_user, refuse_twin, stripped};
use super::members::known_members;
use super::{body, principals};
use crate::collections;
use crate::schema::check_full;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// A body that is checked; SCIM has refusals of its own.
fn checked_body(kind: &Principals, request: &Request) -> Result<Map<String, Value>, Reply> {
    let body = stripped(kind, body::object(request)?);
    check_full(&body, kind.fields).map_err(|refusal| body::in_scim(refusal, "invalidSyntax"))?;
    let reserved =
        kind.collection == "Groups" && matches!(body["displayName"].as_str(), Some("users" | "admins"));
    if reserved {
        return Err(Reply::scim_error(400, Some("invalidValue"), "This name of a group is reserved."));
    }
    Ok(body)
}

pub(super) fn create(world: &mut World, kind: &Principals, request: &Request) -> Answer {
    let body = checked_body(kind, request)?;
    refuse_twin(world, kind, &body, "")?;
    if world.settings.identity_managed && body.contains_key("externalId") {
        return Err(Reply::scim_error(403, None, "externalId is managed by the identity provider."));
    }
    let mut object = defaults(world, kind.collection);
    object.extend(body);
    complete(world, kind, &mut object);
    let id = object["id"].as_str().unwrap_or_default().to_owned();
    world.put(kind.collection, &id, Value::Object(object.clone()));
    Ok(Reply::json(201, Value::Object(object)))
}

/// Fills in a user, and leaves out members that do not exist.
fn complete(world: &World, kind: &Principals, object: &mut Map<String, Value>) {
    if kind.collection == "Users" {
        fill_user(object);
    }
    if let Some(Value::Array(members)) = object.remove("members") {
        object.insert("members".to_owned(), json!(known_members(world, members)));
    }
}

pub(super) fn replace(world: &mut World, kind: &Principals, request: &Request, id: &str) -> Answer {
    let before = principals::stored(world, kind.collection, id)?;
    refuse_managed(world, &before)?;
    let mut body = checked_body(kind, request)?;
    // Documented: the name of a user does not change, and no error says so.
    let kept = if kind.collection == "Users" { &["userName", "emails"][..] } else { &["applicationId"] };
    for name in ["id", "schemas", "meta"].iter().chain(kept) {
        if let Some(value) = before.get(*name) {
            body.insert((*name).to_owned(), value.clone());
        }
    }
    if kind.collection != "Groups" {
        body.entry("active").or_insert(json!(true));
    }
    refuse_twin(world, kind, &body, id)?;
    principals::keep_admin(world, kind, id, &before, &body)?;
    complete(world, kind, &mut body);
    world.put(kind.collection, id, Value::Object(body.clone()));
    Ok(Reply::json(200, Value::Object(body)))
}

/// Refuses a change of an object that belongs to the identity provider.
pub(super) fn refuse_managed(world: &World, object: &Map<String, Value>) -> Result<(), Reply> {
    if world.settings.identity_managed && object.contains_key("externalId") {
        return Err(Reply::scim_error(403, None, "This object is managed by the identity provider."));
    }
    Ok(())
}

pub(super) fn delete(world: &mut World, kind: &Principals, id: &str) -> Answer {
    let before = principals::stored(world, kind.collection, id)?;
    refuse_managed(world, &before)?;
    world.remove(kind.collection, id);
    forget(world, kind.collection, id);
    Ok(Reply::empty(204))
}

/// What goes with a principal: its assignments, its memberships, what belongs to it.
pub(crate) fn forget(world: &mut World, collection: &str, id: &str) {
    collections::orphan(world, collection, id);
    let suffix = format!("/{id}");
    let assignments = world.store.list("permissionassignments").into_iter().map(|(key, _)| key.to_owned());
    for key in assignments.filter(|key| key.ends_with(&suffix)).collect::<Vec<_>>() {
        world.remove("permissionassignments", &key);
    }
    let is_member = |member: &Value| member["value"] == id;
    let groups = world.store.list("Groups").into_iter();
    let groups =
        groups.filter(|(_, group)| group["members"].as_array().is_some_and(|m| m.iter().any(is_member)));
    for (key, mut group) in groups.map(|(key, group)| (key.to_owned(), group.clone())).collect::<Vec<_>>() {
        if let Some(members) = group["members"].as_array_mut() {
            members.retain(|member| !is_member(member));
        }
        world.put("Groups", &key, group);
    }
}
