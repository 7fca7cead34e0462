//! The permission assignments of a workspace: which principals have access to it. Two kinds speak this API: one manages single
//! assignments, the other the list of all.
//!
//! One PUT creates and changes an assignment; a change never removes the access in between. There is no read of a single one. A row of the
//! list may have an `error` in place of its contents, in a successful response, and so may the response to a PUT.
//!
//! For minutes after a workspace was created, or got its metastore, the API responds as if the workspace could never have
//! assignments; for seconds after a write it may not know the principal. The operator waits for both. A workspace without
//! identity federation looks the same, so it waits too, with the API's text in its conditions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{self, Int64, Pages};
use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::kind::{ApiResult, CallError, Path, Reader, Writer};

/// The assignments of the workspace with this id.
#[derive(Clone, Copy, Debug)]
pub struct Assignments(pub i64);

/// What a principal may do.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum Permission {
    USER,
    ADMIN,
}

/// One assignment.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The id of the principal.
    pub principal_id: i64,
    /// Who that is; a response to a PUT may leave it out.
    pub assignee: Option<Assignee>,
    /// What it may do. ADMIN contains USER; levels that this operator does not know are kept.
    pub permissions: BTreeSet<String>,
    /// Why Databricks could not read the assignment, if it could not.
    pub error: Option<String>,
}

/// The principal of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignee {
    /// USER, GROUP or SERVICE_PRINCIPAL; UNKNOWN if the response does not say.
    pub principal_type: &'static str,
    /// The user's e-mail address, the group's name or the service principal's application id.
    pub name: Option<String>,
    /// The name for people.
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

impl From<RowPrincipal> for Assignee {
    fn from(row: RowPrincipal) -> Self {
        let names = [
            ("USER", row.user_name),
            ("GROUP", row.group_name),
            ("SERVICE_PRINCIPAL", row.service_principal_name),
        ];
        let named = names.into_iter().find_map(|(kind, name)| Some((kind, name?)));
        let (principal_type, name) = named.map_or(("UNKNOWN", None), |(kind, name)| (kind, Some(name)));
        Assignee { principal_type, name, display_name: row.display_name }
    }
}

const ADMIN: &str = "ADMIN";

/// What a spec gives, in the form in which the account has it.
pub fn normal_permissions(given: &[Permission]) -> BTreeSet<String> {
    normal(given.iter().map(|permission| format!("{permission:?}")))
}

/// ADMIN contains USER; unknown levels are kept.
fn normal(levels: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let levels = levels.into_iter().collect();
    if gives_admin(&levels) { [ADMIN.to_owned()].into() } else { levels }
}

/// Whether these permissions make an administrator of the workspace.
pub fn gives_admin(levels: &BTreeSet<String>) -> bool {
    levels.contains(ADMIN)
}

impl Assignments {
    /// All of them, or none if the workspace is gone.
    pub async fn list(self, api: &Reader) -> ApiResult<Vec<Assignment>> {
        Ok(self.list_if_there(api).await?.unwrap_or_default())
    }

    /// All of them; `None` if the workspace is gone. A row that grants nothing is no assignment; one with an error is kept: without it,
    /// its principal would count as without access.
    pub async fn list_if_there(self, api: &Reader) -> ApiResult<Option<Vec<Assignment>>> {
        let unreadable = || Error::retry("Databricks lists an assignment without its workspace or principal");
        let path = api.path(&["workspaces", &self.0.to_string(), "permissionassignments"]);
        let rows: Vec<Row> = match api.list(path, Pages::Whole("permission_assignments")).await {
            Ok(rows) => rows,
            Err(error) => match classify(error) {
                CallError::Api(error) if error.is_absence() => {
                    self.gone(api, error).await?;
                    return Ok(None);
                }
                error => return Err(error),
            },
        };
        let mut all = vec![];
        for row in rows {
            let permissions = normal(row.permissions.into_iter().flatten());
            let error = row.error.filter(|text| !text.is_empty());
            // The principal of this row is unknown: no principal can be reported as without access.
            let principal = row.principal.ok_or_else(unreadable)?;
            if permissions.is_empty() && error.is_none() {
                continue;
            }
            let principal_id = principal.principal_id.0;
            all.push(Assignment { principal_id, assignee: Some(principal.into()), permissions, error });
        }
        Ok(Some(all))
    }

    /// The assignments API says that the workspace does not exist. It may lag behind, and it would say the same of an account
    /// that it does not know, so that is believed only if the account lists its workspaces without this one: otherwise existing
    /// access would count as gone.
    async fn gone(self, api: &Reader, error: databricks::Error) -> ApiResult<()> {
        // Its failure is final: it must not count as one more report that the parent does not exist.
        let listed = api.list(api.path(&["workspaces"]), Pages::Bare).await;
        let all: Vec<Listed> = listed.map_err(Error::from)?;
        if all.iter().any(|listed| listed.workspace_id.0 == self.0) {
            return Err(Error::retry(format!("{error}; the account lists it, so it is read again")).into());
        }
        Ok(())
    }

    /// Gives a principal these permissions in place of those that it has. Without any, its access would be removed, so there must be one.
    pub async fn put(
        self,
        api: &Writer,
        principal_id: i64,
        wanted: &BTreeSet<String>,
    ) -> ApiResult<Assignment> {
        if wanted.is_empty() {
            return Err(Error::terminal(Reason::InternalError, "no permission is given").into());
        }
        let path = self.path(api, principal_id);
        let response: Row = api.put(path.clone(), json!({"permissions": wanted})).await.map_err(classify)?;
        if let Some(text) = response.error.filter(|text| !text.is_empty()) {
            let reason = if passes(&text) { Reason::WaitingForWorkspace } else { Reason::ApplyFailed };
            return Err(Error::waiting(reason, format!("{text} (PUT {path}, which changed nothing)")).into());
        }
        // Older responses have the permissions and not the principal.
        let permissions = response.permissions.map_or_else(|| wanted.clone(), normal);
        let assignee = response.principal.map(Assignee::from);
        Ok(Assignment { principal_id, assignee, permissions, error: None })
    }

    /// Removes the access of a principal.
    pub async fn delete(self, api: &Writer, principal_id: i64) -> ApiResult<()> {
        api.delete(self.path(api, principal_id)).await.map_err(|error| {
            // A principal that is not in the workspace need not be removed.
            if error.is_absence() { error.into() } else { classify(error) }
        })
    }

    fn path(self, api: &Reader, principal_id: i64) -> Path {
        let (workspace, principal) = (self.0.to_string(), principal_id.to_string());
        api.path(&["workspaces", &workspace, "permissionassignments", "principals", &principal])
    }
}

#[derive(Deserialize)]
struct Listed {
    workspace_id: Int64,
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
