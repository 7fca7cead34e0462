//! All lines of the table, and the search for one.

use super::table::Collection;
use super::{billing, governance, identity, networking, oauth_apps, provisioning};

const PARTS: &[&[Collection]] = &[
    provisioning::COLLECTIONS,
    networking::COLLECTIONS,
    identity::COLLECTIONS,
    oauth_apps::COLLECTIONS,
    billing::COLLECTIONS,
    governance::COLLECTIONS,
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Collection> {
    PARTS.iter().copied().flatten()
}

/// The collection of a name in the store.
pub(crate) fn find(store: &str) -> Option<&'static Collection> {
    all().find(|collection| collection.store == store)
}

/// The collections whose objects have a parent in this one.
pub(super) fn children_of(store: &str) -> impl Iterator<Item = &'static Collection> {
    all().filter(move |collection| collection.under.as_ref().is_some_and(|under| under.store == store))
}

/// The collection a path leads to, the id of the parent, and what follows in the path.
pub(crate) struct Route<'a> {
    pub collection: &'static Collection,
    pub parent: Option<&'a str>,
    pub rest: &'a [&'a str],
}

impl Route<'_> {
    /// The key in the store of the object of this id.
    pub fn key(&self, id: &str) -> String {
        self.collection.key(self.parent, id)
    }

    /// What the keys of all objects here begin with.
    pub fn prefix(&self) -> String {
        self.key("")
    }
}

/// Where a path below the account leads: to the collection with the longest path that fits.
pub(crate) fn route<'a>(base: &str, segments: &'a [&'a str]) -> Option<Route<'a>> {
    let routes = all().filter(|collection| collection.base == base);
    let routes = routes.filter_map(|collection| {
        let pattern: Vec<&str> = collection.path.split('/').collect();
        let (own, rest) = segments.split_at_checked(pattern.len())?;
        let fits = pattern.iter().zip(own).all(|(wanted, segment)| *wanted == "*" || wanted == segment);
        let parent = pattern.iter().position(|wanted| *wanted == "*").map(|at| own[at]);
        fits.then_some(Route { collection, parent, rest })
    });
    routes.min_by_key(|route| route.rest.len())
}
