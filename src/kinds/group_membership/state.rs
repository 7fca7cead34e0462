//! The members of a group in the account, each as a membership: what of it a spec controls, and what a response shows.

use super::spec::GroupMembership;
use crate::apis::{Principal, is_admin};
use crate::databricks::ScimEntry;
use crate::engine::prelude::*;

/// What a spec controls: the group and the member, which name the membership.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct GroupMembershipState {
    pub(super) group_id: i64,
    pub(super) principal_id: i64,
    /// In a spec, a permission. In the account, whether the group has the role.
    pub(super) account_admin: Option<bool>,
}

/// A group, as a response shows it.
#[derive(Deserialize)]
pub(super) struct Remote {
    #[serde(flatten)]
    group: Principal,
    pub(super) members: Option<Vec<ScimEntry>>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_type: Option<String>,
}

impl Remote {
    /// Whether its members are administrators of the account by its own roles.
    pub(super) fn is_admin(&self) -> bool {
        is_admin(Some(&self.group.roles))
    }

    /// A group of one workspace, which the account shows and does not manage.
    pub(super) fn is_of_a_workspace(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.resource_type.as_deref() == Some("WorkspaceGroup"))
    }

    /// A membership for each member. No spec can mean one whose id is no number.
    pub(super) fn memberships(self, group_id: i64) -> Vec<Observed<GroupMembership>> {
        let account_admin = self.is_admin().then_some(true);
        let ids = ScimEntry::values(self.members);
        let ids = ids.iter().filter_map(|id| id.parse::<Int64>().ok());
        let membership = |Int64(principal_id)| Observed {
            id: Inside { within: group_id, own: principal_id },
            state: GroupMembershipState { group_id, principal_id, account_admin },
            facts: NoFacts {},
            about: About::default(),
        };
        ids.map(membership).collect()
    }
}

/// Where a group is.
pub(super) fn path(api: &Reader, group: i64) -> Path {
    api.path(&["scim", "v2", "Groups", &group.to_string()])
}
