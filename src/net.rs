//! The HTTP client: for providers, for URLs that callers name, and for the command line. The only place that knows reqwest.
//!
//! It makes one call and says what came of it, whole or as it comes: retries, limits and what an answer means belong to others.

mod frames;
mod guard;
mod retry_after;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::Certificate;

pub use frames::{Frames, Framing};
pub use guard::{NotPublic, Reach};
pub use reqwest::Url;
pub use retry_after::retry_after;

/// The largest answer that is read, in bytes; a longer one is a failure.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// The largest stream: around each piece of an answer's text stand up to some 500 bytes.
const MAX_STREAM_BYTES: usize = 16 * MAX_ANSWER_BYTES;
/// How long the end of a stream is waited for after the answer is whole, so that the connection can be used again.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long a connection to a provider may stay unused; most servers and proxies close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(50);
/// How long a call to a URL that a caller named may take to connect, and altogether: Standard Webhooks 1.0.0 recommends
/// 15 to 30 s (section "Request timeouts").
const OUTBOUND_TIMES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// What is read at most of the answer of such a URL.
const MAX_OUTBOUND_BYTES: usize = 64 * 1024;

/// How to reach one provider.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sent with every request; secret values are marked as such.
    pub headers: HeaderMap,
    pub proxy: Proxy,
    pub connect_timeout: Option<Duration>,
}

/// What stands between.
#[derive(Debug, Clone, Default)]
pub enum Proxy {
    /// The one that the environment names (`HTTPS_PROXY` and its kin), if any.
    #[default]
    Environment,
    At(String),
    /// None, whatever the environment says.
    Never,
}

/// Connections to one provider, or to whatever callers name.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    reach: Reach,
    max_bytes: usize,
}

/// An answer whose head is here, whatever its status, and whose body is yet to be read.
#[derive(Debug)]
pub struct Incoming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    read: usize,
    max_bytes: usize,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Nothing whole came back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DNS, connect or TLS; the provider has seen nothing.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was sent; the provider may have worked, and charged, for it.
    #[error("the connection broke before the answer was whole: {0}")]
    Broken(String),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct SetUpError(#[source] reqwest::Error);

impl Client {
    /// Connections to one provider.
    ///
    /// # Errors
    /// When the proxy's address or the system's name resolution is unusable.
    pub fn new(options: Options) -> Result<Self, SetUpError> {
        let mut builder = builder()
            .default_headers(options.headers)
            .pool_idle_timeout(IDLE);
        if let Some(timeout) = options.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        match options.proxy {
            Proxy::Environment => {}
            Proxy::At(proxy) => {
                builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(SetUpError)?)
            }
            Proxy::Never => builder = builder.no_proxy(),
        }
        let http = builder.build().map_err(SetUpError)?;
        Ok(Self {
            http,
            reach: Reach::Anywhere,
            max_bytes: MAX_STREAM_BYTES,
        })
    }

    /// Calls to URLs that callers name: within `reach`, through no proxy (which would connect to what it likes), each with a
    /// connection of its own, in 20 s at most. What is out of reach counts as [`Error::Connect`].
    ///
    /// # Errors
    /// When the system's name resolution is unusable.
    pub fn outbound(reach: Reach) -> Result<Self, SetUpError> {
        Self::outbound_within(reach, OUTBOUND_TIMES)
    }

    fn outbound_within(
        reach: Reach,
        (connect, whole): (Duration, Duration),
    ) -> Result<Self, SetUpError> {
        let mut builder = builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(connect)
            .timeout(whole);
        if reach == Reach::Public {
            builder = builder.dns_resolver(guard::PublicOnly);
        }
        Ok(Self {
            http: builder.build().map_err(SetUpError)?,
            reach,
            max_bytes: MAX_OUTBOUND_BYTES,
        })
    }

    /// Posts a body and waits for the head of the answer.
    ///
    /// # Cancel safety
    /// Dropping the future, or what it gave, closes the connection, so that the provider can stop.
    ///
    /// # Errors
    /// When no answer came. A status of 400 or 500 is an answer.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Incoming, Error> {
        self.send(url, headers, body.into()).await
    }

    /// The same with a body that is sent as it comes into being, while the answer may already be read.
    ///
    /// # Cancel safety
    /// As [`Client::post`].
    ///
    /// # Errors
    /// When no answer came. A status of 400 or 500 is an answer.
    pub async fn upload<B>(&self, url: &Url, headers: HeaderMap, body: B) -> Result<Incoming, Error>
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Sync + 'static,
    {
        self.send(url, headers, reqwest::Body::wrap(body)).await
    }

    async fn send(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<Incoming, Error> {
        self.reach
            .check(url)
            .map_err(|error| Error::Connect(error.to_string()))?;
        let sent = self
            .http
            .post(url.clone())
            .headers(headers)
            .body(body)
            .send()
            .await;
        let mut response = sent.map_err(|error| {
            let said = innermost(&error);
            if error.is_connect() {
                Error::Connect(said)
            } else {
                Error::Broken(said)
            }
        })?;
        let headers = std::mem::take(response.headers_mut());
        Ok(Incoming {
            status: response.status(),
            headers,
            response,
            read: 0,
            max_bytes: self.max_bytes,
        })
    }
}

impl Incoming {
    /// The whole of the body.
    ///
    /// # Errors
    /// When the connection breaks before its end, or it is too large.
    pub async fn whole(mut self) -> Result<Response, Error> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::TooLarge(MAX_ANSWER_BYTES));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status: self.status,
            headers: self.headers,
            body: body.freeze(),
        })
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks before the end, or more came than any answer has.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self
            .response
            .chunk()
            .await
            .map_err(|error| Error::Broken(innermost(&error)))?;
        self.read += chunk.as_ref().map_or(0, Bytes::len);
        if self.read > self.max_bytes {
            Err(Error::TooLarge(self.max_bytes))
        } else {
            Ok(chunk)
        }
    }

    /// The body's lines, as they come, without end.
    #[must_use]
    pub fn lines(self) -> Lines {
        Lines {
            response: self.response,
            frames: Frames::new(Framing::Lines),
        }
    }

    /// Waits a moment for the end of a body of which nothing more is wanted: only then can the connection be used again.
    pub async fn finish(mut self) {
        let rest = async { while let Ok(Some(_)) = self.chunk().await {} };
        drop(tokio::time::timeout(FAREWELL, rest).await);
    }
}

/// An answer that is read line by line, however long it is.
#[derive(Debug)]
pub struct Lines {
    response: reqwest::Response,
    frames: Frames,
}

impl Lines {
    /// The next line that is not blank; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection breaks before the end, or a line is larger than any answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(line) = self.ready() {
                return Ok(Some(line));
            }
            let chunk = self
                .response
                .chunk()
                .await
                .map_err(|error| Error::Broken(innermost(&error)))?;
            let Some(bytes) = chunk else {
                self.frames.end();
                return Ok(self.ready());
            };
            self.frames.push(&bytes)?;
        }
    }

    /// A line that has come already.
    pub fn ready(&mut self) -> Option<Vec<u8>> {
        self.frames.message()
    }
}

/// What is the same for all: it makes the one call that it is told to, and follows nothing.
fn builder() -> reqwest::ClientBuilder {
    // The compiled-in roots, so that an image without certificate files works. An error means that it is set already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok());
    reqwest::Client::builder()
        .tls_certs_only(roots)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("extractd/", env!("CARGO_PKG_VERSION")))
}

/// The cause at the bottom, which says what happened; the layers above it only say "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
