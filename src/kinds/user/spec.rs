//! What users write of a User, and what its status shows. [`super`] says how the account has it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, Status};

/// A person in the account, by e-mail address.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "User",
    shortname = "dbuser",
    category = "databricks",
    namespaced,
    status = "Status<UserFacts>",
    printcolumn = r#"{"name": "User", "type": "string", "jsonPath": ".status.observed.userName", "description": "The e-mail address."}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "ACTIVE, or INACTIVE if the user cannot sign in."}"#,
    doc = "A person in the account, by e-mail address."
)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The e-mail address, in upper or lower case: Databricks keeps it in lower case. Cannot be changed once the user exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 256))]
    pub user_name: Option<String>,
    /// The name that people see. Default: Databricks derives it from the address. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// The parts of the person's name. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<UserFullName>,
    /// Whether the user can sign in; true by default, so a user that others deactivate is activated again. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// `account_admin` makes the user an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. With this field, roles that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend(
        "items" = {"type": "string", "enum": ["account_admin"]},
        "x-kubernetes-list-type" = "set",
    ))]
    pub roles: Option<Vec<String>>,
    /// `true` erases the user when this object is deleted with deletionPolicy Delete: home folder, tokens and ownership go with it, for good. By default the user is deactivated. May be changed at any time, also while the object is being deleted. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge: Option<bool>,
}

/// The parts of a person's name, in a spec and in a response.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFullName {
    /// The given name. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 256))]
    pub given_name: Option<String>,
    /// The family name. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 256))]
    pub family_name: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFacts {
    /// The id that an identity provider knows the user by. With automatic identity management only that can change the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_external_id: Option<String>,
}
