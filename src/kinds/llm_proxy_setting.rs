//! LlmProxySetting: whether AI features use models of partners of Databricks. Always there; the API cannot put it back, so it stays as
//! it is when its Kubernetes object is deleted.
//!
//! What an account does that never set it is not documented, so a desired value is always written.

use crate::apis::{Setting, SettingKind, off};
use crate::engine::prelude::*;

/// Whether the account uses AI features that models of partners of Databricks power.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "LlmProxySetting",
    shortname = "dbllm",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Partner-AI", "type": "string", "jsonPath": ".status.state", "description": "Whether AI features use models of partners: ENABLED or DISABLED."}"#,
    doc = "Whether the account uses AI features that models of partners of Databricks power."
)]
#[serde(rename_all = "camelCase")]
pub struct LlmProxySettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: AI features of Databricks may send prompts and data to models of partners outside of Databricks. `false`: they may not. A workspace may differ unless an LlmProxyEnforcementSetting forbids it. May be changed; deleting this object leaves it as it is. Known on all clouds, as a private preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<bool>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct LlmProxySettingState {
    #[serde(default = "off")]
    value: Option<bool>,
}

impl SettingKind for LlmProxySetting {
    type Value = LlmProxySettingState;

    const SETTING: Setting = Setting { kind: "llm_proxy_partner_powered", key: "boolean_val" };
    const NEEDED: &'static [&'static str] = &["value"];

    fn wanted(spec: &LlmProxySettingSpec) -> Self::Value {
        LlmProxySettingState { value: spec.value }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        match state.value {
            None => (Phase::Vacant, None),
            Some(true) => (Phase::Ready, Some("ENABLED".into())),
            Some(false) => (Phase::Ready, Some("DISABLED".into())),
        }
    }
}
