//! The ConfigMap that an object of ours writes its ids and facts to, for programs that cannot read a status: a Deployment that
//! mounts it, Flux that substitutes from it, Terraform. It is a ConfigMap and no Secret, as nothing in a status is secret: the right to
//! write Secrets would give more than this needs, and what reads ConfigMaps needs no right to read Secrets.
//!
//! It is read before it is written, and every write names the version that it rests on. A server-side apply would be one call, but it
//! adds fields to a ConfigMap that is not the object's own. Nothing is written that is there already.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt};
use serde_json::{Map, Value, json};

use super::objects::{FIELD_MANAGER, merge_patch, timed};
use super::owned::{is_of, metadata, remedy};
use crate::engine::crd::Reason;
use crate::engine::error::{Asked, Error, Result};

/// Kubernetes itself keeps it in each namespace, and writes it again if another client changes it: pods trust the API server by it.
const OF_KUBERNETES: &str = "kube-root-ca.crt";

/// Where the ids and facts of an object go.
pub struct OutputMap<'a> {
    /// The way to the API server.
    pub client: &'a Client,
    /// The type of the object that owns the ConfigMap.
    pub resource: &'a ApiResource,
    /// The object.
    pub owner: &'a DynamicObject,
    /// The name of the ConfigMap, in the namespace of the object.
    pub name: &'a str,
}

impl OutputMap<'_> {
    /// Reads the ConfigMap, if there is one; fails if it is foreign.
    pub async fn read(&self) -> Result<Option<ConfigMap>> {
        let found = self.found().await?;
        match &found {
            Some(held) if is_of(&held.metadata, self.resource, self.owner).is_none() => Err(self.foreign()),
            // It may be missing for a moment.
            _ if self.name == OF_KUBERNETES => Err(self.foreign()),
            _ => Ok(found),
        }
    }

    /// Makes the ConfigMap, as it was read before, have this data and no other. Returns its version.
    pub async fn write(
        &self,
        held: Option<ConfigMap>,
        data: &BTreeMap<String, String>,
    ) -> Result<Option<String>> {
        let Some(held) = held else { return self.create(data).await };
        let mut metadata = Map::new();
        // The cluster is about to delete what an earlier object owned.
        if is_of(&held.metadata, self.resource, self.owner) == Some(false) {
            metadata.insert("ownerReferences".into(), self.metadata()["ownerReferences"].clone());
        }
        let changed = merge_patch(&json!(held.data.unwrap_or_default()), &json!(data));
        if changed.is_none() && metadata.is_empty() {
            return Ok(held.metadata.resource_version);
        }
        metadata.insert("resourceVersion".into(), json!(held.metadata.resource_version));
        let patch = json!({"metadata": metadata, "data": changed.unwrap_or_else(|| json!({}))});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let (api, what, patch) = (self.api(), self.called(), Patch::Merge(&patch));
        let written = timed(Asked::Write(&what), api.patch_metadata(self.name, &params, &patch)).await;
        Ok(written.map_err(|error| self.permitted(error))?.metadata.resource_version)
    }

    /// Deletes the ConfigMap, if it is that of this very object.
    pub async fn delete(&self) -> Result<()> {
        let Some(found) = self.found().await? else { return Ok(()) };
        if is_of(&found.metadata, self.resource, self.owner) != Some(true) {
            return Ok(());
        }
        let (uid, resource_version) = (found.metadata.uid, found.metadata.resource_version);
        let preconditions = Some(Preconditions { uid, resource_version });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let (api, what) = (self.api(), self.called());
        let deleted = timed(Asked::Write(&what), api.delete(self.name, &params)).await;
        deleted.map(drop).map_err(|error| self.permitted(error))
    }

    async fn found(&self) -> Result<Option<ConfigMap>> {
        let (api, what) = (self.api(), self.called());
        let found = timed(Asked::Read(&what), api.get_opt(self.name)).await;
        found.map_err(|error| self.permitted(error))
    }

    async fn create(&self, data: &BTreeMap<String, String>) -> Result<Option<String>> {
        let manifest =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(), "data": data});
        let created: ConfigMap = serde_json::from_value(manifest)
            .map_err(|_| Error::terminal(Reason::InternalError, "the ConfigMap cannot be written as JSON"))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let (api, what) = (self.api(), self.called());
        let created = timed(Asked::Write(&what), api.create(&params, &created)).await;
        Ok(created.map_err(|error| self.permitted(error))?.metadata.resource_version)
    }

    fn metadata(&self) -> Value {
        metadata(self.name, self.resource, self.owner)
    }

    /// What to do about a refusal.
    fn permitted(&self, error: Error) -> Error {
        match error {
            Error::Rejected { reason: Reason::OperatorNotPermitted, message, .. } => {
                let right = format!(
                    "the operator writes ConfigMaps only where the chart's value rbac.outputConfigMaps.enabled allows it: set it, \
                     and name {} in rbac.outputConfigMaps.namespaces if that is set",
                    self.namespace()
                );
                let text = format!("{message}; {}; or remove spec.outputs", remedy(&message, &right));
                Error::rejected(Reason::ConfigMapNotWritable, text)
            }
            Error::Rejected { reason: Reason::InvalidSpec, message, .. } => {
                let text = format!("{message}; if the {} is immutable, delete it", self.called());
                Error::rejected(Reason::ConfigMapNotWritable, text)
            }
            error => error,
        }
    }

    fn foreign(&self) -> Error {
        let text = format!(
            "the {} exists, and this object did not create it, so nothing is written to it: write another name in \
             spec.outputs.configMapName, or delete the ConfigMap if it is not needed",
            self.called()
        );
        Error::terminal(Reason::ConfigMapNotOwned, text)
    }

    fn called(&self) -> String {
        format!("ConfigMap {}/{}", self.namespace(), self.name)
    }

    fn namespace(&self) -> String {
        self.owner.namespace().unwrap_or_default()
    }

    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }
}
