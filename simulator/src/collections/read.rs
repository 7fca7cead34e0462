//! Reads of a plain collection: one object, or a list in one piece or in pages.

use serde_json::{Map, Value, json};

use super::all::Route;
use super::table::{Collection, List};
use crate::store;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The most objects that a client may ask for in one page (documented).
const LARGEST_PAGE: usize = 1000;

pub(super) fn unknown(collection: &Collection, id: &str) -> Reply {
    Reply::missing(format!("{} with id {id} does not exist", collection.store))
}

/// An object as a response shows it.
pub(super) fn shown(world: &World, collection: &Collection, key: &str, value: &Value) -> Value {
    let mut value = store::shown(value);
    if let Value::Object(object) = &mut value {
        (collection.on_read)(world, key, object);
    }
    value
}

/// An object in the envelope of its collection.
pub(super) fn enveloped(collection: &Collection, value: Value) -> Value {
    collection.body.map_or(value.clone(), |envelope| json!({envelope: value}))
}

pub(super) fn one(world: &World, route: &Route, id: &str) -> Answer {
    let (collection, key) = (route.collection, route.key(id));
    let found = world.read(collection.store, &key).ok_or_else(|| unknown(collection, id))?;
    Ok(Reply::json(200, enveloped(collection, shown(world, collection, &key, &found))))
}

/// The query parameters that a list takes.
pub(super) fn queries(collection: &Collection) -> Vec<&'static str> {
    let pages: &[&str] = match collection.list {
        List::Bare | List::Whole(_) => &[],
        List::Pages(_) => &["page_token"],
        List::SizedPages(_) => &["page_token", "page_size"],
    };
    [collection.filters, pages].concat()
}

pub(super) fn list(world: &World, route: &Route, request: &Request) -> Answer {
    let (collection, prefix) = (route.collection, route.prefix());
    let rows = world.rows(collection.store).into_iter().filter(|(key, _)| key.starts_with(&prefix));
    let rows = rows.map(|(key, value)| shown(world, collection, &key, &value));
    let mut rows: Vec<Value> = rows.filter(|row| is_wanted(collection, request, row)).collect();
    match collection.list {
        List::Bare => {
            world.shuffle(&mut rows);
            Ok(Reply::json(200, json!(rows)))
        }
        List::Whole(items) => {
            world.shuffle(&mut rows);
            Ok(Reply::json(200, if rows.is_empty() { json!({}) } else { json!({items: rows}) }))
        }
        List::Pages(items) | List::SizedPages(items) => page(world, request, rows, items),
    }
}

fn is_wanted(collection: &Collection, request: &Request, row: &Value) -> bool {
    let asked = collection.filters.iter().filter_map(|name| Some((name, request.query(name)?)));
    asked.clone().all(|(name, wanted)| row[*name].as_str() == Some(wanted))
}

/// Assumed: what a token looks like, and that one which the server did not issue is refused.
fn page(world: &World, request: &Request, mut rows: Vec<Value>, items: &str) -> Answer {
    let start = match request.query("page_token") {
        None | Some("") => 0,
        Some(token) => {
            let start = token.strip_prefix("after-").and_then(|number| number.parse().ok());
            start.ok_or_else(|| Reply::invalid(format!("page_token '{token}' is not valid")))?
        }
    };
    let mut size = world.settings.page_size.max(1);
    if let Some(text) = request.query("page_size") {
        let asked = text.parse::<usize>().ok().filter(|asked| (1..=LARGEST_PAGE).contains(asked));
        let refused = || Reply::invalid(format!("page_size must be 1 to {LARGEST_PAGE}"));
        size = size.min(asked.ok_or_else(refused)?);
    }
    let end = (start + size).min(rows.len());
    let more = end < rows.len();
    let mut rows = rows.drain(start.min(end)..end).collect::<Vec<Value>>();
    world.shuffle(&mut rows);
    let mut body = Map::new();
    if !rows.is_empty() {
        body.insert(items.to_owned(), json!(rows));
    }
    if more {
        body.insert("next_page_token".to_owned(), json!(format!("after-{end}")));
    }
    Ok(Reply::json(200, Value::Object(body)))
}
