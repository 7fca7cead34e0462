//! Plain collections, one line of a table each: list, create, read, update, delete.
//!
//! `table` has the columns. The lines are in files by theme (`provisioning`, `networking`, `identity`, `oauth_apps`, `billing`, `governance`), each of which says what
//! is documented; `all` puts them together. A line is all that a new collection takes. `read`, `write`, `remove` and `time` act on any of them.
//!
//! Documented: the verbs, the envelopes and pages, that an object in use cannot be deleted. Observed by others: the forms of
//! that refusal, and that it outlasts the user for a while. Assumed: the code for a taken name, and that fields which only
//! a response has are ignored.

mod all;
mod billing;
mod governance;
mod identity;
mod networking;
mod oauth_apps;
mod provisioning;
mod read;
mod references;
mod remove;
mod table;
mod time;
mod write;

use serde_json::{Map, Value};

use crate::wire::{Answer, Reply, Request};
use crate::world::World;

pub(crate) use all::{Route, all, find, route};
pub(crate) use networking::seed;
pub(crate) use references::check_reference;
pub(crate) use remove::orphan;
use table::Chosen;
pub(crate) use table::Under;
pub(crate) use time::{restart, settle};

pub(crate) fn serve(world: &mut World, request: &Request, route: &Route) -> Answer {
    let (collection, method) = (route.collection, request.method.as_str());
    request.only_queries(&queries(route, method))?;
    if matches!(method, "GET" | "DELETE") {
        request.no_body()?;
    }
    if let (Some(under), Some(parent)) = (&collection.under, route.parent)
        && world.store.get(under.store, parent).is_none()
    {
        return Err(Reply::missing(format!("{} with id {parent} does not exist", under.store)));
    }
    match (method, route.rest) {
        ("GET", []) => read::list(world, route, request),
        ("POST", []) => write::create(world, route, request),
        ("GET", [id]) if collection.readable => read::one(world, route, id),
        ("DELETE", [id]) => remove::delete(world, route, request, id),
        (verb, [id]) if Some(verb) == collection.update.verb() => write::update(world, route, request, id),
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// The query parameters that a call may have.
fn queries(route: &Route, method: &str) -> Vec<&'static str> {
    let collection = route.collection;
    match (method, route.rest) {
        ("GET", []) => read::queries(collection),
        ("POST", []) => match collection.chosen {
            Chosen::InQuery(query, _) => vec![query],
            Chosen::ByServer | Chosen::InBody(_) => vec![],
        },
        ("PATCH", [_]) if collection.update.is_masked() => vec!["update_mask"],
        _ => vec![],
    }
}

/// What an object of a plain collection has from the start, for one that a test inserts.
pub(crate) fn completed(world: &World, store: &str, key: &str, object: &mut Map<String, Value>) {
    let Some(collection) = find(store) else { return };
    let given = object.clone();
    if !collection.name.is_empty() {
        object.insert(collection.name.to_owned(), Value::String(format!("{store}-{key}")));
    }
    write::fill(world, collection, key, object);
    object.extend(given);
}
