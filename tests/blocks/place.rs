//! A cluster, an account and a shell in which blocks are run.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Config, Simulator};
use world::{Cluster, ControlPlane, Tool, eventually, fresh_dir};

use crate::document::{Block, root};
use crate::node::Node;

/// Long, because machines are slow at times; a document that waits for what never comes ends by its own limits.
const A_DOCUMENT: Duration = Duration::from_secs(400);

/// Where documents are followed.
pub struct Place {
    cluster: Arc<Cluster>,
    /// The account of the DatabricksAuth.
    pub account: Simulator,
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

        let [secret, auth] = demo().try_into().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let config = Config {
            account_id: text(&auth["spec"]["accountId"]),
            client_id: text(&auth["spec"]["clientId"]),
            client_secret: text(&secret["stringData"]["client-secret"]),
            ..Config::default()
        };
        let secret_file = dir.join("client-secret");
        std::fs::write(&secret_file, format!("{}\n", config.client_secret)).unwrap();
        let (account_id, client_id) = (config.account_id.clone(), config.client_id.clone());
        let account = Simulator::start(config).await.unwrap();
        let known = vec![
            ("ACCOUNT_ID", account_id),
            ("CLIENT_ID", client_id),
            ("CLIENT_SECRET_FILE", secret_file.to_str().unwrap().to_owned()),
            ("HOST", account.url()),
        ];
        let cluster = Arc::new(Cluster { control_plane, dir });
        let node = Node::start(cluster.clone());
        Place { cluster, account, node, programs, known }
    }

    /// Runs blocks in one shell, as a reader would in the root of the repository.
    pub async fn follow(&self, blocks: &[Block]) {
        let Some(first) = blocks.first() else { return };
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
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail"])
            .arg(&script_file)
            .current_dir(root())
            .env("PATH", path)
            // A cache of what the API server serves would be older than the CRDs.
            .env("HOME", fresh_dir(&self.cluster.dir, "home-").unwrap())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
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
    }

    /// Puts in what the reader is asked to: the value of a variable that we know.
    fn with_what_is_known(&self, line: &str) -> String {
        let known = self.known.iter().find(|(name, _)| line.starts_with(&format!("{name}=")));
        known.map_or_else(|| line.to_owned(), |(name, value)| format!("{name}='{value}'"))
    }

    pub async fn apply_the_demos_account(&self) {
        let mut manifests = demo();
        manifests[1]["spec"]["host"] = json!(self.account.url());
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        self.kubectl(&["apply", "-f", "-"], &list.to_string()).await;
    }

    async fn kubectl(&self, args: &[&str], stdin: &str) -> String {
        self.cluster.kubectl(args, stdin).await.unwrap()
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

/// The Secret and the DatabricksAuth of the demo.
fn demo() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("config/demo/auth.yaml")).unwrap();
    format!("\n{text}").split("\n---\n").map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}
