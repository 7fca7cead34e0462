//! How a reconcile ended, and what else its conclusion depends on. Values only; [`super::conclude`] turns them into a status.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::meter::ReconcileResult;

/// How a reconcile ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The account matches the spec; or, only observing, it does not (`status.drift` shows the difference).
    Rest,
    /// Databricks is working, or something must settle.
    Progress {
        /// Shown in `Ready`.
        reason: Reason,
        /// How far it is.
        message: String,
        /// Whether the change for the current generation was sent.
        sent: bool,
    },
    /// The account has no such object, and none is created, as it is only observed.
    Planned {
        /// Shown in `Ready`.
        reason: Reason,
        /// What would be done.
        message: String,
    },
    /// Everything is well except a part of the spec that has no effect.
    Partly {
        /// Shown in `Synced`.
        reason: Reason,
        /// Which part, why, what to write.
        message: String,
    },
    /// A person must decide.
    Refused {
        /// Shown in `Stalled`.
        reason: Reason,
        /// What, why, what to write.
        message: String,
    },
    /// The external delete is blocked.
    Blocked {
        /// Shown in `DeletionBlocked`.
        reason: Reason,
        /// What, why, what to write.
        message: String,
    },
    /// Something failed.
    Failed(Error),
    /// `spec.suspend`.
    Suspended,
    /// Everything is well except the account's rate limit, which delays calls for this long.
    Limited(Duration),
    /// Something was written; reconcile again at once.
    Again,
}

impl Outcome {
    /// Its word in metrics, logs and traces. A refusal is one whether the engine or the account refuses.
    pub fn result(&self) -> ReconcileResult {
        match self {
            Outcome::Rest | Outcome::Planned { .. } | Outcome::Partly { .. } => ReconcileResult::Done,
            Outcome::Again => ReconcileResult::Again,
            Outcome::Progress { .. } => ReconcileResult::Progress,
            Outcome::Suspended => ReconcileResult::Suspended,
            Outcome::Limited(_) | Outcome::Failed(Error::Transient { reason: Reason::RateLimited, .. }) => {
                ReconcileResult::Limited
            }
            Outcome::Refused { .. } | Outcome::Failed(Error::Terminal { .. } | Error::Rejected { .. }) => {
                ReconcileResult::Refused
            }
            Outcome::Blocked { .. } => ReconcileResult::Blocked,
            Outcome::Failed(Error::Waiting { .. }) => ReconcileResult::Waiting,
            Outcome::Failed(Error::Transient { .. }) => ReconcileResult::Transient,
            Outcome::Failed(Error::Conflict(_)) => ReconcileResult::Conflict,
            Outcome::Failed(Error::Unknown { .. }) => ReconcileResult::Unknown,
            Outcome::Failed(Error::Fenced) => ReconcileResult::Fenced,
            Outcome::Failed(Error::Later(_)) => ReconcileResult::Later,
        }
    }
}

/// What a conclusion depends on besides the outcome.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// `metadata.generation`.
    pub generation: i64,
    /// The object is being deleted.
    pub deleting: bool,
    /// How often in a row this object has failed or waited before.
    pub attempts: u32,
    /// How often in a row this object was refused for this reason before.
    pub refusals: u32,
    /// Databricks has refused this often enough, and for long enough, for the refusal to be final.
    pub refusal_is_final: bool,
    /// The DatabricksAuth and all references that the object cannot be without exist and are ready.
    pub resolved: bool,
    /// Why a reference that it can be without is left out.
    pub unresolved: Option<(Reason, String)>,
    /// The reason of a condition `Ready` that is True.
    pub ready: Reason,
    /// What the message of such a condition says, if nothing else has to be said.
    pub remark: Option<String>,
    /// A change was accepted in this reconcile, and may show soon.
    pub change_accepted: bool,
    /// How long until the object must be compared again, or must act; `None` is never.
    pub next_due: Option<Duration>,
    /// Now.
    pub now: Timestamp,
    /// A random number in 0..1, for jitter.
    pub chance: f64,
}

/// How fast to retry. Shorter in tests; the defaults are in the command line's help.
#[derive(Clone, Debug)]
pub struct Pace {
    /// First delay after a failure, doubled each time.
    pub backoff_min: Duration,
    /// Longest delay after a failure.
    pub backoff_max: Duration,
    /// First delay while Databricks is working.
    pub poll_min: Duration,
    /// Longest delay while Databricks is working.
    pub poll_max: Duration,
    /// Re-check of an object that waits for a trigger.
    pub waiting: Duration,
    /// First re-check of a refusal, doubled each time.
    pub stalled_min: Duration,
    /// Longest time between re-checks of what a person must decide.
    pub stalled: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_word() {
        let (reason, message) = (Reason::ApplyFailed, String::new());
        let transient =
            |reason| Outcome::Failed(Error::Transient { reason, message: String::new(), after: None });
        for (outcome, word) in [
            (Outcome::Rest, "done"),
            (Outcome::Planned { reason, message: message.clone() }, "done"),
            (Outcome::Partly { reason, message: message.clone() }, "done"),
            (Outcome::Again, "again"),
            (Outcome::Progress { reason, message: message.clone(), sent: true }, "progress"),
            (Outcome::Suspended, "suspended"),
            (Outcome::Limited(Duration::ZERO), "limited"),
            (transient(Reason::RateLimited), "limited"),
            (transient(Reason::Retrying), "transient"),
            (Outcome::Refused { reason, message: message.clone() }, "refused"),
            (Outcome::Failed(Error::terminal(reason, "")), "refused"),
            (Outcome::Failed(Error::rejected(reason, "")), "refused"),
            (Outcome::Blocked { reason, message }, "blocked"),
            (Outcome::Failed(Error::waiting(reason, "")), "waiting"),
            (Outcome::Failed(Error::Conflict(String::new())), "conflict"),
            (Outcome::Failed(Error::Unknown { message: String::new() }), "unknown"),
            (Outcome::Failed(Error::Fenced), "fenced"),
            (Outcome::Failed(Error::Later(Duration::ZERO)), "later"),
        ] {
            assert_eq!(outcome.result().word(), word, "{outcome:?}");
        }
    }
}
