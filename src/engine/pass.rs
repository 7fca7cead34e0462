//! One reconcile of one object, from the parsed object to the one write of its status. [`reconcile`] is for the managed kinds,
//! [`reconcile_auth`] for DatabricksAuth.

mod bind;
mod bound;
mod claims;
mod conclude;
mod config_map;
mod create;
mod databricks_auth;
mod decide;
mod delete;
mod end;
mod engine;
#[cfg(test)]
pub(super) mod fake;
mod guard;
mod hops;
mod inputs;
mod kubernetes_secret;
mod lag;
mod log;
mod meaning;
mod observe;
mod operation;
mod outcome;
mod parts;
mod prepare;
mod reading;
mod record;
mod report;
mod resolve;
mod roster;
mod rotate;
mod subject;
mod undo;
mod unlisted;
mod unmanaged;
mod unresolved;
mod update;
mod work;

pub use databricks_auth::reconcile as reconcile_auth;
pub use engine::{Engine, Settings};
pub use hops::reconcile;
pub use log::span;
pub use outcome::{Outcome, Pace};

#[cfg(test)]
mod tests;
