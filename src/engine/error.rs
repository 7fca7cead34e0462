//! What happens after a failure: the classes of errors, and the one map from the client's errors to them.
//! [`crate::databricks::Error`] says what happened; this type says what to do about it. Pure: no I/O, no clock.
//!
//! [`Error::Terminal`] is a decision of the operator, from the spec and from what it knows: it is final at once.
//! [`Error::Rejected`] is a refusal by Databricks. Many of those resolve by themselves (a role that AWS does not know
//! everywhere yet, a replica that lags, a token that was just replaced), so one is final only once it was repeated.

use std::time::Duration;

use crate::databricks;
use crate::engine::crd::Reason;

/// Result of a hop.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a reconcile ended early, by what must happen before a retry can succeed.
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
    /// Databricks refused a call. A person must act if the same refusal comes back; the first may resolve by itself.
    #[error("{message}")]
    Rejected {
        /// Shown in `Ready` and `Synced`; once confirmed, in `Stalled`.
        reason: Reason,
        /// What was refused, with the words of Databricks, and what to write to fix it.
        message: String,
        /// How long the same refusal must repeat before it is final, if the kind knows better than the setting.
        patience: Option<Duration>,
        /// It says that nothing was done for this object. Otherwise it may be of a read, or about what all objects share.
        about_object: bool,
    },
    /// Another object, or the account, must change first; a change there triggers a reconcile.
    #[error("{message}")]
    Waiting {
        /// Shown in the condition that blocks.
        reason: Reason,
        /// What is waited for.
        message: String,
    },
    /// A retry may work.
    #[error("{message}")]
    Transient {
        /// `Retrying`, `RateLimited`, or why the account accepts no call at all.
        reason: Reason,
        /// What failed.
        message: String,
        /// The delay that the API asked for.
        after: Option<Duration>,
    },
    /// The operator acted on a stale read: reconcile again at once.
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
    /// Its turn comes later: others go first, or share a reading with it. Nothing was sent, and nothing is wrong: no status shows it.
    #[error("its turn comes later")]
    Later(Duration),
}

impl Error {
    /// A [`Error::Terminal`].
    pub fn terminal(reason: Reason, message: impl Into<String>) -> Error {
        Error::Terminal { reason, message: message.into() }
    }

    /// An [`Error::Rejected`] of a call that changes something.
    pub fn rejected(reason: Reason, message: impl Into<String>) -> Error {
        Error::Rejected { reason, message: message.into(), patience: None, about_object: true }
    }

    /// The same with a longer time before a repeated refusal is final. Does nothing to other errors.
    pub fn patient(mut self, longer: Duration) -> Error {
        if let Error::Rejected { patience, .. } = &mut self {
            *patience = Some(longer);
        }
        self
    }

    /// The same refusal with more to say about it. Does nothing to other errors.
    pub fn adding(mut self, text: &str) -> Error {
        if let Error::Rejected { message, .. } | Error::Waiting { message, .. } = &mut self {
            *message = format!("{message}; {text}");
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

    /// A [`Error::Transient`] without Retry-After.
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
            Error::Conflict(_) | Error::Unknown { .. } | Error::Fenced | Error::Later(_) => None,
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
            Error::Later(_) => "later",
        }
    }
}

/// An error with its causes, on one line. kube's own text names none: a missing server and an untrusted certificate would
/// seem alike. Of a response of the API server, only the message is for people.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => return message(status),
        // serde quotes a value that it cannot read, which may be a Secret's.
        Some(kube::Error::SerdeError(_)) => return "the response cannot be read".into(),
        _ => {}
    }
    let text = one_line(&error.to_string());
    let Some(cause) = error.source() else { return text };
    let (short, whole) = (one_line(&cause.to_string()), chain(cause));
    if text.contains(&short) {
        text.replace(&short, &whole)
    } else if text.contains(&whole) {
        text
    } else {
        format!("{text}: {whole}")
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The message in a response of the API server, for people.
fn message(status: &kube::core::Status) -> String {
    match (one_line(&status.message), &status.reason) {
        (message, _) if !message.is_empty() => message,
        (_, reason) if !reason.is_empty() => format!("{reason} ({})", status.code),
        _ => format!("status {}", status.code),
    }
}

/// What a call to the API server was for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// To let the operator read this.
    Read(&'a str),
    /// To let the operator write this.
    Write(&'a str),
}

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::Read(what) => write!(f, "read {what}"),
            Asked::Write(what) => write!(f, "write {what}"),
        }
    }
}

/// Begins the message of a refusal by an admission webhook or policy.
pub const BY_POLICY: &str = "a policy of the cluster";

/// Whether a response of the API server comes from an admission webhook or policy.
fn denied(status: &kube::core::Status) -> bool {
    let by_webhook =
        status.message.contains("admission webhook") && status.message.contains("denied the request");
    by_webhook || status.message.contains("denied request")
}

impl Error {
    /// Classifies a failed call to the API server. A 409 is a stale read. A refusal is for a person, but a role may have
    /// been created a moment ago, so it is confirmed like a refusal by Databricks. Everything else may work later.
    pub fn kubernetes(asked: Asked<'_>, error: &kube::Error) -> Error {
        let read = matches!(asked, Asked::Read(_));
        let refused =
            |reason, message| Error::Rejected { reason, message, patience: None, about_object: !read };
        match error {
            kube::Error::Api(status) if status.is_conflict() => {
                Error::Conflict("the Kubernetes object changed while it was being processed".into())
            }
            kube::Error::Api(status) if denied(status) => {
                let text = format!("{BY_POLICY} does not let the operator {asked}: {}", message(status));
                refused(Reason::OperatorNotPermitted, text)
            }
            kube::Error::Api(status) if status.code == 403 => {
                let text = format!("the cluster does not let the operator {asked}: {}", message(status));
                refused(Reason::OperatorNotPermitted, text)
            }
            kube::Error::Api(status) if !read && [400, 413, 415, 422].contains(&status.code) => {
                let text = format!("the Kubernetes API server does not accept {asked}: {}", message(status));
                refused(Reason::InvalidSpec, text.replacen("write ", "", 1))
            }
            _ => Error::retry(format!("the Kubernetes API server did not {asked}: {}", chain(error))),
        }
    }

    /// Adds what to do about a right that the operator lacks in the cluster. Does nothing to other errors.
    pub fn advise(mut self, remedy: &str) -> Error {
        if let Error::Rejected { reason: Reason::OperatorNotPermitted, message, .. } = &mut self {
            *message = format!("{message}; {remedy}");
        }
        self
    }
}

/// The one map from what happened to what happens next: by error code first, by status second.
impl From<databricks::Error> for Error {
    fn from(error: databricks::Error) -> Error {
        let message = error.to_string();
        match &error {
            databricks::Error::Fenced { .. } => return Error::Fenced,
            databricks::Error::CredentialsRefused { .. }
            | databricks::Error::KeyRefused { .. }
            | databricks::Error::NoOwnIdentity { .. } => {
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
            databricks::Error::NoGoogleToken { .. } => {
                let message = format!(
                    "{message}: in the DatabricksAuth write authType GOOGLE_ID, the e-mail address of a Google service account \
                     in clientId, and in clientSecretRef the Secret with its key"
                );
                return Error::terminal(Reason::PermissionDenied, message);
            }
            // A retry would be the same call. It may be the second of several: what the first did is not known here.
            databricks::Error::Invalid { .. } => {
                let reason = Reason::InvalidSpec;
                return Error::Rejected { reason, message, patience: None, about_object: false };
            }
            // A proxy's page, or a wrong host: it says nothing about the object.
            databricks::Error::NotTheApi { .. } => return Error::retry(message),
            _ => {}
        }
        if error.is_throttle() {
            return Error::Transient { reason: Reason::RateLimited, message, after: error.retry_after() };
        }
        // The code of this refusal differs between kinds.
        let exists =
            matches!(error.status(), Some(400 | 409)) && message.to_lowercase().contains("already exists");
        let by_code = match exists {
            true => Some(Error::rejected(Reason::AlreadyExists, &*message)),
            false => error.code().and_then(|code| class_of_code(code, &message)),
        };
        let mut class = by_code
            .or_else(|| class_of_status(error.status()?, &message))
            .unwrap_or(Error::Transient { reason: Reason::Retrying, message, after: error.retry_after() });
        if let Error::Rejected { about_object, reason, .. } = &mut class {
            *about_object = !error.only_reads();
            // A missing object is a result and no error; a missing collection is an error.
            if !*about_object && *reason == Reason::ExternalResourceMissing {
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
        // A full account gets room only if a user makes some. Which other states pass, the kinds know.
        "INVALID_STATE" if message.to_lowercase().contains("limit exceeded") => {
            rejected(Reason::QuotaExceeded)
        }
        "QUOTA_EXCEEDED" => rejected(Reason::QuotaExceeded),
        "RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS" | "SCIM_409" => rejected(Reason::AlreadyExists),
        "UNAUTHENTICATED" => Some(Error::waiting(Reason::CredentialsInvalid, message)),
        "PERMISSION_DENIED" => rejected(Reason::PermissionDenied),
        "ENDPOINT_NOT_FOUND" | "FEATURE_DISABLED" | "NOT_IMPLEMENTED" => rejected(Reason::NotSupported),
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" | "SCIM_404" => rejected(Reason::ExternalResourceMissing),
        "INVALID_STATE" | "RESOURCE_CONFLICT" | "ABORTED" => rejected(Reason::ApplyFailed),
        _ => None,
    }
}

fn class_of_status(status: u16, message: &str) -> Option<Error> {
    match status {
        400 | 405 | 413 | 415 | 422 => Some(Error::rejected(Reason::InvalidSpec, message)),
        401 => Some(Error::waiting(Reason::CredentialsInvalid, message)),
        403 => Some(Error::rejected(Reason::PermissionDenied, message)),
        404 | 501 => Some(Error::rejected(Reason::NotSupported, message)),
        // The call names no version that it changes, or its kind would have classified it: an immediate read would not help.
        409 | 412 => Some(Error::rejected(Reason::ApplyFailed, message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
