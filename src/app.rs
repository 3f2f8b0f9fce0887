//! The composition root: makes the parts from the configuration, joins them, runs the server, and drains it.

mod build_extractor;
mod caller_reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::extraction::Extractor;
use crate::http::{self, Lifecycle, Parts};
use crate::jobs::store::Store as _;
use crate::jobs::{self, Jobs, Shutdown, Sqlite};
use crate::net::{self, Reach};
use crate::schema::Registry;
use crate::telemetry::Metrics;
use build_extractor::extractor;
use caller_reload::Callers;

/// After the grace, how long a reply may take to say that it ends early.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until `stop` is cancelled, then drains.
///
/// # Errors
/// When a part cannot be made, or the address cannot be bound.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    prepare_data_dir(&config)?;
    let server = Server::bind(config, Persistence::Jobs).await?;
    tracing::info!("{}", welcome(&server.extractor, server.address));
    server.run(stop).await;
    Ok(())
}

/// A server that listens, and answers once it is run.
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    extractor: Arc<Extractor>,
    callers: Callers,
    metrics: Metrics,
    store: Sqlite,
    webhooks: net::Client,
    link_secret: [u8; 32],
    /// Removed with it.
    _scratch: Option<Scratch>,
}

/// What outlives a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Its jobs, in the data folder, which is then its own.
    Jobs,
    /// Nothing: it is there for one command, beside a server that may be running on the same folder.
    Ephemeral,
}

impl Server {
    /// # Errors
    /// When a part cannot be made, or the address cannot be bound.
    pub async fn bind(config: Config, keeps: Persistence) -> anyhow::Result<Self> {
        let metrics = Metrics::start().context("the metrics cannot be started")?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener
            .local_addr()
            .context("the bound address cannot be read")?;
        let registry = Registry::open(config.schemas_dir.as_deref(), &config.data_dir)?;
        let extractor = Arc::new(extractor(&config, Arc::new(registry))?);
        let scratch = (keeps == Persistence::Ephemeral)
            .then(Scratch::new)
            .transpose()
            .context("a folder for the while cannot be made")?;
        let file = scratch
            .as_ref()
            .map_or(&*config.data_dir, |scratch| &*scratch.0)
            .join(STORE);
        let store = Sqlite::open(&file)
            .with_context(|| format!("the store of jobs, {}, cannot be used", file.display()))?;
        let link_secret = store
            .secret()
            .await
            .context("the store of jobs cannot be read")?;
        let webhooks = net::Client::outbound(reach(&config))
            .context("the client for webhooks cannot be set up")?;
        let mut callers = Callers::new(&config, extractor.limits().clone());
        callers.set(&[config.callers.clone(), config.file_callers.clone()].concat());
        Ok(Self {
            config,
            listener,
            address,
            extractor,
            callers,
            metrics,
            store,
            webhooks,
            link_secret,
            _scratch: scratch,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled, then drains.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            config,
            callers,
            metrics,
            extractor,
            store,
            webhooks,
            link_secret,
            ..
        } = self;
        let lifecycle = Lifecycle::default();
        let upkeep = lifecycle
            .tasks
            .spawn(upkeep(metrics.clone(), lifecycle.ended.clone()));
        let keys = callers.keys();
        let watch = config.callers_file.clone().map(|path| {
            let ended = lifecycle.draining.clone();
            lifecycle
                .tasks
                .spawn(async move { ended.run_until_cancelled_owned(callers.watch(path)).await })
        });
        let grace = config.server.shutdown_grace;
        let header_timeout = config.server.header_timeout;
        let router = http::router(Parts {
            jobs: jobs(&config, store, webhooks, Arc::clone(&extractor), &lifecycle),
            link_secret,
            link_ttl: config.jobs.link_ttl,
            webhooks: reach(&config),
            extractor,
            server: config.server,
            limits: config.limits,
            keys,
            lifecycle: lifecycle.clone(),
            metrics: Some(metrics),
        });
        let closing = CancellationToken::new();
        let serving = lifecycle.tasks.spawn(http::serve(
            self.listener,
            router,
            header_timeout,
            lifecycle.clone(),
            closing.clone(),
        ));
        stop.cancelled().await;
        drain(&lifecycle, grace).await;
        closing.cancel();
        upkeep.abort();
        drop(watch);
        // It ends by the token, and a panic in it has been logged.
        drop(serving.await);
        lifecycle.tasks.close();
        // What is still open after the farewell ends with the process.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, lifecycle.tasks.wait()).await);
        tracing::info!("stopped");
    }
}

/// A folder that is gone when this is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("extractd-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind, it is one more folder of temporary files.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The file of the store, in the data folder.
const STORE: &str = "extractd.db";

/// Where webhooks may lead.
const fn reach(config: &Config) -> Reach {
    if config.jobs.allow_private_webhooks {
        Reach::Anywhere
    } else {
        Reach::Public
    }
}

fn jobs(
    config: &Config,
    store: Sqlite,
    webhooks: net::Client,
    extractor: Arc<Extractor>,
    lifecycle: &Lifecycle,
) -> Jobs {
    let settings = jobs::Config {
        retention: config.jobs.retention,
        max_running_per_caller: config.jobs.max_running_per_caller.get() as usize,
    };
    let ends = Shutdown {
        draining: lifecycle.draining.clone(),
        ended: lifecycle.ended.clone(),
        work: lifecycle.work.clone(),
    };
    Jobs::start(
        settings,
        http::job_form(),
        Arc::new(store),
        extractor,
        webhooks,
        ends,
    )
}

/// Lets the work in flight finish within the grace, then tells what is left to end.
async fn drain(lifecycle: &Lifecycle, grace: Duration) {
    lifecycle.draining.cancel();
    lifecycle.work.close();
    tracing::info!(
        requests = lifecycle.work.len(),
        grace_ms = grace.as_millis(),
        "draining: no new work; what is in flight may finish"
    );
    if tokio::time::timeout(grace, lifecycle.work.wait())
        .await
        .is_ok()
    {
        lifecycle.ended.cancel();
        return;
    }
    tracing::warn!(
        requests = lifecycle.work.len(),
        "the grace is over; what is left ends now"
    );
    lifecycle.ended.cancel();
    drop(tokio::time::timeout(CLOSE_TIMEOUT, lifecycle.work.wait()).await);
}

/// Histograms keep their raw values until this is called.
async fn upkeep(metrics: Metrics, ended: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    while ended.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

fn prepare_data_dir(config: &Config) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let dir = &config.data_dir;
    // One that is there already keeps its rights: it may be anybody's.
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| {
            format!("the data directory {} cannot be made; set `data_dir` (EXTRACTD_DATA_DIR) to one that can", dir.display())
        })
}

fn welcome(extractor: &Extractor, address: SocketAddr) -> String {
    let model = &extractor.models().default.first;
    let note = model
        .provider
        .note()
        .map(|note| format!(" ({note})"))
        .unwrap_or_default();
    format!(
        "listening on http://{address}; the default model is {}{note}; the reference is at http://{address}/docs/",
        model.label()
    )
}

/// Asks the server at this address whether it is alive. Success when it says so.
#[must_use]
pub fn healthcheck(listen: SocketAddr) -> std::process::ExitCode {
    match check_health(listen) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "extractd: the server on port {} is not healthy: {error}",
                listen.port()
            );
            std::process::ExitCode::FAILURE
        }
    }
}

fn check_health(listen: SocketAddr) -> std::io::Result<()> {
    use std::io::{Error, Read, Write};
    const PATIENCE: Duration = Duration::from_secs(3);
    let ip = if listen.ip().is_unspecified() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        listen.ip()
    };
    let mut stream =
        std::net::TcpStream::connect_timeout(&SocketAddr::new(ip, listen.port()), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if &answer == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(Error::other("it does not answer 200"))
    }
}
