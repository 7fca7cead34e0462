//! The caches of the watches: the objects of all our kinds, and the types of the kinds.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::{ObjectRef, Store};

use crate::engine::crd::ObjectName;

/// The caches. One for the process.
pub struct Stores {
    types: HashMap<String, ApiResource>,
    /// Each with its kind: one for a kind, or one for each namespace that is watched.
    caches: Vec<(String, Store<DynamicObject>)>,
}

impl Stores {
    /// The caches that these watches fill.
    pub fn new(watches: impl Iterator<Item = (ApiResource, Store<DynamicObject>)>) -> Stores {
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

    /// An object as the watch knows it.
    pub fn object(&self, who: &ObjectName) -> Option<Arc<DynamicObject>> {
        let target =
            ObjectRef::new_with(&who.name, self.types.get(&who.kind)?.clone()).within(&who.namespace);
        let mut caches = self.caches.iter().filter(|(kind, _)| *kind == who.kind);
        caches.find_map(|(_, cache)| cache.get(&target))
    }

    /// All objects of a kind.
    pub fn objects(&self, kind: &str) -> impl Iterator<Item = Arc<DynamicObject>> {
        self.caches.iter().filter(move |(other, _)| other == kind).flat_map(|(_, cache)| cache.state())
    }

    /// The kinds that are watched.
    pub fn kinds(&self) -> impl Iterator<Item = &String> {
        self.types.keys()
    }
}
