//! Transports: streamable HTTP without sessions, and standard input and output.

use http::{Request, Response};
use rmcp::ServiceExt;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::server::McpServer;

/// MCP over HTTP requests. It keeps no sessions, so a client holds nothing between its requests.
#[derive(Clone)]
pub struct HttpTransport<A: Api>(StreamableHttpService<McpServer<A>, NeverSessionManager>);

impl<A: Api> HttpTransport<A> {
    /// Creates the transport. Requests end when `ended` is cancelled. The caller checks hosts and origins.
    #[must_use]
    pub fn new(server: McpServer<A>, max_body_bytes: usize, ended: CancellationToken) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(max_body_bytes)
            .with_cancellation_token(ended)
            .disable_allowed_hosts();
        Self(StreamableHttpService::new(
            move || Ok(server.clone()),
            std::sync::Arc::default(),
            config,
        ))
    }

    /// Answers one HTTP request.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
    ) -> Response<
        impl http_body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + use<A, B>,
    >
    where
        B: http_body::Body + Send + 'static,
        B::Error: std::fmt::Display,
    {
        self.0.handle(request).await
    }
}

/// Answers the requests on standard input until it ends.
///
/// # Errors
/// If the client does not speak MCP.
pub async fn serve_stdio<A: Api>(server: McpServer<A>) -> anyhow::Result<()> {
    let running = server.serve(rmcp::transport::stdio()).await?;
    running.waiting().await?;
    Ok(())
}
