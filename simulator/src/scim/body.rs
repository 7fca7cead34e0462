//! Bodies of writes, and refusals in the form that SCIM has.

use serde_json::{Map, Value};

use crate::wire::{Content, Reply, Request};

/// The body of a write. Documented: two media types.
pub(super) fn object(request: &Request) -> Result<Map<String, Value>, Reply> {
    if !matches!(request.media_type(), "application/json" | "application/scim+json") {
        return Err(Reply::scim_error(
            400,
            Some("invalidSyntax"),
            "Content-Type must be application/scim+json",
        ));
    }
    let refused = || Reply::scim_error(400, Some("invalidSyntax"), "the body must be a JSON object");
    serde_json::from_slice(&request.body).map_err(|_| refused())
}

/// A refusal of the rest of the API in the form that SCIM has.
pub(super) fn in_scim(refusal: Reply, scim_type: &str) -> Reply {
    let detail = match &refusal.content {
        Content::Json(body) => body["message"].as_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    Reply::scim_error(refusal.status, Some(scim_type), detail)
}
