//! Logs, traces, and the responses to probes.
//!
//! Nothing here can stop the operator: lines and spans wait in queues of a fixed size, and one that finds its queue full is
//! dropped, which is logged. One span, that of a reconcile, gives each line about an object the object's name; the code
//! that does the work decides what is a span and what is logged, with the macros of `tracing`.

mod json;
mod lines;
mod otlp;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use lines::Lines;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use lines::LogFormat;
pub use otlp::Collector;

/// The name of the span of a reconcile. Lines need it whatever `--log` says, as it names their object.
const RECONCILE: &str = "reconcile";
/// The module of the client of the API server that reads responses.
const KUBERNETES: &str = "kube_client::client";
/// How long the end of the process waits for what is still in a queue.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

static LINES: OnceLock<Lines> = OnceLock::new();
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Starts to log to standard error, and to send traces if there is a collector for them. `filter` is in the form of
/// `RUST_LOG`; one that cannot be read is an error. Called once, in the runtime.
pub fn init(format: LogFormat, filter: &str, collector: Option<Collector>) -> Result<(), String> {
    let filter = logged(filter)?;
    let lines = Lines::to(std::io::stderr(), format).map_err(|e| format!("nothing can be logged: {e}"))?;
    let lines = LINES.get_or_init(|| lines);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
    let log = match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.fmt_fields(JsonFields::new()).event_format(json::Json).boxed(),
    };
    let traces = collector.map(|collector| {
        let provider = TRACES.get_or_init(|| otlp::provider(collector));
        otlp::layer(provider).with_filter(ours(LevelFilter::DEBUG, |_| true))
    });
    tracing_subscriber::registry().with(log.with_filter(filter)).with(traces).init();
    // The default hook writes to standard error itself, and would block there for ever without a reader.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, "panic: {}", panic.payload_as_str().unwrap_or("without a text"));
    }));
    Ok(())
}

/// What is logged: what `--log` says, and the span that names an object. The client of the API server logs responses that it cannot
/// read, in full, and such a response may be a Secret: nothing of it is logged at any level, as its errors are reported anyway.
fn logged<S: Subscriber>(filter: &str) -> Result<impl Filter<S> + use<S>, String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("--log cannot be read: {e}"))?;
    let reconcile = ours(LevelFilter::ERROR, |name| name == RECONCILE);
    let harmless = filter_fn(|metadata| metadata.is_span() || metadata.target() != KUBERNETES);
    Ok(filter.or(reconcile).and(harmless.with_max_level_hint(LevelFilter::TRACE)))
}

/// Admits spans of ours, and no events.
fn ours(level: LevelFilter, which: fn(&str) -> bool) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    let ours = move |metadata: &Metadata<'_>| {
        let crate_name = env!("CARGO_CRATE_NAME");
        metadata.is_span() && metadata.target().starts_with(crate_name) && which(metadata.name())
    };
    filter_fn(ours).with_max_level_hint(level)
}

/// Sends and writes what is still queued, for two seconds at most. Not to be called in the runtime, which it needs.
pub fn shut_down() {
    if let Some(traces) = TRACES.get() {
        // What cannot be sent in time is lost, as the exporter logs.
        let _ = traces.shutdown_with_timeout(LONGEST_WAIT);
    }
    if let Some(lines) = LINES.get() {
        lines.flush(LONGEST_WAIT);
    }
}

/// Writes one line to standard error, unless that is closed or takes longer than a second.
pub fn print_line(line: String) {
    let (done, wait) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let written = std::io::stderr().write_all(&lines::one_line(line.as_bytes()));
        done.send(written)
    });
    let _ = wait.recv_timeout(LONGEST_WAIT);
}

/// Whether the caches are filled: readiness depends on neither leadership nor Databricks.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The caches are filled.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Responds to `/healthz` (the event loop works) and `/readyz` (the caches are filled).
pub fn health(ready: Readiness) -> Router {
    let readyz = move || async move {
        if ready.0.load(Ordering::Acquire) {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not yet")
        }
    };
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::Event;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::Context;

    use super::*;

    /// The targets of the lines.
    #[derive(Clone, Default)]
    struct Targets(Arc<Mutex<Vec<&'static str>>>);

    impl Layer<Registry> for Targets {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
            self.0.lock().unwrap().push(event.metadata().target());
        }
    }

    /// A response of the API server may be a Secret.
    #[test]
    fn no_response_of_the_api_server_is_logged_whatever_the_filter_says() {
        let targets = Targets::default();
        let log = targets.clone().with_filter(logged("trace").unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            tracing::warn!(target: "kube_client::client", "a response that cannot be read");
            tracing::warn!(target: "kube_client::config", "anything else");
        });
        assert_eq!(*targets.0.lock().unwrap(), ["kube_client::config"]);
    }
}
