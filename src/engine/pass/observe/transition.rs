//! Objects that Databricks is still creating, changing or deleting, which takes minutes. Many of them share the LISTs by which they are
//! polled, and a row is believed if it shows no news. Any other state is read by its id: it may lead to a write, and a LIST may be late.

use tokio::time::Instant;

use super::Observer;
use crate::engine::error::Result;
use crate::engine::kind::{Phase, Seen};

impl Observer<'_> {
    /// The object as a shared LIST shows it, if it was in transition by its last `row`, others are so too, and that LIST shows it so still.
    pub(super) async fn still_in_transition(
        &self,
        id: &str,
        within: &str,
        row: Option<&Seen>,
    ) -> Result<Option<Seen>> {
        if !row.is_some_and(is_in_transition) || self.rows_are_partial() {
            return Ok(None);
        }
        let polled = self.remembered.with(|m| m.polled.max(m.created));
        let row = self.snapshots.poll(self.driver, self.reader, within, id, polled).await?;
        // Once it was read: that reading is no news at the next poll.
        self.remembered.with(|m| m.polled = Some(Instant::now()));
        Ok(row.filter(is_in_transition))
    }
}

fn is_in_transition(seen: &Seen) -> bool {
    matches!(seen.about.phase, Phase::Pending(_) | Phase::Leaving(_))
}
