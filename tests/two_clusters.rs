//! Two clusters with default values and one Databricks account: neither takes from the other what that one has created, and
//! a new cluster takes over from a lost one when it is given the lost one's name.
//!
//! Two control planes, each with an operator that is installed with the chart's rights and flags.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use world::simulator::Config;
use world::{Cluster, Operator, Simulator, eventually, fast, fresh_dir};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
const SOON: Duration = Duration::from_secs(180);

/// A control plane, and what distinguishes it from all others.
struct Site {
    cluster: Cluster,
    /// The UID of its `kube-system`.
    uid: String,
}

impl Site {
    async fn start(name: &str) -> Site {
        let dir =
            fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), &format!("two-clusters-{name}-")).unwrap();
        let start = move || Cluster::start(&dir, Path::new(BINARY)).unwrap();
        let cluster = tokio::task::spawn_blocking(start).await.unwrap();
        let uid = ["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"];
        let uid = cluster.kubectl(&uid, "").await.unwrap();
        Site { cluster, uid }
    }

    /// An operator that watches the whole cluster; `installation` is given to it, if at all.
    async fn operator(&self, installation: Option<&str>) -> Operator {
        let mut flags = fast(&[]);
        flags.retain(|flag| !flag.starts_with("--installation="));
        flags.extend(installation.map(|name| format!("--installation={name}")));
        Operator::start(Path::new(BINARY), &self.cluster, &flags).await.unwrap()
    }

    async fn apply(&self, manifests: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        self.cluster.kubectl(&["apply", "--server-side", "-f", "-"], &list.to_string()).await.unwrap();
    }

    /// Waits until the reason of Ready of the workspace is this one; returns the object.
    async fn reason(&self, reason: &str) -> Value {
        let seen = eventually(format!("the workspace says {reason}"), SOON, async || {
            let get = ["get", "workspace", "analytics", "-o", "json"];
            let text = self.cluster.kubectl(&get, "").await.map_err(|e| e.to_string())?;
            let object: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            if ready(&object)["reason"] == reason { Ok(object) } else { Err(object["status"].to_string()) }
        });
        seen.await.unwrap()
    }

    /// Waits until the workspace is refused with the advice to start the operator under this name.
    async fn names(&self, installation: &str) {
        let refused = ready(&self.reason("AlreadyExists").await);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(&format!("--installation={installation} ")), "{message}");
    }

    async fn delete(&self) {
        self.cluster.kubectl(&["delete", "workspace", "analytics", "--timeout=3m"], "").await.unwrap();
    }
}

fn ready(object: &Value) -> Value {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

const CREDENTIALS: &str = "7f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f";

/// What both clusters get: the account, and a workspace whose deletion would reach it.
fn manifests(account: &Simulator) -> [Value; 3] {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
        "stringData": {"client-secret": account.client_secret}});
    let auth = json!({"cloud": "AWS", "accountId": account.account_id, "host": account.url(), "authType": "OAUTH_M2M",
        "clientId": account.client_id, "clientSecretRef": {"name": "databricks", "key": "client-secret"}});
    let workspace = json!({"authRef": {"name": "account"}, "workspaceName": "analytics", "awsRegion": "eu-west-1",
        "credentialsId": CREDENTIALS,
        "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b", "deletionPolicy": "Delete"});
    [secret, object("DatabricksAuth", "account", auth), object("Workspace", "analytics", workspace)]
}

fn marks(account: &Simulator) -> Vec<Value> {
    let workspaces = account.objects("workspaces");
    workspaces.iter().map(|w| w["custom_tags"]["databricks-operator"].clone()).collect()
}

/// The methods of the calls that wanted to change something.
fn writes(account: &Simulator) -> Vec<String> {
    account.writes().into_iter().map(|call| call.method).collect()
}

/// Covers HA-08. The same manifests in two clusters with default values: the second one says whose the workspace is, writes
/// nothing, and deleting it there deletes nothing in the account. When the first cluster is lost, a second one that is given its
/// name goes on with the same workspace.
#[tokio::test]
async fn a_second_cluster_takes_nothing_from_the_first_until_it_is_given_its_name() {
    let account = Simulator::start(Config::default()).await.unwrap();
    let credentials = json!({"credentials_id": CREDENTIALS, "credentials_name": "analytics"});
    account.insert("credentials", credentials).unwrap();
    let (first, second) = tokio::join!(Site::start("first"), Site::start("second"));
    assert_ne!(first.uid, second.uid);
    let operator = first.operator(None).await;
    first.apply(&manifests(&account)).await;
    let id = first.reason("Available").await["status"]["externalId"].clone();
    let marked = [json!(format!("{}/default/analytics", first.uid))];
    assert_eq!(marks(&account), marked);
    // The name is shown: in the log, and in the status.
    let line = operator.text().lines().find(|line| line.contains("the operator starts")).map(str::to_owned);
    assert!(line.as_ref().is_some_and(|line| line.contains(&first.uid)), "{line:?}");
    let shown = ["get", "databricksauth", "account", "-o", "jsonpath={.status.installation}"];
    assert_eq!(first.cluster.kubectl(&shown, "").await.unwrap(), first.uid);

    account.clear_journal();
    let other = second.operator(None).await;
    second.apply(&manifests(&account)).await;
    second.names(&first.uid).await;
    second.delete().await;
    second.apply(&manifests(&account)).await;
    second.reason("AlreadyExists").await;
    assert_eq!(writes(&account), [""; 0]);
    assert_eq!(marks(&account), marked);
    first.reason("Available").await;

    // An operator that has forgotten its name, as after an upgrade from one with another default, leaves alone what it made.
    assert!(operator.terminate().await.unwrap().success());
    let operator = first.operator(Some("renamed")).await;
    first.names(&first.uid).await;
    assert!(operator.terminate().await.unwrap().success());
    let operator = first.operator(Some(&first.uid)).await;
    first.reason("Available").await;
    assert_eq!(writes(&account), [""; 0]);

    // The first cluster is lost.
    operator.kill().unwrap();
    drop(first.cluster);
    assert!(other.terminate().await.unwrap().success());
    let operator = second.operator(Some(&first.uid)).await;
    let taken = second.reason("Available").await;
    assert_eq!(taken["status"]["externalId"], id);
    assert_eq!(writes(&account), [""; 0]);
    // It is its own now: a deletion reaches the account.
    second.delete().await;
    assert_eq!(writes(&account), ["DELETE"]);
    assert!(operator.terminate().await.unwrap().success());
}
