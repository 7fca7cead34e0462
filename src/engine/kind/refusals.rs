//! Classifies refusals that several kinds get and that only their text distinguishes, so that a kind need only name the field
//! of its spec to correct. Pure.

use std::time::Duration;

use serde_json::Value;

use super::references::Reference;
use super::resource::CallError;
use crate::databricks;
use crate::engine::crd::Reason;
use crate::engine::error::Error;

/// Classifies a failed write that named the version of the object that it changes: the account has another version by now, so
/// the object is read again. Other errors stay what they are.
pub fn stale(error: databricks::Error) -> CallError {
    let conflict = matches!(error.code(), Some("RESOURCE_CONFLICT" | "ABORTED")) || error.etag().is_some();
    if conflict && !error.may_have_happened() && !error.is_throttle() {
        return Error::Conflict(format!("{error}; it was changed since it was read, so it is read again"))
            .into();
    }
    error.into()
}

/// Why a create failed that has sent nothing yet, by a read that precedes its write: the operator retries it. If it were in doubt, what
/// another user creates meanwhile would count as its result.
pub fn nothing_sent(error: CallError) -> CallError {
    match error {
        CallError::Api(error) if error.may_have_happened() => Error::Conflict(error.to_string()).into(),
        CallError::Classified(Error::Transient { message, .. }) => Error::Conflict(message).into(),
        error => error,
    }
}

/// A create without a trustworthy response must never be mapped to failure: it may have created the object.
pub fn unless_unknown(error: databricks::Error) -> Error {
    if error.may_have_happened() { Error::Unknown { message: error.to_string() } } else { error.into() }
}

/// How long AWS may take to show a new IAM role, or the new policy of a bucket, everywhere. Minutes are usual (users of
/// Terraform wait and apply again); this leaves ten before a person must act.
pub const NEW_IN_AWS: Duration = Duration::from_secs(600);

/// How long it may take until the whole account knows a new object to which another one of ours refers, and a workspace a new assignment.
pub const NEW_REFERENCE: Duration = Duration::from_secs(600);

/// The error if Databricks has tested a role or a bucket and it did not work. A wrong one and a new one get the same response, so
/// the operator waits. `role` and `bucket` are the fields of the spec that lead to them.
pub fn tried_in_aws(error: &databricks::Error, role: &str, bucket: &str) -> Option<Error> {
    let databricks::Error::Api { status: 400 | 403 | 409 | 422, message, .. } = error else { return None };
    let text = message.to_lowercase();
    let failed = |what: &str| text.contains(&format!("failed {what}")) && text.contains("validation check");
    let (what, field) = match (failed("credential"), failed("storage")) {
        (true, _) => ("role", role),
        (_, true) => ("bucket", bucket),
        _ => return None,
    };
    let text = format!(
        "{error}; if the {what} or its policies are new, wait for some minutes; otherwise correct the policies of the {what}, \
         or {field}"
    );
    Some(Error::rejected(Reason::ApplyFailed, text).patient(NEW_IN_AWS))
}

/// The error for a deletion that the account refuses because something uses the object. The code differs and may be missing, but
/// a deletion has no body, so there can be no other cause. What uses it may not be in the cluster, and may count for some minutes
/// after it is gone.
pub fn in_use(error: databricks::Error, users: &str) -> Error {
    let databricks::Error::Api { status: 400 | 409, .. } = &error else { return error.into() };
    let text = format!(
        "{error}; {users} in the account still uses it, or did until some minutes ago: wait, or delete what uses it, or let that \
         use another one; to leave this one in the account, set spec.deletionPolicy to Retain"
    );
    Error::waiting(Reason::DependencyStillInUse, text)
}

/// The error for a workspace that is not created, changed or deleted because of a state that passes: it is being created or changed, its
/// compute must end first, or its network was that of another workspace until a moment ago.
pub fn not_now(error: databricks::Error) -> CallError {
    let of_state = error.status() == Some(400) && error.code() == Some("INVALID_STATE");
    match of_state.then(|| Error::from(error.clone())) {
        Some(Error::Rejected { reason: Reason::ApplyFailed, message, .. }) => {
            Error::waiting(Reason::ApplyFailed, message).into()
        }
        _ => error.into(),
    }
}

/// Why a change of a user, a group or a service principal failed. An identity provider may own it, and then the account refuses
/// changes by others; `external` says that it has an id of such a provider.
pub fn of_identity_provider(error: databricks::Error, external: bool) -> Error {
    let databricks::Error::Api { status, message, .. } = &error else { return error.into() };
    let said = matches!(status, 400 | 403) && message.to_lowercase().contains("identity provider");
    let by_id = external && *status == 403;
    if !(said || by_id) {
        return error.into();
    }
    let text = format!(
        "{error}; the identity provider of the account owns this object: change it there, and set spec.managementPolicy to Observe"
    );
    Error::rejected(Reason::ManagedByIdentityProvider, text)
}

/// The account says that a reference of a create does not exist: finds the fields of the spec that it may mean. They are
/// those whose id or name is in the response; all, if there is none.
pub fn refers_to_nothing(error: &databricks::Error, references: &[Reference], want: &Value) -> Option<Error> {
    let databricks::Error::Api { message, .. } = error else { return None };
    if !error.is_absence() {
        return None;
    }
    let text = message.to_lowercase();
    let ids = |reference: &Reference| match &want[reference.state] {
        Value::Null => None,
        Value::String(id) => Some(vec![id.to_lowercase()]),
        Value::Array(ids) => Some(ids.iter().filter_map(|id| Some(id.as_str()?.to_lowercase())).collect()),
        id => Some(vec![id.to_string()]),
    };
    let given: Vec<(&Reference, Vec<String>)> =
        references.iter().filter_map(|r| Some((r, ids(r)?))).filter(|(_, ids)| !ids.is_empty()).collect();
    let named = |(reference, ids): &&(&Reference, Vec<String>)| {
        let word = |word: &str| text.contains(word);
        let is_id = |part: &str| ids.iter().any(|id| id == part);
        reference.words.iter().any(|w| word(w)) || text.split(|c: char| !is_of_id(c)).any(is_id)
    };
    let mut intended: Vec<&(&Reference, Vec<String>)> = given.iter().filter(named).collect();
    if intended.is_empty() {
        intended = given.iter().collect();
    }
    let intended: Vec<&Reference> = intended.into_iter().map(|(reference, _)| *reference).collect();
    let fields = fields_of(&intended);
    let what = if fields.is_empty() { "what the spec refers to".into() } else { fields.join(" and ") };
    let text = format!("{error}; correct {what}, or wait if what it refers to is new");
    Some(Error::rejected(Reason::ReferenceNotFound, text))
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The fields of the spec that references come from. Rows of one field of `State` name one other object, of several kinds.
fn fields_of(references: &[&Reference]) -> Vec<String> {
    let mut states: Vec<&str> = references.iter().map(|reference| reference.state).collect();
    states.dedup();
    let all = |state: &str| {
        let mut fields: Vec<&str> = vec![];
        for field in references.iter().filter(|reference| reference.state == state).flat_map(|r| r.spec) {
            if !fields.contains(field) {
                fields.push(field);
            }
        }
        written(&fields)
    };
    states.into_iter().map(all).collect()
}

/// `spec.workspaceId (or spec.workspaceRef)`.
fn written(fields: &[&str]) -> String {
    let mut fields = fields.iter().map(|field| format!("spec.{field}"));
    let first = fields.next().unwrap_or_default();
    let others: Vec<String> = fields.collect();
    if others.is_empty() { first } else { format!("{first} (or {})", others.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api(status: u16, code: &str, message: &str) -> databricks::Error {
        let (call, code, message) = ("POST /42/7".into(), Some(code.to_owned()), message.to_owned());
        databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None }
    }

    #[test]
    fn a_new_role_or_bucket_is_waited_for_in_all_wordings() {
        let class = |text: &str| {
            let error = api(400, "MALFORMED_REQUEST", text);
            tried_in_aws(&error, "spec.role", "spec.bucket").map(|error| (error.to_string(), error))
        };
        for (text, field) in [
            ("Failed credential validation checks: please use a valid cross account IAM role", "spec.role"),
            ("Failed credentials validation checks: Spot Cancellation", "spec.role"),
            ("MALFORMED_REQUEST: failed credentials validation check: x", "spec.role"),
            ("Failed storage configuration validation checks: List, Put", "spec.bucket"),
        ] {
            let (message, error) = class(text).unwrap();
            assert!(message.contains(text) && message.contains(field), "{message}");
            let patient = matches!(error, Error::Rejected { patience: Some(NEW_IN_AWS), .. });
            assert!(patient && error.is_rejected(Reason::ApplyFailed), "{error:?}");
        }
        for text in [
            "Failed parameter validation checks: Deployment name cannot be used",
            "the credential is used",
            "validation checks of credentials",
        ] {
            assert!(class(text).is_none(), "{text}");
        }
    }

    /// Covers DL-05.
    #[test]
    fn the_operator_waits_for_the_users_of_what_it_deletes_and_for_nothing_else() {
        for (status, code) in
            [(400, "INVALID_STATE"), (400, "MALFORMED_REQUEST"), (409, "RESOURCE_CONFLICT"), (409, "")]
        {
            let held = in_use(api(status, code, "used by workspace 42"), "a workspace");
            assert!(matches!(held, Error::Waiting { reason: Reason::DependencyStillInUse, .. }), "{held:?}");
            assert!(held.to_string().contains("a workspace in the account"), "{held}");
        }
        let gone = in_use(api(404, "RESOURCE_DOES_NOT_EXIST", "no such"), "a workspace");
        assert!(gone.is_rejected(Reason::ExternalResourceMissing), "{gone:?}");
        let denied = in_use(api(403, "PERMISSION_DENIED", "no"), "a workspace");
        assert!(denied.is_rejected(Reason::PermissionDenied), "{denied:?}");
    }

    #[test]
    fn the_state_of_a_workspace_is_waited_for_and_a_full_account_is_not() {
        let class = |status, code, text: &str| Error::from(not_now(api(status, code, text)));
        let stop = "Terminate all clusters and pools in the subnets of the workspace first";
        let waits = class(400, "INVALID_STATE", stop);
        let Error::Waiting { reason: Reason::ApplyFailed, message } = &waits else { panic!("{waits:?}") };
        assert!(message.starts_with(stop), "{message}");
        for (status, code, text, reason) in [
            (400, "INVALID_STATE", "Workspace limit exceeded", Reason::QuotaExceeded),
            (400, "INVALID_PARAMETER_VALUE", stop, Reason::InvalidSpec),
            (409, "RESOURCE_CONFLICT", stop, Reason::ApplyFailed),
        ] {
            let refused = class(status, code, text);
            assert!(refused.is_rejected(reason), "{status} {code}: {refused:?}");
        }
        let in_doubt = not_now(api(500, "INVALID_STATE", stop));
        assert!(matches!(in_doubt, CallError::Api(_)), "it may have happened: {in_doubt:?}");
    }

    #[test]
    fn what_an_identity_provider_owns_is_recognised_by_its_id_or_by_the_text() {
        let is_owned = |status, text: &str, external| {
            let error = of_identity_provider(api(status, &format!("SCIM_{status}"), text), external);
            error.is_rejected(Reason::ManagedByIdentityProvider)
        };
        assert!(is_owned(403, "This object is managed by the Identity Provider.", false));
        assert!(is_owned(400, "externalId is managed by the identity provider", false));
        assert!(is_owned(403, "Forbidden", true));
        assert!(!is_owned(403, "Forbidden", false), "a lack of rights");
        assert!(!is_owned(400, "invalidValue: displayName", true), "a wrong value");
        assert!(!is_owned(503, "the identity provider is down", true));
    }

    #[test]
    fn what_does_not_exist_is_named_by_the_fields_that_the_response_means() {
        let references = [
            Reference::id("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"]),
            Reference::id("principal_id", &["principal"], &["principal", "group"]),
            Reference::id("network_id", &["networkId"], &["network"]),
            Reference::id("endpoints", &["endpointIds"], &["endpoint"]),
        ];
        let want =
            json!({"workspace_id": 42, "principal_id": 7, "network_id": null, "endpoints": ["ab-1", "ab-2"]});
        let (workspace, principal) = ("spec.workspaceId (or spec.workspaceRef)", "spec.principal");
        let endpoints = "spec.endpointIds";
        for (text, named) in [
            ("Workspace 42 does not exist", vec![workspace]),
            ("Group 9 does not exist in this account", vec![principal]),
            ("7 is not there", vec![principal]),
            ("Principal 7 is not in workspace 42", vec![workspace, principal]),
            ("AB-2 is not registered", vec![endpoints]),
            ("not found", vec![workspace, principal, endpoints]),
            ("the network", vec![workspace, principal, endpoints]),
        ] {
            let error =
                refers_to_nothing(&api(404, "RESOURCE_DOES_NOT_EXIST", text), &references, &want).unwrap();
            assert!(error.is_rejected(Reason::ReferenceNotFound), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(&format!("correct {}", named.join(" and "))), "{message}");
        }
        let other = api(404, "ENDPOINT_NOT_FOUND", "Workspace 42 does not exist");
        assert_eq!(refers_to_nothing(&other, &references, &want), None);
    }

    /// Covers RF-08.
    #[test]
    fn a_principal_of_any_kind_is_one_field_to_correct() {
        let by = |path: &'static [&'static str]| Reference::id("principal_id", path, &["principal"]);
        let references = [
            by(&["principal"]),
            by(&["principal.id", "principal.userRef"]),
            by(&["principal.id", "principal.groupRef"]),
        ];
        let error = api(404, "RESOURCE_DOES_NOT_EXIST", "Principal 7 does not exist");
        let named = refers_to_nothing(&error, &references, &json!({"principal_id": 7})).unwrap().to_string();
        let fields = "spec.principal (or spec.principal.id, spec.principal.userRef, spec.principal.groupRef)";
        assert!(named.contains(&format!("correct {fields}, or wait")), "{named}");
    }
}
