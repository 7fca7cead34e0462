//! What a principal consists of, and what the account fills in.
//!
//! Documented: the fields, that a user's name is kept in lower case, that emails and the name come from it. Assumed: the
//! rest of the address; that fields which only a response has are ignored in a body. Observed by others: clients send one
//! empty entry for no entitlements.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Kind, TEXT, UUID};
use crate::wire::Reply;
use crate::world::World;

/// What differs between the three collections.
pub(super) struct Principals {
    pub collection: &'static str,
    /// The attribute that occurs once, and how a second object of it is refused.
    pub unique: &'static str,
    pub twin: fn(&str) -> String,
    pub fields: &'static [Field],
    /// Attributes that a PATCH changes as a whole.
    pub plain: &'static [&'static str],
}

const ENTRIES: Kind = Kind::List(0, usize::MAX, &ENTRY);

const ENTRY: Kind = Kind::Object(&[
    Field::new("value", TEXT).required(),
    Field::new("display", TEXT),
    Field::new("$ref", TEXT),
    Field::new("ref", TEXT),
    Field::new("type", TEXT),
    Field::new("primary", Kind::Bool),
]);

const NAME: Kind = Kind::Object(&[Field::new("givenName", TEXT), Field::new("familyName", TEXT)]);

const SCHEMAS: Field = Field::new("schemas", crate::schema::TEXTS);

/// Attributes that only a response has.
const IGNORED: &[&str] = &["id", "meta", "groups", "account_id"];

pub(super) const GROUPS: Principals = Principals {
    collection: "Groups",
    unique: "displayName",
    twin: |name| format!("Group with name {name} already exists."),
    fields: &[
        SCHEMAS,
        Field::new("displayName", Kind::Text(1, 255)).required(),
        Field::new("externalId", TEXT),
        Field::new("members", ENTRIES),
        Field::new("roles", ENTRIES),
        Field::new("entitlements", ENTRIES),
    ],
    plain: &["displayName", "externalId"],
};

pub(super) const USERS: Principals = Principals {
    collection: "Users",
    unique: "userName",
    twin: |name| {
        format!(
            "User with email {name} already exists in this account. Note: emails are case insensitive and are \
             stored in lower case."
        )
    },
    fields: &[
        SCHEMAS,
        Field::new("userName", Kind::Form(is_email, "must be an e-mail address")).required(),
        Field::new("displayName", TEXT),
        Field::new("name", NAME),
        Field::new("active", Kind::Bool),
        Field::new("emails", ENTRIES),
        Field::new("externalId", TEXT),
        Field::new("roles", ENTRIES),
        Field::new("entitlements", ENTRIES),
    ],
    plain: &[
        "userName",
        "displayName",
        "name.givenName",
        "name.familyName",
        "active",
        "emails",
        "externalId",
    ],
};

pub(super) const SERVICE_PRINCIPALS: Principals = Principals {
    collection: "ServicePrincipals",
    unique: "applicationId",
    twin: |id| format!("Service principal with application ID {id} already exists."),
    fields: &[
        SCHEMAS,
        Field::new("displayName", Kind::Text(1, 255)).required(),
        Field::new("applicationId", UUID),
        Field::new("externalId", TEXT),
        Field::new("active", Kind::Bool),
        Field::new("roles", ENTRIES),
        Field::new("entitlements", ENTRIES),
    ],
    plain: &["displayName", "externalId", "active"],
};

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
}

impl Principals {
    pub fn of(collection: &str) -> Option<&'static Self> {
        [&USERS, &GROUPS, &SERVICE_PRINCIPALS].into_iter().find(|found| found.collection == collection)
    }
}

/// A body without what is ignored.
pub(super) fn stripped(kind: &Principals, mut body: Map<String, Value>) -> Map<String, Value> {
    body.retain(|name, _| !IGNORED.contains(&name.as_str()));
    if kind.collection == "Users" {
        body.retain(|name, _| name != "emails" && name != "externalId");
    }
    if body.get("entitlements") == Some(&json!([{}])) {
        body.remove("entitlements");
    }
    body
}

/// What every principal of a collection has, whether it is created through the API or inserted by a test.
pub(crate) fn defaults(world: &mut World, collection: &str) -> Map<String, Value> {
    let (id, uuid) = (world.new_number().to_string(), world.new_uuid());
    let value = match collection {
        "Users" => json!({"id": id, "active": true}),
        "Groups" => json!({"id": id, "meta": {"resourceType": "Group"}}),
        _ => json!({"id": id, "applicationId": uuid, "active": true}),
    };
    let Value::Object(mut defaults) = value else { return Map::new() };
    let schema = format!("urn:ietf:params:scim:schemas:core:2.0:{}", collection.trim_end_matches('s'));
    defaults.insert("schemas".to_owned(), json!([schema]));
    defaults
}

/// What follows from the name of a user.
pub(crate) fn fill_user(user: &mut Map<String, Value>) {
    let Some(name) = user.get("userName").and_then(Value::as_str).map(str::to_lowercase) else { return };
    user.entry("emails").or_insert_with(|| json!([{"value": name, "type": "work", "primary": true}]));
    user.entry("displayName").or_insert_with(|| json!(name));
    user.insert("userName".into(), json!(name));
}

/// Refuses a name, or an application id, that another principal has. Documented: a deactivated one counts. Assumed: the group of one
/// workspace does not, though the account shows it.
pub(super) fn refuse_twin(
    world: &World,
    kind: &Principals,
    object: &Map<String, Value>,
    own_id: &str,
) -> Result<(), Reply> {
    let Some(name) = object.get(kind.unique).and_then(Value::as_str) else { return Ok(()) };
    let same = |other: &Value| {
        other["meta"]["resourceType"] != "WorkspaceGroup"
            && other[kind.unique].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    let others = world.store.list(kind.collection).into_iter();
    if others.filter(|(id, _)| *id != own_id).any(|(_, other)| same(other)) {
        return Err(Reply::scim_error(409, Some("uniqueness"), (kind.twin)(name)));
    }
    Ok(())
}
