//! What users write of a Metastore, what its status shows, and the rules that the API server checks.

use crate::apis::OwnerRef;
use crate::engine::prelude::*;

/// The Unity Catalog metastore of a region: the catalogs of its workspaces, and who may use their data.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Metastore",
    shortname = "dbms",
    category = "databricks",
    namespaced,
    status = "Status<MetastoreFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.name", "description": "The name of the metastore in the account."}"#,
    printcolumn = r#"{"name": "Region", "type": "string", "jsonPath": ".status.observed.region", "description": "The region of the metastore."}"#,
    doc = "The Unity Catalog metastore of a region: the catalogs of its workspaces, and who may use their data. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct MetastoreSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the metastore, 1 to 255 characters, unique in the account regardless of case. Cannot be changed once the metastore exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name: Option<String>,
    /// The region of the metastore and of the workspaces that may use it, such as eu-west-1. An account normally has one metastore in a region. Cannot be changed once the metastore exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// Where managed tables are stored whose catalog and schema have no storage location, such as s3://bucket/path; Databricks advises to leave it out. Cannot be changed, added or removed once the metastore exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 1024), regex(pattern = "^(s3|gs|abfss)://[!-~]+$"))]
    pub storage_root: Option<String>,
    /// Whether clients outside of Databricks may use data that they have rights for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_access_enabled: Option<bool>,
    /// The owner: the name of a group or user, or the application id of a service principal, if this namespace has no object for it; not together with ownerRef. The operator can lose rights to the metastore with a change, unless its service principal is in the new owner. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub owner: Option<String>,
    /// The owner as an object of this namespace, in place of owner. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_ref: Option<OwnerRef>,
    /// INTERNAL: data can be shared within the account. INTERNAL_AND_EXTERNAL: also with recipients outside of Databricks. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_sharing_scope: Option<DeltaSharingScope>,
    /// How long a token of a recipient is valid, in seconds. Needs deltaSharingScope. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub delta_sharing_recipient_token_lifetime_in_seconds: Option<i64>,
    /// The name that recipients see of your organization. May be changed, not removed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub delta_sharing_organization_name: Option<String>,
    /// The version of the privilege model, such as 1.0. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = "^[0-9.]+$"))]
    pub privilege_model_version: Option<String>,
    /// The id of the storage credential for storageRoot, as status.storageCredentialId of a StorageCredential of this metastore shows it. From then on the credential belongs to the metastore and cannot be deleted before it. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub storage_root_credential_id: Option<String>,
}

/// With whom data can be shared.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum DeltaSharingScope {
    INTERNAL,
    INTERNAL_AND_EXTERNAL,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([rule(
        "deltaSharingRecipientTokenLifetimeInSeconds",
        "!has(self.deltaSharingRecipientTokenLifetimeInSeconds) || has(self.deltaSharingScope)",
        "deltaSharingRecipientTokenLifetimeInSeconds needs deltaSharingScope, as Databricks changes both together: set it too",
    )])
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetastoreFacts {
    /// The name that is unique in all clouds: cloud, region and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_metastore_id: Option<String>,
    /// The cloud of the metastore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
    /// The name of the storage credential for storageRoot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_root_credential_name: Option<String>,
}
