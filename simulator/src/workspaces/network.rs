//! The network policy of a workspace. It always has one: `default-policy`, until another one is set.
//!
//! Documented: paths and fields. Observed by others: the response to a change lacks `workspace_id`. Assumed: the code of a
//! policy that does not exist.

use serde_json::{Value, json};

use crate::collections::check_reference;
use crate::schema::{Field, Kind, check_full, whole_number};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The name in the store; the key is the id of the workspace.
pub(crate) const STORE: &str = "workspace-network-options";

const DEFAULT: &str = "default-policy";

const FIELDS: &[Field] =
    &[Field::new("workspace_id", Kind::Int), Field::new("network_policy_id", Kind::Text(1, 32)).required()];

/// Answers calls at `workspaces/{id}/network`.
pub(super) fn serve(world: &mut World, request: &Request, id: &str) -> Answer {
    request.only_queries(&[])?;
    let Some(number) = world.store.get("workspaces", id).map(|found| found["workspace_id"].clone()) else {
        return Err(super::references::unknown(id));
    };
    match request.method.as_str() {
        "GET" => {
            request.no_body()?;
            let found = world.read(STORE, id);
            let policy = found.map_or(json!(DEFAULT), |found| found["network_policy_id"].clone());
            Ok(Reply::json(200, json!({"workspace_id": number, "network_policy_id": policy})))
        }
        "PUT" => put(world, request, id, &number),
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn put(world: &mut World, request: &Request, id: &str, number: &Value) -> Answer {
    let body = request.object()?;
    check_full(&body, FIELDS)?;
    let named = body.get("workspace_id").and_then(whole_number);
    if named.is_some_and(|named| Some(named) != number.as_i64()) {
        return Err(Reply::invalid("workspace_id is not the one of the path"));
    }
    let policy = body.get("network_policy_id").and_then(Value::as_str).unwrap_or_default();
    check_reference(world, "network_policy_id", "network-policies", policy)?;
    world.put(STORE, id, json!({"workspace_id": number, "network_policy_id": policy}));
    Ok(Reply::json(200, json!({"network_policy_id": policy})))
}
