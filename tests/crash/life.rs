//! One object's life: it is made, its spec is changed, somebody changes the object in the account, it is deleted; with at
//! most one crash of the operator on the way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use databricks_operator::engine::crd::RECONCILE_REQUESTED;
use databricks_operator::engine::kind::{Driver, Lifecycle};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};
use simulator::{Config, Settings, Simulator};
use tokio::task::JoinSet;
use world::{Operator, eventually, fast};

use crate::gate::{Kill, Ledger, Point, Side, open};
use crate::invariants::Watch;
use crate::support::{AUTH, BINARY, SOON, cluster, condition};

/// So late LISTs are while the object is made: a create that does not wait until its lost predecessor surely shows makes a
/// second object. A new start of the operator takes less than that.
const LIST_LAG_MS: u64 = 2500;
/// Longer than the lag by a second, for the time of an intent is in whole seconds, and by another for slow machines.
const QUARANTINE: &str = "5s";

/// What lives.
#[derive(Clone)]
pub struct Subject {
    pub kind: String,
    driver: &'static dyn Driver,
    /// The spec of the kind's sample; it refers to nothing that is not in the account.
    spec: Value,
    /// What is known from the life without a crash.
    pub told: Option<Told>,
}

/// What a life without a crash tells.
#[derive(Clone)]
pub struct Told {
    points: Vec<Point>,
    collection: String,
    /// The two objects before the deletion, without what differs from life to life.
    end: [Value; 2],
}

/// A change of the sample that the kind can carry out, if possible of what the object is found by. Its opposite, done in
/// the account, is the drift. `None`: nothing of the kind can be changed, so it has neither.
fn edit(kind: &str) -> Option<Value> {
    Some(match kind {
        "IpAccessList" => json!({"label": "branch", "ipAddresses": ["192.0.2.0/24"]}),
        "PermissionAssignment" => json!({"permissions": ["ADMIN"]}),
        "Workspace" => json!({"customTags": {"team": "science"}}),
        "Credential" => return None,
        other => panic!("say here which field of the sample of {other} may be changed, and to what"),
    })
}

impl Subject {
    /// Whether its spec can be changed once the object exists.
    pub fn changes(&self) -> bool {
        edit(&self.kind).is_some()
    }

    /// A kind's sample, as an object that deletes what it made.
    pub fn sample(driver: &'static dyn Driver) -> Subject {
        let kind = driver.api_resource().kind;
        let file = format!("{}/config/samples/{}.yaml", env!("CARGO_MANIFEST_DIR"), kind.to_lowercase());
        let sample: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).expect(&file)).unwrap();
        let mut spec = sample["spec"].clone();
        spec["authRef"] = json!({"name": AUTH});
        spec["deletionPolicy"] = json!("Delete");
        Subject { kind, driver, spec, told: None }
    }

    /// The calls of a life without a crash, in order.
    pub fn points(&self) -> &[Point] {
        self.told.as_ref().map_or(&[], |told| &told.points)
    }

    /// The spec with an id from the account in place of each reference: `workspaceRef` becomes `workspaceId`.
    fn spec_for(&self, account: &Simulator) -> Value {
        let mut spec = Map::new();
        for (field, value) in self.spec.as_object().unwrap().clone() {
            match field.strip_suffix("Ref").filter(|stem| *stem != "auth") {
                Some(stem) => {
                    let made = account.insert(&collection_of(stem), json!({})).unwrap();
                    spec.insert(format!("{stem}Id"), made[format!("{}_id", words(stem).join("_"))].clone());
                }
                None => {
                    if let Some(id) = value.as_str().filter(|_| field == "credentialsId") {
                        let credentials = json!({"credentials_id": id, "credentials_name": "analytics"});
                        account.insert("credentials", credentials).unwrap();
                    }
                    spec.insert(field, value);
                }
            }
        }
        Value::Object(spec)
    }
}

/// The words of a name in camel case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            words.push(String::new());
        }
        words.last_mut().unwrap().push(c.to_ascii_lowercase());
    }
    words
}

/// The collection of the account that `workspaceRef` or `storageConfigurationRef` refers to, by the name without `Ref`.
fn collection_of(stem: &str) -> String {
    let name = words(stem).join("-");
    if name.ends_with('s') { name } else { format!("{name}s") }
}

#[test]
fn a_reference_of_several_words_names_its_collection() {
    let of = ["workspace", "storageConfiguration", "credentials"].map(collection_of);
    assert_eq!(of, ["workspaces", "storage-configurations", "credentials"]);
}

/// Lives one life, and fails if it goes wrong anywhere.
pub async fn live(subject: Arc<Subject>, kill: Option<Kill>) -> Told {
    let mut life = Life::begin(subject, kill).await;
    let made = life.create().await;
    if life.subject.changes() {
        let changed = life.update(&made).await;
        life.drift(&made, &changed).await;
    }
    // Once the new operator has done its work, so that there is something that the late write is refused for.
    life.settle().await;
    life.late().await;
    let end = life.settle().await;
    life.delete().await;
    life.late().await;
    life.end().await;
    Told { points: life.ledger.points(), collection: life.collection.get().unwrap().clone(), end }
}

struct Life {
    subject: Arc<Subject>,
    kill: Option<Kill>,
    ledger: Arc<Ledger>,
    account: Simulator,
    namespace: String,
    api: Api<DynamicObject>,
    auths: Api<DynamicObject>,
    kubeconfig: PathBuf,
    operator: Option<Operator>,
    logs: Vec<PathBuf>,
    watch: Watch,
    /// Of the DatabricksAuth: the gate in front of the account.
    host: String,
    /// The account's id of the object, once it is known.
    id: String,
    /// The collection of the account that the object is in, once that is known.
    collection: OnceLock<String>,
    _gates: JoinSet<std::io::Result<()>>,
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some("tester".into()), ..PatchParams::default() }
}

fn typed(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", kind))
}

const HOUR_MS: u64 = 3_600_000;

/// What takes time there takes an hour of a clock that [`Life::time`] sets.
async fn account() -> Simulator {
    let (hour, days) = (HOUR_MS, 100 * HOUR_MS);
    let times = Settings { start_ms: hour, provisioning_ms: hour, deletion_ms: hour, ..Settings::default() };
    let settings = Settings { token_lifetime_ms: days, ..times };
    Simulator::start(Config { settings, ..Config::default() }).await.unwrap()
}

/// Trusts the API server's certificate.
fn client() -> reqwest::Client {
    let pem = std::fs::read(cluster().control_plane.ca()).unwrap();
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
    reqwest::Client::builder().tls_certs_only(certificates).no_proxy().no_gzip().build().unwrap()
}

impl Life {
    /// A namespace, an account behind a gate, an API server behind another, an operator, a DatabricksAuth that is Ready.
    async fn begin(subject: Arc<Subject>, kill: Option<Kill>) -> Life {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("crash-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let kube = cluster().client().await.unwrap();
        let account = account().await;
        let collection = subject.told.as_ref().map(|told| told.collection.clone());
        let ledger = Ledger::new(account.clone(), &namespace, collection.clone(), kill.clone());
        let (mut gates, plane) = (JoinSet::new(), &cluster().control_plane);
        let host = open(&ledger, Side::Account, &account.url(), client(), &mut gates).await;
        let side = Side::Cluster { token: plane.token().to_owned() };
        let server = open(&ledger, side, plane.url(), client(), &mut gates).await;
        let kubeconfig = cluster().dir.join(format!("{namespace}.kubeconfig"));
        std::fs::write(&kubeconfig, kubeconfig_text(&server)).unwrap();
        let metadata = |name: &str| json!({"name": name});
        let namespaces: Api<Namespace> = Api::all(kube.clone());
        let made = serde_json::from_value(json!({"metadata": metadata(&namespace)})).unwrap();
        namespaces.create(&Default::default(), &made).await.unwrap();
        let mut life = Life {
            watch: Watch::start(&kube, &namespace).await,
            api: Api::namespaced_with(kube.clone(), &namespace, &typed(&subject.kind)),
            auths: Api::namespaced_with(kube.clone(), &namespace, &typed("DatabricksAuth")),
            operator: None,
            logs: vec![],
            id: String::new(),
            collection: collection.map(OnceLock::from).unwrap_or_default(),
            _gates: gates,
            subject,
            kill,
            ledger,
            account,
            namespace,
            kubeconfig,
            host,
        };
        life.start_operator().await;
        life.sign_in(kube).await;
        life
    }

    async fn sign_in(&mut self, kube: kube::Client) {
        let secrets: Api<Secret> = Api::namespaced(kube, &self.namespace);
        let secret =
            json!({"metadata": {"name": "databricks"}, "stringData": {"secret": self.account.client_secret}});
        secrets.create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        let auth = object(
            "DatabricksAuth",
            AUTH,
            json!({
                "cloud": "AWS", "accountId": self.account.account_id, "host": self.host, "authType": "OAUTH_M2M",
                "clientId": self.account.client_id, "clientSecretRef": {"name": "databricks", "key": "secret"},
            }),
        );
        self.auths.create(&Default::default(), &auth).await.unwrap();
        let auths = self.auths.clone();
        let ready = eventually("the DatabricksAuth is ready", SOON, async || {
            let seen = json!(auths.get(AUTH).await.map_err(|e| e.to_string())?);
            let ready = condition(&seen, "Ready").is_some_and(|c| c["status"] == "True");
            if ready { Ok(()) } else { Err(seen["status"].to_string()) }
        });
        ready.await.unwrap();
    }

    /// The account is looked at when there is a reason, and never by the clock: only then is a life the same each time.
    async fn start_operator(&mut self) {
        let flags = [
            ("namespaces", &*self.namespace),
            ("resync-interval", "Never"),
            ("quarantine", QUARANTINE),
            ("absence", "300ms"),
            ("poll-max", "200ms"),
            // Its account shows each change at once.
            ("read-lag", "1ms"),
        ];
        let started =
            Operator::start_with(Path::new(BINARY), &self.kubeconfig, &cluster().dir, &fast(&flags), &[])
                .await;
        let operator = started.unwrap();
        self.logs.push(operator.log.clone());
        self.operator = Some(operator);
    }

    async fn create(&mut self) -> Value {
        self.phase("create");
        self.account.set(|settings| settings.list_lag_ms = LIST_LAG_MS);
        let spec = self.subject.spec_for(&self.account);
        self.api.create(&Default::default(), &object(&self.subject.kind, "it", spec)).await.unwrap();
        let ready = self.reach("create", async |life| life.ready().await).await;
        self.account.set(|settings| settings.list_lag_ms = 0);
        self.id = ready["status"]["externalId"].as_str().unwrap().to_owned();
        self.only_one()
    }

    async fn update(&mut self, made: &Value) -> Value {
        self.phase("update");
        self.edit().await;
        self.reach("update", async |life| life.ready().await).await;
        let changed = self.only_one();
        let edited = self.kill.as_ref().is_some_and(|kill| kill.edited);
        assert!(edited || *made != changed, "the update has changed nothing: {changed}");
        changed
    }

    async fn edit(&self) {
        let change = edit(&self.subject.kind).expect("asked only of kinds that can be changed");
        let patch = Patch::Merge(json!({"spec": change}));
        self.api.patch("it", &params(), &patch).await.unwrap();
    }

    /// Somebody undoes the update in the account.
    async fn drift(&mut self, made: &Value, changed: &Value) {
        self.phase("drift");
        let undo = differing(changed, made);
        self.account.edit(self.collection.get().unwrap(), &self.id, Value::Object(undo.clone())).unwrap();
        let asked = Patch::Merge(json!({"metadata": {"annotations": {RECONCILE_REQUESTED: "drift"}}}));
        self.api.patch("it", &params(), &asked).await.unwrap();
        self.reach("drift", async |life| {
            let outside = life.outside()?;
            let open: Vec<_> = undo.keys().filter(|field| outside[*field] != changed[*field]).collect();
            let seen = life.ready().await?;
            let handled = seen["status"]["lastHandledReconcileAt"] == "drift";
            if open.is_empty() && handled { Ok(()) } else { Err(format!("{open:?} of {outside}; {seen}")) }
        })
        .await;
        self.only_one();
    }

    /// What a dead operator has sent is refused, for the object has changed since.
    async fn late(&self) {
        let refused = [None, Some(StatusCode::CONFLICT), Some(StatusCode::NOT_FOUND)];
        let became = self.ledger.deliver().await;
        assert!(refused.contains(&became), "a late write of the dead operator was answered {became:?}");
    }

    /// The two objects, once they are as without a crash: a new start may show for a moment that it is not yet ready.
    async fn settle(&self) -> [Value; 2] {
        let settled = eventually("the same end as without a crash", SOON, async || {
            let end = [self.masked(&self.seen().await?), self.masked(&self.only_one())];
            match &self.subject.told {
                Some(told) if told.end != end => Err(format!("{end:?}\ninstead of {:?}", told.end)),
                _ => Ok(end),
            }
        });
        settled.await.unwrap()
    }

    async fn delete(&mut self) {
        let early: Vec<_> = self.account.journal().into_iter().filter(|c| c.method == "DELETE").collect();
        assert!(early.is_empty(), "a DELETE was sent before the object was deleted: {early:?}");
        self.phase("delete");
        self.api.delete("it", &Default::default()).await.unwrap();
        self.reach("delete", async |life| {
            let left = life.api.get_opt("it").await.map_err(|e| e.to_string())?;
            let Some(left) = left else { return Ok(()) };
            life.time(&json!(left));
            Err(json!(left).to_string())
        })
        .await;
        let left = self.there();
        assert!(left.is_empty(), "the object is gone, and in the account there are {left:?}");
    }

    async fn end(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill().unwrap();
        }
        assert_eq!(self.ledger.wrong(), [] as [String; 0]);
        if self.subject.driver.traits().lifecycle == Lifecycle::Object {
            let creates: Vec<_> = self.account.writes();
            let creates: Vec<_> = creates.iter().filter(|c| c.method == "POST" && c.applied).collect();
            assert_eq!(creates.len(), 1, "{creates:?}");
        }
        self.watch.check().await;
        self.account.stop().await;
        self.account.clear_journal();
    }

    fn phase(&self, phase: &'static str) {
        self.ledger.begin(phase);
    }

    /// Waits for the end of a phase. If the operator is to be killed in it, that comes first. A phase without a crash ends
    /// when all calls are made that are known to belong to it, so that none counts in the next one.
    async fn reach<T>(
        &mut self,
        phase: &str,
        goal: impl AsyncFn(&Life) -> std::result::Result<T, String>,
    ) -> T {
        let phase_of_kill = self.kill.as_ref().map(|kill| kill.point.phase);
        if phase_of_kill == Some(phase) {
            self.crash().await;
        }
        let found = eventually(format!("the end of {phase}"), SOON, async || goal(self).await).await.unwrap();
        match (&self.subject.told, phase_of_kill) {
            (None, _) => self.quiet().await,
            (Some(_), Some(later)) if !self.crashed() && later != phase => {
                let all = eventually(format!("all calls of {phase}"), SOON, async || {
                    let missing = self.ledger.missing(self.subject.points(), phase);
                    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
                });
                all.await.unwrap();
            }
            _ => {}
        }
        found
    }

    fn crashed(&self) -> bool {
        self.logs.len() > 1
    }

    async fn crash(&mut self) {
        let came = eventually(self.kill.as_ref().unwrap(), SOON, async || {
            if self.ledger.struck() {
                return Ok(());
            }
            let seen = self.seen().await?;
            self.time(&seen);
            Err(seen["status"].to_string())
        });
        came.await.unwrap();
        self.operator.take().unwrap().kill().unwrap();
        if self.kill.as_ref().unwrap().edited {
            self.edit().await;
        }
        self.ledger.thaw();
        self.start_operator().await;
    }

    /// Without knowing what is to come, the end of it is when nothing comes any more.
    async fn quiet(&self) {
        let quiet = eventually("no calls any more", SOON, async || {
            let since = self.ledger.last_at().elapsed();
            if since > Duration::from_secs(4) { Ok(()) } else { Err(format!("one {since:?} ago")) }
        });
        quiet.await.unwrap();
    }

    async fn seen(&self) -> std::result::Result<Value, String> {
        Ok(json!(self.api.get("it").await.map_err(|e| e.to_string())?))
    }

    /// An hour passes in the account each time the operator has shown a state: so no state goes unseen, however slow it is.
    fn time(&self, seen: &Value) {
        let outside = self.there().into_iter().next().unwrap_or_default();
        let shown = |value: &Value| value.is_string() && *value == seen["status"]["state"];
        let ready = condition(seen, "Ready").is_some_and(|c| c["status"] == "True");
        if !ready && outside.as_object().is_some_and(|fields| fields.values().any(shown)) {
            self.account.advance_ms(HOUR_MS);
        }
    }

    async fn ready(&self) -> std::result::Result<Value, String> {
        let seen = self.seen().await?;
        let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        let holds = |type_| condition(&seen, type_).is_some_and(|c| c["status"] == "True");
        if current && holds("Ready") && holds("Synced") {
            return Ok(seen);
        }
        self.time(&seen);
        Err(seen["status"].to_string())
    }

    /// The objects of the collection that the object is in. That one is named by the path of the write that made it.
    fn there(&self) -> Vec<Value> {
        let objects = |name: &str| self.account.objects(name);
        if self.collection.get().is_none() {
            let made = self.account.writes().into_iter().find(|call| call.applied);
            let path = made.map(|call| call.path).unwrap_or_default();
            let named = path.split('/').rfind(|name| !objects(name).is_empty());
            if let Some(name) = named {
                self.collection.set(name.to_owned()).expect("it was not set");
            }
        }
        self.collection.get().map_or(vec![], |name| objects(name))
    }

    fn outside(&self) -> std::result::Result<Value, String> {
        self.there().into_iter().next().ok_or_else(|| "nothing there".into())
    }

    fn only_one(&self) -> Value {
        let mut there = self.there();
        assert_eq!(there.len(), 1, "{there:?}");
        there.remove(0)
    }

    /// Without times, versions and ids.
    fn masked(&self, value: &Value) -> Value {
        match value {
            Value::Object(all) => {
                let kept = all.iter().filter(|(name, _)| !passing(name));
                Value::Object(kept.map(|(name, value)| (name.clone(), self.masked(value))).collect())
            }
            Value::Array(all) => all.iter().map(|value| self.masked(value)).collect(),
            Value::String(text) => {
                let own = [&self.id, &self.account.account_id, &self.namespace, &self.host];
                json!(own.iter().fold(text.clone(), |text, own| text.replace(*own, "~")))
            }
            Value::Number(number) if number.to_string() == self.id => json!("~"),
            other => other.clone(),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kill = self.kill.as_ref().map_or("without a crash".into(), Kill::to_string);
            eprintln!("--- {} {kill}; the log of the operator ends, for each start:", self.subject.kind);
            for log in &self.logs {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("{}\n", lines[lines.len().saturating_sub(25)..].join("\n"));
            }
        }
    }
}

/// Names of what is different at another time.
fn passing(name: &str) -> bool {
    let ends = ["_at", "_time", "Timestamp", "TransitionTime", "At"];
    let names = ["managedFields", "resourceVersion", "uid", "deployment_name", "deploymentName"];
    ends.iter().any(|end| name.ends_with(end)) || names.contains(&name)
}

/// The fields of `now` that are not as in `before`.
fn differing(before: &Value, now: &Value) -> Map<String, Value> {
    let changed = now
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| before[name.as_str()] != **value && !passing(name));
    changed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn object(kind: &str, name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn kubeconfig_text(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "gate",
        "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "nobody"}}],
        "users": [{"name": "nobody", "user": {}}],
        "clusters": [{"name": "gate", "cluster": {"server": server}}],
    })
    .to_string()
}
