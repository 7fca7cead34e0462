//! The Secret that a DatabricksAuth names: read by name, watched by name, never listed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, WatchParams};
use kube::core::WatchEvent;
use kube::{Client as KubeClient, ResourceExt};
use secrecy::SecretString;
use tokio::time::Instant;

use super::auths::{Auths, Watched};
use crate::engine::cluster::timed;
use crate::engine::crd::{ObjectName, Reason, SecretKeyRef};
use crate::engine::error::{Asked, Error, Result, chain};
use crate::engine::memory::Wake;

/// What to do if a Secret may not be read.
fn unreadable(error: Error) -> Error {
    match error {
        Error::Rejected { reason: Reason::OperatorNotPermitted, message, patience, read } => {
            Error::Rejected {
                reason: Reason::SecretNotReadable,
                message: format!(
                    "{message}; where the chart's values rbac.secretNames and rbac.secretNamespaces are set, name the Secret \
                 and its namespace there"
                ),
                patience,
                read,
            }
        }
        error => error,
    }
}

/// A DatabricksAuth may be deleted with its whole namespace, in which nothing can be created any more.
fn absent(secret: &str, at: &SecretKeyRef, deleting: bool) -> String {
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

impl Auths {
    /// The value, with UID and version of the Secret. `deleting` says that the DatabricksAuth is being deleted.
    pub async fn secret(
        &self,
        namespace: &str,
        at: &SecretKeyRef,
        deleting: bool,
    ) -> Result<(SecretString, (String, String))> {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let name = format!("Secret {namespace}/{}", at.name);
        let read = timed(Asked::Read(&name), api.get_opt(&at.name)).await;
        let Some(secret) = read.map_err(unreadable)? else {
            return Err(Error::waiting(Reason::SecretNotFound, absent(&name, at, deleting)));
        };
        let version = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
        let key = (namespace.to_owned(), at.name.clone());
        self.read.lock().expect("no panic while held").insert(key, version.1.clone());
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

    /// Watches the one Secret that a DatabricksAuth names, by name: the operator never lists Secrets.
    pub fn watch_secret(&self, who: &ObjectName, secret: Option<&str>) {
        let mut watched = self.secrets.lock().expect("no panic while held");
        let wanted = secret.map(|name| (who.namespace.clone(), name.to_owned()));
        watched.retain(|key, w| {
            if Some(key) != wanted.as_ref() {
                w.auths.remove(who);
            }
            if w.auths.is_empty() {
                w.task.abort();
                self.read.lock().expect("no panic while held").remove(key);
            }
            !w.auths.is_empty()
        });
        let Some(key) = wanted else { return };
        let watch = watched.entry(key.clone()).or_insert_with(|| Watched {
            task: tokio::spawn(watch_secret(self.kube.clone(), key, self.wake.clone(), self.read.clone())),
            auths: HashSet::new(),
        });
        watch.auths.insert(who.clone());
    }
}

/// Triggers the DatabricksAuths that refer to a Secret whenever it is created, changed or deleted. A watch from version 0
/// begins with the object as it is, so no list is needed; a change between two watches shows in its version.
async fn watch_secret(
    client: KubeClient,
    key: (String, String),
    wake: Arc<Wake>,
    read: Arc<Mutex<HashMap<(String, String), String>>>,
) {
    let (namespace, name) = key.clone();
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(240);
    let secret = ObjectName { kind: "Secret".into(), namespace: namespace.clone(), name: name.clone() };
    let mut version = None;
    let mut pause = Duration::from_secs(1);
    loop {
        let began = Instant::now();
        let ended = async {
            let mut events = std::pin::pin!(api.watch_metadata(&params, "0").await?);
            while let Some(event) = events.try_next().await? {
                let seen = match event {
                    WatchEvent::Added(o) | WatchEvent::Modified(o) => o.metadata.resource_version,
                    WatchEvent::Deleted(_) => None,
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                };
                let known = read.lock().expect("no panic while held").get(&key).cloned();
                if version != seen && (seen.is_none() || known != seen) {
                    wake.wake_dependents(&secret);
                }
                version = seen;
            }
            Ok(())
        };
        if let Err(error) = ended.await {
            tracing::debug!(secret = %secret, error = chain(&error), "watch of a Secret ended; starting again");
        }
        pause =
            if began.elapsed() > GOOD_WATCH { Duration::from_secs(1) } else { (pause * 2).min(GOOD_WATCH) };
        tokio::time::sleep(pause).await;
        // A deletion in between sends no event; the next watch then begins with no object.
        if let Ok(found) = timed(Asked::Read("a Secret"), api.get_metadata_opt(&name)).await {
            let seen = found.and_then(|o| o.metadata.resource_version);
            if version != seen {
                version = seen;
                wake.wake_dependents(&secret);
            }
        }
    }
}

/// A watch that lasted this long was a good one; the longest pause after one that was not.
const GOOD_WATCH: Duration = Duration::from_secs(30);
