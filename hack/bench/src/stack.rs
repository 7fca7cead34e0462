//! The parts that are measured together, and what a user does with them: a real API server, the simulated account with its users and
//! workspaces, and the operator as a process with its default flags, but for those below.
//!
//! The operator has a ServiceAccount of its own, so that the audit log distinguishes it from this program. It holds no lease, whose
//! renewals would be counted. Several operators divide the objects by a label and the rate of calls in equal parts, and what they cost is
//! added.

use std::collections::BTreeMap;
use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{TryStreamExt, stream};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use world::simulator::{Config, RateLimit};
use world::{Cluster, Error, Operator, Result, Simulator, access, eventually, fresh_dir};

use crate::audit::Audit;
use crate::count::{Difference, Sample, cpu_ms};
use crate::table::Line;
use crate::watch::{Seen, Watched, is_ready};

/// The kind that is measured.
pub const KIND: &str = "PermissionAssignment";
/// Calls per second with which the other tool was measured.
pub const RATE: u32 = 15;
/// So many workspaces objects are spread over, where they are.
pub const SPREAD: usize = 20;

const GROUP: &str = "databricks-operator.io";
const NAMESPACE: &str = "default";
/// The label by which operators divide the objects.
const PART: &str = "part";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:default:operator";
/// More calls than this machine can send.
const UNLIMITED: u32 = 1_000_000;
/// Requests of this program to the API server at the same time.
const AT_ONCE: usize = 32;
/// A step that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(45 * 60);
const SOON: Duration = Duration::from_secs(60);
/// How long the operator must rest before a step counts as finished.
const QUIET: Duration = Duration::from_secs(1);
/// So much CPU time within that is rest, in milliseconds.
const IDLE_MS: u64 = 20;
/// How often a long step reports how far it is.
const REPORT: Duration = Duration::from_secs(10);

/// What is needed of the machine.
pub struct Place {
    binary: PathBuf,
    dir: PathBuf,
}

/// What scenarios differ in.
pub struct Setup {
    /// Objects are spread over so many workspaces.
    pub workspaces: usize,
    /// The account has a user for each of so many objects.
    pub objects: usize,
    /// Calls per second of all operators; without it there is no limit.
    pub rate: Option<u32>,
    /// Operators that divide the objects.
    pub operators: u32,
}

/// Everything, running. The fields are dropped in this order.
pub struct Stack {
    operators: Vec<Operator>,
    watched: Watched,
    /// The simulated account.
    pub account: Simulator,
    api: Api<DynamicObject>,
    resource: ApiResource,
    audit: Audit,
    binary: PathBuf,
    kubeconfig: PathBuf,
    setup: Setup,
    workspaces: Vec<i64>,
    users: Vec<i64>,
    /// Memory of the operators before there is an object.
    idle_kib: u64,
    cluster: Cluster,
}

impl Place {
    /// The operator is the given program, or the release build in this program's target directory. Files go there, too.
    pub fn find(operator: Option<&Path>) -> Result<Place> {
        let own = std::env::current_exe().map_err(Error::at("looking for this program"))?;
        let target = own.ancestors().nth(2).ok_or_else(|| Error::new("this program has no directory"))?;
        let binary = operator.map_or_else(|| target.join("release/databricks-operator"), Path::to_path_buf);
        let binary = std::path::absolute(&binary).map_err(Error::at(binary.display()))?;
        if !binary.is_file() {
            return Err(Error::new(format_args!(
                "{} is missing: cargo build --release -p databricks-operator, or give --operator",
                binary.display()
            )));
        }
        Ok(Place { binary, dir: target.join("bench") })
    }
}

impl Stack {
    /// Starts everything and waits until the operator has signed in and rests.
    pub async fn start(place: &Place, setup: Setup) -> Result<Stack> {
        let account = Simulator::start(Config::default()).await;
        let account = account.map_err(Error::at("starting the simulated account"))?;
        let (workspaces, users) = seed(&account, &setup)?;
        let (dir, binary) = (fresh_dir(&place.dir, "run-")?, place.binary.clone());
        let started = tokio::task::spawn_blocking(move || Cluster::start(&dir, &binary)).await;
        let cluster = started.map_err(Error::at("starting the cluster"))??;
        let kubeconfig = for_operator(&cluster).await?;
        let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", KIND);
        let resource = ApiResource::from_gvk_with_plural(&kind, "permissionassignments");
        let api = Api::namespaced_with(cluster.client().await?, NAMESPACE, &resource);
        let mut stack = Stack {
            operators: vec![],
            watched: Watched::start(api.clone()).await?,
            account,
            api,
            resource,
            audit: Audit::of(cluster.control_plane.audit_log().to_owned(), SERVICE_ACCOUNT),
            binary: place.binary.clone(),
            kubeconfig,
            setup,
            workspaces,
            users,
            idle_kib: 0,
            cluster,
        };
        stack.start_operators(&[]).await?;
        stack.sign_in().await?;
        stack.quiet().await?;
        stack.idle_kib = stack.sample()?.rss_kib;
        Ok(stack)
    }

    /// Ends everything, and removes its files.
    pub async fn stop(mut self) -> Result<()> {
        self.stop_operators().await?;
        let Stack { cluster, account, watched, .. } = self;
        drop(watched);
        let Cluster { control_plane, dir } = cluster;
        let stopped = tokio::task::spawn_blocking(move || control_plane.stop()).await;
        stopped.map_err(Error::new)?.map_err(Error::new)?;
        account.stop().await;
        std::fs::remove_dir_all(&dir).map_err(Error::at(dir.display()))
    }

    /// Starts the operators, with flags beside their usual ones.
    pub async fn start_operators(&mut self, more: &[(&str, &str)]) -> Result<()> {
        let rate = self.setup.rate.unwrap_or(UNLIMITED) / self.setup.operators;
        let rate = rate.to_string();
        let usual = [
            ("requests-per-second", &*rate),
            ("burst", &*rate),
            ("max-deletions-per-hour", "0"),
            ("leader-elect", "false"),
            ("installation", "bench"),
        ];
        let valued = usual.iter().chain(more).map(|(name, value)| format!("--{name}={value}"));
        let flags: Vec<String> = valued.chain(["--allow-insecure-loopback".to_owned()]).collect();
        for part in 0..self.setup.operators {
            let mut flags = flags.clone();
            if self.setup.operators > 1 {
                flags.push(format!("--selector={PART}={part}"));
            }
            let dir = &self.cluster.dir;
            let started = Operator::start_with(&self.binary, &self.kubeconfig, dir, &flags, &[]).await?;
            self.operators.push(started);
        }
        Ok(())
    }

    /// Ends the operators in good order.
    pub async fn stop_operators(&mut self) -> Result<()> {
        for operator in self.operators.drain(..) {
            let status = operator.terminate().await?;
            if !status.success() {
                return Err(Error::new(format_args!("the operator ended with {status}")));
            }
        }
        Ok(())
    }

    /// Applies the credentials, once for each operator, and waits until all are in use.
    async fn sign_in(&self) -> Result<()> {
        let [secret, auth] = access(&self.account);
        let of_part = |part: u32| {
            let mut auth = auth.clone();
            auth["metadata"] = json!({"name": credentials(part), "labels": part_of(part)});
            auth
        };
        let items: Vec<Value> = iter::once(secret).chain((0..self.setup.operators).map(of_part)).collect();
        let access = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        self.cluster.kubectl(&["apply", "-f", "-"], &access).await?;
        eventually("each DatabricksAuth is Ready", SOON, async || {
            let auths = self.cluster.list(&["databricksauths"]).await.map_err(|e| e.to_string())?;
            let generation = |auth: &Value| auth["metadata"]["generation"].as_i64().unwrap_or_default();
            let ready = auths.iter().all(|auth| is_ready(&auth["status"], generation(auth)));
            if ready { Ok(()) } else { Err(format!("{auths:?}")) }
        })
        .await
    }

    /// Creates objects, each an access of a user of its own to a workspace.
    pub async fn create(&self, numbers: Range<usize>) -> Result<()> {
        self.each(numbers, async |n| {
            let part = n as u32 % self.setup.operators;
            let spec = json!({
                "authRef": {"name": credentials(part)}, "workspaceId": self.workspace(n),
                "principal": {"id": self.users[n]}, "permissions": ["USER"],
            });
            let mut object = DynamicObject::new(&name(n), &self.resource).data(json!({"spec": spec}));
            object.metadata.labels = Some(part_of(part));
            self.api.create(&PostParams::default(), &object).await.map(drop)
        })
        .await
    }

    /// Gives users another permission.
    pub async fn permit(&self, numbers: Range<usize>, permission: &str) -> Result<()> {
        self.patch(numbers, &json!({"spec": {"permissions": [permission]}})).await
    }

    /// Requests a reconcile of objects.
    pub async fn request(&self, numbers: Range<usize>, token: &str) -> Result<()> {
        let annotations = json!({"databricks-operator.io/reconcile-requested-at": token});
        self.patch(numbers, &json!({"metadata": {"annotations": annotations}})).await
    }

    async fn patch(&self, numbers: Range<usize>, patch: &Value) -> Result<()> {
        let patch = Patch::Merge(patch);
        self.each(numbers, async |n| {
            self.api.patch(&name(n), &PatchParams::default(), &patch).await.map(drop)
        })
        .await
    }

    /// Deletes objects.
    pub async fn delete(&self, numbers: Range<usize>) -> Result<()> {
        self.each(numbers, async |n| self.api.delete(&name(n), &DeleteParams::default()).await.map(drop))
            .await
    }

    /// Sends a request for each object, many at the same time.
    async fn each(
        &self,
        numbers: Range<usize>,
        request: impl AsyncFn(usize) -> kube::Result<()>,
    ) -> Result<()> {
        let request = &request;
        let sent = stream::iter(numbers.map(Ok::<usize, Error>));
        let all =
            sent.try_for_each_concurrent(
                AT_ONCE,
                |n| async move { request(n).await.map_err(Error::at(name(n))) },
            );
        all.await
    }

    fn workspace(&self, n: usize) -> i64 {
        self.workspaces[n % self.workspaces.len()]
    }

    /// The end of the path of an object in the account.
    pub fn path(&self, n: usize) -> String {
        format!("/workspaces/{}/permissionassignments/principals/{}", self.workspace(n), self.users[n])
    }

    /// How many workspaces there are.
    pub fn parents(&self) -> usize {
        self.workspaces.len()
    }

    /// How many objects the API server has.
    pub fn objects(&self) -> usize {
        self.watched.objects()
    }

    /// Waits until so many objects are as `is` says.
    pub async fn wait(&self, what: &str, wanted: usize, is: impl Fn(&Seen) -> bool) -> Result<()> {
        let mut reported = Instant::now();
        let waited = eventually(format!("{wanted} objects are {what}"), LONGEST, async || {
            let count = match self.watched.count(&is) {
                Ok(count) => count,
                // A result, though not a good one: there is nothing to wait for any more.
                Err(error) => return Ok(Err(error)),
            };
            if reported.elapsed() > REPORT {
                eprintln!("  {count} of {wanted} {what}");
                reported = Instant::now();
            }
            if count == wanted { Ok(Ok(())) } else { Err(format!("{count} are")) }
        });
        waited.await?
    }

    /// Waits until the operator sends nothing to either API and computes nothing. Returns since when that is so.
    pub async fn quiet(&mut self) -> Result<Instant> {
        let deadline = Instant::now() + LONGEST;
        let (mut since, mut before) = (Instant::now(), self.activity()?);
        while since.elapsed() < QUIET {
            tokio::time::sleep(QUIET / 10).await;
            let now = self.activity()?;
            if (now.0, now.1) != (before.0, before.1) || now.2 > before.2 + IDLE_MS {
                (since, before) = (Instant::now(), now);
            }
            if Instant::now() > deadline {
                return Err(Error::new("the operator does not rest"));
            }
        }
        Ok(since)
    }

    /// Calls to the account, requests to the API server, and milliseconds of CPU time of the operators, so far.
    fn activity(&mut self) -> Result<(usize, u64, u64)> {
        self.audit.read()?;
        let cpu = self.operators.iter().map(cpu_ms).sum::<Result<u64>>()?;
        Ok((self.account.calls("*", "*"), self.audit.total(), cpu))
    }

    /// The counters now.
    pub fn sample(&mut self) -> Result<Sample> {
        Sample::take(&self.account, &mut self.audit, &self.operators)
    }

    /// What was spent since a sample in a step that ends now, with all that follows from it until the operator rests.
    pub async fn since(&mut self, before: &Sample) -> Result<Difference> {
        let ended = Instant::now();
        self.quiet().await?;
        Ok(self.sample()?.since(before, ended))
    }

    /// The same of a step that ends when the operator rests.
    pub async fn since_until_quiet(&mut self, before: &Sample) -> Result<Difference> {
        let ended = self.quiet().await?;
        Ok(self.sample()?.since(before, ended))
    }

    /// A line of the table about a step with so many objects, without a bound.
    pub fn line(&self, step: String, objects: usize, cost: Difference) -> Line {
        let exist = self.objects() as u64;
        let grown = cost.rss_kib.saturating_sub(self.idle_kib) * 1024;
        Line { bytes_per_object: grown.checked_div(exist), ..Line::new(step, objects, cost) }
    }

    /// How long so many calls take at the rate of all operators, if they have one.
    pub fn seconds(&self, calls: usize) -> Option<f64> {
        self.setup.rate.map(|rate| calls as f64 / f64::from(rate))
    }
}

/// The workspaces and users of an account. If the operator has a rate, the account refuses calls of a client that ignores it.
fn seed(account: &Simulator, setup: &Setup) -> Result<(Vec<i64>, Vec<i64>)> {
    if let Some(rate) = setup.rate {
        // A burst and a second's calls may arrive within a second, and later than they were sent.
        let limit = RateLimit {
            class: "permissionassignments".into(),
            limit: 3 * rate as usize,
            window_ms: 1_000,
            retry_after: Some("1".into()),
        };
        account.set(|settings| settings.rate_limits = vec![limit]);
    }
    let workspaces =
        (0..setup.workspaces).map(|_| inserted(account, "workspaces", json!({}), "workspace_id"));
    let workspaces = workspaces.collect::<Result<Vec<i64>>>()?;
    let user = |n: usize| json!({"userName": format!("user-{n}@example.com")});
    let users = (0..setup.objects).map(|n| inserted(account, "Users", user(n), "id"));
    Ok((workspaces, users.collect::<Result<Vec<i64>>>()?))
}

/// Inserts an object into the account; returns its number.
fn inserted(account: &Simulator, collection: &str, object: Value, id: &str) -> Result<i64> {
    let object = account.insert(collection, object).map_err(Error::new)?;
    let number = object[id].as_i64().or_else(|| object[id].as_str().and_then(|text| text.parse().ok()));
    number.ok_or_else(|| Error::new(format_args!("{collection} without a number in {id}: {object}")))
}

/// A kubeconfig of a ServiceAccount that may do everything.
async fn for_operator(cluster: &Cluster) -> Result<PathBuf> {
    let namespace = format!("--namespace={NAMESPACE}");
    cluster.kubectl(&["create", "serviceaccount", "operator", &namespace], "").await?;
    let account = format!("--serviceaccount={NAMESPACE}:operator");
    let bind = ["create", "clusterrolebinding", "operator", "--clusterrole=cluster-admin", &account];
    cluster.kubectl(&bind, "").await?;
    cluster.control_plane.kubeconfig_for(NAMESPACE, "operator").map_err(Error::new)
}

/// The labels of what an operator manages.
fn part_of(part: u32) -> BTreeMap<String, String> {
    BTreeMap::from([(PART.to_owned(), part.to_string())])
}

/// The name of the DatabricksAuth that an operator uses.
fn credentials(part: u32) -> String {
    format!("account-{part}")
}

/// The name of an object.
fn name(n: usize) -> String {
    format!("user-{n}")
}
