//! What users write of a ServicePrincipal, and what its status shows. [`super`] says how the account has it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, Status};

/// An identity for programs in the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "ServicePrincipal",
    shortname = "dbsp",
    category = "databricks",
    namespaced,
    status = "Status<ServicePrincipalFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.displayName", "description": "The name that people see."}"#,
    printcolumn = r#"{"name": "Application-ID", "type": "string", "jsonPath": ".status.applicationId", "description": "The client id with which it signs in."}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "ACTIVE, or INACTIVE if it cannot sign in."}"#,
    doc = "An identity for programs in the account."
)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name that people see; several may have the same in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub display_name: Option<String>,
    /// The application id, a UUID, of one that Microsoft Entra ID manages. With it, the service principal is found by this id, whatever its name. Default: Databricks chooses one. Cannot be changed, added or removed once the service principal exists. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub application_id: Option<String>,
    /// Whether it can sign in; true by default, so one that others deactivate is activated again. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// `account_admin` makes it an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. With this field, roles that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend(
        "items" = {"type": "string", "enum": ["account_admin"]},
        "x-kubernetes-list-type" = "set",
    ))]
    pub roles: Option<Vec<String>>,
    /// `true` erases the service principal when this object is deleted with deletionPolicy Delete: its secrets and access go with it, and what runs as it stops, for good. By default it is deactivated. May be changed at any time, also while the object is being deleted. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge: Option<bool>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFacts {
    /// The application id: the client id with which it signs in, and its name in workspaces. Its other id is externalId.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// The id that an identity provider knows it by. With automatic identity management only that can change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_external_id: Option<String>,
}
