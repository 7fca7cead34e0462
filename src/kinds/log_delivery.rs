//! LogDelivery: audit logs or billable usage, delivered to a bucket. The API removes none: to delete one is to disable it, and it stays
//! in the account for ever. A disabled delivery that is equal to the desired one is therefore enabled again in place of a second
//! create. Two deliveries are equal in all but their names, as the API sees it.
//!
//! A delivery without a list of workspaces delivers the logs of the whole account. So a spec that has no such list asks for just that,
//! unless it names the delivery by `externalId` alone.
//!
//! The account tries a delivery hours after it was enabled. So an enabled delivery is Ready, and a failure of the last attempt is
//! reported beside that.
//!
//! Longer than a plain kind, as a create may be an update, and what the last attempt to deliver says is put into words.

pub mod spec;
mod state;

use std::collections::BTreeSet;

use crate::engine::prelude::*;
use crate::kinds::credential::Credential;
use crate::kinds::storage_configuration::StorageConfiguration;
use crate::kinds::workspace::Workspace;

use spec::LastDelivery;
use state::{DISABLED, ENABLED};

pub use spec::{LogDelivery, LogDeliveryFacts, LogDeliverySpec};
pub use state::LogDeliveryState;

#[derive(Deserialize)]
struct Envelope {
    log_delivery_configuration: Remote,
}

#[derive(Deserialize)]
struct Remote {
    config_id: String,
    log_type: Option<String>,
    output_format: Option<String>,
    credentials_id: Option<String>,
    storage_configuration_id: Option<String>,
    config_name: Option<String>,
    delivery_path_prefix: Option<String>,
    delivery_start_time: Option<String>,
    workspace_ids_filter: Option<Vec<Int64>>,
    status: Option<String>,
    log_delivery_status: Option<Attempt>,
    creation_time: Option<Int64>,
}

#[derive(Deserialize)]
struct Attempt {
    status: Option<String>,
    message: Option<String>,
    last_attempt_time: Option<String>,
    last_successful_attempt_time: Option<String>,
}

impl From<Attempt> for LastDelivery {
    fn from(attempt: Attempt) -> Self {
        LastDelivery {
            status: attempt.status,
            message: attempt.message.filter(|text| !text.is_empty()),
            last_attempt_time: attempt.last_attempt_time,
            last_successful_attempt_time: attempt.last_successful_attempt_time,
        }
    }
}

impl From<Remote> for Observed<LogDelivery> {
    fn from(remote: Remote) -> Self {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let workspaces: BTreeSet<i64> =
            remote.workspace_ids_filter.into_iter().flatten().map(|id| id.0).collect();
        let state = LogDeliveryState {
            log_type: remote.log_type,
            output_format: remote.output_format,
            credentials_id: remote.credentials_id,
            storage_configuration_id: remote.storage_configuration_id,
            config_name: text(remote.config_name),
            delivery_path_prefix: text(remote.delivery_path_prefix),
            delivery_start_time: text(remote.delivery_start_time),
            workspace_ids: Some(workspaces).filter(|ids| !ids.is_empty()),
            status: remote.status.unwrap_or_else(|| ENABLED.into()),
        };
        let last = remote.log_delivery_status.map(LastDelivery::from);
        let facts = LogDeliveryFacts { log_delivery_status: last };
        let about = about(&state, &facts, remote.creation_time.map(|ms| ms.0 / 1000));
        Observed { id: remote.config_id, state, facts, about }
    }
}

/// A disabled delivery is as good as none, until it is enabled again.
fn about(state: &LogDeliveryState, facts: &LogDeliveryFacts, created: Option<i64>) -> About {
    let phase = if state.status == DISABLED { Phase::Vacant } else { Phase::Ready };
    let (remark, state) = (failure(state, facts), Some(state.status.clone()));
    About { phase, state, created, remark, ..About::default() }
}

/// Why nothing is delivered, and what to do.
fn failure(state: &LogDeliveryState, facts: &LogDeliveryFacts) -> Option<String> {
    let last = facts.log_delivery_status.as_ref()?;
    let failed = state.status == ENABLED && last.status.as_deref() == Some("USER_FAILURE");
    failed.then(|| {
        let why = last.message.as_deref().unwrap_or("Databricks gives no reason");
        format!(
            "the last delivery failed because of the bucket or the role ({why}): let the role of the credential configuration {} write to \
             the bucket of the storage configuration {}; Databricks tries the next delivery some hours later",
            state.credentials_id.as_deref().unwrap_or_default(),
            state.storage_configuration_id.as_deref().unwrap_or_default()
        )
    })
}

impl ExternalResource for LogDelivery {
    type State = LogDeliveryState;
    type Id = String;
    type Facts = LogDeliveryFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "log_type", spec: &["logType"] },
        Immutable { state: "output_format", spec: &["outputFormat"] },
        Immutable { state: "config_name", spec: &["configName"] },
        Immutable { state: "delivery_path_prefix", spec: &["deliveryPathPrefix"] },
        Immutable { state: "delivery_start_time", spec: &["deliveryStartTime"] },
    ];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Credential>("credentials_id", &["credentialsId", "credentialsRef"], &["credential"])
            .fixed(),
        Reference::to::<StorageConfiguration>(
            "storage_configuration_id",
            &["storageConfigurationId", "storageConfigurationRef"],
            &["storage"],
        )
        .fixed(),
        Reference::list::<Workspace>("workspace_ids", &["workspaceIds", "workspaceRefs"], &["workspace"])
            .fixed(),
    ];
    const NAME: &'static [&'static str] = &["logType", "outputFormat"];
    /// Whatever its name, an enabled delivery with this content keeps another one from being created. A disabled one is enabled in its
    /// place only if it has the desired name, as that cannot be changed.
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> =
        Some(|key, seen| seen.state.is_called(&key.name, seen.about.phase != Phase::Vacant));

    fn desired(spec: &LogDeliverySpec, got: &Resolved) -> Result<LogDeliveryState> {
        let status = spec.status.map_or_else(|| ENABLED.into(), |status| format!("{status:?}"));
        let mut state = LogDeliveryState {
            log_type: spec.log_type.map(|log_type| format!("{log_type:?}")),
            output_format: spec.output_format.map(|format| format!("{format:?}")),
            credentials_id: got.maybe("credentials_id"),
            storage_configuration_id: got.maybe("storage_configuration_id"),
            config_name: spec.config_name.clone(),
            delivery_path_prefix: spec.delivery_path_prefix.clone(),
            delivery_start_time: spec.delivery_start_time.clone(),
            workspace_ids: None,
            status,
        };
        state.workspace_ids = match got.all("workspace_ids") {
            Some(ids) => Some(numbers(ids)?),
            // Without a part of the content, `externalId` names the delivery, and its workspaces stay as they are.
            None => (!state.name().is_empty()).then(BTreeSet::new),
        };
        Ok(state)
    }

    fn key(state: &LogDeliveryState) -> Key {
        Key { within: String::new(), name: state.name() }
    }

    fn recognises(want: &LogDeliveryState, seen: &Observed<Self>) -> bool {
        want.may_mean(&seen.state)
    }

    /// A response for the whole account has no list, and the desired state an empty one: that is no difference.
    fn changes(want: &LogDeliveryState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let same = want.workspaces() == seen.state.workspaces();
        let when = |path: &str| match path {
            "status" => When::Now,
            _ => When::Never(CANNOT_CHANGE.into()),
        };
        let paths = differences::<Self>(want, seen)?.into_iter();
        let paths = paths.filter(|path| path != "workspace_ids" || !same);
        Ok(paths.map(|path| Change { when: when(&path), path }).collect())
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Envelope> = api.get(api.path(&[COLLECTION, id])).await.optional()?;
        Ok(found.map(|found| found.log_delivery_configuration.into()))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let pages = Pages::Token("log_delivery_configurations");
        let all: Vec<Remote> = api.list(api.path(&[COLLECTION]), pages).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &LogDeliveryState) -> ApiResult<Created<Self>> {
        let delivery = given(json!({
            "log_type": want.log_type,
            "output_format": want.output_format,
            "credentials_id": want.credentials_id,
            "storage_configuration_id": want.storage_configuration_id,
            "config_name": want.config_name,
            "delivery_path_prefix": want.delivery_path_prefix,
            "delivery_start_time": want.delivery_start_time,
            "workspace_ids_filter": want.workspaces(),
            "status": want.status,
        }));
        let body = json!({"log_delivery_configuration": delivery});
        let created: Envelope = api.post(api.path(&[COLLECTION]), body).await.map_err(refused)?;
        Ok(Observed::from(created.log_delivery_configuration).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &LogDeliveryState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        set(api, seen, &want.status).await?;
        // The response says nothing, so it is read.
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the log delivery was gone right after it was changed"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        set(api, seen, DISABLED).await
    }
}

const COLLECTION: &str = "log-delivery";

async fn set(api: &Writer, seen: &Observed<LogDelivery>, status: &str) -> ApiResult<()> {
    let path = api.path(&[COLLECTION, &seen.id]);
    api.patch::<IgnoredAny>(path, json!({"status": status})).await.map_err(refused)?;
    Ok(())
}

/// Ids as the API has them.
fn numbers(ids: BTreeSet<String>) -> Result<BTreeSet<i64>> {
    let number = |id: &String| {
        let wrong = |_| Error::terminal(Reason::InvalidSpec, format!("{id} is no id of a workspace"));
        id.parse().map_err(wrong)
    };
    // During a deletion a reference may be unknown. No known workspace is not the whole account.
    if ids.is_empty() {
        let text = "none of the workspaces that the spec refers to is known";
        return Err(Error::terminal(Reason::InternalError, text));
    }
    ids.iter().map(number).collect()
}

/// Databricks tries the bucket and the role before it accepts a delivery, and AWS shows what is new late.
fn refused(error: databricks::Error) -> CallError {
    let (role, bucket) = (
        "spec.credentialsId (or spec.credentialsRef)",
        "spec.storageConfigurationId (or spec.storageConfigurationRef)",
    );
    tried_in_aws(&error, role, bucket).map_or_else(|| error.into(), CallError::from)
}
