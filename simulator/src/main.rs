//! The simulator as a server of its own, for the demo and for tests of the whole operator.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use serde_json::json;
use simulator::{Config, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// Serves a simulated Databricks account until SIGTERM or SIGINT.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The account's UUID.
    #[arg(long, value_parser = uuid)]
    account_id: Option<String>,
    /// The OAuth client's id.
    #[arg(long)]
    client_id: Option<String>,
    /// The OAuth client's secret.
    #[arg(long, env = "SIMULATOR_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// Begin with a workspace, credentials and an IP access list that no object manages.
    #[arg(long)]
    seed_demo: bool,
}

fn uuid(text: &str) -> Result<String, uuid::Error> {
    uuid::Uuid::try_parse(text).map(|uuid| uuid.to_string())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let default = Config::default();
    let config = Config {
        listen: arguments.listen,
        account_id: arguments.account_id.unwrap_or(default.account_id),
        client_id: arguments.client_id.unwrap_or(default.client_id),
        client_secret: arguments.client_secret.unwrap_or(default.client_secret),
        seed_demo: arguments.seed_demo,
        ..default
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let simulator = Simulator::start(config).await?;
    let started = json!({
        "url": simulator.url(),
        "account_id": simulator.account_id,
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
    });
    let mut out = io::stdout();
    writeln!(out, "{started}")?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
