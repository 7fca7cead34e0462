//! An in-memory reading of the Databricks account API (AWS flavour), for tests and the demo.
//!
//! It shares no type with the operator, so that the same misreading of the API must happen twice to go unnoticed,
//! and it refuses what the real API refuses or what a client has no business to send. Each behaviour that the
//! API's documentation does not state is marked `observed by others` or `assumed` where it is implemented.
//! Not validated against a live account. The map: `api` routes a call; the table in `collections`, that in `account_settings`,
//! `workspaces`, `ip_access_lists`, `assignments`, `scim`, `rule_sets` and `tokens` respond to it, `workspace_hosts` to calls of a
//! workspace; `store` remembers; `server` puts
//! faults, holds and delays around it; `control` is the same as [`Simulator`], over HTTP.

mod account_settings;
mod api;
mod assignments;
mod call;
mod clock;
mod collections;
mod connection;
mod control;
mod etags;
mod faults;
mod handle;
mod ip_access_lists;
mod issued;
mod journal;
mod objects;
mod refusals;
mod rule_sets;
mod schema;
mod scim;
mod server;
mod settings;
mod shared;
mod store;
mod tokens;
mod wire;
mod workspace_hosts;
mod workspaces;
mod world;

pub use faults::{Fault, Held, When};
pub use handle::{Config, Simulator};
pub use journal::Call;
pub use objects::Served;
pub use settings::{InUse, RateLimit, Settings};
