//! What belongs to an object of ours, a Secret or a ConfigMap: what its metadata say of that when the operator creates it, how it is
//! recognised, and what to do if the cluster refuses it. Pure.
//!
//! The owner is the controller, so the cluster deletes what belongs to an object that is gone. Labels of the object are not copied:
//! a GitOps tool would take it for one of its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::objects::FIELD_MANAGER;
use crate::engine::error::BY_POLICY;

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

/// What to do about a write that the cluster has refused, by its cause; `right` is for a right that is missing.
pub fn remedy<'a>(cause: &str, right: &'a str) -> &'a str {
    if cause.contains("exceeded quota") {
        "raise the ResourceQuota of the namespace, or delete what is not needed there"
    } else if cause.starts_with(BY_POLICY) {
        "allow it in the policy"
    } else {
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::{Asked, Error};

    /// A quota or a policy refuses with the status of a missing right, and the value of the chart may be set already.
    #[test]
    fn the_value_of_the_chart_is_the_remedy_for_a_missing_right_alone() {
        let advice = |why: &str| {
            let status = json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": why});
            let refusal = kube::Error::Api(serde_json::from_value(status).unwrap());
            let error = Error::kubernetes(Asked::Write("the Secret a/b"), &refusal);
            remedy(&error.to_string(), "set the value").to_owned()
        };
        let right = r#"secrets is forbidden: User "o" cannot create resource "secrets" in API group "" in the namespace "a""#;
        assert_eq!(advice(right), "set the value");
        let quota = r#"secrets "b" is forbidden: exceeded quota: small, requested: count/secrets=1, used: count/secrets=9, limited: count/secrets=9"#;
        assert!(advice(quota).starts_with("raise the ResourceQuota"), "{}", advice(quota));
        for policy in [
            r#"admission webhook "validate.kyverno.svc" denied the request: no labels"#,
            r#"secrets "b" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'q' denied request: no"#,
        ] {
            assert_eq!(advice(policy), "allow it in the policy");
        }
    }
}
