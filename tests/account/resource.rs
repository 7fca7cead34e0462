//! Our kinds as resources of the API server, by the plurals of their CRDs: not all of them are those that a client would guess.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use databricks_operator::engine::crd::DatabricksAuth;
use databricks_operator::kinds::KINDS;
use kube::core::ApiResource;

/// The resource of one of our kinds.
pub fn resource(kind: &str) -> ApiResource {
    static ALL: OnceLock<BTreeMap<String, ApiResource>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let auth = ApiResource::erase::<DatabricksAuth>(&());
        let all = KINDS.iter().map(|driver| driver.api_resource()).chain([auth]);
        all.map(|resource| (resource.kind.clone(), resource)).collect()
    });
    all.get(kind).unwrap_or_else(|| panic!("{kind} is none of our kinds")).clone()
}
