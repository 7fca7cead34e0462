//! Who may do what: the operator, and people. Rules are read as the API server reads them.

use std::collections::BTreeSet;

use databricks_operator::cli;
use serde_json::{Value, json};

use crate::helm::{ALL, chart, chart_file, ci, of, one, render};

/// The kinds of a render that no namespace is for.
const CLUSTER_SCOPED: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// One thing that somebody may do: in a namespace or everywhere, for one object by name or for all.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Debug)]
struct Right {
    namespace: Option<String>,
    group: String,
    resource: String,
    verb: String,
    name: Option<String>,
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// What the rules of a role allow.
fn allowed(role: &Value) -> BTreeSet<Right> {
    let namespace = role["metadata"]["namespace"].as_str().map(str::to_owned);
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names: Vec<Option<String>> = strings(&rule["resourceNames"]).into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                for verb in strings(&rule["verbs"]) {
                    for name in names.clone() {
                        let (namespace, group, resource) =
                            (namespace.clone(), group.clone(), resource.clone());
                        rights.insert(Right { namespace, group, resource, verb: verb.clone(), name });
                    }
                }
            }
        }
    }
    rights
}

/// What a ServiceAccount of the release's namespace may do.
fn rights_of(objects: &[Value], account: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for binding in objects.iter().filter(|o| o["kind"].as_str().unwrap().ends_with("RoleBinding")) {
        let subjects = binding["subjects"].as_array().unwrap();
        let [subject] = subjects.as_slice() else { panic!("{binding}") };
        assert_eq!((&subject["kind"], &subject["namespace"]), (&json!("ServiceAccount"), &json!("ops")));
        if subject["name"] == account {
            let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let same = |o: &&Value| {
                o["kind"] == *kind
                    && o["metadata"]["name"] == *name
                    && o["metadata"]["namespace"] == binding["metadata"]["namespace"]
            };
            rights.extend(allowed(objects.iter().find(same).unwrap_or_else(|| panic!("no {kind} {name}"))));
        }
    }
    rights
}

fn operator(name: &str) -> BTreeSet<Right> {
    rights_of(ci(name), "dbx-databricks-operator")
}

fn right(namespace: Option<&str>, group: &str, resource: &str, verb: &str, name: Option<&str>) -> Right {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let (namespace, name) = (owned(namespace), owned(name));
    Right { namespace, group: group.into(), resource: resource.into(), verb: verb.into(), name }
}

/// The plural names of our kinds, DatabricksAuth with them.
fn plurals() -> BTreeSet<String> {
    cli::crds().into_iter().map(|crd| crd.spec.names.plural).collect()
}

/// What the operator needs in a namespace that it watches, Secrets apart.
fn needed(namespace: Option<&str>) -> BTreeSet<Right> {
    let ours = "databricks-operator.io";
    let mut rights = BTreeSet::new();
    for plural in plurals() {
        rights.extend(["list", "watch", "patch"].map(|verb| right(namespace, ours, &plural, verb, None)));
        if plural != "databricksauths" {
            rights.insert(right(namespace, ours, &plural, "get", None));
        }
        rights.insert(right(namespace, ours, &format!("{plural}/status"), "patch", None));
    }
    rights.extend(["create", "patch"].map(|verb| right(namespace, "events.k8s.io", "events", verb, None)));
    rights
}

fn secrets(namespace: Option<&str>, name: Option<&str>) -> [Right; 2] {
    ["get", "watch"].map(|verb| right(namespace, "", "secrets", verb, name))
}

fn lease(namespace: &str, name: &str) -> BTreeSet<Right> {
    let group = "coordination.k8s.io";
    let held = ["get", "update"].map(|verb| right(Some(namespace), group, "leases", verb, Some(name)));
    held.into_iter().chain([right(Some(namespace), group, "leases", "create", None)]).collect()
}

/// Covers H-20: the rules in the chart are those that the binary writes.
#[test]
fn the_rules_in_the_chart_are_those_of_the_binary() {
    assert!(
        chart_file("files/rbac.yaml") == cli::rbac_yaml().unwrap(),
        "files/rbac.yaml of the chart is not in step: make generate"
    );
}

/// Covers H-19, H-20: in a whole cluster, the operator may do what it needs and nothing else.
#[test]
fn a_cluster_wide_operator_has_the_rights_it_needs_and_no_others() {
    let mut expected = needed(None);
    expected.extend(secrets(None, None));
    expected.insert(right(None, "", "namespaces", "get", None));
    expected.extend(lease("ops", "dbx-databricks-operator"));
    assert_eq!(operator("default"), expected);
}

/// Covers H-19, H-20: in chosen namespaces there are Roles only, there and for the lease; Secrets are narrowed to a name in
/// one of the two.
#[test]
fn a_namespaced_operator_has_roles_only() {
    let objects = ci("namespaces");
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert!(of(objects, kind).is_empty(), "{:?}", of(objects, kind));
    }
    let mut expected = needed(Some("team-a"));
    expected.extend(needed(Some("team-b")));
    expected.extend(secrets(Some("team-a"), Some("databricks")));
    expected.extend(lease("ops", "dbx-databricks-operator"));
    assert_eq!(operator("namespaces"), expected);
    assert_eq!(crate::helm::flag(objects, "namespaces"), Some("team-a,team-b"));
}

/// Covers H-19: without more being said, Secrets may be read in the watched namespaces, and only there.
#[test]
fn a_namespaced_operator_reads_secrets_where_it_watches() {
    let values = r#"{"mode": "namespaces", "watchNamespaces": ["team-a"]}"#;
    let objects = render(&["--set-json", &format!("scope={values}"), "--set=installation=prod"]);
    let rights = rights_of(&objects, "dbx-databricks-operator");
    let found: BTreeSet<Right> = rights.into_iter().filter(|right| right.resource == "secrets").collect();
    assert_eq!(found, secrets(Some("team-a"), None).into());
}

/// Covers H-19, H-20: a release that shares the work by a label reads Secrets in one namespace, by a Role.
#[test]
fn secrets_are_narrowed_to_namespaces_by_roles() {
    assert_eq!(crate::helm::flag(ci("shard"), "selector"), Some("shard=a"));
    let rights = rights_of(ci("shard"), "databricks-operator-shard-a");
    let found: BTreeSet<Right> = rights.into_iter().filter(|right| right.resource == "secrets").collect();
    assert_eq!(found, secrets(Some("team-a"), None).into());
}

/// Covers H-10: the right to the lease is for its name, where it is.
#[test]
fn the_lease_has_the_name_and_the_namespace_that_are_said() {
    let rights: BTreeSet<Right> =
        operator("ha").into_iter().filter(|right| right.resource == "leases").collect();
    assert_eq!(rights, lease("leases", "team-databricks"));
    assert_eq!(crate::helm::flag(ci("ha"), "lease-name"), Some("team-databricks"));
    assert_eq!(crate::helm::flag(ci("ha"), "lease-namespace"), Some("leases"));
}

/// Covers H-20: the operator may write Secrets only if asked for, and then in the namespaces that are named; deleting one is the
/// cluster's own work.
#[test]
fn the_right_to_write_secrets_is_asked_for_and_narrowed() {
    let rights = |values: &[&str]| {
        let objects = render(values);
        let all = rights_of(&objects, "dbx-databricks-operator");
        let written =
            |right: &Right| right.resource == "secrets" && !["get", "watch"].contains(&&*right.verb);
        all.into_iter().filter(written).collect::<BTreeSet<Right>>()
    };
    let writes = |namespace| ["create", "patch"].map(|verb| right(namespace, "", "secrets", verb, None));
    assert_eq!(rights(&["--set=rbac.outputSecrets.namespaces={data}"]), [].into(), "it is not enabled");
    let enabled = "--set=rbac.outputSecrets.enabled=true";
    assert_eq!(rights(&[enabled]), writes(None).into());
    assert_eq!(rights(&[enabled, "--set=rbac.outputSecrets.namespaces={data}"]), writes(Some("data")).into());
    let scope = r#"scope={"mode": "namespaces", "watchNamespaces": ["data", "ops"]}"#;
    let namespaced = [enabled, "--set-json", scope, "--set=installation=prod"];
    let both = writes(Some("data")).into_iter().chain(writes(Some("ops"))).collect();
    assert_eq!(rights(&namespaced), both);
    let narrowed = [&namespaced[..], &["--set=rbac.outputSecrets.namespaces={data}"]].concat();
    assert_eq!(rights(&narrowed), writes(Some("data")).into());
}

/// Covers H-20: the same of ConfigMaps, of which the operator may delete what it has written.
#[test]
fn the_right_to_write_config_maps_is_asked_for_and_narrowed() {
    let rights = |values: &[&str]| {
        let objects = render(values);
        let all = rights_of(&objects, "dbx-databricks-operator");
        all.into_iter().filter(|right| right.resource == "configmaps").collect::<BTreeSet<Right>>()
    };
    let all = |namespace| {
        let verbs = ["get", "watch", "create", "patch", "delete"];
        verbs.map(|verb| right(namespace, "", "configmaps", verb, None))
    };
    assert_eq!(rights(&["--set=rbac.outputConfigMaps.namespaces={data}"]), [].into(), "it is not enabled");
    let enabled = "--set=rbac.outputConfigMaps.enabled=true";
    assert_eq!(rights(&[enabled]), all(None).into());
    assert_eq!(rights(&[enabled, "--set=rbac.outputConfigMaps.namespaces={data}"]), all(Some("data")).into());
    let scope = r#"scope={"mode": "namespaces", "watchNamespaces": ["data", "ops"]}"#;
    let namespaced = [enabled, "--set-json", scope, "--set=installation=prod"];
    assert_eq!(rights(&namespaced), all(Some("data")).into_iter().chain(all(Some("ops"))).collect());
}

/// Covers H-20: whatever is chosen, no role may create tokens or use a wildcard; only the operator's may write Secrets and ConfigMaps,
/// if asked for.
#[test]
fn no_role_of_any_render_is_broad() {
    for (name, objects) in ALL.iter() {
        for role in of(objects, "ClusterRole").into_iter().chain(of(objects, "Role")) {
            for right in allowed(role) {
                let read = ["get", "watch"].contains(&right.verb.as_str());
                let core =
                    right.group.is_empty() && ["secrets", "namespaces"].contains(&right.resource.as_str());
                let output = role["metadata"]["name"].as_str().unwrap().ends_with(".output")
                    && right.resource == "secrets"
                    && ["create", "patch"].contains(&right.verb.as_str());
                assert!(!right.group.is_empty() || core && read || output, "{name}: {right:?}");
                let star = [&right.group, &right.resource, &right.verb].iter().any(|part| part.contains('*'));
                assert!(!star, "{name}: {right:?}");
                assert!(
                    !["escalate", "bind", "impersonate"].contains(&right.verb.as_str()),
                    "{name}: {right:?}"
                );
            }
        }
    }
}

/// Covers H-20: without `rbac.create` there is no right of any kind.
#[test]
fn rights_can_be_left_to_others() {
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        assert!(of(ci("unmanaged"), kind).is_empty(), "{kind}");
    }
}

/// Covers H-18: who may do what to which kind, through the cluster's own roles. A wider role has what a narrower one has.
#[test]
fn people_get_rights_through_the_roles_of_the_cluster() {
    let may = |to: &str, verb: &str, plural: &str| {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        let roles = of(ci("default"), "ClusterRole");
        let roles: Vec<&Value> =
            roles.into_iter().filter(|r| r["metadata"]["labels"][&label] == "true").collect();
        let [role] = roles[..] else { panic!("{} roles for {to}", roles.len()) };
        allowed(role).contains(&right(None, "databricks-operator.io", plural, verb, None))
    };
    let (read, write) =
        (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    for plural in plurals() {
        let auth = plural == "databricksauths";
        for verb in read.into_iter().chain(write) {
            assert_eq!(may("view", verb, &plural), read.contains(&verb) && !auth, "view {verb} {plural}");
            assert_eq!(may("edit", verb, &plural), !auth, "edit {verb} {plural}");
            assert!(may("admin", verb, &plural), "admin {verb} {plural}");
            for to in ["view", "edit", "admin"] {
                assert!(!may(to, verb, &format!("{plural}/status")), "{to} {verb} {plural}/status");
            }
        }
    }
}

/// Covers H-18: each of the three can be left out; nobody else is given the labels.
#[test]
fn aggregation_can_be_left_out() {
    let label = "rbac.authorization.k8s.io/aggregate-to-";
    let aggregated = |object: &Value| {
        let labels = object["metadata"]["labels"].as_object();
        labels.into_iter().flatten().filter(|(key, _)| key.starts_with(label)).count()
    };
    assert_eq!(ci("default").iter().map(aggregated).sum::<usize>(), 3);
    assert_eq!(ci("shard").iter().map(aggregated).sum::<usize>(), 0);
    let without = render(&["--set", "rbac.aggregate.edit=false"]);
    assert_eq!(without.iter().map(aggregated).sum::<usize>(), 2);
}

/// Covers H-21: the account, its annotations, and its token for the operator alone.
#[test]
fn the_service_account_is_made_or_given() {
    let account = one(ci("pod"), "ServiceAccount");
    assert_eq!(account["metadata"]["name"], "dbx");
    assert_eq!(account["metadata"]["annotations"], json!({"example.com/role": "operator"}));
    assert_eq!(account["automountServiceAccountToken"], false, "no other pod gets the token by chance");
    let pod = crate::helm::pod(ci("pod"));
    assert_eq!(
        (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]),
        (&json!("dbx"), &json!(true))
    );

    assert!(of(ci("unmanaged"), "ServiceAccount").is_empty());
    let pod = crate::helm::pod(ci("unmanaged"));
    assert_eq!(
        (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]),
        (&json!("given"), &json!(false))
    );
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "databricks", "a token for federation is a volume like any other");
}

/// Covers H-32: every object says its namespace, or is of a kind that has none.
#[test]
fn every_namespaced_object_says_its_namespace() {
    for (name, objects) in ALL.iter() {
        for object in objects {
            let cluster = CLUSTER_SCOPED.contains(&object["kind"].as_str().unwrap());
            let namespace = object["metadata"]["namespace"].as_str();
            assert_eq!(
                namespace.is_none_or(str::is_empty),
                cluster,
                "{name}: {} {}",
                object["kind"],
                object["metadata"]["name"]
            );
        }
    }
}

/// The fields for names, anywhere in an object, whose value is no text.
fn names_without_text(value: &Value, found: &mut Vec<String>) {
    const NAMES: [&str; 6] = [
        "name",
        "namespace",
        "serviceAccountName",
        "secretName",
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
    ];
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if NAMES.contains(&key.as_str()) && !field.is_string() {
                    found.push(format!("{key}: {field}"));
                }
                names_without_text(field, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_without_text(item, found)),
        _ => {}
    }
}

/// Covers H-32: a name of digits, as a namespace may have, is text in every object. As a number, the API server would refuse it.
#[test]
fn names_that_look_like_numbers_are_text() {
    let values = json!({
        "crds": {"enabled": false}, "nameOverride": "12", "fullnameOverride": "dbx", "installation": "prod",
        "scope": {"mode": "namespaces", "watchNamespaces": ["34", "56"]}, "serviceAccount": {"name": "78"},
        "operator": {"leaseNamespace": "90"}, "replicaCount": 2, "caBundle": {"secretName": "11"},
        "admissionPolicy": {"deletionProtection": true}, "apiPriority": {"enabled": true},
        "auth": {
            "create": true, "name": "13", "namespace": "56", "secretName": "14", "clientId": "15",
            "accountId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        },
        "metrics": {
            "tls": {"secretName": "16"},
            "serviceMonitor": {
                "enabled": true, "renderMode": "alwaysRender", "namespace": "17",
                "tlsConfig": {"insecureSkipVerify": true},
            },
            "prometheusRule": {"enabled": true, "renderMode": "alwaysRender", "namespace": "17"},
            "dashboard": {"enabled": true, "namespace": "17"},
        },
        "helmTest": {
            "enabled": true, "image": "kubectl:1", "authName": "13", "workspaceId": "18", "workspaceName": "w",
        },
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let chart = chart();
    let args = ["template", "19", chart.to_str().unwrap(), "--namespace", "34", "--values"];
    let rendered = crate::helm::run(&[&args[..], &[file.path().to_str().unwrap()]].concat()).unwrap();
    let objects = crate::helm::objects(&rendered);
    assert!(objects.len() > 15, "{}", objects.len());
    let mut found = vec![];
    objects.iter().for_each(|object| names_without_text(object, &mut found));
    assert!(found.is_empty(), "{found:?}");
    let monitored = &one(&objects, "ServiceMonitor")["spec"]["namespaceSelector"];
    assert_eq!(monitored, &json!({"matchNames": ["34"]}));
}

/// Covers H-34: two releases have no object in common, in one namespace or in two, CRDs apart, which one of them has.
#[test]
fn two_releases_have_no_object_in_common() {
    let names = |release: &str, namespace: &str| {
        let (chart, values) = (chart(), chart().join("ci/ha-values.yaml"));
        let more =
            ["--set", "crds.enabled=false,operator.leaseNamespace=leases,operator.leaseName=", "--set"];
        let policy = "admissionPolicy.deletionProtection=true,rbac.secretNamespaces={team-a}";
        let files = [chart.to_str().unwrap(), "--namespace", namespace, "--values", values.to_str().unwrap()];
        let path = chart.join("ci/monitoring-values.yaml");
        let shared = ["--values", path.to_str().unwrap()];
        let args = [&["template", release], &files[..], &shared[..], &more[..], &[policy]].concat();
        let objects = crate::helm::objects(&crate::helm::run(&args).unwrap());
        let key =
            |o: &Value| format!("{} {} {}", o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]);
        let lease = format!("lease {}", crate::helm::flag(&objects, "lease-name").unwrap());
        objects.iter().map(key).chain([lease]).collect::<BTreeSet<String>>()
    };
    let (a, b, elsewhere) = (names("a", "ops"), names("b", "ops"), names("a", "other"));
    assert!(a.len() > 10, "{a:?}");
    assert!(a.is_disjoint(&b), "{:?}", &a & &b);
    assert!(a.is_disjoint(&elsewhere), "{:?}", &a & &elsewhere);
}
