//! Traces to a collector: OTLP over HTTP, in protobuf.
//!
//! The SDK's queue and thread, and an exporter of our own. A span that finds the queue full is dropped. A collector that
//! refuses spans, or accepts them too slowly, is logged once, and once more when it has recovered for a while.
//!
//! Why the exporter is ours: `opentelemetry-otlp` would replace the ten lines here that encode a batch and send it. Its retries
//! are off by default, and it takes our HTTP client, but it calls the client on the SDK's thread, which has no runtime, so it
//! needs the same wrapper; it also adds headers from `OTEL_EXPORTER_OTLP_HEADERS`. It logs each batch that fails, and the SDK
//! logs the first span that it drops and no recovery. The tests `a_collector_that_is_too_slow_is_named_once` and
//! `only_a_success_is_one` promise one line with the cause when it begins and one when it is over.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter,
    SpanProcessor, Tracer,
};
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing_opentelemetry::OpenTelemetryLayer;
use url::Url;

use crate::databricks::root_cause;

/// Spans that may wait: a few MB.
const QUEUE: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An outage has ended once nothing has failed for this long: some collectors fail every other time.
const RECOVERED: Duration = Duration::from_secs(60);

/// The receiver of traces.
pub struct Collector {
    /// The address of its requests, with the path.
    pub url: Url,
    /// The HTTP client.
    pub http: reqwest::Client,
    /// The name of this process.
    pub instance: String,
}

/// Sends traces to the collector, from now on, by the runtime that this is called in.
pub fn provider(collector: Collector) -> SdkTracerProvider {
    let resource = Resource::builder_empty()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", collector.instance))
        .build();
    let exporter = Exporter {
        url: collector.url,
        http: collector.http,
        runtime: Handle::current(),
        resource: (&resource).into(),
        failing: Outage::default(),
        count: Arc::default(),
        losing: Outage::default(),
    };
    // Set explicitly, so that OTEL_TRACES_SAMPLER is ignored.
    let sampler = Sampler::AlwaysOn;
    SdkTracerProvider::builder()
        .with_span_processor(processor(exporter, DELAY))
        .with_sampler(sampler)
        .with_resource(resource)
        .build()
}

/// `delay` is how long the first span of a batch waits for others.
fn processor(exporter: Exporter, delay: Duration) -> Counted {
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(delay)
        .build();
    let count = exporter.count.clone();
    Counted { queue: BatchSpanProcessor::builder(exporter).with_batch_config(queue).build(), count }
}

/// Turns spans of `tracing` into spans of a trace: their content, not their place in the code.
pub fn layer<S>(provider: &SdkTracerProvider) -> OpenTelemetryLayer<S, Tracer>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
}

/// The queue. The SDK's queue does not report what it drops, so it never gets more than it has room for.
#[derive(Debug)]
struct Counted {
    queue: BatchSpanProcessor,
    count: Arc<Count>,
}

/// Spans in the queue, and those that found it full since the last report.
#[derive(Debug, Default)]
struct Count {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

impl SpanProcessor for Counted {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let one_more = |waiting| (waiting < QUEUE).then_some(waiting + 1);
        match self.count.waiting.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => self.queue.on_end(span),
            Err(_) => drop(self.count.lost.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

struct Exporter {
    url: Url,
    http: reqwest::Client,
    /// Called from a thread of the SDK, which has no runtime.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    failing: Outage,
    count: Arc<Count>,
    losing: Outage,
}

/// When something failed last. It logs the first failure and the recovery, not each repetition.
#[derive(Default)]
struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// A failure; true for the first one of an outage.
    fn started(&self) -> bool {
        self.0.lock().expect("no panic while held").replace(Instant::now()).is_none()
    }

    /// A success; true for the one that ends an outage.
    fn ended(&self) -> bool {
        let mut last = self.0.lock().expect("no panic while held");
        last.take_if(|last| last.elapsed() >= RECOVERED).is_some()
    }
}

impl Exporter {
    /// This many spans have left the queue. Logs when others begin to find it full, and when none has for a while.
    fn left_queue(&self, spans: usize) {
        self.count.waiting.fetch_sub(spans, Ordering::Relaxed);
        if self.count.lost.swap(0, Ordering::Relaxed) > 0 {
            if self.losing.started() {
                tracing::warn!(
                    collector = self.url.authority(),
                    "traces come faster than they can be sent, and some are dropped"
                );
            }
        } else if self.losing.ended() {
            tracing::info!(collector = self.url.authority(), "all traces can be sent again");
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exporter({})", self.url)
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.left_queue(batch.len());
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let request = request.timeout(TIMEOUT).body(body);
        let sent = self.runtime.spawn(async { request.send().await.map(|response| response.status()) }).await;
        let result = match sent {
            Ok(Ok(status)) if status.is_success() => Ok(()),
            // A redirect is not followed either.
            Ok(Ok(status)) => Err(format!("it answers {status}")),
            Ok(Err(error)) => Err(root_cause(error)),
            // The process ends.
            Err(error) => return Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        match &result {
            Err(error) if self.failing.started() => tracing::warn!(
                collector = self.url.authority(),
                error,
                "traces cannot be sent and are dropped until they can; is --otlp-endpoint right?"
            ),
            Ok(()) if self.failing.ended() => {
                tracing::info!(collector = self.url.authority(), "traces are sent again");
            }
            _ => {}
        }
        result.map_err(OTelSdkError::InternalFailure)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use opentelemetry::trace::{Span as _, Tracer as _};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::advance;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    fn exporter(url: &str) -> Exporter {
        // Fails if there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Exporter {
            url: url.parse().unwrap(),
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            runtime: Handle::current(),
            resource: ResourceAttributesWithSchema::default(),
            failing: Outage::default(),
            count: Arc::default(),
            losing: Outage::default(),
        }
    }

    /// The captured log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }

        /// From now on, while the returned guard is held, all logs of this thread go here.
        fn here(&self) -> tracing::subscriber::DefaultGuard {
            let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false).finish();
            tracing::subscriber::set_default(subscriber)
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Log;
        fn make_writer(&'a self) -> Log {
            self.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_is_too_slow_is_named_once() {
        let (exporter, log) = (exporter("http://127.0.0.1:9/"), Log::default());
        let _here = log.here();
        let logged = |slow, recovered| {
            let count = |what: &str| log.text().matches(what).count();
            let both = ("traces come faster than they can be sent", "all traces can be sent again");
            assert_eq!((count(both.0), count(both.1)), (slow, recovered), "{}", log.text());
        };
        let round = |lost: usize| {
            exporter.count.waiting.fetch_add(BATCH, Ordering::Relaxed);
            exporter.count.lost.fetch_add(lost, Ordering::Relaxed);
            exporter.left_queue(BATCH);
        };
        round(0);
        logged(0, 0);
        for _ in 0..3 {
            round(7);
            round(0);
            logged(1, 0);
        }
        advance(RECOVERED).await;
        round(0);
        logged(1, 1);
        round(1);
        logged(2, 1);
    }

    /// Responds to one request, with this status.
    async fn collector(status: u16) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_buf(&mut vec![]).await.unwrap();
            let response = format!("HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
            connection.write_all(response.as_bytes()).await.unwrap();
        });
        url
    }

    #[tokio::test]
    async fn only_a_success_is_one() {
        for (status, logged) in [(200, ""), (202, ""), (302, "it answers 302"), (429, "it answers 429")] {
            let (exporter, log) = (exporter(&collector(status).await), Log::default());
            let _here = log.here();
            assert_eq!(exporter.export(vec![]).await.is_ok(), logged.is_empty(), "{status}");
            let text = log.text();
            assert!(text.contains(logged) && text.is_empty() == logged.is_empty(), "{status}: {text}");
        }
    }

    #[tokio::test]
    async fn the_queue_never_gets_more_than_it_has_room_for() {
        let exporter = exporter(&collector(200).await);
        let count = exporter.count.clone();
        let processor = processor(exporter, Duration::from_secs(3600));
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        let now = || (count.waiting.load(Ordering::Relaxed), count.lost.load(Ordering::Relaxed));
        // The span that completes a batch wakes the thread of the queue, which takes the batch out at any time. So there is
        // never a whole batch here, and nothing leaves the queue before the end.
        let own = BATCH - 2;
        for _ in 0..own {
            tracer.start("span").end();
        }
        assert_eq!(now(), (own, 0));
        // As if others had come, too: there is room for one more.
        let others = QUEUE - 1 - own;
        count.waiting.fetch_add(others, Ordering::Relaxed);
        for _ in 0..3 {
            tracer.start("span").end();
        }
        assert_eq!(now(), (QUEUE, 2));
        count.waiting.fetch_sub(others, Ordering::Relaxed);
        // From another thread, as it waits for the runtime.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TIMEOUT * 4));
        ended.await.unwrap().unwrap();
        assert_eq!(count.waiting.load(Ordering::Relaxed), 0, "all have left");
    }
}
