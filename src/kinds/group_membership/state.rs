//! The members of a group in the account, each as a membership: what of it a spec controls, and what a response shows.

use super::spec::GroupMembership;
use crate::apis::ShownGroup;
use crate::databricks::ScimEntry;
use crate::engine::prelude::*;

/// What a spec controls: the group and the member, which name the membership.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct GroupMembershipState {
    pub(super) group_id: i64,
    pub(super) principal_id: i64,
    /// In a spec, a permission. In the account, whether the group has the role.
    pub(super) account_admin: Option<bool>,
    /// In a spec, that it has the id of the member: what a reference or a name means is known to exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) has_id: Option<bool>,
}

/// A membership for each member. No spec can mean one whose id is no number.
pub(super) fn memberships(group: ShownGroup, group_id: i64) -> Vec<Observed<GroupMembership>> {
    let account_admin = group.is_admin().then_some(true);
    let ids = ScimEntry::values(group.members);
    let ids = ids.iter().filter_map(|id| id.parse::<Int64>().ok());
    let membership = |Int64(principal_id)| Observed {
        id: Inside { within: group_id, own: principal_id },
        state: GroupMembershipState { group_id, principal_id, account_admin, has_id: None },
        facts: NoFacts {},
        about: About::default(),
    };
    ids.map(membership).collect()
}

/// Where a group is.
pub(super) fn path(api: &Reader, group: i64) -> Path {
    api.path(&["scim", "v2", "Groups", &group.to_string()])
}
