//! Our own writes of the objects in one LIST. A LIST that began before a write ended may not show it, however late the LIST is complete.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::engine::kind::Seen;

/// The writes since the last complete reading began, by the id of the object.
#[derive(Default)]
pub struct OwnWrites(HashMap<String, Write>);

/// The last write of an object.
struct Write {
    ended: Instant,
    /// What its response showed: `None` is a deletion.
    seen: Option<Seen>,
    /// A reading has begun since. The times do not say so: both may be of the same instant.
    read_since: bool,
}

impl OwnWrites {
    /// Notes a write that ended now: what its response showed, or `None` for a deletion.
    pub fn note(&mut self, id: &str, seen: Option<Seen>) {
        self.0.insert(id.to_owned(), Write { ended: Instant::now(), seen, read_since: false });
    }

    /// When the last write of an object ended.
    pub fn ended(&self, id: &str) -> Option<Instant> {
        self.0.get(id).map(|write| write.ended)
    }

    /// A reading begins: what was written before is in what it reads, or had no effect.
    pub fn begin_reading(&mut self) {
        self.0.values_mut().for_each(|write| write.read_since = true);
    }

    /// The reading is complete: keeps only the writes since it began, and returns them.
    pub fn complete_reading(&mut self) -> Vec<(String, Option<Seen>)> {
        self.0.retain(|_, write| !write.read_since);
        self.0.iter().map(|(id, write)| (id.clone(), write.seen.clone())).collect()
    }
}
