//! A control plane from start to end, also its unplanned ends. The first run on a machine builds the programs, which takes
//! minutes.

#![allow(
    clippy::unwrap_used,
    reason = "a test file, but the lint's exception for tests leaves out functions beside them"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use controlplane::{Binaries, ControlPlane, Release};

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: default}\n";

/// Runs a shell line, in which `kubectl` is the one of the control plane.
fn sh(control_plane: &ControlPlane, line: &str) -> Result<String, String> {
    let kubectl = control_plane.kubectl();
    let mut shell = Command::new("sh");
    for (name, value) in kubectl.get_envs() {
        shell.env(name, value.unwrap());
    }
    let function = "kubectl() { \"$0\" \"$@\"; }";
    let output =
        shell.args(["-c", &format!("{function}\n{line}")]).arg(kubectl.get_program()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn answers(url: &str) -> bool {
    TcpStream::connect(url.trim_start_matches("https://")).is_ok()
}

/// The numbers of the processes that were started in a run directory and still exist.
fn running(dir: &Path) -> Vec<String> {
    let pids = ["etcd", "kube-apiserver", "kube-controller-manager"]
        .map(|program| fs::read_to_string(dir.join(format!("{program}.pid"))).unwrap_or_default());
    let alive = |pid: &String| {
        Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
    };
    pids.iter().map(|pid| pid.trim().to_owned()).filter(|pid| !pid.is_empty()).filter(alive).collect()
}

/// Another process that holds a control plane.
fn holder(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_controlplane"));
    command.arg("hold").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn url_of(holder: &mut Child) -> String {
    let mut url = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "no control plane: {url}");
    url.trim().to_owned()
}

/// A directory of programs in which `etcd` is this script and nothing else is there.
fn assets_with_etcd(dir: &Path, script: &str) {
    // Written by a child, because a file that any thread has open for writing cannot be executed.
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod +x \"$0\"";
    assert!(
        Command::new("sh").args(["-c", write]).arg(dir.join("etcd")).arg(script).status().unwrap().success()
    );
}

/// ServiceAccount tokens are issued, the aggregated role is filled, RBAC is enforced, the audit log has every decision.
fn accounts_may_do_what_they_are_given(control_plane: &ControlPlane) {
    let sh = |line: &str| sh(control_plane, line);
    let unknown = control_plane.kubeconfig_for("team", "nobody").unwrap_err().to_string();
    assert!(
        unknown.contains("nobody") && unknown.contains("team") && unknown.contains("not found"),
        "{unknown}"
    );
    let kubeconfig = control_plane.kubeconfig_for("team", "default").unwrap();
    assert_eq!(fs::metadata(&kubeconfig).unwrap().permissions().mode() & 0o777, 0o600);

    let as_account = format!("kubectl --kubeconfig {} get configmaps", kubeconfig.display());
    let refused = sh(&as_account).unwrap_err();
    for part in ["system:serviceaccount:team:default", "forbidden", "namespace \"team\""] {
        assert!(refused.contains(part), "{part} is not in: {refused}");
    }
    sh("kubectl -n team create rolebinding view --clusterrole view --serviceaccount team:default").unwrap();
    wait_until("the role binding counts", || sh(&as_account).is_ok());
    let audited = |decision: &str| {
        let log = fs::read_to_string(control_plane.audit_log()).unwrap();
        let decision = format!("\"authorization.k8s.io/decision\":\"{decision}\"");
        let parts =
            ["\"level\":\"Metadata\"", "\"system:serviceaccount:team:default\"", "configmaps", &decision];
        log.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    wait_until("the refusal is in the audit log", || audited("forbid"));
    wait_until("the answer is in the audit log", || audited("allow"));
}

fn behaves_like_a_cluster(release: Release, version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start_release(dir.path(), release).unwrap();
    let sh = |line: &str| sh(&control_plane, line);

    // A version that clients cannot parse would show as an error here.
    let versions = sh("kubectl version").unwrap();
    assert!(versions.contains(&format!("Server Version: v{version}.")), "{versions}");
    sh("kubectl create namespace team && kubectl -n team create configmap settings --from-literal=a=b")
        .unwrap();
    wait_until("the namespace has its account", || sh("kubectl -n team get serviceaccount default").is_ok());
    accounts_may_do_what_they_are_given(&control_plane);

    // What an owner leaves behind is collected, and namespaces are finalised: both take a controller.
    sh("kubectl -n team create configmap owned && uid=$(kubectl -n team get configmap settings -o \
        'jsonpath={.metadata.uid}') && kubectl -n team patch configmap owned -p '{\"metadata\": {\"ownerReferences\": \
        [{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"name\": \"settings\", \"uid\": \"'$uid'\"}]}}' && \
        kubectl -n team delete configmap settings && kubectl -n team wait --for=delete configmap/owned --timeout=5m")
    .unwrap();
    sh("kubectl delete namespace team --timeout=5m").unwrap();

    let url = control_plane.url().to_owned();
    assert!(answers(&url) && running(dir.path()).len() == 3);
    control_plane.stop().unwrap();
    assert!(!answers(&url));
    assert_eq!(running(dir.path()), Vec::<String>::new());
}

#[test]
fn the_newest_control_plane_behaves_like_a_cluster_and_stops_without_a_trace() {
    behaves_like_a_cluster(Release::Newest, "1.36");
}

/// With it, that the newest controllers do their work on the oldest API server.
#[test]
fn the_oldest_control_plane_behaves_like_a_cluster_and_stops_without_a_trace() {
    behaves_like_a_cluster(Release::Oldest, "1.30");
}

#[test]
fn the_api_server_can_be_restarted_and_the_past_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut control_plane = ControlPlane::start(dir.path()).unwrap();
    let version = sh(
        &control_plane,
        "kubectl create configmap kept --from-literal=a=old -o 'jsonpath={.metadata.resourceVersion}' && \
         kubectl patch configmap kept -p '{\"data\": {\"a\": \"new\"}}' >/dev/null",
    )
    .unwrap();
    let path = format!("/api/v1/namespaces/default/configmaps?resourceVersion={version}");
    let past = format!("kubectl get --raw '{path}&resourceVersionMatch=Exact'");
    let changes = |seconds| format!("kubectl get --raw '{path}&watch=1&timeoutSeconds={seconds}'");
    wait_until("the change is seen", || sh(&control_plane, &changes(1)).unwrap().contains("new"));
    let account = control_plane.kubeconfig_for("default", "default").unwrap();
    let (url, before) = (control_plane.url().to_owned(), running(dir.path()));

    control_plane.restart_api_server().unwrap();
    let now = running(dir.path());
    assert!(now[0] == before[0] && now[1] != before[1] && now[2] == before[2], "{before:?} {now:?}");
    assert_eq!(control_plane.url(), url);
    let whoami = format!("kubectl --kubeconfig {} auth whoami", account.display());
    assert!(sh(&control_plane, &whoami).unwrap().contains("system:serviceaccount:default:default"));
    assert!(sh(&control_plane, &past).unwrap().contains("old"));
    // The refusal ends the watch.
    let missed = sh(&control_plane, &changes(30)).unwrap();
    assert!(missed.contains("too old resource version") && missed.contains("410"), "{missed}");

    control_plane.compact().unwrap();
    control_plane.compact().unwrap();
    let forgotten = sh(&control_plane, &past).unwrap_err();
    assert!(forgotten.contains("Expired"), "{forgotten}");
    // The controllers have found back, too.
    sh(&control_plane, "kubectl create namespace team && kubectl delete namespace team --timeout=5m")
        .unwrap();
    control_plane.stop().unwrap();
}

#[test]
fn an_api_server_that_does_not_come_back_is_shown_with_its_log_and_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut control_plane = ControlPlane::start(dir.path()).unwrap();
    let policy = dir.path().join("audit-policy.yaml");
    let good = fs::read(&policy).unwrap();
    fs::write(&policy, "kind: Nonsense").unwrap();
    let message = control_plane.restart_api_server().unwrap_err().to_string();
    assert!(
        message.contains("kube-apiserver ended at start") && message.contains("audit policy"),
        "{message}"
    );
    fs::write(&policy, good).unwrap();
    control_plane.restart_api_server().unwrap();
    sh(&control_plane, "kubectl get namespaces").unwrap();
}

#[test]
fn killing_the_holder_stops_everything_and_the_next_run_finds_the_objects() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = holder(dir.path()).spawn().unwrap();
    let url = url_of(&mut holder);
    fs::write(dir.path().join("kept.yaml"), CONFIG_MAP).unwrap();
    let mut kubectl = Command::new(Binaries::locate(Release::Newest).unwrap().kubectl);
    let apply = kubectl.arg("--kubeconfig").arg(dir.path().join("kubeconfig")).arg("apply").arg("-f");
    assert!(apply.arg(dir.path().join("kept.yaml")).stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(running(dir.path()).len(), 3);

    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("all programs have ended", || running(dir.path()).is_empty() && !answers(&url));

    let control_plane = ControlPlane::start(dir.path()).unwrap();
    assert_ne!(control_plane.url(), "");
    sh(&control_plane, "kubectl get configmap kept").unwrap();
}

#[test]
fn a_program_that_dies_at_start_is_shown_with_its_log_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assets_with_etcd(dir.path(), "echo the disk is on fire >&2; exit 3");
    let run = dir.path().join("run");
    let output = holder(&run).env("KUBEBUILDER_ASSETS", dir.path()).stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(message.contains("etcd ended at start") && message.contains("the disk is on fire"), "{message}");
    assert_eq!(running(&run), Vec::<String>::new());
}

#[test]
fn a_port_that_was_taken_meanwhile_is_replaced_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Binaries::locate(Release::Newest).unwrap().etcd;
    let first = dir.path().join("first-time");
    assets_with_etcd(
        dir.path(),
        &format!(
            "mkdir {} && {{ echo bind: address already in use >&2; exit 1; }}\nexec {} \"$@\"",
            first.display(),
            etcd.display()
        ),
    );
    let run = dir.path().join("run");
    let mut holder = holder(&run).env("KUBEBUILDER_ASSETS", dir.path()).spawn().unwrap();
    assert!(answers(&url_of(&mut holder)));
    assert!(first.is_dir(), "the stand-in was not used");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(running(&run), Vec::<String>::new());
}
