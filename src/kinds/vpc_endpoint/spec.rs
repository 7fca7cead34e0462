//! What users write of a VpcEndpoint, what its status shows, and the rules that the API server checks.

use crate::engine::prelude::*;

/// An endpoint of your VPC, for PrivateLink. On AWS and GCP.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "VpcEndpoint",
    shortname = "dbvpce",
    category = "databricks",
    namespaced,
    status = "Status<VpcEndpointFacts>",
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "The state of the endpoint in AWS."}"#,
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".status.observed.awsVpcEndpointId", "description": "The id of the endpoint in AWS."}"#,
    printcolumn = r#"{"name": "Use", "type": "string", "jsonPath": ".status.useCase", "description": "What the endpoint is for."}"#,
    doc = "An endpoint of your VPC, for PrivateLink. On AWS and GCP."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = aws_or_gcp("VPC endpoint", &["awsVpcEndpointId", "region"], "gcpVpcEndpointInfo")))]
pub struct VpcEndpointSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the registration, 4 to 256 characters. Cannot be changed once it exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub vpc_endpoint_name: Option<String>,
    /// The id of the endpoint in AWS, which must exist there. Needed to create a registration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^vpce-[0-9a-f]+$"))]
    pub aws_vpc_endpoint_id: Option<String>,
    /// The AWS region of the endpoint, such as eu-west-1. Needed to create a registration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// The endpoint in GCP. Needed to create a registration on GCP. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_vpc_endpoint_info: Option<GcpEndpoint>,
}

/// An endpoint of Private Service Connect.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpEndpoint {
    /// The Google Cloud project of the endpoint. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub project_id: String,
    /// The name of the endpoint. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub psc_endpoint_name: String,
    /// The region of the endpoint, such as us-east4. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub endpoint_region: String,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VpcEndpointFacts {
    /// What the endpoint is for: WORKSPACE_ACCESS, DATAPLANE_RELAY_ACCESS or GENERAL_ACCESS. It follows from the service that the endpoint leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// The AWS account of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_account_id: Option<String>,
    /// The service of Databricks that the endpoint leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_endpoint_service_id: Option<String>,
    /// The id of the connection in GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psc_connection_id: Option<String>,
    /// The service of Databricks that the endpoint in GCP leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_attachment_id: Option<String>,
}
