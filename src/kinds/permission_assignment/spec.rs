//! What users write of a PermissionAssignment, what its status shows, and the rules that the API server checks.

use crate::apis::Permission;
use crate::engine::prelude::*;

/// A principal's access to a workspace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PermissionAssignment",
    shortname = "dbpa",
    category = "databricks",
    namespaced,
    status = "Status<PermissionAssignmentFacts>",
    printcolumn = r#"{"name": "Principal", "type": "string", "jsonPath": ".status.principalName", "description": "The user, group or service principal."}"#,
    printcolumn = r#"{"name": "Permission", "type": "string", "jsonPath": ".status.state", "description": "What it may do."}"#,
    printcolumn = r#"{"name": "Workspace", "type": "string", "jsonPath": ".status.observed.workspaceId", "description": "The id of the workspace."}"#,
    doc = "A principal's access to a workspace."
)]
#[serde(rename_all = "camelCase")]
pub struct PermissionAssignmentSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace that access is given to. Give this or workspaceId. Once the assignment exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace that access is given to, if this namespace has no Workspace for it. Give this or workspaceRef. Once the assignment exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// Who gets access. Once the assignment exists, it must continue to mean the same principal: an id, a name and a reference may replace each other. Known on all clouds.
    pub principal: Principal,
    /// USER: may use the workspace. ADMIN: may administer it; USER adds nothing to it. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub permissions: Option<Vec<Permission>>,
}

/// A user, group or service principal of the account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.id), has(self.userName), has(self.groupName), has(self.servicePrincipalName), has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "principal needs exactly one of id, userName, groupName, servicePrincipalName, userRef, groupRef and servicePrincipalRef: keep one and remove the others"},
]))]
pub struct Principal {
    /// The principal's numeric id in the account. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub id: Option<i64>,
    /// A user's e-mail address, in upper or lower case. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// A group's display name. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A service principal's application id. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// A User of this namespace. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<NameRef>,
    /// A Group of this namespace. It keeps the access if it gets another name. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionAssignmentFacts {
    /// USER, GROUP or SERVICE_PRINCIPAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<String>,
    /// The user's e-mail address, the group's name or the service principal's application id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_name: Option<String>,
    /// The principal's name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
