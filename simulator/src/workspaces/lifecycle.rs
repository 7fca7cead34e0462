//! What time does to a workspace: provisioning, failure, disappearance.
//!
//! There are no timers: each read computes the state, each step with the time at which it was due, so that an advanced
//! clock and lagging reads show what they would have shown.

use serde_json::{Value, json};

use super::{EXPECTED, metastore, network};
use crate::ip_access_lists::SWITCHES;
use crate::usage_dashboards;
use crate::world::{WORKSPACE_IP_ACCESS_LISTS, World};

/// Lets everything happen that was due by now, each at its own time.
pub(crate) fn settle(world: &mut World) {
    let now = world.now();
    loop {
        let workspaces = world.store.list("workspaces").into_iter();
        let due =
            workspaces.filter_map(|(id, value)| Some((value["_due"]["at"].as_u64()?, id.to_owned()))).min();
        let Some((at_ms, id)) = due.filter(|(at_ms, _)| *at_ms <= now) else { return };
        step(world, &id, at_ms);
    }
}

fn step(world: &mut World, id: &str, at_ms: u64) {
    let Some(Value::Object(mut workspace)) = world.store.get("workspaces", id).cloned() else { return };
    let due = workspace.remove("_due").unwrap_or_default();
    let (status, message) = match due["to"].as_str() {
        Some("PROVISIONING") => {
            // A paused one stays so until a change.
            if workspace.get(EXPECTED) != Some(&json!("PROVISIONING")) {
                let at_ms = at_ms + world.settings.provisioning_ms;
                workspace.insert("_due".into(), json!({"at": at_ms, "to": "RUNNING"}));
            }
            ("PROVISIONING", json!("Workspace is being provisioned."))
        }
        Some("RUNNING") => match workspace.remove("_fail") {
            Some(Value::String(message)) => ("FAILED", json!(message)),
            _ => {
                if workspace.insert("_ran".into(), json!(at_ms)).is_none() {
                    let value = json!({"principal_id": world.caller_id, "permissions": ["ADMIN"]});
                    let key = format!("{id}/{}", world.caller_id);
                    world.store.put("permissionassignments", &key, value, at_ms);
                }
                ("RUNNING", json!("Workspace is running."))
            }
        },
        _ => return forget(world, id, at_ms),
    };
    workspace.insert("workspace_status".into(), json!(status));
    workspace.insert("workspace_status_message".into(), message);
    world.store.put("workspaces", id, Value::Object(workspace), at_ms);
}

/// The workspace is gone, and with it all access to it, its lists, its switches and its dashboards, and its metastore is free of it.
pub(crate) fn forget(world: &mut World, id: &str, at_ms: u64) {
    for collection in ["workspaces", network::STORE, metastore::STORE, SWITCHES] {
        world.store.remove(collection, id, at_ms);
    }
    let prefix = format!("{id}/");
    for collection in ["permissionassignments", WORKSPACE_IP_ACCESS_LISTS, usage_dashboards::STORE] {
        let all = world.store.list(collection).into_iter();
        let keys: Vec<String> =
            all.map(|(key, _)| key.to_owned()).filter(|key| key.starts_with(&prefix)).collect();
        for key in keys {
            world.store.remove(collection, &key, at_ms);
        }
    }
}
