//! How objects of a kind come into being, and what proves that one is ours. Values only.

/// What proves ownership of an object in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// A mark that the object carries.
    Marker,
    /// The id that we recorded.
    RecordedId,
}

/// How an object is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// Created by a call that must not be repeated; the account chooses the id.
    Object,
    /// Written under a key that we choose: writing twice is harmless, and there is no read of a single one. Its id is
    /// printed as `<within>/<name>` of its key.
    Upsert,
    /// Always there, or as long as its parent is: never created and never gone, but [`super::Phase::Vacant`] until it is managed. It
    /// is one of its kind under its key, and `list` reads it alone. Its id is that of its key, without the empty part.
    Standing,
}

impl Lifecycle {
    /// Whether writing it again creates no second object. Matched, so that a new lifecycle has to decide.
    pub fn is_repeatable(self) -> bool {
        match self {
            // What is always there is never created.
            Lifecycle::Object | Lifecycle::Standing => false,
            Lifecycle::Upsert => true,
        }
    }
}
