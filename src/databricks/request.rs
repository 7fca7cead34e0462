//! The request of a call, written so that it can only mean one path on one host.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

use super::Error;
use super::host::Host;
use super::shown::clean;

/// Checked at the very last moment before a request is handed to the connection; `false` keeps it from being sent.
///
/// What remains after the check is connection set-up (bounded by `Settings::connect_timeout`) and flight (both within
/// `Settings::write_timeout`): a fence that guards a lease must leave that much margin.
pub type Fence = Arc<dyn Fn() -> bool + Send + Sync>;

/// The HTTP methods of the account API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of HTTP")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Which calls go first when calls wait for the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A user waits for it: a change of a spec, a deletion. Strictly before what follows.
    Urgent,
    /// A create: often one of many. Strictly before [`Urgency::Routine`].
    Create,
    /// Periodic checks.
    Routine,
}

/// One call of the API. `Debug` shows the method and path only: a body may hold secrets.
#[derive(Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path, percent-encoded, as [`path`] returns it.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Value>,
    /// Which calls go first when calls wait for the rate.
    pub urgency: Urgency,
    /// Checked just before the request is sent.
    pub fence: Option<Fence>,
}

impl Request {
    /// A routine GET.
    pub fn get(path: impl Into<String>) -> Request {
        Request::new(Method::Get, path.into(), None)
    }

    /// A routine POST. It is never sent twice.
    pub fn post(path: impl Into<String>, body: Value) -> Request {
        Request::new(Method::Post, path.into(), Some(body))
    }

    /// A routine PUT.
    pub fn put(path: impl Into<String>, body: Value) -> Request {
        Request::new(Method::Put, path.into(), Some(body))
    }

    /// A routine PATCH.
    pub fn patch(path: impl Into<String>, body: Value) -> Request {
        Request::new(Method::Patch, path.into(), Some(body))
    }

    /// A routine DELETE.
    pub fn delete(path: impl Into<String>) -> Request {
        Request::new(Method::Delete, path.into(), None)
    }

    fn new(method: Method, path: String, body: Option<Value>) -> Request {
        Request { method, path, query: Vec::new(), body, urgency: Urgency::Routine, fence: None }
    }

    /// `PUT /api/...`: how this call is named in errors.
    pub(super) fn call(&self) -> String {
        clean(&format!("{} {}", self.method.name(), self.path), &[], 300)
    }

    /// The address to send to.
    ///
    /// # Errors
    /// When the path is not in the form in which every URL parser and server reads the same path. An empty
    /// segment is such a case: `/networks/` with an id left out must not become a call on all networks.
    pub(super) fn url(&self, host: &Host) -> Result<Url, Error> {
        let invalid = |reason: &str| Error::Invalid { call: self.call(), reason: reason.to_owned() };
        if !self.path.starts_with('/') || self.path.ends_with('/') || self.path.contains("//") {
            return Err(invalid("a segment of its path is empty"));
        }
        let text = format!("{}{}", host.as_str(), self.path);
        let mut url = Url::parse(&text).map_err(|_| invalid("its path makes no URL"))?;
        // `%2E%2E` is the same as `..` to a URL parser: the one thing that encoding cannot make harmless.
        if url.as_str() != text || url.path() != self.path {
            return Err(invalid("its path would be read as another path"));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.call())
    }
}

impl Method {
    pub(super) const ALL: [Method; 5] =
        [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    pub(super) fn http(self) -> reqwest::Method {
        match self {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        }
    }
}

/// A path of these segments, each percent-encoded down to letters, digits, `-`, `_`, `~` and `.`.
///
/// Whatever a segment holds, it stays one segment: `/`, `?`, `#`, `%` and control characters are encoded. The
/// segments `.` and `..` and empty ones have no harmless spelling; sending a path with one is [`Error::Invalid`].
pub fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        let dots = matches!(*segment, "." | "..");
        for byte in segment.bytes() {
            match byte {
                b'.' if dots => path.push_str("%2E"),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => path.push(byte.into()),
                _ => write!(path, "%{byte:02X}").expect("a String takes every write"),
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databricks::HostPolicy;

    fn host() -> Host {
        Host::parse("accounts.cloud.databricks.com", &HostPolicy::default()).unwrap()
    }

    #[test]
    fn a_segment_stays_one_segment() {
        for (segment, encoded) in [
            ("plain-1_2~3.4", "plain-1_2~3.4"),
            ("a/b", "a%2Fb"),
            ("../workspaces/1", "..%2Fworkspaces%2F1"),
            ("a?b#c", "a%3Fb%23c"),
            ("a%2Fb", "a%252Fb"),
            ("a\\b", "a%5Cb"),
            ("a\nb\tc\0", "a%0Ab%09c%00"),
            ("ä b;c=d&e", "%C3%A4%20b%3Bc%3Dd%26e"),
            ("...", "..."),
            ("https://x", "https%3A%2F%2Fx"),
        ] {
            let made = path(&["api", segment, "end"]);
            assert_eq!(made, format!("/api/{encoded}/end"));
            let url = Request::get(made).url(&host()).unwrap();
            assert_eq!(url.path_segments().unwrap().count(), 3, "{segment:?}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_as_another_is_not_sent() {
        for bad in [
            path(&["api", ".", "x"]),
            path(&["api", "..", "x"]),
            path(&["api", "", "x"]),
            path(&["api", "networks", ""]),
            "/api/%2e%2e/x".into(),
            "/api/.%2E/x".into(),
            "/api/../x".into(),
            "/api\\x".into(),
            "/api?x=1".into(),
            "/api#x".into(),
            "/api/a b".into(),
            "/api/\nx".into(),
            "api/x".into(),
            "".into(),
            "@evil.example/x".into(),
            ".evil.example/x".into(),
            ":80/x".into(),
        ] {
            let result = Request::get(bad.clone()).url(&host());
            assert!(matches!(result, Err(Error::Invalid { .. })), "{bad:?} gave {result:?}");
        }
    }

    #[test]
    fn a_query_is_encoded_and_debug_shows_no_body() {
        let mut request = Request::post("/api/x", serde_json::json!({"secret": "dose123"}));
        request.query = vec![("filter".into(), "displayName eq \"a&b#c\"".into())];
        let url = request.url(&host()).unwrap();
        assert_eq!(url.query(), Some("filter=displayName+eq+%22a%26b%23c%22"));
        assert_eq!(format!("{request:?}"), "Request(POST /api/x)");
    }
}
