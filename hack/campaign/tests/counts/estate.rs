//! Two hundred workspaces with all that they refer to, made of the manifests of the example: each has credentials and a network of its own,
//! one in ten has assignments, and the rest of the network is shared. So are storage configurations, of which an account may have fifty.

use std::collections::BTreeMap;
use std::time::Duration;

use campaign::{Api as To, Line, Story, What, alone, example};
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Bound, LIST, METADATA, Many, PUT, SIGN_IN, begin, is_ready, name, said};

/// So many workspaces there are.
const N: usize = 200;
/// So many storage configurations.
const STORAGES: usize = 50;
/// So many workspaces have assignments, two each.
const ASSIGNED: usize = 20;
/// Calls a second of each class of endpoints, and at once after a quiet time.
const RATE: usize = 20;
/// What Databricks is still creating is read again after this time at the latest.
const POLL_MS: usize = 5000;
/// A create rests on a LIST of the last five seconds, so that each kind is listed so often at most while all is created.
const FRESH: usize = 15;
/// The same of workspaces, which are polled as well: those that wait share LISTs, half of the first pause between two polls apart.
const POLLED: usize = 25;

/// From when on the time counts.
const APPLIED: &str = "users apply all";

/// Of what the example has, all of these kinds are shared.
const SHARED: [&str; 5] = [
    "DatabricksAuth",
    "VpcEndpoint",
    "PrivateAccessSettings",
    "CustomerManagedKey",
    "NetworkConnectivityConfig",
];

/// All manifests, with an assignment for each of these users.
fn manifests(example: &[Value], users: &[i64]) -> Vec<Value> {
    let mut all: Vec<Value> = SHARED.iter().flat_map(|kind| of(example, kind)).cloned().collect();
    let one = |kind: &str| of(example, kind).next().cloned().unwrap();
    let (credential, storage, network) = (one("Credential"), one("StorageConfiguration"), one("Network"));
    let (mut workspace, assignment) = (one("Workspace"), one("PermissionAssignment"));
    workspace["spec"].as_object_mut().unwrap().remove("outputs");
    for n in 0..N {
        let own = json!({"name": name(n)});
        all.push(with(&credential, n, json!({"credentialsName": format!("compute-{n}")})));
        if n < STORAGES {
            let (storage_name, bucket) = (format!("root-{n}"), format!("example-databricks-{n}"));
            let spec = json!({"storageConfigurationName": storage_name, "bucketName": bucket});
            all.push(with(&storage, n, spec));
        }
        let subnets = [2 * n, 2 * n + 1].map(|n| format!("subnet-{n:017x}"));
        let groups = [format!("sg-{n:017x}")];
        let spec =
            json!({"networkName": format!("network-{n}"), "subnetIds": subnets, "securityGroupIds": groups});
        all.push(with(&network, n, spec));
        let shares = json!({"name": name(n % STORAGES)});
        let spec = json!({
            "workspaceName": format!("workspace-{n}"), "credentialsRef": own, "networkRef": own,
            "storageConfigurationRef": shares,
        });
        all.push(with(&workspace, n, spec));
    }
    for (n, user) in users.iter().enumerate() {
        let workspace = json!({"name": name(n % ASSIGNED)});
        all.push(with(&assignment, n, json!({"workspaceRef": workspace, "principal": {"id": user}})));
    }
    all
}

/// The manifests of a kind.
fn of<'a>(all: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    all.iter().filter(move |one| one["kind"] == kind)
}

/// A manifest under another name, and with other fields in its spec.
fn with(manifest: &Value, n: usize, fields: Value) -> Value {
    let mut one = manifest.clone();
    one["metadata"]["name"] = json!(name(n));
    if let (Value::Object(spec), Value::Object(fields)) = (&mut one["spec"], fields) {
        spec.extend(fields);
    }
    one
}

/// What is sent to the account until all is there: each object is created by one call. A workspace runs by the time when it is read for the
/// first time; then it is attached to its network connectivity configuration, and read once more. What its network reports is in the LISTs
/// of networks.
fn created() -> Vec<Bound> {
    vec![
        (METADATA, 1..=1),
        (SIGN_IN, 1..=2),
        ("POST /credentials", N..=N),
        ("POST /storage-configurations", STORAGES..=STORAGES),
        ("POST /networks", N..=N),
        ("POST /workspaces", N..=N),
        ("POST /vpc-endpoints", 2..=2),
        ("POST /private-access-settings", 1..=1),
        ("POST /customer-managed-keys", 1..=1),
        ("POST /network-connectivity-configs", 1..=1),
        (PUT, 2 * ASSIGNED..=2 * ASSIGNED),
        ("PATCH /workspaces/*", N..=N),
        ("GET /workspaces/*", 2 * N..=2 * N),
        ("GET /vpc-endpoints/*", 0..=4),
        ("GET /credentials", 1..=FRESH),
        ("GET /storage-configurations", 1..=FRESH),
        ("GET /networks", 1..=FRESH),
        ("GET /workspaces", 1..=POLLED),
        ("GET /vpc-endpoints", 1..=2),
        ("GET /private-access-settings", 1..=1),
        ("GET /customer-managed-keys", 1..=1),
        ("GET /network-connectivity-configs", 1..=1),
        (LIST, ASSIGNED..=2 * ASSIGNED),
    ]
}

/// What is sent to compare all objects once: a LIST of each collection, which of assignments each workspace has one. That of networks
/// also has what workspaces report of them.
fn compared() -> Vec<Bound> {
    let once = [
        "GET /credentials",
        "GET /storage-configurations",
        "GET /networks",
        "GET /workspaces",
        "GET /vpc-endpoints",
        "GET /private-access-settings",
        "GET /customer-managed-keys",
        "GET /network-connectivity-configs",
    ];
    let mut bounds = vec![(LIST, ASSIGNED..=ASSIGNED), (METADATA, 0..=3)];
    bounds.extend(once.map(|list| (list, 1..=1)));
    bounds
}

/// The class of endpoints that a call belongs to, by a part of its path. Each class has a rate of its own.
fn class(path: &str) -> &'static str {
    let known = ["/oidc/", "/.well-known/", "/scim/", "/workspaces"];
    known.into_iter().find(|part| path.contains(part)).unwrap_or("other")
}

impl Many {
    /// A user applies a manifest.
    async fn apply(&self, manifest: &Value) -> Result<(), String> {
        let (resource, _) = example::called(manifest);
        let api: Api<DynamicObject> =
            Api::default_namespaced_with(self.world.server.client("user"), &resource);
        let object = serde_json::from_value(manifest.clone()).map_err(said)?;
        api.create(&PostParams::default(), &object).await.map(drop).map_err(said)
    }

    /// Notes as wrong that all took longer, by more than a twentieth, than these in a row: the VPC endpoints until they are read as available,
    /// as no network and so no workspace is created before; the calls of the busiest class at their rate; the last workspace until it is read
    /// again. The busiest class is that of workspaces: it must not wait for the calls of another one.
    fn check_time(&mut self) {
        let lines = self.world.trace.lines();
        let applied = |line: &Line| matches!(&line.what, What::Note(text) if text == APPLIED);
        let written = |line: &Line| matches!(&line.what, What::Call { method, path, .. } if method == "PATCH" && path.contains("/status"));
        let begun = lines.iter().rposition(applied).unwrap();
        let ended = lines.iter().rposition(written).unwrap();
        let of_endpoints = |line: &Line| matches!(&line.what, What::Call { method, path, .. } if method == "GET" && path.contains("/vpc-endpoints/"));
        let available = lines.iter().rposition(of_endpoints).unwrap();
        let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &lines[begun..ended] {
            if let What::Call { api: To::Account, path, .. } = &line.what {
                *classes.entry(class(path)).or_default() += 1;
            }
        }
        let busiest = classes.values().copied().max().unwrap_or_default();
        let since_begun = |line: &Line| usize::try_from(line.at_ms - lines[begun].at_ms).unwrap();
        let (available_ms, took_ms) = (since_begun(&lines[available]), since_begun(&lines[ended]));
        let bound_ms = available_ms + busiest.saturating_sub(RATE) * 1000 / RATE + POLL_MS;
        println!("all is Ready after {took_ms} ms, the bound is {bound_ms} ms: {classes:?}");
        if took_ms * 20 > bound_ms * 21 {
            self.wrong
                .push(format!("all is Ready after {took_ms} ms, and {bound_ms} ms would do: {classes:?}"));
        }
    }
}

/// A refresh of all is one LIST for each collection, and writes nothing. From nothing, all is there as soon as the rate of calls allows.
#[test]
fn two_hundred_workspaces_with_all_that_they_refer_to() {
    let start = begin("Workspace", Story::Example, RATE);
    let wrong = alone(0, async move || {
        let mut many = Many::begin(&start).await?;
        let users = many.users(2 * ASSIGNED)?;
        many.world.trace.note(APPLIED);
        for manifest in manifests(&example::manifests(&many.world.account), &users) {
            many.apply(&manifest).await?;
        }
        many.rest().await?;
        many.check_time();
        let mut sent = many.sent();
        // What is written to the API server is counted for each kind elsewhere.
        sent.retain(|what, _| what.contains(" /"));
        many.compare("create", &sent, &created());
        many.check("Ready", N, is_ready).await?;

        many.restart().await?;
        // A network shows which workspace uses it; that was not known when it was created.
        let shown = [("PATCH networks/status", 0..=N)];
        many.step("restart", &[&compared()[..], &shown].concat()).await?;

        // Each object is compared again ten to twelve minutes after the last LIST.
        sleep(Duration::from_secs(690)).await;
        many.step("refresh", &compared()).await?;
        many.check("Ready", N, is_ready).await?;
        Ok(many.wrong)
    });
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
