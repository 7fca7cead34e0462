//! One pass over a managed object, in ten hops that the function `hops` reads in order:
//!
//! watch → parse → admit → hold → resolve → desire → observe → decide → act → conclude.
//!
//! A pass is told nothing of why it was woken. It makes at most one change in the account, and whatever happens it ends in
//! one conclusion. What is believed of the account, and how fresh that has to be, is in [`super::observe`]; what is sent,
//! and what is written down before, in [`super::act`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use super::access::{Reader, Writer};
use super::auth::grants::Admission;
use super::cluster::{EXTERNAL_ID, FINALIZER};
use super::conclude::Outcome;
use super::decide::{Record, Running, Step, View, camel, decide, deleting_without_account};
use super::driver::Driver;
use super::error::{Error, Result};
use super::lag::read_lag;
use super::meter::Write;
use super::needs::Wanted;
use super::observe::{Freshness, Look};
use super::pass::{Ended, Engine, Subject};
use super::resource::{Change, Phase, When};
use super::spec::{DeletionPolicy, Management, ManagementPolicy};
use super::status::{Operation, Reason, age};
use super::wake::Who;

/// One object of a managed kind under work.
pub struct Work<'e> {
    /// The engine.
    pub engine: &'e Engine,
    /// The kind.
    pub driver: &'static dyn Driver,
    /// The object.
    pub subject: Subject,
    /// The spec fields that all kinds share.
    pub management: Management,
    /// What this pass has made and not recorded yet.
    pub made: Option<(Writer, String)>,
    /// The DatabricksAuth that admitted the object: what goes wrong with the account after that is its business too.
    pub admitted: Option<Who>,
}

/// What a pass knows once references are resolved.
pub struct Known {
    /// Who may do what.
    pub admission: Admission,
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// What is wanted; while deleting there may be nothing that can be read.
    pub want: Option<Value>,
    /// How fresh a reading has to be at least.
    pub not_before: Instant,
}

/// How many failed passes in a row, some half a minute at the usual back-off, count as a look.
const FAILED_LOOKS: u32 = 5;
/// An account may ask us to stay away for long: then nobody is waited for any longer than this.
const FIRST_LOOK: Duration = Duration::from_secs(120);

/// One pass. A panic in it is caught, shown on the object, and harms no other.
pub async fn reconcile(
    object: Arc<DynamicObject>,
    engine: Arc<Engine>,
    driver: &'static dyn Driver,
) -> Action {
    let kind = driver.api_resource().kind;
    let mut subject = Subject::new(&engine, &object, &kind);
    let uid = subject.uid();
    let (mut made, mut auth) = (None, None);
    let outcome = match parse(&subject) {
        Ok(management) => {
            let mut work = Work { engine: &engine, driver, subject, management, made: None, admitted: None };
            let result = AssertUnwindSafe(hops(&mut work)).catch_unwind().await;
            subject = work.subject;
            made = work.made;
            auth = work.admitted;
            result.unwrap_or_else(|_| {
                engine.meter.panicked();
                Err(Error::terminal(
                    Reason::InternalError,
                    "the operator failed on this object; its log has the details",
                ))
            })
        }
        Err(_) if subject.deleting() && nothing_outside(&subject) => subject.release(&engine, None).await,
        Err(error) => Err(error),
    };
    // A pass on a stale view, or into an outage, was no look. One that fails again and again must not hold up everybody else.
    let looked = !matches!(outcome, Err(Error::Conflict(_) | Error::Transient { .. }));
    if looked || engine.attempts(&uid) >= FAILED_LOOKS {
        engine.looked_at(&uid);
    }
    let who = subject.who.clone();
    match (outcome.as_ref().err().and_then(Error::reason), auth) {
        (Some(Reason::RateLimited), Some(auth)) => engine.auths.trouble(&auth),
        (Some(Reason::CredentialsInvalid | Reason::AddressBlocked), Some(auth)) => engine.auths.doubt(&auth),
        _ => {}
    }
    let ended = subject.conclude(&engine, outcome, Reason::Available).await;
    if let (Ended::Gone, Some((writer, id))) = (&ended, made) {
        let undone = undo(engine.clone(), driver, writer, id, who);
        engine.undoing.spawn(undone.in_current_span());
    }
    ended.action()
}

/// The Kubernetes object vanished, finalizer and all, while its object was being made: nobody will ever delete that one,
/// so it is deleted now. What is being made may refuse that for as long as making it takes, unless somebody applies an
/// object of that name again: what was made may be his by now.
async fn undo(engine: Arc<Engine>, driver: &'static dyn Driver, writer: Writer, id: String, who: Who) {
    let (since, mut wait) = (Instant::now(), engine.settings.pace.poll_min);
    // Until then, that it is not there may only mean that the account does not know it everywhere yet.
    let lag = read_lag(driver, &engine.settings);
    loop {
        let gone =
            |error: &Error| error.is_rejected(Reason::ExternalResourceMissing) && since.elapsed() >= lag;
        let error = match driver.delete(&writer, &id).await {
            Ok(()) => {
                engine.meter.of(&who.kind).wrote(Write::Delete);
                tracing::warn!(external_id = id, "deleted what was just made: the object is gone");
                return;
            }
            Err(error) if gone(&error) => {
                tracing::warn!(external_id = id, "what was just made is gone, as its object is");
                return;
            }
            Err(error) => error,
        };
        tracing::warn!(external_id = id, %error, "what was just made cannot be deleted yet");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.stop.cancelled() => {}
        }
        wait = (wait * 2).min(engine.settings.pace.poll_max);
        let over = since.elapsed() > engine.settings.operation || engine.stop.is_cancelled();
        if over || engine.object(&who).is_some() {
            tracing::error!(external_id = id, "ORPHAN: delete this object in the account by hand");
            return;
        }
    }
}

/// Hop 2: the shared block. An unreadable status is an error of its own: it may hold an id.
fn parse(subject: &Subject) -> Result<Management> {
    subject.status.as_ref().map_err(Clone::clone)?;
    Management::deserialize(&subject.spec())
        .map_err(|e| Error::terminal(Reason::InvalidSpec, format!("spec cannot be read: {e}")))
}

fn nothing_outside(subject: &Subject) -> bool {
    let status_empty = subject.status.as_ref().is_ok_and(|s| s.external.is_none() && s.intent.is_none());
    status_empty && !subject.object.annotations().contains_key(EXTERNAL_ID)
}

async fn hops(work: &mut Work<'_>) -> Result<Outcome> {
    work.engine.claims.name_in_doubt(&work.subject.who);
    if work.subject.deleting() && !work.subject.object.finalizers().iter().any(|f| f == FINALIZER) {
        // We are done with it, or never began; it stays for somebody else's sake.
        work.subject.released = true;
        return Ok(Outcome::Rest);
    }
    work.show_effective(None)?;
    if work.management.suspended() && !work.subject.deleting() {
        return Ok(Outcome::Suspended);
    }
    if work.subject.deleting() {
        let step = deleting_without_account(&work.view_of(&Look::unknown(), &[], None)?);
        if let Some(step) = step {
            return work.leave(step).await;
        }
    }
    let known = work.know().await?;
    if work.subject.deleting()
        && let Some(blocked) = work.hold()
    {
        return Ok(blocked);
    }
    if work.management.policy() == ManagementPolicy::Managed && !work.subject.deleting() {
        let engine = work.engine;
        work.subject.write_metadata(engine, true).await?;
    }
    let look = work.observe(&known, Freshness::Routine).await?;
    let step = work.step(&known, &look)?;
    let (look, step) =
        if look.may_be_stale && matches!(step, Step::Update(_) | Step::Delete | Step::Create | Step::Adopt) {
            let look = work.observe(&known, Freshness::BeforeWrite).await?;
            let step = work.step(&known, &look)?;
            (look, step)
        } else {
            (look, step)
        };
    work.act(&known, look, step).await
}

impl Engine {
    /// An object has been looked at for the first time; the last one lets the waiting creates go on.
    fn looked_at(&self, uid: &str) {
        self.first_look.lock().expect("no panic while held").remove(uid);
    }

    /// How many passes in a row have failed.
    fn attempts(&self, uid: &str) -> u32 {
        self.memory.lock().expect("no panic while held").get(uid).map_or(0, |memory| memory.attempts)
    }

    /// Whether objects from before the start have not been looked at yet.
    pub fn others_unseen(&self, uid: &str) -> bool {
        let mut waiting = self.first_look.lock().expect("no panic while held");
        if self.began.get().is_none_or(|began| began.elapsed() > FIRST_LOOK) {
            waiting.clear();
        }
        waiting.retain(|other, who| self.object(who).is_some_and(|o| o.metadata.uid.as_ref() == Some(other)));
        waiting.keys().any(|other| other != uid)
    }
}

impl Work<'_> {
    /// What binds this object to one in the account.
    pub fn record(&self) -> Record {
        let status = self.subject.status.as_ref().ok();
        if status.and_then(|s| s.external.as_ref()).is_some_and(|e| e.observed) {
            return Record::Observed;
        }
        let bound = status.is_some_and(|s| s.external.is_some() || s.intent.is_some());
        if bound || self.subject.object.annotations().contains_key(EXTERNAL_ID) {
            Record::Bound
        } else if self.management.external_id.is_some() {
            Record::Asked
        } else {
            Record::None
        }
    }

    /// Whether the object in the account was there before this one, as far as a record tells: then it stays by default.
    pub fn adopted(&self) -> bool {
        // What was only observed until now may still be created.
        let observing = self.management.policy() == ManagementPolicy::Observe;
        let external = self.subject.status.as_ref().ok().and_then(|status| status.external.as_ref());
        let external = external.filter(|external| observing || !external.observed);
        let annotated = self.subject.object.annotations().contains_key(EXTERNAL_ID);
        external.map_or(annotated && !self.created_here(), |external| external.adopted)
    }

    /// What is looked for in the account, for people: the kind, with the natural name, else with the id.
    fn called(&self, want: Option<&Value>) -> Result<String> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let (kind, bound) = (&self.subject.who.kind, status.external.as_ref());
        let id = bound.map(|e| &e.id).or(self.management.external_id.as_ref());
        let asked = self.record() == Record::Asked;
        let Some(want) = want.filter(|_| !asked) else {
            return Ok(id.map_or_else(|| kind.clone(), |id| format!("{kind} with the id {id}")));
        };
        let key = self.driver.key(want)?;
        let name = bound.and_then(|e| e.name.clone()).unwrap_or(key.name);
        let mut called = format!("{kind} {}", format!("{}/{name}", key.within).trim_matches('/'));
        // Where the natural name is an id, so that the name in the spec is there too.
        for need in self.driver.needs(&self.subject.spec())? {
            if let Wanted::Principal(name) = need.what {
                called += &format!(" ({name})");
            }
        }
        Ok(called)
    }

    /// All that a decision depends on.
    pub fn view<'a>(&'a self, known: &Known, look: &'a Look, changes: &'a [Change]) -> Result<View<'a>> {
        let again = match (&known.want, look.seen()) {
            (Some(want), Some(seen)) if matches!(seen.about.phase, Phase::Failed(_)) => {
                self.driver.again(want, seen)?.into_iter().map(str::to_owned).collect()
            }
            _ => vec![],
        };
        Ok(View { again, ..self.view_of(look, changes, known.want.as_ref())? })
    }

    /// The same before anything is known of the account.
    fn view_of<'a>(
        &'a self,
        look: &'a Look,
        changes: &'a [Change],
        want: Option<&Value>,
    ) -> Result<View<'a>> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let traits = self.driver.traits();
        let adopted = self.adopted();
        let observe = self.management.policy() == ManagementPolicy::Observe;
        let delete = self.management.deletion(traits.data_bearing, adopted) == DeletionPolicy::Delete;
        Ok(View {
            called: self.called(want)?,
            deleting: self.subject.deleting(),
            observe,
            adoption: self.management.adoption(),
            delete_outside: delete && !observe && !self.management.suspended(),
            protected: self.management.deletion_protection == Some(true),
            data_bearing: traits.data_bearing,
            record: self.record(),
            copied: status.external.is_none() && self.record() == Record::Bound && status.intent.is_none(),
            found: look.found(changes),
            asked: self.management.external_id.is_some(),
            requested: self.requested().is_some(),
            again: vec![],
            spec: &self.subject.object.data["spec"],
            immutable: traits.immutable,
            operation: self.operation(status.operation.as_ref()),
            resend: status.operation.as_ref().is_some_and(|sent| self.resend(sent, changes)),
        })
    }

    fn operation(&self, operation: Option<&Operation>) -> Running {
        let Some(operation) = operation else { return Running::No };
        if Some(operation.generation) != self.subject.object.metadata.generation
            && !operation.paths.is_empty()
        {
            return Running::No;
        }
        if age(operation.since.0, Timestamp::now()) > self.engine.settings.operation.max(self.read_lag()) {
            Running::Overdue
        } else {
            Running::Yes
        }
    }

    /// Whether what was accepted and cannot be seen may be sent again: Databricks gets a moment to show it, or as long as its
    /// reads may lag behind. What is stalled is looked at rarely, unless something wakes it.
    fn resend(&self, sent: &Operation, changes: &[Change]) -> bool {
        let more = |c: &Change| c.when == When::Now && !sent.paths.contains(&camel(c.field()));
        // A start of the operator forgets when it was sent last.
        let last = self
            .remember(|m| m.sent)
            .map_or_else(|| age(sent.since.0, Timestamp::now()), |last| last.elapsed());
        self.requested().is_some()
            || changes.iter().any(more)
            || last >= self.engine.settings.pace.poll_max.max(self.read_lag())
    }

    /// Hop 8.
    fn step(&mut self, known: &Known, look: &Look) -> Result<Step> {
        self.note_usable(look)?;
        if self.subject.status_mut()?.operation.is_some() && self.stepped_aside(known, look)? {
            self.close_operation()?;
        }
        let changes = self.changes(known, look)?;
        let mut step = decide(&self.view(known, look, &changes)?);
        if let Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, message } = &mut step
            && let Some(advice) = look.seen().and_then(|seen| self.marked_elsewhere(seen))
        {
            *message = format!("{message}; {advice}");
        }
        Ok(step)
    }

    /// What differs between what is wanted and what is seen.
    pub fn changes(&self, known: &Known, look: &Look) -> Result<Vec<Change>> {
        match (&known.want, look.seen()) {
            (Some(want), Some(seen)) => {
                let mut changes = self.driver.changes(want, seen)?;
                changes.extend(self.unconfirmed(want, &changes)?);
                Ok(changes)
            }
            _ => Ok(vec![]),
        }
    }
}
