//! What a client is created with: the account that it calls, and the settings that all clients share.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{Egress, Host, Meter};

/// Whom to sign in as, and where.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The host of the account.
    pub host: Host,
    /// The account: a UUID.
    pub account_id: String,
    /// The application id of the service principal.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

/// How to call, the same for all connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For one try, from the first byte out to the last byte in.
    pub request_timeout: Duration,
    /// The same for a call that changes something: shorter than a lease, so that none outlives it.
    pub write_timeout: Duration,
    /// For DNS, TCP and TLS; part of the former.
    pub connect_timeout: Duration,
    /// In the long run, for each class of endpoints.
    pub requests_per_second: f64,
    /// How many may go out at once after a rest, for each class of endpoints.
    pub burst: u32,
    /// Shows in the audit log of the account.
    pub user_agent: String,
    /// Whose certificates are believed, and through which proxy the calls go.
    pub egress: Egress,
    /// Where the calls are counted.
    pub meter: Arc<Meter>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            requests_per_second: 20.0,
            burst: 40,
            user_agent: concat!("databricks-operator/", env!("CARGO_PKG_VERSION")).to_owned(),
            egress: Egress::default(),
            meter: Arc::default(),
        }
    }
}
