//! The composition root: makes the parts from the configuration, joins them, runs the server, and drains it.

mod callers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, ModelName};
use crate::extract::{self, Choice, Extractor, Models, Provided};
use crate::http::{self, Lifecycle, Parts};
use crate::jobs::store::Store as _;
use crate::jobs::{self, Ends, Jobs, Sqlite};
use crate::limits::{self, KeyQuota, Limits, Pool, PoolId, Rate, Terms};
use crate::model::Mode;
use crate::net::{self, Reach};
use crate::provider::{Anthropic, Gemini, Ollama, OpenAi, Provider, Remote, Responses, Wire};
use crate::schema::Registry;
use crate::telemetry;
use callers::Callers;

/// Tries of a failed call, the first included.
const MAX_TRIES: u32 = 3;
/// The same for an item of a job, for which nobody waits.
const MAX_JOB_TRIES: u32 = 8;
/// After the grace, how long a reply may take to say that it ends early.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until `stop` is cancelled, then drains.
///
/// # Errors
/// When a part cannot be made, or the address cannot be bound.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    prepare_data_dir(&config)?;
    let server = Server::bind(config, Keeps::Jobs).await?;
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
    metrics: PrometheusHandle,
    store: Sqlite,
    webhooks: net::Client,
    link_secret: [u8; 32],
    /// Removed with it.
    _scratch: Option<Scratch>,
}

/// What outlives a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Its jobs, in the data folder, which is then its own.
    Jobs,
    /// Nothing: it is there for one command, beside a server that may be running on the same folder.
    Nothing,
}

impl Server {
    /// # Errors
    /// When a part cannot be made, or the address cannot be bound.
    pub async fn bind(config: Config, keeps: Keeps) -> anyhow::Result<Self> {
        let metrics = telemetry::start_metrics().context("the metrics cannot be started")?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener.local_addr().context("the bound address cannot be read")?;
        let registry = Registry::open(config.schemas_dir.as_deref(), &config.data_dir)?;
        let extractor = Arc::new(extractor(&config, Arc::new(registry))?);
        let scratch =
            (keeps == Keeps::Nothing).then(Scratch::new).transpose().context("a folder for the while cannot be made")?;
        let file = scratch.as_ref().map_or(&*config.data_dir, |scratch| &*scratch.0).join(STORE);
        let store = Sqlite::open(&file).with_context(|| format!("the store of jobs, {}, cannot be used", file.display()))?;
        let link_secret = store.secret().await.context("the store of jobs cannot be read")?;
        let webhooks = net::Client::outbound(reach(&config)).context("the client for webhooks cannot be set up")?;
        let mut callers = Callers::new(&config, extractor.limits().clone());
        callers.set(&[config.callers.clone(), config.file_callers.clone()].concat());
        Ok(Self { config, listener, address, extractor, callers, metrics, store, webhooks, link_secret, _scratch: scratch })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled, then drains.
    pub async fn run(self, stop: CancellationToken) {
        let Self { config, callers, metrics, extractor, store, webhooks, link_secret, .. } = self;
        let lifecycle = Lifecycle::default();
        let upkeep = lifecycle.tasks.spawn(upkeep(metrics.clone(), lifecycle.ended.clone()));
        let keys = callers.keys();
        let watch = config.callers_file.clone().map(|path| {
            let ended = lifecycle.draining.clone();
            lifecycle.tasks.spawn(async move { ended.run_until_cancelled_owned(callers.watch(path)).await })
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
        let serving = tokio::spawn(http::serve(self.listener, router, header_timeout, lifecycle.clone(), closing.clone()));
        stop.cancelled().await;
        drain(&lifecycle, grace).await;
        closing.cancel();
        upkeep.abort();
        drop(watch);
        // It ends by the token, and a panic in it has been logged.
        drop(serving.await);
        lifecycle.tasks.close();
        // What is still open after the farewell ends with the process.
        drop(tokio::time::timeout(FAREWELL, lifecycle.tasks.wait()).await);
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
    if config.jobs.allow_private_webhooks { Reach::Anywhere } else { Reach::Public }
}

fn jobs(config: &Config, store: Sqlite, webhooks: net::Client, extractor: Arc<Extractor>, lifecycle: &Lifecycle) -> Jobs {
    let settings = jobs::Config {
        retention: config.jobs.retention,
        max_running_per_caller: config.jobs.max_running_per_caller.get() as usize,
    };
    let ends = Ends { draining: lifecycle.draining.clone(), ended: lifecycle.ended.clone(), work: lifecycle.work.clone() };
    Jobs::start(settings, http::job_form(), Arc::new(store), extractor, webhooks, ends)
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
    if tokio::time::timeout(grace, lifecycle.work.wait()).await.is_ok() {
        lifecycle.ended.cancel();
        return;
    }
    tracing::warn!(requests = lifecycle.work.len(), "the grace is over; what is left ends now");
    lifecycle.ended.cancel();
    drop(tokio::time::timeout(FAREWELL, lifecycle.work.wait()).await);
}

/// Histograms keep their raw values until this is called.
async fn upkeep(metrics: PrometheusHandle, ended: CancellationToken) {
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
    let note = model.provider.note().map(|note| format!(" ({note})")).unwrap_or_default();
    format!(
        "listening on http://{address}; the default model is {}{note}; the reference is at http://{address}/docs/",
        model.label()
    )
}

fn extractor(config: &Config, registry: Arc<Registry>) -> anyhow::Result<Extractor> {
    let mut providers = BTreeMap::new();
    let mut pools = Vec::new();
    for (name, provider) in &config.providers {
        let made = remote(provider).with_context(|| format!("the provider {name} cannot be set up"))?;
        let provided = Provided { provider: made, pool: PoolId(pools.len()), call_timeout: provider.call_timeout };
        pools.push(pool(name, provider));
        providers.insert(name.clone(), provided);
    }
    let local = local(config, PoolId(pools.len()))?;
    if let Some((provided, pool)) = &local {
        pools.push(pool.clone());
        providers.insert(config::LOCAL.to_owned(), provided.clone());
    }
    let limits = limits::Config {
        max_concurrency: config.limits.max_concurrency.get() as usize,
        max_queue: config.limits.max_queue.get() as usize,
    };
    let limits = Limits::new(limits, pools).context("the limits' thread cannot be started")?;
    let models = models(config, providers, &limits)?;
    let extraction = extract::Config {
        max_tries: MAX_TRIES,
        max_job_tries: MAX_JOB_TRIES,
        max_wait: config.limits.max_wait,
        max_batch_wait: config.limits.max_batch_wait,
        cache: config.cache.map(|cache| extract::CacheConfig { max_bytes: cache.max_bytes, ttl: cache.ttl }),
    };
    Ok(Extractor::new(extraction, models, limits, registry))
}

/// The limits of a provider: its keys' quotas, or that of the calls without one.
fn pool(name: &str, provider: &config::Provider) -> Pool {
    let quota = KeyQuota { requests: provider.rate.map(rate), tokens_per_minute: provider.tokens_per_minute };
    Pool {
        name: name.to_owned(),
        keys: vec![quota; provider.api_keys.len().max(1)],
        max_in_flight: provider.max_concurrency.map(|limit| limit.get() as usize),
        is_adaptive: provider.adaptive_concurrency,
    }
}

const fn rate(rate: config::Rate) -> Rate {
    Rate { per_minute: rate.requests_per_minute, burst: rate.burst }
}

fn remote(provider: &config::Provider) -> anyhow::Result<Arc<dyn Provider>> {
    use secrecy::ExposeSecret;
    let base_url = net::Url::parse(provider.base_url.as_str()).context("the base URL is none")?;
    let wire = wire(provider, &base_url);
    let mut headers = ::http::HeaderMap::new();
    for (name, value) in wire.headers() {
        headers.insert(*name, ::http::HeaderValue::from_static(value));
    }
    for (name, value) in &provider.headers {
        let mut value = ::http::HeaderValue::from_str(value.expose_secret())
            .with_context(|| format!("the header {name} has a value that cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(::http::HeaderName::try_from(name.as_str())?, value);
    }
    let proxy = provider.proxy.as_ref().map_or(net::Proxy::Environment, |proxy| net::Proxy::At(proxy.as_str().to_owned()));
    let client = net::Client::new(net::Options { headers, proxy, connect_timeout: Some(provider.connect_timeout) })?;
    Ok(Arc::new(Remote::new(wire, client, &base_url, &provider.api_keys, provider.headers.values().cloned().collect())))
}

fn wire(provider: &config::Provider, base_url: &net::Url) -> Box<dyn Wire> {
    let (host, path) = (base_url.host_str().unwrap_or_default(), base_url.path());
    match provider.kind {
        config::Kind::OpenAi => Box::new(OpenAi::at(host)),
        config::Kind::Responses => Box::new(Responses::at(host)),
        config::Kind::Anthropic => Box::new(Anthropic::at(path)),
        config::Kind::Gemini => Box::new(Gemini::at(path)),
        config::Kind::Ollama => Box::new(Ollama::at(path)),
        config::Kind::Azure => Box::new(OpenAi::azure(path, provider.api_version.as_deref().unwrap_or_default())),
    }
}

fn models(config: &Config, providers: BTreeMap<String, Provided>, limits: &Limits) -> anyhow::Result<Models> {
    let route = |provider: &str, model: &str, mode: Mode, terms: Terms| {
        let provided = providers.get(provider).with_context(|| format!("the provider {provider} is not in this build"))?;
        Ok::<_, anyhow::Error>(provided.route(provider, model, mode, terms, limits))
    };
    let configured = |model: &config::Model| {
        let terms = Terms { max_in_flight: model.max_concurrency.map(|limit| limit.get() as usize), price: model.price };
        route(&model.provider, &model.model, model.mode, terms)
    };
    // Those with terms of their own first, so that the terms hold however a model is named.
    let firsts: BTreeMap<_, _> =
        config.models.iter().map(|(name, model)| Ok((name.clone(), configured(model)?))).collect::<anyhow::Result<_>>()?;
    let named_route = |name: &ModelName| match name {
        ModelName::Direct { provider, model } => route(provider, model, Mode::Auto, Terms::default()),
        ModelName::Named(name) => firsts.get(name).cloned().with_context(|| format!("the model {name} is not configured")),
    };
    let mut named = BTreeMap::new();
    for (name, model) in &config.models {
        let first = firsts.get(name).cloned().with_context(|| format!("the model {name} is not configured"))?;
        let fallback = model.fallback.iter().map(named_route).collect::<anyhow::Result<_>>()?;
        named.insert(name.clone(), Choice { first, fallback });
    }
    let default = match &config.model {
        None => {
            let first = route(config::LOCAL, &local_model_name(config), Mode::Auto, Terms::default())?;
            Choice { first, fallback: Vec::new() }
        }
        Some(direct @ ModelName::Direct { .. }) => Choice { first: named_route(direct)?, fallback: Vec::new() },
        Some(ModelName::Named(name)) => {
            named.get(name).cloned().with_context(|| format!("the model {name} is not configured"))?
        }
    };
    Ok(Models { default, named, providers })
}

/// Where `make model` puts the built-in model.
const LOCAL_MODEL_PATH: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// What the built-in model is called: as its file, without the ending.
fn local_model_name(config: &Config) -> String {
    let path = config.local.model_path.as_deref().unwrap_or(std::path::Path::new(LOCAL_MODEL_PATH));
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(not(feature = "local"))]
fn local(config: &Config, _: PoolId) -> anyhow::Result<Option<(Provided, Pool)>> {
    let wanted = config.model.is_none();
    anyhow::ensure!(
        !wanted,
        "this build has no model built in, and no provider is configured; set OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY or GEMINI_API_KEY, and EXTRACTD_MODEL"
    );
    Ok(None)
}

#[cfg(feature = "local")]
fn local(config: &Config, pool: PoolId) -> anyhow::Result<Option<(Provided, Pool)>> {
    use crate::provider::{Local, LocalOptions};

    let is_local = |name: &ModelName| matches!(name, ModelName::Direct { provider, .. } if provider == config::LOCAL);
    let is_named = config.models.values().any(|model| model.provider == config::LOCAL || model.fallback.iter().any(is_local));
    if config.model.as_ref().is_some_and(|name| !is_local(name)) && !is_named {
        return Ok(None);
    }
    let model_path = config.local.model_path.clone().unwrap_or_else(|| LOCAL_MODEL_PATH.into());
    anyhow::ensure!(
        model_path.is_file(),
        "the built-in model's file {} is not there; `make model` gets it, `local.model_path` (EXTRACTD_MODEL_PATH) names another, \
         or configure a provider (OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY or GEMINI_API_KEY, and EXTRACTD_MODEL)",
        model_path.display()
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = LocalOptions {
        model_path,
        workers: config.local.threads.map_or(cores, |threads| threads.get() as usize),
        parallel: config.local.parallel.get() as usize,
        context_tokens: config.local.context_tokens.get() as usize,
    };
    let pool_settings = Pool {
        name: config::LOCAL.to_owned(),
        keys: vec![KeyQuota::default()],
        max_in_flight: Some(options.max_in_flight()),
        is_adaptive: false,
    };
    let provider = Local::start(options).context("the built-in model's thread cannot be started")?;
    Ok(Some((Provided { provider: Arc::new(provider), pool, call_timeout: None }, pool_settings)))
}

/// Asks the server at this address whether it is alive. Success when it says so.
#[must_use]
pub fn healthcheck(listen: SocketAddr) -> std::process::ExitCode {
    match ask_health(listen) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("extractd: the server on port {} is not healthy: {error}", listen.port());
            std::process::ExitCode::FAILURE
        }
    }
}

fn ask_health(listen: SocketAddr) -> std::io::Result<()> {
    use std::io::{Error, Read, Write};
    const PATIENCE: Duration = Duration::from_secs(3);
    let ip = if listen.ip().is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
    let mut stream = std::net::TcpStream::connect_timeout(&SocketAddr::new(ip, listen.port()), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if &answer == b"HTTP/1.1 200" { Ok(()) } else { Err(Error::other("it does not answer 200")) }
}
