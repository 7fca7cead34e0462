//! What the operator tells besides the status: events, log lines, audit lines, traces. And that nobody has to listen.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message;
use serde_json::{Value, json};
use simulator::{Fault, When};
use tokio::time::Instant;
use world::{Operator, eventually, fast};

use crate::support::{AUTH, BINARY, SOON, Story, cluster, kubeconfig};

const KIND: &str = "IpAccessList";
const LISTS: &str = "*/ip-access-lists";

fn list(story: &Story, label: &str) -> Value {
    let spec = json!({"label": label, "listType": "BLOCK", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(KIND, "office", spec)
}

/// The lines that an operator has logged about an object.
fn lines(operator: &Operator, name: &str) -> Vec<Value> {
    let text = operator.text();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    whole.lines().map(parse).filter(|line: &Value| line["name"] == name).collect()
}

/// The audit lines among them.
fn audit(operator: &Operator) -> Vec<Value> {
    let mut all = lines(operator, "office");
    all.retain(|line| line["target"] == "databricks_operator::audit");
    all
}

/// Waits until there are so many audit lines.
async fn audited(operator: &Operator, count: usize) -> Vec<Value> {
    let found = eventually(format!("{count} audit lines"), SOON, async || {
        let all = audit(operator);
        if all.len() >= count { Ok(all) } else { Err(format!("{all:?}")) }
    });
    let found = found.await.unwrap();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// Waits until the account was asked for its lists so often, from now on.
async fn compared(story: &Story, times: usize) {
    story.account.clear_journal();
    let enough = eventually(format!("{times} comparisons"), SOON, async || {
        let calls = story.account.calls("GET", LISTS);
        if calls >= times { Ok(()) } else { Err(calls.to_string()) }
    });
    enough.await.unwrap();
}

/// Covers OB-04. Each write to the account is one line that says on whose behalf, what, which fields and with what outcome;
/// a look at what is as it should be is none; and values are in no line.
#[tokio::test]
async fn every_write_is_one_audit_line_and_a_read_is_none() {
    let flags = [("log-format", "json"), ("log", "info"), ("resync-interval", "300ms")];
    let story = Story::start_with("audit", &flags).await;
    let operator = story.operator.as_ref().unwrap();
    story.apply(&list(&story, "a-value-of-a-field")).await;
    let id = story.wait_ready(KIND, "office").await["status"]["externalId"].as_str().unwrap().to_owned();
    story.patch(KIND, "office", json!({"spec": {"label": "another-value-of-a-field"}})).await;
    story.wait_ready(KIND, "office").await;
    story.account.edit("ip-access-lists", &id, json!({"enabled": false, "list_type": "BLOCK"})).unwrap();
    story.wait_event(KIND, "office", "DriftCorrected").await;
    audited(operator, 3).await;
    // Until a read shows a correction, it is sent again with the next change.
    story.let_reads_catch_up();
    story.pass(KIND, "office").await;

    let refusal = json!({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"});
    let headers = [("x-request-id".to_owned(), "11111111-2222".to_owned())];
    story.account.fault(Fault {
        method: Some("PATCH".into()),
        status: Some(400),
        body: Some(refusal),
        headers: headers.into(),
        times: Some(1),
        when: When::Before,
        ..Fault::default()
    });
    story.patch(KIND, "office", json!({"spec": {"ipAddresses": ["198.51.100.7"]}})).await;
    story.wait_condition(KIND, "office", "Stalled", "True", "InvalidSpec").await;
    story.patch(KIND, "office", json!({"spec": {"ipAddresses": ["198.51.100.8"]}})).await;
    story.wait_ready(KIND, "office").await;
    let sent = story.account.writes();
    let told = audited(operator, 5).await;
    let is = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key}: {line}")).to_owned();
        (text("operation"), text("fields"), text("outcome"), line["code"].as_u64())
    };
    let one = |operation: &str, fields: &str, outcome: &str, code| {
        (operation.to_owned(), fields.to_owned(), outcome.to_owned(), Some(code))
    };
    assert_eq!(
        told.iter().map(is).collect::<Vec<_>>(),
        [
            one("create", "enabled,ipAddresses,label,listType", "ok", 200),
            one("update", "label", "ok", 200),
            one("update", "enabled", "ok", 200),
            one("update", "ipAddresses", "refused", 400),
            one("update", "ipAddresses", "ok", 200),
        ]
    );
    assert_eq!(told[3]["request_id"], "11111111-2222", "{}", told[3]);
    for (line, call) in told.iter().zip(&sent) {
        assert_eq!(line["call"], format!("{} {}", call.method, call.path), "{line}");
        assert_eq!(
            (&line["kind"], &line["namespace"], &line["hop"]),
            (&json!(KIND), &json!("audit"), &json!("act"))
        );
        assert_eq!((&line["level"], &line["account"]), (&json!("INFO"), &json!(story.account.account_id)));
        assert_eq!(line["reconcile_id"].as_str().unwrap().len(), 16);
    }
    let generations: Vec<i64> = told.iter().map(|line| line["generation"].as_i64().unwrap()).collect();
    assert_eq!(generations, [1, 2, 2, 3, 4]);
    assert!(told[1]["reconcile_id"] != told[2]["reconcile_id"], "each pass has its own");

    compared(&story, 2).await;
    let before = lines(operator, "office");
    let of = |line: &&Value| line["level"] == "INFO" && line["hop"] == "act";
    assert_eq!(before.iter().filter(of).count(), 5, "{before:?}");
    compared(&story, 5).await;
    assert_eq!(lines(operator, "office"), before, "a look at what is as it should be is no line");
    story.delete(KIND, "office").await;
    story.wait_gone(KIND, "office").await;
    let gone = audited(operator, 6).await;
    assert_eq!(is(&gone[5]), one("delete", "", "ok", 200));
    for text in ["value-of-a-field", "203.0.113", "198.51.100"] {
        assert!(!operator.text().contains(text), "a value is in the log: {text}");
    }
    story.end().await;
}

/// Covers OB-04. The audit lines can be had alone, and still say which object they are about. A write that was never sent
/// is none.
#[tokio::test]
async fn the_audit_log_can_be_had_alone() {
    let flags = [("log-format", "json"), ("log", "databricks_operator::audit=info")];
    let story = Story::start_with("audit-alone", &flags).await;
    let operator = story.operator.as_ref().unwrap();
    let limit = Fault {
        method: Some("POST".into()),
        status: Some(429),
        times: Some(1),
        when: When::Before,
        ..Fault::default()
    };
    let limit =
        Fault { path: LISTS.into(), headers: [("Retry-After".to_owned(), "1".to_owned())].into(), ..limit };
    story.account.fault(limit);
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    let told = audited(operator, 2).await;
    let codes: Vec<&Value> = told.iter().map(|line| &line["code"]).collect();
    assert_eq!(codes, [429, 200]);
    assert_eq!(operator.text().lines().count(), 2, "{}", operator.text());
    assert_eq!((&told[1]["kind"], &told[1]["name"]), (&json!(KIND), &json!("office")));
    story.end().await;
}

/// The operator with its standard error led elsewhere, as the shell writes it.
async fn redirected(story: &mut Story, kubeconfig: &Path, redirection: &str, flags: &[(&str, &str)]) {
    let dir = world::fresh_dir(&cluster().dir, "redirected-").unwrap();
    let program = dir.join("operator");
    std::fs::write(&program, format!("#!/bin/sh\nexec '{BINARY}' \"$@\" {redirection}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let flags = fast(&[&[("namespaces", &*story.namespace)], flags].concat());
    let operator = Operator::start_with(&program, kubeconfig, &dir, &flags, &[]).await.unwrap();
    story.operator = Some(operator);
}

/// A pipe whose end to read from we hold. `read` and `write` at once is how opening it waits for nobody.
fn pipe(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// Covers OB-04. Nobody reads the log: the operator works on. Somebody reads again: it says how much is missing. The pipe
/// breaks: it works on, and ends in good order.
#[tokio::test]
async fn a_log_without_a_reader_does_not_block_the_operator() {
    let mut story = Story::without_operator("deaf").await;
    let dir = world::fresh_dir(&cluster().dir, "pipe-").unwrap();
    let path = dir.join("stderr");
    let mut pipe = pipe(&path);
    // As many at a time as there are objects: of those that wait, the work queue takes any.
    let flags = [("log-format", "json"), ("log", "trace"), ("concurrency", "96")];
    redirected(&mut story, kubeconfig(), &format!("2>'{}'", path.display()), &flags).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    // Each makes a hundred lines and more: far more than pipe and queue hold.
    let names: Vec<String> = (0..75).map(|n| format!("list-{n}")).collect();
    for name in &names {
        let mut list = list(&story, name);
        list["metadata"]["name"] = json!(name);
        story.apply(&list).await;
    }
    for name in &names {
        story.wait_ready(KIND, name).await;
    }
    story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await;
    story.wait_ready(KIND, "office").await;

    // No task of the runtime, whose end would wait for it.
    let (read, reading) = tokio::sync::oneshot::channel();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = count.clone();
    std::thread::spawn(move || {
        let (mut text, mut chunk) = (String::new(), vec![0; 1 << 16]);
        while !text.contains("log lines are missing here") {
            let length = pipe.read(&mut chunk).unwrap();
            text += &String::from_utf8_lossy(&chunk[..length]);
            counting.store(text.lines().count(), std::sync::atomic::Ordering::Relaxed);
        }
        read.send((text, pipe))
    });
    let told = tokio::time::timeout(SOON, reading)
        .await
        .unwrap_or_else(|_| panic!("{count:?} lines and not a word"));
    let (text, pipe) = told.unwrap();
    let told = text.lines().find(|line| line.contains("log lines are missing here")).unwrap();
    let told: Option<Value> = serde_json::from_str(told).ok();
    assert!(told.is_none_or(|line| line["lost"].as_u64() > Some(0)), "{text}");
    assert!(!story.canaries.iter().any(|canary| text.contains(canary)), "ST-12: a secret is in the log");

    drop(pipe);
    story.patch(KIND, "office", json!({"spec": {"label": "office"}})).await;
    story.wait_ready(KIND, "office").await;
    story.end().await;
}

/// Covers OB-04. The end of the process waits for nobody either, whether it was asked for or is an error.
#[tokio::test]
async fn a_process_ends_without_a_reader_of_its_last_lines() {
    let mut story = Story::without_operator("last-words").await;
    let dir = world::fresh_dir(&cluster().dir, "pipe-").unwrap();
    let path = dir.join("stderr");
    let mut pipe = pipe(&path);
    // Filled to the brim by us: not a line goes in.
    std::thread::spawn(move || pipe.write_all(&[b'.'; 1 << 20]));
    let to = format!("2>'{}'", path.display());
    redirected(&mut story, kubeconfig(), &to, &[]).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    let asked = Instant::now();
    let ended = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(
        ended.success() && asked.elapsed() < Duration::from_secs(10),
        "{ended} after {:?}",
        asked.elapsed()
    );

    let lease = [("leader-elect", "true"), ("lease-namespace", "no-such-namespace")];
    // As somebody who may look, so that it is not a right that is missing.
    redirected(&mut story, cluster().kubeconfig(), &to, &lease).await;
    let failed = story.operator.take().unwrap().wait().await.unwrap();
    assert_eq!(failed.code(), Some(1));
    redirected(&mut story, kubeconfig(), "2>&-", &[]).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    story.end().await;
}

/// Covers OB-01. Of two drifts within minutes each event has the fields of its own; so has what is only observed, and what
/// is made a second time.
#[tokio::test]
async fn the_event_of_a_second_drift_has_its_own_fields() {
    let story = Story::start("two-drifts").await;
    story.apply(&list(&story, "office")).await;
    let first = story.wait_ready(KIND, "office").await["status"]["externalId"].as_str().unwrap().to_owned();
    let notes = async |reason: &str| {
        let events = story.events(KIND, "office").await;
        events.into_iter().filter(|(is, _)| is == reason).map(|(_, note)| note).collect::<Vec<_>>()
    };
    let told = async |reason: &str, all: &[&str]| {
        let found = eventually(format!("events {reason}"), SOON, async || {
            let notes = notes(reason).await;
            if notes == all { Ok(()) } else { Err(format!("{notes:?}")) }
        });
        found.await.unwrap();
    };
    let edit = |change: Value| story.account.edit("ip-access-lists", &first, change).unwrap();
    edit(json!({"enabled": false}));
    told("DriftCorrected", &["enabled"]).await;
    // What is changed while a correction is not shown yet belongs to that correction.
    story.wait_ready(KIND, "office").await;
    edit(json!({"ip_addresses": ["198.51.100.7"]}));
    told("DriftCorrected", &["enabled", "ipAddresses"]).await;
    story.wait_ready(KIND, "office").await;
    edit(json!({"enabled": false}));
    story.pass(KIND, "office").await;
    told("DriftCorrected", &["enabled", "ipAddresses"]).await;

    story
        .patch(KIND, "office", json!({"spec": {"managementPolicy": "Observe", "adoptionPolicy": "IfExists"}}))
        .await;
    story.wait_ready(KIND, "office").await;
    edit(json!({"enabled": false}));
    told("DriftDetected", &["differs in enabled"]).await;
    edit(json!({"ip_addresses": ["198.51.100.7"]}));
    let both = "differs in enabled, ipAddresses";
    let second = eventually("the second drift", SOON, async || {
        let notes = notes("DriftDetected").await;
        if notes.len() == 2 { Ok(notes[1].clone()) } else { Err(format!("{notes:?}")) }
    });
    let second = second.await.unwrap();
    assert!(second == both || second == "differs in ipAddresses, enabled", "{second}");

    story.patch(KIND, "office", json!({"spec": {"managementPolicy": "Managed"}})).await;
    story.wait_ready(KIND, "office").await;
    assert!(story.account.remove("ip-access-lists", &first));
    let made = eventually("it is made again", SOON, async || {
        let notes = notes("Created").await;
        if notes.len() == 2 { Ok(notes) } else { Err(format!("{notes:?}")) }
    });
    let made = made.await.unwrap();
    let again = story.wait_ready(KIND, "office").await["status"]["externalId"].as_str().unwrap().to_owned();
    assert!(made[0].contains(&first) && made[1].contains(&again) && first != again, "{made:?}");
    story.end().await;
}

/// A collector of traces.
struct Collector {
    url: String,
    /// Bodies as they came.
    got: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> Collector {
        let got: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let keep = got.clone();
        let take = async move |body: Bytes| keep.lock().unwrap().push(body);
        let app = axum::Router::new().route("/base/v1/traces", post(take));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Collector { url, got }
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let requests = got.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| {
            let service = attribute(&resource.resource.unwrap().attributes, "service.name");
            assert_eq!(service.as_deref(), Some("databricks-operator"));
            resource.scope_spans
        });
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for a span.
    async fn wait(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        let found = eventually(what, SOON, async || {
            let spans = self.spans();
            spans.iter().find(|span| is(span)).cloned().ok_or_else(|| format!("{} others", spans.len()))
        });
        found.await.unwrap()
    }
}

fn attribute(all: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<String> {
    let found = all.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => Some(text.clone()),
        Attribute::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Covers OB-05. With a collector, a pass is a span that names the object and what it came to; each call in it is one of its
/// own, the account learns of it, and so does the log. Without one, the account learns of nothing.
#[tokio::test]
async fn a_reconcile_and_its_calls_are_a_trace() {
    let collector = Collector::start().await;
    let flags = [("otlp-endpoint", &*collector.url), ("log-format", "json"), ("log", "info")];
    let mut story = Story::start_with("traced", &flags).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(KIND, "office").await;
    let made = story.account.writes().remove(0);
    let sent = made.traceparent.clone().expect("the account is told the trace");
    let call = collector.wait("the span of the create", |span| sent.contains(&hex(&span.span_id))).await;
    assert_eq!(sent, format!("00-{}-{}-01", hex(&call.trace_id), hex(&call.span_id)));
    let of = |span: &Span, key: &str| attribute(&span.attributes, key);
    assert_eq!(call.name, "POST other");
    let told = ["api", "method", "status"].map(|key| of(&call, key).unwrap());
    assert_eq!(told, ["other", "POST", "200"]);

    let hop = collector.wait("the span of the hop", |span| span.span_id == call.parent_span_id).await;
    assert_eq!((&*hop.name, &hop.trace_id), ("act", &call.trace_id));
    let pass = collector.wait("the span of the reconcile", |span| span.span_id == hop.parent_span_id).await;
    assert_eq!((&*pass.name, &pass.trace_id), ("reconcile", &call.trace_id));
    let told = ["kind", "namespace", "name", "generation", "result"].map(|key| of(&pass, key).unwrap());
    assert_eq!(told, [KIND, "traced", "office", "1", "done"]);
    let audit = audited(story.operator.as_ref().unwrap(), 1).await;
    assert_eq!(audit[0]["trace_id"], hex(&call.trace_id));
    assert_eq!(audit[0]["reconcile_id"].as_str().map(str::to_owned), of(&pass, "reconcile_id"));

    story.account.fault(Fault { method: Some("PATCH".into()), status: Some(503), ..Fault::default() });
    story.patch(KIND, "office", json!({"spec": {"label": "branch"}})).await;
    let failed =
        collector.wait("a call that failed", |span| of(span, "status").as_deref() == Some("503")).await;
    assert_eq!(of(&failed, "error").as_deref(), Some("refused"));
    assert_eq!(failed.status.unwrap().code(), StatusCode::Error);
    let hop = collector.wait("its hop", |span| span.span_id == failed.parent_span_id).await;
    let pass = collector.wait("its reconcile", |span| span.span_id == hop.parent_span_id).await;
    assert_eq!(of(&pass, "result").as_deref(), Some("transient"));
    story.account.clear_faults();
    story.wait_ready(KIND, "office").await;

    let ended = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(ended.success());
    let token =
        collector.wait("a span of signing in", |span| of(span, "api").as_deref() == Some("token")).await;
    assert!(token.name == "POST token" || token.name == "GET token", "{}", token.name);
    for body in collector.got.lock().unwrap().iter() {
        let text = String::from_utf8_lossy(body);
        assert!(!story.canaries.iter().any(|canary| text.contains(canary)), "a secret is in a span");
    }

    story.start_operator(&[("log-format", "json"), ("log", "info")]).await;
    story.account.clear_journal();
    story.patch(KIND, "office", json!({"spec": {"label": "untraced"}})).await;
    story.wait_ready(KIND, "office").await;
    let calls = story.account.journal();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.traceparent.is_none()), "{calls:?}");
    assert!(!story.operator.as_ref().unwrap().text().contains("trace_id"));
    story.end().await;
}

/// Covers OB-05. A collector that is not there is named once, one that never answers holds up neither the work nor the end.
#[tokio::test]
async fn a_collector_that_does_not_answer_is_no_obstacle() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let absent = {
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        format!("http://{}", gone.local_addr().unwrap())
    };
    let mut story = Story::without_operator("no-collector").await;
    let mut ends = vec![];
    for (round, url) in [absent, silent].iter().enumerate() {
        story.start_operator(&[("otlp-endpoint", url), ("resync-interval", "100ms")]).await;
        story.apply(&list(&story, &format!("round {round}"))).await;
        story.wait_ready(KIND, "office").await;
        if round == 0 {
            let operator = story.operator.as_ref().unwrap();
            let said = async || {
                let text = operator.text();
                if text.contains("traces cannot be sent") { Ok(()) } else { Err(operator.tail(3)) }
            };
            eventually("it is said that traces are lost", SOON, said).await.unwrap();
            // Three more batches, one a second at most.
            let (since, batches) = (Instant::now(), Duration::from_secs(3));
            while since.elapsed() < batches {
                compared(&story, 5).await;
            }
            assert_eq!(operator.text().matches("traces cannot be sent").count(), 1, "{}", operator.tail(20));
            // Without its path, which may hold a key.
            let collector = url.trim_start_matches("http://").trim_end_matches('/');
            assert!(operator.text().contains(collector), "{}", operator.tail(20));
        }
        let asked = Instant::now();
        let ended = story.operator.take().unwrap().terminate().await.unwrap();
        ends.push(asked.elapsed());
        assert!(ended.success(), "{ended}");
    }
    drop(listener);
    story.start_operator(&[]).await;
    story.wait_ready(KIND, "office").await;
    // On a busy machine any end takes its time.
    let asked = Instant::now();
    assert!(story.operator.take().unwrap().terminate().await.unwrap().success());
    let usual = asked.elapsed();
    let limit = Duration::from_secs(4) + usual * 2;
    assert!(ends.iter().all(|end| *end < limit), "{ends:?}, {usual:?} without a collector");
    story.end().await;
}
