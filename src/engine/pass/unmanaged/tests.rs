//! Which rows no object names, and what the status shows of their number, as tables.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::engine::crd::EXTERNAL_ID;
use crate::engine::pass::fake::{Fake, seen, settings, vacant};

/// The ids of the rows `1`, called `by-hand`, and `2` that an object does not name.
fn left(spec: Value, annotations: Value, status: Value) -> Vec<String> {
    let metadata = json!({"name": "it", "annotations": annotations});
    let object = serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status}));
    let mut named = Named::default();
    named.add(object.unwrap(), "a");
    left_by(&named, &[seen("1", "by-hand", None), seen("2", "other", None)])
}

fn left_by(named: &Named, rows: &[Seen]) -> Vec<String> {
    let left = rows.iter().filter(|seen| named.leaves(Fake::upsert(), seen).unwrap());
    left.map(|seen| seen.id.clone()).collect()
}

/// Covers OB-06.
#[test]
fn an_object_names_what_it_manages_observes_asks_for_or_is_creating() {
    let status = |account: &str, id: &str| json!({"external": {"accountId": account, "id": id}});
    let intent = |account: &str, before: Value| {
        let time = "2026-01-01T00:00:00Z";
        json!({"intent": {"accountId": account, "name": "by-hand", "time": time, "before": before}})
    };
    let retired = json!([{"id": "1", "since": "2026-01-01T00:00:00Z"}]);
    let copy = json!({EXTERNAL_ID: "1"});
    let cases = [
        ("nothing", json!({}), json!({}), json!({}), "1 2"),
        ("no status and no annotations", json!({}), Value::Null, Value::Null, "1 2"),
        ("bound", json!({}), json!({}), status("a", "1"), "2"),
        ("suspended", json!({"suspend": true}), json!({}), status("a", "1"), "2"),
        (
            "only observed",
            json!({"managementPolicy": "Observe"}),
            json!({}),
            json!({"external": {"accountId": "a", "id": "1", "adopted": true, "observed": true}}),
            "2",
        ),
        ("bound in another account", json!({}), json!({}), status("b", "1"), "1 2"),
        ("asked for", json!({"externalId": "1"}), json!({}), json!({}), "2"),
        ("restored", json!({}), copy, json!({}), "2"),
        ("bound to another than asked for", json!({"externalId": "1"}), json!({}), status("a", "2"), "1"),
        ("being created", json!({}), json!({}), intent("a", json!([])), "2"),
        ("existed before the create", json!({}), json!({}), intent("a", json!(["1"])), "1 2"),
        ("being created in another account", json!({}), json!({}), intent("b", json!([])), "1 2"),
        (
            "a former secret",
            json!({}),
            json!({}),
            json!({"external": {"accountId": "a", "id": "9"}, "retired": retired}),
            "2",
        ),
    ];
    for (case, spec, annotations, status, expected) in cases {
        assert_eq!(left(spec, annotations, status).join(" "), expected, "{case}");
    }
}

/// Covers OB-06.
#[test]
fn what_is_as_good_as_gone_is_not_counted() {
    let mut leaving = seen("1", "leaving", None);
    leaving.about.phase = Phase::Leaving("DELETING".into());
    let mut deactivated = seen("2", "deactivated", None);
    deactivated.state["value"] = json!("off");
    let mut pending = seen("3", "pending", None);
    pending.about.phase = Phase::Pending("PROVISIONING".into());
    let rows = [leaving, deactivated, vacant("vacant"), pending];
    assert_eq!(left_by(&Named::default(), &rows), ["3"]);
}

/// Covers OB-06.
#[test]
fn an_entry_changes_with_its_number_or_with_why_that_is_not_known() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let kinds = BTreeSet::from(["Group".to_owned()]);
    let show = |before: &[Unmanaged], total: Option<Result<i64, &str>>, limits, second| {
        let totals = total.map(|total| Totals::from([("Group".to_owned(), total.map_err(str::to_owned))]));
        shown(&kinds, before, totals.as_ref(), limits, at(second))
    };
    let entry = |count: Option<i64>, since: Option<i64>, message: Option<&str>| {
        let since = since.map(|second| seconds(at(second)));
        vec![Unmanaged { kind: "Group".into(), count, since, message: message.map(str::to_owned) }]
    };
    assert_eq!(show(&[], None, None, 1), [], "nothing was counted yet");
    let first = show(&[], Some(Ok(2)), None, 1);
    assert_eq!(first, entry(Some(2), Some(1), None));
    assert_eq!(show(&first, Some(Ok(2)), None, 9), first, "the same number is no news");
    assert_eq!(show(&first, None, None, 9), first, "after a restart");
    assert_eq!(show(&first, Some(Ok(0)), None, 9), entry(Some(0), Some(9), None));
    let failed = show(&first, Some(Err("no response")), None, 9);
    assert_eq!(failed, entry(Some(2), Some(1), Some("not counted: no response")), "the last number stays");
    assert_eq!(show(&failed, Some(Ok(2)), None, 10), first);
    assert_eq!(
        show(&[], Some(Err("no response")), None, 9),
        entry(None, None, Some("not counted: no response"))
    );
    assert_eq!(show(&[], Some(Ok(2)), Some("some"), 1), entry(Some(2), Some(1), Some("some")));
    let other = Unmanaged { kind: "User".into(), count: Some(1), ..Unmanaged::default() };
    assert_eq!(show(&[other], None, None, 1), [], "it is no longer asked for");
}

#[test]
fn a_number_says_what_it_includes_where_not_all_objects_are_watched() {
    let whole = settings(Duration::ZERO, Duration::ZERO);
    assert_eq!(limits(&whole), None);
    let namespaces = Settings { namespaces: vec!["ns".into()], ..whole.clone() };
    let selector = Settings { selector: "shard=1".into(), ..whole };
    for some in [namespaces, selector] {
        assert!(limits(&some).unwrap().contains("--namespaces or --selector"));
    }
}
