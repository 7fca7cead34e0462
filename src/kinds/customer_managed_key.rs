//! CustomerManagedKey: the registration of a key of your cloud account, with which workspaces encrypt. It can only be created and
//! deleted; the key in the cloud stays. If that key is disabled or deleted in the cloud, the workspaces that use it cannot be read
//! any more: nothing here can prevent that.
//!
//! It has no name: it is found by the key and its use cases. On GCP it can only be observed, as a create needs Google tokens.

use std::collections::BTreeSet;

use crate::engine::prelude::*;

/// A key of your cloud account, with which workspaces encrypt. Those on AWS can be managed, those on GCP observed.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "CustomerManagedKey",
    shortname = "dbcmk",
    category = "databricks",
    namespaced,
    status = "Status<CustomerManagedKeyFacts>",
    printcolumn = r#"{"name": "Use", "type": "string", "jsonPath": ".status.observed.useCases", "description": "What the key encrypts."}"#,
    printcolumn = r#"{"name": "Key", "type": "string", "jsonPath": ".status.observed.keyArn", "description": "The ARN of the key in AWS.", "priority": 1}"#,
    doc = "A key of your cloud account, with which workspaces encrypt. Those on AWS can be managed, those on GCP observed."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct CustomerManagedKeySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// What the key encrypts. MANAGED_SERVICES: notebooks, queries and secrets. STORAGE: the root bucket, and the disks of clusters. Cannot be changed once the registration exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub use_cases: Option<Vec<UseCase>>,
    /// The key in AWS. Needed to create a registration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_key_info: Option<AwsKey>,
    /// The key in GCP, of a registration that is only observed. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_key_info: Option<GcpKey>,
}

/// What a key encrypts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum UseCase {
    MANAGED_SERVICES,
    STORAGE,
}

/// A key of AWS KMS.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsKey {
    /// The ARN of the key, in the region of the workspaces. Cannot be changed once the registration exists. Known on AWS.
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^arn:aws(-[a-z]+)*:kms:[-a-z0-9]+:[0-9]{12}:key/[-0-9A-Za-z]+$")
    )]
    pub key_arn: String,
    /// An alias of the key. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub key_alias: Option<String>,
    /// The region of the key; it follows from the ARN. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub key_region: Option<String>,
    /// Whether the key also encrypts the disks of clusters; true by default. Only with the use case STORAGE. Cannot be changed, added or removed once the registration exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_key_for_cluster_volumes: Option<bool>,
}

/// A key of Google Cloud KMS.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpKey {
    /// The resource name of the key, `projects/…/cryptoKeys/…`. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 1024))]
    pub kms_key_id: String,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let storage = rule(
        "awsKeyInfo",
        "!has(self.awsKeyInfo) || !has(self.awsKeyInfo.reuseKeyForClusterVolumes) || !has(self.useCases) || self.useCases.exists(one, one == 'STORAGE')",
        "awsKeyInfo.reuseKeyForClusterVolumes is only for the use case STORAGE: remove it, or add STORAGE to useCases",
    );
    let found = rule(
        "awsKeyInfo",
        "has(self.awsKeyInfo) || has(self.gcpKeyInfo) || has(self.externalId)",
        "a key has no name, so without awsKeyInfo it is found only by its id: set awsKeyInfo or externalId",
    );
    let clouds = aws_or_gcp("key", &["awsKeyInfo"], "gcpKeyInfo");
    clouds.as_array().into_iter().flatten().cloned().chain([storage, found]).collect()
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct CustomerManagedKeyState {
    use_cases: Option<BTreeSet<String>>,
    key_arn: Option<String>,
    key_alias: Option<String>,
    key_region: Option<String>,
    reuse_key_for_cluster_volumes: Option<bool>,
    kms_key_id: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerManagedKeyFacts {
    /// The service account that needs access to the key in GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_service_account_email: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    customer_managed_key_id: String,
    use_cases: Option<BTreeSet<String>>,
    aws_key_info: Option<RemoteAws>,
    #[serde(default)]
    gcp_key_info: Value,
    creation_time: Option<i64>,
}

#[derive(Deserialize, Default)]
struct RemoteAws {
    key_arn: Option<String>,
    key_alias: Option<String>,
    key_region: Option<String>,
    reuse_key_for_cluster_volumes: Option<bool>,
}

impl From<Remote> for Observed<CustomerManagedKey> {
    fn from(remote: Remote) -> Self {
        let aws = remote.aws_key_info.unwrap_or_default();
        let of_gcp = |path: &str| remote.gcp_key_info.pointer(path)?.as_str().map(str::to_owned);
        let state = CustomerManagedKeyState {
            use_cases: remote.use_cases,
            key_arn: aws.key_arn,
            key_alias: aws.key_alias,
            key_region: aws.key_region,
            reuse_key_for_cluster_volumes: aws.reuse_key_for_cluster_volumes,
            kms_key_id: of_gcp("/kms_key_id"),
        };
        let email = of_gcp("/gcp_service_account/service_account_email");
        let facts = CustomerManagedKeyFacts { gcp_service_account_email: email };
        let about = About { created: remote.creation_time.map(|ms| ms / 1000), ..About::default() };
        Observed { id: remote.customer_managed_key_id, state, facts, about }
    }
}

/// The name of the key in its cloud. None for what is only observed, by its id.
fn in_cloud(state: &CustomerManagedKeyState) -> Option<&str> {
    state.key_arn.as_deref().or(state.kms_key_id.as_deref())
}

impl ExternalResource for CustomerManagedKey {
    type State = CustomerManagedKeyState;
    type Id = String;
    type Facts = CustomerManagedKeyFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "use_cases", spec: &["useCases"] },
        Immutable { state: "key_arn", spec: &["awsKeyInfo.keyArn"] },
        Immutable { state: "key_alias", spec: &["awsKeyInfo.keyAlias"] },
        Immutable { state: "key_region", spec: &["awsKeyInfo.keyRegion"] },
        Immutable { state: "reuse_key_for_cluster_volumes", spec: &["awsKeyInfo.reuseKeyForClusterVolumes"] },
        Immutable { state: "kms_key_id", spec: &["gcpKeyInfo.kmsKeyId"] },
    ];
    const NAME: &'static [&'static str] = &["useCases"];

    fn desired(spec: &CustomerManagedKeySpec, _: &Resolved) -> Result<CustomerManagedKeyState> {
        let aws = spec.aws_key_info.as_ref();
        Ok(CustomerManagedKeyState {
            use_cases: spec
                .use_cases
                .as_ref()
                .map(|all| all.iter().map(|case| format!("{case:?}")).collect()),
            key_arn: aws.map(|key| key.key_arn.clone()),
            key_alias: aws.and_then(|key| key.key_alias.clone()),
            key_region: aws.and_then(|key| key.key_region.clone()),
            reuse_key_for_cluster_volumes: aws.and_then(|key| key.reuse_key_for_cluster_volumes),
            kms_key_id: spec.gcp_key_info.as_ref().map(|key| key.kms_key_id.clone()),
        })
    }

    fn key(state: &CustomerManagedKeyState) -> Key {
        let cases: Vec<&str> = state.use_cases.iter().flatten().map(String::as_str).collect();
        let name = format!("{} {}", cases.join(","), in_cloud(state).unwrap_or_default());
        Key { within: String::new(), name: name.trim().to_owned() }
    }

    fn recognises(want: &CustomerManagedKeyState, seen: &Observed<Self>) -> bool {
        // A spec without the key asks for the object by its id.
        in_cloud(want).is_none() || Self::key(want) == Self::key(&seen.state)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["customer-managed-keys", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["customer-managed-keys"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &CustomerManagedKeyState) -> ApiResult<Created<Self>> {
        let body = given(json!({"use_cases": want.use_cases, "aws_key_info": {
            "key_arn": want.key_arn,
            "key_alias": want.key_alias,
            "key_region": want.key_region,
            "reuse_key_for_cluster_volumes": want.reuse_key_for_cluster_volumes,
        }}));
        let created: Remote = api.post(api.path(&["customer-managed-keys"]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["customer-managed-keys", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace"))?)
    }
}
