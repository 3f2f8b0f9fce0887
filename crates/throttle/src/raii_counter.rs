//! A counter that cannot leak: its value is the number of guards alive.

use std::sync::Arc;

/// A counter of living guards.
#[derive(Debug, Default)]
pub struct RaiiCounter(Arc<()>);

/// A guard, counted while it lives.
#[derive(Debug)]
pub struct CountGuard(#[expect(dead_code, reason = "held, not read")] Arc<()>);

impl RaiiCounter {
    /// Returns a guard that is counted while it lives.
    pub fn guard(&self) -> CountGuard {
        CountGuard(Arc::clone(&self.0))
    }

    /// Returns the number of living guards.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
