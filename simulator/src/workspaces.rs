//! Workspaces: provisioning takes time, updates depend on the state, deletion is not at once.
//!
//! What time does to a workspace is in `lifecycle`, what it refers to in `references`, its network policy in `network`,
//! its metastore in `metastore`. Documented: fields of each cloud, states, which
//! field may change in which state, the mask `*`; for GCP, that `expected_workspace_status` pauses the provisioning. Observed by others: a
//! workspace being provisioned cannot be deleted; its creator becomes its admin; AWS pauses too, and other fields may change with the PATCH
//! that ends a pause; clients send `account_id` and fields that only a response has, and these are ignored.
//! Assumed: codes of refusals where not marked otherwise; that responses show `expected_workspace_status`, and that a paused workspace can
//! be deleted; that a masked-out field of a PATCH is left alone (AWS is reported to ignore the mask, and observed by others: GCP to demand
//! it); that a value which is there already is no change, but a FAILED workspace is provisioned again by it; that a repeated DELETE is
//! accepted; which regions there are.

mod lifecycle;
mod metastore;
mod network;
mod references;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::refusals;
use crate::schema::{Field, Kind, UUID, check_full, check_partial};
use crate::settings::Cloud;
use crate::store::shown;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

pub(crate) use lifecycle::{forget, settle};
pub(crate) use metastore::{STORE as METASTORE_ASSIGNMENTS, of_metastore};
pub(crate) use network::STORE as NETWORK_OPTIONS;
pub(crate) use references::unknown;

/// Until which state a workspace is provisioned.
const EXPECTED: &str = "expected_workspace_status";

const FIELDS: &[Field] = &[
    Field::new("workspace_name", Kind::Text(1, 100)).required().immutable(),
    Field::new("deployment_name", Kind::Text(1, 64)).immutable(),
    Field::new("aws_region", Kind::OneOf(REGIONS)).required(),
    Field::new("credentials_id", UUID),
    Field::new("storage_configuration_id", UUID),
    Field::new("network_id", UUID),
    Field::new("private_access_settings_id", UUID),
    Field::new("managed_services_customer_managed_key_id", UUID),
    Field::new("storage_customer_managed_key_id", UUID),
    Field::new("network_connectivity_config_id", UUID),
    Field::new("custom_tags", Kind::TextMap),
    Field::new("pricing_tier", Kind::OneOf(TIERS)).immutable(),
    Field::new("compute_mode", Kind::OneOf(&["HYBRID", "SERVERLESS"])).immutable(),
    Field::new("is_no_public_ip_enabled", Kind::Bool).immutable(),
    Field::new(EXPECTED, Kind::OneOf(&["PROVISIONING", "RUNNING"])),
];

/// The same in an account on Google Cloud.
const GCP_FIELDS: &[Field] = &[
    Field::new("workspace_name", Kind::Text(1, 100)).required().immutable(),
    Field::new("location", Kind::OneOf(GCP_REGIONS)).required().immutable(),
    Field::new("cloud_resource_container", Kind::Object(CONTAINER)).required().immutable(),
    Field::new("gcp_managed_network_config", Kind::Object(MANAGED_NETWORK)).immutable(),
    Field::new("network_id", UUID),
    Field::new("private_access_settings_id", UUID),
    Field::new("managed_services_customer_managed_key_id", UUID),
    Field::new("storage_customer_managed_key_id", UUID),
    Field::new("compute_mode", Kind::OneOf(&["HYBRID", "SERVERLESS"])).immutable(),
    Field::new(EXPECTED, Kind::OneOf(&["PROVISIONING", "RUNNING"])),
];

const CONTAINER: &[Field] =
    &[Field::new("gcp", Kind::Object(&[Field::new("project_id", Kind::Text(1, 64)).required()])).required()];

const MANAGED_NETWORK: &[Field] = &[Field::new("subnet_cidr", Kind::Text(9, 18)).required()];

const GCP_REGIONS: &[&str] = &["asia-northeast1", "europe-west1", "europe-west3", "us-central1", "us-east4"];

fn fields(world: &World) -> &'static [Field] {
    match world.settings.cloud {
        Cloud::AWS => FIELDS,
        Cloud::GCP => GCP_FIELDS,
    }
}

const TIERS: &[&str] = &["STANDARD", "PREMIUM", "ENTERPRISE", "DEDICATED", "COMMUNITY_EDITION", "UNKNOWN"];

const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Fields that a client may send and that have no effect: those that only a response has, and leftovers of older versions.
const IGNORED: &[&str] = &[
    "account_id",
    "azure_workspace_info",
    "cloud",
    "creation_time",
    "customer_managed_key_id",
    "effective_compute_mode",
    "external_customer_info",
    "gcp_workspace_sa",
    "storage_mode",
    "workspace_id",
    "workspace_status",
    "workspace_status_message",
    "workspace_url",
];

/// Changes that take a workspace in a network of Databricks back to `PROVISIONING`.
const DISRUPTIVE: &[&str] =
    &["credentials_id", "private_access_settings_id", "storage_customer_managed_key_id"];

pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    if let [id, "network"] = rest {
        return network::serve(world, request, id);
    }
    match rest {
        [id, "metastore"] => return metastore::serve(world, request, id, None),
        [id, "metastores", one] => return metastore::serve(world, request, id, Some(*one)),
        _ => {}
    }
    request.only_queries(if request.method == "PATCH" { &["update_mask"] } else { &[] })?;
    if matches!(request.method.as_str(), "GET" | "DELETE") {
        request.no_body()?;
    }
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok(Reply::json(200, json!(world.list("workspaces")))),
        ("POST", []) => create(world, body(request)?),
        ("GET", [id]) => {
            world.read("workspaces", id).map(|value| Reply::json(200, value)).ok_or_else(|| unknown(id))
        }
        ("PATCH", [id]) => patch(world, id, request),
        ("DELETE", [id]) => delete(world, id),
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// The body without what is ignored.
fn body(request: &Request) -> Result<Map<String, Value>, Reply> {
    let mut body = request.object()?;
    body.retain(|name, _| !IGNORED.contains(&name.as_str()));
    Ok(body)
}

fn create(world: &mut World, mut body: Map<String, Value>) -> Answer {
    check_full(&body, fields(world))?;
    check_tags(&body)?;
    match world.settings.cloud {
        Cloud::AWS => check_compute_mode(&body)?,
        Cloud::GCP => check_managed_network(&body)?,
    }
    references::check(world, &body, None)?;
    if body.contains_key("credentials_id") {
        refusals::check_role(world)?;
    }
    let deployment = deployment_name(world, body.get("deployment_name").and_then(Value::as_str))?;
    let id = world.new_number();
    let serverless = body.get("compute_mode") == Some(&json!("SERVERLESS"));
    // `is_no_public_ip_enabled` is never shown (documented).
    body.remove("is_no_public_ip_enabled");
    body.entry("pricing_tier").or_insert(json!("PREMIUM"));
    body.entry("compute_mode").or_insert(json!("HYBRID"));
    body.insert("storage_mode".into(), json!(if serverless { "DEFAULT_STORAGE" } else { "CUSTOMER_HOSTED" }));
    body.insert("deployment_name".into(), json!(deployment));
    body.insert("workspace_id".into(), json!(id));
    body.insert("account_id".into(), json!(world.account_id));
    body.insert("creation_time".into(), json!(world.now()));
    body.insert("workspace_status".into(), json!("NOT_PROVISIONED"));
    body.insert("workspace_status_message".into(), json!("Workspace has not yet begun provisioning."));
    body.insert("_fail".into(), json!(world.settings.fail_next_workspace.take()));
    body.insert("_due".into(), json!({"at": world.now() + world.settings.start_ms, "to": "PROVISIONING"}));
    let value = Value::Object(body);
    world.put("workspaces", &id.to_string(), value.clone());
    Ok(Reply::json(201, shown(&value)))
}

fn check_compute_mode(body: &Map<String, Value>) -> Result<(), Reply> {
    let serverless = body.get("compute_mode") == Some(&json!("SERVERLESS"));
    for field in ["credentials_id", "storage_configuration_id"] {
        match (body.contains_key(field), serverless) {
            (true, true) => {
                return Err(Reply::invalid(format!("{field} is not allowed for compute mode SERVERLESS")));
            }
            (false, false) => return Err(Reply::invalid(format!("Missing required field: {field}"))),
            _ => {}
        }
    }
    Ok(())
}

/// Documented: only a VPC of Databricks has a managed network.
fn check_managed_network(body: &Map<String, Value>) -> Result<(), Reply> {
    match body.contains_key("gcp_managed_network_config") && body.contains_key("network_id") {
        true => Err(Reply::invalid("gcp_managed_network_config is not allowed with network_id")),
        false => Ok(()),
    }
}

fn check_tags(body: &Map<String, Value>) -> Result<(), Reply> {
    for (key, value) in body.get("custom_tags").and_then(Value::as_object).into_iter().flatten() {
        let value_length = value.as_str().unwrap_or_default().chars().count();
        if !(1..=127).contains(&key.chars().count()) || value_length > 255 {
            return Err(Reply::invalid(format!(
                "Invalid custom tag '{key}': keys have 1-127 characters, values 0-255"
            )));
        }
    }
    Ok(())
}

fn deployment_name(world: &World, wanted: Option<&str>) -> Result<String, Reply> {
    let Some(wanted) = wanted else {
        let random = Uuid::new_v4().simple().to_string();
        return Ok(format!("dbc-{}-{}", &random[..8], &random[8..12]));
    };
    let Some(prefix) = &world.settings.deployment_prefix else {
        return Err(Reply::malformed(
            "Deployment name cannot be used until a deployment name prefix is defined",
        ));
    };
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let name = match wanted {
        "EMPTY" => prefix.clone(),
        _ if plain(wanted) && !wanted.starts_with('-') && !wanted.ends_with('-') => {
            format!("{prefix}-{wanted}")
        }
        _ => return Err(Reply::invalid("deployment_name is not a valid subdomain")),
    };
    if world.store.list("workspaces").iter().any(|(_, value)| value["deployment_name"] == json!(name)) {
        return Err(Reply::error(409, "RESOURCE_ALREADY_EXISTS", format!("Deployment name {name} is taken")));
    }
    Ok(name)
}

fn patch(world: &mut World, id: &str, request: &Request) -> Answer {
    let mut changes = body(request)?;
    let Some(Value::Object(mut workspace)) = world.store.get("workspaces", id).cloned() else {
        return Err(unknown(id));
    };
    check_partial(&changes, fields(world))?;
    check_tags(&changes)?;
    apply_mask(world, request, &mut changes)?;
    // Documented: the last tag cannot be removed, and the address setting is for a create only.
    changes.retain(|name, value| name != "custom_tags" || *value != json!({}));
    changes.remove("is_no_public_ip_enabled");
    changes.retain(|name, value| !is_kept(name, value, &workspace));
    references::check(world, &changes, Some(id))?;
    let status = workspace["workspace_status"].as_str().unwrap_or_default().to_owned();
    let resumes = is_paused(&workspace) && changes.get(EXPECTED) == Some(&json!("RUNNING"));
    let judged_as = if resumes { "FAILED" } else { status.as_str() };
    for name in changes.keys() {
        check_change(fields(world), name, judged_as, &workspace)?;
    }
    let moved = DISRUPTIVE.iter().any(|name| changes.contains_key(*name));
    let managed_network = !workspace.contains_key("network_id");
    workspace.extend(changes);
    if status == "FAILED" || resumes || (moved && managed_network) {
        workspace.insert("workspace_status".into(), json!("PROVISIONING"));
        workspace.insert("workspace_status_message".into(), json!("Workspace is being updated."));
        workspace.insert("_fail".into(), json!(world.settings.fail_next_workspace.take()));
        workspace.insert(
            "_due".into(),
            json!({"at": world.now() + world.settings.provisioning_ms, "to": "RUNNING"}),
        );
    }
    let value = Value::Object(workspace);
    world.put("workspaces", id, value.clone());
    Ok(Reply::json(200, shown(&value)))
}

/// Whether the provisioning waits for a change.
fn is_paused(workspace: &Map<String, Value>) -> bool {
    ["workspace_status", EXPECTED].iter().all(|name| workspace.get(*name) == Some(&json!("PROVISIONING")))
}

/// Whether the workspace has this value already. It shows its deployment's name with the prefix of the account.
fn is_kept(name: &str, value: &Value, workspace: &Map<String, Value>) -> bool {
    let shown = workspace.get(name);
    let prefixed = || {
        let (shown, sent) = (shown.and_then(Value::as_str), value.as_str());
        shown.zip(sent).is_some_and(|(shown, sent)| shown.ends_with(&format!("-{sent}")))
    };
    shown == Some(value) || (name == "deployment_name" && prefixed())
}

/// Leaves of the changes what the mask names; `*` names all. A masked field without a value would unset it, which no field allows.
fn apply_mask(world: &World, request: &Request, changes: &mut Map<String, Value>) -> Result<(), Reply> {
    let Some(mask) = request.query("update_mask") else {
        let required = world.settings.require_update_mask || world.settings.cloud == Cloud::GCP;
        return if required { Err(Reply::invalid("Update mask must be specified")) } else { Ok(()) };
    };
    if mask == "*" {
        return Ok(());
    }
    let names: Vec<&str> = mask.split(',').filter(|name| !IGNORED.contains(name)).collect();
    for name in &names {
        if fields(world).iter().all(|field| field.name != *name) {
            return Err(Reply::invalid(format!("Update mask names an unknown field '{name}'")));
        }
        if !changes.contains_key(*name) {
            return Err(Reply::invalid(format!("{name} cannot be removed")));
        }
    }
    changes.retain(|name, _| names.contains(&name.as_str()));
    Ok(())
}

fn check_change(
    fields: &[Field],
    name: &str,
    status: &str,
    workspace: &Map<String, Value>,
) -> Result<(), Reply> {
    if fields.iter().any(|field| field.name == name && field.immutable) {
        return Err(Reply::invalid(format!("{name} cannot be updated")));
    }
    let allowed = match (status, name) {
        ("RUNNING", "aws_region" | "storage_configuration_id") => false,
        ("RUNNING", "network_id") => workspace.contains_key("network_id"),
        ("RUNNING", "storage_customer_managed_key_id") => !workspace.contains_key(name),
        ("FAILED", "storage_customer_managed_key_id") => !workspace.contains_key("_ran"),
        ("RUNNING" | "FAILED", _) => true,
        _ => return Err(Reply::state(format!("Workspace cannot be updated while it is {status}"))),
    };
    let refusal = || Reply::invalid(format!("{name} cannot be updated while the workspace is {status}"));
    if allowed { Ok(()) } else { Err(refusal()) }
}

fn delete(world: &mut World, id: &str) -> Answer {
    let Some(mut workspace) = world.store.get("workspaces", id).cloned() else { return Err(unknown(id)) };
    match workspace["workspace_status"].as_str() {
        Some("PROVISIONING") if !workspace.as_object().is_some_and(is_paused) => {
            return Err(Reply::state("Workspace cannot be deleted while it is being provisioned"));
        }
        Some("CANCELLING" | "CANCELLED") => {}
        _ => {
            workspace["workspace_status"] = json!("CANCELLING");
            workspace["workspace_status_message"] = json!("Workspace is being deleted.");
            workspace["_due"] = json!({"at": world.now() + world.settings.deletion_ms, "to": "GONE"});
            world.put("workspaces", id, workspace.clone());
        }
    }
    Ok(Reply::json(200, shown(&workspace)))
}
