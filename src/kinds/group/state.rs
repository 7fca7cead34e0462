//! A group in the account: what of it a spec controls, and what a response shows.

use std::collections::BTreeSet;

use super::members::MemberId;
use super::spec::{Group, GroupFacts};
use crate::apis::{Principals, ShownGroup, is_admin};
use crate::databricks::ScimEntry;
use crate::engine::prelude::*;

/// The groups of the account.
pub(super) const GROUPS: Principals =
    Principals { collection: "Groups", listed: "id,displayName,externalId,roles,meta" };

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct GroupState {
    pub(super) display_name: Option<String>,
    pub(super) members: Option<BTreeSet<MemberId>>,
    pub(super) roles: Option<BTreeSet<String>>,
    pub(super) scim_external_id: Option<String>,
}

impl GroupState {
    /// The ids of the members.
    pub(super) fn member_ids(&self) -> BTreeSet<String> {
        self.members.iter().flatten().map(MemberId::to_string).collect()
    }

    /// Whether its members are administrators of the account.
    pub(super) fn is_admin(&self) -> bool {
        is_admin(self.roles.as_ref())
    }
}

/// `whole` if the response has the members; a row of a LIST has not.
pub(super) fn observed(group: ShownGroup, whole: bool) -> Observed<Group> {
    let phase = if group.is_of_a_workspace() {
        Phase::Failed("it is a group of one workspace, which cannot be managed in the account".into())
    } else {
        Phase::Ready
    };
    let members = ScimEntry::values(group.members);
    let members: Option<BTreeSet<MemberId>> =
        whole.then(|| members.iter().map(|id| MemberId::from(id.as_str())).collect());
    let count = members.as_ref().and_then(|members| i64::try_from(members.len()).ok());
    Observed {
        id: group.principal.id,
        state: GroupState {
            display_name: group.principal.display_name,
            members,
            roles: Some(group.principal.roles),
            scim_external_id: group.principal.scim_external_id,
        },
        facts: GroupFacts { member_count: count },
        about: About { phase, ..About::default() },
    }
}
