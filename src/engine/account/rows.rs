//! The rows of a LIST that objects share, as its readers see them: by id, or by what a create would have created. `snapshot.rs` reads them.

use std::collections::HashMap;
use std::sync::OnceLock;

use tokio::time::Instant;

use crate::engine::error::Result;
use crate::engine::kind::{Driver, Key, Seen};

/// The ids of rows by key. A row that was changed may still be under its former key too.
pub(super) type Ids = HashMap<Key, Vec<String>>;

/// The rows of a snapshot, for the length of one read.
pub struct Rows<'a> {
    /// When the reading began.
    pub read_at: Instant,
    /// By id.
    pub(super) rows: &'a HashMap<String, Seen>,
    /// Filled by the first search.
    pub(super) ids: &'a OnceLock<Result<Ids>>,
}

impl Rows<'_> {
    /// The row of an id.
    pub fn row(&self, id: &str) -> Option<&Seen> {
        self.rows.get(id)
    }

    /// All rows.
    pub fn all(&self) -> impl Iterator<Item = &Seen> {
        self.rows.values()
    }

    /// The rows that a create with this key could have created, by id.
    pub fn matching(&self, driver: &dyn Driver, key: &Key) -> Result<Vec<&Seen>> {
        let found_by_key = driver.traits().found_by_key;
        let possible = if found_by_key { self.with_key(driver, key)? } else { self.all().collect() };
        let mut matching = vec![];
        for seen in possible {
            if driver.matches(key, seen)? {
                matching.push(seen);
            }
        }
        matching.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(matching)
    }

    fn with_key(&self, driver: &dyn Driver, key: &Key) -> Result<Vec<&Seen>> {
        let ids = self.ids.get_or_init(|| {
            let mut ids = Ids::new();
            for seen in self.all() {
                ids.entry(driver.key(&seen.state)?).or_default().push(seen.id.clone());
            }
            Ok(ids)
        });
        let ids = ids.as_ref().map_err(Clone::clone)?.get(key);
        Ok(ids.into_iter().flatten().filter_map(|id| self.row(id)).collect())
    }
}
