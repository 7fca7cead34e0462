//! What users write of a Workspace, what its status shows, and the rules that the API server checks. [`super`] decides
//! which field may change in which state; the texts here describe that to users. Longer than other specs, as it has the fields of three
//! clouds.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::crd::{Management, NEVER_CREATES, NameRef, OBSERVES, Status, plain_keys, rule};

/// The custom tag that holds the owner.
pub(super) const OWNER_TAG: &str = "databricks-operator";
/// The longest value of a tag.
pub(super) const TAG_VALUE_MAX: usize = 255;

/// A Databricks workspace. Those on AWS and GCP can be managed, those on Azure observed.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Workspace",
    shortname = "dbws",
    category = "databricks",
    namespaced,
    status = "Status<WorkspaceFacts>",
    printcolumn = r#"{"name": "Region", "type": "string", "jsonPath": ".status.observed.awsRegion", "description": "The AWS region."}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.workspaceStatus", "description": "The workspace's state in Databricks."}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".status.workspaceUrl", "description": "The workspace's address."}"#,
    doc = "A Databricks workspace. Those on AWS and GCP can be managed, those on Azure observed."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct WorkspaceSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name that users see. Cannot be changed after creation. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub workspace_name: Option<String>,
    /// The workspace's part of its host name; Databricks puts the account's prefix before it, and refuses it if the account has none. `EMPTY` means just the prefix. Default: Databricks chooses one. Cannot be changed after creation. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^(EMPTY|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"))]
    pub deployment_name: Option<String>,
    /// The AWS region, such as eu-west-1. Needed to manage a workspace on AWS. Can be changed while the workspace is FAILED, not once it is RUNNING. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub aws_region: Option<String>,
    /// The Credential of this namespace: the IAM role that Databricks launches compute with. This or credentialsId is needed to create a workspace, except with computeMode SERVERLESS, which forbids both. Can be changed while RUNNING or FAILED. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<NameRef>,
    /// The id of the credential configuration, if this namespace has no Credential for it. This or credentialsRef is needed to create a workspace, except with computeMode SERVERLESS, which forbids both. Can be changed while RUNNING or FAILED. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub credentials_id: Option<String>,
    /// The StorageConfiguration of this namespace: the root bucket. This or storageConfigurationId is needed to create a workspace, except with computeMode SERVERLESS, which forbids both. Can be changed while FAILED, not once it is RUNNING. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_configuration_ref: Option<NameRef>,
    /// The id of the storage configuration, if this namespace has no StorageConfiguration for it. This or storageConfigurationRef is needed to create a workspace, except with computeMode SERVERLESS, which forbids both. Can be changed while FAILED, not once it is RUNNING. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub storage_configuration_id: Option<String>,
    /// The Network of this namespace: your own VPC. Default: Databricks creates a VPC. Can be changed while FAILED; while RUNNING only if the workspace has its own VPC already; it is never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_ref: Option<NameRef>,
    /// The id of the network configuration, if this namespace has no Network for it. Default: Databricks creates a VPC. Can be changed while FAILED; while RUNNING only if the workspace has its own VPC already; it is never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub network_id: Option<String>,
    /// The PrivateAccessSettings of this namespace, for PrivateLink. Can be added or changed while RUNNING or FAILED; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_access_settings_ref: Option<NameRef>,
    /// The id of the private access settings, for PrivateLink, if this namespace has no PrivateAccessSettings for them. Can be added or changed while RUNNING or FAILED; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub private_access_settings_id: Option<String>,
    /// Allows the operator to give a RUNNING workspace with open private access settings, or with none, settings with publicAccessEnabled false, which cuts off all users without a private connection. You may set it in advance, and leave it set. May be changed at any time. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_public_access_removal: Option<bool>,
    /// The CustomerManagedKey of this namespace that encrypts notebooks, queries and secrets; its use case is MANAGED_SERVICES. Can be added or changed while RUNNING or FAILED; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_services_customer_managed_key_ref: Option<NameRef>,
    /// The id of the key that encrypts notebooks, queries and secrets, if this namespace has no CustomerManagedKey for it; its use case is MANAGED_SERVICES. Can be added or changed while RUNNING or FAILED; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub managed_services_customer_managed_key_id: Option<String>,
    /// The CustomerManagedKey of this namespace that encrypts the root bucket and the disks of clusters; its use case is STORAGE. Can be added while RUNNING if there is none yet, and changed while FAILED if the workspace was never RUNNING; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_customer_managed_key_ref: Option<NameRef>,
    /// The id of the key that encrypts the root bucket and the disks of clusters, if this namespace has no CustomerManagedKey for it; its use case is STORAGE. Can be added while RUNNING if there is none yet, and changed while FAILED if the workspace was never RUNNING; never removed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub storage_customer_managed_key_id: Option<String>,
    /// The NetworkConnectivityConfig of this namespace, for serverless compute, in the same region. Not together with a NetworkConnectivityBinding of this workspace: the second of the two is refused (ManagementConflict). Attached once the workspace is RUNNING. Can be set or changed while RUNNING or FAILED; never removed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_connectivity_config_ref: Option<NameRef>,
    /// The id of the network connectivity configuration of serverless compute, in the same region, if this namespace has no NetworkConnectivityConfig for it. Attached once the workspace is RUNNING. Can be set or changed while RUNNING or FAILED; never removed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub network_connectivity_config_id: Option<String>,
    /// Tags of the workspace and its compute. With this field, tags that it does not list are removed; without it, existing tags stay. The operator adds its own tag `databricks-operator` to workspaces that it manages. Can be changed while RUNNING or FAILED; compute shows a change after up to an hour. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "maxProperties" = 50,
        "additionalProperties" = {"type": "string", "maxLength": TAG_VALUE_MAX},
        "x-kubernetes-validations" = [
            {"rule": "self.all(key, size(key) >= 1 && size(key) <= 127)", "message": "the keys of customTags must have 1 to 127 characters"},
            plain_keys("customTags"),
            {"rule": format!("!('{OWNER_TAG}' in self)"), "message": format!("customTags must not hold {OWNER_TAG}: the operator sets that tag; remove it here")},
        ],
    ))]
    pub custom_tags: Option<BTreeMap<String, String>>,
    /// The pricing tier. Default: the account's, which is not compared. Cannot be changed after creation. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_tier: Option<PricingTier>,
    /// HYBRID (default): classic compute in your cloud account, and serverless. SERVERLESS: serverless compute and default storage only. Cannot be changed after creation. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_mode: Option<ComputeMode>,
    /// The GCP region, such as us-east4. Needed to manage a workspace on GCP. Cannot be changed after creation. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub location: Option<String>,
    /// The place in GCP in which Databricks creates the workspace. Needed to create a workspace on GCP. Cannot be changed, added or removed after creation. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_resource_container: Option<CloudResourceContainer>,
    /// The VPC that Databricks creates for the workspace; not together with networkRef or networkId. Default: Databricks chooses its addresses. Cannot be changed, added or removed after creation. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_managed_network_config: Option<GcpManagedNetworkConfig>,
    /// Whether compute has no public addresses; true by default. Takes effect at creation only, cannot be changed afterwards, and Databricks never returns it, so that it is not compared. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_no_public_ip_enabled: Option<bool>,
    /// PROVISIONING: Databricks pauses the provisioning of a new workspace, so that its service account can be given its roles first. RUNNING: the provisioning continues, with all fields that change together with this one. Default: no pause. Can be changed while the workspace is paused; no effect once it is RUNNING. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_workspace_status: Option<ExpectedStatus>,
}

/// Where a workspace is in its cloud.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudResourceContainer {
    /// The place in Google Cloud. Cannot be changed after creation. Known on GCP.
    pub gcp: GcpContainer,
}

/// Where a workspace is in Google Cloud.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpContainer {
    /// The id of the Google Cloud project. Cannot be changed after creation. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub project_id: String,
}

/// A VPC that Databricks creates in Google Cloud.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpManagedNetworkConfig {
    /// The addresses of the subnet, such as 10.0.0.0/20. Cannot be changed after creation. Known on GCP.
    #[schemars(length(max = 18), regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"))]
    pub subnet_cidr: String,
}

/// A pricing tier.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum PricingTier {
    STANDARD,
    PREMIUM,
    ENTERPRISE,
    DEDICATED,
    COMMUNITY_EDITION,
}

/// Until which state Databricks provisions a workspace.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum ExpectedStatus {
    PROVISIONING,
    RUNNING,
}

/// Which compute a workspace has.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum ComputeMode {
    HYBRID,
    SERVERLESS,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceFacts {
    /// The workspace's address. Its name may take some minutes to resolve after the workspace is RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_url: Option<String>,
    /// The workspace's state in Databricks' words, such as PROVISIONING or RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_status: Option<String>,
    /// Where the workspace's data are: CUSTOMER_HOSTED or DEFAULT_STORAGE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_mode: Option<String>,
    /// On GCP, the service account of the workspace: give it access to what the workspace uses in your project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_service_account_email: Option<String>,
    /// On Azure, the subscription of the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_subscription_id: Option<String>,
    /// On Azure, the resource group of the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_resource_group: Option<String>,
}

/// Fields that a workspace on GCP cannot have, beside the region in AWS.
const ONLY_AWS: [&str; 10] = [
    "deploymentName",
    "credentialsRef",
    "credentialsId",
    "storageConfigurationRef",
    "storageConfigurationId",
    "networkConnectivityConfigRef",
    "networkConnectivityConfigId",
    "customTags",
    "pricingTier",
    "isNoPublicIpEnabled",
];

/// Fields that only a workspace on GCP has, beside its region.
const ONLY_GCP: [&str; 2] = ["cloudResourceContainer", "gcpManagedNetworkConfig"];

/// CEL: one of these fields is written.
fn any_of(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("has(self.{field})")).collect::<Vec<_>>().join(" || ")
}

/// Those that keep the clouds apart.
fn cloud_rules() -> Vec<Value> {
    vec![
        rule(
            "managementPolicy",
            &format!("has(self.awsRegion) || has(self.location) || {OBSERVES}"),
            "only workspaces on AWS and GCP can be managed: set awsRegion or location, or set managementPolicy to Observe for a workspace on Azure, which creates workspaces through ARM",
        ),
        rule(
            "location",
            "!has(self.awsRegion) || !has(self.location)",
            "awsRegion is for AWS and location is for GCP: remove one of them",
        ),
        rule(
            "location",
            &format!("!has(self.location) || !({})", any_of(&ONLY_AWS)),
            &format!(
                "{} are for AWS and location is for GCP: remove what is not for your cloud",
                ONLY_AWS.join(", ")
            ),
        ),
        rule(
            "cloudResourceContainer",
            &format!("has(self.location) || !({})", any_of(&ONLY_GCP)),
            &format!(
                "{} are for GCP: remove them, or set location in place of awsRegion",
                ONLY_GCP.join(" and ")
            ),
        ),
        rule(
            "cloudResourceContainer",
            &format!("!has(self.location) || has(self.cloudResourceContainer) || {NEVER_CREATES}"),
            "cloudResourceContainer is needed to create a workspace on GCP: set it; it can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe",
        ),
        rule(
            "gcpManagedNetworkConfig",
            "!has(self.gcpManagedNetworkConfig) || !(has(self.networkRef) || has(self.networkId))",
            "gcpManagedNetworkConfig is for a VPC that Databricks creates: remove it, or networkRef and networkId",
        ),
    ]
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let serverless = "(has(self.computeMode) && self.computeMode == 'SERVERLESS')";
    let mut rules = cloud_rules();
    rules.push(rule(
        "externalId",
        "!has(self.externalId) || self.externalId.matches('^[1-9][0-9]{0,18}$')",
        "externalId must be the id of a workspace, a number such as 1234567890123456",
    ));
    let credentials = ("credentialsRef or credentialsId", &["credentialsRef", "credentialsId"][..]);
    let storage = (
        "storageConfigurationRef or storageConfigurationId",
        &["storageConfigurationRef", "storageConfigurationId"][..],
    );
    for (one_of, fields) in [credentials, storage] {
        let given = any_of(fields);
        rules.push(rule(
            fields[fields.len() - 1],
            &format!("!has(self.awsRegion) || {given} || {serverless} || {NEVER_CREATES}"),
            &format!("{one_of} is needed to create a workspace on AWS: set it, or set computeMode to SERVERLESS; it can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe"),
        ));
        for field in fields {
            rules.push(rule(
                field,
                &format!("!has(self.{field}) || !{serverless}"),
                &format!(
                    "{field} is not allowed with computeMode SERVERLESS: remove it, or set computeMode to HYBRID"
                ),
            ));
        }
    }
    rules.into()
}
