//! What users write of a NetworkEndpoint, what its status shows, and the rules that the API server checks.

use crate::engine::crd::NEVER_CREATES;
use crate::engine::prelude::*;

/// A private endpoint in your network that network policies can name as a way into Databricks.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "NetworkEndpoint",
    shortname = "dbne",
    category = "databricks",
    namespaced,
    status = "Status<NetworkEndpointFacts>",
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "The state of the endpoint at Databricks."}"#,
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.displayName", "description": "The name of the endpoint in the account."}"#,
    doc = "A private endpoint in your network that network policies can name as a way into Databricks."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct NetworkEndpointSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the endpoint in the account: 1 to 63 letters, digits and hyphens, from a letter to a letter or digit. Cannot be changed once the endpoint exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$"))]
    pub display_name: Option<String>,
    /// The region of the endpoint, as your cloud calls it. Cannot be changed once the endpoint exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// The endpoint in AWS. This, azurePrivateEndpointInfo or gcpPscEndpointInfo is needed to create an endpoint. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_vpc_endpoint_info: Option<AwsVpcEndpointInfo>,
    /// The endpoint in Azure. This, awsVpcEndpointInfo or gcpPscEndpointInfo is needed to create an endpoint. Cannot be changed, added or removed once it exists. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_private_endpoint_info: Option<AzurePrivateEndpointInfo>,
    /// The endpoint in GCP. This, awsVpcEndpointInfo or azurePrivateEndpointInfo is needed to create an endpoint. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_psc_endpoint_info: Option<GcpPscEndpointInfo>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let clouds = ["awsVpcEndpointInfo", "azurePrivateEndpointInfo", "gcpPscEndpointInfo"];
    let has = clouds.map(|cloud| format!("has(self.{cloud})"));
    json!([
        rule(
            "awsVpcEndpointInfo",
            &format!("!({}) || [{}].exists_one(given, given)", has.join(" || "), has.join(", ")),
            "awsVpcEndpointInfo is for AWS, azurePrivateEndpointInfo for Azure and gcpPscEndpointInfo for GCP: keep the one of your cloud and remove the others",
        ),
        rule(
            "awsVpcEndpointInfo",
            &format!("{} || {NEVER_CREATES}", has.join(" || ")),
            "awsVpcEndpointInfo, azurePrivateEndpointInfo or gcpPscEndpointInfo is needed to create an endpoint: set the one of your cloud; it can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
        ),
    ])
}

/// An interface endpoint of a VPC.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsVpcEndpointInfo {
    /// The id of the endpoint in AWS, which must exist there. Cannot be changed once the endpoint is registered. Known on AWS.
    #[schemars(length(max = 64), regex(pattern = "^vpce-[0-9a-f]+$"))]
    pub aws_vpc_endpoint_id: String,
}

/// A private endpoint of a virtual network.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzurePrivateEndpointInfo {
    /// The name of the private endpoint in Azure. Cannot be changed once the endpoint is registered. Known on Azure.
    #[schemars(length(min = 1, max = 128))]
    pub private_endpoint_name: String,
    /// The resource GUID that Azure gave the private endpoint, in lower case. Cannot be changed once the endpoint is registered. Known on Azure.
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub private_endpoint_resource_guid: String,
}

/// An endpoint of Private Service Connect.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpPscEndpointInfo {
    /// The Google Cloud project of the endpoint. Cannot be changed once the endpoint is registered. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub project_id: String,
    /// The name of the endpoint in GCP. Cannot be changed once the endpoint is registered. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub psc_endpoint: String,
    /// The region of the endpoint in GCP, which is that of the workspaces. Cannot be changed once the endpoint is registered. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub endpoint_region: String,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkEndpointFacts {
    /// What the endpoint is for: SERVICE_DIRECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// The AWS account of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_account_id: Option<String>,
    /// The service of Databricks that the endpoint in AWS leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_endpoint_service_id: Option<String>,
    /// The resource id of the private endpoint in Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_endpoint_resource_id: Option<String>,
    /// The service of Databricks that the endpoint in Azure leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_link_service_id: Option<String>,
    /// The id of the connection in GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psc_connection_id: Option<String>,
    /// The service of Databricks that the endpoint in GCP leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_attachment_id: Option<String>,
}
