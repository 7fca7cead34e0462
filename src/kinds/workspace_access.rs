//! WorkspaceAccess: the list of all principals that have access to one workspace. What is not on it is reported, or removed after a delay.
//!
//! On the list are the principals in the spec, which the operator gives what is written, and those that a PermissionAssignment manages, of any
//! namespace that this process watches. One principal is in one of the two: an entry of the list has the claim that a
//! PermissionAssignment for it would have. The second of the two is left out, and both are named; the rest of the list is carried out.
//!
//! All else is unlisted: the access that users gave in the console, that an object gave which was retained or only observes, and that another
//! operator gave, which this one cannot see. So is what a listed principal has beyond its entry: to make a user of an administrator takes
//! access, and must not be possible with `Report`, or without the grant that Enforce needs. It is in `status.unlisted` with the time at which
//! it was first seen, the only record of that: a status that is lost begins each delay again. What an edit removes from the list is unlisted
//! like any other, also if the operator had given it. With `Report` nothing is ever removed. With `Enforce` the engine decides what is
//! removed and when, see `engine/pass/roster.rs`; here is what is never removed: the operator's own principal, and groups that it is in or
//! may be in. The guard is asked about each principal alone, so one that must stay does not keep others.
//!
//! The list of a workspace is always there. It counts as managed by nothing while it has at most the creator of the workspace; any other needs
//! `adoptionPolicy: IfExists`. There is one object for a workspace, as of any kind. When the object is deleted, all access stays.
//!
//! An entry is written by a call of its own, as there is none for several; a crash between them leaves a part, which the next read shows.

pub mod spec;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::apis::{Assignments, Permission, gives_admin, may_be_in_group, normal_permissions};
use crate::engine::crd::Listing;
use crate::engine::kind::{Lifecycle, Need, Power, PrincipalName, Roster};
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;
use crate::kinds::workspace::Workspace;

use spec::{Listed, Mode};
pub use spec::{WorkspaceAccess, WorkspaceAccessSpec};
pub use state::WorkspaceAccessState;
use state::{Access, entries, is_new, settle};

/// The kind that manages one principal alone.
const ONE: &str = "PermissionAssignment";

/// How needs name an entry: by the field, and by what is in it.
fn place(field: &str, name: impl fmt::Display) -> String {
    format!("principals.{field}/{name}")
}

/// What must be known to know the principal of an entry; nothing, if its id is written.
fn need(listed: &Listed) -> Option<Need> {
    let Listed { user_name, group_name, service_principal_name, .. } = listed;
    let named = PrincipalName::written(user_name, group_name, service_principal_name);
    let named = named.map(|name| Need::principal(place(name.field(), name.search().2), name));
    let user = listed.user_ref.as_ref();
    let service = listed.service_principal_ref.as_ref();
    let group = listed.group_ref.as_ref();
    let object = user
        .map(|r| Need::object::<User>(place("userRef", &r.name), &r.name))
        .or_else(|| {
            service.map(|r| Need::object::<ServicePrincipal>(place("servicePrincipalRef", &r.name), &r.name))
        })
        .or_else(|| group.map(|r| Need::object::<Group>(place("groupRef", &r.name), &r.name)));
    named.or(object).map(Need::soft)
}

fn observed(state: WorkspaceAccessState) -> Observed<WorkspaceAccess> {
    let phase = if is_new(state.all()) { Phase::Vacant } else { Phase::Ready };
    let about = About { phase, ..About::default() };
    Observed { id: Int64(state.workspace_id), state, facts: Listing::default(), about }
}

impl ExternalResource for WorkspaceAccess {
    type State = WorkspaceAccessState;
    /// The workspace.
    type Id = Int64;
    type Facts = Listing;

    const REFERENCES: &'static [Reference] =
        &[Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed()];
    const UNTOLD: &'static [&'static str] = &["mode", "remove_after", "max_removals"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const REMOVABLE: bool = false;
    const GRANTED_BY_NAME: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(keep_the_operator_in));
    const ROSTER: Option<Roster<Self::State>> = Some(Roster { by: ONE, entries, settle });

    fn needs(spec: &WorkspaceAccessSpec) -> Vec<Need> {
        spec.principals.iter().filter_map(need).collect()
    }

    fn desired(spec: &WorkspaceAccessSpec, got: &Resolved) -> Result<WorkspaceAccessState> {
        let mut all: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for listed in &spec.principals {
            let found = || got.ids.get(&need(listed)?.field)?.parse::<i64>().ok();
            let Some(id) = listed.id.or_else(found) else { continue };
            let given = listed.permissions.as_deref().filter(|given| !given.is_empty());
            let levels = normal_permissions(given.unwrap_or(&[Permission::USER]));
            if all.insert(id, levels).is_some() {
                let text =
                    format!("spec.principals lists the principal {id} more than once: keep one entry of it");
                return Err(Error::terminal(Reason::InvalidSpec, text));
            }
        }
        Ok(WorkspaceAccessState {
            workspace_id: got.number("workspace_id")?,
            principals: Some(all.into_iter().map(|(id, levels)| Access::wanted(id, levels)).collect()),
            mode: Some(spec.mode),
            remove_after: spec.remove_after.clone(),
            max_removals: spec.max_removals,
        })
    }

    fn within(id: &Int64) -> String {
        id.to_string()
    }

    fn key(state: &WorkspaceAccessState) -> Key {
        Key { within: state.workspace_id.to_string(), name: String::new() }
    }

    /// A list of all access is worth that of an administrator.
    fn power(state: &WorkspaceAccessState) -> Power {
        Power {
            admin: true,
            removes_access: state.mode == Some(Mode::Enforce),
            ..Power::in_workspace(state.workspace_id)
        }
    }

    /// Access that is not listed is no difference until it is to be removed. What a listed principal has beyond its entry is one here, as for
    /// any kind; while it stays, the engine leaves out the entry.
    fn changes(want: &WorkspaceAccessState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let mut changes = generic::<Self>(want, seen)?;
        changes.retain(|change| change.field() != "principals");
        if !want.open(&seen.state).is_empty() {
            changes.push(Change { path: "principals".into(), when: When::Now });
        }
        Ok(changes)
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let unreadable = || Error::retry(format!("{within} is no id of a workspace"));
        let workspace_id: i64 = within.parse().map_err(|_| unreadable())?;
        let Some(all) = Assignments(workspace_id).list_if_there(api).await? else { return Ok(vec![]) };
        let mut all: Vec<Access> = all.into_iter().map(Access::from).collect();
        all.sort_by_key(|one| one.id);
        let principals = Some(all);
        let state = WorkspaceAccessState {
            workspace_id,
            principals,
            mode: None,
            remove_after: None,
            max_removals: None,
        };
        Ok(vec![observed(state)])
    }

    /// Gives what is listed, then removes. If a call is refused after others were carried out, that is the response. Nothing that was
    /// managed by nothing before is changed by more than one call at a time.
    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &WorkspaceAccessState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let access = Assignments(want.workspace_id);
        let mut open = want.open(&seen.state);
        open.sort_by_key(|one| one.permissions.is_empty());
        let at_once = if seen.about.phase == Phase::Vacant { 1 } else { open.len() };
        let mut now = seen.state.clone();
        for (done, one) in open.into_iter().take(at_once).enumerate() {
            let sent = match one.permissions.is_empty() {
                true => access.delete(api, one.id).await.map(|()| one.clone()),
                false => access.put(api, one.id, &one.permissions).await.map(Access::from),
            };
            match sent {
                Ok(one) => now = now.with(one),
                // Another user has removed it.
                Err(CallError::Api(error)) if one.permissions.is_empty() && error.is_absence() => {
                    now = now.with(one.clone());
                }
                Err(error) if done == 0 => return Err(error),
                Err(error) => return Ok(observed(now).refused(Some(error.into()))),
            }
        }
        Ok(observed(now))
    }
}

/// Refuses to take access from the operator: from its own principal, or from a group that it may be in.
fn keep_the_operator_in<'a>(
    act: &'a Act<'a, WorkspaceAccess>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let (Some(want), Some(seen)) = (act.want, act.seen) else { return Ok(()) };
        let removed = want.removed();
        for one in want.open(&seen.state).into_iter().filter(|one| !gives_admin(&one.permissions)) {
            let Some(had) = seen.state.all().iter().find(|had| had.id == one.id) else {
                // Access that an earlier read did not show may exist by now.
                match &auth.principal_id {
                    Some(own) if *own == one.id.to_string() => return Err(refused(one, auth)),
                    _ => continue,
                }
            };
            let may_be_admin = had.permissions.is_empty() || gives_admin(&had.permissions);
            if (removed.contains(&one.id) || may_be_admin) && is_own(had, auth, api).await? {
                return Err(refused(had, auth));
            }
        }
        Ok(())
    }
    .boxed()
}

/// Whether the operator may have its access by this one.
async fn is_own(had: &Access, auth: &AuthFacts, api: &Reader) -> Result<bool> {
    // The account may not return our id: the list shows whose access it is.
    if had.is_called(&auth.client_id) {
        return Ok(true);
    }
    match &auth.principal_id {
        Some(own) if *own == had.id.to_string() => Ok(true),
        Some(own) if had.may_be_group() => may_be_in_group(api, &had.id.to_string(), own).await,
        Some(_) => Ok(false),
        None => Ok(had.may_be_group()),
    }
}

fn refused(had: &Access, auth: &AuthFacts) -> Error {
    Error::terminal(
        Reason::WouldLockOut,
        format!(
            "the operator has, or may have, its own access to the workspace by the principal {} (it signs in as {}): list it in \
             spec.principals with ADMIN",
            had.id, auth.client_id
        ),
    )
}
