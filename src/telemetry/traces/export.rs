//! Export of spans: a bounded queue that counts what it drops, and an exporter that reports an unreachable collector once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, counter};
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Compression, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::settings::TraceSettings;
use crate::telemetry::metric_names::TRACE_SPANS;

/// Response to an exported batch, or what kept it from being sent.
pub type Exported =
    Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, String>> + Send + 'static>>;

/// HTTP client that posts spans to the collector. Its futures are polled outside a Tokio runtime.
pub trait Transport: std::fmt::Debug + Send + Sync + 'static {
    /// Sends one request.
    fn send(&self, request: http::Request<Bytes>) -> Exported;
}

/// Client of the exporter.
#[derive(Debug)]
struct Client<T> {
    transport: T,
    /// Reason for which the last request failed; the exporter itself says only that it did.
    failure: Arc<Mutex<Option<String>>>,
}

impl<T: Transport> HttpClient for Client<T> {
    // Written as `async_trait`, which the trait is made with, would expand it.
    fn send_bytes<'a, 'f>(
        &'a self,
        request: http::Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let sent = self.transport.send(request).await;
            let failure = sent.as_ref().err().cloned();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
            sent.map_err(Into::into)
        })
    }
}

/// Exporter that counts spans, and logs the beginning and the end of a time in which no export succeeds.
#[derive(Debug)]
struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    failure: Arc<Mutex<Option<String>>>,
    is_failing: AtomicBool,
    queued: Arc<AtomicUsize>,
    exported: Counter,
    failed: Counter,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => {
                self.exported.increment(spans as u64);
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are exported to {} again", self.endpoint);
                }
            }
            Err(error) => {
                self.failed.increment(spans as u64);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    let reason = failure.clone().unwrap_or_else(|| error.to_string());
                    tracing::warn!(
                        "traces cannot be exported to {}, and are lost until it accepts them: {reason}; check the collector and OTEL_EXPORTER_OTLP_ENDPOINT",
                        self.endpoint
                    );
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Queue of ended spans in front of the thread that exports them. A span that finds it full is dropped and counted.
#[derive(Debug)]
pub struct BoundedQueue {
    inner: BatchSpanProcessor,
    /// Number of spans that wait. It is never less than the length of the inner queue, which therefore never drops a span.
    queued: Arc<AtomicUsize>,
    capacity: usize,
    dropped: Counter,
}

impl BoundedQueue {
    /// Starts the thread that exports.
    ///
    /// # Errors
    /// If the exporter rejects the settings.
    pub fn start(
        settings: &TraceSettings,
        transport: impl Transport,
    ) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        let counter = |result: &'static str| counter!(TRACE_SPANS, "result" => result);
        let failure = Arc::default();
        let client = Client {
            transport,
            failure: Arc::clone(&failure),
        };
        let mut builder = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_timeout(settings.timeout);
        if settings.is_compressed {
            builder = builder.with_compression(Compression::Gzip);
        }
        let queued = Arc::new(AtomicUsize::new(0));
        let exporter = Exporter {
            inner: builder.build()?,
            endpoint: without_user(&settings.endpoint),
            failure,
            is_failing: AtomicBool::new(false),
            queued: Arc::clone(&queued),
            exported: counter("exported"),
            failed: counter("failed"),
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(settings.batch)
            .with_scheduled_delay(settings.delay);
        let inner = BatchSpanProcessor::builder(exporter)
            .with_batch_config(config.build())
            .build();
        Ok(Self {
            inner,
            queued,
            capacity: settings.queue,
            dropped: counter("dropped"),
        })
    }
}

impl SpanProcessor for BoundedQueue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.dropped.increment(1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Returns a URL without user and password; empty for what is no URL.
fn without_user(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else {
        return String::new();
    };
    // Only URLs that can have no user refuse this.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}
