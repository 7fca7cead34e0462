//! What users write of a Group, and what its status shows. [`super`] says how the account has it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, NameRef, Status};

/// A group of the account: who is in it.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Group",
    shortname = "dbgroup",
    category = "databricks",
    namespaced,
    status = "Status<GroupFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.displayName", "description": "The name of the group in the account."}"#,
    printcolumn = r#"{"name": "Members", "type": "integer", "jsonPath": ".status.memberCount", "description": "How many direct members the group has."}"#,
    doc = "A group of the account: who is in it."
)]
#[serde(rename_all = "camelCase")]
pub struct GroupSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the group, unique in the account regardless of case. May be changed; rule sets and grants of data refer to a group by its name, and do not follow the change. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub display_name: Option<String>,
    /// The members. With this field, members that it does not list are removed; an empty list removes all. Not together with GroupMemberships of the group: the second of the two is refused (ManagementConflict). Left out, members are not managed. A member that cannot be resolved does not keep others in the group. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub members: Option<Vec<Member>>,
    /// `account_admin` makes each member an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. With this field, roles that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend(
        "items" = {"type": "string", "enum": ["account_admin"]},
        "x-kubernetes-list-type" = "set",
    ))]
    pub roles: Option<Vec<String>>,
    /// Allows to add members while the group is in a group that has the role account_admin, directly or through groups: they become administrators of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. May be changed at any time. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_admin: Option<bool>,
    /// The id that an identity provider knows the group by; the API calls it externalId. Leave it out unless you are that provider: in an account with automatic identity management a group that has one belongs to the provider, and nothing else can change it. Cannot be changed, added or removed once the group exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub scim_external_id: Option<String>,
}

/// A user, service principal or group that is in the group.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.id), has(self.userName), has(self.groupName), has(self.servicePrincipalName), has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "a member needs exactly one of id, userName, groupName, servicePrincipalName, userRef, groupRef and servicePrincipalRef: write an entry of its own for each member"},
]))]
pub struct Member {
    /// The member's numeric id in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub id: Option<i64>,
    /// A user's e-mail address, in upper or lower case. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// Another group's display name. May be changed. Known on all clouds.
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
    /// Another Group of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupFacts {
    /// How many direct members the group has in the account; known if they are managed or observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<i64>,
}
