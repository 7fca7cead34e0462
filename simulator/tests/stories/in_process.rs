//! The account without a socket.

use axum::body::Bytes;
use axum::http::{Request, Response};
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator, When};

fn account() -> Simulator {
    let start_ms = Some(1_767_225_600_000);
    Simulator::in_process(Config { start_ms, ..Config::default() }).unwrap()
}

fn request(simulator: &Simulator, method: &str, path: &str, token: &str, body: &Value) -> Request<Bytes> {
    let path = path.replace("{a}", &simulator.account_id);
    let request = Request::builder().method(method).uri(format!("{}{path}", simulator.url()));
    let request = request.header("host", "127.0.0.1").header("authorization", format!("Bearer {token}"));
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    request.header("content-type", "application/json").body(body).unwrap()
}

/// A good token: user and password are `c:s`.
async fn token(simulator: &Simulator) -> String {
    let path = format!("/oidc/accounts/{}/v1/token", simulator.account_id);
    let sign_in = Request::post(path).header("host", "127.0.0.1").header("authorization", "Basic Yzpz");
    let sign_in = sign_in.header("content-type", "application/x-www-form-urlencoded");
    let form = Bytes::from_static(b"grant_type=client_credentials&scope=all-apis");
    let answer = simulator.answer(sign_in.body(form).unwrap()).await.unwrap();
    read(&answer)["access_token"].as_str().unwrap().to_owned()
}

fn read(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_account_in_process_is_the_same_account() {
    let config = Config { client_id: "c".into(), client_secret: "s".into(), ..Config::default() };
    let simulator = Simulator::in_process(Config { start_ms: Some(1_767_225_600_000), ..config }).unwrap();
    assert_eq!(simulator.now_ms(), 1_767_225_600_000);
    let token = token(&simulator).await;
    let path = "/api/2.0/accounts/{a}/networks";
    let refused = simulator.answer(request(&simulator, "GET", path, "bad", &Value::Null)).await.unwrap();
    assert_eq!(refused.status(), 401);
    let listed = simulator.answer(request(&simulator, "GET", path, &token, &Value::Null)).await.unwrap();
    assert_eq!((listed.status().as_u16(), read(&listed)), (200, json!([])));
    assert_eq!(simulator.calls("GET", "*/networks"), 2);
}

#[tokio::test(start_paused = true)]
async fn its_faults_are_those_of_a_socket() {
    let simulator = account();
    let path = "/.well-known/databricks-config";
    let call = async || simulator.answer(request(&simulator, "GET", path, "", &Value::Null)).await;
    let fault = |fault: Fault| simulator.fault(Fault { times: Some(1), path: path.into(), ..fault });
    fault(Fault { drop: true, when: When::After, ..Fault::default() });
    assert!(call().await.is_err(), "the response is lost");
    fault(Fault { truncate_bytes: Some(5), ..Fault::default() });
    assert!(call().await.is_err(), "the response breaks off");
    fault(Fault { status: Some(503), ..Fault::default() });
    assert_eq!(call().await.unwrap().status(), 503);
    let held = fault(Fault { hold: true, ..Fault::default() });
    let (answer, ()) = tokio::join!(call(), async {
        let held = simulator.held(held).await;
        assert!(simulator.release(held.n));
    });
    assert_eq!(answer.unwrap().status(), 200);
    simulator.stop().await;
    assert!(call().await.is_err(), "nothing responds any more");
}

/// As over a socket: a client that gives up does not stop what it has set in motion.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_still_has_its_effect() {
    let config = Config { client_id: "c".into(), client_secret: "s".into(), ..Config::default() };
    let simulator = Simulator::in_process(config).unwrap();
    let token = token(&simulator).await;
    simulator.fault(Fault { method: Some("POST".into()), delay_ms: 60_000, ..Fault::default() });
    let path = "/api/2.0/accounts/{a}/storage-configurations";
    let body = json!({"storage_configuration_name": "root-0", "root_bucket_info": {"bucket_name": "root"}});
    let create = simulator.answer(request(&simulator, "POST", path, &token, &body));
    let limit = std::time::Duration::from_secs(10);
    assert!(tokio::time::timeout(limit, create).await.is_err());
    assert_eq!(simulator.objects("storage-configurations").len(), 0);
    tokio::time::sleep(limit * 6).await;
    assert_eq!(simulator.objects("storage-configurations").len(), 1, "{:?}", simulator.journal());
}
