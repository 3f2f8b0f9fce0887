use std::{collections::BTreeSet, time::Duration};

use clap::Parser;
use secrecy::ExposeSecret as _;

use super::{Args, Start};
use crate::config::{Format, ModelName, Provider, Rate, WireKind, environment::VARIABLES};
use crate::types::Mode;

#[test]
fn without_any_source_the_defaults_are_in_force() {
    let config = Start::default().config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.model, config.callers_file), (None, None));
    assert_eq!(config.data_dir.to_str(), Some("./data"));
    assert_eq!(config.schemas_dir, None);
    assert!(
        config.callers.is_empty()
            && config.file_callers.is_empty()
            && config.server.hosts.is_empty()
            && config.server.cors_origins.is_empty()
    );
    assert!(!config.server.allow_anonymous);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(config.server.max_body_bytes, 64 * 1024 * 1024);
    assert_eq!(config.server.max_line_bytes, 1024 * 1024);
    assert_eq!(config.server.header_timeout, Duration::from_secs(10));
    assert_eq!(config.limits.max_concurrency.get(), 64);
    assert_eq!(config.limits.max_queue.get(), 100_000);
    assert_eq!(config.limits.max_queue_bytes, 1024 * 1024 * 1024);
    assert_eq!(config.limits.max_ordered_bytes, 256 * 1024 * 1024);
    assert_eq!(config.limits.max_wait, Duration::from_mins(1));
    assert_eq!(config.limits.max_batch_wait, Duration::from_mins(10));
    assert_eq!(
        (config.log.filter.as_str(), config.log.format),
        ("info", Format::Text)
    );
    assert_eq!(
        (config.local.model_path, config.local.threads),
        (None, None)
    );
    assert_eq!(
        (
            config.local.parallel.get(),
            config.local.context_tokens.get()
        ),
        (4, 2048)
    );
    assert!(config.providers.is_empty() && config.models.is_empty());
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let mut start =
        Start::file("listen = \"127.0.0.1:1\"\n[limits]\nmax_concurrency = 1\nmax_queue = 7");
    assert_eq!(
        (
            start.config().listen.port(),
            start.config().limits.max_concurrency.get()
        ),
        (1, 1)
    );
    start = start.with_env(&[
        ("EXTRACTD_LISTEN", "localhost:2"),
        ("EXTRACTD_MAX_CONCURRENCY", "2"),
    ]);
    assert_eq!(
        (
            start.config().listen.port(),
            start.config().limits.max_concurrency.get()
        ),
        (2, 2)
    );
    start = start.with_args(|args| {
        args.listen = Some("[::1]:3".to_owned());
        args.max_concurrency = Some("3".to_owned());
    });
    assert_eq!(
        (
            start.config().listen.port(),
            start.config().limits.max_concurrency.get()
        ),
        (3, 3)
    );
    assert_eq!(start.config().limits.max_queue.get(), 7);
}

#[test]
fn the_config_flag_overrides_the_variable() {
    let start = Start::env(&[("EXTRACTD_CONFIG", "a.toml")])
        .with_file("a.toml", "data_dir = \"a\"")
        .with_file("b.toml", "data_dir = \"b\"");
    assert_eq!(start.config().data_dir.to_str(), Some("a"));
    let start = start.with_args(|args| args.config = Some("b.toml".to_owned()));
    assert_eq!(start.config().data_dir.to_str(), Some("b"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let names = VARIABLES.map(|(name, _)| (name, ""));
    let more = [("EXTRACTD_CONFIG", "")];
    let loaded = Start::env(&names).with_env(&more).load().expect("valid");
    assert!(loaded.warnings.is_empty());
    assert_eq!(
        loaded.print(),
        Start::default().load().expect("valid").print()
    );
}

/// Section 7 of the contract, variable by variable.
#[test]
fn each_variable_of_the_contract_is_known() {
    let set: BTreeSet<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
    let contract = BTreeSet::from([
        "EXTRACTD_LISTEN",
        "EXTRACTD_MODEL",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "GEMINI_API_KEY",
        "GEMINI_BASE_URL",
        "EXTRACTD_MAX_CONCURRENCY",
        "EXTRACTD_REQUESTS_PER_MINUTE",
        "EXTRACTD_REQUEST_BURST",
        "EXTRACTD_TOKENS_PER_MINUTE",
        "EXTRACTD_MAX_QUEUE",
        "EXTRACTD_MODEL_PATH",
        "EXTRACTD_SCHEMAS_DIR",
        "EXTRACTD_DATA_DIR",
        "EXTRACTD_CALLERS_FILE",
        "EXTRACTD_API_KEYS",
        "EXTRACTD_ALLOW_ANONYMOUS",
        "EXTRACTD_CORS_ORIGINS",
        "EXTRACTD_HOSTS",
        "EXTRACTD_SHUTDOWN_GRACE_MS",
        "EXTRACTD_LOG",
        "EXTRACTD_LOG_FORMAT",
    ]);
    // The other: EXTRACTD_CONFIG.
    assert_eq!(set, contract);
}

#[test]
fn each_variable_reaches_its_key() {
    let pairs = [
        ("EXTRACTD_LISTEN", "0.0.0.0:0"),
        ("EXTRACTD_MODEL", "openai/ft:org/model"),
        ("EXTRACTD_DATA_DIR", "/data"),
        ("EXTRACTD_SCHEMAS_DIR", "/schemas"),
        ("EXTRACTD_CALLERS_FILE", "/callers.toml"),
        ("EXTRACTD_API_KEYS", "key-a, key-b"),
        ("EXTRACTD_ALLOW_ANONYMOUS", "true"),
        (
            "EXTRACTD_CORS_ORIGINS",
            "https://a.example,http://localhost:3000",
        ),
        ("EXTRACTD_HOSTS", "a.example"),
        ("EXTRACTD_SHUTDOWN_GRACE_MS", "0"),
        ("EXTRACTD_MAX_CONCURRENCY", "8"),
        ("EXTRACTD_MAX_QUEUE", "9"),
        ("EXTRACTD_LOG", "debug"),
        ("EXTRACTD_LOG_FORMAT", "json"),
        ("EXTRACTD_MODEL_PATH", "/m.gguf"),
        ("EXTRACTD_REQUESTS_PER_MINUTE", "60000"),
        ("EXTRACTD_REQUEST_BURST", "3"),
        ("EXTRACTD_TOKENS_PER_MINUTE", "70000"),
        ("OPENAI_API_KEY", "sk-1"),
        ("OPENAI_BASE_URL", "http://mock:9/v1/"),
        ("ANTHROPIC_API_KEY", "sk-2"),
        ("ANTHROPIC_BASE_URL", "http://claude:9"),
        ("GEMINI_API_KEY", "sk-3"),
        ("GEMINI_BASE_URL", "http://gemini:9"),
    ];
    assert_eq!(pairs.map(|(name, _)| name), VARIABLES.map(|(name, _)| name));
    let config = Start::env(&pairs)
        .with_file("/callers.toml", "[callers.web]\nkey = \"key-c\"")
        .config();
    let model = ModelName::Direct {
        provider: "openai".to_owned(),
        model: "ft:org/model".to_owned(),
    };
    assert_eq!(
        (config.listen.to_string().as_str(), config.model),
        ("0.0.0.0:0", Some(model))
    );
    assert_eq!(
        (config.data_dir.to_str(), config.schemas_dir),
        (Some("/data"), Some("/schemas".into()))
    );
    let callers: Vec<_> = config
        .callers
        .iter()
        .chain(&config.file_callers)
        .map(|caller| caller.name.as_str())
        .collect();
    assert_eq!(
        (callers, config.server.allow_anonymous),
        (vec!["key-1", "key-2", "web"], true)
    );
    assert_eq!(
        config.server.cors_origins,
        ["https://a.example", "http://localhost:3000"]
    );
    assert_eq!(
        (config.server.hosts, config.server.shutdown_grace),
        (vec!["a.example".to_owned()], Duration::ZERO)
    );
    assert_eq!(
        (
            config.limits.max_concurrency.get(),
            config.limits.max_queue.get()
        ),
        (8, 9)
    );
    assert_eq!(
        (config.log.filter.as_str(), config.log.format),
        ("debug", Format::Json)
    );
    assert_eq!(config.local.model_path, Some("/m.gguf".into()));
    let openai = &config.providers["openai"];
    assert_eq!(openai.base_url.as_str(), "http://mock:9/v1");
    assert_eq!(key_of(openai), "sk-1");
    let rate = openai.rate.expect("a rate");
    assert_eq!(
        (rate.requests_per_minute.get(), rate.burst.get()),
        (60_000, 3)
    );
    assert_eq!(openai.tokens_per_minute.map(u32::from), Some(70_000));
}

/// Returns the one key that a provider has.
fn key_of(provider: &Provider) -> &str {
    let [key] = provider.api_keys.as_slice() else {
        panic!("{} keys", provider.api_keys.len())
    };
    key.expose_secret()
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[test]
fn each_flag_reaches_its_key() {
    let line = "extractd --config=c.toml --listen=127.0.0.1:1 --model=openai/m --model-path=m.gguf --max-concurrency=2 \
                --requests-per-minute=3 --data-dir=d --schemas-dir=s --log=warn --log-format=json";
    let Cli { args } = Cli::try_parse_from(line.split_whitespace()).expect("flags");
    assert!(args.settings().iter().all(|(_, _, text)| text.is_some()));
    let start = Start {
        args,
        ..Start::default()
    }
    .with_file("c.toml", "")
    .with_env(&[("OPENAI_API_KEY", "k")]);
    let printed = start.load().expect("valid").print();
    for line in [
        "listen = \"127.0.0.1:1\" # flag --listen",
        "model = \"openai/m\" # flag --model",
        "model_path = \"m.gguf\" # flag --model-path",
        "max_concurrency = 2 # flag --max-concurrency",
        "requests_per_minute = 3 # flag --requests-per-minute",
        "request_burst = 1 # default",
        "data_dir = \"d\" # flag --data-dir",
        "schemas_dir = \"s\" # flag --schemas-dir",
        "filter = \"warn\" # flag --log",
        "format = \"json\" # flag --log-format",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line} in:\n{printed}"
        );
    }
}

#[test]
fn providers_and_models_of_the_file() {
    let start = Start::file(
        "model = \"fast\"\n\
         [providers.vllm]\nkind = \"openai\"\nbase_url = \"http://vllm:8000/v1\"\napi_key_file = \"key\"\n\
         proxy = \"http://me:pw@proxy:3128\"\nheaders = { X-Team = \"a b\" }\nrequests_per_minute = 600000\n\
         [providers.other]\nkind = \"openai\"\nbase_url = \"https://other.example\"\napi_key_env = \"OTHER\"\n\
         [models.fast]\nprovider = \"vllm\"\nmodel = \"org/fast-8b\"\nmode = \"tools\"\n\
         [models.\"llama3.1\"]\nprovider = \"local\"\n",
    )
    .with_file("key", "k-file\n")
    .with_env(&[("OTHER", "k-env"), ("EXTRACTD_REQUEST_BURST", "5")]);
    let config = start.config();
    assert_eq!(config.model, Some(ModelName::Named("fast".to_owned())));
    let vllm = &config.providers["vllm"];
    assert_eq!(
        (vllm.kind, vllm.connect_timeout),
        (WireKind::OpenAi, Duration::from_secs(10))
    );
    assert_eq!(key_of(vllm), "k-file");
    assert_eq!(vllm.headers["x-team"].expose_secret(), "a b");
    assert_eq!(
        vllm.proxy.as_ref().map(super::super::Url::as_str),
        Some("http://me:pw@proxy:3128")
    );
    assert_eq!(
        vllm.rate.map(|rate| rate.burst.get()),
        Some(5),
        "the burst is the default model's provider's"
    );
    let other = &config.providers["other"];
    assert_eq!(key_of(other), "k-env");
    assert_eq!(other.rate, None);
    let (fast, llama) = (&config.models["fast"], &config.models["llama3.1"]);
    assert_eq!(
        (fast.provider.as_str(), fast.model.as_str(), fast.mode),
        ("vllm", "org/fast-8b", Mode::Tools)
    );
    assert_eq!(
        (llama.provider.as_str(), llama.model.as_str(), llama.mode),
        ("local", "llama3.1", Mode::Auto)
    );
}

#[test]
fn the_default_burst_is_ten_milliseconds_of_the_rate_and_at_least_one() {
    for (requests, burst) in [(1, 1), (5_999, 1), (12_000, 2), (600_000, 100)] {
        let file =
            format!("model = \"openai/m\"\n[providers.openai]\nrequests_per_minute = {requests}");
        let Rate { burst: actual, .. } = Start::file(&file).config().providers["openai"]
            .rate
            .expect("a rate");
        assert_eq!(actual.get(), burst, "{requests}");
    }
}

#[test]
fn a_later_source_replaces_an_alternative_key() {
    let file = "model = \"openai/m\"\n[server]\napi_keys_file = \"keys\"\n[providers.openai]\napi_key_env = \"MINE\"";
    let start = Start::file(file)
        .with_file("keys", "# ours\nkey-1\r\n\nkey-2\n")
        .with_env(&[("MINE", "sk-mine")]);
    let key = |start: &Start| key_of(&start.config().providers["openai"]).to_owned();
    assert_eq!(
        (key(&start), start.config().callers.len()),
        ("sk-mine".to_owned(), 2)
    );
    let start = start.with_env(&[("OPENAI_API_KEY", "sk-env"), ("EXTRACTD_API_KEYS", "one")]);
    assert_eq!(
        (key(&start), start.config().callers.len()),
        ("sk-env".to_owned(), 1)
    );
}

#[test]
fn unknown_variables_are_ignored_with_one_warning() {
    let warnings = |variables: &[(&str, &str)]| Start::env(variables).load().unwrap().warnings;
    assert_eq!(
        warnings(&[("EXTRACTD_WHATEVER_ELSE", "9"), ("EXTRACTD_IMAGE", "x")]),
        [
            "these environment variables are not known and are ignored: EXTRACTD_IMAGE, EXTRACTD_WHATEVER_ELSE"
        ]
    );
    assert_eq!(
        warnings(&[("EXTRACTD_PORT", "9000")]),
        [
            "these environment variables are not known and are ignored: EXTRACTD_PORT; to set the port, use EXTRACTD_LISTEN"
        ]
    );
    assert!(warnings(&[("EXTRACTION", "9"), ("EXTRACTD_LOG", "info")]).is_empty());
}

#[test]
fn variables_set_by_kubernetes_are_ignored_with_one_warning() {
    let injected = [
        ("EXTRACTD_SERVICE_HOST", "10.0.0.1"),
        ("EXTRACTD_SERVICE_PORT", "80"),
        ("EXTRACTD_SERVICE_PORT_HTTP", "80"),
        ("EXTRACTD_PORT", "tcp://10.0.0.1:80"),
        ("EXTRACTD_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("EXTRACTD_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("EXTRACTD_POSTGRES_SERVICE_HOST", "10.0.0.2"),
        ("EXTRACTD_POSTGRES_PORT", "tcp://10.0.0.2:5432"),
    ];
    let warnings = Start::env(&injected).load().unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("enableServiceLinks"), "{warnings:?}");
}

#[test]
fn a_key_or_base_url_enables_a_provider() {
    let start = Start::env(&[
        ("EXTRACTD_MODEL", "anthropic/claude"),
        ("ANTHROPIC_API_KEY", "sk-ant"),
        ("GEMINI_BASE_URL", "https://g.example/"),
        ("OPENAI_API_KEY", "sk-oai"),
    ]);
    let config = start.config();
    let of = |name: &str| {
        (
            config.providers[name].kind,
            config.providers[name].base_url.as_str(),
        )
    };
    assert_eq!(
        of("anthropic"),
        (WireKind::Anthropic, "https://api.anthropic.com")
    );
    assert_eq!(of("gemini"), (WireKind::Gemini, "https://g.example"));
    assert_eq!(
        of("openai"),
        (WireKind::OpenAi, "https://api.openai.com/v1")
    );
    assert_eq!(key_of(&config.providers["anthropic"]), "sk-ant");
    assert!(config.providers["gemini"].api_keys.is_empty());
}

#[test]
fn kinds_with_one_vendor_have_a_default_base_url() {
    let file = "model = \"claude/m\"\n[providers.claude]\nkind = \"anthropic\"\n[providers.g]\nkind = \"gemini\"\n\
                [providers.box]\nkind = \"ollama\"\n[providers.openai]\nkind = \"openai_responses\"\n\
                [providers.az]\nkind = \"azure\"\nbase_url = \"https://r.openai.azure.com/\"\n\
                [providers.az2]\nkind = \"azure\"\nbase_url = \"https://r.openai.azure.com\"\napi_version = \"2025-04-01-preview\"\n\
                [providers.gemini]\nkind = \"openai\"\nbase_url = \"https://generativelanguage.googleapis.com/v1beta/openai\"\n";
    let config = Start::file(file).config();
    for (name, kind, base_url, api_version) in [
        (
            "claude",
            WireKind::Anthropic,
            "https://api.anthropic.com",
            None,
        ),
        (
            "g",
            WireKind::Gemini,
            "https://generativelanguage.googleapis.com",
            None,
        ),
        ("box", WireKind::Ollama, "http://127.0.0.1:11434", None),
        (
            "openai",
            WireKind::Responses,
            "https://api.openai.com/v1",
            None,
        ),
        (
            "az",
            WireKind::Azure,
            "https://r.openai.azure.com",
            Some("2024-10-21"),
        ),
        (
            "az2",
            WireKind::Azure,
            "https://r.openai.azure.com",
            Some("2025-04-01-preview"),
        ),
        (
            "gemini",
            WireKind::OpenAi,
            "https://generativelanguage.googleapis.com/v1beta/openai",
            None,
        ),
    ] {
        let provider = &config.providers[name];
        let found = (
            provider.kind,
            provider.base_url.as_str(),
            provider.api_version.as_deref(),
        );
        assert_eq!(found, (kind, base_url, api_version), "{name}");
    }
}
