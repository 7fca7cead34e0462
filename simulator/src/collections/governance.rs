//! Unity Catalog as the account sees it: metastores and their storage credentials. Which workspace has which metastore is in
//! `workspaces`.
//!
//! Documented: fields, envelopes, verbs, which fields a create takes, that an update leaves what it does not have, that a name is
//! unique in any case and cannot change, that a metastore or a credential in use is not deleted without force. Observed by others: the
//! id at the end of the path of a metastore; the external id that exists only after the create; the texts of a taken name, of a second
//! metastore in a region and of a credential in use; that the root credential goes with its metastore and not before it; that a client that
//! is not the owner may be refused, which the setting `only_owners_change` decides; that an owner must exist, and the text of that; that
//! Terraform's provider sends the lifetime of recipients' tokens only with the scope. Assumed: all codes; that workspaces hold up the
//! deletion of their metastore as credentials do; that a test of a role that fails has a text like that of a cross-account role; that a role
//! keeps its external id when its ARN changes; that an identity is replaced as a whole. Not here: `force`, which is refused as an unknown
//! parameter; credentials with secrets; groups as owners that the client is in.

use serde_json::{Value, json};

use super::table::{Chosen, Collection, Delete, Fill, List, Under, Update, Use, Write};
use crate::refusals;
use crate::schema::{Field, Kind, ROLE_ARN, TEXT, UUID};
use crate::wire::{Answer, Reply};
use crate::world::World;

const METASTORES: &str = "metastores";
const CREDENTIALS: &str = "storage-credentials";

const ROOT_ID: &str = "storage_root_credential_id";
const SCOPE: &str = "delta_sharing_scope";
const LIFETIME: &str = "delta_sharing_recipient_token_lifetime_in_seconds";

const ROLE: &[Field] = &[Field::new("role_arn", ROLE_ARN).required()];

const IDENTITY: &[Field] =
    &[Field::new("access_connector_id", TEXT).required(), Field::new("managed_identity_id", TEXT)];

pub(super) const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "name",
        list: List::Whole(METASTORES),
        body: Some("metastore_info"),
        fields: &[
            Field::new("name", Kind::Text(1, 255)).required().immutable(),
            Field::new("region", Kind::Text(1, 64)).required().immutable(),
            Field::new("storage_root", Kind::Form(is_path, "must be s3://…, gs://… or abfss://…"))
                .immutable(),
            Field::new("external_access_enabled", Kind::Bool),
            Field::new("owner", TEXT),
            Field::new(SCOPE, Kind::OneOf(&["INTERNAL", "INTERNAL_AND_EXTERNAL"])),
            Field::new(LIFETIME, Kind::Int),
            Field::new("delta_sharing_organization_name", TEXT),
            Field::new("privilege_model_version", TEXT),
            Field::new(ROOT_ID, UUID),
        ],
        on_create: &[("cloud", Fill::Text("aws")), ("created_at", Fill::Now)],
        on_write: &[("updated_at", Fill::Now)],
        defaults: &[("external_access_enabled", Fill::Bool(false))],
        ignored: &[
            "created_by",
            "default_data_access_config_id",
            "global_metastore_id",
            "storage_root_credential_name",
            "updated_by",
        ],
        update: Update::Part,
        delete: Delete::Own(delete_metastore),
        used_by: &[Use {
            says: "is assigned to workspace",
            ..Use::of("metastore-assignments", "metastore_id")
        }],
        rule: metastore,
        ..Collection::paged(METASTORES, "metastore_id", METASTORES)
    },
    Collection {
        store: CREDENTIALS,
        under: Some(Under {
            store: METASTORES,
            field: "metastore_id",
            numeric: false,
            shown: true,
            holds: None,
        }),
        list: List::Whole("storage_credentials"),
        body: Some("credential_info"),
        beside: &["skip_validation"],
        chosen: Chosen::InBody(check_name),
        fields: &[
            Field::new("aws_iam_role", Kind::Object(ROLE)).required().one_of("cloud"),
            Field::new("azure_managed_identity", Kind::Object(IDENTITY)).required().one_of("cloud"),
            Field::new("comment", TEXT),
            Field::new("read_only", Kind::Bool),
            Field::new("owner", TEXT),
            Field::new("isolation_mode", Kind::OneOf(&[OPEN, "ISOLATION_MODE_ISOLATED"])),
        ],
        on_create: &[
            ("id", Fill::Uuid),
            ("created_at", Fill::Now),
            ("used_for_managed_storage", Fill::Bool(false)),
        ],
        on_write: &[("updated_at", Fill::Now)],
        defaults: &[("read_only", Fill::Bool(false))],
        ignored: &["created_by", "full_name", "updated_by"],
        update: Update::Part,
        delete: Delete::Own(delete_credential),
        rule: credential,
        ..Collection::paged("metastores/*/storage-credentials", "name", "storage_credentials")
    },
];

const OPEN: &str = "ISOLATION_MODE_OPEN";

/// Documented: fields of a metastore that a create does not take.
const ONLY_UPDATED: &[&str] =
    &["owner", SCOPE, LIFETIME, "delta_sharing_organization_name", "privilege_model_version", ROOT_ID];

fn is_path(text: &str) -> bool {
    ["s3://", "gs://", "abfss://"].iter().any(|cloud| text.len() > cloud.len() && text.starts_with(cloud))
}

fn check_name(name: &str) -> Result<(), Reply> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '/');
    if (1..=255).contains(&name.chars().count()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Reply::invalid("name must have 1 to 255 characters, without spaces, dots and slashes"))
}

/// Refuses what a create does not take.
fn check_created(write: &Write, only_updated: &[&str]) -> Result<(), Reply> {
    let Some(name) = only_updated.iter().find(|name| write.after.contains_key(**name)) else { return Ok(()) };
    Err(Reply::malformed(format!("Could not parse request object: unknown field '{name}'")))
}

fn same_name(one: &Value, other: &Value) -> bool {
    let lower = |name: &Value| name.as_str().map(str::to_lowercase);
    lower(one).is_some_and(|name| lower(other) == Some(name))
}

/// Refuses a change by a client that is not the owner, if the settings say so, and a new owner that does not exist.
fn check_owner(world: &World, write: &Write) -> Result<(), Reply> {
    let before = write.before.and_then(|before| before.get("owner"));
    let own = json!(world.client_id);
    if world.settings.only_owners_change && before.is_some_and(|owner| *owner != own) {
        return Err(Reply::error(403, "PERMISSION_DENIED", "User is not an owner of this object"));
    }
    let Some(owner) = write.sent.get("owner").filter(|owner| **owner != own) else { return Ok(()) };
    let names = [("Users", "userName"), ("Groups", "displayName"), ("ServicePrincipals", "applicationId")];
    let known = |(store, name): (&str, &str)| {
        world.store.list(store).into_iter().any(|(_, principal)| same_name(&principal[name], owner))
    };
    if names.into_iter().any(known) {
        return Ok(());
    }
    Err(Reply::error(404, "PRINCIPAL_DOES_NOT_EXIST", format!("Could not find principal with name {owner}")))
}

fn metastore(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    let Some(before) = write.before else { return new_metastore(world, write) };
    check_owner(world, write)?;
    if write.sent.contains_key(LIFETIME) && !write.sent.contains_key(SCOPE) {
        return Err(Reply::invalid(format!("{LIFETIME} needs {SCOPE}")));
    }
    let root = write.value(ROOT_ID).clone();
    if root.is_null() || before.get(ROOT_ID) == Some(&root) {
        return Ok(());
    }
    let mut own = credentials_of(world, write.key).into_iter();
    let Some((name, _)) = own.find(|(_, credential)| credential["id"] == root) else {
        let message = format!("Storage Credential {root} does not exist.");
        return Err(Reply::error(404, "STORAGE_CREDENTIAL_DOES_NOT_EXIST", message));
    };
    write.after.insert("storage_root_credential_name".to_owned(), json!(name));
    Ok(())
}

fn new_metastore(world: &World, write: &mut Write) -> Result<(), Reply> {
    check_created(write, ONLY_UPDATED)?;
    let (name, region) = (write.value("name").clone(), write.value("region").clone());
    for (_, other) in world.store.list(METASTORES).into_iter().filter(|_| world.settings.refuse_duplicates) {
        if same_name(&other["name"], &name) {
            return Err(Reply::error(
                400,
                "METASTORE_ALREADY_EXISTS",
                format!("Metastore {name} already exists"),
            ));
        }
        if other["region"] == region {
            let account = &world.account_id;
            return Err(Reply::invalid(format!(
                "This account with id {account} has reached the limit for metastores in region {region}"
            )));
        }
    }
    let key = write.key;
    if let Some(Value::String(path)) = write.after.get_mut("storage_root") {
        *path = format!("{}/{key}", path.trim_end_matches('/'));
    }
    let region = region.as_str().unwrap_or_default();
    write.after.insert("global_metastore_id".to_owned(), json!(format!("aws:{region}:{key}")));
    write.after.insert("owner".to_owned(), json!(world.client_id));
    write.after.insert(SCOPE.to_owned(), json!("INTERNAL"));
    write.after.insert("privilege_model_version".to_owned(), json!("1.0"));
    Ok(())
}

/// The credentials of a metastore, by name.
fn credentials_of(world: &World, metastore: &str) -> Vec<(String, Value)> {
    let prefix = format!("{metastore}/");
    let all = world.store.list(CREDENTIALS).into_iter();
    all.filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))).collect()
}

fn delete_metastore(world: &mut World, key: &str) -> Answer {
    let root = world.store.get(METASTORES, key).map(|found| found[ROOT_ID].clone()).unwrap_or_default();
    let own = credentials_of(world, key);
    let holds = |credential: &Value| root.is_null() || credential["id"] != root;
    if let Some((name, _)) = own.iter().find(|(_, credential)| holds(credential)) {
        return Err(refusals::in_use(world, METASTORES, key, &format!("contains storage credential {name}")));
    }
    for (name, _) in own {
        world.remove(CREDENTIALS, &format!("{key}/{name}"));
    }
    world.remove(METASTORES, key);
    Ok(Reply::empty(200))
}

fn credential(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    match write.before {
        None => new_credential(world, write)?,
        Some(_) => check_owner(world, write)?,
    }
    // Assumed: a credential stays of its sort.
    if write.after.contains_key("aws_iam_role") && write.after.contains_key("azure_managed_identity") {
        return Err(Reply::invalid("The type of a storage credential cannot be changed"));
    }
    check_role(world, write)?;
    let before = write.before.and_then(|before| before.get("aws_iam_role")).cloned().unwrap_or_default();
    let Some(Value::Object(role)) = write.after.get_mut("aws_iam_role") else { return Ok(()) };
    let kept = |field: &str, new: String| match &before[field] {
        Value::Null => json!(new),
        known => known.clone(),
    };
    role.insert("external_id".to_owned(), kept("external_id", world.new_uuid()));
    let databricks = "arn:aws:iam::414351767826:role/unity-catalog-prod-UCMasterRole-14S5ZJVKOTYTL";
    role.insert("unity_catalog_iam_arn".to_owned(), kept("unity_catalog_iam_arn", databricks.to_owned()));
    Ok(())
}

fn new_credential(world: &World, write: &mut Write) -> Result<(), Reply> {
    check_created(write, &["owner", "isolation_mode"])?;
    let (metastore, name) = write.key.split_once('/').unwrap_or_default();
    let mut others = credentials_of(world, metastore).into_iter();
    let taken = others.any(|(other, _)| other.to_lowercase() == name.to_lowercase());
    if taken && world.settings.refuse_duplicates {
        return Err(Reply::invalid(format!("Storage Credential '{name}' already exists")));
    }
    write.after.insert("owner".to_owned(), json!(world.client_id));
    write.after.insert("isolation_mode".to_owned(), json!(OPEN));
    write.after.insert("full_name".to_owned(), json!(name));
    Ok(())
}

/// Refuses a new or changed role or identity that does not work, unless the client wants no test.
fn check_role(world: &mut World, write: &Write) -> Result<(), Reply> {
    let before = |name: &str| write.before.and_then(|before| before.get(name));
    let same = |name: &&str| write.after.get(*name) == before(name);
    let changed = !["aws_iam_role", "azure_managed_identity"].iter().all(same);
    let skipped = write.beside.get("skip_validation") == Some(&json!(true));
    if !changed || skipped || world.settings.fail_next_storage_tests == 0 {
        return Ok(());
    }
    world.settings.fail_next_storage_tests -= 1;
    Err(Reply::invalid("Failed credential test: the role cannot be assumed"))
}

/// The notes `_external_tables` and `_storage_locations` of a credential, which a test sets, count what uses it.
fn delete_credential(world: &mut World, key: &str) -> Answer {
    let (metastore, name) = key.split_once('/').unwrap_or_default();
    let found = world.store.get(CREDENTIALS, key).cloned().unwrap_or_default();
    let count = |note: &str| found[note].as_u64().unwrap_or_default();
    let (tables, locations) = (count("_external_tables"), count("_storage_locations"));
    let root = world.store.get(METASTORES, metastore).map(|metastore| metastore[ROOT_ID].clone());
    if root.is_some_and(|root| !root.is_null() && root == found["id"]) {
        return Err(Reply::state(format!(
            "Storage credential '{name}' is the root credential of its metastore"
        )));
    }
    if tables + locations > 0 {
        return Err(Reply::state(format!(
            "Storage credential '{name}' has {tables} directly dependent external table(s) and {locations} dependent storage \
             location(s). You may use force option to delete it."
        )));
    }
    world.remove(CREDENTIALS, key);
    Ok(Reply::empty(200))
}
