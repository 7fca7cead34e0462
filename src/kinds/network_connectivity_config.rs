//! NetworkConnectivityConfig: how serverless compute reaches your network. Its private endpoint rules are a kind of their own.
//!
//! A workspace refers to its configuration. The configuration refers back to the workspace that it bills only by id: that workspace
//! must be attached first, so a reference in both directions could never be resolved.
//!
//! Two configurations that exchange their names need a third name, as the account may refuse one that is in use in the region.

pub mod spec;

use crate::engine::prelude::*;

pub use spec::{NetworkConnectivityConfig, NetworkConnectivityConfigFacts, NetworkConnectivityConfigSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct NetworkConnectivityConfigState {
    name: Option<String>,
    region: Option<String>,
    billing_workspace_id: Option<Int64>,
}

#[derive(Deserialize)]
struct Remote {
    network_connectivity_config_id: String,
    #[serde(flatten)]
    state: NetworkConnectivityConfigState,
    egress_config: Option<Value>,
    creation_time: Option<Int64>,
}

impl From<Remote> for Observed<NetworkConnectivityConfig> {
    fn from(remote: Remote) -> Self {
        let egress = remote.egress_config.unwrap_or_default();
        let texts = |pointer: &str| {
            let list = egress.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let facts = NetworkConnectivityConfigFacts {
            egress_cidr_blocks: texts("/default_rules/aws_stable_ip_rule/cidr_blocks"),
            egress_subnets: texts("/default_rules/azure_service_endpoint_rule/subnets"),
        };
        let about = About { created: remote.creation_time.map(|ms| ms.0 / 1000), ..About::default() };
        Observed { id: remote.network_connectivity_config_id, state: remote.state, facts, about }
    }
}

impl ExternalResource for NetworkConnectivityConfig {
    type State = NetworkConnectivityConfigState;
    type Id = String;
    type Facts = NetworkConnectivityConfigFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "region", spec: &["region"] }];
    const NAME: &'static [&'static str] = &["name", "region"];

    fn desired(spec: &NetworkConnectivityConfigSpec, _: &Resolved) -> Result<NetworkConnectivityConfigState> {
        Ok(NetworkConnectivityConfigState {
            name: spec.name.clone(),
            region: spec.region.clone(),
            billing_workspace_id: spec.billing_workspace_id.map(Int64),
        })
    }

    fn key(state: &NetworkConnectivityConfigState) -> Key {
        let name =
            state.region.as_ref().zip(state.name.as_ref()).map(|(region, name)| format!("{region}/{name}"));
        Key { within: String::new(), name: name.unwrap_or_default() }
    }

    /// The name may be changed, here and in the account.
    fn recognises(want: &NetworkConnectivityConfigState, seen: &Observed<Self>) -> bool {
        want.region.is_none() || want.region == seen.state.region
    }

    /// A name has at most 30 characters, so it has a part of the id.
    fn aside(want: NetworkConnectivityConfigState, id: &String) -> Option<NetworkConnectivityConfigState> {
        want.name.as_ref()?;
        let part: String = id.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
        Some(NetworkConnectivityConfigState { name: Some(format!("aside-{part}")), ..want })
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&[CONFIGS, id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&[CONFIGS]), Pages::Token("items")).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &NetworkConnectivityConfigState) -> ApiResult<Created<Self>> {
        let body = json!({"name": want.name, "region": want.region});
        let created: Remote = api.post(api.path(&[CONFIGS]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &NetworkConnectivityConfigState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = api.path(&[CONFIGS, &seen.id]).with("update_mask", now.join(","));
        let changed = api.patch::<Remote>(path, only(now, &json!(want))).await;
        Ok(changed.map_err(|error| not_billed(error, now))?.into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        api.delete(api.path(&[CONFIGS, &seen.id])).await.map_err(in_use)
    }
}

/// The collection in the API.
const CONFIGS: &str = "network-connectivity-configs";

/// A workspace can be billed only once it is attached and runs. If other fields are sent as well, the text says what it is about.
fn not_billed(error: databricks::Error, now: &[&str]) -> CallError {
    let databricks::Error::Api { status: 400, message, .. } = &error else { return error.into() };
    let text = message.to_lowercase();
    let about_billing = now.len() == 1 || text.contains("billing") || text.contains("workspace");
    if !now.contains(&"billing_workspace_id") || !about_billing {
        return error.into();
    }
    let text = format!(
        "{error}; the workspace of spec.billingWorkspaceId must be running and attached to this configuration: attach it by its \
         networkConnectivityConfigRef, or correct spec.billingWorkspaceId"
    );
    Error::waiting(Reason::ApplyFailed, text).into()
}

/// The API refuses a deletion because of rules, also deactivated ones, or of workspaces; only its text says which. Rules go, so
/// the operator waits for that however long it takes; a workspace may stay for good.
fn in_use(error: databricks::Error) -> CallError {
    let databricks::Error::Api { status: 400 | 409, message, .. } = &error else { return error.into() };
    let text = message.to_lowercase();
    let by_workspace = text.contains("workspace") && !text.contains("endpoint rule");
    let reason = if by_workspace { Reason::DependencyStillInUse } else { Reason::ApplyFailed };
    let text = format!(
        "{error}; the deletion is retried: Databricks keeps a deleted private endpoint rule for some days, and a workspace keeps its \
         configuration until it gets another one by its networkConnectivityConfigRef. To leave this one in the account, set \
         spec.deletionPolicy to Retain"
    );
    Error::waiting(reason, text).into()
}

#[cfg(test)]
mod tests;
