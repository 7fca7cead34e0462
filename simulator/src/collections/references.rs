//! Ids in a body that name an object of another collection.
//!
//! Assumed: the code of the refusal. While a collection is empty any id is accepted: a story about something else need not
//! register what it refers to.

use crate::wire::Reply;
use crate::world::World;

/// Refuses an id that names nothing, in the field of a body.
pub(crate) fn check_reference(world: &World, field: &str, store: &str, id: &str) -> Result<(), Reply> {
    if world.store.get(store, id).is_some() || world.store.list(store).is_empty() {
        return Ok(());
    }
    Err(Reply::invalid(format!("{field} {id} does not exist in this account")))
}
