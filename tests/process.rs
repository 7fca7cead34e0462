//! The built program as whoever installs it meets it: what is wrong is one line on standard error and a non-zero exit.
//!
//! Most needs no cluster. What does is one story of an installation, on a control plane of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use world::{Cluster, ControlPlane, Operator, eventually, fast, fresh_dir};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");

/// How a run ended.
struct End {
    code: Option<i32>,
    /// Standard error, by line.
    lines: Vec<String>,
}

/// Kills what should have ended by itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs the program with these arguments and this KUBECONFIG, in an environment without any other cluster.
async fn run(kubeconfig: Option<&Path>, args: &[&str]) -> End {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR").to_owned() + "/no-home");
    command.env("METRICS_ADDRESS", "127.0.0.1:0");
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let ended = eventually(format!("`{}` ends", args.join(" ")), Duration::from_secs(120), async || {
        running.0.try_wait().map_err(|e| e.to_string())?.ok_or_else(|| "it runs".to_owned())
    });
    let status = ended.await.unwrap();
    let mut text = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    End { code: status.code(), lines: text.lines().map(str::to_owned).collect() }
}

impl End {
    /// It failed, and its only line has all of this.
    fn assert_fails_saying(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(1), "{:?}", self.lines);
        let [line] = self.lines.as_slice() else { panic!("not one line: {:?}", self.lines) };
        assert!(line.starts_with("databricks-operator: "), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
    }
}

/// A directory for one test.
fn dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("process-{name}"));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A kubeconfig file for a server.
fn kubeconfig(path: PathBuf, server: &str, ca: Option<&Path>, token: &str) -> PathBuf {
    let ca = ca.map(|ca| format!(", certificate-authority: {ca:?}")).unwrap_or_default();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\ncontexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n\
         users: [{{name: it, user: {{token: {token:?}}}}}]\nclusters: [{{name: it, cluster: {{server: {server:?}{ca}}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

const ANYWHERE: &str = "--health-address=127.0.0.1:0";

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let end = run(None, &["run", &format!("--health-address={address}")]).await;
    end.assert_fails_saying(&[&address, "in use", "--health-address"]);
    let end = run(None, &["run", ANYWHERE, &format!("--metrics-address={address}")]).await;
    end.assert_fails_saying(&[&address, "in use", "--metrics-address"]);
}

#[tokio::test]
async fn a_missing_cluster_is_reported() {
    let end = run(None, &["run", ANYWHERE]).await;
    end.assert_fails_saying(&["no cluster", "KUBECONFIG"]);
    let end = run(Some(Path::new("/no/such/kubeconfig")), &["run", ANYWHERE]).await;
    end.assert_fails_saying(&["/no/such/kubeconfig", "KUBECONFIG"]);
    let garbage = dir("garbage").join("kubeconfig");
    std::fs::write(&garbage, "{ this is: [no kubeconfig").unwrap();
    let end = run(Some(&garbage), &["run", ANYWHERE]).await;
    end.assert_fails_saying(&["KUBECONFIG"]);
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_named() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = format!("https://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let path = kubeconfig(dir("unreachable").join("kubeconfig"), &server, None, "token");
    let end = run(Some(&path), &["run", ANYWHERE]).await;
    end.assert_fails_saying(&["the API server cannot be used", "refused"]);
}

#[tokio::test]
async fn flags_that_cannot_be_meant_are_refused_before_anything_is_done() {
    for (flags, says) in [
        (&["--backoff-min=10m"][..], "--backoff-min is longer than --backoff-max"),
        (&["--poll-min=2m"], "--poll-min is longer than --poll-max"),
        (&["--burst=0"], "--burst must be greater than zero"),
        (&["--requests-per-second=NaN"], "--requests-per-second"),
        (&["--installation="], "--installation must be"),
        (&["--otlp-endpoint=collector:4318"], "--otlp-endpoint cannot be used"),
        (&["--otlp-endpoint=http://collector/?key=hunter2"], "it has a query; write it like http://"),
        (&["--otlp-endpoint=http://u:hunter2@collector"], "it has a user or a password in it; write it like"),
        (&["--lease-duration=20s"], "at least twice --lease-renew-interval (5s) plus --write-timeout (10s)"),
        (&["--lease-duration=30500ms"], "--lease-duration must be whole seconds"),
        (&["--metrics-auth"], "--metrics-auth needs --metrics-tls-cert and --metrics-tls-key"),
        (&["--metrics-tls-cert=/no/such/file"], "--metrics-tls-cert and --metrics-tls-key belong together"),
        (
            &["--metrics-tls-cert=/no/such/file", "--metrics-tls-key=/no/such/file"],
            "--metrics-tls-cert /no/such/file cannot be read",
        ),
        (&["--metrics-tls-cert=/dev/null", "--metrics-tls-key=/dev/null"], "it holds no certificate in PEM"),
        (&["--lease-name=Foo_Bar"], "--lease-name \"Foo_Bar\" is no name"),
        (&["--lease-name=a..b"], "--lease-name"),
        (&["--lease-name="], "--lease-name"),
        (&["--lease-namespace="], "--lease-namespace"),
        (&["--namespaces="], "--namespaces has \"\""),
        (&["--namespaces=team-a,"], "--namespaces has \"\""),
        (&["--namespaces=team-a,team.b"], "--namespaces has \"team.b\""),
        (&["--google-identity-namespaces=team-a,team.b"], "--google-identity-namespaces has \"team.b\""),
        (&["--namespaces=team-a,team-b,team-a"], "--namespaces has team-a more than once"),
        (&["--no-proxy=.svc"], "--no-proxy is given without --https-proxy"),
    ] {
        let end = run(None, &[&["run", ANYWHERE], flags].concat()).await;
        end.assert_fails_saying(&[says]);
        assert!(!end.lines[0].contains("hunter2"), "{:?}", end.lines);
    }
    let unread =
        ["--resync-interval=soon", "--resync-interval=0s", "--request-timeout=0s", "--write-timeout=0m"];
    let more = ["--health-address=8081", "--metrics-address=8080", "--no-such-flag"];
    for flags in unread.into_iter().chain(more) {
        let flags = &[flags];
        let end = run(None, &[&["run"], &flags[..]].concat()).await;
        let name = flags[0].split('=').next().unwrap();
        assert_eq!(end.code, Some(2), "{:?}", end.lines);
        assert!(end.lines[0].starts_with("error: ") && end.lines[0].contains(name), "{:?}", end.lines);
    }
}

/// Here a pipe that nobody writes to stands for a file that cannot be read to its end, such as on a server that is gone.
#[tokio::test]
async fn a_certificate_that_cannot_be_read_to_its_end_is_named() {
    let pipe = dir("endless").join("tls.crt");
    std::fs::remove_file(&pipe).ok();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let cert = format!("--metrics-tls-cert={}", pipe.display());
    let end = run(None, &["run", ANYWHERE, &cert, "--metrics-tls-key=/dev/null"]).await;
    end.assert_fails_saying(&["--metrics-tls-cert", "not read to the end within 5s"]);
}

/// An installation step by step: without the CRDs, without rights, and then in good order until SIGTERM.
#[tokio::test]
async fn an_installation_that_lacks_something_says_what() {
    let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "process-cluster-").unwrap();
    let started = dir.clone();
    let control_plane =
        tokio::task::spawn_blocking(move || ControlPlane::start(&started).unwrap()).await.unwrap();
    let cluster = Cluster { control_plane, dir: dir.clone() };

    let end = run(Some(cluster.kubeconfig()), &["run", ANYWHERE]).await;
    end.assert_fails_saying(&[
        "databricksauths.databricks-operator.io is not installed",
        "kubectl apply -f crds/",
    ]);

    let crds = dir.join("crds");
    let end = run(None, &["crds", "--out", crds.to_str().unwrap()]).await;
    assert_eq!((end.code, end.lines.len()), (Some(0), 0), "{:?}", end.lines);
    let crds = crds.to_str().unwrap();
    cluster.kubectl(&["apply", "--server-side", "-f", crds], "").await.unwrap();
    let established = ["wait", "--for=condition=Established", "--timeout=3m", "-f", crds];
    cluster.kubectl(&established, "").await.unwrap();

    cluster.kubectl(&["create", "serviceaccount", "nobody", "--namespace=default"], "").await.unwrap();
    let token = cluster.kubectl(&["create", "token", "nobody", "--namespace=default"], "").await.unwrap();
    let (server, ca) = (cluster.control_plane.url(), cluster.control_plane.ca());
    let nobody = kubeconfig(dir.join("nobody"), server, Some(ca), token.trim());
    let forbidden = ["may not list databricksauths", "system:serviceaccount:default:nobody", "grant it"];
    for scope in [&[][..], &["--namespaces=default"]] {
        let end = run(Some(&nobody), &[&["run", ANYWHERE], scope].concat()).await;
        end.assert_fails_saying(&forbidden);
    }

    // It may list in one of its namespaces only, and do nothing else there.
    let place = json!({"name": "some", "namespace": "default"});
    let rule = json!({"apiGroups": ["databricks-operator.io"], "resources": ["*"], "verbs": ["list"]});
    let api = "rbac.authorization.k8s.io/v1";
    let some = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": api, "kind": "Role", "metadata": place, "rules": [rule]},
        {"apiVersion": api, "kind": "RoleBinding", "metadata": place,
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"},
         "subjects": [{"kind": "ServiceAccount", "name": "nobody", "namespace": "default"}]},
    ]});
    cluster.kubectl(&["apply", "-f", "-"], &some.to_string()).await.unwrap();
    let end = run(Some(&nobody), &["run", ANYWHERE, "--namespaces=default"]).await;
    end.assert_fails_saying(&[
        "may not watch",
        "patch workspaces/status",
        "in namespace default",
        "grant it",
    ]);
    let all = json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["*"]},
        {"op": "add", "path": "/rules/-", "value": {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["*"]}}]);
    let patch = all.to_string();
    cluster.kubectl(&["patch", "role", "some", "--type=json", "--patch", &patch], "").await.unwrap();
    let end = run(Some(&nobody), &["run", ANYWHERE, "--namespaces=default,team-b"]).await;
    end.assert_fails_saying(&["may not list databricksauths", "\"team-b\"", "grant it"]);

    // It cannot read what distinguishes its cluster from others, so the flag is required.
    let end = run(Some(&nobody), &["run", ANYWHERE, "--namespaces=default"]).await;
    end.assert_fails_saying(&["namespace kube-system", "cannot get resource", "--installation=NAME"]);
    let named = run(Some(&nobody), &["run", ANYWHERE, "--namespaces=default", "--installation=team-a"]).await;
    assert!(named.lines.last().unwrap().contains("the lease default/"), "{:?}", named.lines);

    let stranger = kubeconfig(dir.join("stranger"), server, Some(ca), "no-such-token");
    run(Some(&stranger), &["run", ANYWHERE]).await.assert_fails_saying(&["the API server cannot be used"]);
    let distrusting = kubeconfig(dir.join("distrusting"), server, None, token.trim());
    let end = run(Some(&distrusting), &["run", ANYWHERE]).await;
    end.assert_fails_saying(&["the API server cannot be used", "certificate"]);

    let nowhere = run(Some(cluster.kubeconfig()), &["run", ANYWHERE, "--lease-namespace=absent"]).await;
    let last = nowhere.lines.last().unwrap();
    assert_eq!(nowhere.code, Some(1), "{last}");
    for part in [
        "the lease absent/databricks-operator cannot be used",
        "\"absent\" not found",
        "--leader-elect=false",
    ] {
        assert!(last.contains(part), "{part:?} is not in: {last}");
    }

    for signal in ["TERM", "INT"] {
        let operator = Operator::start(Path::new(BINARY), &cluster, &fast(&[])).await.unwrap();
        let log = operator.log.clone();
        let status = if signal == "INT" {
            operator.signal("INT").unwrap();
            // A second request does no harm.
            operator.terminate().await.unwrap()
        } else {
            operator.terminate().await.unwrap()
        };
        let text = std::fs::read_to_string(log).unwrap();
        assert_eq!(status.code(), Some(0), "SIG{signal}: {text}");
        assert!(text.contains("ending; calls under way are finished first"), "SIG{signal}: {text}");
    }
}
