//! The guard of Group: the operator stays an administrator of the account, if it is one through groups.
//!
//! [`GroupChange`] says what a role reaches. Here: what a change of a spec removes, and what to write.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::spec::Group;
use super::state::{GROUPS, GroupState, observed};
use crate::apis::GroupChange;
use crate::engine::prelude::*;

/// Refuses to take the role of an account administrator from the operator, if it has that through this group.
pub(super) fn keep_the_operator_in<'a>(
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
        match change.takes_admin(api, auth.principal_id.as_ref()).await? {
            true => Err(refused(auth)),
            false => Ok(()),
        }
    }
    .boxed()
}

fn change<'a>(group: &'a str, seen: &GroupState, want: Option<&GroupState>) -> GroupChange<'a> {
    let before = seen.member_ids();
    let stays = match want {
        None => BTreeSet::new(),
        Some(want) if want.members.is_none() => before.clone(),
        Some(want) => &before & &want.member_ids(),
    };
    let keeps = want.is_some_and(|want| want.roles.is_none() || want.is_admin());
    GroupChange { group, before, stays, admin: (seen.is_admin(), seen.is_admin() && keeps) }
}

fn refused(auth: &AuthFacts) -> Error {
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
