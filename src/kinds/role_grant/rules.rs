//! A rule set as the API returns it: read whole, changed in one place, sent back whole.
//!
//! The JSON is kept as it was read. What is not understood here, such as a rule of another form or a new field, is sent back as it
//! came, because the API revokes what a write leaves out.

use serde_json::{Map, Value, json};

use super::grant::{GrantId, RuleSet};
use crate::databricks;
use crate::engine::error::Error;
use crate::engine::kind::{ApiResult, Base, Path, Reader, Writer};

const RULES: &str = "grant_rules";

/// All rules of a set, and whatever else the API says of the set.
pub struct Rules(Map<String, Value>);

fn path(api: &Reader) -> Path {
    api.path_at(Base::Preview, &["access-control", "rule-sets"])
}

impl Rules {
    /// The set as it is now, with its version.
    pub async fn read(api: &Reader, set: &RuleSet) -> ApiResult<Rules> {
        let name = set.name(api.account_id());
        // The API requires both parameters. An empty etag asks for the newest version.
        let read: Map<String, Value> = api.get(path(api).with("name", &name).with("etag", "")).await?;
        let whole = read.get(RULES).is_none_or(|rules| rules.is_array() || rules.is_null());
        let version = read.get("etag").and_then(Value::as_str).is_some_and(|etag| !etag.is_empty());
        if read.get("name").and_then(Value::as_str) != Some(&*name) || !version || !whole {
            // Written back, it could revoke what it does not show.
            let text =
                format!("Databricks returns the rule set {name} in an unexpected form; it is read again");
            return Err(Error::retry(text).into());
        }
        Ok(Rules(read))
    }

    /// Sends the set, if the version that was read is still the one in the account. Returns it as it is then.
    pub async fn write(self, api: &Writer, set: &RuleSet) -> Result<Rules, databricks::Error> {
        let body = json!({"name": set.name(api.account_id()), "rule_set": self.0});
        api.put(path(api), body).await.map(Rules)
    }

    /// Each role with each of its principals, as they are written.
    pub fn grants(&self) -> impl Iterator<Item = (&str, &str)> {
        let rules = self.0.get(RULES).and_then(Value::as_array).into_iter().flatten();
        rules.flat_map(|rule| {
            let principals = rule["principals"].as_array().into_iter().flatten();
            let role = rule["role"].as_str();
            principals.filter_map(move |principal| Some((role?, principal.as_str()?)))
        })
    }

    /// Adds a grant; returns whether it was missing. A rule with other fields than these may have a condition, so the grant goes to
    /// one without.
    pub fn add(&mut self, id: &GrantId, principal: &str) -> bool {
        if self.grants().any(|(role, principal)| id.is(role, principal)) {
            return false;
        }
        let Some(rules) = self.rules() else { return false };
        let plain = |rule: &&mut Value| {
            let fields =
                rule.as_object().is_some_and(|rule| rule.keys().all(|f| f == "role" || f == "principals"));
            fields && rule["role"] == id.role() && rule["principals"].is_array()
        };
        match rules.iter_mut().find(plain).and_then(|rule| rule["principals"].as_array_mut()) {
            Some(principals) => principals.push(json!(principal)),
            None => rules.push(json!({"role": id.role(), "principals": [principal]})),
        }
        true
    }

    /// Removes a grant, and a rule that has no other; returns whether it was there.
    pub fn remove(&mut self, id: &GrantId) -> bool {
        let mut removed = false;
        self.rules().into_iter().for_each(|rules| {
            rules.retain_mut(|rule| {
                let role = rule["role"].as_str().unwrap_or_default().to_owned();
                let Some(principals) = rule.get_mut("principals").and_then(Value::as_array_mut) else {
                    return true;
                };
                let before = principals.len();
                principals.retain(|principal| !principal.as_str().is_some_and(|name| id.is(&role, name)));
                removed |= principals.len() < before;
                principals.len() == before || !principals.is_empty()
            });
        });
        removed
    }

    fn rules(&mut self) -> Option<&mut Vec<Value>> {
        let rules = self.0.entry(RULES).or_insert_with(|| json!([]));
        if rules.is_null() {
            *rules = json!([]);
        }
        rules.as_array_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: Value) -> Rules {
        let whole = json!({"name": "n", "etag": "e", "grant_rules": rules, "description": "kept"});
        Rules(whole.as_object().cloned().unwrap())
    }

    fn finops() -> GrantId {
        "account/roles/billing.admin/groups/finops".parse().unwrap()
    }

    const BILLING: &str = "roles/billing.admin";

    #[test]
    fn a_grant_is_added_beside_all_others() {
        let others = json!([
            {"role": "roles/marketplace.admin", "principals": ["users/ada@example.com"]},
            {"role": BILLING, "principals": ["groups/night"], "condition": {"hours": "night"}},
            {"role": BILLING, "principals": ["users/grace@example.com"]},
            {"role": BILLING},
            "a form of the future",
        ]);
        let mut set = rules(others.clone());
        assert!(set.add(&finops(), "groups/FinOps"));
        let mut expected = others;
        expected[2]["principals"] = json!(["users/grace@example.com", "groups/FinOps"]);
        assert_eq!(set.0["grant_rules"], expected);
        assert_eq!((&set.0["description"], &set.0["etag"]), (&json!("kept"), &json!("e")));
        assert!(!set.add(&finops(), "groups/finops"), "it is there, in another case");

        assert!(set.remove(&finops()));
        expected[2]["principals"] = json!(["users/grace@example.com"]);
        assert_eq!(set.0["grant_rules"], expected);
        assert!(!set.remove(&finops()));
    }

    #[test]
    fn a_set_without_rules_gets_one_and_loses_it() {
        for nothing in [json!([]), Value::Null] {
            let mut set = rules(nothing);
            assert!(set.add(&finops(), "groups/finops"));
            assert_eq!(set.0["grant_rules"], json!([{"role": BILLING, "principals": ["groups/finops"]}]));
            assert!(set.remove(&finops()));
            assert_eq!(set.0["grant_rules"], json!([]));
        }
    }

    #[test]
    fn a_grant_in_several_rules_is_removed_from_all_and_an_empty_rule_of_others_stays() {
        let mut set = rules(json!([
            {"role": BILLING, "principals": ["groups/finops", "groups/FinOps"]},
            {"role": BILLING, "principals": []},
            {"role": BILLING, "principals": ["users/ada@example.com", "groups/finops"]},
            {"role": "roles/marketplace.admin", "principals": ["groups/finops"]},
        ]));
        assert!(set.remove(&finops()));
        assert_eq!(
            set.0["grant_rules"],
            json!([
                {"role": BILLING, "principals": []},
                {"role": BILLING, "principals": ["users/ada@example.com"]},
                {"role": "roles/marketplace.admin", "principals": ["groups/finops"]},
            ])
        );
    }
}
