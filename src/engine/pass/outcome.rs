//! How a reconcile ended, and what its conclusion depends on besides. Values only; [`super::conclude`] turns them into a status.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::meter::ReconcileResult;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The account is as the spec says; or, only observing, it is not (`status.drift` says how).
    Rest,
    /// Databricks is at work, or something has to settle.
    Progress {
        /// Shown in `Ready`.
        reason: Reason,
        /// How far it is.
        message: String,
        /// Whether what the current generation asks for was sent.
        sent: bool,
    },
    /// There is nothing in the account, and nothing is created, as it is only observed.
    Planned {
        /// Shown in `Ready`.
        reason: Reason,
        /// What would be done.
        message: String,
    },
    /// All is well but for a part of the spec that has no effect.
    Partly {
        /// Shown in `Synced`.
        reason: Reason,
        /// Which part, why, what to write.
        message: String,
    },
    /// A person has to decide.
    Refused {
        /// Shown in `Stalled`.
        reason: Reason,
        /// What, why, what to write.
        message: String,
    },
    /// The external delete cannot go on.
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
    /// All is well but for the account's rate limit, which holds calls back for this long.
    Limited(Duration),
    /// Something was written; look again at once.
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
        }
    }
}

/// What a conclusion depends on besides the outcome.
#[derive(Clone, Debug)]
pub struct Pass {
    /// `metadata.generation`.
    pub generation: i64,
    /// The object is being deleted.
    pub deleting: bool,
    /// How often in a row this object has failed or waited before.
    pub attempts: u32,
    /// How often in a row this object was refused for this reason before.
    pub refusals: u32,
    /// Databricks has refused this often enough, and for long enough, for the refusal to be final.
    pub confirmed: bool,
    /// The DatabricksAuth and all references were found to be there and ready.
    pub resolved: bool,
    /// The reason of a condition `Ready` that is True.
    pub ready: Reason,
    /// A change was accepted in this pass, and may show soon.
    pub sent: bool,
    /// How often to compare with the account; `None` is never.
    pub resync: Option<Duration>,
    /// Now.
    pub now: Timestamp,
    /// A random number in 0..1, for jitter.
    pub chance: f64,
}

/// How fast to try again. Shorter in tests; the defaults are in the command line's help.
#[derive(Clone, Debug)]
pub struct Pace {
    /// First delay after a failure, doubled each time.
    pub backoff_min: Duration,
    /// Longest delay after a failure.
    pub backoff_max: Duration,
    /// First delay while Databricks is at work.
    pub poll_min: Duration,
    /// Longest delay while Databricks is at work.
    pub poll_max: Duration,
    /// Re-check of what waits for a wake-up.
    pub waiting: Duration,
    /// First re-check of what was refused, doubled each time.
    pub stalled_min: Duration,
    /// Longest time between re-checks of what a person has to decide.
    pub stalled: Duration,
}
