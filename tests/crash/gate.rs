//! What stands between an operator and the world: a reverse proxy in front of the API server, and one in front of the
//! account. They know each call that can be a point of a crash, stop everything when the chosen one has come, and check
//! what has to hold at every moment.
//!
//! The simulator could hold calls by itself. One mechanism for both sides is less to understand, and puts the calls of
//! both into one order.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use databricks_operator::engine::crd::FINALIZER;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::outside::Outside;

/// A call at which the operator can be killed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// The part of the object's life.
    pub phase: &'static str,
    /// Side, method and path without what differs between lives, and the how manieth of its like in the phase.
    pub call: String,
}

/// A point, and on which side of the call's effect the operator dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    pub point: Point,
    /// The call has its effect, and its answer is lost. Else it is never carried out; a write to the API server arrives
    /// there when it is too late.
    pub after: bool,
    /// The spec is changed before the operator is there again.
    pub edited: bool,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.after { "after" } else { "before" };
        let then = if self.edited { ", then the spec is changed" } else { "" };
        write!(f, "{}: {when} {}{then}", self.point.phase, self.point.call)
    }
}

/// What the gates of one life share.
pub struct Ledger {
    outside: Arc<Outside>,
    namespace: String,
    kill: Option<Kill>,
    state: Mutex<Moment>,
}

struct Moment {
    /// None as long as there is no object.
    phase: Option<&'static str>,
    counts: HashMap<String, u32>,
    last: String,
    last_at: Instant,
    points: Vec<Point>,
    /// The call of the kill has come, and nothing passes any more.
    frozen: bool,
    /// It has had its effect, if it is to have one.
    struck: bool,
    /// The write that the operator was killed at, on its way to the API server.
    late: Option<(Arc<Gate>, request::Parts, Bytes)>,
    wrong: Vec<String>,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Passes,
    DiesBefore,
    DiesAfter,
    Frozen,
}

impl Ledger {
    pub fn new(outside: &Arc<Outside>, namespace: &str, kill: Option<Kill>) -> Arc<Ledger> {
        let state = Moment {
            phase: None,
            counts: HashMap::new(),
            last: String::new(),
            last_at: Instant::now(),
            points: vec![],
            frozen: false,
            struck: false,
            late: None,
            wrong: vec![],
        };
        let (state, namespace) = (Mutex::new(state), namespace.to_owned());
        Arc::new(Ledger { outside: outside.clone(), namespace, kill, state })
    }

    fn state(&self) -> MutexGuard<'_, Moment> {
        self.state.lock().unwrap()
    }

    /// Begins a part of the life.
    pub fn begin(&self, phase: &'static str) {
        let mut state = self.state();
        state.phase = Some(phase);
        state.counts.clear();
        state.last.clear();
    }

    /// The call of the kill has come: the operator can be killed, and nothing passes until [`Ledger::thaw`].
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// Lets calls pass again: who made the stopped ones is dead.
    pub fn thaw(&self) {
        self.state().frozen = false;
    }

    /// Lets a write of the dead operator arrive after all, and tells what became of it.
    pub async fn deliver(&self) -> Option<StatusCode> {
        let (gate, parts, body) = self.state().late.take()?;
        Some(gate.forward(parts, body).await.status())
    }

    /// The points that the life came to, in order.
    pub fn points(&self) -> Vec<Point> {
        self.state().points.clone()
    }

    /// Since when there was no call that counts.
    pub fn last_at(&self) -> Instant {
        self.state().last_at
    }

    /// What was seen that must never be.
    pub fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    /// The points of a phase, of those given, that the life has not come to.
    pub fn missing<'a>(&self, points: &'a [Point], phase: &str) -> Vec<&'a Point> {
        let state = self.state();
        let come: HashSet<&Point> = state.points.iter().collect();
        points.iter().filter(|p| p.phase == phase && !come.contains(p)).collect()
    }

    fn arrive(&self, side: &Side, method: &Method, path: &str) -> Fate {
        let state = &mut *self.state();
        if state.frozen {
            return Fate::Frozen;
        }
        let Some(phase) = state.phase.filter(|_| side.counts(method, path)) else { return Fate::Passes };
        state.last_at = Instant::now();
        let call = format!("{side} {method} {}", self.pattern(path));
        // A read that repeats the one just before it is waiting for something, as often as that takes.
        if *method == Method::GET && state.last == call {
            return Fate::Passes;
        }
        let count = state.counts.entry(call.clone()).or_default();
        *count += 1;
        let point = Point { phase, call: format!("{call} #{count}") };
        state.last = call;
        state.points.push(point.clone());
        let Some(kill) = self.kill.as_ref().filter(|kill| kill.point == point) else { return Fate::Passes };
        state.frozen = true;
        if kill.after { Fate::DiesAfter } else { Fate::DiesBefore }
    }

    /// The path without what differs from life to life.
    fn pattern(&self, path: &str) -> String {
        let differs = |part: &str| {
            part == self.namespace || part.parse::<u64>().is_ok() || uuid::Uuid::parse_str(part).is_ok()
        };
        path.split('/').map(|part| if differs(part) { "*" } else { part }).collect::<Vec<_>>().join("/")
    }

    /// The finalizer may go only once nothing is left in the account.
    async fn check_release(&self, side: &Side, body: &[u8]) {
        if self.state().phase.is_none() || !matches!(side, Side::Cluster { .. }) || !releases(body) {
            return;
        }
        let there = self.outside.managed().await;
        if !self.outside.removable() || there.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
        self.state().wrong.push(format!("the finalizer is removed while there are {there:?} in the account"));
    }

    /// At no moment are there two; and at each one the secret that users find is valid, if the kind has one.
    async fn check_number(&self) {
        if self.state().phase.is_none() {
            return;
        }
        // With the object its secret goes, and the cluster deletes the Kubernetes Secret a moment later.
        let lives = self.state().phase != Some("delete");
        if let (true, Err(wrong)) = (lives, self.outside.held().await) {
            let last = self.state().last.clone();
            self.state().wrong.push(format!("after {last}: {wrong}"));
        }
        let there = self.outside.objects().await;
        if there.as_ref().is_ok_and(|there| there.len() <= self.outside.most()) {
            return;
        }
        self.state().wrong.push(format!("not one object at a time: {there:?}"));
    }
}

/// Whether a write takes the operator's finalizer away.
fn releases(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let left = body["metadata"]["finalizers"].as_array();
    left.is_some_and(|left| !left.iter().any(|finalizer| finalizer == FINALIZER))
}

/// What a gate stands in front of.
pub enum Side {
    Account,
    /// The API server, with the admin's token.
    Cluster {
        token: String,
    },
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Side::Account) { "account" } else { "cluster" })
    }
}

impl Side {
    /// Every call to the account can be a point, and every write to the API server. But signing in is part of no object's
    /// life and changes nothing, events only tell what is done, and leases go by the clock.
    fn counts(&self, method: &Method, path: &str) -> bool {
        match self {
            Side::Account => path.starts_with("/api/"),
            Side::Cluster { .. } => {
                *method != Method::GET && !path.contains("/events") && !path.contains("/leases")
            }
        }
    }
}

struct Gate {
    ledger: Arc<Ledger>,
    side: Side,
    behind: String,
    client: reqwest::Client,
}

/// Opens a gate in front of `behind`, an origin, for as long as the tasks live; returns its own origin.
pub async fn open(
    ledger: &Arc<Ledger>,
    side: Side,
    behind: &str,
    client: reqwest::Client,
    tasks: &mut JoinSet<std::io::Result<()>>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let gate = Arc::new(Gate { ledger: ledger.clone(), side, behind: behind.to_owned(), client });
    let router = axum::Router::new().fallback(pass).with_state(gate);
    tasks.spawn(async move { axum::serve(listener, router).await });
    origin
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 4 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    gate.ledger.check_release(&gate.side, &body).await;
    let fate = gate.ledger.arrive(&gate.side, &parts.method, parts.uri.path());
    if fate == Fate::DiesBefore && matches!(gate.side, Side::Cluster { .. }) {
        gate.ledger.state().late = Some((gate.clone(), parts, body));
        return gate.never(fate).await;
    }
    if matches!(fate, Fate::DiesBefore | Fate::Frozen) {
        return gate.never(fate).await;
    }
    let answer = gate.forward(parts, body).await;
    gate.ledger.check_number().await;
    if fate == Fate::DiesAfter {
        return gate.never(fate).await;
    }
    answer
}

impl Gate {
    /// Waits for the end of whoever made the call: its connection takes this with it.
    async fn never(&self, fate: Fate) -> Response {
        if fate != Fate::Frozen {
            self.ledger.state().struck = true;
        }
        std::future::pending().await
    }

    async fn forward(&self, parts: request::Parts, body: Bytes) -> Response {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut call = self.client.request(parts.method, format!("{}{path}", self.behind)).body(body);
        // The account knows by it which workspace is called.
        let host = parts.headers.get(header::HOST).cloned().filter(|_| matches!(self.side, Side::Account));
        call = call.headers(passed_on(parts.headers));
        if let Some(host) = host {
            call = call.header(header::HOST, host);
        }
        if let Side::Cluster { token } = &self.side {
            call = call.bearer_auth(token);
        }
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        };
        let (status, headers) = (answer.status(), passed_on(answer.headers().clone()));
        // Chunk by chunk: a watch never ends.
        let chunks = futures::stream::try_unfold(answer, async |mut answer| {
            Ok::<_, reqwest::Error>(answer.chunk().await?.map(|chunk| (chunk, answer)))
        });
        (status, headers, Body::from_stream(chunks)).into_response()
    }
}

/// Without what is about one connection only.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    let own = [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
    for name in own.into_iter().chain([header::ACCEPT_ENCODING]) {
        headers.remove(name);
    }
    headers
}
