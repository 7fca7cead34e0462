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
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, FilterFn, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use lines::LogFormat;
pub use otlp::Collector;

/// The name of the span of a reconcile. Lines need it whatever `--log` says, as it names their object.
const RECONCILE: &str = "reconcile";
/// How long the end of the process waits for what is still in a queue.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

static LINES: OnceLock<Lines> = OnceLock::new();
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Starts to log to standard error, and to send traces if there is a collector for them. `filter` is in the form of
/// `RUST_LOG`; one that cannot be read is an error. Called once, in the runtime.
pub fn init(format: LogFormat, filter: &str, collector: Option<Collector>) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("--log cannot be read: {e}"))?;
    let reconcile = ours(LevelFilter::ERROR, |name| name == RECONCILE);
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
    tracing_subscriber::registry().with(log.with_filter(filter.or(reconcile))).with(traces).init();
    // The default hook writes to standard error itself, and would block there for ever without a reader.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, "panic: {}", panic.payload_as_str().unwrap_or("without a text"));
    }));
    Ok(())
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
