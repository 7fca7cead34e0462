//! The rules of access control: what the operator may do, and what its users may.
//!
//! Pure, and derived from the table of kinds, so that it includes a new kind. The chart decides where the rules apply and
//! narrows them; it reads them from a file.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Serialize;

use crate::engine::crd::DatabricksAuth;
use crate::kinds::KINDS;

/// The rules, by what they are for. The chart knows these names.
#[derive(Serialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The operator, in each namespace that it watches.
    pub operator: Vec<PolicyRule>,
    /// The operator, in the namespaces of Secrets that a DatabricksAuth names. To be narrowed by name or namespace.
    pub secrets: Vec<PolicyRule>,
    /// The operator, in the namespaces of objects that write a secret of the account to a Secret. Only if asked for: a creation
    /// cannot be narrowed to a name, and the names are not known in advance.
    pub output_secrets: Vec<PolicyRule>,
    /// The operator, in the namespaces of objects that write their ids and facts to a ConfigMap. Only if asked for, as the one above.
    pub output_config_maps: Vec<PolicyRule>,
    /// The operator, in the whole cluster: the UID of `kube-system`, which is the installation's name by default, and
    /// grants by the labels of namespaces.
    pub namespaces: Vec<PolicyRule>,
    /// The operator, in the namespace of its Lease. A creation cannot be narrowed to a name.
    pub lease_create: Vec<PolicyRule>,
    /// The operator, for the one Lease that it holds. To be narrowed to its name.
    pub lease_hold: Vec<PolicyRule>,
    /// The operator, in the whole cluster, if it serves metrics only to authorised users: it asks the API server about them.
    pub metrics_auth: Vec<PolicyRule>,
    /// The user that scrapes the metrics then.
    pub metrics_read: Vec<PolicyRule>,
    /// People who may read.
    pub view: Vec<PolicyRule>,
    /// People who may change, without power over accounts.
    pub edit: Vec<PolicyRule>,
    /// People who may change, also DatabricksAuth: it gives power over an account.
    pub admin: Vec<PolicyRule>,
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// All rules.
pub fn rules() -> Rules {
    let group = <DatabricksAuth as kube::Resource>::group(&()).into_owned();
    let auth = vec![<DatabricksAuth as kube::Resource>::plural(&()).into_owned()];
    let mut kinds: Vec<String> = KINDS.iter().map(|kind| kind.api_resource().plural).collect();
    kinds.sort();
    let all = [auth.clone(), kinds.clone()].concat();
    let status = all.iter().map(|plural| format!("{plural}/status")).collect();
    let one = |group: &str, resource: &str, verbs: &[&str]| rule(group, vec![resource.to_owned()], verbs);
    Rules {
        operator: vec![
            rule(&group, all, &["list", "watch", "patch"]),
            // Before a deletion, the operator reads the live object, not the watch's copy.
            rule(&group, kinds.clone(), &["get"]),
            rule(&group, status, &["patch"]),
            one("events.k8s.io", "events", &["create", "patch"]),
        ],
        secrets: vec![one("", "secrets", &["get", "watch"])],
        output_secrets: vec![one("", "secrets", &["get", "watch", "create", "patch"])],
        output_config_maps: vec![one("", "configmaps", &["get", "watch", "create", "patch", "delete"])],
        namespaces: vec![one("", "namespaces", &["get"])],
        lease_create: vec![one("coordination.k8s.io", "leases", &["create"])],
        lease_hold: vec![one("coordination.k8s.io", "leases", &["get", "update"])],
        metrics_auth: vec![
            one("authentication.k8s.io", "tokenreviews", &["create"]),
            one("authorization.k8s.io", "subjectaccessreviews", &["create"]),
        ],
        metrics_read: vec![PolicyRule {
            non_resource_urls: Some(vec!["/metrics".to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        }],
        view: vec![rule(&group, kinds.clone(), READ)],
        edit: vec![rule(&group, kinds.clone(), WRITE)],
        admin: vec![rule(&group, [auth, kinds].concat(), WRITE)],
    }
}

fn rule(group: &str, resources: Vec<String>, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
