//! Traces on their way to a collector: OTLP over HTTP, in protobuf.
//!
//! The SDK's queue and thread, and an exporter of our own: the one of the project brings a second way to say which
//! certificates and which proxy, settings from the environment, and retries that would hold up the end of the process. A
//! span that finds the queue full is dropped. A collector that does not answer is named once, and once more when it does.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter, Tracer,
};
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetryLayer;
use url::Url;

/// Spans that may wait: some MB.
const QUEUE: usize = 4096;
/// Spans in one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Who takes traces.
pub struct Collector {
    /// Where requests are posted to, with the path.
    pub url: Url,
    /// How.
    pub http: reqwest::Client,
    /// Which of several processes this is.
    pub instance: String,
}

/// Sends what is traced to the collector, from now on, by the runtime that this is called in.
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
        failing: AtomicBool::new(false),
    };
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
    // Said, so that it is not looked for in the environment.
    let sampler = Sampler::AlwaysOn;
    SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(sampler)
        .with_resource(resource)
        .build()
}

/// Makes spans of `tracing` spans of a trace: what they are about, not where in the code they are.
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

struct Exporter {
    url: Url,
    http: reqwest::Client,
    /// Called from a thread of the SDK, which has no runtime.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    failing: AtomicBool,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exporter({})", self.url)
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let request = request.timeout(TIMEOUT).body(body);
        let sent = self.runtime.spawn(async { request.send().await?.error_for_status().map(drop) }).await;
        let result = match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(root_cause(error)),
            // The process ends.
            Err(error) => return Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        match (&result, self.failing.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(
                collector = self.url.authority(),
                error,
                "traces cannot be sent and are dropped until they can; is --otlp-endpoint right?"
            ),
            (Ok(()), true) => tracing::info!(collector = self.url.authority(), "traces are sent again"),
            _ => {}
        }
        result.map_err(OTelSdkError::InternalFailure)
    }
}

/// The innermost reason, which is the telling one.
fn root_cause(error: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &error.without_url();
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
