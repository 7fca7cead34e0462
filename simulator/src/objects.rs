//! Objects as a test sees and changes them behind the API's back, and those that every account begins with.
//!
//! No rule of the API applies here; missing fields are filled in so that the object looks as if it had been created through
//! the API.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::collections::{self, Under};
use crate::google;
use crate::ip_access_lists::SWITCHES;
use crate::settings::Cloud;
use crate::store::shown;
use crate::world::{IP_ACCESS_LISTS, WORKSPACE_IP_ACCESS_LISTS, World};
use crate::{account_settings, etags, rule_sets, scim, settings_v2, usage_dashboards, workspaces};

/// The ids that `config/demo` refers to.
const DEMO_CREDENTIALS: &str = "11111111-2222-4333-8444-000000000001";
const DEMO_STORAGE: &str = "11111111-2222-4333-8444-000000000002";

/// A collection that is not in the table in `collections`.
struct Own {
    name: &'static str,
    /// The field that holds the id of its objects.
    id: &'static str,
    /// The methods of its API.
    methods: &'static [&'static str],
}

const OWN: &[Own] = &[
    Own { name: "workspaces", id: "workspace_id", methods: &["GET", "POST", "PATCH", "DELETE"] },
    Own { name: "ip-access-lists", id: "list_id", methods: &["GET", "POST", "PUT", "PATCH", "DELETE"] },
    Own {
        name: WORKSPACE_IP_ACCESS_LISTS,
        id: "list_id",
        methods: &["GET", "POST", "PUT", "PATCH", "DELETE"],
    },
    Own { name: SWITCHES, id: "workspace_id", methods: &["GET", "PATCH"] },
    Own { name: "permissionassignments", id: "id", methods: &["GET", "PUT", "DELETE"] },
    // `account_settings` says which methods each setting has.
    Own { name: account_settings::STORE, id: "setting_type", methods: &[] },
    Own { name: settings_v2::STORE, id: "name", methods: settings_v2::METHODS },
    Own { name: rule_sets::STORE, id: "name", methods: &["GET", "PUT"] },
    Own { name: workspaces::NETWORK_OPTIONS, id: "workspace_id", methods: &["GET", "PUT"] },
    Own {
        name: workspaces::METASTORE_ASSIGNMENTS,
        id: "workspace_id",
        methods: &["GET", "POST", "PUT", "DELETE"],
    },
    Own { name: usage_dashboards::STORE, id: "dashboard_id", methods: &["GET", "POST"] },
];

const SCIM_METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A collection of the account that the simulator serves.
#[derive(Clone, Debug, Serialize)]
pub struct Served {
    /// Its name, as for [`crate::Simulator::objects`]. Each setting of the account is one of its own: `settings/<type>`.
    pub name: String,
    /// The methods of its API.
    pub methods: Vec<&'static str>,
}

/// All collections that the simulator serves.
pub(crate) fn served() -> Vec<Served> {
    let own = OWN.iter().filter(|own| !own.methods.is_empty()).map(|own| (own.name, own.methods.to_vec()));
    let scim = scim::COLLECTIONS.iter().map(|name| (*name, SCIM_METHODS.to_vec()));
    let plain = collections::all().map(|collection| (collection.store, collection.methods()));
    let named = own.chain(scim).chain(plain).map(|(name, methods)| (name.to_owned(), methods));
    let settings = account_settings::methods()
        .map(|(kind, methods)| (format!("{}/{kind}", account_settings::STORE), methods));
    named.chain(settings).map(|(name, methods)| Served { name, methods }).collect()
}

/// The field that holds the id of a collection's objects.
fn id_field(collection: &str) -> Result<&'static str, String> {
    if scim::COLLECTIONS.contains(&collection) {
        return Ok("id");
    }
    let own = OWN.iter().find(|own| own.name == collection).map(|own| own.id);
    let found = own.or_else(|| collections::find(collection).map(|found| found.id));
    found.ok_or_else(|| format!("there is no collection '{collection}'"))
}

/// Lets everything happen that was due by now.
pub(crate) fn settle(world: &mut World) {
    workspaces::settle(world);
    collections::settle(world);
}

/// The objects of a collection as they are now.
pub(crate) fn list(world: &mut World, collection: &str) -> Vec<Value> {
    settle(world);
    world.store.list(collection).into_iter().map(|(id, value)| with_id(collection, id, value)).collect()
}

/// Everything there is, by collection.
pub(crate) fn all(world: &mut World) -> Value {
    let names = world.store.collections().filter(|name| !name.starts_with('_'));
    let names: Vec<String> = names.map(str::to_owned).collect();
    let all: Map<String, Value> =
        names.into_iter().map(|name| (name.clone(), json!(list(world, &name)))).collect();
    Value::Object(all)
}

/// Assignments are stored without the workspace, which is part of their key; other objects may be without their parent.
fn with_id(collection: &str, id: &str, value: &Value) -> Value {
    let mut value = shown(value);
    if let Some(under) = parent_of(collection) {
        value[under.field] = json!(id.split('/').next());
    }
    if let (true, Ok(field)) = (has_etag(collection), id_field(collection)) {
        value[field] = json!(id);
    }
    if collection == "permissionassignments" {
        value["id"] = json!(id);
        value["workspace_id"] = json!(id.split('/').next().and_then(|number| number.parse::<i64>().ok()));
    }
    value
}

/// Whether the objects of a collection are always there and have an etag.
fn has_etag(collection: &str) -> bool {
    matches!(collection, account_settings::STORE | rule_sets::STORE)
}

/// Stores what a test set; an etag that was read before is stale then.
fn put(world: &mut World, collection: &str, id: &str, value: Value) {
    world.put(collection, id, value);
    if has_etag(collection) {
        etags::renew(world, collection, id);
    }
}

/// How the objects of a collection have a parent.
fn parent_of(collection: &str) -> Option<&'static Under> {
    collections::find(collection).and_then(|found| found.under.as_ref())
}

/// Creates an object; returns it, or why it cannot be.
pub(crate) fn insert(world: &mut World, collection: &str, value: Value) -> Result<Value, String> {
    settle(world);
    let Value::Object(mut object) = value else { return Err("an object must be a JSON object".to_owned()) };
    let field = id_field(collection)?;
    if collection == "permissionassignments" {
        let (workspace, principal) = (object.remove("workspace_id"), object.get("principal_id"));
        let (Some(workspace), Some(principal)) = (workspace, principal) else {
            return Err("an assignment needs workspace_id and principal_id".to_owned());
        };
        let id = format!("{workspace}/{principal}");
        world.put(collection, &id, Value::Object(object.clone()));
        return Ok(with_id(collection, &id, &Value::Object(object)));
    }
    if collection == usage_dashboards::STORE {
        let (Some(workspace), Some(of)) = (object.get("workspace_id"), object.get("dashboard_type")) else {
            return Err("a dashboard needs workspace_id and dashboard_type".to_owned());
        };
        let key = usage_dashboards::key(&text(workspace), &text(of));
        object.entry(field).or_insert_with(|| json!(world.new_uuid()));
        let value = Value::Object(object);
        world.put(collection, &key, value.clone());
        return Ok(value);
    }
    if collections::find(collection).is_some() {
        return insert_plain(world, collection, field, object);
    }
    let within = match collection {
        WORKSPACE_IP_ACCESS_LISTS => {
            let workspace =
                object.remove("workspace_id").ok_or("a list of a workspace needs workspace_id")?;
            format!("{}/", text(&workspace))
        }
        _ => String::new(),
    };
    let mut whole = defaults(world, collection);
    whole.append(&mut object);
    if collection == "Users" {
        scim::fill_user(&mut whole);
    }
    if [IP_ACCESS_LISTS, WORKSPACE_IP_ACCESS_LISTS].contains(&collection) {
        whole.insert("address_count".into(), json!(whole["ip_addresses"].as_array().map_or(0, Vec::len)));
    }
    let id = format!("{within}{}", text(&whole[field]));
    let value = Value::Object(whole);
    put(world, collection, &id, value.clone());
    Ok(with_id(collection, &id, &value))
}

/// Creates an object of a plain collection, whose parent must be named, but need not exist.
fn insert_plain(
    world: &mut World,
    collection: &str,
    id_field: &str,
    mut object: Map<String, Value>,
) -> Result<Value, String> {
    let id = object.remove(id_field).map(|id| text(&id)).unwrap_or_else(|| world.new_uuid());
    let mut key = id;
    if let Some(under) = parent_of(collection) {
        let parent = object.remove(under.field);
        let parent = parent.ok_or_else(|| format!("an object of '{collection}' needs {}", under.field))?;
        key = format!("{}/{key}", text(&parent));
    }
    collections::completed(world, collection, &key, &mut object);
    let value = Value::Object(object);
    world.put(collection, &key, value.clone());
    Ok(with_id(collection, &key, &value))
}

/// An id, whether it is text or a number.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn defaults(world: &mut World, collection: &str) -> Map<String, Value> {
    if scim::COLLECTIONS.contains(&collection) {
        return scim::defaults(world, collection);
    }
    let (now, number, uuid) = (world.now(), world.new_number(), world.new_uuid());
    let value = match collection {
        "workspaces" => json!({
            "workspace_id": number, "workspace_name": format!("workspace-{number}"), "aws_region": "eu-west-1",
            "deployment_name": format!("dbc-{number:x}"), "account_id": world.account_id, "creation_time": now,
            "pricing_tier": "PREMIUM", "compute_mode": "HYBRID", "storage_mode": "CUSTOMER_HOSTED",
            "workspace_status": "RUNNING", "workspace_status_message": "Workspace is running.", "_ran": now,
        }),
        IP_ACCESS_LISTS | WORKSPACE_IP_ACCESS_LISTS => json!({
            "list_id": uuid, "label": uuid, "list_type": "ALLOW", "ip_addresses": [], "enabled": true,
            "created_at": now, "updated_at": now, "created_by": number, "updated_by": number,
        }),
        _ => json!({}),
    };
    value.as_object().cloned().unwrap_or_default()
}

/// Merges `changes` into an object; a null removes a field. A status that is set by hand stays.
pub(crate) fn edit(world: &mut World, collection: &str, id: &str, changes: Value) -> Result<Value, String> {
    settle(world);
    let Value::Object(changes) = changes else { return Err("changes must be a JSON object".to_owned()) };
    let Some(Value::Object(mut object)) = world.store.get(collection, id).cloned() else {
        return Err(format!("there is no object {id} in '{collection}'"));
    };
    let changed: Vec<String> = changes.keys().cloned().collect();
    if let Some(status) = changes.get("workspace_status") {
        object.remove("_due");
        if status == "RUNNING" {
            object.entry("_ran").or_insert(json!(world.now()));
        }
    }
    for (name, value) in changes {
        match value {
            Value::Null => object.remove(&name),
            value => object.insert(name, value),
        };
    }
    let mut value = Value::Object(object);
    collections::restart(world, collection, &changed, &mut value);
    put(world, collection, id, value.clone());
    Ok(with_id(collection, id, &value))
}

/// Removes an object and what depends on it; returns whether there was one.
pub(crate) fn remove(world: &mut World, collection: &str, id: &str) -> bool {
    settle(world);
    let there = world.store.get(collection, id).is_some();
    if collection == "workspaces" {
        let now = world.now();
        workspaces::forget(world, id, now);
    }
    world.remove(collection, id);
    if has_etag(collection) {
        etags::renew(world, collection, id);
    }
    if scim::COLLECTIONS.contains(&collection) {
        scim::forget(world, collection, id);
    } else {
        collections::orphan(world, collection, id);
    }
    there
}

/// What every account begins with; it existed long ago, whatever lag is set.
pub(crate) fn seed(world: &mut World) {
    collections::seed(world);
    let caller = json!({
        "id": world.caller_id.to_string(), "displayName": "operator", "applicationId": world.client_id,
        "active": true, "roles": [{"value": "account_admin"}],
    });
    let mut people = Vec::new();
    for name in ["ada", "grace", "edsger"] {
        let user_name = format!("{name}@example.com");
        people.push(json!({"displayName": name, "userName": user_name, "name": {"givenName": name}}));
    }
    if world.settings.cloud == Cloud::GCP {
        people.push(json!({"userName": google::EMAIL, "roles": [{"value": "account_admin"}]}));
    }
    let robot = json!({"displayName": "pipeline"});
    let mut members = Vec::new();
    for (collection, value) in people
        .into_iter()
        .map(|person| ("Users", person))
        .chain([("ServicePrincipals", caller), ("ServicePrincipals", robot)])
    {
        let mut whole = defaults(world, collection);
        whole.extend(value.as_object().cloned().unwrap_or_default());
        if collection == "Users" {
            scim::fill_user(&mut whole);
        }
        let id = whole["id"].as_str().unwrap_or_default().to_owned();
        members.push(json!({"value": id, "display": whole["displayName"]}));
        world.store.put(collection, &id, Value::Object(whole), 0);
    }
    for (name, members) in [("data-eng", &members[..2]), ("analysts", &members[1..3])] {
        let mut whole = defaults(world, "Groups");
        whole.extend([("displayName".to_owned(), json!(name)), ("members".to_owned(), json!(members))]);
        let id = whole["id"].as_str().unwrap_or_default().to_owned();
        world.store.put("Groups", &id, Value::Object(whole), 0);
    }
}

/// What the demo finds in the account: objects that are not managed yet.
pub(crate) fn seed_demo(world: &mut World) -> Result<(), String> {
    let role = "arn:aws:iam::111122223333:role/databricks-legacy";
    let credentials = json!({
        "credentials_id": DEMO_CREDENTIALS, "credentials_name": "legacy",
        "aws_credentials": {"sts_role": {"role_arn": role}},
    });
    insert(world, "credentials", credentials)?;
    let workspace = json!({
        "workspace_name": "legacy", "credentials_id": DEMO_CREDENTIALS,
        "storage_configuration_id": DEMO_STORAGE,
    });
    insert(world, "workspaces", workspace)?;
    let office = json!({"label": "office", "ip_addresses": ["203.0.113.0/24"]});
    insert(world, "ip-access-lists", office)?;
    Ok(())
}
