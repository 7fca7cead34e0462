//! SCIM: users, groups and service principals of the account.
//!
//! Documented: paging, projection, the filter operators, that lists of groups come without members. Observed by others:
//! members carry `$ref`, their collection and id; Terraform's provider asks for the `userName` of a service principal, and gets the
//! application id, which stands for it. Assumed: a response has at most 100 items unless `count` asks for more.
//! `write` and `patch` change principals.

mod attributes;
mod body;
mod filter;
mod members;
mod patch;
mod principals;
mod write;

use serde_json::{Value, json};

use crate::wire::{Answer, Content, Reply, Request};
use crate::world::World;
use attributes::Principals;
use principals::unknown;

pub(crate) use attributes::{defaults, fill_user};
pub(crate) use principals::COLLECTIONS;
pub(crate) use write::forget;

const QUERIES: &[&str] =
    &["filter", "attributes", "excludedAttributes", "startIndex", "count", "sortBy", "sortOrder"];

/// What a list shows at least.
const LEAN: &[&str] = &["id", "schemas", "displayName", "userName", "applicationId"];

pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    let Some(kind) = rest.first().and_then(|name| Principals::of(name)) else {
        return Err(Reply::no_endpoint(request));
    };
    request.only_queries(if request.method == "GET" { QUERIES } else { &[] })?;
    if matches!(request.method.as_str(), "GET" | "DELETE") {
        request.no_body()?;
    }
    let mut reply = match (request.method.as_str(), rest) {
        ("GET", [_]) => list(world, request, kind.collection)?,
        ("GET", [_, id]) => match world.read(kind.collection, id) {
            Some(found) => Reply::json(200, project(request, members::with_refs(world, found))),
            None => return Err(unknown(kind.collection, id)),
        },
        ("POST", [_]) => write::create(world, kind, request)?,
        ("PUT", [_, id]) => write::replace(world, kind, request, id)?,
        ("PATCH", [_, id]) => patch::patch(world, kind, request, id)?,
        ("DELETE", [_, id]) => write::delete(world, kind, id)?,
        _ => return Err(Reply::no_endpoint(request)),
    };
    if matches!(reply.content, Content::Json(_)) {
        reply.content_type = "application/scim+json".to_owned();
    }
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
    let lean = world.settings.lean_scim_lists && request.query("attributes").is_none();
    for item in &mut page {
        if let Value::Object(item) = item {
            item.retain(|name, _| name != "members" && (!lean || LEAN.contains(&name.as_str())));
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
            let wanted = wanted.as_ref().is_none_or(|list| {
                names_it(list, key) || (key == "applicationId" && names_it(list, "userName"))
            });
            key == "id" || key == "schemas" || (wanted && !names_it(&unwanted, key))
        });
    }
    item
}
