//! Export of traces: reads the `OTEL_…` variables, and sends spans with the HTTP client of this service.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use crate::net::{self, Client, Url};
use crate::telemetry::{Exported, TraceSettings, TraceVariables, Traces, Transport};

/// Maximum time in which the last spans are exported at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the export of traces, if the environment names a collector. Traces are never a reason not to start: what cannot be
/// used is logged.
pub fn start() -> Traces {
    let variables = TraceVariables::from_variables(|name| std::env::var(name).ok());
    for warning in &variables.warnings {
        tracing::warn!("{warning}");
    }
    let Some(settings) = variables.settings else {
        return Traces::default();
    };
    let started = transport(&settings)
        .and_then(|transport| Ok(Traces::start(&settings, transport)?))
        .inspect_err(|error| tracing::warn!("no traces are exported: {error:#}"));
    started.unwrap_or_default()
}

/// Exports the last spans, within a moment and at most `max_time`.
pub async fn stop(traces: Traces, max_time: Duration) {
    if traces.is_on() {
        let timeout = FLUSH_TIMEOUT.min(max_time);
        let flushing = tokio::task::spawn_blocking(move || traces.shut_down(timeout));
        // The thread may take longer to notice; it ends with the process.
        drop(tokio::time::timeout(timeout, flushing).await);
    }
}

/// Client that posts spans to the collector.
#[derive(Debug)]
struct Collector {
    client: Client,
    timeout: Duration,
    runtime: Handle,
}

fn transport(settings: &TraceSettings) -> anyhow::Result<Collector> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let identity = settings.identity.as_ref();
    let identity = identity
        .map(|(certificate, key)| anyhow::Ok([read(certificate)?, read(key)?].concat()))
        .transpose()?;
    let client = Client::new(net::Options {
        tls: net::Tls {
            ca: settings.ca.as_deref().map(read).transpose()?,
            identity,
        },
        connect_timeout: Some(settings.timeout),
        ..net::Options::default()
    })?;
    Ok(Collector {
        client,
        timeout: settings.timeout,
        runtime: Handle::current(),
    })
}

impl Transport for Collector {
    fn send(&self, request: http::Request<Bytes>) -> Exported {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let sending = async move {
            let sent = tokio::time::timeout(timeout, post(&client, request)).await;
            sent.unwrap_or_else(|_| {
                Err(format!("no response within {:.1} s", timeout.as_secs_f64()))
            })
        };
        // The exporter's thread is not one of the runtime.
        Box::pin(TokioContext::new(sending, self.runtime.clone()))
    }
}

async fn post(
    client: &Client,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, String> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|error| error.to_string())?;
    let incoming = client.post(&url, parts.headers, body.into()).await;
    let incoming = incoming.map_err(|error| error.to_string())?;
    let response = incoming.whole().await.map_err(|error| error.to_string())?;
    let mut reply = http::Response::new(response.body);
    *reply.status_mut() = response.status;
    *reply.headers_mut() = response.headers;
    Ok(reply)
}
