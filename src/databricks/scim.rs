//! SCIM, as the account's API for users, groups and service principals has it: the operations of a PATCH, and the entries of
//! attributes that are lists. Values only; a kind sends them.
//!
//! A PUT would remove members and roles that it does not send, so nothing here builds one.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

/// The schema of a body that creates an object of `what`: `Group`, `User` or `ServicePrincipal`.
pub fn scim_schemas(what: &str) -> Value {
    json!([format!("urn:ietf:params:scim:schemas:core:2.0:{what}")])
}

/// Operations in one PATCH; how many the API accepts is not documented.
const MOST_OPERATIONS: usize = 100;

/// An entry of a list, such as a member or a role.
#[derive(Debug, Deserialize)]
pub struct ScimEntry {
    /// The id of a member, the name of a role.
    pub value: Option<String>,
}

impl ScimEntry {
    /// The values of the entries; an attribute that a response leaves out has none.
    pub fn values(entries: Option<Vec<ScimEntry>>) -> BTreeSet<String> {
        entries.into_iter().flatten().filter_map(|entry| entry.value).collect()
    }

    /// Entries with these values, as a body has them.
    pub fn with<'a>(values: impl IntoIterator<Item = &'a String>) -> Value {
        values.into_iter().map(|value| json!({"value": value})).collect()
    }
}

/// What a PATCH does.
#[derive(Debug, Default, PartialEq)]
pub struct ScimPatch(Vec<Value>);

impl ScimPatch {
    /// Sets an attribute, or one within another: `name.givenName`.
    pub fn replace(&mut self, path: &str, value: Value) {
        self.0.push(json!({"op": "replace", "path": path, "value": value}));
    }

    /// Makes a list consist of `want`. An entry that is in both is left alone.
    pub fn set(&mut self, list: &str, have: &BTreeSet<String>, want: &BTreeSet<String>) {
        let added: Vec<&String> = want.difference(have).collect();
        if !added.is_empty() {
            self.0.push(json!({"op": "add", "path": list, "value": ScimEntry::with(added)}));
        }
        for value in have.difference(want) {
            self.0.push(json!({"op": "remove", "path": format!("{list}[value eq {}]", json!(value))}));
        }
    }

    /// The patch as requests can carry it: one, unless there are very many operations. Nothing to do is no request.
    pub fn parts(self) -> Vec<ScimPatch> {
        self.0.chunks(MOST_OPERATIONS).map(|part| ScimPatch(part.to_vec())).collect()
    }

    /// Two patches that do the same together; `None` if it does one thing only. An operation that adds several entries is divided too.
    pub fn halves(&self) -> Option<(ScimPatch, ScimPatch)> {
        if self.0.len() > 1 {
            let (first, second) = self.0.split_at(self.0.len() / 2);
            return Some((ScimPatch(first.to_vec()), ScimPatch(second.to_vec())));
        }
        let operation = self.0.first()?;
        let entries = operation["value"].as_array().filter(|entries| entries.len() > 1)?;
        let (first, second) = entries.split_at(entries.len() / 2);
        let with = |entries: &[Value]| {
            let mut operation = operation.clone();
            operation["value"] = json!(entries);
            ScimPatch(vec![operation])
        };
        Some((with(first), with(second)))
    }

    /// The body of the request.
    pub fn body(&self) -> Value {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": self.0})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn additions_and_removals_are_one_request() {
        let mut patch = ScimPatch::default();
        patch.replace("displayName", json!("team"));
        patch.set("members", &set(&["1", "2", "3\"]"]), &set(&["2", "4", "5"]));
        patch.set("roles", &set(&["account_admin"]), &set(&["account_admin"]));
        let [part] = patch.parts().try_into().unwrap();
        let body = part.body();
        assert_eq!(
            body["Operations"],
            json!([
                {"op": "replace", "path": "displayName", "value": "team"},
                {"op": "add", "path": "members", "value": [{"value": "4"}, {"value": "5"}]},
                {"op": "remove", "path": "members[value eq \"1\"]"},
                {"op": "remove", "path": "members[value eq \"3\\\"]\"]"},
            ])
        );
        assert_eq!(ScimPatch::default().parts(), [], "nothing to do is no request");
    }

    #[test]
    fn a_patch_is_divided_until_each_part_does_one_thing() {
        let mut patch = ScimPatch::default();
        patch.replace("displayName", json!("team"));
        patch.set("members", &set(&["1"]), &set(&["2", "3"]));
        let (mut open, mut alone) = (vec![patch], vec![]);
        while let Some(part) = open.pop() {
            match part.halves() {
                Some((first, second)) => open.extend([second, first]),
                None => alone.push(part.body()["Operations"][0].clone()),
            }
        }
        assert_eq!(
            alone,
            [
                json!({"op": "replace", "path": "displayName", "value": "team"}),
                json!({"op": "add", "path": "members", "value": [{"value": "2"}]}),
                json!({"op": "add", "path": "members", "value": [{"value": "3"}]}),
                json!({"op": "remove", "path": "members[value eq \"1\"]"}),
            ]
        );
        assert_eq!(ScimPatch::default().halves(), None);
    }

    #[test]
    fn no_request_has_more_operations_than_any_account_accepts() {
        let many: BTreeSet<String> = (0..250).map(|n| n.to_string()).collect();
        let mut patch = ScimPatch::default();
        patch.set("members", &many, &BTreeSet::new());
        let parts = patch.parts().into_iter().map(|part| part.body());
        let sizes: Vec<usize> = parts.map(|body| body["Operations"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn what_a_response_leaves_out_is_empty() {
        let entries = serde_json::from_value(json!([{"value": "1", "display": "ada"}, {}])).unwrap();
        assert_eq!(ScimEntry::values(Some(entries)), set(&["1"]));
        assert_eq!(ScimEntry::values(None), set(&[]));
    }
}
