//! Building of the extractor from the configuration: providers, their limits, and the models with
//! their fallbacks.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;

use super::key_reload::ProviderKeys;
use super::local_model::{local_model, local_model_name};
use super::memory_size;
use crate::config::{self, Config, ModelName};
use crate::extraction::{self, Extractor, ModelEndpoint, ModelRoute, Models, ProviderEntry};
use crate::net;
use crate::provider::{
    Anthropic, Gemini, HttpProvider, Ollama, OpenAi, OpenAiResponses, WireFormat,
};
use crate::schema::Registry;
use crate::telemetry::{LimitObserver, Traces};
use crate::types::{FallbackOn, Mode};
use throttle::{KeyQuota, Limits, MemoryUse, ModelLimits, Pool, PoolId, Rate};

/// Maximum number of calls for one attempt, the first included, if calls fail for transport
/// reasons.
const MAX_CALLS: u32 = 3;
/// The same maximum for an item of a job, for which no client waits.
const MAX_JOB_CALLS: u32 = 8;

/// Builds the extractor with the configured providers, limits and models, and returns with it the providers whose keys are in
/// files.
///
/// # Errors
/// If a provider cannot be set up, or a model is not in this build.
pub fn build_extractor(
    config: &Config,
    registry: Arc<Registry>,
    traces: Traces,
) -> anyhow::Result<(Extractor, Vec<ProviderKeys>)> {
    let mut providers = BTreeMap::new();
    let mut provider_keys = Vec::new();
    let mut pools = Vec::new();
    for (name, provider) in &config.providers {
        let client =
            remote(provider).with_context(|| format!("cannot set up the provider {name}"))?;
        let pool_id = PoolId(pools.len());
        provider_keys.extend(provider.key_file.clone().map(|file| ProviderKeys {
            name: name.clone(),
            provider: Arc::clone(&client),
            pool: pool_id,
            file,
            count: provider.api_keys.len(),
        }));
        let entry = ProviderEntry {
            provider: client,
            pool: pool_id,
            call_timeout: provider.call_timeout,
        };
        pools.push(pool(name, provider));
        providers.insert(name.clone(), entry);
    }
    let local = local_model(config, PoolId(pools.len()))?;
    if let Some((entry, pool)) = &local {
        pools.push(pool.clone());
        providers.insert(config::LOCAL.to_owned(), entry.clone());
    }
    let limits = limits(config, pools)?;
    let models = models(config, providers, &limits)?;
    let extraction = extraction::Config {
        max_tries: MAX_CALLS,
        max_job_tries: MAX_JOB_CALLS,
        max_wait: config.limits.max_wait,
        max_batch_wait: config.limits.max_batch_wait,
        cache: config.cache.map(|cache| extraction::CacheConfig {
            max_bytes: cache.max_bytes,
            ttl: cache.ttl,
        }),
        has_shared_results: config.has_shared_results,
        has_shared_schemas: config.schemas.shared,
    };
    let extractor = Extractor::new(extraction, models, limits, registry, traces);
    Ok((extractor, provider_keys))
}

/// Starts the limits, with the memory of the process itself and of the result cache set aside.
fn limits(config: &Config, pools: Vec<Pool>) -> anyhow::Result<Limits> {
    let max_memory_bytes = config
        .limits
        .max_memory_bytes
        .unwrap_or_else(memory_size::default_budget);
    let cache_bytes = config.cache.map_or(0, |cache| cache.max_bytes);
    let process_bytes = memory_size::process_share(max_memory_bytes);
    let max_cache_bytes = (max_memory_bytes - process_bytes) / 2;
    anyhow::ensure!(
        cache_bytes <= max_cache_bytes,
        "the result cache (`cache.max_bytes`: {cache_bytes}) may take {max_cache_bytes} bytes: half of the memory \
         (`limits.max_memory_bytes`: {max_memory_bytes}, by default half of the machine's) without the {process_bytes} bytes of the \
         program itself; lower the one or raise the other"
    );
    let limits = throttle::Config {
        max_concurrency: config.limits.max_concurrency.get() as usize,
        max_queue: config.limits.max_queue.get() as usize,
        max_memory_bytes,
        max_body_memory_bytes: config.limits.max_queue_bytes,
    };
    let limits = Limits::new(limits, pools, Arc::new(LimitObserver))
        .context("the limits' thread cannot be started")?;
    limits.memory().set_aside(MemoryUse::Process, process_bytes);
    limits.memory().set_aside(MemoryUse::Cache, cache_bytes);
    Ok(limits)
}

/// Returns the limits of a provider: one quota per API key, or one for calls without a key.
fn pool(name: &str, provider: &config::Provider) -> Pool {
    let quota = KeyQuota {
        requests: provider.rate.map(rate),
        tokens_per_minute: provider.tokens_per_minute,
    };
    Pool {
        name: name.to_owned(),
        keys: vec![quota; provider.api_keys.len().max(1)],
        max_in_flight: provider.max_concurrency.map(|limit| limit.get() as usize),
        is_adaptive: provider.adaptive_concurrency,
        has_trial: true,
    }
}

/// Converts a rate limit.
const fn rate(rate: config::Rate) -> Rate {
    Rate {
        per_minute: rate.requests_per_minute,
        burst: rate.burst,
    }
}

/// Builds a provider that is called over HTTP.
fn remote(provider: &config::Provider) -> anyhow::Result<Arc<HttpProvider>> {
    use secrecy::ExposeSecret;
    let base_url =
        net::Url::parse(provider.base_url.as_str()).context("the base URL is invalid")?;
    let wire = wire(provider, &base_url);
    let mut headers = ::http::HeaderMap::new();
    for (name, value) in wire.headers() {
        headers.insert(*name, ::http::HeaderValue::from_static(value));
    }
    for (name, value) in &provider.headers {
        let mut value = ::http::HeaderValue::from_str(value.expose_secret())
            .with_context(|| format!("the header {name} has an invalid value"))?;
        value.set_sensitive(true);
        headers.insert(::http::HeaderName::try_from(name.as_str())?, value);
    }
    let proxy = provider
        .proxy
        .as_ref()
        .map_or(net::Proxy::Environment, |proxy| {
            net::Proxy::At(proxy.as_str().to_owned())
        });
    let client = net::Client::new(net::Options {
        headers,
        proxy,
        tls: net::Tls {
            ca: provider.ca.clone(),
            identity: provider
                .identity
                .as_ref()
                .map(|pem| pem.expose_secret().to_owned()),
        },
        connect_timeout: Some(provider.connect_timeout),
    })?;
    Ok(Arc::new(HttpProvider::new(
        wire,
        client,
        &base_url,
        &provider.api_keys,
        provider.headers.clone().into_iter().collect(),
    )))
}

/// Returns the wire format of a provider.
fn wire(provider: &config::Provider, base_url: &net::Url) -> Box<dyn WireFormat> {
    let (host, path) = (base_url.host_str().unwrap_or_default(), base_url.path());
    match provider.kind {
        config::WireKind::OpenAi => Box::new(OpenAi::for_host(host)),
        config::WireKind::Responses => Box::new(OpenAiResponses::for_host(host)),
        config::WireKind::Anthropic => Box::new(Anthropic::for_base_path(path)),
        config::WireKind::Gemini => Box::new(Gemini::for_base_path(path)),
        config::WireKind::Ollama => Box::new(Ollama::for_base_path(path)),
        config::WireKind::Azure => Box::new(OpenAi::azure(
            path,
            provider.api_version.as_deref().unwrap_or_default(),
        )),
    }
}

/// Resolves the default model and the named models to routes.
fn models(
    config: &Config,
    providers: BTreeMap<String, ProviderEntry>,
    limits: &Limits,
) -> anyhow::Result<Models> {
    let route = |provider: &str, model: &str, mode: Mode, model_limits: ModelLimits| {
        let entry = providers
            .get(provider)
            .with_context(|| format!("the provider {provider} is not part of this build"))?;
        Ok::<_, anyhow::Error>(entry.route(provider, model, mode, model_limits, limits))
    };
    let configured = |model: &config::Model| {
        let model_limits = ModelLimits {
            max_in_flight: model.max_concurrency.map(|limit| limit.get() as usize),
            price: model.price,
        };
        route(&model.provider, &model.model, model.mode, model_limits)
    };
    // Configured models come first, so that their limits apply under every name of a model.
    let firsts: BTreeMap<_, _> = config
        .models
        .iter()
        .map(|(name, model)| {
            let mut endpoint = configured(model)?;
            set_extra_body(&mut endpoint, name, model)?;
            Ok((name.clone(), endpoint))
        })
        .collect::<anyhow::Result<_>>()?;
    let direct_endpoint =
        |provider: &str, model: &str| route(provider, model, Mode::Auto, ModelLimits::default());
    let endpoint = |name: &ModelName| match name {
        ModelName::Direct { provider, model } => direct_endpoint(provider, model),
        ModelName::Named(name) => firsts
            .get(name)
            .cloned()
            .with_context(|| format!("the model {name} is not configured")),
    };
    let mut named = BTreeMap::new();
    for (name, model) in &config.models {
        let first = firsts
            .get(name)
            .cloned()
            .with_context(|| format!("the model {name} is not configured"))?;
        let fallback = model
            .fallback
            .iter()
            .map(endpoint)
            .collect::<anyhow::Result<_>>()?;
        named.insert(
            name.clone(),
            ModelRoute {
                first,
                fallback,
                fallback_on: model.fallback_on,
            },
        );
    }
    let default = match &config.model {
        None => without_fallback(direct_endpoint(config::LOCAL, &local_model_name(config))?),
        Some(direct @ ModelName::Direct { .. }) => without_fallback(endpoint(direct)?),
        Some(ModelName::Named(name)) => named
            .get(name)
            .cloned()
            .with_context(|| format!("the model {name} is not configured"))?,
    };
    let default_name = match &config.model {
        Some(ModelName::Named(name)) => Some(name.clone()),
        Some(ModelName::Direct { .. }) | None => None,
    };
    Ok(Models {
        default,
        default_name,
        named,
        providers,
    })
}

/// Adds the configured fields of a model's requests, if its provider takes them.
fn set_extra_body(
    endpoint: &mut ModelEndpoint,
    name: &str,
    model: &config::Model,
) -> anyhow::Result<()> {
    if let Some(fields) = model.extra_body.fields() {
        let checked = endpoint.provider.check_extra_body(fields);
        checked
            .map_err(|error| anyhow::anyhow!("[models.{name}.extra_body]: {}", error.message))?;
    }
    endpoint.extra_body = model.extra_body.clone();
    Ok(())
}

/// Returns the route of a model that no other model stands in for.
fn without_fallback(first: ModelEndpoint) -> ModelRoute {
    ModelRoute {
        first,
        fallback: Vec::new(),
        fallback_on: FallbackOn::default(),
    }
}
