//! The metastore of a workspace: one or none.
//!
//! Documented: paths and fields; the metastore must be in the region of the workspace; 404 while there is none. Observed by others: the text of that
//! refusal, and that the region of a new workspace is not known yet, that Terraform's provider names the
//! workspace in the path alone. Assumed: the codes; that the same assignment is accepted twice, and that
//! one to another metastore takes the place of the first; that a region which the simulated workspace lacks is the right one. Not
//! here: metastores that Databricks assigns to new workspaces by itself.

use serde_json::{Value, json};

use crate::schema::{Field, Kind, TEXT, UUID, check_full, check_partial, whole_number};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The name in the store; the key is the id of the workspace.
pub(crate) const STORE: &str = "metastore-assignments";

const NEW: &[Field] = &[
    Field::new("workspace_id", Kind::Int),
    Field::new("metastore_id", UUID).required(),
    // Deprecated, but part of the schema.
    Field::new("default_catalog_name", TEXT).required(),
];

const CHANGED: &[Field] = &[
    Field::new("workspace_id", Kind::Int),
    Field::new("metastore_id", UUID),
    Field::new("default_catalog_name", TEXT),
];

/// Answers calls at `workspaces/{id}/metastore` and `workspaces/{id}/metastores/{metastore}`.
pub(super) fn serve(world: &mut World, request: &Request, id: &str, metastore: Option<&str>) -> Answer {
    request.only_queries(&[])?;
    let Some(workspace) = world.store.get("workspaces", id).cloned() else {
        return Err(super::references::unknown(id));
    };
    match (request.method.as_str(), metastore) {
        ("GET", None) => {
            request.no_body()?;
            let found = world.read(STORE, id).ok_or_else(unassigned)?;
            Ok(Reply::json(200, json!({"metastore_assignment": found})))
        }
        ("POST", Some(metastore)) => assign(world, request, &workspace, metastore),
        ("PUT", Some(metastore)) => change(world, request, id, metastore),
        ("DELETE", Some(metastore)) => {
            request.no_body()?;
            assigned(world, id, metastore)?;
            world.remove(STORE, id);
            Ok(Reply::json(200, json!({})))
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// Answers calls at `metastores/{metastore}/workspaces`.
pub(crate) fn of_metastore(world: &World, request: &Request, metastore: &str) -> Answer {
    request.only_queries(&[])?;
    request.no_body()?;
    if request.method != "GET" {
        return Err(Reply::no_endpoint(request));
    }
    let rows = world.list(STORE).into_iter().filter(|one| one["metastore_id"] == metastore);
    let ids: Vec<Value> = rows.map(|one| one["workspace_id"].clone()).collect();
    Ok(Reply::json(200, if ids.is_empty() { json!({}) } else { json!({"workspace_ids": ids}) }))
}

fn unassigned() -> Reply {
    Reply::error(404, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the current workspace.")
}

/// The assignment of a workspace to this metastore.
fn assigned(world: &World, id: &str, metastore: &str) -> Result<Value, Reply> {
    let found = world.store.get(STORE, id).filter(|found| found["metastore_id"] == metastore);
    found.cloned().ok_or_else(unassigned)
}

/// The content of a body, which must be about the workspace and the metastore of the path.
fn content(
    request: &Request,
    fields: &[Field],
    full: bool,
    workspace: &str,
    metastore: &str,
) -> Result<Value, Reply> {
    let mut body = request.object()?;
    let Some(Value::Object(content)) = body.remove("metastore_assignment") else {
        return Err(Reply::invalid("Missing required field: metastore_assignment"));
    };
    if full {
        check_full(&content, fields)?;
    } else {
        check_partial(&content, fields)?;
    }
    let named = content.get("workspace_id").and_then(whole_number).map(|number| number.to_string());
    let metastore_named = content.get("metastore_id").is_none_or(|named| named == metastore);
    if named.is_some_and(|named| named != workspace) || !metastore_named {
        return Err(Reply::invalid(
            "metastore_assignment is not about the workspace and metastore of the path",
        ));
    }
    Ok(Value::Object(content))
}

fn assign(world: &mut World, request: &Request, workspace: &Value, metastore: &str) -> Answer {
    let id = workspace["workspace_id"].to_string();
    let mut content = content(request, NEW, true, &id, metastore)?;
    content["workspace_id"] = workspace["workspace_id"].clone();
    let Some(found) = world.store.get("metastores", metastore) else {
        let message = format!("Metastore '{metastore}' does not exist.");
        return Err(Reply::error(404, "METASTORE_DOES_NOT_EXIST", message));
    };
    let (ours, theirs) = (&workspace["aws_region"], &found["region"]);
    let known = workspace["workspace_status"] == "RUNNING";
    if !known || (ours != theirs && ours.is_string() && theirs.is_string()) {
        let ours = if known { ours.as_str().unwrap_or_default() } else { "Unknown" };
        let theirs = theirs.as_str().unwrap_or_default();
        return Err(Reply::invalid(format!(
            "Workspace is not in the same region as metastore. Workspace region: {ours}, Metastore region: {theirs}"
        )));
    }
    world.put(STORE, &id, content);
    Ok(Reply::json(200, json!({})))
}

/// Documented: only the default catalog changes.
fn change(world: &mut World, request: &Request, id: &str, metastore: &str) -> Answer {
    let content = content(request, CHANGED, false, id, metastore)?;
    let mut found = assigned(world, id, metastore)?;
    if let Some(catalog) = content.get("default_catalog_name") {
        found["default_catalog_name"] = catalog.clone();
    }
    world.put(STORE, id, found);
    Ok(Reply::json(200, json!({})))
}
