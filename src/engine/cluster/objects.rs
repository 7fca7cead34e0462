//! The engine's own reads and writes of Kubernetes objects: status, finalizer, the copy of the id in an annotation.
//!
//! Every write names the UID and the resourceVersion it was computed from, so that it fails if the object was changed, or
//! deleted and created again, in between; a forced write from a stale view would wipe an intent or an id. What a write
//! returned is remembered until the watch has caught up, so that no reconcile works on a view older than our own last
//! write, or than the one that failed as the object was changed. Only patches are sent: a replace would drop fields that a newer version
//! of the operator knows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt};
use serde_json::{Map, Value, json};

use crate::engine::crd::{AUTH_KIND, CREATED_BY, EXTERNAL_ID, FINALIZER, has_finalizer};
use crate::engine::error::{Asked, Error, Result};

/// The name under which the API server records our fields.
pub const FIELD_MANAGER: &str = "databricks-operator";

/// How long the API server may take to respond: nothing may wait for it for ever.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The copy of the status' record in annotations.
#[derive(Clone, Debug)]
pub struct RecordCopy {
    /// The id.
    pub id: String,
    /// Our mark, if we created the object; an adopted one gets none.
    pub created_by: Option<String>,
    /// The object was written in this reconcile anyway. The mark alone is no reason to write one: an upgrade would write
    /// them all.
    pub written: bool,
}

impl RecordCopy {
    /// The annotations to write. `written`: the metadata is written anyway.
    fn missing(&self, now: &BTreeMap<String, String>, written: bool) -> Map<String, Value> {
        let differs = |(name, value): &(&str, &String)| now.get(*name) != Some(*value);
        let id = Some((EXTERNAL_ID, &self.id)).filter(differs);
        let worth = written || self.written || id.is_some();
        let mark = self.created_by.as_ref().map(|mark| (CREATED_BY, mark));
        let mark = mark.filter(differs).filter(|_| worth);
        id.into_iter().chain(mark).map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }
}

/// Access to the Kubernetes objects of all our kinds.
pub struct Objects {
    client: Client,
    written: Mutex<HashMap<String, DynamicObject>>,
}

impl Objects {
    /// Access through one client.
    pub fn new(client: Client) -> Objects {
        Objects { client, written: Mutex::default() }
    }

    /// The client, for other types of objects.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The newest version that is known: what the cache of the watch `shows` now, or what our own last write returned. `object` is what
    /// the cache showed when the reconcile was due: it has waited for a thread since then, and the watch may have caught up meanwhile.
    pub fn freshest(
        &self,
        object: &DynamicObject,
        shows: impl FnOnce() -> Option<DynamicObject>,
    ) -> DynamicObject {
        let uid = object.uid().unwrap_or_default();
        let mut written = self.written.lock().expect("no panic while held");
        // Under the lock: what `saw` has forgotten by now is in the cache.
        let shown = shows().filter(|shown| shown.uid() == object.uid() && version(shown) > version(object));
        let object = shown.as_ref().unwrap_or(object);
        match written.get(&uid) {
            Some(ours) if version(ours) > version(object) => ours.clone(),
            Some(_) => {
                written.remove(&uid);
                object.clone()
            }
            None => object.clone(),
        }
    }

    /// Forgets what the watch has caught up with: its cache has it already.
    pub fn saw(&self, object: &DynamicObject) {
        let uid = object.uid().unwrap_or_default();
        let mut written = self.written.lock().expect("no panic while held");
        if written.get(&uid).is_some_and(|ours| version(ours) <= version(object)) {
            written.remove(&uid);
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.written.lock().expect("no panic while held").remove(uid);
    }

    /// The object as it is now; `None` if it is gone, or was deleted and created again.
    pub async fn live(&self, kind: &ApiResource, object: &DynamicObject) -> Result<Option<DynamicObject>> {
        let what = shown(kind, object);
        let call = self.api(kind, object);
        let found = timed(Asked::Read(&what), call.get_opt(&object.name_any())).await;
        let mut found = found.map_err(|error| error.advise(GRANT))?;
        found.iter_mut().for_each(prune);
        Ok(found.filter(|o| o.uid() == object.uid()))
    }

    /// Makes the stored status equal to `status`, with the least patch. Writes nothing if nothing differs that is worth a write. Returns
    /// whether the object was changed: an API server whose CRDs are older drops what they do not have, and then there may be no change.
    pub async fn write_status(
        &self,
        kind: &ApiResource,
        object: &mut DynamicObject,
        status: &Value,
    ) -> Result<bool> {
        let old = object.data.get("status").cloned().unwrap_or(Value::Null);
        let Some(patch) = merge_patch(&old, status).filter(is_news) else { return Ok(false) };
        let body = json!({"metadata": fence(object), "status": patch});
        let call = self.api(kind, object);
        let name = object.name_any();
        let what = format!("the status of {}", shown(kind, object));
        let written =
            timed(Asked::Write(&what), call.patch_status(&name, &params(), &Patch::Merge(&body))).await;
        let before = object.resource_version();
        *object = self.remember(kind, object, written).await?;
        Ok(object.resource_version() != before)
    }

    /// Adds or removes our finalizer and sets the annotations with the copy of the record, if they differ.
    pub async fn write_metadata(
        &self,
        kind: &ApiResource,
        object: &mut DynamicObject,
        finalizer: bool,
        copy: Option<&RecordCopy>,
    ) -> Result<()> {
        let mut metadata = Map::new();
        if has_finalizer(object) != finalizer {
            let mut all = object.finalizers().to_vec();
            all.retain(|f| f != FINALIZER);
            if finalizer {
                all.push(FINALIZER.into());
            }
            metadata.insert("finalizers".into(), json!(all));
        }
        if let Some(copy) = copy {
            let annotations = copy.missing(object.annotations(), !metadata.is_empty());
            if !annotations.is_empty() {
                metadata.insert("annotations".into(), annotations.into());
            }
        }
        if metadata.is_empty() {
            return Ok(());
        }
        metadata.extend(fence(object));
        let body = json!({"metadata": metadata});
        let call = self.api(kind, object);
        let name = object.name_any();
        let what = format!("finalizers and annotations of {}", shown(kind, object));
        let written = timed(Asked::Write(&what), call.patch(&name, &params(), &Patch::Merge(&body))).await;
        *object = self.remember(kind, object, written).await?;
        Ok(())
    }

    /// Remembers what a write returned. After a conflict it remembers the object as it is now: the cache of a watch that is late would show
    /// the next reconcile what was there before, and that would repeat in the account what this one did.
    async fn remember(
        &self,
        kind: &ApiResource,
        before: &DynamicObject,
        written: Result<DynamicObject>,
    ) -> Result<DynamicObject> {
        match written {
            Ok(object) => Ok(self.keep(object)),
            Err(error) => {
                if matches!(error, Error::Conflict(_)) {
                    // The chart grants no `get` of a DatabricksAuth, whose reconcile changes nothing in the account.
                    let read = kind.kind != AUTH_KIND;
                    let live = if read { self.live(kind, before).await.ok().flatten() } else { None };
                    match live {
                        Some(live) => drop(self.keep(live)),
                        // What is remembered may be from a history that the API server no longer has.
                        None => self.forget(&before.uid().unwrap_or_default()),
                    }
                }
                Err(error.advise(GRANT))
            }
        }
    }

    fn keep(&self, mut object: DynamicObject) -> DynamicObject {
        prune(&mut object);
        if let Some(uid) = object.uid() {
            self.written.lock().expect("no panic while held").insert(uid, object.clone());
        }
        object
    }

    fn api(&self, kind: &ApiResource, object: &DynamicObject) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &object.namespace().unwrap_or_default(), kind)
    }
}

/// Limits the time of a call, and names its purpose if it fails. A call that timed out may have taken effect, which the
/// next reconcile sees.
pub async fn timed<T>(asked: Asked<'_>, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(result) => result.map_err(|error| Error::kubernetes(asked, &error)),
        Err(_) => Err(Error::retry(format!("the Kubernetes API server did not {asked} in time"))),
    }
}

/// What to do about a missing right.
const GRANT: &str = "grant it the rules of `databricks-operator rbac`, or allow it in the policy";

fn shown(kind: &ApiResource, object: &DynamicObject) -> String {
    format!("{} {}/{}", kind.kind, object.namespace().unwrap_or_default(), object.name_any())
}

/// Drops what the operator never reads, which is most of an object's size.
pub fn prune(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

fn fence(object: &DynamicObject) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("uid".into(), json!(object.uid()));
    map.insert("resourceVersion".into(), json!(object.resource_version()));
    map
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// Resource versions of one object grow; the API server counts them in decimal.
fn version(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Whether a patch of a status is worth a write. A resync interval alone is not: thousands of objects may get another one at once from
/// their DatabricksAuth or from a flag, and then each shows it from its next write on.
fn is_news(patch: &Value) -> bool {
    *patch != json!({"effective": {"resyncInterval": patch["effective"]["resyncInterval"]}})
}

/// The JSON merge patch that turns `old` into `new`; `None` if they are equal.
pub fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k)).map(|k| (k.clone(), Value::Null));
            let changed = new
                .iter()
                .filter_map(|(k, v)| Some((k.clone(), merge_patch(old.get(k).unwrap_or(&Value::Null), v)?)));
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) if old == new => None,
        (_, new) => Some(new.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_written_with_something_else_and_never_alone() {
        let copy = |written| RecordCopy { id: "7".into(), created_by: Some("i/n/a".into()), written };
        let annotations = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
            all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let names = |copy: &RecordCopy, now: &[(&str, &str)], written| {
            copy.missing(&annotations(now), written).keys().cloned().collect::<Vec<_>>()
        };
        let older = &[(EXTERNAL_ID, "7")][..];
        assert_eq!(names(&copy(false), older, false), [""; 0], "bound by an earlier version");
        assert_eq!(names(&copy(true), older, false), [CREATED_BY]);
        assert_eq!(names(&copy(false), older, true), [CREATED_BY]);
        assert_eq!(names(&copy(false), &[], false), [CREATED_BY, EXTERNAL_ID]);
        assert_eq!(names(&copy(true), &[(EXTERNAL_ID, "7"), (CREATED_BY, "i/n/a")], true), [""; 0]);
        let adopted = RecordCopy { created_by: None, ..copy(true) };
        assert_eq!(names(&adopted, &[], true), [EXTERNAL_ID]);
    }

    #[test]
    fn a_merge_patch_says_only_what_differs() {
        let old = json!({"a": 1, "b": {"x": 1, "y": 2}, "gone": true, "list": [1, 2]});
        let new = json!({"a": 1, "b": {"x": 1, "y": 3}, "list": [2], "added": {"z": 1}});
        let patch = merge_patch(&old, &new).unwrap();
        assert_eq!(patch, json!({"b": {"y": 3}, "gone": null, "list": [2], "added": {"z": 1}}));
        assert_eq!(merge_patch(&new, &new), None);
    }

    #[test]
    fn another_interval_is_written_with_something_else_and_never_alone() {
        let interval = json!({"resyncInterval": "1h"});
        let policy = json!({"resyncInterval": "1h", "deletionPolicy": "Retain"});
        for (patch, written) in [
            (json!({"effective": interval}), false),
            (json!({"effective": interval, "lastHandledReconcileAt": "now"}), true),
            (json!({"effective": policy}), true),
            (json!({"effective": {"deletionPolicy": "Retain"}}), true),
            (json!({"effective": null}), true),
            (json!({"drift": null}), true),
        ] {
            assert_eq!(is_news(&patch), written, "{patch}");
        }
    }
}
