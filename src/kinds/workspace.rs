//! Workspace: a Databricks workspace. Those on AWS and GCP are managed; those on Azure are only observed, because Azure creates
//! workspaces through ARM.
//!
//! A workspace on AWS carries its owner as a custom tag. In [`WorkspaceState`] that tag is separate from the others, so that they
//! can be left unmanaged while it is kept; on the wire they are one map, which is only ever sent whole. One on GCP has no tags, and
//! the API does not say who created it: only its recorded id proves ownership, and the result of a create whose response was lost is for a
//! person to recognise.
//!
//! Ready means RUNNING. The name of its host may resolve only some minutes later, and the operator does not wait for that:
//! nothing in the account needs the host, and an operator that cannot reach it, as with PrivateLink, would wait forever. The
//! kinds whose objects are in a workspace call its host, and wait for it by themselves (`WaitingForWorkspace`).
//!
//! Longer than a plain kind: a table says what may change in which state, the errors of its network are shown with it (`health`),
//! and each cloud has fields of its own. The text of its fields is in `spec`.

mod health;
mod private_access;
pub mod spec;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use health::BY_NETWORK;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spec::{OWNER_TAG, TAG_VALUE_MAX};

use crate::apis::network_connectivity_of;
use crate::databricks::{self, Int64, Optional, Pages, workspace_url};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, CANNOT_CHANGE, CallError, Change, Created, Explained, ExternalResource, Immutable,
    Key, Observed, Ownership, Parts, Phase, Reader, Reference, Resolved, When, Writer, differences, not_now,
    tried_in_aws,
};
use crate::kinds::credential::Credential;
use crate::kinds::customer_managed_key::CustomerManagedKey;
use crate::kinds::network::Network;
use crate::kinds::network_connectivity_config::NetworkConnectivityConfig;
use crate::kinds::private_access_settings::PrivateAccessSettings;
use crate::kinds::storage_configuration::StorageConfiguration;

pub use spec::{Workspace, WorkspaceFacts, WorkspaceSpec};

/// What a spec controls, in the API's fields, but for the tags: `custom_tags` are those that are not ours.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkspaceState {
    workspace_name: Option<String>,
    deployment_name: Option<String>,
    aws_region: Option<String>,
    credentials_id: Option<String>,
    storage_configuration_id: Option<String>,
    network_id: Option<String>,
    private_access_settings_id: Option<String>,
    managed_services_customer_managed_key_id: Option<String>,
    storage_customer_managed_key_id: Option<String>,
    network_connectivity_config_id: Option<String>,
    custom_tags: Option<BTreeMap<String, String>>,
    owner_tag: Option<String>,
    pricing_tier: Option<String>,
    compute_mode: Option<String>,
    location: Option<String>,
    /// In `cloud_resource_container` of the API.
    project_id: Option<String>,
    /// In `gcp_managed_network_config` of the API.
    subnet_cidr: Option<String>,
    is_no_public_ip_enabled: Option<bool>,
    /// Until which state Databricks provisions; what it makes of this once the workspace runs is not compared.
    expected_workspace_status: Option<String>,
    /// A permission, which is in no response and not sent.
    allow_public_access_removal: Option<bool>,
}

/// The id of a workspace: 64 bits, written as digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceId(pub i64);

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WorkspaceId {
    type Err = &'static str;

    /// Reads only the form that is written, so that one workspace has one id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().ok().map(WorkspaceId).filter(|id| id.to_string() == text);
        id.ok_or("it must be a 64-bit number in plain digits")
    }
}

#[derive(Deserialize)]
struct Remote {
    workspace_id: Int64,
    #[serde(flatten)]
    state: WorkspaceState,
    workspace_status: Option<String>,
    workspace_status_message: Option<String>,
    workspace_url: Option<String>,
    storage_mode: Option<String>,
    #[serde(default)]
    cloud_resource_container: Value,
    #[serde(default)]
    gcp_managed_network_config: Value,
    #[serde(default)]
    azure_workspace_info: Value,
    creation_time: Option<Int64>,
}

impl Remote {
    fn observed(self, host: &str, on_google: bool) -> Observed<Workspace> {
        let deployment = self.state.deployment_name.as_deref();
        let workspace_url = workspace_url(host, self.workspace_url.as_deref(), deployment);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut state = self.state;
        state.project_id = text(self.cloud_resource_container.pointer("/gcp/project_id"));
        state.subnet_cidr = text(self.gcp_managed_network_config.get("subnet_cidr"));
        let mut tags = state.custom_tags.take().unwrap_or_default();
        state.owner_tag = tags.remove(OWNER_TAG);
        state.custom_tags = Some(tags);
        // The API may leave out the default, as of a workspace that is older than the field. Those on Azure have none.
        if state.aws_region.is_some() || state.project_id.is_some() {
            state.compute_mode.get_or_insert_with(|| HYBRID.to_owned());
        }
        // The API spells tiers in different cases.
        state.pricing_tier = state.pricing_tier.map(|tier| tier.to_ascii_uppercase());
        let status = self.workspace_status.as_deref();
        let phase = if is_paused(status, &state) {
            Phase::Awaiting(PAUSED.into())
        } else {
            phase(status, self.workspace_status_message.as_deref())
        };
        let about = About {
            phase,
            state: self.workspace_status.clone(),
            owner: state.owner_tag.clone(),
            unmarkable: on_google,
            created: self.creation_time.map(|ms| ms.0 / 1000),
            ..About::default()
        };
        let on_gcp = state.project_id.as_ref().and(state.location.as_ref());
        let facts = WorkspaceFacts {
            workspace_url,
            workspace_status: self.workspace_status,
            storage_mode: self.storage_mode,
            gcp_service_account_email: on_gcp.map(|region| service_account(self.workspace_id.0, region)),
            azure_subscription_id: text(self.azure_workspace_info.get("subscription_id")),
            azure_resource_group: text(self.azure_workspace_info.get("resource_group")),
        };
        Observed { id: WorkspaceId(self.workspace_id.0), state, facts, about }
    }
}

/// The service account that a workspace on GCP has. No response has it: this is how Databricks names it.
fn service_account(workspace_id: i64, region: &str) -> String {
    format!("db-{workspace_id}@prod-gcp-{region}.iam.gserviceaccount.com")
}

/// The compute that a workspace has by default.
const HYBRID: &str = "HYBRID";
const PROVISIONING: &str = "PROVISIONING";
const RUNNING: &str = "RUNNING";
const EXPECTED: &str = "expected_workspace_status";
const ACCESS: &str = "private_access_settings_id";

const PAUSED: &str = "Databricks has paused the provisioning, as the workspace was created with expectedWorkspaceStatus PROVISIONING: do in \
     your cloud what the workspace needs (on GCP give its roles to the service account in status.gcpServiceAccountEmail), then set \
     spec.expectedWorkspaceStatus to RUNNING";

/// Whether Databricks waits with the provisioning. Assumed: it shows until which state it provisions. If it did not, a paused workspace
/// would look like one that is being provisioned, and be reported after the usual time.
fn is_paused(status: Option<&str>, seen: &WorkspaceState) -> bool {
    status == Some(PROVISIONING) && seen.expected_workspace_status.as_deref() == Some(PROVISIONING)
}

fn phase(status: Option<&str>, message: Option<&str>) -> Phase {
    let message = message.filter(|m| !m.is_empty()).unwrap_or("Databricks gives no reason");
    match status.unwrap_or("no state") {
        "RUNNING" => Phase::Ready,
        "NOT_PROVISIONED" | "PROVISIONING" => Phase::Pending(message.into()),
        "FAILED" => Phase::Failed(format!("Databricks could not provision the workspace ({message})")),
        "BANNED" => Phase::Failed(format!(
            "Databricks has suspended the workspace ({message}): ask Databricks to lift that"
        )),
        "CANCELLING" | "CANCELLED" => Phase::Leaving(message.into()),
        other => Phase::Pending(format!(
            "the workspace is in a state unknown to this operator, {other} ({message})"
        )),
    }
}

/// The one table of which field may change when: while RUNNING as it says, while FAILED whenever it is named here at all,
/// otherwise not yet. A field that is not named never changes. Only Databricks knows one more rule: while FAILED, the
/// storage key cannot change if the workspace ever was RUNNING.
fn may_change(field: &str, status: &str, seen: &WorkspaceState) -> When {
    let (while_running, remedy) = match field {
        "credentials_id"
        | "private_access_settings_id"
        | "allow_public_access_removal"
        | "managed_services_customer_managed_key_id"
        | "network_connectivity_config_id"
        | "custom_tags"
        | "owner_tag" => (true, ""),
        // It differs only while it may change.
        EXPECTED => return When::Now,
        "network_id" => (
            seen.network_id.is_some(),
            "a running workspace in a network created by Databricks cannot move to another",
        ),
        "storage_customer_managed_key_id" => (
            seen.storage_customer_managed_key_id.is_none(),
            "a running workspace keeps the storage key that it has",
        ),
        "aws_region" => (false, "a running workspace stays in its region"),
        "storage_configuration_id" => (false, "a running workspace keeps its root bucket"),
        _ => return When::Never(CANNOT_CHANGE.into()),
    };
    match status {
        "FAILED" => When::Now,
        "RUNNING" if while_running => When::Now,
        "RUNNING" => When::Never(remedy.into()),
        "BANNED" => When::NotNow(
            "Databricks has suspended the workspace (BANNED); it is changed once Databricks has lifted that"
                .into(),
        ),
        _ => When::NotNow(format!(
            "the workspace is {status}; the operator changes it once that state has ended"
        )),
    }
}

/// The account's prefix, which Databricks adds, is not known; `EMPTY` asks for the prefix alone.
fn same_deployment(want: &str, seen: &str) -> bool {
    want == "EMPTY" || seen == want || seen.strip_suffix(want).is_some_and(|prefix| prefix.ends_with('-'))
}

/// What to write if a binding has the network connectivity configuration.
const NOT_BOTH: &str = "remove spec.networkConnectivityConfigRef and spec.networkConnectivityConfigId here, or delete the \
     NetworkConnectivityBinding of this workspace, which leaves the configuration as it is";

const fn fixed(state: &'static str, spec: &'static [&'static str]) -> Immutable {
    Immutable { state, spec }
}

/// Databricks tests role and bucket once more for each workspace.
fn classify(error: databricks::Error) -> CallError {
    let role = "spec.credentialsId (or spec.credentialsRef)";
    match tried_in_aws(&error, role, "spec.storageConfigurationId (or spec.storageConfigurationRef)") {
        Some(refused) => refused.into(),
        None => not_now(error),
    }
}

impl ExternalResource for Workspace {
    type State = WorkspaceState;
    type Id = WorkspaceId;
    type Facts = WorkspaceFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        fixed("workspace_name", &["workspaceName"]),
        fixed("deployment_name", &["deploymentName"]),
        fixed("pricing_tier", &["pricingTier"]),
        fixed("compute_mode", &["computeMode"]),
        fixed("location", &["location"]),
        fixed("project_id", &["cloudResourceContainer.gcp.projectId"]),
        fixed("subnet_cidr", &["gcpManagedNetworkConfig.subnetCidr"]),
        fixed("is_no_public_ip_enabled", &["isNoPublicIpEnabled"]),
    ];
    const UNTOLD: &'static [&'static str] = &["is_no_public_ip_enabled", "allow_public_access_removal"];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Credential>("credentials_id", &["credentialsId", "credentialsRef"], &["credential"]),
        Reference::to::<StorageConfiguration>(
            "storage_configuration_id",
            &["storageConfigurationId", "storageConfigurationRef"],
            &["storage"],
        ),
        Reference::to::<Network>("network_id", &["networkId", "networkRef"], &["network"]),
        Reference::to::<PrivateAccessSettings>(
            "private_access_settings_id",
            &["privateAccessSettingsId", "privateAccessSettingsRef"],
            &["private access"],
        ),
        Reference::to::<CustomerManagedKey>(
            "managed_services_customer_managed_key_id",
            &["managedServicesCustomerManagedKeyId", "managedServicesCustomerManagedKeyRef"],
            &["managed key", "encryption key"],
        ),
        Reference::to::<CustomerManagedKey>(
            "storage_customer_managed_key_id",
            &["storageCustomerManagedKeyId", "storageCustomerManagedKeyRef"],
            &["managed key", "encryption key"],
        ),
        Reference::to::<NetworkConnectivityConfig>(
            "network_connectivity_config_id",
            &["networkConnectivityConfigId", "networkConnectivityConfigRef"],
            &["network connectivity"],
        ),
    ];
    const NAME: &'static [&'static str] = &["workspaceName"];
    const OWNERSHIP: Ownership = Ownership::Marker;
    const DATA_BEARING: bool = true;
    /// A key without a region is that of an observed workspace whose spec has no region.
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = Some(|key, seen| {
        let any_region =
            key.name.strip_prefix('/').is_some_and(|name| seen.state.workspace_name.as_deref() == Some(name));
        any_region || Self::key(&seen.state) == *key
    });
    const EXPLAINED: Option<Explained> = Some(BY_NETWORK);
    const PARTS: Option<Parts<Self::State, Self::Id>> = Some(|want, id| {
        let id = id.filter(|_| want.network_connectivity_config_id.is_some());
        id.map(|id| network_connectivity_of(id, NOT_BOTH)).into_iter().collect()
    });

    fn desired(spec: &WorkspaceSpec, got: &Resolved) -> Result<WorkspaceState> {
        // Only AWS has tags that could hold the marker.
        let owner_tag = spec.aws_region.is_some().then(|| got.marker.clone());
        if owner_tag.as_ref().is_some_and(|marker| marker.len() > TAG_VALUE_MAX) {
            return Err(Error::terminal(
                Reason::InvalidSpec,
                format!(
                    "the tag that marks the workspace as ours would be {:?}, longer than the {TAG_VALUE_MAX} characters \
                     that Databricks allows: give this object a shorter name",
                    got.marker
                ),
            ));
        }
        Ok(WorkspaceState {
            workspace_name: spec.workspace_name.clone(),
            deployment_name: spec.deployment_name.clone(),
            aws_region: spec.aws_region.clone(),
            credentials_id: got.maybe("credentials_id"),
            storage_configuration_id: got.maybe("storage_configuration_id"),
            network_id: got.maybe("network_id"),
            private_access_settings_id: got.maybe("private_access_settings_id"),
            managed_services_customer_managed_key_id: got.maybe("managed_services_customer_managed_key_id"),
            storage_customer_managed_key_id: got.maybe("storage_customer_managed_key_id"),
            network_connectivity_config_id: got.maybe("network_connectivity_config_id"),
            custom_tags: spec.custom_tags.clone(),
            owner_tag,
            pricing_tier: spec.pricing_tier.map(|tier| format!("{tier:?}")),
            compute_mode: spec.compute_mode.map(|mode| format!("{mode:?}")),
            location: spec.location.clone(),
            project_id: spec.cloud_resource_container.as_ref().map(|of| of.gcp.project_id.clone()),
            subnet_cidr: spec.gcp_managed_network_config.as_ref().map(|network| network.subnet_cidr.clone()),
            is_no_public_ip_enabled: spec.is_no_public_ip_enabled,
            expected_workspace_status: spec.expected_workspace_status.map(|status| format!("{status:?}")),
            allow_public_access_removal: spec.allow_public_access_removal,
        })
    }

    fn key(state: &WorkspaceState) -> Key {
        let region = state.aws_region.as_ref().or(state.location.as_ref());
        let region = region.map(String::as_str).unwrap_or_default();
        let name = state.workspace_name.as_ref().map(|name| format!("{region}/{name}"));
        Key { within: String::new(), name: name.unwrap_or_default() }
    }

    fn changes(want: &WorkspaceState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let deployments = want.deployment_name.as_deref().zip(seen.state.deployment_name.as_deref());
        let deployed_as_wanted = deployments.is_some_and(|(want, seen)| same_deployment(want, seen));
        let status = seen.about.state.as_deref();
        let resumes =
            is_paused(status, &seen.state) && want.expected_workspace_status.as_deref() == Some(RUNNING);
        // What a paused workspace is to have when it resumes goes with the same change, as for one that FAILED.
        let status = if resumes { "FAILED" } else { status.unwrap_or("in no known state") };
        let paths = differences::<Self>(want, seen)?.into_iter();
        let paths = paths.filter(|path| path != "deployment_name" || !deployed_as_wanted);
        let paths = paths.filter(|path| path != EXPECTED || resumes);
        let judged = paths.map(|path| {
            let mut change = Change { path, when: When::Now };
            change.when = may_change(change.field(), status, &seen.state);
            change
        });
        let mut changes: Vec<Change> = judged.collect();
        // Both switch PrivateLink on, and the settings alone could close the workspace to the internet without another way in.
        if changes.iter().any(|change| change.path == "network_id" && matches!(change.when, When::Never(_)))
            && let Some(settings) = changes.iter_mut().find(|change| change.path == ACCESS)
        {
            settings.when =
                When::NotNow("it is changed together with the network, which cannot change".into());
        }
        Ok(changes)
    }

    async fn get(api: &Reader, id: &WorkspaceId) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["workspaces", &id.to_string()])).await.optional()?;
        Ok(found.map(|remote| remote.observed(api.host(), api.on_google())))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["workspaces"]), Pages::Bare).await?;
        Ok(all.into_iter().map(|remote| remote.observed(api.host(), api.on_google())).collect())
    }

    async fn create(api: &Writer, want: &WorkspaceState) -> ApiResult<Created<Self>> {
        let mut body = wire(want, None);
        // Attached by an update once the workspace runs: the documented POST does not name it.
        body.remove("network_connectivity_config_id");
        let made: Result<Remote, _> = api.post(api.path(&["workspaces"]), body.into()).await;
        Ok(made.map_err(classify)?.observed(api.host(), api.on_google()).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &WorkspaceState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        if now.contains(&ACCESS) {
            private_access::keep_users_in(&Act { want: Some(want), seen: Some(seen) }, api).await?;
        }
        let sent = |field: &str| match field {
            "custom_tags" => now.contains(&"custom_tags") || now.contains(&"owner_tag"),
            field => now.contains(&field),
        };
        let mut body = wire(want, seen.state.custom_tags.as_ref());
        body.retain(|field, _| sent(field));
        let mask: Vec<&str> = body.keys().map(String::as_str).collect();
        let path = api.path(&["workspaces", &seen.id.to_string()]);
        // The response may not be final, so the workspace is read.
        let sent = api.patch::<IgnoredAny>(path.with("update_mask", mask.join(",")), json!(body)).await;
        sent.map_err(not_now)?;
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the workspace was gone right after it was changed"))?)
    }

    /// Databricks provisions a FAILED workspace again when it is changed. Assumed: also by the values that it has. The
    /// storage key is omitted, as it is refused once the workspace was RUNNING, and so are fields that provisioning does
    /// not depend on.
    fn again(want: &WorkspaceState, seen: &Observed<Self>) -> Vec<&'static str> {
        if seen.about.state.as_deref() != Some("FAILED") {
            return vec![];
        }
        let fields = [
            ("aws_region", &want.aws_region),
            ("credentials_id", &want.credentials_id),
            ("storage_configuration_id", &want.storage_configuration_id),
            ("network_id", &want.network_id),
            ("private_access_settings_id", &want.private_access_settings_id),
            ("managed_services_customer_managed_key_id", &want.managed_services_customer_managed_key_id),
        ];
        fields.into_iter().filter(|(_, value)| value.is_some()).map(|(field, _)| field).collect()
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        api.delete(api.path(&["workspaces", &seen.id.to_string()])).await.map_err(not_now)
    }
}

/// The managed fields as they are sent. `kept` are the tags to send if the spec leaves tags alone.
fn wire(want: &WorkspaceState, kept: Option<&BTreeMap<String, String>>) -> Map<String, Value> {
    let mut tags = want.custom_tags.as_ref().or(kept).cloned().unwrap_or_default();
    tags.extend(want.owner_tag.clone().map(|owner| (OWNER_TAG.into(), owner)));
    let Value::Object(mut body) = json!(want) else { return Map::new() };
    body.remove("owner_tag");
    body.remove("allow_public_access_removal");
    body.insert("custom_tags".into(), json!(tags));
    // Only AWS has tags.
    body.retain(|field, _| field != "custom_tags" || want.aws_region.is_some());
    if let Some(project_id) = body.remove("project_id").filter(Value::is_string) {
        body.insert("cloud_resource_container".into(), json!({"gcp": {"project_id": project_id}}));
    }
    if let Some(subnet_cidr) = body.remove("subnet_cidr").filter(Value::is_string) {
        body.insert("gcp_managed_network_config".into(), json!({"subnet_cidr": subnet_cidr}));
    }
    body.retain(|_, value| !value.is_null());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_either_may_change_or_is_known_to_be_fixed() {
        let state = serde_json::from_value::<Remote>(json!({"workspace_id": 1, "workspace_name": "w"}))
            .unwrap()
            .state;
        for field in json!(state).as_object().unwrap().keys() {
            let changeable = may_change(field, "FAILED", &state) == When::Now;
            let fixed = Workspace::IMMUTABLE.iter().any(|i| i.state == field);
            assert!(changeable != fixed, "{field}");
        }
    }

    #[test]
    fn a_compute_mode_that_the_account_leaves_out_is_the_default() {
        let differs = |mode: &str, shown: Value| {
            let remote = json!({
                "workspace_id": 42, "workspace_name": "w", "aws_region": "eu-west-1", "workspace_status": "RUNNING", "compute_mode": shown,
            });
            let remote: Remote = serde_json::from_value(remote).unwrap();
            let spec = json!({"authRef": {"name": "a"}, "awsRegion": "eu-west-1", "computeMode": mode});
            let want = Workspace::desired(&serde_json::from_value(spec).unwrap(), &Resolved::default());
            let seen = remote.observed("accounts.cloud.databricks.com", false);
            let changes = Workspace::changes(&want.unwrap(), &seen).unwrap();
            changes.iter().any(|change| change.path == "compute_mode")
        };
        for (mode, shown, expected) in [
            ("HYBRID", Value::Null, false),
            ("HYBRID", json!("HYBRID"), false),
            ("HYBRID", json!("SERVERLESS"), true),
            ("SERVERLESS", Value::Null, true),
        ] {
            assert_eq!(differs(mode, shown.clone()), expected, "{mode} {shown}");
        }
    }

    #[test]
    fn what_the_clouds_of_a_workspace_need_is_in_its_facts() {
        let facts = |more: Value| {
            let mut remote = json!({"workspace_id": 42, "workspace_name": "w"});
            remote.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let remote: Remote = serde_json::from_value(remote).unwrap();
            json!(remote.observed("accounts.cloud.databricks.com", false).facts)
        };
        let project = json!({"gcp": {"project_id": "p"}});
        let on_gcp = facts(json!({"location": "us-east4", "cloud_resource_container": project}));
        assert_eq!(on_gcp["gcpServiceAccountEmail"], "db-42@prod-gcp-us-east4.iam.gserviceaccount.com");
        let azure = json!({"subscription_id": "s", "resource_group": "rg"});
        let on_azure = facts(json!({"location": "westeurope", "azure_workspace_info": azure}));
        assert_eq!(
            (&on_azure["azureSubscriptionId"], &on_azure["azureResourceGroup"]),
            (&json!("s"), &json!("rg"))
        );
        assert_eq!(on_azure["gcpServiceAccountEmail"], Value::Null);
        assert_eq!(facts(json!({"aws_region": "eu-west-1"})), json!({}));
    }
}
