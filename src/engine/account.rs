//! The Databricks accounts: which DatabricksAuth admits which objects, the sessions behind them, and the LISTs that their
//! users share.
//!
//! * An object asks `auths.rs`, which returns a session if `grants.rs` allows it; `labels.rs`: grants by the labels of namespaces.
//! * A DatabricksAuth calls `renew.rs`, which reads the credentials (`secret.rs`) and signs in. The result is a `session.rs`.
//! * With a session, objects share what is read: `snapshot.rs` has the LISTs (`rows.rs`: what they show; `own_writes.rs`: what they do not
//!   show yet; `burst.rs`: when one is read for many at once), `directory.rs` the ids of principals.
//! * `named.rs` triggers an object when the Secret or the ConfigMap that it names is changed.

mod auths;
mod burst;
mod directory;
mod grants;
mod labels;
mod named;
mod own_writes;
mod renew;
mod rows;
mod secret;
mod session;
mod snapshot;

pub use auths::Auths;
pub use grants::{Admission, Applicant, check_power};
pub use named::NamedWatches;
pub use renew::Renewed;
pub use rows::Rows;
pub use session::Session;
pub use snapshot::Snapshots;
