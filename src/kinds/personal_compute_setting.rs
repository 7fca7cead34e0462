//! PersonalComputeSetting: who may create personal compute in the workspaces of the account. Always there; the API puts it back to ON.

use crate::apis::{Setting, SettingKind};
use crate::engine::prelude::*;

/// Who may create personal compute in the workspaces of the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PersonalComputeSetting",
    shortname = "dbpc",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Personal-Compute", "type": "string", "jsonPath": ".status.state", "description": "ON: all users may create personal compute. DELEGATE: each workspace decides."}"#,
    doc = "Who may create personal compute in the workspaces of the account."
)]
#[serde(rename_all = "camelCase")]
pub struct PersonalComputeSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `"ON"`, with quotation marks, as YAML has another meaning for the bare word: all users of all workspaces may create personal compute, which costs money. `DELEGATE`: the compute policy of each workspace says who may. May be changed; deleting this object sets ON again. Known on all clouds, as a private preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<PersonalCompute>,
}

/// Who may create personal compute.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum PersonalCompute {
    ON,
    DELEGATE,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct PersonalComputeSettingState {
    value: Option<String>,
}

impl SettingKind for PersonalComputeSetting {
    type Value = PersonalComputeSettingState;

    const SETTING: Setting = Setting { kind: "dcp_acct_enable", key: "personal_compute" };
    const NEEDED: &'static [&'static str] = &["value"];
    const RESETTABLE: bool = true;

    fn wanted(spec: &PersonalComputeSettingSpec) -> Self::Value {
        PersonalComputeSettingState { value: spec.value.map(|value| format!("{value:?}")) }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        let value = state.value.get_or_insert_with(|| "ON".into());
        let phase = if value == "ON" { Phase::Vacant } else { Phase::Ready };
        (phase, Some(value.clone()))
    }
}
