//! The change that is under way, in `status.operation`: what was sent and no read has shown yet, and since when. Nothing is sent
//! here.

use super::send::Sent;
use super::subject::Counted;
use super::work::Work;
use crate::clock;
use crate::engine::crd::{EventReason, Operation, camel, seconds};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Phase, Seen, When};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

impl Work<'_> {
    /// Notes an accepted change: its event, the count of corrected drift, and that something was sent. A new change starts its
    /// attempts again. Returns since when it is open: a change that is sent again has been open since it was sent first, and gets
    /// no event.
    pub fn announce_update(&mut self, fields: &[String], drifted: bool, tried_again: bool) -> Result<Time> {
        let paths: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let again = |o: &Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        let before = self.subject.status()?.operation.as_ref().filter(|operation| again(operation));
        let since = before.map_or_else(|| seconds(clock::now()), |before| before.since.clone());
        if before.is_none_or(|before| before.paths != paths) {
            // What was waited for before is no reason to read this change late.
            self.remember(|m| m.attempts = 0);
            let reason = if drifted { EventReason::DriftCorrected } else { EventReason::Updated };
            let text = paths.join(", ");
            let text = if tried_again { format!("sent again, as requested: {text}") } else { text };
            self.subject.note(false, reason, text);
        }
        if drifted {
            self.subject.counted.push(Counted::DriftCorrected);
        }
        self.subject.sent = true;
        Ok(since)
    }

    /// Records which change is open, until a read shows it. A read that shows what was sent is not late, even if more remains
    /// to be sent.
    pub fn keep_open(&mut self, fields: &[String], since: Time, sent: &Sent) -> Result<()> {
        let open = self.driver.changes(&sent.state, &sent.shown)?.iter().any(|c| c.when == When::Now);
        self.subject.status_mut()?.operation = None;
        if open || matches!(sent.shown.about.phase, Phase::Pending(_)) {
            let generation = self.subject.object.metadata.generation.unwrap_or_default();
            let paths = fields.iter().map(|f| camel(f)).collect();
            self.subject.status_mut()?.operation = Some(Operation { paths, generation, since });
            return Ok(());
        }
        // The response shows it.
        self.remember(|m| m.sent = None);
        self.close_operation()
    }

    /// Opens an operation when the account is first seen at work, so that it is timed, and closes the one that a read shows to be
    /// over.
    pub fn keep_time(&mut self, seen: &Seen, changes: &[Change]) -> Result<()> {
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let pending = matches!(seen.about.phase, Phase::Pending(_));
        let status = self.subject.status_mut()?;
        if pending && status.operation.is_none() {
            status.operation = Some(Operation { paths: vec![], generation, since: seconds(clock::now()) });
        }
        let open = |o: &Operation| pending || changes.iter().any(|c| o.paths.contains(&camel(c.field())));
        if !status.operation.as_ref().is_some_and(open) {
            self.close_operation()?;
        }
        Ok(())
    }

    /// Ends the open operation. If there is none because the response was lost, forgets the change only after the read lag, as
    /// reads may be from before it. Then wakes the objects that lost against this one.
    pub fn close_operation(&mut self) -> Result<()> {
        let open = self.subject.status_mut()?.operation.take().is_some();
        let lag = self.lag().read;
        let sent = self.remember(|m| m.sent.take_if(|at| open || at.elapsed() >= lag)).is_some();
        if open || sent {
            // Until now reads showed what this object gave up as still its own.
            self.wake_losers();
        }
        Ok(())
    }
}
