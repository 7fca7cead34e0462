//! `GET /metrics`, for every caller or for those that the API server admits.
//!
//! A scrape must cost the operator little, however many there are and whatever sends them: one text is rendered at a time,
//! and all scrapes that wait for it share it. [`crate::port`] limits how many connections there are at a time.

use std::sync::Arc;

use axum::http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::admit::{Guard, Refused};
use super::{Metrics, plain};
use crate::port::Peer;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a scrape; with a guard, that of an admitted caller.
pub fn answers(metrics: Arc<Metrics>, guard: Option<Guard>) -> Router {
    let source = Arc::new(Source { metrics, guard, last: Mutex::default() });
    let scrape = move |Extension(peer): Extension<Peer>, headers: HeaderMap| async move {
        source.answer(&peer, &headers).await
    };
    Router::new().route("/metrics", get(scrape))
}

/// Where the text comes from, and who may read it.
struct Source {
    metrics: Arc<Metrics>,
    guard: Option<Guard>,
    /// The last text that was rendered, and when its rendering began.
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Source {
    async fn answer(&self, peer: &Peer, headers: &HeaderMap) -> Response {
        if let Some(guard) = &self.guard
            && let Err(refused) = guard.admit(headers).await
        {
            return refusal(refused);
        }
        peer.is_let_in();
        let text = self.text().await;
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        // The older form, for a caller that does not ask for the newer.
        if accepts.contains("application/openmetrics-text") {
            ([(CONTENT_TYPE, OPENMETRICS)], text.to_string()).into_response()
        } else {
            ([(CONTENT_TYPE, PROMETHEUS)], plain(&text)).into_response()
        }
    }

    /// A text whose rendering began after this call.
    async fn text(&self) -> Arc<str> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, text)) = &*last
            && *begun >= asked
        {
            return text.clone();
        }
        let (begun, metrics) = (Instant::now(), self.metrics.clone());
        // With thousands of objects it takes some milliseconds, in which calls continue.
        let made = tokio::task::spawn_blocking(move || Arc::from(metrics.text())).await;
        let text: Arc<str> = made.expect("rendering the text does not panic, and the process is not ending");
        *last = Some((begun, text.clone()));
        text
    }
}

fn refusal(refused: Refused) -> Response {
    let (status, text) = match refused {
        Refused::Unauthenticated => {
            let told = [(WWW_AUTHENTICATE, "Bearer")];
            let text = "a token of this cluster is needed: Authorization: Bearer TOKEN\n";
            return (StatusCode::UNAUTHORIZED, told, text).into_response();
        }
        Refused::Forbidden => {
            (StatusCode::FORBIDDEN, "the token's user may not `get` the nonResourceURL /metrics\n")
        }
        Refused::Unknown => {
            (StatusCode::SERVICE_UNAVAILABLE, "the API server cannot be asked about the token now\n")
        }
    };
    (status, text).into_response()
}
