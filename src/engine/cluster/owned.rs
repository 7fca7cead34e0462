//! What belongs to an object of ours, a Secret or a ConfigMap: what its metadata say of that when the operator creates it, and how it
//! is recognised. Pure.
//!
//! The owner is the controller, so the cluster deletes what belongs to an object that is gone. Labels of the object are not copied:
//! a GitOps tool would take it for one of its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::objects::FIELD_MANAGER;

/// The metadata of what is created for an object.
pub fn metadata(name: &str, resource: &ApiResource, owner: &DynamicObject) -> Value {
    json!({
        "name": name,
        "namespace": owner.namespace(),
        "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
        "ownerReferences": [{
            "apiVersion": resource.api_version, "kind": resource.kind,
            "name": owner.name_any(), "uid": owner.uid(), "controller": true,
        }],
    })
}

/// Whether something belongs to this very object; `Some(false)` if it belongs to an earlier object of its kind and name, or to that
/// of a backup, and `None` if it is foreign.
pub fn is_of(metadata: &ObjectMeta, resource: &ApiResource, owner: &DynamicObject) -> Option<bool> {
    let mut owners = metadata.owner_references.iter().flatten();
    let found = owners.find(|owner| owner.controller == Some(true))?;
    let group = found.api_version.split_once('/').map(|(group, _)| group);
    let same =
        found.kind == resource.kind && group == Some(&*resource.group) && found.name == owner.name_any();
    same.then(|| Some(&found.uid) == owner.uid().as_ref())
}
