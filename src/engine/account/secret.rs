//! The Secrets that DatabricksAuths name: how their values are read. [`super::named`] watches each.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client as KubeClient, ResourceExt};
use secrecy::SecretString;

use super::named::NamedWatches;
use crate::engine::cluster::timed;
use crate::engine::crd::{ObjectName, Reason, SecretKeyRef};
use crate::engine::error::{Asked, Error, Result};
use crate::engine::memory::Triggers;

/// The Secrets that DatabricksAuths name.
pub struct Secrets {
    kube: KubeClient,
    watches: NamedWatches,
}

impl Secrets {
    /// None is watched yet.
    pub fn new(kube: KubeClient, triggers: Arc<Triggers>) -> Secrets {
        Secrets { watches: NamedWatches::of::<Secret>(kube.clone(), triggers), kube }
    }

    /// A DatabricksAuth names no Secret any more, or is gone.
    pub fn unwatch(&self, auth: &ObjectName) {
        self.watches.unwatch(auth);
    }

    /// Watches the one Secret that a DatabricksAuth names now; none, if it names none.
    pub fn watch(&self, auth: &ObjectName, secret: Option<&str>) {
        self.watches.watch(auth, secret);
    }

    /// The value under a key of the Secret that a DatabricksAuth names, with UID and version of the Secret. `deleting` says
    /// that the DatabricksAuth is being deleted.
    pub async fn read(
        &self,
        auth: &ObjectName,
        at: &SecretKeyRef,
        deleting: bool,
    ) -> Result<(SecretString, (String, String))> {
        let name = self.watches.named(auth, &at.name);
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), &name.namespace);
        let read = timed(Asked::Read(&name.to_string()), api.get_opt(&at.name)).await;
        let Some(secret) = read.map_err(unreadable)? else {
            return Err(Error::waiting(Reason::SecretNotFound, absent(&name, at, deleting)));
        };
        let version = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
        self.watches.knows(auth, &at.name, Some(version.1.clone()));
        let Some(value) = secret.data.and_then(|mut d| d.remove(&at.key)) else {
            let text = format!("{name} has no key {}: add it, or correct spec.clientSecretRef.key", at.key);
            return Err(Error::waiting(Reason::SecretKeyMissing, text));
        };
        // A line break at the end is how editors and `echo` save a secret; it is never part of one.
        let text = String::from_utf8(value.0).ok();
        match text.as_deref().map(|t| t.trim_end_matches(['\r', '\n'])) {
            Some("") => {
                let text =
                    format!("{name} has an empty value under the key {}: write the secret into it", at.key);
                Err(Error::waiting(Reason::SecretValueEmpty, text))
            }
            Some(text) => Ok((SecretString::from(text.to_owned()), version)),
            None => {
                let text = format!(
                    "{name}: the value under the key {} is not text: write the secret into it as it is",
                    at.key
                );
                Err(Error::terminal(Reason::CredentialsInvalid, text))
            }
        }
    }
}

/// What to do if a Secret may not be read.
fn unreadable(error: Error) -> Error {
    match error {
        Error::Rejected { reason: Reason::OperatorNotPermitted, message, patience, about_object } => {
            Error::Rejected {
                reason: Reason::SecretNotReadable,
                message: format!(
                    "{message}; where the chart's values rbac.secretNames and rbac.secretNamespaces are set, name the Secret \
                 and its namespace there"
                ),
                patience,
                about_object,
            }
        }
        error => error,
    }
}

/// A DatabricksAuth may be deleted with its whole namespace, in which nothing can be created any more.
fn absent(secret: &ObjectName, at: &SecretKeyRef, deleting: bool) -> String {
    if deleting {
        return format!(
            "{secret} does not exist any more, and the DatabricksAuth is being deleted: point spec.authRef to another \
             one, or set spec.deletionPolicy to Retain"
        );
    }
    format!(
        "{secret} does not exist: create it with the key {}, or correct spec.clientSecretRef.name",
        at.key
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use axum::Json;
    use axum::body::Body;
    use axum::extract::Request;
    use axum::response::IntoResponse;
    use futures::StreamExt;
    use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::crd::AUTH_KIND;

    const TOO_LONG: Duration = Duration::from_secs(20);

    /// An API server whose Secrets all have this version. Returns the senders of events of the watches that begin.
    fn api_server(version: &Arc<AtomicU32>) -> (KubeClient, UnboundedReceiver<UnboundedSender<String>>) {
        let (began, watches) = unbounded();
        let version = version.clone();
        let serve = move |request: Request| {
            let (began, version) = (began.clone(), version.load(Ordering::SeqCst));
            async move {
                if request.uri().path().ends_with("/secrets") {
                    let (events, body) = unbounded::<String>();
                    began.unbounded_send(events).unwrap();
                    return Body::from_stream(body.map(Ok::<_, Infallible>)).into_response();
                }
                let (metadata, data) = (metadata(version), json!({"key": "eA=="}));
                Json(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))
                    .into_response()
            }
        };
        (KubeClient::new(axum::Router::new().fallback(serve), "default"), watches)
    }

    fn metadata(version: u32) -> Value {
        json!({"name": "databricks", "namespace": "ns", "uid": "uid", "resourceVersion": version.to_string()})
    }

    fn event(what: &str, version: u32) -> String {
        let object = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata(version),
        });
        format!("{}\n", json!({"type": what, "object": object}))
    }

    fn auth(name: &str) -> ObjectName {
        ObjectName { kind: AUTH_KIND.into(), namespace: "ns".into(), name: name.into() }
    }

    /// One of them is reconciled for another cause just after the change, and reads the new value before the watch shows it.
    #[tokio::test]
    async fn a_changed_secret_triggers_each_databricks_auth_that_has_not_read_it() {
        let version = Arc::new(AtomicU32::new(1));
        let (kube, mut watches) = api_server(&version);
        let triggers = Arc::new(Triggers::default());
        let triggered = triggers.subscribe(AUTH_KIND, None);
        let secrets = Secrets::new(kube, triggers);
        let at = SecretKeyRef { name: "databricks".into(), key: "key".into() };
        let (early, late, other) = (auth("early"), auth("late"), auth("other"));
        for auth in [&early, &late] {
            secrets.watch(auth, Some("databricks"));
            secrets.read(auth, &at, false).await.unwrap();
        }
        let events = watches.next().await.unwrap();
        secrets.watch(&other, Some("another"));
        version.store(2, Ordering::SeqCst);
        let (_, read) = secrets.read(&early, &at, false).await.unwrap();
        assert_eq!(read, ("uid".into(), "2".into()));
        for (what, version) in [("MODIFIED", 2), ("MODIFIED", 2), ("DELETED", 2), ("ADDED", 3)] {
            events.unbounded_send(event(what, version)).unwrap();
        }
        let triggered = tokio::time::timeout(TOO_LONG, triggered.take(5).collect::<Vec<_>>()).await;
        assert_eq!(triggered.unwrap(), [&late, &early, &late, &early, &late].map(Clone::clone));
    }

    /// What was read may be deleted before the watch begins, which then shows nothing.
    #[tokio::test]
    async fn who_waits_for_a_change_looks_again_when_the_watch_begins() {
        let (kube, mut watches) = api_server(&Arc::default());
        let triggers = Arc::new(Triggers::default());
        let mut triggered = triggers.subscribe(AUTH_KIND, None);
        let secrets = Secrets::new(kube, triggers);
        let (waits, other) = (auth("waits"), auth("other"));
        for auth in [&waits, &other] {
            secrets.watch(auth, Some("databricks"));
        }
        secrets.watches.waits(&waits, "databricks");
        let next = tokio::time::timeout(TOO_LONG, triggered.next()).await;
        assert_eq!(next.unwrap(), Some(waits.clone()));
        secrets.watches.waits(&waits, "databricks");
        watches.next().await.unwrap().unbounded_send(event("ADDED", 1)).unwrap();
        let both = tokio::time::timeout(TOO_LONG, triggered.take(2).collect::<Vec<_>>()).await;
        assert_eq!(both.unwrap(), [other, waits]);
    }

    #[tokio::test]
    async fn a_secret_is_watched_while_a_databricks_auth_names_it() {
        let (kube, mut watches) = api_server(&Arc::default());
        let secrets = Secrets::new(kube, Arc::default());
        secrets.watch(&auth("one"), Some("databricks"));
        let events = watches.next().await.unwrap();
        secrets.watch(&auth("two"), Some("databricks"));
        secrets.watch(&auth("one"), None);
        secrets.watch(&auth("three"), Some("another"));
        let more = watches.next().await.unwrap();
        assert!(!events.is_closed(), "one DatabricksAuth still names it");
        secrets.watch(&auth("two"), Some("another"));
        let closed = async {
            while !events.is_closed() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TOO_LONG, closed).await.unwrap();
        assert!(!more.is_closed());
        assert!(watches.try_recv().is_err(), "both name the same Secret now");
    }
}
