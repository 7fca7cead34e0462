//! The chart on real API servers: what `helm install` makes is read back, and the operator runs as a process with just
//! the arguments, the environment and the ServiceAccount of its Deployment. There is no kubelet, so no pod runs by
//! itself.
//!
//! Two servers, the newest and the oldest Kubernetes, are shared by the tests; each has the chart installed as a user
//! would. Upgrades have a server of their own. What is rendered is tested in `tests/chart`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod audit;
mod lifecycle;
mod people;
#[path = "../account/resource.rs"]
mod resource;
mod rights;
mod servers;
mod site;
mod stage;
