//! What was read from the account, and how fresh a reading must be. Values only; [`super::observe`] reads.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::cluster::Held;
use crate::engine::kind::{Explained, Seen};

/// How fresh a reading must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As the resync interval says.
    Routine,
    /// Read now.
    BeforeWrite,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Proven absent; `settled` if that lasted long enough not to be a replica that lags behind.
    Nothing {
        /// Absent twice, long enough apart, or after our own delete was accepted.
        settled: bool,
    },
    /// The bound object, or one that carries our mark.
    Ours(Seen),
    /// An object that matches and is not proven to be ours.
    Foreign(Seen),
    /// Ours is gone, and other users created objects that match it.
    Replaced(Vec<String>),
    /// An object that another Kubernetes object manages; the text names it as far as the reader may know.
    ManagedBy(String),
    /// Objects of other names that carry our mark, and none that matches.
    Renamed(Vec<String>),
    /// Several that match.
    Several(Vec<String>),
    /// A create was interrupted, and its result is not known.
    Interrupted(Interrupted),
}

/// What is known of an interrupted create.
#[derive(Clone, Debug, PartialEq)]
pub enum Interrupted {
    /// The account may not show the result of the create yet: it does so at the latest after this time.
    TooEarly(Duration),
    /// The objects that did not exist before the create.
    Since {
        /// Their ids.
        hits: Vec<String>,
        /// All were created at the time of the create, as far as the account says when they were created. Never of what can hold no mark.
        in_time: bool,
        /// When the create was sent.
        sent: Timestamp,
    },
}

/// Whether objects that refer to an object can use it in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// Nothing certain was read: it stays as it was last seen.
    Unknown,
    /// There is no such object of ours.
    Missing,
    /// It exists.
    Is(bool),
}

/// What was found, with its circumstances.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What was found.
    pub found: Found,
    /// It rests on a shared LIST, so it must be read again before a write.
    pub may_be_stale: bool,
    /// Ids that match and belong to others, for the intent.
    pub before: Vec<String>,
    /// When the shared LIST was read that it rests on, if that is renewed each resync interval.
    pub read_at: Option<Instant>,
    /// The Kubernetes Secret that a secret goes to, if it was read.
    pub output_secret: Option<Held>,
    /// The object of another kind that says more about it, if it was read.
    pub beside: Option<Seen>,
}

impl Reading {
    /// One object of ours, as a response to our own write shows it.
    pub fn from_response(seen: Seen) -> Reading {
        Reading::from(Found::Ours(seen))
    }

    /// Read just now, by itself.
    pub fn from(found: Found) -> Reading {
        Reading {
            found,
            may_be_stale: false,
            before: vec![],
            read_at: None,
            output_secret: None,
            beside: None,
        }
    }

    /// The same, with what the object beside it says.
    pub fn explained(mut self, explained: Option<Explained>) -> Reading {
        if let (Some(Explained { field, add, .. }), Some(beside)) = (explained, &self.beside)
            && let Found::Ours(seen) | Found::Foreign(seen) = &mut self.found
            && seen.state[field] == *beside.id
        {
            add(&mut seen.about, beside);
        }
        self
    }

    /// The one object that was found.
    pub fn seen(&self) -> Option<&Seen> {
        match &self.found {
            Found::Ours(seen) | Found::Foreign(seen) => Some(seen),
            _ => None,
        }
    }
}
