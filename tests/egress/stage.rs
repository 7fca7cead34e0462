//! A cluster, and an account that speaks TLS under a name of its own, with a certificate of an authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Config, Simulator};
use world::{Cluster, eventually, fast, fresh_dir};

use crate::middle::{Authority, Proxy, Terminator};

/// The host of the account.
pub const HOST: &str = "accounts.databricks.test";
/// How long a story waits for what should take a moment. Long, because machines are slow at times.
pub const SOON: Duration = Duration::from_secs(60);

/// Everything but the operator and the proxy.
pub struct Stage {
    pub cluster: Cluster,
    pub account: Simulator,
    pub authority: Authority,
    /// TLS in front of the account.
    pub front: Terminator,
}

impl Stage {
    /// Starts a cluster with a DatabricksAuth for the account. `binary` is the operator whose CRDs it gets.
    pub async fn start(name: &str, binary: &str) -> Stage {
        let (prefix, binary) = (format!("{name}-"), PathBuf::from(binary));
        let started = tokio::task::spawn_blocking(move || {
            let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), &prefix).unwrap();
            Cluster::start(&dir, &binary).unwrap()
        });
        let account = Simulator::start(Config::default()).await.unwrap();
        let authority = Authority::new("The authority of a company");
        let front = Terminator::open(&authority, HOST, &account.url()).await;
        let stage = Stage { cluster: started.await.unwrap(), account, authority, front };
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
            "stringData": {"client-secret": stage.account.client_secret},
        });
        let auth = json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": "DatabricksAuth",
            "metadata": {"name": "account", "namespace": "default"},
            "spec": {
                "cloud": "AWS", "accountId": stage.account.account_id, "host": format!("https://{HOST}"),
                "authType": "OAUTH_M2M", "clientId": stage.account.client_id,
                "clientSecretRef": {"name": "databricks", "key": "client-secret"},
            },
        });
        let manifests = format!("{secret}\n---\n{auth}");
        stage.cluster.kubectl(&["apply", "--server-side", "-f", "-"], &manifests).await.unwrap();
        stage
    }

    /// A proxy that knows the account's host.
    pub async fn proxy(&self) -> Proxy {
        Proxy::open(&[(&format!("{HOST}:443"), self.front.address)]).await
    }

    /// Host and port of the API server.
    pub fn api_server(&self) -> &str {
        self.cluster.control_plane.url().trim_start_matches("https://")
    }

    /// Writes a file beside the cluster's.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.cluster.dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The authority of the API server, as the kubeconfig has it.
    pub fn api_servers_ca(&self) -> String {
        fs::read_to_string(self.cluster.control_plane.ca()).unwrap()
    }

    /// The flags of a fast operator that may send credentials to the account's host.
    pub fn flags(&self, more: &[(&str, &str)]) -> Vec<String> {
        fast(&[&[("allowed-host-suffixes", "databricks.test")], more].concat())
    }

    /// Waits until the DatabricksAuth is Ready or not, as `wanted` says, for a reason whose message has this in it.
    pub async fn wait_auth(&self, wanted: &str, says: &str) {
        let what = format!("the DatabricksAuth is Ready: {wanted}, and says {says:?}");
        let ready = eventually(what, SOON, async || {
            let ready = self.ready().await?;
            let message = ready["message"].as_str().unwrap_or_default();
            match ready["status"] == wanted && message.contains(says) {
                true => Ok(()),
                false => Err(ready.to_string()),
            }
        });
        ready.await.unwrap();
    }

    async fn ready(&self) -> Result<Value, String> {
        let get = ["get", "databricksauth", "account", "--namespace=default", "-o", "json"];
        let text = self.cluster.kubectl(&get, "").await.map_err(|e| e.to_string())?;
        let object: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|c| c["type"] == "Ready").ok_or_else(|| "no condition Ready".into())
    }
}
