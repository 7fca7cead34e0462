//! `GET /metrics`, on a port of its own, in plain or over TLS, for all or for whom the API server admits.
//!
//! A scrape may cost the operator little, however many come and whoever sends them: there is a limit to the connections,
//! to how long one lives, and one text is made at a time, which all who asked meanwhile share. A connection is one scrape:
//! an idle one would hold a place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::admit::{Guard, Refused};
use super::tls::Tls;
use super::{Metrics, plain};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Further ones wait until one ends.
const CONNECTIONS: usize = 128;
/// For the handshake, and for the request to come in.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(30);

/// A port that is ours and answers nobody yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Port {
    /// Takes the port. Fails if somebody else has it.
    pub async fn take(address: SocketAddr, tls: Option<Tls>) -> std::io::Result<Port> {
        Ok(Port { listener: TcpListener::bind(address).await?, tls: tls.map(Arc::new) })
    }

    /// Answers from now on, until the process ends; with a guard those whom it admits.
    pub fn serve(self, metrics: Arc<Metrics>, guard: Option<Guard>) {
        let source = Arc::new(Source { metrics, guard, last: Mutex::default() });
        let scrape = move |headers: HeaderMap| async move { source.answer(&headers).await };
        let app = Router::new().route("/metrics", get(scrape));
        tokio::spawn(self.accept(app));
    }

    async fn accept(self, app: Router) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let place = places.clone().acquire_owned().await.expect("it is never closed");
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // The process has too many files open, or the peer is gone already.
                    tracing::debug!(%error, "a connection for metrics");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (app, tls) = (app.clone(), self.tls.clone());
            tokio::spawn(async move {
                // Who does not come to an end is cut off, and who cannot do TLS has no answer to expect.
                let _ = timeout(LONGEST, connection(stream, tls, app)).await;
                drop(place);
            });
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, app: Router) {
    let Some(tls) = tls else { return exchange(stream, app).await };
    match timeout(PATIENCE, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => exchange(stream, app).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics"),
        Err(_) => {}
    }
}

/// One request and its answer.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Router) {
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await {
        tracing::debug!(error, "a connection for metrics");
    }
}

/// Where the text comes from, and who may have it.
struct Source {
    metrics: Arc<Metrics>,
    guard: Option<Guard>,
    /// The text that was made last, and since when it was being made.
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Source {
    async fn answer(&self, headers: &HeaderMap) -> Response {
        if let Some(guard) = &self.guard
            && let Err(refused) = guard.admit(headers).await
        {
            return refusal(refused);
        }
        let text = self.text().await;
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        // In the older form for who does not ask.
        if accepts.contains("application/openmetrics-text") {
            ([(CONTENT_TYPE, OPENMETRICS)], text.to_string()).into_response()
        } else {
            ([(CONTENT_TYPE, PROMETHEUS)], plain(&text)).into_response()
        }
    }

    /// A text whose making began after this was called.
    async fn text(&self) -> Arc<str> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, text)) = &*last
            && *begun >= asked
        {
            return text.clone();
        }
        let (begun, metrics) = (Instant::now(), self.metrics.clone());
        // With thousands of objects it takes some milliseconds, in which the calls go on.
        let made = tokio::task::spawn_blocking(move || Arc::from(metrics.text())).await;
        let text: Arc<str> = made.expect("making the text does not panic, and the process is not ending");
        *last = Some((begun, text.clone()));
        text
    }
}

fn refusal(refused: Refused) -> Response {
    let (status, text) = match refused {
        Refused::NotAuthenticated => {
            let told = [(WWW_AUTHENTICATE, "Bearer")];
            let text = "a token of this cluster is needed: Authorization: Bearer TOKEN\n";
            return (StatusCode::UNAUTHORIZED, told, text).into_response();
        }
        Refused::NotPermitted => {
            (StatusCode::FORBIDDEN, "the token's user may not `get` the nonResourceURL /metrics\n")
        }
        Refused::NotKnown => {
            (StatusCode::SERVICE_UNAVAILABLE, "the API server cannot be asked about the token now\n")
        }
    };
    (status, text).into_response()
}
