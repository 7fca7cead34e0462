//! What happened to a call: the only error type of this module. What to do about it is the caller's decision.
//!
//! The text is written into the status of objects, so it must be the same for the same cause: no request id, time or
//! counter. It also must not leak: of what the host sent, only its own message is shown, cleaned and cut.

use std::time::Duration;

/// What happened to a call. `call` is the method and path, such as `PUT /api/2.0/accounts/...`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The API responded with a failure.
    #[error("{message} ({call}: {status}{})", code.as_deref().map(|c| format!(" {c}")).unwrap_or_default())]
    Api {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The API's own code, such as `INVALID_PARAMETER_VALUE` or `SCIM_409`; where present it says more than the status.
        code: Option<String>,
        /// The API's own message, at most 512 characters.
        message: String,
        /// How long the API asks to wait, within 0 s and 10 min.
        retry_after: Option<Duration>,
        /// For the log only: it differs between tries.
        request_id: Option<String>,
    },
    /// Databricks asked to wait, or the queue for the rate is long: nothing was sent.
    #[error("Databricks limits the rate of calls ({call})")]
    Throttled {
        /// Method and path.
        call: String,
        /// When to retry.
        retry_after: Duration,
    },
    /// No connection (DNS, TCP, TLS): nothing was sent.
    #[error("the host cannot be reached: {reason}; check `host` and the network ({call})")]
    Unreachable {
        /// Method and path.
        call: String,
        /// What failed.
        reason: String,
    },
    /// The request was sent, or may have been, and there is no response that can be trusted.
    #[error("there is no usable response: {reason} ({call}, which was sent)")]
    Unknown {
        /// Method and path.
        call: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// The responding server is not the account API.
    #[error("the host responds {what} ({status}), not as the account API does: is `host` right? ({call})")]
    NotTheApi {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// What it responds with, such as a web page.
        what: String,
    },
    /// The API does not accept the call's token: it expired or was revoked. The call was not carried out.
    #[error("{refusal}; {}", if *fresh { REFUSED_AGAIN } else { "the token is replaced, and the call repeated" })]
    TokenRefused {
        /// The response, an [`Error::Api`].
        refusal: Box<Error>,
        /// The token endpoint issued this token just now, in place of one that was refused as well: another would not help.
        fresh: bool,
    },
    /// Databricks blocks the address that the call came from. The call was not carried out.
    #[error(
        "{0}; the IP access lists of the account block the operator: add its address to an ALLOW list, or remove it \
         from the BLOCK list"
    )]
    AddressBlocked(Box<Error>),
    /// The API refuses the call, or has nothing yet, and says which version (etag) a change must name.
    #[error("{refusal}")]
    OtherEtag {
        /// The response, an [`Error::Api`].
        refusal: Box<Error>,
        /// The version that the account has.
        etag: Box<str>,
    },
    /// The token endpoint knows no such client, or not this secret.
    #[error(
        "{call}: Databricks refuses the client id and secret: {message}; \
         check both, and that the service principal belongs to this account"
    )]
    CredentialsRefused {
        /// Method and path.
        call: String,
        /// The endpoint's own words.
        message: String,
    },
    /// Google's token endpoint does not accept what the key of the service account signed.
    #[error(
        "{call}: Google refuses the key of the service account: {message}; check that neither the key nor the service \
         account was deleted or disabled, and write a new key into the Secret if so"
    )]
    KeyRefused {
        /// Method and address.
        call: String,
        /// The endpoint's own words.
        message: String,
    },
    /// The metadata server of Google Cloud issues no token of the service account that is wanted.
    #[error("the operator cannot sign in as the Google service account of its pod: {reason} ({call})")]
    NoOwnIdentity {
        /// Method and address.
        call: String,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// The account is on Google Cloud and takes this call only with an access token of Google, which these credentials
    /// do not give: nothing was sent.
    #[error(
        "on Google Cloud this call needs an access token of Google, which these credentials do not give ({call})"
    )]
    NoGoogleToken {
        /// Method and path.
        call: String,
    },
    /// There is no token, for another reason than refused credentials; the call itself was not sent.
    #[error("cannot sign in: {0}")]
    NoToken(Box<Error>),
    /// The host says that it serves another account.
    #[error("the host serves account {found}, not {wanted}: correct the account id or the host")]
    AccountMismatch {
        /// The account id that was given.
        wanted: String,
        /// The account id in the host's metadata.
        found: String,
    },
    /// The fence of the request refused it: nothing was sent.
    #[error("not sent, because this replica may no longer act ({call})")]
    Fenced {
        /// Method and path.
        call: String,
    },
    /// The response to a GET is well-formed JSON of an unexpected shape.
    #[error("the response is not as expected: {reason} ({call})")]
    Decode {
        /// Method and path.
        call: String,
        /// What is not as expected; never the value itself.
        reason: String,
    },
    /// The request or the settings cannot be turned into a call: nothing was sent.
    #[error("the call cannot be sent: {reason} ({call})")]
    Invalid {
        /// Method and path, or what was to be created.
        call: String,
        /// What is wrong.
        reason: String,
    },
}

/// What to do if even a new token is refused.
const REFUSED_AGAIN: &str = "a new token is refused as well: check that the service principal is active and belongs to \
                             this account, and whether Databricks has an outage";

impl Error {
    /// The API itself says that the object does not exist. A missing endpoint, a web page, an empty response, a lack of
    /// permission or of a feature are not that.
    pub fn is_absence(&self) -> bool {
        let codes = ["RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "SCIM_404"];
        self.status() == Some(404) && self.code().is_some_and(|code| codes.contains(&code))
    }

    /// A requested change may have taken effect: read before trying again.
    pub fn may_have_happened(&self) -> bool {
        // The code wins over the status, but only to add doubt: a 5xx with a harmless code may come from a gateway.
        let codes = [
            "INTERNAL_ERROR",
            "UNKNOWN",
            "DATA_LOSS",
            "CANCELLED",
            "DEADLINE_EXCEEDED",
            "TEMPORARILY_UNAVAILABLE",
        ];
        match self {
            Error::OtherEtag { refusal, .. } => refusal.may_have_happened(),
            Error::Unknown { .. } => true,
            Error::Api { status, code, .. } => {
                matches!(status, 408 | 499 | 500..) || code.as_deref().is_some_and(|c| codes.contains(&c))
            }
            Error::NotTheApi { status, .. } => matches!(status, 200..=299 | 500..),
            _ => false,
        }
    }

    /// The kind of failure in one word, for logs and traces.
    pub fn class(&self) -> &'static str {
        match self {
            Error::Api { .. } | Error::OtherEtag { .. } => "refused",
            Error::Throttled { .. } => "throttled",
            Error::Unreachable { .. } => "unreachable",
            Error::Unknown { .. } => "unknown",
            Error::NotTheApi { .. } => "not_the_api",
            Error::TokenRefused { .. } => "token_refused",
            Error::AddressBlocked(_) => "address_blocked",
            Error::CredentialsRefused { .. } | Error::KeyRefused { .. } | Error::NoOwnIdentity { .. } => {
                "credentials_refused"
            }
            Error::NoGoogleToken { .. } => "no_google_token",
            Error::NoToken(_) => "no_token",
            Error::AccountMismatch { .. } => "account_mismatch",
            Error::Fenced { .. } => "fenced",
            Error::Decode { .. } => "decode",
            Error::Invalid { .. } => "invalid",
        }
    }

    /// The request was sent, or may have been.
    pub fn was_sent(&self) -> bool {
        matches!(
            self.answer(),
            Error::Api { .. } | Error::Unknown { .. } | Error::NotTheApi { .. } | Error::Decode { .. }
        )
    }

    /// The response to this very call, if it turned out to be about the caller.
    fn answer(&self) -> &Error {
        match self {
            Error::TokenRefused { refusal, .. }
            | Error::AddressBlocked(refusal)
            | Error::OtherEtag { refusal, .. } => refusal,
            other => other,
        }
    }

    /// Databricks blocks the address that the call came from, or the sign-in for it.
    pub fn is_address_blocked(&self) -> bool {
        match self {
            Error::AddressBlocked(_) => true,
            Error::NoToken(source) => source.is_address_blocked(),
            _ => false,
        }
    }

    /// The call changes nothing: it is a GET.
    pub fn only_reads(&self) -> bool {
        match self.answer() {
            Error::Api { call, .. } | Error::NotTheApi { call, .. } => call.starts_with("GET "),
            _ => false,
        }
    }

    /// How long to wait before a retry, if the API said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Api { retry_after, .. } => *retry_after,
            Error::Throttled { retry_after, .. } => Some(*retry_after),
            Error::NoToken(source) | Error::OtherEtag { refusal: source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// The API's own code, of a response to this very call.
    pub fn code(&self) -> Option<&str> {
        match self.answer() {
            Error::Api { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The version (etag) that a change must name, of a response to this very call.
    pub fn etag(&self) -> Option<&str> {
        match self {
            Error::OtherEtag { etag, .. } => Some(etag),
            _ => None,
        }
    }

    /// The HTTP status of the response to this very call.
    pub fn status(&self) -> Option<u16> {
        match self.answer() {
            Error::Api { status, .. } | Error::NotTheApi { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The id under which Databricks can find the call: for the log only.
    pub fn request_id(&self) -> Option<&str> {
        match self.answer() {
            Error::Api { request_id, .. } => request_id.as_deref(),
            Error::NoToken(source) => source.request_id(),
            _ => None,
        }
    }

    /// Too many calls: nothing is wrong with this one.
    pub fn is_throttle(&self) -> bool {
        match self {
            Error::Throttled { .. } => true,
            Error::Api { status: 429, .. } => true,
            Error::Api { status: 503, retry_after, .. } => retry_after.is_some(),
            Error::Api { code, .. } => code.as_deref() == Some("REQUEST_LIMIT_EXCEEDED"),
            Error::NoToken(source) | Error::OtherEtag { refusal: source, .. } => source.is_throttle(),
            _ => false,
        }
    }
}

/// Turns "the API says that it does not exist" into a value.
pub trait Optional<T> {
    /// `None` for [`Error::is_absence`].
    ///
    /// # Errors
    /// Every other error, unchanged.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
