//! Hops 3, 5 and 6: who may do what, the ids that references stand for, and what is wanted.

use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::work::{Known, Work};
use crate::databricks::Urgency;
use crate::engine::account::{Admission, check_power};
use crate::engine::crd::{
    ConditionType, EXTERNAL_ID, Effective, ManagementPolicy, RECONCILE_REQUESTED, Reason, Who,
    format_duration, resync,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Lifecycle, Need, Reader, Resolved, Wanted, Writer};
use crate::engine::memory::Claim;

impl Work<'_> {
    /// Hops 3, 5 and 6: who may do what, ids, and what is wanted.
    pub async fn know(&mut self) -> Result<Known> {
        let who = self.subject.who.clone();
        let deleting = self.subject.deleting();
        let auth_ref = &self.management.auth_ref;
        let known = self.engine.cluster.stores.object(&auth_ref.who(&who.namespace)).is_some();
        let auths = &self.engine.auths;
        let admission = auths.admit(auth_ref, &who.namespace, &who.kind, deleting, known).await?;
        self.admitted = Some(self.management.auth_ref.who(&who.namespace));
        self.same_account(&admission)?;
        self.show_effective(Some(&admission))?;
        let urgency = if self.settled()? { Urgency::Routine } else { Urgency::Urgent };
        let reader = Reader::new(admission.session.client.clone(), urgency);
        let writer = Writer::new(reader.clone(), self.engine.permit().clone());
        let want = if deleting {
            self.want_while_deleting(&admission, urgency).await?
        } else {
            Some(self.want(&admission, urgency).await?)
        };
        if let Some(want) = want.as_ref().filter(|_| !deleting) {
            check_power(&admission, &self.driver.power(want)?, &who.namespace)?;
        }
        self.subject.resolved = true;
        let not_before = self.not_before()?;
        self.keep_claims(&admission, want.as_ref())?;
        Ok(Known { admission, reader, writer, want, not_before })
    }

    /// What this object claimed under a name it no longer has, or now only observes, is free for others.
    fn keep_claims(&mut self, admission: &Admission, want: Option<&Value>) -> Result<()> {
        let account = admission.session.client.account_id();
        let kind = &self.subject.who.kind;
        let key =
            want.map(|want| self.driver.key(want)).transpose()?.map(|key| Claim::key(account, kind, &key));
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let annotated = self.subject.object.annotations().get(EXTERNAL_ID);
        let id = status.external.as_ref().map(|e| &e.id).or(annotated).map(|id| Claim::id(account, kind, id));
        // A create that has begun may still have its effect.
        let begun = status.intent.as_ref().map(|intent| Claim::intent(kind, intent));
        let wanted =
            key.into_iter().chain(id).filter(|_| self.management.policy() == ManagementPolicy::Managed);
        let kept: Vec<Claim> = wanted.chain(begun).collect();
        self.engine
            .memory
            .claims
            .keep_only(&self.subject.who, &kept)
            .iter()
            .for_each(|who| self.engine.memory.wake.wake(who));
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

    /// The spec with all that it refers to; all that is missing is named at once.
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
        let traits = self.driver.traits();
        let fixed = traits.immutable.iter().find(|i| i.spec.contains(&need.field));
        let (Some(fixed), Some(external)) = (fixed, &status.external) else { return Ok(()) };
        let name = fixed.shown().map(|(_, name)| name);
        let observed = name.and_then(|name| status.observed.get(name)).map(text);
        let pinned = match status.resolved_refs.get(need.field).cloned().or(observed) {
            Some(pinned) => pinned,
            // The id of an upsert is made of what it was created for.
            None if traits.lifecycle == Lifecycle::Upsert
                && !external.id.split('/').any(|part| part == id) =>
            {
                external.id.clone()
            }
            None => return Ok(()),
        };
        if pinned == id {
            return Ok(());
        }
        Err(Error::terminal(
            Reason::ImmutableFieldChanged,
            format!(
                "spec.{} now means {id}, but this object was created for {pinned}: write what means that again, or delete this \
                 object and apply it again if the other one is meant",
                need.field
            ),
        ))
    }

    /// While deleting, only what was pinned before is used: references may be gone, and nothing new may be found out. An object
    /// that was restored without its status has pinned nothing: what its spec means now is what its record is checked by.
    async fn want_while_deleting(
        &mut self,
        admission: &Admission,
        urgency: Urgency,
    ) -> Result<Option<Value>> {
        let status = self.subject.status_mut()?;
        if status.external.is_none() && status.intent.is_none() {
            return match self.want(admission, urgency).await {
                Err(Error::Waiting { .. } | Error::Terminal { .. }) => Ok(None),
                want => want.map(Some),
            };
        }
        let ids = status.resolved_refs.clone();
        let marker = self.marker();
        Ok(self.driver.desired(&self.subject.spec(), &Resolved { ids, marker }).ok())
    }

    async fn resolve(&mut self, need: &Need, admission: &Admission, urgency: Urgency) -> Result<String> {
        match &need.what {
            Wanted::Object { kind, name } => {
                let who = Who {
                    kind: kind.clone(),
                    namespace: self.subject.who.namespace.clone(),
                    name: name.clone(),
                };
                // A bound object goes on with what it was made for while that is there, so that access is kept right.
                let status = self.subject.status_mut()?;
                let pinned = status.resolved_refs.get(need.field).filter(|_| status.external.is_some());
                self.engine.resolve_object(&who, need.field, pinned.map(String::as_str))
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
        self.engine.mark(&self.subject.who)
    }

    /// Whether this generation was carried out before: what comes now is routine.
    fn settled(&self) -> Result<bool> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let generation = self.subject.object.metadata.generation;
        Ok(status.is_true(ConditionType::Ready) && Some(status.observed_generation) == generation)
    }

    /// The request for a pass that was not acted on yet.
    pub fn requested(&self) -> Option<&String> {
        let status = self.subject.status.as_ref().ok();
        let handled = status.and_then(|status| status.last_handled_reconcile_at.as_ref());
        self.subject.object.annotations().get(RECONCILE_REQUESTED).filter(|token| Some(*token) != handled)
    }

    /// A reading has to be no older than a resync interval; a request for a pass asks for a new one.
    fn not_before(&mut self) -> Result<Instant> {
        let now = Instant::now();
        if let Some(token) = self.requested().cloned() {
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

    /// Shows the policies in force. Before the DatabricksAuth is known, its word on the interval stays what it was.
    pub fn show_effective(&mut self, admission: Option<&Admission>) -> Result<()> {
        let auth = admission.and_then(|a| a.resync.as_ref());
        let own = self.management.resync_interval.as_ref();
        let resync = resync(own, auth, self.engine.settings.resync);
        let data_bearing = self.driver.traits().data_bearing;
        let management = self.management.clone();
        let adopted = self.bound().adopted(self.observing());
        let shown = self.subject.status_mut()?;
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
}

/// An id as text, whether it is a number or text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
