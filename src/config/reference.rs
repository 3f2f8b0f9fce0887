//! Reference of every configuration key: name, environment variable, flag, default and description,
//! as Markdown.
//!
//! A test compares this list with the keys that the sections accept and with their defaults, so it
//! cannot go stale.

use std::fmt::Write as _;

use super::{args::Args, environment::VARIABLES};

/// A table of the configuration file with its keys.
pub(super) struct SectionReference {
    /// Header as in a file, with `NAME` for a name of the user's choice; empty for the top level.
    pub(super) header: &'static str,
    /// Purpose of the table, in one sentence.
    pub(super) description: &'static str,
    /// Keys, in the order in which they are read.
    pub(super) keys: &'static [KeyReference],
}

/// One key of the configuration.
pub(super) struct KeyReference {
    pub(super) name: &'static str,
    /// Default as TOML; empty for a key without a fixed default.
    pub(super) default: &'static str,
    /// Meaning with unit and range, and the effect of leaving out a key that has no fixed default.
    pub(super) description: &'static str,
}

const fn key(name: &'static str, default: &'static str, description: &'static str) -> KeyReference {
    KeyReference {
        name,
        default,
        description,
    }
}

/// All tables of the configuration file.
pub(super) const SECTIONS: [SectionReference; 11] = [
    SectionReference {
        header: "",
        description: "Keys at the top level of the file.",
        keys: &[
            key(
                "listen",
                "\"127.0.0.1:8080\"",
                "Address and port to listen on; port 0 takes a free port. An address other than loopback requires callers or `server.allow_anonymous`.",
            ),
            key(
                "model",
                "",
                "Default model, for requests that name none: `provider/model`, or the name of a `[models.NAME]`. Required if a provider is configured; otherwise the built-in model.",
            ),
            key(
                "data_dir",
                "\"./data\"",
                "Folder of the job store and of registered schemas; created if missing.",
            ),
            key(
                "schemas_dir",
                "",
                "Folder of `NAME.json` schemas that are registered at the start. Not set: none.",
            ),
            key(
                "callers_file",
                "",
                "TOML file with `[callers.NAME]` tables only; reloaded when it changes, without a restart. Not set: none.",
            ),
        ],
    },
    SectionReference {
        header: "server",
        description: "The HTTP server.",
        keys: &[
            key(
                "api_keys",
                "",
                "Keys that callers send as `Authorization: Bearer KEY`, as an array of strings (comma-separated in the environment). Not set: no plain keys.",
            ),
            key(
                "api_keys_file",
                "",
                "File with one key per line, instead of `api_keys`; blank lines and lines that begin with `#` are skipped.",
            ),
            key(
                "allow_anonymous",
                "false",
                "True allows listening on an address other than loopback without any caller.",
            ),
            key(
                "metrics_access",
                "\"operator\"",
                "Keys that may read `/metrics` if there are callers: `operator` (an operator's key), or `open` (no key is needed; the series of callers are only shown to an operator's key).",
            ),
            key(
                "cors_origins",
                "[]",
                "Origins whose web pages may call the API, such as `https://app.example`; `*` allows all.",
            ),
            key(
                "hosts",
                "[]",
                "Host names, without a port, accepted in the `Host` header in addition to loopback names when there are no callers.",
            ),
            key(
                "shutdown_grace_ms",
                "30000",
                "Time in milliseconds from the signal to stop to the end of the process, 0 to 3,600,000. Work in flight may finish within it; of 10 s or more, an eighth (at most 4 s) is for closing.",
            ),
            key(
                "max_body_bytes",
                "67108864",
                "Maximum size of a JSON request body in bytes, 1 KiB to 16 GiB; at most `limits.max_queue_bytes`.",
            ),
            key(
                "max_line_bytes",
                "1048576",
                "Maximum size of one NDJSON line in bytes, 1 KiB to 1 GiB.",
            ),
            key(
                "header_timeout_ms",
                "10000",
                "Time in milliseconds that a client may take to send the head of a request, 1 to 600,000.",
            ),
            key(
                "idle_timeout_ms",
                "60000",
                "Time after which a client is disconnected that uploads inputs and sends nothing while none of its items is in progress, or that reads nothing of its response, 1 to 86,400,000 ms.",
            ),
        ],
    },
    SectionReference {
        header: "limits",
        description: "Limits of the whole process.",
        keys: &[
            key(
                "max_concurrency",
                "64",
                "Maximum number of calls in flight, over all callers and providers, 1 to 100,000.",
            ),
            key(
                "max_queue",
                "100000",
                "Maximum number of items that wait in the queue, 1 to 10,000,000. A batch counts only with its window.",
            ),
            key(
                "max_queue_bytes",
                "1073741824",
                "Maximum memory in bytes for request bodies, 1 KiB to 1 TiB; at least `server.max_body_bytes`.",
            ),
            key(
                "max_memory_bytes",
                "",
                "Memory that all requests together may hold: bodies with the values parsed from them, inputs in progress, ordered results that wait to be sent, and compiled schemas, 16 MiB to 1 TiB. With several callers, each may hold as much as is free. Not set: half of the memory of the machine or its control group.",
            ),
            key(
                "max_ordered_bytes",
                "268435456",
                "Maximum memory in bytes for one ordered batch response until it is complete, 1 KiB to 1 TiB.",
            ),
            key(
                "max_wait_ms",
                "60000",
                "Maximum total time in milliseconds that the item of a single request waits for provider keys paused after a 429, 0 to 3,600,000.",
            ),
            key(
                "max_batch_wait_ms",
                "600000",
                "The same limit for an item of a batch, in milliseconds, 0 to 86,400,000.",
            ),
        ],
    },
    SectionReference {
        header: "cache",
        description: "The result cache, in memory.",
        keys: &[
            key(
                "shared",
                "false",
                "True lets equal items of different callers share a result, by the cache or by one call for both. A caller then learns from `cached` that another has asked the same.",
            ),
            key(
                "max_bytes",
                "",
                "Maximum memory of the cache in bytes, 1 KiB to 1 TiB. Not set: no cache.",
            ),
            key(
                "ttl_ms",
                "3600000",
                "Time to live of a result in milliseconds, 1,000 to 2,592,000,000 (30 days). Requires `max_bytes`.",
            ),
        ],
    },
    SectionReference {
        header: "schemas",
        description: "Schemas that are registered over HTTP.",
        keys: &[
            key(
                "shared",
                "false",
                "True lets all callers see and change the same schemas. False: each caller has its own, and sees those that were stored while there were no callers.",
            ),
            key(
                "max_per_caller",
                "1000",
                "Maximum number of schemas of a caller, 1 to 1,000,000.",
            ),
            key(
                "max_bytes_per_caller",
                "16777216",
                "Maximum size of a caller's schemas together in bytes, 1 KiB to 1 TiB.",
            ),
        ],
    },
    SectionReference {
        header: "jobs",
        description: "Durable jobs, which are stored in `data_dir`.",
        keys: &[
            key(
                "retention_ms",
                "2592000000",
                "Time in milliseconds that a finished job is kept, 1,000 to 315,360,000,000 (ten years).",
            ),
            key(
                "link_ttl_ms",
                "3600000",
                "Validity in milliseconds of the signed link to a job's events, 1,000 to 604,800,000 (a week).",
            ),
            key(
                "max_running_per_caller",
                "8",
                "Maximum number of running jobs per caller, 1 to 1,000; further jobs wait.",
            ),
            key(
                "max_per_caller",
                "100000",
                "Maximum number of stored jobs per caller, from 1. Another job is `429 quota_exceeded`.",
            ),
            key(
                "max_bytes_per_caller",
                "10737418240",
                "Maximum bytes of the stored jobs per caller (specs, inputs and results), from 1. A larger upload is `429 quota_exceeded`; jobs that run go on.",
            ),
            key(
                "max_stored_bytes",
                "53687091200",
                "Maximum bytes of the stored jobs of all callers, from 1. A larger upload is `503 overloaded`.",
            ),
            key(
                "allow_private_webhooks",
                "false",
                "True allows webhook URLs that resolve to private or loopback addresses.",
            ),
        ],
    },
    SectionReference {
        header: "log",
        description: "The log, on standard error.",
        keys: &[
            key(
                "filter",
                "\"info\"",
                "Level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or filter directives such as `info,extractd=debug`.",
            ),
            key(
                "format",
                "\"text\"",
                "Format of the lines: `text`, or `json` (one object per line).",
            ),
        ],
    },
    SectionReference {
        header: "local",
        description: "The built-in model.",
        keys: &[
            key(
                "model_path",
                "",
                "GGUF file of the model. Not set: the file that `make model` downloads into `models/`.",
            ),
            key(
                "threads",
                "",
                "Number of compute threads, 1 to 1,024. Not set: the number of cores.",
            ),
            key(
                "parallel",
                "4",
                "Number of sequences decoded together, 1 to 256.",
            ),
            key(
                "context_tokens",
                "2048",
                "Context of each sequence in tokens, prompt and answer together, 1 to 1,048,576.",
            ),
        ],
    },
    SectionReference {
        header: "providers.NAME",
        description: "A provider. NAME consists of lower-case letters, digits, `_` and `-`.",
        keys: &[
            key(
                "kind",
                "",
                "Wire format: `openai`, `openai_responses`, `anthropic`, `gemini`, `ollama` or `azure`. Required unless NAME is `openai`, `anthropic` or `gemini`.",
            ),
            key(
                "base_url",
                "",
                "`http` or `https` URL that API paths are appended to. Required unless the kind or NAME has a default.",
            ),
            key(
                "api_version",
                "\"2024-10-21\"",
                "Value of `api-version`; only for the kind `azure`.",
            ),
            key(
                "api_key",
                "",
                "API key. Not set, nor any of the five keys below: calls are sent without a key.",
            ),
            key(
                "api_key_env",
                "",
                "Name of an environment variable that holds the API key.",
            ),
            key(
                "api_key_file",
                "",
                "File that holds the API key and nothing else; a replaced key is used without a restart.",
            ),
            key(
                "api_keys",
                "",
                "Up to 64 API keys, as an array of strings; calls are spread over them.",
            ),
            key(
                "api_keys_env",
                "",
                "Name of an environment variable that holds several API keys, comma-separated.",
            ),
            key(
                "api_keys_file",
                "",
                "File with one API key per line; blank lines and lines that begin with `#` are skipped. Replaced keys are used without a restart; their number cannot change.",
            ),
            key(
                "proxy",
                "",
                "Proxy URL: `http`, `https`, `socks5` or `socks5h`. Not set: the proxy of the environment (`HTTPS_PROXY` and the like), if any.",
            ),
            key(
                "ca_file",
                "",
                "PEM file of root certificates to trust in addition to the built-in ones and to the file that the environment variable `SSL_CERT_FILE` names.",
            ),
            key(
                "client_cert",
                "",
                "PEM file of the certificate, with its chain, to present to the server (mutual TLS). It may hold the private key too.",
            ),
            key(
                "client_key",
                "",
                "PEM file of the private key of `client_cert`, not encrypted.",
            ),
            key(
                "requests_per_minute",
                "",
                "Maximum number of calls per minute with each API key, 1 to 100,000,000. Not set: unlimited.",
            ),
            key(
                "request_burst",
                "",
                "Number of calls that may be sent at once with each API key, 1 to 100,000,000. Not set: the larger of 1 and 10 ms of the rate. Requires `requests_per_minute`.",
            ),
            key(
                "tokens_per_minute",
                "",
                "Maximum number of tokens, input and output, per minute with each API key, 1 to 1,000,000,000. Not set: unlimited.",
            ),
            key(
                "max_concurrency",
                "",
                "Maximum number of calls in flight to this provider, over all its API keys, 1 to 100,000. Not set: `limits.max_concurrency`.",
            ),
            key(
                "adaptive_concurrency",
                "true",
                "True lowers the number of calls in flight after a 429, a 503 or a timeout, and raises it slowly after successes.",
            ),
            key(
                "connect_timeout_ms",
                "10000",
                "Timeout for connecting in milliseconds, TLS included, 1 to 600,000.",
            ),
            key(
                "timeout_ms",
                "",
                "Timeout of one call in milliseconds, from its start to the end of the answer, 1 to 3,600,000. Not set: derived from the item's `timeout_ms`.",
            ),
            key(
                "headers",
                "",
                "Table of additional HTTP headers for every call; the values are treated as secrets.",
            ),
        ],
    },
    SectionReference {
        header: "models.NAME",
        description: "A model that requests can name. NAME consists of letters, digits and `.` `_` `:` `-`.",
        keys: &[
            key(
                "provider",
                "",
                "Name of a configured provider, or `local`. Required.",
            ),
            key(
                "model",
                "",
                "The provider's name for the model. Not set: NAME.",
            ),
            key(
                "mode",
                "\"auto\"",
                "Output mode: `auto`, `json_schema`, `tools`, `json_object` or `text`.",
            ),
            key(
                "fallback",
                "[]",
                "Up to 8 models to call, in order, when this one cannot answer: names of `[models.NAME]` or `provider/model`.",
            ),
            key(
                "fallback_on",
                "[\"unavailable\", \"unknown_model\", \"too_long\", \"invalid\", \"rejected\"]",
                "Conditions under which the fallback is called: `unavailable` (the provider cannot be reached, fails after all retries, is rate limited, or refuses the key), `unknown_model`, `too_long` (the input, for this model), `invalid` (no valid or complete answer in the last attempt), `rejected` (the call, for another reason), `refused` (the model declines).",
            ),
            key(
                "max_concurrency",
                "",
                "Maximum number of calls in flight to this model, 1 to 100,000. Not set: only the limits of its provider and of the process.",
            ),
            key(
                "input_usd_per_million_tokens",
                "",
                "Price of a million input tokens in US dollars, 0 to 1,000,000. Not set: unknown, calls cost nothing towards a budget.",
            ),
            key(
                "output_usd_per_million_tokens",
                "",
                "Price of a million output tokens in US dollars, 0 to 1,000,000. Required if the input price is set, and the reverse.",
            ),
            key(
                "extra_body",
                "",
                "Table of fields that are added to each request to the provider, such as `reasoning_effort`. Tables are merged with what extractd sends; a field that extractd sets itself is refused at the start.",
            ),
        ],
    },
    SectionReference {
        header: "callers.NAME",
        description: "A caller with a key and a quota. NAME has up to 64 letters, digits and `.` `_` `-`.",
        keys: &[
            key(
                "key",
                "",
                "Key that the caller sends as `Authorization: Bearer KEY`. One of `key`, `key_env`, `key_file` and `key_sha256` is required.",
            ),
            key(
                "key_env",
                "",
                "Name of an environment variable that holds the key.",
            ),
            key("key_file", "", "File that holds the key and nothing else."),
            key(
                "key_sha256",
                "",
                "SHA-256 of the key in 64 hexadecimal digits, so that the key itself is not in the file.",
            ),
            key(
                "requests_per_minute",
                "",
                "Maximum number of calls to providers per minute, 1 to 100,000,000. Not set: unlimited.",
            ),
            key(
                "tokens_per_minute",
                "",
                "Maximum number of tokens, input and output, per minute, 1 to 1,000,000,000. Not set: unlimited.",
            ),
            key(
                "max_concurrency",
                "",
                "Maximum number of calls in flight, 1 to 100,000. Not set: `limits.max_concurrency`.",
            ),
            key(
                "max_queue",
                "",
                "Maximum number of items that wait in the queue, 1 to 10,000,000. Not set: `limits.max_queue`.",
            ),
            key(
                "budget_usd_per_day",
                "",
                "Maximum cost of the caller's calls per UTC day in US dollars, more than 0 and up to 10,000,000. Only models with a price count. Not set: unlimited.",
            ),
            key(
                "role",
                "\"caller\"",
                "`caller`, or `operator`: an operator's key sees the names, quotas and spending of all callers in `/v1/limits` and `/metrics`. Other keys see their own, and totals.",
            ),
            key(
                "models",
                "",
                "Models that the caller may use, fallbacks included: configured names, `provider/model`, or `provider/*` for all of a provider. Not set: all.",
            ),
        ],
    },
];

/// Returns the reference of all configuration keys as Markdown tables.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for section in &SECTIONS {
        let title = if section.header.is_empty() {
            "Top level".to_owned()
        } else {
            format!("`[{}]`", section.header)
        };
        let _infallible = write!(
            text,
            "{}## {title}\n\n{}\n\n| key | environment variable, flag | default | description |\n|---|---|---|---|\n",
            if text.is_empty() { "" } else { "\n" },
            section.description
        );
        for key in section.keys {
            let default = match key.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let sources = sources(section.header, key.name);
            let _infallible = writeln!(
                text,
                "| `{}` | {sources} | {default} | {} |",
                key.name, key.description
            );
        }
    }
    text
}

/// Returns the environment variables and flags that set a key, separated by commas.
fn sources(header: &str, key: &str) -> String {
    let flags = Args::default();
    let variables = VARIABLES.iter().copied();
    let flags = flags.settings().map(|(flag, path, _)| (flag, path));
    let matching = variables
        .chain(flags)
        .filter(|(_, path)| is_path_of(path, header, key));
    matching
        .map(|(source, _)| format!("`{source}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns true if `path`, such as `providers.*.request_burst`, is the path of a key in a section.
fn is_path_of(path: &str, header: &str, key: &str) -> bool {
    let Some((section, name)) = path.rsplit_once('.') else {
        return header.is_empty() && path == key;
    };
    let is_section = match (section.split_once('.'), header.split_once('.')) {
        (Some((table, _)), Some((expected, _))) => table == expected,
        _ => section == header,
    };
    is_section && name == key
}
