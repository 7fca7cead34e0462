//! The access to a workspace: what of it a spec controls, and how entries are compared. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::spec::Mode;
use crate::apis::{Assignment, gives_admin};
use crate::engine::crd::parse_duration;
use crate::engine::kind::{Entries, Entry, Removal, Settled};
use crate::engine::prelude::*;

/// The default of `removeAfter`.
const REMOVE_AFTER: Duration = Duration::from_secs(86_400);
/// The shortest one.
const SHORTEST: Duration = Duration::from_secs(600);
/// The default of `maxRemovals`.
const MAX_REMOVALS: i64 = 5;

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkspaceAccessState {
    pub(super) workspace_id: i64,
    /// In the account, each principal with access. In a spec, each that is given what it lists; one without permissions is to be
    /// removed.
    pub(super) principals: Option<Vec<Access>>,
    pub(super) mode: Option<Mode>,
    pub(super) remove_after: Option<String>,
    pub(super) max_removals: Option<i64>,
}

/// The access of one principal, in the form that a spec has. In the account, without permissions: Databricks could not read them.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    pub(super) id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service_principal_name: Option<String>,
    #[serde(default)]
    pub(super) permissions: BTreeSet<String>,
}

impl Access {
    /// One that a spec lists, or, without permissions, one that is to be removed.
    pub(super) fn wanted(id: i64, permissions: BTreeSet<String>) -> Access {
        Access { id, user_name: None, group_name: None, service_principal_name: None, permissions }
    }

    /// The principal, for people.
    fn name(&self) -> String {
        let named = [
            ("user", &self.user_name),
            ("group", &self.group_name),
            ("service principal", &self.service_principal_name),
        ];
        let named = named.into_iter().find_map(|(kind, name)| Some(format!("{kind} {}", name.as_ref()?)));
        named.unwrap_or_else(|| format!("principal {}", self.id))
    }

    /// Whether it is a group, or may be one.
    pub(super) fn may_be_group(&self) -> bool {
        self.user_name.is_none() && self.service_principal_name.is_none()
    }

    /// Whether it is the user or service principal of this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let names = [&self.user_name, &self.service_principal_name];
        names.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl From<Assignment> for Access {
    fn from(assignment: Assignment) -> Self {
        let Assignment { principal_id, assignee, permissions, error } = assignment;
        let kind = assignee.as_ref().map(|assignee| assignee.principal_type);
        let name = assignee.and_then(|assignee| assignee.name);
        let of = |this: &str| name.clone().filter(|_| kind == Some(this));
        let (user_name, group_name) = (of("USER"), of("GROUP"));
        let service_principal_name = of("SERVICE_PRINCIPAL");
        // Nothing is known of one with an error.
        let permissions = if error.is_some() { BTreeSet::new() } else { permissions };
        Access { id: principal_id, user_name, group_name, service_principal_name, permissions }
    }
}

impl WorkspaceAccessState {
    /// The access in the account, or the entries of a spec.
    pub(super) fn all(&self) -> &[Access] {
        self.principals.as_deref().unwrap_or_default()
    }

    /// Those of a spec that are to be removed.
    pub(super) fn removed(&self) -> BTreeSet<i64> {
        self.all().iter().filter(|one| one.permissions.is_empty()).map(|one| one.id).collect()
    }

    /// The entries that are there and are to be removed, and those of a spec that the account does not have like this.
    pub(super) fn open<'a>(&'a self, seen: &WorkspaceAccessState) -> Vec<&'a Access> {
        let there: BTreeMap<i64, &BTreeSet<String>> =
            seen.all().iter().map(|one| (one.id, &one.permissions)).collect();
        let differs = |one: &&Access| match there.get(&one.id) {
            Some(_) if one.permissions.is_empty() => true,
            Some(have) => **have != one.permissions,
            None => !one.permissions.is_empty(),
        };
        self.all().iter().filter(differs).collect()
    }

    /// The same with the access of one principal as it is now; without permissions, it has none.
    pub(super) fn with(mut self, access: Access) -> WorkspaceAccessState {
        let mut all = self.principals.take().unwrap_or_default();
        let before = all.iter().position(|one| one.id == access.id).map(|at| all.remove(at));
        if !access.permissions.is_empty() {
            // A response may leave the name out.
            let nameless = access == Access::wanted(access.id, access.permissions.clone());
            all.push(match before.filter(|_| nameless) {
                Some(known) => Access { permissions: access.permissions, ..known },
                None => access,
            });
        }
        all.sort_by_key(|one| one.id);
        WorkspaceAccessState { principals: Some(all), ..self }
    }

    fn id_of(&self, one: &Access) -> String {
        Inside { within: self.workspace_id, own: one.id }.to_string()
    }

    /// How access that is not listed is removed, if it is.
    fn removal(&self) -> Option<Removal> {
        let after = self.remove_after.as_deref().and_then(parse_duration);
        let at_most = usize::try_from(self.max_removals.unwrap_or(MAX_REMOVALS)).unwrap_or(0);
        let after = after.unwrap_or(REMOVE_AFTER).max(SHORTEST);
        (self.mode == Some(Mode::Enforce)).then_some(Removal { after, at_most })
    }
}

/// Permissions, for people.
fn words(levels: &BTreeSet<String>) -> String {
    let all: Vec<&str> = levels.iter().map(String::as_str).collect();
    if all.is_empty() { "unknown".to_owned() } else { all.join(",") }
}

/// Whether one has more than these permissions, or may have: Databricks could not read which.
fn has_more(one: &Access, than: &BTreeSet<String>) -> bool {
    one.permissions.is_empty() || !(gives_admin(than) || one.permissions.is_subset(than))
}

/// What is listed, and who else has access, or more than is listed. No access is removed by a list in which Databricks could not read each
/// row.
pub(super) fn entries(want: &WorkspaceAccessState, seen: &WorkspaceAccessState) -> Entries {
    let listed = want.all().iter().filter(|one| !one.permissions.is_empty());
    let levels: BTreeMap<i64, &BTreeSet<String>> =
        listed.clone().map(|one| (one.id, &one.permissions)).collect();
    let beyond = |one: &Access| levels.get(&one.id).is_none_or(|levels| has_more(one, levels));
    let entry = |one: &Access| {
        let listed = levels.get(&one.id).filter(|_| beyond(one));
        let listed = listed.map_or_else(String::new, |levels| format!(", listed with {}", words(levels)));
        Entry {
            id: seen.id_of(one),
            name: one.name(),
            state: words(&one.permissions) + &listed,
            administers: gives_admin(&one.permissions),
        }
    };
    let known = |id: i64| seen.all().iter().find(|one| one.id == id);
    let missing = |one: &Access| Entry { administers: false, ..entry(one) };
    Entries {
        listed: listed.map(|one| known(one.id).map_or_else(|| missing(one), entry)).collect(),
        unlisted: seen.all().iter().filter(|one| beyond(one)).map(entry).collect(),
        removal: want.removal(),
        complete: seen.all().iter().all(|one| !one.permissions.is_empty()),
    }
}

/// The list without what is not touched, and with what is to be removed: what is listed keeps what is listed.
pub(super) fn settle(want: WorkspaceAccessState, settled: &Settled) -> WorkspaceAccessState {
    let workspace = want.workspace_id;
    let is_held = |one: &Access| settled.held.contains(&want.id_of(one));
    let mut all: Vec<Access> = want.all().iter().filter(|one| !is_held(one)).cloned().collect();
    let listed: BTreeSet<i64> = all.iter().map(|one| one.id).collect();
    let ids = settled.removed.iter().filter_map(|id| id.parse::<Inside<i64, i64>>().ok());
    let ids = ids.filter(|id| id.within == workspace && !listed.contains(&id.own)).map(|id| id.own);
    all.extend(ids.map(|id| Access::wanted(id, BTreeSet::new())));
    WorkspaceAccessState { principals: Some(all), ..want }
}

/// Whether the list is as in a new workspace, which has one administrator, its creator.
pub(super) fn is_new(all: &[Access]) -> bool {
    all.len() <= 1 && all.iter().all(|one| gives_admin(&one.permissions))
}
