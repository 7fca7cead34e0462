//! What happens next after something failed: the classes of errors, and the one map from the client's errors to them. What
//! happened is [`crate::databricks::Error`]; this type says what to do about it. Pure: no I/O, no clock.
//!
//! [`Error::Terminal`] is a decision of ours, made from the spec and from what we know: it is final at once.
//! [`Error::Rejected`] is a refusal by Databricks. Many of those pass by themselves (a role that AWS does not know
//! everywhere yet, a replica that lags, a token that was just replaced), so one is final only once it was repeated.

use std::time::Duration;

use super::status::Reason;
use crate::databricks;

/// Result of a hop.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a pass ended early, by what has to happen before the next one can do better.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A person must change the spec, the credentials or the object in the account.
    #[error("{message}")]
    Terminal {
        /// Shown in `Stalled` and `Ready`.
        reason: Reason,
        /// What, why, and what to write to fix it.
        message: String,
    },
    /// Databricks refused a call. A person has to act if the same refusal comes back; the first may pass by itself.
    #[error("{message}")]
    Rejected {
        /// Shown in `Ready` and `Synced`; once confirmed, in `Stalled`.
        reason: Reason,
        /// What was refused, with the words of Databricks, and what to write to fix it.
        message: String,
        /// For how long the same refusal has to come back before it is final, where the kind knows better than the
        /// setting.
        patience: Option<Duration>,
        /// The call only reads: its failure says nothing about the object.
        read: bool,
    },
    /// Another object, or the account, will make it possible; a change there wakes us.
    #[error("{message}")]
    Waiting {
        /// Shown in the condition that blocks.
        reason: Reason,
        /// What is waited for.
        message: String,
    },
    /// Trying again may work.
    #[error("{message}")]
    Transient {
        /// `Retrying`, `RateLimited`, or why the account takes no call at all.
        reason: Reason,
        /// What failed.
        message: String,
        /// How long the API asked us to stay away.
        after: Option<Duration>,
    },
    /// We acted on a stale read: look again at once.
    #[error("{0}")]
    Conflict(String),
    /// A create was sent and may or may not have happened. The intent stays open.
    #[error("{message}")]
    Unknown {
        /// What was sent.
        message: String,
    },
    /// The permit to write was lost. Nothing was sent.
    #[error("the right to write was lost before the call; nothing was sent")]
    Fenced,
}

impl Error {
    /// A [`Error::Terminal`].
    pub fn terminal(reason: Reason, message: impl Into<String>) -> Error {
        Error::Terminal { reason, message: message.into() }
    }

    /// An [`Error::Rejected`] of a call that changes something.
    pub fn rejected(reason: Reason, message: impl Into<String>) -> Error {
        Error::Rejected { reason, message: message.into(), patience: None, read: false }
    }

    /// The same with a longer time before a repeated refusal is final. Does nothing to other errors.
    pub fn patient(mut self, longer: Duration) -> Error {
        if let Error::Rejected { patience, .. } = &mut self {
            *patience = Some(longer);
        }
        self
    }

    /// Whether Databricks refused a call for this reason.
    pub fn is_rejected(&self, why: Reason) -> bool {
        matches!(self, Error::Rejected { reason, .. } if *reason == why)
    }

    /// A [`Error::Waiting`].
    pub fn waiting(reason: Reason, message: impl Into<String>) -> Error {
        Error::Waiting { reason, message: message.into() }
    }

    /// A [`Error::Transient`] without a wish of the server.
    pub fn retry(message: impl Into<String>) -> Error {
        Error::Transient { reason: Reason::Retrying, message: message.into(), after: None }
    }

    /// The reason that is shown, where the class alone does not say it.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Error::Terminal { reason, .. }
            | Error::Rejected { reason, .. }
            | Error::Waiting { reason, .. }
            | Error::Transient { reason, .. } => Some(*reason),
            Error::Conflict(_) | Error::Unknown { .. } | Error::Fenced => None,
        }
    }

    /// Name of the class, for logs.
    pub fn class(&self) -> &'static str {
        match self {
            Error::Terminal { .. } => "terminal",
            Error::Rejected { .. } => "rejected",
            Error::Waiting { .. } => "waiting",
            Error::Transient { .. } => "transient",
            Error::Conflict(_) => "conflict",
            Error::Unknown { .. } => "unknown",
            Error::Fenced => "fenced",
        }
    }
}

/// An error with its causes, on one line. What kube says alone names none: a server that is not there and a certificate
/// that is not trusted would look alike.
pub fn chain(error: &dyn std::error::Error) -> String {
    let one_line =
        |error: &dyn std::error::Error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = one_line(error);
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = one_line(inner);
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

/// The one map from what happened to what happens next: by error code first, by status second.
impl From<databricks::Error> for Error {
    fn from(error: databricks::Error) -> Error {
        let message = error.to_string();
        match &error {
            databricks::Error::Fenced { .. } => return Error::Fenced,
            databricks::Error::CredentialsRefused { .. } => {
                return Error::waiting(Reason::CredentialsInvalid, message);
            }
            // It was replaced: the same call with the new one may work at once.
            databricks::Error::TokenRefused { fresh: false, .. } => return Error::Conflict(message),
            databricks::Error::TokenRefused { .. } => {
                return Error::Transient { reason: Reason::CredentialsInvalid, message, after: None };
            }
            _ if error.is_address_blocked() => {
                let message = format!(
                    "{message}, and write it in spec.egressCidrs of the DatabricksAuth, so that no IpAccessList can shut the \
                     operator out"
                );
                return Error::Transient { reason: Reason::AddressBlocked, message, after: None };
            }
            databricks::Error::AccountMismatch { .. } => {
                return Error::terminal(Reason::AccountMismatch, message);
            }
            // A proxy's page, or a wrong host: it says nothing about what was asked.
            databricks::Error::NotTheApi { .. } => return Error::retry(message),
            _ => {}
        }
        if error.is_throttle() {
            return Error::Transient { reason: Reason::RateLimited, message, after: error.retry_after() };
        }
        // Which code comes with it differs from kind to kind.
        let exists =
            matches!(error.status(), Some(400 | 409)) && message.to_lowercase().contains("already exists");
        let by_code = match exists {
            true => Some(Error::rejected(Reason::AlreadyExists, &*message)),
            false => error.code().and_then(|code| class_of_code(code, &message)),
        };
        let mut class = by_code
            .or_else(|| class_of_status(error.status()?, &message))
            .unwrap_or(Error::Transient { reason: Reason::Retrying, message, after: error.retry_after() });
        if let Error::Rejected { read, reason, .. } = &mut class {
            *read = error.only_reads();
            // An object that is gone is an answer and no error; a collection that is not there is something else.
            if *read && *reason == Reason::ExternalResourceMissing {
                *reason = Reason::NotSupported;
            }
        }
        class
    }
}

fn class_of_code(code: &str, message: &str) -> Option<Error> {
    let rejected = |reason| Some(Error::rejected(reason, message));
    match code {
        "INVALID_PARAMETER_VALUE" | "MALFORMED_REQUEST" | "BAD_REQUEST" | "INVALID_REQUEST" => {
            rejected(Reason::InvalidSpec)
        }
        "INVALID_STATE" => Some(Error::waiting(Reason::ApplyFailed, message)),
        "QUOTA_EXCEEDED" => rejected(Reason::QuotaExceeded),
        "RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS" | "SCIM_409" => rejected(Reason::AlreadyExists),
        "UNAUTHENTICATED" => Some(Error::waiting(Reason::CredentialsInvalid, message)),
        "PERMISSION_DENIED" => rejected(Reason::PermissionDenied),
        "ENDPOINT_NOT_FOUND" | "FEATURE_DISABLED" | "NOT_IMPLEMENTED" => rejected(Reason::NotSupported),
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" | "SCIM_404" => rejected(Reason::ExternalResourceMissing),
        "RESOURCE_CONFLICT" | "ABORTED" => Some(Error::Conflict(message.into())),
        _ => None,
    }
}

fn class_of_status(status: u16, message: &str) -> Option<Error> {
    match status {
        400 | 405 | 413 | 415 | 422 => Some(Error::rejected(Reason::InvalidSpec, message)),
        401 => Some(Error::waiting(Reason::CredentialsInvalid, message)),
        403 => Some(Error::rejected(Reason::PermissionDenied, message)),
        404 | 501 => Some(Error::rejected(Reason::NotSupported, message)),
        409 | 412 => Some(Error::Conflict(message.into())),
        _ => None,
    }
}

/// The API server's answers: a 409 is a stale read, everything else may work later.
impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match &error {
            kube::Error::Api(status) if status.is_conflict() => {
                Error::Conflict("the Kubernetes object changed while it was being processed".into())
            }
            _ => Error::retry(format!("the Kubernetes API server did not accept a write: {}", chain(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str, message: &str) -> databricks::Error {
        let (call, message) = ("POST /x".into(), message.into());
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None }
    }

    #[test]
    fn what_exists_already_says_so_whatever_its_code() {
        for (status, code) in
            [(400, "INVALID_PARAMETER_VALUE"), (409, ""), (409, "RESOURCE_CONFLICT"), (400, "400")]
        {
            let error = Error::from(of(status, code, "A list of this name Already Exists"));
            assert!(error.is_rejected(Reason::AlreadyExists), "{status} {code}: {error:?}");
        }
    }

    #[test]
    fn what_is_about_the_caller_says_nothing_about_the_call() {
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

    #[test]
    fn a_collection_that_is_not_there_is_no_lost_object() {
        let mut list = of(404, "RESOURCE_DOES_NOT_EXIST", "Account does not exist");
        if let databricks::Error::Api { call, .. } = &mut list {
            *call = "GET /x".into();
        }
        assert!(Error::from(list).is_rejected(Reason::NotSupported));
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
            (400, "INVALID_STATE", "waiting"),
            (400, "QUOTA_EXCEEDED", "rejected QuotaExceeded"),
            (400, "RESOURCE_ALREADY_EXISTS", "rejected AlreadyExists"),
            (409, "ALREADY_EXISTS", "rejected AlreadyExists"),
            (409, "RESOURCE_CONFLICT", "conflict"),
            (409, "", "conflict"),
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
}
