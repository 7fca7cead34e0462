//! Who is an administrator of the account through groups: whether a change of a group takes that role from a principal, or gives it to new
//! members.
//!
//! A role of a group counts for its members, for the members of groups in it, and so on. So a group may matter that has no role and
//! does not name the principal. A LIST shows which groups there are and their roles, and not their members: the groups between a
//! role and the principal are read one by one, not more than [`MOST_READS`] of them. Of what a change takes away, only what stays
//! in any case counts: what it adds may be refused. So each group on the way is kept for itself, whatever is changed in another one
//! at the same time.
//!
//! What has access to a workspace through a group is found by the same reads: [`is_in_group`], [`may_be_in_group`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::principals::{Principal, Principals, is_admin};
use crate::databricks::ScimEntry;
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::Reader;

/// Groups that are read to check one change. Databricks allows ten layers of groups in groups.
const MOST_READS: usize = 50;

/// Groups by their roles.
const GROUPS: Principals = Principals { collection: "Groups", listed: "id,roles" };

/// A group with its members.
#[derive(Deserialize)]
struct Members {
    members: Option<Vec<ScimEntry>>,
}

/// What is not known if too many groups would have to be read: the reason to show, what the change may do, and what to write.
type Doubt = (Reason, &'static str, &'static str);

const IN_CONSOLE: &str =
    "make this change in the account console, and set spec.managementPolicy to Observe until then";

const TAKES: Doubt =
    (Reason::WouldLockOut, "would take the role account_admin from the operator", IN_CONSOLE);
const GIVES: Doubt = (
    Reason::InvalidSpec,
    "would make a new member an administrator of the account",
    "set spec.accountAdmin to true if it may, which needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth",
);
const CUTS_OFF: Doubt =
    (Reason::WouldLockOut, "would take the operator's own access to the workspace away", IN_CONSOLE);

/// A change of a group, by what the group has before and what of that stays in any case.
#[derive(Default)]
pub struct GroupChange<'a> {
    /// The id of the group.
    pub group: &'a str,
    /// The ids of its members before.
    pub before: BTreeSet<String>,
    /// Those of them that stay.
    pub stays: BTreeSet<String>,
    /// It adds members that may not get the role.
    pub adds: bool,
    /// It has the role itself, and keeps it.
    pub admin: (bool, bool),
}

/// What a change of a group does with the role of an administrator of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleChange {
    /// It takes the role from the operator.
    Takes,
    /// It gives the role to members that may not get it, because the group is in one that has it, or in a group in that.
    Gives,
    /// Neither.
    Neither,
}

impl GroupChange<'_> {
    /// What the change does with the role. `own` is the operator's principal; if that is not known, it may be any member.
    pub async fn of_the_role(&self, api: &Reader, own: Option<&String>) -> Result<RoleChange> {
        let kept = self.before == self.stays && self.admin.0 == self.admin.1;
        let removes = !self.before.is_empty() && !kept;
        if !removes && !self.adds {
            return Ok(RoleChange::Neither);
        }
        let mut account = Account::read(api, self.group).await?;
        if removes && self.takes_admin(&mut account, own).await? {
            return Ok(RoleChange::Takes);
        }
        account.doubt = GIVES;
        let gives = self.adds && account.is_inside_of_admins().await?;
        Ok(if gives { RoleChange::Gives } else { RoleChange::Neither })
    }

    /// Whether `own` has the role through this group before the change, and not after it.
    async fn takes_admin(&self, account: &mut Account<'_>, own: Option<&String>) -> Result<bool> {
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

/// Whether the account shows that a principal is in a group, directly or through groups in it.
pub async fn is_in_group(api: &Reader, group: &str, principal: &str) -> Result<bool> {
    let mut account = Account::read(api, "").await?;
    account.doubt = CUTS_OFF;
    account.finds(&BTreeSet::from([group.to_owned()]), principal).await
}

/// Whether a principal may be in a group, directly or through groups in it. So it is if that cannot be excluded: the account does not list
/// the group, or shows no members of it, as of the group of all users, or too many groups would have to be read.
pub async fn may_be_in_group(api: &Reader, group: &str, principal: &str) -> Result<bool> {
    let mut account = Account::read(api, "").await?;
    if !account.groups.contains(group) || account.members(group).await?.is_empty() {
        return Ok(true);
    }
    match account.finds(&BTreeSet::from([group.to_owned()]), principal).await {
        Err(Error::Terminal { .. }) => Ok(true),
        found => found,
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
    /// What is not known if they are too many.
    doubt: Doubt,
}

impl<'a> Account<'a> {
    async fn read(api: &'a Reader, changed: &'a str) -> Result<Account<'a>> {
        let all: Vec<Principal> = GROUPS.list(api).await?;
        let admins = all.iter().filter(|group| group.id != changed && is_admin(Some(&group.roles)));
        let admins = admins.map(|group| group.id.clone()).collect();
        let groups = all.into_iter().map(|group| group.id).collect();
        Ok(Account { api, changed, groups, admins, read: BTreeMap::new(), doubt: TAKES })
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
            let (reason, what, remedy) = self.doubt;
            let text = format!(
                "it is not known whether this {what}: the operator would have to read more than {MOST_READS} groups; {remedy}"
            );
            return Err(Error::terminal(reason, text));
        }
        let found: Option<Members> = GROUPS.get(self.api, group).await?;
        let members = ScimEntry::values(found.and_then(|found| found.members));
        self.read.insert(group.to_owned(), members.clone());
        Ok(members)
    }
}
