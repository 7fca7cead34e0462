//! The Kubernetes Secret that an object of ours writes a secret of the account to: reserved empty before the account creates the
//! secret, and filled before the status records it. It names the id whose secret it holds, so it is the record of a create
//! whose status was not written.
//!
//! Nothing is written to a Secret that is not the object's own, and every write names the version that it rests on: of two
//! operators, the later one finds what the other wrote. No error here repeats what was sent.
//!
//! A value that another client wrote over it is not the secret of the account: the API server notes in `managedFields` who wrote a
//! value last, and no copy or hash of it is needed to notice.
//!
//! A Secret is the object's own if its controller has the object's kind and name. If it was an earlier object of that name, or the
//! one of a backup, what the Secret holds does not count, and the cluster may be about to delete it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::objects::{FIELD_MANAGER, timed};
use super::owned::{is_of, metadata, remedy};
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
    pub version: Option<String>,
    /// Its owner is this very object, not an earlier one of its name.
    pub owned: bool,
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
    /// What its users need beside it, with its key.
    pub beside: Option<&'a (&'static str, String)>,
}

/// Why a secret is not in its Secret. It is lost then.
#[derive(Debug)]
pub enum NotFilled {
    /// Another operator wrote it: that one's secret counts.
    Overtaken,
    /// The cluster does not accept it.
    Failed(Error),
    /// It may be there nevertheless: a write was sent, and there is no response. Or another operator is in charge, and decides.
    Unknown(Error),
}

/// So often a write is tried: the secret is lost if none succeeds.
const TRIES: u32 = 20;

impl OutputSecret<'_> {
    /// Reads the Secret.
    pub async fn read(&self) -> Result<Held> {
        let found = timed(Asked::Read(&self.called()), self.api().get_opt(self.name)).await;
        Ok(found.map_err(|error| self.permitted(error))?.map_or(Held::Absent, |secret| self.held(secret)))
    }

    /// Creates the Secret without a value, unless it exists, and checks that a value can be written: a secret that the account
    /// creates in vain is lost.
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
            Held::Own(reserved) => {
                let none = &SecretString::from("none");
                let nothing = Content { id: "", renewal: None, secret: none, beside: None };
                self.write(&reserved, &nothing, true).await?;
                Ok(reserved)
            }
            Held::Foreign => Err(foreign(self.name)),
            Held::Absent => Err(Error::retry(format!("the {} was deleted just now", self.called()))),
        }
    }

    /// Writes a secret into the Secret that was reserved for it, as long as `permit` says that this may be done. Returns the version
    /// that this gave it, if that is known.
    pub async fn fill(
        &self,
        mut reserved: Reserved,
        content: &Content<'_>,
        permit: impl Fn() -> bool,
    ) -> Result<Option<String>, NotFilled> {
        let before = reserved.id.clone();
        let (mut tries, mut refused) = (0, true);
        loop {
            if !permit() {
                return Err(NotFilled::Unknown(Error::Fenced));
            }
            let error = match self.write(&reserved, content, false).await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            tries += 1;
            refused &= matches!(error, Error::Conflict(_) | Error::Rejected { .. });
            if tries == TRIES {
                let why = if refused { NotFilled::Failed } else { NotFilled::Unknown };
                return Err(why(error));
            }
            if !matches!(error, Error::Conflict(_)) {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            // It may have been written without a response, changed, or deleted.
            match self.read().await {
                Ok(Held::Own(now)) if now.id.as_deref() == Some(content.id) => return Ok(now.version),
                Ok(Held::Own(now)) if now.id == before || now.id.is_none() => reserved = now,
                Ok(Held::Own(_)) => return Err(NotFilled::Overtaken),
                Ok(Held::Absent) => reserved = Reserved::default(),
                Ok(Held::Foreign) => return Err(NotFilled::Failed(foreign(self.name))),
                Err(_) => {}
            }
        }
    }

    /// `dry`: only checks that it could be written.
    async fn write(&self, reserved: &Reserved, content: &Content<'_>, dry: bool) -> Result<Option<String>> {
        let Some(version) = &reserved.version else {
            let created = self.create(Some(content)).await.map_err(|error| self.unquoted(error))?;
            return Ok(created.metadata.resource_version);
        };
        let mut patch = self.manifest(Some(content));
        patch["metadata"]["resourceVersion"] = json!(version);
        if let (true, Some(metadata)) = (reserved.owned, patch["metadata"].as_object_mut()) {
            // There may be other owners beside it.
            metadata.remove("ownerReferences");
        }
        let manager = Some(FIELD_MANAGER.into());
        let params = PatchParams { field_manager: manager, dry_run: dry, ..PatchParams::default() };
        let patch = Patch::Merge(&patch);
        let (api, what) = (self.api(), self.called());
        let written = timed(Asked::Write(&what), api.patch_metadata(self.name, &params, &patch)).await;
        let version = written.map(|written| written.metadata.resource_version);
        version.map_err(|error| if dry { self.permitted(error) } else { self.unquoted(error) })
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
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": metadata(self.name, self.resource, self.owner),
        });
        if let Some(content) = content {
            secret["metadata"]["annotations"] = json!({EXTERNAL_ID: content.id, RENEWAL: content.renewal});
            secret["stringData"] = json!({self.key: content.secret.expose_secret()});
            if let Some((key, value)) = content.beside {
                secret["stringData"][*key] = json!(value);
            }
        }
        secret
    }

    /// A Secret whose value is missing, or is not what the operator wrote, holds nothing, whatever its annotations say.
    fn held(&self, secret: Secret) -> Held {
        let Some(owned) = is_of(&secret.metadata, self.resource, self.owner) else { return Held::Foreign };
        let value = secret.data.as_ref().and_then(|data| data.get(self.key));
        let filled = value.is_some_and(|value| !value.0.is_empty()) && self.wrote_value(&secret);
        let note = |name| secret.metadata.annotations.as_ref()?.get(name).cloned();
        Held::Own(Reserved {
            version: secret.metadata.resource_version.clone(),
            owned,
            id: note(EXTERNAL_ID).filter(|_| filled && owned),
            renewal: note(RENEWAL),
        })
    }

    /// Whether nothing says that another client has changed the value: it would be the manager of the field. A cluster may keep no
    /// managers, and joins old ones.
    fn wrote_value(&self, secret: &Secret) -> bool {
        let field = format!("f:{}", self.key);
        let entries = secret.metadata.managed_fields.iter().flatten();
        let managers: Vec<&str> = entries
            .filter(|entry| {
                entry.fields_v1.as_ref().is_some_and(|fields| !fields.0["f:data"][&field].is_null())
            })
            .filter_map(|entry| entry.manager.as_deref())
            .collect();
        managers.is_empty()
            || managers.iter().any(|manager| [FIELD_MANAGER, "ancient-changes"].contains(manager))
    }

    /// Why a secret was not written: the API server, or a policy of the cluster, may quote what it does not accept, so nothing
    /// that it says is repeated.
    fn unquoted(&self, error: Error) -> Error {
        let what = self.called();
        match error {
            Error::Rejected { reason, .. } => Error::rejected(
                reason,
                format!("the cluster did not let the operator write the value of the {what}"),
            ),
            Error::Conflict(_) => error,
            _ => Error::retry(format!("the Kubernetes API server did not write the value of the {what}")),
        }
    }

    /// What to do about a refusal.
    fn permitted(&self, error: Error) -> Error {
        match error {
            Error::Rejected { reason: Reason::OperatorNotPermitted, message, .. } => {
                let namespace = self.owner.namespace().unwrap_or_default();
                let right = format!(
                    "the operator writes Secrets only where the chart's value rbac.outputSecrets.enabled allows it: set it, and \
                     name {namespace} in rbac.outputSecrets.namespaces if that is set"
                );
                let text = format!("{message}; {}", remedy(&message, &right));
                Error::rejected(Reason::SecretNotWritable, text)
            }
            Error::Rejected { reason: reason @ Reason::InvalidSpec, .. } => Error::rejected(
                reason,
                format!(
                    "the Kubernetes API server does not accept the {}: if it is immutable, delete it; otherwise a policy of the \
                     cluster may refuse it",
                    self.called()
                ),
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
