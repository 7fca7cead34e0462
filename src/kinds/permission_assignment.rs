//! PermissionAssignment: a principal's access to a workspace, as user or as administrator.
//!
//! One PUT creates and changes it; a change never removes the access in between. There is no read of a single one, so the
//! list of a workspace is read. A row of it with an `error` is kept, as failed: without the row it would count as absent,
//! so that a deletion would end while the principal may still have access. A row that grants nothing is no assignment.
//!
//! For minutes after a workspace was created, or got its metastore, the API responds as if the workspace could never have
//! assignments; for seconds after a write it may not know the principal. The operator waits for both. A workspace without
//! identity federation looks the same, so it waits too, with the API's text in its conditions.
//!
//! Longer than a plain kind: a third is the text of its fields, and the rest is to write under a name, to read errors
//! inside successful responses, and to keep the operator's own access.

use std::collections::BTreeSet;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{self, Int64, Pages};
use crate::engine::crd::{Management, NameRef, Reason, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, CallError, Created, ExternalResource, Guard, Immutable, Inside, Key,
    Lifecycle, Need, Observed, Path, Phase, Power, PrincipalName, Reader, Reference, Resolved, Writer,
};
use crate::kinds::workspace::Workspace;

/// A principal's access to a workspace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PermissionAssignment",
    shortname = "dbpa",
    category = "databricks",
    namespaced,
    status = "Status<PermissionAssignmentFacts>",
    printcolumn = r#"{"name": "Principal", "type": "string", "jsonPath": ".status.principalName", "description": "The user, group or service principal."}"#,
    printcolumn = r#"{"name": "Permission", "type": "string", "jsonPath": ".status.state", "description": "What it may do."}"#,
    printcolumn = r#"{"name": "Workspace", "type": "string", "jsonPath": ".status.observed.workspaceId", "description": "The id of the workspace."}"#,
    doc = "A principal's access to a workspace."
)]
#[serde(rename_all = "camelCase")]
pub struct PermissionAssignmentSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace that access is given to. Give this or workspaceId. Once the assignment exists, it can be changed only to what means the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace that access is given to, where no Workspace of this namespace stands for it. Give this or workspaceRef. Once the assignment exists, it can be changed only to what means the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// Who gets access. Once the assignment exists, it can be changed only from the id to the name of the same principal, or from a name to its id. Known on all clouds.
    pub principal: Principal,
    /// USER: may use the workspace. ADMIN: may administer it; with it USER says nothing more. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub permissions: Option<Vec<Permission>>,
}

/// A user, group or service principal of the account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.id), has(self.userName), has(self.groupName), has(self.servicePrincipalName)].exists_one(given, given)",
     "message": "principal needs exactly one of id, userName, groupName and servicePrincipalName: keep one and remove the others"},
]))]
pub struct Principal {
    /// The principal's numeric id in the account. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub id: Option<i64>,
    /// A user's e-mail address, in any case. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_name: Option<String>,
    /// A group's display name. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group_name: Option<String>,
    /// A service principal's application id. Cannot be changed once the assignment exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
}

/// What a principal may do.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum Permission {
    USER,
    ADMIN,
}

/// What a spec controls. ADMIN contains USER, as in the API; other levels are kept as they are.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PermissionAssignmentState {
    workspace_id: i64,
    principal_id: i64,
    permissions: Option<BTreeSet<String>>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionAssignmentFacts {
    /// USER, GROUP or SERVICE_PRINCIPAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<String>,
    /// The user's e-mail address, the group's name or the service principal's application id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_name: Option<String>,
    /// The principal's name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    principal: Option<RowPrincipal>,
    permissions: Option<Vec<String>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct RowPrincipal {
    principal_id: Int64,
    display_name: Option<String>,
    user_name: Option<String>,
    group_name: Option<String>,
    service_principal_name: Option<String>,
}

impl From<RowPrincipal> for PermissionAssignmentFacts {
    fn from(row: RowPrincipal) -> Self {
        let names = [
            ("USER", row.user_name),
            ("GROUP", row.group_name),
            ("SERVICE_PRINCIPAL", row.service_principal_name),
        ];
        let named = names.into_iter().find_map(|(kind, name)| Some((kind, name?)));
        let (kind, name) = named.map_or(("UNKNOWN", None), |(kind, name)| (kind, Some(name)));
        PermissionAssignmentFacts {
            principal_type: Some(kind.into()),
            principal_name: name,
            display_name: row.display_name,
        }
    }
}

fn observed(
    state: PermissionAssignmentState,
    facts: PermissionAssignmentFacts,
    phase: Phase,
) -> Observed<PermissionAssignment> {
    let id = Inside { within: state.workspace_id, own: state.principal_id };
    let about = About { phase, state: state.permissions.as_ref().map(words), ..About::default() };
    Observed { id, state, facts, about }
}

/// ADMIN contains USER; unknown levels are shown, not hidden.
fn normal<'a>(levels: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let levels: BTreeSet<String> = levels.into_iter().map(str::to_owned).collect();
    if is_admin(&levels) { [ADMIN.to_owned()].into() } else { levels }
}

const ADMIN: &str = "ADMIN";

fn is_admin(levels: &BTreeSet<String>) -> bool {
    levels.contains(ADMIN)
}

fn words(levels: &BTreeSet<String>) -> String {
    levels.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

impl ExternalResource for PermissionAssignment {
    type State = PermissionAssignmentState;
    /// The workspace and the principal.
    type Id = Inside<i64, i64>;
    type Facts = PermissionAssignmentFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "principal_id", spec: &["principal.id", "principal"] }];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed(),
        Reference::id("principal_id", &["principal"], &["principal", "user", "group"]),
    ];
    const REQUIRED: &'static [&'static str] = &["permissions"];
    const LIFECYCLE: Lifecycle = Lifecycle::Upsert;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

    fn needs(spec: &PermissionAssignmentSpec) -> Vec<Need> {
        let who = &spec.principal;
        let service_principal = who.service_principal_name.as_ref();
        let name = PrincipalName::written(who.user_name.as_ref(), who.group_name.as_ref(), service_principal);
        name.map(|name| Need::principal("principal", name)).into_iter().collect()
    }

    fn desired(spec: &PermissionAssignmentSpec, got: &Resolved) -> Result<PermissionAssignmentState> {
        let level = |level: &Permission| match level {
            Permission::USER => "USER",
            Permission::ADMIN => ADMIN,
        };
        Ok(PermissionAssignmentState {
            workspace_id: got.number("workspace_id")?,
            principal_id: spec.principal.id.map_or_else(|| got.number("principal"), Ok)?,
            permissions: spec.permissions.as_ref().map(|levels| normal(levels.iter().map(level))),
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
            workspace_id: Some(state.workspace_id.to_string()),
            admin: state.permissions.as_ref().is_some_and(is_admin),
            ..Power::default()
        }
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let unreadable = || Error::retry("Databricks lists an assignment without its workspace or principal");
        let workspace_id: i64 = within.parse().map_err(|_| unreadable())?;
        let path = api.path(&["workspaces", within, "permissionassignments"]);
        let rows: Vec<Row> = match api.list(path, Pages::Whole("permission_assignments")).await {
            Ok(rows) => rows,
            Err(error) => match classify(error) {
                CallError::Api(error) if error.is_absence() => {
                    gone(api, workspace_id, error).await?;
                    vec![]
                }
                error => return Err(error),
            },
        };
        let mut all = vec![];
        for row in rows {
            let permissions = normal(row.permissions.iter().flatten().map(String::as_str));
            let error = row.error.filter(|text| !text.is_empty());
            // The principal of this row is unknown: no principal can be reported as without access.
            let principal = row.principal.ok_or_else(unreadable)?;
            if permissions.is_empty() && error.is_none() {
                continue;
            }
            let state = PermissionAssignmentState {
                workspace_id,
                principal_id: principal.principal_id.0,
                permissions: Some(permissions),
            };
            all.push(observed(state, principal.into(), error.map_or(Phase::Ready, Phase::Failed)));
        }
        Ok(all)
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
        api.delete(principal_path(api, seen.id.within, seen.id.own)).await.map_err(|error| {
            // A principal that is not in the workspace need not be removed.
            if error.is_absence() { error.into() } else { classify(error) }
        })
    }
}

/// The assignments API says that a workspace does not exist. It may lag behind, and it would say the same of an account
/// that it does not know, so that is believed only if the account lists its workspaces without this one: otherwise existing
/// access would count as gone.
async fn gone(api: &Reader, workspace_id: i64, error: databricks::Error) -> ApiResult<()> {
    // Its failure is final: it must not count as one more report that the parent does not exist.
    let listed = api.list(api.path(&["workspaces"]), Pages::Bare).await;
    let all: Vec<Listed> = listed.map_err(Error::from)?;
    if all.iter().any(|listed| listed.workspace_id.0 == workspace_id) {
        return Err(Error::retry(format!("{error}; the account lists it, so it is read again")).into());
    }
    Ok(())
}

#[derive(Deserialize)]
struct Listed {
    workspace_id: Int64,
}

fn principal_path(api: &Reader, workspace: i64, principal: i64) -> Path {
    let (workspace, principal) = (workspace.to_string(), principal.to_string());
    api.path(&["workspaces", &workspace, "permissionassignments", "principals", &principal])
}

/// Older responses have the permissions and not the principal; `known` is the principal as known before.
async fn put(
    api: &Writer,
    want: &PermissionAssignmentState,
    known: PermissionAssignmentFacts,
) -> ApiResult<Observed<PermissionAssignment>> {
    // A PUT without permissions would remove the access.
    let Some(wanted) = want.permissions.as_ref().filter(|wanted| !wanted.is_empty()) else {
        return Err(Error::terminal(Reason::InvalidSpec, "spec.permissions is needed to give access").into());
    };
    let path = principal_path(api, want.workspace_id, want.principal_id);
    let response: Row = api.put(path.clone(), json!({"permissions": wanted})).await.map_err(classify)?;
    if let Some(text) = response.error.filter(|text| !text.is_empty()) {
        let reason = if passes(&text) { Reason::WaitingForWorkspace } else { Reason::ApplyFailed };
        return Err(Error::waiting(reason, format!("{text} (PUT {path}, which changed nothing)")).into());
    }
    let levels = response.permissions.as_ref().map(|all| normal(all.iter().map(String::as_str)));
    let permissions = levels.unwrap_or_else(|| wanted.clone());
    let state = PermissionAssignmentState { permissions: Some(permissions), ..want.clone() };
    Ok(observed(state, response.principal.map_or(known, Into::into), Phase::Ready))
}

/// Texts that the API also returns for a while for what will work: there is no code for it.
fn passes(text: &str) -> bool {
    let text = text.to_lowercase();
    let unavailable = text.contains("assignment")
        && ["not available", "not supported"].iter().any(|words| text.contains(words));
    unavailable || (text.contains("principal") && text.contains("not in workspace"))
}

/// The operator waits for a transient refusal; an error after which the change may have happened stays as it is.
fn classify(error: databricks::Error) -> CallError {
    let refusal =
        matches!(&error, databricks::Error::Api { status: 400..=499, message, .. } if passes(message));
    if refusal && !error.may_have_happened() && !error.is_throttle() {
        return Error::waiting(Reason::WaitingForWorkspace, error.to_string()).into();
    }
    error.into()
}

/// Refuses to remove the operator's own access.
fn keep_the_operator_in(act: &Act<'_, PermissionAssignment>, auth: &AuthFacts) -> Result<()> {
    let Some(state) = act.want.or(act.seen.map(|seen| &seen.state)) else { return Ok(()) };
    let admin = |state: &PermissionAssignmentState| state.permissions.as_ref().is_some_and(is_admin);
    // Access that an earlier read did not show may exist by now.
    let had = act.seen.is_none_or(|seen| admin(&seen.state) || act.want.is_none());
    if !had || act.want.is_some_and(admin) {
        return Ok(());
    }
    let refused = || {
        Error::terminal(
            Reason::WouldLockOut,
            format!(
                "this would take the operator's own access to workspace {} away (it is service principal {}): keep ADMIN in \
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
    if seen.facts.principal_type.as_deref() != Some("SERVICE_PRINCIPAL")
        || !name.eq_ignore_ascii_case(&auth.client_id)
    {
        return Ok(());
    }
    Err(refused())
}
