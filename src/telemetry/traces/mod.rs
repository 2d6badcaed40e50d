//! Traces (OpenTelemetry, OTLP over HTTP): one span for a request, one for each of its legs. Off unless a collector is named.
//!
//! Whatever becomes of the collector, no request waits for it: spans go into a bounded queue, a thread of the SDK's takes them
//! from there, and what finds the queue full is dropped. No token, no secret and no user is in a span.

mod export;
mod parent;
mod sampling;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    FutureExt as _, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_http::HttpClient;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use export::ExportError;
pub use parent::{Incoming, outgoing};
pub use sampling::Sampling;

use super::metrics::Metrics;

/// Where spans go.
#[derive(Debug)]
pub struct TraceSettings {
    /// The collector's address for traces, such as `https://collector.example:4318/v1/traces`.
    pub endpoint: String,
    /// One export, as a whole.
    pub timeout: Duration,
    /// `service.name`.
    pub service: String,
    /// Which requests are traced.
    pub sampling: Sampling,
}

/// Traces requests, or none of them. Clones share it.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracing>>);

struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    sampling: Sampling,
}

/// The trace of one request; nothing, for most. Clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Begun>>);

struct Begun {
    /// `None`: it is only passed on.
    tracer: Option<SdkTracer>,
    context: Context,
}

impl Traces {
    /// No request is traced.
    pub fn off() -> Self {
        Self::default()
    }

    /// `client`: carries spans to the collector.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn to_collector(
        settings: TraceSettings,
        client: impl HttpClient + 'static,
        metrics: &Metrics,
    ) -> Result<Self, ExportError> {
        let provider = export::provider(&settings, client, metrics)?;
        let tracer = provider.tracer("mcx-token-broker");
        Ok(Self(Some(Arc::new(Tracing { provider, tracer, sampling: settings.sampling }))))
    }

    /// Begins the span of a request. `header`: one header of the request, if it is there once. `chance`: a number from
    /// zero to below one. `now`: monotonic.
    ///
    /// Without a collector this costs one look at a pointer.
    pub fn begin<'r>(
        &self,
        name: &'static str,
        header: impl Fn(&'static str) -> Option<&'r str>,
        chance: impl FnOnce() -> f64,
        now: impl FnOnce() -> Duration,
    ) -> Trace {
        let Some(on) = &self.0 else { return Trace::default() };
        let incoming = Incoming::read(header);
        if !on.sampling.takes(incoming.as_ref(), chance, now()) {
            // Not ours to look at, and still theirs: who is asked on its behalf is told.
            let passed_on = |incoming: Incoming| Begun { tracer: None, context: incoming.into_context() };
            return Trace(incoming.map(passed_on).map(Arc::new));
        }
        let parent = incoming.map_or_else(Context::new, Incoming::into_context);
        let tracer = on.tracer.clone();
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let context = parent.with_span(tracer.build_with_context(span, &parent));
        Trace(Some(Arc::new(Begun { tracer: Some(tracer), context })))
    }

    /// Sends what is still queued, and takes no more. Waits for that, so it is not for a worker thread.
    pub fn finish(&self, patience: Duration) {
        if let Some(on) = &self.0
            && on.provider.shutdown_with_timeout(patience).is_err()
        {
            tracing::warn!("stopping before all spans were sent to the collector");
        }
    }
}

impl Trace {
    /// Its id, 32 hexadecimal digits, if it is recorded: log lines carry it.
    pub fn id(&self) -> Option<String> {
        let begun = self.0.as_ref().filter(|begun| begun.tracer.is_some())?;
        Some(begun.context.span().span_context().trace_id().to_string())
    }

    /// States something about the request.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(begun) = self.recorded() {
            begun.context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// The request is answered. `status`: of HTTP. `client` and `partner`: their ids, as far as they are known.
    pub fn end(&self, status: u16, client: &str, partner: &str) {
        if let Some(begun) = self.recorded() {
            let span = begun.context.span();
            span.set_attribute(KeyValue::new("mcx.client", client.to_owned()));
            span.set_attribute(KeyValue::new("mcx.partner", partner.to_owned()));
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if status >= 500 {
                span.set_status(Status::error(""));
            }
            span.end();
        }
    }

    /// One call on behalf of the request, as a span of its own below it; whom it calls is told of the trace, if it may be
    /// ([`outgoing`]). `work` is pinned by the caller, because moving it would make every exchange larger by as much.
    /// `code`: what it came to, `ok` or a stable code.
    pub async fn leg<T>(
        &self,
        name: &'static str,
        partner: &str,
        work: impl Future<Output = T> + Unpin,
        code: impl FnOnce(&T) -> &'static str,
    ) -> T {
        let Some(begun) = &self.0 else { return work.await };
        let Some(tracer) = &begun.tracer else { return work.with_context(begun.context.clone()).await };
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("mcx.partner", partner.to_owned())]);
        let mut span = tracer.build_with_context(span, &begun.context);
        let outcome =
            work.with_context(begun.context.with_remote_span_context(span.span_context().clone())).await;
        let code = code(&outcome);
        span.set_attribute(KeyValue::new("mcx.code", code));
        if code != "ok" {
            span.set_status(Status::error(""));
        }
        span.end();
        outcome
    }

    fn recorded(&self) -> Option<&Begun> {
        self.0.as_deref().filter(|begun| begun.tracer.is_some())
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Traces({})", if self.0.is_some() { "on" } else { "off" })
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Trace({})", self.id().unwrap_or_default())
    }
}
