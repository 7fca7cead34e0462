//! The caches of the watches: the objects of all our kinds, and the types of the kinds.
//!
//! A cache keeps an object as JSON text. Decoded, as a tree of JSON values, it takes eight times the memory, and to decode the text
//! takes no longer than to copy the tree, which each reconcile would do.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::{ObjectRef, Store};
use serde::{Deserialize, Deserializer};

use crate::engine::crd::ObjectName;

/// An object in a cache.
#[derive(Clone, Debug)]
pub struct Cached {
    /// What identifies it and its version, and when it was created and deleted; nothing else of its metadata.
    metadata: ObjectMeta,
    /// All of it.
    text: Arc<str>,
}

impl Cached {
    /// A reference to an object, without its content: what the queue of a controller needs.
    pub fn stub(who: ObjectName) -> Cached {
        let metadata =
            ObjectMeta { name: Some(who.name), namespace: Some(who.namespace), ..ObjectMeta::default() };
        Cached { metadata, text: "".into() }
    }

    /// The whole object.
    pub fn decode(&self) -> DynamicObject {
        serde_json::from_str(&self.text).expect("the text of an object is an object")
    }

    /// A part of the object: the fields of `T`, which may borrow.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(&self.text).ok()
    }
}

impl From<&DynamicObject> for Cached {
    fn from(object: &DynamicObject) -> Cached {
        let of = &object.metadata;
        let metadata = ObjectMeta {
            name: of.name.clone(),
            namespace: of.namespace.clone(),
            uid: of.uid.clone(),
            resource_version: of.resource_version.clone(),
            generation: of.generation,
            creation_timestamp: of.creation_timestamp.clone(),
            deletion_timestamp: of.deletion_timestamp.clone(),
            ..ObjectMeta::default()
        };
        let text = serde_json::to_string(object).expect("an object that was decoded can be encoded");
        Cached { metadata, text: text.into() }
    }
}

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cached, D::Error> {
        DynamicObject::deserialize(from).map(|object| Cached::from(&object))
    }
}

/// As its type says, which the caches keep once.
impl Resource for Cached {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(of)
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(of)
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(of)
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(of)
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The caches. One for the process.
pub struct Stores {
    types: HashMap<String, ApiResource>,
    /// Each with its kind: one for a kind, or one for each namespace that is watched.
    caches: Vec<(String, Store<Cached>)>,
}

impl Stores {
    /// The caches that these watches fill.
    pub fn new(watches: impl Iterator<Item = (ApiResource, Store<Cached>)>) -> Stores {
        let (mut types, mut caches) = (HashMap::new(), vec![]);
        for (resource, cache) in watches {
            caches.push((resource.kind.clone(), cache));
            types.insert(resource.kind.clone(), resource);
        }
        Stores { types, caches }
    }

    /// The type of a kind that is watched.
    pub fn resource(&self, kind: &str) -> ApiResource {
        self.types.get(kind).expect("every kind that is reconciled is watched").clone()
    }

    /// An object as the watch knows it, not decoded.
    pub fn cached(&self, who: &ObjectName) -> Option<Arc<Cached>> {
        let target =
            ObjectRef::new_with(&who.name, self.types.get(&who.kind)?.clone()).within(&who.namespace);
        let mut caches = self.caches.iter().filter(|(kind, _)| *kind == who.kind);
        caches.find_map(|(_, cache)| cache.get(&target))
    }

    /// An object as the watch knows it.
    pub fn object(&self, who: &ObjectName) -> Option<DynamicObject> {
        self.cached(who).map(|cached| cached.decode())
    }

    /// The UID of an object as the watch knows it.
    pub fn uid(&self, who: &ObjectName) -> Option<String> {
        self.cached(who).and_then(|cached| cached.metadata.uid.clone())
    }

    /// All objects of a kind, not decoded: decoded, they would fill the memory if there are many.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = Arc<Cached>> {
        self.caches.iter().filter(move |(other, _)| other == kind).flat_map(|(_, cache)| cache.state())
    }

    /// All objects of a kind, one after the other.
    pub fn objects(&self, kind: &str) -> impl Iterator<Item = DynamicObject> {
        self.all(kind).map(|cached| cached.decode())
    }

    /// The kinds that are watched.
    pub fn kinds(&self) -> impl Iterator<Item = &String> {
        self.types.keys()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_cached_is_decoded_as_it_was() {
        let text = json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": "Fake",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"a": "b"}, "finalizers": ["f"]},
            "spec": {"text": "\u{e9}\"\n", "number": 9_007_199_254_740_993_i64, "none": null},
        });
        let object: DynamicObject = serde_json::from_value(text.clone()).unwrap();
        let cached = Cached::from(&object);
        assert_eq!(cached.decode(), object);
        assert_eq!(serde_json::to_value(cached.decode()).unwrap(), text);
        assert_eq!(cached.meta().uid.as_deref(), Some("u"));
        assert_eq!(cached.meta().labels, None, "what is not asked for often is in the text alone");
    }
}
