//! The way out of one incarnation of the operator: all its calls to either API pass here, are recorded, and meet the faults of
//! the plan. After a crash nothing passes any more: whatever is left of the incarnation waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use tokio::sync::Notify;

use crate::fault::{Fault, Plan, Says};
use crate::trace::{Api, Trace};

/// Longer than any time limit of a call.
const LATE: Duration = Duration::from_secs(45);

/// The way out of one incarnation.
pub struct Gate {
    trace: Arc<Trace>,
    plan: Arc<Plan>,
    closed: AtomicBool,
    crashed: Notify,
}

/// A call, as far as it is recorded.
pub struct Call {
    /// Where it goes.
    pub api: Api,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a call has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// There was no connection.
    Unreachable,
    /// The connection broke; the call may have had its effect.
    Lost,
}

impl Gate {
    /// A gate that is open.
    pub fn new(trace: Arc<Trace>, plan: Arc<Plan>) -> Arc<Gate> {
        Arc::new(Gate { trace, plan, closed: AtomicBool::new(false), crashed: Notify::new() })
    }

    /// Waits until the incarnation is to crash.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Nothing passes from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// One call: `effect` is what the server does. It is carried out whole once it has begun.
    pub async fn pass<B: From<Vec<u8>>>(
        &self,
        call: Call,
        effect: impl Future<Output = Result<Response<B>, Gone>> + Send + 'static,
    ) -> Result<Response<B>, Gone> {
        if self.closed.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let status = call.api == Api::Cluster && call.method == "PATCH" && call.path.contains("/status?");
        let trace = self.trace.clone();
        let effect = async move {
            let answer = effect.await;
            if status {
                trace.status_written.notify_one();
            }
            answer
        };
        let (place, n) = self.trace.sent(call.api, &call.method, &call.path, &call.body);
        let answer = match self.plan.at(n) {
            None => effect.await,
            Some(fault) => {
                self.trace.ended(place, &format!("[{fault}] "));
                self.strike(fault, call.api, effect).await
            }
        };
        let outcome = match &answer {
            Ok(response) => response.status().as_u16().to_string(),
            Err(gone) => format!("{gone:?}"),
        };
        self.trace.ended(place, &outcome);
        answer
    }

    async fn strike<B: From<Vec<u8>>>(
        &self,
        fault: Fault,
        api: Api,
        effect: impl Future<Output = Result<Response<B>, Gone>> + Send + 'static,
    ) -> Result<Response<B>, Gone> {
        let (Fault::Crash { applied } | Fault::Silent { applied } | Fault::Says { applied, .. }) = fault
        else {
            return match fault {
                Fault::Lost => effect.await.and(Err(Gone::Lost)),
                Fault::Late => {
                    tokio::spawn(async move {
                        tokio::time::sleep(LATE).await;
                        drop(effect.await);
                    });
                    std::future::pending().await
                }
                _ => Err(Gone::Unreachable),
            };
        };
        if applied {
            drop(effect.await);
        }
        if let Fault::Says { what, .. } = fault {
            return Ok(says(what, api));
        }
        if let Fault::Crash { .. } = fault {
            self.close();
            self.crashed.notify_one();
        }
        std::future::pending().await
    }
}

/// A response in place of the server's.
fn says<B: From<Vec<u8>>>(what: Says, api: Api) -> Response<B> {
    let (status, content_type, body) = match what {
        Says::Throttled(_) => error(api, 429),
        Says::Code(code) => error(api, code),
        Says::BadToken(400) if api == Api::Account => (400, "text/plain", "Invalid Token".to_owned()),
        Says::BadToken(_) => error(api, 401),
        Says::Html(code) => (code, "text/html", "<html><body>Bad Gateway</body></html>".to_owned()),
        Says::Empty => (200, "application/json", String::new()),
        Says::Truncated => (200, "application/json", r#"{"kind": "Li"#.to_owned()),
    };
    let mut response = Response::new(B::from(body.into_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Says::Throttled(Some(after)) = what {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(after));
    }
    response
}

/// An error in the form of an API.
fn error(api: Api, code: u16) -> (u16, &'static str, String) {
    let body = match api {
        Api::Cluster => {
            let reason = match code {
                401 => "Unauthorized",
                403 => "Forbidden",
                409 => "Conflict",
                429 => "TooManyRequests",
                503 => "ServiceUnavailable",
                _ => "InternalError",
            };
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "a fault",
                   "reason": reason, "code": code})
        }
        Api::Account => {
            let name = match code {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                409 => "RESOURCE_CONFLICT",
                429 => "REQUEST_LIMIT_EXCEEDED",
                503 => "TEMPORARILY_UNAVAILABLE",
                _ => "INTERNAL_ERROR",
            };
            json!({"error_code": name, "message": "a fault"})
        }
    };
    (code, "application/json", body.to_string())
}
