//! The calls that the simulator received, in order of arrival, and their results.
//!
//! `Authorization` is never recorded, and secrets in bodies are blanked before they get here.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::wire::Request;

/// One call of the API or of the token endpoint; control calls are not recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// 1 for the first call; continues when the journal is cleared.
    pub n: u64,
    /// When it arrived: epoch milliseconds on the simulator's clock.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// The path as sent, without the query.
    pub path: String,
    /// The query's parameters.
    pub query: Vec<(String, String)>,
    /// The body, if it was JSON or a form, without secrets.
    pub body: Option<Value>,
    /// The status that was sent back; none while the call is held, or if there was no response.
    pub status: Option<u16>,
    /// The class of endpoint: `token`, `metadata`, `scim`, `workspaces`, `permissionassignments`, `other`, or the name of a
    /// plain collection. Rate limits apply per class.
    pub class: String,
    /// Whether the simulator carried the call out with success, whatever was then sent back.
    pub applied: bool,
    /// The fault that hit the call.
    pub fault: Option<String>,
    /// The client the token was issued to, if the token was good.
    pub client_id: Option<String>,
    /// The header by which the caller says which trace the call is part of.
    pub traceparent: Option<String>,
}

#[derive(Default)]
pub(crate) struct Journal {
    calls: Vec<Call>,
    count: u64,
}

impl Journal {
    pub fn arrived(&mut self, request: &Request, class: String, at_ms: u64, fault: Option<String>) -> u64 {
        self.count += 1;
        let traceparent = request.headers.get("traceparent");
        let traceparent = traceparent.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        self.calls.push(Call {
            n: self.count,
            at_ms,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: recorded_body(request),
            status: None,
            class,
            applied: false,
            fault,
            client_id: None,
            traceparent,
        });
        self.count
    }

    /// The record of a call, unless it was cleared away meanwhile.
    pub fn call(&mut self, n: u64) -> Option<&mut Call> {
        self.calls.iter_mut().rev().find(|call| call.n == n)
    }

    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub fn clear(&mut self) {
        self.calls.clear();
    }
}

fn recorded_body(request: &Request) -> Option<Value> {
    if request.media_type() == "application/x-www-form-urlencoded" {
        let form = url::form_urlencoded::parse(&request.body).into_owned();
        let mut body = Value::Object(form.map(|(key, value)| (key, json!(value))).collect::<Map<_, _>>());
        blank_secrets(&mut body);
        return Some(body);
    }
    let mut body = serde_json::from_slice(&request.body).ok()?;
    blank_secrets(&mut body);
    Some(body)
}

fn blank_secrets(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let key = key.to_lowercase();
                let secret =
                    ["secret", "token", "password", "assertion"].iter().any(|word| key.contains(word));
                if secret && inner.is_string() {
                    *inner = json!("***");
                } else {
                    blank_secrets(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank_secrets),
        _ => {}
    }
}
