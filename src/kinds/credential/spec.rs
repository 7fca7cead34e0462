//! What users write of a Credential, what its status shows, and the rules that the API server checks.

use crate::engine::prelude::*;

/// The IAM role that Databricks launches compute with in an AWS account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Credential",
    shortname = "dbcred",
    category = "databricks",
    namespaced,
    status = "Status<CredentialFacts>",
    doc = "The IAM role that Databricks launches compute with in an AWS account."
)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the configuration, 4 to 256 characters, unique in the account. Cannot be changed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub credentials_name: Option<String>,
    /// How Databricks gets into your AWS account. Cannot be changed once the configuration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_credentials: Option<AwsCredentials>,
}

/// How Databricks gets into an AWS account.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentials {
    /// The role that Databricks assumes. Cannot be changed once the configuration exists. Known on AWS.
    pub sts_role: StsRole,
}

/// A role that Databricks assumes.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StsRole {
    /// The ARN of the IAM role, whose trust policy must allow Databricks with the account id as external id. Cannot be changed once the configuration exists. Known on AWS.
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[!-~]+$"))]
    pub role_arn: String,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialFacts {
    /// The external id that the role's trust policy must contain, if Databricks returns it: the account id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_external_id: Option<String>,
}
