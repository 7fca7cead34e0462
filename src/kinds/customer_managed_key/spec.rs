//! What users write of a CustomerManagedKey, what its status shows, and the rules that the API server checks.

use crate::engine::prelude::*;

/// A key of your cloud account, with which workspaces encrypt. On AWS and GCP.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "CustomerManagedKey",
    shortname = "dbcmk",
    category = "databricks",
    namespaced,
    status = "Status<CustomerManagedKeyFacts>",
    printcolumn = r#"{"name": "Use", "type": "string", "jsonPath": ".status.observed.useCases", "description": "What the key encrypts."}"#,
    printcolumn = r#"{"name": "Key", "type": "string", "jsonPath": ".status.observed.keyArn", "description": "The ARN of the key in AWS.", "priority": 1}"#,
    doc = "A key of your cloud account, with which workspaces encrypt. On AWS and GCP."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct CustomerManagedKeySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// What the key encrypts. MANAGED_SERVICES: notebooks, queries and secrets. STORAGE: the root bucket, and the disks of clusters. Cannot be changed once the registration exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub use_cases: Option<Vec<UseCase>>,
    /// The key in AWS. Needed to create a registration on AWS. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_key_info: Option<AwsKey>,
    /// The key in GCP. Needed to create a registration on GCP. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_key_info: Option<GcpKey>,
}

/// What a key encrypts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum UseCase {
    MANAGED_SERVICES,
    STORAGE,
}

/// A key of AWS KMS.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsKey {
    /// The ARN of the key, in the region of the workspaces. Cannot be changed once the registration exists. Known on AWS.
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^arn:aws(-[a-z]+)*:kms:[-a-z0-9]+:[0-9]{12}:key/[-0-9A-Za-z]+$")
    )]
    pub key_arn: String,
    /// An alias of the key. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub key_alias: Option<String>,
    /// The region of the key; it follows from the ARN. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub key_region: Option<String>,
    /// Whether the key also encrypts the disks of clusters; true by default. Only with the use case STORAGE. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_key_for_cluster_volumes: Option<bool>,
}

/// A key of Google Cloud KMS.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpKey {
    /// The resource name of the key, `projects/…/cryptoKeys/…`. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 1024))]
    pub kms_key_id: String,
    /// Whether you give the service account of Databricks access to the key yourself. By default Databricks does it with the operator's rights. Cannot be changed, added or removed once the registration exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual: Option<bool>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let storage = rule(
        "awsKeyInfo",
        "!has(self.awsKeyInfo) || !has(self.awsKeyInfo.reuseKeyForClusterVolumes) || !has(self.useCases) || self.useCases.exists(one, one == 'STORAGE')",
        "awsKeyInfo.reuseKeyForClusterVolumes is only for the use case STORAGE: remove it, or add STORAGE to useCases",
    );
    let found = rule(
        "awsKeyInfo",
        "has(self.awsKeyInfo) || has(self.gcpKeyInfo) || has(self.externalId)",
        "a key has no name, so without awsKeyInfo and gcpKeyInfo it is found only by its id: set one of them, or externalId",
    );
    let clouds = aws_or_gcp("key", &["awsKeyInfo"], "gcpKeyInfo");
    clouds.as_array().into_iter().flatten().cloned().chain([storage, found]).collect()
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerManagedKeyFacts {
    /// The service account that needs access to the key in GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_service_account_email: Option<String>,
}
