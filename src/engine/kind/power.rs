//! What a desired state would do that a grant may limit. Values only.

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
