//! Permission assignments: which principals may enter a workspace.
//!
//! Documented: upsert, `{USER, ADMIN}` is ADMIN, unknown levels are ignored, no level removes the principal.
//! Observed by others: the text of the refusal while a workspace is not (yet) identity-federated. Assumed: its code,
//! the code for an unknown principal, and that removing an absent principal is no error.

use serde_json::{Value, json};

use crate::schema::{Field, TEXTS, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::workspaces;
use crate::world::World;

/// Documented as an enumeration whose unknown values are ignored, so the values are not checked here.
const FIELDS: &[Field] = &[Field::new("permissions", TEXTS)];

/// Answers calls under `workspaces/{id}/permissionassignments`.
pub(crate) fn serve(world: &mut World, request: &Request, workspace: &str, rest: &[&str]) -> Answer {
    request.only_queries(&[])?;
    if request.method != "PUT" {
        request.no_body()?;
    }
    match (request.method.as_str(), rest) {
        ("GET", [] | ["permissions"]) | ("PUT" | "DELETE", ["principals", _]) => {}
        _ => return Err(Reply::no_endpoint(request)),
    }
    federated(world, workspace)?;
    match (request.method.as_str(), rest) {
        ("GET", []) => list(world, workspace),
        ("GET", _) => Ok(Reply::json(
            200,
            json!({"permissions": [
                {"permission_level": "USER", "description": "May use the workspace"},
                {"permission_level": "ADMIN", "description": "May administer the workspace"},
            ]}),
        )),
        ("PUT", [_, principal]) => put(world, workspace, principal, request),
        (_, [.., principal]) => {
            number(principal)?;
            world.remove("permissionassignments", &format!("{workspace}/{principal}"));
            Ok(Reply::json(200, json!({})))
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// The workspace exists, runs, and has been running for long enough.
fn federated(world: &World, workspace: &str) -> Result<(), Reply> {
    number(workspace)?;
    let Some(value) = world.store.get("workspaces", workspace) else {
        return Err(workspaces::unknown(workspace));
    };
    let ran_ms = value["_ran"].as_u64();
    let federated = ran_ms.is_some_and(|ran_ms| ran_ms + world.settings.federation_delay_ms <= world.now());
    if federated && value["workspace_status"] == json!("RUNNING") {
        return Ok(());
    }
    let message = "Permission assignment APIs are not available for this workspace.";
    Err(Reply::error(400, "BAD_REQUEST", message))
}

fn number(id: &str) -> Result<i64, Reply> {
    let canonical = id.parse::<i64>().ok().filter(|number| number.to_string() == id);
    canonical.ok_or_else(|| Reply::invalid(format!("'{id}' is not a numeric id")))
}

/// The principal as an assignment shows it.
fn principal(world: &World, id: &str) -> Option<Value> {
    let number = id.parse::<i64>().ok()?;
    for (collection, name, shown_as) in [
        ("Users", "userName", "user_name"),
        ("Groups", "displayName", "group_name"),
        ("ServicePrincipals", "applicationId", "service_principal_name"),
    ] {
        if let Some(found) = world.store.get(collection, id) {
            let display = &found["displayName"];
            return Some(json!({"principal_id": number, "display_name": display, shown_as: found[name]}));
        }
    }
    None
}

fn list(world: &World, workspace: &str) -> Answer {
    let prefix = format!("{workspace}/");
    let as_of_ms = world.now().saturating_sub(world.settings.list_lag_ms);
    let mut items = Vec::new();
    for (key, value) in world.store.list_at("permissionassignments", as_of_ms) {
        let Some(id) = key.strip_prefix(&prefix) else { continue };
        let Some(principal) = principal(world, id) else { continue };
        let mut item = json!({"principal": principal, "permissions": value["permissions"]});
        if let Some(error) = value.get("error") {
            item["error"] = error.clone();
        }
        items.push(item);
    }
    if world.settings.shuffle {
        items.sort_by_cached_key(|_| uuid::Uuid::new_v4());
    }
    // Documented: a missing key is an empty list.
    Ok(Reply::json(200, if items.is_empty() { json!({}) } else { json!({"permission_assignments": items}) }))
}

fn put(world: &mut World, workspace: &str, id: &str, request: &Request) -> Answer {
    let body = request.object()?;
    check_partial(&body, FIELDS)?;
    let number = number(id)?;
    let Some(principal) = principal(world, id) else {
        return Err(Reply::missing(format!("Principal {id} does not exist in this account")));
    };
    let wanted = |level: &str| {
        body.get("permissions").is_some_and(|levels| {
            levels.as_array().is_some_and(|levels| levels.iter().any(|known| known == level))
        })
    };
    let permissions = match (wanted("ADMIN"), wanted("USER")) {
        (true, _) => json!(["ADMIN"]),
        (false, true) => json!(["USER"]),
        (false, false) => json!([]),
    };
    if let Some(error) = world.settings.fail_next_assignment.take() {
        return Ok(Reply::json(200, json!({"principal": principal, "permissions": [], "error": error})));
    }
    let key = format!("{workspace}/{id}");
    if permissions == json!([]) {
        world.remove("permissionassignments", &key);
    } else {
        world.put("permissionassignments", &key, json!({"principal_id": number, "permissions": permissions}));
    }
    Ok(Reply::json(200, json!({"principal": principal, "permissions": permissions})))
}
