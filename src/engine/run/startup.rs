//! What is learnt from the caches before the first reconcile: which object manages what, and which objects creates must
//! wait for.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;

use crate::engine::crd::{AUTH_KIND, Intent, ObjectName, created, only_observed};
use crate::engine::memory::{Claim, Rank};
use crate::engine::pass::Engine;

/// Records the claims of all objects, older ones first: the first to claim an object in the account holds it.
pub fn record_claims(engine: &Engine) {
    for kind in engine.cluster.stores.kinds() {
        let mut objects: Vec<_> = engine.cluster.stores.objects(kind).collect();
        objects.sort_by_cached_key(|object| (created(object), object.uid()));
        objects.iter().for_each(|object| record_claim(engine, kind, object));
    }
    engine.memory.barrier.note_claims_recorded();
}

/// Records what an object is bound to, and what it has begun to create.
pub fn record_claim(engine: &Engine, kind: &str, object: &DynamicObject) {
    if object.data["spec"]["managementPolicy"] == "Observe" {
        return;
    }
    let claims = &engine.memory.claims;
    let rank = Rank { created: created(object), uid: object.uid().unwrap_or_default() };
    let external = &object.data["status"]["external"];
    if let (Some(account), Some(id), false) =
        (external["accountId"].as_str(), external["id"].as_str(), only_observed(object))
    {
        claims.record(&Claim::id(account, kind, id), &rank, &ObjectName::of(kind, object));
    }
    if let Ok(intent) = Intent::deserialize(&object.data["status"]["intent"]) {
        claims.record(&Claim::intent(kind, &intent), &rank, &ObjectName::of(kind, object));
    }
}

/// Reconciles begin: creates wait until each object that is bound to nothing was reconciled once.
pub fn begin(engine: &Engine) {
    let kinds = engine.cluster.stores.kinds().filter(|kind| *kind != AUTH_KIND);
    let all = kinds.flat_map(|kind| engine.cluster.stores.objects(kind).map(move |object| (kind, object)));
    let unbound = all.filter(|(_, object)| {
        let status = &object.data["status"];
        // One that has begun a create has claimed it by its record.
        (status["external"]["id"].is_null() || only_observed(object))
            && status["intent"].is_null()
            && object.metadata.deletion_timestamp.is_none()
    });
    engine.memory.barrier.begin(
        unbound.map(|(kind, object)| (object.uid().unwrap_or_default(), ObjectName::of(kind, &object))),
    );
}
