//! A real Argo CD on a real API server: its CRDs, its configuration as it ships, and its parts as processes.
//!
//! Of its parts those run that matter to an application: the repo server, the application controller, and the server that
//! people click in. Each signs in as a ServiceAccount with the rights that Argo CD's own manifests give the controller, so
//! the audit log tells Argo CD from everybody else.

use std::fs::{self, DirBuilder, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use world::{Cluster, Process, Tool, argo_cd_source, eventually};

/// How Argo CD is called in the audit log.
pub const USER: &str = "system:serviceaccount:argocd:argocd";

const START: Duration = Duration::from_secs(60);

/// A running Argo CD. It ends with this process.
pub struct ArgoCd {
    /// Where people reach it.
    server: String,
    dir: PathBuf,
    /// Held, as they end with it.
    _parts: Vec<Process>,
}

impl ArgoCd {
    /// Installs and starts it, and waits until all its parts serve. `config` is what a user applies to `argocd-cm`.
    pub async fn start(cluster: &Cluster, config: &Path) -> ArgoCd {
        let dir = cluster.dir.join("argocd");
        install(cluster, config).await;
        for folder in ["tls", "ssh", "gpg", "plugins", "gnupg", "home"] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(folder)).unwrap();
        }
        fs::write(dir.join("ssh/ssh_known_hosts"), "").unwrap();
        let kubeconfig = cluster.control_plane.kubeconfig_for("argocd", "argocd").unwrap();
        let [redis, repo, repo_metrics, controller_metrics, server, server_metrics] = free_ports();
        let (redis_address, repo_address) = (format!("127.0.0.1:{redis}"), format!("127.0.0.1:{repo}"));
        let mut redis_program = Command::new(Tool::Redis.locate().unwrap());
        redis_program.arg(&redis_address);
        let parts = [
            ("redis", redis, redis_program),
            (
                "repo-server",
                repo,
                part(
                    "repo-server",
                    &dir,
                    &kubeconfig,
                    &[
                        &[
                            "--address=127.0.0.1",
                            &format!("--port={repo}"),
                            &format!("--metrics-port={repo_metrics}"),
                        ],
                        &[
                            "--metrics-address=127.0.0.1",
                            "--disable-tls",
                            &format!("--redis={redis_address}"),
                        ],
                    ],
                ),
            ),
            (
                "application-controller",
                controller_metrics,
                part(
                    "application-controller",
                    &dir,
                    &kubeconfig,
                    &[
                        &[&format!("--redis={redis_address}"), &format!("--repo-server={repo_address}")],
                        &["--repo-server-plaintext", &format!("--metrics-port={controller_metrics}")],
                        // Eight times as often as by default, so that it compares again and again while all is at rest. More often would
                        // keep a processor busy.
                        &["--app-resync=15", "--app-resync-jitter=0"],
                        // So that the health of each object can be read from the Application.
                        &["--persist-resource-health"],
                    ],
                ),
            ),
            (
                "server",
                server,
                part(
                    "server",
                    &dir,
                    &kubeconfig,
                    &[
                        &[&format!("--redis={redis_address}"), &format!("--repo-server={repo_address}")],
                        &["--repo-server-plaintext", "--insecure", "--disable-auth", "--address=127.0.0.1"],
                        &[&format!("--port={server}"), &format!("--metrics-port={server_metrics}")],
                    ],
                ),
            ),
        ];
        let mut running = vec![];
        for (name, port, command) in parts {
            running.push(start(name, port, command, &dir).await);
        }
        ArgoCd { server: format!("127.0.0.1:{server}"), dir, _parts: running }
    }

    /// The command line `argocd`, signed in as somebody who may do everything.
    pub fn cli(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(Tool::ArgoCd.locate().unwrap());
        command.args(args).args(["--server", &self.server, "--plaintext"]);
        command.env_clear().env("HOME", self.dir.join("home")).env("ARGOCD_AUTH_TOKEN", "none");
        let output = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{args:?}: {out}{err}")) }
    }
}

/// The CRDs and the configuration of the very version that runs, then what its own server or its installer would add.
async fn install(cluster: &Cluster, config: &Path) {
    let manifests = tokio::task::spawn_blocking(argo_cd_source).await.unwrap().unwrap().join("manifests");
    let kubectl = async |args: &[&str], text: &str| cluster.kubectl(args, text).await.unwrap();
    kubectl(&["create", "namespace", "argocd"], "").await;
    let (crds, base) = (manifests.join("crds"), manifests.join("base/config"));
    kubectl(&["apply", "--server-side", "-k", crds.to_str().unwrap()], "").await;
    kubectl(&["apply", "-n", "argocd", "-k", base.to_str().unwrap()], "").await;
    cluster.established().await.unwrap();
    let secret = |name: &str, data: serde_json::Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "argocd"}, "stringData": data});
    let anything = json!([{"group": "*", "kind": "*"}]);
    let items = json!([
        secret("argocd-redis", json!({"auth": ""})),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "argocd", "namespace": "argocd"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "argocd"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "argocd", "namespace": "argocd"}],
        },
        {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "default", "namespace": "argocd"},
            "spec": {"sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}], "clusterResourceWhitelist": anything},
        },
    ]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    kubectl(&["apply", "--server-side", "-f", "-"], &list).await;
    let key = json!({"stringData": {"server.secretkey": uuid::Uuid::new_v4().to_string()}}).to_string();
    kubectl(&["patch", "secret", "argocd-secret", "-n", "argocd", "--type=merge", "-p", &key], "").await;
    let file = config.to_str().unwrap();
    let patch = ["patch", "configmap", "argocd-cm", "-n", "argocd", "--type=merge", "--patch-file", file];
    kubectl(&patch, "").await;
}

fn part(name: &str, dir: &Path, kubeconfig: &Path, args: &[&[&str]]) -> Command {
    let mut command = Command::new(Tool::ArgoCd.locate().unwrap());
    let helm = Tool::Helm.locate().unwrap().parent().unwrap().to_owned();
    let given = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([helm].into_iter().chain(std::env::split_paths(&given))).unwrap();
    command
        .args(args.concat())
        .env_clear()
        // With helm, which the repo server runs for charts.
        .env("PATH", path)
        .env("HOME", dir.join("home"))
        // As for the API server of the tests: more memory, and less CPU time on garbage collection.
        .env("GOGC", "400")
        .env("KUBECONFIG", kubeconfig)
        .env("ARGOCD_BINARY_NAME", format!("argocd-{name}"))
        .env("ARGOCD_FAKE_IN_CLUSTER", "true")
        .env("ARGOCD_TLS_DATA_PATH", dir.join("tls"))
        .env("ARGOCD_SSH_DATA_PATH", dir.join("ssh"))
        .env("ARGOCD_GPG_DATA_PATH", dir.join("gpg"))
        .env("ARGOCD_GNUPGHOME", dir.join("gnupg"))
        .env("ARGOCD_PLUGINSOCKFILEPATH", dir.join("plugins"))
        .env("ARGOCD_GPG_ENABLED", "false")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("TMPDIR", dir);
    command
}

/// Starts a part, with its log in the directory, and waits until it takes connections.
async fn start(name: &str, port: u16, mut command: Command, dir: &Path) -> Process {
    let log = dir.join(format!("{name}.log"));
    let file = File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let part = Mutex::new(Process::start(&mut command).unwrap());
    eventually(format!("Argo CD's {name} serves"), START, async || {
        if let Some(status) = part.lock().unwrap().try_wait().unwrap() {
            panic!("{name} ended with {status}; its log:\n{}", fs::read_to_string(&log).unwrap());
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|e| e.to_string())
    })
    .await
    .unwrap();
    part.into_inner().unwrap()
}

/// Held together, so that they differ; free again when this returns.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
