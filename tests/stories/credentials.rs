//! Credentials: what is wrong with them is named, a change takes effect at once, and they go nowhere but to the account.
//!
//! "Goes nowhere" is seen by a [`Sink`]: a port of this machine that must stay silent, and is shown to listen at the end.

use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use world::{Operator, eventually, fast};

use crate::support::{AUTH, BINARY, SOON, Story, WOKEN, cluster, condition};

const LIST: &str = "IpAccessList";

fn office(story: &Story) -> Value {
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.managed(LIST, "office", spec)
}

fn message(object: &Value) -> String {
    condition(object, "Ready").unwrap()["message"].as_str().unwrap().to_owned()
}

/// Covers CR-01. A wrong secret stops an object; with the right one the account is asked for a token, and the object is
/// made, within a second and without a restart.
#[tokio::test]
async fn a_corrected_secret_lets_waiting_objects_continue_at_once() {
    let mut story = Story::without_operator("creds-rotate").await;
    let right = story.account.client_secret.clone();
    story.set_secret("canary-of-a-wrong-secret").await;
    story.start_operator(&[]).await;
    story.wait_condition("DatabricksAuth", AUTH, "Stalled", "True", "CredentialsInvalid").await;
    story.apply(&office(&story)).await;
    let waiting = story.wait_condition(LIST, "office", "Ready", "False", "CredentialsInvalid").await;
    assert_eq!(condition(&waiting, "ReferencesResolved").unwrap()["reason"], "CredentialsInvalid");
    assert!(message(&waiting).contains("DatabricksAuth creds-rotate/account"), "{}", message(&waiting));

    story.account.clear_journal();
    story.set_secret(&right).await;
    let (changed, changed_ms) = (Instant::now(), story.account.now_ms());
    story.wait_ready(LIST, "office").await;
    assert!(changed.elapsed() < WOKEN, "it took {:?}", changed.elapsed());
    let journal = story.account.journal();
    let granted = |call: &&simulator::Call| call.class == "token" && call.status == Some(200);
    let tokens: Vec<_> = journal.iter().filter(granted).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(tokens[0].at_ms < changed_ms + 1_000, "asked for after {} ms", tokens[0].at_ms - changed_ms);
    story.end().await;
}

/// Covers CR-03. Six mistakes in a DatabricksAuth have six names, each message says what to do, and nothing is sent for
/// those that can be seen from here.
#[tokio::test]
async fn each_mistake_in_credentials_has_its_own_reason() {
    let mut story = Story::start("creds-mistakes").await;
    let untouched = Simulator::start(Config::default()).await.unwrap();
    let asked = Simulator::start(Config::default()).await.unwrap();
    story.canaries.push(untouched.client_secret.clone());
    story
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd", "namespace": story.namespace},
            "stringData": {"empty": "", "line": "\n", "full": untouched.client_secret},
        }))
        .await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);

    let (here, there) = (untouched.url(), asked.url());
    let other = "00000000-0000-4000-8000-000000000000";
    let account = untouched.account_id.as_str();
    for (name, host, account, secret, key, reason, says) in [
        ("no-secret", &here, account, "absent", "k", "SecretNotFound", "absent does not exist: create it"),
        ("no-key", &here, account, "odd", "k", "SecretKeyMissing", "has no key k: add it, or correct"),
        ("empty", &here, account, "odd", "empty", "SecretValueEmpty", "empty value under the key empty"),
        ("line", &here, account, "odd", "line", "SecretValueEmpty", "empty value under the key line"),
        ("account", &there, other, "odd", "full", "AccountMismatch", "correct the account id or the host"),
        ("host", &"https://example.com".into(), account, "odd", "full", "HostNotAllowed", "write it like"),
        ("down", &closed, account, "odd", "full", "EndpointUnreachable", "check `host` and the network"),
    ] {
        let name = format!("wrong-{name}");
        let mut auth = story.auth(&name);
        auth["spec"]["host"] = json!(host);
        auth["spec"]["accountId"] = json!(account);
        auth["spec"]["clientSecretRef"] = json!({"name": secret, "key": key});
        story.apply(&auth).await;
        let seen = story.wait_condition("DatabricksAuth", &name, "Ready", "False", reason).await;
        assert!(message(&seen).contains(says), "{name}: {}", message(&seen));
        // A Secret may still come, and an outage pass; the others are for a person to correct.
        let waits = reason.starts_with("Secret") || reason == "EndpointUnreachable";
        let again = if waits { "Reconciling" } else { "Stalled" };
        assert!(condition(&seen, again).is_some(), "{name}: {seen}");
    }
    assert_eq!(untouched.journal().len(), 0, "{:?}", untouched.journal());
    // The host's metadata named another account before the secret left.
    assert_eq!(asked.calls("*", "*"), asked.calls("GET", "/.well-known/databricks-config"));
    assert!(asked.calls("*", "*") > 0);
    story.end().await;
}

/// Covers CR-07. A DatabricksAuth that is repointed to another account stops what is bound to the first one: nothing is
/// written in either, not even where the other account has an object of that very id, and deletion waits.
#[tokio::test]
async fn a_repointed_account_is_not_written_to() {
    let mut story = Story::start("creds-swap").await;
    story.apply(&office(&story)).await;
    let id = story.wait_ready(LIST, "office").await["status"]["externalId"].as_str().unwrap().to_owned();

    let other = Simulator::start(Config::default()).await.unwrap();
    story.canaries.push(other.client_secret.clone());
    other.insert("ip-access-lists", json!({"list_id": id, "label": "office", "list_type": "ALLOW"})).unwrap();
    story
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": story.namespace},
            "stringData": {"client-secret": other.client_secret},
        }))
        .await;
    story.account.clear_journal();
    let first = story.auth(AUTH)["spec"].clone();
    let second = json!({"host": other.url(), "accountId": other.account_id, "clientId": other.client_id,
        "clientSecretRef": {"name": "other"}});
    story.patch("DatabricksAuth", AUTH, json!({"spec": second})).await;
    let stopped = story.wait_condition(LIST, "office", "Stalled", "True", "AccountMismatch").await;
    for account in [&story.account.account_id, &other.account_id] {
        assert!(message(&stopped).contains(account), "{}", message(&stopped));
    }

    let change = json!({"spec": {"ipAddresses": ["198.51.100.0/24"], "deletionPolicy": "Delete"}});
    story.patch(LIST, "office", change).await;
    story.wait_condition(LIST, "office", "Stalled", "True", "AccountMismatch").await;
    story.delete(LIST, "office").await;
    story.wait_condition(LIST, "office", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    assert_eq!((story.account.writes().len(), other.writes().len()), (0, 0));
    assert_eq!(other.calls("*", "*/ip-access-lists*"), 0);

    story.patch("DatabricksAuth", AUTH, json!({"spec": first})).await;
    story.wait_gone(LIST, "office").await;
    assert_eq!(story.account.objects("ip-access-lists"), [] as [Value; 0]);
    assert_eq!(other.objects("ip-access-lists").len(), 1);
    assert_eq!(other.writes().len(), 0);
    story.end().await;
}

/// A port of this machine that nobody is supposed to find.
struct Sink {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Sink {
    async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = heard.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                bytes.truncate(count);
                all.lock().unwrap().push(bytes);
            }
        });
        Sink { port, heard }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Fails if anybody connected before; then shows that it would have been heard.
    async fn assert_silent(&self) {
        let heard: Vec<String> =
            self.heard.lock().unwrap().iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
        assert_eq!(heard, [] as [&str; 0], "SE-04: somebody called");
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap().write_all(b"ours").await.unwrap();
        let ours = eventually("the sink hears", SOON, async || {
            let heard = self.heard.lock().unwrap().concat();
            if heard == b"ours" { Ok(()) } else { Err(format!("{heard:?}")) }
        });
        ours.await.unwrap();
    }
}

/// Covers SE-04, CR-03. However a host is disguised, credentials do not leave for it, whether or not plain http to this
/// machine is allowed.
#[tokio::test]
async fn a_disguised_host_gets_no_credentials() {
    let mut story = Story::without_operator("creds-hosts").await;
    let sink = Sink::start().await;
    let port = sink.port;
    let hosts = [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("http://127.1:{port}"),
        format!("http://0.0.0.0:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://0x7f000001:{port}"),
        format!("http://0177.0.0.1:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://localhost.:{port}"),
        format!("http://LOCALHOST.EVIL.EXAMPLE:{port}"),
        format!("http://user:pass@127.0.0.1:{port}"),
        format!("http://accounts.cloud.databricks.com@127.0.0.1:{port}"),
        format!("https://accounts.cloud.databricks.com@127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}\\@accounts.cloud.databricks.com"),
        format!("https:\\\\127.0.0.1:{port}\\.cloud.databricks.com"),
        format!("http://127.0.0.1:{port}#.cloud.databricks.com"),
        format!("http://127.0.0.1:{port}?.cloud.databricks.com"),
        format!("http://127.0.0.1:{port}/.cloud.databricks.com"),
        format!("//127.0.0.1:{port}"),
        "https://accounts.cloud.databricks.com.".into(),
        "https://accounts.cloud.databricks.com:8443".into(),
        "https://accounts.cloud.databricks.com.evil".into(),
        "https://ACCOUNTS.CLOUD.DATABRICKS.COM.EVIL".into(),
        "https://accounts-cloud.databricks.com".into(),
        "https://evilcloud.databricks.com".into(),
        "https://xn--ccounts-2fg.cloud.databricks.com".into(),
        "https://аccounts.cloud.databricks.com".into(),
        "https://accounts。cloud.databricks.com".into(),
        "http://accounts.cloud.databricks.com".into(),
    ];
    let auths: Vec<Value> = hosts
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let mut auth = story.auth(&format!("hostile-{n}"));
            auth["spec"]["host"] = json!(host);
            auth
        })
        .collect();
    story.apply(&json!({"apiVersion": "v1", "kind": "List", "items": auths})).await;

    // Without the flag of demos and tests: not even our own plain address will do.
    let mut flags = fast(&[("namespaces", &*story.namespace)]);
    flags.retain(|flag| flag != "--allow-insecure-loopback");
    let strict = Operator::start(BINARY.as_ref(), cluster(), &flags).await.unwrap();
    story.wait_condition("DatabricksAuth", AUTH, "Stalled", "True", "HostNotAllowed").await;
    refused(&story, &hosts).await;
    assert_eq!(story.account.journal().len(), 0);
    let log = strict.text();
    assert!(!story.canaries.iter().any(|canary| log.contains(canary)));
    assert!(strict.terminate().await.unwrap().success());

    story.start_operator(&[]).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    for (n, host) in hosts.iter().enumerate() {
        let name = format!("hostile-{n}");
        story
            .patch(
                "DatabricksAuth",
                &name,
                json!({"metadata": {"annotations": {
                "databricks-operator.io/reconcile-requested-at": "once"}}}),
            )
            .await;
        story
            .wait("DatabricksAuth", &name, &format!("{host} looked at again"), |auth| {
                (auth["status"]["lastHandledReconcileAt"] == "once").then_some(())
            })
            .await;
    }
    refused(&story, &hosts).await;
    sink.assert_silent().await;
    story.end().await;
}

async fn refused(story: &Story, hosts: &[String]) {
    for (n, host) in hosts.iter().enumerate() {
        let name = format!("hostile-{n}");
        let seen = story.wait_condition("DatabricksAuth", &name, "Stalled", "True", "HostNotAllowed").await;
        let says = message(&seen);
        assert!(says.contains("write it like `https://accounts.cloud.databricks.com`"), "{host}: {says}");
    }
}

/// Covers SE-04. An account that answers with a redirect, or names another place for tokens, leads nowhere: neither the
/// secret nor a token follows, and the condition says that a redirect came.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let story = Story::start("creds-redirect").await;
    let sink = Sink::start().await;
    let redirect = |method: &str, path: &str, status: u16| Fault {
        method: Some(method.into()),
        path: path.into(),
        status: Some(status),
        headers: [("Location".to_owned(), format!("{}/stolen", sink.url()))].into(),
        ..Fault::default()
    };

    // Of an API call: the reading, then the change.
    story.account.fault(redirect("GET", "*/ip-access-lists", 302));
    story.apply(&office(&story)).await;
    let seen = story.wait_condition(LIST, "office", "Ready", "False", "Retrying").await;
    assert!(message(&seen).contains("with a redirect"), "{}", message(&seen));
    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;
    story.let_reads_catch_up();
    story.account.fault(redirect("PATCH", "*/ip-access-lists/*", 308));
    story.patch(LIST, "office", json!({"spec": {"ipAddresses": ["198.51.100.0/24"]}})).await;
    let seen = story.wait_condition(LIST, "office", "Ready", "False", "Retrying").await;
    assert!(message(&seen).contains("with a redirect"), "{}", message(&seen));
    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;

    // Of the token call, with 307, which keeps method and body.
    story.account.fault(redirect("POST", "/oidc/*", 307));
    story.apply(&story.auth("redirected")).await;
    let seen =
        story.wait_condition("DatabricksAuth", "redirected", "Ready", "False", "EndpointUnreachable").await;
    assert!(message(&seen).contains("with a redirect"), "{}", message(&seen));
    story.account.clear_faults();
    story.wait_ready("DatabricksAuth", "redirected").await;

    // Metadata that name another place, and metadata that are somewhere else.
    let elsewhere = json!({"oidc_endpoint": sink.url(), "token_endpoint": sink.url(),
        "account_id": story.account.account_id});
    let metadata = "/.well-known/databricks-config";
    story.account.fault(Fault { path: metadata.into(), body: Some(elsewhere), ..Fault::default() });
    story.apply(&story.auth("misled")).await;
    story.wait_ready("DatabricksAuth", "misled").await;
    story.account.clear_faults();
    story.account.fault(redirect("GET", metadata, 301));
    story.apply(&story.auth("moved")).await;
    story.wait_ready("DatabricksAuth", "moved").await;
    sink.assert_silent().await;
    story.end().await;
}
