//! What the operator sends for three hundred objects, step by step: calls to the account by method and path, and writes to the API server
//! by resource. Counts alone, without faults: times and memory are measured by `make bench`. How long a change waits for the rate of calls
//! is exact here, as time is virtual.
//!
//! Each step has a bound for all that it may send; what has none must not be sent. `--nocapture` prints the counts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "counts/estate.rs"]
mod estate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use campaign::{Api as To, Plan, Start, Starts, Story, What, World, alone, managed, operator};
use databricks_operator::engine::crd::DatabricksAuth;
use databricks_operator::kinds::KINDS;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// So many objects there are.
const N: usize = 300;
/// So many of them are changed.
const CHANGED: usize = 100;
/// Calls a second that are no limit.
const NO_LIMIT: usize = 1000;
/// What requests a reconcile.
const TOKEN: &str = "now";

/// Half an hour: two to four times the interval after which objects are compared, which is ten to twelve minutes.
const REST: Duration = Duration::from_secs(30 * 60);
/// Without a call for this long, the operator rests.
const QUIET: Duration = Duration::from_secs(60);

/// What may be sent, and how often.
type Bound = (&'static str, RangeInclusive<usize>);

/// The host's metadata, which each reconcile of the DatabricksAuth reads.
const METADATA: &str = "GET /.well-known/databricks-config";
const SIGN_IN: &str = "POST /oidc/accounts/*/v1/token";
/// Who the operator itself is, once before its first change of an access.
const SELF: &str = "GET /scim/v2/ServicePrincipals";

/// What any step may send, as time passes in it.
static USUAL: [Bound; 3] = [(METADATA, 0..=1), (SIGN_IN, 0..=1), (SELF, 0..=1)];

/// Many objects, and the operator that manages them.
struct Many {
    world: Arc<World>,
    running: JoinHandle<Result<(), String>>,
    /// The objects, as a user reads and writes them.
    api: Api<DynamicObject>,
    /// So many lines of the trace are about earlier steps.
    counted: usize,
    /// What was not within its bound.
    wrong: Vec<String>,
}

/// A cluster without an object of this kind, and an account that has what its sample refers to. The operator sends so many calls a second.
fn bare(kind: &str, rate: usize) -> Arc<Start> {
    begin(kind, Story::Create, rate)
}

/// What a story of a kind begins with.
fn begin(kind: &str, story: Story, rate: usize) -> Arc<Start> {
    let driver = KINDS.iter().copied().find(|driver| driver.kind() == kind).unwrap();
    let flags = [
        format!("--requests-per-second={rate}"),
        format!("--burst={rate}"),
        "--max-deletions-per-hour=0".to_owned(),
    ];
    Starts::new(driver, operator(&flags)).of(story).unwrap()
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn name(n: usize) -> String {
    format!("object-{n}")
}

impl Many {
    /// There is no object yet, and the operator has started.
    async fn begin(start: &Start) -> Result<Many, String> {
        let (world, _) = start.begin(Plan::default(), Arc::default(), "counts");
        world.server.calm();
        let api = Api::default_namespaced_with(world.server.client("user"), &start.driver.api_resource());
        let running = tokio::spawn(world.clone().operate());
        let mut many = Many { world, running, api, counted: 0, wrong: vec![] };
        many.rest().await?;
        many.sent();
        Ok(many)
    }

    /// Users create objects at once.
    async fn create(
        &self,
        start: &Start,
        which: Range<usize>,
        spec: impl Fn(usize) -> Value,
    ) -> Result<(), String> {
        for n in which {
            let object = serde_json::from_value(managed(start.driver, &name(n), spec(n))).map_err(said)?;
            self.api.create(&PostParams::default(), &object).await.map_err(said)?;
        }
        Ok(())
    }

    /// Users change the first objects at once.
    async fn patch(&self, count: usize, patch: &Value) -> Result<(), String> {
        for n in 0..count {
            let patched = self.api.patch(&name(n), &PatchParams::default(), &Patch::Merge(patch)).await;
            patched.map_err(said)?;
        }
        Ok(())
    }

    /// A user changes the DatabricksAuth.
    async fn patch_auth(&self, patch: &Value) -> Result<(), String> {
        let resource = ApiResource::erase::<DatabricksAuth>(&());
        let api: Api<DynamicObject> =
            Api::default_namespaced_with(self.world.server.client("user"), &resource);
        let patched = api.patch("account", &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(said)
    }

    /// Users request a reconcile of each object at once.
    async fn request(&self) -> Result<(), String> {
        let annotations = json!({"databricks-operator.io/reconcile-requested-at": TOKEN});
        self.patch(N, &json!({"metadata": {"annotations": annotations}})).await
    }

    /// Users delete the first objects at once.
    async fn delete(&self, count: usize) -> Result<(), String> {
        for n in 0..count {
            self.api.delete(&name(n), &DeleteParams::default()).await.map_err(said)?;
        }
        Ok(())
    }

    /// The operator ends, and the next one starts.
    async fn restart(&mut self) -> Result<(), String> {
        self.world.stop.cancel();
        (&mut self.running).await.map_err(said)??;
        let old = &self.world;
        let (flags, trace) = (old.operator.clone(), old.trace.clone());
        let servers = (old.server.clone(), old.account.clone());
        let next = World::new(flags, old.kinds, old.installation, Plan::default(), trace, servers);
        self.world = Arc::new(next);
        self.running = tokio::spawn(self.world.clone().operate());
        Ok(())
    }

    /// Waits until the operator rests.
    async fn rest(&self) -> Result<(), String> {
        for _ in 0..60 {
            let calls = self.world.trace.calls();
            sleep(QUIET).await;
            if self.world.trace.calls() == calls {
                return Ok(());
            }
        }
        Err("the operator does not rest".to_owned())
    }

    /// Ends a step: waits until the operator rests, and compares what it has sent with the bounds.
    async fn step(&mut self, step: &str, bounds: &[Bound]) -> Result<(), String> {
        self.rest().await?;
        let sent = self.sent();
        self.compare(step, &sent, bounds);
        Ok(())
    }

    /// Compares what was sent with its bounds.
    fn compare(&mut self, step: &str, sent: &BTreeMap<String, usize>, bounds: &[Bound]) {
        println!("{step}: {sent:#?}");
        let bounded = bounds.iter().map(|(what, _)| *what);
        let all: BTreeSet<&str> = sent.keys().map(String::as_str).chain(bounded).collect();
        for what in all {
            let count = sent.get(what).copied().unwrap_or_default();
            let bound = bounds.iter().chain(&USUAL).find(|(bounded, _)| *bounded == what);
            let bound = bound.map_or(0..=0, |(_, bound)| bound.clone());
            if !bound.contains(&count) {
                self.wrong.push(format!("{step}: {count} times {what}, in place of {bound:?}"));
            }
        }
    }

    /// What the operator has done since it started: calls to both APIs, and reconciles.
    fn steps(&self) -> [usize; 2] {
        [self.world.trace.calls(), self.world.reconciles()]
    }

    /// How often the operator has sent what since the last step: all calls to the account, and writes to the API server.
    fn sent(&mut self) -> BTreeMap<String, usize> {
        let lines = self.world.trace.lines();
        let mut sent: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines.iter().skip(self.counted) {
            let What::Call { api, method, path, .. } = &line.what else { continue };
            let path = path.split('?').next().unwrap_or_default();
            let what = match api {
                To::Account => called(path),
                To::Cluster if method == "GET" => continue,
                To::Cluster => resource(path),
            };
            *sent.entry(format!("{method} {what}")).or_default() += 1;
        }
        self.counted = lines.len();
        sent
    }

    /// Notes as wrong that not so many objects are as they should be. A step that is not carried out sends little.
    async fn check(
        &mut self,
        what: &str,
        wanted: usize,
        is: impl Fn(&DynamicObject) -> bool,
    ) -> Result<(), String> {
        let all = self.api.list(&ListParams::default()).await.map_err(said)?;
        let count = all.iter().filter(|object| is(object)).count();
        if count != wanted {
            self.wrong.push(format!("{count} objects are {what}, in place of {wanted}"));
        }
        Ok(())
    }
}

/// A path of the account, with `*` in place of ids and without what all have in common.
fn called(path: &str) -> String {
    let is_id = |part: &str| {
        let uuid = part.len() == 36 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        uuid || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
    let path = parts.join("/");
    path.strip_prefix("/api/2.0/accounts/*").unwrap_or(&path).to_owned()
}

/// The resource, and subresource, that a path of the API server is about.
fn resource(path: &str) -> String {
    let (_, inside) = path.split_once("/namespaces/").unwrap_or_default();
    match inside.split('/').collect::<Vec<_>>()[..] {
        [_, resource] | [_, resource, _] => resource.to_owned(),
        [_, resource, _, part] => format!("{resource}/{part}"),
        _ => path.to_owned(),
    }
}

/// The object is Ready as it is now.
fn is_ready(object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
    status["observedGeneration"].as_i64() == object.metadata.generation
        && status["conditions"].as_array().is_some_and(|all| all.iter().any(ready))
}

const LIST: &str = "GET /workspaces/*/permissionassignments";
const PUT: &str = "PUT /workspaces/*/permissionassignments/principals/*";
const DELETE: &str = "DELETE /workspaces/*/permissionassignments/principals/*";
const STATUS: &str = "PATCH permissionassignments/status";
const OBJECT: &str = "PATCH permissionassignments";
const EVENT: &str = "POST events";
const AUTH_STATUS: &str = "PATCH databricksauths/status";

impl Many {
    /// The account has this object too. Returns its id.
    fn id_of(&self, collection: &str, object: Value, field: &str) -> Result<i64, String> {
        let id = self.world.account.insert(collection, object)?[field].clone();
        id.as_i64().or_else(|| id.as_str()?.parse().ok()).ok_or_else(|| format!("{id} is no number"))
    }

    /// The account has so many more users.
    fn users(&self, count: usize) -> Result<Vec<i64>, String> {
        (0..count)
            .map(|n| self.id_of("Users", json!({"userName": format!("user-{n}@example.com")}), "id"))
            .collect()
    }

    /// How long it takes until the operator has sent this call, in milliseconds.
    async fn until_called(&self, method: &str, path: &str) -> Result<u64, String> {
        let (begun, known) = (tokio::time::Instant::now(), self.world.trace.lines().len());
        while begun.elapsed() < Duration::from_secs(300) {
            let called = |line: &campaign::Line| matches!(&line.what, What::Call { method: m, path: p, .. } if *m == method && p.ends_with(path));
            if self.world.trace.lines().iter().skip(known).any(called) {
                return u64::try_from(begun.elapsed().as_millis()).map_err(said);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("{method} {path} was not sent"))
    }
}

/// A write under a name: one PUT for each object, and comparisons that share a LIST.
#[test]
fn three_hundred_assignments_of_one_workspace() {
    let start = bare("PermissionAssignment", NO_LIMIT);
    let wrong = alone(0, async move || {
        let mut many = Many::begin(&start).await?;
        let users = many.users(N)?;

        many.create(&start, 0..N, |n| spec_of(&start, json!({"principal": {"id": users[n]}}))).await?;
        // Finalizer and annotations; the announcement and the result; Created, which also says that it is Ready.
        let each = [(OBJECT, 2 * N..=2 * N), (STATUS, 2 * N..=2 * N), (EVENT, N..=N)];
        many.step("create", &[&[(PUT, N..=N), (LIST, 1..=1)][..], &each].concat()).await?;
        many.check("Ready", N, is_ready).await?;

        sleep(REST).await;
        many.step("rest", &[(LIST, 2..=4), (METADATA, 0..=4), (SIGN_IN, 0..=2)]).await?;

        many.patch_auth(&json!({"spec": {"resyncInterval": "1h"}})).await?;
        // The DatabricksAuth has a new generation. No object that uses it has.
        many.step("another interval", &[(AUTH_STATUS, 1..=1), (METADATA, 0..=2), (LIST, 0..=1)]).await?;

        many.patch(CHANGED, &json!({"spec": {"permissions": ["ADMIN"]}})).await?;
        let each = [(STATUS, CHANGED..=CHANGED), (EVENT, CHANGED..=CHANGED)];
        many.step("change", &[&[(PUT, CHANGED..=CHANGED), (LIST, 0..=1)][..], &each].concat()).await?;
        many.check("changed", CHANGED, |object| object.metadata.generation == Some(2) && is_ready(object))
            .await?;

        many.request().await?;
        many.step("each requested", &[(LIST, 1..=2), (STATUS, N..=N)]).await?;
        many.check("reconciled on request", N, |object| {
            object.data["status"]["lastHandledReconcileAt"] == TOKEN
        })
        .await?;
        many.check("showing the other interval", N, |object| {
            object.data["status"]["effective"]["resyncInterval"] == "1h"
        })
        .await?;

        many.restart().await?;
        many.step("restart", &[(LIST, 1..=1), (METADATA, 1..=3)]).await?;

        many.delete(N).await?;
        let each = [(OBJECT, N..=N), (EVENT, N..=N)];
        // A LIST proves the absence of many objects.
        many.step("delete", &[&[(DELETE, N..=N), (LIST, 1..=3)][..], &each].concat()).await?;
        many.check("left", 0, |_| true).await?;
        Ok(many.wrong)
    });
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Objects of many parents share one rate of calls, and few of them have a LIST of their own.
#[test]
fn three_hundred_assignments_of_twenty_workspaces() {
    const WORKSPACES: usize = 20;

    let start = bare("PermissionAssignment", 15);
    let wrong = alone(0, async move || {
        let mut many = Many::begin(&start).await?;
        let users = many.users(N)?;
        let new = |_| many.id_of("workspaces", json!({}), "workspace_id");
        let workspaces = (0..WORKSPACES).map(new).collect::<Result<Vec<i64>, String>>()?;
        many.create(&start, 0..N, |n| {
            let place = json!({"workspaceId": workspaces[n % WORKSPACES], "principal": {"id": users[n]}});
            spec_of(&start, place)
        })
        .await?;
        let each = [(OBJECT, 2 * N..=2 * N), (STATUS, 2 * N..=2 * N), (EVENT, N..=N)];
        let calls = [(PUT, N..=N), (LIST, WORKSPACES..=2 * WORKSPACES)];
        many.step("create", &[&calls[..], &each].concat()).await?;
        many.check("Ready", N, is_ready).await?;

        many.request().await?;
        let each = (STATUS, N..=N);
        many.step("each requested", &[(LIST, WORKSPACES..=2 * WORKSPACES), each]).await?;

        many.delete(N).await?;
        let each = [(OBJECT, N..=N), (EVENT, N..=N)];
        // One before the deletions, and one each after 5 s, after 20 s and at the end.
        let calls = [(DELETE, N..=N), (LIST, WORKSPACES..=4 * WORKSPACES)];
        many.step("delete", &[&calls[..], &each].concat()).await?;
        many.check("left", 0, |_| true).await?;
        Ok(many.wrong)
    });
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The sample's spec, with what places the object.
fn spec_of(start: &Start, place: Value) -> Value {
    let mut spec = start.spec.clone();
    if let (Value::Object(spec), Value::Object(place)) = (&mut spec, place) {
        spec.extend(place);
    }
    spec
}

/// What exists goes before what is new: a change, and above all a deletion, does not wait until hundreds of objects are created.
#[test]
fn a_change_does_not_wait_behind_three_hundred_creates() {
    let start = bare("PermissionAssignment", 15);
    let waits = alone(0, async move || {
        let many = Many::begin(&start).await?;
        let users = many.users(N)?;
        let path = |n: usize| format!("/permissionassignments/principals/{}", users[n]);
        let spec = |n: usize| spec_of(&start, json!({"principal": {"id": users[n]}}));
        // The first ones are bound when the others are applied.
        many.create(&start, 0..10, spec).await?;
        many.rest().await?;
        many.create(&start, 10..N, spec).await?;
        sleep(Duration::from_secs(3)).await;
        let mut waits = vec![];
        for n in 0..5 {
            let admin = json!({"spec": {"permissions": ["ADMIN"]}});
            many.api.patch(&name(n), &PatchParams::default(), &Patch::Merge(&admin)).await.map_err(said)?;
            waits.push(many.until_called("PUT", &path(n)).await?);
            many.api.delete(&name(n + 5), &DeleteParams::default()).await.map_err(said)?;
            waits.push(many.until_called("DELETE", &path(n + 5)).await?);
        }
        let ready = many
            .api
            .list(&ListParams::default())
            .await
            .map_err(said)?
            .iter()
            .filter(|it| is_ready(it))
            .count();
        Ok((waits, ready))
    });
    let (waits, ready) = waits.unwrap();
    assert!(ready < N / 2, "{ready} objects are Ready already, so nothing had to wait");
    assert!(waits.iter().all(|wait| *wait <= 1000), "milliseconds from a change to its call: {waits:?}");
}

/// An object that is created by a POST: it is read by its id before its deletion, and its absence is proven by that read and a LIST.
#[test]
fn three_hundred_credentials() {
    const LIST: &str = "GET /credentials";
    const GET: &str = "GET /credentials/*";
    const POST: &str = "POST /credentials";
    const DELETE: &str = "DELETE /credentials/*";
    const STATUS: &str = "PATCH credentials/status";
    const OBJECT: &str = "PATCH credentials";
    const EVENT: &str = "POST events";

    let start = bare("Credential", NO_LIMIT);
    let wrong = alone(0, async move || {
        let mut many = Many::begin(&start).await?;

        many.create(&start, 0..N, |n| {
            let mut spec = start.spec.clone();
            spec["credentialsName"] = json!(format!("compute-{n}"));
            spec
        })
        .await?;
        let each = [(OBJECT, 2 * N..=2 * N), (STATUS, 2 * N..=2 * N), (EVENT, N..=N)];
        many.step("create", &[&[(POST, N..=N), (LIST, 1..=2)][..], &each].concat()).await?;
        many.check("Ready", N, is_ready).await?;

        sleep(REST).await;
        many.step("rest", &[(LIST, 2..=4), (METADATA, 0..=4), (SIGN_IN, 0..=2)]).await?;

        many.request().await?;
        many.step("each requested", &[(LIST, 1..=2), (STATUS, N..=N)]).await?;

        many.restart().await?;
        many.step("restart", &[(LIST, 1..=1), (METADATA, 1..=3)]).await?;

        many.delete(N).await?;
        let each = [(OBJECT, N..=N), (EVENT, N..=N)];
        let reads = [(GET, N..=2 * N), (LIST, 1..=3)];
        many.step("delete", &[&[(DELETE, N..=N)][..], &reads, &each].concat()).await?;
        many.check("left", 0, |_| true).await?;
        Ok(many.wrong)
    });
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Databricks takes five minutes to provision a workspace. Those that wait share the LISTs that poll them, and each is read by itself once
/// it runs.
#[test]
fn three_hundred_workspaces_that_are_provisioned() {
    const LIST: &str = "GET /workspaces";
    const GET: &str = "GET /workspaces/*";
    const POST: &str = "POST /workspaces";
    const STATUS: &str = "PATCH workspaces/status";
    const OBJECT: &str = "PATCH workspaces";

    let start = bare("Workspace", NO_LIMIT);
    let wrong = alone(0, async move || {
        let mut many = Many::begin(&start).await?;
        many.world.account.set(|settings| settings.provisioning_ms = 300_000);
        many.create(&start, 0..N, |n| spec_of(&start, json!({"workspaceName": format!("analytics-{n}")})))
            .await?;
        // Created, being provisioned, and Ready.
        let each = [(OBJECT, 0..=2 * N), (STATUS, 0..=4 * N), (EVENT, 0..=2 * N)];
        // The first one that is polled is alone. The pauses between polls grow to a minute.
        let calls = [(POST, N..=N), (GET, N..=N + 5), (LIST, 8..=25), (METADATA, 0..=2)];
        many.step("create", &[&calls[..], &each].concat()).await?;
        many.check("Ready", N, is_ready).await?;
        Ok(many.wrong)
    });
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What an object costs does not grow with the number of objects: ten times as many take ten times the calls to both APIs and the
/// reconciles, when they are created, when the operator starts, and when they are deleted.
#[test]
fn ten_times_the_objects_take_ten_times_the_steps() {
    for kind in ["PermissionAssignment", "Credential"] {
        ten_times(kind);
    }
}

fn ten_times(kind: &str) {
    let start = bare(kind, NO_LIMIT);
    let steps = |count: usize| {
        let start = start.clone();
        let steps = alone(0, async move || {
            let mut many = Many::begin(&start).await?;
            let users = many.users(count)?;
            let since = |before: [usize; 2], now: [usize; 2]| [now[0] - before[0], now[1] - before[1]];

            let before = many.steps();
            let own = |n: usize| match &*start.driver.kind() {
                "Credential" => json!({"credentialsName": format!("compute-{n}")}),
                _ => json!({"principal": {"id": users[n]}}),
            };
            many.create(&start, 0..count, |n| spec_of(&start, own(n))).await?;
            many.rest().await?;
            many.check("Ready", count, is_ready).await?;
            let created = since(before, many.steps());

            let before = [many.world.trace.calls(), 0];
            many.restart().await?;
            many.rest().await?;
            let started = since(before, many.steps());

            let before = many.steps();
            many.delete(count).await?;
            many.rest().await?;
            many.check("left", 0, |_| true).await?;
            let deleted = since(before, many.steps());
            Ok(([created, started, deleted], many.wrong))
        });
        let (steps, wrong) = steps.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        steps
    };
    let (few, many) = (steps(60), steps(600));
    println!("{kind}: calls and reconciles: {few:?} for 60 objects, {many:?} for 600");
    for ((step, few), many) in ["create", "start", "delete"].into_iter().zip(few).zip(many) {
        for (few, many) in few.into_iter().zip(many) {
            // Reconciles that wait for their turn come again, and a few need none: all are deleted before the first reading ends. What
            // grows with the square takes a hundred times the steps.
            assert!(few > 0 && many <= 15 * few, "{kind} {step}: {few} steps for 60 objects, {many} for 600");
        }
    }
}
