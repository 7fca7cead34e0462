//! Cluster, account and operator together, as the demo and `up` have them.
//!
//! Each stack has an account of its own, with its own id, client and secret, on a port of its own: whatever runs beside it
//! or is left of an earlier one is refused there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use world::simulator::Config;
use world::{Cluster, Error, Operator, Result, Simulator, access, fast};

/// Everything, running. The fields are dropped in this order.
pub struct Stack {
    pub operator: Operator,
    pub cluster: Cluster,
    pub account: Simulator,
    /// The operator's program.
    binary: PathBuf,
}

impl Stack {
    /// Starts everything. `seed_demo`: the account has a workspace and an IP access list that no object manages.
    pub async fn start(dir: &Path, operator: &Path, seed_demo: bool) -> Result<Stack> {
        let account = Simulator::start(Config { seed_demo, ..Config::default() }).await;
        let account = account.map_err(Error::at("starting the simulated account"))?;
        account.set(|settings| settings.small_ids = true);
        say!("account     {} (simulated)", account.url());
        let (path, binary) = (dir.to_owned(), operator.to_owned());
        let started = tokio::task::spawn_blocking(move || Cluster::start(&path, &binary)).await;
        let cluster = started.map_err(Error::at("starting the cluster"))??;
        say!("cluster     {}", cluster.control_plane.url());
        let binary = operator.to_owned();
        let operator = start_operator(&binary, &cluster).await?;
        Ok(Stack { operator, cluster, account, binary })
    }

    /// Whether something has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.cluster.control_plane.ended().is_some() || self.operator.ended().is_some()
    }

    /// This stack, after what has ended or does not answer was started again. The account is part of this process.
    pub async fn repaired(mut self) -> Result<Stack> {
        let well = self.cluster.control_plane.ended().is_none() && self.cluster.answers().await;
        if well && self.operator.ended().is_none() && self.operator.answers().await {
            return Ok(self);
        }
        let Stack { operator, mut cluster, account, binary } = self;
        drop(operator);
        if !well {
            let started = tokio::task::spawn_blocking(move || cluster.start_again()).await;
            cluster = started.map_err(Error::at("starting the cluster again"))??;
            say!("cluster     {} (started again)", cluster.control_plane.url());
        }
        let operator = start_operator(&binary, &cluster).await?;
        Ok(Stack { operator, cluster, account, binary })
    }

    /// Ends everything in good order.
    pub async fn stop(self) -> Result<()> {
        let status = self.operator.terminate().await?;
        let Cluster { control_plane, .. } = self.cluster;
        let stopped = tokio::task::spawn_blocking(move || control_plane.stop()).await;
        stopped.map_err(Error::new)?.map_err(Error::new)?;
        self.account.stop().await;
        if status.success() {
            Ok(())
        } else {
            Err(Error::new(format_args!("the operator ended with {status}")))
        }
    }

    /// `kubectl apply` of manifests.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.cluster.kubectl(&["apply", "-f", "-"], manifests).await
    }

    /// The manifests that give the operator access to the account.
    pub fn access(&self) -> String {
        json!({"apiVersion": "v1", "kind": "List", "items": access(&self.account)}).to_string()
    }

    /// All objects of our kinds.
    pub async fn objects(&self) -> Result<Vec<Value>> {
        self.list("databricks").await
    }

    /// The objects that `kubectl get` finds.
    pub async fn list(&self, what: &str) -> Result<Vec<Value>> {
        self.cluster.list(&[what, "--all-namespaces"]).await
    }
}

async fn start_operator(binary: &Path, cluster: &Cluster) -> Result<Operator> {
    let operator = Operator::start(binary, cluster, &fast(&[("installation", "demo")])).await?;
    say!("operator    process {}", operator.pid());
    Ok(operator)
}

/// `Kind/name`.
pub fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Whether the newest generation of an object is Ready.
pub fn is_ready(object: &Value) -> bool {
    let status = &object["status"];
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    status["observedGeneration"] == object["metadata"]["generation"]
        && conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}
