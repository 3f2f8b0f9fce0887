//! Wrong configuration files and variables, and the message that each one gets.

pub const FILES: &[(&str, &str)] = &[
    (
        "lisen = \"x\"",
        "extractd.toml:1:1: unknown key `lisen` at the top level; did you mean `listen`? allowed: listen, model, data_dir, schemas_dir, callers_file, server, limits, cache, schemas, jobs, log, local, providers, models, callers",
    ),
    (
        "[limits]\nmax_queue = 1\nmax_concurency = 2",
        "extractd.toml:3:1: unknown key `max_concurency` in [limits]; did you mean `max_concurrency`? allowed: max_concurrency, max_queue, max_queue_bytes, max_memory_bytes, max_ordered_bytes, max_wait_ms, max_batch_wait_ms",
    ),
    (
        "[limits]\ncolour = 1",
        "extractd.toml:2:1: unknown key `colour` in [limits]; allowed: max_concurrency, max_queue, max_queue_bytes, max_memory_bytes, max_ordered_bytes, max_wait_ms, max_batch_wait_ms",
    ),
    (
        "[limit]\nx = 1",
        "extractd.toml:1:2: unknown key `limit` at the top level; did you mean `limits`? allowed: listen, model, data_dir, schemas_dir, callers_file, server, limits, cache, schemas, jobs, log, local, providers, models, callers",
    ),
    (
        "limits = 3",
        "extractd.toml:1:1: `limits` must be a table: [limits]",
    ),
    (
        "[providers]\nopenai = 1",
        "extractd.toml:2:1: `providers.openai` must be a table: [providers.openai]",
    ),
    (
        "[limits]\nmax_concurrency = 0",
        "extractd.toml:2:1: `limits.max_concurrency` must be a whole number from 1 to 100000, not `0`",
    ),
    (
        "[limits]\nmax_concurrency = \"64\"",
        r#"extractd.toml:2:1: `limits.max_concurrency` must be a whole number from 1 to 100000, not `"64"`"#,
    ),
    (
        "[limits]\nmax_queue = 1.5",
        "extractd.toml:2:1: `limits.max_queue` must be a whole number from 1 to 10000000, not `1.5`",
    ),
    (
        "[limits]\nmax_wait_ms = -1",
        "extractd.toml:2:1: `limits.max_wait_ms` must be a whole number from 0 to 3600000, not `-1`",
    ),
    (
        "listen = \"localhost\"",
        r#"extractd.toml:1:1: `listen` must be an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0, not `"localhost"`"#,
    ),
    (
        "listen = 8080",
        "extractd.toml:1:1: `listen` must be an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0, not `8080`",
    ),
    (
        "data_dir = \"\"",
        r#"extractd.toml:1:1: `data_dir` must be a path, not `""`"#,
    ),
    (
        "[server]\nallow_anonymous = \"true\"",
        r#"extractd.toml:2:1: `server.allow_anonymous` must be true or false, not `"true"`"#,
    ),
    (
        "[server]\nhosts = \"a\"",
        r#"extractd.toml:2:1: `server.hosts` must be an array of strings, not `"a"`"#,
    ),
    (
        "[server]\ncors_origins = [\"https://a.example/\"]",
        "extractd.toml:2:1: `server.cors_origins` must be origins such as https://app.example, without a path, or *, not `https://a.example/`",
    ),
    (
        "[server]\nhosts = [\"a:80\"]",
        "extractd.toml:2:1: `server.hosts` must be host names without a port, such as api.example, not `a:80`",
    ),
    (
        "[server]\napi_keys = [\"a\", \"\"]",
        "extractd.toml:2:1: `server.api_keys` holds an empty key",
    ),
    (
        "[server]\napi_keys = [\"sec ret\"]",
        "extractd.toml:2:1: `server.api_keys` holds a key with white space or a character that is not ASCII",
    ),
    (
        "[server]\napi_keys = [12345678]",
        "extractd.toml:2:1: `server.api_keys` must be an array of strings",
    ),
    (
        "[server]\napi_keys = [\"a\"]\napi_keys_file = \"f\"",
        "extractd.toml:3:1: `server.api_keys_file` and `server.api_keys` are both set; keep one",
    ),
    (
        "[server]\napi_keys_file = \"nokeys\"",
        "extractd.toml:2:1: the file of `server.api_keys_file` holds no key",
    ),
    (
        "[server]\nmax_body_bytes = 2147483648",
        "extractd.toml:2:1: `limits.max_queue_bytes` is 1073741824, less than `server.max_body_bytes`, 2147483648: a body of that size would never be admitted; raise the one or lower the other",
    ),
    (
        "[limits]\nmax_queue_bytes = 1024",
        "extractd.toml:2:1: `limits.max_queue_bytes` is 1024, less than `server.max_body_bytes`, 67108864: a body of that size would never be admitted; raise the one or lower the other",
    ),
    (
        "[log]\nformat = \"xml\"",
        r#"extractd.toml:2:1: `log.format` must be one of: text, json; not `"xml"`"#,
    ),
    (
        "[log]\nfilter = \" \"",
        r#"extractd.toml:2:1: `log.filter` must be a level or a filter, such as info,extractd=debug, not `" "`"#,
    ),
    (
        "[local]\nthreads = 0",
        "extractd.toml:2:1: `local.threads` must be a whole number from 1 to 1024, not `0`",
    ),
    (
        "listen = \"0.0.0.0:8080\"",
        "extractd.toml:1:1: `listen` is 0.0.0.0:8080, which is not loopback, and there are no callers: set EXTRACTD_API_KEYS (`server.api_keys`) or add a [callers.NAME], or set EXTRACTD_ALLOW_ANONYMOUS=true (`server.allow_anonymous`) to serve everyone",
    ),
    (
        "[providers.Open]\nkind = \"openai\"",
        "extractd.toml:1:12: [providers.Open]: a provider's name has lower-case letters, digits, _ and -, and begins with a letter or a digit",
    ),
    (
        "[providers.local]\nthreads = 1",
        "extractd.toml:1:12: [providers.local]: this name belongs to the built-in model; its settings are in [local]",
    ),
    (
        "[providers.x]\nbase_url = \"http://x\"",
        "extractd.toml:1:12: [providers.x] has no `kind`; it must be one of: openai, openai_responses, anthropic, gemini, ollama, azure",
    ),
    (
        "[providers.x]\nkind = \"openai\"",
        "extractd.toml:1:12: [providers.x] has no `base_url`, such as http://localhost:8000/v1",
    ),
    (
        "[providers.x]\nkind = \"claude\"",
        r#"extractd.toml:2:1: `providers.x.kind` must be one of: openai, openai_responses, anthropic, gemini, ollama, azure; not `"claude"`"#,
    ),
    (
        "[providers.x]\nkind = \"azure\"",
        "extractd.toml:1:12: [providers.x] has no `base_url`, such as https://NAME.openai.azure.com",
    ),
    (
        "[providers.openai]\napi_version = \"2024-10-21\"",
        r#"extractd.toml:2:1: `providers.openai.api_version` has no effect unless `kind` is "azure"; remove it"#,
    ),
    (
        "[providers.x]\nkind = \"azure\"\napi_version = \"v1?x=\"",
        r#"extractd.toml:3:1: `providers.x.api_version` must be a date such as 2024-10-21 or 2025-04-01-preview, not `"v1?x="`"#,
    ),
    (
        "[providers.openai]\nbase_url = \"https://sk-secret@host/v1\"",
        "extractd.toml:2:1: `providers.openai.base_url` must be an http:// or https:// URL without user, query or fragment, such as http://localhost:8000/v1",
    ),
    (
        "[providers.openai]\nproxy = \"proxy:3128\"",
        "extractd.toml:2:1: `providers.openai.proxy` must be an http://, https://, socks5:// or socks5h:// URL without a path, such as http://proxy:3128",
    ),
    (
        "[providers.openai]\napi_key = \"\"",
        "extractd.toml:2:1: `providers.openai.api_key` holds an empty key",
    ),
    (
        "[providers.openai]\napi_key = \"sk-sec ret\"",
        "extractd.toml:2:1: `providers.openai.api_key` holds a key with white space or a character that is not ASCII",
    ),
    (
        "[providers.openai]\napi_key = 12345678",
        "extractd.toml:2:1: `providers.openai.api_key` must be a string",
    ),
    (
        "[providers.openai]\napi_key = \"a\"\napi_key_env = \"B\"",
        "extractd.toml:3:1: `providers.openai.api_key_env` and `providers.openai.api_key` are both set; keep one",
    ),
    (
        "[providers.openai]\napi_key_env = \"NOPE\"",
        "extractd.toml:2:1: `providers.openai.api_key_env` names a variable that is not set",
    ),
    (
        "[providers.openai]\napi_key_env = \"sk-hush\"",
        "extractd.toml:2:1: `providers.openai.api_key_env` must be the name of an environment variable",
    ),
    (
        "[providers.openai]\napi_keys = [\"a\"]\napi_key = \"b\"",
        "extractd.toml:2:1: `providers.openai.api_keys` and `providers.openai.api_key` are both set; keep one",
    ),
    (
        "[providers.openai]\napi_keys_file = \"a\"\napi_keys_env = \"B\"",
        "extractd.toml:2:1: `providers.openai.api_keys_file` and `providers.openai.api_keys_env` are both set; keep one",
    ),
    (
        "[providers.openai]\napi_keys = \"a,b\"",
        "extractd.toml:2:1: `providers.openai.api_keys` must be an array of strings",
    ),
    (
        "[providers.openai]\napi_keys = [\"a\", \"a\"]",
        "extractd.toml:2:1: `providers.openai.api_keys` holds the same key twice",
    ),
    (
        "[providers.openai]\napi_keys_env = \"NOPE\"",
        "extractd.toml:2:1: `providers.openai.api_keys_env` names a variable that is not set",
    ),
    (
        "[providers.openai]\napi_keys_file = \"nokeys\"",
        "extractd.toml:2:1: the file of `providers.openai.api_keys_file` holds no key",
    ),
    (
        "[providers.openai]\napi_key_file = \"nokeys\"",
        "extractd.toml:2:1: the file of `providers.openai.api_key_file` holds a key with white space or a character that is not ASCII",
    ),
    (
        "[providers.openai]\nmax_concurrency = 100001",
        "extractd.toml:2:1: `providers.openai.max_concurrency` must be a whole number from 1 to 100000, not `100001`",
    ),
    (
        "[providers.openai]\nadaptive_concurrency = 1",
        "extractd.toml:2:1: `providers.openai.adaptive_concurrency` must be true or false, not `1`",
    ),
    (
        "[providers.openai]\ntimeout_ms = 0",
        "extractd.toml:2:1: `providers.openai.timeout_ms` must be a whole number from 1 to 3600000, not `0`",
    ),
    (
        "[providers.openai]\napi_key_file = \"nope\"",
        "extractd.toml:2:1: cannot read the file nope",
    ),
    (
        "[providers.openai]\nheaders = { \"a b\" = \"x\" }",
        r#"extractd.toml:2:13: `providers.openai.headers."a b"` is not a valid header name"#,
    ),
    (
        "[providers.openai.headers]\nX-A = \"1\"\nx-a = \"2\"",
        "extractd.toml:3:1: `providers.openai.headers.x-a` is set twice; header names are case-insensitive",
    ),
    (
        "[providers.openai.headers]\nX-A = \"se\\ncret\"",
        "extractd.toml:2:1: `providers.openai.headers.X-A` must be ASCII without line breaks and without blanks at either end",
    ),
    (
        "[providers.openai]\nrequest_burst = 2",
        "extractd.toml:2:1: `providers.openai.request_burst` has no effect without `providers.openai.requests_per_minute`; set that too",
    ),
    (
        "[providers.openai]\nrequests_per_minute = 0",
        "extractd.toml:2:1: `providers.openai.requests_per_minute` must be a whole number from 1 to 100000000, not `0`",
    ),
    (
        "[providers.openai]\ntokens_per_minute = 0",
        "extractd.toml:2:1: `providers.openai.tokens_per_minute` must be a whole number from 1 to 1000000000, not `0`",
    ),
    (
        "[providers.openai]\nrequest_per_minute = 10",
        "extractd.toml:2:1: unknown key `request_per_minute` in [providers.openai]; did you mean `requests_per_minute`? allowed: kind, base_url, api_version, api_key, api_key_env, api_key_file, api_keys, api_keys_env, api_keys_file, proxy, ca_file, client_cert, client_key, requests_per_minute, request_burst, tokens_per_minute, max_concurrency, adaptive_concurrency, connect_timeout_ms, timeout_ms, headers",
    ),
    (
        "[providers.openai]",
        "extractd.toml:1:12: provider `openai` is configured, but no default model: set `model` (EXTRACTD_MODEL, --model) to `openai/MODEL`, with the name that the provider gives the model",
    ),
    (
        "model = \"gpt-4o\"",
        "extractd.toml:1:1: `model` is `gpt-4o`; it must be `provider/model`, or the name of a [models.NAME]: there are none",
    ),
    (
        "model = \"fats\"\n[models.fast]\nprovider = \"local\"",
        "extractd.toml:1:1: `model` is `fats`; did you mean `fast`? it must be `provider/model`, or the name of a [models.NAME]: fast",
    ),
    (
        "model = \"openai/gpt-4o\"",
        "extractd.toml:1:1: `model` names the provider `openai`, which is not configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or add [providers.openai]",
    ),
    (
        "model = \"anthropic/claude\"",
        "extractd.toml:1:1: `model` names the provider `anthropic`, which is not configured: set ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL, or add [providers.anthropic]",
    ),
    (
        "model = \"vlm/x\"\n[providers.vllm]\nkind=\"openai\"\nbase_url=\"http://x\"",
        "extractd.toml:1:1: `model` names the unknown provider `vlm`; did you mean `vllm`? known: local, vllm",
    ),
    (
        "model = \"local/\"",
        "extractd.toml:1:1: `model` names no model after `local/`, or one with white space in its name",
    ),
    (
        "model = \"local/a b\"",
        "extractd.toml:1:1: `model` names no model after `local/`, or one with white space in its name",
    ),
    (
        "[models.\"a/b\"]\nprovider = \"local\"",
        r#"extractd.toml:1:9: [models."a/b"]: a model's name has letters, digits and . _ : -, and no slash"#,
    ),
    (
        "[models.a]\nmodel = \"x\"",
        "extractd.toml:1:9: [models.a] has no `provider`; set it to a configured one, or `local`",
    ),
    (
        "[models.a]\nprovider = \"gemini\"",
        "extractd.toml:2:1: `models.a.provider` names the provider `gemini`, which is not configured: set GEMINI_API_KEY or GEMINI_BASE_URL, or add [providers.gemini]",
    ),
    (
        "[models.a]\nprovider = \"local\"\nmode = \"xml\"",
        r#"extractd.toml:3:1: `models.a.mode` must be one of: auto, json_schema, tools, json_object, text; not `"xml"`"#,
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = \"b\"",
        r#"extractd.toml:3:1: `models.a.fallback` must be an array of strings, not `"b"`"#,
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"fst\"]\n[models.fast]\nprovider = \"local\"",
        "extractd.toml:3:1: `models.a.fallback[0]` is `fst`; did you mean `fast`? it must be `provider/model`, or the name of a [models.NAME]: a, fast",
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"local/x\", \"openai/x\"]",
        "extractd.toml:3:1: `models.a.fallback[1]` names the provider `openai`, which is not configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or add [providers.openai]",
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"local/\"]",
        "extractd.toml:3:1: `models.a.fallback[0]` names no model after `local/`, or one with white space in its name",
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"a\"]",
        "extractd.toml:3:1: `models.a.fallback[0]` is `a`, the model itself; name another model",
    ),
    (
        "[models.a]\nprovider = \"local\"\nmodel = \"x\"\nfallback = [\"local/x\"]",
        "extractd.toml:4:1: `models.a.fallback[0]` is `local/x`, the model itself; name another model",
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"local/x\", \"local/y\", \"local/x\"]",
        "extractd.toml:3:1: `models.a.fallback[2]` is `local/x` for the second time; name each model once",
    ),
    (
        "[models.a]\nprovider = \"local\"\nfallback = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"]",
        "extractd.toml:3:1: `models.a.fallback` names 9 models; at most 8 are allowed",
    ),
    (
        "[models.a]\nprovider = \"local\"\nmax_concurrency = 0",
        "extractd.toml:3:1: `models.a.max_concurrency` must be a whole number from 1 to 100000, not `0`",
    ),
    (
        "[models.a]\nprovider = \"local\"\ninput_usd_per_million_tokens = 1",
        "extractd.toml:3:1: `models.a.input_usd_per_million_tokens` has no effect without `models.a.output_usd_per_million_tokens`; set that too",
    ),
    (
        "[models.a]\nprovider = \"local\"\noutput_usd_per_million_tokens = 1",
        "extractd.toml:3:1: `models.a.output_usd_per_million_tokens` has no effect without `models.a.input_usd_per_million_tokens`; set that too",
    ),
    (
        "[models.a]\nprovider = \"local\"\ninput_usd_per_million_tokens = -0.1",
        "extractd.toml:3:1: `models.a.input_usd_per_million_tokens` must be a number of US dollars from 0 to 1000000, not `-0.1`",
    ),
    (
        "[models.a]\nprovider = \"local\"\ninput_usd_per_million_tokens = 1_000_001",
        "extractd.toml:3:1: `models.a.input_usd_per_million_tokens` must be a number of US dollars from 0 to 1000000, not `1000001`",
    ),
    (
        "[cache]\nmax_bytes = 1023",
        "extractd.toml:2:1: `cache.max_bytes` must be a whole number from 1024 to 1099511627776, not `1023`",
    ),
    (
        "[jobs]\nretention = \"30d\"",
        "extractd.toml:2:1: unknown key `retention` in [jobs]; did you mean `retention_ms`? allowed: retention_ms, link_ttl_ms, max_running_per_caller, max_per_caller, max_bytes_per_caller, max_stored_bytes, allow_private_webhooks",
    ),
    (
        "[jobs]\nretention_ms = 0",
        "extractd.toml:2:1: `jobs.retention_ms` must be a whole number from 1000 to 315360000000, not `0`",
    ),
    (
        "[jobs]\nlink_ttl_ms = 604800001",
        "extractd.toml:2:1: `jobs.link_ttl_ms` must be a whole number from 1000 to 604800000, not `604800001`",
    ),
    (
        "[jobs]\nmax_running_per_caller = 1001",
        "extractd.toml:2:1: `jobs.max_running_per_caller` must be a whole number from 1 to 1000, not `1001`",
    ),
    (
        "[jobs]\nallow_private_webhooks = \"yes\"",
        r#"extractd.toml:2:1: `jobs.allow_private_webhooks` must be true or false, not `"yes"`"#,
    ),
    (
        "[cache]\nttl_ms = 1000",
        "extractd.toml:2:1: `cache.ttl_ms` has no effect without `cache.max_bytes`; set that too",
    ),
    (
        "[cache]\nmax_bytes = 1024\nttl_ms = 999",
        "extractd.toml:3:1: `cache.ttl_ms` must be a whole number from 1000 to 2592000000, not `999`",
    ),
    (
        "[callers.a]\nkey = \"k\"\nkey_env = \"K\"",
        "extractd.toml:3:1: `callers.a.key_env` and `callers.a.key` are both set; keep one",
    ),
];

pub const VARIABLES: &[(&[(&str, &str)], &str)] = &[
    (
        &[("EXTRACTD_LISTN", "x")],
        "EXTRACTD_LISTN: unknown variable; did you mean EXTRACTD_LISTEN? known: …",
    ),
    (
        &[("EXTRACTD_API_KEY", "x")],
        "EXTRACTD_API_KEY: unknown variable; did you mean EXTRACTD_API_KEYS? known: …",
    ),
    (
        &[("EXTRACTD_TOKENS_PER_MINUTE", "1")],
        "EXTRACTD_TOKENS_PER_MINUTE: limits the default model's provider, but no provider's model is the default: set `model` to a provider's model, or remove this limit (the built-in model has none)",
    ),
    (
        &[
            ("EXTRACTD_TOKENS_PER_MINUTE", "few"),
            ("EXTRACTD_MODEL", "openai/x"),
            ("OPENAI_API_KEY", "k"),
        ],
        "EXTRACTD_TOKENS_PER_MINUTE: `providers.openai.tokens_per_minute` must be a whole number from 1 to 1000000000, not `few`",
    ),
    (
        &[("EXTRACTD_CALLERS_FILE", "nope.toml")],
        "EXTRACTD_CALLERS_FILE: cannot read the file nope.toml",
    ),
    (
        &[("EXTRACTD_API_KEYS", "hush-1,hush-1")],
        "EXTRACTD_API_KEYS: `server.api_keys` holds the same key twice",
    ),
    (
        &[("EXTRACTD_MAX_CONCURRENCY", "many")],
        "EXTRACTD_MAX_CONCURRENCY: `limits.max_concurrency` must be a whole number from 1 to 100000, not `many`",
    ),
    (
        &[("EXTRACTD_ALLOW_ANONYMOUS", "yes")],
        "EXTRACTD_ALLOW_ANONYMOUS: `server.allow_anonymous` must be true or false, not `yes`",
    ),
    (
        &[("EXTRACTD_API_KEYS", "a,,b")],
        "EXTRACTD_API_KEYS: `server.api_keys` holds an empty key",
    ),
    (
        &[("EXTRACTD_API_KEYS", "sec ret")],
        "EXTRACTD_API_KEYS: `server.api_keys` holds a key with white space or a character that is not ASCII",
    ),
    (
        &[("OPENAI_API_KEY", "sk-se cret")],
        "OPENAI_API_KEY: `providers.openai.api_key` holds a key with white space or a character that is not ASCII",
    ),
    (
        &[("OPENAI_API_KEY", "sk")],
        "OPENAI_API_KEY: provider `openai` is configured, but no default model: set `model` (EXTRACTD_MODEL, --model) to `openai/MODEL`, with the name that the provider gives the model",
    ),
    (
        &[("OPENAI_BASE_URL", "localhost:8000")],
        "OPENAI_BASE_URL: `providers.openai.base_url` must be an http:// or https:// URL without user, query or fragment, such as http://localhost:8000/v1",
    ),
    (
        &[("EXTRACTD_REQUESTS_PER_MINUTE", "10")],
        "EXTRACTD_REQUESTS_PER_MINUTE: limits the default model's provider, but no provider's model is the default: set `model` to a provider's model, or remove this limit (the built-in model has none)",
    ),
    (
        &[
            ("EXTRACTD_REQUEST_BURST", "10"),
            ("EXTRACTD_MODEL", "local/x"),
        ],
        "EXTRACTD_REQUEST_BURST: limits the default model's provider, but no provider's model is the default: set `model` to a provider's model, or remove this limit (the built-in model has none)",
    ),
    (
        &[
            ("EXTRACTD_REQUESTS_PER_MINUTE", "10"),
            ("EXTRACTD_MODEL", "openai/x"),
        ],
        "EXTRACTD_MODEL: `model` names the provider `openai`, which is not configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or add [providers.openai]",
    ),
    (
        &[
            ("EXTRACTD_REQUEST_BURST", "10"),
            ("EXTRACTD_MODEL", "openai/x"),
            ("OPENAI_API_KEY", "k"),
        ],
        "EXTRACTD_REQUEST_BURST: `providers.openai.request_burst` has no effect without `providers.openai.requests_per_minute`; set that too",
    ),
    (
        &[("EXTRACTD_CONFIG", "nope.toml")],
        "EXTRACTD_CONFIG: cannot read the file nope.toml",
    ),
    (
        &[("EXTRACTD_LISTEN", "[::]:80")],
        "EXTRACTD_LISTEN: `listen` is [::]:80, which is not loopback, and there are no callers: set EXTRACTD_API_KEYS (`server.api_keys`) or add a [callers.NAME], or set EXTRACTD_ALLOW_ANONYMOUS=true (`server.allow_anonymous`) to serve everyone",
    ),
    (
        &[("EXTRACTD_LOG_FORMAT", "xml")],
        "EXTRACTD_LOG_FORMAT: `log.format` must be one of: text, json; not `xml`",
    ),
];
