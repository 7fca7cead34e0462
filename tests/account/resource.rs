//! Our kinds as resources of the API server, by the plurals of their CRDs: not all of them are those that a client would guess.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use databricks_operator::cli::crds;
use kube::core::{ApiResource, GroupVersionKind};

/// The resource of one of our kinds.
pub fn resource(kind: &str) -> ApiResource {
    static ALL: OnceLock<BTreeMap<String, ApiResource>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let names = crds().into_iter().map(|crd| crd.spec.names);
        let of = names.map(|names| {
            let gvk = GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", &names.kind);
            (names.kind, ApiResource::from_gvk_with_plural(&gvk, &names.plural))
        });
        of.collect()
    });
    all.get(kind).unwrap_or_else(|| panic!("{kind} is none of our kinds")).clone()
}
