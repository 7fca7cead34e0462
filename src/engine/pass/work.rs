//! The object under work together with its kind, as the hops see it: what binds it to an object in the account, and all that a
//! decision depends on. The hops before the act only read it, and return values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::bound::{Bound, Recognise, Record, marked_elsewhere};
use super::decide::{Running, Step, View, decide, fields_now};
use super::engine::Engine;
use super::lag::{Lag, unconfirmed};
use super::look::{Freshness, Look};
use super::observe::Observer;
use super::outcome::Outcome;
use super::subject::{Subject, Terms};
use super::unresolved::Unresolved;
use crate::clock;
use crate::databricks::Urgency;
use crate::engine::account::{Admission, check_power};
use crate::engine::crd::{
    CREATED_BY, DeletionPolicy, EXTERNAL_ID, Management, ManagementPolicy, ObjectName, Operation,
    RECONCILE_REQUESTED, Reason, age, camel,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Driver, Lifecycle, Phase, Reader, Seen, Wanted, When, Writer};
use crate::engine::memory::{Claim, Claimant, ObjectMemory, Recall};

/// One object of a managed kind under work.
pub struct Work<'e> {
    /// The engine.
    pub engine: &'e Arc<Engine>,
    /// The kind.
    pub driver: &'static dyn Driver,
    /// The object.
    pub subject: Subject,
    /// The spec fields that all kinds share.
    pub management: Management,
    /// The DatabricksAuth that admitted the object: faults of the account after that concern it too.
    pub admitted: Option<ObjectName>,
}

/// Where an object may act, and how.
pub struct Place {
    /// The DatabricksAuth: faults of the account from now on concern it too.
    pub auth: ObjectName,
    /// The policies in force.
    pub terms: Terms,
    /// The session, and what its grants allow.
    pub admission: Admission,
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// How urgent the calls are.
    pub urgency: Urgency,
}

/// What a reconcile knows once references are resolved.
pub struct Target {
    /// Where the object may act, and how.
    pub place: Place,
    /// The desired state; while deleting it may be unreadable.
    pub want: Option<Value>,
    /// The ids that it was computed with.
    pub refs: Option<BTreeMap<String, String>>,
    /// What the object claims.
    pub claims: Vec<Claim>,
    /// What its spec names, is not known, and is left out.
    pub unresolved: Unresolved,
}

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
    /// What binds this object to one in the account.
    pub fn bound(&self) -> Bound {
        let status = self.subject.status.as_ref().ok();
        let annotations = self.subject.object.annotations();
        let created_here = annotations.get(CREATED_BY) == Some(&self.marker());
        // What is always there has the same id in every account, so an annotation that came with a copy says nothing.
        let standing = self.driver.traits().lifecycle == Lifecycle::Standing;
        let annotated = annotations.get(EXTERNAL_ID).filter(|_| created_here || !standing);
        Bound {
            external: status.and_then(|status| status.external.clone()),
            intent: status.and_then(|status| status.intent.clone()),
            annotated: annotated.cloned(),
            created_here,
            asked: self.management.external_id.clone(),
            born: self.subject.object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// How to recognise what is ours in the account.
    pub fn recognise<'a>(&self, bound: &'a Bound, marker: &'a str) -> Recognise<'a> {
        Recognise { driver: self.driver, bound, marker, adoption: self.management.adoption() }
    }

    /// Whether we manage what was read.
    pub fn recognised(&self, target: &Target, seen: &Seen) -> Result<bool> {
        self.recognise(&self.bound(), &self.marker()).is_ours(target.want.as_ref(), seen)
    }

    /// Whether nothing is written to the account.
    pub fn observing(&self) -> bool {
        self.management.policy() == ManagementPolicy::Observe
    }

    /// This object as one that claims objects of the account.
    pub fn claimant<'a>(&'a self, target: &'a Target) -> Claimant<'a> {
        Claimant {
            claims: &self.engine.memory.claims,
            account_id: target.place.admission.session.client.account_id(),
            who: &self.subject.who,
            rank: &self.subject.rank,
            observing: self.observing(),
        }
    }

    /// How long reads may lag behind writes.
    pub fn lag(&self) -> Lag {
        Lag::new(self.driver.traits().read_lag, &self.engine.settings)
    }

    /// The mark on objects of ours.
    pub fn marker(&self) -> String {
        self.engine.mark(&self.subject.who)
    }

    /// The request for a reconcile that was not handled yet.
    pub fn requested(&self) -> Option<&String> {
        let status = self.subject.status.as_ref().ok();
        let handled = status.and_then(|status| status.last_handled_reconcile_at.as_ref());
        self.subject.object.annotations().get(RECONCILE_REQUESTED).filter(|token| Some(*token) != handled)
    }

    /// Hop 7.
    pub async fn observe(&self, target: &Target, freshness: Freshness) -> Result<Look> {
        let (bound, marker, uid) = (self.bound(), self.marker(), self.subject.uid());
        let operation = self.subject.status.as_ref().is_ok_and(|status| status.operation.is_some());
        let settings = &self.engine.settings;
        let observer = Observer {
            driver: self.driver,
            reader: &target.place.reader,
            snapshots: &target.place.admission.session.snapshots,
            want: target.want.as_ref(),
            bound: &bound,
            recognise: self.recognise(&bound, &marker),
            claimant: self.claimant(target),
            remembered: Recall { all: &self.engine.memory.objects, uid: &uid },
            deleting: self.subject.deleting(),
            operation,
            not_before: self.not_before(),
            lag: self.lag(),
            quarantine: settings.quarantine,
            absence: settings.absence,
            now: clock::now(),
        };
        let look = observer.observe(freshness).await?;
        Ok(Look { held: self.read_held().await?, ..look })
    }

    /// A reading must be no older than a resync interval; a request for a reconcile asks for a new one.
    fn not_before(&self) -> Instant {
        let now = Instant::now();
        if let Some(token) = self.requested().cloned() {
            // Many requests at once share one reading: it need only be newer than the first sight of the request.
            return self.remember(|m| match &m.requested {
                Some((seen, at)) if *seen == token => *at,
                _ => m.requested.insert((token, now)).1,
            });
        }
        // Without an interval any reading is recent enough; a year is longer than the life of every process.
        let interval = self.subject.resync.unwrap_or(Duration::from_secs(31_536_000));
        now.checked_sub(interval).unwrap_or_else(|| now - now.elapsed())
    }

    /// Reads or changes what is remembered of this object.
    pub fn remember<T>(&self, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        self.engine.memory.objects.of(&self.subject.uid(), f)
    }

    /// How messages name the object in the account: the kind, with the natural name, else with the id.
    fn called(&self, want: Option<&Value>) -> Result<String> {
        let status = self.subject.status()?;
        let (kind, bound) = (&self.subject.who.kind, status.external.as_ref());
        let id = bound.map(|e| &e.id).or(self.management.external_id.as_ref());
        let asked = self.bound().record() == Record::Asked;
        let Some(want) = want.filter(|_| !asked) else {
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

    /// All that a decision depends on.
    fn view<'a>(
        &'a self,
        target: &Target,
        look: &'a Look,
        changes: &'a [Change],
        operation: Option<&Operation>,
    ) -> Result<View<'a>> {
        let again = match (&target.want, look.seen()) {
            (Some(want), Some(seen)) if matches!(seen.about.phase, Phase::Failed(_)) => {
                self.driver.again(want, seen)?.into_iter().map(str::to_owned).collect()
            }
            _ => vec![],
        };
        Ok(View { again, ..self.view_of(look, changes, target.want.as_ref(), operation)? })
    }

    /// The same before anything is known of the account.
    pub fn view_of<'a>(
        &'a self,
        look: &'a Look,
        changes: &'a [Change],
        want: Option<&Value>,
        operation: Option<&Operation>,
    ) -> Result<View<'a>> {
        let traits = self.driver.traits();
        let (bound, observe) = (self.bound(), self.observing());
        let adopted = bound.adopted(observe);
        let delete = self.deletion(adopted) == DeletionPolicy::Delete;
        Ok(View {
            called: self.called(want)?,
            deleting: self.subject.deleting(),
            observe,
            adoption: self.management.adoption(),
            delete_outside: delete && !observe && !self.management.suspended(),
            protected: self.management.deletion_protection == Some(true),
            data_bearing: traits.data_bearing,
            standing: traits.lifecycle == Lifecycle::Standing,
            record: bound.record(),
            copied: bound.copied(),
            found: &look.found,
            changes,
            asked: self.management.external_id.as_deref(),
            requested: self.requested().is_some(),
            again: vec![],
            spec: &self.subject.object.data["spec"],
            immutable: traits.immutable,
            references: traits.references,
            left_behind: look.seen().map(|seen| self.left_behind(want, seen)).transpose()?.flatten(),
            issue: self.issue(look)?,
            operation: self.running(operation),
            resend: operation.is_some_and(|sent| self.resend(sent, changes)),
        })
    }

    /// The word for what was read, if it is what a deletion leaves behind.
    fn left_behind(&self, want: Option<&Value>, seen: &Seen) -> Result<Option<String>> {
        let word = self.driver.left_behind(want, seen)?.map(str::to_owned);
        let vacant = || seen.about.state.clone().unwrap_or_else(|| "its default".into());
        Ok(word.or_else(|| (seen.about.phase == Phase::Vacant).then(vacant)))
    }

    /// What happens to the object in the account on deletion.
    pub fn deletion(&self, adopted: bool) -> DeletionPolicy {
        if !self.driver.traits().removable {
            return DeletionPolicy::Retain;
        }
        self.management.deletion(self.driver.traits().data_bearing, adopted)
    }

    fn running(&self, operation: Option<&Operation>) -> Running {
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

    /// Whether what was accepted and does not show may be sent again: Databricks gets a moment to show it, or as long as
    /// its reads may lag behind. A stalled object is reconciled rarely, unless something triggers it.
    fn resend(&self, sent: &Operation, changes: &[Change]) -> bool {
        let more = |c: &Change| c.when == When::Now && !sent.paths.contains(&camel(c.field()));
        // A restart of the operator forgets when it was sent last.
        let last =
            self.remember(|m| m.sent).map_or_else(|| age(sent.since.0, clock::now()), |last| last.elapsed());
        self.requested().is_some()
            || changes.iter().any(more)
            || last >= self.engine.settings.pace.poll_max.max(self.lag().read)
    }

    /// Whether a read shows an object that stepped aside, and nothing was sent to it since: then no read is late, and the rest
    /// of what is wanted is still to be sent. A start of the operator forgets what was sent last, so the rest is sent then.
    fn stepped_aside(&self, target: &Target, look: &Look) -> Result<bool> {
        let (Some(want), Some(seen)) = (&target.want, look.seen()) else { return Ok(false) };
        if self.remember(|m| m.sent_all) {
            return Ok(false);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Ok(false) };
        Ok(fields_now(&self.driver.changes(&aside, seen)?).is_empty())
    }

    /// Hop 8: what to do.
    pub fn decide(&self, target: &Target, look: &Look) -> Result<Decision> {
        let operation = self.subject.status()?.operation.as_ref();
        let aside = operation.is_some() && self.stepped_aside(target, look)?;
        let operation = operation.filter(|_| !aside);
        let changes = self.changes(target, look, operation)?;
        let mut step = decide(&self.view(target, look, &changes, operation)?);
        if let Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, message } = &mut step
            && let Some(advice) = look.seen().and_then(|seen| {
                marked_elsewhere(&self.engine.settings.installation, &self.subject.who, seen)
            })
        {
            *message = format!("{message}; {advice}");
        }
        Ok(Decision { step, changes, aside })
    }

    /// Hop 8 for the response to our own change, which is one more reading. It was sent a moment ago, so it is not sent again.
    pub fn decide_on_response(&self, target: &Target, look: &Look) -> Result<Decision> {
        let operation = self.subject.status()?.operation.as_ref();
        let changes = self.changes(target, look, operation)?;
        let view = self.view(target, look, &changes, operation)?;
        let step = decide(&View { resend: false, requested: false, ..view });
        Ok(Decision { step, changes, aside: false })
    }

    /// What differs between the desired and the observed state.
    fn changes(&self, target: &Target, look: &Look, operation: Option<&Operation>) -> Result<Vec<Change>> {
        let (Some(want), Some(seen)) = (&target.want, look.seen()) else { return Ok(vec![]) };
        let mut changes = self.driver.changes(want, seen)?;
        if let Some(sent) = operation.filter(|_| !self.observing()) {
            let generation = self.subject.object.metadata.generation.unwrap_or_default();
            let now = clock::now();
            changes.extend(unconfirmed(want, &changes, sent, generation, self.lag().read, now));
        }
        Ok(changes)
    }

    /// Fails unless a grant allows the object to give what the object in the account already gives: otherwise it could reveal or
    /// remove a permission that it may not give.
    pub fn may_touch(&self, target: &Target, seen: &Seen) -> Result<()> {
        let power = self.driver.power(&seen.state)?;
        check_power(&target.place.admission, &power, &self.subject.who.namespace)
    }
}

/// Creates and adoptions wait at the startup barrier, see [`crate::engine::memory::StartupBarrier`].
pub fn others_first() -> Outcome {
    let message = "waiting until all objects were reconciled once".into();
    Outcome::Progress { reason: Reason::Progressing, message, sent: false }
}

/// A decided step needs an observation that is missing: a bug of ours.
pub fn missing_observation() -> Error {
    Error::terminal(Reason::InternalError, "there is nothing to act on")
}
