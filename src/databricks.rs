//! The Databricks account API over HTTP: sign in, wait for the rate, try once, decode.
//!
//! Not here: what a resource is, when to call again, Kubernetes. Everything a host sends is untrusted input.
//! The order of one call is `Client::send` in `client.rs`; each other file answers one question: which hosts
//! (`host`), which way out (`egress`), what goes out (`request`), with which token (`token`), when (`rate`), what came
//! back (`reply`), whether it is about the caller (`refused`), what went wrong (`error`), what of it may be shown (`shown`), are these all of them (`page`), how many
//! there were (`meter`).

mod client;
mod egress;
mod error;
mod host;
mod int64;
mod meter;
mod page;
mod rate;
mod refused;
mod reply;
mod request;
mod settings;
mod shown;
mod token;

#[cfg(test)]
mod tests;

pub use client::{Client, Trail};
pub use egress::{Egress, Proxy, roots};
pub use error::{Error, Optional};
pub use host::{Host, HostNotAllowed, HostPolicy, default_host};
pub use int64::Int64;
pub use meter::{CODES, Meter};
pub use page::Pages;
pub use request::{Fence, Method, Request, Urgency, path};
pub use settings::{Connection, Settings};
pub use shown::plain;
