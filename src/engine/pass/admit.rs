//! Hop 3: the DatabricksAuth that admits the object, and with it the account and the right to read and write there. The account
//! is pinned with the first record.

use super::subject::Terms;
use super::work::{Place, Work};
use crate::databricks::Urgency;
use crate::engine::account::{Admission, Applicant};
use crate::engine::crd::{Effective, Reason, format_duration, resync};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Reader, Writer};

impl Work<'_> {
    /// Determines where the object may act.
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
        let writer = Writer::new(reader.clone(), self.engine.permit().clone());
        Ok(Place { auth, terms: self.terms(Some(&admission))?, admission, reader, writer, urgency })
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
}
