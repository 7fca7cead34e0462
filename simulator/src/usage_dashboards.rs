//! Dashboards of usage that Databricks sets up in a workspace, one of each type: they are created and read, and nothing else.
//!
//! Documented: paths, fields, that the response to a create has only the id. Not documented: what a read of a missing one returns,
//! which the setting `missing_dashboard_status` decides. Assumed: that a second create makes a second dashboard, which is shown from then
//! on; that the workspace must exist; the codes. Not here: Unity Catalog, which the workspace needs, and the dashboard itself.

use serde_json::{Value, json};

use crate::schema::{Field, Kind, check_full, whole_number};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The name in the store; the key is `<workspace>/<type>`.
pub(crate) const STORE: &str = "usage-dashboards";

const TYPES: &[&str] = &["USAGE_DASHBOARD_TYPE_WORKSPACE", "USAGE_DASHBOARD_TYPE_GLOBAL"];

const NEW: &[Field] = &[
    Field::new("workspace_id", Kind::Int).required(),
    Field::new("dashboard_type", Kind::OneOf(TYPES)).required(),
    Field::new(
        "major_version",
        Kind::OneOf(&["USAGE_DASHBOARD_MAJOR_VERSION_1", "USAGE_DASHBOARD_MAJOR_VERSION_2"]),
    ),
];

/// Answers calls at `dashboard`.
pub(crate) fn serve(world: &mut World, request: &Request) -> Answer {
    match request.method.as_str() {
        "GET" => {
            request.only_queries(&["workspace_id", "dashboard_type"])?;
            request.no_body()?;
            let text = |name: &str| request.query(name).unwrap_or_default().to_owned();
            read(world, &text("workspace_id"), &text("dashboard_type"))
        }
        "POST" => {
            request.only_queries(&[])?;
            create(world, request)
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// The key of a dashboard in the store.
pub(crate) fn key(workspace: &str, dashboard_type: &str) -> String {
    format!("{workspace}/{dashboard_type}")
}

/// Refuses what no dashboard can be of.
fn check(world: &World, workspace: &str, dashboard_type: &str) -> Result<(), Reply> {
    if !TYPES.contains(&dashboard_type) {
        return Err(Reply::invalid(format!("dashboard_type must be one of {}", TYPES.join(", "))));
    }
    match world.store.get("workspaces", workspace) {
        Some(_) => Ok(()),
        None => Err(Reply::missing(format!("Workspace {workspace} does not exist"))),
    }
}

fn read(world: &World, workspace: &str, dashboard_type: &str) -> Answer {
    check(world, workspace, dashboard_type)?;
    match world.read(STORE, &key(workspace, dashboard_type)) {
        Some(found) => {
            let shown =
                json!({"dashboard_id": found["dashboard_id"], "dashboard_url": found["dashboard_url"]});
            Ok(Reply::json(200, shown))
        }
        None if world.settings.missing_dashboard_status == 200 => {
            Ok(Reply::json(200, json!({"dashboard_id": "", "dashboard_url": ""})))
        }
        None => Err(Reply::missing("There is no usage dashboard of this type in the workspace")),
    }
}

fn create(world: &mut World, request: &Request) -> Answer {
    let mut body = request.object()?;
    check_full(&body, NEW)?;
    let workspace = body.get("workspace_id").and_then(whole_number).unwrap_or_default().to_string();
    let dashboard_type = body["dashboard_type"].as_str().unwrap_or_default().to_owned();
    check(world, &workspace, &dashboard_type)?;
    let id = json!(world.new_uuid());
    body.insert(
        "dashboard_url".to_owned(),
        json!(format!("https://{workspace}.example.com/dashboards/{dashboard_type}")),
    );
    body.insert("dashboard_id".to_owned(), id.clone());
    world.put(STORE, &key(&workspace, &dashboard_type), Value::Object(body));
    Ok(Reply::json(200, json!({"dashboard_id": id})))
}
