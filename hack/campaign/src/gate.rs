//! The way out of one incarnation of the operator: all its calls to either API pass here, are recorded, and meet the faults of
//! the plan. After a crash nothing passes any more: whatever is left of the incarnation waits for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use databricks_operator::clock;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Notify;

use crate::fault::{Fault, Garble, Plan, Says, Watch};
use crate::garble::garbled;
use crate::trace::{Api, Trace};

/// Longer than any time limit of a call.
const LATE: Duration = Duration::from_secs(45);

/// The way out of one incarnation.
pub struct Gate {
    trace: Arc<Trace>,
    plan: Arc<Plan>,
    closed: AtomicBool,
    crashed: Notify,
    /// What happens to the next events of watches.
    watches: Mutex<VecDeque<Watch>>,
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

/// The body of a response, which faults replace and change.
pub trait Answer: From<Vec<u8>> {
    /// The document that it is; nothing if it is a watch.
    fn document(&self) -> Option<&[u8]>;
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
        let (closed, crashed, watches) = (AtomicBool::new(false), Notify::new(), Mutex::default());
        Arc::new(Gate { trace, plan, closed, crashed, watches })
    }

    /// Waits until the incarnation is to crash.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Nothing passes from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether nothing passes any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// What happens to the next event of a watch, or to the bookmark that comes in its place. From then on it has happened.
    pub fn next_event(&self, of: &str, is_bookmark: impl FnOnce() -> bool) -> Option<Watch> {
        let mut watches = lock(&self.watches);
        let what = *watches.front()?;
        if matches!(what, Watch::Late(_) | Watch::Twice) && is_bookmark() {
            return None;
        }
        watches.pop_front();
        self.trace.struck();
        self.trace.note(format!("{of}: next event {what}"));
        Some(what)
    }

    /// One call: `effect` is what the server does. It is carried out whole once it has begun.
    pub async fn pass<B: Answer>(
        &self,
        call: Call,
        effect: impl Future<Output = Result<Response<B>, Gone>> + Send + 'static,
    ) -> Result<Response<B>, Gone> {
        if self.is_closed() {
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
                self.strike(fault, &call, effect).await
            }
        };
        let outcome = match &answer {
            Ok(response) => response.status().as_u16().to_string(),
            Err(gone) => format!("{gone:?}"),
        };
        self.trace.ended(place, &outcome);
        answer
    }

    async fn strike<B: Answer>(
        &self,
        fault: Fault,
        call: &Call,
        effect: impl Future<Output = Result<Response<B>, Gone>> + Send + 'static,
    ) -> Result<Response<B>, Gone> {
        if !matches!(fault, Fault::Garbled(_) | Fault::Watch(_)) {
            self.trace.struck();
        }
        match fault {
            Fault::Unreachable => return Err(Gone::Unreachable),
            Fault::Lost => return effect.await.and(Err(Gone::Lost)),
            Fault::Late => {
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    drop(effect.await);
                });
            }
            Fault::Crash { applied } | Fault::Silent { applied } | Fault::Says { applied, .. } => {
                if applied {
                    drop(effect.await);
                }
                if let Fault::Says { what, .. } = fault {
                    return Ok(says(what, call.api));
                }
            }
            Fault::Garbled(how) => return effect.await.map(|answer| self.garble(how, call, answer)),
            Fault::Watch(what) => {
                lock(&self.watches).push_back(what);
                return effect.await;
            }
            Fault::Clock(hours) => {
                clock::follow_tokio(in_hours(hours));
                return effect.await;
            }
        }
        if let Fault::Crash { .. } = fault {
            self.close();
            self.crashed.notify_one();
        }
        std::future::pending().await
    }

    fn garble<B: Answer>(&self, how: Garble, call: &Call, answer: Response<B>) -> Response<B> {
        let may_be_another = call.api == Api::Account && call.method == "GET";
        let fits = answer.status().is_success() && (how != Garble::OtherObject || may_be_another);
        let document = answer.body().document().filter(|_| fits);
        let Some(document) = document.and_then(|document| garbled(document, how)) else { return answer };
        self.trace.struck();
        answer.map(|_| B::from(document))
    }
}

/// The time of the wall clock once it is set by so many hours.
fn in_hours(hours: i8) -> Timestamp {
    let now = clock::now();
    now.checked_add(SignedDuration::from_hours(hours.into())).unwrap_or(now)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A response in place of the server's.
fn says<B: From<Vec<u8>>>(what: Says, api: Api) -> Response<B> {
    let (status, content_type, body) = match what {
        Says::Throttled(_) | Says::ThrottledUntil(_) => error(api, 429),
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
    let after = match what {
        Says::Throttled(after) => after.map(HeaderValue::from_static),
        Says::ThrottledUntil(minutes) => HeaderValue::from_str(&date_in(minutes)).ok(),
        _ => None,
    };
    if let Some(after) = after {
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    response
}

/// The date in so many minutes, as HTTP writes it.
fn date_in(minutes: u8) -> String {
    let now = clock::now();
    let time = now.checked_add(SignedDuration::from_mins(minutes.into())).unwrap_or(now);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
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
