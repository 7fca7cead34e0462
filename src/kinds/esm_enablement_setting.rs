//! EsmEnablementSetting: whether new workspaces of the account start with enhanced security monitoring. Always there; the API cannot
//! put it back, so it stays as it is when its Kubernetes object is deleted.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apis::{Setting, Version};
use crate::engine::crd::{Management, Status};
use crate::engine::error::Result;
use crate::engine::kind::{
    About, ApiResult, ExternalResource, Key, Lifecycle, Observed, Phase, Reader, Resolved, Writer,
};

/// Whether new workspaces of the account start with enhanced security monitoring.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "EsmEnablementSetting",
    shortname = "dbesm",
    category = "databricks",
    namespaced,
    status = "Status<EsmEnablementSettingFacts>",
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

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EsmEnablementSettingFacts {}

const SETTING: Setting = Setting { kind: "shield_esm_enablement_ac", key: "esm_enablement_account" };

impl From<Version<EsmEnablementSettingState>> for Observed<EsmEnablementSetting> {
    fn from(read: Version<EsmEnablementSettingState>) -> Self {
        let mut state = read.value;
        let enforced = *state.is_enforced.get_or_insert(false);
        let phase = if enforced { Phase::Ready } else { Phase::Vacant };
        let shown = if enforced { "ENFORCED" } else { "NOT_ENFORCED" };
        let about = About { phase, state: Some(shown.into()), etag: read.etag, ..About::default() };
        Observed { id: SETTING.kind.into(), state, facts: EsmEnablementSettingFacts {}, about }
    }
}

impl ExternalResource for EsmEnablementSetting {
    type State = EsmEnablementSettingState;
    type Id = String;
    type Facts = EsmEnablementSettingFacts;

    const REQUIRED: &'static [&'static str] = &["isEnforced"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const REMOVABLE: bool = false;

    fn desired(spec: &EsmEnablementSettingSpec, _: &Resolved) -> Result<Self::State> {
        Ok(EsmEnablementSettingState { is_enforced: spec.is_enforced })
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
}
