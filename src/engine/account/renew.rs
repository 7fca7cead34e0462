//! How a DatabricksAuth gets its session, from the Secret to the stored result: read [`Auths::renew`] first, the other functions
//! are in the order in which it calls them. `auths.rs` gives the session to objects.
//!
//! A session means that a token was obtained and nothing contradicts the account id. It belongs to one version of one Secret,
//! one host and one account, so a rotated or repointed credential can never be mixed up with another's.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::core::DynamicObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::auths::{Auths, Entry};
use super::grants;
use super::session::{Session, SessionKey};
use crate::databricks::{self, Client, Connection, Credentials, GoogleKey, Host};
use crate::engine::crd::{
    AuthType, Cloud, ConditionType, Conditions, DatabricksAuthSpec, ObjectName, Reason,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::AuthFacts;

/// How long an account may reject a token that it has just issued, or an address, before a person must act.
const REJECTED_FOR: Duration = Duration::from_secs(60);

/// What a renewal resulted in, if it did not fail.
pub enum Renewed {
    /// `spec.suspend` is true: there is no session.
    Suspended,
    /// There is a session, and the account is not known to reject its calls.
    Works {
        /// The session.
        session: Arc<Session>,
        /// The longest delay that the account asks for, if it does.
        throttled: Option<Duration>,
        /// Why grants by labels have no effect, and what to write, if they have none.
        unreadable: Option<&'static str>,
    },
}

impl Auths {
    /// Obtains a session for a DatabricksAuth as it is written now, and triggers its users if that is news to them. Only its
    /// reconciles call this, and there is one at a time.
    pub async fn renew(
        &self,
        who: &ObjectName,
        object: &DynamicObject,
        spec: &DatabricksAuthSpec,
    ) -> Result<Renewed> {
        // Before anything is read, so that a change in between triggers the next reconcile.
        self.secrets.watch(who, spec.client_secret_ref.as_ref().map(|secret| secret.name.as_str()));
        self.namespaces.follow(who, grants::asks_for_labels(spec));
        self.unreadable().remove(who);
        self.apply_spec(who, spec);
        if spec.suspend == Some(true) {
            let suspended = Error::waiting(Reason::CredentialsUnavailable, "spec.suspend is true");
            self.store(who, spec, Err(suspended));
            return Ok(Renewed::Suspended);
        }
        let connected = self.connect(who, object, spec).await;
        let renewed = match &connected {
            Ok(session) => match self.prove(who, object, session).await {
                Ok(()) => Ok(self.works(who, spec, session).await),
                Err(error) => Err(error),
            },
            Err(error) => Err(error.clone()),
        };
        // A working session survives an endpoint that is unreachable, or a Secret that is unreadable, for a moment.
        let unread = matches!(&connected, Err(Error::Rejected { reason: Reason::SecretNotReadable, .. }));
        let passing = unread || matches!(&connected, Err(Error::Transient { .. } | Error::Conflict(_)));
        let usable = self.has_usable(who, object, spec);
        if !(passing && usable) {
            self.store(who, spec, connected);
        }
        match renewed {
            // Whatever the status says, there is no session to work with.
            Err(Error::Rejected { reason, message, patience, .. }) if unread && !usable => {
                Err(Error::Rejected { reason, message, patience, about_object: true })
            }
            renewed => renewed,
        }
    }

    /// Applies a changed spec before it is known whether it works: a revoked grant is not used again, and neither are
    /// credentials that were replaced.
    fn apply_spec(&self, who: &ObjectName, spec: &DatabricksAuthSpec) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(who) else { return };
        let same = |a: &DatabricksAuthSpec, b: &DatabricksAuthSpec| {
            a.host == b.host
                && a.account_id == b.account_id
                && a.auth_type == b.auth_type
                && a.client_id == b.client_id
                && a.client_secret_ref == b.client_secret_ref
                && a.egress_cidrs == b.egress_cidrs
                && a.cloud == b.cloud
        };
        if !same(&entry.spec, spec) {
            entry.usable = Err(Error::retry("it was changed, and its credentials are being checked"));
        }
        let news = entry.spec != *spec;
        entry.spec = spec.clone();
        drop(entries);
        if news {
            self.triggers.trigger_dependents(who);
        }
    }

    /// A session for the spec and the Secret as they are now: the present one if nothing changed.
    async fn connect(
        &self,
        who: &ObjectName,
        object: &DynamicObject,
        spec: &DatabricksAuthSpec,
    ) -> Result<Arc<Session>> {
        let host = self.host(spec)?;
        let client_id = spec.client_id.clone().unwrap_or_default();
        let deleting = object.metadata.deletion_timestamp.is_some();
        let (secret, version) = match &spec.client_secret_ref {
            Some(secret_ref) => {
                let (secret, version) = self.secrets.read(who, secret_ref, deleting).await?;
                (Some(secret), version)
            }
            None => {
                self.may_be_the_operator(who, spec)?;
                (None, Default::default())
            }
        };
        let key = SessionKey {
            auth: object.uid().unwrap_or_default(),
            secret: version,
            host: host.as_str().into(),
            account_id: spec.account_id.clone(),
            client_id: client_id.clone(),
            auth_type: spec.auth_type,
            cloud: spec.cloud,
        };
        let facts = AuthFacts { client_id: client_id.clone(), egress: egress(spec)?, ..AuthFacts::default() };
        let former: Vec<_> = self.session(who).into_iter().chain(self.failed().remove(who)).collect();
        let session = match former.iter().find(|s| s.key == key && s.facts == facts).cloned() {
            Some(session) => session,
            None => {
                // With the same service principal, the rates continue: a former client still has them.
                let credentials = self.credentials(spec, secret)?;
                let account_id = spec.account_id.clone();
                let on_google = host.on_google().unwrap_or(spec.cloud == Cloud::GCP);
                let connection = Connection { host, account_id, client_id, credentials, on_google };
                let client = Client::new(connection, &self.settings).map_err(auth_error)?;
                Arc::new(Session::new(client, facts, key))
            }
        };
        if let Err(error) = session.client.authenticate().await {
            self.failed().insert(who.clone(), session);
            return Err(auth_error(error));
        }
        Ok(session)
    }

    /// The host of the spec, or that of its cloud.
    fn host(&self, spec: &DatabricksAuthSpec) -> Result<Host> {
        let text =
            spec.host.as_deref().or_else(|| databricks::default_host(spec.cloud.name())).unwrap_or_default();
        let refused = |why: String| Error::terminal(Reason::HostNotAllowed, format!("spec.host: {why}"));
        let host = Host::parse(text, &self.settings.hosts).map_err(|e| refused(e.to_string()))?;
        if spec.auth_type == AuthType::GoogleId && !host.takes_google_tokens() {
            return Err(refused(format!(
                "{host} is no host of Databricks on Google Cloud, and with authType GOOGLE_ID tokens of Google are sent to no other \
                 one: write one like `https://accounts.gcp.databricks.com`, or set authType to OAUTH_M2M"
            )));
        }
        Ok(host)
    }

    /// Fails unless a DatabricksAuth without a Secret may sign in as the operator itself. It is no right of the namespace, only of those
    /// that the user that runs the operator has named.
    fn may_be_the_operator(&self, who: &ObjectName, spec: &DatabricksAuthSpec) -> Result<()> {
        if spec.auth_type != AuthType::GoogleId {
            let text = format!("authType {} needs clientId and clientSecretRef", spec.auth_type.name());
            return Err(Error::terminal(Reason::InvalidSpec, text));
        }
        if self.google_identity.contains(&who.namespace) {
            return Ok(());
        }
        let text = format!(
            "without spec.clientSecretRef the operator would sign in as its own Google service account, and that is not allowed for \
             namespace {0}: name a Secret with the key of a Google service account in spec.clientSecretRef, or have {0} added to \
             --google-identity-namespaces of the operator",
            who.namespace
        );
        Err(Error::terminal(Reason::CredentialsInvalid, text))
    }

    /// What the value in the Secret is, by `authType`; without one, the operator's own identity.
    fn credentials(&self, spec: &DatabricksAuthSpec, secret: Option<SecretString>) -> Result<Credentials> {
        let Some(secret) = secret else { return Ok(Credentials::GoogleWorkload) };
        let unusable = |why: &str| {
            let text = format!("the value in the Secret of spec.clientSecretRef cannot be used: {why}");
            Error::terminal(Reason::CredentialsInvalid, text)
        };
        if spec.auth_type == AuthType::OauthM2m {
            // A Secret may get the key before its DatabricksAuth gets the type, and a client secret is sent.
            if secret.expose_secret().trim_start().starts_with('{') {
                return Err(unusable(
                    "it is a key file, and not the secret of a service principal: if it is the key of a Google service account, \
                    set spec.authType to GOOGLE_ID",
                ));
            }
            return Ok(Credentials::Secret(secret));
        }
        let key = GoogleKey::parse(&secret, &self.settings.hosts).map_err(|why| unusable(&why))?;
        let client_id = spec.client_id.as_deref().unwrap_or_default();
        if key.email() != client_id {
            return Err(unusable(
                "it is the key of another service account than spec.clientId names: write the e-mail address of the key's service \
                 account in spec.clientId, or write the key of the account that spec.clientId names into the Secret",
            ));
        }
        Ok(Credentials::Google(key))
    }

    /// After a rejected call, or while the status says that all are rejected, a token alone proves nothing: the operator asks
    /// the account whether it accepts calls. If the result differs from before, the users of the DatabricksAuth are reconciled.
    async fn prove(&self, who: &ObjectName, object: &DynamicObject, session: &Session) -> Result<()> {
        let rejected = [Reason::CredentialsInvalid, Reason::AddressBlocked].map(Reason::name);
        let shows_rejection = Conditions::of(object)
            .get(ConditionType::Ready)
            .is_some_and(|ready| rejected.contains(&&*ready.reason));
        if session.doubted_for().is_none() && !shows_rejection {
            return Ok(());
        }
        // The status stays valid until there is a response.
        session.doubt();
        let before = session.refusal();
        let proven = session.prove().await;
        if session.refusal() != before {
            self.triggers.trigger_dependents(who);
        }
        proven.map_err(auth_error)
    }

    /// What is known of a session that works.
    async fn works(&self, who: &ObjectName, spec: &DatabricksAuthSpec, session: &Arc<Session>) -> Renewed {
        let by_label = grants::asks_for_labels(spec);
        // A transient failure to read them is no news.
        let unreadable = by_label && matches!(self.namespaces.labels(&who.namespace).await, Ok(None));
        Renewed::Works {
            session: session.clone(),
            throttled: self.throttled(who),
            unreadable: unreadable.then(|| self.namespaces.not_readable()),
        }
    }

    /// Whether there is a working session for the DatabricksAuth as it is written now.
    fn has_usable(&self, who: &ObjectName, object: &DynamicObject, spec: &DatabricksAuthSpec) -> bool {
        let entries = self.entries();
        entries.get(who).is_some_and(|e| {
            e.spec == *spec && e.usable.as_ref().is_ok_and(|s| Some(&s.key.auth) == object.uid().as_ref())
        })
    }

    /// Stores the result of a reconcile, and triggers the users of the DatabricksAuth if that is news to them.
    pub fn store(&self, who: &ObjectName, spec: &DatabricksAuthSpec, usable: Result<Arc<Session>>) {
        let mut entries = self.entries();
        let old = entries.get(who);
        let same_session = match (old.map(|e| &e.usable), &usable) {
            (Some(Ok(old)), Ok(new)) => Arc::ptr_eq(old, new),
            (Some(Err(old)), Err(new)) => old == new,
            _ => false,
        };
        let news = !same_session || old.is_none_or(|e| e.spec != *spec);
        let good = usable.as_ref().ok().filter(|session| session.refusal().is_none()).cloned();
        let last_good = good.or_else(|| old.and_then(|e| e.last_good.clone()));
        entries.insert(who.clone(), Entry { spec: spec.clone(), usable, last_good });
        drop(entries);
        if news {
            self.triggers.trigger_dependents(who);
        }
    }

    /// The spec cannot be read: neither its credentials nor its grants are used any more, not even as they were before. The users of the
    /// DatabricksAuth are triggered if that is news.
    pub fn store_unreadable(&self, who: &ObjectName, error: &Error) {
        let former = self.unreadable().insert(who.clone(), error.clone());
        self.entries().remove(who);
        if former.is_none() {
            self.triggers.trigger_dependents(who);
        }
    }

    /// A reconcile failed before it had a session: if there never was one, the objects that wait get the error.
    pub fn store_first_error(&self, who: &ObjectName, spec: &Value, error: &Error) {
        let Ok(spec) = serde_json::from_value::<DatabricksAuthSpec>(spec.clone()) else { return };
        let known = self.entries().contains_key(who);
        if !known && !matches!(error, Error::Conflict(_)) {
            self.store(who, &spec, Err(error.clone()));
        }
    }
}

/// The addresses that the operator calls from, as the spec has them.
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
fn auth_error(error: impl Into<Error>) -> Error {
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
