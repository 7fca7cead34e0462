//! Stories: the built operator, a real API server and a simulated account, seen as a user sees them.
//!
//! Every story has its own namespace, account and operator process, so they run side by side in any order; the API server
//! is shared. All of them are checked for what must hold at any time, see `invariants.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod argocd;
mod budget;
mod budget_policy;
mod burst;
mod credential;
mod credentials;
mod custom_app_integration;
mod deletion;
mod errors;
mod examples;
mod federation_policy;
mod gitops;
mod google;
mod group_membership;
mod guards;
mod identity;
mod in_use;
mod invariants;
mod ip_access_list;
mod labels;
mod leadership;
mod lifecycle;
mod lifetime;
mod log_delivery;
mod metastore;
mod metastore_assignment;
mod metrics;
mod network;
mod network_connectivity_binding;
mod network_endpoint;
mod observe;
mod optional_block;
mod outputs;
mod permission_assignment;
#[path = "../account/planted.rs"]
mod planted;
mod private_endpoint_rule;
mod protocol;
mod provisioning;
mod published_app_integration;
mod read_lag;
mod references;
mod refusals;
mod rename;
mod restart;
mod restored;
mod rights;
mod role_grant;
mod service_principal_secret;
mod signals;
mod standing;
mod status;
mod storage_credential;
mod support;
mod tokens;
mod unmanaged;
mod usage_dashboard;
mod workspace_access;
mod workspace_ip_access_list;
