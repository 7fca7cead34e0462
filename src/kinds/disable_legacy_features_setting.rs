//! DisableLegacyFeaturesSetting: whether new workspaces of the account start without legacy features. Always there; the API puts it
//! back to its default.

use crate::apis::{Setting, SettingKind};
use crate::engine::prelude::*;

/// Whether new workspaces of the account start without legacy features.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "DisableLegacyFeaturesSetting",
    shortname = "dblegacy",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Features", "type": "string", "jsonPath": ".status.state", "description": "Whether new workspaces have legacy features."}"#,
    doc = "Whether new workspaces of the account start without legacy features."
)]
#[serde(rename_all = "camelCase")]
pub struct DisableLegacyFeaturesSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: workspaces that are created from now on start without the root and mounts of DBFS, the Hive metastore, clusters without isolation and old runtimes. Existing workspaces do not change, and a workspace that was created meanwhile keeps that. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<bool>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct DisableLegacyFeaturesSettingState {
    value: Option<bool>,
}

impl SettingKind for DisableLegacyFeaturesSetting {
    type Value = DisableLegacyFeaturesSettingState;

    const SETTING: Setting = Setting { kind: "disable_legacy_features", key: "disable_legacy_features" };
    const NEEDED: &'static [&'static str] = &["value"];
    const RESETTABLE: bool = true;

    fn wanted(spec: &DisableLegacyFeaturesSettingSpec) -> Self::Value {
        DisableLegacyFeaturesSettingState { value: spec.value }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        match *state.value.get_or_insert(false) {
            true => (Phase::Ready, Some("DISABLED".into())),
            false => (Phase::Vacant, Some("ENABLED".into())),
        }
    }
}
