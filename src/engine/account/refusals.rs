//! Why an object may not use a DatabricksAuth, or cannot: the errors, with what to write. Pure.

use std::time::Duration;

use super::grants::Applicant;
use crate::engine::crd::{AUTH_KIND, Reason};
use crate::engine::error::Error;

/// How long an account may reject a token that it has just issued, or an address, before a person must act.
const REJECTED_FOR: Duration = Duration::from_secs(60);

/// The error for an object that no grant admits, the same whether or not the DatabricksAuth exists.
pub fn not_permitted(home: &str, name: &str, applicant: Applicant<'_>) -> Error {
    let Applicant { namespace, kind, by_name } = applicant;
    let named = if by_name {
        format!(" whose kinds name {kind}, as no other grant allows it")
    } else {
        String::new()
    };
    let text = format!(
        "{AUTH_KIND} {home}/{name} does not exist or has no grant that admits {kind} objects of namespace {namespace}: correct \
         spec.authRef, or have a grant added there{named}"
    );
    Error::waiting(Reason::ReferenceNotPermitted, text)
}

/// The error for an object whose own namespace has no such DatabricksAuth.
pub fn not_found(home: &str, name: &str, deleting: bool) -> Error {
    // The namespace of an object that is being deleted may get no new objects.
    let remedy = match deleting {
        true => "point spec.authRef to one that does",
        false => "create it, or correct spec.authRef.name",
    };
    Error::waiting(Reason::ReferenceNotFound, format!("{AUTH_KIND} {home}/{name} does not exist: {remedy}"))
}

/// What went wrong, in the words of a DatabricksAuth.
pub fn auth_error(error: impl Into<Error>) -> Error {
    match error.into() {
        Error::Transient { reason: Reason::Retrying, message, after } => {
            Error::Transient { reason: Reason::EndpointUnreachable, message, after }
        }
        Error::Transient {
            reason: reason @ (Reason::CredentialsInvalid | Reason::AddressBlocked),
            message,
            ..
        } => Error::rejected(reason, message).patient(REJECTED_FOR),
        Error::Waiting { reason: Reason::CredentialsInvalid, message } => {
            Error::rejected(Reason::CredentialsInvalid, message)
        }
        Error::Rejected { reason: Reason::NotSupported | Reason::InvalidSpec, message, .. } => {
            Error::rejected(Reason::EndpointUnreachable, message)
        }
        other => other,
    }
}

/// The error for a user of an unusable DatabricksAuth. Ready objects stay Ready while the host is unreachable for a moment,
/// or while the account rejects the operator's calls: neither says anything about them.
pub fn unusable(namespace: &str, name: &str, error: Error, deleting: bool) -> Error {
    let message = format!("{AUTH_KIND} {namespace}/{name} is not usable: {error}");
    match error {
        Error::Transient { reason, after, .. } if !deleting => Error::Transient { reason, message, after },
        Error::Rejected { reason: reason @ Reason::AddressBlocked, .. } if !deleting => {
            Error::Transient { reason, message, after: None }
        }
        Error::Terminal { reason: Reason::CredentialsInvalid, .. }
        | Error::Waiting { reason: Reason::CredentialsInvalid, .. }
        | Error::Rejected { reason: Reason::CredentialsInvalid, .. } => {
            Error::waiting(Reason::CredentialsInvalid, message)
        }
        _ => Error::waiting(Reason::CredentialsUnavailable, message),
    }
}
