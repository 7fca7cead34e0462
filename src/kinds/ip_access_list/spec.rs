//! What users write of an IpAccessList, what its status shows, and the rules that the API server checks.

use crate::apis::{ListType, not_all_blocked};
use crate::engine::crd::Cidr;
use crate::engine::prelude::*;

/// Which addresses may, or may not, reach the account console and the account APIs.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "IpAccessList",
    shortname = "dbip",
    category = "databricks",
    namespaced,
    status = "Status<IpAccessListFacts>",
    printcolumn = r#"{"name": "Type", "type": "string", "jsonPath": ".status.observed.listType", "description": "ALLOW or BLOCK."}"#,
    printcolumn = r#"{"name": "Enforced", "type": "boolean", "jsonPath": ".status.enforced", "description": "Whether the IP access lists of the account are in force.", "priority": 1}"#,
    printcolumn = r#"{"name": "Addresses", "type": "integer", "jsonPath": ".status.addressCount", "description": "How many addresses the list has."}"#,
    doc = "Which addresses may, or may not, reach the account console and the account APIs."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = not_all_blocked()))]
pub struct IpAccessListSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the list in the account console. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub label: Option<String>,
    /// ALLOW: only the addresses of the ALLOW lists have access. BLOCK: these addresses have none, whatever else allows them. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_type: Option<ListType>,
    /// IPv4 addresses and CIDRs, in any order. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub ip_addresses: Option<Vec<Cidr>>,
    /// Whether the list is in force; true by default. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpAccessListFacts {
    /// How many addresses the list has in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_count: Option<i64>,
    /// Whether the IP access lists of the account are in force, if that is known. If they are not, this list has no effect: an IpAccessListEnforcement changes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
}
