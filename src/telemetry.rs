//! Observability: the log (tracing), the metrics (Prometheus) and the traces (OpenTelemetry).
//!
//! Knows the types of outcomes and usage, and nothing of the parts that report them.

mod log;
mod log_lines;
mod meters;
mod metric_names;
mod traces;

use std::fmt::Write as _;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use log::{LogError, start_log};
pub use log_lines::LogFormat;
pub use meters::{
    CallMeters, ExtractMeters, JobMeters, LimitObserver, breaker_gauge, cache_gauges,
    count_adaptation, count_request, limit_gauges, outage_gauge, retry_gauges, store_gauge,
};

pub use traces::{
    ActiveSpan, Attribute, Exported, SpanRole, SpanStart, TraceSettings, TraceVariables, Traces,
    TracesError, Transport, shortened, strings,
};

use metric_names::{COUNTERS, GAUGES, HISTOGRAMS, MODEL_COST};

/// Nano-dollars in a dollar; costs are counted in nano-dollars, for counters are integers.
const NANOS_PER_USD: u64 = 1_000_000_000;

/// Upper bounds of the histograms' buckets, from half a millisecond to two minutes.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

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

/// Removes the series that belong to one caller, whose scope is `caller:NAME`.
#[must_use]
pub fn without_callers(text: &str) -> String {
    let is_shared = |line: &&str| !line.contains("scope=\"caller:");
    text.lines()
        .filter(is_shared)
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_callers_are_removed() {
        let text = "# TYPE extractd_limit_in_use gauge\n\
                    extractd_limit_in_use{limit=\"queue\",scope=\"all\"} 3\n\
                    extractd_limit_in_use{limit=\"queue\",scope=\"caller:alice\"} 2\n";
        let expected = text.replace(
            "extractd_limit_in_use{limit=\"queue\",scope=\"caller:alice\"} 2\n",
            "",
        );
        assert_eq!(without_callers(text), expected);
    }

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
