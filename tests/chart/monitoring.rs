//! What the chart gives to Prometheus and Grafana. That alerts and dashboard are right is shown in `tests/monitoring`.

use serde_json::{Value, json};

use crate::helm::{chart_file, ci, of, one, render, text};

const SERVICE_MONITOR: &str = "monitoring.coreos.com/v1/ServiceMonitor";

/// The alerts in rules of Prometheus.
fn alerts(groups: &Value) -> Vec<Value> {
    let groups = groups.as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Covers H-14: a ServiceMonitor finds the metrics Service of this release, with what the values say.
#[test]
fn a_service_monitor_finds_the_service() {
    let objects = ci("monitoring");
    let monitor = one(objects, "ServiceMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let service = one(objects, "Service");
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(!selector.is_empty());
    assert!(selector.iter().all(|(key, value)| &service["metadata"]["labels"][key] == value), "{selector:?}");
    assert_eq!(monitor["spec"]["namespaceSelector"], json!({"matchNames": ["ops"]}));
    let endpoint = json!({
        "port": service["spec"]["ports"][0]["name"], "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s",
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "pod"}],
    });
    assert_eq!(monitor["spec"]["endpoints"], json!([endpoint]));
    assert!(of(ci("default"), "ServiceMonitor").is_empty());
}

/// Covers H-14: a PodMonitor finds the pods, by the same values.
#[test]
fn a_pod_monitor_finds_the_pods() {
    let objects =
        render(&["--set", "metrics.podMonitor.enabled=true,metrics.podMonitor.renderMode=alwaysRender"]);
    let monitor = &one(&objects, "PodMonitor")["spec"];
    assert_eq!(monitor["selector"], one(&objects, "Deployment")["spec"]["selector"]);
    assert_eq!(monitor["podMetricsEndpoints"], json!([{"port": "metrics", "path": "/metrics"}]));
    assert!(of(&objects, "ServiceMonitor").is_empty());
}

/// Covers H-14: what the endpoint asks for, the monitors do: TLS with the authority of its Secret, and a token.
#[test]
fn a_protected_endpoint_is_scraped_as_it_asks() {
    let protected = "metrics.auth=true,metrics.tls.secretName=cert";
    let with = |monitor: &str, more: &str| {
        let on = format!(
            "{protected},metrics.{monitor}.enabled=true,metrics.{monitor}.renderMode=alwaysRender{more}"
        );
        render(&["--set", &on])
    };
    let objects = with("serviceMonitor", "");
    let endpoint = &one(&objects, "ServiceMonitor")["spec"]["endpoints"][0];
    assert_eq!(endpoint["scheme"], "https");
    let server = format!("{}.ops.svc", one(&objects, "Service")["metadata"]["name"].as_str().unwrap());
    let ca = json!({"secret": {"name": "cert", "key": "ca.crt"}});
    assert_eq!(endpoint["tlsConfig"], json!({"ca": ca, "serverName": server}));
    assert!(endpoint["bearerTokenFile"].as_str().unwrap().ends_with("/serviceaccount/token"));

    let own = ",metrics.podMonitor.authorization.credentials.name=token,metrics.podMonitor.tlsConfig.serverName=own";
    let objects = with("podMonitor", own);
    let endpoint = &one(&objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["tlsConfig"], json!({"serverName": "own"}));
    assert_eq!(endpoint["authorization"], json!({"credentials": {"name": "token"}}));
    assert!(endpoint.get("bearerTokenFile").is_none(), "a PodMonitor has no such field");
}

/// Covers H-14, H-15, H-16: where the cluster does not know a kind, it is left out, refused or rendered, as is said.
#[test]
fn kinds_of_others_are_rendered_as_the_cluster_knows_them() {
    for (value, kind, known) in [
        ("metrics.serviceMonitor", "ServiceMonitor", SERVICE_MONITOR),
        ("metrics.podMonitor", "PodMonitor", "monitoring.coreos.com/v1/PodMonitor"),
        ("metrics.prometheusRule", "PrometheusRule", "monitoring.coreos.com/v1/PrometheusRule"),
        (
            "metrics.dashboard.grafanaDashboard",
            "GrafanaDashboard",
            "grafana.integreatly.org/v1beta1/GrafanaDashboard",
        ),
    ] {
        let on = |mode: &str| format!("{value}.enabled=true,metrics.dashboard.enabled=true{mode}");
        let mode = |name: &str| on(&format!(",{value}.renderMode={name}"));
        let message = text(&["--set", &on("")]).unwrap_err();
        assert!(message.contains(known) && message.contains(&format!("{value}.renderMode")), "{message}");
        assert_eq!(of(&render(&["--set", &on(""), "--api-versions", known]), kind).len(), 1, "{kind}");
        assert_eq!(of(&render(&["--set", &mode("skipIfMissing")]), kind).len(), 0, "{kind}");
        let there = render(&["--set", &mode("skipIfMissing"), "--api-versions", known]);
        assert_eq!(of(&there, kind).len(), 1, "{kind}");
        assert_eq!(of(&render(&["--set", &mode("alwaysRender")]), kind).len(), 1, "{kind}");
    }
}

/// Covers H-15: the rule has the alerts of the file, with what the values add and without what they leave out.
#[test]
fn the_alerts_are_those_of_the_file() {
    let rule = one(ci("monitoring"), "PrometheusRule");
    assert_eq!(rule["metadata"]["namespace"], "monitoring");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(rule["metadata"]["name"], "dbx-databricks-operator.ops", "the namespace is one for many");
    let file: Value = serde_saphyr::from_str(&chart_file("files/alerts.yaml")).unwrap();
    let mut expected = alerts(&file["groups"]);
    expected.retain(|alert| alert["alert"] != "DatabricksOperatorDriftRemains");
    for alert in &mut expected {
        alert["labels"]["team"] = json!("data");
        let page = alert["annotations"]["runbook_url"].as_str().unwrap();
        alert["annotations"]["runbook_url"] =
            json!(format!("https://git.example.com/databricks-operator/blob/main/{page}"));
    }
    assert_eq!(alerts(&rule["spec"]["groups"]), expected);
    let plain = render(&[
        "--set",
        "metrics.prometheusRule.enabled=true,metrics.prometheusRule.renderMode=alwaysRender",
    ]);
    // Nobody knows where the runbooks can be read.
    let mut expected = alerts(&file["groups"]);
    for alert in &mut expected {
        alert["annotations"].as_object_mut().unwrap().remove("runbook_url").unwrap();
    }
    assert_eq!(alerts(&one(&plain, "PrometheusRule")["spec"]["groups"]), expected);
}

/// Covers H-16: a ConfigMap for the side-car with the dashboard to the letter, and a GrafanaDashboard that names it.
#[test]
fn the_dashboard_is_that_of_the_file() {
    let map = one(ci("monitoring"), "ConfigMap");
    assert_eq!(map["metadata"]["namespace"], "monitoring");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["metadata"]["annotations"], json!({"grafana_folder": "Databricks"}));
    assert_eq!(map["data"]["databricks-operator.json"], json!(chart_file("files/dashboard.json")));
    let board = one(ci("monitoring"), "GrafanaDashboard");
    let named = json!({"name": map["metadata"]["name"], "key": "databricks-operator.json"});
    assert_eq!(board["spec"]["configMapRef"], named);
    assert_eq!(board["metadata"]["namespace"], map["metadata"]["namespace"]);
    assert_eq!(board["spec"]["instanceSelector"], json!({"matchLabels": {"dashboards": "grafana"}}));
    assert!(of(ci("default"), "ConfigMap").is_empty());
}
