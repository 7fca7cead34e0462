//! WorkspaceNetworkOption: which network policy the serverless compute of a workspace is under. A workspace always has exactly one,
//! `default-policy` until another is set, and to delete this is to set that again.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::Int64;
use crate::engine::crd::{Management, NameRef, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, ApiResult, ExternalResource, Key, Lifecycle, Observed, Path, Phase, Power, Reader, Reference,
    Resolved, Writer,
};
use crate::kinds::workspace::Workspace;

/// The network policy that the serverless compute of a workspace is under.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "WorkspaceNetworkOption",
    shortname = "dbwno",
    category = "databricks",
    namespaced,
    status = "Status<WorkspaceNetworkOptionFacts>",
    printcolumn = r#"{"name": "Network-Policy", "type": "string", "jsonPath": ".status.state", "description": "The id of the network policy."}"#,
    doc = "The network policy that the serverless compute of a workspace is under."
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceNetworkOptionSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace. Give this or workspaceId. Once the option is managed, it can be changed only to what means the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, where no Workspace of this namespace stands for it. Give this or workspaceRef. Once the option is managed, it can be changed only to what means the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The id of the network policy, such as `default-policy`. It has an effect after some minutes, and compute that is running may need a restart. A policy that restricts who may reach the workspace can lock its users out; the account stays reachable. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub network_policy_id: Option<String>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkspaceNetworkOptionState {
    workspace_id: i64,
    network_policy_id: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceNetworkOptionFacts {}

/// The policy of a workspace for which none was set.
const DEFAULT: &str = "default-policy";

/// The response to a change lacks the workspace.
#[derive(Deserialize)]
struct Remote {
    network_policy_id: Option<String>,
}

fn observed(workspace_id: Int64, remote: Remote) -> Observed<WorkspaceNetworkOption> {
    let policy = remote.network_policy_id.filter(|id| !id.is_empty()).unwrap_or_else(|| DEFAULT.into());
    let phase = if policy == DEFAULT { Phase::Vacant } else { Phase::Ready };
    let about = About { phase, state: Some(policy.clone()), ..About::default() };
    let state = WorkspaceNetworkOptionState { workspace_id: workspace_id.0, network_policy_id: Some(policy) };
    Observed { id: workspace_id, state, facts: WorkspaceNetworkOptionFacts {}, about }
}

fn path(api: &Reader, workspace: &str) -> Path {
    api.path(&["workspaces", workspace, "network"])
}

async fn put(api: &Writer, workspace_id: i64, policy: &str) -> ApiResult<Observed<WorkspaceNetworkOption>> {
    let body = json!({"workspace_id": workspace_id, "network_policy_id": policy});
    let remote: Remote = api.put(path(api, &workspace_id.to_string()), body).await?;
    Ok(observed(
        Int64(workspace_id),
        Remote { network_policy_id: remote.network_policy_id.or(Some(policy.into())) },
    ))
}

impl ExternalResource for WorkspaceNetworkOption {
    type State = WorkspaceNetworkOptionState;
    type Id = Int64;
    type Facts = WorkspaceNetworkOptionFacts;

    const REFERENCES: &'static [Reference] =
        &[Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed()];
    const REQUIRED: &'static [&'static str] = &["networkPolicyId"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;

    fn desired(spec: &WorkspaceNetworkOptionSpec, got: &Resolved) -> Result<Self::State> {
        let workspace_id = got.number("workspace_id")?;
        Ok(WorkspaceNetworkOptionState { workspace_id, network_policy_id: spec.network_policy_id.clone() })
    }

    fn within(id: &Int64) -> String {
        id.to_string()
    }

    fn key(state: &Self::State) -> Key {
        Key { within: state.workspace_id.to_string(), name: String::new() }
    }

    fn power(state: &Self::State) -> Power {
        Power { workspace_id: Some(state.workspace_id.to_string()), ..Power::default() }
    }

    async fn get(api: &Reader, id: &Int64) -> ApiResult<Option<Observed<Self>>> {
        Ok(Self::list(api, &id.to_string()).await?.pop())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let id = within.parse().map_err(|e| Error::retry(format!("the workspace {within}: {e}")))?;
        Ok(vec![observed(id, api.get(path(api, within)).await?)])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Self::State,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        // What a spec leaves out stays.
        let policy = want.network_policy_id.as_ref().or(seen.state.network_policy_id.as_ref());
        put(api, want.workspace_id, policy.map_or(DEFAULT, String::as_str)).await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        put(api, seen.state.workspace_id, DEFAULT).await.map(drop)
    }
}
