//! What users write of PrivateAccessSettings, and the rules that the API server checks.

use crate::engine::prelude::*;

/// From where workspaces can be reached, for PrivateLink.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PrivateAccessSettings",
    plural = "privateaccesssettings",
    shortname = "dbpas",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Region", "type": "string", "jsonPath": ".status.observed.region", "description": "The region of the workspaces."}"#,
    printcolumn = r#"{"name": "Public", "type": "boolean", "jsonPath": ".status.observed.publicAccessEnabled", "description": "Whether the workspaces can be reached from the internet."}"#,
    printcolumn = r#"{"name": "Level", "type": "string", "jsonPath": ".status.observed.privateAccessLevel", "description": "Which VPC endpoints may be used."}"#,
    doc = "From where workspaces can be reached, for PrivateLink."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct PrivateAccessSettingsSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the settings, 4 to 256 characters. May be changed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub private_access_settings_name: Option<String>,
    /// The region of the workspaces, such as eu-west-1. Cannot be changed once the settings exist. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// Whether the workspaces can also be reached from the internet, as far as their IP access lists allow. A change from true to false needs allowPublicAccessRemoval. May be changed; it takes minutes, and applies to all workspaces that use the settings. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_access_enabled: Option<bool>,
    /// Allows a change of publicAccessEnabled from true to false, which cuts off all users without a private connection. You may set it in advance, and leave it set. May be changed at any time. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_public_access_removal: Option<bool>,
    /// ACCOUNT (default): all VPC endpoints of the account may be used. ENDPOINT: only those of allowedVpcEndpointRefs and allowedVpcEndpointIds. A change from ACCOUNT to ENDPOINT needs allowEndpointRemoval. May be changed, with the same effect on all workspaces. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_access_level: Option<PrivateAccessLevel>,
    /// Allows a change after which fewer VPC endpoints may be used, which cuts off the users who connect through the others. Such a change is a list that lacks one of them, or a change of privateAccessLevel from ACCOUNT to ENDPOINT. You may set it in advance, and leave it set. May be changed at any time. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_endpoint_removal: Option<bool>,
    /// The VpcEndpoints of this namespace that may be used, with the level ENDPOINT. An endpoint is removed only with allowEndpointRemoval. May be combined with allowedVpcEndpointIds. May be changed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub allowed_vpc_endpoint_refs: Option<Vec<NameRef>>,
    /// The ids that Databricks gave to endpoints that may be used, with the level ENDPOINT, if this namespace has no VpcEndpoint for them. An endpoint is removed only with allowEndpointRemoval. May be changed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_vpc_endpoint_ids: Option<Vec<String>>,
}

/// Which VPC endpoints may be used.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum PrivateAccessLevel {
    ACCOUNT,
    ENDPOINT,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let some = |field: &str| format!("(has(self.{field}) && size(self.{field}) > 0)");
    let listed = format!("({} || {})", some("allowedVpcEndpointRefs"), some("allowedVpcEndpointIds"));
    let level = "has(self.privateAccessLevel) && self.privateAccessLevel == 'ENDPOINT'";
    json!([rule(
        "privateAccessLevel",
        &format!("{listed} == ({level})"),
        "privateAccessLevel ENDPOINT and a list of endpoints belong together: set it with allowedVpcEndpointRefs or allowedVpcEndpointIds, and remove them with another level",
    )])
}
