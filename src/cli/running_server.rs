//! Requests of the commands that need a running server, each sent once.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::api::Failure;
use super::target_server::{ServerHandle, TargetServer};

/// Address of a server that is started without one.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Running server to use.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "a terminal shows these texts verbatim")]
pub struct RunningServerArgs {
    /// Server to use, with the key in EXTRACTD_API_KEY
    #[arg(long, env = "EXTRACTD_SERVER", value_name = "URL", default_value = DEFAULT_URL, global = true)]
    server: String,
}

/// Prepares the client of the server.
///
/// # Errors
/// If the URL is invalid.
pub fn connect(args: &RunningServerArgs, key: Option<String>) -> anyhow::Result<ServerHandle> {
    let url = match args.server.as_str() {
        "" => DEFAULT_URL,
        url => url,
    };
    let url = url.to_owned();
    TargetServer::Running { url, key }.reach(None)
}

/// Sends a request without a body, and returns the body of the response.
///
/// # Errors
/// If the server cannot be reached, or rejects the request.
pub async fn request(
    server: &ServerHandle,
    method: Method,
    path: &str,
    accept: &'static str,
) -> anyhow::Result<Bytes> {
    let answered = async {
        let incoming = server.request(method, path, accept).await?;
        Ok(incoming.whole().await?.body)
    };
    let body = answered.await;
    body.map_err(|failure: Failure| failure.into_error(&server.url))
}

/// Returns a text as one segment of a path.
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
