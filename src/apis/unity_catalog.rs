//! What the APIs of Unity Catalog have in common: codes of their own for what does not exist, names without case, and owners.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::databricks;
use crate::engine::crd::{NameRef, Reason};
use crate::engine::error::Error;
use crate::engine::kind::{CallError, NEW_REFERENCE};

/// An owner that is an object of the namespace. The account knows it by its name, a service principal by its application id.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.userRef), has(self.groupRef), has(self.servicePrincipalRef)].exists_one(given, given)",
     "message": "ownerRef needs exactly one of userRef, groupRef and servicePrincipalRef: keep one and remove the others"},
]))]
pub struct OwnerRef {
    /// A User of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<NameRef>,
    /// A Group of this namespace. If it gets another name, the new one is written. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<NameRef>,
    /// A ServicePrincipal of this namespace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
}

/// The codes for a metastore or a storage credential that does not exist. Not among them is the code for the root credential of a
/// metastore that is read: the metastore itself exists.
const ABSENT: [&str; 2] = ["METASTORE_DOES_NOT_EXIST", "STORAGE_CREDENTIAL_DOES_NOT_EXIST"];

/// The same error with the code that all other APIs of the account have for what does not exist.
pub fn with_common_code(mut error: databricks::Error) -> databricks::Error {
    if let databricks::Error::Api { status: 404, code: Some(code), .. } = &mut error
        && ABSENT.contains(&code.as_str())
    {
        *code = "RESOURCE_DOES_NOT_EXIST".into();
    }
    error
}

/// The error for a create that the account may refuse because there is one already; `remedy` says what to write then. Only the texts
/// of these refusals are known: one is about the name, the other about a second metastore in a region.
pub fn not_created(error: databricks::Error, remedy: &str) -> CallError {
    let error = with_common_code(error);
    let databricks::Error::Api { status: 400 | 409, message, .. } = &error else { return error.into() };
    let text = message.to_lowercase();
    if text.contains("already exists") || text.contains("limit for metastores") {
        return Error::rejected(Reason::AlreadyExists, format!("{error}; {remedy}")).into();
    }
    error.into()
}

/// The error for a change of the owner. One that the account does not know may be new; only the text of that is known.
pub fn no_such_owner(error: databricks::Error) -> CallError {
    let error = with_common_code(error);
    let databricks::Error::Api { status: 400 | 404, message, .. } = &error else { return error.into() };
    if !message.to_lowercase().contains("could not find principal") {
        return error.into();
    }
    let text = format!("{error}; correct spec.owner, or wait if that is new");
    Error::rejected(Reason::ReferenceNotFound, text).patient(NEW_REFERENCE).into()
}

/// Whether two names mean the same: case distinguishes no objects here, no principals, and no resources of Azure.
pub fn same_name(one: Option<&String>, other: Option<&String>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.to_lowercase() == other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16, code: &str, message: &str) -> databricks::Error {
        let (call, code, message) = ("POST /metastores".into(), Some(code.to_owned()), message.to_owned());
        databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None }
    }

    #[test]
    fn what_does_not_exist_is_recognised_and_a_missing_root_credential_is_not_taken_for_it() {
        let absent = |status, code| with_common_code(api(status, code, "no")).is_absence();
        assert!(absent(404, "METASTORE_DOES_NOT_EXIST") && absent(404, "STORAGE_CREDENTIAL_DOES_NOT_EXIST"));
        assert!(absent(404, "RESOURCE_DOES_NOT_EXIST"));
        assert!(!absent(404, "DAC_DOES_NOT_EXIST") && !absent(404, "ENDPOINT_NOT_FOUND"));
        assert!(!absent(403, "METASTORE_DOES_NOT_EXIST"));
    }

    #[test]
    fn a_create_of_what_exists_says_what_to_write() {
        let class = |status, code, message| Error::from(not_created(api(status, code, message), "adopt it"));
        for (status, code, message) in [
            (400, "INVALID_PARAMETER_VALUE", "Storage Credential 'lake' already exists"),
            (409, "RESOURCE_CONFLICT", "Metastore 'main' already exists"),
            (400, "INVALID_PARAMETER_VALUE", "This account has reached the limit for metastores in region a"),
        ] {
            let taken = class(status, code, message);
            assert!(taken.is_rejected(Reason::AlreadyExists), "{taken:?}");
            assert!(taken.to_string().contains(message) && taken.to_string().contains("adopt it"), "{taken}");
        }
        let other = class(400, "INVALID_PARAMETER_VALUE", "region is not valid");
        assert!(other.is_rejected(Reason::InvalidSpec), "{other:?}");
        let missing = class(404, "METASTORE_DOES_NOT_EXIST", "Metastore '1' does not exist");
        assert!(missing.is_rejected(Reason::ExternalResourceMissing), "{missing:?}");
    }

    #[test]
    fn an_owner_that_does_not_exist_is_waited_for_and_is_no_missing_metastore() {
        let class = |status, code, message| Error::from(no_such_owner(api(status, code, message)));
        let new = class(404, "PRINCIPAL_DOES_NOT_EXIST", "Could not find principal with name admins");
        let patient = matches!(new, Error::Rejected { patience: Some(NEW_REFERENCE), .. });
        assert!(patient && new.is_rejected(Reason::ReferenceNotFound), "{new:?}");
        assert!(new.to_string().contains("spec.owner"), "{new}");
        let missing = class(404, "METASTORE_DOES_NOT_EXIST", "Metastore '1' does not exist");
        assert!(missing.is_rejected(Reason::ExternalResourceMissing), "{missing:?}");
        let denied = class(403, "PERMISSION_DENIED", "User is not an owner of Metastore 'main'");
        assert!(denied.is_rejected(Reason::PermissionDenied), "{denied:?}");
    }

    #[test]
    fn names_have_no_case() {
        let same = |one: &str, other: &str| same_name(Some(&one.to_owned()), Some(&other.to_owned()));
        assert!(same("Main", "main") && !same("main", "main2"));
        assert!(!same_name(None, None), "nothing is named");
    }
}
