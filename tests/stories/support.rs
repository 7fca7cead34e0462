//! What a story begins with, and how it looks and acts.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use databricks_operator::kinds::KINDS;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use simulator::{Config, Settings, Simulator};
use world::{Cluster, Operator, Tool, eventually, fast, fresh_dir};

use crate::invariants::Watch;

pub use resource::resource;

#[path = "../account/resource.rs"]
mod resource;

/// The built operator.
pub const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
/// How long a story waits for what should take a moment. Long, because machines are slow at times.
pub const SOON: Duration = Duration::from_secs(60);
/// Within this time shows what something wakes at once. A moment, on a quiet machine, and some seconds on a busy one; without a wake-up
/// nothing would happen before the next slow re-check, minutes later.
pub const WOKEN: Duration = Duration::from_secs(30);
/// Reads of IP access lists are this late in every story that does not say otherwise; [`Story::let_reads_catch_up`] waits for
/// them. [`world::fast`] has room for them in `--read-lag`.
const IP_LIST_LAG_MS: u64 = 50;
/// The name of the story's DatabricksAuth.
pub const AUTH: &str = "account";

/// One story's stage. Ends with [`Story::end`], which is when what must hold at any time is checked.
pub struct Story {
    pub namespace: String,
    pub account: Simulator,
    pub client: Client,
    /// `None` while a story has it down.
    pub operator: Option<Operator>,
    /// Secrets that were in use; none may show up anywhere.
    pub canaries: Vec<String>,
    logs: Vec<std::path::PathBuf>,
    watch: Watch,
    ended: bool,
}

/// The API server that all stories share. It is gone when the process is.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "stories-").unwrap();
        Cluster::start(&dir, Path::new(BINARY)).unwrap()
    })
}

/// The chart's ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:operators:databricks-operator";

/// The way to the API server for operators: as the ServiceAccount of an installation by Helm, so that what a story shows
/// works with the rights that the chart grants.
pub fn kubeconfig() -> &'static Path {
    static KUBECONFIG: OnceLock<PathBuf> = OnceLock::new();
    KUBECONFIG.get_or_init(|| {
        let cluster = cluster();
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/databricks-operator");
        let mut helm = Command::new(Tool::Helm.locate().unwrap());
        helm.args(["install", "databricks-operator", chart, "--namespace=operators", "--create-namespace"]);
        // The CRDs are there already; what protected metrics need is for the story of them.
        helm.args(["--set=crds.enabled=false", "--set=metrics.auth=true,metrics.tls.secretName=metrics"])
            .arg("--set=rbac.outputSecrets.enabled=true,rbac.outputConfigMaps.enabled=true")
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("HOME", &cluster.dir);
        let output = helm.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster.control_plane.kubeconfig_for("operators", "databricks-operator").unwrap()
    })
}

impl Story {
    /// A namespace, an account with a DatabricksAuth that is Ready, and an operator that is fast.
    pub async fn start(name: &str) -> Story {
        Self::start_with(name, &[]).await
    }

    /// The same with these flags of the operator instead of the fast ones.
    pub async fn start_with(name: &str, flags: &[(&str, &str)]) -> Story {
        let mut story = Self::without_operator(name).await;
        story.start_operator(flags).await;
        story.wait_ready("DatabricksAuth", AUTH).await;
        story
    }

    /// The same with no operator yet.
    pub async fn without_operator(name: &str) -> Story {
        let client = cluster().client().await.unwrap();
        let settings = Settings {
            ip_list_lag_ms: IP_LIST_LAG_MS,
            endpoint_rule_approval_ms: Some(0),
            endpoint_rule_deactivated_ms: 0,
            ..Settings::default()
        };
        let account = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&Default::default(), &namespace).await.unwrap();
        let mut story = Story {
            watch: Watch::start(&client, name).await,
            namespace: name.to_owned(),
            operator: None,
            canaries: vec![],
            logs: vec![],
            ended: false,
            client,
            account,
        };
        let secret = story.account.client_secret.clone();
        story.set_secret(&secret).await;
        story.apply(&story.auth(AUTH)).await;
        story
    }

    /// Starts an operator for this namespace.
    pub async fn start_operator(&mut self, flags: &[(&str, &str)]) {
        self.operator = Some(self.replica(kubeconfig(), flags).await);
    }

    /// One more operator for this namespace, with this way to the API server.
    pub async fn replica(&mut self, kubeconfig: &Path, flags: &[(&str, &str)]) -> Operator {
        let flags = fast(&[&[("namespaces", &*self.namespace)], flags].concat());
        let dir = &cluster().dir;
        let operator = Operator::start_with(Path::new(BINARY), kubeconfig, dir, &flags, &[]).await.unwrap();
        self.logs.push(operator.log.clone());
        operator
    }

    /// A DatabricksAuth for the story's account.
    pub fn auth(&self, name: &str) -> Value {
        self.object(
            "DatabricksAuth",
            name,
            json!({
                "cloud": "AWS", "accountId": self.account.account_id, "host": self.account.url(),
                "authType": "OAUTH_M2M", "clientId": self.account.client_id,
                "clientSecretRef": {"name": "databricks", "key": "client-secret"},
            }),
        )
    }

    /// Writes the Secret that the DatabricksAuth names.
    pub async fn set_secret(&mut self, value: &str) {
        self.canaries.push(value.to_owned());
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": self.namespace},
            "stringData": {"client-secret": value},
        }))
        .await;
    }

    /// An object of one of our kinds, as a manifest.
    pub fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        })
    }

    /// The same for a managed kind, with the story's DatabricksAuth filled in.
    pub fn managed(&self, kind: &str, name: &str, mut spec: Value) -> Value {
        spec["authRef"] = json!({"name": AUTH});
        self.object(kind, name, spec)
    }

    /// What `kubectl apply --server-side` of a manifest, or of each in a List, sends, without a process for each.
    pub async fn apply(&self, manifest: &Value) {
        match manifest["items"].as_array() {
            Some(items) => {
                for item in items {
                    self.try_apply(item).await.unwrap();
                }
            }
            None => drop(self.try_apply(manifest).await.unwrap()),
        }
    }

    /// The same with one manifest, where the API server may refuse.
    pub async fn try_apply(&self, manifest: &Value) -> kube::Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
        let types = object.types.as_ref().unwrap();
        let ours = types.api_version.starts_with("databricks-operator.io/");
        let resource =
            if ours { resource(&types.kind) } else { ApiResource::from_gvk(&types.try_into().unwrap()) };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), object.metadata.namespace.as_ref().unwrap(), &resource);
        let params = PatchParams {
            field_manager: Some("kubectl".into()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await
    }

    /// `kubectl` in the story's namespace.
    pub async fn kubectl(&self, args: &[&str]) -> world::Result<String> {
        cluster().kubectl(&[&["--namespace", &self.namespace], args].concat(), "").await
    }

    /// The objects of one of our kinds.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// An object as it is now.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.api(kind).get(name).await.unwrap()).unwrap()
    }

    /// Merges a patch into an object, as the user `tester`.
    pub async fn patch(&self, kind: &str, name: &str, patch: Value) {
        let params = kube::api::PatchParams { field_manager: Some("tester".into()), ..Default::default() };
        self.api(kind).patch(name, &params, &kube::api::Patch::Merge(patch)).await.unwrap();
    }

    /// From now on reads of IP access lists show what somebody did in the account until now.
    pub fn let_reads_catch_up(&self) {
        self.account.advance_ms(IP_LIST_LAG_MS);
    }

    /// Asks for deletion; see [`Story::wait_gone`].
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &Default::default()).await.unwrap();
    }

    /// Waits until an object is as `look` wants it; that says what is missing, or returns what was looked for.
    pub async fn wait<T>(&self, kind: &str, name: &str, what: &str, look: impl Fn(&Value) -> Option<T>) -> T {
        let what = format!("{kind} {name}: {what}");
        let seen = eventually(what, SOON, async || {
            let object = self.api(kind).get_opt(name).await.map_err(|e| e.to_string())?;
            let object = json!(object.ok_or("there is no such object")?);
            look(&object).ok_or_else(|| shown(&object))
        });
        seen.await.unwrap()
    }

    /// Waits until a condition has this status and reason and is about the newest generation; returns the object.
    pub async fn wait_condition(
        &self,
        kind: &str,
        name: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> Value {
        let what = format!("{type_} is {status} with reason {reason}");
        self.wait(kind, name, &what, |object| {
            let found = condition(object, type_)?;
            let current = found["observedGeneration"] == object["metadata"]["generation"];
            (current && found["status"] == status && found["reason"] == reason).then(|| object.clone())
        })
        .await
    }

    /// Waits until the newest generation of an object is Ready; returns the object.
    pub async fn wait_ready(&self, kind: &str, name: &str) -> Value {
        self.wait(kind, name, "Ready", |object| {
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (current && condition(object, "Ready")?["status"] == "True").then(|| object.clone())
        })
        .await
    }

    /// Asks for a pass with a new token and waits until it is over; returns the object.
    pub async fn pass(&self, kind: &str, name: &str) -> Value {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let token = json!(format!("token {}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let annotations = json!({"databricks-operator.io/reconcile-requested-at": token});
        self.patch(kind, name, json!({"metadata": {"annotations": annotations}})).await;
        self.wait(kind, name, "the pass that was asked for is over", |object| {
            (object["status"]["lastHandledReconcileAt"] == token).then(|| object.clone())
        })
        .await
    }

    /// Waits until what is made from now on is younger than this object: Kubernetes counts in seconds.
    pub async fn wait_older(&self, kind: &str, name: &str) {
        let made = self.api(kind).get(name).await.unwrap().creation_timestamp().unwrap().0.as_second();
        let later = eventually("the clock shows a later second", SOON, async || {
            let now = k8s_openapi::jiff::Timestamp::now().as_second();
            if now > made { Ok(()) } else { Err(now.to_string()) }
        });
        later.await.unwrap();
    }

    /// Waits until an object is no more.
    pub async fn wait_gone(&self, kind: &str, name: &str) {
        let gone = eventually(format!("{kind} {name} is gone"), SOON, async || {
            match self.api(kind).get_opt(name).await.map_err(|e| e.to_string())? {
                None => Ok(()),
                Some(object) => Err(shown(&json!(object))),
            }
        });
        gone.await.unwrap();
    }

    /// Reason and note of the events about an object so far, oldest first.
    pub async fn events(&self, kind: &str, name: &str) -> Vec<(String, String)> {
        let api: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let mut all = api.list(&Default::default()).await.unwrap().items;
        all.sort_by_key(|event| event.event_time.clone());
        let about = |event: &k8s_openapi::api::events::v1::Event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|it| it.kind.as_deref() == Some(kind) && it.name.as_deref() == Some(name))
        };
        let said = |e: k8s_openapi::api::events::v1::Event| {
            (e.reason.unwrap_or_default(), e.note.unwrap_or_default())
        };
        all.into_iter().filter(about).map(said).collect()
    }

    /// Waits for an event about an object with this reason; returns its note.
    pub async fn wait_event(&self, kind: &str, name: &str, reason: &str) -> String {
        let found = eventually(format!("{kind} {name}: event {reason}"), SOON, async || {
            let events = self.events(kind, name).await;
            let found = events.iter().find(|(is, _)| is == reason).map(|(_, note)| note.clone());
            found.ok_or_else(|| format!("{events:?}"))
        });
        found.await.unwrap()
    }

    /// Ends the operator in good order, and fails if anything that must hold at any time did not.
    pub async fn end(mut self) {
        if let Some(operator) = self.operator.take() {
            let status = operator.terminate().await.unwrap();
            assert!(status.success(), "the operator ended with {status}");
        }
        let objects = self.watch.check().await;
        self.check_canaries(&objects).await;
        check_rights();
        self.ended = true;
    }

    /// No secret is in an object but the Secret, in an event, or in a log.
    async fn check_canaries(&self, objects: &[DynamicObject]) {
        let place = |object: &DynamicObject| {
            let kind = object.types.as_ref().map(|types| types.kind.clone());
            format!("{} {}", kind.unwrap_or_default(), object.name_any())
        };
        let mut texts: Vec<(String, String)> =
            objects.iter().map(|object| (place(object), json!(object).to_string())).collect();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        texts.push(("events".into(), json!(events.list(&Default::default()).await.unwrap()).to_string()));
        for log in &self.logs {
            texts.push((log.display().to_string(), std::fs::read_to_string(log).unwrap()));
        }
        for (place, text) in texts {
            let leaked = self.canaries.iter().any(|canary| text.contains(canary));
            assert!(!leaked, "ST-12: a secret is in {place}");
        }
    }
}

/// Nothing that an operator asked for was beyond the rights that the chart grants. The log is read once, however many stories
/// there are: each reads on where the one before ended.
fn check_rights() {
    static READ: Mutex<Audit> = Mutex::new(Audit { bytes: 0, allowed: 0, refused: vec![] });
    // A story that failed here leaves what it read.
    let mut audit = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let mut log = std::fs::File::open(cluster().control_plane.audit_log()).unwrap();
    log.seek(SeekFrom::Start(audit.bytes)).unwrap();
    let mut log = BufReader::new(log);
    let mut line = String::new();
    // A line that is being written is left for the next time.
    while log.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
        audit.bytes += line.len() as u64;
        if line.contains(SERVICE_ACCOUNT) {
            if line.contains(r#""authorization.k8s.io/decision":"forbid""#) {
                audit.refused.push(line.clone());
            } else {
                audit.allowed += 1;
            }
        }
        line.clear();
    }
    assert!(audit.allowed > 0, "SE-01: the audit log has nothing of the operators");
    assert_eq!(audit.refused, [""; 0], "SE-01: the chart does not grant what an operator asked for");
}

/// What was read of the audit log.
struct Audit {
    bytes: u64,
    allowed: u64,
    refused: Vec<String>,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in &self.logs {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<String> = text.lines().map(|line| line.chars().take(300).collect()).collect();
                // Short, so that the reason of the failure stays in sight.
                let end = lines[lines.len().saturating_sub(15)..].join("\n");
                eprintln!("--- {}: the end of {}\n{end}", self.namespace, log.display());
            }
        } else {
            assert!(self.ended, "the story {} was not ended", self.namespace);
        }
    }
}

/// All our kinds, as the operator has them.
pub fn kinds() -> Vec<String> {
    let managed = KINDS.iter().map(|driver| driver.kind().into_owned());
    std::iter::once("DatabricksAuth".to_owned()).chain(managed).collect()
}

/// The condition of a type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == type_)
}

/// What of an object is worth a look when a story fails.
fn shown(object: &Value) -> String {
    let meta = &object["metadata"];
    let about = json!({"generation": meta["generation"], "deletionTimestamp": meta["deletionTimestamp"],
        "finalizers": meta["finalizers"], "status": object["status"]});
    serde_json::to_string_pretty(&about).unwrap()
}
