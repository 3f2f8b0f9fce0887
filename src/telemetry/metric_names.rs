//! Name and help text of every metric.
//!
//! Names follow the Prometheus conventions: base units (`_seconds`, `_bytes`, `_usd`), and `_total` for counters.

// Counters.
pub const ITEMS: &str = "extractd_items_total";
pub const TOKENS: &str = "extractd_tokens_total";
pub const UPSTREAM_CALLS: &str = "extractd_upstream_calls_total";
pub const UPSTREAM_CALL_FAILURES: &str = "extractd_upstream_call_failures_total";
pub const ADAPTATIONS: &str = "extractd_adaptations_total";
pub const MODEL_TOKENS: &str = "extractd_model_tokens_total";
pub const MODEL_COST: &str = "extractd_model_cost_usd_total";
pub const VALIDATION_RETRIES: &str = "extractd_validation_retries_total";
pub const RETRY_BUDGET_EXHAUSTED: &str = "extractd_retry_budget_exhausted_total";
pub const CACHE_LOOKUPS: &str = "extractd_cache_lookups_total";
pub const SINGLEFLIGHT_HITS: &str = "extractd_singleflight_hits_total";
pub const HTTP_REQUESTS: &str = "extractd_http_requests_total";
pub const BREAKER_OPENED: &str = "extractd_breaker_opened_total";
pub const EVIDENCE_VALUES: &str = "extractd_evidence_values_total";
pub const JOB_RESULTS: &str = "extractd_job_results_recorded_total";
pub const TRACE_SPANS: &str = "extractd_trace_spans_total";

/// Help text of each counter.
pub const COUNTERS: [(&str, &str); 16] = [
    (
        ITEMS,
        "Items that ended, by status: succeeded, invalid, cancelled, or the error code",
    ),
    (
        TOKENS,
        "Model tokens used by items, by direction: input or output",
    ),
    (
        UPSTREAM_CALLS,
        "Calls to a provider that ended, successful or not, by model",
    ),
    (
        UPSTREAM_CALL_FAILURES,
        "Calls to a provider that failed, by the action that followed",
    ),
    (
        ADAPTATIONS,
        "Features that requests omit for an hour because the provider does not support them, by feature and scope: model or schema",
    ),
    (
        MODEL_TOKENS,
        "Model tokens used by calls, by model and direction: input or output",
    ),
    (
        MODEL_COST,
        "Cost of the calls in US dollars, by model; models without a price are not counted",
    ),
    (
        VALIDATION_RETRIES,
        "Calls repeated because the answer was not valid",
    ),
    (
        RETRY_BUDGET_EXHAUSTED,
        "Retries delayed because the retry budget of the provider was used up",
    ),
    (
        CACHE_LOOKUPS,
        "Lookups in the result cache, by result: hit or miss",
    ),
    (
        SINGLEFLIGHT_HITS,
        "Items that shared the result of an identical item in flight (single flight)",
    ),
    (
        HTTP_REQUESTS,
        "HTTP requests answered, by path (the route) and status",
    ),
    (
        BREAKER_OPENED,
        "Times that a circuit breaker opened, by model",
    ),
    (
        EVIDENCE_VALUES,
        "Values of succeeded items with `grounding`, by status of their evidence",
    ),
    (JOB_RESULTS, "Results of durable jobs written to the store"),
    (
        TRACE_SPANS,
        "Spans of traces, by result: exported, failed (the collector did not accept them) or dropped (the queue was full)",
    ),
];

// Histograms, in seconds.
pub const ITEM_QUEUED: &str = "extractd_item_queued_seconds";
pub const ITEM_UPSTREAM: &str = "extractd_item_upstream_seconds";

/// Help text of each histogram.
pub const HISTOGRAMS: [(&str, &str); 2] = [
    (
        ITEM_QUEUED,
        "Time that an item waited in the queue, in seconds",
    ),
    (
        ITEM_UPSTREAM,
        "Time that an item spent in calls to providers, in seconds",
    ),
];

// Gauges.
pub const LIMIT_IN_USE: &str = "extractd_limit_in_use";
pub const LIMIT_AVAILABLE: &str = "extractd_limit_available";
pub const LIMIT_WAITING: &str = "extractd_limit_waiting";
pub const BREAKER_STATE: &str = "extractd_breaker_state";
pub const OUTAGES: &str = "extractd_outages";
pub const RETRY_BUDGET_USED: &str = "extractd_retry_budget_used";
pub const RETRY_BUDGET_LIMIT: &str = "extractd_retry_budget_limit";
pub const CACHE_ENTRIES: &str = "extractd_cache_entries";
pub const CACHE_BYTES: &str = "extractd_cache_bytes";
pub const JOBS_RUNNING: &str = "extractd_jobs_running";
pub const JOBS_WAITING: &str = "extractd_jobs_waiting";
pub const STORE_READY: &str = "extractd_store_ready";

/// Help text of each gauge.
pub const GAUGES: [(&str, &str); 12] = [
    (
        OUTAGES,
        "Keys and models with which every call of a caller, or of all, fails, by provider and reason",
    ),
    (
        LIMIT_IN_USE,
        "Amount of a limit in use, by limit and scope as in /v1/limits",
    ),
    (
        LIMIT_AVAILABLE,
        "Amount of a limit that is available now, by limit and scope; +Inf if it is unlimited",
    ),
    (
        LIMIT_WAITING,
        "Items that wait for a limit, by limit and scope",
    ),
    (
        BREAKER_STATE,
        "State of the circuit breaker by model: 0 closed, 0.5 half-open, 1 open",
    ),
    (
        RETRY_BUDGET_USED,
        "Retries of the last ten seconds, by provider",
    ),
    (
        RETRY_BUDGET_LIMIT,
        "Retries that the retry budget allows in ten seconds, by provider",
    ),
    (CACHE_ENTRIES, "Results in the result cache"),
    (CACHE_BYTES, "Size of the result cache in bytes"),
    (JOBS_RUNNING, "Durable jobs that are running"),
    (
        JOBS_WAITING,
        "Durable jobs that wait because their caller has its maximum of running jobs",
    ),
    (
        STORE_READY,
        "1 if the job store accepts writes, 0 while the disk is full or the store fails",
    ),
];
