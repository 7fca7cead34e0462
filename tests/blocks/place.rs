//! A cluster, an account and a shell in which blocks are run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use databricks_operator::kinds::KINDS;
use serde_json::{Value, json};
use simulator::{Config, Simulator};
use world::{Cluster, ControlPlane, Tool, access, eventually, fresh_dir};

use crate::document::{Block, root};
use crate::node::Node;

/// Long, because machines are slow at times; a document that waits for what never comes ends by its own limits.
const A_DOCUMENT: Duration = Duration::from_secs(400);

/// Where documents are followed.
pub struct Place {
    cluster: Arc<Cluster>,
    /// The account of the DatabricksAuth.
    pub account: Simulator,
    /// A workspace that was in it from the beginning.
    pub legacy: Value,
    node: Node,
    /// What the shell finds programs in: just `kubectl` and `helm` in front of the system's.
    programs: PathBuf,
    /// What the reader knows, by the names of the variables that he is asked to set.
    known: Vec<(&'static str, String)>,
}

impl Place {
    /// An empty cluster with the programs that documents ask for.
    pub async fn start(name: &str) -> Place {
        let name = name.to_lowercase().replace(' ', "-");
        let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), &format!("blocks-{name}-")).unwrap();
        let (helm, control_plane) = {
            let dir = dir.clone();
            let start = move || (Tool::Helm.locate().unwrap(), ControlPlane::start(&dir).unwrap());
            tokio::task::spawn_blocking(start).await.unwrap()
        };
        let programs = dir.join("programs");
        std::fs::create_dir(&programs).unwrap();
        symlink(helm, programs.join("helm")).unwrap();
        symlink(control_plane.kubectl().get_program(), programs.join("kubectl")).unwrap();

        // With a workspace that nobody manages.
        let config = Config { seed_demo: true, ..Config::default() };
        let account = Simulator::start(config).await.unwrap();
        let secret_file = dir.join("client-secret");
        std::fs::write(&secret_file, format!("{}\n", account.client_secret)).unwrap();
        let legacy = account.objects("workspaces").remove(0);
        let known = vec![
            ("ACCOUNT_ID", account.account_id.clone()),
            ("CLIENT_ID", account.client_id.clone()),
            ("CLIENT_SECRET_FILE", secret_file.to_str().unwrap().to_owned()),
            ("HOST", account.url()),
            ("WORKSPACE_ID", legacy["workspace_id"].to_string()),
            ("WORKSPACE_NAME", legacy["workspace_name"].as_str().unwrap().to_owned()),
        ];
        let cluster = Arc::new(Cluster { control_plane, dir });
        let node = Node::start(cluster.clone());
        Place { cluster, account, legacy, node, programs, known }
    }

    /// Runs blocks in one shell, as a reader would in the root of the repository; returns what they print.
    pub async fn follow(&self, blocks: &[Block]) -> String {
        let Some(first) = blocks.first() else { return String::new() };
        let mut script = String::new();
        for block in blocks {
            writeln!(script, "echo '== {}:{}'", block.document, block.line).unwrap();
            block
                .text
                .lines()
                .for_each(|line| writeln!(script, "{}", self.with_what_is_known(line)).unwrap());
        }
        let name = first.document.replace('/', "-");
        let (script_file, log) =
            (self.cluster.dir.join(format!("{name}.sh")), self.cluster.dir.join(format!("{name}.log")));
        std::fs::write(&script_file, script).unwrap();
        let output = std::fs::File::create(&log).unwrap();
        let mut shell = self.shell();
        shell.arg(&script_file).stdout(output.try_clone().unwrap()).stderr(output);
        let mut shell = shell.spawn().unwrap();
        let ended = eventually("the shell ends", A_DOCUMENT, async || {
            shell.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        });
        let ended = ended.await;
        if ended.is_err() {
            // With what it runs: it leads a group of its own.
            let group = format!("-{}", shell.id());
            Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            shell.wait().unwrap();
        }
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(ended.as_ref().is_ok_and(|status| status.success()), "{}: {ended:?}\n{said}", first.document);
        self.node.settle().await;
        said
    }

    /// A shell with the environment of a reader.
    fn shell(&self) -> Command {
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail"])
            .current_dir(root())
            .env("PATH", path)
            // A cache of what the API server serves would be older than the CRDs.
            .env("HOME", fresh_dir(&self.cluster.dir, "home-").unwrap())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .process_group(0)
            .stdin(Stdio::null());
        shell
    }

    /// Fails unless a command shows something, and does not end by itself.
    pub async fn goes_on(&self, command: &str) {
        let mut shell = self.shell();
        shell.args(["-c", &format!("exec {command}")]).stdout(Stdio::piped());
        let shown = tokio::task::spawn_blocking(move || {
            let mut running = shell.spawn().unwrap();
            let mut shown = String::new();
            BufReader::new(running.stdout.take().unwrap()).read_line(&mut shown).unwrap();
            running.kill().unwrap();
            running.wait().unwrap();
            shown
        });
        assert!(!shown.await.unwrap().is_empty(), "{command} shows nothing");
    }

    /// Puts in what the reader is asked to: the value of a variable that we know.
    fn with_what_is_known(&self, line: &str) -> String {
        let known = self.known.iter().find(|(name, _)| line.starts_with(&format!("{name}=")));
        known.map_or_else(|| line.to_owned(), |(name, value)| format!("{name}='{value}'"))
    }

    pub async fn apply_the_account(&self) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": access(&self.account)});
        self.kubectl(&["apply", "-f", "-"], &list.to_string()).await;
    }

    /// `kubectl` as the admin.
    pub async fn kubectl(&self, args: &[&str], stdin: &str) -> String {
        self.cluster.kubectl(args, stdin).await.unwrap()
    }

    async fn apply(&self, items: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.kubectl(&["apply", "-f", "-"], &list.to_string()).await;
    }

    /// Our CRDs, without an operator.
    pub async fn apply_the_crds(&self) {
        let crds = root().join("crds");
        self.kubectl(&["apply", "--server-side", "-f", crds.to_str().unwrap()], "").await;
        self.cluster.established().await.unwrap();
    }

    /// An object of each kind, as in the samples.
    pub async fn apply_the_samples(&self) {
        let samples = root().join("config/samples");
        self.kubectl(&["apply", "--server-side", "-f", samples.to_str().unwrap()], "").await;
    }

    /// The managed objects whose spec does not say that they stay in the account.
    pub async fn not_retained(&self) -> Vec<String> {
        let mut all = self.list(&["databricks", "--all-namespaces"]).await;
        assert_eq!(all.len(), KINDS.len() + 1, "a sample of each kind and a DatabricksAuth");
        all.retain(|object| {
            object["kind"] != "DatabricksAuth" && object["spec"]["deletionPolicy"] != "Retain"
        });
        all.iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// An object on which somebody has written these conditions.
    pub async fn apply_with_conditions(&self, name: &str, conditions: &[(&str, &str)]) {
        self.apply(&[list("default", name, "IfOwned")]).await;
        let shown = |(kind, status): &(&str, &str)| {
            json!({"type": kind, "status": status, "reason": "Written", "message": "", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<Value> = conditions.iter().map(shown).collect();
        let status = json!({"status": {"conditions": conditions}}).to_string();
        let patch =
            ["patch", "ipaccesslist", name, "--subresource=status", "--type=merge", "--patch", &status];
        self.kubectl(&patch, "").await;
    }

    /// Installs the chart with these values, and intervals with which nothing takes minutes.
    pub async fn install_fast(&self, values: &[&str]) {
        let (chart, name) = (root().join("charts/databricks-operator"), "databricks-operator");
        let fast =
            "operator.resyncInterval=1s,operator.backoffMin=100ms,operator.pollMin=100ms,operator.absence=1s";
        let args =
            ["helm", "install", name, chart.to_str().unwrap(), "--namespace", name, "--create-namespace"];
        let text = [&args[..], &["--set", fast], values].concat().join(" ");
        let heading = "install".to_owned();
        self.follow(&[Block { document: "install".into(), line: 1, heading, text: format!("{text}\n") }])
            .await;
        self.cluster.established().await.unwrap();
    }

    /// A namespace with an object of each kind, all of which are to be deleted in the account with their objects.
    pub async fn apply_a_team(&self, adoption: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
        let mut all = access(&self.account).to_vec();
        let managed = [
            (
                "Credential",
                "role",
                json!({"credentialsName": "role", "awsCredentials": {"stsRole": {
                "roleArn": "arn:aws:iam::123456789012:role/compute"}}}),
            ),
            (
                "Workspace",
                "kept",
                json!({"workspaceName": "kept", "awsRegion": "eu-west-1",
                "credentialsId": self.legacy["credentials_id"], "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b"}),
            ),
            (
                "PermissionAssignment",
                "ada",
                json!({"workspaceRef": {"name": "kept"},
                "principal": {"userName": "ada@example.com"}, "permissions": ["USER"]}),
            ),
        ];
        all.extend(managed.map(|(kind, name, spec)| object("team", kind, name, spec)));
        all.extend(["a", "b", "c"].map(|name| list("team", name, adoption)));
        for object in &mut all {
            object["metadata"]["namespace"] = json!("team");
            if object["spec"]["authRef"].is_object() {
                object["spec"]["deletionPolicy"] = json!("Delete");
            }
            if object["spec"]["authRef"].is_object() && object["kind"] != "Workspace" {
                object["spec"]["adoptionPolicy"] = json!(adoption);
            }
        }
        all.insert(0, namespace);
        self.apply(&all).await;
    }

    pub async fn team_is_ready(&self) {
        let all = "databricksauths,workspaces,credentials,permissionassignments,ipaccesslists";
        self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "-n", "team", "--all", all], "")
            .await;
    }

    /// What the account has, by collection and id.
    pub fn left(&self) -> BTreeSet<String> {
        let fields = [
            ("workspaces", "workspace_id"),
            ("credentials", "credentials_id"),
            ("ip-access-lists", "list_id"),
            ("permissionassignments", "id"),
        ];
        let of = |(collection, id): (&str, &str)| {
            let all = self.account.objects(collection).into_iter();
            all.map(|object| format!("{collection} {}", object[id])).collect::<Vec<_>>()
        };
        fields.into_iter().flat_map(of).collect()
    }

    /// Waits until every deletion in a namespace that does not wait for another object was stopped.
    pub async fn is_stopped(&self, namespace: &str) {
        let stopped = eventually("the deletions are stopped", Duration::from_secs(60), async || {
            let objects = self.list(&["ipaccesslists", "--namespace", namespace]).await;
            let blocked = |object: &&Value| {
                let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                conditions.any(|c| c["type"] == "DeletionBlocked" && c["reason"] == "TooManyDeletions")
            };
            let (all, blocked) = (objects.len(), objects.iter().filter(blocked).count());
            if all >= 2 && blocked == all { Ok(()) } else { Err(format!("{blocked} of {all}")) }
        });
        stopped.await.unwrap();
    }

    async fn list(&self, args: &[&str]) -> Vec<Value> {
        self.cluster.list(args).await.unwrap()
    }

    pub async fn is_ready(&self, namespace: &str, object: &str) {
        self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "-n", namespace, object], "").await;
    }

    /// What an upgrade must leave alone: spec and status of all objects, and the number of changes in the account.
    pub async fn state(&self) -> (Vec<Value>, usize) {
        let crds = self.list(&["customresourcedefinitions"]).await;
        if crds.is_empty() {
            return (vec![], 0);
        }
        let mut objects = self.list(&["databricks", "--all-namespaces"]).await;
        for object in &mut objects {
            let metadata = object["metadata"].take();
            object["metadata"] = json!({"uid": metadata["uid"], "generation": metadata["generation"]});
        }
        (objects, self.account.writes().len())
    }

    /// Fails if something of an installation is there.
    pub async fn nothing_is_left(&self) {
        let kinds =
            "customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,deployments";
        let all = self.list(&[kinds, "--all-namespaces"]).await;
        let ours = |object: &&Value| object["metadata"]["name"].as_str().unwrap().contains("databricks");
        let left: Vec<&Value> = all.iter().filter(ours).map(|object| &object["metadata"]["name"]).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub async fn end(self) {
        self.node.end().await;
    }
}

fn object(namespace: &str, kind: &str, name: &str, mut spec: Value) -> Value {
    spec["authRef"] = json!({"name": "account"});
    json!({"apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn list(namespace: &str, name: &str, adoption: &str) -> Value {
    let spec = json!({"label": name, "listType": "BLOCK", "ipAddresses": ["203.0.113.99"], "adoptionPolicy": adoption});
    object(namespace, "IpAccessList", name, spec)
}
