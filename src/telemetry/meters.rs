//! Counters, histograms and gauges of each part of the service, looked up once.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use throttle::{ModelObserver, Observer, TokenUsage, Usd};

use super::metric_names::{
    ADAPTATIONS, BREAKER_OPENED, BREAKER_STATE, CACHE_BYTES, CACHE_ENTRIES, CACHE_LOOKUPS,
    EVIDENCE_VALUES, HTTP_REQUESTS, ITEM_QUEUED, ITEM_UPSTREAM, ITEMS, JOB_RESULTS, JOBS_RUNNING,
    JOBS_WAITING, LIMIT_AVAILABLE, LIMIT_IN_USE, LIMIT_WAITING, MODEL_COST, MODEL_TOKENS, OUTAGES,
    RETRY_BUDGET_EXHAUSTED, RETRY_BUDGET_LIMIT, RETRY_BUDGET_USED, SINGLEFLIGHT_HITS, STORE_READY,
    TOKENS, UPSTREAM_CALL_FAILURES, UPSTREAM_CALLS, VALIDATION_RETRIES,
};
use crate::types::{Code, EvidenceCounts, ItemOutcome, Outcome};

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
    evidence: [(&'static str, Counter); 5],
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
            evidence: EvidenceCounts::default()
                .by_status()
                .map(|(status, _)| (status, counter!(EVIDENCE_VALUES, "status" => status))),
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
        if let Some(counts) = outcome.evidence_counts() {
            for ((_, counter), (_, values)) in self.evidence.iter().zip(counts.by_status()) {
                counter.increment(values);
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
