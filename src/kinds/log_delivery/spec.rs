//! What users write of a LogDelivery, what its status shows, and the rules that the API server checks.

use crate::engine::prelude::*;

/// The delivery of audit logs or of billable usage to a bucket. Deleting it stops the delivery: the API cannot remove it.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "LogDelivery",
    shortname = "dblog",
    category = "databricks",
    namespaced,
    status = "Status<LogDeliveryFacts>",
    printcolumn = r#"{"name": "Logs", "type": "string", "jsonPath": ".status.observed.logType", "description": "AUDIT_LOGS or BILLABLE_USAGE."}"#,
    printcolumn = r#"{"name": "Delivery", "type": "string", "jsonPath": ".status.observed.status", "description": "ENABLED or DISABLED."}"#,
    printcolumn = r#"{"name": "Last-Attempt", "type": "string", "jsonPath": ".status.logDeliveryStatus.status", "description": "The result of the last delivery."}"#,
    doc = "The delivery of audit logs or of billable usage to a bucket. Deleting it stops the delivery: the API cannot remove it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "outputFormat",
        "!has(self.logType) || !has(self.outputFormat) || (self.logType == 'BILLABLE_USAGE') == (self.outputFormat == 'CSV')",
        "outputFormat is CSV for BILLABLE_USAGE and JSON for AUDIT_LOGS: write that"
    ),
    rule(
        "deliveryStartTime",
        "!has(self.logType) || !has(self.deliveryStartTime) || self.logType == 'BILLABLE_USAGE'",
        "deliveryStartTime is for BILLABLE_USAGE only: remove it"
    ),
    needed("credentialsRef", "credentialsId"),
    needed("storageConfigurationRef", "storageConfigurationId"),
]))]
pub struct LogDeliverySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// AUDIT_LOGS: what was done in the account and its workspaces. BILLABLE_USAGE: what was used. Cannot be changed once the delivery exists. Known on AWS; AUDIT_LOGS also on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_type: Option<LogType>,
    /// JSON for AUDIT_LOGS, CSV for BILLABLE_USAGE. Cannot be changed once the delivery exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<OutputFormat>,
    /// The Credential of this namespace whose role may write to the bucket. Give this or credentialsId. Once the delivery exists, it must continue to mean the same. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<NameRef>,
    /// The id of the credential configuration whose role may write to the bucket, if this namespace has no Credential for it. Give this or credentialsRef. Once the delivery exists, it must continue to mean the same. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub credentials_id: Option<String>,
    /// The StorageConfiguration of this namespace of the bucket. Give this or storageConfigurationId. Once the delivery exists, it must continue to mean the same. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_configuration_ref: Option<NameRef>,
    /// The id of the storage configuration of the bucket, if this namespace has no StorageConfiguration for it. Give this or storageConfigurationRef. Once the delivery exists, it must continue to mean the same. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub storage_configuration_id: Option<String>,
    /// The name of the delivery in the account, for people only: two deliveries must differ in more than the name. A delivery that exists keeps its name, also one that was disabled and is enabled again. Cannot be changed once the delivery exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub config_name: Option<String>,
    /// The folder in the bucket, without a slash at its beginning or end; by default the root of the bucket. Cannot be changed, added or removed once the delivery exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[!-.0-~]([ -~]*[!-.0-~])?$"))]
    pub delivery_path_prefix: Option<String>,
    /// The first month of BILLABLE_USAGE that is delivered, as YYYY-MM, from 2019-03 on; by default the month in which the delivery is created. Cannot be changed, added or removed once the delivery exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7), regex(pattern = "^20(19-(0[3-9]|1[0-2])|[2-9][0-9]-(0[1-9]|1[0-2]))$"))]
    pub delivery_start_time: Option<String>,
    /// The Workspaces of this namespace whose logs are delivered. May be combined with workspaceIds. Without both, the logs of the whole account are delivered, and those of the account itself. Once the delivery exists, it must continue to mean the same. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub workspace_refs: Option<Vec<NameRef>>,
    /// The ids of the workspaces whose logs are delivered, where no Workspaces of this namespace stand for them. May be combined with workspaceRefs. Without both, the logs of the whole account are delivered, and those of the account itself. Once the delivery exists, it must continue to mean the same. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(range(min = 1)), extend("x-kubernetes-list-type" = "set"))]
    pub workspace_ids: Option<Vec<i64>>,
    /// ENABLED, the default, or DISABLED, which stops the delivery. The account may have two enabled deliveries of a log type, and a workspace two of its own. May be changed. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
}

/// The rule that one of two fields names the delivery, unless its id does.
fn needed(by_name: &str, id: &str) -> Value {
    rule(
        by_name,
        &format!("has(self.{by_name}) || has(self.{id}) || has(self.externalId)"),
        &format!("{by_name} or {id} is needed, unless externalId names the delivery: write one of them"),
    )
}

/// What is delivered.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum LogType {
    AUDIT_LOGS,
    BILLABLE_USAGE,
}

/// The form of the files.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum OutputFormat {
    CSV,
    JSON,
}

/// Whether logs are delivered.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum DeliveryStatus {
    ENABLED,
    DISABLED,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogDeliveryFacts {
    /// How the last delivery went. The first one comes some hours after the delivery was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_delivery_status: Option<LastDelivery>,
}

/// How the last delivery went.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    /// CREATED (none yet), SUCCEEDED, USER_FAILURE (the bucket or the role does not work), SYSTEM_FAILURE (Databricks failed, and retries) or NOT_FOUND.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What Databricks says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the last delivery was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_time: Option<String>,
    /// When the last delivery succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_successful_attempt_time: Option<String>,
}
