//! `GET /metrics`, on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Metrics, plain};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `/metrics`. Fails if the port is taken.
pub async fn serve(listen: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<SocketAddr> {
    let scrape = move |headers: HeaderMap| async move { answer(&headers, metrics.text()) };
    let app = Router::new().route("/metrics", get(scrape));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// In the form that the scraper asks for; in the older one if it does not ask.
fn answer(headers: &HeaderMap, text: String) -> impl IntoResponse + use<> {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (form, text) = if accepts.contains("application/openmetrics-text") {
        (OPENMETRICS, text)
    } else {
        (PROMETHEUS, plain(&text))
    };
    ([(CONTENT_TYPE, form)], text)
}
