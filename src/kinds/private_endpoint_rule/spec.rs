//! What users write of a PrivateEndpointRule, what its status shows, and the rules that the API server checks.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, NameRef, Status};

/// A private endpoint from serverless compute to one service of yours.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PrivateEndpointRule",
    shortname = "dbper",
    category = "databricks",
    namespaced,
    status = "Status<PrivateEndpointRuleFacts>",
    doc = "A private endpoint from serverless compute to one service of yours."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.resourceId) || has(self.endpointService) || has(self.resourceNames) || has(self.externalId)",
     "message": "the target is missing: write resourceId on Azure; on AWS endpointService for a service of your own, or resourceNames for buckets of S3"},
    {"rule": "!has(self.resourceId) || !(has(self.endpointService) || has(self.resourceNames) || has(self.enabled))",
     "message": "resourceId is a target on Azure: remove it, or remove endpointService, resourceNames and enabled, which are for AWS"},
    {"rule": "has(self.resourceId) ? has(self.groupId) || has(self.domainNames) : !has(self.groupId)",
     "message": "with resourceId write groupId for a service of Azure, or domainNames for a service of your own; without resourceId remove groupId"},
    {"rule": "!has(self.endpointService) || has(self.domainNames) || has(self.resourceNames)",
     "message": "endpointService needs domainNames for a service of your own, or resourceNames for buckets of S3"},
    {"rule": "!has(self.resourceNames) || !has(self.domainNames)",
     "message": "resourceNames are buckets of S3 and domainNames belong to a service of your own: remove one of the two"},
    {"rule": "!has(self.resourceNames) || !has(self.endpointService) || !self.endpointService.startsWith('com.amazonaws.vpce.')",
     "message": "resourceNames are buckets of S3, and endpointService names a service of your own: remove one of the two"},
    {"rule": "!has(self.enabled) || has(self.resourceNames)",
     "message": "enabled is only for rules to S3, which have resourceNames: remove it"},
]))]
pub struct PrivateEndpointRuleSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The NetworkConnectivityConfig of this namespace that the rule belongs to. Give this or networkConnectivityConfigId. Once the rule exists, it must continue to mean the same configuration. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_connectivity_config_ref: Option<NameRef>,
    /// The id of the configuration that the rule belongs to, if this namespace has no NetworkConnectivityConfig for it. Give this or networkConnectivityConfigRef. Once the rule exists, it must continue to mean the same configuration. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub network_connectivity_config_id: Option<String>,
    /// The Azure resource id of the target. Cannot be changed once the rule exists. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub resource_id: Option<String>,
    /// The sub-resource of a service of Azure, such as blob, dfs or sqlServer. Cannot be changed, added or removed once the rule exists. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub group_id: Option<String>,
    /// The endpoint service of the target, com.amazonaws.vpce.…; not needed for S3. Cannot be changed, added or removed once the rule exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^com\\.amazonaws\\.[-.a-z0-9]+$"))]
    pub endpoint_service: Option<String>,
    /// The domain names that lead to a service of your own. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub domain_names: Option<Vec<String>>,
    /// The buckets of S3, in the region of the configuration. May be changed. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 3, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub resource_names: Option<Vec<String>>,
    /// Whether a rule to S3 is in force. Databricks creates it disabled; `true` enables it once it is ESTABLISHED. May be changed. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateEndpointRuleFacts {
    /// On Azure, the name of the private endpoint: what the owner of the target approves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_name: Option<String>,
    /// On AWS, the id of the VPC endpoint, some minutes after the rule was created: what the owner of the target accepts, and what the policies of buckets name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<String>,
    /// Why Databricks could not create the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}
