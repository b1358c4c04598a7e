//! Spans of calls and their steps, for OpenTelemetry. Names of attributes follow its semantic conventions for RPC.

use crate::error::{Error, Result};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::metadata::MetadataMap;
use tracing::{Span, field};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Sends spans to a collector.
pub struct Exporter(SdkTracerProvider);

/// An exporter over OTLP/gRPC to an endpoint such as `http://127.0.0.1:4317`. Needs a tokio runtime.
pub fn exporter(endpoint: &str) -> Result<Exporter> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|e| Error::configuration(format!("telemetry.otlp_endpoint '{endpoint}': {e}")))?;
    let resource = Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).build();
    Ok(Exporter(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}

impl Exporter {
    /// Takes the spans of this module, and nothing that a library or a log line says.
    pub fn layer<S: tracing::Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> {
        let layer = OpenTelemetryLayer::new(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_target(module_path!(), LevelFilter::INFO))
    }

    /// Sends what is left.
    pub async fn close(self) {
        // A collector that is gone loses spans, and holds up no end.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
    }
}

/// The span of a call, within its caller's trace where the caller names one (W3C Trace Context).
pub fn call(method: &'static str, metadata: &MetadataMap) -> Span {
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.method = method,
        undertone.code = field::Empty,
        undertone.dataset = field::Empty,
        undertone.query_id = field::Empty,
    );
    // Without an exporter there is nothing to put it under.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(metadata)));
    span
}

/// A step of a call.
pub fn step(name: &'static str) -> Span {
    tracing::info_span!("step", otel.name = name)
}

/// Puts a call's outcome on its span.
pub fn finish<T>(span: &Span, result: &Result<T>) {
    let code = super::outcome(result);
    span.record("undertone.code", code);
    if code != "OK" {
        span.record("otel.status_code", "ERROR");
    }
}

struct Headers<'a>(&'a MetadataMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![]
    }
}
