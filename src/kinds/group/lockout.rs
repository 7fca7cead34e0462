//! The guard of Group: the operator stays an administrator of the account, if it is one through groups.
//!
//! A role of a group counts for its members, for the members of groups in it, and so on. So a group may matter that has no role and
//! does not name the operator. A LIST shows which groups there are and their roles, and not their members: the groups between a
//! role and the operator are read one by one, not more than [`MOST_READS`] of them. Only a change that takes something away is
//! checked, and only what stays in any case counts: what a change adds may be refused. So each group on the way is kept for itself,
//! whatever is changed in another one at the same time.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::spec::Group;
use super::state::{GROUPS, GroupState, Remote};
use crate::apis::{Principal, Principals, is_admin};
use crate::engine::prelude::*;

/// Groups that are read to check one change. Databricks allows ten layers of groups in groups.
const MOST_READS: usize = 50;

/// Groups by their roles.
const ROLES: Principals = Principals { listed: "id,roles", ..GROUPS };

/// Refuses to take the role of an account administrator from the operator, if it has that through this group.
pub(super) fn keep_the_operator_in<'a>(
    act: &'a Act<'a, Group>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let Some(seen) = act.seen else { return Ok(()) };
        let change = match &seen.state.members {
            Some(_) => Change::of(&seen.state, act.want),
            None => match GROUPS.get::<Remote>(api, &seen.id).await? {
                Some(read) => Change::of(&read.observed(true).state, act.want),
                None => return Ok(()),
            },
        };
        if change.takes_nothing_away() {
            return Ok(());
        }
        let mut account = Account::read(api, &seen.id).await?;
        match change.loses_admin(&mut account, auth.principal_id.as_ref()).await? {
            true => Err(refused(auth)),
            false => Ok(()),
        }
    }
    .boxed()
}

fn refused(auth: &AuthFacts) -> Error {
    Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this would take the role account_admin from the operator, which may have it through this group, directly or through \
             groups in it (it is service principal {}): keep it in spec.members and keep the role in spec.roles; what is to \
             replace it must be in the group before; or to delete this object, set spec.deletionPolicy to Retain",
            auth.client_id
        ),
    )
}

/// A change of a group, by what the group has before and what of that stays in any case.
struct Change {
    before: BTreeSet<String>,
    stays: BTreeSet<String>,
    /// It has the role itself, and keeps it.
    admin: (bool, bool),
}

impl Change {
    fn of(seen: &GroupState, want: Option<&GroupState>) -> Change {
        let before = seen.member_ids();
        let stays = match want {
            None => BTreeSet::new(),
            Some(want) if want.members.is_none() => before.clone(),
            Some(want) => &before & &want.member_ids(),
        };
        let keeps = want.is_some_and(|want| want.roles.is_none() || want.is_admin());
        Change { before, stays, admin: (seen.is_admin(), seen.is_admin() && keeps) }
    }

    fn takes_nothing_away(&self) -> bool {
        self.before.is_empty() || (self.before == self.stays && self.admin.0 == self.admin.1)
    }

    /// Whether `own` has the role through this group before the change, and not after it. Which principal the operator is may be
    /// unknown: then it may be any member.
    async fn loses_admin(&self, account: &mut Account<'_>, own: Option<&String>) -> Result<bool> {
        if !self.admin.0 && account.admins.is_empty() {
            return Ok(false);
        }
        let (is_in, stays_in) = match own {
            None => (true, self.before == self.stays),
            Some(own) if self.stays.contains(own) => (true, true),
            Some(own) => match account.finds(&self.before, own).await? {
                false => (false, false),
                true => (true, account.finds(&self.stays, own).await?),
            },
        };
        if !is_in || (stays_in && self.admin.1) {
            return Ok(false);
        }
        // The group may be in one that has the role.
        let inside = account.is_inside_of_admins().await?;
        Ok((self.admin.0 || inside) && !(stays_in && (self.admin.1 || inside)))
    }
}

/// The groups of the account around the one that is changed.
struct Account<'a> {
    api: &'a Reader,
    /// The group that is changed.
    changed: &'a str,
    /// All groups.
    groups: BTreeSet<String>,
    /// The other groups that have the role.
    admins: BTreeSet<String>,
    /// The members of those that were read.
    read: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Account<'a> {
    async fn read(api: &'a Reader, changed: &'a str) -> Result<Account<'a>> {
        let all: Vec<Principal> = ROLES.list(api).await?;
        let admins = all.iter().filter(|group| group.id != changed && is_admin(Some(&group.roles)));
        let admins = admins.map(|group| group.id.clone()).collect();
        let groups = all.into_iter().map(|group| group.id).collect();
        Ok(Account { api, changed, groups, admins, read: BTreeMap::new() })
    }

    /// Whether the group that is changed is in another one that has the role, or in a group in that.
    async fn is_inside_of_admins(&mut self) -> Result<bool> {
        let (admins, changed) = (self.admins.clone(), self.changed);
        self.finds(&admins, changed).await
    }

    /// Whether a principal is among these, or in a group among these, or in a group in that.
    async fn finds(&mut self, among: &BTreeSet<String>, principal: &str) -> Result<bool> {
        let (mut open, mut known) = (vec![among.clone()], BTreeSet::from([self.changed.to_owned()]));
        while let Some(members) = open.pop() {
            if members.contains(principal) {
                return Ok(true);
            }
            let inner: Vec<String> = members.intersection(&self.groups).cloned().collect();
            for group in inner {
                if known.insert(group.clone()) {
                    open.push(self.members(&group).await?);
                }
            }
        }
        Ok(false)
    }

    async fn members(&mut self, group: &str) -> Result<BTreeSet<String>> {
        if let Some(members) = self.read.get(group) {
            return Ok(members.clone());
        }
        if self.read.len() == MOST_READS {
            return Err(Error::terminal(
                Reason::WouldLockOut,
                format!(
                    "it is not known whether this would take the role account_admin from the operator: more than {MOST_READS} \
                     groups in groups would have to be read; make this change in the account console, and set \
                     spec.managementPolicy to Observe until then"
                ),
            ));
        }
        let found: Option<Remote> = GROUPS.get(self.api, group).await?;
        let members = found.map(|found| found.observed(true).state.member_ids()).unwrap_or_default();
        self.read.insert(group.to_owned(), members.clone());
        Ok(members)
    }
}
