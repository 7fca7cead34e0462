//! An exchange in process in place of the network.

use serde_json::{Value, json as value};

use super::*;

/// A client whose calls this carries out.
fn client<F>(carry_out: impl Fn(http::Request<Vec<u8>>) -> F + Send + Sync + 'static) -> Client
where
    F: Future<Output = Result<http::Response<Vec<u8>>, NoResponse>> + Send + 'static,
{
    let connection = Connection {
        host: Host::parse("https://accounts.cloud.databricks.com", &HostPolicy::default()).unwrap(),
        account_id: ACCOUNT.to_owned(),
        client_id: "client-1".to_owned(),
        credentials: Credentials::Secret(SecretString::from(SECRET.to_owned())),
        on_google: false,
    };
    Client::new(connection, &Settings { exchange: Some(Exchange::new(carry_out)), ..Settings::default() })
        .unwrap()
}

fn response(status: u16, body: &str) -> http::Response<Vec<u8>> {
    let json = http::Response::builder().status(status).header("content-type", "application/json");
    json.body(body.as_bytes().to_vec()).unwrap()
}

fn token() -> http::Response<Vec<u8>> {
    response(200, r#"{"access_token":"token-canary","expires_in":3600}"#)
}

#[tokio::test]
async fn an_exchange_in_process_sees_what_a_host_would_see() {
    let seen: Arc<Mutex<Vec<http::Request<Vec<u8>>>>> = Arc::default();
    let log = seen.clone();
    let client = client(move |request| {
        let reply =
            if request.uri().path().ends_with("/v1/token") { token() } else { response(200, r#"{"id":7}"#) };
        log.lock().unwrap().push(request);
        async { Ok(reply) }
    });
    let answer: Value = client.send(Request::post("/api/things", value!({"name": "n"}))).await.unwrap();
    assert_eq!(answer, value!({"id": 7}));
    let seen = seen.lock().unwrap();
    let header = |at: usize, name: &str| seen[at].headers()[name].to_str().unwrap();
    assert_eq!(seen[0].uri().path(), format!("/oidc/accounts/{ACCOUNT}/v1/token"));
    assert_eq!(seen[0].body(), b"grant_type=client_credentials&scope=all-apis");
    assert_eq!((seen[1].method().as_str(), seen[1].uri().path()), ("POST", "/api/things"));
    assert_eq!(seen[1].body(), br#"{"name":"n"}"#);
    assert_eq!(header(1, "authorization"), "Bearer token-canary");
    assert_eq!(header(1, "host"), "accounts.cloud.databricks.com");
}

#[tokio::test(start_paused = true)]
async fn its_failures_are_those_of_a_network() {
    let fails = async |broken: Option<NoResponse>| {
        let client = client(move |request| {
            let (signs_in, broken) = (request.uri().path().ends_with("/v1/token"), broken.clone());
            async move {
                match broken {
                    _ if signs_in => Ok(token()),
                    Some(broken) => Err(broken),
                    None => std::future::pending().await,
                }
            }
        });
        client.send::<Value>(Request::post("/api/things", value!({}))).await.unwrap_err()
    };
    let unreachable = fails(Some(NoResponse::Unreachable("no route".into()))).await;
    assert!(matches!(unreachable, Error::Unreachable { .. }), "{unreachable}");
    let lost = fails(Some(NoResponse::Lost("connection reset".into()))).await;
    assert!(matches!(lost, Error::Unknown { .. }), "{lost}");
    let silent = fails(None).await;
    assert!(matches!(silent, Error::Unknown { ref reason, .. } if reason.contains("10s")), "{silent}");
}
