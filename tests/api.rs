//! The client against the simulated account: what a caller can rely on when the account misbehaves.
//!
//! Faults below HTTP (resets, bombs, redirects) are shown beside the client's code, against plain sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::time::Duration;

use databricks_operator::databricks::{
    Client, Connection, Credentials, Error, GoogleKey, Host, HostPolicy, Optional, Pages, Request, Settings,
    Urgency, path,
};
use databricks_operator::engine::kind::{Permit, Reader, Writer};
use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use simulator::{Cloud, Config, Fault, GOOGLE_EMAIL, RateLimit, Simulator, When};

const CREDENTIALS: Pages = Pages::Whole("credentials");

async fn start() -> (Simulator, Client) {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let client = client(&simulator, &simulator.account_id, &simulator.client_secret);
    (simulator, client)
}

/// The same with a client that gives up a change after a second.
async fn start_hasty() -> (Simulator, Client) {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let (account_id, secret) = (&simulator.account_id, &simulator.client_secret);
    let client = client_within(&simulator, account_id, secret, Duration::from_secs(1));
    (simulator, client)
}

/// A client that is patient, as a busy machine may stand still for seconds.
fn client(simulator: &Simulator, account_id: &str, secret: &str) -> Client {
    client_within(simulator, account_id, secret, Duration::from_secs(20))
}

fn client_within(simulator: &Simulator, account_id: &str, secret: &str, write_timeout: Duration) -> Client {
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let connection = Connection {
        host: Host::parse(&simulator.url(), &policy).unwrap(),
        account_id: account_id.to_owned(),
        client_id: simulator.client_id.clone(),
        credentials: Credentials::Secret(SecretString::from(secret.to_owned())),
        on_google: false,
    };
    let settings = Settings {
        request_timeout: Duration::from_secs(30),
        write_timeout,
        requests_per_second: 1e4,
        burst: 1000,
        ..Settings::default()
    };
    Client::new(connection, &settings).unwrap()
}

/// A client for an account on Google Cloud: with the key of its service account, or with the secret of a service principal.
fn on_google(simulator: &Simulator, with_key: bool) -> Client {
    simulator.set(|settings| settings.cloud = Cloud::GCP);
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let key = || GoogleKey::parse(&SecretString::from(simulator.google_key()), &policy).unwrap();
    let secret = || Credentials::Secret(SecretString::from(simulator.client_secret.clone()));
    let connection = Connection {
        host: Host::parse(&simulator.url(), &policy).unwrap(),
        account_id: simulator.account_id.clone(),
        client_id: if with_key { GOOGLE_EMAIL.to_owned() } else { simulator.client_id.clone() },
        credentials: if with_key { Credentials::Google(key()) } else { secret() },
        on_google: true,
    };
    let settings = Settings { requests_per_second: 1e4, burst: 1000, hosts: policy, ..Settings::default() };
    Client::new(connection, &settings).unwrap()
}

/// The creates and changes that act in a project of Google Cloud, and a create that does not.
fn acts(client: &Client) -> [Request; 4] {
    let info = json!({"project_id": "p", "psc_endpoint_name": "e", "endpoint_region": "us-east4"});
    let endpoint = json!({"vpc_endpoint_name": "main", "gcp_vpc_endpoint_info": info});
    let key = json!({"use_cases": ["STORAGE"], "gcp_key_info": {"kms_key_id": "k"}});
    let access = json!({"private_access_settings_name": "main", "region": "us-east4"});
    let patch = Request::patch(at(client, &["workspaces", "1"]), json!({}));
    [
        Request::post(at(client, &["vpc-endpoints"]), endpoint),
        Request::post(at(client, &["customer-managed-keys"]), key),
        patch,
        Request::post(at(client, &["private-access-settings"]), access),
    ]
}

/// Both tokens of Google are sent to the account, and both are replaced when the account rejects one.
#[tokio::test]
async fn a_google_service_account_signs_in_with_two_tokens() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let client = on_google(&simulator, true);
    client.authenticate().await.unwrap();
    assert_eq!(simulator.calls("POST", "/token"), 2, "one for each token");
    assert_eq!(simulator.calls("POST", "/oidc/*"), 0);
    let [endpoint, key, patch, access] = acts(&client);
    for request in [endpoint, key, access] {
        client.send::<IgnoredAny>(request).await.unwrap();
    }
    let missing = client.send::<IgnoredAny>(patch).await.unwrap_err();
    assert!(missing.is_absence(), "only the workspace is missing: {missing}");
    assert!(client.token_expiry().is_some());
    assert_eq!(simulator.calls("POST", "/token"), 2);

    simulator.revoke_tokens();
    let all = Request::get(at(&client, &["vpc-endpoints"]));
    assert_eq!(client.list::<Value>(all, Pages::Bare).await.unwrap().len(), 1);
    assert_eq!(simulator.calls("POST", "/token"), 4, "both are replaced");
    let journal = simulator.journal();
    let calls = journal.iter().filter(|call| call.path.starts_with("/api/") && call.applied);
    assert!(calls.clone().count() > 3 && calls.clone().all(|c| c.client_id.as_deref() == Some(GOOGLE_EMAIL)));
}

/// Without a token of Google, what needs one is not sent, and everything else is.
#[tokio::test]
async fn what_needs_a_token_of_google_is_not_sent_without_one() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let client = on_google(&simulator, false);
    let [endpoint, key, patch, access] = acts(&client);
    for request in [endpoint, key, patch] {
        let error = client.send::<IgnoredAny>(request).await.unwrap_err();
        assert!(matches!(error, Error::NoGoogleToken { .. }), "{error}");
        assert!(!error.was_sent() && !error.may_have_happened());
    }
    assert_eq!(simulator.calls("*", "*"), 0, "not even a token was requested");
    client.send::<IgnoredAny>(access).await.unwrap();
    client.list::<Value>(Request::get(at(&client, &["workspaces"])), Pages::Bare).await.unwrap();
    let gone = client.send::<IgnoredAny>(Request::delete(at(&client, &["workspaces", "1"]))).await;
    assert!(gone.unwrap_err().is_absence(), "a deletion needs none");
}

/// One change by each method of a writer, and what became of it.
async fn changes(client: &Client, permit: Permit) -> [Result<IgnoredAny, Error>; 4] {
    let writer = Writer::new(Reader::new(client.clone(), Urgency::Urgent), permit);
    let one = || writer.path(&["credentials", "1"]);
    [
        writer.post(writer.path(&["credentials"]), json!({})).await,
        writer.put(one(), json!({})).await,
        writer.patch(one(), json!({})).await,
        writer.delete(one()).await.map(|()| IgnoredAny),
    ]
}

#[tokio::test]
async fn without_the_right_to_write_nothing_is_sent_to_change_anything() {
    let (simulator, client) = start().await;
    for change in changes(&client, Permit::while_valid(|| false)).await {
        assert!(matches!(change, Err(Error::Fenced { .. })), "{change:?}");
    }
    assert_eq!(simulator.calls("*", "*/credentials*"), 0);
    for change in changes(&client, Permit::sole()).await {
        assert!(!matches!(change, Err(Error::Fenced { .. })), "{change:?}");
    }
    assert_eq!(simulator.calls("*", "*/credentials*"), 4);
}

/// A change that outlived the lease would be one of somebody who no longer leads.
#[tokio::test]
async fn a_change_is_given_up_sooner_than_a_read() {
    let (simulator, client) = start_hasty().await;
    let (path, delay_ms) = ("*/credentials*".into(), 1500);
    simulator.fault(Fault { path, delay_ms, when: When::After, ..Fault::default() });
    for change in changes(&client, Permit::sole()).await {
        assert!(matches!(change, Err(Error::Unknown { .. })), "{change:?}");
    }
    list(&client).await.unwrap();
}

fn at(client: &Client, rest: &[&str]) -> String {
    path(&[&["api", "2.0", "accounts", client.account_id()], rest].concat())
}

fn create(client: &Client, name: &str) -> Request {
    let role = json!({"sts_role": {"role_arn": "arn:aws:iam::111122223333:role/x"}});
    Request::post(at(client, &["credentials"]), json!({"credentials_name": name, "aws_credentials": role}))
}

async fn list(client: &Client) -> Result<Vec<Value>, Error> {
    client.list(Request::get(at(client, &["credentials"])), CREDENTIALS).await
}

#[tokio::test]
async fn an_object_is_made_found_and_deleted() {
    let (_simulator, client) = start().await;
    client.authenticate().await.unwrap();
    assert_eq!(list(&client).await.unwrap(), [] as [Value; 0]);
    let made: Value = client.send(create(&client, "first")).await.unwrap();
    let one = at(&client, &["credentials", made["credentials_id"].as_str().unwrap()]);
    assert_eq!(list(&client).await.unwrap().len(), 1);

    let seen: Option<Value> = client.send(Request::get(&*one)).await.optional().unwrap();
    assert_eq!(seen.unwrap()["credentials_name"], "first");
    client.send::<IgnoredAny>(Request::delete(&*one)).await.unwrap();
    assert_eq!(client.send::<Value>(Request::get(&*one)).await.optional(), Ok(None));
    assert!(client.send::<IgnoredAny>(Request::delete(&*one)).await.unwrap_err().is_absence());
}

#[tokio::test]
async fn a_refusal_says_what_the_account_says() {
    let (simulator, client) = start().await;
    client.send::<IgnoredAny>(create(&client, "first")).await.unwrap();
    let error = client.send::<IgnoredAny>(create(&client, "first")).await.unwrap_err();
    assert!(error.code().is_some() && !error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("already exists (POST /api/2.0/accounts/"), "{error}");
    assert_eq!(simulator.objects("credentials").len(), 1);

    let nowhere = client.send::<Value>(Request::get(at(&client, &["no-such-thing"]))).await.unwrap_err();
    assert_eq!((nowhere.code(), nowhere.is_absence()), (Some("ENDPOINT_NOT_FOUND"), false));
    let no_account = client.send::<Value>(Request::get("/api/2.0/accounts/credentials")).await.unwrap_err();
    assert!(matches!(no_account, Error::NotTheApi { .. }), "{no_account:?}");
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_happened_once() {
    for fault in [
        Fault { drop: true, ..Fault::default() },
        Fault { truncate_bytes: Some(10), ..Fault::default() },
        Fault { status: Some(502), body: Some(json!("<html><pre>bad gateway</pre>")), ..Fault::default() },
        Fault { body: Some(json!("{\"credentials_id\":")), ..Fault::default() },
        Fault { body: Some(json!("")), ..Fault::default() },
        Fault { delay_ms: 1500, ..Fault::default() },
    ] {
        let (simulator, client) = start_hasty().await;
        let shown = format!("{fault:?}");
        simulator.fault(Fault {
            method: Some("POST".into()),
            path: "*/credentials".into(),
            when: When::After,
            ..fault
        });
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only its shape matters")]
        struct Made {
            credentials_id: String,
        }
        let error = client.send::<Made>(create(&client, "first")).await.unwrap_err();
        assert!(error.may_have_happened(), "{shown}: {error:?}");
        assert_eq!(simulator.calls("POST", "*/credentials"), 1, "{shown}");
        assert_eq!(simulator.objects("credentials").len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn no_fault_makes_an_object_look_absent_or_a_list_look_empty() {
    let (simulator, mut client) = start().await;
    let made: Value = client.send(create(&client, "first")).await.unwrap();
    let one = at(&client, &["credentials", made["credentials_id"].as_str().unwrap()]);
    let text = |text: &str| Some(json!(text));
    let answers = [400, 401, 403, 404, 405, 409, 418, 429, 500, 501, 502, 503, 504]
        .into_iter()
        .flat_map(|status| {
            [
                None,
                text(""),
                text("<html><title>x</title>"),
                text("not found"),
                Some(json!({"message": "NOT FOUND"})),
            ]
            .map(|body| Fault { status: Some(status), body, ..Fault::default() })
        })
        .chain(
            [text(""), text("null"), text("{"), text("<html>"), text("\"\"")]
                .map(|body| Fault { body, ..Fault::default() }),
        )
        .chain([301, 302, 307].map(|status| Fault { status: Some(status), ..Fault::default() }))
        .chain([
            Fault { drop: true, ..Fault::default() },
            Fault { when: When::After, truncate_bytes: Some(20), ..Fault::default() },
        ]);
    for fault in answers {
        let shown = format!("{fault:?}");
        simulator.clear_faults();
        // Long enough that the client says so instead of waiting.
        let headers = [("retry-after".to_owned(), "60".to_owned())].into();
        simulator.fault(Fault {
            path: "*/credentials*".into(),
            method: Some("GET".into()),
            headers,
            ..fault
        });
        if client.throttled().is_some() {
            // A gate that one fault closed would hide the next fault.
            client = self::client(&simulator, &simulator.account_id, &simulator.client_secret);
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Seen {
            credentials_id: String,
        }
        let seen = client.send::<Seen>(Request::get(&*one)).await.optional();
        assert!(seen.is_err(), "{shown}: {seen:?}");
        let list = list(&client).await;
        assert!(list.is_err(), "{shown}: {list:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_a_revoked_secret_reported() {
    let (simulator, client) = start().await;
    list(&client).await.unwrap();
    simulator.revoke_tokens();
    list(&client).await.unwrap();
    assert_eq!(simulator.calls("POST", "/oidc/*"), 2);

    simulator.rotate_secret("another", 0);
    let error = list(&client).await.unwrap_err();
    assert!(matches!(error, Error::CredentialsRefused { .. }), "{error:?}");
    let rotated = self::client(&simulator, &simulator.account_id, "another");
    list(&rotated).await.unwrap();
}

#[tokio::test]
async fn a_wrong_account_is_found_out_before_the_secret_is_sent() {
    let (simulator, _) = start().await;
    let other = "99999999-8888-7777-6666-555555555555";
    let error = client(&simulator, other, &simulator.client_secret).authenticate().await.unwrap_err();
    assert!(
        error.to_string().contains(other) && error.to_string().contains(&simulator.account_id),
        "{error}"
    );
    assert_eq!(simulator.calls("POST", "/oidc/*"), 0);
}

#[tokio::test]
async fn a_long_scim_list_is_whole() {
    let (simulator, client) = start().await;
    for number in 0..1203 {
        simulator.insert("Groups", json!({"displayName": format!("group {number}")})).unwrap();
    }
    let all = simulator.objects("Groups").len();
    let groups: Vec<Value> =
        client.list(Request::get(at(&client, &["scim", "v2", "Groups"])), Pages::Scim).await.unwrap();
    let ids: std::collections::BTreeSet<&str> =
        groups.iter().map(|group| group["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all);
    let mut one = Request::get(at(&client, &["scim", "v2", "Groups"]));
    one.query = vec![("filter".into(), "displayName eq \"group 7\"".into())];
    simulator.clear_journal();
    assert_eq!(client.list::<Value>(one, Pages::Scim).await.unwrap().len(), 1);
    assert_eq!(simulator.calls("GET", "*"), 1, "a look-up costs one call");
}

#[tokio::test]
async fn after_a_429_nothing_is_sent_until_the_account_allows_it() {
    let (simulator, client) = start().await;
    list(&client).await.unwrap();
    let limit = RateLimit {
        class: "credentials".into(),
        limit: 1,
        window_ms: 3_600_000,
        retry_after: Some("30".into()),
    };
    simulator.set(|settings| settings.rate_limits.push(limit));
    while list(&client).await.is_ok() {}
    simulator.clear_journal();
    let error = list(&client).await.unwrap_err();
    assert!(error.is_throttle() && error.retry_after() > Some(Duration::from_secs(20)), "{error:?}");
    assert_eq!(simulator.calls("*", "*"), 0);
    assert!(client.throttled() > Some(Duration::from_secs(20)));
}
