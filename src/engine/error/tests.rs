//! The map from what happened to what happens next, row by row.

use super::*;

fn of(status: u16, code: &str, message: &str) -> databricks::Error {
    let (call, message) = ("POST /x".into(), message.into());
    let code = Some(code.to_owned()).filter(|code| !code.is_empty());
    databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None }
}

#[test]
fn an_object_that_exists_already_is_recognised_whatever_the_code() {
    for (status, code) in
        [(400, "INVALID_PARAMETER_VALUE"), (409, ""), (409, "RESOURCE_CONFLICT"), (400, "400")]
    {
        let error = Error::from(of(status, code, "A list of this name Already Exists"));
        assert!(error.is_rejected(Reason::AlreadyExists), "{status} {code}: {error:?}");
    }
}

/// A quota that comes with the code of a state is no state that changes by itself.
#[test]
fn a_full_account_is_a_quota_whatever_the_code() {
    let full = "Storage configuration limit exceeded, only 50 storage configurations are allowed";
    let error = Error::from(of(400, "INVALID_STATE", full));
    assert!(error.is_rejected(Reason::QuotaExceeded), "{error:?}");
    let shut_out = Error::from(of(400, "INVALID_STATE", "The change would block your current IP address"));
    assert!(shut_out.is_rejected(Reason::ApplyFailed), "a person must act: {shut_out:?}");
}

#[test]
fn a_refusal_of_the_caller_says_nothing_about_the_call() {
    let token =
        |fresh| databricks::Error::TokenRefused { refusal: Box::new(of(403, "403", "Invalid")), fresh };
    assert!(matches!(Error::from(token(false)), Error::Conflict(_)), "the next call has another token");
    let reason = |error: databricks::Error| match Error::from(error) {
        Error::Transient { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(reason(token(true)), Some(Reason::CredentialsInvalid));
    let blocked = databricks::Error::AddressBlocked(Box::new(of(403, "PERMISSION_DENIED", "blocked")));
    assert!(Error::from(blocked.clone()).to_string().contains("spec.egressCidrs"));
    assert_eq!(reason(blocked.clone()), Some(Reason::AddressBlocked));
    assert_eq!(reason(databricks::Error::NoToken(Box::new(blocked))), Some(Reason::AddressBlocked));
}

/// Such as one whose path would have an id that is `..`.
#[test]
fn a_call_that_cannot_be_sent_is_for_a_person_and_says_nothing_about_calls_before_it() {
    let (call, reason) = ("GET /x".to_owned(), "its path would be read as another path".to_owned());
    let error = Error::from(databricks::Error::Invalid { call, reason });
    assert!(
        matches!(error, Error::Rejected { reason: Reason::InvalidSpec, about_object: false, .. }),
        "{error:?}"
    );
}

#[test]
fn a_collection_that_is_not_there_is_no_lost_object() {
    let mut list = of(404, "RESOURCE_DOES_NOT_EXIST", "Account does not exist");
    if let databricks::Error::Api { call, .. } = &mut list {
        *call = "GET /x".into();
    }
    assert!(Error::from(list).is_rejected(Reason::NotSupported));
}

fn response(code: u16, reason: &str, message: &str) -> kube::Error {
    let status = kube::core::Status {
        code,
        reason: reason.into(),
        message: message.into(),
        ..kube::core::Status::default()
    };
    kube::Error::Api(status.boxed())
}

/// Covers ST-09. What people read of a response of the API server is its message, however deep it is.
#[test]
fn a_response_of_the_api_server_is_reported_in_its_own_words() {
    let forbidden = || response(403, "Forbidden", "secrets \"s\" is forbidden:\n User \"u\" cannot get");
    let words = "secrets \"s\" is forbidden: User \"u\" cannot get";
    assert_eq!(chain(&forbidden()), words);
    let watch = kube::runtime::watcher::Error::WatchStartFailed(forbidden());
    assert_eq!(chain(&watch), format!("failed to start watching object: {words}"));
    assert_eq!(chain(&response(404, "NotFound", "")), "NotFound (404)");
    assert_eq!(chain(&response(500, "", "")), "status 500");
    let quoted = serde_json::from_str::<u8>("\"the-secret\"").unwrap_err();
    assert_eq!(chain(&kube::Error::SerdeError(quoted)), "the response cannot be read");
}

/// Covers ST-09.
#[test]
fn a_refusal_of_the_cluster_is_for_a_person_and_a_failure_is_retried() {
    let webhook = "admission webhook \"w\" denied the request: no finalizers here";
    let policy = "x is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
    let invalid = "IpAccessList \"a\" is invalid: spec.label: Required value";
    let (secret, finalizer, status) =
        (Asked::Read("Secret a/b"), Asked::Write("the finalizer"), Asked::Write("the status"));
    let right = "rejected OperatorNotPermitted";
    let later = "transient Retrying";
    for (asked, error, class, says) in [
        (secret, response(403, "Forbidden", "no"), right, "let the operator read Secret a/b: no"),
        (finalizer, response(403, "Forbidden", "no"), right, "let the operator write the finalizer: no"),
        (finalizer, response(400, "BadRequest", webhook), right, webhook),
        (finalizer, response(422, "Invalid", policy), right, policy),
        (
            finalizer,
            response(422, "Invalid", invalid),
            "rejected InvalidSpec",
            "does not accept the finalizer: Ip",
        ),
        (status, response(409, "Conflict", "no"), "conflict ", "changed while"),
        (status, response(404, "NotFound", "no"), later, "did not write the status: no"),
        (secret, response(401, "Unauthorized", "no"), later, "did not read Secret a/b: no"),
        (secret, response(500, "InternalError", "no"), later, "did not read Secret a/b: no"),
    ] {
        let error = Error::kubernetes(asked, &error);
        let reason = error.reason().map_or("", Reason::name);
        assert_eq!(format!("{} {reason}", error.class()), class, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("did not accept a write"), "{error}");
    }
}

#[test]
fn the_code_wins_over_the_status_and_nothing_unknown_is_final() {
    let class = |status, code: &str| {
        let code = Some(code).filter(|c| !c.is_empty());
        let by_code = code.and_then(|c| class_of_code(c, "m"));
        match by_code.or_else(|| class_of_status(status, "m")) {
            Some(Error::Rejected { reason, .. }) => format!("rejected {}", reason.name()),
            Some(other) => other.class().to_owned(),
            None => "transient".into(),
        }
    };
    for (status, code, expected) in [
        (400, "INVALID_PARAMETER_VALUE", "rejected InvalidSpec"),
        (400, "INVALID_STATE", "rejected ApplyFailed"),
        (400, "QUOTA_EXCEEDED", "rejected QuotaExceeded"),
        (400, "RESOURCE_ALREADY_EXISTS", "rejected AlreadyExists"),
        (409, "ALREADY_EXISTS", "rejected AlreadyExists"),
        (409, "RESOURCE_CONFLICT", "rejected ApplyFailed"),
        (409, "", "rejected ApplyFailed"),
        (401, "UNAUTHENTICATED", "waiting"),
        (401, "", "waiting"),
        (403, "PERMISSION_DENIED", "rejected PermissionDenied"),
        (403, "", "rejected PermissionDenied"),
        (404, "RESOURCE_DOES_NOT_EXIST", "rejected ExternalResourceMissing"),
        (404, "ENDPOINT_NOT_FOUND", "rejected NotSupported"),
        (404, "", "rejected NotSupported"),
        (500, "INTERNAL_ERROR", "transient"),
        (503, "TEMPORARILY_UNAVAILABLE", "transient"),
        (504, "", "transient"),
        (418, "SOMETHING_NEW", "transient"),
    ] {
        assert_eq!(class(status, code), expected, "{status} {code}");
    }
}
