//! Requests to the server: headers, failures that are worth a retry, and the backoff before it.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use indicatif::HumanDuration;
use serde_json::{Map, Value};

use super::inputs::Upload;
use super::problem::{problem_detail, rejection};
use super::target_server::ServerHandle;
use crate::net::{self, Incoming, Url, retry_after};

/// Media type of inputs and results.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of all other bodies.
pub const JSON: &str = "application/json";
/// Maximum number of consecutive failures of a request.
const MAX_FAILURES: u32 = 5;
/// Backoff after the first failure; it doubles each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// Maximum `Retry-After` that a run waits for; with a longer one it ends.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Failure of a request.
#[derive(Debug)]
pub enum Failure {
    /// The same request may succeed later.
    Temporary {
        /// Description for the user.
        message: String,
        /// Delay that the server asked for. `None`: the backoff applies.
        retry_after: Option<Duration>,
        /// True if the server was reached: it may have processed the request.
        is_reached: bool,
    },
    /// The same request would be rejected again.
    Permanent(Rejection),
}

/// Rejection of a request by the server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

impl Failure {
    /// Returns a failure of a connection to a server that was reached.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::Temporary {
            message: message.into(),
            retry_after: None,
            is_reached: true,
        }
    }

    /// Returns the message, and the time to wait before the next request. `failures` counts the consecutive failures.
    /// Sets `was_reached` if the server was reached.
    ///
    /// # Errors
    /// If another request is of no use, or the server was never reached.
    pub fn backoff(
        self,
        url: &Url,
        failures: u32,
        was_reached: &mut bool,
    ) -> anyhow::Result<(String, Duration)> {
        let (message, retry_after) = match self {
            Self::Permanent(rejection) => bail!(rejection),
            Self::Temporary {
                message,
                retry_after,
                is_reached,
            } => {
                *was_reached |= is_reached;
                (message, retry_after)
            }
        };
        if failures >= MAX_FAILURES || !*was_reached {
            bail!("{url}: {message}");
        }
        let wait = retry_after.unwrap_or(FIRST_BACKOFF * 2_u32.pow(failures.max(1) - 1));
        if wait > MAX_RETRY_AFTER {
            bail!(
                "{url}: {message}; run the same command again in {}",
                HumanDuration(wait)
            );
        }
        Ok((message, wait))
    }
}

impl Failure {
    /// Returns the error of a command that sends a request only once.
    pub fn into_error(self, url: &Url) -> anyhow::Error {
        match self {
            Self::Permanent(rejection) => rejection.into(),
            Self::Temporary { message, .. } => anyhow!("{url}: {message}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Permanent(Rejection(format!("{error:#}")))
    }
}

impl From<net::Error> for Failure {
    fn from(error: net::Error) -> Self {
        let is_reached = !matches!(error, net::Error::Connect(_) | net::Error::Resources(_));
        let advice = if is_reached {
            ""
        } else {
            "; check that the server runs (`extractd serve`), and that --server has its address"
        };
        Self::Temporary {
            message: format!("{error}{advice}"),
            retry_after: None,
            is_reached,
        }
    }
}

impl ServerHandle {
    /// Sends a request without a body. `path` may have a query.
    ///
    /// # Errors
    /// If no response with a status of success arrives.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
    ) -> Result<Incoming, Failure> {
        let mut headers = self.headers()?;
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let url = self.url_of(path);
        let incoming = self.client.request(method, &url, headers).await?;
        expect_success(incoming, self).await
    }

    /// Sends a request with a JSON body, and returns the response whatever its status.
    ///
    /// # Errors
    /// If no response arrives.
    pub async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Incoming, Failure> {
        let mut headers = self.headers()?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let url = self.url_of(path);
        let sent = self.client.send_body(method, &url, headers, body.into());
        Ok(sent.await?)
    }

    /// Returns the URL of a path of the API, which may have a query.
    fn url_of(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Sends inputs as NDJSON.
    ///
    /// # Errors
    /// If no response with a status of success arrives.
    pub async fn upload(
        &self,
        url: &Url,
        idempotency_key: &str,
        body: Upload,
    ) -> Result<Incoming, Failure> {
        const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
        let mut headers = self.headers()?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        let key = HeaderValue::try_from(idempotency_key).context("the key is no header value")?;
        headers.insert(IDEMPOTENCY_KEY, key);
        let incoming = self.client.upload(url, headers, body).await?;
        expect_success(incoming, self).await
    }

    /// Returns the headers of every request.
    fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.key {
            let bearer = HeaderValue::try_from(format!("Bearer {key}"));
            let mut bearer = bearer.map_err(|_| {
                anyhow!("EXTRACTD_API_KEY is not a valid key: it must be visible ASCII")
            })?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(headers)
    }
}

/// Returns the response if its status is a success.
///
/// # Errors
/// The failure that the response describes; its message names the invalid fields.
pub async fn expect_success(
    incoming: Incoming,
    server: &ServerHandle,
) -> Result<Incoming, Failure> {
    let url = &server.url;
    if incoming.status.is_success() {
        return Ok(incoming);
    }
    let status = incoming.status.as_u16();
    let from_header = retry_after(&incoming.headers, crate::types::clock::now());
    let body = incoming.whole().await.map(|response| response.body);
    let problem = serde_json::from_slice::<Map<String, Value>>(&body.unwrap_or_default());
    let message = match &problem {
        Ok(problem) => problem_detail(problem).to_owned(),
        Err(_) => format!("{url} answered with status {status}"),
    };
    let retry_after = problem
        .as_ref()
        .ok()
        .and_then(|problem| problem.get("retry_after_ms")?.as_u64())
        .map(Duration::from_millis)
        .or(from_header);
    // A conflict is temporary while an earlier upload of the same job is being received.
    if matches!(status, 408 | 429 | 502..=504) || (status == 409 && retry_after.is_some()) {
        return Err(Failure::Temporary {
            message,
            retry_after,
            is_reached: true,
        });
    }
    Err(Failure::Permanent(Rejection(match problem {
        Ok(problem) => rejection(&problem, &message, server.field_names),
        Err(_) => format!("{message}; check that it is an extractd server"),
    })))
}
