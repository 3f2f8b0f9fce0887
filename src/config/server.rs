//! Section `[server]`: settings of the HTTP server. Its `api_keys` are read in `callers`.

use std::{net::SocketAddr, time::Duration};

use super::{
    error::Error,
    parsers,
    section::Section,
    setting::Origin,
    url::{self, Url},
};

/// Settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `allow_anonymous`: true allows listening on an address other than loopback without any
    /// caller. Default false.
    pub allow_anonymous: bool,
    /// `metrics_access`: keys that may read `/metrics` if there are callers. Default `operator`.
    pub metrics_access: MetricsAccess,
    /// `cors_origins`: origins whose web pages may call the API, in lower case, such as
    /// `https://app.example`; `*` allows all. Default none.
    pub cors_origins: Vec<String>,
    /// `hosts`: host names, in lower case and without a port, that are accepted in addition to
    /// loopback names when there are no callers. Default none.
    pub hosts: Vec<String>,
    /// `shutdown_grace_ms`: time for work in flight after the signal to stop. 0 to 3,600,000 ms,
    /// default 30,000. The process ends within it: of 10 s or more, a quarter (at most 8 s) is for closing.
    /// Closing may follow a shorter one, for up to 8 s.
    pub shutdown_grace: Duration,
    /// `max_body_bytes`: maximum size of a JSON request body. 1 KiB to 16 GiB, default 64 MiB; at
    /// most `limits.max_queue_bytes`.
    pub max_body_bytes: usize,
    /// `max_line_bytes`: maximum size of one NDJSON line. 1 KiB to 1 GiB, default 1 MiB.
    pub max_line_bytes: usize,
    /// `header_timeout_ms`: time that a client may take to send the head of a request, and before it
    /// the first bytes of a new connection. 1 to 600,000 ms, default 10,000.
    pub header_timeout: Duration,
    /// `idle_timeout_ms`: time after which a client is disconnected that uploads inputs and sends
    /// nothing, or reads nothing of its response. 1 to 86,400,000 ms, default 60,000.
    pub idle_timeout: Duration,
}

/// Keys that may read `/metrics` if there are callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// An operator's key.
    Operator,
    /// No key is needed. The series of callers are only shown to an operator's key.
    Open,
}

const METRICS_ACCESS: [(&str, MetricsAccess); 2] = [
    ("operator", MetricsAccess::Operator),
    ("open", MetricsAccess::Open),
];

impl Server {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
        let none = Vec::<String>::new;
        let server = Self {
            allow_anonymous: section.get("allow_anonymous", false, parsers::boolean)?,
            metrics_access: section.get(
                "metrics_access",
                "operator",
                parsers::choice(&METRICS_ACCESS),
            )?,
            cors_origins: section.get(
                "cors_origins",
                none(),
                parsers::list(ORIGINS, Url::origin),
            )?,
            hosts: section.get("hosts", none(), parsers::list(HOSTS, url::host))?,
            shutdown_grace: section.get(
                "shutdown_grace_ms",
                30_000,
                parsers::millis(0..=3_600_000),
            )?,
            max_body_bytes: section.get(
                "max_body_bytes",
                64 << 20,
                parsers::integer(1 << 10..=16 << 30),
            )?,
            max_line_bytes: section.get(
                "max_line_bytes",
                1 << 20,
                parsers::integer(1 << 10..=1 << 30),
            )?,
            header_timeout: section.get(
                "header_timeout_ms",
                10_000,
                parsers::millis(1..=600_000),
            )?,
            idle_timeout: section.get(
                "idle_timeout_ms",
                60_000,
                parsers::millis(1..=86_400_000),
            )?,
        };
        section.finish()?;
        Ok(server)
    }

    /// Rejects an address other than loopback if there are no callers, unless `allow_anonymous` is
    /// set.
    pub(super) fn check_open(&self, listen: SocketAddr, origin: &Origin) -> Result<(), Error> {
        if listen.ip().to_canonical().is_loopback() || self.allow_anonymous {
            return Ok(());
        }
        let message = format!(
            "`listen` is {listen}, which is not loopback, and there are no callers: set EXTRACTD_API_KEYS \
             (`server.api_keys`) or add a [callers.NAME], or set EXTRACTD_ALLOW_ANONYMOUS=true (`server.allow_anonymous`) to \
             serve everyone"
        );
        Err(Error::new(origin, message))
    }
}

const ORIGINS: &str = "origins such as https://app.example, without a path, or *";
const HOSTS: &str = "host names without a port, such as api.example";
