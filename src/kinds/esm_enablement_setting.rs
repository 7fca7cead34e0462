//! EsmEnablementSetting: whether new workspaces of the account start with enhanced security monitoring. Always there; the API cannot
//! put it back, so it stays as it is when its Kubernetes object is deleted.

use crate::apis::{Setting, SettingKind};
use crate::engine::prelude::*;

/// Whether new workspaces of the account start with enhanced security monitoring.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "EsmEnablementSetting",
    shortname = "dbesm",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Monitoring", "type": "string", "jsonPath": ".status.state", "description": "Whether new workspaces have enhanced security monitoring and cannot opt out."}"#,
    doc = "Whether new workspaces of the account start with enhanced security monitoring."
)]
#[serde(rename_all = "camelCase")]
pub struct EsmEnablementSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: workspaces that are created from now on start with enhanced security monitoring, which costs more, and cannot opt out. Existing workspaces do not change. May be changed; deleting this object leaves it as it is. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enforced: Option<bool>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct EsmEnablementSettingState {
    is_enforced: Option<bool>,
}

impl SettingKind for EsmEnablementSetting {
    type Value = EsmEnablementSettingState;

    const SETTING: Setting = Setting { kind: "shield_esm_enablement_ac", key: "esm_enablement_account" };
    const NEEDED: &'static [&'static str] = &["isEnforced"];

    fn wanted(spec: &EsmEnablementSettingSpec) -> Self::Value {
        EsmEnablementSettingState { is_enforced: spec.is_enforced }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        match *state.is_enforced.get_or_insert(false) {
            true => (Phase::Ready, Some("ENFORCED".into())),
            false => (Phase::Vacant, Some("NOT_ENFORCED".into())),
        }
    }
}
