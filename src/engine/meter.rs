//! What is counted of the work, for `/metrics`. Numbers only; nothing here knows the engine.

mod counts;
mod queue;

pub use counts::{Meter, OfKind, ReconcileResult, Write, gauge};
pub use queue::Queue;
