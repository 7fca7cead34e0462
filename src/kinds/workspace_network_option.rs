//! WorkspaceNetworkOption: which network policy the serverless compute of a workspace is under. A workspace always has exactly one,
//! `default-policy` until another is set, and to delete this is to set that again.
//!
//! A policy may also restrict who reaches a workspace (ingress). The operator does not manage that part of a policy, but to give a
//! workspace such a policy in place of one without it can lock out all its users. So that is refused unless
//! `allowIngressRestriction` is true, also where a deletion does it. Restrictions of egress are what the kind is for, and need no
//! permission.

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::databricks::{Int64, Optional};
use crate::engine::crd::{Management, NEVER_CREATES, NameRef, NoFacts, Reason, Status, rule};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, ExternalResource, Guard, Key, Lifecycle, Observed, Path, Phase, Power,
    Reader, Reference, Resolved, Writer, parent,
};
use crate::kinds::account_network_policy::AccountNetworkPolicy;
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
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Network-Policy", "type": "string", "jsonPath": ".status.state", "description": "The id of the network policy."}"#,
    doc = "The network policy that the serverless compute of a workspace is under."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct WorkspaceNetworkOptionSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace. Give this or workspaceId. Once the option is managed, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, if this namespace has no Workspace for it. Give this or workspaceRef. Once the option is managed, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The AccountNetworkPolicy of this namespace. This or networkPolicyId is needed, except where nothing is created. The policy has an effect after some minutes, and compute that is running may need a restart. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_ref: Option<NameRef>,
    /// The id of the network policy, such as `default-policy`, if this namespace has no AccountNetworkPolicy for it. This or networkPolicyRef is needed, except where nothing is created. The policy has an effect after some minutes, and compute that is running may need a restart. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub network_policy_id: Option<String>,
    /// Allows the operator to replace a policy that does not restrict who may reach the workspace with one that does, also with `default-policy` by a deletion, which can lock out all users of the workspace; the account stays reachable. You may set it in advance, and leave it set. May be changed at any time. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_ingress_restriction: Option<bool>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([rule(
        "networkPolicyId",
        &format!("has(self.networkPolicyRef) || has(self.networkPolicyId) || {NEVER_CREATES}"),
        "networkPolicyRef or networkPolicyId is needed: set one of them; both can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
    )])
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkspaceNetworkOptionState {
    workspace_id: i64,
    network_policy_id: Option<String>,
    /// A permission, which is in no response and not sent.
    allow_ingress_restriction: Option<bool>,
}

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
    let state = WorkspaceNetworkOptionState {
        workspace_id: workspace_id.0,
        network_policy_id: Some(policy),
        allow_ingress_restriction: None,
    };
    Observed { id: workspace_id, state, facts: NoFacts {}, about }
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
    type Facts = NoFacts;

    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed(),
        Reference::to::<AccountNetworkPolicy>(
            "network_policy_id",
            &["networkPolicyId", "networkPolicyRef"],
            &["network policy"],
        ),
    ];
    const UNTOLD: &'static [&'static str] = &["allow_ingress_restriction"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(keep_users_in));

    fn desired(spec: &WorkspaceNetworkOptionSpec, got: &Resolved) -> Result<Self::State> {
        Ok(WorkspaceNetworkOptionState {
            workspace_id: got.number("workspace_id")?,
            network_policy_id: got.maybe("network_policy_id"),
            allow_ingress_restriction: spec.allow_ingress_restriction,
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

    async fn get(api: &Reader, id: &Int64) -> ApiResult<Option<Observed<Self>>> {
        Ok(Self::list(api, &id.to_string()).await?.pop())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let id = parent(within, "a workspace")?;
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

    /// Checks here what the guard checks of a change: it does not know the spec of what is deleted.
    async fn remove(api: &Writer, seen: &Observed<Self>, want: Option<&Self::State>) -> ApiResult<()> {
        let or = "set spec.deletionPolicy to Retain, with which the workspace stays under its present policy";
        may_be_under(api, DEFAULT, &seen.state, want, or).await?;
        Self::delete(api, seen).await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        put(api, seen.state.workspace_id, DEFAULT).await.map(drop)
    }
}

/// Refuses a change to a policy that may not be in place of the present one.
fn keep_users_in<'a>(
    act: &'a Act<'a, WorkspaceNetworkOption>,
    _: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    async move {
        let (Some(want), Some(seen)) = (act.want, act.seen) else { return Ok(()) };
        let Some(policy) = &want.network_policy_id else { return Ok(()) };
        let or = "let spec.networkPolicyRef or spec.networkPolicyId name another policy";
        may_be_under(api, policy, &seen.state, Some(want), or).await
    }
    .boxed()
}

/// Refuses a policy that restricts who may reach the workspace in place of one that does not, unless the spec allows it. `or` is another
/// way out.
async fn may_be_under(
    api: &Reader,
    policy: &str,
    seen: &WorkspaceNetworkOptionState,
    want: Option<&WorkspaceNetworkOptionState>,
    or: &str,
) -> Result<()> {
    let old = seen.network_policy_id.as_deref();
    let allowed = want.is_some_and(|want| want.allow_ingress_restriction == Some(true));
    if allowed || old == Some(policy) {
        return Ok(());
    }
    let after = restricted_ingress(api, policy).await?;
    if after.is_empty() {
        return Ok(());
    }
    let before = match old {
        Some(old) => restricted_ingress(api, old).await?,
        None => vec![],
    };
    if after.iter().all(|way| before.contains(way)) {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "the network policy {policy} restricts who may reach the workspace in a way in which its present policy does not ({}): \
             that can lock out all users of the workspace. Set spec.allowIngressRestriction to true to allow that, or {or}",
            after.join(", ")
        ),
    ))
}

/// The ways to a workspace that a policy restricts: from the internet, and by private endpoints.
async fn restricted_ingress(api: &Reader, policy: &str) -> Result<Vec<&'static str>> {
    let found: Option<Value> = api.get(api.path(&["network-policies", policy])).await.optional()?;
    let ingress = found.map(|policy| policy["ingress"].clone()).unwrap_or_default();
    let ways = ["public_access", "private_access"].into_iter();
    Ok(ways.filter(|way| ingress[*way]["restriction_mode"] == "RESTRICTED_ACCESS").collect())
}
