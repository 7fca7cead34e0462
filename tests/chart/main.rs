//! The Helm chart as it is rendered, without a cluster: real `helm`, one call a render.
//!
//! A test says which line of the chart's checklist it shows, `/// Covers H-06.`; `checklist.rs` holds the list complete.
//! `UPDATE=1 cargo test --test chart` writes what is generated: the schema and the table of the values, the renders that are
//! kept, and the table of the checklist. That an API server takes the objects is shown elsewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod checklist;
mod helm;
mod install;
mod manifest;
mod metrics;
mod monitoring;
mod pods;
mod refusals;
mod rights;
mod values;
