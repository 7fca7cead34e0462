//! StorageConfiguration: the S3 bucket in which workspaces on AWS keep their own files. It can only be created and deleted.

use crate::engine::prelude::*;

/// The S3 bucket in which workspaces on AWS keep their own files.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "StorageConfiguration",
    shortname = "dbsc",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Bucket", "type": "string", "jsonPath": ".status.observed.bucketName", "description": "The name of the S3 bucket."}"#,
    doc = "The S3 bucket in which workspaces on AWS keep their own files."
)]
#[serde(rename_all = "camelCase")]
pub struct StorageConfigurationSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the configuration, 4 to 256 characters. Cannot be changed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub storage_configuration_name: Option<String>,
    /// The name of the S3 bucket, in the region of the workspaces. Cannot be changed once the configuration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    pub bucket_name: Option<String>,
    /// The ARN of the IAM role for the catalog of workspaces that are created with this configuration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[!-~]+$"))]
    pub role_arn: Option<String>,
}

/// What a spec controls; `None` in the desired state means: not managed.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct StorageConfigurationState {
    storage_configuration_name: Option<String>,
    bucket_name: Option<String>,
    role_arn: Option<String>,
}

/// A response. What may be missing is an `Option`: a response that cannot be read blocks the object.
#[derive(Deserialize)]
struct Remote {
    storage_configuration_id: String,
    storage_configuration_name: Option<String>,
    root_bucket_info: Option<Bucket>,
    role_arn: Option<String>,
    creation_time: Option<Int64>,
}

#[derive(Deserialize)]
struct Bucket {
    bucket_name: Option<String>,
}

impl From<Remote> for Observed<StorageConfiguration> {
    fn from(remote: Remote) -> Self {
        let state = StorageConfigurationState {
            storage_configuration_name: remote.storage_configuration_name,
            bucket_name: remote.root_bucket_info.and_then(|bucket| bucket.bucket_name),
            role_arn: remote.role_arn,
        };
        // `About::default()` is a usable object.
        let about = About { created: remote.creation_time.map(|ms| ms.0 / 1000), ..About::default() };
        Observed { id: remote.storage_configuration_id, state, facts: NoFacts {}, about }
    }
}

impl ExternalResource for StorageConfiguration {
    type State = StorageConfigurationState;
    type Id = String;
    type Facts = NoFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "storage_configuration_name", spec: &["storageConfigurationName"] },
        Immutable { state: "bucket_name", spec: &["bucketName"] },
        Immutable { state: "role_arn", spec: &["roleArn"] },
    ];
    const NAME: &'static [&'static str] = &["storageConfigurationName"];
    const REQUIRED: &'static [&'static str] = &["bucketName"];

    fn desired(spec: &StorageConfigurationSpec, _: &Resolved) -> Result<StorageConfigurationState> {
        Ok(StorageConfigurationState {
            storage_configuration_name: spec.storage_configuration_name.clone(),
            bucket_name: spec.bucket_name.clone(),
            role_arn: spec.role_arn.clone(),
        })
    }

    fn key(state: &StorageConfigurationState) -> Key {
        Key { within: String::new(), name: state.storage_configuration_name.clone().unwrap_or_default() }
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
        // `given` drops what the spec does not manage.
        let body = given(json!({
            "storage_configuration_name": want.storage_configuration_name,
            "root_bucket_info": {"bucket_name": want.bucket_name},
            "role_arn": want.role_arn,
        }));
        let created: Remote = api.post(api.path(&["storage-configurations"]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["storage-configurations", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace or a log delivery"))?)
    }
}
