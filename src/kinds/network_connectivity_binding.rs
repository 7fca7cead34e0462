//! NetworkConnectivityBinding: which network connectivity configuration the serverless compute of a workspace is under. It is a field of
//! the workspace, changed by a PATCH of it, for workspaces that no Workspace object manages: those on Azure, and those of others.
//!
//! A workspace without a configuration is vacant. One that has a configuration, from any client, keeps it until a policy says otherwise:
//! Databricks itself would replace it without a word. No workspace can be without one again, so a binding always stays.
//!
//! Not beside `Workspace.spec.networkConnectivityConfigRef` or `…Id`, which is the same field of the workspace: the engine refuses the second
//! of the two.

use crate::apis::network_connectivity_of;
use crate::engine::crd::NEVER_CREATES;
use crate::engine::kind::{Lifecycle, Parts, Power, not_now};
use crate::engine::prelude::*;
use crate::kinds::network_connectivity_config::NetworkConnectivityConfig;
use crate::kinds::workspace::Workspace;

/// The network connectivity configuration of a workspace that no Workspace object manages, such as one on Azure.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "NetworkConnectivityBinding",
    shortname = "dbncb",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Config", "type": "string", "jsonPath": ".status.observed.networkConnectivityConfigId", "description": "The id of the network connectivity configuration."}"#,
    doc = "The network connectivity configuration of a workspace that no Workspace object manages, such as one on Azure."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct NetworkConnectivityBindingSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace, which must not have a network connectivity configuration in its own spec: the second of the two is refused (ManagementConflict). Give this or workspaceId. Once the binding is managed, it must continue to mean the same workspace. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, if this namespace has no Workspace for it. Give this or workspaceRef. Once the binding is managed, it must continue to mean the same workspace. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The NetworkConnectivityConfig of this namespace, in the region of the workspace. This or networkConnectivityConfigId is needed, except where nothing is created. May be changed while the workspace is RUNNING, never removed: a workspace cannot be without a configuration again. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_connectivity_config_ref: Option<NameRef>,
    /// The id of the network connectivity configuration, in the region of the workspace, if this namespace has no NetworkConnectivityConfig for it. This or networkConnectivityConfigRef is needed, except where nothing is created. May be changed while the workspace is RUNNING, never removed: a workspace cannot be without a configuration again. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub network_connectivity_config_id: Option<String>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([rule(
        "networkConnectivityConfigId",
        &format!(
            "has(self.networkConnectivityConfigRef) || has(self.networkConnectivityConfigId) || {NEVER_CREATES}"
        ),
        "networkConnectivityConfigRef or networkConnectivityConfigId is needed: set one of them; both can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
    )])
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct NetworkConnectivityBindingState {
    workspace_id: i64,
    network_connectivity_config_id: Option<String>,
}

/// A workspace.
#[derive(Deserialize)]
struct Remote {
    network_connectivity_config_id: Option<String>,
    workspace_status: Option<String>,
}

/// What the workspace must be for a change. While it is FAILED, a change would provision it again.
const RUNNING: &str = "RUNNING";
/// A response that does not say what it is may be about a FAILED one.
const UNKNOWN: &str = "in a state that Databricks does not report";
/// What to write if a Workspace has the field.
const NOT_BOTH: &str = "delete this object, or remove spec.networkConnectivityConfigRef and spec.networkConnectivityConfigId from that Workspace";
/// The field of the workspace.
const CONFIG: &str = "network_connectivity_config_id";

impl Remote {
    fn observed(self, workspace_id: Int64) -> Observed<NetworkConnectivityBinding> {
        let config = self.network_connectivity_config_id.filter(|id| !id.is_empty());
        let phase = if config.is_none() { Phase::Vacant } else { Phase::Ready };
        let status = self.workspace_status.filter(|status| !status.is_empty());
        let about = About { phase, state: status, ..About::default() };
        let state = NetworkConnectivityBindingState {
            workspace_id: workspace_id.0,
            network_connectivity_config_id: config,
        };
        Observed { id: workspace_id, state, facts: NoFacts {}, about }
    }
}

fn path(api: &Reader, workspace: &str) -> Path {
    api.path(&["workspaces", workspace])
}

impl ExternalResource for NetworkConnectivityBinding {
    type State = NetworkConnectivityBindingState;
    type Id = Int64;
    type Facts = NoFacts;

    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed(),
        Reference::to::<NetworkConnectivityConfig>(
            CONFIG,
            &["networkConnectivityConfigId", "networkConnectivityConfigRef"],
            &["network connectivity"],
        ),
    ];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const REMOVABLE: bool = false;
    const PARTS: Option<Parts<Self::State, Self::Id>> = Some(|want, id| {
        let workspace = id.map_or(want.workspace_id, |id| id.0);
        let config = want.network_connectivity_config_id.as_ref();
        config.map(|_| network_connectivity_of(workspace, NOT_BOTH)).into_iter().collect()
    });

    fn desired(_: &NetworkConnectivityBindingSpec, got: &Resolved) -> Result<Self::State> {
        Ok(NetworkConnectivityBindingState {
            workspace_id: got.number("workspace_id")?,
            network_connectivity_config_id: got.maybe(CONFIG),
        })
    }

    fn within(id: &Int64) -> String {
        id.to_string()
    }

    fn key(state: &Self::State) -> Key {
        Key { within: state.workspace_id.to_string(), name: String::new() }
    }

    fn power(state: &Self::State) -> Power {
        Power::in_workspace(state.workspace_id)
    }

    fn changes(want: &Self::State, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let status = seen.about.state.as_deref().unwrap_or(UNKNOWN);
        let when = |path: &str| match (path, status) {
            (CONFIG, RUNNING) => When::Now,
            (CONFIG, _) => When::NotNow(format!(
                "the workspace is {status}; it gets the configuration once it is RUNNING"
            )),
            _ => When::Never(CANNOT_CHANGE.into()),
        };
        let paths = differences::<Self>(want, seen)?.into_iter();
        Ok(paths.map(|path| Change { when: when(&path), path }).collect())
    }

    async fn get(api: &Reader, id: &Int64) -> ApiResult<Option<Observed<Self>>> {
        Ok(Self::list(api, &id.to_string()).await?.pop())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let id = parent(within, "a workspace")?;
        let workspace: Remote = api.get(path(api, within)).await?;
        Ok(vec![workspace.observed(id)])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Self::State,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let id = seen.id.to_string();
        let body = json!({CONFIG: want.network_connectivity_config_id});
        // The response may not be final, so the workspace is read.
        let sent = api.patch::<IgnoredAny>(path(api, &id).with("update_mask", CONFIG), body).await;
        sent.map_err(not_now)?;
        let workspace: Remote = api.get(path(api, &id)).await?;
        Ok(workspace.observed(seen.id))
    }
}
