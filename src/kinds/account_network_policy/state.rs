//! The state of an AccountNetworkPolicy: what is compared, and what the API may leave out of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a spec controls. Within `egress` the names are those of the spec, as `status.observed` shows it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct AccountNetworkPolicyState {
    pub(super) network_policy_id: String,
    pub(super) egress: Option<Egress>,
}

/// See the spec for what the fields mean.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Egress {
    #[serde(default)]
    pub(super) network_access: Access,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Access {
    #[serde(default)]
    pub(super) restriction_mode: String,
    pub(super) allowed_internet_destinations: Option<BTreeSet<Host>>,
    pub(super) blocked_internet_destinations: Option<BTreeSet<Host>>,
    pub(super) allowed_storage_destinations: Option<BTreeSet<Storage>>,
    pub(super) policy_enforcement: Option<Enforcement>,
}

/// An item is compared as a whole, so what it lacks needs no `null`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Host {
    #[serde(deserialize_with = "lower")]
    pub(super) destination: String,
    #[serde(default)]
    pub(super) internet_destination_type: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Storage {
    #[serde(default)]
    pub(super) storage_destination_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bucket_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azure_storage_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azure_storage_service: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Enforcement {
    #[serde(default = "enforced")]
    pub(super) enforcement_mode: String,
    pub(super) dry_run_mode_product_filter: Option<BTreeSet<String>>,
}

pub(super) fn enforced() -> String {
    "ENFORCED".into()
}

/// Names of hosts have no case.
fn lower<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| text.to_lowercase())
}
