//! All DatabricksAuths as the kinds see them: [`Auths::admit`] gives an object the session that it may use, or the error that says what
//! to write. `renew.rs` obtains the sessions; a DatabricksAuth itself is reconciled in `pass/databricks_auth.rs`.
//!
//! It is no [`crate::engine::kind::ExternalResource`]: nothing is created in the account. The last good session of a
//! DatabricksAuth is kept in memory for deletions alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use kube::Client as KubeClient;
use tokio::time::Instant;

use super::grants::{self, Admission, Applicant};
use super::labels::NamespaceLabels;
use super::secret::Secrets;
use super::session::Session;
use crate::databricks::{HostPolicy, Settings};
use crate::engine::crd::{AUTH_KIND, AuthRef, DatabricksAuthSpec, ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::memory::Triggers;

/// All DatabricksAuths as the kinds see them.
pub struct Auths {
    pub(super) triggers: Arc<Triggers>,
    pub(super) settings: Settings,
    /// For grants by their labels.
    pub(super) namespaces: NamespaceLabels,
    pub(super) secrets: Secrets,
    /// The namespaces whose DatabricksAuths may sign in as the operator's own Google service account.
    pub(super) google_identity: Vec<String>,
    entries: Mutex<HashMap<ObjectName, Entry>>,
    /// Those whose spec cannot be read, and why.
    unreadable: Mutex<HashMap<ObjectName, Error>>,
    /// Sessions whose sign-in failed: the next attempt knows how long the account asked to wait.
    failed: Mutex<HashMap<ObjectName, Arc<Session>>>,
    /// When the last trouble of a DatabricksAuth triggered its reconcile.
    reported: Mutex<HashMap<ObjectName, Instant>>,
}

impl Auths {
    /// None yet. `chosen` says that only chosen namespaces are watched; `google_identity` are the namespaces whose DatabricksAuths may
    /// sign in as the operator's own Google service account.
    pub fn new(
        kube: KubeClient,
        triggers: Arc<Triggers>,
        hosts: HostPolicy,
        settings: Settings,
        chosen: bool,
        google_identity: Vec<String>,
    ) -> Auths {
        Auths {
            namespaces: NamespaceLabels::new(kube.clone(), triggers.clone(), chosen),
            secrets: Secrets::new(kube, triggers.clone()),
            triggers,
            settings: Settings { hosts, ..settings },
            google_identity,
            entries: Mutex::default(),
            unreadable: Mutex::default(),
            failed: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    /// The session that an object may use. When `deleting`, the last good one is enough. `known` says whether the watch has
    /// such a DatabricksAuth.
    pub async fn admit(
        &self,
        auth: &AuthRef,
        applicant: Applicant<'_>,
        deleting: bool,
        known: bool,
    ) -> Result<Admission> {
        let namespace = applicant.namespace;
        let who = auth.who(namespace);
        let home = who.namespace.as_str();
        let refused = || not_permitted(home, &auth.name, applicant);
        let unreadable = self.unreadable().get(&who).cloned();
        if let Some(error) = unreadable {
            // Its grants are not known either.
            return Err(match home == namespace {
                true => unusable(home, &auth.name, error, deleting),
                false => refused(),
            });
        }
        let entry = self.entries().get(&who).cloned();
        let Some(entry) = entry else {
            return Err(match (known, home == namespace) {
                // Just after a start: this is no news, and its reconcile triggers ours.
                (true, true) => {
                    Error::Conflict(format!("{AUTH_KIND} {home}/{} was not reconciled yet", auth.name))
                }
                // Other namespaces do not learn that it exists.
                (true, false) => Error::Conflict(refused().to_string()),
                (false, false) => refused(),
                (false, true) => not_found(home, &auth.name, deleting),
            });
        };
        let by_label = grants::asks_for_labels(&entry.spec);
        let labels = if by_label { self.namespaces.labels(namespace).await? } else { None };
        let grants = match grants::admitting(&entry.spec, home, applicant, labels.as_ref()) {
            Some(grants) => grants,
            // Another namespace gets no cause: that would show that the DatabricksAuth exists.
            None if by_label && labels.is_none() && home == namespace => {
                return Err(Error::waiting(Reason::ReferenceNotPermitted, self.namespaces.not_readable()));
            }
            None => return Err(refused()),
        };
        let session = entry.session(deleting);
        let session = session.map_err(|error| unusable(home, &auth.name, error, deleting))?;
        Ok(Admission { session, grants, written: entry.spec.grants, resync: entry.spec.resync_interval })
    }

    /// Whether an admission still holds: neither the grants nor the session were changed since. Labels are not read again.
    pub fn still_admits(&self, auth: &ObjectName, admission: &Admission, deleting: bool) -> bool {
        let entries = self.entries();
        entries.get(auth).filter(|entry| entry.spec.grants == admission.written).is_some_and(|entry| {
            entry.session(deleting).is_ok_and(|session| Arc::ptr_eq(&session, &admission.session))
        })
    }

    /// When the first of the tokens in use expires.
    pub fn token_expiry(&self) -> Option<SystemTime> {
        let entries = self.entries();
        let usable = entries.values().filter_map(|entry| entry.usable.as_ref().ok());
        usable.filter_map(|session| session.client.token_expiry()).min()
    }

    /// A user of a DatabricksAuth ended with an error: if that may concern all users, the DatabricksAuth looks into it.
    pub fn note_error(&self, who: &ObjectName, error: &Error) {
        match error.reason() {
            // The account asked for it. A turn that comes too late in this process says nothing about the account.
            Some(Reason::RateLimited) if self.throttled(who).is_some() => self.recheck_soon(who),
            Some(Reason::CredentialsInvalid | Reason::AddressBlocked) => self.doubt(who),
            _ => {}
        }
    }

    /// The longest delay that the account asks for, as the stored session knows it.
    pub(super) fn throttled(&self, who: &ObjectName) -> Option<Duration> {
        let entries = self.entries();
        let entry = entries.get(who)?;
        entry.usable.as_ref().ok()?.client.throttled()
    }

    /// A call with a DatabricksAuth was rejected for its token or its address: the DatabricksAuth checks whether all are,
    /// and shows the result for all.
    pub fn doubt(&self, who: &ObjectName) {
        if let Some(session) = self.session(who) {
            session.doubt();
        }
        self.recheck_soon(who);
    }

    /// A user of a DatabricksAuth met a rate limit or a refusal: the DatabricksAuth checks for itself, and shows the result
    /// for all. Once in a while is enough.
    fn recheck_soon(&self, who: &ObjectName) {
        let mut reported = self.reported.lock().expect("no panic while held");
        let now = Instant::now();
        if reported.get(who).is_none_or(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            reported.insert(who.clone(), now);
            self.triggers.trigger(who);
        }
    }

    /// For how long it has been in doubt whether the account of a DatabricksAuth accepts calls.
    pub fn doubted_for(&self, who: &ObjectName) -> Option<Duration> {
        self.session(who)?.doubted_for()
    }

    /// Forgets a DatabricksAuth that is gone, its token with it.
    pub fn forget(&self, who: &ObjectName) {
        self.entries().remove(who);
        self.unreadable().remove(who);
        self.failed().remove(who);
        self.reported.lock().expect("no panic while held").remove(who);
        self.secrets.unwatch(who);
        self.namespaces.unfollow(who);
        self.triggers.trigger_dependents(who);
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, HashMap<ObjectName, Entry>> {
        self.entries.lock().expect("no panic while held")
    }

    pub(super) fn unreadable(&self) -> MutexGuard<'_, HashMap<ObjectName, Error>> {
        self.unreadable.lock().expect("no panic while held")
    }

    pub(super) fn failed(&self) -> MutexGuard<'_, HashMap<ObjectName, Arc<Session>>> {
        self.failed.lock().expect("no panic while held")
    }

    /// The session of a DatabricksAuth, or the last good one if it has none now.
    pub(super) fn session(&self, who: &ObjectName) -> Option<Arc<Session>> {
        let entries = self.entries();
        let entry = entries.get(who)?;
        entry.usable.as_ref().ok().cloned().or_else(|| entry.last_good.clone())
    }
}

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

/// The error for an object that no grant admits, the same whether or not the DatabricksAuth exists.
fn not_permitted(home: &str, name: &str, applicant: Applicant<'_>) -> Error {
    let Applicant { namespace, kind, by_name } = applicant;
    let named = if by_name {
        format!(" whose kinds name {kind}, as no other grant allows it")
    } else {
        String::new()
    };
    let text = format!(
        "{AUTH_KIND} {home}/{name} does not exist or has no grant that admits {kind} objects of namespace {namespace}: correct \
         spec.authRef, or have a grant added there{named}"
    );
    Error::waiting(Reason::ReferenceNotPermitted, text)
}

/// The error for an object whose own namespace has no such DatabricksAuth.
fn not_found(home: &str, name: &str, deleting: bool) -> Error {
    // The namespace of an object that is being deleted may get no new objects.
    let remedy = match deleting {
        true => "point spec.authRef to one that does",
        false => "create it, or correct spec.authRef.name",
    };
    Error::waiting(Reason::ReferenceNotFound, format!("{AUTH_KIND} {home}/{name} does not exist: {remedy}"))
}

/// The error for a user of an unusable DatabricksAuth. Ready objects stay Ready while the host is unreachable for a moment,
/// or while the account rejects the operator's calls: neither says anything about them.
fn unusable(namespace: &str, name: &str, error: Error, deleting: bool) -> Error {
    let message = format!("{AUTH_KIND} {namespace}/{name} is not usable: {error}");
    match error {
        // A deletion that waits for credentials is blocked if that lasts, whatever the account or the network say.
        Error::Transient { after, .. } if deleting => {
            Error::Transient { reason: Reason::CredentialsUnavailable, message, after }
        }
        Error::Transient { reason, after, .. } => Error::Transient { reason, message, after },
        Error::Rejected { reason: reason @ Reason::AddressBlocked, .. } if !deleting => {
            Error::Transient { reason, message, after: None }
        }
        Error::Terminal { reason: Reason::CredentialsInvalid, .. }
        | Error::Waiting { reason: Reason::CredentialsInvalid, .. }
        | Error::Rejected { reason: Reason::CredentialsInvalid, .. } => {
            Error::waiting(Reason::CredentialsInvalid, message)
        }
        _ => Error::waiting(Reason::CredentialsUnavailable, message),
    }
}
