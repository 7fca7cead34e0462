//! When a parent counts as missing, and what a failed call of a workspace means.

use super::*;

#[test]
fn only_a_report_that_the_parent_does_not_exist_says_so() {
    let missing = |status, code: &str, within| {
        let (call, code, message) = ("GET children".into(), Some(code.into()), "no".into());
        let error =
            databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None };
        misses_parent(&error.into(), within)
    };
    for code in ["RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"] {
        assert!(missing(404, code, "42"), "{code}");
        assert!(!missing(404, code, ""), "{code}: the account is no parent");
    }
    for (status, code) in [(404, "ENDPOINT_NOT_FOUND"), (404, "FEATURE_DISABLED"), (403, "PERMISSION_DENIED")]
    {
        assert!(!missing(status, code, "42"), "{code}");
    }
    let sharpened = Error::waiting(Reason::WaitingForWorkspace, "wait");
    assert!(!misses_parent(&sharpened.into(), "42"), "the kind knows better");
}

#[test]
fn a_failure_of_a_workspace_is_not_about_the_account() {
    use databricks::Error::{AddressBlocked, Api, CredentialsRefused, NoToken, TokenRefused, Unreachable};
    let call = || String::from("GET /api/2.0/ip-access-lists");
    let api = |status| {
        let (code, message) = (Some("PERMISSION_DENIED".into()), "no".into());
        Box::new(Api { call: call(), status, code, message, retry_after: None, request_id: None })
    };
    let unreachable = || Unreachable { call: call(), reason: "no such name".into() };
    let means = |home: Home, error: databricks::Error| home.error(error.into(), "42");
    for (error, reason) in [
        (unreachable(), Reason::WaitingForWorkspace),
        (NoToken(Box::new(unreachable())), Reason::WaitingForWorkspace),
        (AddressBlocked(api(403)), Reason::WaitingForWorkspace),
        (NoToken(Box::new(AddressBlocked(api(403)))), Reason::WaitingForWorkspace),
        (CredentialsRefused { call: call(), message: "no".into() }, Reason::PermissionDenied),
        (TokenRefused { refusal: api(401), fresh: true }, Reason::PermissionDenied),
    ] {
        let (of_account, error) = (means(Home::Account, error.clone()), means(Home::InWorkspace, error));
        assert_eq!(error.reason(), Some(reason), "{error:?}");
        assert!(error.to_string().contains("workspace 42"), "{error}");
        if let Error::Rejected { patience, message, .. } = &error {
            assert_eq!(*patience, Some(NEW_REFERENCE), "it may have been assigned a moment ago");
            assert!(message.contains("or wait if it became one a moment ago"), "{message}");
        }
        assert_ne!(of_account, error);
    }
    let other = || *api(403);
    assert_eq!(means(Home::InWorkspace, other()), means(Home::Account, other()), "a lack of rights there");
    let replaced = TokenRefused { refusal: api(401), fresh: false };
    assert!(matches!(means(Home::InWorkspace, replaced), Error::Conflict(_)), "the next token may do");
}
