//! The server that is asked: one that runs, or one within this process.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app;
use crate::config::{Caller, Config, Origin, Quota};
use crate::net::{Client, Options, Proxy, Url};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Nobody else asks the server within the process: nothing is left to wait for.
const GRACE: Duration = Duration::from_millis(500);

/// Who is to be asked.
#[derive(Debug)]
pub enum TargetServer {
    /// A server that runs, with the key that it wants.
    Running { url: String, key: Option<String> },
    /// One with this configuration, within the process, on a free port of the loopback, for this client alone.
    Own(Box<Config>),
}

/// A server that can be asked.
pub struct ServerHandle {
    pub url: Url,
    pub key: Option<String>,
    pub client: Client,
    own: Option<(CancellationToken, JoinHandle<()>)>,
}

impl TargetServer {
    /// # Errors
    /// When the address is none, or the server within the process cannot be started.
    pub async fn start(self) -> anyhow::Result<ServerHandle> {
        match self {
            Self::Running { url, key } => {
                let url = address(&url)?;
                let proxy = if is_loopback(&url) {
                    Proxy::Never
                } else {
                    Proxy::Environment
                };
                Ok(ServerHandle {
                    url,
                    key,
                    client: client(proxy)?,
                    own: None,
                })
            }
            Self::Own(config) => own(*config).await,
        }
    }
}

fn address(text: &str) -> anyhow::Result<Url> {
    match Url::parse(text) {
        // It stands in messages.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            bail!(
                "--server: put no name and no password into the address; the key stands in EXTRACTD_API_KEY"
            )
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => bail!("--server: {text} is no address; it is to look like http://127.0.0.1:8080"),
    }
}

/// A proxy is another machine, and its loopback another one.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn client(proxy: Proxy) -> anyhow::Result<Client> {
    Ok(Client::new(Options {
        proxy,
        connect_timeout: Some(CONNECT),
        ..Options::default()
    })?)
}

async fn own(mut config: Config) -> anyhow::Result<ServerHandle> {
    use sha2::{Digest, Sha256};
    // A key of this run's own, so that no other process of this machine can use it.
    let key = format!(
        "{}{}",
        uuid::Uuid::now_v7().simple(),
        uuid::Uuid::now_v7().simple()
    );
    let caller = Caller {
        name: "batch".to_owned(),
        owner: "batch".to_owned(),
        key_sha256: Sha256::digest(&key).into(),
        quota: Quota::default(),
        origin: Origin::Default,
    };
    config.listen = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    config.callers = vec![caller];
    config.file_callers = Vec::new();
    config.callers_file = None;
    config.server.shutdown_grace = GRACE;
    let server = app::Server::bind(config, app::Persistence::Ephemeral).await?;
    let url = Url::parse(&format!("http://{}", server.address()))
        .context("the address of the server within this process")?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    Ok(ServerHandle {
        url,
        key: Some(key),
        client: client(Proxy::Never)?,
        own: Some((stop, running)),
    })
}

impl ServerHandle {
    /// Ends the server that is within the process.
    pub async fn end(self) {
        if let Some((stop, running)) = self.own {
            stop.cancel();
            drop(running.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_or_says_how_it_is_to_look() {
        for text in [
            "http://127.0.0.1:8080",
            "https://extract.example/base/",
            "http://[::1]:1",
        ] {
            assert!(address(text).is_ok(), "{text}");
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
            let said = address(text).unwrap_err().to_string();
            assert!(
                said.starts_with("--server: ") && !said.contains("secret-4711"),
                "{said}"
            );
        }
    }

    #[test]
    fn the_loopback_is_asked_without_a_proxy() {
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
