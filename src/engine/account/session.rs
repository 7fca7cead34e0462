//! One account, one set of credentials, and what was read with them.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::directory::Directory;
use super::snapshot::Snapshots;
use crate::databricks::{Client, Urgency};
use crate::engine::crd::{AuthType, Cloud, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{AuthFacts, PrincipalName};

/// One account, one set of credentials, and what was read with them.
pub struct Session {
    /// The client.
    pub client: Client,
    /// What guards may know.
    pub facts: AuthFacts,
    /// LISTs shared by objects.
    pub snapshots: Snapshots,
    /// Which principals the account has.
    pub directory: Directory,
    standing: Mutex<Standing>,
    pub(super) key: SessionKey,
}

/// Whether the account accepts the calls of the session as a whole.
#[derive(Default)]
struct Standing {
    /// Since when a call has been rejected for its token or its address, and no later one is known to be accepted.
    doubted_since: Option<Instant>,
    /// Why the account accepts no call at all.
    refusal: Option<Error>,
}

/// What a session belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub auth: String,
    pub secret: (String, String),
    pub host: String,
    pub account_id: String,
    pub client_id: String,
    pub auth_type: AuthType,
    pub cloud: Cloud,
}

impl Session {
    pub(super) fn new(client: Client, facts: AuthFacts, key: SessionKey) -> Session {
        Session {
            directory: Directory::new(client.clone()),
            client,
            facts,
            snapshots: Snapshots::default(),
            standing: Mutex::default(),
            key,
        }
    }

    /// A session for the tests of its callers.
    #[cfg(test)]
    pub fn of(client: Client) -> Session {
        let egress = "198.51.100.0/24".parse().into_iter().collect();
        let facts = AuthFacts { client_id: "client".into(), egress, ..AuthFacts::default() };
        let account_id = client.account_id().to_owned();
        let text = || String::from("test");
        let secret = (text(), text());
        let key = SessionKey {
            auth: text(),
            secret,
            host: text(),
            account_id,
            client_id: text(),
            auth_type: AuthType::OauthM2m,
            cloud: Cloud::AWS,
        };
        Session::new(client, facts, key)
    }

    /// A call was rejected for its token or its address. [`Session::prove`] checks whether all are.
    pub fn doubt(&self) {
        self.standing().doubted_since.get_or_insert_with(Instant::now);
    }

    /// For how long it has been in doubt whether the account accepts calls.
    pub fn doubted_for(&self) -> Option<Duration> {
        self.standing().doubted_since.map(|since| since.elapsed())
    }

    /// Why the account accepts no call of this session, if so.
    pub fn refusal(&self) -> Option<Error> {
        self.standing().refusal.clone()
    }

    /// Checks whether the account accepts calls, by one small read that depends on no spec. Any response to the read
    /// itself, such as a lack of rights, proves that it does.
    pub async fn prove(&self) -> Result<()> {
        let own = PrincipalName::of_client(&self.facts.client_id);
        let result = self.directory.principal(&own, Urgency::Urgent, true).await;
        let mut standing = self.standing();
        match result {
            Err(error)
                if matches!(error.reason(), Some(Reason::CredentialsInvalid | Reason::AddressBlocked)) =>
            {
                standing.doubted_since.get_or_insert_with(Instant::now);
                standing.refusal = Some(error.clone());
                Err(error)
            }
            // There was no response: the doubt remains, if there was one.
            Err(error @ Error::Transient { .. }) if standing.doubted_since.is_some() => Err(error),
            _ => {
                *standing = Standing::default();
                Ok(())
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().expect("no panic while held")
    }
}
