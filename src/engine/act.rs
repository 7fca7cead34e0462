//! What is sent to the account, and what is written down before it is sent.
//!
//! A create is announced in the status first, by a write that fails if our view is stale; without that, a crash between
//! the call and its record would lead to a second object. An upsert is announced too: not because it could be doubled,
//! but because a row that was there before us must not be taken for ours after a crash. A delete looks at the Kubernetes
//! object once more. Nothing here retries.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::access::AuthFacts;
use super::auth;
use super::claims::Claim;
use super::cluster::{CREATED_BY, EXTERNAL_ID};
use super::conclude::Outcome;
use super::decide::{Record, Step, View, camel, decide, fields_now, managed_by, words};
use super::driver::Seen;
use super::error::{Error, Result};
use super::meter::{OfKind, Write};
use super::needs::Wanted;
use super::observe::Look;
use super::pass::Memory;
use super::reason::EventReason;
use super::reconcile::{Known, Work};
use super::refusals::NEW_REFERENCE;
use super::resource::{Change, Phase, When};
use super::spec::ManagementPolicy;
use super::status::{ConditionType, External, Intent, Operation, Reason, seconds};
use crate::databricks::Urgency;

impl Work<'_> {
    /// Hop 9: at most one change in the account.
    pub async fn act(&mut self, known: &Known, look: Look, step: Step) -> Result<Outcome> {
        match step {
            Step::Release(how) => self.release(how).await,
            Step::Create => self.create(known, look).await,
            Step::Adopt => self.adopt(known, look).await,
            Step::Update(fields) => self.update(known, look, &fields).await,
            Step::Delete => self.delete(known, look).await,
            Step::Rest | Step::Wait { .. } | Step::Refuse { .. } | Step::Plan { .. } => {
                self.tell(known, &look, step)
            }
        }
    }

    /// Shows what is seen, without sending anything.
    fn tell(&mut self, known: &Known, look: &Look, step: Step) -> Result<Outcome> {
        let bound = self.record() == Record::Bound;
        if let Some(seen) = look.seen() {
            self.may_touch(known, seen)?;
            let changes = self.changes(known, look)?;
            self.keep_time(seen, &changes)?;
            // What is only observed is looked at whatever it looks like. That alone does not make it ours.
            let observing = self.management.policy() == ManagementPolicy::Observe;
            let ours = if observing {
                self.recognised(known, seen)?
            } else {
                !matches!(step, Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, .. })
            };
            let unbound = self.subject.status_mut()?.external.is_none();
            let bind =
                (bound && (ours || observing) && unbound).then(|| self.restored(known, seen)).transpose()?;
            let corrected = matches!(step, Step::Update(_));
            self.show(known, seen, if corrected { &[] } else { &changes }, bind, ours)?;
        }
        match step {
            Step::Plan { reason, .. } => self.show_plan(known, reason == Reason::WouldBeCreated)?,
            _ if look.seen().is_none() => self.subject.status_mut()?.drift.clear(),
            _ => {}
        }
        Ok(match step {
            Step::Wait { reason, message } => {
                let generation = self.subject.object.metadata.generation;
                let operation = self.subject.status_mut()?.operation.as_ref();
                let sent = operation.is_some_and(|o| Some(o.generation) == generation);
                Outcome::Progress { reason, message, sent }
            }
            Step::Refuse { reason, message } if self.subject.deleting() => {
                Outcome::Blocked { reason, message }
            }
            Step::Refuse { reason, message } => Outcome::Refused { reason, message },
            Step::Plan { reason, message } => Outcome::Planned { reason, message },
            Step::Rest => {
                self.remember(|m| (m.drifted, m.not_found) = (false, false));
                self.subject.status_mut()?.intent = None;
                self.close_operation()?;
                Outcome::Rest
            }
            _ => Outcome::Again,
        })
    }

    /// What an answer to our own write amounts to.
    fn told(&mut self, known: &Known, seen: Seen) -> Result<Outcome> {
        let look = Look::told(seen);
        self.note_usable(&look)?;
        let changes = self.changes(known, &look)?;
        // It was sent a moment ago.
        let step = decide(&View { resend: false, requested: false, ..self.view(known, &look, &changes)? });
        self.tell(known, &look, step)
    }

    /// Something that takes time is timed from when it was first seen.
    fn keep_time(&mut self, seen: &Seen, changes: &[Change]) -> Result<()> {
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        let pending = matches!(seen.about.phase, Phase::Pending(_));
        let status = self.subject.status_mut()?;
        if pending && status.operation.is_none() {
            status.operation =
                Some(Operation { paths: vec![], generation, since: seconds(Timestamp::now()) });
        }
        let open = |o: &Operation| pending || changes.iter().any(|c| o.paths.contains(&camel(c.field())));
        if !status.operation.as_ref().is_some_and(open) {
            self.close_operation()?;
        }
        Ok(())
    }

    /// A grant that does not let us give what an object has does not let us take it away either, nor show it.
    fn may_touch(&self, known: &Known, seen: &Seen) -> Result<()> {
        let power = self.driver.power(&seen.state)?;
        auth::check_power(&known.admission, &power, &self.subject.who.namespace)
    }

    /// The record of an object that was restored without its status. Whether it created what is there, its mark tells, in the
    /// account or in an annotation beside the id, or its intent; anything else is adopted, and that is reported.
    fn restored(&mut self, known: &Known, seen: &Seen) -> Result<External> {
        let marked = seen.about.owner.as_ref() == Some(&self.marker()) || self.created_here();
        let created_at = self.subject.status_mut()?.intent.as_ref().map(|intent| intent.time.clone());
        let adopted = created_at.is_none() && !marked;
        if self.management.policy() == ManagementPolicy::Observe {
            // Who only observes takes nothing over, and a record proves nothing by itself.
            let observed = adopted || !self.recognised(known, seen)?;
            return Ok(External { created_at, observed, ..self.external(known, seen, adopted) });
        }
        if adopted {
            self.counts().wrote(Write::Adopt);
            let text = format!(
                "took over the object {}, which the annotation {EXTERNAL_ID} names: the annotation {CREATED_BY} does not say \
                 that it was created as {}, so it stays in the account on deletion unless spec.deletionPolicy is Delete",
                seen.id,
                self.marker()
            );
            self.subject.note(false, EventReason::Adopted, text);
        }
        Ok(External { created_at, ..self.external(known, seen, adopted) })
    }

    fn external(&self, known: &Known, seen: &Seen, adopted: bool) -> External {
        let account_id = known.admission.session.client.account_id().to_owned();
        let name = self.driver.key(&seen.state).ok().map(|key| key.name);
        External { account_id, id: seen.id.clone(), name, adopted, observed: false, created_at: None }
    }

    async fn adopt(&mut self, known: &Known, look: Look) -> Result<Outcome> {
        let seen = look.seen().cloned().ok_or_else(nothing_to_act_on)?;
        self.may_touch(known, &seen)?;
        let managed = self.management.policy() == ManagementPolicy::Managed;
        if managed {
            let claim = self.claim(known, &seen.id);
            self.engine.claims.wish(&claim, &self.rank(), &self.subject.who);
            if self.engine.others_unseen(&self.subject.uid()) {
                return Ok(others_first());
            }
            if let Some(holder) = self.engine.claims.take(&claim, &self.rank(), &self.subject.who) {
                return Ok(self.conflict(&holder));
            }
        }
        // Who only observes takes nothing over.
        let bind = External { observed: !managed, ..self.external(known, &seen, true) };
        let changes = self.changes(known, &look)?;
        self.show(known, &seen, &changes, Some(bind), true)?;
        self.subject.must_record = true;
        if managed {
            self.counts().wrote(Write::Adopt);
            self.subject.note(
                false,
                EventReason::Adopted,
                format!("took over the object {} that was in the account", seen.id),
            );
        }
        Ok(Outcome::Again)
    }

    fn conflict(&self, holder: &super::wake::Who) -> Outcome {
        let message = managed_by(&self.named(holder));
        Outcome::Refused { reason: Reason::ManagementConflict, message }
    }

    async fn create(&mut self, known: &Known, look: Look) -> Result<Outcome> {
        let want = known.want.clone().ok_or_else(nothing_to_act_on)?;
        let key = self.driver.key(&want)?;
        let account_id = known.admission.session.client.account_id().to_owned();
        let claim = Claim::key(&account_id, &self.subject.who.kind, &key);
        let rank = self.rank();
        self.engine.claims.wish(&claim, &rank, &self.subject.who);
        if self.engine.others_unseen(&self.subject.uid()) {
            return Ok(others_first());
        }
        if let Some(holder) = self.engine.claims.take(&claim, &rank, &self.subject.who) {
            return Ok(self.conflict(&holder));
        }
        if let Some(exists) = self.remember(|m| m.exists.take()) {
            return Err(exists);
        }
        self.same_principals(known).await?;
        let _one_at_a_time = self.guard(known, Some(&want), None).await?;
        let engine = self.engine;
        let time = seconds(Timestamp::now());
        let intent = Intent {
            account_id,
            within: key.within.clone(),
            name: key.name.clone(),
            time,
            before: look.before,
        };
        self.subject.status_mut()?.intent = Some(intent);
        if let Err(error) = self.subject.write_status(engine).await {
            // Nothing was sent. If the write was made after all, the next one is stale and the next pass sees it.
            self.subject.status_mut()?.intent = None;
            return Err(error);
        }
        let seen = match self.driver.create(&known.writer, &want).await {
            Ok(seen) => seen,
            Err(error @ Error::Unknown { .. }) => return Err(error),
            Err(error) => {
                self.subject.status_mut()?.intent = None;
                if error.is_rejected(Reason::ReferenceNotFound) {
                    // A principal that was created again has another id.
                    known.admission.session.forget_principals();
                    return Err(self.about_references(&error));
                }
                if error.is_rejected(Reason::AlreadyExists) {
                    self.name_taken(known, None, &want)?;
                    // It may have come into being since the listing that this pass rested on, so a new one is read. If
                    // that does not show it either, this is the answer, without asking again.
                    known.admission.session.snapshots.forget(self.driver, &key.within).await;
                    let message = error.to_string();
                    self.remember(|m| m.exists = Some(error));
                    return Err(Error::Conflict(message));
                }
                return Err(error);
            }
        };
        self.counts().wrote(Write::Create);
        known.admission.session.snapshots.amend(self.driver, &key.within, &seen.id, Some(&seen)).await;
        let created_at = Some(seconds(Timestamp::now()));
        let external = External { created_at, ..self.external(known, &seen, false) };
        self.engine.claims.record(&self.claim(known, &seen.id), &self.rank(), &self.subject.who);
        self.remember(|m| *m = Memory { young: m.young, ..Memory::default() });
        let status = self.subject.status_mut()?;
        status.intent = None;
        status.operation = None;
        status.external = Some(external);
        self.subject.must_record = true;
        self.made = Some((known.writer.clone(), seen.id.clone()));
        self.subject.note(false, EventReason::Created, format!("made the object {} in the account", seen.id));
        self.told(known, seen)
    }

    /// What another object of ours stands for does exist: that the account does not know it everywhere yet is waited for. An id
    /// that a user wrote may be wrong, and a name may have come to mean another since it was looked up.
    fn about_references(&self, error: &Error) -> Error {
        let mut text = error.to_string();
        let needs = self.driver.needs(&self.subject.spec()).unwrap_or_default();
        let found = needs.iter().any(|need| {
            matches!(need.what, Wanted::Object { .. }) && text.contains(&format!("spec.{}", need.field))
        });
        if self.record() == Record::Bound {
            text += ", or delete this object if that was deleted in the account";
        }
        let error = Error::rejected(Reason::ReferenceNotFound, text);
        if found { error.patient(NEW_REFERENCE) } else { error }
    }

    /// Before something lost is written again under a name: the name must still mean the same principal. A group that was
    /// deleted and made again must not inherit what the old one had.
    async fn same_principals(&mut self, known: &Known) -> Result<()> {
        let status = self.subject.status_mut()?;
        if status.external.is_none() {
            return Ok(());
        }
        let pinned = status.resolved_refs.clone();
        for need in self.driver.needs(&self.subject.spec())? {
            let Wanted::Principal(name) = &need.what else { continue };
            let now = known.admission.session.principal(name, Urgency::Urgent, true).await?;
            let Some(now) = now else {
                return Err(Error::waiting(
                    Reason::ReferenceNotFound,
                    format!(
                        "the account no longer has {name}: create it there, or correct spec.{}",
                        need.field
                    ),
                ));
            };
            if pinned.get(need.field) != Some(&now) {
                let text = format!(
                    "{name} now means another principal ({now}) than the one this object was made for: delete this \
                     object and apply it again if that is meant"
                );
                return Err(Error::terminal(Reason::PrincipalChanged, text));
            }
        }
        Ok(())
    }

    async fn update(&mut self, known: &Known, look: Look, fields: &[String]) -> Result<Outcome> {
        let want = known.want.clone().ok_or_else(nothing_to_act_on)?;
        let seen = look.seen().cloned().ok_or_else(nothing_to_act_on)?;
        self.may_touch(known, &seen)?;
        let drifted = self.subject.status_mut()?.is_true(ConditionType::Ready)
            && Some(self.subject.status_mut()?.observed_generation)
                == self.subject.object.metadata.generation;
        if drifted && !self.remember(|m| std::mem::replace(&mut m.drifted, true)) {
            self.counts().drift_detected();
        }
        let _one_at_a_time = self.guard(known, Some(&want), Some(&seen)).await?;
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        let sent_before = self.remember(|m| m.sent.replace(tokio::time::Instant::now()));
        let differs = self.changes(known, &look)?.iter().any(|c| c.when == When::Now);
        let tried_again = matches!(seen.about.phase, Phase::Failed(_)) && !differs;
        let (told, sent) = match self.send_update(known, &seen, &want, &now).await {
            Err(error) if refuses(&error) => {
                self.remember(|m| m.sent = sent_before);
                return Err(self.not_found(known, &seen, fields, error).await?);
            }
            told => told?,
        };
        self.remember(|m| (m.not_found, m.sent_all) = (false, sent == want));
        self.counts().wrote(Write::Update);
        if drifted {
            self.counts().drift_corrected();
        }
        let key = self.driver.key(&want)?;
        known.admission.session.snapshots.amend(self.driver, &key.within, &told.id, Some(&told)).await;
        let paths: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let generation = self.subject.object.metadata.generation.unwrap_or_default();
        // What is sent again has been going on since it was sent first, and is no news.
        let again = |o: &Operation| o.generation == generation && o.paths.iter().any(|p| paths.contains(p));
        let before = self.subject.status_mut()?.operation.take().filter(again);
        let news = before.as_ref().is_none_or(|before| before.paths != paths);
        if news {
            // What was waited for before is no reason to look for this change late.
            self.remember(|m| m.attempts = 0);
            let reason = if drifted { EventReason::DriftCorrected } else { EventReason::Updated };
            let text = paths.join(", ");
            let text = if tried_again { format!("sent again, as asked: {text}") } else { text };
            self.subject.note(false, reason, text);
        }
        // It may have given up the name that they want.
        self.engine.claims.losers(&self.subject.who).iter().for_each(|who| self.engine.wake.wake(who));
        self.name_freed(known, &seen)?;
        // A read that shows what was sent is not late, even if more is to be sent.
        let open = self.driver.changes(&sent, &told)?.iter().any(|c| matches!(c.when, When::Now));
        let pending = matches!(told.about.phase, Phase::Pending(_));
        let unbound = self.subject.status_mut()?.external.is_none();
        // As it was before: our mark on it may be from this very update.
        let bind = unbound.then(|| self.restored(known, &seen)).transpose()?;
        self.subject.sent = true;
        let status = self.subject.status_mut()?;
        status.external = status.external.take().or(bind);
        let since = before.map_or_else(|| seconds(Timestamp::now()), |operation| operation.since);
        if open || pending {
            status.operation = Some(Operation { paths, generation, since });
        } else {
            self.close_operation()?;
        }
        self.told(known, told)
    }

    /// A change does not find what a read shows. It went away, or a replica lags: a new read will tell. If that shows it and a
    /// change still does not find it, this is a refusal like any other. It is no final one while reads may lag.
    /// Other errors stay what they are.
    async fn not_found(&self, known: &Known, seen: &Seen, fields: &[String], error: Error) -> Result<Error> {
        if !error.is_rejected(Reason::ExternalResourceMissing) {
            return Ok(error);
        }
        let within = self.driver.key(&seen.state)?.within;
        known.admission.session.snapshots.forget(self.driver, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but answers the change of {fields} as if there were none: {error}; the change is \
             tried again. If this lasts, look at the object in the account console: change it there, or undo the change in the spec, \
             and ask the support of Databricks",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.read_lag()))
    }

    /// The update itself. Where objects exchange their names, each refused because the other has it, one of them steps aside:
    /// it gets all that it wants but for its name, under which the next comparison finds it different. Returns what was sent, too.
    async fn send_update(
        &self,
        known: &Known,
        seen: &Seen,
        want: &Value,
        now: &[&str],
    ) -> Result<(Seen, Value)> {
        let refused = match self.driver.update(&known.writer, seen, want, now).await {
            Err(error) if error.is_rejected(Reason::AlreadyExists) => error,
            updated => return updated.map(|told| (told, want.clone())),
        };
        if !self.name_taken(known, Some(seen), want)? {
            return Err(refused);
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return Err(refused) };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let told = self.driver.update(&known.writer, seen, &aside, &fields).await?;
        Ok((told, aside))
    }

    async fn delete(&mut self, known: &Known, look: Look) -> Result<Outcome> {
        if let Some(blocked) = self.foreign_finalizer() {
            return Ok(blocked);
        }
        if self.remember(|m| m.delete_accepted).is_some_and(|at| at.elapsed() < self.read_lag()) {
            return Ok(deletion_accepted());
        }
        let seen = look.seen().cloned().ok_or_else(nothing_to_act_on)?;
        self.may_touch(known, &seen)?;
        // What a user has just set, a policy say, must not be overruled by an older view.
        let live = self.engine.cluster.live(&self.subject.resource, &self.subject.object).await?;
        if live.is_none_or(|o| o.metadata.resource_version != self.subject.object.metadata.resource_version) {
            return Err(Error::Conflict("the object was changed meanwhile".into()));
        }
        let _one_at_a_time = self.guard(known, None, Some(&seen)).await?;
        let account = known.admission.session.client.account_id();
        if let Err(message) = self.engine.breaker.let_go(account, &self.subject.uid()) {
            return Ok(Outcome::Blocked { reason: Reason::TooManyDeletions, message });
        }
        match self.driver.delete(&known.writer, &seen.id).await {
            Ok(()) => self.counts().wrote(Write::Delete),
            Err(error) if error.is_rejected(Reason::ExternalResourceMissing) => {
                // A replica that lags behind may not know it yet, and then nothing was deleted.
                if let Some(wait) = self.may_be_unseen(&seen.id, Duration::ZERO) {
                    return Err(wait);
                }
            }
            // Most often a dependent in the account: it is waited for.
            Err(error) if error.is_rejected(Reason::ApplyFailed) => {
                return Err(Error::waiting(Reason::ApplyFailed, error.to_string()));
            }
            Err(error) => return Err(error),
        }
        let key = self.driver.key(&seen.state)?;
        known.admission.session.snapshots.amend(self.driver, &key.within, &seen.id, None).await;
        self.name_freed(known, &seen)?;
        let before = self.remember(|m| m.delete_accepted.replace(tokio::time::Instant::now()));
        Ok(match before {
            None => Outcome::Again,
            Some(_) => deletion_accepted(),
        })
    }

    /// Databricks says that the name is taken: whoever holds it may give it up soon, so that is waited for. Returns whether
    /// that one waits for ours, directly or through others.
    fn name_taken(&self, known: &Known, seen: Option<&Seen>, want: &Value) -> Result<bool> {
        let account = known.admission.session.client.account_id();
        let has = seen.map(|seen| self.driver.key(&seen.state)).transpose()?;
        let wants = self.driver.key(want)?;
        Ok(self.engine.claims.name_taken(account, &self.subject.who, has.as_ref(), &wants))
    }

    /// A name may be free by now: those who wait for one of this kind try again.
    fn name_freed(&self, known: &Known, seen: &Seen) -> Result<()> {
        let account = known.admission.session.client.account_id();
        let had = self.driver.key(&seen.state)?;
        let waiting = self.engine.claims.name_freed(account, &self.subject.who, &had);
        waiting.iter().for_each(|who| self.engine.wake.wake(who));
        Ok(())
    }

    /// Where changes in the account are counted.
    pub fn counts(&self) -> &OfKind {
        self.engine.meter.of(&self.subject.who.kind)
    }

    /// A last look before a write. Where it looks at all objects of the kind, the lock that it returns keeps two changes
    /// from passing it together.
    async fn guard(
        &self,
        known: &Known,
        want: Option<&Value>,
        seen: Option<&Seen>,
    ) -> Result<Option<OwnedMutexGuard<()>>> {
        let session = &known.admission.session;
        let facts = &session.facts;
        if self.driver.traits().guarded_alone {
            let principal_id = session.own_id().await?;
            let facts = AuthFacts { principal_id, ..facts.clone() };
            return self.driver.guard(want, seen, &[], &facts).map(|()| None);
        }
        // Such guards are about the operator's own addresses: without any there is nothing to look for.
        if !self.driver.traits().guarded_among_siblings || facts.egress.is_empty() {
            return Ok(None);
        }
        let slot = (known.admission.session.client.account_id().to_owned(), self.subject.who.kind.clone());
        let lock: Arc<_> =
            self.engine.guards.lock().expect("no panic while held").entry(slot).or_default().clone();
        let held = lock.lock_owned().await;
        self.no_change_is_unseen(known)?;
        let siblings = self.driver.list(&known.reader, "").await?;
        self.all_are_shown(known, &siblings)?;
        self.driver.guard(want, seen, &siblings, facts).map(|()| Some(held))
    }
}

/// Whether an update certainly changed nothing. The answer to it is read too, which may fail after it changed something.
fn refuses(error: &Error) -> bool {
    match error {
        Error::Rejected { read, .. } => !read,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}

/// Reads may show the object for a while longer.
fn deletion_accepted() -> Outcome {
    let message = "the deletion was accepted; waiting until the object is gone".into();
    Outcome::Progress { reason: Reason::Deleting, message, sent: true }
}

/// After a start nobody gets anything before it is known who else means it.
fn others_first() -> Outcome {
    let message = "waiting until all objects were looked at once".into();
    Outcome::Progress { reason: Reason::Progressing, message, sent: false }
}

fn nothing_to_act_on() -> Error {
    Error::terminal(Reason::InternalError, "there is nothing to act on")
}
