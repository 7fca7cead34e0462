//! A control plane with the CRDs of one operator binary, and `kubectl`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use controlplane::ControlPlane;
use kube::api::{ListParams, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{Error, Result, blocking};

/// A running control plane with our CRDs.
///
/// It holds no `kube::Client`: a client lives in the runtime it was created in, and each test has its own runtime.
pub struct Cluster {
    /// The control plane itself, for its audit log and the like.
    pub control_plane: ControlPlane,
    /// Where its files are.
    pub dir: PathBuf,
}

impl Cluster {
    /// Starts a control plane with its files in `dir` and installs the CRDs that this operator writes, so that the two
    /// always fit. Blocks for seconds; for minutes if the programs must be built first. Fails as [`ControlPlane::start`],
    /// or if the API server refuses a CRD.
    pub fn start(dir: &Path, operator: &Path) -> Result<Cluster> {
        let control_plane = ControlPlane::start(dir).map_err(Error::new)?;
        let cluster = Cluster { control_plane, dir: dir.to_owned() };
        let crds = dir.join("crds");
        run(Command::new(operator).args(["crds", "--out"]).arg(&crds), "")?;
        let apply = ["apply", "--server-side", "-f"];
        run(cluster.control_plane.kubectl().args(apply).arg(&crds), "")?;
        served(cluster.kubeconfig(), cluster.crds())?;
        Ok(cluster)
    }

    /// Ends what still runs of a cluster of which a part has ended, and starts all of it again in the same directory, with
    /// its objects. Address and token are new. Fails as [`ControlPlane::start`].
    pub fn start_again(self) -> Result<Cluster> {
        let Cluster { control_plane, dir } = self;
        drop(control_plane);
        let control_plane = ControlPlane::start(&dir).map_err(Error::new)?;
        Ok(Cluster { control_plane, dir })
    }

    /// Waits until the API server serves all CRDs that it has.
    pub async fn established(&self) -> Result<()> {
        let (kubeconfig, crds) = (self.kubeconfig().to_owned(), self.crds());
        blocking(move || served(&kubeconfig, crds)).await
    }

    /// The commands of [`served`].
    fn crds(&self) -> [Command; 3] {
        [&ESTABLISHED[..], &PATHS, &KNOWN].map(|args| {
            let mut kubectl = self.control_plane.kubectl();
            kubectl.args(args);
            kubectl
        })
    }

    /// Whether the API server and its storage work.
    pub async fn answers(&self) -> bool {
        let mut kubectl = self.control_plane.kubectl();
        kubectl.args(["get", "--request-timeout=5s", "--raw", "/readyz"]);
        blocking(move || run(&mut kubectl, "")).await.is_ok()
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// A new client as the admin, for the runtime it is created in.
    pub async fn client(&self) -> Result<kube::Client> {
        client(self.kubeconfig()).await
    }

    /// Runs `kubectl` as the admin with this text on its standard input; returns what it prints. The error has what it
    /// prints to standard error.
    pub async fn kubectl(&self, args: &[&str], stdin: &str) -> Result<String> {
        let mut command = self.control_plane.kubectl();
        command.args(args);
        let stdin = stdin.to_owned();
        blocking(move || run(&mut command, &stdin)).await
    }

    /// The objects that `kubectl get` with these arguments finds.
    pub async fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        let text = self.kubectl(&[&["get", "-o", "json"], args].concat(), "").await?;
        let mut list: Value = serde_json::from_str(&text).map_err(Error::new)?;
        serde_json::from_value(list["items"].take()).map_err(Error::new)
    }
}

/// Gives up at once on a CRD that has no condition yet.
const ESTABLISHED: [&str; 5] = ["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"];
/// Replaces what kubectl has read of the API before, which it would use for hours.
const KNOWN: [&str; 4] = ["api-resources", "--cached=false", "-o", "name"];
/// A path of each kind's objects below `/apis`, a line each.
const PATHS: [&str; 4] = [
    "get",
    "crd",
    "-o",
    "jsonpath={range .items[*]}{.spec.group}/{.spec.versions[0].name}/{.spec.names.plural}{'\\n'}{end}",
];
/// A few seconds, on a quiet machine.
const SOON: Duration = Duration::from_secs(180);

/// Waits until the CRDs are established, kubectl knows them (the API server publishes them somewhat later), and their objects can
/// be listed.
fn served(kubeconfig: &Path, [mut established, mut paths, mut known]: [Command; 3]) -> Result<()> {
    let mut paths = move || {
        run(&mut established, "")?;
        let (paths, known) = (run(&mut paths, "")?, run(&mut known, "")?);
        match paths.lines().map(name_at).find(|name| !known.lines().any(|line| line == name)) {
            Some(name) => Err(Error::new(format_args!("kubectl does not know {name}"))),
            None => Ok(paths),
        }
    };
    let asked = Instant::now();
    let paths = loop {
        match paths() {
            Ok(paths) => break paths,
            Err(error) if asked.elapsed() > SOON => return Err(error),
            Err(_) => {}
        }
    };
    // On a thread of its own: the caller's may have a runtime already.
    let all = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::new)?;
        runtime.block_on(listed(kubeconfig, &paths))
    };
    thread::scope(|scope| scope.spawn(all).join()).expect("listing does not panic")
}

/// The name of the CRD, and of the kind for kubectl, whose objects are at this path.
fn name_at(path: &str) -> String {
    let mut parts = path.split('/');
    let (group, plural) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    format!("{plural}.{group}")
}

/// Lists a few objects of all kinds at the same time. The API server refuses the first list of a kind for a second, while it
/// fills a cache; a client that lists one kind after the other waits for each.
async fn listed(kubeconfig: &Path, paths: &str) -> Result<()> {
    let client = client(kubeconfig).await?;
    let mut lists = JoinSet::new();
    for path in paths.lines() {
        let few = ListParams::default().limit(1);
        let request = Request::new(format!("/apis/{path}")).list(&few).map_err(Error::new)?;
        let client = client.clone();
        lists.spawn(async move { client.request_text(request).await });
    }
    while let Some(list) = lists.join_next().await {
        list.map_err(Error::new)?.map_err(Error::new)?;
    }
    Ok(())
}

/// A client with the rights of this kubeconfig.
async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(Error::at(kubeconfig.display()))?;
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    // Fails only if a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(config.map_err(Error::new)?).map_err(Error::new)
}

/// A new directory `PREFIX…` in `parent`, after unused ones of earlier runs are removed. What a killed or failed run left
/// can thus be read until the next run.
pub fn fresh_dir(parent: &Path, prefix: &str) -> Result<PathBuf> {
    let failed = |error| Error::new(format_args!("{}: {error}", parent.display()));
    fs::create_dir_all(parent).map_err(failed)?;
    for entry in fs::read_dir(parent).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        // Locked for as long as a control plane runs in it, see `ControlPlane`.
        let unused = || File::open(path.join("supervisor.log")).is_ok_and(|log| log.try_lock().is_ok());
        if ours && unused() {
            fs::remove_dir_all(&path).map_err(failed)?;
        }
    }
    Ok(tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(failed)?.keep())
}

fn run(command: &mut Command, stdin: &str) -> Result<String> {
    let name = format!("{command:?}");
    let name = name.split_once("kubectl\"").map_or(&*name, |(_, args)| args).replace('"', "");
    let failed = |error| Error::new(format_args!("{name}: {error}"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(failed)?;
    let mut pipe = child.stdin.take().expect("stdin is piped");
    // A program that reads nothing ends early, and says why itself.
    let written = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        written.map_err(failed)?;
        return Ok(text(&output.stdout));
    }
    Err(Error::new(format_args!("{name}: {}: {}", output.status, text(&output.stderr).trim())))
}
