//! What a story of Argo CD begins with: a cluster that all share, and an account, an operator and a repository of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use databricks_operator::kinds::KINDS;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use simulator::{Config, Simulator};
use tokio::sync::OnceCell;
use world::{Cluster, Operator, Tool, eventually, fast, fresh_dir};

use crate::application::{Application, SOON, View};
use crate::git::Repository;
use crate::parts::ArgoCd;
use crate::resource::resource;

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What all stories share. It is gone when the process is.
pub struct Site {
    pub cluster: Cluster,
    pub argo: ArgoCd,
    /// The way to the API server with the rights that the chart grants.
    operators: PathBuf,
}

/// The one site.
pub async fn site() -> &'static Site {
    static SITE: OnceCell<Site> = OnceCell::const_new();
    SITE.get_or_init(async || {
        let cluster = tokio::task::spawn_blocking(|| {
            // First what takes longest to build, so that a machine that cannot shows it early.
            Tool::ArgoCd.locate().unwrap();
            let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "argocd-").unwrap();
            Cluster::start(&dir, Path::new(BINARY)).unwrap()
        });
        let cluster = cluster.await.unwrap();
        let argo = ArgoCd::start(&cluster, &Path::new(ROOT).join("config/argocd/argocd-cm.yaml")).await;
        install_chart(&cluster).await;
        let operators = cluster.control_plane.kubeconfig_for(OPERATOR, OPERATOR).unwrap();
        Site { cluster, argo, operators }
    })
    .await
}

/// Name of the Application that installs the operator, of its namespace and of its ServiceAccount.
pub const OPERATOR: &str = "databricks-operator";

/// Argo CD installs the chart, as a user is told to let it. No pod runs here, so that is never Healthy.
async fn install_chart(cluster: &Cluster) {
    let git = Repository::new(&cluster.dir.join("operator.git"));
    git.copy(Path::new(ROOT), "charts/databricks-operator");
    git.commit("The chart");
    let mut manifest = config("operator.yaml");
    manifest["spec"]["source"]["repoURL"] = json!(git.url());
    // Of all samples, one writes a Secret, which is off by default.
    manifest["spec"]["source"]["helm"]["valuesObject"]["rbac"] = json!({"outputSecrets": {"enabled": true}});
    let application = Application::create(&cluster.client().await.unwrap(), &manifest).await;
    let installed = |view: &View| view.sync == "Synced" && view.operation.0 == "Succeeded";
    application.wait("the chart is installed", installed).await;
}

/// A manifest of `config/argocd`.
fn config(file: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(ROOT).join("config/argocd").join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// How Argo CD brings manifests to the API server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    Client,
    Server,
}

/// One story's stage.
pub struct Story {
    pub namespace: String,
    pub site: &'static Site,
    pub client: Client,
    pub account: Simulator,
    pub git: Repository,
    apply: Apply,
    began: Instant,
    _operator: Operator,
}

impl Story {
    /// A namespace with the Secret of an account, an operator for it, and an empty repository.
    pub async fn start(namespace: &str, apply: Apply) -> Story {
        let began = Instant::now();
        let site = site().await;
        let cluster = &site.cluster;
        let account = Simulator::start(Config::default()).await.unwrap();
        account.set(|settings| {
            // Longer than Argo CD pauses between waves anyway.
            settings.provisioning_ms = 5_000;
            settings.endpoint_rule_approval_ms = Some(0);
            settings.endpoint_rule_deactivated_ms = 0;
        });
        cluster.kubectl(&["create", "namespace", namespace], "").await.unwrap();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": namespace},
            "stringData": {"client-secret": account.client_secret},
        });
        cluster.kubectl(&["apply", "-f", "-"], &secret.to_string()).await.unwrap();
        let flags = fast(&[("namespaces", namespace)]);
        let operator =
            Operator::start_with(Path::new(BINARY), &site.operators, &cluster.dir, &flags, &[]).await;
        let git = Repository::new(&cluster.dir.join(format!("{namespace}.git")));
        let client = cluster.client().await.unwrap();
        let namespace = namespace.to_owned();
        let story =
            Story { namespace, site, client, account, git, apply, began, _operator: operator.unwrap() };
        story.tell("cluster, Argo CD, account and operator are up");
        story
    }

    /// Says what was seen, and when.
    pub fn tell(&self, what: &str) {
        println!("{:>12} {:>6.1} s  {what}", self.namespace, self.began.elapsed().as_secs_f64());
    }

    /// The Application of `config/argocd`, with the story's repository, and its namespace.
    pub async fn application(&self) -> Application {
        let mut manifest = config("account.yaml");
        manifest["metadata"]["name"] = json!(self.namespace);
        let spec = &mut manifest["spec"];
        spec["source"]["repoURL"] = json!(self.git.url());
        spec["destination"]["namespace"] = json!(self.namespace);
        // The story ends with everything removed.
        spec["syncPolicy"]["automated"]["allowEmpty"] = json!(true);
        let options = spec["syncPolicy"]["syncOptions"].as_array_mut().unwrap();
        match self.apply {
            Apply::Client => options.retain(|option| option != "ServerSideApply=true"),
            Apply::Server => {
                assert!(options.contains(&json!("ServerSideApply=true")));
                let server_side = json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=true"});
                manifest["metadata"]["annotations"] = server_side;
            }
        }
        Application::create(&self.client, &manifest).await
    }

    /// The manifests of `config/argocd/account`, with nothing changed but which account it is; what they take for granted is
    /// in that.
    pub fn samples(&self) -> Vec<Value> {
        let mut samples = vec![];
        for entry in std::fs::read_dir(Path::new(ROOT).join("config/argocd/account")).unwrap() {
            let mut sample = config(&format!("account/{}", entry.unwrap().file_name().to_str().unwrap()));
            match sample["kind"].as_str().unwrap() {
                "DatabricksAuth" => {
                    sample["spec"]["accountId"] = json!(self.account.account_id);
                    sample["spec"]["clientId"] = json!(self.account.client_id);
                    sample["spec"]["host"] = json!(self.account.url());
                    sample["spec"]["egressCidrs"] = json!(["203.0.113.7/32"]);
                    let kinds: Vec<_> = KINDS.iter().map(|kind| kind.kind().into_owned()).collect();
                    sample["spec"]["grants"] = json!([{"namespaces": {"from": "Same"}, "kinds": kinds}]);
                }
                "Workspace" => {
                    let id = &sample["spec"]["credentialsId"];
                    let credentials = json!({"credentials_id": id, "credentials_name": "analytics"});
                    self.account.insert("credentials", credentials).unwrap();
                    let id = &sample["spec"]["storageConfigurationId"];
                    let storage =
                        json!({"storage_configuration_id": id, "storage_configuration_name": "analytics"});
                    self.account.insert("storage-configurations", storage).unwrap();
                }
                _ => {}
            }
            samples.push(sample);
        }
        samples
    }

    /// The objects of one of our kinds.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// An object as it is now.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.api(kind).get(name).await.unwrap()).unwrap()
    }

    /// Merges a patch into an object, past Git.
    pub async fn edit(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Gives Argo CD a health check of a user's own for a kind that no other story has, or takes it away; returns the kind.
    pub async fn users_check(&self, lua: Option<&str>) -> &'static str {
        let kind = match self.apply {
            Apply::Client => "ConfigMap",
            Apply::Server => "ServiceAccount",
        };
        let patch = json!({"data": {format!("resource.customizations.health.{kind}"): lua}}).to_string();
        let args = ["patch", "configmap", "argocd-cm", "-n", "argocd", "--type=merge", "-p", &patch];
        self.site.cluster.kubectl(&args, "").await.unwrap();
        kind
    }

    /// Waits until `look` finds what it looks for; it says what it saw instead.
    pub async fn wait<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
        eventually(format!("{}: {what}", self.namespace), SOON, look).await.unwrap()
    }

    /// Waits until objects at this path were compared with the manifests some times more.
    pub async fn wait_compared(&self, path: &str) {
        let before = self.account.calls("GET", path);
        self.wait(&format!("{path} was compared"), async || match self.account.calls("GET", path) {
            now if now >= before + 3 => Ok(()),
            now => Err(format!("{before}, then {now}")),
        })
        .await;
    }

    /// The only IP access list of the account.
    pub fn list(&self) -> Value {
        let lists = self.account.objects("ip-access-lists");
        assert_eq!(lists.len(), 1, "{lists:?}");
        lists[0].clone()
    }

    /// Waits until the account's only IP access list has this value in a field.
    pub async fn wait_list(&self, field: &str, value: Value) {
        self.wait(&format!("{field} is {value} in the account"), async || match self.list() {
            list if list[field] == value => Ok(()),
            list => Err(list.to_string()),
        })
        .await;
    }
}

/// The idle watch: how long nothing may happen.
pub const IDLE: Duration = Duration::from_secs(120);
