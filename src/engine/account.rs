//! The Databricks accounts: which DatabricksAuth admits which objects, the sessions behind them, and the LISTs that their
//! users share.

mod auths;
mod grants;
mod labels;
mod secret;
mod session;
mod snapshot;

pub use auths::{Auths, auth_error};
pub use grants::{Admission, Applicant, asks_for_labels, check_power};
pub use session::Session;
pub use snapshot::{Rows, Snapshots};
