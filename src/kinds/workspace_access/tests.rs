//! The kind without a cluster: what of a list is drift, and what the operator keeps.

use kube::Resource;
use serde_json::json;

use super::*;
use crate::engine::kind::Settled;
use crate::kinds::permission_assignment::PermissionAssignment;

fn state(principals: Value, mode: Option<&str>) -> WorkspaceAccessState {
    let state = json!({"workspace_id": 7, "principals": principals, "mode": mode, "remove_after": null, "max_removals": null});
    serde_json::from_value(state).unwrap()
}

fn wanted(entries: &[(i64, &str)]) -> WorkspaceAccessState {
    let entry = |(id, level): &(i64, &str)| json!({"id": id, "permissions": [level]});
    state(entries.iter().map(entry).collect(), Some("Enforce"))
}

fn seen() -> WorkspaceAccessState {
    let rows = json!([
        {"id": 1, "userName": "ada@example.com", "permissions": ["USER"]},
        {"id": 2, "groupName": "data-eng", "permissions": ["ADMIN"]},
        {"id": 3, "servicePrincipalName": "5f6e", "permissions": ["USER"]},
    ]);
    state(rows, None)
}

fn ids(entries: &[crate::engine::kind::Entry]) -> Vec<(&str, &str, &str)> {
    entries.iter().map(|one| (&*one.id, &*one.name, &*one.state)).collect()
}

/// The engine distinguishes entries that others manage by the ids of that kind.
#[test]
fn single_principals_are_managed_by_a_kind_that_exists() {
    assert_eq!(ONE, PermissionAssignment::kind(&()));
    let id: <PermissionAssignment as ExternalResource>::Id = "7/1".parse().unwrap();
    assert_eq!(id.to_string(), ids(&entries(&wanted(&[(1, "USER")]), &seen()).listed)[0].0);
}

/// Covers LC-34.
#[test]
fn what_only_the_account_has_is_not_listed() {
    let found = entries(&wanted(&[(1, "ADMIN"), (9, "USER")]), &seen());
    assert_eq!(ids(&found.listed), [("7/1", "user ada@example.com", "USER"), ("7/9", "principal 9", "USER")]);
    let expected = [("7/2", "group data-eng", "ADMIN"), ("7/3", "service principal 5f6e", "USER")];
    assert_eq!(ids(&found.unlisted), expected);
    assert!(found.complete);
    let removal = found.removal.unwrap();
    assert_eq!((removal.after.as_secs(), removal.at_most), (86_400, 5));
    assert_eq!(entries(&state(json!([]), Some("Report")), &seen()).removal, None);
    let short = WorkspaceAccessState { remove_after: Some("1s".into()), ..wanted(&[]) };
    assert_eq!(
        entries(&short, &seen()).removal.unwrap().after.as_secs(),
        600,
        "by a schema of another version"
    );
}

/// Covers LC-34.
#[test]
fn a_row_that_could_not_be_read_makes_the_list_incomplete() {
    let rows = json!([{"id": 1, "permissions": []}, {"id": 2, "permissions": ["USER"]}]);
    let found = entries(&wanted(&[(2, "USER")]), &state(rows, None));
    assert!(!found.complete);
    assert_eq!(ids(&found.unlisted), [("7/1", "principal 1", "unknown")]);
}

/// Covers LC-34.
#[test]
fn only_what_is_listed_and_not_held_is_given_and_only_what_is_due_is_removed() {
    let want = wanted(&[(1, "ADMIN"), (2, "ADMIN"), (9, "USER")]);
    let open = |want: &WorkspaceAccessState| {
        let all = want.open(&seen());
        all.iter().map(|one| (one.id, one.permissions.len())).collect::<Vec<_>>()
    };
    assert_eq!(open(&want), [(1, 1), (9, 1)]);
    let set = |all: &[&str]| all.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<String>>();
    let settled =
        settle(want.clone(), &Settled { held: set(&["7/1"]), removed: set(&["7/3", "7/8", "8/2"]) });
    assert_eq!(open(&settled), [(9, 1), (3, 0)], "what is not there need not be removed");
    assert_eq!(settled.removed(), BTreeSet::from([3, 8]));
    assert_eq!(
        open(&state(json!([]), None)),
        [(0, 0); 0],
        "nothing that is listed, and nothing that is removed"
    );
    let left = entries(&settled, &seen()).unlisted;
    assert_eq!(left.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["7/1", "7/3"], "until it is gone");
}

/// Covers LC-34, SE-10. To make a user of an administrator takes access: a list that only reports must not do that.
#[test]
fn what_a_listed_principal_has_beyond_its_entry_is_not_listed() {
    let want = wanted(&[(1, "USER"), (2, "USER"), (3, "ADMIN")]);
    let found = entries(&want, &seen());
    assert_eq!(ids(&found.unlisted), [("7/2", "group data-eng", "ADMIN, listed with USER")]);
    assert_eq!(found.listed.len(), 3);
    let open = |removed: &[&str]| {
        let removed = removed.iter().map(|id| (*id).to_owned()).collect();
        let settled = settle(want.clone(), &found.settled(&BTreeSet::new(), removed));
        let all = settled.open(&seen());
        all.iter()
            .map(|one| (one.id, one.permissions.iter().cloned().collect()))
            .collect::<Vec<(i64, String)>>()
    };
    assert_eq!(open(&[]), [(3, "ADMIN".to_owned())]);
    assert_eq!(open(&["7/2"]), [(2, "USER".to_owned()), (3, "ADMIN".to_owned())], "it keeps what is listed");

    let rows = json!([{"id": 1, "permissions": ["USER", "NEW"]}, {"id": 2, "permissions": []}]);
    let found = entries(&wanted(&[(1, "USER"), (2, "USER")]), &state(rows, None));
    let expected = [
        ("7/1", "principal 1", "NEW,USER, listed with USER"),
        ("7/2", "principal 2", "unknown, listed with USER"),
    ];
    assert_eq!(ids(&found.unlisted), expected, "what is not known may be more");
}

/// Covers LC-34.
#[test]
fn the_last_administrator_of_a_workspace_is_known() {
    let found = entries(&wanted(&[(1, "USER"), (9, "ADMIN")]), &seen());
    let none = BTreeSet::new();
    assert!(found.is_last("7/2", &none), "the listed one has no access yet");
    assert!(!found.is_last("7/3", &none), "it is none");
    let found = entries(&wanted(&[(2, "ADMIN")]), &seen());
    assert!(!found.is_last("7/1", &none) && !found.is_last("7/3", &none));
}

#[test]
fn a_response_without_the_principal_keeps_the_name_that_was_known() {
    let level = |level: &str| BTreeSet::from([level.to_owned()]);
    let now = seen().with(Access::wanted(1, level("ADMIN"))).with(Access::wanted(5, level("USER")));
    let now = now.with(Access::wanted(3, BTreeSet::new()));
    let expected = json!([
        {"id": 1, "userName": "ada@example.com", "permissions": ["ADMIN"]},
        {"id": 2, "groupName": "data-eng", "permissions": ["ADMIN"]},
        {"id": 5, "permissions": ["USER"]},
    ]);
    assert_eq!(json!(now.principals), expected);
}

#[test]
fn a_list_with_its_creator_alone_is_managed_by_nothing() {
    let phase = |rows: Value| observed(state(rows, None)).about.phase;
    assert_eq!(phase(json!([])), Phase::Vacant);
    assert_eq!(phase(json!([{"id": 1, "permissions": ["ADMIN"]}])), Phase::Vacant);
    assert_eq!(phase(json!([{"id": 1, "permissions": ["USER"]}])), Phase::Ready);
    let two = json!([{"id": 1, "permissions": ["ADMIN"]}, {"id": 2, "permissions": ["ADMIN"]}]);
    assert_eq!(phase(two), Phase::Ready);
}

#[test]
fn a_principal_is_listed_once() {
    let spec = |principals: Value| {
        let spec =
            json!({"authRef": {"name": "a"}, "workspaceId": 7, "mode": "Report", "principals": principals});
        serde_json::from_value::<WorkspaceAccessSpec>(spec).unwrap()
    };
    let ids = [("principals.userName/ada@example.com".to_owned(), "1".to_owned())].into();
    let targets = [("workspace_id", vec!["7".to_owned()])].into();
    let got = Resolved { ids, targets, ..Resolved::default() };
    let desired = |principals: Value| WorkspaceAccess::desired(&spec(principals), &got);
    let named = json!({"userName": "Ada@Example.com", "permissions": ["USER", "ADMIN"]});
    let want = desired(json!([named, {"id": 2}, {"groupName": "unknown"}])).unwrap();
    let expected = json!([{"id": 1, "permissions": ["ADMIN"]}, {"id": 2, "permissions": ["USER"]}]);
    assert_eq!(json!(want.principals), expected);
    let twice = desired(json!([named, {"id": 1}])).err().unwrap();
    assert!(twice.to_string().contains("lists the principal 1 more than once"), "{twice}");
}
