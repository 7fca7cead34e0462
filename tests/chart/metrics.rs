//! The metrics endpoint: its port, who reaches it, TLS, and the rights that protecting it takes.

use serde_json::{Value, json};

use crate::helm::{ci, container, flag, of, one, pod, render};

/// Covers H-17: in plain on a port of its own where nothing is said, found by a Service that distinguishes the pods.
#[test]
fn metrics_have_a_port_and_a_service() {
    let objects = ci("default");
    let port = json!({"name": "metrics", "containerPort": 8080, "protocol": "TCP"});
    assert_eq!(container(objects)["ports"][1], port);
    assert_eq!(flag(objects, "metrics-address"), Some("0.0.0.0:8080"));
    for name in ["metrics-tls-cert", "metrics-tls-key", "metrics-auth"] {
        assert_eq!(flag(objects, name), None, "{name}");
    }
    let service = one(objects, "Service");
    assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/component"], "metrics");
    let spec = &service["spec"];
    assert_eq!((&spec["clusterIP"], &spec["publishNotReadyAddresses"]), (&json!("None"), &json!(true)));
    assert_eq!(spec["selector"], one(objects, "Deployment")["spec"]["selector"]["matchLabels"]);
    let port = json!({"name": "metrics", "port": 8080, "targetPort": "metrics", "protocol": "TCP"});
    assert_eq!(spec["ports"], json!([port]));
}

/// Covers H-17: over TLS with the certificate of a Secret, for whom the API server admits.
#[test]
fn metrics_can_be_protected() {
    let objects = ci("metrics");
    assert_eq!(flag(objects, "metrics-address"), Some("[::]:9443"), "at the addresses of health");
    assert_eq!(container(objects)["ports"][1]["containerPort"], 9443);
    assert_eq!(one(objects, "Service")["spec"]["ports"][0]["port"], 9443);
    assert_eq!(flag(objects, "metrics-auth"), Some("true"));
    let folder = "/etc/databricks-operator/metrics";
    let mount = json!({"name": "metrics-tls", "mountPath": folder, "readOnly": true});
    assert_eq!(container(objects)["volumeMounts"], json!([mount]));
    // Without items or a subPath, which would keep a renewed certificate from getting in.
    let volume = json!({"name": "metrics-tls", "secret": {"secretName": "metrics-cert"}});
    assert_eq!(pod(objects)["volumes"], json!([volume]));
    for (name, file) in [("metrics-tls-cert", "tls.crt"), ("metrics-tls-key", "tls.key")] {
        assert_eq!(flag(objects, name), Some(&*format!("{folder}/{file}")));
    }
}

/// Covers H-17: the rights to ask whose a token is come with the protection, and so does a role for what scrapes.
#[test]
fn rights_for_the_protection_come_only_with_it() {
    let rules = |objects: &[Value]| -> Vec<Value> {
        let roles = of(objects, "ClusterRole").into_iter();
        roles.flat_map(|role| role["rules"].as_array().unwrap().clone()).collect()
    };
    let reviews = [
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}),
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}),
    ];
    let read = json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]});
    for rule in reviews.iter().chain([&read]) {
        assert!(rules(ci("metrics")).contains(rule), "{rule}");
        assert!(!rules(ci("default")).contains(rule), "{rule}");
    }
    // The reader's is bound by whoever runs what scrapes, and to nobody else.
    let name = "dbx-databricks-operator.ops.metrics-reader";
    let roles = of(ci("metrics"), "ClusterRole");
    assert!(roles.iter().any(|role| role["metadata"]["name"] == name && role["rules"] == json!([read])));
    let bound = of(ci("metrics"), "ClusterRoleBinding");
    assert!(bound.iter().all(|binding| binding["roleRef"]["name"] != name));
}

/// Covers H-13, H-17: metrics may be reached by those who are named, on that port alone.
#[test]
fn the_network_policy_allows_the_scraper() {
    let ingress = |objects: &[Value]| one(objects, "NetworkPolicy")["spec"]["ingress"].clone();
    let port = |port: u16| json!([{"protocol": "TCP", "port": port}]);
    let from = |namespace: &str| json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]);
    assert_eq!(ingress(ci("default")), json!([{"from": from("monitoring"), "ports": port(8080)}]));
    let own = json!({"from": [{"podSelector": {}}]});
    assert_eq!(ingress(ci("metrics")), json!([{"from": from("observability"), "ports": port(9443)}, own]));
    for nobody in [r#"networkPolicy={"metricsFrom":[]}"#, r#"metrics={"enabled":false}"#] {
        assert_eq!(ingress(&render(&["--set-json", nobody])), json!([]), "{nobody}");
    }
}

/// Covers H-17: without metrics there is nothing of them.
#[test]
fn metrics_can_be_left_out() {
    let objects = ci("unmanaged");
    assert_eq!(flag(objects, "metrics-address"), Some("Off"));
    assert_eq!(container(objects)["ports"].as_array().unwrap().len(), 1);
    assert!(of(objects, "Service").is_empty());
}
