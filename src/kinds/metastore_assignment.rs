//! MetastoreAssignment: the metastore of a workspace, of which it has one or none. With it the workspace gets Unity Catalog.
//!
//! The API puts a second assignment in place of the first, and the users of the workspace lose access to all data of the first. So an
//! assignment is written only while the workspace has no other metastore: a move is a deletion and a create, which a person requests.
//! An id has both, the workspace and the metastore: if another client moves the workspace, this assignment is gone, and neither a
//! correction nor a deletion of it touches the other one.
//!
//! The default catalog that an assignment can name is deprecated, and not managed.

use crate::apis::with_common_code;
use crate::engine::kind::{Lifecycle, Power};
use crate::engine::prelude::*;
use crate::kinds::metastore::Metastore;
use crate::kinds::workspace::Workspace;

/// The metastore of a workspace. It is retained by default, as its deletion takes all data of the metastore from the users of the workspace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "MetastoreAssignment",
    shortname = "dbma",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Workspace", "type": "string", "jsonPath": ".status.observed.workspaceId", "description": "The id of the workspace."}"#,
    printcolumn = r#"{"name": "Metastore", "type": "string", "jsonPath": ".status.observed.metastoreId", "description": "The id of the metastore."}"#,
    doc = "The metastore of a workspace. It is retained by default, as its deletion takes all data of the metastore from the users of the workspace."
)]
#[serde(rename_all = "camelCase")]
pub struct MetastoreAssignmentSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace, in the region of the metastore. Give this or workspaceId. Once the assignment exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, if this namespace has no Workspace for it. Give this or workspaceRef. Once the assignment exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The Metastore of this namespace. Give this or metastoreId. Once the assignment exists, it must continue to mean the same metastore. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metastore_ref: Option<NameRef>,
    /// The id of the metastore, if this namespace has no Metastore for it. Give this or metastoreRef. Once the assignment exists, it must continue to mean the same metastore. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub metastore_id: Option<String>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct MetastoreAssignmentState {
    workspace_id: i64,
    metastore_id: String,
}

#[derive(Deserialize)]
struct Envelope {
    metastore_assignment: Remote,
}

#[derive(Deserialize)]
struct Remote {
    metastore_id: String,
}

fn observed(workspace_id: i64, metastore_id: String) -> Observed<MetastoreAssignment> {
    let id = Inside { within: workspace_id, own: metastore_id.clone() };
    let state = MetastoreAssignmentState { workspace_id, metastore_id };
    Observed { id, state, facts: NoFacts {}, about: About::default() }
}

impl ExternalResource for MetastoreAssignment {
    type State = MetastoreAssignmentState;
    /// The workspace and the metastore.
    type Id = Inside<i64, String>;
    type Facts = NoFacts;

    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed(),
        Reference::to::<Metastore>("metastore_id", &["metastoreId", "metastoreRef"], &["metastore"])
            .required()
            .fixed(),
    ];
    const LIFECYCLE: Lifecycle = Lifecycle::Upsert;
    const RETAINED: bool = true;
    /// Of two assignments of one workspace that are created at the same time, the second must see the first.
    const CREATES_IN_TURN: bool = true;

    fn desired(_: &MetastoreAssignmentSpec, got: &Resolved) -> Result<MetastoreAssignmentState> {
        Ok(MetastoreAssignmentState {
            workspace_id: got.number("workspace_id")?,
            metastore_id: got.id("metastore_id")?.to_owned(),
        })
    }

    fn within(id: &Self::Id) -> String {
        id.within.to_string()
    }

    fn key(state: &MetastoreAssignmentState) -> Key {
        Key { within: state.workspace_id.to_string(), name: state.metastore_id.clone() }
    }

    fn power(state: &MetastoreAssignmentState) -> Power {
        Power::in_workspace(state.workspace_id)
    }

    /// A workspace without a metastore has none to read, as one that is gone: the engine takes either for an empty list.
    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let workspace_id = parent(within, "a workspace")?;
        Ok(vec![present(api, workspace_id).await?])
    }

    /// Assigns the metastore. If it is assigned already, another user did that after our last LIST: the next one shows it. The response
    /// says nothing, so a read shows whether the workspace has it.
    async fn create(api: &Writer, want: &MetastoreAssignmentState) -> ApiResult<Created<Self>> {
        match present(api, want.workspace_id).await.optional()? {
            None => {}
            Some(seen) if seen.state.metastore_id == want.metastore_id => {
                return Err(
                    Error::Conflict(format!("the account has the assignment {} already", seen.id)).into()
                );
            }
            Some(seen) => return Err(has_another(want, &seen.state.metastore_id).into()),
        }
        let body = json!({"metastore_assignment": {
            "workspace_id": want.workspace_id,
            "metastore_id": want.metastore_id,
            // Required by the schema, and without a meaning of its own.
            "default_catalog_name": "",
        }});
        api.post::<IgnoredAny>(path(api, want), body).await.map_err(not_yet)?;
        let missing = || Error::retry("Databricks accepted the assignment, and does not show it");
        // However that fails, the assignment was sent.
        let unread = |error: databricks::Error| Error::retry(error.to_string());
        let seen = present(api, want.workspace_id).await.optional().map_err(unread)?;
        Ok(seen.filter(|seen| seen.state.metastore_id == want.metastore_id).ok_or_else(missing)?.into())
    }

    /// The path of a deletion names a metastore, and it is not known whether the API minds it: the workspace may have been moved since.
    /// That one read shows another metastore, or none, proves no deletion: the next LIST decides.
    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let present = present(api, seen.state.workspace_id).await.optional()?;
        if present.is_none_or(|present| present.id != seen.id) {
            let text = format!("the account did not show the assignment {} any more", seen.id);
            return Err(Error::Conflict(text).into());
        }
        Ok(api.delete(path(api, &seen.state)).await.map_err(with_common_code)?)
    }
}

/// The assignment of a workspace, whatever its metastore.
async fn present(
    api: &Reader,
    workspace_id: i64,
) -> Result<Observed<MetastoreAssignment>, databricks::Error> {
    let path = api.path(&["workspaces", &workspace_id.to_string(), "metastore"]);
    let found: Envelope = api.get(path).await.map_err(with_common_code)?;
    Ok(observed(workspace_id, found.metastore_assignment.metastore_id))
}

/// Where one assignment is written.
fn path(api: &Reader, state: &MetastoreAssignmentState) -> Path {
    api.path(&["workspaces", &state.workspace_id.to_string(), "metastores", &state.metastore_id])
}

/// The refusal to put another metastore in place of the one that the workspace has.
fn has_another(want: &MetastoreAssignmentState, present: &str) -> Error {
    let text = format!(
        "workspace {} has the metastore {present}, and its users would lose access to all data of that one: to keep it, delete this \
         object and apply it again with spec.metastoreId {present}; to have {} in its place, remove the assignment to {present} first",
        want.workspace_id, want.metastore_id
    );
    Error::rejected(Reason::AlreadyExists, text)
}

/// Databricks does not know the region of a workspace for some minutes after it was created.
fn not_yet(error: databricks::Error) -> CallError {
    let error = with_common_code(error);
    let databricks::Error::Api { status: 400..=499, message, .. } = &error else { return error.into() };
    if message.to_lowercase().contains("workspace region: unknown") {
        let text = format!("{error}; Databricks learns the region of a new workspace within some minutes");
        return Error::waiting(Reason::WaitingForWorkspace, text).into();
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_workspace_without_a_region_is_waited_for_and_a_wrong_region_is_not() {
        let class = |message: &str| {
            let (call, code) =
                ("POST /workspaces/1/metastores/2".into(), Some("INVALID_PARAMETER_VALUE".into()));
            let (message, retry_after, request_id) = (message.into(), None, None);
            Error::from(not_yet(databricks::Error::Api {
                call,
                status: 400,
                code,
                message,
                retry_after,
                request_id,
            }))
        };
        let text = "Workspace is not in the same region as metastore. Workspace region: ";
        let new = class(&format!("{text}Unknown, Metastore region: eu-west-1"));
        assert!(matches!(new, Error::Waiting { reason: Reason::WaitingForWorkspace, .. }), "{new:?}");
        let wrong = class(&format!("{text}us-east-1, Metastore region: eu-west-1"));
        assert!(wrong.is_rejected(Reason::InvalidSpec), "{wrong:?}");
    }
}
