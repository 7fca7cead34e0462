//! A log line as one JSON object, flat: time, level, target and message, then the fields of the line, and those of its
//! reconcile: kind, namespace, name, generation and id, and the id of its trace, if it is traced.
//!
//! The formatter of the library puts the latter into a list of spans, which few tools can search.

use std::fmt;

use k8s_openapi::jiff::Unit;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, dispatcher};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// The format.
pub struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Line(Map::new());
        line.put("timestamp", now());
        line.put("level", metadata.level().as_str());
        line.put("target", metadata.target());
        if let Some(span) = context.lookup_current() {
            for span in span.scope().from_root() {
                if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                    // Written by `JsonFields`.
                    let fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
                    line.0.extend(fields.into_iter().filter(|(name, _)| !name.starts_with("otel.")));
                }
            }
            let traced =
                dispatcher::get_default(|all| tracing_opentelemetry::get_otel_context(&span.id(), all));
            if let Some(traced) = traced.filter(|traced| traced.has_active_span()) {
                line.put("trace_id", traced.span().span_context().trace_id().to_string());
            }
        }
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// The time in lines.
pub fn now() -> String {
    clock::now().round(Unit::Microsecond).map_or_else(|_| String::new(), |now| format!("{now:.6}"))
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }
}
