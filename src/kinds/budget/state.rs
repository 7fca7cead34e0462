//! The state of a Budget: what is compared, and what the API fills in or leaves out. Within a field the names are those of the spec, as
//! `status.observed` shows them; the API's are read too.

use std::collections::BTreeSet;

use serde::Deserializer;
use serde::de::DeserializeOwned;

use super::spec::BudgetSpec;
use crate::engine::prelude::*;

pub const SHARED: &str = "ALERT_CONFIGURATION_SCOPE_TYPE_SHARED";
/// The fields of a state.
pub const FIELDS: [&str; 5] =
    ["display_name", "alert_configurations", "filter", "resource_type", "include_external_spend"];

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct BudgetState {
    pub(super) display_name: Option<String>,
    pub(super) alert_configurations: Option<BTreeSet<Alert>>,
    pub(super) filter: Option<Filter>,
    resource_type: Option<String>,
    include_external_spend: Option<bool>,
}

/// An item of a list is compared as a whole, so what it lacks needs no `null`. See the spec for what the fields mean.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    #[serde(alias = "time_period", default, deserialize_with = "or_empty")]
    pub time_period: String,
    #[serde(alias = "trigger_type", default, deserialize_with = "or_empty")]
    pub trigger_type: String,
    #[serde(alias = "quantity_type", default, deserialize_with = "or_empty")]
    pub quantity_type: String,
    #[serde(alias = "quantity_threshold", default, deserialize_with = "decimal")]
    pub quantity_threshold: String,
    #[serde(alias = "scope_type", default = "shared", deserialize_with = "or_shared")]
    pub scope_type: String,
    #[serde(alias = "principal_overrides", default, deserialize_with = "or_empty")]
    pub principal_overrides: BTreeSet<Override>,
    #[serde(alias = "action_configurations", default, deserialize_with = "or_empty")]
    pub action_configurations: BTreeSet<Action>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    #[serde(alias = "principal_id")]
    pub principal_id: Int64,
    #[serde(alias = "override_threshold", default, deserialize_with = "decimal")]
    pub override_threshold: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    #[serde(alias = "action_type", default, deserialize_with = "or_empty")]
    pub action_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    #[serde(alias = "workspace_id")]
    pub workspace_id: Option<Values<Int64>>,
    pub tags: Option<BTreeSet<Tag>>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    #[serde(default, deserialize_with = "or_empty")]
    pub key: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub value: Values<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(bound(deserialize = "T: DeserializeOwned + Ord"))]
pub struct Values<T> {
    #[serde(default = "within", deserialize_with = "or_within")]
    pub operator: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub values: BTreeSet<T>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values { operator: within(), values: BTreeSet::new() }
    }
}

impl BudgetState {
    /// What a spec asks for.
    pub fn of(spec: &BudgetSpec) -> serde_json::Result<BudgetState> {
        Ok(BudgetState {
            display_name: spec.display_name.clone(),
            alert_configurations: serde_json::from_value(json!(spec.alert_configurations))?,
            filter: serde_json::from_value(json!(spec.filter))?,
            resource_type: serde_json::from_value(json!(spec.resource_type))?,
            include_external_spend: spec.include_external_spend,
        })
    }

    /// A response, with what Databricks leaves out: empty parts, and the defaults.
    pub fn filled(mut self) -> BudgetState {
        self.alert_configurations.get_or_insert_default();
        let filter = self.filter.get_or_insert_default();
        filter.workspace_id.get_or_insert_default();
        filter.tags.get_or_insert_default();
        self.resource_type.get_or_insert_with(|| "BUDGET_RESOURCE_TYPE_ALL_RESOURCES".into());
        self.include_external_spend.get_or_insert(false);
        self
    }
}

fn shared() -> String {
    SHARED.into()
}

fn within() -> String {
    "IN".into()
}

fn or_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(shared))
}

fn or_within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(within))
}

/// `null` is the same as nothing.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Databricks pads amounts with zeros. Text that is no decimal number stays as it is.
fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    or_empty(deserializer).map(|text: String| canonical(&text))
}

fn canonical(text: &str) -> String {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if [whole, part].iter().any(|digits| digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return text.to_owned();
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_amounts_are_the_same_and_other_text_stays() {
        for (text, expected) in [
            ("500.000000", "500"),
            ("500", "500"),
            ("0500.50", "500.5"),
            ("0.10", "0.1"),
            ("00", "0"),
            ("100", "100"),
        ] {
            assert_eq!(canonical(text), expected);
        }
        for text in ["", ".5", "5.", "1e3", "-1", "1.2.3", "500.000000-other"] {
            assert_eq!(canonical(text), text);
        }
    }

    /// One budget that others created must not make the LIST unreadable for all.
    #[test]
    fn what_the_account_leaves_out_within_a_list_can_be_read() {
        let names = ["time_period", "trigger_type", "quantity_type", "quantity_threshold", "scope_type"];
        let mut alert = Map::from_iter(names.map(|name| (name.to_owned(), Value::Null)));
        alert.insert("action_configurations".into(), json!([{"action_type": null, "target": null}]));
        let state = |alert: Value, tags: Value| {
            let state =
                json!({"display_name": "a", "alert_configurations": [alert], "filter": {"tags": tags}});
            serde_json::from_value::<BudgetState>(state).map(|state| json!(state.filled()))
        };
        let null = state(alert.into(), json!([{"key": null, "value": null}])).unwrap();
        assert_eq!(null, state(json!({"action_configurations": [{}]}), json!([{}])).unwrap());
        let operator = json!([{"key": "team", "value": {"operator": null, "values": ["a"]}}]);
        let said = json!([{"key": "team", "value": {"operator": "IN", "values": ["a"]}}]);
        assert_eq!(state(json!({}), operator).unwrap(), state(json!({}), said).unwrap());
    }

    #[test]
    fn what_the_account_fills_in_is_no_difference() {
        let alert = json!({"time_period": "MONTH", "quantity_threshold": "1"});
        let filled = json!({
            "time_period": "MONTH", "quantity_threshold": "1.000000", "scope_type": SHARED, "principal_overrides": null,
            "action_configurations": [], "alert_configuration_id": "x",
        });
        let read = |value: Value| serde_json::from_value::<Alert>(value).unwrap();
        assert_eq!(read(alert), read(filled));
    }
}
