//! PermissionAssignment: a principal's access to a workspace, as user or as administrator.
//!
//! There is no read of a single one, so the list of a workspace is read. A row of it with an `error` is kept, as failed: without the row
//! it would count as absent, so that a deletion would end while the principal may still have access.
//!
//! The API knows a principal by its number alone: a group that gets another name keeps its access.
//!
//! Longer than a plain kind, as a guard keeps the operator in, whether it is named itself or by a group.

pub mod spec;

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::apis::{Assignee, Assignment, Assignments, gives_admin, is_in_group, normal_permissions};
use crate::engine::kind::{Lifecycle, Need, Power, PrincipalName};
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;
use crate::kinds::workspace::Workspace;

use spec::Principal;
pub use spec::{PermissionAssignment, PermissionAssignmentFacts, PermissionAssignmentSpec};

/// The group of all users and service principals of the account, whose members it does not show.
const ALL_USERS: &str = "account users";

/// What the account calls a principal in its messages.
const PRINCIPAL: &[&str] = &["principal", "user", "group"];

/// What a spec controls. ADMIN contains USER, as in the API; other levels are kept as they are.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PermissionAssignmentState {
    workspace_id: i64,
    principal_id: i64,
    permissions: Option<BTreeSet<String>>,
}

impl From<Assignee> for PermissionAssignmentFacts {
    fn from(assignee: Assignee) -> Self {
        PermissionAssignmentFacts {
            principal_type: Some(assignee.principal_type.into()),
            principal_name: assignee.name,
            display_name: assignee.display_name,
        }
    }
}

/// An assignment of a workspace. `known` is the principal as known before: a response may leave it out.
fn observed(
    workspace_id: i64,
    assignment: Assignment,
    known: PermissionAssignmentFacts,
) -> Observed<PermissionAssignment> {
    let Assignment { principal_id, assignee, permissions, error } = assignment;
    let phase = error.map_or(Phase::Ready, Phase::Failed);
    let about = About { phase, state: Some(words(&permissions)), ..About::default() };
    let state = PermissionAssignmentState { workspace_id, principal_id, permissions: Some(permissions) };
    let id = Inside { within: workspace_id, own: principal_id };
    Observed { id, state, facts: assignee.map_or(known, Into::into), about }
}

fn words(levels: &BTreeSet<String>) -> String {
    levels.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

impl ExternalResource for PermissionAssignment {
    type State = PermissionAssignmentState;
    /// The workspace and the principal.
    type Id = Inside<i64, i64>;
    type Facts = PermissionAssignmentFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable {
        state: "principal_id",
        spec: &[
            "principal.id",
            "principal",
            "principal.userRef",
            "principal.groupRef",
            "principal.servicePrincipalRef",
        ],
    }];
    /// The account knows a principal by its number, whatever it is: the `externalId` of its object. So one field has that of each kind.
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed(),
        Reference::id("principal_id", &["principal"], PRINCIPAL),
        Reference::to::<User>("principal_id", &["principal.id", "principal.userRef"], PRINCIPAL)
            .by("externalId"),
        Reference::to::<Group>("principal_id", &["principal.id", "principal.groupRef"], PRINCIPAL)
            .by("externalId"),
        Reference::to::<ServicePrincipal>(
            "principal_id",
            &["principal.id", "principal.servicePrincipalRef"],
            PRINCIPAL,
        )
        .by("externalId"),
    ];
    const REQUIRED: &'static [&'static str] = &["permissions"];
    const LIFECYCLE: Lifecycle = Lifecycle::Upsert;
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(keep_the_operator_in));

    fn needs(spec: &PermissionAssignmentSpec) -> Vec<Need> {
        let Principal { user_name, group_name, service_principal_name, .. } = &spec.principal;
        let name = PrincipalName::written(user_name, group_name, service_principal_name);
        name.map(|name| Need::principal("principal", name)).into_iter().collect()
    }

    fn desired(spec: &PermissionAssignmentSpec, got: &Resolved) -> Result<PermissionAssignmentState> {
        let principal = if got.maybe("principal_id").is_some() { "principal_id" } else { "principal" };
        Ok(PermissionAssignmentState {
            workspace_id: got.number("workspace_id")?,
            principal_id: got.number(principal)?,
            permissions: spec.permissions.as_deref().map(normal_permissions),
        })
    }

    fn within(id: &Inside<i64, i64>) -> String {
        id.within.to_string()
    }

    fn key(state: &PermissionAssignmentState) -> Key {
        Key { within: state.workspace_id.to_string(), name: state.principal_id.to_string() }
    }

    fn power(state: &PermissionAssignmentState) -> Power {
        Power {
            admin: state.permissions.as_ref().is_some_and(gives_admin),
            ..Power::in_workspace(state.workspace_id)
        }
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let workspace_id: i64 = parent(within, "a workspace")?;
        let all = Assignments(workspace_id).list(api).await?.into_iter();
        Ok(all.map(|one| observed(workspace_id, one, PermissionAssignmentFacts::default())).collect())
    }

    async fn create(api: &Writer, want: &PermissionAssignmentState) -> ApiResult<Created<Self>> {
        Ok(put(api, want, PermissionAssignmentFacts::default()).await?.into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &PermissionAssignmentState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        put(api, want, seen.facts.clone()).await
    }

    fn again(_: &PermissionAssignmentState, _: &Observed<Self>) -> Vec<&'static str> {
        vec!["permissions"]
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Assignments(seen.id.within).delete(api, seen.id.own).await
    }
}

/// `known` is the principal as known before.
async fn put(
    api: &Writer,
    want: &PermissionAssignmentState,
    known: PermissionAssignmentFacts,
) -> ApiResult<Observed<PermissionAssignment>> {
    // A PUT without permissions would remove the access.
    let Some(wanted) = want.permissions.as_ref().filter(|wanted| !wanted.is_empty()) else {
        return Err(Error::terminal(Reason::InvalidSpec, "spec.permissions is needed to give access").into());
    };
    let given = Assignments(want.workspace_id).put(api, want.principal_id, wanted).await?;
    Ok(observed(want.workspace_id, given, known))
}

/// Refuses to remove the operator's own access: that of its principal, or ADMIN that it has by this group and not by an assignment of its own. Another group is no
/// reason to allow it: both may be removed at once.
fn keep_the_operator_in<'a>(
    act: &'a Act<'a, PermissionAssignment>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let Some(state) = act.want.or(act.seen.map(|seen| &seen.state)) else { return Ok(()) };
        // Access that an earlier read did not show may exist by now.
        let had = act.seen.is_none_or(|seen| is_admin(&seen.state) || act.want.is_none());
        if !had || act.want.is_some_and(is_admin) {
            return Ok(());
        }
        let (mut why, mut remedy) = ("", "");
        if !is_own(act, state.principal_id, auth)? {
            let Some(seen) = act.seen else { return Ok(()) };
            if !is_needed_group(seen, auth, api).await? {
                return Ok(());
            }
            why = ", as it has, or may have, ADMIN by this group, and not by an assignment of its own";
            remedy = "give its service principal ADMIN by an assignment of its own, ";
        }
        Err(Error::terminal(
            Reason::WouldLockOut,
            format!(
                "this would take the operator's own access to workspace {} away (it signs in as {}){why}: {remedy}keep ADMIN in \
                 spec.permissions, or to delete this object, set spec.deletionPolicy to Retain",
                state.workspace_id, auth.client_id
            ),
        ))
    }
    .boxed()
}

fn is_admin(state: &PermissionAssignmentState) -> bool {
    state.permissions.as_ref().is_some_and(gives_admin)
}

/// Whether the principal is the operator's own.
fn is_own(act: &Act<'_, PermissionAssignment>, principal: i64, auth: &AuthFacts) -> Result<bool> {
    if let Some(own) = &auth.principal_id {
        return Ok(*own == principal.to_string());
    }
    // The account does not return our id: the list shows whose access it is.
    let Some(facts) = act.seen.map(|seen| &seen.facts) else { return Ok(false) };
    let Some(kind) = facts.principal_type.as_deref() else {
        return Err(Error::retry("it is not known yet whose access this is; the list is read again"));
    };
    let name = facts.principal_name.as_deref().unwrap_or_default();
    Ok(is_called(kind, name, auth))
}

/// A Google service account is a user.
fn is_called(kind: &str, name: &str, auth: &AuthFacts) -> bool {
    matches!(kind, "SERVICE_PRINCIPAL" | "USER") && name.eq_ignore_ascii_case(&auth.client_id)
}

/// Whether the operator has, or may have, ADMIN by this group, and not by an assignment of its own. It keeps that one, so the group is
/// not needed then.
async fn is_needed_group(
    seen: &Observed<PermissionAssignment>,
    auth: &AuthFacts,
    api: &Reader,
) -> Result<bool> {
    let kind = seen.facts.principal_type.as_deref();
    // Nothing is known of the permissions of one with an error.
    let may_be_admin = seen.about.phase != Phase::Ready || is_admin(&seen.state);
    if !may_be_admin || matches!(kind, Some("SERVICE_PRINCIPAL" | "USER")) {
        return Ok(false);
    }
    for one in Assignments(seen.id.within).list(api).await? {
        let own = match (&auth.principal_id, one.assignee) {
            (Some(own), _) => *own == one.principal_id.to_string(),
            (None, Some(is)) => is_called(is.principal_type, is.name.as_deref().unwrap_or_default(), auth),
            (None, None) => false,
        };
        if own && gives_admin(&one.permissions) {
            return Ok(false);
        }
    }
    let name = seen.facts.principal_name.as_deref().unwrap_or_default();
    match &auth.principal_id {
        Some(own) if !name.eq_ignore_ascii_case(ALL_USERS) => {
            is_in_group(api, &seen.id.own.to_string(), own).await
        }
        // All principals are in it; or it is not known which one the operator is.
        _ => Ok(true),
    }
}
