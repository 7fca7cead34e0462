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

use super::admit::{Authorizer, Refused};
use super::{Metrics, plain};
use crate::port::Connection;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a scrape; with an authorizer, that of an admitted caller.
pub fn router(metrics: Arc<Metrics>, authorizer: Option<Authorizer>) -> Router {
    let source = Arc::new(Source { metrics, authorizer, last: Mutex::default() });
    let scrape = move |Extension(connection): Extension<Connection>, headers: HeaderMap| async move {
        source.respond(&connection, &headers).await
    };
    Router::new().route("/metrics", get(scrape))
}

/// Where the text comes from, and who may read it.
struct Source {
    metrics: Arc<Metrics>,
    authorizer: Option<Authorizer>,
    /// The last text that was rendered, and when its rendering began.
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Source {
    async fn respond(&self, connection: &Connection, headers: &HeaderMap) -> Response {
        if let Some(authorizer) = &self.authorizer
            && let Err(refused) = authorizer.admit(headers).await
        {
            return refusal(refused);
        }
        connection.admitted();
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
        let requested = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, text)) = &*last
            && *begun >= requested
        {
            return text.clone();
        }
        let (begun, metrics) = (Instant::now(), self.metrics.clone());
        // With thousands of objects it takes some milliseconds, in which calls continue.
        let rendered = tokio::task::spawn_blocking(move || Arc::from(metrics.text())).await;
        let text: Arc<str> =
            rendered.expect("rendering the text does not panic, and the process is not ending");
        *last = Some((begun, text.clone()));
        text
    }
}

fn refusal(refused: Refused) -> Response {
    let (status, text) = match refused {
        Refused::Unauthenticated => {
            let header = [(WWW_AUTHENTICATE, "Bearer")];
            let text = "a token of this cluster is needed: Authorization: Bearer TOKEN\n";
            return (StatusCode::UNAUTHORIZED, header, text).into_response();
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
