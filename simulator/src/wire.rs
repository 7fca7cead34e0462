//! Requests and replies, and the error shapes of the API.
//!
//! Replies keep JSON as a value until the last moment, because extra fields are added to it on the way out.

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri, header};
use serde_json::{Map, Value, json};

/// What comes before the id of the account in a path: most of the API, its second version, its preview, newer networking.
pub(crate) const V20: &str = "/api/2.0/accounts/";
pub(crate) const V21: &str = "/api/2.1/accounts/";
pub(crate) const PREVIEW: &str = "/api/2.0/preview/accounts/";
pub(crate) const NETWORKING: &str = "/api/networking/v1/accounts/";

/// Below it are the real hosts: that of the account, `accounts`, and those of workspaces. Clients can call the simulator under them
/// through a proxy that ends TLS.
const DOMAIN: &str = ".cloud.databricks.com";

/// A request with its whole body.
pub(crate) struct Request {
    pub method: String,
    /// As sent: neither decoded nor normalised.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// `Err` carries a refusal; both ends up on the wire.
pub(crate) type Answer = Result<Reply, Reply>;

impl Request {
    pub fn new(method: &str, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let query = query.into_owned().collect();
        Self { method: method.to_owned(), path: uri.path().to_owned(), query, headers, body }
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The deployment whose host was called, `<deployment>.localhost` or [`DOMAIN`]; none if it is the account's.
    pub fn deployment(&self) -> Option<&str> {
        let name = self.header(header::HOST).split(':').next()?;
        let deployment = [".localhost", DOMAIN].iter().find_map(|domain| name.strip_suffix(domain))?;
        (deployment != "accounts").then_some(deployment)
    }

    /// The address that the client knows this server by.
    pub fn base_url(&self) -> String {
        let host = self.header(header::HOST);
        let scheme = if host.ends_with(DOMAIN) { "https" } else { "http" };
        format!("{scheme}://{host}")
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> &str {
        self.header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Assumed, and stricter than the real API is thought to be: an unknown parameter is a client's bug.
    pub fn only_queries(&self, known: &[&str]) -> Result<(), Reply> {
        for (at, (key, _)) in self.query.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                return Err(Reply::invalid(format!("unknown query parameter '{key}'")));
            }
            if self.query[..at].iter().any(|(earlier, _)| earlier == key) {
                return Err(Reply::invalid(format!("query parameter '{key}' is given twice")));
            }
        }
        Ok(())
    }

    /// Assumed: GET and DELETE carry no body.
    pub fn no_body(&self) -> Result<(), Reply> {
        if self.body.is_empty() { Ok(()) } else { Err(Reply::malformed("this request takes no body")) }
    }

    /// The body as a JSON object sent as `application/json`.
    pub fn object(&self) -> Result<Map<String, Value>, Reply> {
        if self.media_type() != "application/json" {
            let sent = self.media_type();
            return Err(Reply::malformed(format!("Content-Type must be application/json, not '{sent}'")));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Reply::malformed("Could not parse request object: expected a JSON object")),
            Err(error) => Err(Reply::malformed(format!("Could not parse request object: {error}"))),
        }
    }
}

/// A reply's body.
pub(crate) enum Content {
    Empty,
    Json(Value),
    Text(String),
}

/// A reply before it is put on the wire.
pub(crate) struct Reply {
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    pub content: Content,
}

impl Reply {
    pub fn json(status: u16, value: Value) -> Self {
        let content_type = "application/json".to_owned();
        Self { status, content_type, headers: Vec::new(), content: Content::Json(value) }
    }

    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let content_type = "text/plain;charset=utf-8".to_owned();
        Self { status, content_type, headers: Vec::new(), content: Content::Text(text.into()) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, content_type: String::new(), headers: Vec::new(), content: Content::Empty }
    }

    pub fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, json!({"error_code": code, "message": message.into()}))
    }

    /// A value is not allowed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::error(400, "INVALID_PARAMETER_VALUE", message)
    }

    /// The shape of the request is not allowed.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::error(400, "MALFORMED_REQUEST", message)
    }

    pub fn state(message: impl Into<String>) -> Self {
        Self::error(400, "INVALID_STATE", message)
    }

    pub fn missing(message: impl Into<String>) -> Self {
        Self::error(404, "RESOURCE_DOES_NOT_EXIST", message)
    }

    /// Also the reply to a known path with a verb that it does not have (observed by others).
    pub fn no_endpoint(request: &Request) -> Self {
        let message = format!("No API found for '{} {}'", request.method, request.path);
        Self::error(404, "ENDPOINT_NOT_FOUND", message)
    }

    pub fn scim_error(status: u16, scim_type: Option<&str>, detail: impl Into<String>) -> Self {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "detail": detail.into(),
            "status": status.to_string(),
        });
        if let Some(scim_type) = scim_type {
            body["scimType"] = json!(scim_type);
        }
        Self { content_type: "application/scim+json".to_owned(), ..Self::json(status, body) }
    }

    /// The page of a gateway in front of the API for an address without an API.
    pub fn html(status: u16, text: &str) -> Self {
        let page =
            format!("<html><head><title>Error {status}</title></head><body><pre>{text}</pre></body></html>");
        let content_type = "text/html;charset=utf-8".to_owned();
        Self { status, content_type, headers: Vec::new(), content: Content::Text(page) }
    }

    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The field that no client can know.
pub(crate) const UNKNOWN: &str = "x_unknown";

/// Adds an unknown field to a response and to the objects it lists: clients must ignore it.
pub(crate) fn add_unknown_fields(value: &mut Value) {
    fn adorn(value: &mut Value) {
        if let Value::Object(object) = value {
            object.insert(UNKNOWN.to_owned(), json!({"since": "tomorrow"}));
        }
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(adorn),
        Value::Object(object) => {
            // A single object within is the content of an envelope.
            let enveloped = object.len() == 1;
            for inner in object.values_mut() {
                match inner {
                    Value::Array(items) => items.iter_mut().for_each(adorn),
                    inner if enveloped => adorn(inner),
                    _ => {}
                }
            }
            adorn(value);
        }
        _ => {}
    }
}
