//! What a run happens in: an API server, an account, and an operator that is started again after each crash.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apiserver::{ApiServer, Definitions};
use clap::FromArgMatches;
use databricks_operator::clock;
use databricks_operator::config::Run;
use databricks_operator::databricks;
use databricks_operator::engine::crd::DatabricksAuth;
use databricks_operator::engine::kind::{Driver, Permit};
use databricks_operator::engine::run::{self, Parts};
use databricks_operator::kinds::KINDS;
use databricks_operator::metrics::Metrics;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use simulator::Simulator;
use tokio_util::sync::CancellationToken;

use crate::fault::Plan;
use crate::gate::Gate;
use crate::replica::{Leased, Replica};
use crate::trace::Trace;
use crate::{account, cluster, seed};

/// The installation of the operator: a part of the mark on its objects in the account.
pub const INSTALLATION: &str = "campaign";

/// Both servers, and what happens on the way to them.
pub struct World {
    /// The API server.
    pub server: ApiServer,
    /// The account.
    pub account: Simulator,
    /// What happened.
    pub trace: Arc<Trace>,
    /// The operator's flags.
    pub operator: Arc<Run>,
    /// The kinds that it runs.
    pub kinds: &'static [&'static dyn Driver],
    /// Its installation.
    pub installation: &'static str,
    /// What goes wrong.
    pub plan: Arc<Plan>,
    /// Ends the operator in good order.
    pub stop: CancellationToken,
    /// The replicas of the operator, in a story that has two.
    pub replicas: [Replica; 2],
    /// The lease of these.
    pub leased: Arc<Leased>,
    /// What the operator counts, from its first start on.
    metrics: OnceLock<Metrics>,
}

impl World {
    /// This cluster and this account, and an operator for these kinds.
    pub fn new(
        operator: Arc<Run>,
        kinds: &'static [&'static dyn Driver],
        installation: &'static str,
        plan: Plan,
        trace: Arc<Trace>,
        (server, account): (ApiServer, Simulator),
    ) -> World {
        let (stop, replicas, leased) = (CancellationToken::new(), Default::default(), Arc::default());
        let (plan, metrics) = (Arc::new(plan), OnceLock::new());
        World { server, account, trace, operator, kinds, installation, plan, stop, replicas, leased, metrics }
    }

    /// Runs the operator until it is stopped, and starts it again after a crash. Fails if it ends by itself, or does not end.
    pub async fn operate(self: Arc<World>) -> Result<(), String> {
        loop {
            let gate = self.gate();
            self.trace.note("the operator starts");
            let running = run::run(self.parts(&gate), self.stop.clone(), || (), std::future::ready(()));
            let overtime = async {
                self.stop.cancelled().await;
                tokio::time::sleep(run::SHUTDOWN).await;
            };
            tokio::select! {
                biased;
                () = gate.crashed() => {}
                ended = running => {
                    return if self.stop.is_cancelled() { ended } else { Err(format!("the operator ended: {ended:?}")) };
                }
                () = overtime => return Err("the operator does not end".to_owned()),
            }
            self.trace.note("the operator has crashed");
            let pause = Duration::from_secs(1 + seed::below(20));
            tokio::time::sleep(pause).await;
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// How many reconciles the operator has ended.
    pub fn reconciles(&self) -> usize {
        let text = self.metrics.get().map(Metrics::text).unwrap_or_default();
        let counts = text.lines().filter(|line| line.starts_with("databricks_operator_reconcile_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }

    /// The way out of a new incarnation.
    pub fn gate(&self) -> Arc<Gate> {
        Gate::new(self.trace.clone(), self.plan.clone())
    }

    /// As the command `run` puts them together, without a lease.
    pub fn parts(&self, gate: &Arc<Gate>) -> Parts {
        let (settings, metrics) = (&self.operator, self.metrics.get_or_init(|| Metrics::new(self.kinds)));
        let exchange = Some(account::exchange(&self.account, gate));
        Parts {
            client: cluster::client(&self.server, gate),
            kinds: self.kinds,
            settings: settings.engine(self.installation.to_owned()),
            hosts: settings.hosts(),
            databricks: databricks::Settings { exchange, meter: metrics.calls.clone(), ..settings.client() },
            permit: Permit::sole(),
            meter: metrics.engine.clone(),
            census: metrics.census.clone(),
        }
    }
}

/// The table of kinds with one kind.
pub fn only(driver: &'static dyn Driver) -> &'static [&'static dyn Driver] {
    let at = KINDS.iter().position(|known| known.kind() == driver.kind());
    at.map_or(&[], |at| std::slice::from_ref(&KINDS[at]))
}

/// The operator with these flags on top of those of all runs: the defaults of users, but for http to the account.
///
/// # Panics
/// If there is no such flag.
pub fn operator(flags: &[String]) -> Arc<Run> {
    let words = ["databricks-operator", "run", "--leader-elect=false", "--allow-insecure-loopback"];
    let words = words.into_iter().map(str::to_owned).chain(flags.iter().cloned());
    let line = databricks_operator::cli::command().try_get_matches_from(words);
    let line = line.unwrap_or_else(|error| panic!("{error}"));
    let (_, flags) = line.subcommand().expect("`run` is a command");
    Arc::new(Run::from_arg_matches(flags).expect("the flags are valid"))
}

/// An API server without objects of our kinds.
pub fn server() -> ApiServer {
    ApiServer::with(definitions(), clock::now)
}

/// A user creates an object.
///
/// # Panics
/// If the API server refuses it.
pub async fn create(server: &ApiServer, resource: &ApiResource, manifest: Value) {
    if let Err(error) = try_create(server, resource, manifest).await {
        panic!("the API server refuses it: {error}");
    }
}

/// The same, if the API server takes it.
///
/// # Errors
/// The API server refuses it.
pub async fn try_create(
    server: &ApiServer,
    resource: &ApiResource,
    manifest: Value,
) -> kube::Result<DynamicObject> {
    let api: Api<DynamicObject> = Api::default_namespaced_with(server.client("user"), resource);
    let object = serde_json::from_value(manifest).expect("a manifest is an object");
    api.create(&PostParams::default(), &object).await
}

/// The Secret with the credentials, and its kind.
pub fn credentials(secret: &str) -> (ApiResource, Value) {
    let gvk = kube::core::GroupVersionKind::gvk("", "v1", "Secret");
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
        "stringData": {"secret": secret},
    });
    (ApiResource::from_gvk_with_plural(&gvk, "secrets"), manifest)
}

/// Creates a DatabricksAuth for the account, which admits these kinds.
pub async fn sign_in(server: &ApiServer, account: &Simulator, kinds: &[&dyn Driver]) {
    let (resource, manifest) = credentials(account::SECRET);
    create(server, &resource, manifest).await;
    let kinds: Vec<String> = kinds.iter().map(|driver| driver.kind().into_owned()).collect();
    let spec = json!({
        "cloud": "AWS", "accountId": account::ACCOUNT, "host": account.url(), "authType": "OAUTH_M2M",
        "clientId": account::CLIENT, "clientSecretRef": {"name": "databricks", "key": "secret"},
        "grants": [{"namespaces": {"from": "Same"}, "kinds": kinds}],
    });
    let auth = ApiResource::erase::<DatabricksAuth>(&());
    create(server, &auth, object("DatabricksAuth", "account", spec)).await;
}

/// An object of one of our kinds, as a manifest.
pub fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

/// An object of a kind, which is deleted with its object in the account, if that can be.
pub fn managed(driver: &dyn Driver, name: &str, mut spec: Value) -> Value {
    spec["authRef"] = json!({"name": "account"});
    if driver.traits().removable {
        spec["deletionPolicy"] = json!("Delete");
    }
    object(&driver.kind(), name, spec)
}

/// The CRDs, compiled once for all runs.
fn definitions() -> Arc<Definitions> {
    static ALL: OnceLock<Arc<Definitions>> = OnceLock::new();
    ALL.get_or_init(|| Arc::new(Definitions::new(&databricks_operator::cli::crds()))).clone()
}
