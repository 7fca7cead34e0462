//! What is known of one DatabricksAuth: its spec and its sessions.

use std::sync::Arc;

use super::session::Session;
use crate::engine::crd::DatabricksAuthSpec;
use crate::engine::error::Result;

/// One DatabricksAuth and its sessions.
#[derive(Clone)]
pub struct Entry {
    /// As it is written now.
    pub spec: DatabricksAuthSpec,
    /// Its session, or why there is none.
    pub usable: Result<Arc<Session>>,
    /// The last session that the account accepted.
    pub last_good: Option<Arc<Session>>,
}

impl Entry {
    /// The session for an object, or why there is none. A deletion may use a session that the account refuses, or the last
    /// good one, unless the DatabricksAuth is suspended or means another account or service principal by now.
    pub fn session(&self, deleting: bool) -> Result<Arc<Session>> {
        match (&self.usable, &self.last_good) {
            (Ok(session), _) => match session.refusal().filter(|_| !deleting) {
                Some(error) => Err(error),
                None => Ok(session.clone()),
            },
            (Err(_), Some(session)) if deleting && self.admits(session) => Ok(session.clone()),
            (Err(error), _) => Err(error.clone()),
        }
    }

    /// Whether the DatabricksAuth as it is written now still means the account and the service principal of a session.
    fn admits(&self, session: &Session) -> bool {
        let spec = &self.spec;
        let client_id = spec.client_id.as_deref().unwrap_or_default();
        spec.suspend != Some(true)
            && session.key.account_id == spec.account_id
            && session.key.client_id == client_id
    }
}
