//! What takes time in the account, which is `status.operation`: a change that no read has shown yet, or work that the account was seen
//! at. Whether one is open is decided here, beside what is remembered of the last change; only a create also closes it, with its record.
//! [`super::decide`] decides what follows from it. Nothing here reads or changes the account.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::decide::{Running, fields_now};
use super::reading::Reading;
use super::work::{Target, Work};
use crate::clock;
use crate::engine::crd::{Operation, age, camel, seconds};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Phase, Seen, When};

impl Work<'_> {
    /// The open operation, if a change of these paths is that one sent again, or a part of it.
    pub fn operation_of(&self, paths: &[String]) -> Result<Option<&Operation>> {
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let again = |o: &&Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        Ok(self.subject.status()?.operation.as_ref().filter(again))
    }

    /// Since when a change of these fields is open: one that is sent again has been open since it was sent first.
    pub fn open_since(&self, fields: &[String]) -> Result<Time> {
        let before = self.operation_of(&paths(fields))?;
        Ok(before.map_or_else(|| seconds(clock::now()), |before| before.since.clone()))
    }

    /// Opens an operation for a change that was accepted, unless the response shows what was sent: a read that shows that is not late,
    /// even if more remains to be sent.
    pub fn open_unless_shown(
        &mut self,
        fields: &[String],
        since: Time,
        sent: &Value,
        shown: &Seen,
    ) -> Result<()> {
        let open = self.driver.changes(sent, shown)?.iter().any(|c| c.when == When::Now);
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let operation = Operation { paths: paths(fields), generation, since };
        let open = open || matches!(shown.about.phase, Phase::Pending(_));
        self.subject.status_mut()?.operation = open.then_some(operation);
        if !open {
            self.remember(|m| m.change.shown());
        }
        Ok(())
    }

    /// Opens an operation when the account is first seen at work, so that it is timed, and closes the one that a read shows to be
    /// over.
    pub fn track_operation(&mut self, seen: &Seen, changes: &[Change]) -> Result<()> {
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
    /// reads may be from before it. Then triggers the objects that lost against this one.
    pub fn close_operation(&mut self) -> Result<()> {
        let open = self.subject.status_mut()?.operation.take().is_some();
        let lag = self.lag().read;
        let shown = self.remember(|m| if open { m.change.shown() } else { m.change.shown_after(lag) });
        if open || shown {
            // Until now reads showed what this object gave up as still its own.
            self.trigger_losers();
        }
        Ok(())
    }

    /// Whether a read shows an object that stepped aside, and nothing was sent to it since: then no read is late, and the rest
    /// of what is wanted is still to be sent.
    pub fn stepped_aside(&self, target: &Target, reading: &Reading) -> Result<bool> {
        let (Some(want), Some(seen)) = (&target.want, reading.seen()) else { return Ok(false) };
        if self.remember(|m| m.change.is_whole()) {
            return Ok(false);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Ok(false) };
        Ok(fields_now(&self.driver.changes(&aside, seen)?).is_empty())
    }

    /// Whether an operation is within its time.
    pub fn running(&self, operation: Option<&Operation>) -> Running {
        let Some(operation) = operation else { return Running::No };
        if Some(operation.generation) != self.subject.object.metadata.generation
            && !operation.paths.is_empty()
        {
            return Running::No;
        }
        if age(operation.since.0, clock::now()) > self.engine.settings.operation.max(self.lag().read) {
            Running::Overdue
        } else {
            Running::Yes
        }
    }

    /// Whether what was accepted and does not show may be sent again without a request: Databricks gets a moment to show it, or as long
    /// as its reads may lag behind, unless more differs by now. A stalled object is reconciled rarely, unless something triggers it.
    pub fn may_send_again(&self, operation: &Operation, changes: &[Change]) -> bool {
        let more = |c: &Change| c.when == When::Now && !operation.paths.contains(&camel(c.field()));
        // A restart of the operator forgets when it was sent last.
        let last = self.remember(|m| m.change.unshown_for());
        let last = last.unwrap_or_else(|| age(operation.since.0, clock::now()));
        changes.iter().any(more) || last >= self.engine.settings.pace.poll_max.max(self.lag().read)
    }
}

/// Fields as users write them.
pub fn paths(fields: &[String]) -> Vec<String> {
    fields.iter().map(|field| camel(field)).collect()
}

/// What was sent for an earlier generation and no read has shown since, of the fields that `changes` does not name. A read
/// that agrees with the present spec may be from before that change, so the present values are sent.
pub fn unconfirmed(
    want: &Value,
    changes: &[Change],
    sent: &Operation,
    generation: i64,
    lag: Duration,
    now: Timestamp,
) -> Vec<Change> {
    if sent.generation == generation || age(sent.since.0, now) >= lag {
        return vec![];
    }
    let fields = want.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let unseen = fields.map(|(field, _)| field).filter(|field| {
        sent.paths.contains(&camel(field)) && !changes.iter().any(|change| change.field() == *field)
    });
    unseen.map(|field| Change { path: field.clone(), when: When::Now }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_no_read_has_shown_is_sent_again_for_a_new_generation_until_reads_cannot_lag() {
        let sent = Operation {
            paths: vec!["awsRegion".into(), "tags".into()],
            generation: 1,
            since: Time(at(1_000)),
        };
        let want = json!({"aws_region": "eu", "tags": null, "name": "a"});
        let fields = |changes: &[Change], generation, now| -> Vec<String> {
            let all = unconfirmed(&want, changes, &sent, generation, seconds(60), at(now));
            all.into_iter().map(|change| change.path).collect()
        };
        assert_eq!(fields(&[], 2, 1_010), ["aws_region"], "only what is wanted, and was sent");
        assert_eq!(fields(&[], 1, 1_010), [""; 0], "the read is compared with the same spec");
        assert_eq!(fields(&[], 2, 1_060), [""; 0], "reads cannot lag any longer");
        let differs = Change { path: "aws_region".into(), when: When::Now };
        assert_eq!(fields(&[differs], 2, 1_010), [""; 0], "it is sent anyway");
    }
}
