//! What a scrape of the running operator says: numbers that agree with what happened, as many series for a thousand objects
//! as for ten, and nothing for those who may not have it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use databricks_operator::databricks::CODES;
use databricks_operator::kinds::KINDS;
use databricks_operator::metrics::{Metrics, plain};
use futures::StreamExt;
use kube::api::{DynamicObject, PostParams};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};
use simulator::Fault;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use world::{Operator, eventually, fast};

use crate::support::{AUTH, BINARY, SERVICE_ACCOUNT, SOON, Story, cluster, kubeconfig};

const LIST: &str = "IpAccessList";

fn list(story: &Story, name: &str) -> Value {
    story.managed(LIST, name, json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]}))
}

/// The values of a scrape by series, `name{label="value"}` without our prefix.
type Series = BTreeMap<String, f64>;

fn series(text: &str) -> Series {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let values = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = series.strip_prefix("databricks_operator_").unwrap_or_else(|| panic!("{line}"));
        (series.to_owned(), value.parse().unwrap())
    });
    values.collect()
}

async fn text(client: &Client, from: SocketAddr) -> String {
    let answer = client.get(format!("http://{from}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

pub async fn scrape(story: &Story) -> Series {
    series(&text(&client(&[]), story.operator.as_ref().unwrap().metrics).await)
}

/// Waits until these series have these values; returns them all.
async fn wait_values(story: &Story, wanted: &[(&str, f64)]) -> Series {
    let agreed = eventually("the numbers are right", SOON * 6, async || {
        let all = scrape(story).await;
        let wrong: Vec<String> = wanted
            .iter()
            .filter(|(series, value)| all.get(*series) != Some(value))
            .map(|(series, value)| format!("{series} is {:?}, not {value}", all.get(*series)))
            .collect();
        if wrong.is_empty() { Ok(all) } else { Err(wrong.join("\n")) }
    });
    agreed.await.unwrap()
}

/// The calls that the account saw, as the operator has to have counted them.
fn calls(story: &Story) -> Series {
    let mut all = Series::new();
    for call in story.account.journal() {
        let api = match &call.path {
            path if path.contains("/oidc/") || path.contains(".well-known") => "token",
            path if path.contains("/scim/") => "scim",
            path if path.split('/').nth(5) == Some("workspaces") => "workspaces",
            _ => "other",
        };
        let code = call.status.map_or("none".into(), |status| status.to_string());
        let series =
            format!("api_requests_total{{api=\"{api}\",method=\"{}\",code=\"{code}\"}}", call.method);
        *all.entry(series).or_default() += 1.0;
    }
    all
}

/// Requests of the operators in the audit log that fit.
fn audited(fits: impl Fn(&Value) -> bool) -> usize {
    let log = std::fs::read_to_string(cluster().control_plane.audit_log()).unwrap();
    let ours = log.lines().filter(|line| line.contains(SERVICE_ACCOUNT));
    ours.filter_map(|line| serde_json::from_str(line).ok()).filter(fits).count()
}

/// Objects come and go, drift, meet a rate limit and the breaker: each is counted once, and as the account saw it.
#[tokio::test]
async fn the_numbers_are_those_of_what_happened() {
    let story = Story::start_with("metrics", &[("max-deletions-per-hour", "2")]).await;
    for name in ["a", "b", "c"] {
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
    }
    let id = story.get(LIST, "a").await["status"]["externalId"].as_str().unwrap().to_owned();
    story.account.edit("ip-access-lists", &id, json!({"enabled": false})).unwrap();
    story.wait_event(LIST, "a", "DriftCorrected").await;
    story.account.fault(Fault {
        method: Some("POST".into()),
        path: "*/ip-access-lists".into(),
        status: Some(429),
        body: Some(json!({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "later"})),
        headers: [("Retry-After".to_owned(), "1".to_owned())].into(),
        times: Some(1),
        ..Fault::default()
    });
    story.apply(&list(&story, "d")).await;
    story.wait_ready(LIST, "d").await;
    for name in ["a", "b"] {
        story.delete(LIST, name).await;
        story.wait_gone(LIST, name).await;
    }
    story.delete(LIST, "c").await;
    story.wait_condition(LIST, "c", "DeletionBlocked", "True", "TooManyDeletions").await;

    let all = wait_values(
        &story,
        &[
            (r#"external_writes_total{kind="IpAccessList",operation="create"}"#, 4.0),
            (r#"external_writes_total{kind="IpAccessList",operation="update"}"#, 1.0),
            (r#"external_writes_total{kind="IpAccessList",operation="delete"}"#, 2.0),
            (r#"external_writes_total{kind="IpAccessList",operation="adopt"}"#, 0.0),
            (r#"drift_detected_total{kind="IpAccessList"}"#, 1.0),
            (r#"drift_corrected_total{kind="IpAccessList"}"#, 1.0),
            (r#"api_throttled_total{api="other"}"#, 1.0),
            (r#"time_to_ready_seconds_count{kind="IpAccessList"}"#, 4.0),
            (r#"time_to_ready_seconds_count{kind="DatabricksAuth"}"#, 1.0),
            (r#"deletion_duration_seconds_count{kind="IpAccessList"}"#, 2.0),
            (r#"resources{kind="IpAccessList",condition="Ready",status="True"}"#, 1.0),
            (r#"resources{kind="IpAccessList",condition="Ready",status="False"}"#, 1.0),
            (r#"resources{kind="IpAccessList",condition="DeletionBlocked",status="True"}"#, 1.0),
            (r#"resources{kind="IpAccessList",condition="DeletionBlocked",status="False"}"#, 1.0),
            (r#"resources{kind="DatabricksAuth",condition="Ready",status="True"}"#, 1.0),
            (r#"resources{kind="Workspace",condition="Ready",status="True"}"#, 0.0),
            ("mass_deletion_stopped", 1.0),
            ("leader", 1.0),
            ("panics_total", 0.0),
            (r#"workqueue_depth{kind="IpAccessList"}"#, 0.0),
            (r#"workqueue_oldest_seconds{kind="IpAccessList"}"#, 0.0),
            (r#"watch_failing_seconds{kind="IpAccessList"}"#, 0.0),
        ],
    )
    .await;
    // Each object took less than the whole story, and more than nothing.
    for sum in ["time_to_ready_seconds_sum", "deletion_duration_seconds_sum"] {
        let took = all[&format!("{sum}{{kind=\"{LIST}\"}}")];
        assert!(took > 0.0 && took < 240.0, "{sum}: {took}");
    }
    // A pass is counted when it has ended, so a scrape may see it by half.
    let counted = eventually("passes are counted with their time", SOON, async || {
        let all = scrape(&story).await;
        let sum = |name: &str, kind: &str| -> f64 {
            let of_kind = format!("{name}{{kind=\"{kind}\"");
            all.iter().filter(|(series, _)| series.starts_with(&of_kind)).map(|(_, value)| value).sum()
        };
        let passes = [LIST, "DatabricksAuth"]
            .map(|kind| (sum("reconcile_total", kind), sum("reconcile_duration_seconds_count", kind)));
        let with = |result: &str| all[&format!(r#"reconcile_total{{kind="{LIST}",result="{result}"}}"#)];
        let shown = (passes, with("blocked"), with("limited"));
        let whole = passes.iter().all(|(passes, timed)| passes == timed && *passes > 0.0);
        if whole && shown.1 > 0.0 && shown.2 > 0.0 { Ok(()) } else { Err(format!("{shown:?}")) }
    });
    counted.await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let left = all["auth_token_expiry_timestamp_seconds"] - now;
    assert!(left > 0.0 && left <= 3_600.0, "the token lasts for {left} s");
    let renewed = story.account.calls("POST", "*/token");
    assert_eq!(all[r#"auth_token_refresh_total{result="success"}"#] as usize, renewed);

    // Every call that the account saw, and no other: looks go on, so it may take some until nothing is under way.
    let agreed = eventually("the calls are those of the account", SOON, async || {
        let mut counted = scrape(&story).await;
        counted.retain(|series, value| series.starts_with("api_requests_total") && *value > 0.0);
        let seen = calls(&story);
        if counted == seen { Ok(()) } else { Err(format!("counted {counted:?}\nseen    {seen:?}")) }
    });
    agreed.await.unwrap();
    let written = eventually("the writes of the status are those of the API server", SOON, async || {
        let counted = scrape(&story).await[r#"status_writes_total{kind="IpAccessList"}"#];
        let seen = audited(|event| {
            let object = &event["objectRef"];
            let status = object["subresource"] == "status" && object["resource"] == "ipaccesslists";
            status && object["namespace"] == *story.namespace && event["responseStatus"]["code"] == 200
        });
        if counted as usize == seen { Ok(()) } else { Err(format!("counted {counted}, seen {seen}")) }
    });
    written.await.unwrap();
    story.end().await;
}

/// Makes objects that need no call, many at a time: nearly all of a thousand are suspended, as it is their number that counts,
/// and what labels may say is checked for all.
async fn make(story: &Story, numbers: std::ops::Range<usize>) {
    let api = story.api(LIST);
    let objects = numbers.map(|n| {
        let mut object = list(story, &format!("whose-name-{n}"));
        object["spec"]["suspend"] = json!(true);
        serde_json::from_value::<DynamicObject>(object).unwrap()
    });
    let objects: Vec<_> = objects.collect();
    let params = PostParams { field_manager: Some("tester".into()), ..PostParams::default() };
    let made = futures::stream::iter(&objects).map(|object| api.create(&params, object));
    made.buffer_unordered(32).for_each(|made| async { drop(made.unwrap()) }).await;
}

/// Covers OB-02. A scrape at a thousand objects has the same series as at ten, none tells of an object, and a hundred
/// scrapes at a time hold nobody up.
#[tokio::test]
async fn a_thousand_objects_make_no_more_series_than_ten() {
    let story = Story::start_with("metrics-series", &[("resync-interval", "Never")]).await;
    let begun = tokio::time::Instant::now();
    story.apply(&list(&story, "whose-name")).await;
    story.wait_ready(LIST, "whose-name").await;
    let busy = begun.elapsed() * 10;
    let suspended = r#"resources{kind="IpAccessList",condition="Suspended",status="True"}"#;
    make(&story, 0..9).await;
    let few = wait_values(&story, &[(suspended, 9.0)]).await;

    let (scraper, from) = (client(&[]), story.operator.as_ref().unwrap().metrics);
    let many = async {
        let scrapes = futures::future::join_all((0..100).map(|_| text(&scraper, from)));
        tokio::time::timeout(SOON * 3, scrapes).await.expect("a hundred scrapes are over soon")
    };
    // While the operator has its hands full.
    let ((), during) = tokio::join!(make(&story, 9..999), many);
    let all =
        wait_values(&story, &[(suspended, 999.0), (r#"workqueue_depth{kind="IpAccessList"}"#, 0.0)]).await;
    let names = |all: &Series| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&all), names(&few));
    for text in &during {
        assert_eq!(names(&series(text)), names(&few));
    }
    let text = text(&scraper, from).await;
    let told: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let host = story.account.url();
    for secret in
        ["whose-name", &story.namespace, AUTH, &story.account.account_id, &story.account.client_id, &host]
    {
        assert!(!told.contains(secret), "{secret} is in a scrape");
    }
    // All that is not there from the start is a status of an answer, out of a closed set, and the end of a token.
    let start = series(&plain(&Metrics::new(KINDS).text()));
    assert!(start.keys().all(|series| all.contains_key(series)));
    for series in all.keys().filter(|series| !start.contains_key(*series)) {
        let code = CODES.iter().any(|code| series.ends_with(&format!(",code=\"{code}\"}}")));
        let call = series.starts_with("api_requests_total{") && code;
        assert!(call || series == "auth_token_expiry_timestamp_seconds", "{series}");
    }
    // Under a load that does not end, a user who changes something waits no longer than the machine is busy anyway.
    let flood = tokio::spawn(async move {
        loop {
            futures::future::join_all((0..100).map(|_| self::text(&scraper, from))).await;
        }
    });
    let begun = tokio::time::Instant::now();
    story.patch(LIST, "whose-name", json!({"spec": {"enabled": false}})).await;
    story.wait_ready(LIST, "whose-name").await;
    assert!(begun.elapsed() < Duration::from_secs(10) + busy, "it took {:?}", begun.elapsed());
    flood.abort();
    story.end().await;
}

/// Idle connections to both ports, more than the operator may have files open and each there again as soon as it
/// is closed, hold up no probe, no scrape and no call.
#[tokio::test]
async fn idle_connections_hold_up_no_other_client() {
    let mut story = Story::without_operator("metrics-idle").await;
    let dir = world::fresh_dir(&cluster().dir, "few-files-").unwrap();
    let program = dir.join("operator");
    std::fs::write(&program, format!("#!/bin/sh\nulimit -n 350\nexec '{BINARY}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let flags = fast(&[("namespaces", &*story.namespace)]);
    story.operator = Some(Operator::start_with(&program, kubeconfig(), &dir, &flags, &[]).await.unwrap());
    story.wait_ready("DatabricksAuth", AUTH).await;
    let operator = story.operator.as_ref().unwrap();
    let (health, metrics) = (operator.health, operator.metrics);
    let connected = Arc::new(AtomicUsize::new(0));
    let idle = |port: SocketAddr| {
        let connected = connected.clone();
        tokio::spawn(async move {
            let mut connection = TcpStream::connect(port).await.unwrap();
            connected.fetch_add(1, Ordering::Relaxed);
            // Until the story is over.
            loop {
                // It may be closed in whatever way.
                let _ = connection.read(&mut [0]).await;
                connection = TcpStream::connect(port).await.unwrap();
            }
        })
    };
    let crowd: Vec<_> = (0..360).flat_map(|_| [health, metrics]).map(idle).collect();
    let there = eventually("all are connected", SOON, async || {
        let so_far = connected.load(Ordering::Relaxed);
        if so_far >= crowd.len() { Ok(()) } else { Err(so_far.to_string()) }
    });
    there.await.unwrap();
    for _ in 0..3 {
        for url in [
            format!("http://{health}/healthz"),
            format!("http://{health}/readyz"),
            format!("http://{metrics}/metrics"),
        ] {
            // As long as the kubelet waits with the chart's values; Prometheus waits for longer.
            let answer = client(&[]).get(&url).timeout(Duration::from_secs(5)).send().await;
            assert_eq!(answer.unwrap_or_else(|e| panic!("{url}: {e:?}")).status(), 200, "{url}");
        }
    }
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    assert!(crowd.iter().all(|one| !one.is_finished()), "somebody could not connect again");
    crowd.iter().for_each(|one| one.abort());
    story.end().await;
}

/// The two files of a certificate, in a directory of the story.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// A certificate for this machine, and who has issued it.
fn issue() -> (String, String, Certificate) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (cert.pem(), key.serialize_pem(), Certificate::from_pem(authority.pem().as_bytes()).unwrap())
}

/// A client that trusts these authorities and nobody else.
fn client(trusts: &[Certificate]) -> Client {
    Client::builder().no_proxy().tls_certs_only(trusts.to_vec()).build().unwrap()
}

/// Covers SE-01. Protected metrics are for who has a token of the cluster and the right to them, over TLS with a certificate that may
/// be renewed; the rights that the chart gives are enough, and scrapes cost the API server next to nothing.
#[tokio::test]
async fn protected_metrics_are_served_only_to_authorised_clients() {
    let mut story = Story::without_operator("metrics-protected").await;
    let path = |name: &str| cluster().dir.join(format!("metrics-{name}"));
    let files = Files { cert: path("tls.crt"), key: path("tls.key") };
    let (cert, key, trusted) = issue();
    std::fs::write(&files.cert, cert).unwrap();
    std::fs::write(&files.key, key).unwrap();
    let flags = [
        ("metrics-tls-cert", files.cert.to_str().unwrap()),
        ("metrics-tls-key", files.key.to_str().unwrap()),
        ("metrics-auth", "true"),
    ];
    story.start_operator(&flags).await;
    let url = format!("https://{}/metrics", story.operator.as_ref().unwrap().metrics);
    let get = async |client: &Client, token: &str| -> Response {
        let request = client.get(&url);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        request.send().await.unwrap()
    };
    let client_of_old = client(&[trusted]);
    let mut tokens = vec![];
    for name in ["stranger", "scraper"] {
        story.kubectl(&["create", "serviceaccount", name]).await.unwrap();
        let token = story.kubectl(&["create", "token", name]).await.unwrap().trim().to_owned();
        story.canaries.push(token.clone());
        tokens.push(token);
    }
    let role = "--clusterrole=databricks-operator.operators.metrics-reader";
    let scraper = format!("--serviceaccount={}:scraper", story.namespace);
    story.kubectl(&["create", "clusterrolebinding", "metrics-scraper", role, &scraper]).await.unwrap();

    let nobody = get(&client_of_old, "").await;
    assert_eq!(
        (nobody.status().as_u16(), &nobody.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(get(&client_of_old, "no-such-token").await.status(), 401);
    let refused = get(&client_of_old, &tokens[0]).await;
    assert_eq!(refused.status(), 403);
    assert!(!refused.text().await.unwrap().contains("databricks_operator_"));
    assert_eq!(client_of_old.get(&url).basic_auth("a", Some("b")).send().await.unwrap().status(), 401);
    let plain = reqwest::get(url.replace("https:", "http:")).await;
    assert!(plain.is_err() || !plain.unwrap().status().is_success(), "metrics in plain");

    let reviews = |resource: &str| audited(|event| event["objectRef"]["resource"] == resource);
    let allowed = eventually("the right has come into force", SOON, async || {
        let answer = get(&client_of_old, &tokens[1]).await;
        if answer.status() == 200 { Ok(answer) } else { Err(answer.status().to_string()) }
    });
    let scraped = allowed.await.unwrap().text().await.unwrap();
    assert!(scraped.contains("databricks_operator_leader 1"), "{scraped}");
    let before = (reviews("tokenreviews"), reviews("subjectaccessreviews"));
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    let hundred = futures::future::join_all((0..100).map(|_| get(&client_of_old, &tokens[1]))).await;
    assert!(hundred.iter().all(|answer| answer.status() == 200));
    assert_eq!((reviews("tokenreviews"), reviews("subjectaccessreviews")), before, "asked for each scrape");

    // A new certificate whose key is not there yet leaves the old one; with its key it counts, without a restart.
    let (cert, key, trusted) = issue();
    std::fs::write(&files.cert, cert).unwrap();
    let operator = story.operator.as_ref().unwrap();
    let said = eventually("half of a certificate is noticed", SOON, async || {
        assert_eq!(get(&client_of_old, &tokens[1]).await.status(), 200);
        let log = operator.text();
        if log.contains("the certificate stays as it was") { Ok(()) } else { Err(operator.tail(3)) }
    });
    said.await.unwrap();
    std::fs::write(&files.key, key).unwrap();
    let client_of_new = client(&[trusted]);
    let renewed = eventually("the new certificate counts", SOON, async || {
        match client_of_new.get(&url).bearer_auth(&tokens[1]).send().await {
            Ok(answer) if answer.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    renewed.await.unwrap();
    // Whoever trusts the old one only does not believe it any more.
    assert!(client(&[issue().2]).get(&url).send().await.is_err());
    // A file that cannot be read to its end, here as nobody writes to the pipe, holds up nobody.
    std::fs::remove_file(&files.cert).unwrap();
    assert!(Command::new("mkfifo").arg(&files.cert).status().unwrap().success());
    let said = eventually("what cannot be read is noticed", SOON, async || {
        let alive = client(&[]).get(format!("http://{}/healthz", operator.health)).timeout(SOON).send().await;
        assert_eq!(alive.unwrap().status(), 200);
        let scraped = client_of_new.get(&url).bearer_auth(&tokens[1]).timeout(SOON).send().await;
        assert_eq!(scraped.unwrap().status(), 200);
        let log = operator.text();
        if log.contains("not read to the end within 5s") { Ok(()) } else { Err(operator.tail(3)) }
    });
    said.await.unwrap();
    story.end().await;
}
