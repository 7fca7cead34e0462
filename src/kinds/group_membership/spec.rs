//! What users write of a GroupMembership, and the rules that the API server checks.

use crate::engine::prelude::*;

/// One member of one group of the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "GroupMembership",
    shortname = "dbgm",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Group", "type": "integer", "jsonPath": ".status.observed.groupId", "description": "The id of the group in the account."}"#,
    doc = "One member of one group of the account."
)]
#[serde(rename_all = "camelCase")]
pub struct GroupMembershipSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The group. No Group object may have `members` for it, as that is the list of all members: the second of the two is refused (ManagementConflict). Once the membership exists, it must continue to mean the same group: an id, a name and a reference may replace each other. Known on all clouds.
    pub group: MemberOf,
    /// The member. Once the membership exists, it must continue to mean the same principal: an id, a name and a reference may replace each other. Known on all clouds.
    pub principal: Principal,
    /// Allows a group that has the role account_admin, or is in a group that has it, directly or through groups: the member becomes an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. May be changed at any time. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_admin: Option<bool>,
}

/// A group of the account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.groupId), has(self.groupName), has(self.groupRef)].exists_one(given, given)",
     "message": "group needs exactly one of groupId, groupName and groupRef: keep one and remove the others"},
]))]
pub struct MemberOf {
    /// The numeric id of the group in the account. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub group_id: Option<i64>,
    /// The display name of the group. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A Group of this namespace, without `members`. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
}

/// A user, group or service principal of the account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.id), has(self.userName), has(self.groupName), has(self.servicePrincipalName), has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "principal needs exactly one of id, userName, groupName, servicePrincipalName, userRef, groupRef and servicePrincipalRef: keep one and remove the others"},
]))]
pub struct Principal {
    /// The numeric id of the member in the account. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub id: Option<i64>,
    /// A user's e-mail address, in upper or lower case. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// Another group's display name. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A service principal's application id. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// A User of this namespace. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<NameRef>,
    /// Another Group of this namespace. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. Cannot be changed once the membership exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
}
