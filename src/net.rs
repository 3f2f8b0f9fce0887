//! The HTTP client for providers. The only place that knows reqwest.
//!
//! It makes one call and says what came of it: retries, limits and what an answer means belong to others.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::Certificate;

pub use reqwest::Url;

/// The largest answer that is read, in bytes; a longer one is a failure.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// How long a connection to a provider may stay unused; most servers and proxies close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(50);

/// How to reach one provider.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sent with every request; secret values are marked as such.
    pub headers: HeaderMap,
    /// `None`: the one that the environment names (`HTTPS_PROXY` and its kin), if any.
    pub proxy: Option<String>,
    pub connect_timeout: Option<Duration>,
}

/// Connections to one provider.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

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
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct SetUpError(#[source] reqwest::Error);

impl Client {
    /// # Errors
    /// When the proxy's address or the system's name resolution is unusable.
    pub fn new(options: Options) -> Result<Self, SetUpError> {
        // The compiled-in roots, so that an image without certificate files works. An error means that it is set already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok());
        let mut builder = reqwest::Client::builder()
            .tls_certs_only(roots)
            .default_headers(options.headers)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("extractd/", env!("CARGO_PKG_VERSION")));
        if let Some(timeout) = options.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(proxy) = options.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(SetUpError)?);
        }
        builder.build().map(Self).map_err(SetUpError)
    }

    /// Posts a body and reads the whole answer.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, so that the provider can stop.
    ///
    /// # Errors
    /// When no whole answer came. A status of 400 or 500 is an answer.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Vec<u8>) -> Result<Response, Error> {
        let sent = self.0.post(url.clone()).headers(headers).body(body).send().await;
        let mut response = sent.map_err(|error| {
            let said = innermost(&error);
            if error.is_connect() { Error::Connect(said) } else { Error::Broken(said) }
        })?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Error::Broken(innermost(&error)))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Response { status: response.status(), headers, body: body.freeze() })
    }
}

/// The cause at the bottom, which says what happened; the layers above it only say "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The longest wait that a provider's header is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long the provider wants to be left alone: `retry-after-ms`, or `retry-after` in seconds or as a date
/// (RFC 9110 section 10.2.3). At most a day.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0);
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"));
    let wait = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER),
        None => httpdate::parse_http_date(text("retry-after")?).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (name, value, wait_ms) in [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "120", Some(120)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(10_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "1e300", Some(86_400_000)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(retry_after(&headers, now), wait_ms.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
