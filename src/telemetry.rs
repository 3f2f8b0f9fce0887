//! Observability: set-up of the log (tracing) and of the metrics (Prometheus), and the name and
//! help text of every metric.
//!
//! Metric names follow the Prometheus conventions: base units (`_seconds`, `_bytes`, `_usd`), and
//! `_total` for counters. It knows the types of outcomes and usage, and nothing of the parts that
//! report them.

use std::fmt::Write as _;
use std::io::IsTerminal;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use throttle::{ModelObserver, Observer, TokenUsage, Usd};

use crate::types::{Code, ItemOutcome, Outcome};

// Counters.
const ITEMS: &str = "extractd_items_total";
const TOKENS: &str = "extractd_tokens_total";
const UPSTREAM_CALLS: &str = "extractd_upstream_calls_total";
const UPSTREAM_CALL_FAILURES: &str = "extractd_upstream_call_failures_total";
const ADAPTATIONS: &str = "extractd_adaptations_total";
const MODEL_TOKENS: &str = "extractd_model_tokens_total";
const MODEL_COST: &str = "extractd_model_cost_usd_total";
const VALIDATION_RETRIES: &str = "extractd_validation_retries_total";
const RETRY_BUDGET_EXHAUSTED: &str = "extractd_retry_budget_exhausted_total";
const CACHE_LOOKUPS: &str = "extractd_cache_lookups_total";
const SINGLEFLIGHT_HITS: &str = "extractd_singleflight_hits_total";
const HTTP_REQUESTS: &str = "extractd_http_requests_total";
const BREAKER_OPENED: &str = "extractd_breaker_opened_total";
const JOB_RESULTS: &str = "extractd_job_results_recorded_total";

const COUNTERS: [(&str, &str); 14] = [
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
    (JOB_RESULTS, "Results of durable jobs written to the store"),
];

// Histograms, in seconds.
const ITEM_QUEUED: &str = "extractd_item_queued_seconds";
const ITEM_UPSTREAM: &str = "extractd_item_upstream_seconds";

const HISTOGRAMS: [(&str, &str); 2] = [
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
const LIMIT_IN_USE: &str = "extractd_limit_in_use";
const LIMIT_AVAILABLE: &str = "extractd_limit_available";
const LIMIT_WAITING: &str = "extractd_limit_waiting";
const BREAKER_STATE: &str = "extractd_breaker_state";
const OUTAGES: &str = "extractd_outages";
const RETRY_BUDGET_USED: &str = "extractd_retry_budget_used";
const RETRY_BUDGET_LIMIT: &str = "extractd_retry_budget_limit";
const CACHE_ENTRIES: &str = "extractd_cache_entries";
const CACHE_BYTES: &str = "extractd_cache_bytes";
const JOBS_RUNNING: &str = "extractd_jobs_running";
const JOBS_WAITING: &str = "extractd_jobs_waiting";
const STORE_READY: &str = "extractd_store_ready";

const GAUGES: [(&str, &str); 12] = [
    (
        OUTAGES,
        "Keys and models with which every call fails, by provider and reason",
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

/// Nano-dollars in a dollar; costs are counted in nano-dollars, for counters are integers.
const NANOS_PER_USD: u64 = 1_000_000_000;

/// Upper bounds of the histograms' buckets, from half a millisecond to two minutes.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// Log filter of llama.cpp, unless the configured filter names it: it logs hundreds of lines for
/// each model that it loads.
const QUIET_LLAMA: &str = "llama-cpp-2=warn,llama_cpp_2=error";

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

/// Reason why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not in the syntax of tracing's `EnvFilter`.
    #[error(
        "the log filter (`log`, EXTRACTD_LOG) is invalid: \"{filter}\"; an example is \"info,extractd=debug\""
    )]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts the log on standard error.
///
/// # Errors
/// If the filter is not in the syntax of tracing's `EnvFilter`.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let parse = |filter: &str| EnvFilter::builder().parse(filter);
    let configured = parse(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let env_filter = if filter.contains("llama") {
        configured
    } else {
        parse(&format!("{filter},{QUIET_LLAMA}")).unwrap_or(configured)
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that a log has been started before, as in tests.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
    Ok(())
}

/// Handle to the process's metrics.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts the metrics; call it once in a process.
    ///
    /// # Errors
    /// If they have been started before.
    pub fn start() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .install_recorder()?;
        for (name, help) in COUNTERS {
            describe_counter!(name, help);
        }
        for (name, help) in HISTOGRAMS {
            describe_histogram!(name, Unit::Seconds, help);
        }
        for (name, help) in GAUGES {
            describe_gauge!(name, help);
        }
        Ok(Self(handle))
    }

    /// Returns all metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        costs_in_usd(&self.0.render())
    }

    /// Moves the recorded samples into the histograms' buckets; call it every few seconds, for
    /// until then each sample takes memory.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Converts the samples of the cost from nano-dollars to dollars.
fn costs_in_usd(text: &str) -> String {
    let mut converted = String::with_capacity(text.len());
    for line in text.lines() {
        let nanos = line
            .rsplit_once(' ')
            .filter(|_| line.starts_with(MODEL_COST));
        match nanos.and_then(|(series, nanos)| Some((series, nanos.parse::<u64>().ok()?))) {
            Some((series, nanos)) => {
                let (usd, rest) = (nanos / NANOS_PER_USD, nanos % NANOS_PER_USD);
                // Writing to a string cannot fail.
                _ = write!(converted, "{series} {usd}.{rest:09}");
            }
            None => converted.push_str(line),
        }
        converted.push('\n');
    }
    converted
}

/// Counters and histograms of extraction, looked up once.
#[derive(Debug)]
pub struct ExtractMeters {
    succeeded: Counter,
    invalid: Counter,
    cancelled: Counter,
    failed: Vec<(Code, Counter)>,
    input_tokens: Counter,
    output_tokens: Counter,
    validation_retries: Counter,
    retry_budget_exhausted: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    singleflight_hits: Counter,
    queued: Histogram,
    upstream: Histogram,
}

impl ExtractMeters {
    /// Looks up the counters and histograms.
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
            validation_retries: counter!(VALIDATION_RETRIES),
            retry_budget_exhausted: counter!(RETRY_BUDGET_EXHAUSTED),
            cache_hits: counter!(CACHE_LOOKUPS, "result" => "hit"),
            cache_misses: counter!(CACHE_LOOKUPS, "result" => "miss"),
            singleflight_hits: counter!(SINGLEFLIGHT_HITS),
            queued: histogram!(ITEM_QUEUED),
            upstream: histogram!(ITEM_UPSTREAM),
        }
    }

    /// Counts an item that ended: its status, tokens and times.
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

    /// Counts a validation retry.
    pub fn validation_retry(&self) {
        self.validation_retries.increment(1);
    }

    /// Counts a retry that is delayed because the retry budget is used up.
    pub fn retry_budget_exhausted(&self) {
        self.retry_budget_exhausted.increment(1);
    }

    /// Counts a lookup in the result cache.
    pub fn cache_lookup(&self, is_hit: bool) {
        if is_hit {
            &self.cache_hits
        } else {
            &self.cache_misses
        }
        .increment(1);
    }

    /// Counts an item that shared the result of an identical item in flight.
    pub fn singleflight_hit(&self) {
        self.singleflight_hits.increment(1);
    }

    /// Counts a failed call; `action` is what followed, such as `retry` or `fail`.
    pub fn record_failed_call(&self, action: &'static str) {
        counter!(UPSTREAM_CALL_FAILURES, "action" => action).increment(1);
    }
}

impl Default for ExtractMeters {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts a feature that requests omit from now on; `scope` is `model` or `schema`.
pub fn count_adaptation(feature: &'static str, scope: &'static str) {
    counter!(ADAPTATIONS, "feature" => feature, "scope" => scope).increment(1);
}

/// Counts an HTTP request; `path` is its route.
pub fn count_request(path: &str, status: u16) {
    counter!(HTTP_REQUESTS, "path" => path.to_owned(), "status" => status.to_string()).increment(1);
}

/// Counters of the calls to one model, looked up once.
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
    /// Looks up the counters of a model, given as `provider/model`.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let tokens = |direction: &'static str| counter!(MODEL_TOKENS, "model" => model.to_owned(), "direction" => direction);
        Self {
            calls: counter!(UPSTREAM_CALLS, "model" => model.to_owned()),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
            cost: counter!(MODEL_COST, "model" => model.to_owned()),
        }
    }
}

/// Returns the gauge of a model's circuit breaker: 0 closed, 0.5 half-open, 1 open.
pub fn breaker_gauge(model: &str) -> Gauge {
    gauge!(BREAKER_STATE, "model" => model.to_owned())
}

/// Returns the gauge of a provider's outages for one reason.
pub fn outage_gauge(provider: &str, reason: &'static str) -> Gauge {
    gauge!(OUTAGES, "provider" => provider.to_owned(), "reason" => reason)
}

/// Returns the gauges of a provider's retry budget: used, and limit.
pub fn retry_gauges(provider: &str) -> (Gauge, Gauge) {
    let labels = [("provider", provider.to_owned())];
    (
        gauge!(RETRY_BUDGET_USED, &labels),
        gauge!(RETRY_BUDGET_LIMIT, &labels),
    )
}

/// Returns the gauges of the result cache: entries, and bytes.
pub fn cache_gauges() -> (Gauge, Gauge) {
    (gauge!(CACHE_ENTRIES), gauge!(CACHE_BYTES))
}

/// Gauges and counters of durable jobs, looked up once.
#[derive(Debug)]
pub struct JobMeters {
    running: Gauge,
    waiting: Gauge,
    recorded: Counter,
}

impl JobMeters {
    /// Looks up the gauges and counters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: gauge!(JOBS_RUNNING),
            waiting: gauge!(JOBS_WAITING),
            recorded: counter!(JOB_RESULTS),
        }
    }

    /// Sets the numbers of running and waiting jobs.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and exact up to 53 bits"
    )]
    pub fn set_gauges(&self, running: usize, waiting: usize) {
        self.running.set(running as f64);
        self.waiting.set(waiting as f64);
    }

    /// Counts results written to the store.
    pub fn recorded(&self, results: usize) {
        self.recorded.increment(results as u64);
    }
}

impl Default for JobMeters {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the gauge of the job store: 1 if it accepts writes, else 0.
pub fn store_gauge() -> Gauge {
    gauge!(STORE_READY)
}

/// Returns the gauges of a limit: in use, available, waiting.
pub fn limit_gauges(limit: &'static str, scope: &str) -> [Gauge; 3] {
    let labels = [("limit", limit.to_owned()), ("scope", scope.to_owned())];
    [
        gauge!(LIMIT_IN_USE, &labels),
        gauge!(LIMIT_AVAILABLE, &labels),
        gauge!(LIMIT_WAITING, &labels),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_rendered_in_dollars() {
        let text = "# TYPE extractd_model_cost_usd_total counter\n\
                    extractd_model_cost_usd_total{model=\"a b/c\"} 1250000004\n\
                    extractd_items_total{status=\"invalid\"} 3\n";
        let expected = text.replace("1250000004", "1.250000004");
        assert_eq!(costs_in_usd(text), expected);
    }

    #[test]
    fn metric_names_follow_the_prometheus_conventions() {
        for (name, help) in COUNTERS {
            assert!(name.ends_with("_total") && !help.is_empty(), "{name}");
        }
        for (name, _) in HISTOGRAMS {
            assert!(name.ends_with("_seconds"), "{name}");
        }
        for (name, _) in GAUGES {
            assert!(!name.ends_with("_total"), "{name}");
        }
    }
}
