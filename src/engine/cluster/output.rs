//! The Kubernetes Secret that an object of ours writes a secret of the account to: reserved empty before the account creates the
//! secret, and filled before the status records it. It names the id whose secret it holds, so it is the record of a create
//! whose status was not written.
//!
//! Nothing is written to a Secret that another owner has, and every write names the version that it rests on: of two operators,
//! the later one finds what the other wrote. No error here repeats what was sent.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::objects::{FIELD_MANAGER, timed};
use crate::engine::crd::{EXTERNAL_ID, RENEWAL, Reason};
use crate::engine::error::{Asked, Error, Result};

/// What is known of the Secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// There is none.
    Absent,
    /// There is one that this object did not create.
    Foreign,
    /// It is the object's own.
    Own(Reserved),
}

/// A Secret that the object owns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// Its version; none if it does not exist.
    version: Option<String>,
    /// Whose secret it holds; none if it holds none.
    pub id: Option<String>,
    /// The renewal that it was written for.
    pub renewal: Option<String>,
}

/// Where a secret goes.
pub struct OutputSecret<'a> {
    /// The way to the API server.
    pub client: &'a Client,
    /// The type of the object that owns the Secret.
    pub resource: &'a ApiResource,
    /// The object.
    pub owner: &'a DynamicObject,
    /// The name of the Secret, in the namespace of the object.
    pub name: &'a str,
    /// The key in it.
    pub key: &'a str,
}

/// A secret, and what is noted beside it.
pub struct Content<'a> {
    /// The id in the account.
    pub id: &'a str,
    /// The renewal that requested it.
    pub renewal: Option<&'a str>,
    /// The secret itself.
    pub secret: &'a SecretString,
}

/// Why a secret is not in its Secret. It is lost then.
#[derive(Debug)]
pub enum NotFilled {
    /// Another operator wrote it: that one's secret counts.
    Overtaken,
    /// The cluster does not accept it.
    Failed(Error),
}

/// So often a write is tried: the secret is lost if none succeeds.
const TRIES: u32 = 20;

impl OutputSecret<'_> {
    /// Reads the Secret.
    pub async fn read(&self) -> Result<Held> {
        let found = timed(Asked::Read(&self.called()), self.api().get_opt(self.name)).await;
        Ok(found.map_err(|error| self.permitted(error))?.map_or(Held::Absent, |secret| self.held(secret)))
    }

    /// Creates the Secret without a value, unless it exists.
    pub async fn reserve(&self) -> Result<Reserved> {
        let held = match self.read().await? {
            Held::Absent => match self.create(None).await {
                // It appeared in between.
                Err(Error::Conflict(_)) => self.read().await?,
                created => self.held(created?),
            },
            known => known,
        };
        match held {
            Held::Own(reserved) => Ok(reserved),
            Held::Foreign => Err(foreign(self.name)),
            Held::Absent => Err(Error::retry(format!("the {} was deleted just now", self.called()))),
        }
    }

    /// Writes a secret into the Secret that was reserved for it.
    pub async fn fill(&self, mut reserved: Reserved, content: &Content<'_>) -> Result<(), NotFilled> {
        let before = reserved.id.clone();
        let mut tries = 0;
        loop {
            let error = match self.write(&reserved, content).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            if tries == TRIES {
                return Err(NotFilled::Failed(error));
            }
            if !matches!(error, Error::Conflict(_)) {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            // It may have been written without a response, changed, or deleted.
            match self.read().await {
                Ok(Held::Own(now)) if now.id.as_deref() == Some(content.id) => return Ok(()),
                Ok(Held::Own(now)) if now.id == before || now.id.is_none() => reserved = now,
                Ok(Held::Own(_)) => return Err(NotFilled::Overtaken),
                Ok(Held::Absent) => reserved = Reserved::default(),
                Ok(Held::Foreign) => return Err(NotFilled::Failed(foreign(self.name))),
                Err(_) => {}
            }
        }
    }

    async fn write(&self, reserved: &Reserved, content: &Content<'_>) -> Result<()> {
        let Some(version) = &reserved.version else { return self.create(Some(content)).await.map(drop) };
        let mut patch = self.manifest(Some(content));
        patch["metadata"]["resourceVersion"] = json!(version);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(&patch);
        let (api, what) = (self.api(), self.called());
        let written = timed(Asked::Write(&what), api.patch_metadata(self.name, &params, &patch)).await;
        written.map(drop).map_err(|error| self.permitted(error))
    }

    async fn create(&self, content: Option<&Content<'_>>) -> Result<Secret> {
        let mut manifest = self.manifest(content);
        // No renewal is no annotation.
        if let Some(annotations) = manifest["metadata"]["annotations"].as_object_mut() {
            annotations.retain(|_, value| !value.is_null());
        }
        let secret: Secret = serde_json::from_value(manifest)
            .map_err(|_| Error::terminal(Reason::InternalError, "the Secret cannot be written as JSON"))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let what = self.called();
        let created = timed(Asked::Write(&what), self.api().create(&params, &secret)).await;
        created.map_err(|error| self.permitted(error))
    }

    fn manifest(&self, content: Option<&Content<'_>>) -> Value {
        let owner = self.owner;
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": self.name,
                "namespace": owner.namespace(),
                "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
                "ownerReferences": [{
                    "apiVersion": self.resource.api_version, "kind": self.resource.kind,
                    "name": owner.name_any(), "uid": owner.uid(), "controller": true,
                }],
            },
        });
        if let Some(content) = content {
            secret["metadata"]["annotations"] = json!({EXTERNAL_ID: content.id, RENEWAL: content.renewal});
            secret["stringData"] = json!({self.key: content.secret.expose_secret()});
        }
        secret
    }

    /// A Secret without a value holds nothing, whatever its annotations say.
    fn held(&self, secret: Secret) -> Held {
        let uid = self.owner.uid();
        let mut owners = secret.metadata.owner_references.iter().flatten();
        if !owners.any(|owner| Some(&owner.uid) == uid.as_ref() && owner.controller == Some(true)) {
            return Held::Foreign;
        }
        let value = secret.data.as_ref().and_then(|data| data.get(self.key));
        let filled = value.is_some_and(|value| !value.0.is_empty());
        let note = |name| secret.metadata.annotations.as_ref()?.get(name).cloned();
        Held::Own(Reserved {
            version: secret.metadata.resource_version.clone(),
            id: note(EXTERNAL_ID).filter(|_| filled),
            renewal: note(RENEWAL),
        })
    }

    /// What to do about a missing right. The API server may quote what it does not accept, so that is not repeated.
    fn permitted(&self, error: Error) -> Error {
        match error {
            Error::Rejected { reason: Reason::OperatorNotPermitted, message, .. } => {
                let namespace = self.owner.namespace().unwrap_or_default();
                let text = format!(
                    "{message}; the operator writes Secrets only where the chart's value rbac.outputSecrets.enabled allows it: \
                     set it, and name {namespace} in rbac.outputSecrets.namespaces if that is set"
                );
                Error::rejected(Reason::SecretNotWritable, text)
            }
            Error::Rejected { reason: reason @ Reason::InvalidSpec, .. } => Error::rejected(
                reason,
                format!("the Kubernetes API server does not accept the {}", self.called()),
            ),
            error => error,
        }
    }

    fn called(&self) -> String {
        format!("Secret {}/{}", self.owner.namespace().unwrap_or_default(), self.name)
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.owner.namespace().unwrap_or_default())
    }
}

/// The refusal of a Secret that the object does not own.
pub fn foreign(name: &str) -> Error {
    let text = format!(
        "the Secret {name} exists, and this object did not create it, so nothing is written to it: write another secretName, or \
         delete the Secret if it is not needed"
    );
    Error::terminal(Reason::SecretNotOwned, text)
}
