//! CustomerManagedKey: the registration of a key of your cloud account, with which workspaces encrypt. It can only be created and
//! deleted; the key in the cloud stays. If that key is disabled or deleted in the cloud, the workspaces that use it cannot be read
//! any more: nothing here can prevent that.
//!
//! It has no name: it is found by the key and its use cases.

pub mod spec;

use std::collections::BTreeSet;

use crate::engine::prelude::*;

pub use spec::{
    AwsKey, CustomerManagedKey, CustomerManagedKeyFacts, CustomerManagedKeySpec, GcpKey, UseCase,
};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct CustomerManagedKeyState {
    use_cases: Option<BTreeSet<String>>,
    key_arn: Option<String>,
    key_alias: Option<String>,
    key_region: Option<String>,
    reuse_key_for_cluster_volumes: Option<bool>,
    kms_key_id: Option<String>,
    manual: Option<bool>,
}

#[derive(Deserialize)]
struct Remote {
    customer_managed_key_id: String,
    use_cases: Option<BTreeSet<String>>,
    aws_key_info: Option<RemoteAws>,
    #[serde(default)]
    gcp_key_info: Value,
    creation_time: Option<Int64>,
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
        // The API may leave out a default, as of a registration that is older than the field.
        let storage = remote.use_cases.iter().flatten().any(|case| case == "STORAGE");
        let for_disks = (storage && aws.key_arn.is_some()).then_some(true);
        let kms_key_id = of_gcp("/kms_key_id");
        let given_access = kms_key_id.is_some().then_some(false);
        let state = CustomerManagedKeyState {
            use_cases: remote.use_cases,
            key_arn: aws.key_arn,
            key_alias: aws.key_alias,
            key_region: aws.key_region,
            reuse_key_for_cluster_volumes: aws.reuse_key_for_cluster_volumes.or(for_disks),
            kms_key_id,
            manual: remote.gcp_key_info.get("manual").and_then(Value::as_bool).or(given_access),
        };
        let email = of_gcp("/gcp_service_account/service_account_email");
        let facts = CustomerManagedKeyFacts { gcp_service_account_email: email };
        let about = About { created: remote.creation_time.map(|ms| ms.0 / 1000), ..About::default() };
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
        Immutable { state: "manual", spec: &["gcpKeyInfo.manual"] },
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
            manual: spec.gcp_key_info.as_ref().and_then(|key| key.manual),
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
        }, "gcp_key_info": {"kms_key_id": want.kms_key_id, "manual": want.manual}}));
        let created: Remote = api.post(api.path(&["customer-managed-keys"]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["customer-managed-keys", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/a";

    /// The fields that differ between a spec with a key and a response.
    fn differ(fields: &Value, cloud: &str, info: &Value) -> String {
        let mut spec = json!({"authRef": {"name": "a"}});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let spec = serde_json::from_value(spec).unwrap();
        let want = CustomerManagedKey::desired(&spec, &Resolved::default()).unwrap();
        let remote = json!({"customer_managed_key_id": "k", "use_cases": fields["useCases"], cloud: info});
        let seen: Observed<CustomerManagedKey> = serde_json::from_value::<Remote>(remote).unwrap().into();
        let changes = CustomerManagedKey::changes(&want, &seen).unwrap();
        changes.into_iter().map(|change| change.path).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_default_that_the_account_leaves_out_is_no_difference() {
        let aws = |reuse: bool, shown: Value| {
            let key = json!({"keyArn": ARN, "reuseKeyForClusterVolumes": reuse});
            let info = json!({"key_arn": ARN, "reuse_key_for_cluster_volumes": shown});
            differ(&json!({"useCases": ["STORAGE"], "awsKeyInfo": key}), "aws_key_info", &info)
        };
        let gcp = |manual: bool, shown: Value| {
            let key = json!({"kmsKeyId": "k", "manual": manual});
            let info = json!({"kms_key_id": "k", "manual": shown});
            differ(&json!({"useCases": ["STORAGE"], "gcpKeyInfo": key}), "gcp_key_info", &info)
        };
        for (differs, expected) in [
            (aws(true, Value::Null), ""),
            (aws(true, json!(true)), ""),
            (aws(false, json!(false)), ""),
            (aws(false, Value::Null), "reuse_key_for_cluster_volumes"),
            (gcp(false, Value::Null), ""),
            (gcp(true, json!(true)), ""),
            (gcp(true, Value::Null), "manual"),
        ] {
            assert_eq!(differs, expected);
        }
        let services = json!({"useCases": ["MANAGED_SERVICES"], "awsKeyInfo": {"keyArn": ARN}});
        assert_eq!(differ(&services, "aws_key_info", &json!({"key_arn": ARN})), "");
    }
}
