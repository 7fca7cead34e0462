//! What a response means, as tables.

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::databricks::Optional;

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { status, body: body.into(), ..Reply::default() }
}

fn failure(status: u16, body: impl Into<Vec<u8>>) -> Error {
    reply(status, body).failure("GET /x", &[])
}

fn api(status: u16, body: impl Into<Vec<u8>>) -> (Option<String>, String) {
    let error = match failure(status, body) {
        Error::TokenRefused { refusal, .. } => *refusal,
        error => error,
    };
    match error {
        Error::Api { status: seen, code, message, .. } if seen == status => (code, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_says_which_version_a_change_must_name() {
    let info = |etag: serde_json::Value| {
        let kind = "type.googleapis.com/google.rpc.ErrorInfo";
        let info = json!({"@type": kind, "reason": "CONFLICT", "metadata": {"etag": etag}});
        json!({"error_code": "RESOURCE_CONFLICT", "message": "stale", "details": [info]}).to_string()
    };
    for (status, etag, read) in [
        (409, json!("AAAC=="), Some("AAAC==")),
        (404, json!("e-1"), Some("e-1")),
        (400, json!("e-1"), None),
        (503, json!("e-1"), None),
        (409, json!(""), None),
        (409, json!("a b"), None),
        (409, json!("line\nbreak"), None),
        (409, json!("x".repeat(2000)), None),
        (409, json!(7), None),
    ] {
        let error = failure(status, info(etag.clone()));
        assert_eq!(error.etag(), read, "{status} {etag}");
        assert_eq!((error.status(), error.code()), (Some(status), Some("RESOURCE_CONFLICT")), "{error:?}");
        assert!(error.to_string().contains("stale") && !error.to_string().contains("e-1"), "{error}");
    }
    let unset = info(json!("e-1")).replace("RESOURCE_CONFLICT", "NOT_FOUND");
    assert!(failure(404, unset).is_absence(), "what was never set has a version too");
}

#[test]
fn each_form_of_error_gives_its_code_and_message() {
    let scim = |detail: &str, kind: Option<&str>| {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:Error"];
        json!({"schemas": schemas, "detail": detail, "status": "409", "scimType": kind}).to_string()
    };
    for (body, code, message) in [
        (r#"{"error_code":"INVALID_STATE","message":"in use"}"#.into(), "INVALID_STATE", "in use"),
        (r#"{"error_code":403,"message":"no"}"#.into(), "403", "no"),
        (r#"{"error_code":"","message":"A_CODE: text: more"}"#.into(), "A_CODE", "text: more"),
        (r#"{"message":"MALFORMED_REQUEST: text"}"#.into(), "MALFORMED_REQUEST", "text"),
        (r#"{"error_code":"X","message":"A_CODE: text"}"#.into(), "X", "A_CODE: text"),
        ("INVALID_STATE: still used\n".into(), "INVALID_STATE", "still used"),
        (r#"{"error":"old words"}"#.into(), "-", "old words"),
        (r#"{"error":"invalid_client","error_description":"no"}"#.into(), "invalid_client", "no"),
        (r#"{"errorCode":"invalid_client","errorSummary":"no"}"#.into(), "invalid_client", "no"),
        (scim("is there", Some("uniqueness")), "SCIM_409", "uniqueness: is there"),
        (scim("null", None), "SCIM_409", "internal error without a message"),
        ("{}".into(), "-", "no message was given"),
        ("".into(), "-", "no message was given"),
        ("[1]".into(), "-", "no message was given"),
        ("any text, maybe our own request".into(), "-", "no message was given"),
        (
            "Failed credentials validation checks: a\nmore".into(),
            "-",
            "Failed credentials validation checks: a",
        ),
        ("Unable to delete, it is used".into(), "-", "Unable to delete, it is used"),
        ("{\"message\":\"cut".into(), "-", "no message was given"),
        (r#"{"message":{"a":1},"error_code":[]}"#.into(), "-", "no message was given"),
    ] {
        let (seen_code, seen_message) = api(409, body.clone());
        assert_eq!(seen_code.as_deref().unwrap_or("-"), code, "{body}");
        assert_eq!(seen_message, message, "{body}");
    }
}

#[test]
fn web_pages_are_not_the_api_except_those_of_gateways() {
    let page = "<!DOCTYPE html><HTML><title lang=en>Bad Gateway</title><pre>upstream\tgone</pre>";
    for status in [200, 302, 400, 404, 405] {
        let error = failure(status, page);
        assert!(matches!(error, Error::NotTheApi { .. }), "{error}");
        assert!(!error.is_absence());
    }
    let mut by_type = reply(404, "not found");
    by_type.content_type = "Text/HTML; charset=utf-8".into();
    assert!(matches!(by_type.failure("GET /x", &[]), Error::NotTheApi { .. }));
    for status in [401, 403, 429, 499, 500, 502, 503, 504] {
        assert_eq!(api(status, page), (None, "upstream\\tgone".into()));
    }
    assert_eq!(api(502, "<html><title>Bad</title>"), (None, "Bad".into()));
    assert_eq!(api(502, "<html><title>"), (None, "no message was given".into()));
}

#[test]
fn absence_is_what_the_api_itself_calls_so() {
    let coded = |code: &str| json!({"error_code": code, "message": "m"}).to_string();
    let scim = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"d","status":"404"}"#;
    for body in [coded("RESOURCE_DOES_NOT_EXIST"), coded("NOT_FOUND"), scim.into()] {
        assert_eq!(Err::<(), _>(failure(404, body.clone())).optional(), Ok(None), "{body}");
        for status in [400, 401, 403, 410, 500] {
            Err::<(), _>(failure(status, body.clone())).optional().unwrap_err();
        }
    }
    for body in [
        coded("ENDPOINT_NOT_FOUND"),
        coded("FEATURE_DISABLED"),
        coded("404"),
        coded(" NOT_FOUND"),
        "".into(),
        "{}".into(),
        "null".into(),
        "NOT FOUND".into(),
        r#"{"message":"does not exist"}"#.into(),
        "<html>NOT_FOUND".into(),
    ] {
        assert!(!failure(404, body.clone()).is_absence(), "{body}");
    }
    assert!(!Error::NoToken(Box::new(failure(404, coded("NOT_FOUND")))).is_absence());
}

#[test]
fn doubt_about_a_change_is_kept_where_it_belongs() {
    let coded = |code: &str| json!({"error_code": code, "message": "m"}).to_string();
    for (status, code, doubt) in [
        (400, "INVALID_PARAMETER_VALUE", false),
        (401, "UNAUTHENTICATED", false),
        (404, "NOT_FOUND", false),
        (409, "ALREADY_EXISTS", false),
        (429, "RESOURCE_EXHAUSTED", false),
        (408, "X", true),
        (499, "CANCELLED", true),
        (500, "INTERNAL_ERROR", true),
        (503, "TEMPORARILY_UNAVAILABLE", true),
        (400, "DEADLINE_EXCEEDED", true),
        (500, "INVALID_PARAMETER_VALUE", true),
    ] {
        assert_eq!(failure(status, coded(code)).may_have_happened(), doubt, "{status} {code}");
    }
    let error = Error::NoToken(Box::new(failure(500, "")));
    assert!(!error.may_have_happened(), "the call itself was not sent");
}

#[test]
fn retry_after_is_read_in_each_form() {
    let error = |header: &str, date: &str, body: &str| {
        let mut reply = reply(429, body);
        reply.retry_after = Some(header.into());
        reply.date = Some(date.into());
        reply.failure("GET /x", &[]).retry_after().map(|wait| wait.as_secs())
    };
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (header, wait) in [
        ("0", Some(0)),
        ("1", Some(1)),
        (" 30 ", Some(30)),
        ("600", Some(600)),
        ("601", Some(600)),
        ("99999999999999999999999999", Some(600)),
        ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        // The two forms that RFC 9110 still has a recipient accept.
        ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
        ("Sun Nov  6 08:50:07 1994", Some(30)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(600)),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 99999999999999999:0:0 GMT", None),
    ] {
        assert_eq!(error(header, date, ""), wait, "{header:?}");
    }
    let info = |delay: &str| {
        json!({"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": delay}]})
            .to_string()
    };
    assert_eq!(error("soon", date, &info("3.5s")), Some(3));
    assert_eq!(error("1", date, &info("3s")), Some(1), "the header comes first");
    for senseless in ["-3s", "NaNs", "1e99s", "3", ""] {
        assert!(error("soon", date, &info(senseless)).is_none_or(|wait| wait <= 600), "{senseless}");
    }
}

#[test]
fn dates_are_counted_as_the_calendar_does() {
    for (text, seconds) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Thu, 31 Dec 2026 23:59:59 GMT", 1_798_761_599),
    ] {
        assert_eq!(http_date(text), Some(seconds));
    }
}

#[test]
fn the_text_of_an_error_is_the_same_for_each_try() {
    let body = |id: &str| {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": id}]);
        let message = format!("cannot [TraceId: 00-{id}-01] (request {id})");
        json!({"error_code": "X", "message": message, "details": details}).to_string()
    };
    let (one, two) = (failure(400, body("11111111")), failure(400, body("22222222")));
    assert_eq!(one.to_string(), two.to_string());
    assert_eq!(one.to_string(), "cannot  (request …) (GET /x: 400 X)");
    assert_eq!(one.request_id(), Some("11111111"));
}

#[test]
fn what_is_shown_is_short_plain_and_without_secrets() {
    let secrets = ["dose1".to_owned(), "dose12345".to_owned(), String::new()];
    let hostile = format!("\u{1b}[31m\r\nReady=True\u{202e} dose12345 Bearer dose1 {}", "x".repeat(1000));
    let body = json!({"error_code": "A\nB dose1", "message": hostile}).to_string();
    let error = reply(400, body).failure("GET /x", &secrets);
    let text = error.to_string();
    assert!(!text.contains("dose1") && !text.contains("2345"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    assert!(text.contains("*** Bearer ***"), "{text}");
    assert!(text.len() < 700, "{}", text.len());
    assert!(!format!("{error:?}").contains("dose1"));
}

#[derive(Debug, Deserialize, PartialEq)]
struct Thing {
    name: u32,
}

#[test]
fn a_body_that_does_not_fit_is_described_without_its_values() {
    for (body, on_get) in [
        (r#"{"name": 1"#, false),
        ("", true),
        ("  ", true),
        ("garbage", false),
        ("{\"name\": 1} trailing", false),
        ("{\"name\": \"\u{0}\"}", false),
        (r#"{"name": "dose123, expected dose123"}"#, true),
        (r#"{"other": "dose123"}"#, true),
        (r#"{"name": null}"#, true),
        (r#"["dose123"]"#, true),
    ] {
        let shape = reply(200, body).decode::<Thing>("GET /x", true).unwrap_err();
        assert_eq!(matches!(shape, Error::Decode { .. }), on_get, "{body:.40} {shape}");
        let change = reply(200, body).decode::<Thing>("PUT /x", false).unwrap_err();
        assert!(matches!(change, Error::Unknown { .. }), "{change}");
        assert!(!format!("{shape} {shape:?}").contains("dose123"), "{shape}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(reply(200, deep).decode::<serde_json::Value>("GET /x", true).is_err(), "depth is bounded");
    let mut invalid = reply(200, vec![b'"', 0xff, b'"']);
    invalid.decode::<String>("GET /x", true).unwrap_err();
    invalid.body = b"<html>login</html>".to_vec();
    assert!(matches!(invalid.decode::<String>("GET /x", true), Err(Error::NotTheApi { .. })));
    assert_eq!(reply(204, "").decode::<Option<Thing>>("GET /x", true), Ok(None));
    assert_eq!(reply(200, r#"{"name":1,"more":2}"#).decode("GET /x", true), Ok(Thing { name: 1 }));
}
