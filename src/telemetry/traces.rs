//! Traces: spans of requests and items, exported over OTLP to an OpenTelemetry collector. Off unless `OTEL_…` variables name one.

mod active_span;
mod export;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{ResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::types::TraceContext;
use active_span::Recorder;

pub use active_span::{ActiveSpan, Attribute, SpanRole, SpanStart, shortened, strings};
pub use export::{Exported, Transport};
pub use settings::{TraceSettings, TraceVariables};

/// Traces of the process. A clone is a handle to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<On>>);

/// Traces that are exported.
#[derive(Debug)]
struct On {
    provider: SdkTracerProvider,
    recorder: Arc<Recorder>,
}

/// Settings that the exporter rejects.
#[derive(Debug, thiserror::Error)]
#[error("the exporter of traces cannot be set up: {0}")]
pub struct TracesError(String);

impl Traces {
    /// Starts the export over `transport`, in a thread of its own.
    ///
    /// # Errors
    /// If the exporter rejects the settings.
    pub fn start(settings: &TraceSettings, transport: impl Transport) -> Result<Self, TracesError> {
        let queue = export::BoundedQueue::start(settings, transport)
            .map_err(|error| TracesError(error.to_string()))?;
        let attributes = settings
            .resource
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let detectors: [Box<dyn ResourceDetector>; 1] = [Box::new(TelemetryResourceDetector)];
        let resource = Resource::builder_empty()
            .with_detectors(&detectors)
            .with_attributes(attributes)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(settings.sampler.clone())
            .with_resource(resource)
            .build();
        let scope = InstrumentationScope::builder("extractd")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let recorder = Recorder {
            tracer: provider.tracer_with_scope(scope),
            captures_content: settings.captures_content,
        };
        Ok(Self(Some(Arc::new(On {
            provider,
            recorder: Arc::new(recorder),
        }))))
    }

    /// Returns true if traces are exported.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a span of a trace that began elsewhere, or of a new one. `start` is called only if traces are on.
    #[must_use]
    pub fn span(
        &self,
        parent: Option<&TraceContext>,
        start: impl FnOnce() -> SpanStart,
    ) -> ActiveSpan {
        match &self.0 {
            Some(on) => ActiveSpan::start(&on.recorder, parent, start()),
            None => ActiveSpan::default(),
        }
    }

    /// Exports what waits, for at most `timeout`, and ends the export. Blocks the thread.
    pub fn shut_down(&self, timeout: Duration) {
        if let Some(on) = &self.0
            && let Err(error) = on.provider.shutdown_with_timeout(timeout)
        {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}
