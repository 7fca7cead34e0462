//! Budgets, budget policies and the delivery of logs.
//!
//! Documented: fields, envelopes, pages, verbs (a log delivery is disabled, never deleted), rules for alerts, the limit of
//! enabled deliveries and that two of them differ in more than the name; that a change of a budget policy has all its fields, what
//! its name and tags may be, and that a create with the id of an earlier request creates no second one. Observed by others: thresholds
//! come back padded; an alert without its id is a new one; another filter may give a budget another id, see the setting
//! `moves_budgets`. Assumed: defaults that the server fills in, that only an enabled delivery holds up the deletion of what it uses,
//! that an id of an alert which the budget does not have is refused; that a change of a policy drops what it leaves out, and that a
//! policy may name any workspace; the codes. Not here: the order of policies by name, and a search for them.

use serde_json::{Map, Value, json};

use super::references::check_reference;
use super::table::{Collection, Delete, Fill, List, Update, Write};
use crate::schema::{Field, Kind, TEXT, TEXTS};
use crate::wire::{Reply, V21};
use crate::world::World;

const IDS: Kind = Kind::List(0, usize::MAX, &Kind::Int);

const OPERATOR: Field = Field::new("operator", Kind::OneOf(&["IN"])).required();

const FILTER: &[Field] = &[
    Field::new("workspace_id", Kind::Object(&[OPERATOR, Field::new("values", IDS).required()])),
    Field::new(
        "tags",
        Kind::List(
            0,
            usize::MAX,
            &Kind::Object(&[
                Field::new("key", TEXT).required(),
                Field::new("value", Kind::Object(&[OPERATOR, Field::new("values", TEXTS).required()]))
                    .required(),
            ]),
        ),
    ),
];

const ALERT: &[Field] = &[
    Field::new("alert_configuration_id", TEXT),
    Field::new("time_period", Kind::OneOf(&["MONTH"])).required(),
    Field::new("trigger_type", Kind::OneOf(&["CUMULATIVE_SPENDING_EXCEEDED"])).required(),
    Field::new("quantity_type", Kind::OneOf(&["LIST_PRICE_DOLLARS_USD"])).required(),
    Field::new("quantity_threshold", DECIMAL).required(),
    Field::new("scope_type", Kind::OneOf(&[SHARED, PER_USER])),
    Field::new("principal_overrides", Kind::List(0, 100, &Kind::Object(OVERRIDE))),
    Field::new("action_configurations", Kind::List(0, 100, &Kind::Object(ACTION))),
];

const OVERRIDE: &[Field] =
    &[Field::new("principal_id", Kind::Int).required(), Field::new("override_threshold", DECIMAL).required()];

const ACTION: &[Field] = &[
    Field::new("action_configuration_id", TEXT),
    Field::new("action_type", Kind::OneOf(&["EMAIL_NOTIFICATION", "BLOCK_USAGE"])).required(),
    Field::new("target", TEXT),
];

const DECIMAL: Kind = Kind::Form(is_decimal, "must be a decimal number as a string");
const SHARED: &str = "ALERT_CONFIGURATION_SCOPE_TYPE_SHARED";
const PER_USER: &str = "ALERT_CONFIGURATION_SCOPE_TYPE_PER_USER";
const ALL: &str = "BUDGET_RESOURCE_TYPE_ALL_RESOURCES";
const GATEWAY: &str = "BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY";

pub(super) const COLLECTIONS: &[Collection] = &[
    Collection {
        body: Some("log_delivery_configuration"),
        filters: &["status", "credentials_id", "storage_configuration_id"],
        fields: &[
            Field::new("log_type", Kind::OneOf(&["BILLABLE_USAGE", "AUDIT_LOGS"])).required().immutable(),
            Field::new("output_format", Kind::OneOf(&["CSV", "JSON"])).required().immutable(),
            Field::new("credentials_id", TEXT).required().immutable(),
            Field::new("storage_configuration_id", TEXT).required().immutable(),
            Field::new("config_name", Kind::Text(0, 255)).immutable(),
            Field::new("delivery_path_prefix", Kind::Form(is_prefix, "must not begin or end with /"))
                .immutable(),
            Field::new("delivery_start_time", Kind::Form(is_month, "must be YYYY-MM, from 2019-03 on"))
                .immutable(),
            Field::new("workspace_ids_filter", IDS).immutable(),
            Field::new("status", Kind::OneOf(&["ENABLED", "DISABLED"])),
        ],
        on_create: &[
            ("account_id", Fill::Account),
            ("creation_time", Fill::Now),
            ("log_delivery_status", Fill::Json(r#"{"status": "CREATED", "message": "No delivery yet."}"#)),
        ],
        on_write: &[("update_time", Fill::Now)],
        defaults: &[("status", Fill::Text("ENABLED")), ("config_name", Fill::Text(""))],
        update: Update::Merge,
        delete: Delete::Never,
        rule: delivery,
        ..Collection::paged("log-delivery", "config_id", "log_delivery_configurations")
    },
    Collection {
        base: V21,
        name: "display_name",
        body: Some("budget"),
        fields: &[
            Field::new("display_name", Kind::Text(1, 128)).required(),
            Field::new("alert_configurations", Kind::List(1, 100, &Kind::Object(ALERT))).required(),
            Field::new("filter", Kind::Object(FILTER)),
            Field::new("resource_type", Kind::OneOf(&[ALL, GATEWAY])),
            Field::new("include_external_spend", Kind::Bool).immutable(),
        ],
        on_create: &[("account_id", Fill::Account), ("create_time", Fill::Now)],
        on_write: &[("update_time", Fill::Now)],
        update: Update::Put,
        rule: budget,
        ..Collection::paged("budgets", "budget_configuration_id", "budgets")
    },
    Collection {
        base: V21,
        name: "policy_name",
        list: List::SizedPages("policies"),
        posted: Some(("policy", "request_id")),
        unique: &["policy_name"],
        fields: &[
            Field::new("policy_name", Kind::Form(is_policy_name, POLICY_NAMES)).required(),
            Field::new("custom_tags", Kind::List(0, 20, &Kind::Object(TAG))),
            Field::new("binding_workspace_ids", IDS),
        ],
        on_create: &[],
        update: Update::Whole,
        rule: policy,
        ..Collection::paged("budget-policies", "policy_id", "policies")
    },
];

const POLICY_NAMES: &str = "must have 1 to 127 characters of ISO 8859-1, and not begin with databricks:";

const TAG: &[Field] = &[Field::new("key", Kind::Text(1, usize::MAX)).required(), Field::new("value", TEXT)];

/// Keys of tags that Databricks sets itself.
const RESERVED: [&str; 3] = ["budget-policy-name", "budget-policy-id", "budget-policy-resolution-result"];

fn is_policy_name(text: &str) -> bool {
    let characters = (1..=127).contains(&text.chars().count()) && text.chars().all(|c| u32::from(c) < 256);
    characters && !text.starts_with("databricks:")
}

/// Documented: a key occurs once in a policy, and some keys are Databricks' own.
fn policy(_: &mut World, write: &mut Write) -> Result<(), Reply> {
    let tags = write.value("custom_tags").as_array().into_iter().flatten();
    let mut keys: Vec<&str> = tags.filter_map(|tag| tag["key"].as_str()).collect();
    if let Some(own) = keys.iter().copied().find(|key| RESERVED.contains(key)) {
        return Err(Reply::invalid(format!("The tag {own} is reserved")));
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < count { Err(Reply::invalid("The keys of custom_tags must be unique")) } else { Ok(()) }
}

fn is_decimal(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    [whole, part].iter().all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_prefix(text: &str) -> bool {
    !text.starts_with('/') && !text.ends_with('/')
}

fn is_month(text: &str) -> bool {
    let digits =
        text.split('-').map(str::len).eq([4, 2]) && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    digits && text >= "2019-03" && ("01"..="12").contains(&&text[5..])
}

fn delivery(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    for (field, store) in
        [("credentials_id", "credentials"), ("storage_configuration_id", "storage-configurations")]
    {
        check_reference(world, field, store, write.value(field).as_str().unwrap_or_default())?;
    }
    let usage = *write.value("log_type") == "BILLABLE_USAGE";
    if usage != (*write.value("output_format") == "CSV") {
        return Err(Reply::invalid("output_format is CSV for BILLABLE_USAGE and JSON for AUDIT_LOGS"));
    }
    if !usage && write.after.contains_key("delivery_start_time") {
        return Err(Reply::invalid("delivery_start_time is for BILLABLE_USAGE only"));
    }
    if usage {
        let today = crate::clock::rfc3339(world.now());
        write.after.entry("delivery_start_time").or_insert(json!(today[..7]));
    }
    refuse_third(world, write)
}

/// Refuses a delivery that equals another one, and a third one for the account or for a workspace.
fn refuse_third(world: &World, write: &Write) -> Result<(), Reply> {
    const SAME: [&str; 6] = [
        "log_type",
        "credentials_id",
        "storage_configuration_id",
        "delivery_path_prefix",
        "delivery_start_time",
        "workspace_ids_filter",
    ];
    let own = &*write.after;
    if *write.value("status") != "ENABLED" {
        return Ok(());
    }
    let deliveries = world.store.list("log-delivery").into_iter();
    let others: Vec<&Value> = deliveries
        .filter(|(key, value)| *key != write.key && value["status"] == "ENABLED")
        .map(|(_, value)| value)
        .filter(|value| value["log_type"] == *write.value("log_type"))
        .collect();
    if others.iter().any(|other| SAME.iter().all(|name| other.get(name) == own.get(*name))) {
        let message = "An enabled log delivery configuration with these properties already exists";
        return Err(Reply::error(409, "ALREADY_EXISTS", message));
    }
    let workspaces = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mine = workspaces(write.value("workspace_ids_filter"));
    let theirs = || others.iter().map(|other| workspaces(&other["workspace_ids_filter"]));
    let full = if mine.is_empty() {
        theirs().filter(Vec::is_empty).count() >= 2
    } else {
        mine.iter().any(|id| theirs().filter(|ids| ids.contains(id)).count() >= 2)
    };
    let message =
        "There may be 2 enabled log delivery configurations of a log type for the account or for a workspace";
    if full { Err(Reply::error(400, "QUOTA_EXCEEDED", message)) } else { Ok(()) }
}

fn budget(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    write.after.entry("resource_type").or_insert(json!(ALL));
    let gateway = *write.value("resource_type") == GATEWAY;
    let before = write.before.map_or(Value::Null, |before| json!(before));
    let mut thresholds = Vec::new();
    for alert in items(write.after.get_mut("alert_configurations")) {
        let known = keep_id(world, alert, "alert_configuration_id", &before["alert_configurations"])?;
        let threshold = pad(alert, "quantity_threshold");
        if *alert.entry("scope_type").or_insert(json!(SHARED)) == SHARED {
            thresholds.push(threshold);
        } else if !gateway {
            return Err(Reply::invalid(format!("{PER_USER} is for {GATEWAY} only")));
        }
        for action in items(alert.get_mut("action_configurations")) {
            keep_id(world, action, "action_configuration_id", &known["action_configurations"])?;
            check_action(action, gateway)?;
        }
        for over in items(alert.get_mut("principal_overrides")) {
            pad(over, "override_threshold");
        }
    }
    let count = thresholds.len();
    thresholds.sort();
    thresholds.dedup();
    if count > 4 || thresholds.len() < count {
        return Err(Reply::invalid("A budget has at most 4 shared alerts, each with another threshold"));
    }
    let moves = world.settings.moves_budgets && write.before.is_some();
    if moves && *write.value("filter") != before["filter"] {
        write.after.insert("budget_configuration_id".to_owned(), json!(world.new_uuid()));
    }
    Ok(())
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Gives an object an id, unless it is one of those that were there; returns that one.
fn keep_id(
    world: &World,
    object: &mut Map<String, Value>,
    field: &str,
    before: &Value,
) -> Result<Value, Reply> {
    let Some(id) = object.get(field) else {
        object.insert(field.to_owned(), json!(world.new_uuid()));
        return Ok(Value::Null);
    };
    let mut known = before.as_array().into_iter().flatten();
    let known = known.find(|known| known[field] == *id).cloned();
    known.ok_or_else(|| Reply::invalid(format!("{field} {id} does not exist in this budget")))
}

fn check_action(action: &Map<String, Value>, gateway: bool) -> Result<(), Reply> {
    match (action.get("action_type") == Some(&json!("EMAIL_NOTIFICATION")), action.contains_key("target")) {
        (true, false) => Err(Reply::invalid("EMAIL_NOTIFICATION needs a target")),
        (false, true) => Err(Reply::invalid("BLOCK_USAGE has no target")),
        (false, false) if !gateway => Err(Reply::invalid(format!("BLOCK_USAGE is for {GATEWAY} only"))),
        _ => Ok(()),
    }
}

/// Pads a decimal number with zeros; returns it.
fn pad(object: &mut Map<String, Value>, field: &str) -> String {
    let decimal = object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    let padded = format!("{whole}.{part:0<6}");
    object.insert(field.to_owned(), json!(padded));
    padded
}
