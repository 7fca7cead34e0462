//! PATCH of a principal: operations that add, remove and replace.
//!
//! Documented: the shapes of operations, `members[value eq "1"]` and the like, that a member which is plain text is a
//! syntax error. Observed by others: adding a member that does not exist returns 200 and adds nothing; the name of a
//! user never changes; the one value of an attribute may come as a list of one entry. Assumed: all operations or none; a
//! path without a value of a filter names the whole list; an operation without a path carries an object of attributes;
//! `active` may be text; the response is empty; by settings, that an unknown member is refused, and that what came before a
//! refused operation stays.

use serde_json::{Map, Value, json};

use super::attributes::{Principals, refuse_twin};
use super::members::known_members;
use super::write::refuse_managed;
use super::{body, principals};
use crate::schema::{Field, Kind, TEXT, check_full};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The attributes that are lists of entries with a `value`.
const LISTS: [&str; 3] = ["members", "roles", "entitlements"];

const OPERATION: &[Field] =
    &[Field::new("op", Kind::OneOf(&["add", "remove", "replace"])).required(), Field::new("path", TEXT)];

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub(super) fn patch(world: &mut World, kind: &Principals, request: &Request, id: &str) -> Answer {
    let operations = operations(request)?;
    let before = principals::stored(world, kind.collection, id)?;
    let own = |operation: &Value| operation["path"] == "externalId";
    if !operations.iter().all(own) {
        refuse_managed(world, &before)?;
    }
    let mut after = before.clone();
    for operation in &operations {
        if let Err(refusal) = apply(world, kind, &mut after, operation) {
            if world.settings.patches_in_part {
                world.put(kind.collection, id, Value::Object(after));
            }
            return Err(refusal);
        }
    }
    refuse_twin(world, kind, &after, id)?;
    principals::keep_admin(world, kind, id, &before, &after)?;
    world.put(kind.collection, id, Value::Object(after));
    Ok(Reply::empty(200))
}

fn syntax(detail: impl Into<String>) -> Reply {
    Reply::scim_error(400, Some("invalidSyntax"), detail)
}

fn operations(request: &Request) -> Result<Vec<Value>, Reply> {
    let mut body = body::object(request)?;
    let schemas = body.remove("schemas").unwrap_or(json!([PATCH_OP]));
    let operations = body.remove("Operations");
    if schemas != json!([PATCH_OP]) || !body.is_empty() {
        return Err(syntax(format!("a PATCH has schemas [{PATCH_OP}] and Operations")));
    }
    match operations {
        Some(Value::Array(operations)) if !operations.is_empty() => {
            operations.iter().try_for_each(check_operation)?;
            Ok(operations)
        }
        _ => Err(syntax("Operations must be a list that is not empty")),
    }
}

fn check_operation(operation: &Value) -> Result<(), Reply> {
    let Value::Object(operation) = operation else { return Err(syntax("an operation must be an object")) };
    let mut rest = operation.clone();
    rest.remove("value");
    check_full(&rest, OPERATION).map_err(|refusal| body::in_scim(refusal, "invalidSyntax"))
}

fn apply(
    world: &World,
    kind: &Principals,
    object: &mut Map<String, Value>,
    operation: &Value,
) -> Result<(), Reply> {
    let (op, value) = (operation["op"].as_str().unwrap_or_default(), &operation["value"]);
    let Some(path) = operation["path"].as_str().filter(|path| !path.is_empty()) else {
        let Value::Object(attributes) = value else {
            return Err(syntax("without a path the value is an object"));
        };
        return attributes.iter().try_for_each(|(path, value)| {
            apply(world, kind, object, &json!({"op": op, "path": path, "value": value}))
        });
    };
    let (attribute, filter) = split(path)?;
    if LISTS.contains(&attribute) && kind.fields.iter().any(|field| field.name == attribute) {
        return change_list(world, object, op, attribute, filter.as_deref(), value);
    }
    if filter.is_some() || !kind.plain.contains(&attribute) {
        return Err(Reply::scim_error(400, Some("invalidPath"), format!("{path} cannot be changed")));
    }
    change_plain(kind, object, op, attribute, value)
}

/// The attribute of a path, and the value that its filter names: `roles[value eq "x"]`.
fn split(path: &str) -> Result<(&str, Option<String>), Reply> {
    let Some((attribute, filter)) = path.split_once('[') else { return Ok((path, None)) };
    let quoted = filter.strip_suffix(']').and_then(|filter| filter.trim().strip_prefix("value eq "));
    let quoted = quoted.and_then(|quoted| serde_json::from_str::<String>(quoted.trim()).ok());
    quoted.map(|value| (attribute, Some(value))).ok_or_else(|| syntax(format!("{path} is no path")))
}

fn change_list(
    world: &World,
    object: &mut Map<String, Value>,
    op: &str,
    attribute: &str,
    filter: Option<&str>,
    value: &Value,
) -> Result<(), Reply> {
    let mut list = object.get(attribute).and_then(Value::as_array).cloned().unwrap_or_default();
    let given = if value.is_null() || filter.is_some() { vec![] } else { entries(value)? };
    if let Some(status) = world.settings.unknown_member_status.filter(|_| attribute == "members") {
        refuse_unknown(world, &given, status)?;
    }
    match (op, filter) {
        ("add", None) => list.extend(given),
        ("replace", None) => list = given,
        ("remove", Some(id)) => list.retain(|entry| entry["value"] != id),
        ("remove", None) => {
            let named = |entry: &Value| given.iter().any(|other| other["value"] == entry["value"]);
            list.retain(|entry| !value.is_null() && !named(entry));
        }
        _ => return Err(syntax(format!("{op} takes no filter"))),
    }
    let mut list = if attribute == "members" { known_members(world, list) } else { list };
    let mut seen = Vec::new();
    list.retain(|entry| {
        let new = !seen.contains(&entry["value"]);
        seen.push(entry["value"].clone());
        new
    });
    match list.is_empty() {
        true => object.remove(attribute),
        false => object.insert(attribute.to_owned(), json!(list)),
    };
    Ok(())
}

/// Refuses members that no principal is.
fn refuse_unknown(world: &World, given: &[Value], status: u16) -> Result<(), Reply> {
    let unknown = given.iter().find(|member| known_members(world, vec![(*member).clone()]).is_empty());
    unknown.map_or(Ok(()), |member| {
        Err(Reply::scim_error(status, None, format!("there is no member with id {}", member["value"])))
    })
}

/// The entries in the value of an operation.
fn entries(value: &Value) -> Result<Vec<Value>, Reply> {
    let entries = match value {
        Value::Array(entries) => entries.clone(),
        Value::Object(_) => vec![value.clone()],
        _ => return Err(syntax("value must be a list of objects with a value")),
    };
    let whole = entries.iter().all(|entry| entry["value"].is_string());
    if whole { Ok(entries) } else { Err(syntax("value must be a list of objects with a value")) }
}

fn change_plain(
    kind: &Principals,
    object: &mut Map<String, Value>,
    op: &str,
    attribute: &str,
    value: &Value,
) -> Result<(), Reply> {
    // Silently ignored: these never change.
    if kind.collection == "Users" && matches!(attribute, "userName" | "emails" | "externalId") {
        return Ok(());
    }
    let value = match value.as_array().map(Vec::as_slice) {
        Some([entry]) if entry.get("value").is_some() => &entry["value"],
        _ => value,
    };
    let value = match (attribute, value.as_str()) {
        ("active", Some("true" | "True")) => json!(true),
        ("active", Some("false" | "False")) => json!(false),
        _ => value.clone(),
    };
    let fits = if attribute == "active" { value.is_boolean() } else { value.is_string() };
    if op == "remove" && attribute != "displayName" && attribute != "active" {
        set(object, attribute, None);
    } else if fits && op != "remove" {
        set(object, attribute, Some(value));
    } else {
        return Err(Reply::scim_error(400, Some("invalidValue"), format!("{attribute} cannot be {value}")));
    }
    Ok(())
}

/// Sets an attribute, or one within another: `name.givenName`.
fn set(object: &mut Map<String, Value>, attribute: &str, value: Option<Value>) {
    let (outer, inner) = attribute.split_once('.').map_or((attribute, None), |(o, i)| (o, Some(i)));
    let mut whole = object.remove(outer).filter(|_| inner.is_some()).unwrap_or_else(|| json!({}));
    match (inner, value) {
        (Some(inner), Some(value)) => whole[inner] = value,
        (Some(inner), None) => drop(whole.as_object_mut().and_then(|whole| whole.remove(inner))),
        (None, Some(value)) => whole = value,
        (None, None) => return,
    }
    object.insert(outer.to_owned(), whole);
}
