//! The state of an AccountNetworkPolicy: what is compared, and what the API may leave out of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

/// What a spec controls. Within `egress` the names are those of the spec, as `status.observed` shows it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct AccountNetworkPolicyState {
    pub(super) network_policy_id: String,
    pub(super) egress: Option<Egress>,
    pub(super) allow_default_policy_restriction: Option<bool>,
}

/// See the spec for what the fields mean.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Egress {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) network_access: Access,
}

impl Egress {
    /// Whether all destinations may be reached.
    pub(super) fn allows_all(&self) -> bool {
        self.network_access.restriction_mode == "FULL_ACCESS"
    }

    /// For which products no destination is blocked although no list allows it; `None` if that is so for all. What a spec leaves out of
    /// the enforcement is as it is at present.
    pub(super) fn exempt(&self, present: Option<&Egress>) -> Option<BTreeSet<String>> {
        let own = self.network_access.policy_enforcement.as_ref();
        let present = present.and_then(|present| present.network_access.policy_enforcement.as_ref());
        let mode = own.or(present).map(|enforcement| enforcement.enforcement_mode.as_str());
        let filter =
            [own, present].into_iter().flatten().find_map(|e| e.dry_run_mode_product_filter.as_ref());
        if self.network_access.restriction_mode != "RESTRICTED_ACCESS" {
            return None;
        }
        match (mode, filter) {
            (Some("DRY_RUN"), Some(products)) if !products.is_empty() => Some(products.clone()),
            (Some("DRY_RUN"), _) => None,
            _ => Some(BTreeSet::new()),
        }
    }
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Access {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) restriction_mode: String,
    pub(super) allowed_internet_destinations: Option<BTreeSet<Host>>,
    pub(super) blocked_internet_destinations: Option<BTreeSet<Host>>,
    pub(super) allowed_storage_destinations: Option<BTreeSet<Storage>>,
    pub(super) policy_enforcement: Option<Enforcement>,
}

/// An item is compared as a whole, so what it lacks needs no `null`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Host {
    #[serde(default, deserialize_with = "lower")]
    pub(super) destination: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) internet_destination_type: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Storage {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) storage_destination_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bucket_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azure_storage_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azure_storage_service: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Enforcement {
    #[serde(default = "enforced", deserialize_with = "or_enforced")]
    pub(super) enforcement_mode: String,
    pub(super) dry_run_mode_product_filter: Option<BTreeSet<String>>,
}

pub(super) fn enforced() -> String {
    "ENFORCED".into()
}

/// Names of hosts have no case.
fn lower<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    or_default(deserializer).map(|text: String| text.to_lowercase())
}

/// What is `null` is as if it were not there. A policy of a new form that cannot be read would fail the LIST of all.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn or_enforced<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(|mode| mode.unwrap_or_else(enforced))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_restrict_unless_they_are_a_dry_run_for_all_products() {
        let egress = |mode: &str, enforcement: serde_json::Value| -> Egress {
            let access = json!({"restrictionMode": mode, "policyEnforcement": enforcement});
            serde_json::from_value(json!({"networkAccess": access})).unwrap()
        };
        let none = serde_json::Value::Null;
        let dry = json!({"enforcementMode": "DRY_RUN"});
        let for_one = json!({"enforcementMode": "DRY_RUN", "dryRunModeProductFilter": ["DBSQL"]});
        let enforced = json!({"enforcementMode": "ENFORCED", "dryRunModeProductFilter": []});
        let (all, but_one) = (Some(BTreeSet::new()), Some(BTreeSet::from(["DBSQL".to_owned()])));
        for (mode, own, present, exempt) in [
            ("FULL_ACCESS", &none, None, &None),
            ("RESTRICTED_ACCESS", &none, None, &all),
            ("RESTRICTED_ACCESS", &enforced, Some(&dry), &all),
            ("RESTRICTED_ACCESS", &dry, None, &None),
            ("RESTRICTED_ACCESS", &dry, Some(&enforced), &None),
            ("RESTRICTED_ACCESS", &for_one, None, &but_one),
            ("RESTRICTED_ACCESS", &none, Some(&dry), &None),
            ("RESTRICTED_ACCESS", &none, Some(&for_one), &but_one),
            ("RESTRICTED_ACCESS", &dry, Some(&for_one), &but_one),
        ] {
            let present = present.map(|present| egress("FULL_ACCESS", present.clone()));
            let judged = egress(mode, own.clone()).exempt(present.as_ref());
            assert_eq!(judged, *exempt, "{mode}, {own} over {present:?}");
        }
    }

    #[test]
    fn a_policy_of_another_form_is_readable() {
        for egress in [
            json!({}),
            json!({"networkAccess": null}),
            json!({"networkAccess": {"restrictionMode": null, "policyEnforcement": {"enforcementMode": null}}}),
            json!({"networkAccess": {"allowedInternetDestinations": [{"newForm": 1}, {"destination": null}]}}),
            json!({"networkAccess": {"allowedStorageDestinations": [{"storageDestinationType": null}]}}),
        ] {
            let read = serde_json::from_value::<Egress>(egress.clone());
            assert!(read.is_ok(), "{egress}: {read:?}");
        }
    }
}
