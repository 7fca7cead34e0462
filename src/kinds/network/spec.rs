//! What users write of a Network, what its status shows, and the rules that the API server checks.

use std::collections::BTreeSet;

use crate::engine::prelude::*;

/// The VPC in which a workspace launches compute. On AWS and GCP.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Network",
    shortname = "dbnet",
    category = "databricks",
    namespaced,
    status = "Status<NetworkFacts>",
    printcolumn = r#"{"name": "VPC", "type": "string", "jsonPath": ".status.observed.vpcId", "description": "The id of the VPC."}"#,
    printcolumn = r#"{"name": "Checked", "type": "string", "jsonPath": ".status.vpcStatus", "description": "What Databricks found when it checked the network."}"#,
    printcolumn = r#"{"name": "Workspace", "type": "integer", "jsonPath": ".status.workspaceId", "description": "The id of the workspace that uses the network."}"#,
    doc = "The VPC in which a workspace launches compute. On AWS and GCP."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = aws_or_gcp("network", &["vpcId", "subnetIds", "securityGroupIds"], "gcpNetworkInfo")))]
pub struct NetworkSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the network configuration, 4 to 256 characters. Cannot be changed once it exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub network_name: Option<String>,
    /// The id of the VPC. Needed to create a network on AWS. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^vpc-[0-9a-f]+$"))]
    pub vpc_id: Option<String>,
    /// The ids of at least two subnets, in different availability zones. A subnet can be in one network only. Needed to create a network on AWS. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub subnet_ids: Option<Vec<String>>,
    /// The ids of one to five security groups. A security group can be in one network only. Needed to create a network on AWS. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub security_group_ids: Option<Vec<String>>,
    /// The VPC endpoints of a network for PrivateLink. Cannot be changed, added or removed once the network exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoints: Option<VpcEndpoints>,
    /// The network in GCP. Needed to create a network on GCP. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_network_info: Option<GcpNetwork>,
}

/// The VPC endpoints of a network, by what they are for. References and ids add up.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VpcEndpoints {
    /// The VpcEndpoints of this namespace that lead to the REST API. Cannot be changed once the network exists, except to ids of the same endpoints. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub rest_api_refs: Option<Vec<NameRef>>,
    /// The ids that Databricks gave to endpoints that lead to the REST API, if this namespace has no VpcEndpoint for them. Cannot be changed once the network exists, except to references to the same endpoints. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub rest_api_ids: Option<Vec<String>>,
    /// The VpcEndpoints of this namespace through which clusters reach the relay of Databricks. Cannot be changed once the network exists, except to ids of the same endpoints. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub dataplane_relay_refs: Option<Vec<NameRef>>,
    /// The ids that Databricks gave to endpoints through which clusters reach the relay of Databricks, if this namespace has no VpcEndpoint for them. Cannot be changed once the network exists, except to references to the same endpoints. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub dataplane_relay_ids: Option<Vec<String>>,
}

/// A network of Google Cloud.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpNetwork {
    /// The Google Cloud project of the network. Cannot be changed once the network configuration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub network_project_id: String,
    /// The name of the VPC. Cannot be changed once the network configuration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub vpc_id: String,
    /// The name of the subnet. Cannot be changed once the network configuration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub subnet_id: String,
    /// The region of the subnet, such as us-east4. Cannot be changed once the network configuration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub subnet_region: String,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkFacts {
    /// What Databricks found when it checked the network: UNATTACHED (not checked, as no workspace uses it), VALID, WARNED or BROKEN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_status: Option<String>,
    /// What is wrong with the network.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub error_messages: BTreeSet<String>,
    /// What may be wrong with the network.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warning_messages: BTreeSet<String>,
    /// The id of the workspace that uses the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<i64>,
}
