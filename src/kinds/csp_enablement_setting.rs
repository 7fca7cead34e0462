//! CspEnablementSetting: the compliance security profile of new workspaces of the account. Always there; the API cannot put it
//! back, so it stays as it is when its Kubernetes object is deleted.
//!
//! The setting itself can be changed at any time, but a workspace that was created under it keeps the profile for ever, and costs
//! more: its fields say so.

use std::collections::BTreeSet;

use crate::apis::{Setting, SettingKind};
use crate::engine::prelude::*;

/// The compliance security profile of new workspaces of the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "CspEnablementSetting",
    shortname = "dbcsp",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Profile", "type": "string", "jsonPath": ".status.state", "description": "Whether new workspaces have the compliance security profile: always (ENFORCED), by default, or not."}"#,
    printcolumn = r#"{"name": "Standards", "type": "string", "jsonPath": ".status.observed.complianceStandards", "description": "The compliance standards of new workspaces."}"#,
    doc = "The compliance security profile of new workspaces of the account."
)]
#[serde(rename_all = "camelCase")]
pub struct CspEnablementSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: workspaces that are created from now on have the compliance security profile and cannot opt out. It can never be removed from such a workspace, which also costs more. Existing workspaces do not change. May be changed; deleting this object leaves it as it is. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enforced: Option<bool>,
    /// The compliance standards of workspaces that are created from now on, which such a workspace keeps. Left out, they are not managed. May be changed; deleting this object leaves them as they are. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub compliance_standards: Option<Vec<ComplianceStandard>>,
}

/// A compliance standard.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum ComplianceStandard {
    NONE,
    HIPAA,
    PCI_DSS,
    HITRUST,
    FEDRAMP_MODERATE,
    FEDRAMP_HIGH,
    FEDRAMP_IL5,
    ITAR_EAR,
    IRAP_PROTECTED,
    CYBER_ESSENTIAL_PLUS,
    CANADA_PROTECTED_B,
    ISMAP,
    K_FSI,
    GERMANY_C5,
    GERMANY_TISAX,
    KSA_ECC_CCC_DCC,
}

/// What a spec controls. Standards that this operator does not know are kept.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct CspEnablementSettingState {
    is_enforced: Option<bool>,
    compliance_standards: Option<BTreeSet<String>>,
}

/// NONE is another word for no standards: the account and the spec may use either, and beside other standards it says nothing.
fn without_none(mut standards: BTreeSet<String>) -> BTreeSet<String> {
    standards.remove("NONE");
    standards
}

impl SettingKind for CspEnablementSetting {
    type Value = CspEnablementSettingState;

    const SETTING: Setting = Setting { kind: "shield_csp_enablement_ac", key: "csp_enablement_account" };
    const NEEDED: &'static [&'static str] = &["isEnforced"];

    fn wanted(spec: &CspEnablementSettingSpec) -> Self::Value {
        let standards = spec.compliance_standards.as_ref();
        let names = standards.map(|all| all.iter().map(|standard| format!("{standard:?}")).collect());
        CspEnablementSettingState {
            is_enforced: spec.is_enforced,
            compliance_standards: names.map(without_none),
        }
    }

    fn shown(state: &mut Self::Value) -> (Phase, Option<String>) {
        let enforced = *state.is_enforced.get_or_insert(false);
        // The API leaves an empty list out.
        let standards = without_none(state.compliance_standards.take().unwrap_or_default());
        let (phase, shown) = match (enforced, standards.is_empty()) {
            (false, true) => (Phase::Vacant, "NOT_ENFORCED"),
            (false, false) => (Phase::Ready, "DEFAULT"),
            (true, _) => (Phase::Ready, "ENFORCED"),
        };
        state.compliance_standards = Some(standards);
        (phase, Some(shown.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::{Version, observed};

    /// Whether a spec with these standards differs from an account that returns these.
    fn differs(written: &[&str], returned: Option<&[&str]>) -> bool {
        let spec = json!({"authRef": {"name": "a"}, "isEnforced": true, "complianceStandards": written});
        let spec: CspEnablementSettingSpec = serde_json::from_value(spec).unwrap();
        let want = CspEnablementSetting::desired(&spec, &Resolved::default()).unwrap();
        let value = json!({"is_enforced": true, "compliance_standards": returned});
        let value: CspEnablementSettingState = serde_json::from_value(value).unwrap();
        let seen = observed::<CspEnablementSetting>(Version { value, etag: None });
        !CspEnablementSetting::changes(&want, &seen).unwrap().is_empty()
    }

    #[test]
    fn no_standards_and_the_standard_none_are_the_same() {
        for written in [&[][..], &["NONE"]] {
            for returned in [None, Some(&[][..]), Some(&["NONE"][..])] {
                assert!(!differs(written, returned), "{written:?} {returned:?}");
            }
            assert!(differs(written, Some(&["HIPAA"])), "{written:?}");
        }
        assert!(differs(&["HIPAA"], Some(&["NONE"])) && !differs(&["HIPAA"], Some(&["HIPAA"])));
        for beside in [&["NONE", "HIPAA"][..], &["HIPAA", "NONE"]] {
            assert!(!differs(beside, Some(&["HIPAA"])) && !differs(&["HIPAA"], Some(beside)), "{beside:?}");
            assert!(differs(beside, None), "{beside:?}");
        }
    }
}
