//! Server that a run uses: a running one, or one that is started within this process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::problem::FieldNames;
use crate::app;
use crate::config::{Caller, Config, Origin, Quota};
use crate::net::{Client, Options, Proxy, Url};
use crate::types::ids::new_uuid;

/// Timeout for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shutdown grace of the server within this process, which has no other clients to wait for.
const GRACE: Duration = Duration::from_millis(500);
/// Time for which the server within this process keeps jobs that have ended; the run removes them.
const RETENTION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Choice of the server.
#[derive(Debug)]
pub enum TargetServer {
    /// Running server, with the API key to send.
    Running { url: String, key: Option<String> },
    /// Server with this configuration, within this process, on a free loopback port, for this
    /// client alone.
    InProcess(Box<Config>),
}

/// Server that accepts requests, and the client to reach it.
pub struct ServerHandle {
    pub url: Url,
    pub key: Option<String>,
    pub client: Client,
    /// Names of invalid fields in the messages of rejected requests.
    pub field_names: FieldNames,
    /// Shutdown token and task of the server within this process.
    in_process: Option<(CancellationToken, JoinHandle<()>)>,
}

impl TargetServer {
    /// Returns true for a server that runs already.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Lets a server within this process keep its jobs until the client removes them.
    #[must_use]
    pub fn keeping_jobs(mut self) -> Self {
        if let Self::InProcess(config) = &mut self {
            config.jobs.retention = RETENTION;
        }
        self
    }

    /// Prepares the client of a running server, or starts one within this process, whose job store is in `folder`, or
    /// temporary.
    ///
    /// # Errors
    /// If the URL is invalid, or the server cannot be started.
    pub fn reach(self, folder: Option<&Path>) -> anyhow::Result<ServerHandle> {
        match self {
            Self::Running { url, key } => connect(&url, key),
            Self::InProcess(config) => start(*config, folder),
        }
    }
}

/// Prepares the client of a running server.
///
/// # Errors
/// If the URL is invalid.
fn connect(url: &str, key: Option<String>) -> anyhow::Result<ServerHandle> {
    let url = parse_url(url)?;
    let proxy = if is_loopback(&url) {
        Proxy::Never
    } else {
        Proxy::Environment
    };
    Ok(ServerHandle {
        url,
        key,
        client: client(proxy)?,
        field_names: FieldNames::Flags,
        in_process: None,
    })
}

/// Parses the URL of `--server`.
fn parse_url(text: &str) -> anyhow::Result<Url> {
    match Url::parse(text) {
        // The URL is shown in messages.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            bail!(
                "--server: the URL must not contain a user or password; set the key in EXTRACTD_API_KEY"
            )
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => bail!(
            "--server: {text} is no address of a server; use a URL such as http://127.0.0.1:8080"
        ),
    }
}

/// Returns true if the URL is a loopback address, which must not be sent to a proxy: the proxy's
/// loopback is another machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Returns an HTTP client.
fn client(proxy: Proxy) -> anyhow::Result<Client> {
    Ok(Client::new(Options {
        proxy,
        connect_timeout: Some(CONNECT_TIMEOUT),
        ..Options::default()
    })?)
}

/// Starts a server within this process. Its job store is in `folder`, or temporary.
///
/// # Errors
/// If the server cannot be started.
#[expect(
    clippy::disallowed_methods,
    reason = "the handle is awaited by `shut_down`"
)]
fn start(mut config: Config, folder: Option<&Path>) -> anyhow::Result<ServerHandle> {
    use sha2::{Digest, Sha256};
    // A random key keeps other processes of this machine out.
    let key = format!("{}{}", new_uuid().simple(), new_uuid().simple());
    let caller = Caller {
        name: "batch".to_owned(),
        owner: "batch".to_owned(),
        key_sha256: Sha256::digest(&key).into(),
        has_short_key: false,
        quota: Quota::default(),
        access: crate::types::CallerAccess::default(),
        origin: Origin::Default,
    };
    config.listen = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    config.callers = vec![caller];
    config.file_callers = Vec::new();
    config.callers_file = None;
    config.server.shutdown_grace = GRACE;
    let place = folder.map_or(app::Persistence::Temporary, app::Persistence::Folder);
    let server = app::Server::bind(config, place)?;
    let url = Url::parse(&format!("http://{}", server.address()))
        .context("the URL of the server within this process is invalid")?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    Ok(ServerHandle {
        url,
        key: Some(key),
        client: client(Proxy::Never)?,
        field_names: FieldNames::Flags,
        in_process: Some((stop, running)),
    })
}

impl ServerHandle {
    /// Returns true for the server within this process.
    pub const fn is_in_process(&self) -> bool {
        self.in_process.is_some()
    }

    /// Shuts the server within this process down, if there is one.
    pub async fn shut_down(self) {
        if let Some((stop, running)) = self.in_process {
            stop.cancel();
            drop(running.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_rejected_with_an_example() {
        for text in [
            "http://127.0.0.1:8080",
            "https://extract.example/base/",
            "http://[::1]:1",
        ] {
            assert!(parse_url(text).is_ok(), "{text}");
        }
        for text in [
            "127.0.0.1:8080",
            "localhost:8080",
            "nowhere",
            "file:///etc",
            "",
            "http://",
            "http://me:secret-4711@host",
        ] {
            let message = parse_url(text).unwrap_err().to_string();
            assert!(
                message.starts_with("--server: ") && !message.contains("secret-4711"),
                "{message}"
            );
        }
    }

    #[test]
    fn loopback_urls_bypass_the_proxy() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
