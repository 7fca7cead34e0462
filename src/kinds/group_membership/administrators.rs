//! Who may become an administrator of the account by a membership, and that the operator stays one. What a group of groups gives is known to
//! [`crate::apis`].

use futures::FutureExt;
use futures::future::BoxFuture;

use super::spec::GroupMembership;
use super::state::{GroupMembershipState, path};
use crate::apis::{GroupChange, RoleChange, ShownGroup};
use crate::databricks::ScimEntry;
use crate::engine::prelude::*;

/// Refuses a group that the spec does not allow, and to take the role of an account administrator from the operator.
pub(super) fn allow<'a>(
    act: &'a Act<'a, GroupMembership>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let Some(state) = act.want.or(act.seen.map(|seen| &seen.state)) else { return Ok(()) };
        let id = state.group_id.to_string();
        let found: Option<ShownGroup> = api.get(path(api, state.group_id)).await.optional()?;
        let Some(group) = found else { return Ok(()) };
        if act.want.is_some() {
            return admits(api, &group, &id, state).await;
        }
        let admin = group.is_admin();
        let before = ScimEntry::values(group.members);
        let mut stays = before.clone();
        stays.remove(&state.principal_id.to_string());
        let change = GroupChange { group: &id, before, stays, adds: false, admin: (admin, admin) };
        match change.of_the_role(api, auth.principal_id.as_ref()).await? {
            RoleChange::Takes => Err(locked_out(auth)),
            RoleChange::Gives | RoleChange::Neither => Ok(()),
        }
    }
    .boxed()
}

/// Refuses a group whose members are administrators of the account, unless the spec allows that.
async fn admits(api: &Reader, group: &ShownGroup, id: &str, want: &GroupMembershipState) -> Result<()> {
    let refused = |text: String| Err(Error::terminal(Reason::InvalidSpec, text));
    if group.is_of_a_workspace() {
        return refused(format!(
            "the group {id} is a group of one workspace, which cannot be managed in the account: correct spec.group"
        ));
    }
    if want.account_admin == Some(true) {
        return Ok(());
    }
    let adds = GroupChange { group: id, adds: true, ..GroupChange::default() };
    let has = if group.is_admin() {
        "has the role account_admin"
    } else if adds.of_the_role(api, None).await? == RoleChange::Gives {
        "is in a group that has the role account_admin"
    } else {
        return Ok(());
    };
    refused(format!(
        "the group {id} {has}, so the member would be an administrator of the account: set spec.accountAdmin to true to allow that, \
         which needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth, or correct spec.group"
    ))
}

fn locked_out(auth: &AuthFacts) -> Error {
    Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this would take the role account_admin from the operator, which may have it through this membership, directly or \
             through groups (it is service principal {}): first add what replaces this membership to the group, or to delete \
             this object, set spec.deletionPolicy to Retain",
            auth.client_id
        ),
    )
}
