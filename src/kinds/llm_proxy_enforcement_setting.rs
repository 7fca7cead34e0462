//! LlmProxyEnforcementSetting: whether workspaces may differ from the account in what its LlmProxySetting says. A setting of its own,
//! as each has its own version in the account. Always there; the API cannot put it back, so it stays as it is when its Kubernetes
//! object is deleted.
//!
//! What an account does that never set it is not documented, so a desired value is always written.

use crate::apis::{Setting, SettingKind, off};
use crate::engine::prelude::*;

/// Whether all workspaces have the value of the account for AI features that models of partners power.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "LlmProxyEnforcementSetting",
    shortname = "dbllme",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Enforcement", "type": "string", "jsonPath": ".status.state", "description": "Whether workspaces must have the value of the account (ENFORCED) or may differ (NOT_ENFORCED)."}"#,
    doc = "Whether all workspaces have the value of the account for AI features that models of partners power."
)]
#[serde(rename_all = "camelCase")]
pub struct LlmProxyEnforcementSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: all workspaces have the value of the account, see LlmProxySetting. `false`: each workspace may choose. May be changed; deleting this object leaves it as it is. Known on all clouds, as a private preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<bool>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct LlmProxyEnforcementSettingState {
    #[serde(default = "off")]
    value: Option<bool>,
}

impl SettingKind for LlmProxyEnforcementSetting {
    type Value = LlmProxyEnforcementSettingState;

    const SETTING: Setting = Setting { kind: "llm_proxy_partner_powered_enforce", key: "boolean_val" };
    const NEEDED: &'static [&'static str] = &["value"];

    fn wanted(spec: &LlmProxyEnforcementSettingSpec) -> Self::Value {
        LlmProxyEnforcementSettingState { value: spec.value }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        match state.value {
            None => (Phase::Vacant, None),
            Some(true) => (Phase::Ready, Some("ENFORCED".into())),
            Some(false) => (Phase::Ready, Some("NOT_ENFORCED".into())),
        }
    }
}
