//! What users write of a RoleGrant, and what its status shows. [`super`] says how the account has it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, NameRef, Status};

/// One role for one principal on the account, a group, a service principal or a policy.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "RoleGrant",
    shortname = "dbrg",
    category = "databricks",
    namespaced,
    status = "Status<RoleGrantFacts>",
    printcolumn = r#"{"name": "Target", "type": "string", "jsonPath": ".status.target", "description": "What the role is about: account, or groups/ and its id, and the like."}"#,
    printcolumn = r#"{"name": "Role", "type": "string", "jsonPath": ".status.observed.role", "description": "The role."}"#,
    printcolumn = r#"{"name": "Principal", "type": "string", "jsonPath": ".status.principal", "description": "The user, group or service principal that has it."}"#,
    doc = "One role for one principal on the account, a group, a service principal or a policy."
)]
#[serde(rename_all = "camelCase")]
pub struct RoleGrantSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// What the role is about. Cannot be changed once the grant exists, except between an id and a reference to the same object. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The role: on the account roles/billing.admin, roles/marketplace.admin, roles/tagPolicy.creator, roles/tagPolicy.manager or roles/tagPolicy.assigner; on a group roles/group.manager or roles/group.assumer; on a service principal roles/servicePrincipal.manager or roles/servicePrincipal.user, neither of which contains the other; on a budget policy roles/budgetPolicy.manager or roles/budgetPolicy.user; on a tag policy roles/tagPolicy.manager or roles/tagPolicy.assigner. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 7, max = 64), regex(pattern = "^roles/[A-Za-z0-9._-]+$"))]
    pub role: Option<String>,
    /// Who gets the role. Cannot be changed once the grant exists, except between a name and a reference to the same principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
}

/// The account, or an object of it. Grants on a group or a service principal, and of roles on the account that `role` does not list, need a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth, as they lead, or may lead, to the rights of others.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.account) && self.account, has(self.groupId), has(self.groupRef), has(self.applicationId), has(self.servicePrincipalRef), has(self.budgetPolicyId), has(self.budgetPolicyRef), has(self.tagPolicyId)].exists_one(given, given) && (!has(self.account) || self.account)",
     "message": "target needs exactly one of account: true, groupRef, groupId, servicePrincipalRef, applicationId, budgetPolicyRef, budgetPolicyId and tagPolicyId: keep one and remove the others"},
]))]
pub struct Target {
    /// `true`: the role is about the account as a whole. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<bool>,
    /// A Group of this namespace that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// The numeric id of a group that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub group_id: Option<i64>,
    /// A ServicePrincipal of this namespace that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
    /// The application id of a service principal that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub application_id: Option<String>,
    /// A BudgetPolicy of this namespace that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_policy_ref: Option<NameRef>,
    /// The id of a budget policy that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub budget_policy_id: Option<String>,
    /// The id of a tag policy that the role is about. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub tag_policy_id: Option<String>,
}

/// A user, group or service principal of the account.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.userName), has(self.groupName), has(self.servicePrincipalName), has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "principal needs exactly one of userName, groupName, servicePrincipalName, userRef, groupRef and servicePrincipalRef: keep one and remove the others"},
]))]
pub struct Principal {
    /// A user's e-mail address, in upper or lower case. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// A group's display name. If the group gets another name, the grant stays with the old one. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A service principal's application id. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// A User of this namespace. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<NameRef>,
    /// A Group of this namespace, by the name that it has in the account. If the group gets another name, the grant stays with the old one. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. Cannot be changed once the grant exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleGrantFacts {
    /// What the role is about: `account`, or the kind and the id of an object, such as `groups/17`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The principal as the account's rules name it, such as `groups/finops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}
