//! One pass over a managed object, in ten hops that the function `hops` reads in order:
//!
//! watch → parse → admit → hold → resolve → desire → observe → decide → act → conclude.
//!
//! A pass is told nothing of why it was woken. It makes at most one change in the account, and whatever happens it ends in
//! one conclusion. What is believed of the account, and how fresh that has to be, is in [`super::observe`]; what is sent,
//! and what is written down before, in [`super::act`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::access::{Reader, Writer};
use super::auth::{self, grants::Admission};
use super::claims::Claim;
use super::cluster::{EXTERNAL_ID, FINALIZER, RECONCILE_REQUESTED};
use super::conclude::{Note, Outcome};
use super::decide::{Record, Released, Running, Step, View, decide, deleting_without_account};
use super::driver::{Driver, Seen};
use super::error::{Error, Result};
use super::needs::{Need, Resolved, Wanted};
use super::observe::{Freshness, Look};
use super::pass::{Ended, Engine, Subject};
use super::resource::Change;
use super::spec::{DeletionPolicy, Management, ManagementPolicy, format_duration};
use super::status::{ConditionType, Drift, Effective, External, Reason};
use super::wake::Who;
use crate::databricks::Urgency;

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
                Err(Error::terminal(
                    Reason::InternalError,
                    "the operator failed on this object; its log has the details",
                ))
            })
        }
        Err(_) if subject.deleting() && nothing_outside(&subject) => subject.release(&engine, None).await,
        Err(error) => Err(error),
    };
    if !matches!(outcome, Err(Error::Conflict(_))) {
        engine.looked_at(&uid);
    }
    let who = subject.who.clone();
    let limited = matches!(&outcome, Err(Error::Transient { reason: Reason::RateLimited, .. }));
    let refused = matches!(&outcome, Err(Error::Waiting { reason: Reason::CredentialsInvalid, .. }));
    if let (true, Some(auth)) = (limited || refused, auth) {
        engine.auths.trouble(&auth);
    }
    let ended = subject.conclude(&engine, outcome, Reason::Available).await;
    if let (Ended::Gone, Some((writer, id))) = (&ended, made) {
        undo(driver, &writer, &id, &who).await;
    }
    ended.action()
}

/// The Kubernetes object vanished, finalizer and all, while its object was being made: nobody will ever delete that one,
/// so it is deleted now.
async fn undo(driver: &dyn Driver, writer: &Writer, id: &str, who: &Who) {
    match driver.delete(writer, id).await {
        Ok(()) => {
            tracing::warn!(object = %who, external_id = id, "deleted what was just made: the object is gone")
        }
        Err(error) => {
            tracing::error!(object = %who, external_id = id, %error, "ORPHAN: delete this object in the account by hand");
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
    if work.subject.deleting() && !work.subject.object.finalizers().iter().any(|f| f == FINALIZER) {
        // We are done with it, or never began; it stays for somebody else's sake.
        work.subject.released = true;
        return Ok(Outcome::Rest);
    }
    work.show_effective(None)?;
    if work.management.suspended() && !work.subject.deleting() {
        return Ok(Outcome::Suspended);
    }
    if work.subject.deleting()
        && let Some(step) = deleting_without_account(&work.view(&Look::unknown(), &[])?)
    {
        return work.leave(step).await;
    }
    let known = work.know().await?;
    if work.subject.deleting()
        && let Some(blocked) = work.hold()
    {
        return Ok(blocked);
    }
    if work.management.policy() == ManagementPolicy::Managed && !work.subject.deleting() {
        let id = work.subject.status_mut()?.external.as_ref().map(|e| e.id.clone());
        let engine = work.engine;
        work.subject.write_metadata(engine, true, id.as_deref()).await?;
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

    /// Whether objects from before the start have not been looked at yet.
    pub fn others_unseen(&self, uid: &str) -> bool {
        let mut waiting = self.first_look.lock().expect("no panic while held");
        waiting.retain(|other, who| self.object(who).is_some_and(|o| o.metadata.uid.as_ref() == Some(other)));
        waiting.keys().any(|other| other != uid)
    }
}

impl Work<'_> {
    /// Hops 3, 5 and 6: who may do what, ids, and what is wanted.
    async fn know(&mut self) -> Result<Known> {
        let who = self.subject.who.clone();
        let deleting = self.subject.deleting();
        let auth_ref = &self.management.auth_ref;
        let known = self.engine.object(&auth_ref.who(&who.namespace)).is_some();
        let auths = &self.engine.auths;
        let admission = auths.admit(auth_ref, &who.namespace, &who.kind, deleting, known).await?;
        self.admitted = Some(self.management.auth_ref.who(&who.namespace));
        self.same_account(&admission)?;
        self.show_effective(Some(&admission))?;
        let urgency = if self.settled()? { Urgency::Routine } else { Urgency::Urgent };
        let reader = Reader::new(admission.session.client.clone(), urgency);
        let writer = Writer::new(reader.clone(), self.engine.permit.clone());
        let want =
            if deleting { self.want_while_deleting() } else { Some(self.want(&admission, urgency).await?) };
        if let Some(want) = want.as_ref().filter(|_| !deleting) {
            auth::check_power(&admission, &self.driver.power(want)?, &who.namespace)?;
        }
        self.subject.resolved = true;
        let not_before = self.not_before()?;
        self.keep_claims(&admission, want.as_ref())?;
        Ok(Known { admission, reader, writer, want, not_before })
    }

    /// What this object claimed under a name it no longer has is free for others.
    fn keep_claims(&mut self, admission: &Admission, want: Option<&Value>) -> Result<()> {
        let account = admission.session.client.account_id();
        let kind = &self.subject.who.kind;
        let key =
            want.map(|want| self.driver.key(want)).transpose()?.map(|key| Claim::key(account, kind, &key));
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let id = status.external.as_ref().map(|e| Claim::id(account, kind, &e.id));
        // A create that has begun may still have its effect.
        let begun = status.intent.as_ref().map(|intent| Claim::intent(kind, intent));
        let kept: Vec<Claim> = key.into_iter().chain(id).chain(begun).collect();
        self.engine
            .claims
            .keep_only(&self.subject.who, &kept)
            .iter()
            .for_each(|who| self.engine.wake.wake(who));
        Ok(())
    }

    /// An account is pinned with the first record: a name that later means another account stops everything.
    fn same_account(&mut self, admission: &Admission) -> Result<()> {
        let account = admission.session.client.account_id().to_owned();
        let auth = &self.management.auth_ref.name;
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let pinned = status.external.as_ref().map(|e| &e.account_id);
        match pinned.or(status.intent.as_ref().map(|i| &i.account_id)) {
            Some(pinned) if *pinned != account => {
                let text = format!(
                    "this object is bound to account {pinned}, but DatabricksAuth {auth} is for account {account}: \
                     point spec.authRef to one for {pinned}"
                );
                Err(if self.subject.deleting() {
                    Error::waiting(Reason::CredentialsUnavailable, text)
                } else {
                    Error::terminal(Reason::AccountMismatch, text)
                })
            }
            _ => Ok(()),
        }
    }

    async fn want(&mut self, admission: &Admission, urgency: Urgency) -> Result<Value> {
        let spec = self.subject.spec();
        let mut got = Resolved { marker: self.marker(), ..Resolved::default() };
        let mut missing: Option<(Reason, Vec<String>)> = None;
        for need in self.driver.needs(&spec)? {
            match self.resolve(&need, admission, urgency).await {
                Ok(id) => {
                    self.same_parent(&need, &id)?;
                    got.ids.insert(need.field.into(), id);
                }
                Err(Error::Waiting { reason, message }) => {
                    missing.get_or_insert((reason, vec![])).1.push(message);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((reason, messages)) = missing {
            return Err(Error::waiting(reason, messages.join("; ")));
        }
        let want = self.driver.desired(&spec, &got)?;
        self.subject.status_mut()?.resolved_refs = got.ids;
        Ok(want)
    }

    /// A reference that an object cannot exist without must not come to mean another one: an object that was deleted and
    /// made again under its name would otherwise take this one along and leave what it had behind.
    fn same_parent(&self, need: &Need, id: &str) -> Result<()> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let fixed = self.driver.traits().immutable.iter().any(|i| i.spec.contains(&need.field));
        match status.resolved_refs.get(need.field).filter(|_| fixed && status.external.is_some()) {
            Some(pinned) if pinned != id => Err(Error::terminal(
                Reason::ImmutableFieldChanged,
                format!(
                    "spec.{} now means {id}, but this object was made for {pinned}: delete this object and apply it again \
                     if that is meant",
                    need.field
                ),
            )),
            _ => Ok(()),
        }
    }

    /// While deleting, only what was pinned before is used: references may be gone, and nothing new may be found out.
    fn want_while_deleting(&self) -> Option<Value> {
        let ids = self.subject.status.as_ref().ok()?.resolved_refs.clone();
        self.driver.desired(&self.subject.spec(), &Resolved { ids, marker: self.marker() }).ok()
    }

    async fn resolve(&mut self, need: &Need, admission: &Admission, urgency: Urgency) -> Result<String> {
        match &need.what {
            Wanted::Object { kind, name } => {
                let who = Who {
                    kind: kind.clone(),
                    namespace: self.subject.who.namespace.clone(),
                    name: name.clone(),
                };
                self.engine.resolve_object(&who)
            }
            Wanted::Principal(name) => {
                // A bound object keeps the principal it was made for; whether the name still means it is asked when it
                // has to be written again.
                let status = self.subject.status_mut()?;
                if status.external.is_some()
                    && let Some(pinned) = status.resolved_refs.get(need.field)
                {
                    return Ok(pinned.clone());
                }
                let found = admission.session.principal(name, urgency, false).await?;
                found.ok_or_else(|| {
                    let text =
                        format!("the account has no {name}: create it there, or correct spec.{}", need.field);
                    Error::waiting(Reason::ReferenceNotFound, text)
                })
            }
        }
    }

    /// The mark on objects of ours.
    pub fn marker(&self) -> String {
        let who = &self.subject.who;
        format!("{}/{}/{}", self.engine.settings.installation, who.namespace, who.name)
    }

    /// Whether this generation was carried out before: what comes now is routine.
    fn settled(&self) -> Result<bool> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let generation = self.subject.object.metadata.generation;
        Ok(status.is_true(ConditionType::Ready) && Some(status.observed_generation) == generation)
    }

    /// A reading has to be no older than a resync interval; a request for a pass asks for a new one.
    fn not_before(&mut self) -> Result<Instant> {
        let now = Instant::now();
        let asked = self.subject.object.annotations().get(RECONCILE_REQUESTED).cloned();
        if let Some(token) = asked.filter(|t| {
            Some(t) != self.subject.status.as_ref().ok().and_then(|s| s.last_handled_reconcile_at.as_ref())
        }) {
            // Many that were asked at once share one reading: it need only be newer than when the asking was first seen.
            return Ok(self.remember(|m| match &m.requested {
                Some((known, at)) if *known == token => *at,
                _ => m.requested.insert((token, now)).1,
            }));
        }
        // Without an interval any reading will do; a year is beyond the life of every process.
        let interval = self.subject.resync.unwrap_or(std::time::Duration::from_secs(31_536_000));
        Ok(now.checked_sub(interval).unwrap_or_else(|| now - now.elapsed()))
    }

    fn show_effective(&mut self, admission: Option<&Admission>) -> Result<()> {
        let auth = admission.and_then(|a| a.resync.as_ref());
        let own = self.management.resync_interval.as_ref();
        let resync = auth::resync(own, auth, self.engine.settings.resync);
        let data_bearing = self.driver.traits().data_bearing;
        let management = self.management.clone();
        let annotated = self.subject.object.annotations().contains_key(EXTERNAL_ID);
        let shown = self.subject.status_mut()?;
        let adopted = shown.external.as_ref().map_or(annotated, |e| e.adopted);
        let before = shown.effective.as_ref().map(|e| e.resync_interval.clone());
        let resync_interval = match before {
            // What the DatabricksAuth says is not known yet.
            Some(before) if admission.is_none() && own.is_none() => before,
            _ => resync.map_or_else(|| "Never".into(), format_duration),
        };
        shown.effective = Some(Effective {
            management_policy: management.policy(),
            adoption_policy: management.adoption(),
            deletion_policy: management.deletion(data_bearing, adopted),
            resync_interval,
        });
        self.subject.resync = resync;
        Ok(())
    }

    /// Hop 4: what refers to an object goes first.
    fn hold(&self) -> Option<Outcome> {
        let dependents = self.engine.wake.dependents(&self.subject.who);
        let names: Vec<String> = dependents.iter().take(5).map(Who::to_string).collect();
        (!names.is_empty()).then(|| Outcome::Blocked {
            reason: Reason::DependencyStillInUse,
            message: format!(
                "{} objects still refer to this one ({}): delete them, or set spec.deletionPolicy to Retain",
                dependents.len(),
                names.join(", ")
            ),
        })
    }

    /// What binds this object to one in the account.
    pub fn record(&self) -> Record {
        let status = self.subject.status.as_ref().ok();
        let bound = status.is_some_and(|s| s.external.is_some() || s.intent.is_some());
        if bound || self.subject.object.annotations().contains_key(EXTERNAL_ID) {
            Record::Bound
        } else if self.management.external_id.is_some() {
            Record::Asked
        } else {
            Record::None
        }
    }

    /// All that a decision depends on.
    pub fn view<'a>(&self, look: &'a Look, changes: &'a [Change]) -> Result<View<'a>> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let traits = self.driver.traits();
        let annotated = self.subject.object.annotations().contains_key(EXTERNAL_ID);
        let adopted = status.external.as_ref().map_or(annotated, |e| e.adopted);
        let observe = self.management.policy() == ManagementPolicy::Observe;
        let delete = self.management.deletion(traits.data_bearing, adopted) == DeletionPolicy::Delete;
        Ok(View {
            deleting: self.subject.deleting(),
            observe,
            adoption: self.management.adoption(),
            delete_outside: delete && !observe && !self.management.suspended(),
            protected: self.management.deletion_protection == Some(true),
            data_bearing: traits.data_bearing,
            record: self.record(),
            found: look.found(changes),
            asked: self.management.external_id.is_some(),
            operation: self.operation(status.operation.as_ref()),
        })
    }

    fn operation(&self, operation: Option<&super::status::Operation>) -> Running {
        let Some(operation) = operation else { return Running::No };
        if Some(operation.generation) != self.subject.object.metadata.generation
            && !operation.paths.is_empty()
        {
            return Running::No;
        }
        let age = k8s_openapi::jiff::Timestamp::now().duration_since(operation.since.0);
        let over = age.unsigned_abs() > self.engine.settings.operation;
        if over { Running::Overdue } else { Running::Yes }
    }

    /// Hop 8.
    fn step(&mut self, known: &Known, look: &Look) -> Result<Step> {
        let changes = self.changes(known, look)?;
        let step = decide(&self.view(look, &changes)?);
        Ok(step)
    }

    /// What differs between what is wanted and what is seen.
    pub fn changes(&self, known: &Known, look: &Look) -> Result<Vec<Change>> {
        match (&known.want, look.seen()) {
            (Some(want), Some(seen)) => self.driver.changes(want, seen),
            _ => Ok(vec![]),
        }
    }

    /// Lets the object go, or says why not, without asking the account.
    async fn leave(&mut self, step: Step) -> Result<Outcome> {
        match step {
            Step::Refuse { reason, message } => Ok(Outcome::Blocked { reason, message }),
            Step::Release(how) => self.release(how).await,
            other => Err(Error::terminal(Reason::InternalError, format!("{other:?} is no way to leave"))),
        }
    }

    /// Removes our finalizer; the event says what became of the object in the account.
    pub async fn release(&mut self, how: Released) -> Result<Outcome> {
        let id = self.subject.status.as_ref().ok().and_then(|s| s.external.as_ref()).map(|e| e.id.clone());
        let note = match (how, id) {
            (Released::NeverCreated, _) => None,
            (Released::Retained, None) => {
                let intent = self.subject.status.as_ref().ok().and_then(|s| s.intent.as_ref());
                intent.map(|intent| Note {
                    warning: true,
                    reason: "OrphanedOnDelete",
                    text: format!(
                        "a create of {} was interrupted; what it may have made stays in the account",
                        intent.name
                    ),
                })
            }
            (Released::Retained, Some(id)) => {
                let left =
                    self.management.suspended() || self.management.policy() == ManagementPolicy::Observe;
                let reason = if left { "OrphanedOnDelete" } else { "Retained" };
                Some(Note { warning: left, reason, text: format!("the object {id} stays in the account") })
            }
            (Released::Gone, id) => Some(Note {
                warning: false,
                reason: "Deleted",
                text: format!("the object {} is gone from the account", id.unwrap_or_default()),
            }),
        };
        let engine = self.engine;
        self.subject.release(engine, note).await
    }

    /// A finalizer of somebody else means that the object is still needed.
    pub fn foreign_finalizer(&self) -> Option<Outcome> {
        let ours = [FINALIZER, "foregroundDeletion", "orphan"];
        let foreign: Vec<&String> =
            self.subject.object.finalizers().iter().filter(|f| !ours.contains(&f.as_str())).collect();
        foreign.first().map(|name| Outcome::Blocked {
            reason: Reason::ForeignFinalizer,
            message: format!("the finalizer {name} of somebody else is still on this object; it goes first"),
        })
    }

    /// Puts what was seen into the status.
    pub fn show(
        &mut self,
        known: &Known,
        seen: &Seen,
        changes: &[Change],
        bind: Option<External>,
        ours: bool,
    ) -> Result<()> {
        let immutable = self.driver.traits().immutable;
        let drift = known.want.as_ref().map(|want| drift(want, seen, changes)).unwrap_or_default();
        let name = self.driver.key(&seen.state)?.name;
        let status = self.subject.status_mut()?;
        if let Some(bind) = bind {
            status.external = Some(bind);
        }
        if let Some(external) = status.external.as_mut().filter(|_| ours) {
            external.name = Some(name);
        }
        status.external_id = status.external.as_ref().map(|e| e.id.clone());
        status.state = seen.about.state.clone();
        status.facts = seen.facts.clone();
        status.observed = observed(immutable, &seen.state);
        status.drift = drift;
        Ok(())
    }
}

/// What is seen of the fields that cannot change, under the names they have in the spec.
fn observed(immutable: &[super::resource::Immutable], state: &Value) -> serde_json::Map<String, Value> {
    let told = immutable.iter().filter_map(|i| {
        let value = state.get(i.state).filter(|v| !v.is_null())?;
        let spec = i.spec.iter().find(|f| **f == super::decide::camel(i.state))?;
        Some(((*spec).to_owned(), value.clone()))
    });
    told.collect()
}

fn drift(want: &Value, seen: &Seen, changes: &[Change]) -> Vec<Drift> {
    let text = |v: &Value| super::status::shorten(&v.to_string(), 512);
    changes
        .iter()
        .map(|change| Drift {
            path: super::decide::camel(&change.path),
            want: text(super::changes::at(want, &change.path)),
            seen: text(super::changes::at(&seen.state, &change.path)),
        })
        .collect()
}

impl Engine {
    /// An object as the watch knows it.
    fn object(&self, who: &Who) -> Option<Arc<DynamicObject>> {
        let target =
            ObjectRef::new_with(&who.name, self.resources.get(&who.kind)?.clone()).within(&who.namespace);
        let mut stores = self.stores.iter().filter(|(kind, _)| *kind == who.kind);
        stores.find_map(|(_, store)| store.get(&target))
    }

    /// The id of another object of ours, if it is ready. A suspended one that is bound counts: nothing about it is in doubt
    /// but its freshness.
    fn resolve_object(&self, who: &Who) -> Result<String> {
        let Some(object) = self.object(who) else {
            return Err(Error::waiting(
                Reason::ReferenceNotFound,
                format!("{who} does not exist: create it"),
            ));
        };
        let not_ready =
            |why: &str| Error::waiting(Reason::ReferenceNotReady, format!("{who} is not ready: {why}"));
        if object.metadata.deletion_timestamp.is_some() {
            return Err(not_ready("it is being deleted"));
        }
        let face = super::controller::face(&object);
        match face.id {
            Some(id) if face.ready || face.suspended => Ok(id),
            _ => Err(not_ready("see its conditions")),
        }
    }
}
