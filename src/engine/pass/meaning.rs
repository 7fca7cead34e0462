//! What an object that is not under work is for, as far as its record and its spec say without a call: whether or not it was reconciled,
//! and whether or not it manages that. Reads caches alone.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;

use crate::engine::cluster::Stores;
use crate::engine::crd::{EXTERNAL_ID, ObjectName};
use crate::engine::kind::{Driver, Entry, Resolved, Wanted};

/// What an object is for.
#[derive(Debug, Default, PartialEq)]
pub struct Meaning {
    /// Ids in the account: the recorded one, or each that it may mean.
    ids: Vec<String>,
    /// The principals that it names, in lower case, as their ids may not be known.
    names: Vec<String>,
}

impl Meaning {
    /// That of an object of this kind; nothing if it only observes. What it is bound to never changes; until then its spec says what it is
    /// for, with the ids that it was resolved to last, or that the objects that it refers to have by now.
    pub fn of(object: &DynamicObject, driver: &dyn Driver, stores: &Stores) -> Meaning {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        if spec["managementPolicy"] == "Observe" {
            return Meaning::default();
        }
        if let Some(bound) = status["external"]["id"].as_str() {
            return Meaning { ids: vec![bound.to_owned()], names: vec![] };
        }
        let mut known = BTreeMap::<String, String>::deserialize(&status["resolvedRefs"]).unwrap_or_default();
        let mut names = vec![];
        for need in driver.needs(spec).unwrap_or_default() {
            match &need.what {
                Wanted::Principal(name) => names.push(name.to_string().to_lowercase()),
                Wanted::Object { kind, name } => {
                    let namespace = object.namespace().unwrap_or_default();
                    let other = ObjectName { kind: kind.clone(), namespace, name: name.clone() };
                    let id = stores.object(&other).and_then(|other| {
                        let shown = &other.data["status"];
                        need.value(shown["external"]["id"].as_str()?, shown)
                    });
                    known.extend(id.map(|id| (need.field.clone(), id)));
                }
            }
        }
        let got = Resolved { ids: known, ..Resolved::default() };
        let key = driver.desired(spec, &got).and_then(|want| driver.key(&want)).ok();
        let meant = key.map(|key| format!("{}/{}", key.within, key.name));
        let annotated = object.annotations().get(EXTERNAL_ID).map(String::as_str);
        let written = [spec["externalId"].as_str(), annotated].into_iter().flatten().map(str::to_owned);
        Meaning { ids: meant.into_iter().chain(written).collect(), names }
    }

    /// Whether the object is for this entry of a list.
    pub fn has(&self, entry: &Entry) -> bool {
        self.ids.contains(&entry.id) || self.names.contains(&entry.name.to_lowercase())
    }
}
