//! What users write for a setting of the account by its name, which names are refused, and what is shown. Not here: what is compared.

use crate::engine::crd::NEVER_CREATES;
use crate::engine::prelude::*;

/// A setting of the account that has no kind of its own.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "AccountSetting",
    shortname = "dbset",
    category = "databricks",
    namespaced,
    status = "Status<AccountSettingFacts>",
    printcolumn = r#"{"name": "Value", "type": "string", "jsonPath": ".status.state", "description": "The value of the setting."}"#,
    doc = "A setting of the account that has no kind of its own. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct AccountSettingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the setting: one that `GET /api/2.1/accounts/<account>/settings-metadata` lists, unless it has a kind of its own. Cannot be changed once the setting is managed. Known on all clouds.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[a-z0-9][a-z0-9_.-]*$"))]
    pub name: String,
    /// The value of a setting that is on or off. One of the three values is needed; the metadata of the setting says which. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boolean_val: Option<bool>,
    /// The value of a setting that is text. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub string_val: Option<String>,
    /// The value of a setting that is a whole number. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer_val: Option<i64>,
}

/// The settings that other kinds manage, by the names that they may have in either API.
const TYPED: &[(&str, &[&str])] = &[
    ("CspEnablementSetting", &["shield_csp_enablement_ac", "csp_enablement_account"]),
    ("DisableLegacyFeaturesSetting", &["disable_legacy_features"]),
    ("EsmEnablementSetting", &["shield_esm_enablement_ac", "esm_enablement_account"]),
    ("IpAccessListEnforcement", &["acct_ip_acl_enable"]),
    ("LlmProxyEnforcementSetting", &["llm_proxy_partner_powered_enforce"]),
    ("LlmProxySetting", &["llm_proxy_partner_powered"]),
    ("PersonalComputeSetting", &["dcp_acct_enable", "personal_compute"]),
];

/// The kind that manages a setting of this name, if one does.
pub fn typed(name: &str) -> Option<&'static str> {
    TYPED.iter().find(|(_, names)| names.contains(&name)).map(|(kind, _)| *kind)
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let typed = TYPED.iter().map(|(kind, names)| {
        rule(
            "name",
            &format!("!(self.name in ['{}'])", names.join("', '")),
            &format!(
                "{} is a setting with a kind of its own: apply an object of kind {kind} in place of this",
                names.join(" or ")
            ),
        )
    });
    let values = [
        rule(
            "booleanVal",
            "!(has(self.booleanVal) && has(self.stringVal)) && !(has(self.integerVal) && (has(self.booleanVal) || has(self.stringVal)))",
            "booleanVal, stringVal and integerVal exclude each other: keep the one that the setting takes",
        ),
        rule(
            "booleanVal",
            &format!(
                "has(self.booleanVal) || has(self.stringVal) || has(self.integerVal) || {NEVER_CREATES}"
            ),
            "one of booleanVal, stringVal and integerVal is needed: set the one that the setting takes; all can be left out where nothing is set: with externalId, adoptionPolicy Required or managementPolicy Observe",
        ),
    ];
    typed.chain(values).collect()
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountSettingFacts {
    /// The value in effect in the account, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_value: Option<String>,
}
