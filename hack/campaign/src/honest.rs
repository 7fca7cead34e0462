//! Whether the status of the object says what is true: each time the operator has written it, what it claims is compared with the
//! account.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use crate::outside::Outside;
use crate::world::World;

/// What the status may claim.
#[derive(Default)]
pub struct Honest {
    /// What the account should have for a generation of the object.
    wants: Mutex<BTreeMap<i64, Value>>,
    /// Another client has changed the account, which the operator need not know yet.
    pub disturbed: AtomicBool,
    wrong: Mutex<Vec<String>>,
}

impl Honest {
    /// From now on this is what the account should have for a generation of the object.
    pub fn expect(&self, object: &DynamicObject, want: &Value) {
        let generation = object.metadata.generation.unwrap_or_default();
        lock(&self.wants).insert(generation, want.clone());
    }

    /// What the status claimed and was not true.
    pub fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wrong))
    }

    /// Compares after each write of a status, without end.
    pub async fn watch(self: Arc<Honest>, world: Arc<World>, outside: Outside, api: Api<DynamicObject>) {
        loop {
            world.trace.status_written.notified().await;
            while let Some(false) = self.compare(&outside, &api).await {}
        }
    }

    /// Whether what was compared was still so at the end, or nothing if the status claims nothing.
    async fn compare(&self, outside: &Outside, api: &Api<DynamicObject>) -> Option<bool> {
        let seen = api.get_opt("it").await.ok()??;
        let (generation, id) = claimed(&json!(seen))?;
        let want = lock(&self.wants).get(&generation).cloned()?;
        let now = outside.get(&id).await;
        let after = api.get_opt("it").await.ok()??;
        if after.metadata.resource_version != seen.metadata.resource_version {
            return Some(false);
        }
        if self.disturbed.load(Ordering::Relaxed) {
            return None;
        }
        let open = match now.ok()? {
            Some(now) => outside.differences(&want, &now),
            None => vec!["the whole object".to_owned()],
        };
        if !open.is_empty() {
            let text =
                format!("Synced is True for generation {generation}, and the account differs in {open:?}");
            lock(&self.wrong).push(text);
        }
        None
    }
}

/// The generation of an object that claims to be in step with the account as it is now, and the id there. What is claimed of an older
/// generation is history: the operator may be carrying out the newer one.
fn claimed(seen: &Value) -> Option<(i64, String)> {
    let status = &seen["status"];
    let synced = |one: &&Value| one["type"] == "Synced" && one["status"] == "True";
    let condition = status["conditions"].as_array()?.iter().find(synced)?;
    let generation = condition["observedGeneration"].as_i64()?;
    let current =
        seen["metadata"]["generation"] == generation && seen["metadata"]["deletionTimestamp"].is_null();
    if !current || condition["reason"] != "InSync" {
        return None;
    }
    Some((generation, status["externalId"].as_str()?.to_owned()))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
