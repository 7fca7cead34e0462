//! Hops 3, 4 and 6, from the parsed object to what it wants: what can be known before the account is read for it. Nothing is written
//! here. Hop 5, which finds the ids, is in [`super::resolve`].
//!
//! The DatabricksAuth that admits the object gives the account and the right to act there; the account is pinned with the first
//! record. While deleting, dependents come first. The kind computes the desired state from the spec and the ids; it is checked against
//! the grants.

use serde::Deserialize;

use super::outcome::Outcome;
use super::subject::Terms;
use super::unlisted::Findings;
use super::unresolved::Unresolved;
use super::work::{Place, Target, Work};
use crate::databricks::Urgency;
use crate::engine::account::{Admission, Applicant, check_power};
use crate::engine::crd::{Effective, Management, ObjectName, Reason, format_duration, resync, still};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Home, Power, Reader, Resolved, Wanted, Writer, no_workspace};

impl Work<'_> {
    /// Hop 3: determines where the object may act.
    pub async fn admit(&self) -> Result<Place> {
        let who = &self.subject.who;
        let auth_ref = &self.management.auth_ref;
        let auth = auth_ref.who(&who.namespace);
        let known = self.engine.cluster.stores.cached(&auth).is_some();
        let deleting = self.subject.deleting();
        let by_name = self.driver.traits().granted_by_name;
        let applicant = Applicant { namespace: &who.namespace, kind: &who.kind, by_name };
        let admission = self.engine.auths.admit(auth_ref, applicant, deleting, known).await?;
        self.same_account(&admission)?;
        let creates = self.subject.recorded_id().is_none() && !deleting;
        let urgency = match self.subject.is_carried_out()? {
            true => Urgency::Routine,
            false if creates => Urgency::Create,
            false => Urgency::Urgent,
        };
        let reader = Reader::new(admission.session.client.clone(), urgency);
        let writer = Writer::new(reader.clone(), self.permit(&auth, &admission, creates));
        Ok(Place { auth, admission, reader, writer, urgency })
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
        let adopted = self.bound().adopted(self.read_only());
        let before = self.subject.status()?.effective.as_ref().map(|e| e.resync_interval.clone());
        let resync_interval = match before {
            // The interval of the DatabricksAuth is not known yet.
            Some(before) if admission.is_none() && own.is_none() => before,
            _ => resync.map_or_else(|| "Never".into(), format_duration),
        };
        let effective = Effective {
            management_policy: self.management.policy(),
            adoption_policy: self.management.adoption(),
            deletion_policy: self.deletion_policy(adopted),
            resync_interval,
        };
        Ok(Terms { effective, resync })
    }

    /// Hop 4: objects that refer to this one are deleted before it.
    pub fn blocked_by_dependents(&self) -> Option<Outcome> {
        if !self.subject.deleting() {
            return None;
        }
        let dependents = self.engine.memory.triggers.dependents(&self.subject.who);
        let them = if dependents.len() == 1 { "it" } else { "them" };
        (!dependents.is_empty()).then(|| Outcome::Blocked {
            reason: Reason::DependencyStillInUse,
            message: format!(
                "{}: delete {them}, or set spec.deletionPolicy to Retain",
                still(&dependents, "refer to", "this one")
            ),
        })
    }

    /// Hop 6: computes the desired state. While deleting, it may be unreadable.
    pub fn desire(&self, place: Place, resolved: Option<(Resolved, Unresolved)>) -> Result<Target> {
        // Before anything is computed from the id. While a create is in doubt, it is not used.
        let bound = self.bound();
        if bound.intent.is_none() {
            bound.place(self.driver)?;
        }
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
        let (unresolved, findings) = (unresolved.unwrap_or_default(), Findings::default());
        Ok(Target { place, want, refs, claims, unresolved, findings })
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
            let power = Power::in_workspace(workspace);
            check_power(&target.place.admission, &power, &self.subject.who.namespace)?;
        }
        let Some(workspace) = wanted.filter(|_| !self.subject.deleting()) else { return Ok(()) };
        match Home::InWorkspace.reader(&target.place.reader, &workspace).await? {
            Some(_) => Ok(()),
            None => Err(Error::waiting(Reason::ReferenceNotFound, no_workspace(&workspace))),
        }
    }

    /// Whether a deletion waits for a workspace whose own object is being deleted, and waits for this one: what is in the workspace is
    /// left to its deletion, or both would wait for ever. Not if the workspace stays: what is in it would stay, and no object manages it.
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
                    let management = Management::deserialize(&object.data["spec"]);
                    // What was only observed is not deleted.
                    let external = &object.data["status"]["external"];
                    let is_ours = external["id"].is_string() && external["observed"] != true;
                    object.metadata.deletion_timestamp.is_some()
                        && is_ours
                        && management.is_ok_and(|it| it.deletes())
                })
            }
            _ => false,
        }))
    }
}
