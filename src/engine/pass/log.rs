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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tracing::Level;

    use super::*;
    use crate::engine::crd::{EventReason, Reason};
    use crate::engine::pass::fake::log::Log;

    /// The level of the one line, and whether it has this text.
    fn logged(log: &Log, text: &str) -> Level {
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(text), "{lines:?}");
        lines[0].split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn info_is_for_news_and_warn_for_what_failed() {
        let (log, _kept) = Log::keep();
        let (reason, message) = (Reason::Provisioning, String::from("the text"));
        let progress = Outcome::Progress { reason, message: message.clone(), sent: false };
        let planned = Outcome::Planned { reason, message: message.clone() };
        let partly = Outcome::Partly { reason, message: message.clone() };
        let refused = Outcome::Refused { reason, message: message.clone() };
        let blocked = Outcome::Blocked { reason, message: message.clone() };
        let failed = Outcome::Failed(Error::terminal(reason, message.clone()));
        let limited = Outcome::Limited(Duration::ZERO);
        for (ended, news, otherwise) in [
            (progress, Level::INFO, Level::DEBUG),
            (planned, Level::INFO, Level::DEBUG),
            (partly, Level::WARN, Level::DEBUG),
            (refused, Level::WARN, Level::WARN),
            (blocked, Level::WARN, Level::WARN),
            (failed, Level::WARN, Level::WARN),
            (Outcome::Failed(Error::Conflict(message)), Level::DEBUG, Level::DEBUG),
            (Outcome::Rest, Level::DEBUG, Level::DEBUG),
            (Outcome::Again, Level::DEBUG, Level::DEBUG),
            (Outcome::Suspended, Level::DEBUG, Level::DEBUG),
            (limited, Level::DEBUG, Level::DEBUG),
        ] {
            for (is_news, level) in [(true, news), (false, otherwise)] {
                outcome(&ended, is_news);
                assert_eq!(logged(&log, "hop=\"conclude\""), level, "{ended:?}, news: {is_news}");
            }
        }
    }

    #[test]
    fn what_became_true_is_news_unless_another_line_has_it() {
        let (log, _kept) = Log::keep();
        for (warning, reason, level) in [
            (false, EventReason::Ready, Level::INFO),
            (true, EventReason::Stalled, Level::DEBUG),
            (false, EventReason::Created, Level::DEBUG),
        ] {
            notes(&[Note { warning, reason, text: "the text".into() }]);
            assert_eq!(logged(&log, "the text"), level, "{reason:?}");
        }
    }

    #[test]
    fn each_line_of_a_reconcile_names_the_object_and_how_it_ended() {
        let (log, _kept) = Log::keep();
        let object =
            serde_json::from_value(json!({"metadata": {"name": "it", "namespace": "ns", "generation": 3}}));
        let object: DynamicObject = object.unwrap();
        let ids: Vec<String> = [(), ()]
            .map(|()| {
                span("Fake", &object).in_scope(|| outcome(&Outcome::Suspended, true));
                let line = log.lines().remove(0);
                let says = "kind=\"Fake\" namespace=\"ns\" name=\"it\" generation=3 reconcile_id=\"";
                assert!(line.contains(says) && line.contains("result=\"suspended\""), "{line}");
                let id = line.split("reconcile_id=\"").nth(1).unwrap().split('"').next().unwrap();
                assert_eq!(id.len(), 16);
                id.to_owned()
            })
            .into();
        assert_ne!(ids[0], ids[1], "each reconcile has an id of its own");
    }
}
