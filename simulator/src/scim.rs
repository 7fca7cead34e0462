//! SCIM, for reading: users, groups and service principals of the account.
//!
//! Documented: paging, projection, the filter operators, that lists of groups come without members. Observed by others:
//! members carry `$ref`, their collection and id. Assumed: a response has at most 100 items unless `count` asks for more.
//! Writing is not simulated (501): the control API creates and removes principals.

mod filter;

use serde_json::{Value, json};

use crate::wire::{Answer, Reply, Request};
use crate::world::World;

pub(crate) const COLLECTIONS: &[&str] = &["Users", "Groups", "ServicePrincipals"];

const QUERIES: &[&str] =
    &["filter", "attributes", "excludedAttributes", "startIndex", "count", "sortBy", "sortOrder"];

pub(crate) fn serve(world: &World, request: &Request, rest: &[&str]) -> Answer {
    let Some(kind) = rest.first().filter(|kind| COLLECTIONS.contains(kind)) else {
        return Err(Reply::no_endpoint(request));
    };
    match (request.method.as_str(), rest) {
        ("GET", [_] | [_, _]) => {}
        ("POST", [_]) | ("PUT" | "PATCH" | "DELETE", [_, _]) => {
            return Err(Reply::scim_error(501, None, "the simulator does not simulate SCIM writes"));
        }
        _ => return Err(Reply::no_endpoint(request)),
    }
    request.only_queries(QUERIES)?;
    request.no_body()?;
    let mut reply = match rest {
        [_, id] => match world.read(kind, id) {
            Some(found) => Reply::json(200, project(request, with_refs(world, found))),
            None => return Err(Reply::scim_error(404, None, format!("{kind} with id {id} not found"))),
        },
        _ => list(world, request, kind)?,
    };
    reply.content_type = "application/scim+json".to_owned();
    Ok(reply)
}

fn list(world: &World, request: &Request, kind: &str) -> Answer {
    let mut found = world.list(kind);
    if let Some(text) = request.query("filter") {
        let refused = |why| Reply::scim_error(400, Some("invalidFilter"), why);
        let filter = filter::parse(text).map_err(refused)?;
        found.retain(|item| filter.accepts(item));
    }
    if let Some(key) = request.query("sortBy") {
        found.sort_by_key(|item| item[key].as_str().unwrap_or_default().to_lowercase());
        if request.query("sortOrder") == Some("descending") {
            found.reverse();
        }
    }
    let total = found.len();
    let start = index(request, "startIndex", 1)?.max(1);
    let count = index(request, "count", 100)?;
    let mut page: Vec<Value> = found.into_iter().skip(start - 1).take(count).collect();
    for item in &mut page {
        if let Value::Object(item) = item {
            item.remove("members");
        }
        *item = project(request, item.take());
    }
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
    });
    if !page.is_empty() {
        body["Resources"] = json!(page);
    }
    Ok(Reply::json(200, body))
}

fn index(request: &Request, name: &str, default: usize) -> Result<usize, Reply> {
    let Some(text) = request.query(name) else { return Ok(default) };
    let refused = |_| Reply::scim_error(400, Some("invalidValue"), format!("{name} must be a whole number"));
    text.parse().map_err(refused)
}

/// The address of each member of a group, unless the member has one itself.
fn with_refs(world: &World, mut found: Value) -> Value {
    for member in found["members"].as_array_mut().into_iter().flatten() {
        let Some(id) = member["value"].as_str().map(str::to_owned) else { continue };
        let home = COLLECTIONS.iter().find(|kind| world.store.get(kind, &id).is_some());
        if let (Some(home), Value::Object(member)) = (home, member) {
            member.entry("$ref").or_insert_with(|| json!(format!("{home}/{id}")));
        }
    }
    found
}

/// Only the attributes asked for; the id always.
fn project(request: &Request, mut item: Value) -> Value {
    let names = |query: Option<&str>| -> Option<Vec<String>> {
        query.map(|text| text.split(',').map(|name| name.trim().to_lowercase()).collect())
    };
    // A sub-attribute asks for all of the attribute, which the protocol allows.
    let names_it = |list: &[String], key: &str| {
        list.iter().any(|name| name.split('.').next() == Some(key.to_lowercase().as_str()))
    };
    let wanted = names(request.query("attributes"));
    let unwanted = names(request.query("excludedAttributes")).unwrap_or_default();
    if let Value::Object(item) = &mut item {
        item.retain(|key, _| {
            let wanted = wanted.as_ref().is_none_or(|list| names_it(list, key));
            key == "id" || key == "schemas" || (wanted && !names_it(&unwanted, key))
        });
    }
    item
}
