//! A namespace with an account behind it, and what a user does there.

use std::time::Duration;

use databricks_operator::kinds::KINDS;
use serde_json::{Value, json};
use simulator::{Config, Simulator};
use world::{access, eventually};

use crate::site::{Site, objects, root};

/// How long what should take a moment may take. Long, because machines are slow at times.
pub const SOON: Duration = Duration::from_secs(60);
/// The name of the DatabricksAuth.
pub const AUTH: &str = "account";

/// A namespace whose objects carry these labels, and the simulated account of its DatabricksAuth.
pub struct Stage<'a> {
    pub site: &'a Site,
    pub namespace: String,
    pub account: Simulator,
    labels: Value,
}

impl<'a> Stage<'a> {
    /// Makes the namespace, with a DatabricksAuth and its Secret in it.
    pub async fn start(site: &'a Site, namespace: &str, labels: Value) -> Stage<'a> {
        let account = Simulator::start(Config::default()).await.unwrap();
        // Private endpoints are approved at once, and gone at once.
        account.set(|settings| {
            settings.endpoint_rule_approval_ms = Some(0);
            settings.endpoint_rule_deactivated_ms = 0;
        });
        // The workspace of the demo refers to them.
        let credentials =
            json!({"credentials_id": "11111111-2222-4333-8444-000000000001", "credentials_name": "legacy"});
        account.insert("credentials", credentials).unwrap();
        let storage = "11111111-2222-4333-8444-000000000002";
        let storage = json!({"storage_configuration_id": storage, "storage_configuration_name": "legacy"});
        account.insert("storage-configurations", storage).unwrap();
        let access = access(&account);
        site.namespace(namespace, &json!({})).await;
        let stage = Stage { site, namespace: namespace.to_owned(), account, labels };
        stage.apply(&access).await;
        stage
    }

    /// Applies manifests in a namespace that they do not name.
    pub async fn apply(&self, manifests: &[Value]) {
        self.site.apply(&self.here(manifests)).await.unwrap();
    }

    /// Manifests with namespace and labels.
    pub fn here(&self, manifests: &[Value]) -> Vec<Value> {
        let mut manifests = manifests.to_vec();
        for manifest in &mut manifests {
            let metadata = manifest["metadata"].as_object_mut().unwrap();
            metadata.entry("namespace").or_insert(json!(self.namespace));
            metadata.insert("labels".into(), self.labels.clone());
        }
        manifests
    }

    /// `kubectl` in the namespace.
    pub async fn kubectl(&self, args: &[&str]) -> world::Result<String> {
        self.site.kubectl(&[args, &["--namespace", &self.namespace]].concat(), "").await
    }

    /// Waits until manifests that were applied are Ready.
    pub async fn ready(&self, manifests: &[Value]) {
        self.wait("condition=Ready", manifests).await;
    }

    /// Waits until the reason of Ready is this for all of them.
    pub async fn reason(&self, reason: &str, manifests: &[Value]) {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
        self.wait(&format!("{path}={reason}"), manifests).await;
    }

    async fn wait(&self, what: &str, manifests: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.here(manifests)});
        let what = format!("--for={what}");
        let waited = self.site.kubectl(&["wait", &what, "--timeout=60s", "-f", "-"], &list.to_string()).await;
        if let Err(error) = waited {
            let all = self.site.kubectl(&["get", "databricks", "--all-namespaces", "-o", "yaml"], "").await;
            panic!("{error}\n{}", all.unwrap());
        }
    }

    /// Waits until so many events of this reason were told of one object; repeated ones are a series.
    pub async fn told(&self, name: &str, reason: &str, times: i64) {
        let told = eventually(format!("{times} events {reason} about {name}"), SOON, async || {
            let events = self.site.list(&["events.events.k8s.io", "--namespace", &self.namespace]).await;
            let ours = events.iter().filter(|e| e["regarding"]["name"] == name && e["reason"] == reason);
            let seen: i64 = ours.map(|e| e["series"]["count"].as_i64().unwrap_or(1)).sum();
            if seen >= times { Ok(()) } else { Err(format!("{seen}")) }
        });
        told.await.unwrap();
    }

    /// The list of the account with this label.
    pub fn list(&self, label: &str) -> Value {
        let all = self.account.objects("ip-access-lists");
        all.into_iter().find(|list| list["label"] == label).unwrap()
    }

    /// Somebody changes a list in the account console; waits until it was told that this was corrected, so often so
    /// far.
    pub async fn drift(&self, label: &str, times: i64) {
        let before = self.list(label);
        let id = before["list_id"].as_str().unwrap();
        self.account.edit("ip-access-lists", id, json!({"ip_addresses": ["192.0.2.1"]})).unwrap();
        self.told(label, "DriftCorrected", times).await;
        assert_ne!(self.list(label)["ip_addresses"], json!(["192.0.2.1"]));
    }
}

/// Manifests of a file of `config/demo`.
pub fn demo(file: &str) -> Vec<Value> {
    manifests(&format!("config/demo/{file}.yaml"))
}

/// One object of each kind but DatabricksAuth, for the account of the demo.
pub fn one_of_each() -> Vec<Value> {
    KINDS.iter().map(|driver| one_of(&driver.kind())).collect()
}

/// The object of [`one_of_each`] of a kind.
pub fn one_of(kind: &str) -> Value {
    let mut manifest = sample(&kind.to_lowercase()).remove(0);
    manifest["spec"]["authRef"] = json!({"name": AUTH});
    manifest
}

/// Manifests of a file of `config/samples`.
pub fn sample(file: &str) -> Vec<Value> {
    manifests(&format!("config/samples/{file}.yaml"))
}

fn manifests(path: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(root().join(path)).unwrap())
}
