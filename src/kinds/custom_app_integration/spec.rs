//! What users write of a CustomAppIntegration, what its status shows, and the rules that the API server checks.

use crate::apis::TokenAccessPolicy;
use crate::engine::crd::{NEVER_CREATES, OBJECT_NAME};
use crate::engine::prelude::*;

/// A program of your own with which users may sign in. Deleting it ends the sign-in of all users with it.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "CustomAppIntegration",
    shortname = "dbapp",
    category = "databricks",
    namespaced,
    status = "Status<CustomAppIntegrationFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.name", "description": "The name of the app in the account."}"#,
    printcolumn = r#"{"name": "Client-ID", "type": "string", "jsonPath": ".status.clientId", "description": "The id by which the app names itself when a user signs in."}"#,
    doc = "A program of your own with which users may sign in. Deleting it ends the sign-in of all users with it. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct CustomAppIntegrationSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the app, which users see when they sign in. Cannot be changed once the app exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// The addresses to which Databricks returns a user who has signed in. With this field, addresses that it does not list are removed. A user who controls one of them gets the tokens of those who sign in. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 1, max = 2048), regex(pattern = "^[!-~]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub redirect_urls: Option<Vec<String>>,
    /// What the app may do for its users, such as `sql`, `all-apis` or `offline_access`. With this field, scopes that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 128), regex(pattern = "^[!-~]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub scopes: Option<Vec<String>>,
    /// The scopes to which a user must agree before the app gets a token; each is one of scopes. With this field, scopes that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 128), regex(pattern = "^[!-~]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub user_authorized_scopes: Option<Vec<String>>,
    /// Whether the app has a client secret. To create such an app, secretName is needed. Default: false. Cannot be changed once the app exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidential: Option<bool>,
    /// The name of the Kubernetes Secret in this namespace that the client id and the client secret of a confidential app are written to when the operator creates the app, under the keys `client-id` and `client-secret`. The operator creates it, and writes to no Secret that exists. It goes with this object. Databricks shows the client secret only once, so a lost one is reported and not replaced. Leave it out with an app that exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: Option<String>,
    /// How long the tokens of the app are valid. Fields that are left out stay as they are in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_access_policy: Option<TokenAccessPolicy>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([
        rule(
            "secretName",
            &format!(
                "!has(self.confidential) || !self.confidential || has(self.secretName) || {NEVER_CREATES}"
            ),
            "secretName is needed to create a confidential app, as Databricks shows its client secret only once: set it; it can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
        ),
        rule(
            "secretName",
            "!has(self.secretName) || (has(self.confidential) && self.confidential)",
            "secretName is for the client secret of a confidential app: set confidential to true, or remove secretName",
        ),
        rule(
            "userAuthorizedScopes",
            "!has(self.userAuthorizedScopes) || !has(self.scopes) || self.userAuthorizedScopes.all(scope, scope in self.scopes)",
            "userAuthorizedScopes may have only what scopes has: add what is missing to scopes, or remove it from userAuthorizedScopes",
        ),
    ])
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomAppIntegrationFacts {
    /// The id by which the app names itself when a user signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}
