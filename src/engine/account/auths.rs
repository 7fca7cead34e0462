//! All DatabricksAuths as the kinds see them, and the sessions behind them. A DatabricksAuth itself is reconciled in
//! `pass/databricks_auth.rs`.
//!
//! It is no [`crate::engine::kind::ExternalResource`]: nothing is created in the account. Its `Ready` means that a token
//! was obtained and nothing contradicts the account id. A session belongs to one version of one Secret, one host and one
//! account, so a rotated or repointed credential can never be mixed up with another's; the last good session of a
//! DatabricksAuth is kept in memory for deletions alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use kube::core::DynamicObject;
use kube::{Client as KubeClient, ResourceExt};
use serde_json::Value;
use tokio::time::Instant;

use super::grants::{self, Admission, Applicant};
use super::labels::Namespaces;
use super::session::{Session, SessionKey};
use crate::databricks::{self, Client, Connection, Host, HostPolicy, Settings};
use crate::engine::crd::{AuthRef, DatabricksAuthSpec, KIND, ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::AuthFacts;
use crate::engine::memory::Wake;

/// All DatabricksAuths as the kinds see them.
pub struct Auths {
    pub(super) kube: KubeClient,
    pub(super) wake: Arc<Wake>,
    policy: HostPolicy,
    settings: Settings,
    /// For grants by their labels.
    pub namespaces: Namespaces,
    entries: Mutex<HashMap<(String, String), Entry>>,
    pub(super) secrets: Mutex<HashMap<(String, String), Watched>>,
    /// The versions of Secrets that reconciles have read, so that their watches need not trigger another one.
    pub(super) read: Arc<Mutex<HashMap<(String, String), String>>>,
    /// When the last trouble of a DatabricksAuth triggered its reconcile.
    reported: Mutex<HashMap<ObjectName, Instant>>,
}

#[derive(Clone)]
struct Entry {
    spec: DatabricksAuthSpec,
    usable: Result<Arc<Session>>,
    last_good: Option<Arc<Session>>,
}

impl Entry {
    /// The session for an object, or why there is none. A deletion may use a session that the account refuses, or the last
    /// good one unless the DatabricksAuth is suspended.
    fn session(&self, deleting: bool) -> Result<Arc<Session>> {
        match (&self.usable, &self.last_good) {
            (Ok(session), _) => match session.refusal().filter(|_| !deleting) {
                Some(error) => Err(error),
                None => Ok(session.clone()),
            },
            (Err(_), Some(session)) if deleting && self.spec.suspend != Some(true) => Ok(session.clone()),
            (Err(error), _) => Err(error.clone()),
        }
    }
}

pub struct Watched {
    pub(super) task: tokio::task::JoinHandle<()>,
    pub(super) auths: HashSet<ObjectName>,
}

impl Auths {
    /// None yet. `chosen` says that only chosen namespaces are watched.
    pub fn new(
        kube: KubeClient,
        wake: Arc<Wake>,
        policy: HostPolicy,
        settings: Settings,
        chosen: bool,
    ) -> Auths {
        Auths {
            namespaces: Namespaces::new(kube.clone(), wake.clone(), chosen),
            kube,
            wake,
            policy,
            settings,
            entries: Mutex::default(),
            secrets: Mutex::default(),
            read: Arc::default(),
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
        let home = auth.namespace.as_deref().unwrap_or(namespace);
        let refused = || not_permitted(home, &auth.name, applicant);
        let entry = self.entries().get(&(home.to_owned(), auth.name.clone())).cloned();
        let Some(entry) = entry else {
            return Err(match (known, home == namespace) {
                // Just after a start: this is no news, and its reconcile triggers ours.
                (true, true) => {
                    Error::Conflict(format!("{KIND} {home}/{} was not reconciled yet", auth.name))
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
        Ok(Admission { session, grants, resync: entry.spec.resync_interval })
    }

    /// The longest delay that the account asks for, if it does.
    pub fn throttled(&self, who: &ObjectName) -> Option<Duration> {
        let entries = self.entries();
        let entry = entries.get(&(who.namespace.clone(), who.name.clone()))?;
        entry.usable.as_ref().ok()?.client.throttled()
    }

    /// When the first of the tokens in use expires.
    pub fn token_expiry(&self) -> Option<SystemTime> {
        let entries = self.entries();
        let usable = entries.values().filter_map(|entry| entry.usable.as_ref().ok());
        usable.filter_map(|session| session.client.token_expiry()).min()
    }

    /// Stores the result of a reconcile, and triggers the users of the DatabricksAuth if that is news to them.
    pub fn store(&self, who: &ObjectName, spec: &DatabricksAuthSpec, usable: Result<Arc<Session>>) {
        let mut entries = self.entries();
        let key = (who.namespace.clone(), who.name.clone());
        let old = entries.get(&key);
        let same_session = match (old.map(|e| &e.usable), &usable) {
            (Some(Ok(old)), Ok(new)) => Arc::ptr_eq(old, new),
            (Some(Err(old)), Err(new)) => old == new,
            _ => false,
        };
        let news = !same_session || old.is_none_or(|e| e.spec != *spec);
        let good = usable.as_ref().ok().filter(|session| session.refusal().is_none()).cloned();
        let last_good = good.or_else(|| old.and_then(|e| e.last_good.clone()));
        entries.insert(key, Entry { spec: spec.clone(), usable, last_good });
        drop(entries);
        if news {
            self.wake.wake_dependents(who);
        }
    }

    /// Applies a changed spec before it is known whether it works: a revoked grant is not used again, and neither are
    /// credentials that were replaced.
    pub fn announce(&self, who: &ObjectName, spec: &DatabricksAuthSpec) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&(who.namespace.clone(), who.name.clone())) else { return };
        let same = |a: &DatabricksAuthSpec, b: &DatabricksAuthSpec| {
            a.host == b.host
                && a.account_id == b.account_id
                && a.client_id == b.client_id
                && a.client_secret_ref == b.client_secret_ref
                && a.egress_cidrs == b.egress_cidrs
                && a.cloud == b.cloud
        };
        if !same(&entry.spec, spec) {
            entry.usable = Err(Error::retry("it was changed and is being tried"));
        }
        let news = entry.spec != *spec;
        entry.spec = spec.clone();
        drop(entries);
        if news {
            self.wake.wake_dependents(who);
        }
    }

    /// A user of a DatabricksAuth met a rate limit or a refusal: the DatabricksAuth checks for itself, and shows the result
    /// for all. Once in a while is enough.
    pub fn trouble(&self, who: &ObjectName) {
        let mut reported = self.reported.lock().expect("no panic while held");
        let now = Instant::now();
        if reported.get(who).is_none_or(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            reported.insert(who.clone(), now);
            self.wake.wake(who);
        }
    }

    /// A call with a DatabricksAuth was rejected for its token or its address: the DatabricksAuth checks whether all are,
    /// and shows the result for all.
    pub fn doubt(&self, who: &ObjectName) {
        if let Some(session) = self.session(who) {
            session.doubt();
        }
        self.trouble(who);
    }

    /// For how long it has been in doubt whether the account of a DatabricksAuth accepts calls.
    pub fn doubted_for(&self, who: &ObjectName) -> Option<Duration> {
        self.session(who)?.doubted_for()
    }

    /// Forgets a DatabricksAuth that is gone, its token with it.
    pub fn forget(&self, who: &ObjectName) {
        self.entries().remove(&(who.namespace.clone(), who.name.clone()));
        self.reported.lock().expect("no panic while held").remove(who);
        self.watch_secret(who, None);
        self.namespaces.follow(who, false);
        self.wake.wake_dependents(who);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.entries.lock().expect("no panic while held")
    }

    fn session(&self, who: &ObjectName) -> Option<Arc<Session>> {
        let entries = self.entries();
        let entry = entries.get(&(who.namespace.clone(), who.name.clone()))?;
        entry.usable.as_ref().ok().cloned().or_else(|| entry.last_good.clone())
    }

    /// A session for the spec and the Secret as they are now: the present one if nothing changed.
    pub async fn connect(
        &self,
        auth: &DynamicObject,
        spec: &DatabricksAuthSpec,
        who: &ObjectName,
    ) -> Result<Arc<Session>> {
        let host = self.host(spec)?;
        let client_id = spec.client_id.clone().unwrap_or_default();
        let secret_ref = spec.client_secret_ref.as_ref().ok_or_else(|| {
            Error::terminal(Reason::InvalidSpec, "authType OAUTH_M2M needs clientId and clientSecretRef")
        })?;
        let deleting = auth.metadata.deletion_timestamp.is_some();
        let (secret, version) = self.secret(&who.namespace, secret_ref, deleting).await?;
        let key = SessionKey {
            auth: auth.uid().unwrap_or_default(),
            secret: version,
            host: host.as_str().into(),
            account_id: spec.account_id.clone(),
            client_id: client_id.clone(),
        };
        let facts = AuthFacts { client_id: client_id.clone(), egress: egress(spec)?, ..AuthFacts::default() };
        if let Some(session) = self.session(who).filter(|s| s.key == key && s.facts == facts) {
            session.client.authenticate().await.map_err(auth_error)?;
            return Ok(session);
        }
        let connection =
            Connection { host, account_id: spec.account_id.clone(), client_id, client_secret: secret };
        let client = Client::new(connection, &self.settings).map_err(auth_error)?;
        client.authenticate().await.map_err(auth_error)?;
        Ok(Arc::new(Session::new(client, facts, key)))
    }

    /// A reconcile failed before it had a session: if there never was one, the objects that wait get the error.
    pub fn give_up(&self, who: &ObjectName, spec: &Value, error: &Error) {
        let Ok(spec) = serde_json::from_value::<DatabricksAuthSpec>(spec.clone()) else { return };
        let known = self.entries().contains_key(&(who.namespace.clone(), who.name.clone()));
        if !known && !matches!(error, Error::Conflict(_)) {
            self.store(who, &spec, Err(error.clone()));
        }
    }

    /// Whether there is a working session for the DatabricksAuth as it is written now.
    pub fn has_usable(&self, who: &ObjectName, object: &DynamicObject, spec: &DatabricksAuthSpec) -> bool {
        let entries = self.entries();
        entries.get(&(who.namespace.clone(), who.name.clone())).is_some_and(|e| {
            e.spec == *spec && e.usable.as_ref().is_ok_and(|s| Some(&s.key.auth) == object.uid().as_ref())
        })
    }

    fn host(&self, spec: &DatabricksAuthSpec) -> Result<Host> {
        let text =
            spec.host.as_deref().or_else(|| databricks::default_host(spec.cloud.name())).unwrap_or_default();
        Host::parse(text, &self.policy)
            .map_err(|e| Error::terminal(Reason::HostNotAllowed, format!("spec.host: {e}")))
    }
}

/// How long an account may reject a token that it has just issued, or an address, before a person must act.
const REJECTED_FOR: Duration = Duration::from_secs(60);

/// The error for an object that no grant admits, the same whether or not the DatabricksAuth exists.
fn not_permitted(home: &str, name: &str, applicant: Applicant<'_>) -> Error {
    let Applicant { namespace, kind, by_name } = applicant;
    let named = if by_name {
        format!(" whose kinds name {kind}, as no other grant allows it")
    } else {
        String::new()
    };
    let text = format!(
        "{KIND} {home}/{name} does not exist or has no grant that admits {kind} objects of namespace {namespace}: correct \
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
    Error::waiting(Reason::ReferenceNotFound, format!("{KIND} {home}/{name} does not exist: {remedy}"))
}

fn egress(spec: &DatabricksAuthSpec) -> Result<Vec<ipnet::IpNet>> {
    let all = spec.egress_cidrs.iter().flatten();
    all.map(|c| {
        c.network().map(ipnet::IpNet::from).ok_or_else(|| {
            Error::terminal(
                Reason::InvalidSpec,
                format!("spec.egressCidrs: {:?} is no IPv4 address or CIDR", c.0),
            )
        })
    })
    .collect()
}

/// What went wrong, in the words of a DatabricksAuth.
pub fn auth_error(error: impl Into<Error>) -> Error {
    match error.into() {
        Error::Transient { reason: Reason::Retrying, message, after } => {
            Error::Transient { reason: Reason::EndpointUnreachable, message, after }
        }
        Error::Transient {
            reason: reason @ (Reason::CredentialsInvalid | Reason::AddressBlocked),
            message,
            ..
        } => Error::rejected(reason, message).patient(REJECTED_FOR),
        Error::Waiting { reason: Reason::CredentialsInvalid, message } => {
            Error::rejected(Reason::CredentialsInvalid, message)
        }
        Error::Rejected { reason: Reason::NotSupported | Reason::InvalidSpec, message, .. } => {
            Error::rejected(Reason::EndpointUnreachable, message)
        }
        other => other,
    }
}

/// The error for a user of an unusable DatabricksAuth. Ready objects stay Ready while the host is unreachable for a moment,
/// or while the account rejects the operator's calls: neither says anything about them.
fn unusable(namespace: &str, name: &str, error: Error, deleting: bool) -> Error {
    let message = format!("{KIND} {namespace}/{name} is not usable: {error}");
    match error {
        Error::Transient { reason, after, .. } if !deleting => Error::Transient { reason, message, after },
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
