//! When a parent counts as missing.

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
