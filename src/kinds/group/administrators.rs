//! The guard of Group: who may become an administrator of the account through groups, and that the operator stays one.
//!
//! [`GroupChange`] says what a role reaches. Here: what a change of a spec removes and adds, and what to write.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::spec::Group;
use super::state::{GROUPS, GroupState, observed};
use crate::apis::{GroupChange, RoleChange};
use crate::engine::prelude::*;

/// Refuses to take the role of an account administrator from the operator, if it has that through this group, and to add members to a
/// group in a group that has the role, unless the spec allows that.
pub(super) fn keep_administrators<'a>(
    act: &'a Act<'a, Group>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let Some(seen) = act.seen else { return Ok(()) };
        let change = match &seen.state.members {
            Some(_) => change(&seen.id, &seen.state, act.want),
            None => match GROUPS.get(api, &seen.id).await? {
                Some(read) => change(&seen.id, &observed(read, true).state, act.want),
                None => return Ok(()),
            },
        };
        match change.of_the_role(api, auth.principal_id.as_ref()).await? {
            RoleChange::Takes => Err(locked_out(auth)),
            RoleChange::Gives => Err(not_allowed()),
            RoleChange::Neither => Ok(()),
        }
    }
    .boxed()
}

fn change<'a>(group: &'a str, seen: &GroupState, want: Option<&GroupState>) -> GroupChange<'a> {
    let before = seen.member_ids();
    let after = match want {
        None => BTreeSet::new(),
        Some(want) if want.members.is_none() => before.clone(),
        Some(want) => want.member_ids(),
    };
    // With any of these, a grant allows the object to give the role.
    let allowed = seen.is_admin() || want.is_some_and(GroupState::gives_admin);
    let adds = !allowed && !after.is_subset(&before);
    let keeps = want.is_some_and(|want| want.roles.is_none() || want.is_admin());
    let admin = (seen.is_admin(), seen.is_admin() && keeps);
    GroupChange { group, stays: &before & &after, before, adds, admin }
}

fn not_allowed() -> Error {
    Error::terminal(
        Reason::InvalidSpec,
        "the group is in a group that has the role account_admin, so the members that this would add would be administrators of the \
         account: set spec.accountAdmin to true to allow that, which needs a grant with maxPermission ACCOUNT_ADMIN in the \
         DatabricksAuth, or remove them from spec.members",
    )
}

fn locked_out(auth: &AuthFacts) -> Error {
    Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this would take the role account_admin from the operator, which may have it through this group, directly or through \
             groups in it (it is service principal {}): keep the members that lead to it in spec.members, and the role in \
             spec.roles, or first add what replaces them, in a change before this one; to delete this object, set \
             spec.deletionPolicy to Retain",
            auth.client_id
        ),
    )
}
