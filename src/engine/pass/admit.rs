//! Hop 3: the DatabricksAuth that admits the object, and with it the account and the right to read and write there. The account
//! is pinned with the first record.

use super::work::Work;
use crate::databricks::Urgency;
use crate::engine::account::Admission;
use crate::engine::crd::{ConditionType, Effective, Reason, format_duration, resync};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Reader, Writer};

/// Where an object may act, and how.
pub struct Place {
    /// The session, and what its grants allow.
    pub admission: Admission,
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// How urgent the calls are.
    pub urgency: Urgency,
}

impl Work<'_> {
    /// Determines where the object may act.
    pub async fn admit(&mut self) -> Result<Place> {
        let who = self.subject.who.clone();
        let auth_ref = &self.management.auth_ref;
        let auth = auth_ref.who(&who.namespace);
        let known = self.engine.cluster.stores.object(&auth).is_some();
        let deleting = self.subject.deleting();
        let admission = self.engine.auths.admit(auth_ref, &who.namespace, &who.kind, deleting, known).await?;
        self.admitted = Some(auth);
        self.same_account(&admission)?;
        self.show_effective(Some(&admission))?;
        let urgency = if self.settled()? { Urgency::Routine } else { Urgency::Urgent };
        let reader = Reader::new(admission.session.client.clone(), urgency);
        let writer = Writer::new(reader.clone(), self.engine.permit().clone());
        Ok(Place { admission, reader, writer, urgency })
    }

    /// An account is pinned with the first record: a DatabricksAuth that later means another account stops everything.
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

    /// Whether this generation was carried out before: further calls are routine.
    fn settled(&self) -> Result<bool> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let generation = self.subject.object.metadata.generation;
        Ok(status.is_true(ConditionType::Ready) && Some(status.observed_generation) == generation)
    }

    /// Shows the policies in force. Until the DatabricksAuth is known, its interval stays what it was.
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
            // The interval of the DatabricksAuth is not known yet.
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
