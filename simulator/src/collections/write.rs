//! Creates and updates of an object of a plain collection.
//!
//! Assumed: the codes of the refusals; that an update returns the object, unless it is a `PATCH` that merges.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::all::Route;
use super::read::{enveloped, shown, unknown};
use super::table::{Chosen, Collection, Fill, Update, Write};
use crate::clock::rfc3339;
use crate::schema::{check_full, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The body without its envelope, and without the fields that only a response has.
fn body(
    collection: &Collection,
    mut body: Map<String, Value>,
    envelope: Option<&str>,
) -> Result<Map<String, Value>, Reply> {
    if let Some(envelope) = envelope {
        let content = body.remove(envelope);
        if let Some(surplus) = body.keys().next() {
            let message = format!("Could not parse request object: unknown field '{surplus}'");
            return Err(Reply::malformed(message));
        }
        body = match content {
            Some(Value::Object(content)) => content,
            _ => return Err(Reply::invalid(format!("Missing required field: {envelope}"))),
        };
    }
    body.retain(|name, _| !collection.is_only_shown(name));
    Ok(body)
}

pub(super) fn create(world: &mut World, route: &Route, request: &Request) -> Answer {
    let collection = route.collection;
    let (mut sent, posted) = (request.object()?, collection.posted);
    let request_id = posted.and_then(|(_, field)| sent.remove(field));
    if let Some((key, made)) = made_before(world, collection, request_id.as_ref()) {
        return Ok(Reply::json(collection.create_status, shown(world, collection, key, made)));
    }
    let beside = beside(collection, &mut sent)?;
    let mut object = body(collection, sent, collection.body.or(posted.map(|(envelope, _)| envelope)))?;
    check_full(&object, collection.fields)?;
    refuse_taken(world, route, &object, None)?;
    refuse_surplus(world, route)?;
    let id = new_id(world, route, request)?;
    let key = route.key(&id);
    let asked = object.clone();
    fill(world, collection, &key, &mut object);
    let mut write = Write { key: &key, before: None, after: &mut object, sent: &asked, beside: &beside };
    (collection.rule)(world, &mut write)?;
    let secrets = secrets(world, collection, &key, &mut object);
    object.extend(request_id.map(|id| (REQUEST_ID.to_owned(), id)));
    world.put(collection.store, &key, Value::Object(object.clone()));
    object.extend(secrets);
    let mut answer = shown(world, collection, &key, &Value::Object(object));
    if let (Some(fields), Value::Object(answer)) = (collection.created, &mut answer) {
        answer.retain(|name, _| fields.contains(&name.as_str()));
    }
    Ok(Reply::json(collection.create_status, enveloped(collection, answer)))
}

/// Takes the fields beside the envelope out of a body.
fn beside(collection: &Collection, body: &mut Map<String, Value>) -> Result<Map<String, Value>, Reply> {
    let mut found = Map::new();
    for name in collection.beside {
        let Some(value) = body.remove(*name) else { continue };
        if !value.is_boolean() {
            let message = format!("Could not parse request object: expected a boolean at '{name}'");
            return Err(Reply::malformed(message));
        }
        found.insert((*name).to_owned(), value);
    }
    Ok(found)
}

/// The note of an object on the request that created it.
const REQUEST_ID: &str = "_request_id";

/// The object that an earlier create with this id of a request made. Assumed: whatever else the two have in their bodies.
fn made_before<'a>(
    world: &'a World,
    collection: &Collection,
    request_id: Option<&Value>,
) -> Option<(&'a str, &'a Value)> {
    let request_id = request_id.filter(|id| id.is_string())?;
    world.store.list(collection.store).into_iter().find(|(_, made)| made[REQUEST_ID] == *request_id)
}

/// What the server sets on a create, also of an object that a test inserts.
pub(super) fn fill(world: &World, collection: &Collection, key: &str, object: &mut Map<String, Value>) {
    let (parent, id) = key.rsplit_once('/').unwrap_or(("", key));
    object.insert(collection.id.to_owned(), json!(id));
    if let Some(under) = collection.under.as_ref().filter(|under| under.shown) {
        let number = parent.parse::<i64>().ok().filter(|_| under.numeric);
        object.insert(under.field.to_owned(), number.map_or_else(|| json!(parent), |number| json!(number)));
    }
    for (name, fill) in collection.on_create.iter().chain(collection.on_write) {
        object.insert((*name).to_owned(), filled(world, collection, key, fill));
    }
    for (name, fill) in collection.defaults {
        object.entry(*name).or_insert_with(|| filled(world, collection, key, fill));
    }
    if !collection.steps.is_empty() {
        object.insert("_since".to_owned(), json!(world.now()));
    }
}

/// What only the response to a create shows; the simulator keeps it as a note of its own.
fn secrets(
    world: &World,
    collection: &Collection,
    key: &str,
    object: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut secrets = Map::new();
    if collection.shown_once_if.is_some_and(|field| object.get(field) != Some(&json!(true))) {
        return secrets;
    }
    for (name, fill) in collection.shown_once {
        let value = filled(world, collection, key, fill);
        object.insert(format!("_{name}"), value.clone());
        secrets.insert((*name).to_owned(), value);
    }
    secrets
}

fn filled(world: &World, collection: &Collection, key: &str, fill: &Fill) -> Value {
    match fill {
        Fill::Account => json!(world.account_id),
        Fill::Now => json!(world.now()),
        Fill::NowText => json!(rfc3339(world.now())),
        Fill::Uuid => json!(world.new_uuid()),
        Fill::Text(text) => json!(text),
        Fill::Bool(value) => json!(value),
        Fill::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        Fill::Name => {
            let (parent, id) = key.rsplit_once('/').unwrap_or(("", key));
            let path = collection.path.replace('*', parent);
            json!(format!("accounts/{}/{path}/{id}", world.account_id))
        }
        Fill::Secret => json!(format!("dose{}", Uuid::new_v4().simple())),
    }
}

/// The id of a new object: of the client's choice, where it may choose, or a UUID.
fn new_id(world: &World, route: &Route, request: &Request) -> Result<String, Reply> {
    let field = route.collection.id;
    let (id, form) = match route.collection.chosen {
        Chosen::ByServer => return Ok(world.new_uuid()),
        Chosen::InQuery(query, form) => match request.query(query).filter(|id| !id.is_empty()) {
            Some(id) => (id.to_owned(), form),
            None => return Ok(world.new_uuid()),
        },
        Chosen::InBody(form) => {
            let sent = Value::Object(request.object()?);
            let object = route.collection.body.map_or(&sent, |envelope| &sent[envelope]);
            match &object[field] {
                Value::String(id) => (id.clone(), form),
                _ => return Err(Reply::invalid(format!("Missing required field: {field}"))),
            }
        }
    };
    form(&id)?;
    if world.store.get(route.collection.store, &route.key(&id)).is_some() {
        let message = format!("{} with id {id} already exists", route.collection.store);
        return Err(Reply::error(409, "ALREADY_EXISTS", message));
    }
    Ok(id)
}

/// Refuses one object more than there may be.
fn refuse_surplus(world: &World, route: &Route) -> Result<(), Reply> {
    let Some((most, code, message)) = route.collection.most else { return Ok(()) };
    let prefix = route.prefix();
    let objects = world.store.list(route.collection.store).into_iter();
    let full = objects.filter(|(key, _)| key.starts_with(&prefix)).count() >= most;
    if full { Err(Reply::error(400, code, message)) } else { Ok(()) }
}

/// Refuses an object whose name, or what else must be unique, another one has.
fn refuse_taken(
    world: &World,
    route: &Route,
    object: &Map<String, Value>,
    own_key: Option<&str>,
) -> Result<(), Reply> {
    let (collection, prefix) = (route.collection, route.prefix());
    if collection.unique.is_empty() || !world.settings.refuse_duplicates {
        return Ok(());
    }
    let objects = world.store.list(collection.store).into_iter();
    let mut others = objects.filter(|(key, _)| key.starts_with(&prefix) && Some(*key) != own_key);
    let same = |other: &Value| collection.unique.iter().all(|name| other.get(name) == object.get(*name));
    if !others.any(|(_, other)| same(other)) {
        return Ok(());
    }
    let values = collection.unique.iter().map(|name| object.get(*name).unwrap_or(&Value::Null).to_string());
    let values = values.collect::<Vec<_>>().join(", ");
    let message = format!("{} configuration with name {values} already exists", collection.store);
    Err(Reply::error(409, "ALREADY_EXISTS", message))
}

pub(super) fn update(world: &mut World, route: &Route, request: &Request, id: &str) -> Answer {
    let (collection, key) = (route.collection, route.key(id));
    let envelope = collection.body.filter(|_| matches!(collection.update, Update::Put | Update::Part));
    let mut sent = request.object()?;
    let beside = beside(collection, &mut sent)?;
    let body = body(collection, sent, envelope)?;
    let Some(Value::Object(before)) = world.store.get(collection.store, &key).cloned() else {
        return Err(unknown(collection, id));
    };
    let mut after = match collection.update {
        Update::Put | Update::Whole => replaced(collection, &before, &body)?,
        Update::Masked { required } => masked(collection, request, required, &before, &body)?,
        Update::Part | Update::Merge | Update::Never => merged(collection, &before, &body)?,
    };
    for field in collection.fields.iter().filter(|field| field.immutable) {
        if after.get(field.name) != before.get(field.name) {
            return Err(Reply::invalid(format!("{} cannot be changed", field.name)));
        }
    }
    refuse_taken(world, route, &after, Some(&key))?;
    for (name, fill) in collection.on_write {
        after.insert((*name).to_owned(), filled(world, collection, &key, fill));
    }
    let mut write =
        Write { key: &key, before: Some(&before), after: &mut after, sent: &body, beside: &beside };
    (collection.rule)(world, &mut write)?;
    let moved = after.get(collection.id).filter(|id| before.get(collection.id) != Some(id));
    let key = match moved.and_then(Value::as_str) {
        Some(id) => {
            world.remove(collection.store, &key);
            route.key(id)
        }
        None => key,
    };
    let value = Value::Object(after);
    world.put(collection.store, &key, value.clone());
    if matches!(collection.update, Update::Merge) {
        return Ok(Reply::empty(200));
    }
    Ok(Reply::json(200, enveloped(collection, shown(world, collection, &key, &value))))
}

/// Documented: what may change and is left out is dropped. A field that cannot change may be left out (assumed).
fn replaced(
    collection: &Collection,
    before: &Map<String, Value>,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Reply> {
    check_full(body, collection.fields)?;
    let mut after = before.clone();
    after.retain(|name, _| collection.fields.iter().all(|field| field.immutable || field.name != name));
    after.extend(body.clone());
    Ok(after)
}

fn merged(
    collection: &Collection,
    before: &Map<String, Value>,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Reply> {
    check_partial(body, collection.fields)?;
    let mut after = before.clone();
    after.extend(body.clone());
    Ok(after)
}

/// Documented: what the mask names is replaced as a whole. Assumed: `*` and no mask name all fields of the body; a name
/// may lead into an object; a name of a field that only a response has is passed over.
fn masked(
    collection: &Collection,
    request: &Request,
    required: bool,
    before: &Map<String, Value>,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Reply> {
    let mask = match request.query("update_mask") {
        None | Some("") if required => return Err(Reply::invalid("Update mask must be specified.")),
        None | Some("") | Some("*") => return merged(collection, before, body),
        Some(mask) => mask,
    };
    check_partial(body, collection.fields)?;
    let (mut after, body) = (Value::Object(before.clone()), Value::Object(body.clone()));
    for path in mask.split(',') {
        let (top, inner) = path.split_once('.').map_or((path, None), |(top, inner)| (top, Some(inner)));
        if collection.is_only_shown(top) {
            continue;
        }
        let Some(field) = collection.fields.iter().find(|field| field.name == top) else {
            return Err(Reply::invalid(format!("Update mask names an unknown field '{path}'")));
        };
        let to = match inner {
            Some(inner) => (&mut after[top], &body[top], inner),
            None => (&mut after, &body, top),
        };
        if field.required && inner.is_none() && body.get(top).is_none() {
            return Err(Reply::invalid(format!("{path} cannot be removed")));
        }
        copy(to.0, to.1, to.2);
    }
    match after {
        Value::Object(after) => Ok(after),
        _ => Ok(before.clone()),
    }
}

/// Gives a field the value that it has in another object, or takes it away if it has none.
fn copy(to: &mut Value, from: &Value, name: &str) {
    match (from.get(name), to) {
        (Some(value), to) => to[name] = value.clone(),
        (None, Value::Object(to)) => drop(to.remove(name)),
        _ => {}
    }
}
