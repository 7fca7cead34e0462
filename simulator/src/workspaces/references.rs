//! What a workspace refers to: objects that exist, and a network that serves no other workspace.
//!
//! Documented: one network for one workspace. Assumed: the codes of both refusals. Ids of collections
//! of which no object is registered are accepted: a story about something else need not register them. Credentials must exist.

use serde_json::{Map, Value};

use crate::collections;
use crate::wire::Reply;
use crate::world::World;

pub(crate) fn unknown(id: &str) -> Reply {
    Reply::missing(format!("Workspace {id} does not exist"))
}

/// Fields that hold the id of an object of a collection.
const REFERENCES: &[(&str, &str)] = &[
    ("credentials_id", "credentials"),
    ("storage_configuration_id", "storage-configurations"),
    ("network_id", "networks"),
    ("private_access_settings_id", "private-access-settings"),
    ("managed_services_customer_managed_key_id", "customer-managed-keys"),
    ("storage_customer_managed_key_id", "customer-managed-keys"),
    ("network_connectivity_config_id", "network-connectivity-configs"),
];

/// Checks the ids in the body of a create, or of a change of the workspace `own_id`.
pub(super) fn check(world: &World, body: &Map<String, Value>, own_id: Option<&str>) -> Result<(), Reply> {
    for (field, collection) in REFERENCES {
        let Some(id) = body.get(*field).and_then(Value::as_str) else { continue };
        // Credentials must exist: they are what each story of a workspace registers.
        if *collection == "credentials" && world.store.get(collection, id).is_none() {
            return Err(Reply::invalid(format!("{field} {id} does not exist in this account")));
        }
        collections::check_reference(world, field, collection, id)?;
    }
    check_use_cases(world, body)?;
    let Some(network) = body.get("network_id") else { return Ok(()) };
    let workspaces = world.store.list("workspaces").into_iter();
    let mut others = workspaces.filter(|(id, _)| Some(*id) != own_id);
    match others.find(|(_, value)| value.get("network_id") == Some(network)) {
        Some((user, _)) => Err(Reply::state(format!("Network {network} is being used by workspace {user}"))),
        None => Ok(()),
    }
}

/// Documented: a key must be registered for what the workspace uses it for.
fn check_use_cases(world: &World, body: &Map<String, Value>) -> Result<(), Reply> {
    for (field, case) in [
        ("managed_services_customer_managed_key_id", "MANAGED_SERVICES"),
        ("storage_customer_managed_key_id", "STORAGE"),
    ] {
        let id = body.get(field).and_then(Value::as_str).unwrap_or_default();
        let Some(key) = world.store.get("customer-managed-keys", id) else { continue };
        let cases = key["use_cases"].as_array();
        if cases.is_some_and(|cases| cases.iter().all(|one| one != case)) {
            return Err(Reply::invalid(format!("The key {id} is not registered for {case}")));
        }
    }
    Ok(())
}
