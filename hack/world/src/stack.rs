//! Cluster, account and operator together, as the demo and `up` have them.
//!
//! Account, client and secret are fixed, so that the manifests in `config/demo` can be applied as they are. The port is
//! fixed too but may be taken; the manifests are then applied with another one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use world::simulator::Config;
use world::{Cluster, Error, Operator, Result, Simulator, fast};

/// As in `config/demo/auth.yaml`.
const PORT: u16 = 18080;
const ACCOUNT_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
const CLIENT_ID: &str = "0a1b2c3d-0000-4000-8000-00000000000c";
const CLIENT_SECRET: &str = "demo-secret-of-the-simulated-account";

/// The account of the demo and its credentials.
pub const AUTH: &str = include_str!("../../../config/demo/auth.yaml");

/// Everything, running. The fields are dropped in this order.
pub struct Stack {
    pub operator: Operator,
    pub cluster: Cluster,
    pub account: Simulator,
}

impl Stack {
    /// Starts everything. `seed`: the account has a workspace and an IP access list that nobody manages.
    pub async fn start(dir: &Path, operator: &Path, seed: bool) -> Result<Stack> {
        let account = account(seed).await?;
        println!("account     {} (simulated)", account.url());
        let (path, binary) = (dir.to_owned(), operator.to_owned());
        let started = tokio::task::spawn_blocking(move || Cluster::start(&path, &binary)).await;
        let cluster = started.map_err(Error::at("starting the cluster"))??;
        println!("cluster     {}", cluster.control_plane.url());
        let operator = Operator::start(operator, &cluster, &fast(&[])).await?;
        println!("operator    process {}", operator.pid());
        Ok(Stack { operator, cluster, account })
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

    /// `kubectl apply` of manifests of the demo.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.cluster.kubectl(&["apply", "-f", "-"], &self.here(manifests)).await
    }

    /// Manifests of the demo with the account's real port.
    pub fn here(&self, manifests: &str) -> String {
        manifests.replace(&format!("http://127.0.0.1:{PORT}"), &self.account.url())
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

async fn account(seed_demo: bool) -> Result<Simulator> {
    let config = |port| Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        account_id: ACCOUNT_ID.into(),
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        seed_demo,
        ..Config::default()
    };
    let started = match Simulator::start(config(PORT)).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Simulator::start(config(0)).await,
        result => result,
    };
    started.map_err(Error::at("starting the simulated account"))
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
