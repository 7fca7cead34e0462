//! What is believed of the account, and how fresh that has to be.
//!
//! A row of the shared LIST serves for comparing. Before something is written it is read again by its id, unless the
//! write is an upsert under our own key, for which a recent LIST will do. An object is gone only if a complete LIST and a
//! proven 404 say so, and still say so a while later; any other failure to read is a failure. Nor is one gone that was created
//! so short a time ago that reads may not show it yet, see [`super::lag`].

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::decide::Record;
use super::look::{Freshness, Look, What};
use super::work::{Known, Work};
use crate::engine::account::Rows;
use crate::engine::crd::{
    AdoptionPolicy, EXTERNAL_ID, EventReason, External, Intent, ManagementPolicy, Reason, Who, age,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Key, Lifecycle, Ownership, Phase, Seen};
use crate::engine::memory::{Claim, ObjectMemory, Rank};
use crate::engine::meter::Write;

/// How old the LIST may be by which an upsert that is recorded is written again.
const UPSERT_FRESH: Duration = Duration::from_secs(60);

/// How old the LIST may be in which a create looks for what is there already.
const CREATE_FRESH: Duration = Duration::from_secs(5);

/// How far the clocks of the account and of this machine may be apart.
const SKEW_SECONDS: i64 = 300;

impl Work<'_> {
    /// Hop 7.
    pub async fn observe(&mut self, known: &Known, freshness: Freshness) -> Result<Look> {
        if let Some(intent) = self.subject.status_mut()?.intent.clone()
            && (self.driver.traits().lifecycle == Lifecycle::Object || !self.still_meant(known, &intent)?)
        {
            self.resolve_intent(known, &intent).await?;
        }
        let status = self.subject.status_mut()?;
        let recorded = status.external.as_ref().map(|e| e.id.clone());
        let annotated = self.subject.object.annotations().get(EXTERNAL_ID).cloned();
        match recorded.or(annotated).or_else(|| self.management.external_id.clone()) {
            Some(id) => self.observe_id(known, &id, freshness).await,
            // An interrupted create that made nothing.
            None if self.subject.deleting() => Ok(Look::from(What::Nothing { settled: true })),
            None => self.observe_key(known, freshness).await,
        }
    }

    /// Whether an upsert that was announced is still what is wanted: then writing it again is all that is needed. Else what it
    /// may have written has to be found first, or nobody would ever take it away.
    fn still_meant(&self, known: &Known, intent: &Intent) -> Result<bool> {
        let Some(want) = known.want.as_ref().filter(|_| !self.subject.deleting()) else { return Ok(false) };
        let key = self.driver.key(want)?;
        Ok(key.within == intent.within && key.name == intent.name)
    }

    /// A create whose result is not known: wait until the account surely shows what it made, then look for what was not
    /// there before. The key is the intent's, for the spec may have been changed since. What was made at another time may
    /// be somebody else's, or ours by a clock that is wrong: that is for a person to decide.
    async fn resolve_intent(&mut self, known: &Known, intent: &Intent) -> Result<()> {
        let age = age(intent.time.0, Timestamp::now());
        let quarantine = self.engine.settings.quarantine;
        let wait = quarantine.max(self.read_lag());
        if age < wait {
            return Err(Error::Transient {
                reason: Reason::Retrying,
                message: "a create was interrupted; waiting until the account surely shows what it made"
                    .into(),
                after: Some(wait - age),
            });
        }
        let key = Key { within: intent.within.clone(), name: intent.name.clone() };
        let (mut hits, mut in_time) = (vec![], true);
        let slack = i64::try_from(quarantine.as_secs()).unwrap_or(i64::MAX).saturating_add(SKEW_SECONDS);
        for seen in self.driver.list(&known.reader, &key.within).await? {
            // Our own create always puts the mark on.
            let marked = match self.driver.traits().ownership {
                Ownership::Marker => seen.about.owner.as_ref() == Some(&self.marker()),
                Ownership::RecordedId => true,
            };
            let fits = self.driver.matches(&key, &seen)? && marked && !intent.before.contains(&seen.id);
            if fits && self.holder(known, &seen.id).is_none() {
                let off = |at: i64| at.saturating_sub(intent.time.0.as_second());
                in_time &= seen.about.created.is_none_or(|at| (-SKEW_SECONDS..=slack).contains(&off(at)));
                hits.push(seen.id);
            }
        }
        hits.sort();
        let account_id = intent.account_id.clone();
        let engine = self.engine;
        match hits.as_slice() {
            [] => self.subject.status_mut()?.intent = None,
            [id] if in_time => {
                let status = self.subject.status_mut()?;
                let name = Some(intent.name.clone());
                let created_at = Some(intent.time.clone());
                status.external = Some(External {
                    account_id,
                    id: id.clone(),
                    name,
                    adopted: false,
                    observed: false,
                    created_at,
                });
                status.external_id = Some(id.clone());
                status.intent = None;
                self.counts().wrote(Write::Create);
                self.subject.note(
                    false,
                    EventReason::Created,
                    format!("found the object {id} that an interrupted create made"),
                );
            }
            several => {
                return Err(Error::terminal(
                    Reason::CreateResultUnknown,
                    format!(
                        "a create was interrupted at {}, and what is in the account now may or may not be its result ({}): \
                         delete what is not meant in the account, or delete this object with deletionPolicy Retain and \
                         name the right one with spec.externalId on a new object",
                        intent.time.0,
                        several.join(", ")
                    ),
                ));
            }
        }
        self.subject.write_status(engine).await
    }

    /// The object that a record points to.
    async fn observe_id(&mut self, known: &Known, id: &str, freshness: Freshness) -> Result<Look> {
        if let Some(holder) = self.holder(known, id) {
            return Ok(Look::from(What::Held(self.named(&holder))));
        }
        let traits = self.driver.traits();
        let upsert = traits.lifecycle == Lifecycle::Upsert;
        let key = known.want.as_ref().map(|w| self.driver.key(w)).transpose()?;
        // An upsert that has come to mean another object is looked for where it was made, not where it would be made now.
        let moved = |key: &Key| upsert && format!("{}/{}", key.within, key.name) != id;
        let within = key.filter(|key| !moved(key)).map(|key| key.within);
        let row = match (&within, freshness) {
            (Some(within), Freshness::Routine) => {
                let not_before = self.reading(known, upsert)?;
                self.row(known, within, id, not_before).await?
            }
            (Some(within), Freshness::BeforeWrite) if upsert => {
                let not_before = self.reading(known, upsert)?.max(recent(UPSERT_FRESH));
                self.row(known, within, id, not_before).await?
            }
            _ => None,
        };
        // What is on its way to somewhere is asked for by itself.
        let settled = |seen: &Seen| seen.about.phase == Phase::Ready;
        let open = self.subject.status_mut()?.operation.is_some();
        let (seen, may_be_stale) = match row {
            Some(seen) if upsert || (settled(&seen) && !open) => {
                (Some(seen), freshness == Freshness::Routine)
            }
            None if upsert && within.is_some() => (None, freshness == Freshness::Routine),
            _ => {
                let seen = self.driver.get(&known.reader, id).await?;
                if let Some(other) = seen.as_ref().filter(|seen| seen.id != id) {
                    return Err(Error::retry(format!(
                        "asked for {id}, Databricks answered with {}",
                        other.id
                    )));
                }
                if let (Some(within), Some(seen)) = (&within, &seen) {
                    known.admission.session.snapshots.amend(self.driver, within, id, Some(seen)).await;
                }
                (seen, false)
            }
        };
        let Some(seen) = seen else { return self.absent(known, within.as_deref(), id, may_be_stale).await };
        self.remember(|m| m.absent_since = None);
        let observing = self.management.policy() == ManagementPolicy::Observe;
        let ours = match self.record() {
            Record::Asked => false,
            // The id is all that an observer needs, as nothing is written.
            _ if observing => true,
            // What was only observed is nobody's yet, unless it carries our mark.
            Record::Observed => seen.about.owner.as_ref() == Some(&self.marker()),
            Record::Bound | Record::None => self.recognised(known, &seen)?,
        };
        let what = if ours { self.claimed(known, seen) } else { What::Stranger(seen) };
        Ok(Look { what, may_be_stale, before: vec![] })
    }

    /// What only an annotation points to is claimed as soon as it is known to be ours: an older object that would take it over
    /// may look at it before our record of it is written.
    fn claimed(&self, known: &Known, seen: Seen) -> What {
        let managed = self.management.policy() != ManagementPolicy::Observe;
        let record = || {
            self.engine.memory.claims.record(&self.claim(known, &seen.id), &self.rank(), &self.subject.who)
        };
        self.unless_held(managed.then(record).flatten(), What::Ours(seen))
    }

    /// Whether what a record points to is what we manage. A record is input that users can edit, so it is no proof by itself:
    /// the mark has to be ours, or the natural name has to be the one that is wanted, or the one we last saw it under. The
    /// mark of somebody else excludes it, unless it was taken over by a user's word and ours is still to be put on.
    pub fn recognised(&self, known: &Known, seen: &Seen) -> Result<bool> {
        let traits = self.driver.traits();
        if traits.ownership == Ownership::Marker
            && let Some(owner) = &seen.about.owner
            && *owner == self.marker()
        {
            return Ok(true);
        }
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        // A record that was copied with its annotations is taken over by a user's word as well.
        let word = matches!(self.management.adoption(), AdoptionPolicy::IfExists | AdoptionPolicy::Required);
        let adopted = status.external.as_ref().map_or(word, |e| e.adopted);
        if traits.ownership == Ownership::Marker && seen.about.owner.is_some() && !adopted {
            return Ok(false);
        }
        let Some(external) = &status.external else {
            let want = known.want.as_ref();
            // Only the annotation says so: it has to be just what is wanted.
            return want.map_or(Ok(false), |want| self.driver.matches(&self.driver.key(want)?, seen));
        };
        let remembered = external.name.as_ref() == Some(&self.driver.key(&seen.state)?.name);
        match &known.want {
            Some(want) => Ok(remembered || self.driver.recognises(want, seen)?),
            None => Ok(remembered || external.name.is_none()),
        }
    }

    /// How old the LIST may be that an object is compared with. An upsert that is on its way out needs one that is newer
    /// than its delete, or at least a recent one.
    fn reading(&self, known: &Known, upsert: bool) -> Result<Instant> {
        let not_before = known.not_before;
        let open = self.subject.status.as_ref().map_err(Clone::clone)?.operation.is_some();
        let (accepted, absent) = self.remember(|m| (m.delete_accepted, m.absent_since));
        Ok(match (upsert, accepted) {
            (true, Some(accepted)) => not_before.max(accepted),
            (true, None) if self.subject.deleting() => {
                let recent = not_before.max(recent(UPSERT_FRESH));
                // That it was absent from one LIST is confirmed by another, not by the same.
                let again = absent.map(|since| since + self.engine.settings.absence);
                again.filter(|at| *at <= Instant::now()).map_or(recent, |again| again.max(recent))
            }
            (true, None) if open => not_before.max(recent(self.engine.settings.pace.poll_min)),
            _ => not_before,
        })
    }

    /// Not there: believed only if a LIST agrees, and after a while again. Not at all while reads may lag behind the creation.
    async fn absent(&mut self, known: &Known, within: Option<&str>, id: &str, stale: bool) -> Result<Look> {
        let traits = self.driver.traits();
        let now = Instant::now();
        let (since, accepted) =
            self.remember(|m| (*m.absent_since.get_or_insert(now), m.delete_accepted.is_some()));
        // An upsert repeats nothing but itself, so it need not wait to be sure before it is written again.
        let again = traits.lifecycle == Lifecycle::Upsert && !self.subject.deleting();
        if let Some(wait) = self.may_be_unseen(id, since.elapsed()).filter(|_| !accepted && !again) {
            return Err(wait);
        }
        let mut before = vec![];
        if traits.lifecycle == Lifecycle::Object {
            let key = known.want.as_ref().map(|w| self.driver.key(w)).transpose()?;
            let snapshots = &known.admission.session.snapshots;
            let all = |rows: &Rows<'_>| rows.all().cloned().collect::<Vec<Seen>>();
            let accepted = self.remember(|m| m.delete_accepted);
            let recent = recent(CREATE_FRESH);
            let fresh = accepted.map_or(recent, |accepted| accepted.max(recent));
            for seen in
                snapshots.look(self.driver, &known.reader, within.unwrap_or_default(), fresh, all).await?
            {
                if seen.id == id && !matches!(seen.about.phase, Phase::Leaving(_)) {
                    return Err(Error::retry(
                        "Databricks says of one object both that it exists and that it does not",
                    ));
                }
                if let Some(key) = &key
                    && self.driver.matches(key, &seen)?
                {
                    before.push(seen.id);
                }
            }
        }
        let settled = accepted || since.elapsed() >= self.engine.settings.absence;
        let settled = settled || again;
        if settled && !before.is_empty() && !self.subject.deleting() {
            return Ok(Look::from(What::Replaced(before)));
        }
        Ok(Look { what: What::Nothing { settled }, may_be_stale: stale, before })
    }

    /// No record: is there something that the spec means?
    async fn observe_key(&mut self, known: &Known, freshness: Freshness) -> Result<Look> {
        let want = known.want.as_ref().ok_or_else(|| {
            Error::terminal(Reason::InternalError, "an object without a record cannot be looked for")
        })?;
        let key = self.driver.key(want)?;
        let traits = self.driver.traits();
        let upsert = traits.lifecycle == Lifecycle::Upsert;
        let driver = self.driver;
        let snapshots = &known.admission.session.snapshots;
        let observing = self.management.policy() == ManagementPolicy::Observe;
        let fresh = match freshness {
            _ if upsert => snapshots.burst(driver, &key.within).await,
            _ if observing => known.not_before,
            Freshness::Routine | Freshness::BeforeWrite => recent(CREATE_FRESH),
        };
        let matching = |rows: &Rows<'_>| -> Result<Vec<Seen>> {
            let mut all = vec![];
            for seen in rows.all() {
                if driver.matches(&key, seen)? {
                    all.push(seen.clone());
                }
            }
            all.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(all)
        };
        let mut hits = snapshots.look(driver, &known.reader, &key.within, fresh, matching).await??;
        let before: Vec<String> = hits.iter().map(|s| s.id.clone()).collect();
        // What is on its way out is not taken over, and keeps nobody from making another.
        hits.retain(|seen| !matches!(seen.about.phase, Phase::Leaving(_)));
        let marker = self.marker();
        if let Some(marked) = hits.iter().position(|s| s.about.owner.as_ref() == Some(&marker)) {
            let seen = self.confirmed(known, hits.swap_remove(marked), freshness).await?;
            let what = self.unless_held(self.holder(known, &seen.id), What::Ours(seen));
            return Ok(Look { what, may_be_stale: freshness == Freshness::Routine, before: vec![] });
        }
        let what = match hits.len() {
            0 => What::Nothing { settled: true },
            1 => {
                let seen = self.confirmed(known, hits.remove(0), freshness).await?;
                // After a crash between our record and its confirmation an upsert finds its own row.
                let ours = upsert && self.subject.status_mut()?.intent.is_some();
                let holder = self.holder(known, &seen.id);
                self.unless_held(holder, if ours { What::Ours(seen) } else { What::Stranger(seen) })
            }
            _ => What::Several(hits.into_iter().map(|seen| seen.id).collect()),
        };
        let may_be_stale = !upsert && !before.is_empty() && freshness == Freshness::Routine;
        Ok(Look { what, may_be_stale, before })
    }

    /// What a listing shows, as it is now: before it is taken over, it is read by its id.
    async fn confirmed(&self, known: &Known, seen: Seen, freshness: Freshness) -> Result<Seen> {
        if self.driver.traits().lifecycle == Lifecycle::Upsert || freshness == Freshness::Routine {
            return Ok(seen);
        }
        match self.driver.get(&known.reader, &seen.id).await? {
            Some(now) if now.id == seen.id && !matches!(now.about.phase, Phase::Leaving(_)) => Ok(now),
            _ => {
                let within = self.driver.key(&seen.state)?.within;
                known.admission.session.snapshots.forget(self.driver, &within).await;
                Err(Error::retry(format!("{} was there a moment ago and is going; looking again", seen.id)))
            }
        }
    }

    fn unless_held(&self, holder: Option<Who>, what: What) -> What {
        holder.map_or(what, |holder| What::Held(self.named(&holder)))
    }

    async fn row(
        &mut self,
        known: &Known,
        within: &str,
        id: &str,
        not_before: Instant,
    ) -> Result<Option<Seen>> {
        let snapshots = &known.admission.session.snapshots;
        let look = |rows: &Rows<'_>| (rows.row(id).cloned(), rows.read_at);
        let (row, read_at) = snapshots.look(self.driver, &known.reader, within, not_before, look).await?;
        // Objects come due a resync interval after the reading that served them.
        if let Some(resync) = self.subject.resync {
            self.subject.due = Some(resync.saturating_sub(read_at.elapsed()));
        }
        Ok(row)
    }

    /// Who else manages the object with this id. An object that is recorded as its manager claims it at every pass.
    /// One that only observes claims nothing, and takes nothing away from anybody.
    pub fn holder(&self, known: &Known, id: &str) -> Option<Who> {
        if self.management.policy() == ManagementPolicy::Observe {
            return None;
        }
        let claim = self.claim(known, id);
        let external = self.subject.status.as_ref().ok().and_then(|s| s.external.as_ref());
        if external.is_some_and(|e| e.id == id && !e.observed) {
            self.engine.memory.claims.record(&claim, &self.rank(), &self.subject.who)
        } else {
            self.engine.memory.claims.holder(&claim, &self.subject.who)
        }
    }

    /// The claim of the object with this id.
    pub fn claim(&self, known: &Known, id: &str) -> Claim {
        Claim::id(known.admission.session.client.account_id(), &self.subject.who.kind, id)
    }

    /// Where this object stands among those that claim the same.
    pub fn rank(&self) -> Rank {
        let created = self.subject.object.metadata.creation_timestamp.as_ref();
        Rank { created: created.map_or(i64::MAX, |t| t.0.as_second()), uid: self.subject.uid() }
    }

    /// Another object's name, as far as this namespace may know it.
    pub fn named(&self, who: &Who) -> String {
        if who.namespace == self.subject.who.namespace {
            who.to_string()
        } else {
            "an object of another namespace".into()
        }
    }

    /// Reads or changes what is remembered of this object.
    pub fn remember<T>(&self, f: impl FnOnce(&mut ObjectMemory) -> T) -> T {
        self.engine.memory.objects.of(&self.subject.uid(), f)
    }
}

fn recent(age: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}
