//! What hops 7 and 8 depend on: the inputs of an observation, and the view of a decision. Gathers them from the object under work and
//! from what is remembered of it, and writes nothing. [`super::observe`] reads the account, and [`super::decide`] decides.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::bound::{BoundAs, marked_elsewhere};
use super::decide::{Step, View, decide, fields_now};
use super::observe::Observer;
use super::operation::unconfirmed;
use super::reading::{Freshness, Reading};
use super::work::{Target, Work};
use crate::clock;
use crate::engine::crd::{Operation, Reason};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Lifecycle, Phase, Seen, Wanted};
use crate::engine::memory::Recall;

/// What is beside an object that was just read by itself was read within this time.
const RECENT: Duration = Duration::from_secs(5);

/// What to do, and what it rests on.
#[derive(Debug)]
pub struct Decision {
    /// The next step.
    pub step: Step,
    /// What differs between the desired and the observed state.
    pub changes: Vec<Change>,
    /// A read shows that the object stepped aside: the change that `status.operation` records is complete.
    pub aside: bool,
}

impl Work<'_> {
    /// Hop 7.
    pub async fn observe(&self, target: &Target, freshness: Freshness) -> Result<Reading> {
        let (bound, marker, uid) = (self.bound(), self.marker(), self.subject.uid());
        let operation = self.subject.status.as_ref().is_ok_and(|status| status.operation.is_some());
        let (settings, requested_at) = (&self.engine.settings, self.subject.requested_at(self.engine));
        let observer = Observer {
            driver: self.driver,
            reader: &target.place.reader,
            snapshots: &target.session().snapshots,
            want: target.want.as_ref(),
            bound: &bound,
            recognise: self.recognise(&bound, &marker),
            claimant: self.claimant(target),
            remembered: Recall { all: &self.engine.memory.objects, uid: &uid },
            deleting: self.subject.deleting(),
            operation,
            not_before: self.not_before(requested_at),
            requested_at: requested_at.filter(|_| self.subject.is_carried_out().unwrap_or(false)),
            lag: self.lag(),
            quarantine: settings.quarantine,
            absence: settings.absence,
            now: clock::now(),
        };
        let reading = observer.observe(freshness).await;
        let beside = match &reading {
            Ok(reading) => self.beside(target, reading, requested_at).await,
            Err(_) => None,
        };
        // What was read now may serve others that wait for their turn.
        target
            .session()
            .snapshots
            .take_served()
            .iter()
            .for_each(|who| self.engine.memory.triggers.trigger(who));
        let reading = Reading { beside, ..reading? };
        let reading = Reading { output_secret: self.read_output_secret().await?, ..reading };
        Ok(reading.explained(self.driver.traits().explained))
    }

    /// The row of the object that says more about the one that was read. A LIST of the last resync interval is enough, which most often
    /// its own kind has read; but not for an object that was read by itself, as it may have changed.
    async fn beside(
        &self,
        target: &Target,
        reading: &Reading,
        requested_at: Option<Instant>,
    ) -> Option<Seen> {
        let explained = self.driver.traits().explained.filter(|_| !self.subject.deleting())?;
        let is_explained = |seen: &&Seen| matches!(seen.about.phase, Phase::Ready | Phase::Failed(_));
        let id = reading.seen().filter(is_explained)?.state[explained.field].as_str()?;
        let driver = self.engine.driver(explained.by)?;
        let (due, now) = (self.not_before(requested_at), Instant::now());
        let recent = now.checked_sub(RECENT).unwrap_or(now);
        let not_before = if reading.may_be_stale { due } else { due.max(recent) };
        let (snapshots, reader) = (&target.session().snapshots, &target.place.reader);
        snapshots.row(driver, reader, &driver.within(id).ok()?, id, not_before).await
    }

    /// A reading must be no older than a resync interval, nor than a change whose result is unknown; a request for a reconcile asks for a
    /// new one.
    fn not_before(&self, requested_at: Option<Instant>) -> Instant {
        // Without an interval any reading is recent enough; a year is longer than the life of every process.
        let interval = self.subject.resync.unwrap_or(Duration::from_secs(31_536_000));
        let now = Instant::now();
        let due = || now.checked_sub(interval).unwrap_or_else(|| now - now.elapsed());
        let doubted = self.remember(|m| m.change.read_not_before());
        doubted.into_iter().fold(requested_at.unwrap_or_else(due), Instant::max)
    }

    /// Hop 8: what to do.
    pub fn decide(&self, target: &Target, reading: &Reading) -> Result<Decision> {
        let operation = self.subject.status()?.operation.as_ref();
        let aside = operation.is_some() && self.stepped_aside(target, reading)?;
        let operation = operation.filter(|_| !aside);
        let changes = self.changes(target, reading, operation)?;
        let mut step = decide(&self.view(target, reading, &changes, operation)?);
        if let Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, message } = &mut step
            && let Some(advice) = reading.seen().and_then(|seen| {
                marked_elsewhere(&self.engine.settings.installation, &self.subject.who, seen)
            })
        {
            *message = format!("{message}; {advice}");
        }
        Ok(Decision { step, changes, aside })
    }

    /// Hop 8 for the response to our own change, which is one more reading. It was sent a moment ago, so it is not sent again.
    pub fn decide_on_response(&self, target: &Target, reading: &Reading) -> Result<Decision> {
        let operation = self.subject.status()?.operation.as_ref();
        let changes = self.changes(target, reading, operation)?;
        let view = self.view(target, reading, &changes, operation)?;
        let step = decide(&View { resend: false, requested: false, ..view });
        Ok(Decision { step, changes, aside: false })
    }

    /// What differs between the desired and the observed state.
    fn changes(
        &self,
        target: &Target,
        reading: &Reading,
        operation: Option<&Operation>,
    ) -> Result<Vec<Change>> {
        let (Some(want), Some(seen)) = (&target.want, reading.seen()) else { return Ok(vec![]) };
        let mut changes = self.driver.changes(want, seen)?;
        if let Some(sent) = operation.filter(|_| !self.read_only()) {
            let generation = self.subject.object.metadata.generation.unwrap_or_default();
            let now = clock::now();
            changes.extend(unconfirmed(want, &changes, sent, generation, self.lag().read, now));
        }
        Ok(changes)
    }

    /// All that a decision depends on.
    fn view<'a>(
        &'a self,
        target: &Target,
        reading: &'a Reading,
        changes: &'a [Change],
        operation: Option<&Operation>,
    ) -> Result<View<'a>> {
        let again = match (&target.want, reading.seen()) {
            (Some(want), Some(seen)) if matches!(seen.about.phase, Phase::Failed(_)) => {
                self.driver.again(want, seen)?.into_iter().map(str::to_owned).collect()
            }
            _ => vec![],
        };
        let traits = self.driver.traits();
        let (bound, want) = (self.bound(), target.want.as_ref());
        let requested = self.subject.requested().is_some();
        Ok(View {
            called: self.called(want)?,
            deleting: self.subject.deleting(),
            observe: self.read_only(),
            adoption: self.management.adoption(),
            delete_outside: self.deletes_outside(),
            protected: self.protected(),
            data_bearing: traits.data_bearing,
            undelete: traits.undelete,
            standing: traits.lifecycle == Lifecycle::Standing,
            bound_as: bound.bound_as(),
            copied: bound.copied(),
            found: &reading.found,
            changes,
            spec_id: self.management.external_id.as_deref(),
            requested,
            again,
            spec: &self.subject.object.data["spec"],
            immutable: traits.immutable,
            references: traits.references,
            left_behind: reading.seen().map(|seen| self.left_behind(want, seen)).transpose()?.flatten(),
            secret: self.issued_secret(reading)?,
            operation: self.running(operation),
            resend: operation.is_some_and(|open| requested || self.may_send_again(open, changes)),
        })
    }

    /// How messages name the object in the account: the kind, with the natural name, else with the id.
    fn called(&self, want: Option<&Value>) -> Result<String> {
        let status = self.subject.status()?;
        let (kind, bound) = (&self.subject.who.kind, status.external.as_ref());
        let id = bound.map(|e| &e.id).or(self.management.external_id.as_ref());
        let by_spec = self.bound().bound_as() == BoundAs::NamedBySpec;
        let Some(want) = want.filter(|_| !by_spec) else {
            return Ok(id.map_or_else(|| kind.clone(), |id| format!("{kind} with the id {id}")));
        };
        let key = self.driver.key(want)?;
        let name = bound.and_then(|e| e.name.clone()).unwrap_or(key.name);
        let mut called = format!("{kind} {}", format!("{}/{name}", key.within).trim_matches('/'));
        // If the natural name is an id, so that the name in the spec shows too.
        for need in self.driver.needs(&self.subject.spec())? {
            if let (Wanted::Principal(name), false) = (need.what, need.soft) {
                called += &format!(" ({name})");
            }
        }
        Ok(called)
    }

    /// The word for what was read, if it is what a deletion leaves behind.
    fn left_behind(&self, want: Option<&Value>, seen: &Seen) -> Result<Option<String>> {
        let word = self.driver.left_behind(want, seen)?.map(str::to_owned);
        let differs = self.state_before().map(|before| self.driver.changes(&before, seen)).transpose()?;
        let restored = differs.is_some_and(|changes| fields_now(&changes).is_empty());
        let shown = || seen.about.state.clone().unwrap_or_else(|| "its default".into());
        Ok(word.or_else(|| (restored || seen.about.phase == Phase::Vacant).then(shown)))
    }
}
