//! Two operators on a real API server, a story, and a scrape of each: what alerts, dashboard, runbooks and documents name is
//! held against that, and the alerts and the dashboard are asked what they make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use world::simulator::{Config, Simulator};
use world::{Cluster, Operator, eventually, fast, fresh_dir};

use crate::alerts::targeted;
use crate::files::{alerts, panels, queries, read, runbook_queries, runbooks};
use crate::{picture, promql, promtool};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
const SOON: Duration = Duration::from_secs(60);
/// Labels that Prometheus adds.
const TARGET: [&str; 3] = ["namespace", "job", "instance"];
const PREFIX: &str = "databricks_operator_";

/// What one process tells: series with their values.
#[derive(Clone)]
struct Scrape(Vec<(String, f64)>);

/// The labels of a series.
fn labels(series: &str) -> Vec<(&str, &str)> {
    let inside = series.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
    let pairs = inside.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (key, value.trim_matches('"')))
        .collect()
}

impl Scrape {
    fn of(address: SocketAddr) -> Result<Scrape, String> {
        let ask = || {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let answer = ask().map_err(|e: std::io::Error| e.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        if !head.starts_with("HTTP/1.0 200") {
            return Err(head.to_owned());
        }
        Ok(Scrape::read(body))
    }

    fn read(text: &str) -> Scrape {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap_or_else(|e| panic!("{line}: {e}")))
        };
        Scrape(samples.map(sample).collect())
    }

    /// The sum over all series of a metric that have these labels.
    fn sum(&self, metric: &str, wanted: &[(&str, &str)]) -> f64 {
        let found = self.0.iter().filter(|(series, _)| {
            let own = labels(series);
            series.split('{').next() == Some(&format!("{PREFIX}{metric}"))
                && wanted.iter().all(|w| own.contains(w))
        });
        found.map(|(_, value)| value).sum()
    }

    /// By metric and label, the values that the label has.
    fn known(&self) -> BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> {
        let mut known: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
        for (series, _) in &self.0 {
            let of = known.entry(series.split('{').next().unwrap()).or_default();
            for (label, value) in labels(series) {
                of.entry(label).or_default().insert(value);
            }
        }
        known
    }

    /// What of an expression this scrape does not have.
    fn misses(&self, expression: &str) -> Vec<String> {
        let known = self.known();
        let (mut missing, mut labels) = (vec![], BTreeSet::from(TARGET));
        for selected in promql::selected(expression) {
            let Some(own) = known.get(selected.metric.as_str()) else {
                missing.push(selected.metric);
                continue;
            };
            labels.extend(own.keys());
            for (label, values) in selected.labels {
                match own.get(label.as_str()) {
                    Some(has) => missing.extend(
                        values
                            .into_iter()
                            .filter(|value| !has.contains(value.as_str()))
                            .map(|v| format!("{label}={v}")),
                    ),
                    None if TARGET.contains(&label.as_str()) => {}
                    None => missing.push(format!("{label} of {}", selected.metric)),
                }
            }
        }
        missing
            .extend(promql::grouped(expression).into_iter().filter(|label| !labels.contains(label.as_str())));
        missing
    }
}

/// The stage of the story.
struct Stage {
    cluster: Cluster,
    account: Simulator,
    /// One of them leads.
    operators: Vec<Operator>,
}

impl Stage {
    async fn start() -> Stage {
        let account = Simulator::start(Config::default()).await.unwrap();
        let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "monitoring-").unwrap();
        let start = move || Cluster::start(&dir, Path::new(BINARY)).unwrap();
        let cluster = tokio::task::spawn_blocking(start).await.unwrap();
        let flags = fast(&[("leader-elect", "true"), ("lease-namespace", "default")]);
        let mut operators = vec![];
        for _ in 0..2 {
            operators.push(Operator::start(Path::new(BINARY), &cluster, &flags).await.unwrap());
        }
        Stage { cluster, account, operators }
    }

    async fn apply(&self, kind: &str, name: &str, mut spec: Value) {
        if kind != "DatabricksAuth" {
            spec["authRef"] = json!({"name": "account"});
        }
        let object = json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        self.cluster.kubectl(&["apply", "-f", "-"], &object.to_string()).await.unwrap();
    }

    /// What both tell, once the one that leads tells this.
    async fn scrape(&self, what: &str, told: impl Fn(&Scrape) -> bool) -> [Scrape; 2] {
        eventually(what, SOON, async || {
            let [a, b] = &self.operators[..] else { unreachable!("two were started") };
            let mut both = [Scrape::of(a.metrics)?, Scrape::of(b.metrics)?];
            if both[1].sum("leader", &[]) > 0.0 {
                both.reverse();
            }
            let fine =
                both[0].sum("leader", &[]) == 1.0 && both[1].sum("leader", &[]) == 0.0 && told(&both[0]);
            if fine { Ok(both) } else { Err("it is told otherwise".to_owned()) }
        })
        .await
        .unwrap()
    }

    /// An account with a list, a workspace and a credential, drift that was corrected, and something deleted.
    async fn usual_story(&self) -> [Scrape; 2] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks"},
            "stringData": {"client-secret": self.account.client_secret},
        });
        self.cluster.kubectl(&["apply", "-f", "-"], &secret.to_string()).await.unwrap();
        self.apply("DatabricksAuth", "account", json!({
            "cloud": "AWS", "accountId": self.account.account_id, "host": self.account.url(), "authType": "OAUTH_M2M",
            "clientId": self.account.client_id, "clientSecretRef": {"name": "databricks", "key": "client-secret"},
        }))
        .await;
        let list =
            |label: &str| json!({"label": label, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
        self.apply("IpAccessList", "office", list("office")).await;
        self.apply("IpAccessList", "guests", list("guests")).await;
        let credentials =
            self.account.insert("credentials", json!({"credentials_name": "analytics"})).unwrap();
        self.apply(
            "Workspace",
            "analytics",
            json!({
                "workspaceName": "analytics", "awsRegion": "eu-west-1",
                "credentialsId": credentials["credentials_id"],
                "storageConfigurationId": "2b9d1f60-5c44-4f0e-9a53-0c1d2e3f4a5b",
            }),
        )
        .await;
        let ready = [("condition", "Ready"), ("status", "True")];
        self.scrape("four objects are Ready", |told| told.sum("resources", &ready) == 4.0).await;
        let made = self.account.objects("ip-access-lists");
        let office = made.iter().find(|list| list["label"] == "office").unwrap()["list_id"].as_str().unwrap();
        self.account.edit("ip-access-lists", office, json!({"ip_addresses": ["198.51.100.7"]})).unwrap();
        self.cluster.kubectl(&["delete", "ipaccesslist", "guests"], "").await.unwrap();
        self.scrape("drift is corrected, and the others are Ready", |told| {
            told.sum("drift_corrected_total", &[("kind", "IpAccessList")]) == 1.0
                && told.sum("resources", &ready) == 3.0
                && told.sum("resources", &[("condition", "Ready")]) == 3.0
        })
        .await
    }
}

/// The series that Prometheus has of both, with their values.
fn series(both: &[Scrape; 2]) -> Vec<(String, f64)> {
    let mut all = vec![];
    for (scrape, instance) in both.iter().zip(["a", "b"]) {
        for (series, value) in &scrape.0 {
            let series = series.strip_prefix(PREFIX).unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            let series = targeted(&format!("{name}{{instance=\"{instance}\"{comma}{labels}"));
            all.push((series, *value));
        }
    }
    all
}

/// They are the same for hours.
fn stored(both: &[Scrape; 2]) -> Vec<(String, String)> {
    series(both).into_iter().map(|(series, value)| (series, format!("{value}x{HOURS}"))).collect()
}

/// Draws the dashboard as it is in the minute in which `before` has become `after`.
fn picture(before: &[Scrape; 2], after: &[Scrape; 2]) -> String {
    let before: BTreeMap<String, f64> = series(before).into_iter().collect();
    let changed = |(series, value): (String, f64)| {
        let values = before.get(&series).map_or("_x59".into(), |before| format!("{before}x59"));
        (series, format!("{values} {value}"))
    };
    let changed: Vec<(String, String)> = series(after).into_iter().map(changed).collect();
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60 * 60;
    let panels: Vec<Vec<String>> = panels().iter().map(queries).collect();
    let mut answers = promtool::answers(&changed, start, 60, panels.concat()).into_iter();
    let panels = panels.iter().map(|queries| answers.by_ref().take(queries.len()).collect());
    picture::drawn(&panels.collect::<Vec<_>>())
}

/// Longer than any alert waits, in minutes.
const HOURS: u32 = 150;

/// Fails unless exactly these alerts fire, where both tell the same for hours. Each with its kind.
fn assert_fires(both: &[Scrape; 2], expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(alert, kind)| {
        let labels = format!(r#"{{alertname="DatabricksOperator{alert}",kind="{kind}"}}"#);
        (labels, 1.0)
    });
    let question = r#"group by (alertname, kind) (max_over_time(ALERTS{alertstate="firing"}[150m]))"#;
    let story =
        promtool::story("a scrape", &stored(both), vec![(question.into(), HOURS, expected.collect())]);
    promtool::test(&[story]).unwrap_or_else(|e| panic!("{e}"));
}

/// Covers OB-03: what alerts, panels and runbooks ask for is told by a running operator, and documented.
#[tokio::test]
async fn every_queried_metric_is_exposed_and_documented() {
    let stage = Stage::start().await;
    let both = stage.usual_story().await;
    let told = &both[0];

    let mut asked: Vec<(String, String)> = vec![];
    for alert in alerts() {
        asked.push((format!("alert {}", alert["alert"]), alert["expr"].as_str().unwrap().to_owned()));
    }
    for panel in panels() {
        asked.extend(queries(&panel).into_iter().map(|query| (format!("panel {}", panel["title"]), query)));
    }
    for name in runbooks() {
        let page = read(&format!("docs/runbooks/{name}.md"));
        asked.extend(runbook_queries(&page).into_iter().map(|query| (format!("runbook {name}"), query)));
    }
    for (who, expression) in &asked {
        let missing = told.misses(expression);
        assert!(missing.is_empty(), "{who} names what no operator tells: {missing:?}");
        assert!(!promql::selected(expression).is_empty(), "{who} names no metric of ours: {expression}");
    }
    // A metric under another name, a label and a value that do not exist are noticed.
    for wrong in ["reconciles_total", "reconcile_total{name=\"a\"}", "reconcile_total{result=\"error\"}"] {
        assert_eq!(told.misses(&format!("rate({PREFIX}{wrong}[5m])")).len(), 1, "{wrong}");
    }
    assert_eq!(told.misses(&format!("sum by (pod) ({PREFIX}leader)")), ["pod"]);

    let document = read("docs/metrics.md");
    for metric in told.known().keys() {
        let endings = ["_bucket", "_sum", "_count"];
        let stem = endings.iter().find_map(|ending| metric.strip_suffix(ending)).unwrap_or(metric);
        assert!(document.contains(&format!("`{stem}`")), "docs/metrics.md has no {stem}");
    }

    // The panels have something to show, each query of them.
    let mut questions = vec![];
    for panel in panels() {
        for query in queries(&panel) {
            questions.push((format!("count({query}) > bool 0"), 60, vec![("{}".to_owned(), 1.0)]));
        }
    }
    let story = promtool::story("the dashboard", &stored(&both), questions);
    promtool::test(&[story]).unwrap_or_else(|e| panic!("a panel is empty:\n{e}"));
}

/// Covers OB-03: where all is well no alert fires, also with a replica that waits; what a person has to decide does.
#[tokio::test]
async fn alerts_match_the_state_of_the_operators() {
    let stage = Stage::start().await;
    let before = stage.scrape("one leads", |_| true).await;
    assert_fires(&stage.usual_story().await, &[]);

    // Suspended, observed or in the way of somebody else's object.
    let list =
        json!({"label": "other", "list_type": "ALLOW", "ip_addresses": ["192.0.2.1"], "enabled": true});
    stage.account.insert("ip-access-lists", list).unwrap();
    let spec = |label: &str, more: Value| {
        let mut spec = json!({"label": label, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    stage.apply("IpAccessList", "taken", spec("other", json!({}))).await;
    stage.apply("IpAccessList", "sleeping", spec("sleeping", json!({"suspend": true}))).await;
    let observe = json!({"managementPolicy": "Observe", "adoptionPolicy": "IfExists"});
    stage.apply("IpAccessList", "observed", spec("other", observe)).await;
    // It is not there, and nobody is to create it: no failure, and nobody to wake.
    stage.apply("IpAccessList", "planned", spec("planned", json!({"managementPolicy": "Observe"}))).await;
    let lists = |condition, told: &Scrape| {
        told.sum("resources", &[("kind", "IpAccessList"), ("condition", condition), ("status", "True")])
    };
    let both = stage.scrape("one is stalled, one suspended, one differs", |told| {
        lists("Stalled", told) == 1.0
            && lists("Suspended", told) == 1.0
            && told.sum("drift_oldest_seconds", &[("kind", "IpAccessList")]) > 1.0
            && told.sum("not_ready_oldest_seconds", &[]) == 0.0
    });
    let after = both.await;
    assert_fires(&after, &[("Stalled", "IpAccessList")]);

    // And this is how it looks.
    let drawn = picture(&before, &after);
    picture::assert_shows_the_dashboard(&drawn);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(picture::FILE), drawn).unwrap();
    }
}
