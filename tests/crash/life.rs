//! One object's life: it is made, its spec is changed, somebody changes the object in the account, it is deleted; with at
//! most one crash of the operator on the way. A secret is replaced instead: as its spec requests, and as its Kubernetes Secret is
//! lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use databricks_operator::engine::crd::RECONCILE_REQUESTED;
use databricks_operator::engine::kind::{Driver, Lifecycle, Phase, Seen};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use simulator::{Config, Settings, Simulator};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use world::{Operator, eventually, fast};

use crate::connect::connect;
use crate::edits::edit;
use crate::gate::{Kill, Ledger, Point, Side, open};
use crate::invariants::Watch;
use crate::outside::{Outside, shown};
use crate::referents::prepare;
use crate::support::{AUTH, BINARY, SOON, cluster, condition, resource};

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
    /// The Kubernetes Secret for the secret that its object has.
    secret_name: Option<&'static str>,
    /// What is known from the life without a crash.
    pub told: Option<Told>,
}

/// What a life without a crash tells.
#[derive(Clone)]
pub struct Told {
    points: Vec<Point>,
    /// Whether its spec can be changed once the object exists.
    changes: bool,
    /// The two objects before the deletion, without what differs from life to life.
    end: [Value; 2],
}

impl Subject {
    /// The sample of a kind.
    pub fn sample(driver: &'static dyn Driver) -> Subject {
        Subject { kind: driver.kind().into_owned(), driver, secret_name: None, told: None }
    }

    /// The same with a secret.
    pub fn with_secret(driver: &'static dyn Driver) -> Subject {
        Subject { secret_name: Some("out"), ..Subject::sample(driver) }
    }

    /// Whether its object has a secret.
    pub fn has_secret(&self) -> bool {
        self.secret_name.is_some()
    }

    /// The calls of a life without a crash, in order.
    pub fn points(&self) -> &[Point] {
        self.told.as_ref().map_or(&[], |told| &told.points)
    }

    /// Whether its spec can be changed once the object exists.
    pub fn changes(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.changes)
    }
}

/// Lives one life, and fails if it goes wrong anywhere.
pub async fn live(subject: Arc<Subject>, kill: Option<Kill>) -> Told {
    let mut life = Life::begin(subject, kill).await;
    let made = life.create().await;
    if life.edit.is_some() {
        let changed = life.update(&made).await;
        if life.subject.driver.traits().are_secrets() {
            life.lose(&changed).await;
        } else {
            life.drift(&made, &changed).await;
        }
        if changed.about.phase == Phase::Vacant {
            life.back().await;
        }
    }
    // Once the new operator has done its work, so that there is something that the late write is refused for.
    life.settle().await;
    life.late().await;
    let end = life.settle().await;
    life.delete().await;
    life.late().await;
    life.end().await;
    Told { points: life.ledger.points(), changes: life.edit.is_some(), end }
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
    /// What the account has, as the driver reads it.
    outside: Arc<Outside>,
    /// The spec of the sample, with an id of the account in place of each reference.
    spec: Value,
    /// The change of the spec, if the kind can be changed.
    edit: Option<Value>,
    /// Ids of the account that the object refers to.
    referents: Vec<String>,
    /// The account's id of the object, once it is known.
    id: String,
    /// The mark of a secret, which follows from the namespace.
    mark: String,
    /// The secret that the object has was lost, and a person started over.
    lost: bool,
    _gates: JoinSet<std::io::Result<()>>,
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some("tester".into()), ..PatchParams::default() }
}

pub const HOUR_MS: u64 = 3_600_000;

/// An account in which nothing takes time until [`slow`]: what is prepared there leaves its clock with ours, by which the operator
/// distinguishes what a lost create created.
async fn account() -> Simulator {
    let settings = Settings { token_lifetime_ms: 100 * HOUR_MS, ..Settings::default() };
    let account = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
    take(&account, 0);
    account
}

/// From now on what takes time there takes an hour of a clock that [`Life::time`] sets.
fn slow(account: &Simulator) {
    take(account, HOUR_MS);
}

fn take(account: &Simulator, ms: u64) {
    account.set(|settings| {
        (settings.start_ms, settings.provisioning_ms, settings.deletion_ms) = (ms, ms, ms);
        (settings.endpoint_rule_creating_ms, settings.endpoint_rule_approval_ms) = (ms, Some(ms));
    });
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
        // All lives are in one runtime, so they share a client and its connections.
        static KUBE: OnceCell<kube::Client> = OnceCell::const_new();
        let namespace = format!("crash-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let kube = KUBE.get_or_init(async || cluster().client().await.unwrap()).await.clone();
        let account = account().await;
        let api = connect(&account);
        let mut ground = prepare(subject.driver, &account, &api, HOUR_MS).await;
        if let Some(name) = subject.secret_name {
            (ground.spec["confidential"], ground.spec["secretName"]) = (json!(true), json!(name));
        }
        let mut outside = Outside::begin(subject.driver, &account, api, &ground.key.within).await;
        if let Some(name) =
            ground.spec["secretName"].as_str().filter(|_| subject.driver.traits().are_secrets())
        {
            outside.holds_in(Api::namespaced(kube.clone(), &namespace), name);
        }
        let outside = Arc::new(outside);
        slow(&account);
        account.clear_journal();
        let ledger = Ledger::new(&outside, &namespace, kill.clone());
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
            api: Api::namespaced_with(kube.clone(), &namespace, &resource(&subject.kind)),
            auths: Api::namespaced_with(kube.clone(), &namespace, &resource("DatabricksAuth")),
            operator: None,
            logs: vec![],
            id: String::new(),
            mark: String::new(),
            lost: false,
            spec: ground.with_ids(subject.driver),
            edit: edit(subject.driver, &ground.want),
            referents: ground.made.into_values().chain(ground.got.ids.into_values()).collect(),
            outside,
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
                "grants": [{"namespaces": {"from": "Same"}, "kinds": [self.subject.kind]}],
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
            ("recheck-waiting", "200ms"),
            // Its account shows each change at once. But a kind that is read by its LIST alone has to wait for that.
            ("read-lag", if self.subject.driver.traits().are_secrets() { QUARANTINE } else { "1ms" }),
        ];
        let started =
            Operator::start_with(Path::new(BINARY), &self.kubeconfig, &cluster().dir, &fast(&flags), &[])
                .await;
        let operator = started.unwrap();
        self.logs.push(operator.log.clone());
        self.operator = Some(operator);
    }

    async fn create(&mut self) -> Seen {
        self.phase("create");
        self.account.set(|settings| settings.list_lag_ms = LIST_LAG_MS);
        self.apply().await;
        let mut ready = self.reach("create", async |life| life.ready_or_lost().await).await;
        self.account.set(|settings| settings.list_lag_ms = 0);
        if is_lost(&ready) {
            ready = self.start_over().await;
        }
        self.know(&ready);
        self.check_secret(&ready).await;
        self.only_one().await
    }

    async fn apply(&self) {
        let mut spec = self.spec.clone();
        spec["authRef"] = json!({"name": AUTH});
        if self.outside.removable() {
            spec["deletionPolicy"] = json!("Delete");
        }
        self.api.create(&Default::default(), &object(&self.subject.kind, "it", spec)).await.unwrap();
    }

    /// A person does what the message about a lost secret says.
    async fn start_over(&mut self) -> Value {
        self.lost = true;
        self.only_one().await;
        self.api.delete("it", &Default::default()).await.unwrap();
        let gone = eventually("the object is gone", SOON, async || {
            let left = self.api.get_opt("it").await.map_err(|e| e.to_string())?;
            left.map_or(Ok(()), |left| Err(json!(left).to_string()))
        });
        gone.await.unwrap();
        self.apply().await;
        eventually("the new object is ready", SOON, async || self.ready().await).await.unwrap()
    }

    /// What users find in the Kubernetes Secret is of the object in the account.
    async fn check_secret(&self, ready: &Value) {
        let Some(name) = self.subject.secret_name else { return };
        let secrets: Api<Secret> = Api::namespaced(self.api.clone().into_client(), &self.namespace);
        let data = secrets.get(name).await.unwrap().data.unwrap();
        assert_eq!(
            json!(String::from_utf8(data["client-id"].0.clone()).unwrap()),
            ready["status"]["clientId"]
        );
        assert!(!data["client-secret"].0.is_empty());
    }

    /// What differs from life to life.
    fn know(&mut self, ready: &Value) {
        self.id = ready["status"]["externalId"].as_str().unwrap().to_owned();
        if self.subject.driver.traits().are_secrets() {
            self.mark = ready["status"]["external"]["name"].as_str().unwrap().to_owned();
        }
    }

    async fn update(&mut self, made: &Seen) -> Seen {
        self.phase("update");
        self.edit().await;
        let ready = self.reach("update", async |life| life.ready().await).await;
        self.know(&ready);
        let changed = self.only_one().await;
        let edited = self.kill.as_ref().is_some_and(|kill| kill.edited);
        assert!(
            edited || made.state != changed.state || made.id != changed.id,
            "{}: `edit` in tests/account/edits.rs has changed nothing in the account: {changed:?}",
            self.subject.kind
        );
        changed
    }

    async fn edit(&self) {
        let change = self.edit.as_ref().expect("asked only of kinds that can be changed");
        let patch = Patch::Merge(json!({"spec": change}));
        self.api.patch("it", &params(), &patch).await.unwrap();
    }

    /// Somebody undoes the update in the account.
    async fn drift(&mut self, made: &Seen, changed: &Seen) {
        self.phase("drift");
        self.outside.change(changed, &made.state).await;
        let asked = Patch::Merge(json!({"metadata": {"annotations": {RECONCILE_REQUESTED: "drift"}}}));
        self.api.patch("it", &params(), &asked).await.unwrap();
        self.reach("drift", async |life| {
            let outside = life.outside.get(&life.id).await?.ok_or("nothing there")?;
            let open = life.outside.differences(&changed.state, &outside);
            let seen = life.ready().await?;
            let handled = seen["status"]["lastHandledReconcileAt"] == "drift";
            if open.is_empty() && handled { Ok(()) } else { Err(format!("{open:?} of {outside:?}; {seen}")) }
        })
        .await;
        self.only_one().await;
    }

    /// Somebody deletes the Kubernetes Secret.
    async fn lose(&mut self, before: &Seen) {
        self.phase("lose");
        let (secrets, name) = self.outside.output();
        secrets.delete(name, &Default::default()).await.unwrap();
        let ready = self.reach("lose", async |life| {
            let seen = life.ready().await?;
            let other = seen["status"]["externalId"] != json!(before.id);
            if other { Ok(seen) } else { Err(seen["status"].to_string()) }
        });
        let ready = ready.await;
        self.know(&ready);
        self.only_one().await;
    }

    /// The update left nothing to delete, so it is undone.
    async fn back(&mut self) {
        self.phase("back");
        let edited = self.edit.as_ref().and_then(Value::as_object).into_iter().flatten();
        let before: serde_json::Map<_, _> =
            edited.map(|(field, _)| (field.clone(), self.spec[field].clone())).collect();
        self.api.patch("it", &params(), &Patch::Merge(json!({"spec": before}))).await.unwrap();
        self.reach("back", async |life| life.ready().await).await;
        self.only_one().await;
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
            let outside = shown(&self.only_one().await);
            let end = [self.masked(&self.seen().await?), self.masked(&outside)];
            match &self.subject.told {
                Some(told) if told.end != end => Err(format!("{end:?}\ninstead of {:?}", told.end)),
                _ => Ok(end),
            }
        });
        settled.await.unwrap()
    }

    async fn delete(&mut self) {
        let early: Vec<_> = self.account.journal().into_iter().filter(|c| c.method == "DELETE").collect();
        let early_is_wrong = !self.lost && !self.subject.driver.traits().are_secrets();
        assert!(
            !early_is_wrong || early.is_empty(),
            "a DELETE was sent before the object was deleted: {early:?}"
        );
        let end = self.only_one().await;
        self.phase("delete");
        self.api.delete("it", &Default::default()).await.unwrap();
        self.reach("delete", async |life| {
            let left = life.api.get_opt("it").await.map_err(|e| e.to_string())?;
            let Some(left) = left else { return Ok(()) };
            life.time(&json!(left)).await;
            Err(json!(left).to_string())
        })
        .await;
        let left = self.outside.left(&end).await.unwrap();
        assert!(left.is_empty(), "the object is gone, and in the account there are {left:?}");
    }

    async fn end(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill().unwrap();
        }
        assert_eq!(self.ledger.wrong(), [] as [String; 0]);
        let traits = self.subject.driver.traits();
        // A secret whose value was lost is created once more, and the lost one is deleted: which the end has shown.
        if traits.lifecycle == Lifecycle::Object && !traits.are_secrets() {
            let creates: Vec<_> = self.account.writes();
            let creates: Vec<_> = creates.iter().filter(|c| c.method == "POST" && c.applied).collect();
            assert_eq!(creates.len(), 1 + usize::from(self.lost), "{creates:?}");
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
            self.time(&seen).await;
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
    async fn time(&self, seen: &Value) {
        let ready = condition(seen, "Ready").is_some_and(|c| c["status"] == "True");
        let Some(id) = seen["status"]["externalId"].as_str().filter(|_| !ready) else { return };
        let outside = self.outside.get(id).await.ok().flatten();
        let state = outside.and_then(|outside| outside.about.state);
        if state.is_some_and(|state| seen["status"]["state"] == state) {
            self.account.advance_ms(HOUR_MS);
        }
    }

    async fn ready(&self) -> std::result::Result<Value, String> {
        let seen = self.seen().await?;
        let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        let holds = |type_| condition(&seen, type_).is_some_and(|c| c["status"] == "True");
        // A replaced secret is deleted a while later.
        if current && holds("Ready") && holds("Synced") && seen["status"]["retired"].is_null() {
            return Ok(seen);
        }
        self.time(&seen).await;
        Err(seen["status"].to_string())
    }

    async fn ready_or_lost(&self) -> std::result::Result<Value, String> {
        let seen = self.seen().await?;
        if is_lost(&seen) { Ok(seen) } else { self.ready().await }
    }

    async fn only_one(&self) -> Seen {
        let mut there = self.outside.objects().await.unwrap();
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
                let own = self.ids().chain([
                    &*self.account.account_id,
                    &*self.account.client_id,
                    &*self.namespace,
                    &*self.host,
                ]);
                json!(own.fold(text.clone(), |text, own| text.replace(own, "~")))
            }
            Value::Number(number) if self.ids().any(|id| id == number.to_string()) => json!("~"),
            other => other.clone(),
        }
    }
}

impl Life {
    /// What the account chose: each part of the object's id, and the ids that it refers to.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let all = [&self.id, &self.mark].into_iter().chain(&self.referents);
        all.flat_map(|id| id.split('/')).filter(|part| !part.is_empty())
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

/// Whether the operator says that the secret of the object is lost.
fn is_lost(seen: &Value) -> bool {
    condition(seen, "Stalled").is_some_and(|stalled| stalled["reason"] == "SecretLost")
}

/// Names of what is different at another time.
fn passing(name: &str) -> bool {
    let ends = ["_at", "_time", "expireTime", "Timestamp", "TransitionTime", "At"];
    let of_cluster = ["managedFields", "resourceVersion", "uid", "firstSeen"];
    // What the account chooses besides the id.
    let of_account = [
        "deployment_name",
        "deploymentName",
        "etag",
        "application_id",
        "applicationId",
        "clientId",
        "vpcEndpointId",
    ];
    let names = [&of_cluster[..], &of_account].concat();
    ends.iter().any(|end| name.ends_with(end)) || names.contains(&name)
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
