//! What a desired state would do that a grant may limit. Values only.

use std::fmt::Display;

/// What a grant may limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Power {
    /// The workspace that is touched, if it is one.
    pub workspace_id: Option<String>,
    /// Whether the highest permission in a workspace, ADMIN, is given.
    pub admin: bool,
    /// Whether the role of an administrator of the account is given.
    pub account_admin: bool,
    /// Whether access is removed that other users gave.
    pub removes_access: bool,
}

impl Power {
    /// That of what touches a workspace, and gives and removes no access.
    pub fn in_workspace(id: impl Display) -> Power {
        Power { workspace_id: Some(id.to_string()), ..Power::default() }
    }
}
