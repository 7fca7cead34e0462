//! What users write of a StorageCredential, what its status shows, and the rules that the API server checks.

use crate::apis::OwnerRef;
use crate::engine::crd::NEVER_CREATES;
use crate::engine::prelude::*;

/// The role or identity with which the workspaces of a metastore read and write your storage.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "StorageCredential",
    shortname = "dbstc",
    category = "databricks",
    namespaced,
    status = "Status<StorageCredentialFacts>",
    printcolumn = r#"{"name": "Metastore", "type": "string", "jsonPath": ".status.observed.metastoreId", "description": "The id of the metastore."}"#,
    printcolumn = r#"{"name": "Sts-External-ID", "type": "string", "jsonPath": ".status.stsExternalId", "description": "The external id that the trust policy of the role must have.", "priority": 1}"#,
    doc = "The role or identity with which the workspaces of a metastore read and write your storage. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct StorageCredentialSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Metastore of this namespace that the credential belongs to. Give this or metastoreId. Once the credential exists, it must continue to mean the same metastore. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metastore_ref: Option<NameRef>,
    /// The id of the metastore that the credential belongs to, if this namespace has no Metastore for it. Give this or metastoreRef. Once the credential exists, it must continue to mean the same metastore. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub metastore_id: Option<String>,
    /// The name of the credential, unique in the metastore regardless of case, also among service credentials: 1 to 219 characters without spaces, dots, slashes and percent signs. Cannot be changed once the credential exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 219), regex(pattern = r"^[^\p{C}\p{Z}./%]+$"))]
    pub name: Option<String>,
    /// The IAM role that Databricks assumes. This or azureManagedIdentity is needed to create a credential. May be changed. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_iam_role: Option<AwsIamRole>,
    /// The identity that Databricks acts as. This or awsIamRole is needed to create a credential. May be changed. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_managed_identity: Option<AzureManagedIdentity>,
    /// What the credential is for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
    /// Whether the credential only reads. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// The owner: the name of a group or user, or the application id of a service principal, if this namespace has no object for it; not together with ownerRef. The operator can lose rights to the credential with a change, unless its service principal is in the new owner. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub owner: Option<String>,
    /// The owner as an object of this namespace, in place of owner. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_ref: Option<OwnerRef>,
    /// ISOLATION_MODE_OPEN: all workspaces of the metastore may use it. ISOLATION_MODE_ISOLATED: only those that it is bound to in Databricks. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation_mode: Option<IsolationMode>,
    /// `true`: Databricks does not test a changed role or identity before it accepts the change. It never tests a new awsIamRole, as the trust policy of the role needs an external id that exists only then. May be changed at any time. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_validation: Option<bool>,
}

/// An IAM role of your AWS account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsIamRole {
    /// The ARN of the role. Its trust policy must allow status.unityCatalogIamArn to assume it with the external id status.stsExternalId. May be changed. Known on AWS.
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[!-~]+$"))]
    pub role_arn: String,
}

/// A managed identity of your Azure subscription.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureManagedIdentity {
    /// The Azure resource id of the access connector. May be changed. Known on Azure.
    #[schemars(length(min = 1, max = 1024))]
    pub access_connector_id: String,
    /// The Azure resource id of a managed identity that the user assigned to the access connector. Empty means the identity of the connector itself; left out, it is not managed. May be changed. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub managed_identity_id: Option<String>,
}

/// Which workspaces of the metastore may use a credential.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum IsolationMode {
    ISOLATION_MODE_OPEN,
    ISOLATION_MODE_ISOLATED,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([
        rule(
            "awsIamRole",
            "!has(self.awsIamRole) || !has(self.azureManagedIdentity)",
            "awsIamRole is for AWS and azureManagedIdentity is for Azure: remove one of them",
        ),
        rule(
            "awsIamRole",
            &format!("has(self.awsIamRole) || has(self.azureManagedIdentity) || {NEVER_CREATES}"),
            "awsIamRole or azureManagedIdentity is needed to create a credential: set one of them; both can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
        ),
    ])
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageCredentialFacts {
    /// The id of the credential, as storageRootCredentialId of a Metastore names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_credential_id: Option<String>,
    /// On AWS, the external id that the trust policy of the role must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_external_id: Option<String>,
    /// On AWS, the role of Databricks that the trust policy of the role must allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unity_catalog_iam_arn: Option<String>,
    /// On GCP, the service account that Databricks created: give it access to the buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_email: Option<String>,
    /// Whether managed tables are stored with this credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_for_managed_storage: Option<bool>,
}
