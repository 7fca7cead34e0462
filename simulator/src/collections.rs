//! Plain collections, one line of [`COLLECTIONS`] each: list (a bare array), create, read, update, delete.
//!
//! Documented: the verbs, the fields, that names are unique where it says so, that an object in use cannot be
//! deleted. Observed by others: the forms of that refusal, and that it outlasts the workspace for a while. Assumed: the code
//! for a taken name, that an update returns the object, and that fields which only a response has are ignored.

use serde_json::{Map, Value, json};

use crate::refusals;
use crate::schema::{Field, Kind, check_full, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// How one plain collection differs from the next.
pub(crate) struct Collection {
    /// The path segment, which is also its name in the store.
    pub path: &'static str,
    pub id: &'static str,
    pub name: &'static str,
    /// No two objects have the same name.
    pub unique: bool,
    /// `PUT` (a full body), `PATCH` (a partial one), or none.
    pub update: Option<&'static str>,
    /// Collections, and their fields, that refer to this one by id.
    pub used_by: &'static [(&'static str, &'static str)],
    pub fields: &'static [Field],
}

const AWS_ROLE: &[Field] =
    &[Field::new("sts_role", Kind::Object(&[Field::new("role_arn", Kind::RoleArn).required()])).required()];

const ROOT_BUCKET: &[Field] = &[Field::new("bucket_name", Kind::Text(3, 63)).required()];

const VPC_ENDPOINTS: &[Field] =
    &[Field::new("rest_api", Kind::TextList), Field::new("dataplane_relay", Kind::TextList)];

/// All of them.
pub(crate) const COLLECTIONS: &[Collection] = &[
    // `external_id` of the role is not shown: newest versions of the API leave it out.
    Collection {
        path: "credentials",
        id: "credentials_id",
        name: "credentials_name",
        unique: true,
        update: None,
        used_by: &[("workspaces", "credentials_id")],
        fields: &[
            Field::new("credentials_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("aws_credentials", Kind::Object(AWS_ROLE)).required().immutable(),
        ],
    },
    Collection {
        path: "storage-configurations",
        id: "storage_configuration_id",
        name: "storage_configuration_name",
        unique: true,
        update: None,
        used_by: &[("workspaces", "storage_configuration_id")],
        fields: &[
            Field::new("storage_configuration_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("root_bucket_info", Kind::Object(ROOT_BUCKET)).required().immutable(),
            Field::new("role_arn", Kind::RoleArn).immutable(),
        ],
    },
    Collection {
        path: "networks",
        id: "network_id",
        name: "network_name",
        unique: true,
        update: None,
        used_by: &[("workspaces", "network_id")],
        fields: &[
            Field::new("network_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("vpc_id", Kind::Text(4, 64)).required().immutable(),
            Field::new("subnet_ids", Kind::TextList).required().immutable(),
            Field::new("security_group_ids", Kind::TextList).required().immutable(),
            Field::new("vpc_endpoints", Kind::Object(VPC_ENDPOINTS)).immutable(),
        ],
    },
];

pub(crate) fn find(path: &str) -> Option<&'static Collection> {
    COLLECTIONS.iter().find(|collection| collection.path == path)
}

pub(crate) fn serve(world: &mut World, collection: &Collection, request: &Request, rest: &[&str]) -> Answer {
    request.only_queries(&[])?;
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            request.no_body()?;
            Ok(Reply::json(200, json!(world.list(collection.path))))
        }
        ("POST", []) => create(world, collection, body(collection, request)?),
        ("GET", [id]) => {
            request.no_body()?;
            let found = world.read(collection.path, id);
            found.map(|value| Reply::json(200, value)).ok_or_else(|| unknown(collection, id))
        }
        ("DELETE", [id]) => {
            request.no_body()?;
            delete(world, collection, id)
        }
        (verb, [id]) if Some(verb) == collection.update => {
            update(world, collection, id, body(collection, request)?)
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// The body without the fields that only a response has.
fn body(collection: &Collection, request: &Request) -> Result<Map<String, Value>, Reply> {
    let mut body = request.object()?;
    let shown =
        ["account_id", "creation_time", "workspace_id", "vpc_status", "error_messages", "warning_messages"];
    body.retain(|name, _| !shown.contains(&name.as_str()) && name != collection.id);
    Ok(body)
}

fn unknown(collection: &Collection, id: &str) -> Reply {
    Reply::missing(format!("{} with id {id} does not exist", collection.path))
}

fn create(world: &mut World, collection: &Collection, mut body: Map<String, Value>) -> Answer {
    check_full(&body, collection.fields)?;
    refuse_taken_name(world, collection, &body, None)?;
    if collection.path == "credentials" {
        refusals::check_role(world)?;
    }
    let id = world.new_uuid();
    body.insert(collection.id.to_owned(), json!(id));
    body.insert("account_id".to_owned(), json!(world.account_id));
    body.insert("creation_time".to_owned(), json!(world.now()));
    let value = Value::Object(body);
    world.put(collection.path, &id, value.clone());
    Ok(Reply::json(201, value))
}

fn update(world: &mut World, collection: &Collection, id: &str, body: Map<String, Value>) -> Answer {
    let Some(Value::Object(mut object)) = world.store.get(collection.path, id).cloned() else {
        return Err(unknown(collection, id));
    };
    if collection.update == Some("PUT") {
        check_full(&body, collection.fields)?;
        object.retain(|name, _| collection.fields.iter().all(|field| field.immutable || field.name != name));
    } else {
        check_partial(&body, collection.fields)?;
    }
    for field in collection.fields.iter().filter(|field| field.immutable) {
        if body.get(field.name).is_some_and(|value| object.get(field.name) != Some(value)) {
            return Err(Reply::invalid(format!("{} cannot be changed", field.name)));
        }
    }
    refuse_taken_name(world, collection, &body, Some(id))?;
    object.extend(body);
    let value = Value::Object(object);
    world.put(collection.path, id, value.clone());
    Ok(Reply::json(200, value))
}

fn refuse_taken_name(
    world: &World,
    collection: &Collection,
    body: &Map<String, Value>,
    own_id: Option<&str>,
) -> Result<(), Reply> {
    let Some(name) = body.get(collection.name) else { return Ok(()) };
    let objects = world.store.list(collection.path);
    let taken =
        objects.iter().any(|(id, value)| Some(*id) != own_id && value.get(collection.name) == Some(name));
    if taken && collection.unique && world.settings.refuse_duplicates {
        let message = format!("{} configuration with name {name} already exists", collection.path);
        return Err(Reply::error(409, "ALREADY_EXISTS", message));
    }
    Ok(())
}

fn delete(world: &mut World, collection: &Collection, id: &str) -> Answer {
    let Some(value) = world.store.get(collection.path, id).cloned() else {
        return Err(unknown(collection, id));
    };
    if let Some(user) = user_of(world, collection, id) {
        return Err(refusals::in_use(world, collection.path, id, &user));
    }
    world.remove(collection.path, id);
    Ok(Reply::json(200, value))
}

/// Who uses an object, or did until a moment ago.
fn user_of(world: &World, collection: &Collection, id: &str) -> Option<String> {
    let since_ms = world.now().saturating_sub(world.settings.release_ms);
    collection.used_by.iter().find_map(|(user, field)| {
        let gone = world.store.removed_since(user, since_ms);
        let mut users = world.store.list(user).into_iter().chain(gone);
        users.find(|(_, value)| value.get(field) == Some(&json!(id))).map(|(user_id, _)| user_id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::wire::Content;
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Uri, header};

    const FIELDS: &[Field] = &[
        Field::new("private_access_settings_name", Kind::Text(4, 256)).required(),
        Field::new("region", Kind::Text(1, 64)).required().immutable(),
        Field::new("public_access_enabled", Kind::Bool),
    ];

    /// The table has no updatable line yet; the next one must work without new code.
    fn settings_of(update: &'static str) -> Collection {
        Collection {
            path: "private-access-settings",
            id: "private_access_settings_id",
            name: "private_access_settings_name",
            unique: true,
            update: Some(update),
            used_by: &[],
            fields: FIELDS,
        }
    }

    fn call(
        world: &mut World,
        collection: &Collection,
        method: &str,
        rest: &[&str],
        body: &Value,
    ) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        let request = Request::new(method, &Uri::from_static("/x"), headers, Bytes::from(body.to_string()));
        let reply = serve(world, collection, &request, rest).unwrap_or_else(|refusal| refusal);
        let Content::Json(value) = reply.content else { panic!("a JSON answer") };
        (reply.status, value)
    }

    #[test]
    fn a_full_update_drops_what_it_leaves_out_and_a_partial_one_keeps_it() {
        let body =
            json!({"private_access_settings_name": "main", "region": "r1", "public_access_enabled": true});
        let full = json!({"private_access_settings_name": "renamed", "region": "r1"});
        let partial = json!({"private_access_settings_name": "renamed"});
        for (verb, update, enabled) in [("PUT", &full, Value::Null), ("PATCH", &partial, json!(true))] {
            let collection = settings_of(verb);
            let mut world = World::new("a".into(), "c".into(), "s".into(), Settings::default());
            let (_, created) = call(&mut world, &collection, "POST", &[], &body);
            let id = created[collection.id].as_str().unwrap().to_owned();
            let (status, updated) = call(&mut world, &collection, verb, &[&id], update);
            assert_eq!((status, &updated["public_access_enabled"]), (200, &enabled), "{verb}");
            assert_eq!(updated["private_access_settings_name"], "renamed");
            assert_eq!(updated["creation_time"], created["creation_time"]);

            let mut moved = body.clone();
            moved["region"] = json!("r2");
            assert_eq!(
                call(&mut world, &collection, verb, &[&id], &moved).0,
                400,
                "{verb}: region is immutable"
            );
            let other = if verb == "PUT" { "PATCH" } else { "PUT" };
            assert_eq!(call(&mut world, &collection, other, &[&id], &body).0, 404, "no {other} here");
        }
    }
}
