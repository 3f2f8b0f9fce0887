//! Logs and metrics: their set-up, and the name of every metric.

use std::io::IsTerminal;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use throttle::{ModelObserver, Observer, TokenUsage, Usd};

use crate::types::{Code, ItemOutcome, Outcome};

/// Items that ended; `status` is `succeeded`, `invalid`, `cancelled`, or the error's code.
pub const ITEMS: &str = "extractd_items_total";
/// Model tokens used; `direction` is `input` or `output`.
pub const TOKENS: &str = "extractd_tokens_total";
/// Calls to a model that ended, whatever became of them.
pub const CALLS: &str = "extractd_calls_total";
/// Model tokens that the calls to a model have used; `direction` is `input` or `output`.
pub const MODEL_TOKENS: &str = "extractd_model_tokens_total";
/// What they have cost, in billionths of a US dollar.
pub const MODEL_COST: &str = "extractd_model_cost_nanousd_total";
/// Answers that were asked again.
pub const ASKED_AGAIN: &str = "extractd_asked_again_total";
/// Calls to a provider that brought no answer; `then` says what followed.
pub const FAILED_TRIES: &str = "extractd_failed_tries_total";
/// Retries that the retry budget put off.
pub const RETRIES_PUT_OFF: &str = "extractd_retries_put_off_total";
/// Looks into the cache of results; `found` is `true` or `false`.
pub const CACHE_LOOKUPS: &str = "extractd_cache_lookups_total";
/// Items that took the result of an equal one which was being called at the same time.
pub const SHARED: &str = "extractd_items_shared_total";
/// Seconds that an item waited for its turn.
pub const QUEUED: &str = "extractd_item_queued_seconds";
/// Seconds that an item spent in calls to its provider.
pub const UPSTREAM: &str = "extractd_item_upstream_seconds";
/// Requests answered; `path` is the route, `status` the HTTP status.
pub const REQUESTS: &str = "extractd_http_requests_total";
/// A limit's use, `limit` and `scope` as in `/v1/limits`.
pub const LIMIT_IN_USE: &str = "extractd_limit_in_use";
/// Times that a model's circuit breaker opened.
pub const BREAKER_OPENED: &str = "extractd_breaker_opened_total";
/// How a model's circuit breaker stands: 0 closed, 0.5 half open, 1 open.
pub const BREAKER_STATE: &str = "extractd_breaker_state";
/// Retries of the last ten seconds at a provider, and how many are allowed.
pub const RETRIES_USED: &str = "extractd_retry_budget_used";
pub const RETRIES_ALLOWED: &str = "extractd_retry_budget_allowed";
/// Results in the cache, and what they take.
pub const CACHE_ENTRIES: &str = "extractd_cache_entries";
pub const CACHE_BYTES: &str = "extractd_cache_bytes";
/// How much of a limit could be used at once; not there where it is unlimited.
pub const LIMIT_AVAILABLE: &str = "extractd_limit_available";
/// Items waiting at a limit.
pub const LIMIT_WAITING: &str = "extractd_limit_waiting";
/// Durable jobs that are being worked on, and those that wait for others of their caller.
pub const JOBS_RUNNING: &str = "extractd_jobs_running";
pub const JOBS_WAITING: &str = "extractd_jobs_waiting";
/// Results of durable jobs that are on the disk.
pub const JOB_RESULTS: &str = "extractd_job_results_recorded_total";
/// Whether jobs can be recorded: 1, or 0 while the disk is full or the store fails.
pub const STORE_READY: &str = "extractd_store_ready";

/// From half a millisecond to two minutes.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// What is logged of llama.cpp unless the filter says otherwise.
const QUIET_LLAMA: &str = "llama-cpp-2=warn,llama_cpp_2=error";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log filter \"{filter}\" is not understood; an example is \"info,extractd=debug\"")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts the log, on standard error.
///
/// # Errors
/// When the filter is not one.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let understood = |filter: &str| EnvFilter::builder().parse(filter);
    let given = understood(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    // llama.cpp tells hundreds of lines about each model that it loads.
    let parsed = if filter.contains("llama") {
        given
    } else {
        understood(&format!("{filter},{QUIET_LLAMA}")).unwrap_or(given)
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that a log is there already, as in tests.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
    Ok(())
}

/// Starts the metrics; call once in a process.
///
/// # Errors
/// When they were started before.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe_counter!(ITEMS, "Items that ended, by status");
    describe_counter!(TOKENS, "Model tokens used");
    describe_counter!(CALLS, "Calls to a model that ended");
    describe_counter!(MODEL_TOKENS, "Model tokens used, by model");
    describe_counter!(
        MODEL_COST,
        "What the tokens of a model have cost, in billionths of a US dollar"
    );
    describe_counter!(
        ASKED_AGAIN,
        "Answers that were not valid and were asked again"
    );
    describe_counter!(
        FAILED_TRIES,
        "Calls to a provider that brought no answer, by what followed"
    );
    describe_counter!(RETRIES_PUT_OFF, "Retries that the retry budget put off");
    describe_counter!(CACHE_LOOKUPS, "Looks into the cache of results");
    describe_counter!(
        SHARED,
        "Items that took the result of an equal one in flight"
    );
    describe_counter!(
        BREAKER_OPENED,
        "Times that a model's circuit breaker opened"
    );
    describe_histogram!(QUEUED, Unit::Seconds, "Time an item waited for its turn");
    describe_histogram!(
        UPSTREAM,
        Unit::Seconds,
        "Time an item spent in calls to its provider"
    );
    describe_counter!(REQUESTS, "HTTP requests answered, by route and status");
    describe_gauge!(
        BREAKER_STATE,
        "How a model's circuit breaker stands: 0 closed, 0.5 half open, 1 open"
    );
    describe_gauge!(
        RETRIES_USED,
        "Retries of the last ten seconds at a provider"
    );
    describe_gauge!(
        RETRIES_ALLOWED,
        "Retries that ten seconds allow at a provider"
    );
    describe_gauge!(CACHE_ENTRIES, "Results in the cache");
    describe_gauge!(CACHE_BYTES, Unit::Bytes, "What the cache takes");
    describe_gauge!(JOBS_RUNNING, "Durable jobs that are being worked on");
    describe_gauge!(
        JOBS_WAITING,
        "Durable jobs that wait for others of their caller"
    );
    describe_counter!(JOB_RESULTS, "Results of durable jobs that are on the disk");
    describe_gauge!(
        STORE_READY,
        "Whether jobs can be recorded: 1, or 0 while the disk is full or the store fails"
    );
    describe_gauge!(LIMIT_IN_USE, "How much of a limit is in use");
    describe_gauge!(LIMIT_AVAILABLE, "How much of a limit could be used at once");
    describe_gauge!(LIMIT_WAITING, "Items waiting at a limit");
    Ok(handle)
}

/// What extraction counts, looked up once.
#[derive(Debug)]
pub struct ExtractMeters {
    succeeded: Counter,
    invalid: Counter,
    cancelled: Counter,
    failed: Vec<(Code, Counter)>,
    input_tokens: Counter,
    output_tokens: Counter,
    asked_again: Counter,
    retries_put_off: Counter,
    found: Counter,
    not_found: Counter,
    shared: Counter,
    queued: Histogram,
    upstream: Histogram,
}

impl ExtractMeters {
    #[must_use]
    pub fn new() -> Self {
        Self {
            succeeded: counter!(ITEMS, "status" => "succeeded"),
            invalid: counter!(ITEMS, "status" => "invalid"),
            cancelled: counter!(ITEMS, "status" => "cancelled"),
            failed: Code::ALL
                .into_iter()
                .map(|code| (code, counter!(ITEMS, "status" => code.as_str())))
                .collect(),
            input_tokens: counter!(TOKENS, "direction" => "input"),
            output_tokens: counter!(TOKENS, "direction" => "output"),
            asked_again: counter!(ASKED_AGAIN),
            retries_put_off: counter!(RETRIES_PUT_OFF),
            found: counter!(CACHE_LOOKUPS, "found" => "true"),
            not_found: counter!(CACHE_LOOKUPS, "found" => "false"),
            shared: counter!(SHARED),
            queued: histogram!(QUEUED),
            upstream: histogram!(UPSTREAM),
        }
    }

    pub fn ended(&self, outcome: &Outcome) {
        match &outcome.ending {
            ItemOutcome::Succeeded(_) => self.succeeded.increment(1),
            ItemOutcome::Invalid(_) => self.invalid.increment(1),
            ItemOutcome::Cancelled => self.cancelled.increment(1),
            ItemOutcome::Failed(error) => {
                if let Some((_, counter)) = self.failed.iter().find(|(code, _)| *code == error.code)
                {
                    counter.increment(1);
                }
            }
        }
        self.input_tokens.increment(outcome.usage.input_tokens);
        self.output_tokens.increment(outcome.usage.output_tokens);
        self.queued.record(outcome.timing.queued);
        self.upstream.record(outcome.timing.upstream);
    }

    pub fn asked_again(&self) {
        self.asked_again.increment(1);
    }

    /// The retry budget is used up for now.
    pub fn retry_put_off(&self) {
        self.retries_put_off.increment(1);
    }

    pub fn looked_up(&self, found: bool) {
        if found { &self.found } else { &self.not_found }.increment(1);
    }

    /// An item has taken an equal one's result.
    pub fn shared(&self) {
        self.shared.increment(1);
    }

    /// A call brought no answer; `then` is what followed: `retry`, `pause`, `adapt` or `fail`.
    pub fn tried_in_vain(&self, then: &'static str) {
        counter!(FAILED_TRIES, "then" => then).increment(1);
    }
}

impl Default for ExtractMeters {
    fn default() -> Self {
        Self::new()
    }
}

/// A request was answered.
pub fn count_request(path: &str, status: u16) {
    counter!(REQUESTS, "path" => path.to_owned(), "status" => status.to_string()).increment(1);
}

/// What the calls to one model count, looked up once.
#[derive(Debug)]
pub struct CallMeters {
    calls: Counter,
    input_tokens: Counter,
    output_tokens: Counter,
    cost: Counter,
}

/// The metrics of the limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitObserver;

impl Observer for LimitObserver {
    fn model(&self, label: &str) -> Box<dyn ModelObserver> {
        Box::new(CallMeters::new(label))
    }

    fn circuit_opened(&self, label: &str) {
        tracing::warn!(
            model = label,
            "circuit breaker open: most calls to the model fail; no calls until a probe succeeds"
        );
        counter!(BREAKER_OPENED, "model" => label.to_owned()).increment(1);
    }
}

impl ModelObserver for CallMeters {
    fn call_ended(&self, usage: TokenUsage, cost: Usd) {
        self.calls.increment(1);
        self.input_tokens.increment(usage.input);
        self.output_tokens.increment(usage.output);
        self.cost.increment(cost.0 / 1_000);
    }
}

impl CallMeters {
    /// `model` is `provider/model`.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let tokens = |direction: &'static str| counter!(MODEL_TOKENS, "model" => model.to_owned(), "direction" => direction);
        Self {
            calls: counter!(CALLS, "model" => model.to_owned()),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
            cost: counter!(MODEL_COST, "model" => model.to_owned()),
        }
    }
}

/// The gauge of one model's breaker.
pub fn breaker_gauge(model: &str) -> Gauge {
    gauge!(BREAKER_STATE, "model" => model.to_owned())
}

/// The gauges of one provider's retry budget: used and allowed.
pub fn retry_gauges(provider: &str) -> (Gauge, Gauge) {
    let labels = [("provider", provider.to_owned())];
    (
        gauge!(RETRIES_USED, &labels),
        gauge!(RETRIES_ALLOWED, &labels),
    )
}

/// The gauges of the cache: entries and bytes.
pub fn cache_gauges() -> (Gauge, Gauge) {
    (gauge!(CACHE_ENTRIES), gauge!(CACHE_BYTES))
}

/// What the work on jobs counts, looked up once.
#[derive(Debug)]
pub struct JobMeters {
    running: Gauge,
    waiting: Gauge,
    recorded: Counter,
}

impl JobMeters {
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: gauge!(JOBS_RUNNING),
            waiting: gauge!(JOBS_WAITING),
            recorded: counter!(JOB_RESULTS),
        }
    }

    /// So many run, and so many wait.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and exact up to 53 bits"
    )]
    pub fn stand(&self, running: usize, waiting: usize) {
        self.running.set(running as f64);
        self.waiting.set(waiting as f64);
    }

    /// So many results are on the disk.
    pub fn recorded(&self, results: usize) {
        self.recorded.increment(results as u64);
    }
}

impl Default for JobMeters {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the store of jobs works.
pub fn store_gauge() -> Gauge {
    gauge!(STORE_READY)
}

/// The gauges of one limit: in use, available, waiting.
pub fn limit_gauges(limit: &'static str, scope: &str) -> [Gauge; 3] {
    let labels = [("limit", limit.to_owned()), ("scope", scope.to_owned())];
    [
        gauge!(LIMIT_IN_USE, &labels),
        gauge!(LIMIT_AVAILABLE, &labels),
        gauge!(LIMIT_WAITING, &labels),
    ]
}
