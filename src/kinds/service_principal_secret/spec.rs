//! What users write of a ServicePrincipalSecret, and what its status shows. The secret itself is in neither.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::crd::{Management, NameRef, OBJECT_NAME, Status};

/// An OAuth secret of a service principal, written to a Kubernetes Secret and replaced in time.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "ServicePrincipalSecret",
    shortname = "dbspsec",
    category = "databricks",
    namespaced,
    status = "Status<ServicePrincipalSecretFacts>",
    printcolumn = r#"{"name": "Secret", "type": "string", "jsonPath": ".spec.secretName", "description": "The Kubernetes Secret that holds it."}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".status.expireTime", "description": "When it ends if it is not replaced before."}"#,
    doc = "An OAuth secret of a service principal, written to a Kubernetes Secret and replaced in time. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.externalId) || (has(self.managementPolicy) && self.managementPolicy == 'Observe')",
     "message": "a secret that exists cannot be adopted, as its value is not known: remove externalId, or write managementPolicy Observe"},
]))]
pub struct ServicePrincipalSecretSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The ServicePrincipal of this namespace that signs in with the secret. Give this or servicePrincipalId. Once the secret exists, it must continue to mean the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
    /// The numeric id of the service principal, if this namespace has no ServicePrincipal for it. Give this or servicePrincipalRef. Once the secret exists, it must continue to mean the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_principal_id: Option<i64>,
    /// The name of the Kubernetes Secret in this namespace that the secret is written to, under the key `client-secret`. The operator creates it, and writes to no Secret that exists. It goes with this object. May be changed: the secret is then replaced, and the former Kubernetes Secret stays until this object is deleted. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: Option<String>,
    /// How long a secret lives, in seconds such as `7776000s`, from an hour to two years. The operator shortens it by up to a day, by which it recognises its own secrets, and replaces a secret after two thirds of its life. Default: two years. Cannot be changed once the secret exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 9),
        regex(
            pattern = "^(3[6-9][0-9]{2}|[4-9][0-9]{3}|[1-9][0-9]{4,6}|[1-5][0-9]{7}|6[0-2][0-9]{6}|630[0-6][0-9]{4}|6307[01][0-9]{3}|63072000)s$"
        )
    )]
    pub lifetime: Option<String>,
    /// How long a secret stays valid after its successor is in the Kubernetes Secret, such as `1h`; users of it have to read the new one within this time. `0s` ends it at once. It ends earlier if the Kubernetes Secret is lost, or the successor due, meanwhile. Default: 24h. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = "^([0-9]{1,6}[hms]){1,3}$"))]
    pub overlap: Option<String>,
    /// Any new value, such as a date, replaces the secret now. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]+$"))]
    pub renewal: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalSecretFacts {
    /// When the secret ends, as Databricks says; missing if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
}
