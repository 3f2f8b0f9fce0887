//! Tables of the service itself: the top level, the server, its limits, jobs, log and the built-in model.

use super::section::{SectionReference, key};

/// Tables with one fixed name each, in the order of the reference.
pub(super) static SECTIONS: [SectionReference; 8] = [
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
                "Time in milliseconds from the signal to stop to the end of the process, 0 to 3,600,000. Work in flight may finish within it; of 10 s or more, a quarter (at most 8 s) is for closing. Closing may follow a shorter one, for up to 8 s.",
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
                "Time in milliseconds that a client may take to send the head of a request, and before it the first bytes of a new connection, 1 to 600,000.",
            ),
            key(
                "idle_timeout_ms",
                "60000",
                "Time after which a client is disconnected that uploads inputs and sends nothing while none of its items is in progress, or that reads nothing of its response, or less than 500 bytes a second, while output waits for it, 1 to 86,400,000 ms.",
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
                "Memory that the process may take, without the built-in model, 16 MiB to 1 TiB: what requests hold (bodies with the values parsed from them, inputs in progress, ordered results that wait to be sent, compiled schemas), the result cache, and 96 MiB and an eighth for the program itself and the allocator's spare pages (half of a budget below 256 MiB). With several callers, each may hold as much as is free. Not set: half of the memory of the machine or its control group.",
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
                "Maximum memory of the cache in bytes, from 1 KiB. It is set aside from `limits.max_memory_bytes`: at most half of what the program itself leaves (176 MiB of 512 MiB). Not set: no cache.",
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
                "Maximum size of a caller's schemas together in bytes, 1 KiB to 1 TiB. Their earlier versions take what is left of it.",
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
                "Maximum bytes of the stored jobs per caller (specs, metadata, inputs with 512 bytes for the rows of each, and events), from 1. A larger upload, or a retry beyond them, is `429 quota_exceeded`; jobs that run go on.",
            ),
            key(
                "max_stored_bytes",
                "53687091200",
                "Maximum bytes of the stored jobs of all callers, from 1. A larger upload is `503 overloaded`. With several callers, an upload of one leaves as much to the others, of these and on the disk, as its jobs take, or `max_bytes_per_caller`; a larger one is `429 quota_exceeded`. Results leave a quarter of that: a job waits for room.",
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
];
