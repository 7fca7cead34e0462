//! Hops 3 to 6, from the parsed object to what it wants: what can be known before the account is read for it. Nothing is
//! written here.
//!
//! The DatabricksAuth that admits the object gives the account and the right to act there; the account is pinned with the first
//! record. While deleting, dependents come first. References and names become ids, and what an object was created for is
//! pinned: if a name later means something else, the object stops. The kind computes the desired state from the spec and the
//! ids; it is checked against the grants.

use kube::ResourceExt;
use serde_json::Value;

use super::outcome::Outcome;
use super::subject::Terms;
use super::unresolved::Unresolved;
use super::work::{Place, Target, Work};
use crate::databricks::Urgency;
use crate::engine::account::{Admission, Applicant, check_power};
use crate::engine::crd::{EXTERNAL_ID, Effective, ObjectName, Reason, format_duration, resync, still};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Home, Need, Permit, Power, Reader, Resolved, Wanted, Writer, no_workspace};
use crate::engine::memory::Claim;

impl Work<'_> {
    /// Hop 3: determines where the object may act.
    pub async fn admit(&self) -> Result<Place> {
        let who = &self.subject.who;
        let auth_ref = &self.management.auth_ref;
        let auth = auth_ref.who(&who.namespace);
        let known = self.engine.cluster.stores.object(&auth).is_some();
        let deleting = self.subject.deleting();
        let by_name = self.driver.traits().granted_by_name;
        let applicant = Applicant { namespace: &who.namespace, kind: &who.kind, by_name };
        let admission = self.engine.auths.admit(auth_ref, applicant, deleting, known).await?;
        self.same_account(&admission)?;
        let urgency = if self.subject.settled()? { Urgency::Routine } else { Urgency::Urgent };
        let reader = Reader::new(admission.session.client.clone(), urgency);
        let creates = self.subject.recorded_id().is_none() && !deleting;
        let writer = Writer::new(reader.clone(), self.permit(&auth, &admission, creates));
        Ok(Place { auth, terms: self.terms(Some(&admission))?, admission, reader, writer, urgency })
    }

    /// The right to write in this reconcile, which may wait for the account or for its turn: what was revoked, stopped or changed
    /// meanwhile is not sent. A create that was announced is not stopped by a mere change of the spec.
    pub fn permit(&self, auth: &ObjectName, admission: &Admission, creates: bool) -> Permit {
        let (engine, auth, admission) = (self.engine.clone(), auth.clone(), admission.clone());
        let (who, uid, deleting) = (self.subject.who.clone(), self.subject.uid(), self.subject.deleting());
        let generation = self.subject.object.metadata.generation.filter(|_| !creates);
        Permit::while_valid(move || {
            engine.permit().holds()
                && engine.auths.still_admits(&auth, &admission, deleting)
                && engine.still_asks(&who, &uid, generation)
        })
    }

    /// An account is pinned with the first record: a DatabricksAuth that later means another account stops everything.
    fn same_account(&self, admission: &Admission) -> Result<()> {
        let account = admission.session.client.account_id().to_owned();
        let auth = &self.management.auth_ref.name;
        let status = self.subject.status()?;
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

    /// The policies in force. Until the DatabricksAuth is known, its interval stays what it was.
    pub fn terms(&self, admission: Option<&Admission>) -> Result<Terms> {
        let auth = admission.and_then(|a| a.resync.as_ref());
        let own = self.management.resync_interval.as_ref();
        let resync = resync(own, auth, self.engine.settings.resync);
        let adopted = self.bound().adopted(self.observing());
        let before = self.subject.status()?.effective.as_ref().map(|e| e.resync_interval.clone());
        let resync_interval = match before {
            // The interval of the DatabricksAuth is not known yet.
            Some(before) if admission.is_none() && own.is_none() => before,
            _ => resync.map_or_else(|| "Never".into(), format_duration),
        };
        let effective = Effective {
            management_policy: self.management.policy(),
            adoption_policy: self.management.adoption(),
            deletion_policy: self.deletion(adopted),
            resync_interval,
        };
        Ok(Terms { effective, resync })
    }

    /// Hop 4: objects that refer to this one are deleted before it.
    pub fn hold(&self) -> Option<Outcome> {
        let dependents = self.engine.memory.wake.dependents(&self.subject.who);
        let them = if dependents.len() == 1 { "it" } else { "them" };
        (self.subject.deleting() && !dependents.is_empty()).then(|| Outcome::Blocked {
            reason: Reason::DependencyStillInUse,
            message: format!(
                "{}: delete {them}, or set spec.deletionPolicy to Retain",
                still(&dependents, "refer to", "this one")
            ),
        })
    }

    /// Hop 5: resolves the ids. While deleting, only pinned ids are used: references may be gone, and nothing new may be resolved.
    /// An object that was restored without its status has pinned nothing: its record is checked by what its spec means now,
    /// which may be nothing.
    pub async fn resolve(&self, place: &Place) -> Result<Option<(Resolved, Unresolved)>> {
        let status = self.subject.status()?;
        let recorded = status.external.is_some() || status.intent.is_some();
        let pinned = status.resolved_refs.clone();
        if self.subject.deleting() && recorded {
            let got = Resolved { ids: pinned, marker: self.marker(), ..Resolved::default() };
            return Ok(Some((got, Unresolved::default())));
        }
        match self.references(place).await {
            Err(Error::Waiting { .. } | Error::Terminal { .. }) if self.subject.deleting() => Ok(None),
            found => found.map(Some),
        }
    }

    /// The ids of all references in the spec; the error names all at once that are missing and that the object cannot be without.
    async fn references(&self, place: &Place) -> Result<(Resolved, Unresolved)> {
        let spec = self.subject.spec();
        let mut got = Resolved { marker: self.marker(), ..Resolved::default() };
        let mut missing: Option<(Reason, Vec<String>)> = None;
        let needs = self.driver.needs(&spec)?;
        for need in needs.iter().filter(|need| !need.soft) {
            match self.reference(need, place).await {
                Ok(id) => {
                    self.same_parent(need, &id)?;
                    got.ids.insert(need.field.clone(), id);
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
        let unresolved = self.resolve_soft(&needs, place, &mut got.ids).await?;
        Ok((got, unresolved))
    }

    /// A reference that an object cannot exist without must keep its meaning: otherwise an object that was deleted and
    /// created again under its name would take this one along and leave its old row behind.
    fn same_parent(&self, need: &Need, id: &str) -> Result<()> {
        let status = self.subject.status()?;
        let traits = self.driver.traits();
        let fixed = traits.immutable.iter().find(|i| i.spec.iter().any(|field| *field == need.field));
        let (Some(fixed), Some(external)) = (fixed, &status.external) else { return Ok(()) };
        let name = fixed.shown().map(|(_, name)| name);
        let observed = name.and_then(|name| status.observed.get(name)).map(text);
        let pinned = match status.resolved_refs.get(&need.field).cloned().or(observed) {
            Some(pinned) => pinned,
            // The id of an upsert consists of what it was created for.
            None if traits.lifecycle.is_repeatable() && !external.id.split('/').any(|part| part == id) => {
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
                 object and apply it again if the other one is intended",
                need.field
            ),
        ))
    }

    async fn reference(&self, need: &Need, place: &Place) -> Result<String> {
        match &need.what {
            Wanted::Object { kind, name } => {
                let who = ObjectName {
                    kind: kind.clone(),
                    namespace: self.subject.who.namespace.clone(),
                    name: name.clone(),
                };
                // A bound object keeps what it was created for while that exists, so that access stays correct.
                let status = self.subject.status()?;
                let pinned = status.resolved_refs.get(&need.field).filter(|_| status.external.is_some());
                self.engine.resolve_object(&who, need, pinned.map(String::as_str))
            }
            Wanted::Principal(name) => {
                // A bound object keeps the principal that it was created for; whether the name still means it is checked
                // when it must be written again.
                let status = self.subject.status()?;
                if status.external.is_some()
                    && let Some(pinned) = status.resolved_refs.get(&need.field)
                {
                    return Ok(pinned.clone());
                }
                let found = place.admission.session.directory.principal(name, place.urgency, false).await?;
                found.ok_or_else(|| {
                    let text = format!(
                        "the account has no {name}: create it there, or correct spec.{}",
                        need.place()
                    );
                    Error::waiting(Reason::ReferenceNotFound, text)
                })
            }
        }
    }

    /// Hop 6: computes the desired state. While deleting, it may be unreadable.
    pub fn desire(&self, place: Place, resolved: Option<(Resolved, Unresolved)>) -> Result<Target> {
        let spec = self.subject.spec();
        let (resolved, unresolved) = resolved.unzip();
        let (want, refs) = match resolved {
            None => (None, None),
            Some(got) if self.subject.deleting() => match self.driver.desired(&spec, &got) {
                Ok(want) => (Some(want), Some(got.ids)),
                Err(_) => (None, None),
            },
            Some(got) => {
                let want = self.driver.desired(&spec, &got)?;
                check_power(&place.admission, &self.driver.power(&want)?, &self.subject.who.namespace)?;
                (Some(want), Some(got.ids))
            }
        };
        let claims = self.claims(&place.admission, want.as_ref())?;
        Ok(Target { place, want, refs, claims, unresolved: unresolved.unwrap_or_default() })
    }

    /// For a kind inside workspaces: checks the grants for each workspace that the spec or the record names, as each is called at its
    /// own host, then waits until the workspace of the spec can be called. A deletion does not wait: the object goes with its
    /// workspace.
    pub async fn find_home(&self, target: &Target) -> Result<()> {
        if self.driver.traits().home == Home::Account {
            return Ok(());
        }
        let bound = self.bound();
        let wanted = target.want.as_ref().map(|want| self.driver.key(want)).transpose()?;
        let recorded = bound.id().map(|id| self.driver.within(id)).transpose()?;
        let begun = bound.intent.as_ref().map(|intent| intent.within.clone());
        let wanted = wanted.map(|key| key.within);
        for workspace in wanted.iter().cloned().chain(recorded).chain(begun) {
            let power = Power { workspace_id: Some(workspace), ..Power::default() };
            check_power(&target.place.admission, &power, &self.subject.who.namespace)?;
        }
        let Some(workspace) = wanted.filter(|_| !self.subject.deleting()) else { return Ok(()) };
        match Home::InWorkspace.reader(&target.place.reader, &workspace).await? {
            Some(_) => Ok(()),
            None => Err(Error::waiting(Reason::ReferenceNotFound, no_workspace(&workspace))),
        }
    }

    /// Whether a deletion waits for a workspace whose own object is being deleted, and waits for this one: what is in the workspace is
    /// left to its deletion, or both would wait for ever.
    pub fn goes_with_workspace(&self, error: &Error) -> Result<bool> {
        let waits = matches!(error, Error::Transient { reason: Reason::WaitingForWorkspace, .. });
        let bound = self.bound();
        let Some(id) = bound.id().filter(|_| waits && self.subject.deleting()) else { return Ok(false) };
        let (workspace, known) = (self.driver.within(id)?, &self.subject.status()?.resolved_refs);
        let namespace = &self.subject.who.namespace;
        let mut needs = self.driver.needs(&self.subject.spec())?.into_iter();
        Ok(needs.any(|need| match need.what {
            Wanted::Object { kind, name } if known.get(&need.field) == Some(&workspace) => {
                let who = ObjectName { kind, namespace: namespace.clone(), name };
                self.engine.cluster.stores.object(&who).is_some_and(|object| {
                    let policy = &object.data["status"]["effective"]["deletionPolicy"];
                    object.metadata.deletion_timestamp.is_some() && policy == "Delete"
                })
            }
            _ => false,
        }))
    }

    /// What this object claims: not what it claimed under a name that it no longer has, nor what it only observes.
    fn claims(&self, admission: &Admission, want: Option<&Value>) -> Result<Vec<Claim>> {
        let account = admission.session.client.account_id();
        let kind = &self.subject.who.kind;
        let key =
            want.map(|want| self.driver.key(want)).transpose()?.map(|key| Claim::key(account, kind, &key));
        let status = self.subject.status()?;
        let annotated = self.subject.object.annotations().get(EXTERNAL_ID);
        let id = status.external.as_ref().map(|e| &e.id).or(annotated).map(|id| Claim::id(account, kind, id));
        // A create that has begun may still have its effect.
        let begun = status.intent.as_ref().map(|intent| Claim::intent(kind, intent));
        // No other object finds it by its key.
        let key = key.filter(|_| !self.driver.traits().issues);
        let wanted = key.into_iter().chain(id).filter(|_| !self.observing());
        Ok(wanted.chain(begun).collect())
    }
}

/// An id as text, whether it is a number or text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
