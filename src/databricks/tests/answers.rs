//! Responses that are wrong, hostile, endless or about the rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::de::IgnoredAny;
use serde_json::{Value, json as value};

use super::*;

const PATH: &str = "/api/2.0/accounts/a/networks";
const GROUPS: &str = "/api/2.0/accounts/a/scim/v2/Groups";

async fn get(server: &Server) -> Result<Value, Error> {
    server.client().send(Request::get(PATH)).await
}

#[tokio::test]
async fn a_login_page_is_not_the_api() {
    let server =
        Server::start(|_, socket| plain(socket, 200, "content-type: text/html\r\n", b"<html>Sign in</html>"));
    let error = get(&server).await.unwrap_err();
    assert!(matches!(error, Error::NotTheApi { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "the host responds with a web page (200), not as the account API does: is `host` right? (GET {PATH})"
        )
    );
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let sent = Arc::new(AtomicU64::new(0));
    let written = sent.clone();
    let server = Server::start(move |_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 209715200\r\n\r\n\"").unwrap();
        let chunk = vec![b'x'; 1 << 16];
        while written.load(Ordering::SeqCst) < 200 << 20 && socket.write_all(&chunk).is_ok() {
            written.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        }
        false
    });
    let client = server.client_with(&Settings::default());
    let error = client.send::<Value>(Request::get(PATH)).await.unwrap_err();
    assert!(error.to_string().contains("longer than 8 MiB"), "{error}");
    let sent = sent.load(Ordering::SeqCst) >> 20;
    assert!(sent < 50, "{sent} MiB were taken");
}

/// 64 MiB of zeros in about 400 kB: one zero, then repetitions of 258 of them (RFC 1951, fixed codes).
fn bomb() -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut push = |code: &str| bits.extend(code.bytes().map(|bit| bit == b'1'));
    push("110");
    push("00110000");
    (0..(64 << 20) / 258).for_each(|_| push("1100010100000"));
    push("0000000");
    let bytes = bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit)));
    // The last byte may be short, which only shifts bytes that are not read.
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].into_iter().chain(bytes).collect()
}

#[tokio::test]
async fn a_gzip_bomb_is_counted_after_unpacking() {
    let body = bomb();
    assert!(body.len() < 1 << 20);
    let server = Server::start(move |_, socket| plain(socket, 200, "content-encoding: gzip\r\n", &body));
    let error = server.client_with(&Settings::default()).send::<Value>(Request::get(PATH)).await.unwrap_err();
    assert!(error.to_string().contains("longer than 8 MiB"), "{error}");
}

#[tokio::test]
async fn a_dripping_body_ends_with_the_time_for_a_try() {
    let server = Server::start(|_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").unwrap();
        while socket.write_all(b"1").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        false
    });
    let start = Instant::now();
    let error = get(&server).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test]
async fn truncated_json_leaves_a_change_in_doubt() {
    let server = Server::start(|_, socket| json(socket, 200, r#"{"network_id":"1"#));
    let error = server.client().send::<Value>(Request::put(PATH, value!({}))).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }) && error.may_have_happened(), "{error}");
    let server = Server::start(|_, socket| json(socket, 200, "[1]"));
    let decoded = server.client().send::<String>(Request::get(PATH)).await;
    assert!(matches!(decoded, Err(Error::Decode { .. })), "{decoded:?}");
    let server = Server::start(|_, socket| plain(socket, 204, "", b""));
    assert_eq!(get(&server).await, Ok(Value::Null));
}

#[tokio::test]
async fn what_a_server_echoes_does_not_show_our_secrets() {
    let echo = |received: &Received, socket: &mut TcpStream| {
        let message = format!("{}{} {SECRET}", received.head, received.body);
        json(socket, 400, &value!({"error_code": message, "message": message}).to_string())
    };
    let body = value!({"azure_service_principal": {"client_secret": "body-canary-1"}, "name": "n"});
    for server in [Server::start(echo), Server::raw(echo)] {
        let error = server.client().send::<Value>(Request::put(PATH, body.clone())).await.unwrap_err();
        let basic = "Y2xpZW50LTE6ZG9zZS1jYW5hcnk";
        for text in [error.to_string(), format!("{error:?}")] {
            for canary in [SECRET, "token-canary", basic, "body-canary"] {
                assert!(!text.contains(canary), "{canary} in {text}");
            }
            assert!(text.contains("***"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_host_out_of_reach_was_sent_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server { port, received: Arc::default() };
    let error = get(&server).await.unwrap_err();
    let Error::NoToken(inner) = &error else { panic!("{error}") };
    assert!(matches!(**inner, Error::Unreachable { .. }), "{error}");
    assert!(!error.may_have_happened());
    assert!(matches!(server.client().authenticate().await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn a_failure_to_sign_in_is_not_taken_for_an_answer_to_the_call() {
    for (status, body, refused) in [
        (401, r#"{"error":"invalid_client","error_description":"no"}"#, true),
        (400, r#"{"error":"invalid_client","error_description":"no"}"#, true),
        (401, "", true),
        (404, r#"{"error_code":"NOT_FOUND","message":"no"}"#, false),
        (500, "", false),
        (403, r#"{"error_code":"PERMISSION_DENIED","message":"blocked by IP list"}"#, false),
        (200, r#"{"access_token":""}"#, false),
        (200, r#"{"access_token":"a\nb"}"#, false),
        (200, r#"{"access_token":"t","token_type":"mac"}"#, false),
        (200, r#"{"error":"dose"}"#, false),
        (200, "<html>", false),
    ] {
        let server = Server::raw(move |_, socket| json(socket, status, body));
        let error = server.client().send::<IgnoredAny>(Request::delete(PATH)).await.unwrap_err();
        assert_eq!(matches!(error, Error::CredentialsRefused { .. }), refused, "{error}");
        assert!(refused || matches!(error, Error::NoToken(_)), "{error}");
        assert!(!error.is_absence() && !error.may_have_happened() && error.status().is_none());
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn authenticate_compares_the_account_and_ignores_foreign_endpoints() {
    let sink = Server::raw(|_, socket| json(socket, 200, "{}"));
    let foreign = format!("http://127.0.0.1:{}/oidc", sink.port);
    for (status, metadata, fits) in [
        (404, String::new(), true),
        (200, "<html>".to_owned(), true),
        (200, "{}".to_owned(), true),
        (200, value!({"account_id": ACCOUNT.to_uppercase(), "oidc_endpoint": foreign}).to_string(), true),
        (200, value!({"account_id": "99999999-0000-0000-0000-000000000000"}).to_string(), false),
    ] {
        let shown = metadata.clone();
        let server = Server::start(move |_, socket| json(socket, status, &shown));
        let outcome = server.client().authenticate().await;
        assert_eq!(outcome.is_ok(), fits, "{metadata}: {outcome:?}");
        assert_eq!(matches!(outcome, Err(Error::AccountMismatch { .. })), !fits);
        assert_eq!(server.count("POST /oidc/"), usize::from(fits), "the secret stays home on a mismatch");
        assert!(!server.received()[0].head.contains("authorization"));
    }
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn a_429_holds_back_its_class_only() {
    let server = Server::start(|received, socket| match received.call.contains("scim") {
        true => plain(socket, 429, "retry-after: 60\r\n", br#"{"error_code":"RESOURCE_EXHAUSTED"}"#),
        false => json(socket, 503, ""),
    });
    let client = server.client();
    assert_eq!(client.throttled(), None);
    let error = client.send::<IgnoredAny>(Request::get(GROUPS)).await.unwrap_err();
    assert!(error.is_throttle());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    let error = client.send::<IgnoredAny>(Request::get(GROUPS)).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }) && error.is_throttle(), "{error}");
    assert!(error.retry_after() > Some(Duration::from_secs(50)));
    assert_eq!(server.count("GET "), 1, "nothing is sent while the gate is closed");
    assert!(client.throttled() > Some(Duration::from_secs(50)));

    let error = client.send::<IgnoredAny>(Request::get(PATH)).await.unwrap_err();
    assert_eq!(
        (error.status(), error.is_throttle()),
        (Some(503), false),
        "a 503 without Retry-After closes nothing"
    );
    client.send::<IgnoredAny>(Request::get(PATH)).await.unwrap_err();
    assert_eq!(server.count(&format!("GET {PATH}")), 2);
}

#[tokio::test]
async fn clients_of_one_service_principal_share_a_rate() {
    let server = Server::start(|received, socket| match received.call.contains("scim") {
        true => plain(socket, 429, "retry-after: 60\r\n", br#"{"error_code":"RESOURCE_EXHAUSTED"}"#),
        false => json(socket, 503, ""),
    });
    let settings = Settings::default();
    let client = server.client_with(&settings);
    client.send::<IgnoredAny>(Request::get(GROUPS)).await.unwrap_err();
    for (account_id, client_id, secret, shares) in [
        (ACCOUNT, "client-1", SECRET, true),
        (ACCOUNT, "client-1", "another", true),
        (ACCOUNT, "client-2", SECRET, false),
        ("99999999-0000-0000-0000-000000000000", "client-1", SECRET, false),
    ] {
        let connection = Connection {
            account_id: account_id.to_owned(),
            client_id: client_id.to_owned(),
            credentials: Credentials::Secret(SecretString::from(secret.to_owned())),
            ..server.connection()
        };
        let other = Client::new(connection, &settings).unwrap();
        let error = other.send::<IgnoredAny>(Request::get(GROUPS)).await.unwrap_err();
        assert_eq!(matches!(error, Error::Throttled { .. }), shares, "{account_id} {client_id}: {error}");
        assert!(other.throttled() > Some(Duration::from_secs(50)));
    }
    assert_eq!(server.count("GET "), 3, "the first client and the two of other principals");
}
