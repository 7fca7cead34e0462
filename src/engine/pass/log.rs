//! What is logged of a pass. All lines of one are within its span, which says what they are about; a trace has the same span.
//!
//! INFO is for what changed, once: a write to the account (its line is in `kind/access.rs`, which every write passes), a
//! transition, a state of waiting that is new. WARN is for what failed. A pass that found all as it was is silent.

use kube::ResourceExt;
use kube::core::DynamicObject;
use tracing::Span;
use tracing::field::Empty;

use super::outcome::Outcome;
use crate::engine::crd::Note;
use crate::engine::error::Error;

/// The span of a pass over this object.
pub fn span(kind: &str, object: &DynamicObject) -> Span {
    let id = uuid::Uuid::new_v4().simple().to_string();
    // As an error, so that no `--log` takes it away from the lines that are let through.
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

/// What a pass came to. `news` says whether the conditions say something else than before.
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

/// What became true, in the words of the event. A warning is in the outcome, and a write in the audit log, already.
pub fn notes(notes: &[Note]) {
    for note in notes {
        if note.warning || note.reason.is_write() {
            tracing::debug!(hop = "conclude", reason = note.reason.name(), "{}", note.text);
        } else {
            tracing::info!(hop = "conclude", reason = note.reason.name(), "{}", note.text);
        }
    }
}
