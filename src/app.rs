//! Composition root: builds the parts from the configuration, connects them, runs the server, and
//! drains it (graceful shutdown). It is the only module that sees the whole configuration.

mod allocator;
mod build_extractor;
mod caller_reload;
mod descriptors;
mod health_check;
mod key_reload;
mod local_model;
mod memory_size;
mod reload;
mod stop_times;
mod temporary_folder;
mod traces;

pub use allocator::return_memory_when_idle;
pub use health_check::healthcheck;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::extraction::Extractor;
use crate::http::{self, Lifecycle, Parts};
use crate::jobs::{self, Jobs, Shutdown, Sqlite, StorageLimits};
use crate::long_work::run_off_worker;
use crate::net::{self, Reach};
use crate::schema::{self, Registry};
use crate::telemetry::{Metrics, Traces};
use crate::workers::ConnectionWorkers;
use build_extractor::build_extractor;
use caller_reload::Callers;
use key_reload::ProviderKeys;
use stop_times::StopTimes;
use temporary_folder::TemporaryFolder;

/// Serves until `stop` is cancelled, then drains.
///
/// # Errors
/// If a part cannot be built, or the address cannot be bound.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let server = Server::bind(config, Persistence::DataDir)?;
    tracing::info!("{}", startup_message(&server.extractor, server.address));
    server.run(stop).await;
    Ok(())
}

/// Server that is bound to its address, and answers once [`Server::run`] is called.
pub struct Server {
    config: Config,
    listener: TcpListener,
    connection_workers: ConnectionWorkers,
    address: SocketAddr,
    extractor: Arc<Extractor>,
    callers: Callers,
    provider_keys: Vec<ProviderKeys>,
    metrics: Metrics,
    traces: Traces,
    store: Arc<Sqlite>,
    webhooks: net::Client,
    /// Temporary folder of an ephemeral store, removed when the server is dropped.
    _temporary: Option<TemporaryFolder>,
}

/// Place of the job store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence<'a> {
    /// The data folder, which only one server can use.
    DataDir,
    /// A folder of its own: the server serves one command, while another server may use the data
    /// folder.
    Folder(&'a Path),
    /// A temporary folder, which is removed with the server.
    Temporary,
}

impl Server {
    /// Binds the address and builds the parts.
    ///
    /// # Errors
    /// If a part cannot be built, or the address cannot be bound.
    pub fn bind(config: Config, persistence: Persistence<'_>) -> anyhow::Result<Self> {
        let metrics = Metrics::start().context("cannot start the metrics")?;
        Self::bind_with(config, persistence, metrics)
    }

    /// Binds the address and builds the parts, with the metrics of the process.
    fn bind_with(
        config: Config,
        persistence: Persistence<'_>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let connection_workers =
            ConnectionWorkers::start().context("cannot start the threads for connections")?;
        let listener = http::listen(config.listen, &connection_workers.handles())
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener
            .local_addr()
            .context("cannot read the address of the listening socket")?;
        let registry = Registry::open(
            config.schemas_dir.as_deref(),
            &config.data_dir,
            schema::Quota {
                schemas: config.schemas.max_per_caller,
                bytes: config.schemas.max_bytes_per_caller,
            },
        )?;
        let registry = Arc::new(registry);
        let traces = traces::start();
        let (extractor, provider_keys) =
            build_extractor(&config, Arc::clone(&registry), traces.clone())?;
        let extractor = Arc::new(extractor);
        let temporary = (persistence == Persistence::Temporary)
            .then(TemporaryFolder::new)
            .transpose()
            .context("cannot create a temporary folder for the job store")?;
        let folder = match (persistence, &temporary) {
            (Persistence::Folder(folder), _) => folder,
            (_, Some(temporary)) => temporary.path(),
            (Persistence::DataDir | Persistence::Temporary, None) => &config.data_dir,
        };
        let file = folder.join(STORE_FILE);
        // A server without its data folder can still answer direct requests.
        let opened = match persistence {
            Persistence::DataDir => Sqlite::open_or_retry(&file, move || registry.reload()),
            Persistence::Folder(_) | Persistence::Temporary => Sqlite::open(&file),
        };
        let store = opened
            .with_context(|| format!("cannot open the job store {}", file.display()))?
            .with_limits(storage_limits(&config));
        let webhooks = net::Client::outbound(webhook_reach(&config))
            .context("cannot set up the HTTP client for webhooks")?;
        let store = Arc::new(store);
        let mut callers = Callers::new(&config, Arc::clone(&extractor), Arc::clone(&store));
        callers.set(&[config.callers.clone(), config.file_callers.clone()].concat());
        Ok(Self {
            config,
            listener,
            connection_workers,
            address,
            extractor,
            callers,
            provider_keys,
            metrics,
            traces,
            store,
            webhooks,
            _temporary: temporary,
        })
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then drains.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            config,
            callers,
            provider_keys,
            metrics,
            traces,
            extractor,
            store,
            webhooks,
            ..
        } = self;
        let lifecycle = Lifecycle::default();
        let upkeep = lifecycle
            .tasks
            .spawn(upkeep(metrics.clone(), lifecycle.ended.clone()));
        let keys = callers.keys();
        if let Some(path) = config.callers_file.clone() {
            spawn_watch(&lifecycle, callers.watch(path));
        }
        for keys in provider_keys {
            spawn_watch(&lifecycle, keys.watch(extractor.limits().clone()));
        }
        let times = StopTimes::of_grace(config.server.shutdown_grace);
        let connections = open_connections(extractor.limits().memory().snapshot().max_bytes);
        let timeouts = http::ConnectionTimeouts {
            header: config.server.header_timeout,
            idle: config.server.idle_timeout,
        };
        let router = http::router(Parts {
            jobs: start_jobs(
                &config,
                Arc::clone(&store),
                webhooks.clone(),
                Arc::clone(&extractor),
                &lifecycle,
            ),
            link_ttl: config.jobs.link_ttl,
            webhooks,
            extractor,
            server: config.server,
            limits: config.limits,
            keys,
            lifecycle: lifecycle.clone(),
            metrics: Some(metrics),
            traces: traces.clone(),
        });
        let closing = CancellationToken::new();
        let serving = http::serve(
            self.listener,
            router,
            timeouts,
            connections,
            &lifecycle,
            closing.clone(),
            self.connection_workers.handles(),
        );
        stop.cancelled().await;
        drain(&lifecycle, times).await;
        closing.cancel();
        upkeep.abort();
        // The task ends by the token; a panic in it has been logged.
        drop(serving.await);
        lifecycle.tasks.close();
        // Connections that are still open after the timeout end with the process.
        drop(tokio::time::timeout(times.close, lifecycle.tasks.wait()).await);
        tokio::join!(close(store, times.store), traces::stop(traces, times.store));
        tracing::info!("the server has stopped");
    }
}

/// Raises the limit of open files, and returns the registry of connections, whose maximum follows from that limit and from the memory of the
/// process.
fn open_connections(max_memory_bytes: usize) -> http::OpenConnections {
    let descriptors = descriptors::raise_limit();
    let process_bytes = memory_size::process_share(max_memory_bytes);
    let max = descriptors::max_connections(descriptors, process_bytes);
    tracing::info!(
        max_open_files = descriptors,
        max_connections = max,
        "connections are limited by open files and memory"
    );
    http::OpenConnections::new(max, descriptors::places_of_large(max, process_bytes))
}

/// Runs a task that watches files until the server drains.
fn spawn_watch(lifecycle: &Lifecycle, watch: impl Future<Output = ()> + Send + 'static) {
    let draining = lifecycle.draining.clone();
    lifecycle
        .tasks
        .spawn(async move { draining.run_until_cancelled_owned(watch).await });
}

/// Closes the job store, so that everything is in its file.
async fn close(store: Arc<Sqlite>, timeout: Duration) {
    let closing = tokio::task::spawn_blocking(move || store.close());
    if tokio::time::timeout(timeout, closing).await.is_err() {
        tracing::warn!("the job store could not be closed in time; the next start completes it");
    }
}

/// Copies the job store, which a running server may use, to a new file.
///
/// # Errors
/// If there is no store, or the file exists or cannot be written.
pub fn back_up(config: &Config, target: &Path) -> anyhow::Result<()> {
    let store = config.data_dir.join(STORE_FILE);
    jobs::back_up(&store, target).with_context(|| {
        let (store, target) = (store.display(), target.display());
        format!("cannot copy the job store {store} to {target}")
    })
}

/// File name of the job store in the data folder.
const STORE_FILE: &str = "extractd.db";

/// Returns the addresses that webhooks may be sent to.
const fn webhook_reach(config: &Config) -> Reach {
    if config.jobs.allow_private_webhooks {
        Reach::Anywhere
    } else {
        Reach::Public
    }
}

/// Starts the durable jobs.
fn start_jobs(
    config: &Config,
    store: Arc<Sqlite>,
    webhooks: net::Client,
    extractor: Arc<Extractor>,
    lifecycle: &Lifecycle,
) -> Jobs {
    let settings = jobs::Config {
        retention: config.jobs.retention,
        max_running_per_caller: config.jobs.max_running_per_caller.get() as usize,
    };
    let shutdown = Shutdown {
        draining: lifecycle.draining.clone(),
        aborted: lifecycle.ended.clone(),
        work: lifecycle.work.clone(),
    };
    Jobs::start(settings, store, extractor, webhooks, shutdown)
}

fn storage_limits(config: &Config) -> StorageLimits {
    StorageLimits {
        max_jobs_per_caller: config.jobs.max_per_caller.get().into(),
        max_bytes_per_caller: config.jobs.max_bytes_per_caller,
        max_bytes: config.jobs.max_stored_bytes,
    }
}

/// Drains the server: lets requests in flight finish within their time, then aborts the others.
async fn drain(lifecycle: &Lifecycle, times: StopTimes) {
    lifecycle.draining.cancel();
    lifecycle.work.close();
    tracing::info!(
        tasks = lifecycle.work.len(),
        grace_ms = times.work.as_millis(),
        "shutting down: no new requests are accepted; what is in flight may finish within the grace"
    );
    if tokio::time::timeout(times.work, lifecycle.work.wait())
        .await
        .is_ok()
    {
        lifecycle.ended.cancel();
        return;
    }
    tracing::warn!(
        tasks = lifecycle.work.len(),
        "the shutdown grace is over; what is still in flight is aborted"
    );
    lifecycle.ended.cancel();
    drop(tokio::time::timeout(times.close, lifecycle.work.wait()).await);
}

/// Runs the metrics' upkeep every five seconds until the server ends.
async fn upkeep(metrics: Metrics, ended: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    while ended.run_until_cancelled(tick.tick()).await.is_some() {
        // Thousands of durations may have been recorded.
        run_off_worker(true, || metrics.run_upkeep());
    }
}

/// Returns the log line of the start.
fn startup_message(extractor: &Extractor, address: SocketAddr) -> String {
    let model = &extractor.models().default.first;
    let note = model
        .provider
        .note()
        .map(|note| format!(" ({note})"))
        .unwrap_or_default();
    format!(
        "listening on http://{address}; the default model is {}{note}; the API reference is at http://{address}/docs/",
        model.label()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::config::Args;
    use crate::jobs::store::{CreateOutcome, JobKey, NewJob, Status, Store};
    use crate::turn::turns_during;
    use throttle::{CallerId, MemoryUse};

    /// Metrics, which start once in a process.
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::start().unwrap());
    /// Maximum time of what a test waits for.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Binds a server of the default settings, of a provider that is not called.
    fn bound(change: impl FnOnce(&mut Config)) -> Server {
        let args = Args {
            listen: Some("127.0.0.1:0".to_owned()),
            model: Some("openai/m".to_owned()),
            ..Args::default()
        };
        let key = ("OPENAI_API_KEY".to_owned(), "sk-test".to_owned());
        let mut config = Config::load(&args, [key], |_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap()
            .config;
        change(&mut config);
        Server::bind_with(config, Persistence::Temporary, METRICS.clone()).unwrap()
    }

    /// Stores a job whose only input needs no call.
    async fn stored_job(store: &Sqlite, caller: &str) -> JobKey {
        let batch = json!({"schema": {"type": "object"}});
        let job = store.create_uploading(NewJob {
            id: "job_a".to_owned(),
            caller: caller.to_owned(),
            spec: json!({"batch": batch, "request_id": "r"}).to_string(),
            metadata: None,
            created_at: 0,
            idempotency: None,
        });
        let CreateOutcome::New(job) = job.await.unwrap() else {
            panic!("the store is empty");
        };
        let inputs = vec![br#"{"input": " "}"#.to_vec()];
        store.add_inputs(job, 0, inputs).await.unwrap();
        store.finalize(job, 1, [0; 32]).await.unwrap();
        job
    }

    /// Waits until a job has ended. Returns its status.
    async fn ended(store: &Sqlite, job: JobKey) -> Status {
        let ended = async {
            loop {
                let status = store.job_by_key(job).await.unwrap().unwrap().status;
                if status.is_ended() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.unwrap()
    }

    #[tokio::test]
    async fn an_old_job_of_a_caller_that_is_gone_is_cancelled() {
        // So that it is old at once; what ends is removed by the maintenance after that.
        let server = bound(|config| config.jobs.retention = Duration::ZERO);
        let store = Arc::clone(&server.store);
        let job = stored_job(&store, "gone").await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone()));
        assert_eq!(ended(&store, job).await, Status::Cancelled);
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn a_job_for_which_there_is_no_memory_waits_until_there_is_some() {
        let server = bound(|_| {});
        let store = Arc::clone(&server.store);
        let job = stored_job(&store, "").await;
        let ledger = server.extractor.limits().memory().clone();
        let max_bytes = ledger.snapshot().max_bytes;
        let all = ledger.record(CallerId::default(), MemoryUse::Responses, max_bytes);
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone()));
        // Enough for it to fail, if it did.
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(all);
        assert_eq!(ended(&store, job).await, Status::Completed);
        stop.cancel();
        running.await.unwrap();
    }

    /// Items that need no waiting would otherwise be answered in few turns, during which nobody else is served.
    #[tokio::test]
    async fn a_batch_whose_work_is_always_ready_lets_others_have_their_turns() {
        let server = bound(|_| {});
        let (address, stop) = (server.address(), CancellationToken::new());
        let running = tokio::spawn(server.run(stop.clone()));
        let body = json!({"inputs": vec![" "; 2_000], "schema": {"type": "object"}}).to_string();
        let batch = format!(
            "POST /v1/extract/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let turns = turns_during(address, &batch, b"\"summary\":", 1).await;
        assert!(turns >= 2_000 / 16, "{turns} turns during 2,000 items");
        stop.cancel();
        running.await.unwrap();
    }
}
