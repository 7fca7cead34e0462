//! Parts of objects in the account that several kinds manage: what each is called, which must be the same for all of them. Not here: what
//! to write if two objects are in conflict, which each kind knows.

use std::fmt::Display;

use crate::engine::kind::Part;

/// The members of a group, or with `shared` one of them.
pub fn members_of(group: impl Display, shared: bool, remedy: &'static str) -> Part {
    Part { what: format!("the members of the group {group}"), shared, remedy }
}

/// The network connectivity configuration of a workspace, of which it has one or none.
pub fn network_connectivity_of(workspace: impl Display, remedy: &'static str) -> Part {
    let what = format!("the network connectivity configuration of the workspace {workspace}");
    Part { what, shared: false, remedy }
}
