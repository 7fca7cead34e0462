//! IP access lists of the account: from which addresses the console and this API can be reached.
//!
//! Documented: fields, order of evaluation, quota, the guard against locking out the caller on create and change.
//! Observed by others: the text a blocked caller sees; that the token endpoint is closed to it as well; that reads are
//! late, by minutes (`ip_list_lag_ms`); a taken (type, label) is a 400 in workspaces. Assumed: the same conflict in the
//! account, as 400 or as 409 (`ip_list_taken_statuses`); PUT without addresses empties the list; PUT returns the
//! object, PATCH and DELETE with nothing; lists take effect at once.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use crate::schema::{Field, Kind, TEXTS, check_full, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::world::{IP_ACCESS_LISTS as COLLECTION, World};

const QUOTA: usize = 1000;

const CREATE: &[Field] = &[
    Field::new("label", Kind::Text(1, 1024)).required(),
    Field::new("list_type", Kind::OneOf(&["ALLOW", "BLOCK"])).required(),
    Field::new("ip_addresses", TEXTS),
];

const CHANGE: &[Field] = &[
    Field::new("label", Kind::Text(1, 1024)).required(),
    Field::new("list_type", Kind::OneOf(&["ALLOW", "BLOCK"])).required(),
    Field::new("ip_addresses", TEXTS),
    Field::new("enabled", Kind::Bool).required(),
];

pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    request.only_queries(&[])?;
    if matches!(request.method.as_str(), "GET" | "DELETE") {
        request.no_body()?;
    }
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let lists = world.list(COLLECTION);
            // Documented: a missing key is an empty list.
            Ok(Reply::json(200, if lists.is_empty() { json!({}) } else { json!({"ip_access_lists": lists}) }))
        }
        ("POST", []) => create(world, request.object()?),
        ("GET", [id]) => match world.read(COLLECTION, id) {
            Some(list) => Ok(Reply::json(200, json!({"ip_access_list": list}))),
            None => Err(unknown(id)),
        },
        (verb @ ("PUT" | "PATCH"), [id]) => change(world, verb, id, request.object()?),
        ("DELETE", [id]) => delete(world, id),
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn unknown(id: &str) -> Reply {
    Reply::missing(format!("No IP access list with id {id} can be found"))
}

fn create(world: &mut World, mut list: Map<String, Value>) -> Answer {
    check_full(&list, CREATE)?;
    let id = world.new_uuid();
    list.insert("list_id".into(), json!(id));
    list.insert("enabled".into(), json!(true));
    list.insert("created_at".into(), json!(world.now()));
    list.insert("created_by".into(), json!(world.caller_id));
    let list = keep(world, &id, list)?;
    Ok(Reply::json(200, json!({"ip_access_list": list})))
}

fn change(world: &mut World, verb: &str, id: &str, body: Map<String, Value>) -> Answer {
    let Some(Value::Object(mut list)) = world.store.get(COLLECTION, id).cloned() else {
        return Err(unknown(id));
    };
    if verb == "PUT" {
        check_full(&body, CHANGE)?;
        list.remove("ip_addresses");
    } else {
        check_partial(&body, CHANGE)?;
    }
    list.extend(body);
    let list = keep(world, id, list)?;
    if verb == "PUT" { Ok(Reply::json(200, json!({"ip_access_list": list}))) } else { Ok(Reply::empty(200)) }
}

fn delete(world: &mut World, id: &str) -> Answer {
    if world.store.get(COLLECTION, id).is_none() {
        return Err(unknown(id));
    }
    if world.settings.guard_ip_list_deletes {
        guard(world, id, None)?;
    }
    world.remove(COLLECTION, id);
    Ok(Reply::empty(200))
}

/// Stores a list as it shall be from now on, unless it breaks a rule.
fn keep(world: &mut World, id: &str, mut list: Map<String, Value>) -> Result<Value, Reply> {
    let mut addresses = Vec::new();
    for address in list.get("ip_addresses").and_then(Value::as_array).into_iter().flatten() {
        let written = address.as_str().unwrap_or_default();
        let net =
            net(written).ok_or_else(|| Reply::invalid(format!("'{written}' is no IPv4 address or CIDR")))?;
        addresses.push(if world.settings.rewrite_cidrs {
            net.trunc().to_string()
        } else {
            written.to_owned()
        });
    }
    list.insert("address_count".into(), json!(addresses.len()));
    list.insert("ip_addresses".into(), json!(addresses));
    list.insert("updated_at".into(), json!(world.now()));
    list.insert("updated_by".into(), json!(world.caller_id));
    let list = Value::Object(list);
    let objects = world.store.list(COLLECTION);
    let others: Vec<&Value> =
        objects.iter().filter(|(other, _)| *other != id).map(|(_, value)| *value).collect();
    let same = |other: &&Value| other["label"] == list["label"] && other["list_type"] == list["list_type"];
    let taken = world.settings.refuse_duplicates && others.iter().any(same);
    let used: usize = others.iter().map(|other| entries(other).count()).sum();
    if taken {
        return Err(duplicate(world, &list));
    }
    if used + addresses.len() > QUOTA {
        let message = format!("All IP access lists together may have {QUOTA} values");
        return Err(Reply::error(400, "QUOTA_EXCEEDED", message));
    }
    guard(world, id, Some(&list))?;
    world.put(COLLECTION, id, list.clone());
    Ok(list)
}

/// The refusal of a second list of this type and label.
fn duplicate(world: &mut World, list: &Value) -> Reply {
    let message = format!("IP access list of type {} and label {} exists", list["list_type"], list["label"]);
    let statuses = world.settings.ip_list_taken_statuses.clone();
    let status = world.next_status("ip_list_taken", &statuses).unwrap_or(400);
    Reply::error(status, "RESOURCE_ALREADY_EXISTS", message)
}

/// Refuses what would lock out the caller: list `id` as it would be, or without it.
fn guard(world: &World, id: &str, list: Option<&Value>) -> Result<(), Reply> {
    let Some(caller) = world.settings.caller_ip.filter(|_| enforced(world)) else { return Ok(()) };
    let objects = world.store.list(COLLECTION);
    let others = objects.iter().filter(|(other, _)| *other != id).map(|(_, value)| *value);
    if admits(&others.chain(list).collect::<Vec<_>>(), caller) {
        return Ok(());
    }
    Err(Reply::state(format!("The change would block your current IP address {caller}")))
}

/// Refuses every call of a caller that the lists block.
pub(crate) fn admit(world: &World) -> Result<(), Reply> {
    match blocked(world) {
        Some(message) => Err(Reply::error(403, "PERMISSION_DENIED", message)),
        None => Ok(()),
    }
}

/// The same at the token endpoint. Observed by others: its response is JSON, and has none of the fields of an OAuth error.
/// Assumed: it is that of workspaces, where the code is a number.
pub(crate) fn admit_to_tokens(world: &World) -> Result<(), Reply> {
    match blocked(world) {
        Some(message) => Err(Reply::json(403, json!({"error_code": 403, "message": message}))),
        None => Ok(()),
    }
}

/// Whether the account heeds its lists at all. Assumed: it does unless the setting says no; the guard is off with them.
fn enforced(world: &World) -> bool {
    let switch = world.store.get("settings", "acct_ip_acl_enable");
    switch.is_none_or(|switch| switch["acct_ip_acl_enable"]["value"] != false)
}

/// What a blocked caller reads, if the lists block it.
fn blocked(world: &World) -> Option<String> {
    let caller = world.settings.caller_ip.filter(|_| enforced(world))?;
    let objects = world.store.list(COLLECTION);
    if admits(&objects.iter().map(|(_, value)| *value).collect::<Vec<_>>(), caller) {
        return None;
    }
    Some(format!("Source IP address: {caller} is blocked by Databricks IP ACL for account"))
}

/// A blocking match denies; with an enabled list of allowed addresses, one must match; otherwise all are admitted.
fn admits(lists: &[&Value], caller: Ipv4Addr) -> bool {
    let enabled = |kind: &str| {
        let of_kind =
            lists.iter().filter(|list| list["enabled"] == json!(true) && list["list_type"] == json!(kind));
        of_kind.copied().collect::<Vec<&Value>>()
    };
    let matches = |list: &&Value| entries(list).filter_map(net).any(|net| net.contains(&caller));
    let allowing = enabled("ALLOW");
    !enabled("BLOCK").iter().any(matches) && (allowing.is_empty() || allowing.iter().any(matches))
}

fn entries(list: &Value) -> impl Iterator<Item = &str> {
    list["ip_addresses"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn net(written: &str) -> Option<Ipv4Net> {
    let address = written.parse::<Ipv4Addr>().map(Ipv4Net::from);
    address.ok().or_else(|| written.parse().ok())
}
