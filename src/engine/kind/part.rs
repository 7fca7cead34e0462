//! Parts of objects in the account that objects of several kinds can manage: the members of a group are in a Group, and one by one in
//! GroupMemberships. Values only.

/// The parts of a desired state of an object with this id, which decides if the state means another one. A create may have none yet.
pub type Parts<State, Id> = fn(&State, Option<&Id>) -> Vec<Part>;

/// A part of an object in the account. It is the same part if the text is the same, whatever the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is, with the id of the object that it is a part of: `the members of the group 7`.
    pub what: String,
    /// Whether several objects manage it together, if all of them share it: each only its own share.
    pub shared: bool,
    /// What to write if another object manages it.
    pub remedy: &'static str,
}
