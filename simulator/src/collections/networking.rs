//! Networking of serverless compute: network connectivity configs, their private endpoint rules, and network policies. And network
//! endpoints, which the ingress of policies can name.
//!
//! Documented: `default-policy` is always there, and cannot be deleted; a policy is replaced as a whole. Observed by others: a
//! policy of a workspace cannot be deleted. Documented: allowed internet destinations are for `RESTRICTED_ACCESS`; assumed: they are
//! refused with `FULL_ACCESS`. The fields of `ingress` are not checked. Of configs and rules: documented: fields, pages, masks, states, that a rule which was in use is deactivated first and shown until it is gone,
//! that a config with rules or workspaces cannot be deleted, which rules can be updated. Observed by others: the texts of
//! those refusals, that `enabled` is ignored at create, that `vpc_endpoint_id` comes late. Assumed: that a twin of a
//! deactivated rule may be created and one of another rule may not; that name and region of a config are unique together;
//! that a new rule is `PENDING` at the next read, unless a setting says otherwise; that an update of a config needs its mask as one
//! of a rule does, since client libraries do not let it be left out; the codes. Of network endpoints: documented: fields, pages, states,
//! that Databricks approves a new one within minutes, the characters of its name. Assumed: that a cloud endpoint is registered once,
//! and its code; that each has exactly one of the three clouds; that names need not be unique. Not here: policies that hold up a
//! deletion.

use serde_json::{Map, Value, json};

use super::table::{Chosen, Collection, Delete, Fill, GONE_AT, List, Step, Under, Update, Use, Write};
use crate::schema::{Field, Kind, TEXT, whole_number};
use crate::settings::Settings;
use crate::store::shown;
use crate::wire::{Answer, NETWORKING, Reply};
use crate::world::World;

const CONFIGS: &str = "network-connectivity-configs";
const RULES: &str = "private-endpoint-rules";

const POLICIES: &str = "network-policies";

const ENDPOINTS: &str = "network-endpoints";

const EGRESS: &str = r#"{"default_rules": {"aws_stable_ip_rule": {"cidr_blocks": ["203.0.113.0/28"]}}}"#;

/// Names; an empty list is not valid (documented).
const SOME_TEXTS: Kind = Kind::List(1, 100, &TEXT);

pub(super) const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "name",
        unique: &["name", "region"],
        fields: &[
            Field::new("name", Kind::Form(is_config_name, "must be 3 to 30 of 0-9, a-z, A-Z, - and _"))
                .required(),
            Field::new("region", Kind::Text(1, 64)).required().immutable(),
            Field::new("billing_workspace_id", Kind::Int),
        ],
        on_create: &[
            ("account_id", Fill::Account),
            ("creation_time", Fill::Now),
            ("egress_config", Fill::Json(EGRESS)),
        ],
        on_write: &[("updated_time", Fill::Now)],
        update: Update::Masked { required: true },
        used_by: &[Use {
            says: "is attached to one or more workspaces:",
            ..Use::of_workspace("network_connectivity_config_id")
        }],
        rule: billed_to_a_workspace,
        ..Collection::paged(CONFIGS, "network_connectivity_config_id", "items")
    },
    Collection {
        store: RULES,
        under: Some(Under {
            store: CONFIGS,
            field: "network_connectivity_config_id",
            numeric: false,
            shown: true,
            holds: Some("has one or more private endpoint rules:"),
        }),
        fields: &[
            Field::new("resource_id", TEXT).immutable().one_of("target"),
            Field::new("endpoint_service", Kind::Form(is_service, "must be com.amazonaws.…"))
                .immutable()
                .one_of("target"),
            Field::new("group_id", TEXT).immutable(),
            Field::new("domain_names", SOME_TEXTS).one_of("names"),
            Field::new("resource_names", SOME_TEXTS).one_of("names"),
            Field::new("enabled", Kind::Bool),
        ],
        on_create: &[
            ("account_id", Fill::Account),
            ("creation_time", Fill::Now),
            ("connection_state", Fill::Text("CREATING")),
            ("deactivated", Fill::Bool(false)),
        ],
        on_write: &[("updated_time", Fill::Now)],
        ignored: &["deactivated_at", "endpoint_name", "vpc_endpoint_id", "error_message"],
        update: Update::Masked { required: true },
        delete: Delete::Own(deactivate),
        steps: &[
            state("CREATING", "PENDING", |settings| Some(settings.endpoint_rule_creating_ms)),
            state("PENDING", "ESTABLISHED", |settings| settings.endpoint_rule_approval_ms),
            state("PENDING", "EXPIRED", |_| Some(14 * DAY_MS)),
        ],
        rule: endpoint_rule,
        on_read: late_fields,
        ..Collection::paged("network-connectivity-configs/*/private-endpoint-rules", "rule_id", "items")
    },
    Collection {
        chosen: Chosen::InBody(check_policy_id),
        fields: &[
            Field::new("egress", Kind::Object(&[Field::new("network_access", NETWORK_ACCESS)])),
            Field::new("ingress", Kind::Opaque),
            Field::new("ingress_dry_run", Kind::Opaque),
        ],
        on_create: &[("account_id", Fill::Account)],
        update: Update::Put,
        rule: allowed_if_restricted,
        delete: Delete::Own(delete_policy),
        used_by: &[Use {
            by: "workspace-network-options",
            field: "network_policy_id",
            says: "is attached to workspace",
            only: None,
        }],
        ..Collection::paged(POLICIES, "network_policy_id", "items")
    },
    Collection {
        store: ENDPOINTS,
        base: NETWORKING,
        name: "display_name",
        list: List::SizedPages("items"),
        fields: &[
            Field::new("display_name", Kind::Form(is_label, LABELS)).required().immutable(),
            Field::new("region", Kind::Text(1, 64)).required().immutable(),
            Field::new("aws_vpc_endpoint_info", AWS_ENDPOINT).required().one_of("cloud").immutable(),
            Field::new("azure_private_endpoint_info", AZURE_ENDPOINT).required().one_of("cloud").immutable(),
            Field::new("gcp_psc_endpoint_info", GCP_ENDPOINT).required().one_of("cloud").immutable(),
        ],
        on_create: &[
            ("account_id", Fill::Account),
            ("create_time", Fill::NowText),
            ("name", Fill::Name),
            ("state", Fill::Text("PENDING")),
            ("use_case", Fill::Text("SERVICE_DIRECT")),
        ],
        steps: &[Step {
            field: "state",
            from: "PENDING",
            to: "APPROVED",
            after_ms: |settings| Some(settings.vpc_endpoint_ms),
        }],
        rule: registered_once,
        ..Collection::paged("endpoints", "endpoint_id", "items")
    },
];

const LABELS: &str = "must be 1 to 63 letters, digits and hyphens, from a letter to a letter or digit";

const AWS_ENDPOINT: Kind = Kind::Object(&[Field::new("aws_vpc_endpoint_id", TEXT).required()]);

const AZURE_ENDPOINT: Kind = Kind::Object(&[
    Field::new("private_endpoint_name", TEXT).required(),
    Field::new("private_endpoint_resource_guid", TEXT).required(),
]);

const GCP_ENDPOINT: Kind = Kind::Object(&[
    Field::new("project_id", TEXT).required(),
    Field::new("psc_endpoint", TEXT).required(),
    Field::new("endpoint_region", TEXT).required(),
]);

/// The policy of every workspace without another one.
const DEFAULT_POLICY: &str = "default-policy";

const DESTINATION: Kind = Kind::Object(&[
    Field::new("destination", TEXT).required(),
    Field::new("internet_destination_type", Kind::OneOf(&["DNS_NAME"])).required(),
]);

const STORAGE: Kind = Kind::Object(&[
    Field::new("storage_destination_type", Kind::OneOf(&["AWS_S3", "AZURE_STORAGE", "GOOGLE_CLOUD_STORAGE"]))
        .required(),
    Field::new("bucket_name", TEXT),
    Field::new("region", TEXT),
    Field::new("azure_storage_account", TEXT),
    Field::new("azure_storage_service", TEXT),
]);

const ENFORCEMENT: Kind = Kind::Object(&[
    Field::new("enforcement_mode", Kind::OneOf(&["ENFORCED", "DRY_RUN"])),
    Field::new("dry_run_mode_product_filter", Kind::List(0, 2, &Kind::OneOf(&["DBSQL", "ML_SERVING"]))),
]);

const NETWORK_ACCESS: Kind = Kind::Object(&[
    Field::new("restriction_mode", Kind::OneOf(&["FULL_ACCESS", "RESTRICTED_ACCESS"])).required(),
    Field::new("allowed_internet_destinations", Kind::List(0, 1000, &DESTINATION)),
    Field::new("blocked_internet_destinations", Kind::List(0, 1000, &DESTINATION)),
    Field::new("allowed_storage_destinations", Kind::List(0, 1000, &STORAGE)),
    Field::new("allowed_databricks_destinations", Kind::List(0, 1000, &Kind::Opaque)),
    Field::new("policy_enforcement", ENFORCEMENT),
]);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

const fn state(from: &'static str, to: &'static str, after_ms: fn(&Settings) -> Option<u64>) -> Step {
    Step { field: "connection_state", from, to, after_ms }
}

fn is_config_name(text: &str) -> bool {
    (3..=30).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_service(text: &str) -> bool {
    text.starts_with("com.amazonaws.")
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with('-')
}

/// What distinguishes a network endpoint in its cloud.
fn in_cloud(endpoint: &Value) -> [&Value; 5] {
    let gcp = &endpoint["gcp_psc_endpoint_info"];
    [
        &endpoint["aws_vpc_endpoint_info"]["aws_vpc_endpoint_id"],
        &endpoint["azure_private_endpoint_info"]["private_endpoint_resource_guid"],
        &gcp["project_id"],
        &gcp["endpoint_region"],
        &gcp["psc_endpoint"],
    ]
}

/// Refuses a cloud endpoint that is registered already, and fills in what Databricks finds out about one.
fn registered_once(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    let new = json!(write.after);
    let is_taken = |(key, other): (&str, &Value)| key != write.key && in_cloud(other) == in_cloud(&new);
    let taken = world.store.list(ENDPOINTS).into_iter().any(is_taken);
    if taken && world.settings.refuse_duplicates {
        return Err(Reply::error(409, "ALREADY_EXISTS", "This cloud endpoint is already registered"));
    }
    for (cloud, field, value) in [
        ("aws_vpc_endpoint_info", "aws_account_id", "111122223333"),
        ("aws_vpc_endpoint_info", "aws_endpoint_service_id", "com.amazonaws.vpce.eu-west-1.vpce-svc-01"),
        ("azure_private_endpoint_info", "private_link_service_id", "/subscriptions/d/privateLinkServices/e"),
        ("gcp_psc_endpoint_info", "service_attachment_id", "projects/d/regions/r/serviceAttachments/e"),
    ] {
        if let Some(Value::Object(info)) = write.after.get_mut(cloud) {
            info.insert(field.to_owned(), json!(value));
        }
    }
    Ok(())
}

/// Documented: only an update takes it, and the workspace must be attached to the config.
fn billed_to_a_workspace(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    let Some(id) = write.after.get("billing_workspace_id").and_then(whole_number) else { return Ok(()) };
    if write.before.is_none() {
        return Err(Reply::malformed("Could not parse request object: unknown field 'billing_workspace_id'"));
    }
    let workspace = world.store.get("workspaces", &id.to_string());
    if workspace.is_none_or(|found| found["network_connectivity_config_id"] != write.key) {
        return Err(Reply::invalid(format!("Workspace {id} is not attached to this configuration")));
    }
    write.after.insert("billing_workspace_id".to_owned(), json!(id));
    Ok(())
}

/// What a rule leads to: two rules of one config do not lead to the same.
fn target(rule: &Map<String, Value>) -> [Option<&Value>; 3] {
    let names = if is_private_link(rule) { None } else { rule.get("resource_names") };
    [rule.get("resource_id").or_else(|| rule.get("endpoint_service")), rule.get("group_id"), names]
}

/// A rule to a service of the customer's own.
fn is_private_link(rule: &Map<String, Value>) -> bool {
    rule.contains_key("domain_names")
}

fn endpoint_rule(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    check_target(write.after)?;
    let azure = write.after.contains_key("resource_id");
    // Assumed: a mask that names `enabled` without a value switches the rule off.
    if write.before.is_some_and(|before| before.contains_key("enabled")) {
        write.after.entry("enabled").or_insert(json!(false));
    }
    let Some(before) = write.before else {
        // Documented: rules to S3 begin disabled.
        write.after.remove("enabled");
        if write.after.contains_key("resource_names") {
            write.after.insert("enabled".to_owned(), json!(false));
        }
        if azure {
            let name = format!("databricks-{}-pe", write.key.rsplit('/').next().unwrap_or_default());
            write.after.insert("endpoint_name".to_owned(), json!(name));
        }
        return refuse_twin(world, write);
    };
    let id = write.key.rsplit('/').next().unwrap_or_default();
    if before.get("deactivated") == Some(&json!(true)) {
        return Err(Reply::state(format!("Private endpoint rule {id} is deactivated")));
    }
    if azure && write.after.get("enabled") != before.get("enabled") {
        return Err(Reply::invalid(format!(
            "Updating fields enabled for Azure private endpoint rule {id} is not supported. No updates were attempted."
        )));
    }
    let updatable = is_private_link(before) || before.contains_key("resource_names");
    if updatable {
        Ok(())
    } else {
        Err(Reply::invalid(format!("Private endpoint rule {id} cannot be updated")))
    }
}

fn check_target(rule: &Map<String, Value>) -> Result<(), Reply> {
    let has = |name: &str| rule.contains_key(name);
    let fault = if has("resource_id") {
        let names = has("group_id") || has("domain_names");
        (!names || has("resource_names")).then_some("resource_id needs group_id or domain_names")
    } else if has("group_id") {
        Some("group_id needs resource_id")
    } else if has("endpoint_service") {
        (!has("domain_names") && !has("resource_names"))
            .then_some("endpoint_service needs domain_names or resource_names")
    } else {
        (!has("resource_names"))
            .then_some("one of resource_id, endpoint_service and resource_names is required")
    };
    fault.map_or(Ok(()), |fault| Err(Reply::invalid(fault)))
}

fn refuse_twin(world: &World, write: &Write) -> Result<(), Reply> {
    let parent = write.key.split('/').next().unwrap_or_default();
    let rules = world.store.list(RULES).into_iter();
    let mut siblings = rules.filter(|(key, _)| key.split('/').next() == Some(parent));
    let twin = siblings.any(|(_, other)| {
        let same = other.as_object().is_some_and(|other| target(other) == target(write.after));
        same && other["deactivated"] != true
    });
    if twin && world.settings.refuse_duplicates {
        return Err(Reply::error(
            409,
            "ALREADY_EXISTS",
            "A private endpoint rule to this target already exists",
        ));
    }
    Ok(())
}

/// The endpoint of AWS is known once it has been created.
fn late_fields(_: &World, key: &str, rule: &mut Map<String, Value>) {
    if rule.get("connection_state").is_some_and(|state| state != "CREATING")
        && !rule.contains_key("resource_id")
    {
        let id: String = key.bytes().rev().filter(u8::is_ascii_hexdigit).take(17).map(char::from).collect();
        rule.entry("vpc_endpoint_id").or_insert(json!(format!("vpce-{id}")));
    }
}

/// Documented: a rule that was not approved goes at once; another one is deactivated, and gone after a day.
fn deactivate(world: &mut World, key: &str) -> Answer {
    let Some(mut rule) = world.store.get(RULES, key).cloned() else {
        return Err(Reply::missing(format!("Private endpoint rule {key} does not exist")));
    };
    if rule["deactivated"] == false {
        if matches!(rule["connection_state"].as_str(), Some("PENDING" | "EXPIRED")) {
            world.remove(RULES, key);
            return Ok(Reply::json(200, shown(&rule)));
        }
        rule["deactivated"] = json!(true);
        rule["deactivated_at"] = json!(world.now());
        rule[GONE_AT] = json!(world.now() + world.settings.endpoint_rule_deactivated_ms);
        world.put(RULES, key, rule.clone());
    }
    Ok(Reply::json(200, shown(&rule)))
}

fn check_policy_id(id: &str) -> Result<(), Reply> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=32).contains(&id.len()) && id.bytes().all(plain) {
        return Ok(());
    }
    Err(Reply::invalid("network_policy_id must be 1 to 32 of a-z, A-Z, 0-9, _, . and -"))
}

fn allowed_if_restricted(_: &mut World, write: &mut Write) -> Result<(), Reply> {
    let access = &write.value("egress")["network_access"];
    let allowed = access["allowed_internet_destinations"].as_array().is_some_and(|all| !all.is_empty());
    if allowed && access["restriction_mode"] == "FULL_ACCESS" {
        return Err(Reply::invalid("allowed_internet_destinations needs restriction_mode RESTRICTED_ACCESS"));
    }
    Ok(())
}

fn delete_policy(world: &mut World, key: &str) -> Answer {
    if key == DEFAULT_POLICY {
        return Err(Reply::invalid("default-policy cannot be deleted"));
    }
    world.remove(POLICIES, key);
    Ok(Reply::empty(200))
}

/// The policies that every account begins with: the documented one, and one more, for what refers to a policy.
pub(crate) fn seed(world: &mut World) {
    for (id, mode) in [(DEFAULT_POLICY, "FULL_ACCESS"), ("sealed", "RESTRICTED_ACCESS")] {
        let egress = json!({"network_access": {"restriction_mode": mode}});
        let policy = json!({"network_policy_id": id, "account_id": world.account_id, "egress": egress});
        world.store.put(POLICIES, id, policy, 0);
    }
}
