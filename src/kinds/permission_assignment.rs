//! PermissionAssignment: a principal's access to a workspace, as user or as administrator.
//!
//! There is no read of a single one, so the list of a workspace is read. A row of it with an `error` is kept, as failed: without the row
//! it would count as absent, so that a deletion would end while the principal may still have access.
//!
//! The API knows a principal by its number alone: a group that gets another name keeps its access.

pub mod spec;

use std::collections::BTreeSet;

use crate::apis::{Assignee, Assignment, Assignments, gives_admin, normal_permissions};
use crate::engine::kind::{Lifecycle, Need, Power, PrincipalName};
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;
use crate::kinds::workspace::Workspace;

use spec::Principal;
pub use spec::{PermissionAssignment, PermissionAssignmentFacts, PermissionAssignmentSpec};

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
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

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

/// Refuses to remove the operator's own access.
fn keep_the_operator_in(act: &Act<'_, PermissionAssignment>, auth: &AuthFacts) -> Result<()> {
    let Some(state) = act.want.or(act.seen.map(|seen| &seen.state)) else { return Ok(()) };
    let admin = |state: &PermissionAssignmentState| state.permissions.as_ref().is_some_and(gives_admin);
    // Access that an earlier read did not show may exist by now.
    let had = act.seen.is_none_or(|seen| admin(&seen.state) || act.want.is_none());
    if !had || act.want.is_some_and(admin) {
        return Ok(());
    }
    let refused = || {
        Error::terminal(
            Reason::WouldLockOut,
            format!(
                "this would take the operator's own access to workspace {} away (it signs in as {}): keep ADMIN in \
                 spec.permissions, or to delete this object, set spec.deletionPolicy to Retain",
                state.workspace_id, auth.client_id
            ),
        )
    };
    if let Some(own) = &auth.principal_id {
        return if *own == state.principal_id.to_string() { Err(refused()) } else { Ok(()) };
    }
    // The account does not return our id: the list shows whose access it is.
    let Some(seen) = act.seen else { return Ok(()) };
    if seen.facts.principal_type.is_none() {
        return Err(Error::retry("it is not known yet whose access this is; the list is read again"));
    }
    let name = seen.facts.principal_name.as_deref().unwrap_or_default();
    // A Google service account is a user.
    if !matches!(seen.facts.principal_type.as_deref(), Some("SERVICE_PRINCIPAL" | "USER"))
        || !name.eq_ignore_ascii_case(&auth.client_id)
    {
        return Ok(());
    }
    Err(refused())
}
