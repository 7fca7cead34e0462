//! What the engine itself reads of an object of the account, whatever its kind. Values only.

use serde_json::{Map, Value};

/// What the engine itself reads of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Whether it is usable.
    pub phase: Phase,
    /// Its state in Databricks' words, for the STATUS column.
    pub state: Option<String>,
    /// The mark of its owner, where the API can hold one.
    pub owner: Option<String>,
    /// When it was created, in seconds since 1970, if the API returns it.
    pub created: Option<i64>,
    /// The version that was read, where a write must name it. A write that names another one is refused, see [`super::stale`].
    pub etag: Option<String>,
    /// What a user has to know of an object that is usable and matches its spec, such as that it has no effect, and what to write.
    pub remark: Option<String>,
}

/// What all objects of a kind under one parent share, such as whether the account heeds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// Facts that are shown on each of them.
    pub facts: Map<String, Value>,
    /// What a user has to know of each of them, see [`About`].
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
