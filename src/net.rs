//! The HTTP client: for providers, for URLs that callers name, and for the command line. The only place that knows reqwest.
//!
//! It makes one call and returns the response, buffered or streamed. Retries, limits and the meaning of a response are not its
//! concern.

mod error;
mod frames;
mod guard;
mod lookups;
mod retry_after;
mod tls;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};

pub use error::{Error, SetUpError};
pub use frames::{Frames, Framing, MAX_ANSWER_BYTES};
pub use guard::{NotPublic, Reach};
pub use reqwest::Url;
pub use retry_after::{parse_wait, parse_wait_or_time, retry_after};
pub use tls::Tls;

use error::{innermost, is_lack_of_resources};
use lookups::Resolver;
use throttle::CallerId;

/// Maximum size of a streamed body, in bytes: each piece of text comes with up to some 500 bytes of framing.
const MAX_STREAM_BYTES: usize = 16 * MAX_ANSWER_BYTES;
/// Maximum wait for the end of a stream after the complete answer, so that the connection can be reused.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);
/// Maximum idle time of a pooled connection; most servers and proxies close theirs after a minute or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Timeouts of a call to a caller's URL: to connect, and in total. Standard Webhooks 1.0.0 recommends 15 to 30 s
/// (section "Request timeouts").
const OUTBOUND_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// Maximum size of the response of a caller's URL, in bytes.
const MAX_OUTBOUND_BYTES: usize = 64 * 1024;

/// Settings of the connections to one provider.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Headers of every request; secret values are marked as sensitive.
    pub headers: HeaderMap,
    pub proxy: Proxy,
    pub tls: Tls,
    /// Timeout of DNS, TCP and TLS together; `None`: only the caller's own timeout applies.
    pub connect_timeout: Option<Duration>,
}

/// HTTP proxy between this process and a provider.
#[derive(Debug, Clone, Default)]
pub enum Proxy {
    /// Proxy of the environment (`HTTPS_PROXY`, `NO_PROXY` and so on), if any.
    #[default]
    Environment,
    /// Proxy at this URL.
    At(String),
    /// No proxy, regardless of the environment.
    Never,
}

/// HTTP client with a connection pool, for one provider or for callers' URLs.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    resolver: Resolver,
    max_bytes: usize,
}

/// Response of any status whose body has not been read yet.
#[derive(Debug)]
pub struct Incoming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    read: usize,
    max_bytes: usize,
}

/// Response of any status with its body.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// Creates a client for one provider.
    ///
    /// # Errors
    /// If the proxy's address, a certificate or the system's name resolution is unusable.
    pub fn new(options: Options) -> Result<Self, SetUpError> {
        let mut builder = builder(&options.tls)?
            .default_headers(options.headers)
            .pool_idle_timeout(IDLE_TIMEOUT);
        if let Some(timeout) = options.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        match options.proxy {
            Proxy::Environment => {}
            Proxy::At(proxy) => {
                builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(SetUpError::Client)?);
            }
            Proxy::Never => builder = builder.no_proxy(),
        }
        Self::build(builder, Resolver::new(Reach::Anywhere), MAX_STREAM_BYTES)
    }

    /// Creates a client for URLs that callers name, such as webhooks. It connects only to addresses within `reach`; others fail
    /// with [`Error::Connect`]. It uses no proxy, which could connect to any address. Each call has a connection of its own and a
    /// timeout of 20 s.
    ///
    /// # Errors
    /// If a certificate or the system's name resolution is unusable.
    pub fn outbound(reach: Reach) -> Result<Self, SetUpError> {
        Self::outbound_within(Resolver::new(reach), OUTBOUND_TIMEOUTS)
    }

    fn outbound_within(
        resolver: Resolver,
        (connect, total): (Duration, Duration),
    ) -> Result<Self, SetUpError> {
        let builder = builder(&Tls::default())?
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(connect)
            .timeout(total);
        Self::build(builder, resolver, MAX_OUTBOUND_BYTES)
    }

    fn build(
        builder: reqwest::ClientBuilder,
        resolver: Resolver,
        max_bytes: usize,
    ) -> Result<Self, SetUpError> {
        let builder = builder.dns_resolver(resolver.clone());
        Ok(Self {
            http: builder.build().map_err(SetUpError::Client)?,
            resolver,
            max_bytes,
        })
    }

    /// Rejects a caller's URL whose host is an IP address out of reach, or a name that has only such addresses. A name without an
    /// address within 2 s passes, because its lookup may succeed later; each call checks the addresses again.
    ///
    /// # Errors
    /// [`NotPublic`] with the address or the name.
    pub async fn check_name(&self, caller: CallerId, url: &Url) -> Result<(), NotPublic> {
        self.resolver.check(caller, url).await
    }

    /// Posts a body to a caller's URL, as [`Client::post`] does. The lookup of its host is one of the caller's, which has a share of
    /// them.
    ///
    /// # Cancel safety
    /// As [`Client::post`].
    ///
    /// # Errors
    /// If no response arrives. A status of 400 or 500 is a response.
    pub async fn post_for(
        &self,
        caller: CallerId,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Incoming, Error> {
        lookups::on_behalf_of(caller, self.post(url, headers, body)).await
    }

    /// Posts a body and waits for the head of the response.
    ///
    /// # Cancel safety
    /// Dropping the future or the response closes the connection, so that the provider can stop.
    ///
    /// # Errors
    /// If no response arrives. A status of 400 or 500 is a response.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Incoming, Error> {
        self.send(Method::POST, url, headers, body.into()).await
    }

    /// Sends a request with a body and any method.
    ///
    /// # Cancel safety
    /// As [`Client::post`].
    ///
    /// # Errors
    /// If no response arrives. A status of 400 or 500 is a response.
    pub async fn send_body(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Incoming, Error> {
        self.send(method, url, headers, body.into()).await
    }

    /// Sends a request without a body.
    ///
    /// # Cancel safety
    /// As [`Client::post`].
    ///
    /// # Errors
    /// If no response arrives. A status of 400 or 500 is a response.
    pub async fn request(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Incoming, Error> {
        self.send(method, url, headers, reqwest::Body::default())
            .await
    }

    /// Posts a streaming body. An error of the body aborts the request. The response may be read before the body ends.
    ///
    /// # Cancel safety
    /// As [`Client::post`].
    ///
    /// # Errors
    /// If no response arrives. A status of 400 or 500 is a response.
    pub async fn upload<B>(&self, url: &Url, headers: HeaderMap, body: B) -> Result<Incoming, Error>
    where
        B: http_body::Body<Data = Bytes, Error = std::io::Error> + Send + Sync + 'static,
    {
        self.send(Method::POST, url, headers, reqwest::Body::wrap(body))
            .await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<Incoming, Error> {
        self.resolver
            .reach()
            .check(url)
            .map_err(|error| Error::Connect(error.to_string()))?;
        let sent = self
            .http
            .request(method, url.clone())
            .headers(headers)
            .body(body)
            .send()
            .await;
        let mut response = sent.map_err(|error| {
            let message = innermost(&error);
            if error.is_connect() && is_lack_of_resources(&error) {
                Error::Resources(message)
            } else if error.is_connect() {
                Error::Connect(message)
            } else {
                Error::Broken(message)
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
    /// Reads the complete body.
    ///
    /// # Errors
    /// If the connection breaks before the end of the body, or the body is too large.
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

    /// Returns the next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks before the end, or the body exceeds the limit.
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

    /// Returns the body's messages as they arrive, without a limit on their number.
    #[must_use]
    pub fn messages(self, framing: Framing) -> Messages {
        Messages {
            response: self.response,
            frames: Frames::new(framing),
        }
    }

    /// Discards the rest of the body, for at most 50 ms: a connection is reused only after the end of its response.
    pub async fn finish(mut self) {
        let rest = async { while let Ok(Some(_)) = self.chunk().await {} };
        drop(tokio::time::timeout(CLOSE_TIMEOUT, rest).await);
    }
}

/// Response body that is read message by message, of any length.
#[derive(Debug)]
pub struct Messages {
    response: reqwest::Response,
    frames: Frames,
}

impl Messages {
    /// Returns the next message that is not blank; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// If the connection breaks before the end, or a message exceeds [`MAX_ANSWER_BYTES`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(message) = self.ready() {
                return Ok(Some(message));
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

    /// Returns a message that has already arrived; `None` if there is none.
    pub fn ready(&mut self) -> Option<Vec<u8>> {
        self.frames.message()
    }
}

/// Returns the settings that all clients share: no redirects, no retries, the trusted root certificates.
fn builder(tls: &Tls) -> Result<reqwest::ClientBuilder, SetUpError> {
    // An error means that it is set already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("extractd/", env!("CARGO_PKG_VERSION")));
    tls.apply(builder)
}
