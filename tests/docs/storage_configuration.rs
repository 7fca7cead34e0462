//! StorageConfiguration: the S3 bucket that workspaces on AWS keep their own files in. It can only be made and deleted.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages};
use crate::engine::crd::{Management, Status};
use crate::engine::error::Result;
use crate::engine::kind::{
    About, ApiResult, Created, ExternalResource, Immutable, Key, Observed, Reader, Resolved, Writer,
};

/// The S3 bucket that workspaces on AWS keep their own files in.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "StorageConfiguration",
    shortname = "dbsc",
    category = "databricks",
    namespaced,
    status = "Status<StorageConfigurationFacts>",
    doc = "The S3 bucket that workspaces on AWS keep their own files in."
)]
#[serde(rename_all = "camelCase")]
pub struct StorageConfigurationSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the configuration, 4 to 256 characters. Cannot be changed once it exists. Known on AWS.
    #[schemars(length(min = 4, max = 256))]
    pub storage_configuration_name: String,
    /// The name of the S3 bucket, in the region of the workspaces. Cannot be changed once the configuration exists. Known on AWS.
    #[schemars(length(min = 3, max = 63))]
    pub bucket_name: String,
    /// The IAM role for the catalog of workspaces that are made with this configuration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub role_arn: Option<String>,
}

/// What a spec controls; `None` in what is wanted means: not managed.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct StorageConfigurationState {
    storage_configuration_name: String,
    bucket_name: String,
    role_arn: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageConfigurationFacts {}

/// An answer. What may be missing has a default: an answer that cannot be read blocks the object.
#[derive(Deserialize)]
struct Remote {
    storage_configuration_id: String,
    storage_configuration_name: String,
    #[serde(default)]
    root_bucket_info: Bucket,
    role_arn: Option<String>,
    creation_time: Option<i64>,
}

#[derive(Deserialize, Default)]
struct Bucket {
    #[serde(default)]
    bucket_name: String,
}

impl From<Remote> for Observed<StorageConfiguration> {
    fn from(remote: Remote) -> Self {
        let state = StorageConfigurationState {
            storage_configuration_name: remote.storage_configuration_name,
            bucket_name: remote.root_bucket_info.bucket_name,
            role_arn: remote.role_arn,
        };
        // `About::default()` is a usable object.
        let about = About { created: remote.creation_time.map(|ms| ms / 1000), ..About::default() };
        let facts = StorageConfigurationFacts {};
        Observed { id: remote.storage_configuration_id, state, facts, about }
    }
}

impl ExternalResource for StorageConfiguration {
    type State = StorageConfigurationState;
    type Id = String;
    type Facts = StorageConfigurationFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "storage_configuration_name", spec: &["storageConfigurationName"] },
        Immutable { state: "bucket_name", spec: &["bucketName"] },
        Immutable { state: "role_arn", spec: &["roleArn"] },
    ];

    fn desired(spec: &StorageConfigurationSpec, _: &Resolved) -> Result<StorageConfigurationState> {
        Ok(StorageConfigurationState {
            storage_configuration_name: spec.storage_configuration_name.clone(),
            bucket_name: spec.bucket_name.clone(),
            role_arn: spec.role_arn.clone(),
        })
    }

    fn key(state: &StorageConfigurationState) -> Key {
        Key { within: String::new(), name: state.storage_configuration_name.clone() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["storage-configurations", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["storage-configurations"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &StorageConfigurationState) -> ApiResult<Created<Self>> {
        let mut body = json!({
            "storage_configuration_name": want.storage_configuration_name,
            "root_bucket_info": {"bucket_name": want.bucket_name},
        });
        if let Some(role) = &want.role_arn {
            body["role_arn"] = json!(role);
        }
        let made: Remote = api.post(api.path(&["storage-configurations"]), body).await?;
        Ok(Observed::from(made).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(api.path(&["storage-configurations", &seen.id])).await?)
    }
}
