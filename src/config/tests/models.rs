//! Providers' limits and keys, models' fallbacks and prices, the cache and the jobs.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Start;
use crate::config::{Cache, ModelName};
use crate::types::{Price, Usage, Usd};

fn openai(text: &str) -> Start {
    Start::file(&format!("model = \"openai/m\"\n[providers.openai]\n{text}"))
}

fn keys(start: &Start) -> Vec<String> {
    let keys = start.config().providers["openai"].api_keys.clone();
    keys.iter()
        .map(|key| key.expose_secret().to_owned())
        .collect()
}

#[test]
fn a_provider_has_no_limit_of_its_own_unless_it_is_set() {
    let provider = openai("").config().providers["openai"].clone();
    assert!(provider.api_keys.is_empty() && provider.adaptive_concurrency);
    assert_eq!(
        (
            provider.rate,
            provider.tokens_per_minute,
            provider.max_concurrency,
            provider.call_timeout
        ),
        (None, None, None, None)
    );
    let provider = openai(
        "tokens_per_minute = 1000\nmax_concurrency = 8\nadaptive_concurrency = false\ntimeout_ms = 30_000",
    );
    let provider = provider.config().providers["openai"].clone();
    assert_eq!(provider.tokens_per_minute.map(u32::from), Some(1000));
    assert_eq!(provider.max_concurrency.map(u32::from), Some(8));
    assert_eq!(
        (provider.adaptive_concurrency, provider.call_timeout),
        (false, Some(Duration::from_secs(30)))
    );
}

#[test]
fn tokens_per_minute_of_the_environment_are_the_default_models_providers() {
    let start = Start::file(
        "model = \"fast\"\n[providers.openai]\ntokens_per_minute = 1\n[providers.other]\nkind = \"openai\"\n\
         base_url = \"http://x\"\n[models.fast]\nprovider = \"openai\"",
    )
    .with_env(&[("EXTRACTD_TOKENS_PER_MINUTE", "200000")]);
    let config = start.config();
    assert_eq!(
        config.providers["openai"].tokens_per_minute.map(u32::from),
        Some(200_000)
    );
    assert_eq!(config.providers["other"].tokens_per_minute, None);
}

#[test]
fn several_keys_keep_their_order() {
    let start = |text: &str| {
        let start = openai(text).with_file("keys", "# ours\nsk-1\r\n\n  sk-2 \n");
        start.with_env(&[("KEYS", "sk-1, sk-2"), ("KEY", "sk-1")])
    };
    for text in [
        "api_keys = [\"sk-1\", \"sk-2\"]",
        "api_keys_env = \"KEYS\"",
        "api_keys_file = \"keys\"",
    ] {
        assert_eq!(keys(&start(text)), ["sk-1", "sk-2"], "{text}");
    }
    assert_eq!(keys(&start("api_keys_env = \"KEY\"")), ["sk-1"]);
    assert_eq!(keys(&start("api_keys = []")), [""; 0]);
    let one = start("api_keys_file = \"keys\"").with_env(&[("OPENAI_API_KEY", "sk-env")]);
    assert_eq!(keys(&one), ["sk-env"], "the environment wins over the file");
}

#[test]
fn more_than_64_keys_are_rejected() {
    let list = |count: usize| {
        format!(
            "api_keys = {:?}",
            (0..count)
                .map(|number| format!("sk-{number}"))
                .collect::<Vec<_>>()
        )
    };
    assert_eq!(keys(&openai(&list(64))).len(), 64);
    assert_eq!(
        openai(&list(65)).error(),
        "extractd.toml:3:1: `providers.openai.api_keys` holds 65 keys; at most 64 are allowed"
    );
}

#[test]
fn a_fallback_is_an_entry_or_a_providers_model() {
    let config = Start::file(
        "model = \"fast\"\n[providers.openai]\n\
         [models.fast]\nprovider = \"openai\"\nmodel = \"gpt-4o-mini\"\nfallback = [\"slow\", \"openai/gpt-4o\", \"local/small\"]\n\
         max_concurrency = 7\n\
         [models.slow]\nprovider = \"openai\"\nfallback = [\"fast\"]",
    )
    .config();
    let direct = |provider: &str, model: &str| ModelName::Direct {
        provider: provider.to_owned(),
        model: model.to_owned(),
    };
    let fast = &config.models["fast"];
    assert_eq!(
        fast.fallback,
        [
            ModelName::Named("slow".to_owned()),
            direct("openai", "gpt-4o"),
            direct("local", "small")
        ]
    );
    assert_eq!(fast.max_concurrency.map(u32::from), Some(7));
    let slow = &config.models["slow"];
    assert_eq!(
        slow.fallback,
        [ModelName::Named("fast".to_owned())],
        "two may stand in for each other"
    );
    assert_eq!((slow.max_concurrency, slow.price), (None, None));
    assert_eq!(
        fast.fallback
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["slow", "openai/gpt-4o", "local/small"]
    );
}

#[test]
fn a_price_is_stored_per_token() {
    let price = |input: &str, output: &str| {
        let text = format!(
            "[models.a]\nprovider = \"local\"\ninput_usd_per_million_tokens = {input}\noutput_usd_per_million_tokens = {output}"
        );
        Start::file(&text).config().models["a"]
            .price
            .expect("a price")
    };
    assert_eq!(
        price("0.15", "0.6"),
        Price {
            input: Usd(150_000),
            output: Usd(600_000)
        }
    );
    assert_eq!(
        price("2.5", "10").cost(Usage::new(1_000_000, 1_000_000).tokens()),
        Usd::from_dollars(12.5).expect("dollars")
    );
    assert_eq!(
        price("0", "1_000_000"),
        Price {
            input: Usd(0),
            output: Usd(1_000_000_000_000)
        }
    );
}

#[test]
fn a_cache_requires_a_size() {
    assert_eq!(Start::default().config().cache, None);
    let cache = |text: &str| Start::file(&format!("[cache]\n{text}")).config().cache;
    assert_eq!(
        cache("max_bytes = 1024"),
        Some(Cache {
            max_bytes: 1024,
            ttl: Duration::from_hours(1)
        })
    );
    assert_eq!(
        cache("max_bytes = 1_073_741_824\nttl_ms = 2_592_000_000"),
        Some(Cache {
            max_bytes: 1 << 30,
            ttl: Duration::from_hours(30 * 24)
        })
    );
}

#[test]
fn jobs_default_to_30_days_and_public_webhooks() {
    let jobs = |text: &str| Start::file(&format!("[jobs]\n{text}")).config().jobs;
    let default = jobs("");
    assert_eq!(
        (default.retention, default.link_ttl),
        (Duration::from_hours(30 * 24), Duration::from_hours(1))
    );
    assert_eq!(
        (
            default.max_running_per_caller.get(),
            default.allow_private_webhooks
        ),
        (8, false)
    );
    let set = jobs(
        "retention_ms = 1000\nlink_ttl_ms = 60_000\nmax_running_per_caller = 1000\nallow_private_webhooks = true",
    );
    assert_eq!(
        (set.retention, set.link_ttl),
        (Duration::from_secs(1), Duration::from_mins(1))
    );
    assert_eq!(
        (set.max_running_per_caller.get(), set.allow_private_webhooks),
        (1000, true)
    );
}
