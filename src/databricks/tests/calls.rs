//! Requests: how often, where to, with which credentials.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde_json::{Value, json as value};

use super::*;

const NETWORKS: &str = "/api/2.0/accounts/a/networks";
const JSON: &str = "content-type: application/json\r\n";

fn post() -> Request {
    Request::post(NETWORKS, value!({"network_name": "n"}))
}

#[tokio::test]
async fn a_call_signs_in_first() {
    let server = Server::start(|_, socket| json(socket, 200, r#"{"network_id":"1"}"#));
    let client = server.client();
    let answer: Value = client.send(post()).await.unwrap();
    assert_eq!(answer, value!({"network_id": "1"}));

    let received = server.received();
    assert_eq!(received[0].call, format!("POST /oidc/accounts/{ACCOUNT}/v1/token"));
    assert_eq!(received[0].body, "grant_type=client_credentials&scope=all-apis");
    assert!(received[0].head.contains("authorization: Basic Y2xpZW50LTE6ZG9zZS1j"), "{}", received[0].head);
    assert_eq!(received[1].call, format!("POST {NETWORKS}"));
    assert_eq!(received[1].body, r#"{"network_name":"n"}"#);
    for header in [
        "authorization: Bearer token-canary-1",
        "user-agent: databricks-operator/",
        "accept: application/json",
    ] {
        assert!(received[1].head.contains(header), "{}", received[1].head);
    }
    assert!(!received[1].head.to_ascii_lowercase().contains("referer"));
    assert!(!format!("{client:?}").contains(SECRET));
}

#[tokio::test]
async fn fifty_calls_at_once_sign_in_once() {
    let server = Server::start(|_, socket| json(socket, 200, "{}"));
    let client = server.client_with(&Settings { burst: 60, ..Settings::default() });
    let calls = (0..50).map(|_| client.send::<IgnoredAny>(Request::get(NETWORKS)));
    for outcome in futures::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!(server.count("POST /oidc/"), 1);
    assert_eq!(server.count("GET "), 50);
}

#[tokio::test]
async fn a_post_goes_out_once_whatever_happens_to_its_answer() {
    let silence = |_: &mut TcpStream| {
        thread::sleep(Duration::from_secs(2));
        false
    };
    let half_a_head = |socket: &mut TcpStream| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap();
        false
    };
    let half_a_body = |socket: &mut TcpStream| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").unwrap();
        false
    };
    let faults: [fn(&mut TcpStream) -> bool; 5] =
        [silence, |_| false, half_a_head, half_a_body, |socket| socket.write_all(b"garbage\r\n\r\n").is_ok()];
    for (index, fault) in faults.into_iter().enumerate() {
        let server = Server::start(move |_, socket| fault(socket));
        let error = server.client().send::<IgnoredAny>(post()).await.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "fault {index}: {error}");
        assert!(error.may_have_happened());
        assert_eq!(server.count(&format!("POST {NETWORKS}")), 1, "fault {index}");
    }
}

#[tokio::test]
async fn a_post_on_a_connection_that_the_server_closed_arrives_at_most_once() {
    for _ in 0..20 {
        let server = Server::start(|_, socket| {
            json(socket, 200, "{}");
            false
        });
        let client = server.client();
        client.send::<IgnoredAny>(Request::get(NETWORKS)).await.unwrap();
        let outcome = client.send::<IgnoredAny>(post()).await;
        let arrived = server.count(&format!("POST {NETWORKS}"));
        assert!(arrived <= 1, "{arrived}");
        assert!(outcome.is_err() || arrived == 1);
    }
}

#[tokio::test]
async fn after_a_401_all_but_a_post_are_tried_once_more_with_a_new_token() {
    let server = Server::start(|received, socket| match received.head.contains("token-canary-1\r\n") {
        true => json(socket, 401, r#"{"error_code":"UNAUTHENTICATED","message":"expired"}"#),
        false => json(socket, 200, "{}"),
    });
    server.client().send::<IgnoredAny>(Request::put(NETWORKS, value!({}))).await.unwrap();
    assert_eq!((server.count("PUT "), server.count("POST /oidc/")), (2, 2));

    let server =
        Server::start(|_, socket| json(socket, 401, r#"{"error_code":"UNAUTHENTICATED","message":"x"}"#));
    let client = server.client();
    let error = client.send::<IgnoredAny>(post()).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(401), Some("UNAUTHENTICATED")));
    assert_eq!(server.count(&format!("POST {NETWORKS}")), 1);
    client.send::<IgnoredAny>(Request::delete(NETWORKS)).await.unwrap_err();
    assert_eq!((server.count("DELETE "), server.count("POST /oidc/")), (2, 3), "no endless loop");
    for _ in 0..5 {
        let error = client.send::<IgnoredAny>(Request::delete(NETWORKS)).await.unwrap_err();
        assert!(matches!(error, Error::TokenRefused { fresh: true, .. }), "{error}");
    }
    assert_eq!(
        (server.count("DELETE "), server.count("POST /oidc/")),
        (7, 3),
        "another token would not help"
    );
}

#[tokio::test]
async fn a_refused_token_is_known_in_each_form_and_a_lack_of_rights_is_none() {
    let plain_text = "content-type: text/plain\r\n";
    let forms: [(u16, &str, &str, bool); 9] = [
        (401, plain_text, "", true),
        (403, JSON, r#"{"error_code":403,"message":"Invalid access token."}"#, true),
        (403, plain_text, "Invalid access token.", true),
        (400, JSON, r#"{"error_code":400,"message":"Token is expired"}"#, true),
        (400, "content-type: text/html\r\n", "<html><pre>io.jsonwebtoken.ExpiredJwtException: x</pre>", true),
        (403, JSON, r#"{"error_code":"PERMISSION_DENIED","message":"not an account admin"}"#, false),
        (403, JSON, r#"{"error_code":403,"message":"Unauthorized access to Org: 1"}"#, false),
        (403, plain_text, "", false),
        (400, JSON, r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid page token"}"#, false),
    ];
    for (status, headers, body, bad) in forms {
        let server =
            Server::start(move |received, socket| match received.head.contains("token-canary-1\r\n") {
                true => plain(socket, status, headers, body.as_bytes()),
                false => json(socket, 200, "{}"),
            });
        let client = server.client();
        let outcome = client.send::<IgnoredAny>(Request::get(NETWORKS)).await;
        assert_eq!(outcome.is_ok(), bad, "{status} {body}: {outcome:?}");
        assert_eq!(server.count("POST /oidc/"), 1 + usize::from(bad), "{status} {body}");
    }
}

#[tokio::test]
async fn a_blocked_address_costs_no_token_and_is_recognised_at_the_token_endpoint_too() {
    let text = "Source IP address: 192.0.2.7 is blocked by Databricks IP ACL for account";
    let body = value!({"error_code": "PERMISSION_DENIED", "message": text}).to_string();
    let blocked = body.clone();
    let server = Server::start(move |_, socket| json(socket, 403, &blocked));
    let client = server.client();
    for _ in 0..3 {
        let error = client.send::<IgnoredAny>(Request::get(NETWORKS)).await.unwrap_err();
        assert!(error.is_address_blocked() && error.to_string().contains(text), "{error}");
        assert_eq!(error.status(), Some(403));
    }
    assert_eq!((server.count("GET "), server.count("POST /oidc/")), (3, 1));
    for (headers, body) in [(JSON, body), ("content-type: text/plain\r\n", text.to_owned())] {
        let server = Server::raw(move |_, socket| plain(socket, 403, headers, body.as_bytes()));
        let error = server.client().send::<IgnoredAny>(post()).await.unwrap_err();
        assert!(matches!(error, Error::NoToken(_)) && error.is_address_blocked(), "{error}");
        assert!(error.to_string().contains(text) && error.status().is_none(), "{error}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_credential_leaks() {
    for status in [301, 302, 303, 307, 308] {
        let sink = Server::raw(|_, socket| json(socket, 200, "{}"));
        let location = format!("location: http://127.0.0.1:{}/x\r\n", sink.port);
        let there = location.clone();
        let api = Server::start(move |_, socket| plain(socket, status, &location, b""));
        let error = api.client().send::<IgnoredAny>(post()).await.unwrap_err();
        assert!(matches!(error, Error::NotTheApi { .. }), "{error}");
        let token = Server::raw(move |_, socket| plain(socket, status, &there, b""));
        let error = token.client().send::<IgnoredAny>(post()).await.unwrap_err();
        assert!(matches!(error, Error::NoToken(_)), "{error}");
        assert_eq!(token.received().len(), 1);
        assert!(sink.received().is_empty());
    }
}

#[tokio::test]
async fn no_call_is_sent_once_the_permit_is_withdrawn() {
    let server = Server::start(|_, socket| json(socket, 200, "{}"));
    let client = server.client();
    let asked = Arc::new(Mutex::new(0));
    let mut request = post();
    let (count, log) = (asked.clone(), server.received.clone());
    request.fence = Some(Arc::new(move || {
        *count.lock().unwrap() += 1;
        assert_eq!(log.lock().unwrap().len(), 1, "it is asked after signing in");
        false
    }));
    let error = client.send::<IgnoredAny>(request).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    assert!(!error.may_have_happened());
    assert_eq!((*asked.lock().unwrap(), server.count(&format!("POST {NETWORKS}"))), (1, 0));
}

#[tokio::test]
async fn a_path_that_means_another_is_not_sent() {
    let server = Server::start(|_, socket| json(socket, 200, "{}"));
    let error = server.client().send::<IgnoredAny>(Request::delete(path(&["api", "networks", ""]))).await;
    assert!(matches!(error, Err(Error::Invalid { .. })));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_list_takes_all_pages_with_the_same_query() {
    let server = Server::start(|received, socket| match received.call.split("page_token=").nth(1) {
        None => json(socket, 200, r#"{"items":[1],"next_page_token":"a&b"}"#),
        Some("a%26b") => json(socket, 200, r#"{"items":[2],"next_page_token":"c"}"#),
        Some(_) => json(socket, 200, r#"{"items":[3]}"#),
    });
    let mut request = Request::get(NETWORKS);
    request.query = vec![("filter".into(), "x y".into())];
    let items: Vec<u32> = server.client().list(request, Pages::Token("items")).await.unwrap();
    assert_eq!(items, [1, 2, 3]);
    assert!(server.received()[1..].iter().all(|received| received.call.contains("?filter=x+y")));
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let sink = Server::raw(|_, socket| json(socket, 200, "{}"));
    let proxy = format!("http://127.0.0.1:{}", sink.port);
    // The environment of this process is shared with other tests, so another test runs again in a process of its own.
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        again.env(name, &proxy);
    }
    let name = module_path!()
        .split_once("::")
        .map(|(_, module)| format!("{module}::a_call_signs_in_first"))
        .unwrap();
    let output =
        again.env_remove("NO_PROXY").env_remove("no_proxy").args([&name, "--exact"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(sink.received().is_empty());
}

/// Google's headers of a metadata server.
const OF_METADATA: &str = "metadata-flavor: Google\r\ncontent-type: text/plain\r\n";
const IDENTITY: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";
const OWN: &str = "own@example.iam.gserviceaccount.com";

/// A client that signs in as the operator's own Google service account; the server is account and metadata server.
fn as_itself(server: &Server) -> Client {
    let own = Connection {
        client_id: OWN.to_owned(),
        credentials: Credentials::GoogleWorkload,
        on_google: true,
        ..server.connection()
    };
    Client::new(own, &Settings { request_timeout: Duration::from_secs(2), ..Settings::default() }).unwrap()
}

/// An ID token for the server that got a request, with these claims in place of the usual ones.
fn id_token(received: &Received, changes: &Value) -> String {
    let lower = received.head.to_ascii_lowercase();
    let host = lower.split("host: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let mut claims =
        value!({"aud": format!("http://{host}"), "email": OWN, "iat": 1, "exp": 4_000_000_000_u64});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    format!("head.{}.canary", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Covers SE-04. The access token of Google goes with the calls that need it, and deletions of the same that may, and with no other one.
#[tokio::test]
async fn the_operators_own_identity_is_of_the_metadata_server() {
    let server = Server::raw(|received, socket| {
        if received.call.contains("/identity?") {
            let token = id_token(received, &value!({}));
            return plain(socket, 200, OF_METADATA, token.as_bytes());
        }
        match received.call.ends_with("/default/token") {
            true => plain(socket, 200, OF_METADATA, br#"{"access_token":"ya29.canary","expires_in":3599}"#),
            false => json(socket, 200, "{}"),
        }
    });
    let client = as_itself(&server);
    client.send::<IgnoredAny>(Request::get(NETWORKS)).await.unwrap();
    client.send::<IgnoredAny>(post()).await.unwrap();
    client
        .send::<IgnoredAny>(Request::post("/api/2.0/accounts/a/private-access-settings", value!({})))
        .await
        .unwrap();
    client.send::<IgnoredAny>(Request::delete(format!("{NETWORKS}/n"))).await.unwrap();
    let received = server.received();
    let audience = format!("audience=http%3A%2F%2F127.0.0.1%3A{}&format=full", server.port);
    assert_eq!(received[0].call, format!("GET {IDENTITY}?{audience}"));
    for asked in &received[..2] {
        let head = asked.head.to_ascii_lowercase();
        assert!(head.contains("metadata-flavor: google") && !head.contains("authorization"), "{head}");
    }
    assert_eq!(received.len(), 6, "both tokens are kept");
    let with: Vec<bool> = received[2..].iter().map(|one| one.head.contains("ya29.canary")).collect();
    assert_eq!(with, [false, true, false, true]);
    assert!(!format!("{client:?}").contains("canary"));
}

/// What is no metadata server, and what it refuses, is no credential: nothing is sent to the account.
#[tokio::test]
async fn what_is_no_token_of_the_operators_own_identity_is_not_used() {
    type Case = (u16, &'static str, Value, &'static str);
    let cases: [Case; 5] = [
        (200, "content-type: text/plain\r\n", value!({}), "no header Metadata-Flavor"),
        (200, OF_METADATA, value!({"aud": "https://accounts.gcp.databricks.com"}), "for another host"),
        (200, OF_METADATA, value!({"email": "a@example.com"}), "write a@example.com in clientId"),
        (404, "content-type: text/html\r\n", value!({}), "give the pod a Google service account"),
        (403, OF_METADATA, value!({}), "give the pod a Google service account"),
    ];
    for (status, headers, changes, says) in cases {
        let server = Server::raw(move |received, socket| {
            plain(socket, status, headers, id_token(received, &changes).as_bytes())
        });
        let error = as_itself(&server).send::<IgnoredAny>(post()).await.unwrap_err();
        assert!(error.to_string().contains(says) && !error.was_sent(), "{status} {headers}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(server.received().len(), 1, "{error}");
    }
}
