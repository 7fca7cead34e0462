//! A small account that is reached over HTTP on loopback: it issues tokens and knows principals. For what the client
//! itself takes part in; all other calls of the [`super::Fake`] stay in the process. Its tests need the real clock.

use std::sync::{Arc, Mutex};

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::databricks::{Client, Connection, Credentials, Host, HostPolicy, Settings};

/// The account, as the server knows it.
pub struct HttpAccount {
    host: String,
    /// A client of it.
    pub client: Client,
    /// Names and ids of principals of any sort.
    principals: Mutex<Vec<(String, String)>>,
    /// Why searches are refused, if they are.
    refusal: Mutex<Option<(StatusCode, Value)>>,
    /// The names that were searched for, in order.
    searches: Mutex<Vec<String>>,
}

impl HttpAccount {
    /// Starts a server, which ends with the runtime of the test.
    pub async fn start() -> Arc<HttpAccount> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let account = Arc::new(HttpAccount {
            client: client(&host),
            host,
            principals: Mutex::default(),
            refusal: Mutex::default(),
            searches: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(account.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        account
    }

    /// Where it is reached.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on the principal with this name is the one with this id alone, if there is one.
    pub fn name(&self, name: &str, id: Option<&str>) {
        let mut principals = self.principals.lock().unwrap();
        principals.retain(|(other, _)| other != name);
        principals.extend(id.map(|id| (name.to_owned(), id.to_owned())));
    }

    /// From now on searches are refused.
    pub fn refuse(&self, status: u16, code: &str, message: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let body = json!({"error_code": code, "message": message});
        *self.refusal.lock().unwrap() = Some((status, body));
    }

    /// From now on they are accepted again.
    pub fn accept(&self) {
        *self.refusal.lock().unwrap() = None;
    }

    /// The names that were searched for since the last time.
    pub fn searches(&self) -> Vec<String> {
        std::mem::take(&mut self.searches.lock().unwrap())
    }

    fn search(&self, filter: &str) -> Response {
        let (attribute, name) = filter.split_once(" eq ").unwrap();
        let name = name.trim_matches('"');
        self.searches.lock().unwrap().push(name.to_owned());
        if let Some((status, body)) = self.refusal.lock().unwrap().clone() {
            return (status, [("retry-after", "60")], Json(body)).into_response();
        }
        let principals = self.principals.lock().unwrap();
        let found = principals.iter().filter(|(other, _)| other == name);
        let found: Vec<Value> = found.map(|(name, id)| json!({"id": id, attribute: name})).collect();
        Json(json!({"totalResults": found.len(), "Resources": found})).into_response()
    }
}

fn client(host: &str) -> Client {
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let connection = Connection {
        host: Host::parse(host, &policy).unwrap(),
        account_id: "account".into(),
        client_id: "client".into(),
        credentials: Credentials::Secret("secret".to_owned().into()),
        on_google: false,
    };
    Client::new(connection, &Settings::default()).unwrap()
}

#[derive(serde::Deserialize)]
struct Search {
    filter: Option<String>,
}

async fn serve(
    State(account): State<Arc<HttpAccount>>,
    Query(search): Query<Search>,
    request: Request,
) -> Response {
    match search.filter {
        Some(filter) => account.search(&filter),
        None if request.uri().path().ends_with("/token") => {
            Json(json!({"access_token": "token", "expires_in": 3600})).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
