//! What was read from the account, and how fresh a reading has to be. Values only; [`super::observe`] reads.

use super::decide::Found;
use crate::engine::kind::{Change, Seen};

/// How fresh a reading has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As the resync interval says.
    Routine,
    /// Read now.
    BeforeWrite,
}

/// What was found, with what belongs to it.
#[derive(Clone, Debug)]
pub struct Look {
    pub what: What,
    /// It rests on a shared LIST, so that it has to be read again before a write.
    pub may_be_stale: bool,
    /// Ids that match and are somebody else's, for the intent.
    pub before: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum What {
    Nothing { settled: bool },
    Replaced(Vec<String>),
    Ours(Seen),
    Stranger(Seen),
    Held(String),
    Several(Vec<String>),
}

impl Look {
    /// Nothing was looked at.
    pub fn unknown() -> Look {
        Look::from(What::Nothing { settled: false })
    }

    /// One object of ours, as an answer to our own write told.
    pub fn told(seen: Seen) -> Look {
        Look::from(What::Ours(seen))
    }

    pub fn from(what: What) -> Look {
        Look { what, may_be_stale: false, before: vec![] }
    }

    /// In the words of a decision.
    pub fn found<'a>(&'a self, changes: &'a [Change]) -> Found<'a> {
        match &self.what {
            What::Nothing { settled } => Found::Nothing { settled: *settled },
            What::Replaced(ids) => Found::Replaced(ids.clone()),
            What::Ours(seen) => Found::Ours(seen, changes),
            What::Stranger(seen) => Found::Stranger(seen),
            What::Held(by) => Found::Held(by.clone()),
            What::Several(ids) => Found::Several(ids.clone()),
        }
    }

    /// The one object that was found.
    pub fn seen(&self) -> Option<&Seen> {
        match &self.what {
            What::Ours(seen) | What::Stranger(seen) => Some(seen),
            _ => None,
        }
    }
}
