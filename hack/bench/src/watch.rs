//! The objects as a watch of the API server shows them: how far the operator is, without a request for each question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::JoinHandle;
use world::{Error, Result};

/// What matters of an object.
pub struct Seen {
    /// Whether its newest generation is Ready.
    pub ready: bool,
    /// 1 until its spec is changed.
    pub generation: i64,
    /// The last request for a reconcile that was handled.
    pub handled: Option<String>,
}

/// The objects of one resource, kept up to date by a task that ends with this value.
pub struct Watched {
    shown: Arc<Mutex<Shown>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shown {
    objects: HashMap<String, Seen>,
    /// Why the watch cannot continue.
    failed: Option<String>,
}

impl Watched {
    /// Begins while there is no object.
    pub async fn start(api: Api<DynamicObject>) -> Result<Watched> {
        let list = api.list(&ListParams::default()).await.map_err(Error::at("the first LIST"))?;
        let from = list.metadata.resource_version.unwrap_or_default();
        let shown: Arc<Mutex<Shown>> = Arc::default();
        let task = tokio::spawn(follow(api, from, shown.clone()));
        Ok(Watched { shown, task })
    }

    /// How many objects are as `is` says. Fails if the watch cannot continue.
    pub fn count(&self, is: impl Fn(&Seen) -> bool) -> Result<usize> {
        let shown = locked(&self.shown);
        match &shown.failed {
            Some(why) => Err(Error::new(format_args!("the watch of the objects ended: {why}"))),
            None => Ok(shown.objects.values().filter(|seen| is(seen)).count()),
        }
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        locked(&self.shown).objects.len()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Continues whenever the API server ends the watch, so that no version is missed, until it no longer has the versions.
async fn follow(api: Api<DynamicObject>, mut from: String, shown: Arc<Mutex<Shown>>) {
    loop {
        let Err(error) = watch(&api, &mut from, &shown).await else { continue };
        if matches!(&error, kube::Error::Api(status) if status.code == 410) {
            locked(&shown).failed = Some(error.to_string());
            return;
        }
        eprintln!("  the watch of the objects is repeated: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One watch, to its end.
async fn watch(api: &Api<DynamicObject>, from: &mut String, shown: &Mutex<Shown>) -> kube::Result<()> {
    let mut events = api.watch(&WatchParams::default().timeout(290), from).await?.boxed();
    while let Some(event) = events.next().await {
        let (object, exists) = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(bookmark) => {
                *from = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        if let Some(version) = &object.metadata.resource_version {
            from.clone_from(version);
        }
        let mut shown = locked(shown);
        if exists {
            shown.objects.insert(object.name_any(), seen(&object));
        } else {
            shown.objects.remove(&object.name_any());
        }
    }
    Ok(())
}

fn seen(object: &DynamicObject) -> Seen {
    let status = &object.data["status"];
    let generation = object.metadata.generation.unwrap_or_default();
    let handled = status["lastHandledReconcileAt"].as_str().map(str::to_owned);
    Seen { ready: is_ready(status, generation), generation, handled }
}

/// Whether a status says that this generation is Ready.
pub fn is_ready(status: &Value, generation: i64) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    status["observedGeneration"] == generation
        && conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_ready;

    #[test]
    fn an_object_is_ready_in_the_generation_that_was_observed() {
        let status = |ready: &str| {
            let conditions =
                json!([{"type": "Synced", "status": "True"}, {"type": "Ready", "status": ready}]);
            json!({"observedGeneration": 2, "conditions": conditions})
        };
        assert!(is_ready(&status("True"), 2));
        assert!(!is_ready(&status("True"), 3));
        assert!(!is_ready(&status("False"), 2));
        assert!(!is_ready(&json!({}), 2));
    }
}
