//! Hop 7: what the account is believed to have, and how fresh that must be. It knows nothing of Kubernetes, and writes
//! nothing.
//!
//! A row of the shared LIST is enough to compare. Before a write the object is read again by its id, unless the write is an
//! upsert under our own key, for which a recent LIST is enough. An object is gone only if a complete LIST and a proven 404
//! say so, and still say so a while later; any other failure to read is a failure. An object is not gone either if it was
//! created so recently that reads may not show it yet, see [`super::lag`].

mod interrupted;
mod search;
mod transition;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::bound::{Bound, BoundAs, Recognise};
use super::lag::Lag;
use super::reading::{Found, Freshness, Reading};
use crate::engine::account::{Rows, Snapshots};
use crate::engine::crd::{Intent, ObjectName, Reason, age};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Key, Phase, Reader, Seen};
use crate::engine::memory::{Claimant, Recall, holding};

/// The maximum age of the LIST by which a recorded upsert is written again.
const UPSERT_FRESH: Duration = Duration::from_secs(60);
/// The maximum age of the LIST in which a create searches for existing objects.
const CREATE_FRESH: Duration = Duration::from_secs(5);

/// Everything that an observation depends on.
pub struct Observer<'a> {
    /// The kind.
    pub driver: &'static dyn Driver,
    /// Reads.
    pub reader: &'a Reader,
    /// The LISTs that all objects of the session share.
    pub snapshots: &'a Snapshots,
    /// The desired state; while deleting it may be unreadable.
    pub want: Option<&'a Value>,
    /// What the object is bound to.
    pub bound: &'a Bound,
    /// How to recognise what is ours.
    pub recognise: Recognise<'a>,
    /// The claims of this object and of others.
    pub claimant: Claimant<'a>,
    /// What is remembered of the object.
    pub remembered: Recall<'a>,
    /// The object is being deleted.
    pub deleting: bool,
    /// A change or a creation is in progress, by `status.operation`.
    pub operation: bool,
    /// The earliest start of a reading.
    pub not_before: Instant,
    /// When a reconcile was requested, if that was not handled yet and nothing else is open.
    pub requested_at: Option<Instant>,
    /// How long reads may lag behind.
    pub lag: Lag,
    /// How long after a create with an unknown result the account certainly shows its object.
    pub quarantine: Duration,
    /// How long an object must be missing in the account before it counts as deleted.
    pub absence: Duration,
    /// Now.
    pub now: Timestamp,
}

impl Observer<'_> {
    /// Reads what the account has for this object.
    pub async fn observe(&self, freshness: Freshness) -> Result<Reading> {
        if let Some(intent) = &self.bound.intent
            && (!self.repeatable() || !self.still_meant(intent)?)
        {
            return Ok(Reading::from(Found::Interrupted(self.interrupted(intent).await?)));
        }
        match self.bound.place(self.driver)? {
            Some((id, within)) => self.by_id(id, within, freshness).await,
            // An interrupted create that created nothing.
            None if self.deleting => Ok(Reading::from(Found::Nothing { settled: true })),
            None => self.by_key(freshness).await,
        }
    }

    /// Whether a row of a LIST is not enough to compare.
    fn rows_are_partial(&self) -> bool {
        let managed = |field: &&str| self.want.is_some_and(|want| !want[*field].is_null());
        let fields = self.driver.traits().unlisted;
        fields.iter().any(|field| self.claimant.observing || managed(field))
    }

    /// Whether it is an upsert, which repeats nothing but itself.
    fn repeatable(&self) -> bool {
        self.driver.traits().lifecycle.is_repeatable()
    }

    fn key(&self) -> Result<Option<Key>> {
        self.want.map(|want| self.driver.key(want)).transpose()
    }

    /// Whether an announced upsert still matches the spec: then it is enough to write it again. Otherwise its row must be
    /// found first, or it would never be removed.
    fn still_meant(&self, intent: &Intent) -> Result<bool> {
        let key = self.key()?.filter(|_| !self.deleting);
        Ok(key.is_some_and(|key| key.within == intent.within && key.name == intent.name))
    }

    /// The object that a record points to. It is searched where it was created, not where it would be created now.
    async fn by_id(&self, id: &str, within: String, freshness: Freshness) -> Result<Reading> {
        if let Some(holder) = self.holder_of_record(id) {
            return Ok(Reading::from(Found::ManagedBy(holding(self.claimant.who, &holder))));
        }
        let upsert = self.repeatable();
        self.await_turn(&within).await?;
        let not_before = match freshness {
            Freshness::Routine => Some(self.list_not_before(upsert)),
            Freshness::BeforeWrite => upsert.then(|| self.list_not_before(upsert).max(recent(UPSERT_FRESH))),
        };
        let (row, read_at) = match not_before {
            Some(not_before) => {
                let changed = self.changed_elsewhere(&within, id).await;
                let not_before = changed.map_or(not_before, |changed| changed.max(not_before));
                let of_id = |rows: &Rows<'_>| (rows.row(id).cloned(), rows.read_at);
                let listed = self.snapshots.read(self.driver, self.reader, &within, not_before, of_id);
                let (row, read_at) = listed.await?;
                (row, Some(read_at))
            }
            None => (None, None),
        };
        // An object in transition, or with an open operation, does not rest on a LIST that others needed.
        let steady = |seen: &Seen| matches!(seen.about.phase, Phase::Ready | Phase::Vacant);
        let is_enough = |seen: &Seen| upsert || (steady(seen) && !self.operation && !self.rows_are_partial());
        let from_list = freshness == Freshness::Routine;
        let (seen, may_be_stale) = match row {
            Some(seen) if is_enough(&seen) => (Some(seen), from_list),
            None if upsert => (None, from_list),
            row => match self.still_in_transition(id, &within, row.as_ref()).await? {
                Some(seen) => (Some(seen), true),
                None => (self.get(id, &within).await?, false),
            },
        };
        let reading = match seen {
            None => self.absent(&within, id, may_be_stale).await?,
            Some(seen) => {
                self.remembered.with(|m| m.absent_since = None);
                Reading { may_be_stale, ..Reading::from(self.of_record(seen)?) }
            }
        };
        Ok(Reading { read_at, ..reading })
    }

    /// When this process changed the object last, if that is not in the rows: it was sent with other credentials, whose rows are their own.
    async fn changed_elsewhere(&self, within: &str, id: &str) -> Option<Instant> {
        let changed = self.remembered.with(|m| m.change.ended_at())?;
        let known = self.snapshots.has(self.driver, within, id, changed).await;
        (!known).then_some(changed)
    }

    /// Many objects that are deleted at once, or are asked to reconcile, share a reading: each waits for its turn.
    async fn await_turn(&self, within: &str) -> Result<()> {
        let Some(since) = self.remembered.with(|m| m.delete_accepted).max(self.requested_at) else {
            return Ok(());
        };
        match self.snapshots.turn(self.driver, within, since, self.claimant.who).await {
            None => Ok(()),
            Some(after) => Err(Error::Later(after)),
        }
    }

    async fn get(&self, id: &str, within: &str) -> Result<Option<Seen>> {
        let seen = self.driver.get(self.reader, id).await?;
        if let Some(other) = seen.as_ref().filter(|seen| seen.id != id) {
            return Err(self.called_otherwise(id, &other.id));
        }
        let Some(seen) = seen else { return Ok(None) };
        Ok(Some(self.snapshots.amend(self.driver, within, seen).await))
    }

    /// Databricks finds some objects by an id in any case, such as a name in Unity Catalog. Rows and claims have the id as the account
    /// writes it, so a spec, or an annotation without a record, must have it in that case.
    fn called_otherwise(&self, id: &str, other: &str) -> Error {
        let asked = self.bound.copied() || self.bound.bound_as() == BoundAs::NamedBySpec;
        if asked && id.to_lowercase() == other.to_lowercase() {
            let place = self.bound.written_in();
            let text = format!("the account writes the id {id} as {other}: write that in {place}");
            return Error::terminal(Reason::InvalidSpec, text);
        }
        Error::retry(format!("asked for {id}, Databricks returned {other}"))
    }

    /// Classifies the object that a record names.
    fn of_record(&self, seen: Seen) -> Result<Found> {
        let ours = match self.bound.bound_as() {
            BoundAs::NamedBySpec => false,
            // The id is all that an observer needs, as nothing is written.
            _ if self.claimant.observing => true,
            // An object that was only observed is not ours yet, unless it carries our mark.
            BoundAs::Observed => self.recognise.marked(&seen),
            BoundAs::Managed | BoundAs::Nothing => self.recognise.is_ours(self.want, &seen)?,
        };
        if !ours {
            return Ok(Found::Foreign(seen));
        }
        // An object that only an annotation names is claimed as soon as it is known to be ours: an older object that would
        // adopt it may read it before our record of it is written.
        Ok(self.unless_held(self.claimant.hold(&seen.id), Found::Ours(seen)))
    }

    /// The earliest start of the LIST that an object is compared with. An upsert that is being deleted needs one that is newer
    /// than its delete, or at least a recent one.
    fn list_not_before(&self, upsert: bool) -> Instant {
        let doubt_ended = self.doubt_ends().filter(|ends| *ends <= Instant::now());
        let not_before = doubt_ended.map_or(self.not_before, |ended| self.not_before.max(ended));
        let (accepted, absent) = self.remembered.with(|m| (m.delete_accepted, m.absent_since));
        match accepted {
            _ if !upsert => not_before,
            Some(accepted) => not_before.max(accepted),
            None if self.deleting => {
                let recent = not_before.max(recent(UPSERT_FRESH));
                // A LIST without it is confirmed by another LIST, not by the same.
                let again = absent.map(|since| since + self.absence);
                again.filter(|at| *at <= Instant::now()).map_or(recent, |again| again.max(recent))
            }
            None if self.operation => not_before.max(recent(self.lag.poll.0)),
            None => not_before,
        }
    }

    /// When an upsert that is being deleted can have no effect any more, if its result is unknown.
    fn doubt_ends(&self) -> Option<Instant> {
        let in_doubt = self.remembered.with(|m| m.in_doubt_since());
        in_doubt.filter(|_| self.deleting && self.repeatable()).map(|at| at + self.quarantine)
    }

    /// An upsert whose result is unknown may still have its effect, after the deletion: that would bring the row back.
    fn wait_while_in_doubt(&self, id: &str) -> Result<()> {
        match self.doubt_ends().map(|ends| ends.saturating_duration_since(Instant::now())) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(left) => Err(Error::Transient {
                reason: Reason::Retrying,
                message: format!(
                    "the account does not show {} {id}, but a change of it without a response may still have its effect: it counts \
                     as gone only once that is excluded",
                    self.claimant.who.kind
                ),
                after: Some(left),
            }),
        }
    }

    /// Absent: believed only if a LIST agrees, and after a while again. Not at all while reads may lag behind the creation.
    async fn absent(&self, within: &str, id: &str, may_be_stale: bool) -> Result<Reading> {
        let now = Instant::now();
        let (since, accepted) =
            self.remembered.with(|m| (*m.absent_since.get_or_insert(now), m.delete_accepted));
        self.wait_while_in_doubt(id)?;
        // An upsert repeats nothing but itself, so it need not wait to be sure before it is written again.
        let written_again = self.repeatable() && !self.deleting;
        if accepted.is_none()
            && !written_again
            && let Some(created) = self.bound.created_at()
        {
            let called = format!("{} {id}", self.claimant.who.kind);
            let age = self.remembered.with(|m| m.created_for(age(created, self.now)));
            let unseen = self.lag.wait_until_shown(&called, created, age, since.elapsed(), self.deleting);
            unseen.map_or(Ok(()), Err)?;
        }
        // The LIST was the read of an upsert.
        let others =
            if self.repeatable() { vec![] } else { self.missing_from_list(within, id, accepted).await? };
        // The secrets of others are no substitute.
        let others = if self.driver.traits().are_secrets() { vec![] } else { others };
        let settled = accepted.is_some() || since.elapsed() >= self.absence || written_again;
        if settled && !others.is_empty() && !self.deleting {
            return Ok(Reading::from(Found::Replaced(others)));
        }
        Ok(Reading { may_be_stale, ..Reading::from(Found::Nothing { settled }) })
    }

    /// The second proof of absence: a LIST without this id. Returns the ids in it that match what is wanted, unless that is a deletion.
    async fn missing_from_list(
        &self,
        within: &str,
        id: &str,
        accepted: Option<Instant>,
    ) -> Result<Vec<String>> {
        // What is deleted has no substitute. Thousands may be deleted at once: none of them reads the rows of the others.
        let key = if self.deleting { None } else { self.key()? };
        let matching = |rows: &Rows<'_>| -> Result<Vec<String>> {
            if rows.row(id).is_some_and(|seen| !matches!(seen.about.phase, Phase::Leaving(_))) {
                let text = "Databricks says of one object both that it exists and that it does not";
                return Err(Error::retry(text));
            }
            let Some(key) = &key else { return Ok(vec![]) };
            let matching = rows.matching(self.driver, key)?;
            Ok(matching.into_iter().map(|seen| seen.id.clone()).collect())
        };
        let recent = recent(CREATE_FRESH);
        let fresh = accepted.map_or(recent, |accepted| accepted.max(recent));
        self.snapshots.read(self.driver, self.reader, within, fresh, matching).await?
    }

    fn unless_held(&self, holder: Option<ObjectName>, found: Found) -> Found {
        holder.map_or(found, |holder| Found::ManagedBy(holding(self.claimant.who, &holder)))
    }

    /// The other object that manages the one that the record names. An object that is recorded as its manager claims it each
    /// time.
    fn holder_of_record(&self, id: &str) -> Option<ObjectName> {
        if self.bound.external.as_ref().is_some_and(|external| !external.observed) {
            self.claimant.hold(id)
        } else {
            self.claimant.watch_holder(id)
        }
    }
}

fn recent(age: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}

#[cfg(test)]
mod tests;
