//! IP access lists of the account, and of a workspace: from which addresses the console and this API can be reached.
//!
//! Documented: fields, order of evaluation, quota, the guard against locking out the caller on create and change.
//! Observed by others: the text a blocked caller sees; that the token endpoint is closed to it as well; that reads are
//! late, by minutes (`ip_list_lag_ms`); a taken (type, label) is a 400 in workspaces. Assumed: the same conflict in the
//! account, as 400 or as 409 (`ip_list_taken_statuses`); PUT without addresses empties the list; PUT returns the
//! object, PATCH and DELETE with nothing; lists take effect at once. Documented for workspaces: the same calls and bodies, and the
//! switch that is off at first. Assumed: to turn it on is guarded as a change of a list is.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use crate::schema::{Field, Kind, TEXTS, check_full, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::world::{IP_ACCESS_LISTS, WORKSPACE_IP_ACCESS_LISTS, World};

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

/// The name in the store of the switches of workspaces; the key is the workspace.
pub(crate) const SWITCHES: &str = "workspace-conf";

/// The one switch that is simulated.
pub(crate) const SWITCH: &str = "enableIpAccessLists";

/// Whose lists: those of the account, or those of a workspace.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a>(pub Option<&'a str>);

impl Lists<'_> {
    fn collection(self) -> &'static str {
        if self.0.is_some() { WORKSPACE_IP_ACCESS_LISTS } else { IP_ACCESS_LISTS }
    }

    /// What the keys of the lists begin with.
    fn prefix(self) -> String {
        self.0.map(|workspace| format!("{workspace}/")).unwrap_or_default()
    }

    fn key(self, id: &str) -> String {
        format!("{}{id}", self.prefix())
    }

    /// All lists, with their keys.
    fn all(self, world: &World) -> Vec<(&str, &Value)> {
        let prefix = self.prefix();
        world.store.list(self.collection()).into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect()
    }
}

pub(crate) fn serve(world: &mut World, request: &Request, of: Lists<'_>, rest: &[&str]) -> Answer {
    request.only_queries(&[])?;
    if matches!(request.method.as_str(), "GET" | "DELETE") {
        request.no_body()?;
    }
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let rows = world.rows(of.collection()).into_iter();
            let rows = rows.filter(|(key, _)| key.starts_with(&of.prefix()));
            let mut lists: Vec<Value> = rows.map(|(_, list)| list).collect();
            world.shuffle(&mut lists);
            // Documented: a missing key is an empty list.
            Ok(Reply::json(200, if lists.is_empty() { json!({}) } else { json!({"ip_access_lists": lists}) }))
        }
        ("POST", []) => create(world, of, request.object()?),
        ("GET", [id]) => match world.read(of.collection(), &of.key(id)) {
            Some(list) => Ok(Reply::json(200, json!({"ip_access_list": list}))),
            None => Err(unknown(id)),
        },
        (verb @ ("PUT" | "PATCH"), [id]) => change(world, of, verb, id, request.object()?),
        ("DELETE", [id]) => delete(world, of, id),
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn unknown(id: &str) -> Reply {
    Reply::missing(format!("No IP access list with id {id} can be found"))
}

fn create(world: &mut World, of: Lists<'_>, mut list: Map<String, Value>) -> Answer {
    check_full(&list, CREATE)?;
    let id = world.new_uuid();
    list.insert("list_id".into(), json!(id));
    list.insert("enabled".into(), json!(true));
    list.insert("created_at".into(), json!(world.now()));
    list.insert("created_by".into(), json!(world.caller_id));
    let list = keep(world, of, &id, list)?;
    Ok(Reply::json(200, json!({"ip_access_list": list})))
}

fn change(world: &mut World, of: Lists<'_>, verb: &str, id: &str, body: Map<String, Value>) -> Answer {
    let Some(Value::Object(mut list)) = world.store.get(of.collection(), &of.key(id)).cloned() else {
        return Err(unknown(id));
    };
    if verb == "PUT" {
        check_full(&body, CHANGE)?;
        list.remove("ip_addresses");
    } else {
        check_partial(&body, CHANGE)?;
    }
    list.extend(body);
    let list = keep(world, of, id, list)?;
    if verb == "PUT" { Ok(Reply::json(200, json!({"ip_access_list": list}))) } else { Ok(Reply::empty(200)) }
}

fn delete(world: &mut World, of: Lists<'_>, id: &str) -> Answer {
    if world.store.get(of.collection(), &of.key(id)).is_none() {
        return Err(unknown(id));
    }
    if world.settings.guard_ip_list_deletes {
        guard(world, of, id, None)?;
    }
    world.remove(of.collection(), &of.key(id));
    Ok(Reply::empty(200))
}

/// Stores a list as it shall be from now on, unless it breaks a rule.
fn keep(world: &mut World, of: Lists<'_>, id: &str, mut list: Map<String, Value>) -> Result<Value, Reply> {
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
    let key = of.key(id);
    let others: Vec<&Value> =
        of.all(world).into_iter().filter(|(other, _)| *other != key).map(|(_, value)| value).collect();
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
    guard(world, of, id, Some(&list))?;
    world.put(of.collection(), &key, list.clone());
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
fn guard(world: &World, of: Lists<'_>, id: &str, list: Option<&Value>) -> Result<(), Reply> {
    let Some(caller) = world.settings.caller_ip.filter(|_| enforced(world, of)) else { return Ok(()) };
    let key = of.key(id);
    let others = of.all(world).into_iter().filter(|(other, _)| *other != key).map(|(_, value)| value);
    keeps_in(&others.chain(list).collect::<Vec<_>>(), caller)
}

/// Refuses to turn on the switch of a workspace whose lists would lock out the caller.
pub(crate) fn guard_switch(world: &World, workspace: &str) -> Result<(), Reply> {
    let Some(caller) = world.settings.caller_ip else { return Ok(()) };
    let all = Lists(Some(workspace)).all(world).into_iter().map(|(_, value)| value);
    keeps_in(&all.collect::<Vec<_>>(), caller)
}

fn keeps_in(lists: &[&Value], caller: Ipv4Addr) -> Result<(), Reply> {
    let refusal = || Reply::state(format!("The change would block your current IP address {caller}"));
    if admits(lists, caller) { Ok(()) } else { Err(refusal()) }
}

/// Refuses every call of a caller that the lists block, of the account or of a workspace.
pub(crate) fn admit(world: &World, workspace: Option<&str>) -> Result<(), Reply> {
    match blocked(world, workspace) {
        Some(message) => Err(Reply::error(403, "PERMISSION_DENIED", message)),
        None => Ok(()),
    }
}

/// The same at the token endpoint. Observed by others: its response is JSON, and has none of the fields of an OAuth error.
/// Assumed: it is that of workspaces, where the code is a number.
pub(crate) fn admit_to_tokens(world: &World, workspace: Option<&str>) -> Result<(), Reply> {
    match blocked(world, workspace) {
        Some(message) => Err(Reply::json(403, json!({"error_code": 403, "message": message}))),
        None => Ok(()),
    }
}

/// Whether the lists are heeded at all. Assumed for the account: they are unless the setting says no; the guard is off with them.
fn enforced(world: &World, of: Lists<'_>) -> bool {
    if let Some(workspace) = of.0 {
        return world.store.get(SWITCHES, workspace).is_some_and(|switches| switches[SWITCH] == "true");
    }
    let switch = world.store.get("settings", "acct_ip_acl_enable");
    switch.is_none_or(|switch| switch["acct_ip_acl_enable"]["value"] != false)
}

/// What a blocked caller reads, if the lists block it.
fn blocked(world: &World, workspace: Option<&str>) -> Option<String> {
    let of = Lists(workspace);
    let caller = world.settings.caller_ip.filter(|_| enforced(world, of))?;
    if admits(&of.all(world).into_iter().map(|(_, value)| value).collect::<Vec<_>>(), caller) {
        return None;
    }
    let what = workspace.map_or("account".to_owned(), |id| format!("workspace: {id}"));
    Some(format!("Source IP address: {caller} is blocked by Databricks IP ACL for {what}"))
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
