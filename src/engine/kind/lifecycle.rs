//! Where the objects of a kind are, how they come into being, and what proves that one is ours. Values only.

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the account.
    Account,
    /// In workspaces: the parent of each object is the workspace whose host is called.
    InWorkspace,
}

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
    /// Created by a call that must not be repeated; most often the account chooses the id.
    Object,
    /// Written under a key that we choose: writing twice is harmless, and there is no read of a single one. Its id is
    /// printed as `<within>/<name>` of its key.
    Upsert,
    /// Exists always, or as long as its parent does: never created and never gone, but [`super::Phase::Vacant`] until it is managed.
    /// There is one of its kind under its key, and `list` returns only that one. Its id is printed as its key, without the empty part.
    Standing,
}

impl Lifecycle {
    /// Whether a second write creates no second object. A match, so that the author of a new lifecycle must decide.
    pub fn is_repeatable(self) -> bool {
        match self {
            // What is always there is never created.
            Lifecycle::Object | Lifecycle::Standing => false,
            Lifecycle::Upsert => true,
        }
    }
}
