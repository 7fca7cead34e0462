//! DisableLegacyFeaturesSetting: whether new workspaces of the account start without legacy features. Always there; the API puts it
//! back to its default.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apis::{Setting, Version};
use crate::engine::crd::{Management, Status};
use crate::engine::error::Result;
use crate::engine::kind::{
    About, ApiResult, ExternalResource, Key, Lifecycle, Observed, Phase, Reader, Resolved, Writer,
};

/// Whether new workspaces of the account start without legacy features.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "DisableLegacyFeaturesSetting",
    shortname = "dblegacy",
    category = "databricks",
    namespaced,
    status = "Status<DisableLegacyFeaturesSettingFacts>",
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

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisableLegacyFeaturesSettingFacts {}

const SETTING: Setting = Setting { kind: "disable_legacy_features", key: "disable_legacy_features" };

impl From<Version<DisableLegacyFeaturesSettingState>> for Observed<DisableLegacyFeaturesSetting> {
    fn from(read: Version<DisableLegacyFeaturesSettingState>) -> Self {
        let mut state = read.value;
        let disabled = *state.value.get_or_insert(false);
        let phase = if disabled { Phase::Ready } else { Phase::Vacant };
        let shown = if disabled { "DISABLED" } else { "ENABLED" };
        let about = About { phase, state: Some(shown.into()), etag: read.etag, ..About::default() };
        Observed { id: SETTING.kind.into(), state, facts: DisableLegacyFeaturesSettingFacts {}, about }
    }
}

impl ExternalResource for DisableLegacyFeaturesSetting {
    type State = DisableLegacyFeaturesSettingState;
    type Id = String;
    type Facts = DisableLegacyFeaturesSettingFacts;

    const REQUIRED: &'static [&'static str] = &["value"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;

    fn desired(spec: &DisableLegacyFeaturesSettingSpec, _: &Resolved) -> Result<Self::State> {
        Ok(DisableLegacyFeaturesSettingState { value: spec.value })
    }

    fn key(_: &Self::State) -> Key {
        Key { within: String::new(), name: SETTING.kind.into() }
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        Ok(vec![SETTING.read(api).await?.into()])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Self::State,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        Ok(SETTING.write(api, seen.about.etag.as_deref(), want).await?.into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        SETTING.reset(api, seen.about.etag.as_deref()).await
    }
}
