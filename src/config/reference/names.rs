//! Tables with a name of the user's choice: providers, models and callers.

use super::section::{SectionReference, key};

/// Tables with a name of the user's choice, in the order of the reference.
pub(super) static SECTIONS: [SectionReference; 3] = [
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
                "Number of calls that may be sent at once with each API key, 1 to 100,000,000. Not set: `requests_per_minute` / 6000 (the calls of 10 ms), at least 1. Requires `requests_per_minute`.",
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
                "Table of additional HTTP headers for every call; the values are treated as secrets: masked in errors, and those with `Bearer` or `Basic`, or of a header whose name contains `auth`, `cookie`, `key`, `secret`, `signature` or `token`, in answers too, as API keys are, from 12 bytes on.",
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
                "Maximum number of items that wait in the queue, 1 to 10,000,000. Not set: `requests_per_minute` if set; else 100 with `tokens_per_minute`; else `limits.max_queue`.",
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
