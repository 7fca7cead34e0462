//! An API server with the chart installed, and pods of it as processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use world::{Cluster, ControlPlane, Error, Operator, Release, Result, Tool, fresh_dir};

/// The release that each shared server has, with the CRDs; also its namespace, and the label of the objects that are
/// for it.
pub const BASE: &str = "databricks-operator";
/// The built operator.
const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");

/// A control plane, and Helm for it.
pub struct Site {
    pub cluster: Cluster,
    helm: PathBuf,
}

/// The server of the newest Kubernetes with the chart.
pub async fn newest() -> &'static Site {
    static SITE: OnceCell<Site> = OnceCell::const_new();
    SITE.get_or_init(|| with_chart("newest", Release::Newest)).await
}

/// The server of the oldest Kubernetes with the chart.
pub async fn oldest() -> &'static Site {
    static SITE: OnceCell<Site> = OnceCell::const_new();
    SITE.get_or_init(|| with_chart("oldest", Release::Oldest)).await
}

/// Its operator takes objects with a label only, so that tests with operators of their own can use the server too.
async fn with_chart(name: &str, release: Release) -> Site {
    let site = Site::start(name, release);
    let scope = json!({"watchLabelSelector": format!("for={BASE}")});
    // Off by default, and one of the samples needs it.
    let rbac = json!({"outputSecrets": {"enabled": true}});
    let own = json!({"replicaCount": 2, "scope": scope, "rbac": rbac});
    site.install(BASE, &own).await;
    site
}

/// The folder of the chart.
pub fn chart() -> PathBuf {
    root().join("charts/databricks-operator")
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The objects of a text of YAML.
pub fn objects(text: &str) -> Vec<Value> {
    let parts = format!("\n{text}\n");
    let parts = parts.split("\n---\n").map(|part| serde_saphyr::from_str(part).unwrap());
    parts.filter(|object: &Value| !object.is_null()).collect()
}

/// Values with which what takes minutes in a real account takes a moment in the simulated one.
fn fast() -> Value {
    json!({
        "operator": {
            "resyncInterval": "1s", "backoffMin": "100ms", "backoffMax": "1s", "pollMin": "100ms", "pollMax": "500ms",
            "quarantine": "2s", "absence": "1s", "readLag": "1ms", "operationTimeout": "30s", "requestsPerSecond": 200, "burst": 400,
            "logFormat": "text", "log": "info,databricks_operator=debug,kube_runtime=error,kube_client=warn",
        },
    })
}

impl Site {
    /// A control plane without the chart.
    pub fn start(name: &str, release: Release) -> Site {
        let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), &format!("install-{name}-")).unwrap();
        let control_plane = ControlPlane::start_release(&dir, release).unwrap();
        Site { cluster: Cluster { control_plane, dir }, helm: Tool::Helm.locate().unwrap() }
    }

    /// `helm install` of the chart, as the release and into the namespace of this name, with these values over the fast
    /// ones.
    pub async fn install(&self, name: &str, values: &Value) {
        self.helm(&["install", name, chart().to_str().unwrap(), "--create-namespace"], name, values)
            .await
            .unwrap();
        self.established().await;
    }

    /// A subcommand of Helm that takes values.
    pub async fn helm(&self, args: &[&str], namespace: &str, values: &Value) -> Result<String> {
        let file = |kind: &str, values: &Value| {
            let path = self.cluster.dir.join(format!("{namespace}-{kind}.json"));
            std::fs::write(&path, values.to_string()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut fast = fast();
        if args.iter().any(|arg| arg.ends_with(".tgz")) {
            // The chart before does not know it, and refuses what it does not know.
            fast["operator"].as_object_mut().unwrap().remove("readLag");
        }
        let (fast, own) = (file("fast", &fast), file("own", values));
        let values = ["--values", &*fast, "--values", &*own];
        self.plain_helm(&[args, &values].concat(), namespace).await
    }

    /// Any other subcommand.
    pub async fn plain_helm(&self, args: &[&str], namespace: &str) -> Result<String> {
        let mut command = Command::new(&self.helm);
        command
            .args(args)
            .args(["--namespace", namespace])
            .env_clear()
            .env("HOME", &self.cluster.dir)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("GOGC", "off");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(Error::new(format_args!("helm {args:?}: {}", text(&output.stderr)))),
        }
    }

    /// Waits until the API server serves the CRDs.
    pub async fn established(&self) {
        self.cluster.established().await.unwrap();
    }

    /// `kubectl` as the admin.
    pub async fn kubectl(&self, args: &[&str], stdin: &str) -> Result<String> {
        self.cluster.kubectl(args, stdin).await
    }

    /// The objects that `kubectl get` with these arguments finds.
    pub async fn list(&self, args: &[&str]) -> Vec<Value> {
        self.cluster.list(args).await.unwrap()
    }

    /// One object.
    pub async fn get(&self, namespace: &str, what: &str) -> Value {
        let text = self.kubectl(&["get", "-o", "json", "--namespace", namespace, what], "").await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// `kubectl apply` of manifests.
    pub async fn apply(&self, manifests: &[Value]) -> Result<String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        self.kubectl(&["apply", "--server-side", "-f", "-"], &list.to_string()).await
    }

    /// Makes a namespace with these labels.
    pub async fn namespace(&self, name: &str, labels: &Value) {
        let manifest =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.apply(&[manifest]).await.unwrap();
    }

    /// One pod of a release that is installed in the namespace of its name.
    pub async fn pod(&self, release: &str, name: &str) -> Operator {
        let deployment = self.get(release, &format!("deployment/{}", full_name(release))).await;
        let deployment = serde_json::from_value(deployment).unwrap();
        Operator::start_pod(Path::new(BINARY), &self.cluster, &deployment, name).await.unwrap()
    }
}

/// The name of what is of a release, but for objects outside its namespace.
pub fn full_name(release: &str) -> String {
    if release.contains(BASE) { release.to_owned() } else { format!("{release}-{BASE}") }
}
