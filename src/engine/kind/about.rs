//! What the engine itself reads of an object of the account, whatever its kind. Values only.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use crate::engine::error::Error;

/// What the engine itself reads of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Whether it is usable.
    pub phase: Phase,
    /// Its state in Databricks' words, for the STATUS column.
    pub state: Option<String>,
    /// The mark of its owner, where the API can hold one.
    pub owner: Option<String>,
    /// The API can hold no mark on it, although it can on other objects of the kind: the recorded id alone proves ownership, and
    /// nothing proves that it is the result of a create whose response was lost.
    pub unmarkable: bool,
    /// When it was created, in seconds since 1970, if the API returns it. If an object has neither this nor a mark and is found long
    /// after an interrupted create, a person must decide about it.
    pub created: Option<i64>,
    /// When it ends by itself, in seconds since 1970, if it does.
    pub expires: Option<i64>,
    /// The version that was read, where a write must name it. A write that names another one is refused, see [`super::stale`].
    pub etag: Option<String>,
    /// A message for the user about an object that is usable and matches its spec, such as that it has no effect, with what to write.
    pub remark: Option<String>,
    /// Only in the response to an update: why the account carried out a part of it or nothing. The rest of this value is what the
    /// account has now.
    pub refused: Option<Error>,
}

/// Seconds since 1970 of a time as the newer APIs write it, RFC 3339.
pub fn seconds_of(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// What all objects of a kind under one parent share, such as whether the account applies them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// Facts that are shown on each of them.
    pub facts: Map<String, Value>,
    /// A message for the user about each of them, see [`About`].
    pub remark: Option<String>,
}

/// Whether an object is usable.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// Usable.
    #[default]
    Ready,
    /// In the state that it has in an account where nothing manages it, such as a setting that was never set: as good as
    /// missing. It is managed by changing it, and deleted by putting it back.
    Vacant,
    /// Being created or changed; the text says how far.
    Pending(String),
    /// A person has to act outside of Databricks, and may take days; the text says what to do and where. It may be changed
    /// meanwhile.
    Awaiting(String),
    /// Being deleted; a repeated request would be of no use.
    Leaving(String),
    /// It failed; the text says why. What to do about it depends on the policies, so the engine adds that.
    Failed(String),
}
