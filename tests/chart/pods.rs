//! The pod: its image, arguments, security, probes, place and everything that may be added.

use std::collections::{BTreeMap, BTreeSet};

use databricks_operator::cli;
use databricks_operator::engine::run::SHUTDOWN;
use serde_json::{Value, json};

use crate::helm::{ALL, args, ci, ci_files, container, flag, in_step, of, one, pod, render, root};
use crate::values::entries;

/// Flags that no value is for, and why.
const WITHOUT_VALUE: &[(&str, &str)] = &[
    ("allow-insecure-loopback", "for demos and tests"),
    ("identity", "the pod's name, from the environment"),
    ("help", "no setting"),
];

/// What Pod Security `restricted` would refuse in a pod's spec.
fn refused_by_restricted(pod: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let mut must = |fine: bool, what: String| {
        if !fine {
            wrong.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        must(pod[field] != true, field.into());
    }
    let volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
    let plain = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in &volumes {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        must(kinds.iter().all(|kind| plain.contains(&kind.as_str())), format!("volume {volume}"));
    }
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    for container in lists.iter().flat_map(|list| pod[*list].as_array().into_iter().flatten()) {
        let (own, all, name) = (&container["securityContext"], &pod["securityContext"], &container["name"]);
        let either = |field: &str| if own[field].is_null() { &all[field] } else { &own[field] };
        must(own["privileged"] != true, format!("{name}: privileged"));
        must(own["allowPrivilegeEscalation"] == false, format!("{name}: allowPrivilegeEscalation"));
        must(*either("runAsNonRoot") == true, format!("{name}: runAsNonRoot"));
        must(*either("runAsUser") != 0, format!("{name}: runAsUser"));
        let profile = either("seccompProfile")["type"].as_str();
        must(matches!(profile, Some("RuntimeDefault" | "Localhost")), format!("{name}: seccompProfile"));
        let drop = own["capabilities"]["drop"].as_array();
        must(drop.is_some_and(|drop| drop.contains(&json!("ALL"))), format!("{name}: capabilities.drop"));
        let add = own["capabilities"]["add"].as_array();
        must(add.into_iter().flatten().all(|c| c == "NET_BIND_SERVICE"), format!("{name}: capabilities.add"));
        let ports = container["ports"].as_array();
        must(
            ports.into_iter().flatten().all(|port| port.get("hostPort").is_none()),
            format!("{name}: hostPort"),
        );
        let mount = own["procMount"].as_str();
        must(mount.is_none_or(|mount| mount == "Default"), format!("{name}: procMount"));
    }
    wrong
}

/// The specs of all pods of a render.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let templated = of(objects, "Deployment").into_iter().chain(of(objects, "Job"));
    let templated = templated.map(|object| &object["spec"]["template"]["spec"]);
    templated.chain(of(objects, "Pod").into_iter().map(|pod| &pod["spec"])).collect()
}

/// Covers H-07: no pod that the chart makes is refused by Pod Security `restricted`, but where the values ask for it.
#[test]
fn every_pod_passes_pod_security_restricted() {
    for (name, objects) in ALL.iter() {
        for pod in pods(objects) {
            let wrong = refused_by_restricted(pod);
            let asked: &[&str] = if name == "host" { &["hostNetwork"] } else { &[] };
            assert_eq!(wrong, asked, "{name}");
        }
    }
    assert_eq!(pods(ci("jobs")).len(), 3);
}

/// Covers H-07: the check of Pod Security finds each of the defaults missing.
#[test]
fn the_check_of_pod_security_finds_what_is_missing() {
    let good = pod(ci("default"));
    let without = |pointer: &str, value: Value| {
        let mut pod = good.clone();
        *pod.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        refused_by_restricted(&pod).len()
    };
    assert_eq!(without("/securityContext/runAsNonRoot", json!(false)), 1);
    assert_eq!(without("/securityContext/seccompProfile", Value::Null), 1);
    assert_eq!(without("/containers/0/securityContext/allowPrivilegeEscalation", Value::Null), 1);
    assert_eq!(without("/containers/0/securityContext/capabilities/drop", json!([])), 1);
    assert_eq!(without("/containers/0/ports/0", json!({"containerPort": 1, "hostPort": 1})), 1);
    let own = &good["containers"][0]["securityContext"];
    assert_eq!(own["readOnlyRootFilesystem"], true, "more than restricted asks for");
    assert_eq!(good["enableServiceLinks"], false);
    let user = |context: &Value| context.get("runAsUser").or(context.get("fsGroup")).is_some();
    assert!(!user(own) && !user(&good["securityContext"]), "OpenShift gives users of its own");
    assert_eq!(pod(ci("pod"))["hostUsers"], false);
    assert!(good.get("hostUsers").is_none());
}

/// Covers H-06: where the image comes from.
#[test]
fn the_image_is_put_together_from_its_parts() {
    let version = env!("CARGO_PKG_VERSION");
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = |name: &str| container(ci(name))["image"].as_str().unwrap().to_owned();
    assert_eq!(image("default"), format!("databricks-operator:{version}"));
    assert_eq!(
        image("offline"),
        format!("registry.example.com/databricks-operator@{digest}"),
        "a digest wins"
    );
    assert_eq!(image("pod"), "registry.example.com/team/databricks-operator:0.1.0-rc.1");
    assert_eq!(container(ci("pod"))["imagePullPolicy"], "Always");
    for name in ["offline", "pod"] {
        assert_eq!(pod(ci(name))["imagePullSecrets"], json!([{"name": "pull"}]), "{name}");
    }
    let own = render(&["--set", "global.imageRegistry=a.example.com,image.registry=b.example.com"]);
    assert_eq!(
        container(&own)["image"],
        format!("b.example.com/databricks-operator:{version}"),
        "one's own wins"
    );
}

/// Covers H-08: what the container may use.
#[test]
fn memory_is_limited_and_the_cpu_is_not() {
    let resources = &container(ci("default"))["resources"];
    assert_eq!(
        resources,
        &json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
    );
}

/// Covers H-09: all three probes, where the operator serves them.
#[test]
fn probes_ask_where_the_operator_answers() {
    for (name, port) in [("default", 8081), ("offline", 9081)] {
        let container = container(ci(name));
        let health = json!({"name": "health", "containerPort": port, "protocol": "TCP"});
        assert_eq!(container["ports"][0], health);
        assert!(flag(ci(name), "health-address").unwrap().ends_with(&format!(":{port}")));
        for (probe, path) in
            [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")]
        {
            assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}), "{name}");
            assert!(container[probe]["failureThreshold"].is_u64(), "{name}");
        }
    }
}

/// Covers H-10: two pods of which one is elected; one pod where there is no election.
#[test]
fn replicas_elect_a_leader() {
    let spec = &one(ci("ha"), "Deployment")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
    for (name, value) in [
        ("leader-elect", "true"),
        ("lease-duration", "1m"),
        ("lease-renew-interval", "10s"),
        ("write-timeout", "30s"),
    ] {
        assert_eq!(flag(ci("ha"), name), Some(value));
    }
    assert_eq!(flag(ci("default"), "lease-name"), Some("dbx-databricks-operator"));
    let variables: Vec<&str> = container(ci("default"))["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["POD_NAME", "POD_NAMESPACE"], "who it is, and where");

    let alone = &one(ci("unmanaged"), "Deployment")["spec"];
    assert_eq!((&alone["replicas"], &alone["strategy"]), (&json!(1), &json!({"type": "Recreate"})));
    assert_eq!(flag(ci("unmanaged"), "leader-elect"), Some("false"));
}

/// Covers H-11: a budget where there is more than one pod.
#[test]
fn a_disruption_budget_comes_with_the_second_pod() {
    assert!(of(ci("default"), "PodDisruptionBudget").is_empty());
    let budget = &one(ci("ha"), "PodDisruptionBudget")["spec"];
    assert_eq!(
        (&budget["minAvailable"], &budget["unhealthyPodEvictionPolicy"]),
        (&json!("50%"), &json!("AlwaysAllow"))
    );
    assert_eq!(budget["selector"], one(ci("ha"), "Deployment")["spec"]["selector"]);
    let budget = &one(ci("pod"), "PodDisruptionBudget")["spec"];
    assert_eq!(
        (&budget["maxUnavailable"], &budget["unhealthyPodEvictionPolicy"]),
        (&json!(2), &json!("IfHealthyBudget"))
    );
    let two = render(&["--set", "replicaCount=2"]);
    assert_eq!(one(&two, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    let none = render(&["--set", "replicaCount=2,podDisruptionBudget.enabled=false"]);
    assert!(of(&none, "PodDisruptionBudget").is_empty());
}

/// Covers H-12: where pods run, from the values or from `global`, with templates in them.
#[test]
fn pods_are_placed_as_the_values_say() {
    let pod = pod(ci("pod"));
    assert_eq!(pod["nodeSelector"], json!({"pool": "dbx"}));
    assert_eq!(pod["tolerations"], json!([{"key": "dedicated", "operator": "Exists"}]));
    let terms = &pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(terms[0]["labelSelector"]["matchLabels"], json!({"app.kubernetes.io/instance": "dbx"}));
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    let selector = one(ci("pod"), "Deployment")["spec"]["selector"].clone();
    assert_eq!(pod["topologySpreadConstraints"][0]["labelSelector"], selector);
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "topology.kubernetes.io/zone");

    let global = r#"{"nodeSelector":{"a":"b"},"tolerations":[{"operator":"Exists"}],"affinity":{"nodeAffinity":{}},"priorityClassName":"high"}"#;
    let shared = render(&["--set-json", &format!("global={global}")]);
    let pod = crate::helm::pod(&shared);
    assert_eq!(pod["nodeSelector"], json!({"a": "b"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(pod["priorityClassName"], "high");

    // All pods are in one cluster, with one registry: a Job that lacks a Secret or a toleration would never start.
    let jobs = ci_files()["jobs"].to_str().unwrap().to_owned();
    let global = r#"{"imagePullSecrets":[{"name":"pull"}],"nodeSelector":{"a":"b"},"tolerations":[{"operator":"Exists"}]}"#;
    let objects = render(&["--values", &jobs, "--set-json", &format!("global={global}")]);
    let all = pods(&objects);
    assert_eq!(all.len(), 3);
    for pod in all {
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]), "{pod}");
        assert_eq!(pod["nodeSelector"], json!({"a": "b"}), "{pod}");
        assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]), "{pod}");
    }
}

/// Covers H-22: what the chart does not know of can be added, with templates in it.
#[test]
fn anything_can_be_added() {
    let (objects, pod, container) = (ci("extras"), pod(ci("extras")), container(ci("extras")));
    assert_eq!(args(objects).last(), Some(&"--allow-insecure-loopback"));
    assert_eq!(
        container["env"].as_array().unwrap().last().unwrap(),
        &json!({"name": "RELEASE", "value": "dbx"})
    );
    assert_eq!(container["envFrom"], json!([{"configMapRef": {"name": "dbx-env"}}]));
    assert_eq!(container["volumeMounts"], json!([{"name": "more", "mountPath": "/more"}]));
    assert_eq!(pod["volumes"], json!([{"name": "more", "emptyDir": {}}]));
    assert_eq!(pod["initContainers"][0]["name"], "before");
    assert_eq!(pod["containers"][1]["name"], "beside");
    let names: Vec<&Value> = of(objects, "ConfigMap").into_iter().map(|o| &o["metadata"]["name"]).collect();
    assert_eq!(names, ["dbx-env", "dbx-text"]);
}

/// Covers H-23: labels, annotations and what else a Deployment has.
#[test]
fn labels_annotations_and_the_like_are_values() {
    for object in ci("pod") {
        assert_eq!(
            object["metadata"]["labels"]["team"], "data",
            "{} {}",
            object["kind"], object["metadata"]["name"]
        );
    }
    let deployment = one(ci("pod"), "Deployment");
    assert_eq!(deployment["metadata"]["annotations"], json!({"example.com/owner": "data"}));
    let (spec, template) = (&deployment["spec"], &deployment["spec"]["template"]);
    assert_eq!(spec["revisionHistoryLimit"], 1);
    assert_eq!(spec["strategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}));
    assert_eq!(template["metadata"]["labels"]["tier"], "infra");
    assert_eq!(template["metadata"]["annotations"]["example.com/checksum"], "1");
    let pod = &template["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    assert_eq!(
        (&pod["dnsPolicy"], &pod["dnsConfig"]),
        (&json!("None"), &json!({"nameservers": ["192.0.2.53"]}))
    );
    assert!(pod.get("hostNetwork").is_none(), "off unless asked for");
    assert_eq!(crate::helm::pod(ci("host"))["hostNetwork"], true);
}

/// Covers H-23: labels of users never take the place of those that find the pods.
#[test]
fn labels_that_select_stay_as_they_are() {
    let mine = render(&[
        "--set-json",
        r#"commonLabels={"app.kubernetes.io/name":"x"}"#,
        "--set-json",
        r#"podLabels={"app.kubernetes.io/instance":"y"}"#,
    ]);
    let spec = &one(&mine, "Deployment")["spec"];
    assert_eq!(spec["selector"], one(ci("default"), "Deployment")["spec"]["selector"]);
    for (key, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&spec["template"]["metadata"]["labels"][key], value);
    }
}

/// Covers H-23: a pod is not killed while the operator still finishes its calls.
#[test]
fn the_time_to_end_is_longer_than_the_operator_takes() {
    let entries = entries();
    let entry = entries.iter().find(|entry| entry.path == "terminationGracePeriodSeconds").unwrap();
    let seconds = |value: &Value| value.as_u64().unwrap();
    let schema: Value = serde_json::from_str(&crate::helm::chart_file("values.schema.json")).unwrap();
    let least = seconds(&schema["properties"][&entry.path]["minimum"]);
    assert!(least > SHUTDOWN.as_secs(), "{least} seconds, and the operator may take {SHUTDOWN:?}");
    assert!(seconds(&pod(ci("default"))["terminationGracePeriodSeconds"]) >= least);
}

/// Covers H-25: roots from a ConfigMap or a Secret, and the proxy, get to the operator.
#[test]
fn proxy_and_roots_reach_the_operator() {
    for (name, source) in [
        (
            "offline",
            json!({"configMap": {"name": "roots", "items": [{"key": "bundle.pem", "path": "ca.crt"}]}}),
        ),
        (
            "proxyless",
            json!({"secret": {"secretName": "roots", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        ),
    ] {
        let mut volume = source;
        volume["name"] = json!("ca-bundle");
        assert_eq!(pod(ci(name))["volumes"], json!([volume]));
        let mount =
            json!({"name": "ca-bundle", "mountPath": "/etc/databricks-operator/ca", "readOnly": true});
        assert_eq!(container(ci(name))["volumeMounts"], json!([mount]));
        assert_eq!(flag(ci(name), "ca-bundle"), Some("/etc/databricks-operator/ca/ca.crt"));
    }
    assert_eq!(flag(ci("offline"), "https-proxy"), Some("http://proxy.example.com:3128"));
    assert_eq!(flag(ci("offline"), "no-proxy"), Some("10.0.0.0/8,.cluster.local"));
    for name in ["ca-bundle", "https-proxy", "no-proxy", "namespaces", "selector"] {
        assert_eq!(flag(ci("default"), name), None, "{name}");
    }
}

/// The name of the flag that a value is for: `resyncInterval` is `--resync-interval`.
fn flag_of(key: &str) -> String {
    let letter = |c: char| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.to_string() };
    key.chars().map(letter).collect()
}

/// Something other than the default, in the same form.
fn other(key: &str, default: &Value) -> Value {
    match default {
        Value::Bool(value) => json!(!value),
        Value::Number(value) => json!(value.as_u64().unwrap() + 1),
        Value::Array(_) if key.ends_with("Namespaces") => json!(["other"]),
        Value::Array(_) => json!([".example.com"]),
        Value::String(value) => json!(match value.as_str() {
            "json" => "text".to_owned(),
            "0.0.0.0:8081" => "127.0.0.1:9000".to_owned(),
            "" if key == "otlpEndpoint" => "http://other:4318".to_owned(),
            "" => "other".to_owned(),
            text if text.starts_with(|c: char| c.is_ascii_digit()) => format!("{text}1ms"),
            text => format!("{text},debug"),
        }),
        Value::Null | Value::Object(_) => panic!("{default} is no flag"),
    }
}

/// Covers H-26: every operational value is one flag of the operator, and arrives there as it was written.
#[test]
fn every_operational_value_arrives_as_its_flag() {
    let entries = entries();
    let settings: BTreeMap<&str, Value> = entries
        .iter()
        .filter_map(|entry| {
            let key = entry.path.strip_prefix("operator.")?;
            Some((key, other(key, &entry.default)))
        })
        .collect();
    assert!(settings.len() > 20, "{settings:?}");
    let objects = render(&["--set-json", &format!("operator={}", json!(settings))]);
    for (key, value) in settings {
        let written = match &value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items[0].as_str().unwrap().to_owned(),
            other => other.to_string(),
        };
        assert_eq!(flag(&objects, &flag_of(key)), Some(written.as_str()), "operator.{key}");
    }
    let large = render(&["--set-json", r#"operator={"burst":100000,"requestsPerSecond":0.5}"#]);
    assert_eq!((flag(&large, "burst"), flag(&large, "requests-per-second")), (Some("100000"), Some("0.5")));
}

/// Covers H-26: the operator takes every argument that any render has, and every flag of it has a value.
#[test]
fn the_operator_understands_what_the_chart_passes() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    let known: BTreeSet<&str> = run.get_arguments().filter_map(|arg| arg.get_long()).collect();

    let mut passed = BTreeSet::new();
    for (name, objects) in ALL.iter() {
        let arguments: Vec<&str> = args(objects);
        passed.extend(
            arguments.iter().filter_map(|arg| Some(arg.strip_prefix("--")?.split('=').next()?.to_owned())),
        );
        let line = ["databricks-operator"].into_iter().chain(arguments.iter().copied());
        if let Err(error) = cli::command().try_get_matches_from(line) {
            panic!("{name}: {error}");
        }
    }
    let excused = |flag: &&&str| WITHOUT_VALUE.iter().any(|(name, _)| *name == **flag);
    let unreachable: Vec<&&str> =
        known.iter().filter(|flag| !passed.contains(**flag)).filter(|flag| !excused(flag)).collect();
    assert!(unreachable.is_empty(), "no value is for these flags: {unreachable:?}");
}

/// Covers H-26: a default of the chart is the operator's own.
#[test]
fn defaults_are_those_of_the_operator() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    for argument in run.get_arguments() {
        let (Some(name), Some(default)) = (argument.get_long(), argument.get_default_values().first()) else {
            continue;
        };
        // A switch has the default `false`, and `--lease-name` is that of the release.
        let excused = name == "lease-name" || WITHOUT_VALUE.iter().any(|(other, _)| *other == name);
        if !excused && default != "false" {
            assert_eq!(flag(ci("default"), name), default.to_str(), "--{name}");
        }
    }
}

/// Covers H-24: settings are arguments of the pod, so a changed one rolls it, and one that does not change does not.
#[test]
fn a_changed_setting_rolls_the_pods() {
    let template = |objects: &[Value]| one(objects, "Deployment")["spec"]["template"].clone();
    let before = template(ci("default"));
    assert_ne!(template(&render(&["--set", "operator.resyncInterval=11m"])), before);
    assert_eq!(template(&render(&["--set", "podDisruptionBudget.minAvailable=1,crds.keep=false"])), before);
}

/// Covers H-30: the Deployment of each combination, to be looked at when it changes. The rest has checks of its own.
#[test]
fn deployments_are_the_reviewed_ones() {
    let folder = root().join("tests/chart/renders");
    for (name, objects) in ALL.iter() {
        let yaml = serde_saphyr::to_string(one(objects, "Deployment")).unwrap();
        in_step(&folder.join(format!("{name}.yaml")), &yaml);
    }
    let kept: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(kept, ci_files().into_keys().collect(), "a render without its file in ci/");
}
