//! The operator as a process, as users run it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;

use crate::{Cluster, Error, Process, Result, blocking, eventually};

const READY_WITHIN: Duration = Duration::from_secs(180);
const END_WITHIN: Duration = Duration::from_secs(120);

/// The name of the installation in stories. Without it an operator reads the UID of its cluster's `kube-system`.
pub const INSTALLATION: &str = "default";

/// The flags with which steps that take minutes in a real account take a moment in the simulated one. `instead` names flags
/// (without `--`) with another value. The rechecks of objects that wait for a trigger keep their minutes, and so do those
/// of refusals: with shorter ones no story would notice a missing trigger. A refusal is final at once, and reads may lag
/// behind by half a second; the stories of how a refusal is confirmed, and of reads that are later, set otherwise.
pub fn fast(instead: &[(&str, &str)]) -> Vec<String> {
    let mut flags = vec![
        ("resync-interval", "1s"),
        ("backoff-min", "100ms"),
        ("backoff-max", "1s"),
        ("poll-min", "100ms"),
        ("poll-max", "500ms"),
        ("quarantine", "2s"),
        ("absence", "1s"),
        ("read-lag", "500ms"),
        ("operation-timeout", "30s"),
        ("recheck-stalled-min", "30m"),
        ("refusal-tries", "1"),
        ("requests-per-second", "200"),
        ("burst", "400"),
        ("installation", INSTALLATION),
        ("leader-elect", "false"),
        ("log-format", "text"),
        ("log", "info,databricks_operator=debug,kube_runtime=error,kube_client=warn"),
    ];
    flags.retain(|(name, _)| instead.iter().all(|(other, _)| name != other));
    let valued = flags.iter().chain(instead).map(|(name, value)| format!("--{name}={value}"));
    valued.chain(["--allow-insecure-loopback".to_owned()]).collect()
}

/// A running operator. It is killed when this value is dropped or this process ends, however it ends.
pub struct Operator {
    process: Process,
    /// Where its log goes.
    pub log: PathBuf,
    /// Where it serves health and readiness.
    pub health: SocketAddr,
    /// Where it serves metrics.
    pub metrics: SocketAddr,
}

impl Operator {
    /// Starts `databricks-operator run` with these flags on a cluster, and waits until it is ready. Its log is a new file
    /// in the cluster's directory. Fails, with the end of the log, if it ends or is not ready within three minutes.
    pub async fn start(binary: &Path, cluster: &Cluster, flags: &[String]) -> Result<Operator> {
        Self::start_with(binary, cluster.kubeconfig(), &cluster.dir, flags, &[]).await
    }

    /// Starts what a pod of a Deployment of ours is: the operator with its arguments, environment and ServiceAccount. It
    /// may use http to a simulated account on this machine, and its addresses of health and metrics are other ones: a pod
    /// has a network of its own, and processes share one. Fails as [`Operator::start`], or if there is no such
    /// ServiceAccount.
    pub async fn start_pod(
        binary: &Path,
        cluster: &Cluster,
        deployment: &Deployment,
        name: &str,
    ) -> Result<Operator> {
        let odd = |what: &str| Error::new(format_args!("a Deployment of the operator without {what}"));
        let namespace = deployment.metadata.namespace.as_deref().ok_or_else(|| odd("namespace"))?;
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let pod = pod.ok_or_else(|| odd("pod"))?;
        let [container] = &pod.containers[..] else { return Err(odd("its one container")) };
        let Some(("run", args)) = container.args.as_deref().and_then(|args| {
            let (first, rest) = args.split_first()?;
            Some((first.as_str(), rest))
        }) else {
            return Err(odd("the subcommand run"));
        };
        let own = ["--health-address=", "--metrics-address="];
        let mut flags: Vec<String> =
            args.iter().filter(|arg| !own.iter().any(|own| arg.starts_with(own))).cloned().collect();
        flags.push("--allow-insecure-loopback".to_owned());
        let mut env = vec![];
        for variable in container.env.iter().flatten() {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("metadata.name") => name,
                Some("metadata.namespace") => namespace,
                _ => {
                    variable.value.as_deref().ok_or_else(|| odd(&format!("a value of {}", variable.name)))?
                }
            };
            env.push((variable.name.clone(), value.to_owned()));
        }
        let account = pod.service_account_name.as_deref().ok_or_else(|| odd("ServiceAccount"))?;
        let kubeconfig = cluster.control_plane.kubeconfig_for(namespace, account).map_err(Error::new)?;
        Self::start_with(binary, &kubeconfig, &cluster.dir, &flags, &env).await
    }

    /// Starts it with another kubeconfig, such as one that leads through a proxy, the log in `dir`, and these environment
    /// variables.
    pub async fn start_with(
        binary: &Path,
        kubeconfig: &Path,
        dir: &Path,
        flags: &[String],
        env: &[(String, String)],
    ) -> Result<Operator> {
        match Self::launch(binary, kubeconfig, dir, flags, env).await {
            // Another process took the port after it was chosen: rare enough to try only once more.
            Err(error) if error.to_string().contains("cannot be served at") => {
                Self::launch(binary, kubeconfig, dir, flags, env).await
            }
            result => result,
        }
    }

    async fn launch(
        binary: &Path,
        kubeconfig: &Path,
        dir: &Path,
        flags: &[String],
        env: &[(String, String)],
    ) -> Result<Operator> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("operator-{number}.log"));
        let failed = |error| Error::new(format_args!("{}: {error}", path.display()));
        let log = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        let health = free_port().map_err(Error::at("looking for a free port"))?;
        let metrics = free_port().map_err(Error::at("looking for a free port"))?;
        let mut command = command(binary, kubeconfig, flags, [health, metrics], log);
        command.envs(env.iter().cloned());
        let process = Process::start(&mut command).map_err(Error::at(binary.display()))?;
        let mut operator = Operator { process, log: path, health, metrics };
        operator.wait_until_ready().await?;
        Ok(operator)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let health = self.health;
        let ready = eventually("the operator is ready", READY_WITHIN, async || {
            if let Ok(Some(status)) = self.process.try_wait() {
                // A result, though not a good one: there is nothing to wait for any more.
                return Ok(Err(format!("the operator ended: {status}")));
            }
            blocking(move || get(health, "/readyz")).await.map(Ok)
        });
        let result = ready.await.map_err(|e| e.to_string()).and_then(|found| found);
        result.map_err(|error| Error::new(format_args!("{error}; its log ends:\n{}", self.tail(20))))
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Whether it reports that it is ready.
    pub async fn answers(&self) -> bool {
        let health = self.health;
        blocking(move || get(health, "/readyz")).await.is_ok()
    }

    /// What it has logged so far.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|e| format!("{}: {e}", self.log.display()))
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.process.end().map_err(Error::at("killing the operator"))
    }

    /// Asks it to end (SIGTERM) and waits. Fails if it has not ended two minutes later.
    pub async fn terminate(self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait().await
    }

    /// Waits until it ends by itself. Fails if it has not two minutes later.
    pub async fn wait(mut self) -> Result<ExitStatus> {
        eventually("the operator ends", END_WITHIN, async || {
            self.process.try_wait().map_err(|e| e.to_string())?.ok_or_else(|| self.tail(5))
        })
        .await
    }

    /// Sends a signal by its short name: `STOP` freezes the process, `CONT` lets it continue.
    pub fn signal(&self, name: &str) -> Result<()> {
        let kill = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        match kill {
            Ok(status) if status.success() => Ok(()),
            other => Err(Error::new(format_args!("kill -{name} {}: {other:?}", self.pid()))),
        }
    }
}

fn command(
    binary: &Path,
    kubeconfig: &Path,
    flags: &[String],
    [health, metrics]: [SocketAddr; 2],
    log: File,
) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["run", &format!("--health-address={health}"), &format!("--metrics-address={metrics}")])
        .args(flags)
        // Its flags can be given by the environment too.
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The answer to a GET if it is a 200; else what came instead.
fn get(address: SocketAddr, path: &str) -> std::result::Result<(), String> {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = ask().map_err(|e: std::io::Error| format!("{path}: {e}"))?;
    let first = answer.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(format!("{path}: {first}")) }
}
