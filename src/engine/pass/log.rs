//! The log of a reconcile. All its lines are within its span, which names the object; a trace has the same span.
//!
//! INFO is for what changed, once: a write to the account (its line is in `kind/access.rs`, which sends every write), a
//! transition, a new state of waiting. WARN is for what failed. A reconcile that found no change is silent.

use kube::ResourceExt;
use kube::core::DynamicObject;
use tracing::Span;
use tracing::field::Empty;

use super::outcome::Outcome;
use crate::engine::crd::Note;
use crate::engine::error::Error;

/// The span of a reconcile of this object.
pub fn span(kind: &str, object: &DynamicObject) -> Span {
    let id = uuid::Uuid::new_v4().simple().to_string();
    // An error span, so that no `--log` removes it from the lines that are logged.
    tracing::error_span!(
        "reconcile",
        kind,
        namespace = object.namespace().unwrap_or_default(),
        name = object.name_any(),
        generation = object.metadata.generation.unwrap_or_default(),
        reconcile_id = &id[..16],
        result = Empty,
        otel.status_code = Empty,
    )
}

/// Logs how a reconcile ended. `news` says whether the conditions differ from before.
pub fn outcome(outcome: &Outcome, news: bool) {
    let span = Span::current();
    span.record("result", outcome.result().word());
    match outcome {
        Outcome::Failed(error @ Error::Conflict(_)) => {
            tracing::debug!(hop = "conclude", class = error.class(), "{error}")
        }
        Outcome::Failed(error) => {
            span.record("otel.status_code", "ERROR");
            let reason = error.reason().map(|reason| reason.name());
            tracing::warn!(hop = "conclude", class = error.class(), reason, "{error}");
        }
        Outcome::Refused { reason, message } | Outcome::Blocked { reason, message } => {
            tracing::warn!(hop = "conclude", reason = reason.name(), "{message}");
        }
        Outcome::Progress { reason, message, .. } | Outcome::Planned { reason, message } if news => {
            tracing::info!(hop = "conclude", reason = reason.name(), "{message}");
        }
        Outcome::Progress { reason, message, .. } | Outcome::Planned { reason, message } => {
            tracing::debug!(hop = "conclude", reason = reason.name(), "{message}");
        }
        Outcome::Partly { reason, message } if news => {
            tracing::warn!(hop = "conclude", reason = reason.name(), "{message}");
        }
        Outcome::Partly { .. }
        | Outcome::Rest
        | Outcome::Again
        | Outcome::Suspended
        | Outcome::Limited(_) => {
            tracing::debug!(hop = "conclude", "done")
        }
    }
}

/// What became true, in the words of the event. The outcome has the warnings, and the audit log the writes, already.
pub fn notes(notes: &[Note]) {
    for note in notes {
        if note.warning || note.reason.is_write() {
            tracing::debug!(hop = "conclude", reason = note.reason.name(), "{}", note.text);
        } else {
            tracing::info!(hop = "conclude", reason = note.reason.name(), "{}", note.text);
        }
    }
}
