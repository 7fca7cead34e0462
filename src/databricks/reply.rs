//! The response to a call, and what it means: a value, or which error.
//!
//! Every byte is untrusted. Only the fields named here are copied out of a failure, after `clean`, and a value that
//! does not fit is described without being shown: it may be a secret.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::shown::{clean, misfit, steady};
use super::{Error, refused};
use crate::clock;

const LONGEST_MESSAGE: usize = 512;
const LONGEST_ETAG: usize = 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The header with which a metadata server of Google Cloud and its clients recognise each other.
pub(super) const METADATA_FLAVOR: &str = "metadata-flavor";

/// A response whose body has arrived whole.
#[derive(Default)]
pub(super) struct Reply {
    pub status: u16,
    pub content_type: String,
    pub location: String,
    pub retry_after: Option<String>,
    pub date: Option<String>,
    pub request_id: Option<String>,
    /// What every response of a metadata server of Google Cloud has.
    pub metadata_flavor: Option<String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// A response of which no more than its head has arrived.
    pub(super) fn begun(status: StatusCode, headers: &HeaderMap) -> Reply {
        // One that is not ASCII counts as garbage, not as absent.
        let text = |name: HeaderName| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Reply {
            status: status.as_u16(),
            content_type: text(CONTENT_TYPE).unwrap_or_default(),
            location: text(LOCATION).unwrap_or_default(),
            retry_after: text(RETRY_AFTER),
            date: text(DATE),
            request_id: text(HeaderName::from_static("x-request-id")),
            metadata_flavor: text(HeaderName::from_static(METADATA_FLAVOR)),
            body: Vec::new(),
        }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as `T`; an empty body is `null`. `read_only` is about the call: an unreadable response to a change leaves
    /// open what happened.
    pub(super) fn decode<T: DeserializeOwned>(&self, call: &str, read_only: bool) -> Result<T, Error> {
        if self.is_html() {
            return Err(self.not_the_api(call));
        }
        let body = if self.body.trim_ascii().is_empty() { b"null" } else { self.body.as_slice() };
        serde_json::from_slice(body).map_err(|error| {
            let (call, reason) = (call.to_owned(), misfit(&error));
            match read_only && error.is_data() {
                true => Error::Decode { call, reason },
                false => Error::Unknown { call, reason },
            }
        })
    }

    /// The error that this response means. `secrets` never appear in it.
    pub(super) fn failure(&self, call: &str, secrets: &[String]) -> Error {
        let body: Option<Map<String, Value>> = serde_json::from_slice(&self.body).ok();
        // Gateways return these with a page of their own, and mean the status.
        let of_gateways = matches!(self.status, 401 | 403 | 408 | 429 | 499 | 500..);
        if self.status < 400 {
            return self.not_the_api(call);
        }
        let text = String::from_utf8_lossy(&self.body);
        let said = match &body {
            Some(body) => Said::of_json(body, self.status),
            None => Said::of_text(&text),
        };
        let words = said.message.as_deref().unwrap_or(&text).to_owned();
        let (code, etag) = (said.code.clone(), said.etag.clone());
        let refusal = self.refusal(call, said, secrets);
        if refused::address(self.status, &words) {
            return Error::AddressBlocked(Box::new(refusal));
        }
        if refused::token(self.status, code.as_deref(), &words) {
            return Error::TokenRefused { refusal: Box::new(refusal), fresh: false };
        }
        if let (Some(etag), 404 | 409 | 412) = (etag, self.status) {
            return Error::OtherEtag { refusal: Box::new(refusal), etag: etag.into() };
        }
        if self.is_html() && !of_gateways { self.not_the_api(call) } else { refusal }
    }

    fn refusal(&self, call: &str, said: Said, secrets: &[String]) -> Error {
        let request_id = self.request_id.as_deref().or(said.request_id.as_deref());
        let mut message = said.message.unwrap_or_default();
        if let Some(id) = request_id.filter(|id| id.len() > 7) {
            message = message.replace(id, "…");
        }
        let message = match clean(&steady(&message), secrets, LONGEST_MESSAGE) {
            empty if empty.trim().is_empty() => "no message was given".to_owned(),
            message => message,
        };
        Error::Api {
            call: call.to_owned(),
            status: self.status,
            code: said.code.map(|code| clean(&code, secrets, 64)),
            message,
            retry_after: self.wait().or(said.retry_after).map(|wait| wait.min(LONGEST_WAIT)),
            request_id: request_id.map(|id| clean(id, secrets, 100)),
        }
    }

    fn is_html(&self) -> bool {
        self.content_type.to_ascii_lowercase().contains("html")
            || self.body.trim_ascii_start().starts_with(b"<")
    }

    fn not_the_api(&self, call: &str) -> Error {
        let what = match self.status {
            300..400 if self.location.contains("private-link-validation-error") => {
                "that it is reachable through private link only"
            }
            300..400 => "with a redirect",
            _ => "with a web page",
        };
        Error::NotTheApi { call: call.to_owned(), status: self.status, what: what.to_owned() }
    }

    /// `Retry-After`: whole seconds or a date, the latter by the host's own clock if the response has it.
    fn wait(&self) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // Only too many digits can fail here.
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let ours = || u64::try_from(clock::now().as_second()).unwrap_or(0);
        let now = self.date.as_deref().and_then(http_date).unwrap_or_else(ours);
        Some(Duration::from_secs(http_date(text)?.saturating_sub(now)))
    }
}

/// The content of a failure, in whichever of the API's error forms it comes.
#[derive(Default)]
struct Said {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    /// The version of the object that a change must name.
    etag: Option<String>,
}

impl Said {
    fn of_json(body: &Map<String, Value>, status: u16) -> Said {
        let text = |keys: &[&str]| keys.iter().find_map(|key| body.get(*key)?.as_str()).map(str::to_owned);
        let scim = body.get("schemas").and_then(Value::as_array).is_some_and(|schemas| {
            schemas.iter().filter_map(Value::as_str).any(|s| s.ends_with("scim:api:messages:2.0:Error"))
        });
        let mut said =
            Said { message: text(&["message", "error_description", "errorSummary"]), ..Said::default() };
        said.code = match body.get("error_code").or_else(|| body.get("errorCode")) {
            Some(Value::Number(code)) => Some(code.to_string()),
            Some(Value::String(code)) if !code.is_empty() => Some(code.clone()),
            _ => None,
        };
        if scim {
            let scim_status = match body.get("status") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => status.to_string(),
            };
            let detail = text(&["detail"]).filter(|detail| detail != "null");
            let detail = detail.unwrap_or_else(|| "internal error without a message".to_owned());
            let kind = text(&["scimType"]).map(|kind| format!("{kind}: ")).unwrap_or_default();
            said.code.get_or_insert(format!("SCIM_{scim_status}"));
            said.message = Some(format!("{kind}{detail}"));
        }
        match (text(&["error"]), &said.message) {
            // OAuth has a code here, the old API 1.2 its message.
            (Some(error), Some(_)) => drop(said.code.get_or_insert(error)),
            (Some(error), None) => said.message = Some(error),
            _ => {}
        }
        if said.code.is_none()
            && let Some((code, message)) = said.message.as_deref().and_then(code_and_message)
        {
            (said.code, said.message) = (Some(code.to_owned()), Some(message.to_owned()));
        }
        said.read_details(body.get("details"));
        said
    }

    /// The entries that Google's error model defines.
    fn read_details(&mut self, details: Option<&Value>) {
        for detail in details.and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| detail.get(key).and_then(Value::as_str);
            match text("@type").and_then(|kind| kind.rsplit('.').next()) {
                Some("RetryInfo") => {
                    let delay = text("retry_delay").or_else(|| text("retryDelay"));
                    let seconds = delay.and_then(|delay| delay.strip_suffix('s')?.parse::<f64>().ok());
                    self.retry_after = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
                }
                Some("ErrorInfo") => {
                    let etag = detail.pointer("/metadata/etag").and_then(Value::as_str);
                    self.etag = etag.filter(|etag| is_etag(etag)).map(str::to_owned);
                }
                Some("RequestInfo") => self.request_id = text("request_id").map(str::to_owned),
                _ => {}
            }
        }
    }

    /// `CODE: message`, a sentence that is known, or the words of a gateway's page. Any other text might be anything, so it is
    /// not shown.
    fn of_text(text: &str) -> Said {
        if let Some((code, message)) = code_and_message(text.trim()) {
            return Said {
                code: Some(code.to_owned()),
                message: Some(message.to_owned()),
                ..Said::default()
            };
        }
        let line = text.trim().lines().next().unwrap_or_default();
        if !line.starts_with('<') && refused::is_known(line) {
            return Said { message: Some(line.to_owned()), ..Said::default() };
        }
        Said { message: ["pre", "title"].iter().find_map(|tag| inside(text, tag)), ..Said::default() }
    }
}

/// Whether a text can be sent as a version: it is not cleaned as what is shown is.
fn is_etag(text: &str) -> bool {
    (1..=LONGEST_ETAG).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn code_and_message(text: &str) -> Option<(&str, &str)> {
    let (code, message) = text.split_once(": ")?;
    let plain = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    plain.then_some((code, message))
}

fn inside(html: &str, tag: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let open = lower.find(&format!("<{tag}"))?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find('<')?;
    Some(html[start..end].trim().to_owned())
}

/// Seconds since 1970 of a date in one of the forms of RFC 9110, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests;
