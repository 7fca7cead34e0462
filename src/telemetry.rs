//! Logs, and the health endpoints for probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Begins to log to standard error. `filter` is in the form of `RUST_LOG`; one that cannot be read is an error.
pub fn log(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("--log cannot be read: {e}"))?;
    let builder =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Whether the caches are filled: readiness has to do with neither leadership nor Databricks.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The caches are filled.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves `/healthz` (the event loop answers) and `/readyz` (the caches are filled). Fails if the port is taken.
pub async fn serve(listen: SocketAddr, ready: Readiness) -> std::io::Result<SocketAddr> {
    let readyz = move || async move {
        if ready.0.load(Ordering::Acquire) {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not yet")
        }
    };
    let app = Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
