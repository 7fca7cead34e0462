//! One reconcile of one object, from the parsed object to the one write of its status. [`reconcile`] is for the managed kinds,
//! [`reconcile_auth`] for DatabricksAuth.
//!
//! Read `hops.rs` first: it calls all the rest in order, and chooses the function for each step. Then read the file of your question:
//!
//! | question | where |
//! |---|---|
//! | What is known of the object? | `subject.rs`: its status, in memory; `work.rs`: with its kind; `bound.rs`: what binds it to the account |
//! | Why does it wait for its DatabricksAuth, a reference or a dependent? | `prepare.rs`, `resolve.rs`; `unresolved.rs`: what it can be without |
//! | What was read, and why is that believed? | `observe.rs` returns a `reading.rs`; `observe/search.rs`: without a record; `lag.rs`: reads from before a write |
//! | Was the create whose response was lost carried out? | `observe/interrupted.rs`, then `decide/recover.rs` |
//! | Why this step? | `decide.rs`; `decide/step.rs` lists the steps and what they depend on, which `inputs.rs` gathers |
//! | What is sent, and in which order? | `create.rs`, `update.rs`, `delete.rs`, `rotate.rs`; `undo.rs`: what cannot be kept. `bind.rs` and `report.rs` send nothing |
//! | Why is it not sent? | `guard.rs`: it could do harm; `claims.rs`, `parts.rs`: another object comes first |
//! | Why is a change not done that was accepted? | `operation.rs` |
//! | What is in the Kubernetes Secret, in the ConfigMap? | `kubernetes_secret.rs`, `decide/secret.rs`; `config_map.rs` |
//! | What do the status and the events say, and when is the next reconcile? | `end.rs`; `conclude.rs` turns the `outcome.rs` into conditions, events and a time; `record.rs` writes |
//! | What is removed from a list? | `roster.rs`; `unlisted.rs`: the record; `meaning.rs`: what other objects are for |
//! | And a DatabricksAuth? | `databricks_auth.rs`; `unmanaged.rs`: what no object names |
//!
//! What all reconciles share is in `engine.rs`, their log in `log.rs`.

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
