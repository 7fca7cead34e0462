//! How often in a row an object has failed, waited or was refused, and whether a refusal is final by now. Counts in memory, and writes
//! nothing; [`super::conclude`] makes delays and conditions of it.

use std::time::Duration;

use super::engine::Engine;
use super::outcome::Outcome;
use super::subject::Subject;
use crate::engine::crd::{ConditionType, Reason};
use crate::engine::error::Error;
use crate::engine::memory::Refusal;

/// What is known of refusals in a row for the same reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    /// How many before this one.
    pub before: u32,
    /// It was refused often enough, and for long enough, or the status shows it as Stalled already.
    pub is_final: bool,
}

impl Subject {
    /// How often in a row this object has failed or waited before; this time counts from now on.
    pub fn count_attempt(&self, engine: &Engine, outcome: &Outcome) -> u32 {
        engine.memory.objects.of(&self.uid(), |memory| {
            let attempts = memory.attempts;
            memory.attempts = match outcome {
                Outcome::Failed(Error::Terminal { .. } | Error::Rejected { .. }) => 0,
                Outcome::Failed(_) | Outcome::Progress { .. } => attempts.saturating_add(1),
                _ => 0,
            };
            attempts
        })
    }

    /// How often in a row this object was refused for this reason; this time counts from now on. A failure for another cause
    /// in between neither counts nor clears it. One that the status already shows as Stalled stays final, whatever a restart
    /// forgot.
    pub fn count_refusal(&self, engine: &Engine, outcome: &Outcome, generation: i64) -> Refusals {
        let (reason, patience) = match outcome {
            Outcome::Refused { reason, .. } | Outcome::Failed(Error::Terminal { reason, .. }) => {
                (*reason, None)
            }
            Outcome::Failed(Error::Rejected { reason, patience, .. }) => (*reason, *patience),
            Outcome::Failed(_) | Outcome::Again => return Refusals::default(),
            _ => {
                engine.memory.objects.of(&self.uid(), |memory| memory.refusal = None);
                return Refusals::default();
            }
        };
        let now = tokio::time::Instant::now();
        let refusal = engine.memory.objects.of(&self.uid(), |memory| {
            let same =
                memory.refusal.filter(|known| known.reason == reason && known.generation == generation);
            let refusal = same.unwrap_or(Refusal { reason, generation, since: now, tries: 0 });
            memory.refusal = Some(Refusal { tries: refusal.tries.saturating_add(1), ..refusal });
            refusal
        });
        let settings = &engine.settings;
        let at_once = settings.refusal_tries == 1;
        let period = if at_once { Duration::ZERO } else { settings.refusal_period };
        let long = now.duration_since(refusal.since) >= period.max(patience.unwrap_or_default());
        let long = long && refusal.tries.saturating_add(1) >= settings.refusal_tries;
        Refusals { before: refusal.tries, is_final: long || self.shown_as_stalled(reason, generation) }
    }

    fn shown_as_stalled(&self, reason: Reason, generation: i64) -> bool {
        self.status.as_ref().is_ok_and(|status| {
            let stalled = status.condition(ConditionType::Stalled);
            status.observed_generation == generation && stalled.is_some_and(|c| c.reason == reason.name())
        })
    }
}
