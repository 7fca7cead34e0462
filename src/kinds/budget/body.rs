//! What is sent of a Budget: the whole of it, with the ids of what stays, and with all that no spec of ours names. Pure.

use std::collections::BTreeSet;

use super::state::{Action, Alert, BudgetState, FIELDS, Filter, SHARED};
use crate::engine::prelude::*;

/// A budget as the account has it, with what is wanted in the fields `now`; what is wanted and `null` is not managed. The API may refuse
/// a field that only its responses have.
pub fn merged(mut whole: Map<String, Value>, want: &BudgetState, now: &[&str]) -> Value {
    whole.retain(|field, value| FIELDS.contains(&&**field) && !value.is_null());
    let all = json!(want);
    for field in now.iter().filter(|field| !all[**field].is_null()) {
        let before = whole.remove(*field).unwrap_or_default();
        let value = match (*field, &want.alert_configurations, &want.filter) {
            ("alert_configurations", Some(want), _) => alerts(&before, want),
            ("filter", _, Some(want)) => filter(before, want),
            _ => all[*field].clone(),
        };
        if !value.is_null() {
            whole.insert((*field).to_owned(), value);
        }
    }
    whole.into()
}

/// An alert without its id is a new one: each keeps that of the alert with its scope and amount, else of one with its scope that
/// is no longer wanted.
fn alerts(before: &Value, want: &BTreeSet<Alert>) -> Value {
    let mut left: Vec<(Alert, &Value)> = read(before);
    let mut take = |same: &dyn Fn(&Alert) -> bool| {
        left.iter().position(|(alert, _)| same(alert)).map(|found| left.remove(found).1)
    };
    let with_same: Vec<(&Alert, Option<&Value>)> = want
        .iter()
        .map(|want| {
            let amount = |alert: &Alert| alert.quantity_threshold == want.quantity_threshold;
            (want, take(&|alert| alert.scope_type == want.scope_type && amount(alert)))
        })
        .collect();
    let alert = |(want, found): (&Alert, Option<&Value>)| {
        let found = found.or_else(|| take(&|alert| alert.scope_type == want.scope_type));
        alert(found.and_then(Value::as_object).cloned().unwrap_or_default(), want)
    };
    with_same.into_iter().map(alert).collect()
}

fn alert(mut whole: Map<String, Value>, want: &Alert) -> Value {
    let before = whole.remove("action_configurations").unwrap_or_default();
    let overrides = want
        .principal_overrides
        .iter()
        .map(|one| json!({"principal_id": one.principal_id, "override_threshold": one.override_threshold}));
    let empty_is_null = |list: Vec<Value>| if list.is_empty() { Value::Null } else { list.into() };
    let fields = json!({
        "time_period": want.time_period,
        "trigger_type": want.trigger_type,
        "quantity_type": want.quantity_type,
        "quantity_threshold": want.quantity_threshold,
        // Not every account knows scopes yet, and this one is the default.
        "scope_type": Some(&want.scope_type).filter(|scope| *scope != SHARED),
        "principal_overrides": empty_is_null(overrides.collect()),
        "action_configurations": empty_is_null(actions(&before, &want.action_configurations)),
    });
    whole.remove("principal_overrides");
    whole.extend(given(fields).as_object().cloned().unwrap_or_default());
    whole.into()
}

fn actions(before: &Value, want: &BTreeSet<Action>) -> Vec<Value> {
    let left: Vec<(Action, &Value)> = read(before);
    let action = |want: &Action| {
        let same = left.iter().find(|(action, _)| action == want).map(|(_, value)| (*value).clone());
        same.unwrap_or_else(|| given(json!({"action_type": want.action_type, "target": want.target})))
    };
    want.iter().map(action).collect()
}

/// The items of a list that can be read, each with the original.
fn read<T: serde::de::DeserializeOwned>(list: &Value) -> Vec<(T, &Value)> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| Some((serde_json::from_value(item.clone()).ok()?, item))).collect()
}

/// A part that is wanted empty is removed.
fn filter(before: Value, want: &Filter) -> Value {
    let mut whole = if let Value::Object(before) = before { before } else { Map::new() };
    let parts = [
        ("workspace_id", want.workspace_id.as_ref().map(|ids| (ids.values.is_empty(), json!(ids)))),
        ("tags", want.tags.as_ref().map(|tags| (tags.is_empty(), json!(tags)))),
    ];
    for (name, part) in parts {
        match part {
            None => {}
            Some((true, _)) => drop(whole.remove(name)),
            Some((false, part)) => drop(whole.insert(name.to_owned(), part)),
        }
    }
    if whole.is_empty() { Value::Null } else { whole.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(alerts: &Value, filter: &Value) -> BudgetState {
        let state = json!({"display_name": "team-a", "alert_configurations": alerts, "filter": filter});
        serde_json::from_value(state).unwrap()
    }

    fn alert(threshold: &str, targets: &[&str]) -> Value {
        let actions: Vec<Value> =
            targets.iter().map(|to| json!({"action_type": "EMAIL_NOTIFICATION", "target": to})).collect();
        json!({
            "time_period": "MONTH", "trigger_type": "CUMULATIVE_SPENDING_EXCEEDED", "quantity_type": "LIST_PRICE_DOLLARS_USD",
            "quantity_threshold": threshold, "action_configurations": actions,
        })
    }

    /// The same as the account has it.
    fn stored(id: &str, threshold: &str, targets: &[&str]) -> Value {
        let mut alert = alert(threshold, targets);
        alert["alert_configuration_id"] = json!(id);
        alert["scope_type"] = json!(SHARED);
        for (action, to) in alert["action_configurations"].as_array_mut().unwrap().iter_mut().zip(targets) {
            action["action_configuration_id"] = json!(format!("{id}-{to}"));
        }
        alert
    }

    fn account(alerts: &[Value]) -> Map<String, Value> {
        let whole = json!({
            "account_id": "a", "budget_configuration_id": "b", "create_time": 1, "update_time": 2, "display_name": "team-a",
            "alert_configurations": alerts, "filter": null,
        });
        whole.as_object().unwrap().clone()
    }

    #[test]
    fn ids_within_are_carried_over() {
        let before = account(&[
            stored("1", "500.000000", &["a@example.com", "b@example.com"]),
            stored("2", "800.000000", &["a@example.com"]),
        ]);
        // In another order: an amount is changed, one alert stays and loses an action, one is new.
        let alerts =
            json!([alert("900", &["c@example.com"]), alert("500", &["b@example.com"]), alert("950", &[])]);
        let sent = merged(before, &want(&alerts, &Value::Null), &["alert_configurations"]);
        let of = |id: Option<&str>| {
            let mut all = sent["alert_configurations"].as_array().unwrap().iter();
            all.find(|alert| alert.get("alert_configuration_id").and_then(Value::as_str) == id).unwrap()
        };
        assert_eq!(of(Some("1"))["quantity_threshold"], "500");
        let actions = &of(Some("1"))["action_configurations"];
        assert_eq!(
            actions,
            &json!([{
                "action_type": "EMAIL_NOTIFICATION", "target": "b@example.com", "action_configuration_id": "1-b@example.com",
            }])
        );
        assert_eq!(of(Some("2"))["quantity_threshold"], "900");
        assert_eq!(of(Some("2"))["action_configurations"][0].get("action_configuration_id"), None);
        assert_eq!(of(None)["quantity_threshold"], "950");
        assert_eq!(of(None).get("action_configurations"), None, "what is empty is not sent");
    }

    /// The API drops what a replacement leaves out.
    #[test]
    fn what_is_not_managed_or_does_not_differ_is_sent_back_as_it_was() {
        let mut unknown = stored("1", "500.000000", &["a@example.com"]);
        unknown["new_field"] = json!(1);
        let mut before = account(&[unknown.clone()]);
        before.insert(
            "filter".into(),
            json!({"tags": [{"key": "team", "value": {"operator": "IN", "values": ["a"]}}]}),
        );
        let filter = json!({"workspaceId": {"operator": "IN", "values": [7, "42"]}});
        let sent = merged(before.clone(), &want(&json!([alert("1", &[])]), &filter), &["filter"]);
        let mut expected = before;
        expected.retain(|field, _| ["display_name", "alert_configurations", "filter"].contains(&&**field));
        expected["filter"]["workspace_id"] = json!({"operator": "IN", "values": [7, 42]});
        assert_eq!(sent, Value::from(expected.clone()));
        let emptied = want(&Value::Null, &json!({"workspaceId": {"values": []}, "tags": []}));
        let sent = merged(expected, &emptied, &["filter"]);
        assert_eq!(sent.get("filter"), None);
        let sent = merged(
            account(&[unknown]),
            &want(&json!([alert("500", &[])]), &Value::Null),
            &["alert_configurations"],
        );
        assert_eq!(sent["alert_configurations"][0]["new_field"], 1);
    }
}
