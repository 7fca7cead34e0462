//! Everything beside the pod and the rights: CRDs, the first DatabricksAuth, policies, notes, packaging, and that a render is
//! the same each time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use databricks_operator::cli;
use databricks_operator::engine::crd::DatabricksAuthSpec;
use databricks_operator::kinds::KINDS;
use databricks_operator::kinds::workspace::WorkspaceSpec;
use serde_json::{Value, json};

use crate::helm::{
    ALL, chart, chart_file, ci, ci_files, objects, of, one, pod, render, root, run, with_crds,
};
use crate::values::templates;

fn crds(objects: &[Value]) -> Vec<&Value> {
    of(objects, "CustomResourceDefinition")
}

/// Covers H-02: an installation has exactly the CRDs of the binary, to the letter.
#[test]
fn the_crds_are_those_of_the_binary() {
    let mut rendered: Vec<Value> = crds(ci("default")).into_iter().cloned().collect();
    let mut expected: Vec<Value> = cli::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let name = |crd: &Value| crd["metadata"]["name"].as_str().unwrap().to_owned();
    rendered.sort_by_key(name);
    expected.sort_by_key(name);
    for (mut found, crd) in rendered.iter().cloned().zip(&expected) {
        let metadata = found["metadata"].as_object_mut().unwrap();
        metadata.remove("labels");
        metadata.remove("annotations");
        let both = (whole(&found), whole(crd));
        assert!(both.0 == both.1, "{} is rendered otherwise than written", name(crd));
    }
    assert_eq!(rendered.len(), expected.len());
}

/// The same with numbers as text: a template engine has only one type of them.
fn whole(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap().to_string()),
        Value::Array(items) => items.iter().map(whole).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), whole(value))).collect(),
        other => other.clone(),
    }
}

/// Covers H-02, H-03: the files in the chart are those in `crds/`, which is the manifest for those who apply it by other means.
#[test]
fn the_crds_in_the_chart_are_those_of_the_repository() {
    let files = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| (path.file_name().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
            .collect()
    };
    let (ours, charts): (BTreeSet<_>, BTreeSet<_>) =
        (files(root().join("crds")), files(chart().join("files/crds")));
    assert!(ours == charts, "the CRDs of the chart are not in step: make generate");
}

/// Covers H-02: a new kind is in the chart without a word in a template; `helm test` alone knows one.
#[test]
fn no_template_knows_a_kind() {
    for kind in KINDS {
        let resource = kind.api_resource();
        for (name, text) in templates().iter().filter(|(name, _)| name != "templates/tests/observe.yaml") {
            // The words may be in prose; these are the lines that a kind or its plural name is written in.
            let mut lines = text.lines().filter(|line| line.contains("kind:") || line.contains("resources:"));
            let names = [&resource.kind, &resource.plural];
            // As whole words: a PodDisruptionBudget is no Budget.
            let known = lines.any(|line| {
                line.split(|c: char| !c.is_ascii_alphanumeric())
                    .any(|word| names.iter().any(|name| *name == word))
            });
            assert!(!known, "{name} knows {}", resource.kind);
        }
    }
}

/// Covers H-02: CRDs stay at uninstall unless one says otherwise, and carry what they are given.
#[test]
fn crds_are_kept_and_marked() {
    for crd in crds(ci("default")) {
        assert_eq!(crd["metadata"]["annotations"], json!({"helm.sh/resource-policy": "keep"}));
    }
    for crd in crds(ci("pod")) {
        assert_eq!(crd["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"], "-1");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        assert_eq!(crd["metadata"]["labels"]["example.com/crds"], "true");
        assert_eq!(crd["metadata"]["labels"]["app.kubernetes.io/instance"], "dbx");
    }
    for crd in crds(ci("host")) {
        assert!(crd["metadata"]["annotations"].get("helm.sh/resource-policy").is_none());
    }
    assert!(crds(ci("shard")).is_empty());
}

/// Covers H-03: what a GitOps tool needs to know is in the README.
#[test]
fn the_readme_tells_how_to_apply_crds_by_other_means() {
    let readme = chart_file("README.md");
    for word in
        ["crds.enabled: false", "ServerSideApply=true", "SkipDryRunOnMissingResource=true", "sync wave"]
    {
        assert!(readme.contains(word), "{word}");
    }
}

/// Covers H-35: what may be upgraded to what, and in which order, is in the README.
#[test]
fn the_readme_tells_the_rules_of_upgrades() {
    let readme = chart_file("README.md");
    let lowest = chart_file("Chart.yaml")
        .lines()
        .find_map(|line| line.strip_prefix("kubeVersion: \">="))
        .unwrap()
        .to_owned();
    let minor = lowest.rsplit_once(".0").unwrap().0.to_owned();
    for word in
        [format!("Kubernetes {minor} or newer"), "every minor version".into(), "before the chart".into()]
    {
        assert!(readme.contains(&word), "{word}");
    }
}

/// Covers H-04: off unless asked for; then every CRD is worked on, by a script that a shell can read.
#[test]
fn stored_objects_are_migrated_by_a_job() {
    assert!(of(ci("default"), "Job").is_empty());
    let job = one(ci("jobs"), "Job");
    assert!(job["metadata"].get("annotations").is_none(), "no hook, which could block an upgrade");
    let script = job["spec"]["template"]["spec"]["containers"][0]["args"][0].as_str().unwrap();
    for crd in cli::crds() {
        let stored = crd.spec.versions.iter().find(|version| version.storage).unwrap();
        assert!(script.contains(&format!("{}={}", crd.metadata.name.unwrap(), stored.name)), "{script}");
    }
    readable(script);
}

/// Covers H-04: the pod of a Job cannot be changed, so what would change it makes another Job, however long its name is.
#[test]
fn a_corrected_migration_and_that_of_another_version_are_other_jobs() {
    let (folder, chart) = (tempfile::tempdir().unwrap(), chart());
    let to = folder.path().to_str().unwrap();
    run(&["package", chart.to_str().unwrap(), "--version", "0.99.0", "--destination", to]).unwrap();
    let later = folder.path().join("databricks-operator-0.99.0.tgz");
    let job = |chart: &Path, more: &str| {
        let name = "a-name-of-52-characters-is-the-longest-that-is-taken";
        assert_eq!(name.len(), 52);
        let base = "crds.enabled=false,storageMigration.enabled=true,storageMigration.image=kubectl:1";
        let set = format!("{base},fullnameOverride={name}{more}");
        let text = run(&["template", "dbx", chart.to_str().unwrap(), "--set", &set]).unwrap();
        let name = one(&objects(&text), "Job")["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.len() <= 63, "{name}");
        name
    };
    let names = [
        job(&chart, ""),
        job(&later, ""),
        job(&chart, ",storageMigration.image=kubectl:2"),
        job(&chart, ",securityContext.runAsUser=1000"),
        job(&chart, ",imagePullSecrets[0].name=pull"),
    ];
    assert_eq!(BTreeSet::from(names.clone()).len(), names.len(), "{names:?}");
    assert_eq!(job(&chart, ",commonLabels.team=data"), names[0], "its pod is the same");
}

/// Covers H-29: off unless asked for; then an object that only reads is made, waited for and taken away.
#[test]
fn a_test_observes_a_workspace() {
    let hooks = |objects: &[Value]| {
        objects.iter().filter(|o| o["metadata"]["annotations"].get("helm.sh/hook").is_some()).count()
    };
    assert_eq!(hooks(ci("default")), 0);
    assert_eq!(hooks(ci("jobs")), 4);
    let container = &one(ci("jobs"), "Pod")["spec"]["containers"][0];
    readable(container["args"][0].as_str().unwrap());
    let variables = container["env"].as_array().unwrap();
    let object = variables.iter().find(|variable| variable["name"] == "WORKSPACE").unwrap();
    let object: Value = serde_json::from_str(object["value"].as_str().unwrap()).unwrap();
    assert_eq!((&object["kind"], &object["metadata"]["namespace"]), (&json!("Workspace"), &json!("ops")));
    let spec: WorkspaceSpec = serde_json::from_value(object["spec"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), object["spec"], "no field that the kind does not know");
    assert_eq!(object["spec"]["managementPolicy"], "Observe");
}

fn readable(script: &str) {
    let status = Command::new("sh").args(["-n", "-c", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Covers H-13: nothing comes in but what asks for metrics, and what goes out is DNS, the API server and Databricks, or the
/// proxy in its place, the collector of traces, and the metadata server of Google where the operator's own identity is used.
#[test]
fn the_network_is_closed_but_for_what_is_needed() {
    let tcp = |port: u16| json!({"protocol": "TCP", "port": port});
    let dns = json!({"ports": [
        {"protocol": "UDP", "port": 53}, tcp(53), {"protocol": "UDP", "port": 5353}, tcp(5353)]});
    let policy = &one(ci("default"), "NetworkPolicy")["spec"];
    assert_eq!(policy["podSelector"], one(ci("default"), "Deployment")["spec"]["selector"]);
    let monitoring = json!({"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}});
    let scrape = json!({"from": [{"namespaceSelector": monitoring}], "ports": [tcp(8080)]});
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"], json!([scrape]));
    let server = json!([tcp(443), tcp(6443), tcp(8443)]);
    assert_eq!(policy["egress"], json!([dns, {"ports": server}, {"ports": [tcp(443)]}]));

    let policy = &one(ci("offline"), "NetworkPolicy")["spec"];
    assert_eq!(policy["ingress"], json!([scrape, {"from": [{"podSelector": {}}]}]));
    let to = json!([{"ipBlock": {"cidr": "2001:db8::/64"}}]);
    let rules =
        json!([dns, {"ports": server, "to": to}, {"ports": [tcp(3128)]}, {"ports": [{"port": 8080}]}]);
    assert_eq!(policy["egress"], rules, "the proxy in place of Databricks");

    let to = json!([{"ipBlock": {"cidr": "198.51.100.0/24"}}]);
    assert_eq!(
        one(ci("proxyless"), "NetworkPolicy")["spec"]["egress"][2],
        json!({"ports": [tcp(443)], "to": to})
    );
    assert!(of(ci("unmanaged"), "NetworkPolicy").is_empty());
    assert_eq!(one(ci("proxyless"), "NetworkPolicy")["spec"]["egress"][3], json!({"ports": [tcp(4318)]}));
    for (endpoint, port) in [("http://it", 80), ("https://it/a", 443), ("https://[fd00::1]:4318/a", 4318)] {
        let objects = render(&["--set", &format!("operator.otlpEndpoint={endpoint}")]);
        let egress = &one(&objects, "NetworkPolicy")["spec"]["egress"];
        assert_eq!(egress[3], json!({"ports": [tcp(port)]}), "{endpoint}");
    }
    let own = render(&["--set-json", r#"operator.googleIdentityNamespaces=["databricks"]"#]);
    let egress = &one(&own, "NetworkPolicy")["spec"]["egress"];
    let to = |address: &str| json!([{"ipBlock": {"cidr": address}}]);
    assert_eq!(egress[3], json!({"ports": [tcp(80)], "to": to("169.254.169.254/32")}));
    assert_eq!(egress[4], json!({"ports": [tcp(988)], "to": to("169.254.169.252/32")}));
    let through = ["--set=proxy.https=http://proxy:8443", "--set=operator.otlpEndpoint=https://it"];
    let egress = one(&render(&through), "NetworkPolicy")["spec"]["egress"].clone();
    assert_eq!(egress.as_array().unwrap()[2..], [json!({"ports": [tcp(8443)]})], "no way past the proxy");
    for (proxy, port) in [("http://proxy", 80), ("http://proxy:8443/", 8443)] {
        let objects = render(&["--set", &format!("proxy.https={proxy}")]);
        assert_eq!(
            one(&objects, "NetworkPolicy")["spec"]["egress"][2]["ports"],
            json!([tcp(port)]),
            "{proxy}"
        );
    }
}

/// Covers H-13: the value that limits what goes out names the host beside those of Databricks that the operator calls.
#[test]
fn the_networks_of_databricks_do_not_have_the_tokens_of_google() {
    let readme = chart_file("README.md");
    let value = readme.lines().find(|line| line.starts_with("| `networkPolicy.databricksCidrs` |")).unwrap();
    assert!(value.contains("add networks of `oauth2.googleapis.com`"), "{value}");
}

/// Covers H-27: for every kind with `deletionProtection`, where the operator watches, with the way to lift it; no webhook.
#[test]
fn the_api_server_can_protect_from_deletion() {
    assert!(of(ci("default"), "ValidatingAdmissionPolicy").is_empty());
    let (policy, binding) = (
        one(ci("namespaces"), "ValidatingAdmissionPolicy"),
        one(ci("namespaces"), "ValidatingAdmissionPolicyBinding"),
    );
    let [rule] = policy["spec"]["matchConstraints"]["resourceRules"].as_array().unwrap().as_slice() else {
        panic!()
    };
    assert_eq!(
        (&rule["apiGroups"], &rule["operations"]),
        (&json!(["databricks-operator.io"]), &json!(["DELETE"]))
    );
    let protects = |crd: &Value| {
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"].get("deletionProtection").is_some()
    };
    let all: Vec<Value> = cli::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let with: BTreeSet<&str> = all
        .iter()
        .filter(|crd| protects(crd))
        .map(|crd| crd["spec"]["names"]["plural"].as_str().unwrap())
        .collect();
    let ruled: BTreeSet<&str> =
        rule["resources"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert_eq!(ruled, with);

    let check = &policy["spec"]["validations"][0];
    assert_eq!(
        check["expression"],
        "!has(oldObject.spec.deletionProtection) || !oldObject.spec.deletionProtection"
    );
    let message = check["messageExpression"].as_str().unwrap();
    assert!(
        message.contains(r#"{"spec":{"deletionProtection":false}}"#) && message.contains("kubectl"),
        "{message}"
    );
    assert_eq!(
        (&policy["spec"]["failurePolicy"], &binding["spec"]["validationActions"]),
        (&json!("Fail"), &json!(["Deny"]))
    );
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    let names = &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(names, &json!(["team-a", "team-b"]));
    for object in ALL.values().flatten() {
        assert!(!object["kind"].as_str().unwrap().ends_with("WebhookConfiguration"), "{object}");
    }
}

/// Covers H-28: a DatabricksAuth that the operator can read, with the name of a Secret and no secret; it stays at uninstall.
#[test]
fn the_first_auth_names_a_secret_that_exists() {
    assert!(of(ci("default"), "DatabricksAuth").is_empty());
    let auth = one(ci("namespaces"), "DatabricksAuth");
    assert_eq!(auth["metadata"]["namespace"], "team-a");
    assert_eq!(auth["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let spec: DatabricksAuthSpec = serde_json::from_value(auth["spec"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), auth["spec"], "no field that the kind does not know");
    let secret = spec.client_secret_ref.unwrap();
    assert_eq!((secret.name.as_str(), secret.key.as_str()), ("databricks", "client-secret"));
    for objects in ALL.values() {
        assert!(of(objects, "Secret").is_empty(), "the chart makes no Secret");
    }
}

/// Covers H-36: a share of the API server for the operator's own account.
#[test]
fn the_operator_can_have_a_share_of_the_api_server() {
    assert!(of(ci("default"), "FlowSchema").is_empty());
    let (schema, level) = (one(ci("ha"), "FlowSchema"), one(ci("ha"), "PriorityLevelConfiguration"));
    assert_eq!(schema["spec"]["priorityLevelConfiguration"]["name"], level["metadata"]["name"]);
    let subject = &schema["spec"]["rules"][0]["subjects"][0]["serviceAccount"];
    assert_eq!(subject, &json!({"name": pod(ci("ha"))["serviceAccountName"], "namespace": "ops"}));
    assert_eq!(level["spec"]["limited"]["nominalConcurrencyShares"], 10);
}

fn notes(args: &[&str]) -> String {
    let chart = chart();
    let first = ["install", "dbx", chart.to_str().unwrap(), "--namespace", "ops", "--dry-run=client"];
    let all = run(&[&first, args].concat()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    all.split_once("NOTES:").unwrap_or_else(|| panic!("no notes: {all}")).1.to_owned()
}

/// Covers H-31: what to do next, and what to mind of the values that were chosen.
#[test]
fn the_notes_tell_the_next_steps_and_the_risks() {
    let plain = notes(&["--set", "image.registry=registry.example.com,rbac.secretNames={databricks}"]);
    assert!(plain.contains("kubectl -n ops rollout status deployment dbx-databricks-operator"), "{plain}");
    assert!(plain.contains("kubectl create secret") && !plain.contains("Warnings:"), "{plain}");
    let risky = notes(&[
        "--set",
        "crds.keep=false,operator.leaderElect=false,hostNetwork=true,networkPolicy.enabled=false",
    ]);
    for word in [
        "Warnings:",
        "image.registry is empty",
        "every Secret of the cluster",
        "all our objects",
        "would both act",
        "hostNetwork is true",
        "networkPolicy.enabled is false",
    ] {
        assert!(risky.contains(word), "{word}: {risky}");
    }
    let given = notes(&["--set", "crds.enabled=false,rbac.create=false"]);
    assert!(
        given.contains("apply the CRDs of this version") && given.contains("rbac.create is false"),
        "{given}"
    );
    let namespaces = notes(&["--values", ci_files()["namespaces"].to_str().unwrap()]);
    assert!(namespaces.contains("watches team-a, team-b and has no rights elsewhere"), "{namespaces}");
    assert!(namespaces.contains("kubectl -n team-a get databricksauth databricks"), "{namespaces}");
    assert!(namespaces.contains("cannot be part of the first installation"), "{namespaces}");
    let watched = "scope.mode=namespaces,scope.watchNamespaces={team-a},installation=prod,crds.enabled=false";
    let watched = notes(&["--set", watched]);
    assert!(watched.contains("kubectl -n team-a create secret generic"), "{watched}");
}

/// Covers H-32: rendered twice, a chart is the same; nothing in it depends on the cluster, the time or chance.
#[test]
fn two_renders_are_equal() {
    for name in ["default", "pod", "jobs"] {
        let path = &ci_files()[name];
        let once = || with_crds(&["--values", path.to_str().unwrap()]).unwrap();
        assert_eq!(once(), once(), "{name}");
    }
    let words = [
        "lookup",
        ".Capabilities",
        "rand",
        "now",
        "uuidv4",
        "genSignedCert",
        "genCA",
        "htpasswd",
        "getHostByName",
    ];
    for (name, text) in templates().iter().filter(|(name, _)| !name.ends_with("NOTES.txt")) {
        for action in text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            let comment = action.trim_start_matches('-').trim_start().starts_with("/*");
            let used = action.split(|c: char| !(c.is_alphanumeric() || c == '.')).any(|word| {
                let begins =
                    |banned: &str| ["rand", ".Capabilities"].contains(&banned) && word.starts_with(banned);
                words.iter().any(|banned| word == *banned || begins(banned))
            });
            // The two questions: does the cluster know a kind of others, and is it deleting our CRDs?
            let asks = name == "templates/_helpers.tpl"
                && action.contains(".Capabilities.APIVersions.Has (index . 2)")
                || name == "templates/crds.yaml"
                    && action
                        .contains("lookup \"apiextensions.k8s.io/v1\" \"CustomResourceDefinition\" \"\"");
            assert!(comment || asks || !used, "{name}: {action}");
        }
    }
    for (name, objects) in ALL.iter().filter(|(name, _)| *name != "jobs") {
        for object in objects {
            let annotations = object["metadata"]["annotations"].as_object();
            assert!(
                annotations.into_iter().flatten().all(|(key, _)| !key.starts_with("helm.sh/hook")),
                "{name}: {object}"
            );
        }
    }
}

/// Covers H-30: the linter has nothing to say against any combination.
#[test]
fn the_linter_passes_every_combination() {
    std::thread::scope(|scope| {
        for path in ci_files().into_values() {
            scope.spawn(move || {
                let (chart, values) = (chart(), path.to_str().unwrap().to_owned());
                let result =
                    run(&["lint", chart.to_str().unwrap(), "--strict", "--quiet", "--values", &values]);
                result.unwrap_or_else(|e| panic!("{values}: {e}"));
            });
        }
    });
}

/// Covers H-01: the schema is closed, and an umbrella chart can still use the usual condition for this one.
#[test]
fn an_umbrella_chart_includes_it_on_a_condition() {
    let folder = tempfile::tempdir().unwrap();
    let charts = folder.path().join("charts");
    std::fs::create_dir(&charts).unwrap();
    run(&["package", chart().to_str().unwrap(), "--destination", charts.to_str().unwrap()]).unwrap();
    let umbrella = json!({"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [{
        "name": "databricks-operator", "version": env!("CARGO_PKG_VERSION"),
        "condition": "databricks-operator.enabled",
    }]});
    std::fs::write(folder.path().join("Chart.yaml"), umbrella.to_string()).unwrap();
    let rendered = |enabled: bool| {
        let set = format!("databricks-operator.enabled={enabled},databricks-operator.crds.enabled=false");
        run(&["template", "platform", folder.path().to_str().unwrap(), "--set", &set]).unwrap()
    };
    let included = objects(&rendered(true));
    assert_eq!(one(&included, "Deployment")["metadata"]["name"], "platform-databricks-operator");
    assert!(!rendered(false).contains("kind:"));
}

/// Covers H-33: one version for chart, operator and image, and a package with all that an installation reads.
#[test]
fn the_chart_can_be_packaged() {
    let meta: Value = serde_saphyr::from_str(&chart_file("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&meta["version"], &meta["appVersion"]), (&json!(version), &json!(version)));
    let changes = meta["annotations"]["artifacthub.io/changes"].as_str().unwrap();
    let changes: Vec<Value> = serde_saphyr::from_str(changes).unwrap();
    assert!(changes.iter().all(|change| change["kind"].is_string() && change["description"].is_string()));

    let (folder, chart) = (tempfile::tempdir().unwrap(), chart());
    run(&["package", chart.to_str().unwrap(), "--destination", folder.path().to_str().unwrap()]).unwrap();
    let package = folder.path().join(format!("databricks-operator-{version}.tgz"));
    let from_package = run(&["template", "dbx", package.to_str().unwrap(), "--namespace", "ops"]).unwrap();
    assert_eq!(from_package, with_crds(&[]).unwrap());
    assert!(package.metadata().unwrap().len() < 500_000, "a release is stored in one Secret");

    // A version that names its commit is longer than a label may be, and a label ends with a letter or digit.
    let to = folder.path().to_str().unwrap();
    let digits = 63 - format!("databricks-operator-{version}+.").len();
    for commit in ["0123456789".repeat(4), format!("{}.0123456789", "1".repeat(digits))] {
        let long = format!("{version}+{commit}");
        run(&["package", chart.to_str().unwrap(), "--version", &long, "--destination", to]).unwrap();
        let package = folder.path().join(format!("databricks-operator-{long}.tgz"));
        let args = ["template", "dbx", package.to_str().unwrap(), "--set", "crds.enabled=false"];
        let rendered = objects(&run(&args).unwrap());
        let label = one(&rendered, "Deployment")["metadata"]["labels"]["helm.sh/chart"].as_str().unwrap();
        assert!(label.len() <= 63 && label.starts_with("databricks-operator-"), "{label}");
        assert!(label.ends_with(|last: char| last.is_ascii_alphanumeric()), "{label}");
    }
}
