//! What users write of an AccountNetworkPolicy, and the rules that the API server checks.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, NoFacts, Status};

/// Which destinations the serverless compute of workspaces may reach.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "AccountNetworkPolicy",
    shortname = "dbnp",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    doc = "Which destinations the serverless compute of workspaces may reach."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.networkPolicyId != 'default-policy' || !has(self.deletionPolicy) || self.deletionPolicy != 'Delete'",
     "message": "default-policy cannot be deleted: set deletionPolicy to Retain, or remove it"},
]))]
pub struct AccountNetworkPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The id of the policy, which you choose: 1 to 32 letters, digits, `_`, `.` and `-`. `default-policy` always exists, and applies to every workspace without another policy. Cannot be changed once it exists. Known on AWS and Azure.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-zA-Z0-9_.-]+$"))]
    pub network_policy_id: String,
    /// What compute may reach. Without this field, the operator leaves it as it is in the account. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// For `default-policy`: allows a change after which the policy restricts egress, which cuts off the serverless compute of all workspaces without another policy from all destinations that are not allowed. The policy restricts egress with RESTRICTED_ACCESS, unless DRY_RUN is for all products. You may set it in advance, and leave it set. May be changed at any time. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_default_policy_restriction: Option<bool>,
}

/// What compute may reach.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Egress {
    /// The rules. May be changed. Known on AWS and Azure.
    pub network_access: NetworkAccess,
}

/// The rules of egress. A list that is left out stays as it is in the account, but FULL_ACCESS removes the lists of what is allowed.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.restrictionMode == 'RESTRICTED_ACCESS' || !(has(self.allowedInternetDestinations) && size(self.allowedInternetDestinations) > 0 || has(self.allowedStorageDestinations) && size(self.allowedStorageDestinations) > 0)",
     "message": "FULL_ACCESS allows all destinations: remove allowedInternetDestinations and allowedStorageDestinations, or write restrictionMode: RESTRICTED_ACCESS"},
]))]
pub struct NetworkAccess {
    /// FULL_ACCESS: all destinations. RESTRICTED_ACCESS: only those that are allowed here; for `default-policy` that needs allowDefaultPolicyRestriction. May be changed. Known on AWS and Azure.
    pub restriction_mode: RestrictionMode,
    /// Names of hosts that compute may reach, in any order. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub allowed_internet_destinations: Option<Vec<InternetDestination>>,
    /// Names of hosts that compute may not reach, in any order. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub blocked_internet_destinations: Option<Vec<InternetDestination>>,
    /// Buckets and storage accounts that compute may reach, in any order. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub allowed_storage_destinations: Option<Vec<StorageDestination>>,
    /// Whether the rules are enforced. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_enforcement: Option<PolicyEnforcement>,
}

/// A host.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternetDestination {
    /// The name of the host, such as packages.example.com. May be changed. Known on AWS and Azure.
    #[schemars(length(min = 1, max = 253))]
    pub destination: String,
    /// DNS_NAME. May be changed. Known on AWS and Azure.
    pub internet_destination_type: InternetDestinationType,
}

/// A bucket or a storage account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.storageDestinationType == 'AZURE_STORAGE' ? has(self.azureStorageAccount) && !has(self.bucketName) : has(self.bucketName) && !has(self.azureStorageAccount) && !has(self.azureStorageService)",
     "message": "AZURE_STORAGE is known by azureStorageAccount, AWS_S3 and GOOGLE_CLOUD_STORAGE by bucketName: set what is missing, and remove the fields of the other cloud"},
]))]
pub struct StorageDestination {
    /// AWS_S3, AZURE_STORAGE or GOOGLE_CLOUD_STORAGE. May be changed. Known on AWS and Azure.
    pub storage_destination_type: StorageDestinationType,
    /// The name of the bucket. Needed with AWS_S3 and GOOGLE_CLOUD_STORAGE. May be changed. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub bucket_name: Option<String>,
    /// The region of the bucket. May be changed. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// The name of the storage account. Needed with AZURE_STORAGE. May be changed. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub azure_storage_account: Option<String>,
    /// The service of the storage account, such as blob or dfs. May be changed. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub azure_storage_service: Option<String>,
}

/// Whether rules are enforced.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEnforcement {
    /// ENFORCED: what is not allowed is blocked. DRY_RUN: it is only logged. May be changed. Known on AWS and Azure.
    pub enforcement_mode: EnforcementMode,
    /// With DRY_RUN, the products whose calls are only logged; for all others the rules are enforced. An empty list means all products. Without this field, it stays as it is in the account. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub dry_run_mode_product_filter: Option<Vec<Product>>,
}

/// What compute may reach.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum RestrictionMode {
    FULL_ACCESS,
    RESTRICTED_ACCESS,
}

/// How a destination is named.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum InternetDestinationType {
    DNS_NAME,
}

/// Where a storage destination is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum StorageDestinationType {
    AWS_S3,
    AZURE_STORAGE,
    GOOGLE_CLOUD_STORAGE,
}

/// Whether rules are enforced.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum EnforcementMode {
    ENFORCED,
    DRY_RUN,
}

/// A product with serverless compute.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum Product {
    DBSQL,
    ML_SERVING,
}
