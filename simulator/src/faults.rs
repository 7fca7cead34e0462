//! Faults: what goes wrong with which call, and the calls that are being held.
//!
//! This file only decides and remembers; `server` does the waiting, dropping and truncating.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::wire::{Content, Reply};

/// On which side of the call's effect a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Ahead of the effect. With `status`, `body` or `drop` the effect never happens; with only a delay or a hold it
    /// happens afterwards.
    #[default]
    Before,
    /// The effect happens, then the response is changed, delayed, held or lost.
    After,
}

/// A fault. Calls are matched in the order in which the faults were set; the first that strikes is the only one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// How the journal calls it; `fault-<id>` if not given.
    pub name: Option<String>,
    /// Only calls with this method.
    pub method: Option<String>,
    /// Only calls to this path, where `*` stands for any run of characters; empty: every path.
    pub path: String,
    /// Only the nth matching call, counted from 1.
    pub nth: Option<u32>,
    /// Strikes at most this often.
    pub times: Option<u32>,
    /// Before or after the effect.
    pub when: When,
    /// Answers with this status.
    pub status: Option<u16>,
    /// Answers with this body: a string word for word, anything else as JSON. Without `status`, a fault before the
    /// effect returns 200.
    pub body: Option<Value>,
    /// The `Content-Type` of the response.
    pub content_type: Option<String>,
    /// Headers added to the response.
    pub headers: BTreeMap<String, String>,
    /// Waits this long (real time) before the effect, or before the response.
    pub delay_ms: u64,
    /// Closes the connection without a response.
    pub drop: bool,
    /// Waits until released before the effect, or before the response.
    pub hold: bool,
    /// Sends this many bytes of the body, of the length that was announced, and closes the connection.
    pub truncate_bytes: Option<usize>,
    /// Sends the body one byte at a time, this far apart (real time).
    pub slow_ms_per_byte: Option<u64>,
}

/// A call that is being held.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// The call's number in the journal.
    pub n: u64,
    /// The fault that holds it.
    pub fault_id: u64,
    /// HTTP method.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// Before or after the effect.
    pub when: When,
}

impl Fault {
    /// Whether the fault responds in place of the API.
    pub(crate) fn replaces(&self) -> bool {
        self.when == When::Before && (self.status.is_some() || self.body.is_some() || self.drop)
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && (self.path.is_empty() || glob(&self.path, path))
    }

    /// Changes the reply as the fault requires.
    pub(crate) fn disguise(&self, reply: &mut Reply) {
        reply.status = self.status.unwrap_or(reply.status);
        match &self.body {
            Some(Value::String(text)) => {
                reply.content = Content::Text(text.clone());
                reply.content_type = "text/plain".to_owned();
            }
            Some(value) => {
                reply.content = Content::Json(value.clone());
                reply.content_type = "application/json".to_owned();
            }
            None => {}
        }
        if let Some(content_type) = &self.content_type {
            reply.content_type.clone_from(content_type);
        }
        reply.headers.extend(self.headers.clone());
    }
}

struct Armed {
    id: u64,
    fault: Fault,
    matched: u32,
    struck: u32,
}

#[derive(Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    count: u64,
    held: BTreeMap<u64, (Held, oneshot::Sender<()>)>,
}

impl Faults {
    pub fn arm(&mut self, fault: Fault) -> u64 {
        self.count += 1;
        self.armed.push(Armed { id: self.count, fault, matched: 0, struck: 0 });
        self.count
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    pub fn list(&self) -> Vec<(u64, &Fault, u32)> {
        self.armed.iter().map(|armed| (armed.id, &armed.fault, armed.struck)).collect()
    }

    /// The fault that strikes this call; every fault that matches it has counted it.
    pub fn hit(&mut self, method: &str, path: &str) -> Option<(u64, Fault)> {
        let mut striking = None;
        for armed in self.armed.iter_mut().filter(|armed| armed.fault.matches(method, path)) {
            armed.matched += 1;
            let due = armed.fault.nth.is_none_or(|nth| nth == armed.matched);
            let left = armed.fault.times.is_none_or(|times| armed.struck < times);
            if striking.is_none() && due && left {
                armed.struck += 1;
                striking = Some((armed.id, armed.fault.clone()));
            }
        }
        striking
    }

    /// Registers a held call; it may continue when the receiver resolves.
    pub fn hold(&mut self, held: Held) -> oneshot::Receiver<()> {
        let (release, released) = oneshot::channel();
        self.held.insert(held.n, (held, release));
        released
    }

    pub fn held(&self) -> Vec<Held> {
        self.held.values().map(|(held, _)| held.clone()).collect()
    }

    /// Releases call `n`, or all; returns how many.
    pub fn release(&mut self, n: Option<u64>) -> usize {
        let all = std::mem::take(&mut self.held);
        let (free, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(number, _)| n.is_none_or(|n| n == *number));
        self.held = kept;
        let count = free.len();
        for (_, (_, release)) in free {
            // The call is gone if the simulator is being stopped: then nothing waits any more.
            let _ = release.send(());
        }
        count
    }
}

/// Whether the text fits a pattern in which `*` stands for any run of characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && glob(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, fits) in [
            ("/a/*", "/a/b/c", true),
            ("*/workspaces", "/api/workspaces", true),
            ("*/workspaces", "/api/workspaces/1", false),
            ("*/ws/*/x", "/ws/1/2/x", true),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} on {text}");
        }
    }
}
