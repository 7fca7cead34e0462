//! Credential: the IAM role that Databricks launches compute with in an AWS account. It can only be created and deleted.
//! Databricks tests the role before it accepts it, and AWS shows a new role everywhere only after a while: the operator
//! waits. A credential counts as used for a while after its workspace is gone: the operator waits for that too.

pub mod spec;

use crate::engine::prelude::*;

pub use spec::{AwsCredentials, Credential, CredentialFacts, CredentialSpec, StsRole};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct CredentialState {
    credentials_name: Option<String>,
    role_arn: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    credentials_id: String,
    credentials_name: Option<String>,
    #[serde(default)]
    aws_credentials: Value,
    creation_time: Option<Int64>,
}

impl From<Remote> for Observed<Credential> {
    fn from(remote: Remote) -> Self {
        let shown = |field: &str| remote.aws_credentials["sts_role"][field].as_str().map(str::to_owned);
        let role_arn = shown("role_arn");
        let facts = CredentialFacts { sts_external_id: shown("external_id") };
        let about = About { created: remote.creation_time.map(|ms| ms.0 / 1000), ..About::default() };
        let state = CredentialState { credentials_name: remote.credentials_name, role_arn };
        Observed { id: remote.credentials_id, state, facts, about }
    }
}

impl ExternalResource for Credential {
    type State = CredentialState;
    type Id = String;
    type Facts = CredentialFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "credentials_name", spec: &["credentialsName"] },
        Immutable { state: "role_arn", spec: &["awsCredentials.stsRole.roleArn"] },
    ];

    const NAME: &'static [&'static str] = &["credentialsName"];
    const REQUIRED: &'static [&'static str] = &["awsCredentials"];

    fn desired(spec: &CredentialSpec, _: &Resolved) -> Result<CredentialState> {
        let role_arn = spec.aws_credentials.as_ref().map(|aws| aws.sts_role.role_arn.clone());
        Ok(CredentialState { credentials_name: spec.credentials_name.clone(), role_arn })
    }

    fn key(state: &CredentialState) -> Key {
        Key { within: String::new(), name: state.credentials_name.clone().unwrap_or_default() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["credentials", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["credentials"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &CredentialState) -> ApiResult<Created<Self>> {
        let role = json!({"sts_role": {"role_arn": want.role_arn}});
        let body = json!({"credentials_name": want.credentials_name, "aws_credentials": role});
        let made: Remote = api.post(api.path(&["credentials"]), body).await.map_err(classify)?;
        Ok(Observed::from(made).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["credentials", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace or a log delivery"))?)
    }
}

const ROLE: &str = "awsCredentials.stsRole.roleArn";

/// Classifies refusals by their texts, as their codes are not documented.
fn classify(error: databricks::Error) -> CallError {
    if let Some(refused) = tried_in_aws(&error, &format!("spec.{ROLE}"), "the bucket") {
        return refused.into();
    }
    let databricks::Error::Api { status: 400 | 409, message: told, .. } = &error else { return error.into() };
    if told.to_lowercase().contains("already exists") {
        let text = format!("{error}; write another credentialsName, or set adoptionPolicy to IfExists");
        return Error::rejected(Reason::AlreadyExists, text).into();
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> databricks::Error {
        let (call, code) = ("POST credentials".into(), Some(code.into()));
        let (message, retry_after, request_id) = (message.into(), None, None);
        databricks::Error::Api { call, status, code, message, retry_after, request_id }
    }

    #[test]
    fn refusals_are_distinguished_by_their_text() {
        let class =
            |status, message: &str| Error::from(classify(refused(status, "MALFORMED_REQUEST", message)));
        let new = class(400, "Failed credentials validation checks: please use a valid IAM role");
        assert!(
            matches!(new, Error::Rejected { reason: Reason::ApplyFailed, patience: Some(_), .. }),
            "{new:?}"
        );
        for status in [400, 409] {
            let taken = class(status, "a credential configuration with this name already exists");
            assert!(taken.is_rejected(Reason::AlreadyExists), "{taken:?}");
        }
        let other = class(400, "credentials_name is missing");
        assert!(other.is_rejected(Reason::InvalidSpec), "{other:?}");
    }
}
