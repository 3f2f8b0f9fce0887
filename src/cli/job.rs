//! A job as the server's API shows it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::problem_detail;

/// A job as the server shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: String,
    pub status: String,
    pub counts: Counts,
    pub rate_per_s: Option<f64>,
    pub eta_ms: Option<u64>,
    pub usage: Usage,
    error: Option<Map<String, Value>>,
}

/// Number of a job's items per state.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Counts {
    pub total: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub invalid: u64,
    pub cancelled: u64,
}

impl Counts {
    /// Returns the number of items with a result, cancelled ones excluded.
    pub const fn done(self) -> u64 {
        self.succeeded + self.unsuccessful()
    }

    /// Returns the number of items with a result, cancelled ones included.
    pub const fn ended(self) -> u64 {
        self.done() + self.cancelled
    }

    /// Returns the number of items whose result is not a success.
    pub const fn unsuccessful(self) -> u64 {
        self.failed + self.invalid
    }

    /// Returns true if an item was cancelled, or its job ended before it.
    pub const fn has_unstarted(self) -> bool {
        self.cancelled > 0 || self.ended() < self.total
    }
}

/// Usage of a job.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Usage {
    pub cost_usd: Option<f64>,
}

impl Job {
    /// Returns true if no item runs any more.
    pub fn is_ended(&self) -> bool {
        matches!(
            &*self.status,
            "completed" | "stopped" | "cancelled" | "failed"
        )
    }

    /// Returns the problem that kept the job from running.
    pub fn error(&self) -> &str {
        let error = self.error.as_ref();
        error.map_or("the job could not run", problem_detail)
    }
}
