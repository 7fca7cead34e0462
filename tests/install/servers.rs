//! The same on the oldest and on the newest Kubernetes: what the chart renders is taken, and the rules of the CRDs and
//! of the admission policy behave.

use std::collections::BTreeSet;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use world::eventually;

use crate::resource::resource;
use crate::site::{Site, chart, newest, objects, oldest};
use crate::stage::{SOON, one_of, one_of_each, sample};

async fn both() -> [(&'static str, &'static Site); 2] {
    [("oldest", oldest().await), ("newest", newest().await)]
}

/// The values files of the chart, each a combination, by their names.
fn combinations() -> Vec<(String, String)> {
    let files = std::fs::read_dir(chart().join("ci")).unwrap().map(|entry| entry.unwrap().path());
    let all = files.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, path.to_str().unwrap().to_owned())
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() > 8, "{all:?}");
    all
}

/// The objects of each combination as release `dbx` in namespace `ops`. What is rendered does not depend on a server.
async fn renders() -> &'static [(String, Vec<Value>)] {
    static RENDERS: OnceCell<Vec<(String, Vec<Value>)>> = OnceCell::const_new();
    let site = newest().await;
    let chart = chart();
    let render = async |(name, path): (String, String)| {
        let args = ["template", "dbx", chart.to_str().unwrap(), "--values", &path];
        (name, objects(&site.plain_helm(&args, "ops").await.unwrap()))
    };
    RENDERS.get_or_init(|| futures::future::join_all(combinations().into_iter().map(render))).await
}

/// Whether an object is of `helm test`.
fn is_hook(object: &Value) -> bool {
    !object["metadata"]["annotations"]["helm.sh/hook"].is_null()
}

/// Whether an object is of a kind of Prometheus Operator or Grafana Operator, whose CRDs are not here.
fn is_of_others(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap();
    ["monitoring.coreos.com/", "grafana.integreatly.org/"].iter().any(|others| group.starts_with(others))
}

/// Covers IM-03. Covers H-30. The API server takes each render, by a dry run. Of `helm test` only, nothing can be tried
/// so: its pod wants a ServiceAccount that a dry run does not make.
#[tokio::test]
async fn each_render_is_taken_by_both_servers() {
    for (server, site) in both().await {
        for namespace in ["ops", "leases", "monitoring", "team-a", "team-b"] {
            site.namespace(namespace, &json!({})).await;
        }
        // Most are the same in each render, such as all CRDs.
        let mut taken_before = BTreeSet::new();
        for (name, objects) in renders().await {
            let tried = |object: &&Value| !is_hook(object) && !is_of_others(object);
            let new = |object: &&Value| taken_before.insert(object.to_string());
            let objects: Vec<&Value> = objects.iter().filter(tried).filter(new).collect();
            if objects.is_empty() {
                continue;
            }
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
            let args = ["apply", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"];
            let taken = site.kubectl(&args, &list).await.unwrap_or_else(|e| panic!("{server}, {name}: {e}"));
            assert_eq!(taken.lines().count(), objects.len(), "{server}, {name}: {taken}");
        }
    }
}

/// The specs of pods that an object makes.
fn pod_template(object: &Value) -> Option<Value> {
    match object["kind"].as_str().unwrap() {
        "Pod" => Some(object.clone()),
        "Deployment" | "Job" => Some(object["spec"]["template"].clone()),
        _ => None,
    }
}

/// Covers SE-03. Covers H-07. A namespace that enforces Pod Security `restricted` takes every pod of the chart, and
/// refuses the one that asks for the node's network, which the values say.
#[tokio::test]
async fn a_restricted_namespace_takes_every_pod() {
    let site = newest().await;
    site.namespace("restricted", &json!({"pod-security.kubernetes.io/enforce": "restricted"})).await;
    let mut number = 0;
    for (name, objects) in renders().await {
        for mut pod in objects.iter().filter_map(pod_template) {
            number += 1;
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!(format!("pod-{number}"));
            pod["metadata"]["namespace"] = json!("restricted");
            // That of the release is not in this namespace.
            pod["spec"]["serviceAccountName"] = json!("default");
            let created = site.kubectl(&["create", "-f", "-"], &pod.to_string()).await;
            match created {
                Ok(_) => assert_ne!(name, "host-values", "the server does not look"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(name == "host-values" && error.contains("hostNetwork=true"), "{name}: {error}");
                }
            }
        }
    }
    assert!(number > combinations().len(), "{number} pods");
}

/// Access to the objects of a manifest's kind in a namespace.
async fn api(site: &Site, namespace: &str, manifest: &Value) -> Api<DynamicObject> {
    let kind = resource(manifest["kind"].as_str().unwrap());
    Api::namespaced_with(site.cluster.client().await.unwrap(), namespace, &kind)
}

/// A manifest with some fields of its spec changed; null takes one away.
fn changed(manifest: &Value, fields: &Value) -> Value {
    let mut changed = manifest.clone();
    for (field, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(changed["spec"].as_object_mut().unwrap().remove(field)),
            value => changed["spec"][field] = value.clone(),
        }
    }
    changed
}

/// Manifests with a slip, and what of the answer tells it: each by a rule over fields, of which a schema says nothing.
fn slips() -> Vec<(Value, &'static str)> {
    let [credential, list, assignment, workspace] =
        ["Credential", "IpAccessList", "PermissionAssignment", "Workspace"].map(one_of);
    let auth = sample("databricksauth").remove(0);
    let grants = |from: Value| json!({"grants": [{"namespaces": from}]});
    let outside = json!({"namespaces": {"from": "All"}, "kinds": ["Credential"], "workspaceIds": [7]});
    let outside = json!({"grants": [outside]});
    let rows = [
        (&list, json!({"resyncInterval": "10s"}), "at least 30s, for example 10m"),
        (&credential, json!({"resyncInterval": "soon"}), "at least 30s, for example 10m"),
        (&assignment, json!({"workspaceRef": null}), "exactly one of workspaceRef and workspaceId"),
        (&assignment, json!({"workspaceId": 7}), "exactly one of workspaceRef and workspaceId"),
        (&assignment, json!({"principal": {}}), "needs exactly one of id, userName"),
        (&assignment, json!({"principal": {"id": 7, "groupName": "a"}}), "keep one and remove the others"),
        (&workspace, json!({"awsRegion": null}), "awsRegion"),
        (&workspace, json!({"customTags": {"a\nb": "c"}}), "the keys of customTags must have no control"),
        (&auth, json!({"clientId": null}), "needs clientId and clientSecretRef"),
        (&auth, grants(json!({"from": "Names"})), "names is needed with from: Names"),
        (&auth, grants(json!({"from": "Same", "names": ["a"]})), "names is needed with from: Names"),
        (&auth, grants(json!({"from": "Selector"})), "selector is needed with from: Selector"),
        (&auth, outside, "remove workspaceIds, or add one of PermissionAssignment"),
    ];
    rows.into_iter().map(|(manifest, fields, says)| (changed(manifest, &fields), says)).collect()
}

/// Covers IM-01, IM-03. On both servers the CRDs are taken, and so are the samples; what breaks a rule over several
/// fields is refused with the remedy, and so is a change of what cannot change once the account has the object, and
/// only then.
#[tokio::test]
async fn the_rules_of_the_crds_behave_on_both_servers() {
    for (server, site) in both().await {
        site.namespace("rules", &json!({})).await;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        for manifest in [one_of_each(), sample("databricksauth")].concat() {
            let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
            let taken = api(site, "rules", &manifest).await.create(&dry, &object).await;
            taken.unwrap_or_else(|error| panic!("{server}: {manifest}: {error}"));
        }
        for (manifest, says) in slips() {
            let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
            let refused = api(site, "rules", &manifest).await.create(&dry, &object).await;
            let error = refused.map(drop).expect_err(says).to_string();
            assert!(error.contains(says), "{server}: {manifest}: {error}");
        }
        what_is_fixed_stays(server, site).await;
    }
}

/// The workspace of an assignment may be changed until the account has it.
async fn what_is_fixed_stays(server: &str, site: &Site) {
    let assignment =
        changed(&one_of("PermissionAssignment"), &json!({"workspaceRef": null, "workspaceId": 7}));
    let api = api(site, "rules", &assignment).await;
    let name = assignment["metadata"]["name"].as_str().unwrap();
    api.create(&PostParams::default(), &serde_json::from_value(assignment.clone()).unwrap()).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = async |workspace: u32| {
        api.patch(name, &dry, &Patch::Merge(json!({"spec": {"workspaceId": workspace}}))).await
    };
    patch(8).await.unwrap();
    let bound = json!({"status": {"externalId": "7/5", "observed": {"workspaceId": 7}}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(bound)).await.unwrap();
    let error = patch(8).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("spec.workspaceId cannot be changed"), "{server}: {error}");
    patch(7).await.unwrap();
}

/// Takes from a schema what it says of the look of text.
fn loosen(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.remove("pattern");
        if let Some(Value::Array(rules)) = map.get_mut("x-kubernetes-validations") {
            rules.retain(|rule| !rule["rule"].as_str().unwrap().contains("key.matches("));
        }
        map.values_mut().for_each(loosen);
    }
}

/// What was stored before a CRD came to refuse it stays usable on both servers: all but the text itself can be changed, a
/// deletion ends, and the text can be corrected but not replaced by another that is refused. The CRD is that of Workspace
/// under another group, as all share the servers.
#[tokio::test]
async fn what_was_stored_before_it_was_refused_stays_usable_on_both_servers() {
    let crd = databricks_operator::cli::crds().into_iter().find(|crd| crd.spec.names.kind == "Workspace");
    let text = serde_json::to_string(&crd.unwrap())
        .unwrap()
        .replace(".databricks-operator.io", ".stored.example.com");
    let mut strict: Value = serde_json::from_str(&text).unwrap();
    strict["spec"]["group"] = json!("stored.example.com");
    let mut loose = strict.clone();
    loosen(&mut loose["spec"]["versions"][0]["schema"]);
    let bad = json!({
        "authRef": {"name": "a\nb"}, "credentialsRef": {"name": "a\u{1b}b"}, "workspaceName": "a\u{202e}b",
        "awsRegion": "eu-west-1", "storageConfigurationId": "a\u{2028}", "customTags": {"a\nb": "c\nd"},
    });
    let mut workspace = one_of("Workspace");
    workspace["apiVersion"] = json!("stored.example.com/v1alpha1");
    workspace["metadata"] = json!({"name": "old"});
    workspace["spec"] = bad;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("stored.example.com", "v1alpha1", "Workspace"));
    for (server, site) in both().await {
        site.namespace("stored", &json!({})).await;
        let api: Api<DynamicObject> =
            Api::namespaced_with(site.cluster.client().await.unwrap(), "stored", &kind);
        site.apply(&[loose.clone()]).await.unwrap();
        let object: DynamicObject = serde_json::from_value(workspace.clone()).unwrap();
        let stored = eventually(format!("{server}: it is stored"), SOON, async || {
            api.create(&PostParams::default(), &object).await.map(drop).map_err(|e| e.to_string())
        });
        stored.await.unwrap();
        site.apply(&[strict.clone()]).await.unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut another = object.clone();
        another.metadata.name = Some("another".into());
        let refused = eventually(format!("{server}: it would be refused now"), SOON, async || {
            match api.create(&dry, &another).await {
                Err(error) if error.to_string().contains("spec.authRef.name") => Ok(()),
                other => Err(format!("{:?}", other.map(drop))),
            }
        });
        refused.await.unwrap();

        let patch = async |what: Value| {
            let patched = api.patch("old", &PatchParams::default(), &Patch::Merge(&what)).await;
            patched.map(drop).map_err(|error| format!("{server}: {what}: {error}"))
        };
        patch(json!({"metadata": {"finalizers": ["stored.example.com/held"]}})).await.unwrap();
        let status = Patch::Merge(json!({"status": {"observedGeneration": 1, "externalId": "7"}}));
        let shown = api.patch_status("old", &PatchParams::default(), &status).await;
        shown.unwrap_or_else(|error| panic!("{server}: {error}"));
        patch(json!({"spec": {"suspend": true, "customTags": {"new": "tag"}}})).await.unwrap();
        for (other, field) in [
            (json!({"authRef": {"name": "c\nd"}}), "spec.authRef.name"),
            (json!({"customTags": {"c\nd": "e"}}), "spec.customTags"),
        ] {
            let error = patch(json!({"spec": other})).await.unwrap_err();
            assert!(error.contains(field), "{error}");
        }
        patch(json!({"spec": {"authRef": {"name": "c"}, "customTags": {"a\nb": null}}})).await.unwrap();
        api.delete("old", &DeleteParams::default()).await.unwrap();
        patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
        assert!(api.get_opt("old").await.unwrap().is_none(), "{server}");
    }
}

/// Covers H-27: with the policy the API server refuses to delete what is protected, says how to lift that, and lets go
/// of it then; elsewhere, and without the protection, it lets go at once. On both servers.
#[tokio::test]
async fn what_is_protected_is_not_deleted_on_both_servers() {
    for (server, site) in both().await {
        for namespace in ["guarded", "unguarded"] {
            site.namespace(namespace, &json!({})).await;
        }
        let values = json!({
            "crds": {"enabled": false}, "admissionPolicy": {"deletionProtection": true},
            "installation": "guard", "scope": {"mode": "namespaces", "watchNamespaces": ["guarded"]},
        });
        site.install("guard", &values).await;
        guards(server, site).await;
    }
}

async fn guards(server: &str, site: &Site) {
    let all = |namespace: &str, protected: bool| {
        let in_namespace = move |manifest: &Value| {
            let mut manifest = changed(manifest, &json!({"deletionProtection": protected}));
            manifest["metadata"]["namespace"] = json!(namespace);
            manifest
        };
        one_of_each().iter().map(in_namespace).collect::<Vec<_>>()
    };
    site.apply(&[all("guarded", true), all("unguarded", true)].concat()).await.unwrap();
    let kind = |manifest: &Value| resource(manifest["kind"].as_str().unwrap()).plural;
    let remedy = |manifest: &Value| {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        format!("kubectl -n guarded patch {}.databricks-operator.io {name} --type merge", kind(manifest))
    };
    let kinds = one_of_each().iter().map(kind).collect::<Vec<_>>().join(",");
    // The policy comes into force a moment after it is there.
    let dry = ["delete", &kinds, "--all", "--dry-run=server", "--namespace", "guarded"];
    let in_force = eventually(format!("{server}: everything is protected"), SOON, async || {
        let said = site.kubectl(&dry, "").await.map_or_else(|e| e.to_string(), |_| String::new());
        let missing: Vec<String> = one_of_each().iter().map(remedy).filter(|r| !said.contains(r)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in: {said}")) }
    });
    in_force.await.unwrap();
    let delete = async |namespace| {
        let args = ["delete", &kinds, "--all", "--timeout=3m", "--namespace", namespace];
        let deleted = site.kubectl(&args, "").await;
        (deleted, site.list(&[&kinds, "--namespace", namespace]).await.len())
    };
    let (refused, left) = delete("guarded").await;
    assert!(refused.is_err() && left == one_of_each().len(), "{server}: {refused:?}, {left} left");
    let (done, left) = delete("unguarded").await;
    assert!(done.is_ok() && left == 0, "{server}: {done:?}, {left} left");
    site.apply(&all("guarded", false)).await.unwrap();
    let (done, left) = delete("guarded").await;
    assert!(done.is_ok() && left == 0, "{server}: {done:?}, {left} left");
}
