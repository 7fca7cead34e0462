//! A client of the product for the simulated account, as the tests of kinds use it: they send more than an account allows.

use std::time::Duration;

use databricks_operator::databricks::{Client, Connection, Credentials, Host, HostPolicy, Settings, Urgency};
use databricks_operator::engine::kind::{Permit, Reader, Writer};
use secrecy::SecretString;
use simulator::Simulator;

/// A writer for the simulated account, with the service principal that it knows.
pub fn connect(simulator: &Simulator) -> Writer {
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let connection = Connection {
        host: Host::parse(&simulator.url(), &policy).unwrap(),
        account_id: simulator.account_id.clone(),
        client_id: simulator.client_id.clone(),
        credentials: Credentials::Secret(SecretString::from(simulator.client_secret.clone())),
        on_google: false,
    };
    let settings = Settings {
        request_timeout: Duration::from_secs(30),
        requests_per_second: 1e4,
        burst: 1000,
        hosts: policy,
        ..Settings::default()
    };
    let client = Client::new(connection, &settings).unwrap();
    Writer::new(Reader::new(client, Urgency::Urgent), Permit::sole())
}
