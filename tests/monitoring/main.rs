//! Alerts, dashboard and runbooks fit each other, and what a running operator tells.
//!
//! `alerts.rs` has made-up series for each alert, on which it must fire or stay silent; `live.rs` holds everything against
//! the metrics of an operator that works on a real API server, and `picture.rs` draws them. Real `promtool` judges both. That the chart carries the
//! files is shown in `tests/chart`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod alerts;
mod files;
mod live;
mod picture;

mod promql;
mod promtool;
