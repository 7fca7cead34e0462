//! The Databricks accounts: which DatabricksAuth admits which objects, the sessions behind them, and the LISTs that their
//! users share.

mod auths;
mod burst;
mod directory;
mod grants;
mod labels;
mod named;
mod renew;
mod secret;
mod session;
mod snapshot;

pub use auths::Auths;
pub use grants::{Admission, Applicant, check_power};
pub use named::NamedWatches;
pub use renew::Renewed;
pub use session::Session;
pub use snapshot::{Rows, Snapshots};
