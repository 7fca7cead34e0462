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
use crate::trace::Trace;
use crate::{account, cluster, seed};

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
    /// What goes wrong.
    pub plan: Arc<Plan>,
    /// Ends the operator in good order.
    pub stop: CancellationToken,
}

impl World {
    /// This cluster and this account.
    pub fn new(
        operator: Arc<Run>,
        plan: Plan,
        trace: Arc<Trace>,
        server: ApiServer,
        account: Simulator,
    ) -> World {
        World { server, account, trace, operator, plan: Arc::new(plan), stop: CancellationToken::new() }
    }

    /// Runs the operator for one kind until it is stopped, and starts it again after a crash. Fails if it ends by itself, or does
    /// not end.
    pub async fn operate(self: Arc<World>, driver: &'static dyn Driver) -> Result<(), String> {
        loop {
            let gate = Gate::new(self.trace.clone(), self.plan.clone());
            self.trace.note("the operator starts");
            let running =
                run::run(self.parts(driver, &gate), self.stop.clone(), || (), std::future::ready(()));
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

    /// As the command `run` puts them together, without a lease.
    fn parts(&self, driver: &'static dyn Driver, gate: &Arc<Gate>) -> Parts {
        let (settings, metrics) = (&self.operator, Metrics::new(&[driver]));
        let exchange = Some(account::exchange(&self.account, gate));
        Parts {
            client: cluster::client(&self.server, gate),
            kinds: only(driver),
            settings: settings.engine("campaign".to_owned()),
            hosts: settings.hosts(),
            databricks: databricks::Settings { exchange, meter: metrics.calls.clone(), ..settings.client() },
            permit: Permit::sole(),
            meter: metrics.engine.clone(),
            census: metrics.census.clone(),
        }
    }
}

/// The table of kinds with one kind.
fn only(driver: &'static dyn Driver) -> &'static [&'static dyn Driver] {
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
    let api: Api<DynamicObject> = Api::default_namespaced_with(server.client("user"), resource);
    let object = serde_json::from_value(manifest).expect("a manifest is an object");
    if let Err(error) = api.create(&PostParams::default(), &object).await {
        panic!("the API server refuses it: {error}");
    }
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

/// Creates a DatabricksAuth for the account, which admits this kind.
pub async fn sign_in(server: &ApiServer, account: &Simulator, driver: &dyn Driver) {
    let (resource, manifest) = credentials(account::SECRET);
    create(server, &resource, manifest).await;
    let spec = json!({
        "cloud": "AWS", "accountId": account::ACCOUNT, "host": account.url(), "authType": "OAUTH_M2M",
        "clientId": account::CLIENT, "clientSecretRef": {"name": "databricks", "key": "secret"},
        "grants": [{"namespaces": {"from": "Same"}, "kinds": [driver.kind()]}],
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

/// The CRDs, compiled once for all runs.
fn definitions() -> Arc<Definitions> {
    static ALL: OnceLock<Arc<Definitions>> = OnceLock::new();
    ALL.get_or_init(|| Arc::new(Definitions::new(&databricks_operator::cli::crds()))).clone()
}
