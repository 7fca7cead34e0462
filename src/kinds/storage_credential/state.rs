//! The state of a StorageCredential, and what is sent and read of it. Within a field the names of the state are those of the spec, as
//! `status.observed` shows them.

use super::spec::{StorageCredentialFacts, StorageCredentialSpec};
use crate::apis::same_name;
use crate::engine::prelude::*;

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct StorageCredentialState {
    pub(super) metastore_id: String,
    pub(super) name: Option<String>,
    pub(super) aws_iam_role: Option<Role>,
    pub(super) azure_managed_identity: Option<Identity>,
    comment: Option<String>,
    read_only: Option<bool>,
    pub(super) owner: Option<String>,
    isolation_mode: Option<String>,
    /// How a change is sent; in no response.
    pub(super) skip_validation: Option<bool>,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    role_arn: String,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    access_connector_id: String,
    managed_identity_id: Option<String>,
}

impl StorageCredentialState {
    /// What a spec asks for in this metastore.
    pub(super) fn of(spec: &StorageCredentialSpec, metastore_id: &str) -> StorageCredentialState {
        let identity = spec.azure_managed_identity.as_ref();
        StorageCredentialState {
            metastore_id: metastore_id.to_owned(),
            name: spec.name.clone(),
            aws_iam_role: spec.aws_iam_role.as_ref().map(|role| Role { role_arn: role.role_arn.clone() }),
            azure_managed_identity: identity.map(|identity| Identity {
                access_connector_id: identity.access_connector_id.clone(),
                managed_identity_id: identity.managed_identity_id.clone(),
            }),
            comment: spec.comment.clone(),
            read_only: spec.read_only,
            owner: spec.owner.clone(),
            isolation_mode: spec.isolation_mode.map(|mode| format!("{mode:?}")),
            skip_validation: spec.skip_validation,
        }
    }

    /// Whether a field that differs in its text means the same as in the account.
    pub(super) fn is_alike(&self, seen: &StorageCredentialState, path: &str) -> bool {
        let (own, other) = (self.azure_managed_identity.as_ref(), seen.azure_managed_identity.as_ref());
        match path {
            "name" => same_name(self.name.as_ref(), seen.name.as_ref()),
            "owner" => same_name(self.owner.as_ref(), seen.owner.as_ref()),
            "azure_managed_identity.accessConnectorId" => same_name(
                own.map(|own| &own.access_connector_id),
                other.map(|other| &other.access_connector_id),
            ),
            "azure_managed_identity.managedIdentityId" => same_name(
                own.and_then(|own| own.managed_identity_id.as_ref()),
                other.and_then(|other| other.managed_identity_id.as_ref()),
            ),
            _ => false,
        }
    }

    /// The same with what the spec does not manage of an identity as the account has it: a change replaces the whole of it.
    pub(super) fn completed(&self, seen: &StorageCredentialState) -> StorageCredentialState {
        let mut whole = self.clone();
        if let (Some(own), Some(seen)) = (&mut whole.azure_managed_identity, &seen.azure_managed_identity)
            && own.managed_identity_id.is_none()
        {
            own.managed_identity_id.clone_from(&seen.managed_identity_id);
        }
        whole
    }

    /// The managed ones of these fields, as the API calls them.
    pub(super) fn body(&self, fields: &[&str]) -> Map<String, Value> {
        let role = self.aws_iam_role.as_ref().map(|role| json!({"role_arn": role.role_arn}));
        let identity = self.azure_managed_identity.as_ref().map(|identity| {
            given(json!({
                "access_connector_id": identity.access_connector_id,
                // Empty is the identity of the connector itself.
                "managed_identity_id": identity.managed_identity_id.as_ref().filter(|id| !id.is_empty()),
            }))
        });
        let all = json!({
            "name": self.name,
            "aws_iam_role": role,
            "azure_managed_identity": identity,
            "comment": self.comment,
            "read_only": self.read_only,
            "owner": self.owner,
            "isolation_mode": self.isolation_mode,
        });
        let values = fields.iter().map(|field| ((*field).to_owned(), all[*field].clone()));
        values.filter(|(_, value)| !value.is_null()).collect()
    }
}

/// A response. What may be missing is an `Option`.
#[derive(Deserialize)]
pub(super) struct Remote {
    name: String,
    id: Option<String>,
    aws_iam_role: Option<RemoteRole>,
    azure_managed_identity: Option<RemoteIdentity>,
    databricks_gcp_service_account: Option<ServiceAccount>,
    comment: Option<String>,
    read_only: Option<bool>,
    owner: Option<String>,
    isolation_mode: Option<String>,
    used_for_managed_storage: Option<bool>,
    created_at: Option<Int64>,
}

#[derive(Deserialize)]
struct RemoteRole {
    role_arn: Option<String>,
    external_id: Option<String>,
    unity_catalog_iam_arn: Option<String>,
}

#[derive(Deserialize)]
struct RemoteIdentity {
    access_connector_id: Option<String>,
    managed_identity_id: Option<String>,
}

#[derive(Deserialize)]
struct ServiceAccount {
    email: Option<String>,
}

impl Remote {
    /// Its name, state and facts as a credential of a metastore, and when it was created.
    pub(super) fn shown(
        self,
        metastore_id: &str,
    ) -> (String, StorageCredentialState, StorageCredentialFacts, About) {
        let role = self.aws_iam_role;
        let facts = StorageCredentialFacts {
            storage_credential_id: self.id,
            sts_external_id: role.as_ref().and_then(|role| role.external_id.clone()),
            unity_catalog_iam_arn: role.as_ref().and_then(|role| role.unity_catalog_iam_arn.clone()),
            service_account_email: self.databricks_gcp_service_account.and_then(|account| account.email),
            used_for_managed_storage: self.used_for_managed_storage,
        };
        let state = StorageCredentialState {
            metastore_id: metastore_id.to_owned(),
            name: Some(self.name.clone()),
            aws_iam_role: role.map(|role| Role { role_arn: role.role_arn.unwrap_or_default() }),
            azure_managed_identity: self.azure_managed_identity.map(|identity| Identity {
                access_connector_id: identity.access_connector_id.unwrap_or_default(),
                managed_identity_id: Some(identity.managed_identity_id.unwrap_or_default()),
            }),
            comment: Some(self.comment.unwrap_or_default()),
            read_only: Some(self.read_only.unwrap_or(false)),
            owner: self.owner,
            // The API may leave out a default.
            isolation_mode: Some(self.isolation_mode.unwrap_or_else(|| "ISOLATION_MODE_OPEN".to_owned())),
            skip_validation: None,
        };
        let about = About { created: self.created_at.map(|ms| ms.0 / 1000), ..About::default() };
        (self.name, state, facts, about)
    }
}
