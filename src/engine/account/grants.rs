//! Who may use the credentials of a DatabricksAuth, and for what. Pure; checked at each use, not only at admission.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::session::Session;
use crate::engine::crd::{DatabricksAuthSpec, Grant, GrantFrom, MaxPermission, Reason, ResyncInterval};
use crate::engine::error::{Error, Result};
use crate::engine::kind::Power;

/// Checks that grants allow what an object is about to do.
pub fn check_power(admission: &Admission, power: &Power, namespace: &str) -> Result<()> {
    if allows(&admission.grants, power) {
        return Ok(());
    }
    if power.account_admin {
        return Err(Error::waiting(
            Reason::ReferenceNotPermitted,
            format!(
                "the spec or the account has the role account_admin, a role to manage or to act as another principal, or a role on \
                 the account that this operator does not know, and no grant of the DatabricksAuth with maxPermission ACCOUNT_ADMIN \
                 admits objects of namespace {namespace}: have one added there, or leave the role out"
            ),
        ));
    }
    if power.removes_access && allows(&admission.grants, &Power { removes_access: false, ..power.clone() }) {
        return Err(Error::waiting(
            Reason::ReferenceNotPermitted,
            format!(
                "the spec asks for the removal of access that others gave, and no grant of the DatabricksAuth with removeAccess: true \
                 admits objects of namespace {namespace} for this workspace: have one added there, or set spec.mode to Report"
            ),
        ));
    }
    Err(Error::waiting(
        Reason::ReferenceNotPermitted,
        format!(
            "no grant of the DatabricksAuth allows objects of namespace {namespace} to touch this workspace or give this permission: \
             have one added there, or correct the spec"
        ),
    ))
}

/// What an object may use.
#[derive(Clone)]
pub struct Admission {
    /// The account.
    pub session: Arc<Session>,
    /// The grants that admit the object; `None` is everything.
    pub grants: Option<Vec<Grant>>,
    /// All grants as they were written then.
    pub written: Option<Vec<Grant>>,
    /// The resync interval of the DatabricksAuth.
    pub resync: Option<ResyncInterval>,
}

/// Whether the decision needs the labels of the namespace.
pub fn asks_for_labels(spec: &DatabricksAuthSpec) -> bool {
    spec.grants.iter().flatten().any(|g| g.namespaces.from == GrantFrom::Selector)
}

/// The objects that ask for admission.
#[derive(Clone, Copy)]
pub struct Applicant<'a> {
    /// Their namespace.
    pub namespace: &'a str,
    /// Their kind.
    pub kind: &'a str,
    /// Only a grant that names the kind allows it.
    pub by_name: bool,
}

/// The grants that admit objects of a kind in a namespace. `None`: not admitted. `Some(None)`: admitted for everything.
pub fn admitting(
    spec: &DatabricksAuthSpec,
    home: &str,
    applicant: Applicant<'_>,
    labels: Option<&BTreeMap<String, String>>,
) -> Option<Option<Vec<Grant>>> {
    let Applicant { namespace, kind, by_name } = applicant;
    let Some(grants) = &spec.grants else { return (home == namespace && !by_name).then_some(None) };
    let fits = |grant: &&Grant| {
        let from = &grant.namespaces;
        let namespace_fits = match from.from {
            GrantFrom::All => true,
            GrantFrom::Same => home == namespace,
            GrantFrom::Names => from.names.iter().flatten().any(|n| n == namespace),
            GrantFrom::Selector => {
                let wanted = from.selector.iter().flat_map(|s| &s.match_labels);
                let mut none = true;
                let all =
                    wanted.inspect(|_| none = false).all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v));
                all && !none
            }
        };
        namespace_fits && grant.kinds.as_ref().map_or(!by_name, |kinds| kinds.iter().any(|k| k == kind))
    };
    let fitting: Vec<Grant> = grants.iter().filter(fits).cloned().collect();
    (!fitting.is_empty()).then_some(Some(fitting))
}

/// Whether one of the grants allows it.
pub fn allows(grants: &Option<Vec<Grant>>, power: &Power) -> bool {
    let Some(grants) = grants else { return !power.account_admin && !power.removes_access };
    grants.iter().any(|grant| {
        let workspace = grant.workspace_ids.as_ref().is_none_or(|ids| {
            power.workspace_id.as_ref().is_some_and(|w| ids.iter().any(|id| id.to_string() == *w))
        });
        let account = !power.account_admin || grant.max_permission == Some(MaxPermission::ACCOUNT_ADMIN);
        let removal = !power.removes_access || grant.remove_access == Some(true);
        workspace && account && removal && !(power.admin && grant.max_permission == Some(MaxPermission::USER))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn auth(grants: serde_json::Value) -> DatabricksAuthSpec {
        let mut spec = json!({"cloud": "AWS", "accountId": "a", "authType": "OAUTH_M2M"});
        if !grants.is_null() {
            spec["grants"] = grants;
        }
        serde_json::from_value(spec).unwrap()
    }

    fn admits(grants: serde_json::Value, namespace: &str, kind: &str) -> bool {
        admits_by(false, grants, namespace, kind)
    }

    fn admits_by(by_name: bool, grants: serde_json::Value, namespace: &str, kind: &str) -> bool {
        let labels = BTreeMap::from([("team".to_owned(), "data".to_owned())]);
        admitting(&auth(grants), "home", Applicant { namespace, kind, by_name }, Some(&labels)).is_some()
    }

    /// Covers SE-05. A policy for tokens of another issuer, or a secret of a service principal, gives control of the account.
    #[test]
    fn what_gives_control_of_the_account_is_allowed_only_by_a_grant_that_names_it() {
        let admits = |grants, kind| admits_by(true, grants, "home", kind);
        let kind = "AccountFederationPolicy";
        assert!(!admits(json!(null), kind), "no grants: everything else");
        assert!(!admits(json!([{"namespaces": {"from": "Same"}}]), kind));
        assert!(!admits(json!([{"namespaces": {"from": "All"}, "kinds": ["Workspace"]}]), kind));
        let named =
            json!([{"namespaces": {"from": "Same"}}, {"namespaces": {"from": "Same"}, "kinds": [kind]}]);
        assert!(admits(named.clone(), kind));
        assert!(!admits_by(true, named, "other", kind), "by name, and from another namespace");
    }

    #[test]
    fn without_grants_only_the_own_namespace_is_admitted() {
        assert!(admits(json!(null), "home", "Workspace"));
        assert!(!admits(json!(null), "other", "Workspace"));
        assert!(!admits(json!([]), "home", "Workspace"), "an empty list grants nothing");
    }

    #[test]
    fn a_grant_admits_what_it_names() {
        let names = json!([{"namespaces": {"from": "Names", "names": ["a"]}, "kinds": ["IpAccessList"]}]);
        assert!(admits(names.clone(), "a", "IpAccessList"));
        assert!(!admits(names.clone(), "a", "Workspace"));
        assert!(!admits(names, "b", "IpAccessList"));
        assert!(admits(json!([{"namespaces": {"from": "All"}}]), "b", "Workspace"));
        let selector =
            |v: &str| json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": v}}}}]);
        assert!(admits(selector("data"), "b", "Workspace"));
        assert!(!admits(selector("web"), "b", "Workspace"));
        let empty = json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": {}}}}]);
        assert!(!admits(empty, "b", "Workspace"), "an empty selector is no blank cheque");
    }

    #[test]
    fn workspaces_and_permissions_are_limited_within_one_grant() {
        let limited: Vec<Grant> = serde_json::from_value(json!([
            {"namespaces": {"from": "All"}, "workspaceIds": [7], "maxPermission": "USER"},
            {"namespaces": {"from": "All"}, "workspaceIds": [8]},
        ]))
        .unwrap();
        let power = |id: &str, admin| Power { workspace_id: Some(id.into()), admin, ..Power::default() };
        assert!(allows(&Some(limited.clone()), &power("7", false)));
        assert!(!allows(&Some(limited.clone()), &power("7", true)));
        assert!(allows(&Some(limited.clone()), &power("8", true)));
        assert!(!allows(&Some(limited.clone()), &power("9", false)));
        assert!(!allows(&Some(limited), &Power::default()), "the account itself is no workspace");
        assert!(allows(&None, &Power::default()));
    }

    /// Covers SE-08. The role of an account administrator is worth everything else, so no default gives it.
    #[test]
    fn only_a_written_grant_allows_the_role_of_an_account_administrator() {
        let grants = |max: serde_json::Value| -> Option<Vec<Grant>> {
            serde_json::from_value(json!([{"namespaces": {"from": "Same"}, "maxPermission": max}])).unwrap()
        };
        let power = Power { account_admin: true, ..Power::default() };
        assert!(!allows(&None, &power), "not even in the namespace of the DatabricksAuth");
        for (max, expected) in [(json!(null), false), (json!("USER"), false), (json!("ADMIN"), false)]
            .into_iter()
            .chain([(json!("ACCOUNT_ADMIN"), true)])
        {
            assert_eq!(allows(&grants(max.clone()), &power), expected, "{max}");
        }
        assert!(allows(&grants(json!("ACCOUNT_ADMIN")), &Power { admin: true, ..Power::default() }));
    }

    /// Covers SE-10. It takes the access of others, so no default allows it.
    #[test]
    fn only_a_written_grant_allows_to_remove_the_access_of_others() {
        let power = Power { workspace_id: Some("7".into()), removes_access: true, ..Power::default() };
        assert!(!allows(&None, &power), "not even in the namespace of the DatabricksAuth");
        for (mut grant, expected) in [
            (json!({}), false),
            (json!({"maxPermission": "ACCOUNT_ADMIN"}), false),
            (json!({"removeAccess": false}), false),
            (json!({"removeAccess": true}), true),
            (json!({"removeAccess": true, "workspaceIds": [7]}), true),
            (json!({"removeAccess": true, "workspaceIds": [8]}), false),
        ] {
            grant["namespaces"] = json!({"from": "Same"});
            let grants: Vec<Grant> = serde_json::from_value(json!([grant])).unwrap();
            assert_eq!(allows(&Some(grants), &power), expected, "{grant}");
        }
    }
}
