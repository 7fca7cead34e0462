//! A real control plane for tests and the demo: etcd, kube-apiserver (with RBAC) and the few controllers that make
//! namespaces and ownerReferences behave. No kubelet and no scheduler, so no pod ever runs.
//!
//! For machines without a container engine: the programs are built from Go modules once, see [`Binaries`], and so are
//! others that tests use with it, see [`Tool`]. The command lines live in `supervisor.sh`, a shell script that outlives
//! us by the seconds an orderly stop takes; it notices our end by a closed pipe, which needs no unsafe code and works
//! after `kill -9` too.

#![cfg(unix)]

mod binaries;
mod certificate;
mod error;
mod etcd;
mod module;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::DirBuilderExt, fs::OpenOptionsExt, process::CommandExt},
    path::{self, Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::error::tail_of;
pub use crate::{
    binaries::{Binaries, Release, Tool, argo_cd_source},
    error::Error,
};

/// What the supervisor runs, by the names of their files in the run directory.
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Some seconds, on a quiet machine. Several start at the same time, and the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// A holder that was killed needs this long at most to stop what it had started: some seconds for each program, and more on a busy
/// machine.
const FREE_WITHIN: Duration = Duration::from_secs(120);

/// A running control plane. It stops when this value is dropped or its process ends, however it ends.
pub struct ControlPlane {
    dir: PathBuf,
    kubeconfig: PathBuf,
    certificate: PathBuf,
    audit_log: PathBuf,
    url: String,
    token: String,
    address: SocketAddr,
    etcd: SocketAddr,
    kubectl: PathBuf,
    supervisor: Child,
}

impl ControlPlane {
    /// Starts a control plane on free ports of 127.0.0.1 and waits until the API server is ready, namespace `default`
    /// exists and the controllers work. Builds missing programs first, see [`Binaries::locate`].
    ///
    /// All its files go into the run directory `dir`, which is created if missing. A directory of an earlier run keeps its
    /// Kubernetes objects, certificates and audit log; URL and token are new.
    ///
    /// # Errors
    /// As [`Binaries::locate`]; `dir` cannot be written or is in use; a program ends at start; not ready in five minutes.
    pub fn start(dir: &Path) -> Result<ControlPlane, Error> {
        Self::start_release(dir, Release::Newest)
    }

    /// The same with the API server of this Kubernetes. `dir` must not be that of a newer one's run, as an API server
    /// may not understand what a newer one has stored.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub fn start_release(dir: &Path, release: Release) -> Result<ControlPlane, Error> {
        let binaries = Binaries::locate(release)?;
        let dir = path::absolute(dir).map_err(Error::io("resolving", dir))?;
        match Self::launch(&dir, &binaries) {
            // Another process took the port after it was chosen: rare enough to try only once more.
            Err(error) if error.is_port_taken() => Self::launch(&dir, &binaries),
            result => result,
        }
    }

    /// Admin kubeconfig (group `system:masters`).
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// URL of the API server, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bearer token of the admin, new in every run.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// PEM file with the API server's certificate and its CA, valid for `127.0.0.1` and `kubernetes.default.svc`,
    /// not for `localhost`.
    pub fn ca(&self) -> &Path {
        &self.certificate
    }

    /// The audit log, a JSON event (level Metadata, no bodies) per line: all requests of ServiceAccounts, and all users'
    /// requests for `databricks-operator.io`, leases, events and secrets. The annotation `authorization.k8s.io/decision` is
    /// `allow` or `forbid`. The controllers are the same user as the admin; their `userAgent` distinguishes them. A line
    /// may appear shortly after the client has its response.
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// `kubectl` as admin. It reads and writes nothing in the user's home directory.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.dir)
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"));
        command
    }

    /// Writes a kubeconfig for an existing ServiceAccount, with its namespace as the current one and a token for a day,
    /// and returns its path in the run directory.
    ///
    /// # Errors
    /// There is no such ServiceAccount, or the file cannot be written.
    pub fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf, Error> {
        let mut kubectl = self.kubectl();
        kubectl.args(["create", "token", service_account, "--namespace", namespace, "--duration=24h"]);
        let output = kubectl.stdin(Stdio::null()).output().map_err(Error::io("running", &self.kubectl))?;
        if !output.status.success() {
            return Err(Error::Token {
                namespace: namespace.to_owned(),
                name: service_account.to_owned(),
                reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let token = String::from_utf8_lossy(&output.stdout);
        // A namespace has no dot in its name, so no two ServiceAccounts share a file.
        let path = self.dir.join(format!("kubeconfig.{namespace}.{service_account}"));
        write_private(&path, &kubeconfig_text(&self.url, &self.certificate, token.trim(), namespace))?;
        Ok(path)
    }

    /// Kills the API server, as a crash would, starts it again on the same port and waits until it is ready: some
    /// seconds. Its clients lose their connections, what it has confirmed is kept, and tokens stay good.
    ///
    /// Its memory of past changes starts empty: a watch that continues from before the newest change gets 410 (Expired), as
    /// it does in a real cluster after a longer time.
    ///
    /// # Errors
    /// The API server ends at start (another process may have taken its port meanwhile) or is not ready in five minutes.
    pub fn restart_api_server(&mut self) -> Result<(), Error> {
        match self.try_restart() {
            Err(error) if error.is_port_taken() => self.try_restart(),
            result => result,
        }
    }

    fn try_restart(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        let pid_file = self.dir.join("kube-apiserver.pid");
        let pid = || fs::read_to_string(&pid_file).map_err(Error::io("reading", &pid_file));
        let before = pid()?;
        self.tell("restart")?;
        // Until there is another number, the API server that answers or has ended is the one before.
        while !pid().is_ok_and(|now| !now.is_empty() && now != before) {
            if Instant::now() >= deadline {
                return Err(self.not_ready("it does not end"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.wait_for_api_server(deadline)
    }

    /// The name of what has ended here unexpectedly: a program, or the script that runs them.
    pub fn ended(&mut self) -> Option<&'static str> {
        if !matches!(self.supervisor.try_wait(), Ok(None)) {
            return Some("supervisor.sh");
        }
        PROGRAMS.into_iter().find(|program| self.dir.join(format!("{program}.exit")).exists())
    }

    /// Waits until nothing of an earlier run uses this run directory any more. Left-over processes are ended here.
    ///
    /// # Errors
    /// It is still in use two minutes later.
    pub fn wait_until_free(dir: &Path) -> Result<(), Error> {
        if dir.exists() { claim(dir).map(drop) } else { Ok(()) }
    }

    /// Discards the history of all objects from etcd, as a cluster does every few minutes. A request for the past after
    /// that, such as for the next page of an old list, gets 410 (Expired), except for what the API server still has in its
    /// own memory: to discard that too, restart it.
    ///
    /// # Errors
    /// etcd cannot be reached or refuses.
    pub fn compact(&self) -> Result<(), Error> {
        etcd::compact(self.etcd)
    }

    /// Stops all programs, the API server before etcd, and waits for their end. Dropping does the same but cannot report a
    /// failure.
    ///
    /// # Errors
    /// A program could not be ended.
    pub fn stop(mut self) -> Result<(), Error> {
        let log = self.dir.join("supervisor.log");
        // Waiting closes the pipe first, at which the supervisor stops everything.
        let status = self.supervisor.wait().map_err(Error::io("waiting for the supervisor in", &self.dir))?;
        if status.success() {
            return Ok(());
        }
        end_leftovers(&self.dir);
        Err(Error::Stop { status: status.to_string(), tail: tail_of(&log), log })
    }

    fn launch(dir: &Path, binaries: &Binaries) -> Result<ControlPlane, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("making", dir))?;
        let log = claim(dir)?;
        let [etcd_port, peer_port, api_port] =
            free_ports().map_err(Error::io("looking for free ports for", dir))?;
        let url = format!("https://127.0.0.1:{api_port}");
        let token = random_token().map_err(Error::io("reading", Path::new("/dev/urandom")))?;
        certificate::ensure(&dir.join("certs"))?;
        let certificate = dir.join("certs/apiserver.crt");
        let kubeconfig = dir.join("kubeconfig");
        write_private(&kubeconfig, &kubeconfig_text(&url, &certificate, &token, "default"))?;
        write_private(&dir.join("tokens.csv"), &format!("{token},admin,admin,system:masters\n"))?;
        write_private(&dir.join("audit-policy.yaml"), include_str!("audit-policy.yaml"))?;
        write_private(&dir.join("supervisor.sh"), include_str!("supervisor.sh"))?;
        let ports = [etcd_port, peer_port, api_port].map(|port| port.to_string());
        let supervisor = supervise(dir, binaries, &ports, log)?;
        let mut control_plane = ControlPlane {
            supervisor,
            audit_log: dir.join("audit.log"),
            dir: dir.to_owned(),
            kubeconfig,
            certificate,
            url,
            token,
            address: SocketAddr::from(([127, 0, 0, 1], api_port)),
            etcd: SocketAddr::from(([127, 0, 0, 1], etcd_port)),
            kubectl: binaries.kubectl.clone(),
        };
        control_plane.wait_until_ready()?;
        Ok(control_plane)
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        self.wait_for_api_server(deadline)?;
        self.tell("ready")?;
        // A controller creates it, so it shows that the controllers work.
        self.wait_for("/api/v1/namespaces/default/serviceaccounts/default", deadline)
    }

    fn wait_for_api_server(&self, deadline: Instant) -> Result<(), Error> {
        while let Err(error) = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) {
            self.check_progress(deadline, &error.to_string())?;
        }
        self.wait_for("/readyz", deadline)?;
        self.wait_for("/api/v1/namespaces/default", deadline)
    }

    fn tell(&mut self, word: &str) -> Result<(), Error> {
        let stdin = self.supervisor.stdin.as_mut().expect("stdin is piped and not taken");
        writeln!(stdin, "{word}").map_err(Error::io("writing to the supervisor in", &self.dir))
    }

    fn wait_for(&self, path: &str, deadline: Instant) -> Result<(), Error> {
        loop {
            let mut kubectl = self.kubectl();
            let get = kubectl.args(["get", "--request-timeout=5s", "--raw", path]).stdin(Stdio::null());
            let output = get.output().map_err(Error::io("running", &self.kubectl))?;
            if output.status.success() {
                return Ok(());
            }
            self.check_progress(
                deadline,
                &format!("{path}: {}", String::from_utf8_lossy(&output.stderr).trim()),
            )?;
        }
    }

    /// Fails when a program has ended or the time is over, else waits a moment before the caller checks again.
    fn check_progress(&self, deadline: Instant, reason: &str) -> Result<(), Error> {
        for program in PROGRAMS {
            if self.dir.join(format!("{program}.exit")).exists() {
                let log = self.dir.join(format!("{program}.log"));
                return Err(Error::Died { program: program.to_owned(), tail: tail_of(&log), log });
            }
        }
        if Instant::now() >= deadline {
            return Err(self.not_ready(reason));
        }
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    fn not_ready(&self, reason: &str) -> Error {
        let log = self.dir.join("kube-apiserver.log");
        let seconds = READY_WITHIN.as_secs();
        Error::NotReady { seconds, reason: reason.to_owned(), tail: tail_of(&log), log }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // As in `stop`, whose wait makes this one return at once. Only a process that was reaped elsewhere can fail here,
        // and that one is gone.
        if !self.supervisor.wait().is_ok_and(|status| status.success()) {
            end_leftovers(&self.dir);
        }
    }
}

/// Opens and locks the supervisor's log. The supervisor inherits it as its output, so the directory stays claimed until
/// the last program has ended, even when we are killed before that.
fn claim(dir: &Path) -> Result<File, Error> {
    let path = dir.join("supervisor.log");
    let log =
        OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("opening", &path))?;
    let deadline = Instant::now() + FREE_WITHIN;
    loop {
        match log.try_lock() {
            Ok(()) => return Ok(log),
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(Error::InUse { dir: dir.to_owned() });
            }
            Err(TryLockError::WouldBlock) => {
                if !is_running(dir, "supervisor", "supervisor.sh") {
                    end_leftovers(dir);
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Kills what runs in a directory whose supervisor is gone: it did not stop them, so it was killed itself.
fn end_leftovers(dir: &Path) {
    for program in PROGRAMS.into_iter().rev() {
        if is_running(dir, program, &format!("{program} --")) {
            let pid = fs::read_to_string(dir.join(format!("{program}.pid"))).unwrap_or_default();
            // Fails only if it has ended meanwhile.
            Command::new("kill").args(["-KILL", pid.trim()]).stderr(Stdio::null()).status().ok();
        }
    }
}

/// Whether the process of this pid file is the one that wrote it, by a part of its command line: the number of one that has ended
/// may have gone to another.
fn is_running(dir: &Path, name: &str, part: &str) -> bool {
    let Ok(pid) = fs::read_to_string(dir.join(format!("{name}.pid"))) else { return false };
    let ps = Command::new("ps").args(["-o", "args=", "-p", pid.trim()]).stderr(Stdio::null()).output();
    ps.is_ok_and(|ps| String::from_utf8_lossy(&ps.stdout).contains(part))
}

fn supervise(dir: &Path, binaries: &Binaries, ports: &[String; 3], log: File) -> Result<Child, Error> {
    // Those of an earlier run would be taken for programs that have started or ended already.
    for program in PROGRAMS {
        for kind in ["pid", "exit"] {
            let file = dir.join(format!("{program}.{kind}"));
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("removing", &file)(error));
                }
                _ => {}
            }
        }
    }
    let errors = log.try_clone().map_err(Error::io("sharing the log in", dir))?;
    let supervisor = Command::new("sh")
        .arg("supervisor.sh")
        .args([&binaries.etcd, &binaries.kube_apiserver, &binaries.kube_controller_manager])
        .args(ports)
        .current_dir(dir)
        // Ctrl-C goes to our group; programs that get it too would all stop at once, in the wrong order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(Error::io("starting the supervisor in", dir))?;
    write_private(&dir.join("supervisor.pid"), &supervisor.id().to_string())?;
    Ok(supervisor)
}

/// Held together, so that they differ; free again when this returns.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let [a, b, c] = listeners.each_ref().map(|listener| listener.local_addr().map(|address| address.port()));
    Ok([a?, b?, c?])
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Replaces the file with one only we may read: some hold the token.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(path).map_err(Error::io("opening", path))?;
    file.write_all(text.as_bytes()).map_err(Error::io("writing", path))
}

fn kubeconfig_text(url: &str, certificate: &Path, token: &str, namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: controlplane
contexts: [{{name: controlplane, context: {{cluster: controlplane, user: user, namespace: {namespace:?}}}}}]
users: [{{name: user, user: {{token: {token}}}}}]
clusters:
  - name: controlplane
    cluster:
      server: {url}
      certificate-authority: {certificate:?}
"
    )
}
