//! Manages a Databricks account with Kubernetes objects.
//!
//! A map for readers, in this order:
//!
//! * [`kinds`]: the table of kinds; one file each. Start with `kinds/ip_access_list.rs`.
//! * [`apis`]: APIs of the account that several kinds speak.
//! * [`engine`]: the reconcile loop that all kinds share, in ten hops.
//! * [`databricks`]: the account API over HTTP. Knows nothing of Kubernetes.
//! * [`clock`]: the one reader of the wall clock.
//! * [`cli`], [`config`], [`telemetry`], [`metrics`], [`port`], [`rbac`]: the process, and what it may do.

pub mod apis;
pub mod cli;
pub mod clock;
pub mod config;
pub mod databricks;
pub mod engine;
pub mod kinds;
pub mod metrics;
pub mod port;
pub mod rbac;
pub mod telemetry;
