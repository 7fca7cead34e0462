//! What users write of a WorkspaceAccess. What its status shows is [`Listing`].

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apis::Permission;
use crate::engine::crd::{Listing, Management, NameRef, Status};

/// The list of all principals that have access to a workspace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "WorkspaceAccess",
    shortname = "dbwa",
    category = "databricks",
    namespaced,
    status = "Status<Listing>",
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "description": "What happens to access that is not listed."}"#,
    printcolumn = r#"{"name": "Listed", "type": "integer", "jsonPath": ".status.listedCount", "description": "How many principals are listed."}"#,
    printcolumn = r#"{"name": "Unlisted", "type": "integer", "jsonPath": ".status.unlistedCount", "description": "How many principals have access and are not listed."}"#,
    doc = "The list of all principals that have access to a workspace: access that is not listed is reported, or removed after a while. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceAccessSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace. Give this or workspaceId. Once the list is managed, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, if this namespace has no Workspace for it. Give this or workspaceRef. Once the list is managed, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The principals that have access. The operator gives each principal the access that its entry lists. Do not list a principal that has a PermissionAssignment: the second of the two is refused (ManagementConflict). While a principal cannot be resolved, nothing is removed. What a principal has beyond its entry counts as access that is not listed. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 500))]
    pub principals: Vec<Listed>,
    /// What happens to access that neither this list nor a PermissionAssignment gives. `Report`: the status shows it. `Enforce`: it is also removed, after removeAfter; needs a grant with removeAccess in the DatabricksAuth. The access of the operator itself, of groups that it may be in, and of the last administrator is never removed. May be changed. Known on all clouds.
    pub mode: Mode,
    /// With Enforce: how long access that is not listed stays, counted from when the operator first sees it, or from the change to Enforce if that is later; at least `10m`. Default: 24h. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = "^([1-9][0-9]{1,5}m|[1-9][0-9]{0,3}h)$"))]
    pub remove_after: Option<String>,
    /// With Enforce: how many principals may lose their access within an hour. Default: 5. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_removals: Option<i64>,
}

/// What happens to access that is not listed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum Mode {
    Report,
    Enforce,
}

/// A user, group or service principal with access.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.id), has(self.userName), has(self.groupName), has(self.servicePrincipalName), has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "an entry of principals needs exactly one of id, userName, groupName, servicePrincipalName, userRef, groupRef and servicePrincipalRef: write an entry of its own for each principal"},
]))]
pub struct Listed {
    /// The principal's numeric id in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub id: Option<i64>,
    /// A user's e-mail address, in upper or lower case. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// A group's display name. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A service principal's application id. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// A User of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<NameRef>,
    /// A Group of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
    /// USER: may use the workspace. ADMIN: may administer it; USER adds nothing to it. Default: USER. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub permissions: Option<Vec<Permission>>,
}
