//! The API server goes away under a running operator, and comes back with its memory of past changes lost: the operator goes
//! on, and misses nothing that happened meanwhile.
//!
//! A control plane of its own, for nobody else would like what is done to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use world::simulator::Config;
use world::{Cluster, Operator, Simulator, eventually, fast, fresh_dir};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
const SOON: Duration = Duration::from_secs(180);
const LISTS: &str = r#"kind="IpAccessList""#;

async fn apply(cluster: &Cluster, manifest: Value) {
    cluster.kubectl(&["apply", "--server-side", "-f", "-"], &manifest.to_string()).await.unwrap();
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn list(name: &str, address: &str) -> Value {
    let spec =
        json!({"authRef": {"name": "account"}, "label": name, "listType": "ALLOW", "ipAddresses": [address]});
    object("IpAccessList", name, spec)
}

/// What the operator tells under these labels, by the names of metrics.
async fn metrics(operator: &Operator, labels: &str) -> BTreeMap<String, f64> {
    // Fails only if a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let answer = client.get(format!("http://{}/metrics", operator.metrics)).send().await.unwrap();
    let (text, label) = (answer.text().await.unwrap(), format!("{{{labels}}} "));
    let told = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("databricks_operator_")?.split_once(&label)?;
        Some((name.to_owned(), value.parse().unwrap()))
    });
    told.collect()
}

/// What the operator may do, with everything.
async fn may(cluster: &Cluster, verbs: &[&str]) {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "all"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": verbs}]});
    apply(cluster, role).await;
}

/// Waits until the account has exactly these lists, by label and address.
async fn has(account: &Simulator, wanted: &[(&str, &str)]) {
    let wanted: Vec<Value> =
        wanted.iter().map(|(name, address)| json!([name, [format!("{address}/32")]])).collect();
    let there = eventually(format!("the account has {wanted:?}"), SOON, async || {
        let mut lists: Vec<Value> = account
            .objects("ip-access-lists")
            .iter()
            .map(|list| json!([list["label"], list["ip_addresses"]]))
            .collect();
        lists.sort_by_key(Value::to_string);
        if lists == wanted { Ok(()) } else { Err(format!("{lists:?}")) }
    });
    there.await.unwrap();
}

/// Covers HA-07. An API server that restarts, connections that drop, and a watch that is too old to go on (410) need no new
/// operator, and no change is missed: neither an edit, nor a new object, nor a deletion.
#[tokio::test]
async fn an_api_server_that_loses_its_history_is_read_again() {
    let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "recovery-").unwrap();
    let started = dir.clone();
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&started, Path::new(BINARY)).unwrap())
        .await
        .unwrap();
    let account = Simulator::start(Config::default()).await.unwrap();
    apply(
        &cluster,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
            "stringData": {"client-secret": account.client_secret}}),
    )
    .await;
    let auth = json!({"cloud": "AWS", "accountId": account.account_id, "host": account.url(), "authType": "OAUTH_M2M",
        "clientId": account.client_id, "clientSecretRef": {"name": "databricks", "key": "client-secret"}});
    apply(&cluster, object("DatabricksAuth", "account", auth)).await;
    // No resync: what is not seen by the watch is not seen. The lease outlasts each restart of the API server, also on a busy machine.
    let lease = [("leader-elect", "true"), ("lease-duration", "10m")];
    let flags = fast(&[&lease[..], &[("resync-interval", "Never"), ("recheck-stalled", "30m")]].concat());
    may(&cluster, &["*"]).await;
    cluster.kubectl(&["create", "serviceaccount", "operator", "--namespace=default"], "").await.unwrap();
    let bind =
        ["create", "clusterrolebinding", "all", "--clusterrole=all", "--serviceaccount=default:operator"];
    cluster.kubectl(&bind, "").await.unwrap();
    let kubeconfig = cluster.control_plane.kubeconfig_for("default", "operator").unwrap();
    let operator =
        Operator::start_with(Path::new(BINARY), &kubeconfig, &cluster.dir, &flags, &[]).await.unwrap();
    for name in ["edited", "removed"] {
        apply(&cluster, list(name, "192.0.2.1")).await;
    }
    has(&account, &[("edited", "192.0.2.1"), ("removed", "192.0.2.1")]).await;

    let restart = |mut cluster: Cluster| {
        tokio::task::spawn_blocking(move || {
            cluster.control_plane.compact().unwrap();
            cluster.control_plane.restart_api_server().unwrap();
            cluster
        })
    };
    let cluster = restart(cluster).await.unwrap();
    apply(&cluster, list("edited", "192.0.2.2")).await;
    has(&account, &[("edited", "192.0.2.2"), ("removed", "192.0.2.1")]).await;
    // The watch failed, which is counted, and works.
    let lists = metrics(&operator, LISTS).await;
    assert!(lists["watch_errors_total"] > 0.0 && lists["watch_failing_seconds"] == 0.0, "{lists:?}");

    // Whatever kept it from connecting meanwhile, the line that names the kind says why.
    let text = operator.text();
    let of_watch: Vec<&str> = text.lines().filter(|line| line.contains(" watch failed kind=")).collect();
    assert!(!of_watch.is_empty(), "{text}");
    assert!(of_watch.iter().all(|line| !line.ends_with("client error (Connect)")), "{text}");

    // Once the past is gone a list is needed. While that is refused, the watch fails, however often it begins anew.
    may(&cluster, &["get", "watch", "create", "update", "patch"]).await;
    let cluster = restart(cluster).await.unwrap();
    let refused = async || {
        let text = operator.text();
        if text.contains("cannot list resource \"ipaccesslists\"") { Ok(()) } else { Err(operator.tail(3)) }
    };
    eventually("a list is refused", SOON, refused).await.unwrap();
    // Not what was told of the restart.
    let before = metrics(&operator, LISTS).await["watch_failing_seconds"];
    let fails = eventually("the failing watch is told", SOON, async || {
        let lists = metrics(&operator, LISTS).await;
        if lists["watch_failing_seconds"] > before + 2.0 {
            Ok(())
        } else {
            Err(format!("{before}: {lists:?}"))
        }
    });
    fails.await.unwrap();
    may(&cluster, &["*"]).await;
    let works = eventually("the watch works", SOON, async || {
        let lists = metrics(&operator, LISTS).await;
        if lists["watch_failing_seconds"] == 0.0 { Ok(()) } else { Err(format!("{lists:?}")) }
    });
    works.await.unwrap();

    // A status that cannot be written is a failure, whatever the pass has done.
    may(&cluster, &["get", "list", "watch", "create", "update"]).await;
    apply(&cluster, list("edited", "192.0.2.5")).await;
    let fails = eventually("the failing passes are told", SOON, async || {
        let passes = metrics(&operator, &format!(r#"{LISTS},result="transient""#)).await;
        if passes["reconcile_total"] > 0.0 { Ok(()) } else { Err(format!("{passes:?}")) }
    });
    fails.await.unwrap();
    assert!(operator.text().contains("the status cannot be written"), "{}", operator.tail(20));
    may(&cluster, &["*"]).await;
    has(&account, &[("edited", "192.0.2.5"), ("removed", "192.0.2.1")]).await;

    // What happens while the operator cannot look is in no watch that it could go on with.
    operator.signal("STOP").unwrap();
    apply(&cluster, list("edited", "192.0.2.3")).await;
    apply(&cluster, list("new", "192.0.2.3")).await;
    cluster.kubectl(&["delete", "ipaccesslist", "removed", "--wait=false"], "").await.unwrap();
    let cluster = restart(cluster).await.unwrap();
    operator.signal("CONT").unwrap();
    has(&account, &[("edited", "192.0.2.3"), ("new", "192.0.2.3")]).await;
    let gone = ["wait", "--for=delete", "ipaccesslist/removed", "--timeout=3m"];
    cluster.kubectl(&gone, "").await.unwrap();

    // The Secret's watch went through the same.
    account.rotate_secret("another-secret", 0);
    account.revoke_tokens();
    apply(
        &cluster,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
            "stringData": {"client-secret": "another-secret"}}),
    )
    .await;
    apply(&cluster, list("new", "192.0.2.4")).await;
    has(&account, &[("edited", "192.0.2.3"), ("new", "192.0.2.4")]).await;
    let writes = account.writes();
    assert_eq!(writes.iter().filter(|call| call.method == "POST").count(), 3, "{writes:?}");
    let status = operator.terminate().await.unwrap();
    assert!(status.success(), "{status}");
}
