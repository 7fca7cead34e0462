//! The Databricks account API over HTTP: sign in, wait for the rate, try once, decode.
//!
//! Not here: what a resource is, when to call again, Kubernetes. Everything a host sends is untrusted input.
//! The order of one call is `Client::send` in `client.rs`; each other file answers one question: which hosts (`host`),
//! which egress (`egress`), what is sent (`request`), with which token (`token`), how does Google issue one (`google`),
//! when (`rate`), what is the response (`reply`), is it about the caller (`refused`), what went wrong (`error`), what of
//! it may be shown (`shown`), is a list complete (`page`), what does a SCIM request consist of (`scim`), how many calls
//! were there (`meter`).

mod client;
mod egress;
mod error;
mod google;
mod host;
mod int64;
mod meter;
mod page;
mod rate;
mod refused;
mod reply;
mod request;
mod scim;
mod shown;
mod token;

#[cfg(test)]
mod tests;

pub use client::{
    Client, Connection, Credentials, Exchange, NoResponse, Rates, Settings, Trail, WorkspaceHost,
};
pub use egress::{Egress, Proxy, roots};
pub use error::{Error, Optional};
pub use google::GoogleKey;
pub use host::{Host, HostNotAllowed, HostPolicy, default_host, workspace_url};
pub use int64::Int64;
pub use meter::{CODES, Meter};
pub use page::Pages;
pub use request::{Fence, Method, Request, Urgency, path};
pub use scim::{ScimEntry, ScimPatch, scim_schemas};
pub use shown::{plain, root_cause};
