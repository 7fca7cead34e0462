//! The tools do their work, against a real control plane where they need one. The first run on a machine builds them,
//! which takes minutes.

#![allow(
    clippy::unwrap_used,
    reason = "a test file, but the lint's exception for tests leaves out functions beside them"
)]

use std::{fs, path::Path, process::Command};

use controlplane::{ControlPlane, Tool};

/// What it prints to standard output, or else to standard error, or both where it fails.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if output.status.success() { Ok(out) } else { Err(out + &err) }
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn helm_installs_a_chart_and_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let chart = dir.path().join("greeting");
    write(
        &chart,
        &[
            (
                "Chart.yaml",
                "apiVersion: v2\nname: greeting\nversion: 1.2.3\nicon: https://example.org/icon.png\n",
            ),
            ("values.yaml", "text: hello\n"),
            (
                "templates/greeting.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n\
                 data:\n  text: {{ .Values.text }}\n  helm: {{ .Capabilities.HelmVersion.Version }}\n",
            ),
        ],
    );
    let control_plane = ControlPlane::start(&dir.path().join("run")).unwrap();
    let kubectl = |args: &[&str]| run(control_plane.kubectl().args(args));
    let program = Tool::Helm.locate().unwrap();
    let helm = |args: &[&str]| {
        let mut command = Command::new(&program);
        run(command.args(args).env("HOME", dir.path()).env("KUBECONFIG", control_plane.kubeconfig()))
    };
    let chart = chart.to_str().unwrap();
    helm(&["lint", "--strict", chart]).unwrap();
    helm(&["install", "first", chart, "--set=text=hi"]).unwrap();
    let data = kubectl(&["get", "configmap", "first", "-o", "jsonpath={.data.text} {.data.helm}"]).unwrap();
    assert_eq!(data, "hi v4.3.1");
    helm(&["uninstall", "first", "--wait"]).unwrap();
    assert!(kubectl(&["get", "configmap", "first"]).unwrap_err().contains("not found"));
}

#[test]
fn kubeconform_tells_a_good_manifest_from_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("greeting.json", r#"{"properties": {"text": {"type": "string"}}, "required": ["text"]}"#),
            ("good.yaml", "apiVersion: example.org/v1\nkind: Greeting\nmetadata: {name: a}\ntext: hello\n"),
            ("bad.yaml", "apiVersion: example.org/v1\nkind: Greeting\nmetadata: {name: a}\ntext: 7\n"),
        ],
    );
    let program = Tool::Kubeconform.locate().unwrap();
    let kubeconform = |args: &[&str]| run(Command::new(&program).args(args).current_dir(dir.path()));
    assert_eq!(kubeconform(&["-v"]).unwrap().trim(), "v0.8.0");
    let check =
        |file| kubeconform(&["-strict", "-summary", "-schema-location", "{{.ResourceKind}}.json", file]);
    assert!(check("good.yaml").unwrap().contains("Valid: 1"));
    assert!(check("bad.yaml").unwrap_err().contains("Greeting a is invalid"));
}

#[test]
fn promtool_tells_an_alert_that_fires_from_one_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "groups: [{name: a, rules: [{alert: Down, expr: up == 0, for: 2m}]}]\n";
    let story = |fires: &str| {
        format!(
            "rule_files: [rules.yaml]\ntests: [{{interval: 1m, input_series: [{{series: up, values: 0x9}}], alert_rule_test: \
             [{{alertname: Down, eval_time: 5m, exp_alerts: [{fires}]}}]}}]\n"
        )
    };
    write(dir.path(), &[("rules.yaml", rules), ("fires.yaml", &story("{}")), ("silent.yaml", &story(""))]);
    let program = Tool::Promtool.locate().unwrap();
    let promtool = |args: &[&str]| run(Command::new(&program).args(args).current_dir(dir.path()));
    assert!(promtool(&["--version"]).unwrap().contains("version 0.314.0"));
    assert!(promtool(&["test", "rules", "fires.yaml"]).unwrap().contains("SUCCESS"));
    assert!(promtool(&["test", "rules", "silent.yaml"]).unwrap_err().contains("FAILED"));
}
