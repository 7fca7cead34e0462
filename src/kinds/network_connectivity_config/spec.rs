//! What users write of a NetworkConnectivityConfig, what its status shows, and the rules that the API server checks.

use std::collections::BTreeSet;

use crate::engine::prelude::*;

/// How the serverless compute of workspaces in one region reaches your network.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "NetworkConnectivityConfig",
    shortname = "dbncc",
    category = "databricks",
    namespaced,
    status = "Status<NetworkConnectivityConfigFacts>",
    doc = "How the serverless compute of workspaces in one region reaches your network."
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConnectivityConfigSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the configuration: 3 to 30 letters, digits, `-` and `_`. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 30), regex(pattern = "^[0-9a-zA-Z_-]+$"))]
    pub name: Option<String>,
    /// The region of the workspaces that use the configuration, such as eu-west-1. Cannot be changed once it exists. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// The id of the workspace that is billed for the configuration. It must be running and attached to this configuration already. May be changed, not removed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub billing_workspace_id: Option<i64>,
}

/// What is shown. Databricks changes it without a change of the spec.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConnectivityConfigFacts {
    /// On AWS, the addresses that serverless compute calls from: allow them in your firewalls.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub egress_cidr_blocks: BTreeSet<String>,
    /// On Azure, the subnets that serverless compute calls from: allow them in your storage accounts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub egress_subnets: BTreeSet<String>,
}
