//! What workspaces are built from.
//!
//! Documented: fields, verbs, that names are unique where it says so, that an object in use cannot be deleted, that a subnet
//! and a security group are in one network only, that `vpc_status` says something once a workspace uses the network, that
//! the region of a key follows from its ARN. Observed by others: the quota of storage configurations and its text, that a
//! cloud endpoint is registered once. Assumed: that names of networks and storage configurations are unique, those of VPC
//! endpoints and private access settings as well; that a network in use is `VALID`; that the region of private access
//! settings cannot change; the other codes. An account on Google Cloud has no credentials and storage configurations, which is not simulated.

use serde_json::{Map, Value, json};

use super::references::check_reference;
use super::table::{Collection, Fill, Step, Update, Use, Write};
use crate::refusals;
use crate::schema::{Field, Kind, ROLE_ARN, TEXT, TEXTS};
use crate::settings::Cloud;
use crate::wire::Reply;
use crate::world::World;

const AWS_ROLE: &[Field] =
    &[Field::new("sts_role", Kind::Object(&[Field::new("role_arn", ROLE_ARN).required()])).required()];

const ROOT_BUCKET: &[Field] = &[Field::new("bucket_name", Kind::Text(3, 63)).required()];

const VPC_ENDPOINTS: &[Field] = &[Field::new("rest_api", TEXTS), Field::new("dataplane_relay", TEXTS)];

const AWS_KEY: &[Field] = &[
    Field::new("key_arn", Kind::Form(is_key_arn, "must be the ARN of a KMS key")).required(),
    Field::new("key_alias", TEXT),
    Field::new("key_region", TEXT),
    Field::new("reuse_key_for_cluster_volumes", Kind::Bool),
];

const GCP_NETWORK: &[Field] = &[
    Field::new("network_project_id", TEXT).required(),
    Field::new("vpc_id", TEXT).required(),
    Field::new("subnet_id", TEXT).required(),
    Field::new("subnet_region", TEXT).required(),
];

const GCP_ENDPOINT: &[Field] = &[
    Field::new("project_id", TEXT).required(),
    Field::new("psc_endpoint_name", TEXT).required(),
    Field::new("endpoint_region", TEXT).required(),
];

const GCP_KEY: &[Field] = &[Field::new("kms_key_id", TEXT), Field::new("manual", Kind::Bool)];

const USE_CASE: Kind = Kind::OneOf(&["MANAGED_SERVICES", "STORAGE"]);

/// Collections whose objects do not say when they were created.
const UNDATED: &[(&str, Fill)] = &[("account_id", Fill::Account)];

pub(super) const COLLECTIONS: &[Collection] = &[
    // `external_id` of the role is not shown: newest versions of the API leave it out.
    Collection {
        name: "credentials_name",
        unique: &["credentials_name"],
        fields: &[
            Field::new("credentials_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("aws_credentials", Kind::Object(AWS_ROLE)).required().immutable(),
        ],
        used_by: &[Use::of_workspace("credentials_id"), Use::of_log_delivery("credentials_id")],
        rule: usable_role,
        ..Collection::at("credentials", "credentials_id")
    },
    Collection {
        name: "storage_configuration_name",
        unique: &["storage_configuration_name"],
        fields: &[
            Field::new("storage_configuration_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("root_bucket_info", Kind::Object(ROOT_BUCKET)).required().immutable(),
            Field::new("role_arn", ROLE_ARN).immutable(),
        ],
        most: Some((
            50,
            "INVALID_STATE",
            "Storage configuration limit exceeded, only 50 storage configurations are allowed",
        )),
        used_by: &[
            Use::of_workspace("storage_configuration_id"),
            Use::of_log_delivery("storage_configuration_id"),
        ],
        ..Collection::at("storage-configurations", "storage_configuration_id")
    },
    Collection {
        name: "network_name",
        unique: &["network_name"],
        fields: &[
            Field::new("network_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("vpc_id", Kind::Text(4, 64)).immutable(),
            Field::new("subnet_ids", Kind::List(2, 100, &TEXT)).immutable(),
            Field::new("security_group_ids", Kind::List(1, 5, &TEXT)).immutable(),
            Field::new("gcp_network_info", Kind::Object(GCP_NETWORK)).immutable(),
            Field::new("vpc_endpoints", Kind::Object(VPC_ENDPOINTS)).immutable(),
        ],
        ignored: &["workspace_id", "vpc_status", "error_messages", "warning_messages"],
        used_by: &[Use::of_workspace("network_id")],
        rule: unshared_network,
        on_read: health,
        ..Collection::at("networks", "network_id")
    },
    Collection {
        name: "vpc_endpoint_name",
        unique: &["aws_vpc_endpoint_id", "gcp_vpc_endpoint_info"],
        fields: &[
            Field::new("vpc_endpoint_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("aws_vpc_endpoint_id", Kind::Form(is_endpoint, "must be vpce-<hex digits>"))
                .immutable(),
            Field::new("region", Kind::Text(1, 64)).immutable(),
            Field::new("gcp_vpc_endpoint_info", Kind::Object(GCP_ENDPOINT)).immutable(),
        ],
        rule: endpoint_of_cloud,
        on_create: &[
            ("account_id", Fill::Account),
            ("aws_account_id", Fill::Text("111122223333")),
            (
                "aws_endpoint_service_id",
                Fill::Text("com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"),
            ),
            ("state", Fill::Text("pendingAcceptance")),
            ("use_case", Fill::Text("GENERAL_ACCESS")),
        ],
        used_by: &[
            Use::of("networks", "vpc_endpoints.rest_api"),
            Use::of("networks", "vpc_endpoints.dataplane_relay"),
            Use::of("private-access-settings", "allowed_vpc_endpoint_ids"),
        ],
        steps: &[Step {
            field: "state",
            from: "pendingAcceptance",
            to: "available",
            after_ms: |settings| Some(settings.vpc_endpoint_ms),
        }],
        ..Collection::at("vpc-endpoints", "vpc_endpoint_id")
    },
    Collection {
        name: "private_access_settings_name",
        unique: &["private_access_settings_name"],
        fields: &[
            Field::new("private_access_settings_name", Kind::Text(4, 256)).required(),
            Field::new("region", Kind::Text(1, 64)).required().immutable(),
            Field::new("public_access_enabled", Kind::Bool),
            Field::new("private_access_level", Kind::OneOf(&["ACCOUNT", "ENDPOINT"])),
            Field::new("allowed_vpc_endpoint_ids", TEXTS),
        ],
        on_create: UNDATED,
        update: Update::Put,
        used_by: &[Use::of_workspace("private_access_settings_id")],
        rule: private_access,
        ..Collection::at("private-access-settings", "private_access_settings_id")
    },
    Collection {
        fields: &[
            Field::new("use_cases", Kind::List(1, 2, &USE_CASE)).required().immutable(),
            Field::new("aws_key_info", Kind::Object(AWS_KEY)).immutable(),
            Field::new("gcp_key_info", Kind::Object(GCP_KEY)).immutable(),
        ],
        used_by: &[
            Use::of_workspace("managed_services_customer_managed_key_id"),
            Use::of_workspace("storage_customer_managed_key_id"),
        ],
        rule: complete_key,
        ..Collection::at("customer-managed-keys", "customer_managed_key_id")
    },
];

/// Documented: which fields each cloud needs. Assumed: those of the other cloud are unknown to the account.
fn check_cloud(world: &World, write: &Write, aws: &[&str], gcp: &str) -> Result<(), Reply> {
    let gcp = [gcp];
    let (needed, foreign) = match world.settings.cloud {
        Cloud::AWS => (aws, &gcp[..]),
        Cloud::GCP => (&gcp[..], aws),
    };
    if let Some(field) = foreign.iter().find(|field| write.after.contains_key(**field)) {
        return Err(Reply::malformed(format!("Could not parse request object: unknown field '{field}'")));
    }
    match needed.iter().find(|field| !write.after.contains_key(**field)) {
        Some(field) => Err(Reply::invalid(format!("Missing required field: {field}"))),
        None => Ok(()),
    }
}

/// Observed by others: an endpoint is registered once. Documented: one in GCP has no state, and the service shows its connection.
fn endpoint_of_cloud(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    check_cloud(world, write, &["aws_vpc_endpoint_id", "region"], "gcp_vpc_endpoint_info")?;
    if world.settings.cloud == Cloud::AWS {
        return Ok(());
    }
    let same = |other: &Value| {
        let own = write.value("gcp_vpc_endpoint_info");
        GCP_ENDPOINT.iter().all(|field| other["gcp_vpc_endpoint_info"][field.name] == own[field.name])
    };
    if world.store.list("vpc-endpoints").into_iter().any(|(key, other)| key != write.key && same(other)) {
        return Err(Reply::error(409, "ALREADY_EXISTS", "The VPC endpoint already exists in this account"));
    }
    write
        .after
        .retain(|name, _| !["aws_account_id", "aws_endpoint_service_id", "state"].contains(&name.as_str()));
    let info = write.value_mut("gcp_vpc_endpoint_info");
    info["psc_connection_id"] = json!("12345678901234567");
    info["service_attachment_id"] = json!("projects/databricks/regions/us-east4/serviceAttachments/plproxy");
    Ok(())
}

fn usable_role(world: &mut World, _: &mut Write) -> Result<(), Reply> {
    refusals::check_role(world)
}

/// Ids in a list of a body.
fn ids<'a>(object: &'a Map<String, Value>, field: &str) -> Vec<&'a str> {
    let found = field.split('.').try_fold(None, |found: Option<&Value>, name| {
        Some(Some(found.map_or_else(|| object.get(name), |value| value.get(name))?))
    });
    let items = found.flatten().and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

/// Refuses endpoints that do not exist, and what another network has already.
fn unshared_network(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    check_cloud(world, write, &["vpc_id", "subnet_ids", "security_group_ids"], "gcp_network_info")?;
    for field in ["vpc_endpoints.rest_api", "vpc_endpoints.dataplane_relay"] {
        for id in ids(write.after, field) {
            check_reference(world, field, "vpc-endpoints", id)?;
        }
    }
    for (other, value) in world.store.list("networks") {
        for field in ["subnet_ids", "security_group_ids"] {
            let mut taken = value[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            let own = ids(write.after, field);
            if let Some(id) = taken.find(|id| own.contains(id))
                && world.settings.refuse_duplicates
            {
                let message = format!("{field}: {id} is already used by network {other}");
                return Err(Reply::invalid(message));
            }
        }
    }
    Ok(())
}

/// Whether the workspace that uses a network finds it good; a test may say otherwise.
fn health(world: &World, key: &str, network: &mut Map<String, Value>) {
    let workspaces = world.store.list("workspaces").into_iter();
    let mut users = workspaces.filter(|(_, value)| value["network_id"] == key);
    let user = users.next().map(|(_, value)| value["workspace_id"].clone());
    let status = if user.is_some() { "VALID" } else { "UNATTACHED" };
    network.entry("vpc_status").or_insert(json!(status));
    if let Some(user) = user {
        network.insert("workspace_id".to_owned(), user);
    }
}

/// Documented: the defaults, and that a list of endpoints is for the level `ENDPOINT`.
fn private_access(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    let settings = &mut *write.after;
    settings.entry("public_access_enabled").or_insert(json!(false));
    settings.entry("private_access_level").or_insert(json!("ACCOUNT"));
    for id in ids(settings, "allowed_vpc_endpoint_ids") {
        check_reference(world, "allowed_vpc_endpoint_ids", "vpc-endpoints", id)?;
    }
    let some = !ids(settings, "allowed_vpc_endpoint_ids").is_empty();
    match (*write.value("private_access_level") == "ENDPOINT", some) {
        (true, false) => Err(Reply::invalid("Missing required field: allowed_vpc_endpoint_ids")),
        (false, true) => Err(Reply::invalid("allowed_vpc_endpoint_ids needs private_access_level ENDPOINT")),
        _ => Ok(()),
    }
}

fn complete_key(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    check_cloud(world, write, &["aws_key_info"], "gcp_key_info")?;
    if world.settings.cloud == Cloud::GCP {
        let key = write.value_mut("gcp_key_info");
        if !key["kms_key_id"].is_string() {
            return Err(Reply::invalid("Missing required field: kms_key_id"));
        }
        let email = "databricks-keys@simulated.iam.gserviceaccount.com";
        key["gcp_service_account"] = json!({"service_account_email": email});
        return Ok(());
    }
    let storage = write.value("use_cases").as_array().is_some_and(|cases| cases.contains(&json!("STORAGE")));
    let key = write.value_mut("aws_key_info");
    let region = key["key_arn"].as_str().and_then(|arn| arn.split(':').nth(3)).unwrap_or_default().to_owned();
    if key.get("key_region").is_some_and(|given| *given != region) {
        return Err(Reply::invalid("key_region is not the region of key_arn"));
    }
    key["key_region"] = json!(region);
    if storage && key.get("reuse_key_for_cluster_volumes").is_none() {
        key["reuse_key_for_cluster_volumes"] = json!(true);
    }
    Ok(())
}

fn is_key_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", _, "kms", region, account, resource]
        if !region.is_empty() && account.len() == 12 && resource.starts_with("key/"))
}

fn is_endpoint(text: &str) -> bool {
    text.strip_prefix("vpce-")
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
