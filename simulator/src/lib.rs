//! An in-memory reading of the Databricks account API, for tests and the demo: that of AWS, or by a setting that of Google Cloud.
//!
//! It shares no type with the operator, so that the same misreading of the API must happen twice to go unnoticed,
//! and it refuses what the real API refuses or what a client has no business to send. Each behaviour that the
//! API's documentation does not state is marked `observed by others` or `assumed` where it is implemented.
//! Not validated against a live account. The map: `api` routes a call; the tables in `collections`, `account_settings` and `settings_v2`,
//! `workspaces`, `ip_access_lists`, `assignments`, `scim`, `rule_sets`, `usage_dashboards` and `tokens` respond to it, `google` issues the
//! tokens of Google, `workspace_hosts` answers calls of a workspace; `store` remembers; `server` puts
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
mod google;
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
mod settings_v2;
mod shared;
mod store;
mod tokens;
mod usage_dashboards;
mod wire;
mod workspace_hosts;
mod workspaces;
mod world;

pub use faults::{Fault, Held, When};
pub use google::EMAIL as GOOGLE_EMAIL;
pub use handle::{Config, Simulator};
pub use journal::Call;
pub use objects::Served;
pub use settings::{Cloud, InUse, RateLimit, Settings};
