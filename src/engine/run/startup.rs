//! What is learnt from the caches before the first reconcile: which object manages what, and which objects creates must
//! wait for.
//!
//! Ids are never given up by an object that exists, so they are recorded as soon as the caches are filled, and with each event. Parts are:
//! they are recorded when reconciles begin, as the process that led before left them, and from then on the claims in memory are right. An
//! object that the watch shows for the first time after that may come from another operator, by its label: its parts are recorded too.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;

use crate::engine::crd::{AUTH_KIND, HeldPart, Intent, ObjectName, created, only_observed};
use crate::engine::memory::{Claim, Rank};
use crate::engine::pass::Engine;

/// Records the claims of all objects, older ones first: the first to claim an object in the account holds it.
pub fn record_claims(engine: &Engine) {
    for kind in engine.cluster.stores.kinds() {
        let mut objects: Vec<_> = engine.cluster.stores.all(kind).collect();
        objects.sort_by_cached_key(|object| (created(&**object), object.uid()));
        objects.iter().for_each(|object| record_claim(engine, kind, &object.decode()));
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

/// Records which parts an object holds. It takes none from another holder.
pub fn record_parts(engine: &Engine, kind: &str, object: &DynamicObject) {
    let (who, status) = (ObjectName::of(kind, object), &object.data["status"]);
    let bound = [&status["external"], &status["intent"]].into_iter().find_map(|it| it["accountId"].as_str());
    let managed = object.data["spec"]["managementPolicy"] != "Observe";
    let (Some(account), true) = (bound, managed) else { return };
    let rank = Rank { created: created(object), uid: object.uid().unwrap_or_default() };
    for part in Vec::<HeldPart>::deserialize(&status["parts"]).unwrap_or_default() {
        engine.memory.claims.record(&Claim::part(account, &part), &rank, &who);
    }
}

/// Reconciles begin: parts stay with the objects that hold them, and creates wait until each object that is bound to nothing, or
/// determines a list, was reconciled once.
pub fn begin(engine: &Engine) {
    let stores = &engine.cluster.stores;
    let (mut holders, mut unbound) = (vec![], vec![]);
    for kind in stores.kinds().filter(|kind| *kind != AUTH_KIND) {
        for object in stores.objects(kind) {
            if is_unbound(engine, kind, &object) {
                unbound.push((object.uid().unwrap_or_default(), ObjectName::of(kind, &object)));
            }
            if !object.data["status"]["parts"].is_null() {
                holders.push((kind, object));
            }
        }
    }
    // Older ones first: the first to record a part holds it.
    holders.sort_by_cached_key(|(_, object)| (created(object), object.uid()));
    holders.iter().for_each(|(kind, object)| record_parts(engine, kind, object));
    engine.memory.barrier.begin(unbound.into_iter());
}

/// Whether creates must wait for an object. One that has begun a create has claimed it by its record. What an object lists is not on record.
fn is_unbound(engine: &Engine, kind: &str, object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    (status["external"]["id"].is_null() || only_observed(object) || engine.has_roster(kind))
        && status["intent"].is_null()
        && object.metadata.deletion_timestamp.is_none()
}
