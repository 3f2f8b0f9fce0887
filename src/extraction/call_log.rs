//! Log of failed calls: one line each, and under load a sample with the number of lines that were left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::models::ModelEndpoint;
use crate::provider::Failure;

/// Maximum number of lines in each period, all providers together.
const MAX_LINES: u32 = 20;
/// Length of a period.
const PERIOD: Duration = Duration::from_secs(10);

/// Log of failed calls.
#[derive(Debug, Default)]
pub struct CallLog(Mutex<Sampler>);

/// Sampler that lets a number of lines through in each period.
#[derive(Debug, Default)]
struct Sampler {
    period_start: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Sampler {
    /// Returns the number of lines that were left out since the last one, if a line may be written.
    fn next_line(&mut self, now: Instant) -> Option<u64> {
        let is_over = |start: Instant| now.saturating_duration_since(start) >= PERIOD;
        if self.period_start.is_none_or(is_over) {
            (self.period_start, self.lines) = (Some(now), 0);
        }
        if self.lines >= MAX_LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl CallLog {
    /// Logs a failed call with its provider, address, status and reason. `action` is what follows.
    pub fn record(&self, endpoint: &ModelEndpoint, failure: &Failure, action: &str) {
        let mut sampler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = sampler.next_line(Instant::now()) else {
            return;
        };
        drop(sampler);
        tracing::warn!(
            provider = endpoint.provider_name,
            address = endpoint.provider.address(),
            model = endpoint.model,
            status = failure.status(),
            kind = failure.kind.name(),
            action,
            left_out = (left_out > 0).then_some(left_out),
            "an upstream call failed: {}",
            failure.detail
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_a_maximum_of_lines_and_the_next_line_counts_the_others() {
        let start = Instant::now();
        let mut sampler = Sampler::default();
        for _ in 0..MAX_LINES {
            assert_eq!(sampler.next_line(start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(sampler.next_line(start), None);
        }
        assert_eq!(sampler.next_line(start + PERIOD), Some(7));
        assert_eq!(sampler.next_line(start + PERIOD), Some(0));
    }
}
