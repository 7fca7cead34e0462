//! How the client calls an account: times, limits, and egress.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::Exchange;
use super::rates::Rates;
use crate::databricks::egress::Egress;
use crate::databricks::{HostPolicy, Meter};

/// How to call, the same for all connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For one try, from the first byte sent to the last byte received.
    pub request_timeout: Duration,
    /// The same for a call that changes something: shorter than a lease, so that none outlives it.
    pub write_timeout: Duration,
    /// For DNS, TCP and TLS; part of the former.
    pub connect_timeout: Duration,
    /// The highest average, for each class of endpoints.
    pub requests_per_second: f64,
    /// How many may be sent at once after a quiet time, for each class of endpoints.
    pub burst: u32,
    /// Shows in the audit log of the account.
    pub user_agent: String,
    /// Which certificates are trusted, and through which proxy the calls go.
    pub egress: Egress,
    /// Which hosts of workspaces may be called; the host of the account was checked before.
    pub hosts: HostPolicy,
    /// What clients of one service principal share.
    pub rates: Arc<Rates>,
    /// Where the calls are counted.
    pub meter: Arc<Meter>,
    /// Carries out the calls in place of the network; for tests only.
    pub exchange: Option<Exchange>,
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
            hosts: HostPolicy::default(),
            rates: Arc::default(),
            meter: Arc::default(),
            exchange: None,
        }
    }
}
