//! What happened in a run, in order: each call to either API, and what users did. Two runs are the same if their traces are.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// To whom a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// The Kubernetes API server.
    Cluster,
    /// The Databricks account.
    Account,
}

/// One thing that happened.
#[derive(Clone, Debug, Hash)]
pub enum What {
    /// A call of the operator.
    Call {
        /// Its number, from 1.
        n: usize,
        /// Where it went.
        api: Api,
        /// The method.
        method: String,
        /// Path and query.
        path: String,
        /// The body.
        body: String,
        /// The status of the response, or what came instead; empty until then.
        outcome: String,
    },
    /// Something else, in words.
    Note(String),
}

/// When, and what.
#[derive(Clone, Debug, Hash)]
pub struct Line {
    /// Milliseconds since the start of the run.
    pub at_ms: u64,
    /// What happened.
    pub what: What,
}

/// The lines so far.
#[derive(Default)]
pub struct Trace {
    state: Mutex<State>,
    /// The operator has written a status.
    pub status_written: Notify,
}

#[derive(Default)]
struct State {
    started: Option<Instant>,
    lines: Vec<Line>,
    calls: usize,
    strikes: usize,
    /// Writes that were sent to the API server and to the account.
    writes: [usize; 2],
}

impl Trace {
    /// From here on times count. To be called in the run's runtime.
    pub fn start(&self) {
        self.state().started = Some(Instant::now());
    }

    /// Records what is no call.
    pub fn note(&self, text: impl Into<String>) {
        self.state().push(What::Note(text.into()));
    }

    /// Records a call that is being sent; returns its place and its number.
    pub fn sent(&self, api: Api, method: &str, path: &str, body: &[u8]) -> (usize, usize) {
        let mut state = self.state();
        state.calls += 1;
        if method != "GET" && !path.ends_with("/v1/token") {
            state.writes[api as usize] += 1;
        }
        let (method, path) = (method.to_owned(), path.to_owned());
        let (body, n) = (String::from_utf8_lossy(body).into_owned(), state.calls);
        let place = state.push(What::Call { n, api, method, path, body, outcome: String::new() });
        (place, n)
    }

    /// Records what became of the call at a place.
    pub fn ended(&self, place: usize, with: &str) {
        if let Some(What::Call { outcome, .. }) = self.state().lines.get_mut(place).map(|line| &mut line.what)
        {
            outcome.push_str(with);
        }
    }

    /// How many calls the operator has sent.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Records that a fault has struck.
    pub fn struck(&self) {
        self.state().strikes += 1;
    }

    /// How many faults have struck: one that was planned for a call that was never sent, or cannot happen to it, has not.
    pub fn strikes(&self) -> usize {
        self.state().strikes
    }

    /// How many calls for a change the operator has sent to the API server, and to the account.
    pub fn writes(&self) -> [usize; 2] {
        self.state().writes
    }

    /// All lines.
    pub fn lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// A number that is another one if anything in the trace is.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.state().lines.hash(&mut hasher);
        hasher.finish()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, what: What) -> usize {
        let at_ms = self.started.map_or(0, |started| started.elapsed().as_millis() as u64);
        self.lines.push(Line { at_ms, what });
        self.lines.len() - 1
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.at_ms / 1000, self.at_ms % 1000);
        write!(f, "{seconds:>7}.{ms:03} ")?;
        match &self.what {
            What::Note(text) => write!(f, "     --      {text}"),
            What::Call { n, api, method, path, body, outcome } => {
                let to = if *api == Api::Cluster { "cluster" } else { "account" };
                write!(f, "{n:>5} {to} {method:<6} {path} {outcome}")?;
                if body.is_empty() || path.ends_with("/v1/token") {
                    Ok(())
                } else {
                    write!(f, "\n{:>26}{body}", "")
                }
            }
        }
    }
}
