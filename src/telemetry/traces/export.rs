//! The way of finished spans to the collector.

use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter,
    SpanProcessor,
};

use super::TraceSettings;
use crate::telemetry::metrics::{Metrics, SpanFate};

/// Spans that wait to be sent; a further one is dropped. Each is about a kilobyte.
const QUEUE: usize = 4096;
/// Spans in one export.
const BATCH: usize = 512;
/// An export begins this long after the last, or when a batch is full.
const PAUSE: Duration = Duration::from_secs(2);
/// What one span can hold.
const ATTRIBUTES: u32 = 16;

/// The collector's settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no exporter can be made of it: {0}")]
pub struct ExportError(#[from] opentelemetry_otlp::ExporterBuildError);

pub(super) fn provider(
    settings: &TraceSettings,
    client: impl HttpClient + 'static,
    metrics: &Metrics,
) -> Result<SdkTracerProvider, ExportError> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(&settings.endpoint)
        .with_timeout(settings.timeout)
        .build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(PAUSE)
        .build();
    let exporter = Counted { exporter, metrics: metrics.clone() };
    let processor =
        Counting { processor: BatchSpanProcessor::new(exporter, batches), metrics: metrics.clone() };
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", settings.service.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    Ok(SdkTracerProvider::builder()
        // Which requests are traced is decided before a span is made.
        .with_sampler(Sampler::AlwaysOn)
        .with_max_attributes_per_span(ATTRIBUTES)
        .with_resource(resource.build())
        .with_span_processor(processor)
        .build())
}

/// Counts the spans that ended: what was neither sent nor lost on the way was dropped, because the queue was full.
#[derive(Debug)]
struct Counting {
    processor: BatchSpanProcessor,
    metrics: Metrics,
}

impl SpanProcessor for Counting {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.metrics.spans(SpanFate::Ended, 1);
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Counts what the collector took.
struct Counted {
    exporter: OtlpExporter,
    metrics: Metrics,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        let fate = if outcome.is_ok() { SpanFate::Sent } else { SpanFate::Lost };
        self.metrics.spans(fate, spans);
        if let Err(error) = &outcome {
            tracing::debug!(spans, %error, "the collector did not take spans");
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Counted")
    }
}
